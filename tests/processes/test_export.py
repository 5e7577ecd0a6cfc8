"""Every method of the newer processes lowers for CPU, GPU and TPU."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.processes import (
    Erasure,
    HalfSpace,
    LinearGaussian,
    OrnsteinUhlenbeck,
    Poisson,
    Product,
    Projected,
    RateMatrix,
    Retimed,
    Table,
    UniformCTMC,
)

REAL, BITS = jnp.asarray([0.5, 1.0, 2.0]), jnp.asarray([0, 1, 1], jnp.int32)
SYMMETRIC = np.asarray([[-1.0, 1.0], [1.0, -1.0]])
CASES = {
    "Erasure": (Erasure([1.0, 2.0, 3.0]), BITS),
    "HalfSpace": (HalfSpace([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], 0.1, 0.2), REAL),
    "LinearGaussian": (LinearGaussian([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], np.eye(2)), REAL),
    "Poisson": (Poisson(), REAL),
    "Projected": (Projected(OrnsteinUhlenbeck(), [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), REAL),
    "RateMatrix, uniformisation": (RateMatrix(SYMMETRIC), BITS),
    "RateMatrix, expm": (RateMatrix(SYMMETRIC, method="expm"), BITS),
    "RateMatrix, eigh": (RateMatrix(SYMMETRIC, [0.5, 0.5], "eigh"), BITS),
    "UniformCTMC": (UniformCTMC(2), BITS),
    "Product of Retimed": (
        Product((Retimed(OrnsteinUhlenbeck(), Table([0.0, 1.0], [0.0, 5.0])), OrnsteinUhlenbeck()), ((0, 2), (1,))),
        REAL,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_methods_lower_for_every_platform(case):
    process, x = CASES[case]
    leaves, structure = jax.tree.flatten((process.canonical(), x, jnp.float32(0.3), jnp.float32(0.6)))

    def methods(key_data, *leaves):
        process, x, s, t = jax.tree.unflatten(structure, leaves)
        keys = jax.random.split(jax.random.wrap_key_data(key_data), 3)
        early = process.sample(keys[0], x, s)
        late = process.degrade(keys[1], early, s, t)
        return late, process.log_prob(late, x, t), process.bridge(keys[2], late, x, s, t)

    key: Any = jax.random.key_data(jax.random.key(0))
    exported = jax.export.export(jax.jit(methods), platforms=("cpu", "cuda", "tpu"))(key, *cast(list, leaves))
    assert exported.platforms == ("cpu", "cuda", "tpu")
