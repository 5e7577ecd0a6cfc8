"""TV of sparse regression and its null in double precision and without the library: the exact column of Thm. 5-6."""

from __future__ import annotations

import itertools
import math

import numpy as np

SPARSITY, VARIANCE, SAMPLES, EPSILON = 2, 0.02, 10, 0.1
DOUBLE = {20: 20_000, 100: 8_000, 300: 600}
"""Pairs of draws in double precision for the exact column; a row of 300 features sums 44,850 supports for each."""


def double_distances(features: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return TV after 0 .. ``SAMPLES`` samples and its standard error, in float64 and without the library.

    A mean of ``|tanh(l / 2)|`` over draws from signal and null, ``l`` exact: a sum over all supports,
    with ``(b - a_i - a_j)^2 = b^2 + g_i + g_j + 2 a_i a_j``, ``g_i = a_i (a_i - 2 b)``, added up sample by sample.
    """
    rng, (i, j) = np.random.default_rng(features), np.triu_indices(features, 1)
    total, values, batch = VARIANCE + SPARSITY, np.zeros((pairs, SAMPLES + 1)), max(60_000 // i.size, 1)
    for first, signal in itertools.product(range(0, pairs, batch), (True, False)):
        rows = slice(first, min(first + batch, pairs))
        size = rows.stop - first
        a, noise = rng.normal(size=(size, SAMPLES, features)), rng.normal(size=(size, SAMPLES))
        # Which two features make the signal does not matter: all supports have one law.
        b = a[..., 0] + a[..., 1] + math.sqrt(VARIANCE) * noise if signal else math.sqrt(total) * noise
        sums, square = np.zeros((size, i.size)), np.zeros(size)
        for n in range(1, SAMPLES + 1):
            x, y = a[:, n - 1], b[:, n - 1]
            single, square = x * (x - 2 * y[:, None]), square + y * y
            sums += single[:, i] + single[:, j] + 2 * x[:, i] * x[:, j]
            least = sums.min(1, keepdims=True)
            kept = np.log(np.exp((least - sums) / (2 * VARIANCE)).mean(1)) - least[:, 0] / (2 * VARIANCE)
            odds = kept - square / 2 * (1 / VARIANCE - 1 / total) - n / 2 * math.log(VARIANCE / total)
            values[rows, n] += np.abs(np.tanh(odds / 2)) / 2
    return values.mean(0), values.std(0) / math.sqrt(pairs)


def double_edges(tv: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Return the window of signal within both in samples removed; whole numbers, so exact where draws settle them."""
    for level in (1 - EPSILON**2, 2 * EPSILON):
        assert (np.abs(tv - level) > 6 * error).all(), f"TV is too close to {level} to say on which side it is"
    n = np.arange(SAMPLES + 1)
    return float(SAMPLES - n[tv >= 1 - EPSILON**2].min()), float(SAMPLES - n[tv / 2 <= EPSILON].max())
