"""sloc's algebra for labelled atoms in float32 NumPy: inner products once, in place, blocks that stay in cache.

Twice: with one exponential for each draw, image and time (:func:`class_logs`), and with low rates interpolated from ten
nodes as sloc does (:func:`class_logs_by_nodes`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BarycentricInterpolator

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


def _products(data: np.ndarray, norms: np.ndarray, index: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``-|x - x_i|^2 / 2`` and ``-<z, x - x_i>``, ``[N, B]`` each; 0 exactly at a draw's own atom."""
    x = data[index]
    half = data @ x.T - 0.5 * (norms[:, None] + norms[index][None])
    cross = data @ z.T - np.sum(x * z, axis=1)
    half[index, np.arange(index.size)] = cross[index, np.arange(index.size)] = 0
    return half, cross


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
    half, cross = _products(data, norms, index, z)
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


NODES = 10
_REACH = 0.5 + 0.25 * (8 + 1 / 8)
"""How far beyond the largest low rate sloc's bound looks, as a multiple of it."""


@dataclass(frozen=True)
class LowRates:
    """Rates of one class at which the mean of exponentials over its images is a polynomial to rounding.

    Attributes:
        low: ``[T]``, which rates.
        nodes: ``[NODES]``, rates at which it is formed; none where there are fewer low rates than that.
        weights: ``[low rates, NODES]``, of the nodes in each value; at rate 0 the mean is 1.

    """

    low: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray


def low_rates(digits: Digits, given: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[LowRates]:
    """Choose the low rates of each class as sloc does, by its images' mean square distance from their mean.

    Without the two sums more by which sloc bounds the error of each draw: here it was looked at once.
    """
    data, _, rates = given
    found = []
    for s in digits.slices:
        spread = np.mean(np.sum(np.square(data[s] - data[s].mean(axis=0)), axis=1))
        low = 0.5 * np.square(_REACH * rates) * spread < 3
        low &= low.sum() > NODES + 2
        points = 0.5 * (1 - np.cos(np.pi * np.arange(NODES + 1) / NODES)) * (rates[low].max() if low.any() else 1)
        basis = BarycentricInterpolator(points, np.eye(NODES + 1))(rates[low].astype(np.float64))
        found.append(
            LowRates(low, points[1:].astype(np.float32) if low.any() else points[:0], basis[:, 1:].astype("f4"))
        )
    return found


def class_logs_by_nodes(
    digits: Digits,
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    chosen: list[LowRates],
    index: np.ndarray,
    z: np.ndarray,
) -> np.ndarray:
    """Return what :func:`class_logs` does, with the low rates of each class from sums at ten nodes.

    Args:
        digits: the classes.
        given: what :func:`centred` returned.
        chosen: what :func:`low_rates` returned.
        index: ``[B]``, the atoms drawn.
        z: ``[B, d]``, their noise.

    """
    data, norms, rates = given
    half, cross = _products(data, norms, index, z)
    log_p = np.empty((rates.size, digits.classes, index.size), np.float32)
    work = np.empty((max(digits.counts), index.size), np.float32)
    for c, (s, of) in enumerate(zip(digits.slices, chosen, strict=True)):
        h, linear, part = half[s], cross[s], work[: s.stop - s.start]
        for i in np.flatnonzero(~of.low):
            np.multiply(h, rates[i], out=part)
            part += linear
            part *= rates[i]
            top = part.max(axis=0)
            part -= top
            np.exp(part, out=part)
            log_p[i, c] = np.log(part.sum(axis=0)) + top
        if not of.nodes.size:
            continue
        middle, slope, excess = h.mean(axis=0), linear.mean(axis=0), np.empty((NODES, index.size), np.float32)
        for j, r in enumerate(of.nodes):
            np.multiply(h, r, out=part)
            part += linear
            part *= r
            part -= r * (r * middle + slope)
            np.exp(part, out=part)
            excess[j] = part.mean(axis=0) - 1
        r = rates[of.low, None]
        log_p[of.low, c] = r * (r * middle + slope) + np.log1p(of.weights @ excess) + np.log(np.float32(len(part)))
    return log_p - np.log(np.asarray(digits.counts, np.float32))[:, None]
