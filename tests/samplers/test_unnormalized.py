"""Unnormalised targets: the oracle against an exact posterior mean, weights of modes, bad input."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.processes import Masking, OrnsteinUhlenbeck, VarianceExploding
from sloc.samplers import Unnormalized, oracle, oracle_localizer
from sloc.samplers.oracle import OracleSettings
from tests.samplers.laws import assert_frequencies

DIM, VARIANCE, N = 3, 0.25, 2_048
AWAY = np.array([3.0, 3.0, 3.0])


def two_modes(log_weights, means, variances, x):
    """Log density of a Gaussian mixture, up to its constant."""
    gaps = jnp.sum((x[None, :] - means) ** 2, axis=1)
    return jax.nn.logsumexp(log_weights - 0.5 * gaps / variances - 0.5 * DIM * jnp.log(variances)) + 7.0


def target(weight=2 / 3, first=-AWAY, second=AWAY, variances=(VARIANCE, VARIANCE), **keywords):
    parameters = (np.log([weight, 1 - weight]), np.stack([first, second]), np.array(variances))
    log_density = Partial(two_modes, *(jnp.asarray(p, jnp.float32) for p in parameters))
    return Unnormalized(log_density, DIM, **({"radius": 5.0, "width": 0.5} | keywords))


ONE = target(0.5, np.ones(DIM), np.ones(DIM))


def test_posterior_mean_of_a_gaussian():
    process, n = OrnsteinUhlenbeck(), 2_048
    localizer = oracle_localizer(process, ONE, chains=4, mcmc_steps=4, warm_steps=8, ascent_steps=8)
    y, t = jnp.array([2.0, 0.0, -1.0]), jnp.float32(0.7)
    found = jax.jit(jax.vmap(lambda key: localizer.init(key, t, y).memory.mean))(jax.random.split(jax.random.key(0), n))
    found, (a, sigma) = np.asarray(found, np.float64), process.coefficients(0.7)
    exact = 1 + a * VARIANCE / (a**2 * VARIANCE + sigma**2) * (np.asarray(y) - a)
    # 6.5 standard errors on three means of independent draws: 3e-10 in all.
    assert (np.abs(found.mean(0) - exact) <= 6.5 * found.std(0, ddof=1) / np.sqrt(n)).all()
    # Chains that do not move would give the mode.
    assert np.abs(exact - 1).min() > 0.05


@pytest.fixture(scope="module")
def draw():
    """Draw from a target; the settings are common, so that all of them share one compilation."""

    def call(of, seed):
        process = VarianceExploding()
        localizer = oracle_localizer(process, of, chains=16, mcmc_steps=3)
        return sloc.localize(jax.random.key(seed), process, of, grid=of.grid(process, 12), n=N, localizer=localizer)

    return call


@pytest.mark.nightly
def test_samples_of_a_gaussian(draw):
    x = draw(ONE, 1)
    # Each draw is one chain of its own run: 6.5 standard errors on three means and three variances, 5e-10 in all, and
    # 0.03 of the variance for the short chains.
    assert (np.abs(x.mean(0) - 1) <= 6.5 * np.sqrt(VARIANCE / N)).all()
    assert (np.abs(x.var(0, ddof=1) / VARIANCE - 1) <= 6.5 * np.sqrt(2 / N) + 0.03).all()


@pytest.mark.parametrize("weight", [pytest.param(w, marks=pytest.mark.nightly) for w in (2 / 3, 0.2)])
def test_weight_of_two_modes(draw, weight):
    x = draw(target(weight), 2)
    near = x.sum(axis=1) < 0
    # Independent draws: false alarm 1e-9 each. That no chain of 16 finds a mode has probability 3e-5.
    assert_frequencies([near.sum(), (~near).sum()], [weight, 1 - weight])
    # Seven standard deviations of the widest of six means: 1e-10.
    for part, mean in ((near, -AWAY), (~near, AWAY)):
        assert (np.abs(x[part].mean(0) - mean) <= 7 * np.sqrt(VARIANCE / part.sum())).all()


@pytest.mark.slow
def test_weight_of_two_modes_with_few_draws():
    # A reduced form of what runs at night: one target, a quarter of the draws, fewer chains and steps.
    process, of, n = VarianceExploding(), target(2 / 3), 512
    localizer = oracle_localizer(process, of, chains=8, mcmc_steps=2, warm_steps=8, ascent_steps=8)
    x = sloc.localize(jax.random.key(5), process, of, grid=of.grid(process, 10), n=n, localizer=localizer)
    near = x.sum(axis=1) < 0
    # Binomial at 1e-9.  That no chain of 8 finds a mode has probability 1 / 128 a draw, which costs less than 0.01 of
    # the weight; nothing else is allowed for.
    share, error = near.mean(), np.sqrt(2 / 9 / n)
    assert abs(share - 2 / 3) <= 6.2 * error + 0.01
    # Even shares, which is what modes keep without weights, are refused too: 6 standard errors from 2 / 3, 1e-9.
    assert share > 0.5 + 2 * error
    for part, mean in ((near, -AWAY), (~near, AWAY)):
        assert (np.abs(x[part].mean(0) - mean) <= 7 * np.sqrt(VARIANCE / part.sum()) + 0.02).all()


@pytest.mark.nightly
def test_weights_of_modes_of_unlike_width(draw):
    x = draw(target(0.5, variances=(0.25, 0.5)), 3)
    near = x.sum(axis=1) < 0
    assert_frequencies([near.sum(), (~near).sum()], [0.5, 0.5])


@pytest.mark.nightly
def test_without_jumps_far_modes_keep_their_shares():
    process, of = VarianceExploding(), target(0.2)
    localizer = oracle_localizer(process, of, jumps=False)
    x = sloc.localize(jax.random.key(4), process, of, grid=of.grid(process, 12), n=N, localizer=localizer)
    # By symmetry the shares are even whatever the weights: the limit that the documentation names. 1e-9.
    assert abs(np.mean(x.sum(axis=1) < 0) - 0.5) <= 0.05


@pytest.mark.nightly
@pytest.mark.parametrize("jumps", [True, False])
def test_evaluations_are_counted(jumps, monkeypatch):
    seen = []

    def counted(x):
        jax.debug.callback(lambda: seen.append(1))
        return -0.5 * jnp.sum(x * x)

    # Validation, which evaluates too, is no part of the count.
    monkeypatch.setattr(Unnormalized, "validate", lambda self: None)
    of, process = Unnormalized(counted, 2, radius=2.0), VarianceExploding()
    localizer = oracle_localizer(process, of, chains=2, mcmc_steps=3, warm_steps=2, ascent_steps=4, jumps=jumps)
    state = localizer.init(jax.random.key(0), jnp.float32(2.0))
    state, _ = localizer.step(jax.random.key(1), state, jnp.float32(1.0))
    jax.block_until_ready(localizer.finish(jax.random.key(2), state))
    jax.effects_barrier()
    # A callback that takes nothing runs once for both chains.
    assert 2 * len(seen) == OracleSettings(2, 3, 2, 4, jumps).evaluations(2)


GOOD = {"log_density": lambda x: -jnp.sum(x * x), "dim": 2, "radius": 1.0}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"log_density": 3.0}, r"log_density = 3.0: expected a function"),
        ({"log_density": lambda x: -(x**2)}, r"log_density\(x \[2\]\) = .*expected a floating scalar"),
        ({"log_density": lambda x: jnp.sum(x) > 0}, r"log_density\(x \[2\]\) = .*expected a floating scalar"),
        ({"log_density": lambda x: jnp.log(-1 - jnp.sum(x * x))}, r"log_density\(centre\) = nan: expected a finite"),
        ({"log_density": lambda x: jnp.sqrt(jnp.sum(x))}, r"gradient of log_density\(centre\) = .*expected finite"),
        ({"dim": 0}, "dim = 0: expected a whole number, at least 1"),
        ({"dim": 1.5}, "dim = 1.5: expected a whole number, at least 1"),
        ({"radius": 0.0}, "radius = 0.0: expected a positive finite number"),
        ({"radius": "far"}, "radius = 'far': expected a positive finite number"),
        ({"width": 2.0}, "width = 2.0: expected at most radius, 1"),
        ({"centre": [1.0, 2.0, 3.0]}, r"centre = .*expected a number or an array of shape \[2\]"),
        ({"centre": np.nan}, "centre = nan: expected finite numbers"),
    ],
)
def test_bad_targets_are_refused(keywords, message):
    with pytest.raises(InvalidInput, match=message):
        oracle_localizer(VarianceExploding(), Unnormalized(**(GOOD | keywords)))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"chains": 0}, "chains = 0: expected a whole number, at least 1"),
        ({"mcmc_steps": 0}, "mcmc_steps = 0: expected a whole number, at least 1"),
        ({"warm_steps": -1}, "warm_steps = -1: expected a whole number, at least 0"),
        ({"ascent_steps": 2.5}, "ascent_steps = 2.5: expected a whole number"),
        ({"jumps": 1}, "jumps = 1: expected True or False"),
    ],
)
def test_bad_settings_are_refused(keywords, message):
    with pytest.raises(InvalidInput, match=message):
        oracle_localizer(VarianceExploding(), ONE, **keywords)


def test_bad_grids_models_and_a_missing_library_are_refused(monkeypatch):
    process = VarianceExploding()
    localizer = oracle_localizer(process, ONE)
    with pytest.raises(InvalidInput, match=r"grid = .*strictly increasing"):
        sloc.localize(jax.random.key(0), process, ONE, grid=[2.0, 1.0], localizer=localizer)
    with pytest.raises(InvalidInput, match="n = 0: expected at least one time"):
        ONE.grid(process, 0)
    with pytest.raises(ContractError, match="expects a GaussianChannel"):
        oracle_localizer(Masking(), ONE)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"target = .*Unnormalized"):
        oracle_localizer(process, sloc.populations.GaussianMixture([1.0], [[0.0]]))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match="Unnormalized does not define posterior_sample"):
        sloc.localize(jax.random.key(0), process, ONE, grid=3)

    oracle.mala_kernel.cache_clear()
    monkeypatch.setitem(sys.modules, "blackjax.mcmc.mala", None)
    with pytest.raises(InvalidInput, match=r"needs blackjax, .*sloc\[mcmc\]"):
        oracle_localizer(process, ONE)
    monkeypatch.undo()
    oracle.mala_kernel.cache_clear()


def test_grid_is_even_in_log_snr():
    times = target().grid(VarianceExploding(), 5)
    np.testing.assert_allclose(np.diff(np.log(times)), np.log(10) / 4, rtol=1e-12)
    np.testing.assert_allclose(times[[0, -1]], [0.5, 5.0])
