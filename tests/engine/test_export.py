"""Every per-block function lowers for CPU, GPU and TPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import sloc
from sloc.contracts import component_mask
from sloc.divergence import measurement
from sloc.divergence.bridge_setup import bridge_problem
from sloc.divergence.bridges import BridgeKernel
from sloc.divergence.checks import as_times, checked_pair
from sloc.divergence.masks import MaskKernel
from sloc.divergence.measurement import MeasureKernel
from sloc.divergence.pilot import PilotKernel
from sloc.divergence.sampler_bounds import PathRatioKernel
from sloc.populations import Empirical, GaussianMixture, MarkovChains, ProductCategorical, SparseRegression
from sloc.processes import (
    BinarySymmetric,
    FlowMatching,
    HalfSpace,
    LinearGaussian,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Poisson,
    Product,
    Truncation,
    UniformCTMC,
    VarianceExploding,
)
from sloc.samplers import LearnedDiffusion
from tests.populations.examples import DISCOURSE, EXAMPLES, HIDDEN, REGRESSION, TOKENS, WALK, rows

PLATFORMS = ("cpu", "cuda", "tpu")
MEANS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 1.0]])
GAUSSIANS = {
    "scalar": GaussianMixture([0.2, 0.3, 0.5], MEANS, 1.0),
    # So many numbers that products are matrix products.
    "many": GaussianMixture(np.full(6, 1 / 6), np.vstack([MEANS, -MEANS]), 1.0),
    "diagonal": GaussianMixture([0.2, 0.3, 0.5], MEANS, [1.0, 2.0, 3.0]),
    "shared": GaussianMixture([0.2, 0.3, 0.5], MEANS, np.eye(3)),
    "own": GaussianMixture([0.2, 0.3, 0.5], MEANS, np.stack([np.eye(3)] * 3)),
}
WORDS = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1]])
ATOMS = Empirical(WORDS, [0, 0, 1, 2])
REAL = Empirical(MEANS, [0, 1, 1])
ROWS = np.full((3, 2), 0.5)
DISCRETE = {
    "atoms": ATOMS,
    "product": ProductCategorical(np.full((3, 3, 2), 0.5)),
    "coins": ProductCategorical.coins([0.1, 0.5, 0.6], 3),
    "chains": MarkovChains(ROWS, np.full((3, 2, 2), 0.5), 3),
}
PAIRS = (
    [(p, q) for p in (OrnsteinUhlenbeck(), VarianceExploding(), FlowMatching()) for q in (GAUSSIANS["scalar"], REAL)]
    + [(OrnsteinUhlenbeck(), GAUSSIANS[k]) for k in ("many", "diagonal", "shared", "own")]
    + [
        (p, q)
        for p in (Masking(), OrderedMasking([2, 0, 1]), Truncation(3), BinarySymmetric())
        for q in DISCRETE.values()
    ]
)
SPLIT = ((0, 2), (1,))
RATES = Empirical(np.abs(MEANS) + 0.1, [0, 1, 1])
# What takes long to lower stands in the slow tier.
LONG: list[Any] = [
    (Poisson(), RATES),
    (HalfSpace(np.eye(3), np.zeros(3)), REAL),
    *((UniformCTMC(2), DISCRETE[k]) for k in ("atoms", "product", "chains")),
    (Product((OrnsteinUhlenbeck(), VarianceExploding()), SPLIT), GAUSSIANS["scalar"]),
    (Product((Masking(), BinarySymmetric()), SPLIT), ATOMS),
    (Product((Masking(), Masking()), SPLIT), DISCRETE["product"]),
    (Product((Poisson(), OrnsteinUhlenbeck()), SPLIT), RATES),
    (Masking(), HIDDEN),
    (rows(3, 2), DISCOURSE),
    (rows(3, 4), REGRESSION),
    (rows(3, 4), SparseRegression(0.3, 3, 2, 3, most_supports=0, particles=4)),
    (Truncation(4), WALK),
    (Truncation(4), TOKENS),
    (Truncation(4), EXAMPLES),
    (LinearGaussian(np.eye(3)[:2]), GAUSSIANS["own"]),
]


@pytest.mark.parametrize(
    ("process", "population"),
    [*PAIRS, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in LONG)],
    ids=lambda v: type(v).__name__,
)
def test_block_function_lowers_for_every_platform(process, population):
    measured_lowers(process, population)


@pytest.mark.parametrize("population", [GAUSSIANS["scalar"], REAL], ids=lambda p: type(p).__name__)
def test_times_after_others_lower_for_every_platform(monkeypatch, population):
    monkeypatch.setitem(measurement._CHUNK_ELEMENTS, jax.default_backend(), 1)
    measured_lowers(OrnsteinUhlenbeck(), population)


def measured_lowers(process: Any, population: Any) -> None:
    """Assert that a block of three statistics at two times lowers."""
    process, population = checked_pair(process, population)
    times = as_times(process, population, [1, 2] if process.discrete else [0.1, 0.3])[1]
    k = population.num_components
    terms = [s.bind(population) for s in (sloc.TV(0, 1), sloc.Labels(0), sloc.Information())]
    stacks = tuple({f: jnp.asarray(v)[None] for f, v in t.arrays.items()} for t in terms)
    kernel = MeasureKernel(tuple(t.kind for t in terms), 4)
    index = jnp.arange(k, dtype=jnp.int32)
    lowers(kernel, (process, population, times, index, index, stacks))


def lowers(kernel: Any, args: Any) -> None:
    """Assert that one block of a kernel, with all of its arguments as arguments, lowers for all platforms."""
    leaves, structure = jax.tree.flatten(args)

    def block(key_data, *leaves):
        state = kernel.setup(jax.tree.unflatten(structure, leaves))
        return kernel(state, jax.random.wrap_key_data(key_data))

    exported = jax.export.export(jax.jit(block), platforms=PLATFORMS)(
        jax.random.key_data(jax.random.key(0)), *cast(list, leaves)
    )
    assert exported.platforms == PLATFORMS


BRIDGED: dict[str, Callable[[], tuple[Any, Any]]] = {
    "Gaussians": lambda: (OrnsteinUhlenbeck(), GAUSSIANS["scalar"]),
    "Gaussians, own covariances": lambda: (OrnsteinUhlenbeck(), GAUSSIANS["own"]),
    "atoms under noise": lambda: (OrnsteinUhlenbeck(), REAL),
    "atoms under a mask": lambda: (Masking(), ATOMS),
    "product, masked": lambda: (Masking(), DISCRETE["product"]),
    "product, letters flipped": lambda: (BinarySymmetric(), DISCRETE["product"]),
}


@pytest.mark.parametrize(
    "name", [n if n in ("Gaussians", "product, masked") else pytest.param(n, marks=pytest.mark.slow) for n in BRIDGED]
)
def test_bridges_and_their_pilot_lower_for_every_platform(name):
    process, population = checked_pair(*BRIDGED[name]())
    shown, times = as_times(process, population, [0.1, 0.3])
    sides = (component_mask(population, side, "a") for side in (0, 1))
    problem, log_z, _ = bridge_problem(process, population, shown, times, *sides)
    assert problem is not None
    lowers(BridgeKernel(8), problem)
    lowers(PilotKernel(), (problem, jnp.asarray(log_z, problem.share.dtype), problem.population))


@pytest.mark.parametrize("process", [Masking(), Product((Masking(), Masking()), SPLIT)], ids=lambda p: type(p).__name__)
def test_masks_lower_for_every_platform(process):
    process, atoms = checked_pair(process, ATOMS)
    assert isinstance(atoms, Empirical)
    times = as_times(process, atoms, [0.1, 0.3])[1]
    side = jnp.asarray([0.5, 0.5, 0.0, 0.0])
    lowers(MaskKernel(), (process, atoms.data, side, side[::-1], times))


def shrunk(mean, y, t):
    del t
    return 0.5 * (y + mean)


@pytest.mark.parametrize(
    "schedule", [OrnsteinUhlenbeck(), VarianceExploding(), FlowMatching()], ids=lambda s: type(s).__name__
)
def test_ratios_of_paths_lower_for_every_platform(schedule):
    a, b = (
        LearnedDiffusion(Partial(shrunk, jnp.asarray(mean)), schedule, (3,), "x0").canonical() for mean in MEANS[:2]
    )
    grid = jnp.asarray([0.1, 0.2, 0.4, 0.8])
    lowers(PathRatioKernel(), (a, b, grid, jnp.asarray([0, 2], jnp.int32), jnp.asarray(jnp.inf)))
