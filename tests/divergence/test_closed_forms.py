"""Closed forms are for the laws they were derived for: a subclass that samples another law is not given them.

False-alarm rate: three Monte Carlo comparisons at 1e-10 (band) and 8e-11 (z-test) each, below 1e-9 together.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

import sloc
from sloc.divergence.affinity import affinities
from sloc.divergence.quasi import takes_points
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.processes import Masking, OrderedMasking, OrnsteinUhlenbeck, Truncation
from sloc.windows import hellinger_bound
from tests.oracles.compare import DELTA, assert_matches

KEY = jax.random.key(17)
N = 1 << 14


def registered(cls):
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(cls))


@registered
class TwiceAsLate(OrnsteinUhlenbeck):
    """Samples and evaluates at ``2 t``; its coefficients, which no longer describe it, are inherited."""

    def sample(self, key, x, t):
        return super().sample(key, x, 2 * t)

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, 2 * t)


@registered
class OtherDraws(OrnsteinUhlenbeck):
    """Replaces ``sample`` alone."""

    def sample(self, key, x, t):
        return super().sample(key, x, 2 * t)


@registered
class OtherLikelihood(OrnsteinUhlenbeck):
    """Replaces ``log_prob`` alone."""

    def log_prob(self, y, x, t):
        return super().log_prob(y, x, 2 * t)


@registered
class Sooner(Masking):
    """Squares the thresholds: a coordinate is hidden with probability ``sqrt(t)``, not ``t``."""

    def thresholds(self, key, x):
        return jnp.square(super().thresholds(key, x))


@registered
class SoonerInClosedForm(Sooner):
    """Says so."""

    def hidden_probability(self, coordinates, t):
        return float(np.sqrt(t) ** np.count_nonzero(coordinates))

    def count_law(self, length, t):
        return super().count_law(length, float(np.sqrt(t)))


@registered
class Backwards(Truncation):
    """Hides the first coordinates first."""

    def thresholds(self, key, x):
        return jnp.flip(super().thresholds(key, x))


@registered
class Rotated(OrderedMasking):
    """Hides in another order than its ``order``."""

    def thresholds(self, key, x):
        return jnp.roll(super().thresholds(key, x), 1)


@registered
class Slower(OrnsteinUhlenbeck):
    """The same family at half of the speed: its coefficients are all there is to it."""

    def coefficients(self, t):
        return super().coefficients(0.5 * t)

    def time_of_log_snr(self, log_snr):
        return 2.0 * super().time_of_log_snr(log_snr)


LINE = Empirical([[-1.0, 0.5], [1.0, 0.5], [0.0, 2.0]])
BITS = Empirical(np.array([[0, 0, 1, 1], [0, 1, 0, 1]], np.int32))
COINS = ProductCategorical.coins([0.2, 0.6], 4)
GAUSSIANS = GaussianMixture([0.4, 0.6], [[0.0, 1.0], [1.0, 0.0]], 0.5)
REPLACED = {
    "OU twice as late, atoms": (TwiceAsLate(), LINE, [0.2, 0.6]),
    "OU twice as late, Gaussians": (TwiceAsLate(), GAUSSIANS, [0.2, 0.6]),
    "OU other draws, atoms": (OtherDraws(), LINE, [0.2, 0.6]),
    "OU other draws, Gaussians": (OtherDraws(), GAUSSIANS, [0.2, 0.6]),
    "OU other likelihood, atoms": (OtherLikelihood(), LINE, [0.2, 0.6]),
    "OU other likelihood, Gaussians": (OtherLikelihood(), GAUSSIANS, [0.2, 0.6]),
    "masking sooner, atoms": (Sooner(), BITS, [0.2, 0.6]),
    "masking sooner, coins": (Sooner(), COINS, [0.2, 0.6]),
    "truncation backwards, atoms": (Backwards(4), BITS, [1, 2]),
    "order rotated, atoms": (Rotated([2, 0, 3, 1]), BITS, [1, 2]),
}
# What a combinator passes on is as unknown as what it was made of.
_HALVES = ((0, 1), (2, 3))
REPLACED |= {
    f"{dress}, {of}": (process, population, [0.2, 0.6])
    for dress, process in {
        "masking sooner, retimed": sloc.processes.Retimed(Sooner(), sloc.processes.Power(2.0)),
        "masking sooner, permuted": sloc.processes.Permuted(Sooner(), (2, 0, 3, 1)),
        "masking sooner, on a half": sloc.processes.Product((Masking(), Sooner()), _HALVES),
    }.items()
    for of, population in {"atoms": BITS, "coins": COINS}.items()
}
KEPT = {
    "OU, atoms": (OrnsteinUhlenbeck(), LINE, 0.3),
    "OU, Gaussians": (OrnsteinUhlenbeck(), GAUSSIANS, 0.3),
    "OU at half speed, Gaussians": (Slower(), GAUSSIANS, 0.6),
    "masking, atoms": (Masking(), BITS, 0.3),
    "masking, coins": (Masking(), COINS, 0.3),
    "masking sooner in closed form, atoms": (SoonerInClosedForm(), BITS, 0.09),
    "masking sooner in closed form, coins": (SoonerInClosedForm(), COINS, 0.09),
    "masking retimed, coins": (sloc.processes.Retimed(Masking(), sloc.processes.Power(2.0)), COINS, np.sqrt(0.3)),
    "masking permuted, coins": (sloc.processes.Permuted(Masking(), (2, 0, 3, 1)), COINS, 0.3),
    "masking on halves, atoms": (sloc.processes.Product((Masking(), Masking()), _HALVES), BITS, 0.3),
}


@pytest.mark.parametrize("case", REPLACED)
def test_a_replaced_law_has_no_closed_form(case):
    process, population, times = REPLACED[case]
    with pytest.raises(sloc.InvalidInput, match=r"method = 'closed-form'.*there is none for TV\(0, 1\)"):
        sloc.tv_curve(KEY, process, population, times, 0, 1, n=1024, method="closed-form")
    assert affinities(process, population, times[0]) is None
    assert hellinger_bound(process, population, 0, times) is None


@pytest.mark.parametrize("case", KEPT)
def test_an_unchanged_law_keeps_its_closed_form(case):
    # Without this the test above could pass because nothing has a closed form any more.
    process, population, t = KEPT[case]
    plain = sloc.tv(KEY, process, population, t, 0, 1, n=1024)
    assert plain.method == "exact"
    base = {"OU": OrnsteinUhlenbeck(), "masking": Masking()}[case.split(",")[0].split()[0]]
    expected = sloc.tv(KEY, base, population, 0.3, 0, 1, n=1024)
    assert float(plain.value) == pytest.approx(float(expected.value), abs=1e-12)
    if population is not LINE:
        # Of noised atoms no affinities are tabulated.
        assert affinities(process, population, t) is not None
        assert hellinger_bound(process, population, 0, [t]) is not None


def test_the_replaced_gaussian_law_is_sampled():
    times = [0.2, 0.6]
    curve = sloc.tv_curve(KEY, TwiceAsLate(), LINE, times, 0, 1, n=N, delta=DELTA)
    # At distance 2: 2 Phi(e^-2t / sqrt(1 - e^-4t)) - 1.
    snr = np.exp(-2 * np.array(times)) / np.sqrt(-np.expm1(-4 * np.array(times)))
    assert_matches(curve, erf(snr / np.sqrt(2)))


@pytest.mark.parametrize(
    ("process", "times", "expected"),
    [
        # Two coordinates differ: 1 - P(both hidden) = 1 - sqrt(t)^2.
        (Sooner(), [0.2, 0.6], [0.8, 0.4]),
        # Coordinates 1 and 2 differ; hidden from steps 2 and 3 on.
        (Backwards(4), [1, 2, 3], [1.0, 1.0, 0.0]),
    ],
)
def test_the_replaced_thresholds_are_sampled(process, times, expected):
    curve = sloc.tv_curve(KEY, process, BITS, times, 0, 1, n=N, delta=DELTA, method="monte-carlo")
    assert_matches(curve, expected, z=process == Sooner())


@pytest.mark.parametrize("process", [TwiceAsLate(), OtherDraws(), OtherLikelihood()], ids=lambda p: type(p).__name__)
def test_points_of_a_replaced_law_are_not_taken(process):
    pair = GaussianMixture([0.5, 0.5], [[1.0], [-1.0]])
    assert takes_points(OrnsteinUhlenbeck(), pair)
    assert not takes_points(process, pair)
