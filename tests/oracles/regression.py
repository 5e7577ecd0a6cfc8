"""Sparse regression as dense Gaussians, float64 NumPy: each support by itself; nothing here uses the library."""

from __future__ import annotations

import itertools

import numpy as np


def row_covariance(features: int, support: tuple[int, ...] | None, sparsity: int, variance: float) -> np.ndarray:
    """Covariance of ``(a, b)``; ``support`` None for the null."""
    out = np.eye(features + 1)
    out[-1, -1] = sparsity + variance
    if support is not None:
        out[-1, list(support)] = out[list(support), -1] = 1.0
    return out


def log_density(rows: np.ndarray, known: np.ndarray, sigma: np.ndarray) -> float:
    """Log density of the seen entries of independent rows ``N(0, sigma)``."""
    total = 0.0
    for row, seen in zip(rows, known, strict=True):
        keep = np.flatnonzero(seen)
        if keep.size:
            part = sigma[np.ix_(keep, keep)]
            total -= 0.5 * (row[keep] @ np.linalg.solve(part, row[keep]) + np.linalg.slogdet(2 * np.pi * part)[1])
    return total


def log_marginals(rows: np.ndarray, known: np.ndarray, sparsity: int, variance: float) -> np.ndarray:
    """``[2]``: log of the mean over supports, and the null."""
    n = rows.shape[1] - 1
    logs = [
        log_density(rows, known, row_covariance(n, s, sparsity, variance))
        for s in itertools.combinations(range(n), sparsity)
    ]
    null = log_density(rows, known, row_covariance(n, None, sparsity, variance))
    return np.array([np.logaddexp.reduce(logs) - np.log(len(logs)), null])
