"""Labelled images under masking: four ways to all statistics of the digits suite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.answers import Answers, Digits, statistics
from benchmarks.peers.atoms import All, draw_indices, in_blocks, in_threads

Array = jax.Array


def jax_as_written(digits: Digits, n: int, batch: int = 32) -> All:
    """Compare every image with every masked image at every time, vmapped; share of each class that agrees."""
    data, times = jnp.asarray(digits.data), jnp.asarray(digits.times, jnp.float32)
    per_class, k = n // digits.classes, digits.classes

    def path(key: Array, x: Array) -> Array:
        uniform = jax.random.uniform(key, x.shape)

        def at(t: Array) -> Array:
            known = uniform >= t
            agree = jax.vmap(lambda atom: jnp.all(~known | (atom == x)))(data).astype(jnp.float32)
            return jnp.log(jnp.stack([jnp.mean(agree[s]) for s in digits.slices]))

        return jax.vmap(at)(times)

    @jax.jit
    def run(key: Array) -> Answers:
        key_x, key_u = jax.random.split(key)
        index = draw_indices(digits, key_x, per_class)
        keys = jax.random.split(key_u, index.shape[0])
        log_p = jax.lax.map(lambda kx: path(*kx), (keys, data[index]), batch_size=min(batch, n))
        return _statistics(jnp, digits, jnp.moveaxis(log_p, 0, -1).reshape(-1, k, k, per_class))

    return lambda seed: jax.device_get(run(jax.random.key(seed)))


def jax_in_blocks(digits: Digits, n: int, per_class: int = 102) -> All:
    """sloc's algebra by hand: the largest threshold among differing pixels once, each time one comparison an image."""
    per_class, k = min(per_class, n // digits.classes), digits.classes
    data, times = jnp.asarray(digits.data), jnp.asarray(digits.times, jnp.float32)
    steps = jnp.arange(times.shape[0], dtype=jnp.uint8)
    sizes = jnp.asarray(digits.counts, jnp.float32)[:, None]

    def block(key: Array) -> Answers:
        key_x, key_u = jax.random.split(key)
        index = draw_indices(digits, key_x, per_class)
        x = data[index]
        first = jnp.searchsorted(times, jax.random.uniform(key_u, x.shape)).astype(jnp.uint8)

        def settle(x: Array, first: Array) -> Array:
            return jnp.max(jnp.where(data != x[None], first[None], jnp.uint8(0)), axis=1)

        agreed = jax.vmap(settle, out_axes=-1)(x, first)

        def at(step: Array) -> Array:
            hit = agreed <= step
            return jnp.log(jnp.stack([jnp.sum(hit[s], axis=0, dtype=jnp.float32) for s in digits.slices]) / sizes)

        return _statistics(jnp, digits, jax.lax.map(at, steps).reshape(-1, k, k, per_class))

    return in_blocks(block, max(n // (per_class * k), 1))


def numpy_as_written(digits: Digits, n: int) -> All:
    """Count the pixels in which image and masked image are seen to differ, by broadcasting, at each time."""
    per_class, k = n // digits.classes, digits.classes

    def run(seed: int) -> Answers:
        rng = np.random.default_rng(seed)
        index = np.concatenate([rng.integers(s.start, s.stop, per_class) for s in digits.slices])
        x = digits.data[index]
        uniform = rng.uniform(size=x.shape)
        differ = digits.data[:, None, :] != x[None, :, :]
        out = []
        for t in digits.times:
            agree = ~np.any(differ & (uniform >= t)[None], axis=2)
            out.append([agree[s].mean(axis=0) for s in digits.slices])
        with np.errstate(divide="ignore"):
            log_p = np.log(np.asarray(out))
        return _statistics(np, digits, log_p.reshape(-1, k, k, per_class))

    return run


def numpy_in_blocks(digits: Digits, n: int, per_class: int = 12) -> All:
    """sloc's algebra on bytes: the largest threshold index among differing pixels, then one histogram a class."""
    per_class, k = min(per_class, n // digits.classes), digits.classes
    count = digits.times.size
    levels = {v: i for i, v in enumerate(np.unique(digits.data))}
    data = np.vectorize(levels.__getitem__, otypes=[np.uint8])(digits.data).T.copy()  # [d, N]
    sizes = np.asarray(digits.counts, np.float32)[:, None]

    def block(rng: np.random.Generator) -> Answers:
        index = np.concatenate([rng.integers(s.start, s.stop, per_class) for s in digits.slices])
        x = data[:, index]
        first = np.searchsorted(digits.times, rng.random(x.shape, np.float32)).astype(np.uint8)
        agreed = np.zeros((index.size, data.shape[1]), np.uint8)
        differ = np.empty(agreed.shape, bool)
        work = np.empty_like(agreed)
        for pixel in range(data.shape[0]):
            np.not_equal(data[pixel][None, :], x[pixel][:, None], out=differ)
            np.multiply(differ.view(np.uint8), first[pixel][:, None], out=work)
            np.maximum(agreed, work, out=agreed)
        cells = agreed + (count + 1) * np.arange(index.size, dtype=np.int32)[:, None]
        tables = [
            np.bincount(cells[:, s].ravel(), minlength=index.size * (count + 1)).reshape(index.size, count + 1)
            for s in digits.slices
        ]
        agree = np.cumsum(np.stack(tables), axis=2, dtype=np.float32)[:, :, :count]  # [K, B, T]
        with np.errstate(divide="ignore"):
            log_p = np.log(np.moveaxis(agree, 2, 0) / sizes)
        return _statistics(np, digits, log_p.reshape(-1, k, k, per_class))

    return in_threads(block, max(n // (per_class * k), 1))


def _statistics(xp: Any, digits: Digits, log_p: Any) -> Answers:
    # A class without agreeing images has probability zero; a large negative number keeps differences defined.
    return statistics(xp, digits, xp.maximum(log_p, np.float32(-1e4)))
