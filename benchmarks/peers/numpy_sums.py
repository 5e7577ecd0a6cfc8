"""sloc's algebra for labelled atoms in float32 NumPy: inner products once, in place, blocks that stay in cache."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.answers import Digits


def coefficients(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``a`` and ``sigma`` of Ornstein-Uhlenbeck noise."""
    return np.exp(-times), np.sqrt(-np.expm1(-2 * times))


def centred(digits: Digits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the centred images ``[N, d]``, their squared norms ``[N]`` and ``a / sigma`` at each time ``[T]``."""
    data = np.ascontiguousarray(digits.data - digits.data.mean(axis=0), np.float32)
    a, sigma = coefficients(digits.times)
    return data, np.sum(data * data, axis=1), (a / sigma).astype(np.float32)


def drawn(digits: Digits, rng: np.random.Generator, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw atoms of each class, class by class, and their noise: ``[B]`` and ``[B, d]``."""
    index = np.concatenate([rng.integers(s.start, s.stop, per_class) for s in digits.slices])
    return index, rng.standard_normal((index.size, digits.data.shape[1]), np.float32)


def class_logs(
    digits: Digits, given: tuple[np.ndarray, np.ndarray, np.ndarray], index: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Return ``log p_t^k(Y_t)`` up to a term that does not depend on ``k``, ``[T, K, B]``.

    Args:
        digits: the classes.
        given: what :func:`centred` returned.
        index: ``[B]``, the atoms drawn.
        z: ``[B, d]``, their noise.

    """
    data, norms, rates = given
    x = data[index]
    half = data @ x.T - 0.5 * (norms[:, None] + norms[index][None])
    cross = data @ z.T - np.sum(x * z, axis=1)
    half[index, np.arange(index.size)] = cross[index, np.arange(index.size)] = 0
    log_p = np.empty((rates.size, digits.classes, index.size), np.float32)
    work = np.empty_like(half)
    for i, r in enumerate(rates):
        np.multiply(half, r, out=work)
        work += cross
        work *= r
        for c, s in enumerate(digits.slices):
            part, top = work[s], work[s].max(axis=0)
            part -= top
            np.exp(part, out=part)
            log_p[i, c] = np.log(part.sum(axis=0)) + top
    return log_p - np.log(np.asarray(digits.counts, np.float32))[:, None]
