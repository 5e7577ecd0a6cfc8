"""Labelled images under Ornstein-Uhlenbeck: four ways to all statistics of the digits suite."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.answers import Answers, Digits, statistics
from benchmarks.peers.numpy_sums import centred, class_logs, drawn

Array = jax.Array
All = Callable[[int], Answers]


def workers() -> int:
    """Threads for NumPy: one a core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def averaged(parts: list[Answers]) -> Answers:
    """Average answers of equally large batches."""
    return {k: sum(np.asarray(p[k], np.float64) for p in parts) / len(parts) for k in parts[0]}


def draw_indices(digits: Digits, key: Array, per_class: int) -> Array:
    """Draw ``per_class`` images of each class, ``[K per_class]``, class by class."""
    counts = jnp.asarray(digits.counts)
    offsets = jnp.asarray([s.start for s in digits.slices])
    source = jnp.repeat(jnp.arange(digits.classes), per_class)
    return offsets[source] + jax.random.randint(key, source.shape, 0, counts[source])


def in_blocks(block: Callable[[Array], Answers], blocks: int) -> All:
    """Average a jitted block over keys without leaving the device."""

    @jax.jit
    def run(key: Array) -> Answers:
        def add(i: Array, total: Answers) -> Answers:
            return jax.tree.map(jnp.add, total, block(jax.random.fold_in(key, i)))

        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(block, key))
        return jax.tree.map(lambda v: v / blocks, jax.lax.fori_loop(0, blocks, add, zero))

    return lambda seed: jax.device_get(run(jax.random.key(seed)))


def in_threads(block: Callable[[np.random.Generator], Answers], blocks: int) -> All:
    """Average a NumPy block over generators, one thread a core (NumPy lets go of the interpreter in its loops)."""

    def run(seed: int) -> Answers:
        with ThreadPoolExecutor(workers()) as pool:
            return averaged(list(pool.map(block, np.random.default_rng(seed).spawn(blocks))))

    return run


# --- JAX -------------------------------------------------------------------------------------------------


def jax_as_written(digits: Digits, n: int, batch: int = 32) -> All:
    """``log_prob`` of every image at every time, vmapped over images, times and trajectories; log-sum-exp by class."""
    data, times = jnp.asarray(digits.data), jnp.asarray(digits.times, jnp.float32)
    per_class = n // digits.classes

    def path(key: Array, x: Array) -> Array:
        def at(t: Array) -> Array:
            a, sigma = jnp.exp(-t), jnp.sqrt(-jnp.expm1(-2 * t))
            y = a * x + sigma * jax.random.normal(key, x.shape)
            log_p = jax.vmap(lambda atom: jnp.sum(jax.scipy.stats.norm.logpdf(y, a * atom, sigma)))(data)
            return jnp.stack([jax.scipy.special.logsumexp(log_p[s]) - np.log(s.stop - s.start) for s in digits.slices])

        return jax.vmap(at)(times)

    @jax.jit
    def run(key: Array) -> Answers:
        key_x, key_z = jax.random.split(key)
        index = draw_indices(digits, key_x, per_class)
        keys = jax.random.split(key_z, index.shape[0])
        log_p = jax.lax.map(lambda kx: path(*kx), (keys, data[index]), batch_size=min(batch, n))
        k = digits.classes
        return statistics(jnp, digits, jnp.moveaxis(log_p, 0, -1).reshape(-1, k, k, per_class))

    return lambda seed: jax.device_get(run(jax.random.key(seed)))


def jax_in_blocks(digits: Digits, n: int, per_class: int = 102) -> All:
    """By hand: inner products once, each time one exponential an image, blocks of 1,020 draws."""
    per_class = min(per_class, n // digits.classes)
    data = jnp.asarray(digits.data - digits.data.mean(axis=0))
    norms = jnp.sum(data * data, axis=1)
    t = jnp.asarray(digits.times, jnp.float32)
    rates = jnp.exp(-t) / jnp.sqrt(-jnp.expm1(-2 * t))
    k = digits.classes

    def block(key: Array) -> Answers:
        key_x, key_z = jax.random.split(key)
        index = draw_indices(digits, key_x, per_class)
        x, z = data[index], jax.random.normal(key_z, (index.shape[0], data.shape[1]))
        square = norms[:, None] + norms[index][None] - 2 * (data @ x.T)
        cross = jnp.sum(x * z, axis=1)[None] - data @ z.T
        own = jnp.arange(data.shape[0])[:, None] == index[None]
        square, cross = jnp.where(own, 0.0, square), jnp.where(own, 0.0, cross)

        def at(r: Array) -> Array:
            log_p = -0.5 * r * r * square - r * cross
            out = []
            for s in digits.slices:
                top = jnp.max(log_p[s], axis=0)
                out.append(jnp.log(jnp.sum(jnp.exp(log_p[s] - top), axis=0)) + top - np.log(s.stop - s.start))
            return jnp.stack(out)

        return statistics(jnp, digits, jax.lax.map(at, rates).reshape(-1, k, k, per_class))

    return in_blocks(block, max(n // (per_class * k), 1))


# --- NumPy -----------------------------------------------------------------------------------------------


def numpy_as_written(digits: Digits, n: int) -> All:
    """float64, ``cdist`` between observations and shrunken images at each time, SciPy's log-sum-exp by class."""
    from scipy.spatial.distance import cdist
    from scipy.special import logsumexp

    data = digits.data.astype(np.float64)
    per_class, k = n // digits.classes, digits.classes

    def run(seed: int) -> Answers:
        rng = np.random.default_rng(seed)
        index = np.concatenate([rng.integers(s.start, s.stop, per_class) for s in digits.slices])
        x = data[index]
        z = rng.normal(size=x.shape)
        out = []
        for t in digits.times:
            a, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
            log_p = -0.5 * cdist(a * data, a * x + sigma * z, "sqeuclidean") / sigma**2
            out.append([logsumexp(log_p[s], axis=0) - np.log(s.stop - s.start) for s in digits.slices])
        return statistics(np, digits, np.asarray(out).reshape(-1, k, k, per_class))

    return run


def numpy_in_blocks(digits: Digits, n: int, per_class: int = 12) -> All:
    """Float32, inner products once, each time one exponential an image, blocks that stay in cache, a thread a core."""
    per_class, k = min(per_class, n // digits.classes), digits.classes
    given = centred(digits)

    def block(rng: np.random.Generator) -> Answers:
        log_p = class_logs(digits, given, *drawn(digits, rng, per_class))
        return statistics(np, digits, log_p.reshape(-1, k, k, per_class))

    return in_threads(block, max(n // (per_class * k), 1))
