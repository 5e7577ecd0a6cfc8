"""Posteriors of windows: edges of draws, one compile, statuses, merge heights, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

import sloc
from sloc.bayes import merge_posterior, window_posterior
from sloc.bayes.pushing import compiles
from sloc.results.status import STATUSES, status_name
from sloc.windows.edge_codes import edges_from_curves
from sloc.windows.edges import edge_on_grid

OU = sloc.processes.OrnsteinUhlenbeck()
NOISE_RATIO = float(stats.f.isf(1e-10, 399, 400))
"""Ratio of two estimates of one variance from 400 draws, exceeded either way with probability 1e-10: about 1.9."""
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


@pytest.mark.slow
def test_sampled_draws_agree_and_noise_is_told_apart():
    mixtures = stacked(2, 400)
    exact = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1)
    found = window_posterior(jax.random.key(0), OU, mixtures, 0, [0, 1], epsilon=0.1, method="monte-carlo")
    for name in ("after", "before"):
        truth, edge = getattr(exact, name).draws, getattr(found, name)
        error = edge.draws - truth
        # 400 independent errors: their mean within 7 standard errors (false alarm below 1e-10) plus interpolation.
        assert abs(error.mean()) < 7 * error.std() / 20 + 2e-3
        # The noise claimed is the noise made.
        assert 1 / NOISE_RATIO < error.var(ddof=1) / edge.numeric_variance < NOISE_RATIO
        # And the data's part is what exact edges vary by: seven standard errors of a difference of two variances.
        noise = error.var(ddof=1)
        sd = np.sqrt((4 * truth.var() * noise + 4 * noise**2) / 400)
        assert abs(edge.data_variance - truth.var(ddof=1)) < 7 * sd
        share = truth.var() / (truth.var() + noise)
        assert edge.data_share == pytest.approx(share, abs=7 * sd / (truth.var() + noise) + 0.05)


def test_one_compile_for_any_draws():
    before = compiles()
    for seed in range(3):
        mixtures = stacked(2, 33, seed=seed)
        window_posterior(jax.random.key(seed), OU, mixtures, 0, [0, 1], epsilon=0.1 + 0.01 * seed)
    assert compiles() == before + 1


def test_trees_of_any_draws_take_one_compile():
    before = compiles()
    for seed in range(3):
        # A number of draws that no other test has, so that the first of these compiles.
        mixtures = stacked(3, 35, seed=seed)
        merge_posterior(jax.random.key(seed), OU, mixtures, epsilon=0.1 + 0.01 * seed)
    assert compiles() == before + 1


@pytest.mark.parametrize(("after", "before"), [([0], [0, 1]), pytest.param([0, 1], [0, 1, 2], marks=pytest.mark.slow)])
def test_sampled_edges_are_those_of_quadrature(after, before):
    # Three Gaussians of their own variances on a line; the same mixture 400 times, so that all spread is noise.
    w, m, v = np.array([0.2, 0.3, 0.5]), np.array([0.0, 2.5, 9.0]), np.array([0.5, 1.0, 0.8])
    stack = sloc.populations.GaussianMixture(
        np.tile(w, (400, 1)), np.tile(m[:, None], (400, 1, 1)), np.tile(v[:, None, None], (400, 1, 1, 1))
    )
    found = window_posterior(jax.random.key(0), OU, stack, after, before, epsilon=0.3, n=8192, draws=400)
    assert found.method.startswith("monte carlo")
    assert found.n >= 8192 - 2 * 8
    y = np.linspace(-12, 20, 40_001)

    def tv(t, a, b):
        sd = np.sqrt(np.exp(-2 * t) * v - np.expm1(-2 * t))
        dens = w[:, None] * stats.norm(np.exp(-t) * m[:, None], sd[:, None]).pdf(y[None])
        first, second = (dens[list(s)].sum(axis=0) / w[list(s)].sum() for s in (a, b))
        return 0.5 * integrate.trapezoid(np.abs(first - second), y)

    rest = [i for i in range(3) if i not in after]
    t_after = optimize.brentq(lambda t: tv(t, after, rest) - (1 - 0.3**2), 1e-4, 8)
    t_before = optimize.brentq(lambda t: tv(t, after, before) - 0.3, 1e-4, 8)
    for edge, truth in ((found.after, t_after), (found.before, t_before)):
        # 400 independent errors: their mean within 7 standard errors (false alarm below 1e-10), plus interpolation.
        assert abs(edge.draws.mean() - truth) < 7 * edge.draws.std() / 20 + 4e-3
        assert edge.draws.std() < 0.05
        # None of the spread is the data's: the noise claimed is all there is, no more and no less.
        assert 1 / NOISE_RATIO < edge.draws.var(ddof=1) / edge.numeric_variance < NOISE_RATIO
        assert edge.data_share < 1 - 1 / NOISE_RATIO
    table = found.to_dataframe()
    assert table["edge"].tolist() == ["T_after", "T_before"]


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


def test_each_draw_has_the_tree_of_mixture_tree():
    # Four classes, near each other by twos and threes, so that complete and single linkage give different trees.
    rng = np.random.default_rng(3)
    means = np.array([0.0, 3.0, 6.5, 10.5])[None, :, None] + 0.4 * rng.normal(size=(16, 4, 1))
    stack = sloc.populations.GaussianMixture(np.full((16, 4), 0.25), means, np.ones(16), names=("a", "b", "c", "d"))
    found = merge_posterior(jax.random.key(0), OU, stack, epsilon=0.1)
    assert found.n == 0
    clusters: dict[tuple[str, ...], int] = {}
    for s in range(16):
        one = jax.tree.map(lambda v, s=s: v[s], stack)
        nodes = sloc.mixture_tree(jax.random.key(0), OU, one, epsilon=0.1, method="closed-form").nodes[4:]
        # Interpolation on 64 times costs this much.
        heights = sorted(node.noise_amount for node in nodes)
        np.testing.assert_allclose([h.draws[s] for h in found.heights], heights, atol=4e-3)
        np.testing.assert_allclose(found.linkage[s, :, 2], heights, atol=4e-3)
        for node in nodes[:-1]:
            name = tuple("abcd"[i] for i in node.members)
            clusters[name] = clusters.get(name, 0) + 1
    assert found.clusters == {name: count / 16 for name, count in clusters.items()}
    assert len(found.clusters) > 2
    assert len(found.to_dataframe()) == 6 + 3
    assert found.to_xarray()["height"].sel(edge="a with b").shape == (16,)


@pytest.mark.slow
def test_sampled_trees_agree_with_exact_ones():
    stack = stacked(3, 40, spread=0.01)
    exact = merge_posterior(jax.random.key(0), OU, stack, epsilon=0.1)
    found = merge_posterior(jax.random.key(0), OU, stack, epsilon=0.1, method="monte-carlo")
    for edge, truth in zip(
        [*found.pairs.values(), *found.heights], [*exact.pairs.values(), *exact.heights], strict=True
    ):
        error = edge.draws - truth.draws
        # 40 independent errors: their mean within 7 standard errors (false alarm below 1e-9), and half a percent of
        # bias: the larger of two noisy times is too large on average.
        assert abs(error.mean()) < 7 * error.std() / np.sqrt(40) + 0.02
        assert edge.numeric_variance > 0


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
    shared = sloc.populations.GaussianMixture(mixtures.weights, mixtures.means, np.eye(2))
    with pytest.raises(sloc.InvalidInput, match=r"posterior\.covariances = \(2, 2\): expected a first axis of 4 draws"):
        merge_posterior(key, OU, shared, epsilon=0.1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Diffused(sloc.processes.OrnsteinUhlenbeck):
    """The same process under words of its own."""

    @property
    def time_axis(self):
        """Words for an axis."""
        return "hours"


def test_pictures_say_what_their_times_are():
    pytest.importorskip("matplotlib")
    key, mixtures = jax.random.key(0), stacked(2, 4)
    for process, says in ((Diffused(), "hours"), (OU, OU.time_axis)):
        window = window_posterior(key, process, mixtures, 0, [0, 1], epsilon=0.1)
        merges = merge_posterior(key, process, mixtures, epsilon=0.1)
        assert [posterior.plot().get_xlabel() for posterior in (window, merges)] == [says, says]


def rejected(ranks):
    """Whether ranks speak against calibration, at 2.5e-9 for coverage and for uniformity."""
    inside = int(((ranks > 0.05) & (ranks < 0.95)).sum())
    return stats.binom.cdf(inside, len(ranks), 0.9) < 2.5e-9 or stats.kstest(ranks, "uniform").pvalue < 2.5e-9


@pytest.mark.slow
def test_credible_intervals_are_calibrated():
    from benchmarks.nightly_bayes import LEVEL, calibrate, reference

    assert LEVEL == 0.9
    found, other = calibrate(60), reference(60)
    assert found.refused <= 6
    # Two edges, two tests each, 2.5e-9 apiece: false alarm 1e-8 in all.
    assert not any(rejected(found.ranks[:, e]) for e in range(2))
    # An independent sampler of the same posteriors: the difference of ranks has sd 0.02, so its mean over 60 data
    # sets is within 7 standard errors (false alarm below 1e-10).
    gap = found.smooth - other.smooth[found.index]
    assert (gap.std(axis=0) < 0.05).all()
    assert (np.abs(gap.mean(axis=0)) < 7 * gap.std(axis=0) / np.sqrt(len(gap))).all()
    # The test can fail: draws moved in time are found out.
    assert rejected(found.moved[:, 1])
