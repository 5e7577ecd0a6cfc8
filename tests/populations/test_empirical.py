"""Labelled atoms: rows that mirror one another, the hypercube, and numbers that the working precision cannot hold.

False-alarm rate: 7 curves, each missed with probability at most 1e-10 by its band and about 8e-11 a cell by the
z-test (at most 21 cells): below 3e-9 together.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, logsumexp

import sloc
from sloc.populations import Empirical, GaussianMixture, empirical
from sloc.processes import Masking, OrnsteinUhlenbeck, VarianceExploding
from tests.oracles import channels
from tests.oracles.compare import DELTA, SIGMAS, assert_matches

KEY = jax.random.key(5)
OU = OrnsteinUhlenbeck()
X64 = bool(jax.config.jax_enable_x64)


def noised_pair(distance, t):
    """TV of two atoms under Ornstein-Uhlenbeck noise: ``2 Phi(a |x - y| / 2 sigma) - 1``."""
    a, sigma = channels.ornstein_uhlenbeck(t)
    return float(erf(a * distance / sigma / 2 / np.sqrt(2)))


# --- rows that mirror one another: sums of linear hashes take them for copies -----------------------


def test_antipodal_rows_are_two_atoms():
    found = sloc.tv(
        KEY, OU, Empirical([[1.0, 1.0], [-1.0, -1.0]]), 0.3, 0, 1, n=4096, method="monte-carlo", delta=DELTA
    )
    exact = noised_pair(2 * np.sqrt(2), 0.3)
    assert exact == pytest.approx(0.8812, abs=5e-5)
    assert found.method != "exact"
    assert found.lower <= exact <= found.upper
    assert abs(found.value - exact) <= SIGMAS * found.stderr


def test_points_beside_their_mirror_images():
    x = np.random.default_rng(3).normal(size=(4, 6)).astype(np.float32)
    population = Empirical(np.concatenate([x, -x]))
    pairs = {(i, i + 4): 2 * np.linalg.norm(x[i]) for i in (0, 2)} | {(0, 5): np.linalg.norm(x[0] + x[1])}
    curves = sloc.measure(
        KEY,
        OU,
        population,
        [0.4, 1.0],
        {pair: sloc.TV(*pair) for pair in pairs},
        n=1 << 14,
        delta=DELTA,
        method="monte-carlo",
    )
    for pair, distance in pairs.items():
        assert_matches(curves[pair], [noised_pair(distance, t) for t in (0.4, 1.0)])


@pytest.mark.parametrize(("values", "d"), [((-1, 1), 11), ((-1, 0, 1), 7), ((0, 1), 11), ((-2.0, -1.0, 1.0, 2.0), 5)])
def test_no_two_corners_of_a_cube_are_taken_for_copies(values, d):
    # At most 2,187 rows: 2.4e6 pairs, 2^-64 each, unless the hash is structured.
    rows = jnp.asarray(np.array(list(itertools.product(values, repeat=d)), np.float32))
    prints = np.asarray(empirical._fingerprints(rows)).astype(np.uint64)
    assert np.unique(prints[0] << np.uint64(32) | prints[1]).size == rows.shape[0]


def test_copies_and_signed_zeros_are_taken_for_copies():
    rows = jnp.asarray([[0.0, -1.5, 3.0], [-0.0, -1.5, 3.0], [0.0, -1.5, 3.0], [0.0, 1.5, 3.0]])
    prints = np.asarray(empirical._fingerprints(rows)).T.tolist()
    assert prints[0] == prints[1] == prints[2] != prints[3]


# --- the cube {-1, 0, 1}^4 in three classes, against brute force in float64 ------------------------

CUBE = np.array(list(itertools.product((-1, 0, 1), repeat=4)), np.float64)
CLASSES = CUBE.sum(1).astype(int) % 3
WEIGHTS = np.array([0.5, 0.2, 0.3])


def brute_force(t, n=1 << 13):
    """Means and standard errors of TV(0, 1), TV(1, 2) and information by plain sampling in float64."""
    rng, (a, sigma) = np.random.default_rng(int(1000 * t)), channels.ornstein_uhlenbeck(t)

    def posterior_logs(start):
        """``log p^theta(Y)`` up to a constant, ``[n, 3]``, for ``Y`` from class ``start``."""
        atoms = CUBE[CLASSES == start]
        y = a * atoms[rng.integers(0, len(atoms), n)] + sigma * rng.normal(size=(n, 4))
        logs = (2 * a * y @ CUBE.T - a**2 * (CUBE**2).sum(1)) / (2 * sigma**2)
        return np.stack([logsumexp(logs[:, CLASSES == k], axis=1) - np.log((CLASSES == k).sum()) for k in range(3)], 1)

    logs = [posterior_logs(k) for k in range(3)]

    def tv(i, j):
        draws = [np.abs(np.tanh((logs[s][:, i] - logs[s][:, j]) / 2)) for s in (i, j)]
        return np.mean(draws), np.sqrt(sum(v.var() for v in draws) / n) / 2

    def entropy(l):
        log_pi = l + np.log(WEIGHTS)
        log_pi -= logsumexp(log_pi, axis=1, keepdims=True)
        return -np.sum(np.exp(log_pi) * log_pi, axis=1) / np.log(2)

    each = [entropy(l) for l in logs]
    information = -np.sum(WEIGHTS * np.log2(WEIGHTS)) - sum(w * e.mean() for w, e in zip(WEIGHTS, each, strict=True))
    spread = np.sqrt(sum(w**2 * e.var() / n for w, e in zip(WEIGHTS, each, strict=True)))
    return {"near": tv(0, 1), "far": tv(1, 2), "information": (information, spread)}


def test_cube_in_three_classes_matches_brute_force():
    times = [0.05, 0.2, 0.6]
    curves = sloc.measure(
        KEY,
        OU,
        Empirical(CUBE, CLASSES, WEIGHTS),
        times,
        {"near": sloc.TV(0, 1), "far": sloc.TV(1, 2), "information": sloc.Information()},
        n=1 << 14,
        method="monte-carlo",
    )
    for i, t in enumerate(times):
        for name, (value, spread) in brute_force(t).items():
            curve = curves[name]
            assert abs(curve.value[i] - value) <= SIGMAS * np.hypot(curve.stderr[i], spread) + 2e-6, (name, t)


def test_cube_split_by_one_coordinate_is_one_dimensional():
    # The other coordinates have the same law in each class, so neighbouring classes are two atoms at distance 1.
    times = [0.05, 0.2, 0.6]
    curve = sloc.tv_curve(KEY, OU, Empirical(CUBE, CUBE[:, 1]), times, 0, 1, n=1 << 14, delta=DELTA)
    assert_matches(curve, [noised_pair(1.0, t) for t in times])


def test_integer_atoms_under_noise_are_their_floats():
    found, expected = (
        sloc.tv_curve(KEY, OU, Empirical(CUBE.astype(kind), CLASSES), [0.2, 0.6], 0, 1, n=2048)
        for kind in (np.int64, np.float32)
    )
    np.testing.assert_array_equal(found.value, expected.value)


# --- numbers that the working precision cannot hold ------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        np.array([[0, 1], [2**31, 1]]),
        np.array([[0, 1], [-(2**31) - 1, 1]]),
        np.array([[0, 1], [2**32, 1]]),
        np.array([[0, 1], [2**32 - 1, 1]], np.uint64),
        [[0, 1], [2**40, 1]],
    ],
)
def test_integers_beyond_32_bits_are_refused(data):
    # 2^32 would wrap to 0: two atoms would become one without a word.
    with pytest.raises(sloc.InvalidInput, match=r"data = -?\d+: expected .*32 bits"):
        Empirical(data)


def test_the_largest_integers_are_kept():
    ends = np.array([[-(2**31)], [2**31 - 1], [0]])
    population = Empirical(ends)
    np.testing.assert_array_equal(np.asarray(population.data), ends)
    found = sloc.tv(KEY, Masking(), population, 0.25, 0, 1, n=1024)
    assert (found.method, float(found.value)) == ("exact", 0.75)


@pytest.mark.skipif(X64, reason="float64 holds these numbers")
@pytest.mark.parametrize("large", [1e39, -1e39, 1e300])
def test_numbers_beyond_single_precision_are_refused_as_atoms(large):
    with pytest.raises(sloc.InvalidInput, match=r"data = .*expected finite numbers"):
        Empirical([[0.0], [large]])


@pytest.mark.skipif(X64, reason="float64 holds these numbers")
@pytest.mark.parametrize(
    ("argument", "population"),
    [
        ("means", GaussianMixture([0.5, 0.5], [[0.0], [1e39]], 1.0)),
        ("means", GaussianMixture([0.5, 0.5], np.array([[0.0], [-1e39]]), 1.0)),
        ("covariances", GaussianMixture([0.5, 0.5], [[0.0], [1.0]], 1e39)),
        ("covariances", GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [1e39])),
    ],
)
def test_numbers_beyond_single_precision_are_refused_in_gaussians(argument, population):
    with pytest.raises(sloc.InvalidInput, match=rf"{argument} = .*expected finite numbers"):
        sloc.tv(KEY, OU, population, 0.5, 0, 1, n=1024)


@pytest.mark.parametrize("large", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(large):
    with pytest.raises(sloc.InvalidInput, match=r"data = .*expected finite numbers"):
        Empirical([[0.0], [large]])
    with pytest.raises(sloc.InvalidInput, match=r"means = .*expected finite numbers"):
        sloc.tv(KEY, VarianceExploding(), GaussianMixture([0.5, 0.5], [[0.0], [large]]), 0.5, 0, 1, n=1024)


def test_the_largest_finite_atoms_are_kept():
    found = sloc.tv(KEY, VarianceExploding(), Empirical([[0.0], [3e38]]), 1.0, 0, 1, n=1024)
    assert (found.method, float(found.value)) == ("exact", 1.0)
