"""Every per-block function lowers for CPU, GPU and TPU."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.divergence.checks import as_times, checked_pair
from sloc.divergence.measurement import MeasureKernel
from sloc.populations import Empirical, GaussianMixture, MarkovChains, ProductCategorical, SparseRegression
from sloc.processes import (
    BinarySymmetric,
    FlowMatching,
    LinearGaussian,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Truncation,
    VarianceExploding,
)
from tests.populations.examples import DISCOURSE, EXAMPLES, HIDDEN, REGRESSION, TOKENS, WALK, rows

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
# What takes long to lower stands in the slow tier.
LONG: list[Any] = [
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
    process, population = checked_pair(process, population)
    times = as_times(process, population, [1, 2] if process.discrete else [0.1, 0.3])[1]
    k = population.num_components
    terms = [s.bind(population) for s in (sloc.TV(0, 1), sloc.Labels(0), sloc.Information())]
    stacks = tuple({f: jnp.asarray(v)[None] for f, v in t.arrays.items()} for t in terms)
    kernel = MeasureKernel(tuple(t.kind for t in terms), 4)
    index = jnp.arange(k, dtype=jnp.int32)
    args: Any = (process, population, times, index, index, stacks)
    leaves, structure = jax.tree.flatten(args)

    def block(key_data, *leaves):
        state = kernel.setup(jax.tree.unflatten(structure, leaves))
        return kernel(state, jax.random.wrap_key_data(key_data))

    exported = jax.export.export(jax.jit(block), platforms=("cpu", "cuda", "tpu"))(
        jax.random.key_data(jax.random.key(0)), *cast(list, leaves)
    )
    assert exported.platforms == ("cpu", "cuda", "tpu")
