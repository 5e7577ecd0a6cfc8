"""The examples outside the package keep the contract, alone and inside ``Empirical``.

Each check fails by chance with probability at most 1e-9, and there are fewer than 20: 2e-8 for the file.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.fft import dct
from scipy.integrate import quad
from scipy.stats import norm

import sloc
from examples.outside.band_limited import BandLimited
from examples.outside.integer_time import ResampledLetters
from examples.outside.interval_population import Intervals
from examples.outside.leaving_network import LeavingNetwork
from examples.outside.pytree_observation import NoisyAndKept
from examples.outside.quantised_pixels import QuantisedPixels
from examples.outside.scan_process import CorrelatedNoise
from examples.skeletons.my_population import MyPopulation
from examples.skeletons.my_process import MyProcess
from sloc.contracts import ContractError
from sloc.populations import Empirical
from sloc.processes import BinarySymmetric, Masking, OrnsteinUhlenbeck
from sloc.testing import check_population, check_process

RNG = np.random.default_rng(1)
REAL = RNG.normal(size=(6, 4)).astype(np.float32)
LETTERS = RNG.integers(0, 4, (6, 4)).astype(np.int32)
BYTES = RNG.integers(0, 256, (6, 4)).astype(np.int32)
HALF = np.triu(RNG.integers(0, 2, (6, 5, 5)), 1)
GRAPHS = (HALF + HALF.transpose(0, 2, 1)).astype(np.int32)
SOUNDS = RNG.normal(size=(6, 8)).astype(np.float32)
CASES = {
    "scan": (CorrelatedNoise(), REAL),
    "integer": (ResampledLetters(), LETTERS),
    "pytree": (NoisyAndKept(), REAL),
    "pixels": (QuantisedPixels(), BYTES),
    "network": (LeavingNetwork(), GRAPHS),
    "sound": (BandLimited(), SOUNDS),
}
POPULATIONS = {
    "intervals": Intervals([0.3, 0.7], [0.0, 0.5], [1.0, 2.0]),
    "skeleton": MyPopulation([0.3, 0.7], [-2.0, 2.0]),
}
OUTSIDE = Path(__file__).parents[2] / "examples" / "outside"


@pytest.mark.parametrize(
    ("process", "lacks"),
    [
        (Masking(), "'coefficients'"),
        (BinarySymmetric(), "'coefficients'"),
        (sloc.processes.LinearGaussian(np.eye(1), np.eye(1)), "'coefficients'"),
    ],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.parametrize("case", POPULATIONS)
def test_a_population_under_a_process_it_cannot_take_says_what_it_could(case, process, lacks):
    population, key = POPULATIONS[case], jax.random.key(0)
    words = (
        f"population {type(population).__name__} cannot be evaluated under process {type(process).__name__}.*"
        f"asks for {lacks}.*it can under: GaussianChannel .*OrnsteinUhlenbeck.*register_marginals"
    )
    for call in (
        lambda: sloc.tv(key, process, population, 0.5, 0, 1, n=1024),
        lambda: sloc.posterior(process, population, np.zeros(1), 0.5),
        lambda: sloc.critical_window(key, process, population, 0, [0, 1], epsilon=0.1),
        lambda: sloc.mixture_tree(key, process, population, epsilon=0.1),
        lambda: check_population(population, process),
    ):
        with pytest.raises((ContractError, AssertionError), match=words):
            call()
    # Under what it can take nothing is refused, before and after.
    assert sloc.tv(key, OrnsteinUhlenbeck(), population, 0.5, 0, 1, n=1024).value > 0


def test_a_posterior_draw_under_a_process_it_cannot_take_says_what_it_could():
    population, key = POPULATIONS["skeleton"], jax.random.key(0)
    words = "MyPopulation cannot draw X given an observation under process Masking.*'coefficients'.*GaussianChannel"
    for call in (
        lambda: sloc.localize(key, Masking(), population, grid=[0.2, 0.8], n=8),
        lambda: sloc.forward_reverse(key, Masking(), population, 0, 0.5, n=8),
    ):
        with pytest.raises(ContractError, match=words):
            call()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bare(sloc.Population):
    """Takes any observation that is an array, and says nothing about processes."""

    centres: Any

    @property
    def log_weights(self):
        return jnp.log(jnp.full(2, 0.5))

    def sample(self, key, component):
        return self.centres[component] + jax.random.normal(key, (1,))

    def log_marginals(self, process, y, t):
        return jax.scipy.stats.norm.logpdf(y, self.centres * jnp.exp(-t), 1.0)


def test_an_observation_that_the_population_cannot_take_is_named():
    words = r"Bare cannot be evaluated under process Masking: .*cannot take an observation that is Revealed"
    with pytest.raises(ContractError, match=words):
        sloc.tv(jax.random.key(0), Masking(), Bare(np.array([-1.0, 1.0])), 0.5, 0, 1, n=1024)
    assert sloc.tv(jax.random.key(0), OrnsteinUhlenbeck(), Bare(np.array([-1.0, 1.0])), 0.5, 0, 1, n=1024).value > 0


SLOW = [c if c not in ("network", "sound") else pytest.param(c, marks=pytest.mark.slow) for c in CASES]


@pytest.mark.parametrize("case", SLOW)
def test_process_conforms(case):
    process, data = CASES[case]
    mixed = ["normalisation of log_prob: not shown (some coordinates continuous, some not)"]
    assert check_process(process, data[:2], draws=4096).skipped == (mixed if case == "pytree" else [])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_works_with_empirical(case):
    process, data = CASES[case]
    check_population(Empirical(data, np.arange(6) % 2), process, times=process.grid(5), draws=2048)


@pytest.mark.slow
def test_the_skeleton_of_a_process_conforms():
    assert check_process(MyProcess(), REAL[:2], draws=4096).skipped == []


@pytest.mark.slow
@pytest.mark.parametrize("name", POPULATIONS)
def test_population_conforms(name):
    check_population(POPULATIONS[name], OrnsteinUhlenbeck(), times=[0.1, 0.7, 2.0], draws=2048)


def sampled(process, data, times):
    curve = sloc.tv_curve(jax.random.key(0), process, Empirical(data), times, 0, 1, n=20_000, delta=1e-9)
    return curve.lower - 1e-5, curve.upper + 1e-5


def test_windows_of_the_three_are_right():
    # Two bytes that differ in their lowest bits only are one once those are gone.
    pixels = np.array([[8, 200], [11, 200]], np.int32)
    low, high = sampled(QuantisedPixels(), pixels, [0, 1, 2, 5])
    exact = np.array([1, 1, 0, 0])
    assert ((low <= exact) & (exact <= high)).all()
    # Two networks that differ in one friendship are told apart while both friends are there.
    graphs = np.zeros((2, 4, 4), np.int32)
    graphs[1, 0, 3] = graphs[1, 3, 0] = 1
    times = np.array([0.1, 0.4, 0.8])
    low, high = sampled(LeavingNetwork(), graphs, times)
    assert ((low <= (1 - times) ** 2) & ((1 - times) ** 2 <= high)).all()
    # Two sounds: Gaussians as far apart as the bands that are left.
    steps = np.array([0, 3, 6])
    low, high = sampled(BandLimited(), SOUNDS[:2], steps)
    apart = dct(SOUNDS[0] - SOUNDS[1], norm="ortho")
    exact = 2 * norm.cdf([np.linalg.norm(apart[: 8 - t]) for t in steps]) - 1
    assert ((low <= exact) & (exact <= high)).all()


@pytest.mark.parametrize("t", [0.05, 0.7, 3.0])
def test_intervals_against_quadrature(t):
    population, (a, sigma) = POPULATIONS["intervals"], OrnsteinUhlenbeck().coefficients(t)
    for y in (-6.0, 0.3, 1.4, 6.0):
        found = population.canonical().log_marginals(OrnsteinUhlenbeck(), np.float32([y]), np.float32(t))
        for k, (low, high) in enumerate([(0.0, 1.0), (0.5, 2.0)]):
            # In log space, because far from the interval the density underflows the quadrature's tolerance.
            top = norm.logpdf(y, a * np.clip(y / a, low, high), sigma)
            exact = quad(lambda x: np.exp(norm.logpdf(y, a * x, sigma) - top), low, high, points=[low, high])[0]  # noqa: B023
            np.testing.assert_allclose(found[k], top + np.log(exact / (high - low)), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("path", sorted(OUTSIDE.glob("*.py")), ids=lambda p: p.name)
def test_uses_the_public_interface_only(path):
    tree = ast.parse(path.read_text())
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    imported += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert {name for name in imported if name.split(".")[0] == "sloc"} <= {"sloc", "sloc.contracts"}
    (definition,) = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    assert definition.end_lineno is not None
    lines = path.read_text().splitlines()[definition.lineno - 1 : definition.end_lineno]
    assert sum(bool(line.strip()) for line in lines) < 30
