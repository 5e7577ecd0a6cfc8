"""Scoring of detected moves against a reference curve, and detectors to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.traces_truth import distances
from sloc.results.outcome import Moves
from sloc.windows.likely_moves import spaced_maxima
from sloc.windows.outcome_curves import OutcomeCounts

EVENT, NO_EVENT = 0.35, 0.25
"""A reference move of at least the first is an event, of at most the second none; between is not scored."""


@dataclass(frozen=True)
class Score:
    """Counts, question by question.

    Attributes:
        each: ``[Q, 4]``: detections with an event near; detections with no reference move above :data:`NO_EVENT` near;
            events of the reference; events with a detection near.

    """

    each: np.ndarray

    @property
    def hits(self) -> int:
        """Detections with an event near."""
        return int(self.each[:, 0].sum())

    @property
    def false(self) -> int:
        """Detections with nothing near."""
        return int(self.each[:, 1].sum())

    @property
    def events(self) -> int:
        """Events of the reference."""
        return int(self.each[:, 2].sum())

    @property
    def found(self) -> int:
        """Events with a detection near."""
        return int(self.each[:, 3].sum())

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
    """Count hits and false detections of each question.

    Args:
        detections: for each question the start indices of detected pairs.
        references: ``[T, A]`` each.
        gap: positions between the two ends of a pair.
        tolerance: how near is near, in positions.

    """
    each = np.zeros((len(references), 4), np.int64)
    for counted, starts, reference in zip(each, detections, references, strict=True):
        d = distances(reference, gap)
        own = reference_events(reference, gap, tolerance)
        near = [d[max(0, s - tolerance) : s + tolerance + 1] for s in starts]
        counted[0] = sum(bool(n.size and n.max() >= EVENT) for n in near)
        counted[1] = sum(bool(not n.size or n.max() <= NO_EVENT) for n in near)
        counted[2] = len(own)
        counted[3] = sum(any(abs(s - e) <= tolerance for s in starts) for e in own)
    return Score(each)


def starts_of(moves: Moves, seen: Sequence[OutcomeCounts]) -> list[list[int]]:
    """Starts of the moves that were found, question by question."""
    starts: dict[str, list[int]] = {d.question: [] for d in seen}
    for move in moves.found:
        starts[move.question].append(int(move.start))
    return list(starts.values())


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
