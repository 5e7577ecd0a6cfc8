"""Adaptive quadrature of marginals against closed forms and SciPy's in float64, at noise far below X's scale.

Nothing here is random but the first panels, whose seed is fixed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import sloc
from sloc.bayes import NumPyroPopulation
from sloc.bayes.quadrature import log_integral

from . import test_population


class _Noise(sloc.ObservationProcess):
    """``Y = X + t Z`` of no family; a member gives the log density of one ``Z``."""

    has_density = True

    def log_noise(self, z):
        raise NotImplementedError

    def log_prob(self, y, x, t):
        return jnp.sum(self.log_noise((y - x) / t) - jnp.log(t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LaplaceNoise(_Noise):
    def log_noise(self, z):
        return -jnp.abs(z) - np.log(2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NormalNoise(_Noise):
    def log_noise(self, z):
        return -0.5 * jnp.square(z) - 0.5 * np.log(2 * np.pi)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class UniformNoise(_Noise):
    def sample(self, key, x, t):
        return x + t * jax.random.uniform(key, jnp.shape(x), minval=-1.0, maxval=1.0)

    def log_noise(self, z):
        return jnp.where(jnp.abs(z) <= 1, -np.log(2), -jnp.inf)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unsigned(NormalNoise):
    """``Y = |X| + t Z``: two peaks of the likelihood."""

    def log_prob(self, y, x, t):
        return super().log_prob(y, jnp.abs(x), t)


SUM = sloc.processes.LinearGaussian([[1.0, 1.0]], 1.0)
NEEDLES = (1.0, 0.05, 0.03, 0.02, 0.01, 1e-3, 1e-4)


def found(fn, process, ys, times):
    """``log_integral`` at pairs, in one program."""
    one = jax.vmap(lambda y, t: log_integral(fn, process, y, t))
    return np.asarray(jax.jit(one)(jnp.asarray(ys, jnp.float32), jnp.asarray(times, jnp.float32)), np.float64)


def pieces(f, bends, low, high):
    """SciPy's Gauss-Legendre sum for ``f``, over pieces between the points where it bends."""
    inner = sorted({float(p) for p in bends if low < p < high})
    return sum(integrate.fixed_quad(f, a, b, n=40)[0] for a, b in itertools.pairwise([low, *inner, high]))


def around(y, s, most=1e12):
    """``y``, and points on both sides at distances that double from ``s / 4`` on."""
    steps = s / 4 * 2.0 ** np.arange(int(np.ceil(np.log2(4 * most / s))))
    return [y, *(y - steps), *(y + steps)]


# Fixed nodes spread over the prior's range were off by 0.06 at 0.02 and by 1 at 0.01.
def test_narrow_noise_on_a_line():
    grid = list(itertools.product((0.0, 0.3, -1.7, 4.0), NEEDLES))
    values = found(dist.Normal(0.0, 1.0), NormalNoise(), *zip(*grid, strict=True))
    truth = [stats.norm(0, np.hypot(1, s)).logpdf(y) for y, s in grid]
    np.testing.assert_allclose(values, truth, rtol=1e-5, atol=1e-5)


def test_noise_of_no_family():
    population = NumPyroPopulation(test_population.branches)
    process = LaplaceNoise()
    assert population.exactness_under(process) == "quadrature"
    grid = list(itertools.product((-3.0, 0.2, 1.99, 5.0), NEEDLES))
    ys, times = (jnp.asarray(v, jnp.float32) for v in zip(*grid, strict=True))
    values = jax.jit(jax.vmap(lambda y, t: population.log_marginals(process, y, t)))(ys, times)
    for (y, s), pair in zip(grid, np.asarray(values), strict=True):
        for law, value in zip((stats.norm(), stats.laplace(2.0)), pair, strict=True):
            density = lambda x, law=law, y=y, s=s: law.pdf(x) * stats.laplace(y, s).pdf(x)  # noqa: E731
            truth = np.log(pieces(density, [*around(0.0, 1.0), *around(2.0, 1.0), *around(y, s)], -60, 60))
            # Of the last digit of x, in widths of the noise.
            rounding = np.finfo(np.float32).eps * abs(y) / s
            np.testing.assert_allclose(value, truth, rtol=2e-5, atol=2e-5 + rounding)


# 96 nodes a coordinate were off by 0.9 at 0.05 and by 4 at 0.03.
def test_narrow_noise_in_the_plane():
    grid = list(itertools.product(([0.0, 0.0], [0.3, 1.2], [-2.0, 3.0]), (1.0, 0.05, 0.03, 1e-3)))
    values = found(dist.Normal(0.0, 1.0).expand([2]).to_event(1), NormalNoise(), *zip(*grid, strict=True))
    truth = [stats.norm(0, np.hypot(1, s)).logpdf(y).sum() for y, s in grid]
    np.testing.assert_allclose(values, truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("freedom", [1.0, pytest.param(2.0, marks=pytest.mark.slow)])
def test_heavy_tails_keep_their_mass(freedom):
    # Far in the tail, under noise that is narrow, of the prior's own width, and so wide that all its mass counts.
    process, law = sloc.processes.VarianceExploding().canonical(), stats.t(freedom)
    grid = [(y, s) for y in (0.0, 5.0, 300.0, 1e4) for s in (0.02, 1.0, 30.0)] + [(0.0, 1e6)]
    times = [float(process.time_of_log_snr(-2 * np.log(s))) for _, s in grid]
    scaled = [float(process.coefficients(t)[0]) for t in times]
    values = found(dist.StudentT(freedom), process, [y * a for (y, _), a in zip(grid, scaled, strict=True)], times)
    for (y, s), a, value in zip(grid, scaled, values, strict=True):
        bends = [*around(0.0, 1.0), *around(y, s)]
        truth = np.log(pieces(lambda x, y=y, s=s: law.pdf(x) * stats.norm(x, s).pdf(y), bends, -1e12, 1e12))
        np.testing.assert_allclose(value + np.log(a), truth, rtol=1e-5, atol=2e-5)


def corners():
    theta = numpyro.sample("theta", dist.Bernoulli(0.3))
    numpyro.sample("x", dist.Laplace(2.0 * theta, 1.0).expand([2]).to_event(1))


@pytest.mark.slow
def test_measurements_of_a_plane():
    # Of the sum of two Laplace numbers, whose density is (1 + |z|) e^-|z| / 4: the likelihood is a ridge.
    population, process = NumPyroPopulation(corners), SUM.canonical()
    assert population.exactness_under(process) == "quadrature"
    grid = list(itertools.product((-1.0, 0.4, 5.0), (1.0, 0.1, 0.01)))
    ys, times = (jnp.asarray(v, jnp.float32) for v in zip(*[([y], s * s) for y, s in grid], strict=True))
    values = jax.jit(jax.vmap(lambda y, t: population.log_marginals(process, y, t)))(ys, times)
    for (y, s), pair in zip(grid, np.asarray(values), strict=True):
        for centre, value in zip((0.0, 4.0), pair, strict=True):

            def density(z, y=y, s=s, centre=centre):
                return (1 + abs(z - centre)) * np.exp(-abs(z - centre)) / 4 * stats.norm(z, s).pdf(y)

            truth = np.log(pieces(density, [*around(centre, 1.0), *around(y, s)], -60, 60))
            np.testing.assert_allclose(value, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_measurements_of_a_quadrant():
    # Of the sum of two exponential numbers, whose density is z e^-z: the ridge ends at both edges of the support.
    fn, process = dist.Exponential(1.0).expand([2]).to_event(1), SUM.canonical()
    grid = list(itertools.product((-0.5, 0.4, 5.0), (1.0, 0.3, 0.1)))
    values = found(fn, process, [[y] for y, _ in grid], [s * s for _, s in grid])
    for (y, s), value in zip(grid, values, strict=True):
        density = lambda z, y=y, s=s: z * np.exp(-z) * stats.norm(z, s).pdf(y)  # noqa: E731
        truth = np.log(pieces(density, [*around(0.0, 1.0), *around(y, s)], 0.0, 80.0))
        np.testing.assert_allclose(value, truth, rtol=1e-4, atol=1e-4)


def test_counts_of_a_gamma_intensity_are_negative_binomial():
    grid = [(0, 10.0), (3, 1.0), (40, 0.05), (1900, 1e-3), (250_000, 1e-5)]
    one = jax.vmap(lambda y, t: log_integral(dist.Gamma(2.5, 1.3), sloc.processes.Poisson(), y, t))
    ys, times = zip(*grid, strict=True)
    values = jax.jit(one)(jnp.asarray(ys, jnp.int32), jnp.asarray(times, jnp.float32))
    truth = [stats.nbinom(2.5, 1.3 / (1.3 + 1 / t)).logpmf(y) for y, t in grid]
    np.testing.assert_allclose(values, truth, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_answers_of_half_spaces(noise):
    # Is the first coordinate above 0.7, the second above 1.1?  Two one-dimensional integrals; jumps where noise is 0.
    process = sloc.processes.HalfSpace([[1.0, 0.0], [0.0, 1.0]], [0.7, 1.1], noise).canonical()
    fn, law = dist.Gamma(2.0, 1.0).expand([2]).to_event(1), stats.gamma(2.0)
    below = [
        pieces(lambda x, b=b: law.pdf(x) * stats.norm(x, noise).cdf(b), around(b, noise), 0.0, 60.0)
        if noise
        else law.cdf(b)
        for b in (0.7, 1.1)
    ]
    one = jax.jit(lambda y: log_integral(fn, process, y, jnp.asarray(0.5)))
    for first, second in itertools.product((0, 1), repeat=2):
        y = sloc.Revealed(jnp.asarray([first, second]), jnp.asarray([True, True]))
        share = [p if answer == 0 else 1 - p for p, answer in zip(below, (first, second), strict=True)]
        # Each answer is kept with probability one half.
        np.testing.assert_allclose(one(y), np.log(np.prod(share) / 4), atol=2e-5)


def test_both_peaks_of_a_likelihood_count():
    # The peaks at +-y are not alike to the first nodes, and the lesser one of the integrand counts too.
    fn, law = dist.StudentT(4.0, 0.7, 1.0), stats.t(4.0, 0.7)
    grid = list(itertools.product((0.31, 1.234, 2.5), (0.1, 0.01, 1e-3)))
    values = found(fn, Unsigned(), *zip(*grid, strict=True))
    for (y, s), value in zip(grid, values, strict=True):
        density = lambda x, y=y, s=s: law.pdf(x) * stats.norm(abs(x), s).pdf(y)  # noqa: E731
        truth = np.log(pieces(density, [*around(0.7, 1.0), *around(y, s), *around(-y, s)], -1e6, 1e6))
        np.testing.assert_allclose(value, truth, rtol=1e-5, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("narrow", [True, False])
def test_slopes_are_those_of_the_integral(narrow):
    y, s = (-0.3, 0.01) if narrow else (1.0, 0.5)
    v = 1 + s * s

    def value(y, s, w):
        return log_integral(dist.Normal(0.0, w), NormalNoise(), y, s)

    slope = jax.grad(value, argnums=(0, 1, 2))(jnp.asarray(y), jnp.asarray(s), jnp.asarray(1.0))
    gain = (y * y / v - 1) / v
    np.testing.assert_allclose(slope, [-y / v, s * gain, gain], rtol=1e-3, atol=1e-4)


def test_what_cannot_be_seen_is_refused():
    population, process = NumPyroPopulation(test_population.branches), UniformNoise()
    # Wide enough for the nodes: jumps cost splits, and are found.  Zero at every node is not known to be zero.
    y, times = jnp.asarray(0.5), jnp.asarray([0.2, 1e-6])
    wide, needle = jax.jit(jax.vmap(lambda t: population.log_marginals(process, y, t)))(times)
    truth = np.log([law.cdf(0.7) - law.cdf(0.3) for law in (stats.norm(), stats.laplace(2.0))]) - np.log(0.4)
    np.testing.assert_allclose(wide, truth, atol=1e-5)
    assert np.isnan(needle).all()
    assert np.isnan(sloc.posterior(process, population, y, times[1])).all()


@pytest.mark.slow
def test_a_rough_likelihood_is_refused():
    # It uses up the panels.
    assert np.isnan(log_integral(dist.Normal(0.0, 1.0), Rough(), jnp.asarray(0.0), jnp.asarray(1.0)))


@pytest.mark.slow
def test_statistics_refuse_what_cannot_be_seen():
    population = NumPyroPopulation(test_population.branches)
    with pytest.raises(sloc.engine.NotANumber, match="NaN"):
        sloc.tv(jax.random.key(0), UniformNoise(), population, 1e-6, 0, 1, n=1024, method="monte-carlo")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rough(sloc.ObservationProcess):
    def log_prob(self, y, x, t):
        return 3 * jnp.sin(1e4 * x)
