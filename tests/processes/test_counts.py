"""The Poisson process: SciPy's masses, thinning, the bridge, large counts, atoms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, poisson

import sloc
from sloc.contracts import InvalidInput
from sloc.processes import Poisson, log_snr

P = Poisson()
sample, degrade, bridge = jax.jit(P.sample), jax.jit(P.degrade), jax.jit(P.bridge)
log_masses = jax.jit(jax.vmap(Poisson.log_prob, (None, 0, None, None)))


@pytest.mark.parametrize("rate", [0.03, 2.0, 40.0, 3e4, 5e7])
def test_log_mass_against_scipy(rate):
    counts = np.round(rate + np.sqrt(rate) * np.linspace(-3, 4, 9)).clip(0).astype(np.int32)
    x = np.float32(rate * 0.25)
    found = log_masses(P, jnp.asarray(counts)[:, None], jnp.asarray([x]), jnp.float32(0.25))
    exact = poisson.logpmf(counts.astype(np.float64), float(x) / 0.25)
    # float32 holds counts of 5e7 and their intensity to 6e-8, that is to 4e-4 standard deviations.
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=2e-5 + 3e-7 * np.sqrt(rate))


def test_log_mass_far_from_the_mean_and_at_zero():
    y = np.asarray([0, 3, 100, 0, 7, 2, 1, 500, 30], np.int32)
    for x in (0.25, 3.0, 350.0):
        found = log_masses(P, jnp.asarray(y)[:, None], jnp.asarray([x]), jnp.float32(0.5))
        np.testing.assert_allclose(found, poisson.logpmf(y, 2 * x), rtol=1e-5, atol=1e-6)
    found = log_masses(P, jnp.asarray(y)[:, None], jnp.zeros(1), jnp.float32(0.5))
    np.testing.assert_array_equal(found, np.where(y == 0, 0.0, -np.inf))


def same_law(counts, rate):
    """Return the chi-square p-value of counts against a Poisson law, tails pooled."""
    low, high = poisson.ppf([0.01, 0.99], rate).astype(int)
    cells = np.concatenate([poisson.pmf(np.arange(low, high + 1), rate), [0.0]])
    cells = np.append(cells[:-1], 1 - cells.sum())
    seen = np.bincount(np.where((counts >= low) & (counts <= high), counts - low, high - low + 1), minlength=cells.size)
    expected = counts.size * cells
    return chi2.sf(np.sum((seen - expected) ** 2 / expected), cells.size - 1)


def test_thinning_and_bridge_have_poisson_laws():
    # Seven chi-square tests at 1e-10 each, on 20,000 counts with at least 100 expected per cell.
    n, x, s, t = 20_000, 6.0, 0.5, 1.5
    full = jnp.full((n,), x)
    keys = jax.random.split(jax.random.key(3), 4)
    early = sample(keys[0], full, jnp.float32(s))
    late = degrade(keys[1], early, jnp.float32(s), jnp.float32(t))
    assert same_law(np.asarray(early), x / s) > 1e-10
    assert same_law(np.asarray(late), x / t) > 1e-10
    assert same_law(np.asarray(early - late), x / s - x / t) > 1e-10
    assert np.all(np.asarray(late) <= np.asarray(early))
    end = sample(keys[2], full, jnp.float32(t))
    back = bridge(keys[3], end, full, jnp.float32(s), jnp.float32(t))
    assert same_law(np.asarray(back), x / s) > 1e-10
    assert same_law(np.asarray(back - end), x / s - x / t) > 1e-10
    # What was thinned away does not depend on what was kept: correlation within 6.5 / sqrt(n) of 0.
    for kept, lost in ((late, early - late), (end, back - end)):
        assert abs(np.corrcoef(np.asarray(kept), np.asarray(lost))[0, 1]) < 6.5 / np.sqrt(n)


def test_no_time_passes_no_event_is_lost():
    y = jnp.arange(20_000, dtype=jnp.int32)
    np.testing.assert_array_equal(degrade(jax.random.key(0), y, jnp.float32(0.4), jnp.float32(0.4)), y)


def test_posterior_of_labelled_intensities():
    data, t, y = np.asarray([[1.0, 4.0], [2.0, 2.0], [5.0, 0.0]]), 0.5, np.asarray([3, 0])
    logs = poisson.logpmf(y[None], data / t).sum(1)
    expected = logs - np.log(np.exp(logs - logs.max()).sum()) - logs.max()
    found = sloc.posterior(P, sloc.populations.Empirical(data), jnp.asarray(y, jnp.int32), t)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_exposure_and_grid():
    assert P.exposure(0.25) == 4.0
    np.testing.assert_allclose(np.diff(np.log(P.grid(7))), np.log(1e6) / 6)
    np.testing.assert_allclose(P.grid(3, exposure=(4.0, 1.0)), [0.25, 0.5, 1.0])
    np.testing.assert_allclose(log_snr(P, [0.5, 2.0]), [np.log(2), -np.log(2)])
    with pytest.raises(InvalidInput, match="at least one time"):
        P.grid(0)
