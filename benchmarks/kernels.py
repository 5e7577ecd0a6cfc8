"""The per-device kernels at working sizes: what one key block evaluates, and its arguments.

A block is 1,024 draws, of a pilot 256, of masks 64.

Kinds and populations are those whose lowering for CPU, GPU and TPU is tested; a name says process and population.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import sloc
from sloc import samplers
from sloc.contracts import component_mask
from sloc.divergence.bridge_setup import bridge_problem
from sloc.divergence.bridges import BridgeKernel
from sloc.divergence.checks import as_times, checked_pair
from sloc.divergence.masks import MaskKernel
from sloc.divergence.measurement import MeasureKernel
from sloc.divergence.pilot import PilotKernel
from sloc.divergence.sampler_bounds import PathRatioKernel
from sloc.engine.plan import BLOCK_DRAWS
from sloc.populations import (
    Empirical,
    GaussianMixture,
    HiddenMarkov,
    KalmanDiscourse,
    MarkovChains,
    ProductCategorical,
    RandomHierarchy,
    SparseRegression,
)
from sloc.processes import BinarySymmetric, Masking, OrnsteinUhlenbeck, Retimed, Steps, Truncation
from sloc.samplers.experiment_kernel import ExperimentKernel
from sloc.samplers.localization import LocalizeKernel
from sloc.samplers.localizer import as_argument

Built = tuple[Callable[..., Any], tuple[Any, ...]]
TIMES = 64


def _uniform(*shape: int) -> np.ndarray:
    rows = np.random.default_rng(0).uniform(0.1, 1.0, shape)
    return rows / rows.sum(axis=-1, keepdims=True)


def _mixture(components: int, d: int, covariances: Any = 1.0) -> GaussianMixture:
    means = np.random.default_rng(1).normal(size=(components, d))
    return GaussianMixture(np.full(components, 1 / components), means, covariances)


def _own(components: int, d: int) -> np.ndarray:
    roots = np.random.default_rng(2).normal(size=(components, d, d)) / d**0.5
    return roots @ np.swapaxes(roots, 1, 2) + np.eye(d)


def _atoms(count: int, d: int, discrete: bool) -> Empirical:
    rng = np.random.default_rng(3)
    data = rng.integers(0, 4, (count, d)) if discrete else rng.standard_normal((count, d), np.float32)
    return Empirical(data, np.arange(count) % 8)


def _rows(length: int, width: int) -> Retimed:
    return Retimed(Truncation(length * width), Steps(width * np.arange(length + 1)))


def measured(process: sloc.ObservationProcess, population: sloc.Population, times: int = TIMES) -> Built:
    """Return the kernel of :func:`sloc.measure` with a TV, label laws and the information."""
    process, population = checked_pair(process, population)
    grid = as_times(process, population, process.grid(times))[1]
    terms = [s.bind(population) for s in (sloc.TV(0, 1), sloc.Labels(0), sloc.Information())]
    stacks = tuple({f: jnp.asarray(v)[None] for f, v in term.arrays.items()} for term in terms)
    count = population.num_components
    kernel = MeasureKernel(tuple(term.kind for term in terms), max(BLOCK_DRAWS // count, 1))
    index = jnp.arange(count, dtype=jnp.int32)
    return _block(kernel, (process, population, grid, index, index, stacks))


def _block(kernel: Any, args: Any) -> Built:
    return (lambda args, key: kernel(kernel.setup(args), key)), (args, jax.random.key(0))


def _experiment(process: sloc.ObservationProcess, population: sloc.Population) -> Built:
    process, population = checked_pair(process, population)
    grid = as_times(process, population, process.grid(TIMES))[1]
    kernel = ExperimentKernel(1, None, "frequencies", population.num_components, 8)
    return _block(kernel, (process, population, population.log_weights, grid, None, None))


def _localization(make: Callable[..., samplers.Localizer], steps: int = 128) -> Built:
    process, population = OrnsteinUhlenbeck().canonical(), _mixture(8, 16).canonical()
    grid = jnp.linspace(0.01, 3.0, steps)
    localizer = as_argument(make(process, population))
    return _block(LocalizeKernel(), (localizer, grid, jnp.full((steps,), -1, jnp.int32)))


def _bridge(pilot: bool) -> Built:
    process, population = checked_pair(OrnsteinUhlenbeck(), _mixture(8, 16))
    shown, times = as_times(process, population, process.grid(TIMES))
    sides = (component_mask(population, side, "a") for side in ((0, 1, 2, 3), (4, 5, 6, 7)))
    problem, log_z, _ = bridge_problem(process, population, shown, times, *sides)
    assert problem is not None
    if not pilot:
        return _block(BridgeKernel(), problem)
    log_z = np.where(np.isfinite(log_z), log_z, 0.0)
    return _block(PilotKernel(), (problem, jnp.asarray(log_z, problem.share.dtype), problem.population))


def _masks() -> Built:
    process, atoms = checked_pair(Masking(), _atoms(256, 64, True))
    assert isinstance(atoms, Empirical)
    side = jnp.repeat(jnp.asarray([1 / 128, 0.0]), 128)
    return _block(MaskKernel(), (process, atoms.data, side, side[::-1], as_times(process, atoms, process.grid(16))[1]))


def _shrunk(mean: Any, y: Any, t: Any) -> Any:
    """Stand for a network, which would be all of the time."""
    del t
    return 0.5 * (y + mean)


def _path_ratios(steps: int = 64) -> Built:
    models = [
        samplers.LearnedDiffusion(Partial(_shrunk, jnp.full((16,), mean)), OrnsteinUhlenbeck(), (16,), "x0").canonical()
        for mean in (0.5, -0.5)
    ]
    grid, index = jnp.linspace(0.05, 3.0, steps + 1), jnp.arange(0, steps, 4, dtype=jnp.int32)
    return _block(PathRatioKernel(), (*models, grid, index, jnp.asarray(jnp.inf)))


def _hierarchy() -> Built:
    population = RandomHierarchy.random(jax.random.key(0), 8, 6, 2, 8, 4, one_hot=True)
    return measured(OrnsteinUhlenbeck(), population, 16)


def _forked(lanes: int = 256, slots: int = 128) -> Built:
    """One step of forked decoding, of the shape of stories260k, with rings that are half full."""
    from sloc.lm import random_model, read_prefix, small_config
    from sloc.lm.forked import empty_lanes
    from sloc.lm.lanes import run_lanes
    from sloc.lm.prefix import shared_of

    config = small_config(512, width=64, layers=5, heads=8, kv_heads=4, hidden=172, tied=True)
    model = random_model(jax.random.key(0), config)
    prefix = shared_of(read_prefix(model, np.arange(96)))
    rings = empty_lanes(config, lanes, lanes, slots + 1, jnp.float32)
    slot = jnp.asarray(slots - 1, jnp.int32)
    tokens, cuts, ages = (jnp.full(lanes, v, jnp.int32) for v in (7, 96, slots // 2))

    def step(weights: Any, *given: Any) -> Any:
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return run_lanes(config, weights, *given)[0]

    return step, (model.weights, prefix, rings.keys, rings.values, slot, tokens, cuts, ages)


_OU, _MASKING = OrnsteinUhlenbeck, Masking
KERNELS: dict[str, Callable[[], Built]] = {
    "OU; 2 Gaussians d = 64": lambda: measured(_OU(), _mixture(2, 64)),
    "OU; 8 Gaussians d = 16 one covariance": lambda: measured(_OU(), _mixture(8, 16, _own(1, 16)[0])),
    "OU; 8 Gaussians d = 16 own covariances": lambda: measured(_OU(), _mixture(8, 16, _own(8, 16))),
    "OU; 2048 atoms d = 64": lambda: measured(_OU(), _atoms(2048, 64, False)),
    "masking; 2048 atoms d = 64": lambda: measured(_MASKING(), _atoms(2048, 64, True)),
    "masking; 8 product laws L = 64 q = 4": lambda: measured(_MASKING(), ProductCategorical(_uniform(8, 64, 4))),
    "BSC; 2 coins L = 64": lambda: measured(BinarySymmetric(), ProductCategorical.coins([0.3, 0.6], 64)),
    "masking; 4 Markov chains L = 64 q = 4": lambda: measured(
        _MASKING(), MarkovChains(_uniform(4, 4), _uniform(4, 4, 4), 64)
    ),
    "truncation; 4 hidden Markov chains L = 64": lambda: measured(
        Truncation(64), HiddenMarkov(_uniform(4, 4), _uniform(4, 4, 4), _uniform(4, 4, 4), 64)
    ),
    "truncation; Kalman discourse 16 words": lambda: measured(
        _rows(16, 2), KalmanDiscourse([[1.0, 0.0], [0.3, 0.91**0.5]], 20.0, 16, 0.5)
    ),
    "truncation; sparse regression": lambda: measured(_rows(8, 9), SparseRegression(0.3, 8, 2, 8)),
    "OU; random hierarchy 64 leaves": _hierarchy,
    "forward-reverse; 8 Gaussians d = 16": lambda: _experiment(_OU(), _mixture(8, 16)),
    "localization; 8 Gaussians d = 16 128 steps": lambda: _localization(samplers.exact_localizer),
    "forked decoding; stories260k 256 lanes": _forked,
    "Euler reverse; 8 Gaussians d = 16 128 steps": lambda: _localization(samplers.euler_reverse),
    "bridges; OU 8 Gaussians d = 16": lambda: _bridge(False),
    "pilot of bridges; OU 8 Gaussians d = 16": lambda: _bridge(True),
    "masks; 256 atoms d = 64 16 times": _masks,
    "ratios of paths; d = 16 64 steps": _path_ratios,
}
"""Builders by name; nothing is made before it is asked for."""
