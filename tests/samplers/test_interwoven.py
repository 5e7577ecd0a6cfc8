"""Interwoven kernels: in-context learning in four letters, with its exact law by enumeration."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput, Revealed
from sloc.populations import GaussianMixture, MarkovChains, ProductCategorical
from sloc.processes import OrnsteinUhlenbeck, Truncation
from sloc.samplers import Localizer, exact_localizer, interweave
from tests.samplers.laws import assert_frequencies

# Letters 0, 1 are questions and 2, 3 answers: x1 y1 x2 y2.  Which answer follows a question depends on theta, which
# question follows an answer does not.
ANSWERS = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.6, 0.4]]])
WEIGHTS, LENGTH = np.array([0.35, 0.65]), 4
TRANSITIONS = np.zeros((2, 4, 4))
TRANSITIONS[:, :2, 2:] = ANSWERS
TRANSITIONS[:, 2:, :2] = [0.5, 0.5]
POPULATION = MarkovChains(np.array([[0.5, 0.5, 0, 0]] * 2), TRANSITIONS, LENGTH, WEIGHTS)
PROCESS, GRID = Truncation(LENGTH), np.arange(LENGTH + 1)
LOCALIZER = exact_localizer(PROCESS, POPULATION)
QUESTIONS, FIRST = [3, 1], 0.8


def write(mode, key, y, s, t):
    """Write the next letter as a user would: question 0 at first with probability 0.8, later the other one.

    Mode 1 writes the answer 2 instead, mode 2 the answer 3 wherever it is.
    """
    position = LENGTH - t
    first = jnp.where(jax.random.uniform(key) < FIRST, 0, 1)
    question = jnp.where(position == 0, first, 1 - y.values[0])
    letter = jnp.select([mode == 0, mode == 1], [question, jnp.full_like(question, 2)], 3).astype(y.values.dtype)
    here = jnp.arange(LENGTH) == position
    return Revealed(jnp.where(here, letter, y.values), y.known | here)


def kernel(mode):
    """Return the kernel in one of its modes; none compiles anew."""
    return jax.tree_util.Partial(write, jnp.asarray(mode))


def woven(mode, at):
    """Interweave the kernel with the exact sampler."""
    return interweave(LOCALIZER, kernel(mode), at, key=jax.random.key(0), grid=GRID)


def enumerate_words():
    """Exact law of ``(x1, y1, x2, y2)`` when questions are written and answers are the model's own."""
    law = np.zeros((2, 2, 2, 2))
    for x1, y1, y2 in np.ndindex(2, 2, 2):
        x2 = 1 - x1
        joint = (WEIGHTS * ANSWERS[:, x1, y1] * ANSWERS[:, x2, y2]).sum()
        law[x1, y1, x2, y2] = (FIRST if x1 == 0 else 1 - FIRST) * joint
    return law.ravel()


@pytest.mark.parametrize("n", [2048, pytest.param(16_384, marks=pytest.mark.slow)])
def test_written_questions_leave_the_answers_their_exact_law(n):
    x = sloc.localize(jax.random.key(1), PROCESS, POPULATION, grid=GRID, n=n, localizer=woven(0, QUESTIONS))
    words = (x - np.array([0, 2, 0, 2])) @ [8, 4, 2, 1]
    assert_frequencies(np.bincount(words, minlength=16), enumerate_words())
    # The model's own questions would be even.
    assert abs((x[:, 0] == 0).mean() - 0.5) > 0.2


def test_grids_that_pass_a_written_step_are_refused():
    own, key = woven(0, QUESTIONS), jax.random.key(1)
    with pytest.raises(InvalidInput, match=r"grid = \[0, 2, 4\]: expected a grid through \[3, 1\] .*: the interwoven"):
        sloc.localize(key, PROCESS, POPULATION, grid=[0, 2, 4], n=4, localizer=own)
    with pytest.raises(InvalidInput, match=r"grid = \[0, 1, 3\]: expected a grid through \[3\] and a last time above"):
        sloc.samplers.localization_statistics(
            key, PROCESS, POPULATION, lambda y, t: t, grid=[0, 1, 3], n=4, localizer=own
        )
    with pytest.raises(InvalidInput, match=r"grid = \[0, 1, 2\]: expected a grid through \[3\]: "):
        sloc.forward_reverse(key, PROCESS, POPULATION, 0, [2, 4], n=4, localizer=own, grid=[0, 1, 2])
    with pytest.raises(InvalidInput, match=r"grid = \[0, 2, 3, 4\]: expected a grid through \[1\] "):
        interweave(own, kernel(0), 3, key=key, grid=[0, 2, 3, 4])


@pytest.mark.slow
def test_another_grid_that_has_the_written_steps_serves():
    # Down to 1 only: the last answer is a draw of finish, by the model.
    n = 4096
    x = sloc.localize(jax.random.key(2), PROCESS, POPULATION, grid=[1, 2, 3, 4], n=n, localizer=woven(0, QUESTIONS))
    words = (x - np.array([0, 2, 0, 2])) @ [8, 4, 2, 1]
    assert_frequencies(np.bincount(words, minlength=16), enumerate_words())
    # A run that starts at 2 does not pass the question at 3.
    labels, _ = sloc.forward_reverse(
        jax.random.key(3), PROCESS, POPULATION, 0, 2, n=64, localizer=woven(0, QUESTIONS), grid=[0, 1]
    )
    assert labels.shape == (64,)


def coins(letters, lean):
    """Return the exact sampler of two equally likely coins that lean a little, one to either side."""
    heads = np.stack([np.full(letters, 0.5 + lean), np.full(letters, 0.5 - lean)])
    return exact_localizer(Truncation(letters), ProductCategorical(np.stack([1 - heads, heads], -1)))


def write_one(key, y, s, t):
    """Write a one, as no coin does."""
    here = jnp.arange(y.values.shape[0]) == y.values.shape[0] - t
    return Revealed(jnp.where(here, 1, y.values), y.known | here)


# A written one moves a log posterior by |log(1 - 2 lean)|: by the tolerance where the lean is half of that.
@pytest.mark.parametrize(
    ("lean", "tolerance", "passes"),
    [
        (0.49e-3, 1e-3, True),
        (0.51e-3, 1e-3, False),
        (0.51e-3, 2e-3, True),
        (0.0, None, True),
        (1e-4, None, False),
    ],
)
def test_one_step_is_held_against_the_tolerance(lean, tolerance, passes):
    asked = {"at": 3, "key": jax.random.key(0), "grid": GRID, "n": 8, "tolerance": tolerance}
    if passes:
        interweave(coins(LENGTH, lean), write_one, **asked)
        return
    with pytest.raises(
        InvalidInput, match=r"^kernel = <function [\w.<>]+>: .*the step to t = 3 moves a log posterior by 0\.\d+ nats"
    ):
        interweave(coins(LENGTH, lean), write_one, **asked)


def test_small_steps_add_up():
    # Sixty of .004 nats or so each: from one half to .62 and .38, log(.38 / .5) = -.27.
    letters, asked = 61, {"key": jax.random.key(0), "grid": np.arange(62), "n": 8, "tolerance": 1e-2}
    with pytest.raises(InvalidInput, match=r"the alternative steps down to t = 0 move a log posterior by 0\.269 nats"):
        interweave(coins(letters, 2e-3), write_one, np.arange(60), **asked)


def slide(drift, key, y, s, t):
    """Keep what the first coordinate tells of its Gaussian, times ``1 + drift``, and draw the second anew."""
    return jnp.stack([y[0] * jnp.exp(s - t) * (1.0 + drift), jax.random.normal(key)])


@pytest.mark.parametrize(("drift", "passes"), [(0.0, True), (1e-3, False)])
def test_a_continuous_process(drift, passes):
    # With a^2 + sigma^2 = 1 the log odds are 2 a_t m y_t, so y_s = y_t a_t / a_s = y_t e^(s - t) tells what y_t told.
    pair = GaussianMixture([0.5, 0.5], [[1.5, 0.0], [-1.5, 0.0]])
    asked = {"key": jax.random.key(0), "grid": [0.25, 0.5, 1.0, 2.0], "n": 64}
    own, other = exact_localizer(OrnsteinUhlenbeck(), pair), jax.tree_util.Partial(slide, jnp.asarray(drift))
    if not passes:
        with pytest.raises(InvalidInput, match=r"the step to t = (0\.5|1) moves a log posterior by 0\.00\d+ nats"):
            interweave(own, other, [0.5, 1.0], **asked)
        return
    woven = interweave(own, other, [0.5, 1.0], **asked)
    with pytest.raises(InvalidInput, match=r"grid = \[0\.25, 1\.0, 2\.0\]: expected a grid through \[0\.5\] "):
        sloc.localize(jax.random.key(1), OrnsteinUhlenbeck(), pair, grid=[0.25, 1.0, 2.0], n=4, localizer=woven)


def test_a_kernel_that_tells_of_theta_is_refused():
    # Posterior of theta = 1 after question 0, answer 2, twice: .65, .292, .084; log(.084 / .292) = -1.25.
    with pytest.raises(InvalidInput, match=r"Assumption 1.*the step to t = 0 moves a log posterior by 1\.25 nats"):
        woven(1, [2, 0])


def test_an_impossible_observation_is_refused():
    with pytest.raises(InvalidInput, match=r"moves a log posterior by inf nats"):
        woven(2, QUESTIONS)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInput, match="at = 9: expected times of the grid below its last"):
        woven(0, 9)
    silent = Localizer(LOCALIZER.init, LOCALIZER.step, LOCALIZER.finish)
    with pytest.raises(ContractError, match="log_posterior = None"):
        interweave(silent, kernel(0), at=3, key=jax.random.key(0), grid=GRID)
