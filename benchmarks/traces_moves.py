"""Scoring of detected moves against a reference curve, and detectors to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.traces_truth import distances
from sloc.windows.posterior_moves import spaced_maxima

EVENT, NO_EVENT = 0.35, 0.25
"""A reference move of at least the first is an event, of at most the second none; between is not scored."""


@dataclass(frozen=True)
class Score:
    """Counts over questions.

    Attributes:
        hits: detections with an event near.
        false: detections with no reference move above :data:`NO_EVENT` near.
        events: events of the reference.
        found: events with a detection near.

    """

    hits: int
    false: int
    events: int
    found: int

    @property
    def fdr(self) -> float:
        """Share of false ones among the detections that are scored."""
        return self.false / max(self.hits + self.false, 1)

    @property
    def power(self) -> float:
        """Share of events that were found."""
        return self.found / max(self.events, 1)


def reference_events(reference: np.ndarray, gap: int, tolerance: int) -> list[int]:
    """Start indices of events, the largest first, further than ``tolerance`` apart."""
    d = distances(reference, gap)
    return spaced_maxima(d, np.arange(d.size), EVENT, tolerance)


def score(detections: Sequence[Sequence[int]], references: Sequence[np.ndarray], gap: int, tolerance: int) -> Score:
    """Count hits and false detections over questions.

    Args:
        detections: for each question the start indices of detected pairs.
        references: ``[T, A]`` each.
        gap: positions between the two ends of a pair.
        tolerance: how near is near, in positions.

    """
    hits = false = events = found = 0
    for starts, reference in zip(detections, references, strict=True):
        d = distances(reference, gap)
        own = reference_events(reference, gap, tolerance)
        events += len(own)
        found += sum(any(abs(s - e) <= tolerance for s in starts) for e in own)
        for s in starts:
            near = d[max(0, s - tolerance) : s + tolerance + 1]
            hits += bool(near.size and near.max() >= EVENT)
            false += bool(not near.size or near.max() <= NO_EVENT)
    return Score(hits, false, events, found)


def by_threshold(curves: Sequence[np.ndarray], threshold: float, gap: int, tolerance: int) -> list[list[int]]:
    """Detections of "TV of the curve over the gap exceeds the threshold", spaced by the tolerance."""
    out = []
    for curve in curves:
        d = distances(curve, gap)
        out.append(spaced_maxima(d, np.arange(d.size), threshold + 1e-12, tolerance))
    return out


def power_at(
    curves: Sequence[np.ndarray], references: Sequence[np.ndarray], fdr: float, gap: int, tolerance: int
) -> tuple[float, Score]:
    """Score of thresholding curves, the lowest threshold at which the realised false-discovery rate is at most ``fdr``.

    The threshold is chosen on the reference itself: more than any user could know, in favour of the curve.
    """
    best: tuple[float, Score] | None = None
    for threshold in np.arange(0.98, 0.1, -0.02):
        got = score(by_threshold(curves, float(threshold), gap, tolerance), references, gap, tolerance)
        if got.hits + got.false and got.fdr <= fdr and (best is None or got.power >= best[1].power):
            best = float(threshold), got
    return best or (1.0, score([[] for _ in curves], references, gap, tolerance))
