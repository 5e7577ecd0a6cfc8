"""Numbers read off a batch of pytrees, on which laws are compared."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_MOST_COLUMNS = 1024
_SINGLE_COLUMNS = 6


def coordinates(batch: Any) -> np.ndarray:
    """Return every coordinate of every leaf as float64 columns, ``[N, D]``, at most 1,024 of them.

    Args:
        batch: a pytree whose leaves have a leading axis ``N``; complex leaves give two columns per
            coordinate, PRNG keys none.

    """
    columns = []
    for leaf in jax.tree.leaves(batch):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        matrix: np.ndarray = np.asarray(leaf).reshape(leaf.shape[0], -1)
        parts = [np.real(matrix), np.imag(matrix)] if np.iscomplexobj(matrix) else [matrix]
        columns += [part.astype(np.float64) for part in parts]
    matrix = np.concatenate(columns, axis=1)
    keep = np.unique(np.linspace(0, matrix.shape[1] - 1, _MOST_COLUMNS).astype(int)) if matrix.shape[1] else []
    return matrix[:, keep]


def standardize(*matrices: np.ndarray) -> list[np.ndarray]:
    """Shift and scale columns by the pooled mean and spread, so that exchangeability is kept."""
    pooled = np.concatenate(matrices)
    pooled = np.where(np.isfinite(pooled), pooled, 0.0)
    center, scale = pooled.mean(axis=0), pooled.std(axis=0)
    # A spread at the level of rounding is a constant column, not a signal to be blown up.
    scale = np.where(scale > 1e-6 * np.maximum(1e-30, np.abs(center)), scale, np.inf)
    return [np.where(np.isfinite(m), (m - center) / scale, np.sign(m) * 10.0) for m in matrices]


def summaries(columns: np.ndarray) -> np.ndarray:
    """Return ``[N, F]`` summaries of standardized columns: a few of them, sums, a projection, squares, products."""
    n, d = columns.shape
    if d == 0:
        return np.zeros((n, 0))
    single = columns[:, np.unique(np.linspace(0, d - 1, _SINGLE_COLUMNS).astype(int))]
    if d == 1:
        return single
    signs = np.where(np.random.default_rng(0).random(d) < 0.5, -1.0, 1.0)
    pooled = [columns.sum(1), columns @ signs, (columns**2).sum(1), (columns[:, :-1] * columns[:, 1:]).sum(1)]
    return np.concatenate([single, np.stack(pooled, axis=1) / np.sqrt(d)], axis=1)


def joint_summaries(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return summaries of a pair of standardized batches: each alone, sums of products, single products."""
    a, b = summaries(first), summaries(second)
    cross = [a[:, :_SINGLE_COLUMNS] * b[:, :_SINGLE_COLUMNS]] if a.shape[1] == b.shape[1] else []
    if first.shape == second.shape and first.shape[1] > 1:
        cross.append((first * second).sum(1, keepdims=True) / np.sqrt(first.shape[1]))
    return np.concatenate([a, b, *cross], axis=1)


def residual_scores(columns: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Fit a direction that predicts ``residuals`` on the first half; return its score on the second.

    The result has shape ``[N - N//2, 2]``.
    The halves are independent, so the scores are legitimate test functions for the second half.  Two
    scores: linear in the columns, and linear in their squares.
    """
    half = len(columns) // 2
    result = []
    for matrix in (columns, columns**2 - 1.0):
        direction = matrix[:half].T @ residuals[:half] / max(half, 1)
        score = matrix[half:] @ direction
        spread = np.sqrt(np.mean(score**2))
        result.append(np.tanh(score / spread) if spread > 0 else score)
    return np.stack(result, axis=1)


def probability_functions(log_odds: np.ndarray) -> np.ndarray:
    """Return ``[N, 5]`` bounded functions of claimed log-odds, to test their calibration with."""
    pi = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    side = np.sign(log_odds)
    sure = np.abs(2.0 * pi - 1.0)
    return np.stack(
        [np.ones_like(pi), 2.0 * pi - 1.0, side * (sure < 0.8), side * (sure >= 0.8), side * (sure >= 0.98)], axis=1
    )
