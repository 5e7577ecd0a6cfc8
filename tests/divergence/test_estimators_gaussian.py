"""Estimators on Gaussian mixtures, closed forms switched off, against roots, quadrature and NumPy sampling.

False-alarm rate: every comparison is missed with probability at most 1e-10 by the band and about 8e-11 by the z-test;
fewer than 60 comparisons (curves) make 2e-8 in the worst case and 1e-8 in practice.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.populations import GaussianMixture
from sloc.processes import FlowMatching, OrnsteinUhlenbeck, VarianceExploding
from tests.oracles import channels, mixtures
from tests.oracles.compare import DELTA, assert_matches

N = 1 << 16
TIMES = np.array([0.1, 0.4, 0.8])
WEIGHTS, MEANS = [0.1, 0.2, 0.3, 0.4], [-2.0, 0.0, 0.7, 3.0]
OWN = [0.3, 1.0, 0.2, 0.5]
CHANNELS = [
    (OrnsteinUhlenbeck(), channels.ornstein_uhlenbeck),
    (VarianceExploding(), channels.variance_exploding),
    (FlowMatching(), channels.flow_matching),
]
SETS = {
    "single": (0, 1),
    "sets": ([0, 2], [1, 3]),
    "nested": (2, [1, 2, 3]),
    "nested down": ([0, 1, 2, 3], [0, 1]),
    "overlapping": ([0, 1], [1, 2]),
}


def all_statistics():
    named = {f"tv {k}": sloc.TV(*v) for k, v in SETS.items()}
    return named | {
        "information": sloc.Information(),
        "labels": sloc.Labels([0, 2]),
        "clones": sloc.Clones(),
        "clones from": sloc.Clones([1, 3]),
        "misassignment": sloc.Misassignment([1, 2]),
        "certificate": sloc.Certificate(1, [1, 2]),
        "own certificate": sloc.Certificate([0, 3], [0, 3]),
    }


def truth_of(name, line):
    if name.startswith("tv "):
        a, b = (np.atleast_1d(s).tolist() for s in SETS[name[3:]])
        return line.tv(a, b)
    return {
        "information": line.information,
        "labels": lambda: line.labels([0, 2]),
        "clones": lambda: line.clones(range(4)),
        "clones from": lambda: line.clones([1, 3]),
        "misassignment": lambda: line.misassignment([1, 2]),
        "certificate": lambda: line.certificate([1], [1, 2]),
        "own certificate": lambda: line.misassignment([0, 3]),
    }[name]()


@pytest.mark.parametrize(("channel", "own"), [(0, False), (0, True), (1, False), (2, True)])
def test_every_statistic_on_the_line(channel, own):
    process, coefficients = CHANNELS[channel]
    variances = OWN if own else 0.4
    cov = np.reshape(OWN, (4, 1, 1)) if own else 0.4
    population = GaussianMixture(WEIGHTS, np.reshape(MEANS, (4, 1)), cov)
    curves = sloc.measure(
        jax.random.key(7), process, population, TIMES, all_statistics(), n=N, delta=DELTA, method="monte-carlo"
    )
    lines = [mixtures.Line(WEIGHTS, MEANS, variances, *coefficients(t)) for t in TIMES]
    for name, curve in curves.items():
        assert_matches(curve, np.stack([truth_of(name, line) for line in lines]))


def covariances(kind, d, k):
    rng = np.random.default_rng(5)
    root = rng.normal(size=(k, d, d)) / np.sqrt(d)
    full = root @ np.swapaxes(root, 1, 2) + 0.2 * np.eye(d)
    return {"scalar": np.float64(0.5), "diagonal": rng.uniform(0.2, 1.5, d), "shared": full[0], "own": full}[kind]


@pytest.mark.parametrize(("kind", "d"), [("scalar", 2), ("scalar", 7), ("diagonal", 7), ("shared", 7), ("own", 7)])
def test_every_kind_of_covariance_in_several_dimensions(kind, d):
    # d = 7 > K - 1 = 2: the spherical mixture is projected, the others are not.
    k, rng = 3, np.random.default_rng(d)
    means, w, cov = rng.normal(size=(k, d)) * 0.8 + 5.0, np.array([0.5, 0.2, 0.3]), covariances(kind, d, k)
    times = np.array([0.2, 0.9])
    curves = sloc.measure(
        jax.random.key(1),
        OrnsteinUhlenbeck(),
        GaussianMixture(w, means, cov),
        times,
        {"pair": sloc.TV(0, 2), "sets": sloc.TV([0, 1], 2)},
        n=N,
        delta=DELTA,
        method="monte-carlo",
    )
    for i, t in enumerate(times):
        a, sigma = channels.ornstein_uhlenbeck(t)
        if kind != "own":
            exact = mixtures.pair_tv(means[2] - means[0], cov, a, sigma)
            assert abs(float(curves["pair"].value[i]) - exact) < 6.5 * float(curves["pair"].stderr[i])
            assert curves["pair"].lower[i] <= exact <= curves["pair"].upper[i]
        for name, (left, right) in {"pair": ([0], [2]), "sets": ([0, 1], [2])}.items():
            other, spread = mixtures.sampled_set_tv(w, means, cov, a, sigma, left, right, 60_000, 3)
            gap = abs(float(curves[name].value[i]) - other)
            assert gap < 6.5 * np.hypot(spread, float(curves[name].stderr[i]))


@pytest.mark.parametrize("kind", ["scalar", "diagonal", "shared", "own"])
def test_posterior_is_bayes_rule(kind):
    k, d, rng = 3, 5, np.random.default_rng(2)
    w, means, cov = np.array([0.2, 0.5, 0.3]), rng.normal(size=(k, d)), covariances(kind, d, k)
    for process, coefficients in CHANNELS if kind == "own" else CHANNELS[:1]:
        y = rng.normal(size=d)
        expected = mixtures.posterior(w, means, cov, *coefficients(0.6), y)
        found = sloc.posterior(process, GaussianMixture(w, means, cov), jnp.asarray(y, jnp.float32), 0.6)
        np.testing.assert_allclose(np.exp(found), expected, atol=3e-6)


@pytest.mark.parametrize("kind", ["scalar", "diagonal", "own"])
def test_means_far_from_the_origin_keep_their_digits(kind):
    # The same key on shifted means: float32 may lose the shift's rounding, 1e4 * 6e-8, and no more.
    k, d, rng = 3, 2, np.random.default_rng(4)
    means, cov = np.round(rng.normal(size=(k, d)) * 64) / 64, covariances(kind, d, k)

    def curve(shift):
        return sloc.tv_curve(
            jax.random.key(3),
            OrnsteinUhlenbeck(),
            GaussianMixture([0.2, 0.3, 0.5], means + shift, cov),
            TIMES,
            0,
            [1, 2],
            n=2048,
            method="monte-carlo",
        ).value

    np.testing.assert_allclose(curve(8192.0), curve(0.0), atol=2e-4)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_projection_keeps_the_total_variation_in_high_dimension(offset):
    d, rng = 4096, np.random.default_rng(0)
    means = rng.normal(size=(2, d)) * 2.0 / np.sqrt(d) + offset
    curve = sloc.tv_curve(
        jax.random.key(0),
        OrnsteinUhlenbeck(),
        GaussianMixture([0.5, 0.5], means),
        TIMES,
        0,
        1,
        n=N,
        delta=DELTA,
        method="monte-carlo",
    )
    truth = [mixtures.pair_tv(means[1] - means[0], 1.0, *channels.ornstein_uhlenbeck(t)) for t in TIMES]
    assert_matches(curve, truth, rounding=1e-4 if offset else 2e-6)
