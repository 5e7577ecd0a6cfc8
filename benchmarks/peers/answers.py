"""From class log-likelihoods of labelled data to all statistics at once, in NumPy or JAX.

The statistics of the digits suite: all pairwise TVs, label laws from each class, mutual information in bits, clone
agreement; classes weighted by size, draws stratified by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Answers = dict[str, Any]


@dataclass(frozen=True)
class Digits:
    """Labelled images sorted by label, in ``[-1, 1]``.

    Attributes:
        data: ``[N, d]`` float32.
        counts: images in each class.
        times: ``[T]``.

    """

    data: np.ndarray
    counts: tuple[int, ...]
    times: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def slices(self) -> list[slice]:
        """Where each class stands."""
        ends = np.cumsum(self.counts)
        return [slice(int(e) - c, int(e)) for e, c in zip(ends, self.counts, strict=True)]

    @property
    def weights(self) -> np.ndarray:
        """Share of each class."""
        return np.asarray(self.counts, np.float64) / sum(self.counts)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of classes."""
        return [(i, j) for i in range(self.classes) for j in range(i + 1, self.classes)]


def statistics(xp: Any, digits: Digits, log_p: Any) -> Answers:
    """Average all statistics over one batch.

    Args:
        xp: ``numpy`` or ``jax.numpy``.
        digits: the classes.
        log_p: ``[T, K, K, R]``: time, class evaluated, class drawn from, draw.

    """
    log_w = xp.asarray(np.log(digits.weights), log_p.dtype)
    weights = xp.asarray(digits.weights, log_p.dtype)
    i, j = (np.array(side) for side in zip(*digits.pairs, strict=True))

    def overlap(of: np.ndarray, against: np.ndarray, source: np.ndarray) -> Any:
        gap = xp.abs(log_p[:, of, source] - log_p[:, against, source])
        e = xp.exp(-gap)
        return 2 * e / (1 + e)

    joint = log_p + log_w[None, :, None, None]
    joint = joint - xp.max(joint, axis=1, keepdims=True)
    pi = xp.exp(joint)
    total = xp.sum(pi, axis=1, keepdims=True)
    pi = pi / total
    safe = xp.where(pi > 0, joint - xp.log(total), xp.zeros_like(joint))
    entropy = -xp.sum(pi * safe, axis=1) / np.float32(np.log(2.0))
    agreement = xp.sum(pi * pi, axis=1)
    return {
        "tv": 1 - xp.mean(overlap(i, j, i) + overlap(j, i, j), axis=-1) / 2,
        "labels": xp.mean(pi, axis=-1),
        "information": -xp.sum(weights * log_w) / np.float32(np.log(2.0)) - xp.mean(entropy, axis=-1) @ weights,
        "clones": xp.mean(agreement, axis=-1) @ weights,
    }
