"""Blocks, tiles, progress and compilations of the streaming loop."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput
from sloc.engine.plan import device_mesh
from sloc.engine.streaming import count_traces, stream
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck

KEY = jax.random.key(4)


@dataclass(frozen=True)
class Uniforms:
    """A kernel that shows its draws: ``[2, 1, size]``."""

    size: int = 16

    def setup(self, args):
        return args * 2

    def __call__(self, state, key):
        u = jax.random.uniform(key, (1, self.size))
        return {"u": u, "scaled": state * u}


def by_hand(blocks, size=16):
    draws = [np.asarray(jax.random.uniform(jax.random.fold_in(KEY, b), (size,)), np.float64) for b in range(blocks)]
    return np.concatenate(draws)


@pytest.mark.parametrize(("blocks", "tile"), [(1, 1), (7, 1), (7, 4), (8, 4), (3, 16)])
def test_blocks_are_folded_into_the_key_and_tiles_do_not_show(blocks, tile):
    found = stream(Uniforms(), jnp.float32(1.5), KEY, blocks, tile=tile)
    draws = by_hand(blocks)
    count, mean, variance = found["u"].on_host()
    assert count == draws.size
    np.testing.assert_allclose(mean, [draws.mean()], atol=1e-7)
    np.testing.assert_allclose(variance, [draws.var(ddof=1)], atol=1e-7)
    np.testing.assert_allclose(found["scaled"].on_host()[1], [3 * draws.mean()], atol=1e-6)


def test_progress_counts_blocks_and_changes_nothing():
    seen = []
    first = stream(
        Uniforms(), jnp.float32(1.0), KEY, 23, tile=2, plan=sloc.Plan(progress=lambda *a: seen.append(a), chunk=0)
    )
    second = stream(Uniforms(), jnp.float32(1.0), KEY, 23, tile=2)
    assert [t for _, t in seen] == [23] * len(seen)
    assert seen[-1][0] == 23
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)
    np.testing.assert_array_equal(first["u"].on_host()[1], second["u"].on_host()[1])


def test_inside_jit_the_numbers_are_the_same():
    inside = jax.jit(lambda a, k: stream(Uniforms(), a, k, 7).copy())(jnp.float32(1.5), KEY)
    np.testing.assert_allclose(inside["scaled"].on_device()[1], [3 * by_hand(7).mean()], atol=1e-6)


@pytest.mark.parametrize("devices", [0, 10_000, []])
def test_impossible_numbers_of_devices_are_refused(devices):
    with pytest.raises(InvalidInput, match="devices"):
        device_mesh(devices)


def two(means, variance=1.0, weights=(0.5, 0.5)):
    return GaussianMixture(weights, means, variance)


def test_one_compilation_per_shape():
    def measure(population, times, n, stats, key=KEY):
        return sloc.measure(key, OrnsteinUhlenbeck(), population, times, stats, n=n, method="monte-carlo")

    def kinds(a, b):
        return [sloc.TV(a, b), sloc.Labels(a)]

    measure(two([[1.0, 0.0], [-1.0, 0.0]]), [0.1, 0.2], 5000, kinds(0, 1))
    before = count_traces()
    measure(two([[1, 0], [-1, 0]], 2), [0.3, 0.4], 5000, kinds(0, 1))
    measure(two(np.float32([[1, 0], [-1, 3]]), np.float32(2)), np.float32([0.3, 0.5]), 100, kinds(1, 0))
    measure(
        two(jnp.ones((2, 2)), jnp.float32(0.1), jnp.asarray([0.3, 0.7])),
        jnp.asarray([1.0, 2.0]),
        100_000,
        kinds(0, 1),
        jax.random.key(9),
    )
    measure(two(np.float64([[1, 0], [-1, 3]]), np.float64(2), np.array([0.1, 0.9])), np.array([0, 5]), 2, kinds(0, 1))
    assert count_traces() == before
    # Another shape is another compilation, so the count can move.
    measure(two([[1.0, 0.0], [-1.0, 0.0]]), [0.1, 0.2, 0.3], 5000, kinds(0, 1))
    assert count_traces() == before + 1


def test_another_epsilon_does_not_recompile_a_window():
    def window(epsilon, n):
        return sloc.critical_window(
            KEY,
            OrnsteinUhlenbeck(),
            two([[3.0], [-3.0]]),
            0,
            [0, 1],
            epsilon=epsilon,
            n=n,
            method="monte-carlo",
            refine=False,
        )

    window(0.1, 4096)
    before = count_traces()
    window(0.2, 4096)
    window(np.float32(0.3), 10_000)
    assert count_traces() == before


def test_the_tile_of_measure_does_not_change_numbers():
    values = [
        sloc.tv_curve(
            KEY,
            OrnsteinUhlenbeck(),
            two([[1.0], [-1.0]]),
            [0.1, 0.5],
            0,
            1,
            n=9000,
            method="monte-carlo",
            plan=sloc.Plan(block=tile),
        ).value
        for tile in (1024, 5 * 1024)
    ]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)


def test_counts_that_would_overflow_are_refused():
    with pytest.raises(InvalidInput, match=r"n = .*: expected fewer than"):
        sloc.tv(KEY, OrnsteinUhlenbeck(), two([[1.0], [-1.0]]), 0.1, 0, 1, n=10**13, method="monte-carlo")
