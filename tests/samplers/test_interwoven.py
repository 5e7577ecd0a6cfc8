"""Interwoven kernels: in-context learning in four letters, with its exact law by enumeration."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput, Revealed
from sloc.populations import MarkovChains
from sloc.processes import Truncation
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


@pytest.mark.slow
def test_written_questions_leave_the_answers_their_exact_law():
    n = 16_384
    x = sloc.localize(jax.random.key(1), PROCESS, POPULATION, grid=GRID, n=n, localizer=woven(0, QUESTIONS))
    words = (x - np.array([0, 2, 0, 2])) @ [8, 4, 2, 1]
    assert_frequencies(np.bincount(words, minlength=16), enumerate_words())
    # The model's own questions would be even.
    assert abs((x[:, 0] == 0).mean() - 0.5) > 0.2


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
