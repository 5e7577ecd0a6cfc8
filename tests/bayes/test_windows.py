"""Posteriors of windows: edges of draws, one compile, statuses, merge heights, calibration."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import sloc
from sloc.bayes import merge_posterior, window_posterior
from sloc.bayes import window_draws as code
from sloc.results.status import STATUSES, status_name
from sloc.windows.edge_codes import edges_from_curves
from sloc.windows.edges import edge_on_grid

OU = sloc.processes.OrnsteinUhlenbeck()
CENTRES = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])


def stacked(k, draws, per_component=False, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    means = CENTRES[:k] + spread * rng.normal(size=(draws, k, 2))
    weights = rng.dirichlet(np.full(k, 100.0), size=draws)
    shape = (draws, k, 1, 1) if per_component else (draws,)
    scale = np.exp(0.05 * rng.normal(size=shape))
    return sloc.populations.GaussianMixture(weights, means, scale * np.eye(2) if per_component else scale)


@pytest.mark.parametrize("side", ["first", "last"])
@pytest.mark.parametrize("discrete", [False, True])
def test_codes_agree_with_the_host(side, discrete):
    rng = np.random.default_rng(0)
    grids = [np.arange(6.0), np.arange(1.0, 7.0)]
    core = jax.jit(lambda t, q, c: edges_from_curves(t, q, c, side, discrete=discrete))
    for i in range(60):
        times = grids[i % 2]
        curve = np.sort(rng.integers(0, 9, 6) / 8)[::-1]
        c = rng.integers(0, 9) / 8
        value, found = core(jnp.asarray(times), jnp.asarray(curve.copy()), jnp.asarray(c))
        host = edge_on_grid(times, curve, curve, curve, c, side, discrete=discrete)
        assert status_name(int(found)) == host.status
        if host.value is not None:
            assert float(value) == pytest.approx(host.value, abs=1e-6)
        assert np.isfinite(float(value))


def test_each_draw_has_its_own_exact_window():
    mixtures = stacked(2, 6)
    found = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1)
    assert found.n == 0
    for s in range(6):
        one = jax.tree.map(lambda v, s=s: v[s], mixtures)
        exact = sloc.critical_window(jax.random.key(0), OU, one, 0, [0, 1], epsilon=0.1)
        # Interpolation on 64 times costs this much.
        assert found.after.draws[s] == pytest.approx(exact.t_after, abs=4e-3)
        assert found.before.draws[s] == pytest.approx(exact.t_before, abs=4e-3)
    assert found.after.data_share == 1.0


def test_sampled_draws_agree_and_noise_is_told_apart():
    mixtures = stacked(2, 64)
    exact = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1)
    found = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1, method="monte-carlo")
    for name in ("after", "before"):
        truth, edge = getattr(exact, name), getattr(found, name)
        error = edge.draws - truth.draws
        # 64 independent errors: their mean within 7 standard errors (false alarm below 1e-10) plus interpolation.
        assert abs(error.mean()) < 7 * error.std() / 8 + 2e-3
        # The noise claimed is the noise made: a ratio of variances with about 64 degrees of freedom each.
        assert 0.25 < edge.numeric_variance / error.var() < 4.0
        assert 0.0 < edge.data_share < 1.0


def test_one_compile_for_any_draws():
    before = code._compiles()
    for seed in range(3):
        mixtures = stacked(2, 33, seed=seed)
        window_posterior(jax.random.key(seed), OU, mixtures, 0, [0, 1], epsilon=0.1 + 0.01 * seed)
    assert code._compiles() == before + 1


def test_a_covariance_each_in_three_dimensions_of_sets():
    found = window_posterior(
        jax.random.key(0), OU, stacked(3, 8, per_component=True), 0, [0, 1, 2], epsilon=0.2, n=2048
    )
    assert found.method.startswith("monte carlo")
    assert found.after.status_probs == {"resolved": 1.0}
    low, high = found.before.interval
    assert low < found.before.median < high


def test_statuses_have_probabilities():
    rng = np.random.default_rng(0)
    draws = 200
    gaps = np.where(np.arange(draws) < 50, 0.5, 8.0) + 0.01 * rng.normal(size=draws)
    means = np.stack([gaps / 2, -gaps / 2], axis=1)[:, :, None]
    mixtures = sloc.populations.GaussianMixture(np.full((draws, 2), 0.5), means, np.ones(draws))
    found = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1, times=np.linspace(0, 4, 64))
    # Half a standard deviation apart they are never told apart, and T_after does not exist.
    assert found.after.status_probs == {"resolved": 0.75, "empty": 0.25}
    assert found.after.median == pytest.approx(0.44, abs=0.02)
    table = found.to_dataframe()
    assert table.loc[0, "P(empty)"] == 0.25
    assert found.to_xarray()["t_after"].shape == (draws,)
    censored = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1, times=np.linspace(0, 1, 16))
    assert STATUSES[censored.before.codes[-1]] == "above_grid"
    assert censored.before.quantile(0.9) is None


def test_merge_heights_follow_the_tree():
    found = merge_posterior(jax.random.key(0), OU, stacked(3, 40, spread=0.01), epsilon=0.1)
    names = {pair: edge.median for pair, edge in found.pairs.items()}
    assert names["0", "1"] > names["0", "2"] == pytest.approx(names["1", "2"], abs=0.02)
    # 0 joins 2 and 2 joins 1 before 0 and 1 would by themselves: single linkage never uses the longest side.
    assert found.heights[1].median == pytest.approx(max(names["0", "2"], names["1", "2"]), abs=0.02)
    np.testing.assert_allclose(
        found.linkage[:, 0, 1], np.maximum(found.pairs["0", "2"].draws, found.pairs["1", "2"].draws), atol=1e-6
    )
    assert len(found.to_dataframe()) == 5


def test_refuses_bad_input():
    key, mixtures = jax.random.key(0), stacked(3, 4)
    with pytest.raises(sloc.InvalidInput, match="a part of before"):
        window_posterior(key, OU, mixtures, [0, 2], [0, 1], epsilon=0.1)
    with pytest.raises(sloc.InvalidInput, match="epsilon"):
        window_posterior(key, OU, mixtures, 0, [0, 1], epsilon=1.0)
    with pytest.raises(sloc.InvalidInput, match="level"):
        window_posterior(key, OU, mixtures, 0, [0, 1], epsilon=0.1, level=0.0)
    with pytest.raises(sloc.InvalidInput, match="stacked"):
        window_posterior(key, OU, jax.tree.map(lambda v: v[0], mixtures), 0, [0, 1], epsilon=0.1)
    with pytest.raises(sloc.InvalidInput, match="one covariance"):
        window_posterior(key, OU, stacked(3, 4, per_component=True), 0, [0, 1, 2], epsilon=0.1, method="closed-form")


def rejected(ranks):
    """Whether ranks speak against calibration, at 2.5e-9 for coverage and for uniformity."""
    inside = int(((ranks > 0.05) & (ranks < 0.95)).sum())
    return stats.binom.cdf(inside, len(ranks), 0.9) < 2.5e-9 or stats.kstest(ranks, "uniform").pvalue < 2.5e-9


@pytest.mark.slow
def test_credible_intervals_are_calibrated():
    from benchmarks.nightly_bayes import LEVEL, calibrate

    assert LEVEL == 0.9
    found = calibrate(60)
    assert found.refused <= 6
    # Two edges, two tests each, 2.5e-9 apiece: false alarm 1e-8 in all.
    assert not rejected(found.after)
    assert not rejected(found.before)
    # The test can fail: draws moved by one unit of time are found out.
    assert rejected(calibrate(60, shift=1.0).before)
