"""Estimators on labelled atoms, closed forms switched off, against enumeration, quadrature and brute force.

False-alarm rate: each comparison is missed with probability at most 1e-10 by the band and about 8e-11 by the z-test;
fewer than 60 curves make at most 1e-8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.populations import Empirical
from sloc.processes import (
    BinarySymmetric,
    FlowMatching,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Truncation,
    VarianceExploding,
)
from tests.oracles import atoms, channels
from tests.oracles.compare import DELTA, assert_matches

N = 1 << 15
WEIGHTS = np.array([0.5, 0.2, 0.3])
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2])
BITS = np.array(
    [[0, 0, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
)
LINE = np.array([-1.5, -0.4, 0.9, -1.0, 1.2, 0.1, 0.5, 2.0])
GAUSSIAN = [
    (OrnsteinUhlenbeck(), channels.ornstein_uhlenbeck),
    (VarianceExploding(), channels.variance_exploding),
    (FlowMatching(), channels.flow_matching),
]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LaplaceNoise(sloc.ObservationProcess):
    """``Y = X + t scale W`` with Laplace ``W``: a user's own process, of no family."""

    scale: Any = field(default=1.0)
    has_density = True

    def sample(self, key, x, t):
        """Add noise."""
        return x + t * self.scale * jax.random.laplace(key, jnp.shape(x), jnp.result_type(x))

    def log_prob(self, y, x, t):
        """Log density."""
        width = t * self.scale
        return -jnp.sum(jnp.abs(y - x)) / width - jnp.size(y) * jnp.log(2 * width)


def statistics():
    return {
        "tv": sloc.TV(0, 1),
        "sets": sloc.TV([0, 1], 2),
        "overlap": sloc.TV([0, 1], [1, 2]),
        "nested": sloc.TV(1, [1, 2]),
        "information": sloc.Information(),
        "labels": sloc.Labels(1),
        "clones": sloc.Clones(),
        "misassignment": sloc.Misassignment([0, 2]),
        "certificate": sloc.Certificate(0, [0, 2]),
    }


def truth(name, finite):
    return {
        "tv": lambda: finite.tv([0], [1]),
        "sets": lambda: finite.tv([0, 1], [2]),
        "overlap": lambda: finite.tv([0, 1], [1, 2]),
        "nested": lambda: finite.tv([1], [1, 2]),
        "information": finite.information,
        "labels": lambda: finite.labels([1]),
        "clones": lambda: finite.clones(range(3)),
        "misassignment": lambda: finite.misassignment([0, 2]),
        "certificate": lambda: finite.certificate([0], [0, 2]),
    }[name]()


def laws(kind, t):
    if kind == "masking":
        return atoms.observed_laws(BITS, LABELS, atoms.masking(t))[0]
    if kind == "truncation":
        return atoms.observed_laws(BITS, LABELS, atoms.ordered([3, 2, 1, 0], t))[0]
    if kind == "ordered":
        return atoms.observed_laws(BITS, LABELS, atoms.ordered([2, 0, 3, 1], t))[0]
    return atoms.flipped_laws(BITS, LABELS, t)


@pytest.mark.parametrize(
    ("kind", "process", "times"),
    [
        ("masking", Masking(), [0.0, 0.3, 0.6, 1.0]),
        ("truncation", Truncation(4), [0, 1, 2, 4]),
        ("ordered", OrderedMasking([2, 0, 3, 1]), [0, 1, 3, 4]),
        ("flips", BinarySymmetric(), [0.01, 0.1, 0.25, 0.5]),
    ],
)
def test_every_statistic_of_finite_observations(kind, process, times):
    # Atom 7 repeats atom 1 with another label, so that even t = 0 does not tell the classes apart.
    # All nine under masking; each further kind of statistic is seconds of compilation.
    asked = {k: v for k, v in statistics().items() if kind == "masking" or k in ("tv", "overlap", "nested", "labels")}
    curves = sloc.measure(
        jax.random.key(2),
        process,
        Empirical(BITS, LABELS, WEIGHTS),
        times,
        asked,
        n=N,
        delta=DELTA,
        method="monte-carlo",
    )
    each = [atoms.Finite(laws(kind, t), WEIGHTS) for t in times]
    for name, curve in curves.items():
        assert_matches(curve, np.stack([truth(name, f) for f in each]))


@pytest.mark.parametrize(("process", "coefficients"), GAUSSIAN)
def test_total_variation_of_atoms_on_the_line(process, coefficients):
    times = np.array([0.15, 0.5, 0.9])
    curves = sloc.measure(
        jax.random.key(3),
        process,
        Empirical(LINE[:, None], LABELS, WEIGHTS),
        times,
        [sloc.TV(0, 1), sloc.TV(1, 2)],
        n=N,
        delta=DELTA,
    )
    for (left, right), curve in zip([(0, 1), (1, 2)], curves.values(), strict=True):
        assert_matches(curve, [atoms.line_tv(LINE, LABELS, *coefficients(t), left, right) for t in times])


@pytest.mark.parametrize(("process", "coefficients"), GAUSSIAN)
def test_posterior_of_atoms_is_bayes_rule(process, coefficients):
    rng = np.random.default_rng(0)
    data, labels = rng.normal(size=(9, 2, 3)), np.repeat([2, 0, 1], 3)
    order = np.argsort(labels, kind="stable")
    y = rng.normal(size=(2, 3))
    found = sloc.posterior(process, Empirical(data, labels, WEIGHTS), jnp.asarray(y, jnp.float32), 0.5)
    expected = atoms.gaussian_posterior(data[order], labels[order], WEIGHTS, *coefficients(0.5), y)
    np.testing.assert_allclose(np.exp(found), expected, atol=2e-6)


def test_shortcuts_agree_with_the_definition_draw_by_draw():
    # The posterior along the shortcut's own trajectories has the right calibration in every statistic: compare labels.
    class Plain(OrnsteinUhlenbeck):
        def sample(self, key, x, t):
            a, sigma = self.coefficients(t)
            return a * x + sigma * jax.random.normal(key, jnp.shape(x), jnp.result_type(x))

    Plain = jax.tree_util.register_dataclass(dataclass(frozen=True)(Plain))
    population, times = Empirical(LINE[:, None], LABELS, WEIGHTS), [0.15, 0.5, 0.9]
    fast = sloc.label_curve(jax.random.key(0), OrnsteinUhlenbeck(), population, times, 1, n=N)
    slow = sloc.label_curve(jax.random.key(1), Plain(), population, times, 1, n=N)
    gap = np.abs(fast.value - slow.value) / np.hypot(fast.stderr, slow.stderr)
    assert not np.array_equal(fast.value, slow.value)
    assert gap.max() < 6.5


def test_a_process_that_replaces_sampling_is_not_given_the_shortcut_of_its_family():
    class Noisier(OrnsteinUhlenbeck):
        def sample(self, key, x, t):
            return super().sample(key, x, 2 * t)

        def log_prob(self, y, x, t):
            return super().log_prob(y, x, 2 * t)

    Noisier = jax.tree_util.register_dataclass(dataclass(frozen=True)(Noisier))
    population = Empirical([[-1.0], [1.0]], [0, 1])
    found = sloc.tv(jax.random.key(0), Noisier(), population, 0.4, 0, 1, n=N, delta=DELTA, method="monte-carlo")
    exact = atoms.line_tv([-1.0, 1.0], [0, 1], *channels.ornstein_uhlenbeck(0.8), 0, 1)
    assert found.lower <= exact <= found.upper
    assert abs(found.value - exact) < 6.5 * found.stderr


def test_a_process_of_no_family():
    from scipy.stats import laplace

    times, y = np.array([0.3, 1.0]), np.linspace(-40, 40, 400_001)
    curve = sloc.tv_curve(
        jax.random.key(0), LaplaceNoise(0.8), Empirical(LINE[:, None], LABELS, WEIGHTS), times, 0, 2, n=N, delta=DELTA
    )

    def density(k, t):
        return laplace.pdf(y[None], LINE[LABELS == k][:, None], 0.8 * t).mean(0)

    assert_matches(curve, [np.trapezoid(np.abs(density(0, t) - density(2, t)), y) / 2 for t in times])


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_copies_of_an_atom_in_two_classes_stay_indistinguishable(scale):
    # Squared distances from inner products leave about 1e-7 |x|^2 between two copies; at low noise that is everything.
    rng = np.random.default_rng(1)
    data = scale * rng.normal(size=(6, 64)).astype(np.float32)
    data[3] = data[0]
    curve = sloc.tv_curve(
        jax.random.key(0),
        VarianceExploding(),
        Empirical(data, [0, 0, 0, 1, 1, 1]),
        [1e-3, 1e-2, 0.1],
        0,
        1,
        n=4096,
        delta=DELTA,
        method="monte-carlo",
    )
    assert_matches(curve, np.full(3, 2 / 3), rounding=1e-3)


def test_one_atom_per_class_shows_the_collapse():
    data = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    curve = sloc.tv_curve(
        jax.random.key(0),
        VarianceExploding(),
        Empirical(data),
        [0.1, 1.0, 3.0],
        0,
        1,
        n=N,
        delta=DELTA,
        method="monte-carlo",
    )
    from scipy.special import erf

    assert_matches(curve, [erf(1.0 / t / np.sqrt(2)) for t in (0.1, 1.0, 3.0)])


def test_single_atoms_under_masking_match_the_power_law():
    x = np.zeros((2, 10), np.int32)
    x[1] = 1
    curve = sloc.tv_curve(
        jax.random.key(0),
        Masking(),
        Empirical(x, None),
        [0.2, 0.7, 0.9, 0.97],
        0,
        1,
        n=N,
        delta=DELTA,
        method="monte-carlo",
    )
    assert_matches(curve, [1 - t**10 for t in (0.2, 0.7, 0.9, 0.97)], z=False)
