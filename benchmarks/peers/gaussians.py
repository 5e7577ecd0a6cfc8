"""Two spherical Gaussians under Ornstein-Uhlenbeck: eight ways to the TV curve.

Every function takes the problem and a number of trajectories (half from each side) and returns a callable
``seed -> [T]``, the mean of ``|tanh(log-density difference / 2)|`` at each time.  None computes more than this mean;
sloc also returns variances and bands.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Curve = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class TwoGaussians:
    """``N(mean_0, I)`` and ``N(mean_1, I)`` with equal weights, seen at ``times`` of the OU process."""

    means: np.ndarray
    times: np.ndarray

    @staticmethod
    def make(d: int, times: np.ndarray, gap: float = 4.0) -> TwoGaussians:
        """Place the means ``gap`` apart in a random direction of ``R^d``."""
        direction = np.random.default_rng(1).normal(size=d)
        direction *= 0.5 * gap / np.linalg.norm(direction)
        return TwoGaussians(np.stack([direction, -direction]), times)

    @property
    def d(self) -> int:
        """The dimension."""
        return self.means.shape[1]

    def exact(self) -> np.ndarray:
        """``2 Phi(a |mean_0 - mean_1| / 2) - 1`` (unit variance stays unit)."""
        from scipy.special import erf

        gap = np.linalg.norm(self.means[0] - self.means[1])
        return erf(np.exp(-self.times) * gap / np.sqrt(8.0))

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """``(a, sigma)`` at the times."""
        return np.exp(-self.times), np.sqrt(-np.expm1(-2 * self.times))


def _sides(n: int) -> Array:
    return (jnp.arange(n) >= n // 2).astype(jnp.int32)


def _total_over_blocks(block: Callable[[Array], Array], blocks: int, key: Array) -> Array:
    def add(i: Array, total: Array) -> Array:
        return total + block(jax.random.fold_in(key, i))

    shape = jax.eval_shape(block, key).shape
    return jax.lax.fori_loop(0, blocks, add, jnp.zeros(shape)) / blocks


def _curve(jitted: Callable[[Array], Array]) -> Curve:
    return lambda seed: np.asarray(jitted(jax.random.key(seed)))


# --- JAX: fresh noise at every time, full dimension ---------------------------------------------------


def direct_as_written(problem: TwoGaussians, n: int) -> Curve:
    """One trajectory, one time, ``norm.logpdf``; vmapped over trajectories; fresh ``x`` and ``z`` at every time."""
    means, times = jnp.asarray(problem.means, jnp.float32), jnp.asarray(problem.times, jnp.float32)

    def one(key: Array, side: Array, t: Array) -> Array:
        key_x, key_z = jax.random.split(key)
        a, sigma = jnp.exp(-t), jnp.sqrt(-jnp.expm1(-2 * t))
        x = means[side] + jax.random.normal(key_x, means[0].shape)
        y = a * x + sigma * jax.random.normal(key_z, means[0].shape)
        sd = jnp.sqrt(a**2 + sigma**2)
        log_p = jax.vmap(lambda m: jnp.sum(jax.scipy.stats.norm.logpdf(y, a * m, sd)))(means)
        return jnp.abs(jnp.tanh(0.5 * (log_p[0] - log_p[1])))

    @jax.jit
    def curve(key: Array) -> Array:
        def at(args: tuple[Array, Array]) -> Array:
            t, key = args
            return jnp.mean(jax.vmap(one, (0, 0, None))(jax.random.split(key, n), _sides(n), t))

        return jax.lax.map(at, (times, jax.random.split(key, times.shape[0])))

    return _curve(curve)


def direct_in_blocks(problem: TwoGaussians, n: int, block: int = 4096) -> Curve:
    """The same by a careful user: ``y`` drawn from its marginal in one go (``d`` normals a time, not ``2 d``),
    one matrix-vector product for the log-density difference, blocks that stay in cache."""
    means = jnp.asarray(problem.means, jnp.float32)
    a, sigma = (jnp.asarray(c, jnp.float32) for c in problem.coefficients())
    variance = a**2 + sigma**2
    direction, block = means[0] - means[1], min(block, n)
    middle = 0.5 * (jnp.sum(means[0] ** 2) - jnp.sum(means[1] ** 2))
    source = means[_sides(block)]

    def one_block(key: Array) -> Array:
        def at(args: tuple[Array, ...]) -> Array:
            key, a, v = args
            y = a * source + jnp.sqrt(v) * jax.random.normal(key, source.shape)
            delta = (y @ direction - a * middle) * (a / v)
            return jnp.mean(jnp.abs(jnp.tanh(0.5 * delta)))

        return jax.lax.map(at, (jax.random.split(key, a.shape[0]), a, variance))

    return _curve(jax.jit(lambda key: _total_over_blocks(one_block, n // block, key)))


# --- JAX: common random numbers, full dimension --------------------------------------------------------


def common_as_written(problem: TwoGaussians, n: int, batch: int = 4096) -> Curve:
    """One ``(x, z)`` per trajectory, ``norm.logpdf`` at each time, vmapped over times and trajectories."""
    means, times = jnp.asarray(problem.means, jnp.float32), jnp.asarray(problem.times, jnp.float32)

    def one(key: Array, side: Array) -> Array:
        key_x, key_z = jax.random.split(key)
        x = means[side] + jax.random.normal(key_x, means[0].shape)
        z = jax.random.normal(key_z, means[0].shape)

        def at(t: Array) -> Array:
            a, sigma = jnp.exp(-t), jnp.sqrt(-jnp.expm1(-2 * t))
            y, sd = a * x + sigma * z, jnp.sqrt(a**2 + sigma**2)
            log_p = jax.vmap(lambda m: jnp.sum(jax.scipy.stats.norm.logpdf(y, a * m, sd)))(means)
            return jnp.abs(jnp.tanh(0.5 * (log_p[0] - log_p[1])))

        return jax.vmap(at)(times)

    @jax.jit
    def curve(key: Array) -> Array:
        keys, sides = jax.random.split(key, n), _sides(n)
        return jnp.mean(jax.lax.map(lambda ks: one(*ks), (keys, sides), batch_size=min(batch, n)), axis=0)

    return _curve(curve)


def common_in_blocks(problem: TwoGaussians, n: int, block: int = 4096) -> Curve:
    """A careful user's full dimension: ``y = a x + sigma z`` formed at each time for a block in cache, and one
    matrix-vector product for the log-density difference."""
    means = jnp.asarray(problem.means, jnp.float32)
    a, sigma = (jnp.asarray(c, jnp.float32) for c in problem.coefficients())
    direction, block = means[0] - means[1], min(block, n)
    middle = 0.5 * (jnp.sum(means[0] ** 2) - jnp.sum(means[1] ** 2))
    source = means[_sides(block)]

    def one_block(key: Array) -> Array:
        key_x, key_z = jax.random.split(key)
        x = source + jax.random.normal(key_x, source.shape)
        z = jax.random.normal(key_z, source.shape)

        def at(c: tuple[Array, Array]) -> Array:
            a, sigma = c
            delta = ((a * x + sigma * z) @ direction - a * middle) * (a / (a**2 + sigma**2))
            return jnp.mean(jnp.abs(jnp.tanh(0.5 * delta)))

        return jax.lax.map(at, (a, sigma))

    return _curve(jax.jit(lambda key: _total_over_blocks(one_block, n // block, key)))


def _inner_products(problem: TwoGaussians, n: int, block: int, full: bool) -> Curve:
    means = jnp.asarray(problem.means, jnp.float32)
    a, sigma = (jnp.asarray(c, jnp.float32)[:, None] for c in problem.coefficients())
    variance = a**2 + sigma**2
    direction, block = means[0] - means[1], min(block, n)
    length = jnp.linalg.norm(direction)
    source = (means @ direction - 0.5 * (jnp.sum(means[0] ** 2) - jnp.sum(means[1] ** 2)))[_sides(block)]

    def one_block(key: Array) -> Array:
        if full:
            key_x, key_z = jax.random.split(key)
            shape = (block, means.shape[1])
            x, z = (jax.random.normal(k, shape) @ direction for k in (key_x, key_z))
        else:
            x, z = length * jax.random.normal(key, (2, block))
        delta = (a**2 / variance) * (source + x)[None] + (a * sigma / variance) * z[None]
        return jnp.mean(jnp.abs(jnp.tanh(0.5 * delta)), axis=1)

    return _curve(jax.jit(lambda key: _total_over_blocks(one_block, n // block, key)))


def common_inner_products(problem: TwoGaussians, n: int, block: int = 4096) -> Curve:
    """sloc's algebra without its projection: ``x`` and ``z`` drawn in ``R^d``, their inner products with the
    difference of the means formed once, every time a combination of the two."""
    return _inner_products(problem, n, block, full=True)


def projected_by_hand(problem: TwoGaussians, n: int, block: int = 4096) -> Curve:
    """sloc's algebra, projection included, written for this one problem: two normals a trajectory."""
    return _inner_products(problem, n, block, full=False)


# --- NumPy -----------------------------------------------------------------------------------------------


def numpy_as_written(problem: TwoGaussians, n: int) -> Curve:
    """Common ``(x, z)`` in float64, squared distances to both means at each time."""
    means, (a, sigma) = problem.means, problem.coefficients()
    side = np.arange(n) >= n // 2

    def curve(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        x = means[side.astype(int)] + rng.normal(size=(n, problem.d))
        z = rng.normal(size=(n, problem.d))
        out = []
        for at, st in zip(a, sigma, strict=True):
            y = at * x + st * z
            log_p = [-0.5 * np.sum((y - at * m) ** 2, axis=1) / (at**2 + st**2) for m in means]
            out.append(np.mean(np.abs(np.tanh(0.5 * (log_p[0] - log_p[1])))))
        return np.array(out)

    return curve


def numpy_projected(problem: TwoGaussians, n: int, block: int = 8192) -> Curve:
    """sloc's algebra in float32: projected, blocks that stay in cache, in place, one thread a core."""
    means, (a, sigma) = problem.means, problem.coefficients()
    variance = a**2 + sigma**2
    on_x, on_z = ((c / variance).astype(np.float32) for c in (a**2, a * sigma))
    length, block = np.float32(np.linalg.norm(means[0] - means[1])), min(block, n)
    source = np.where(np.arange(block) >= block // 2, np.float32(-0.5), np.float32(0.5)) * length * length
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def work(rng: np.random.Generator, blocks: int) -> np.ndarray:
        total, delta, other = np.zeros(a.size), np.empty(block, np.float32), np.empty(block, np.float32)
        for _ in range(blocks):
            x, z = length * rng.standard_normal((2, block), np.float32)
            x += source
            for i, (p, q) in enumerate(zip(on_x, on_z, strict=True)):
                np.multiply(x, np.float32(0.5) * p, out=delta)
                np.multiply(z, np.float32(0.5) * q, out=other)
                delta += other
                np.tanh(delta, out=delta)
                np.abs(delta, out=delta)
                total[i] += delta.mean()
        return total

    def curve(seed: int) -> np.ndarray:
        blocks = n // block
        shares = [blocks // workers + (i < blocks % workers) for i in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            totals = list(pool.map(work, np.random.default_rng(seed).spawn(workers), shares))
        return np.sum(totals, axis=0) / blocks

    return curve
