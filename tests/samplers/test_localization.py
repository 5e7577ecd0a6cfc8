"""Samples and trajectories of the exact localizer have the laws they should; nothing is computed unasked."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput
from sloc.populations import Empirical, GaussianMixture, MarkovChains, ProductCategorical
from sloc.processes import BinarySymmetric, Masking, OrnsteinUhlenbeck, Truncation, VarianceExploding
from sloc.samplers import Localizer, LocalizerInfo, LocalizerState, localization_statistics
from sloc.testing import assert_same_law
from tests.samplers.laws import FALSE_ALARM, assert_frequencies, forward

ROWS = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]])
CHAINS = MarkovChains([[0.5, 0.5], [0.8, 0.2]], ROWS, 4, [0.3, 0.7])
MIXTURE = GaussianMixture([0.3, 0.6, 0.1], [[0.0, 2.0], [1.5, -0.5], [0.0, 1.0]], 0.8)
GRID, OU = [0.2, 0.5, 0.9, 1.6], OrnsteinUhlenbeck()
N = 20_480


def test_trajectories_have_the_law_of_the_forward_process():
    found = sloc.localize(jax.random.key(0), OU, MIXTURE, grid=GRID, n=N, trajectories=True, at=[0.2, 0.9])
    assert found.samples.shape == (N, 2)
    assert found.observations.shape == (N, 2, 2)
    np.testing.assert_array_equal(found.times, np.float32([0.2, 0.9]))

    @jax.jit
    def draw(keys, x):
        early = jax.vmap(OU.sample, (0, 0, None))(keys[:, 0], x, jnp.float32(0.2))
        return early, jax.vmap(OU.degrade, (0, 0, None, None))(keys[:, 1], early, jnp.float32(0.2), jnp.float32(0.9))

    x = forward(jax.random.key(1), OU, MIXTURE.canonical(), jnp.float32(1), N)[1]
    early, late = draw(jax.vmap(jax.random.split)(jax.random.split(jax.random.key(2), N)), x)
    want = np.concatenate([x, early, late], axis=1)
    seen = np.concatenate([found.samples, found.observations.reshape(N, 4)], axis=1)
    columns = [np.concatenate([v, (v[:, :, None] * v[:, None, :]).reshape(N, -1)], axis=1) for v in (seen, want)]
    assert_same_law(*columns, false_alarm=FALSE_ALARM, what="trajectories")


def word_law() -> np.ndarray:
    """Exact masses of the 16 words of four bits under the mixture of chains."""
    initial, law = np.asarray(CHAINS.initial), np.zeros(16)
    for i, word in enumerate(np.ndindex(2, 2, 2, 2)):
        for k, w in enumerate(CHAINS.weights):
            p = w * initial[k, word[0]]
            for a, b in itertools.pairwise(word):
                p *= ROWS[k, a, b]
            law[i] += p
    return law


@pytest.mark.parametrize(
    ("process", "grid"),
    [
        pytest.param(Truncation(4), [0, 1, 3, 4], marks=pytest.mark.slow),
        pytest.param(Masking(), [0.3, 0.6, 1.0], marks=pytest.mark.slow),
        pytest.param(BinarySymmetric(), [0.1, 0.2, 0.45], marks=pytest.mark.slow),
    ],
    ids=["truncation", "masking", "flips"],
)
def test_words_have_the_exact_law(process, grid):
    x = sloc.localize(jax.random.key(3), process, CHAINS, grid=grid, n=N)
    assert x.dtype == np.int32
    assert_frequencies(np.bincount(x @ [8, 4, 2, 1], minlength=16), word_law())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "population", "grid"),
    [
        (
            VarianceExploding(),
            Empirical(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 3),
            [0.05, 1.0, 5.0],
        ),
        (Masking(), ProductCategorical(np.random.default_rng(1).dirichlet([1, 1, 1], (2, 3))), [0.2, 0.7, 1.0]),
        (BinarySymmetric(), Empirical(np.random.default_rng(2).integers(0, 2, (9, 4)), np.arange(9) % 2), [0.1, 0.4]),
    ],
    ids=["atoms in noise", "masked letters", "flipped atoms"],
)
def test_samples_have_the_law_of_the_population(process, population, grid):
    x = sloc.localize(jax.random.key(4), process, population, grid=grid, n=N)
    want = np.asarray(forward(jax.random.key(5), process, population.canonical(), jnp.float32(grid[0]), N)[1])
    columns = [np.concatenate([v, (v[:, :, None] * v[:, None, :]).reshape(N, -1)], axis=1) for v in (x, want)]
    assert_same_law(*columns, false_alarm=FALSE_ALARM)


CALLS = []


def counted_square(y, t):
    """Square the observation, and note on the host that this ran."""
    jax.debug.callback(lambda t: CALLS.append(float(t)), t)
    return square(y, t)


def square(y, t):
    """Square the observation."""
    return {"square": jnp.sum(y**2), "time": t}


def one(key, t, y=None):
    """Start at one."""
    return LocalizerState(jnp.ones(2) if y is None else y, t, jnp.zeros(()))


def halve(key, state, s):
    """Halve, and count the steps."""
    return LocalizerState(state.y / 2, s, state.memory + 1), LocalizerInfo(state.y)


PLAIN = Localizer(one, halve, lambda key, state: (state.y, state.memory))


def test_statistics_are_evaluated_at_the_requested_times_only():
    CALLS.clear()
    found = localization_statistics(
        jax.random.key(6),
        OU,
        MIXTURE,
        counted_square,
        grid=GRID,
        n=1_000,
        at=[0.5, 1.6],
        localizer=PLAIN,
        plan=sloc.Plan(block=1024),
    )
    jax.effects_barrier()
    assert found.n == 1_024
    assert {round(t, 5) for t in CALLS} == {0.5, 1.6}
    np.testing.assert_allclose(found.mean["time"], [0.5, 1.6], rtol=1e-6)
    np.testing.assert_allclose(found.mean["square"], [2 / 16, 2.0], rtol=1e-6)
    np.testing.assert_allclose(found.stderr["square"], [0, 0], atol=1e-9)


@pytest.mark.slow
def test_statistics_of_the_exact_localizer():
    found = localization_statistics(jax.random.key(6), OU, MIXTURE, square, grid=GRID, n=N, at=[0.5, 1.6])
    a, v = np.exp(-2 * np.array([0.5, 1.6])), 1 - np.exp(-2 * np.array([0.5, 1.6]))
    second = 0.3 * 4.0 + 0.6 * (2.25 + 0.25) + 0.1 * 1.0 + 2 * 0.8
    # 6.5 standard errors: 2e-10 for two means of 20,480 squares.
    assert (np.abs(found.mean["square"] - (a * second + 2 * v)) <= 6.5 * found.stderr["square"]).all()


def test_a_localizer_of_plain_functions_runs_and_keeps_its_memory():
    y, steps = sloc.localize(jax.random.key(0), OU, MIXTURE, grid=GRID, n=3, localizer=PLAIN)
    np.testing.assert_array_equal(y, np.full((3, 2), 0.125))
    np.testing.assert_array_equal(steps, np.full(3, 3.0))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"grid": [0.5, 0.2]}, r"grid = \[0.5, 0.2\]: expected times strictly increasing"),
        ({"grid": GRID, "at": [0.2]}, "at = .*trajectories=True"),
        ({"grid": GRID, "trajectories": True, "at": [0.3]}, r"at = \[0.3\]: expected times of the grid"),
        ({"grid": []}, "grid = .*non-empty"),
        ({"grid": GRID, "n": 0}, "n = 0: expected a whole number, at least 1"),
    ],
)
def test_bad_input_is_refused(keywords, message):
    with pytest.raises(InvalidInput, match=message):
        sloc.localize(jax.random.key(0), OU, MIXTURE, **keywords)


TOPOLOGY = """
import json, jax, numpy as np, sloc
from sloc.samplers import label_frequencies
from sloc.populations import GaussianMixture
mixture = GaussianMixture([.2, .5, .3], [[0., 1.], [1., 0.], [-1., -1.]], .5)
ou, key, out = sloc.processes.OrnsteinUhlenbeck(), jax.random.key(3), []
for devices in (1, 4):
    labels, x = sloc.forward_reverse(key, ou, mixture, 0, [.2, .8], n=9000, plan=sloc.Plan(devices=devices))
    curve = label_frequencies(key, ou, mixture, 0, [.2, .8], n=9000, plan=sloc.Plan(devices=devices))
    y = sloc.localize(key, ou, mixture, grid=[.2, .8], n=9000, plan=sloc.Plan(devices=devices))
    out.append([labels.sum(), curve.value.tolist(), x.mean(), y.mean(), y[7000].tolist(), x[1, 8999].tolist()])
print(json.dumps(out, default=float))
"""


@pytest.mark.slow
def test_one_answer_on_any_number_of_devices():
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4",
    }
    done = subprocess.run([sys.executable, "-c", TOPOLOGY], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    one, four = json.loads(done.stdout.splitlines()[-1])
    assert one[0] == four[0]
    for a, b in zip(one[1:], four[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
