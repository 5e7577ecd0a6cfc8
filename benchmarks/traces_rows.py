"""Rows of the suite ``traces``: coverage, and detectors beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.peers.smoothing import change_points, smoothed
from benchmarks.timing import Row
from benchmarks.traces_moves import NO_EVENT, Score, by_threshold, power_at, reference_events, score
from benchmarks.traces_truth import distances
from sloc.results.outcome import Moves
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import outcome_curve
from sloc.windows.posterior_moves import posterior_moves


def target(smoke: bool, wanted: str, met: bool) -> Row:
    """Return the entries of a row with a target; none in a smoke run."""
    return {} if smoke else {"target": wanted, "met": bool(met)}


def coverage_rows(case: str, inside: Sequence[np.ndarray], near: Sequence[np.ndarray], smoke: bool) -> Iterator[Row]:
    every = float(np.concatenate([i.ravel() for i in inside]).mean())
    yield {"name": f"{case}: coverage", "value": 100 * every, "unit": "%", **target(smoke, ">= 88", every >= 0.88)}
    close = np.concatenate([i[n].ravel() for i, n in zip(inside, near, strict=True)])
    if close.size:
        at = float(close.mean())
        yield {
            "name": f"{case}: coverage near moves",
            "value": 100 * at,
            "unit": "%",
            **target(smoke, ">= 85", at >= 0.85),
        }


def detector_rows(
    case: str, seen: Sequence[Any], references: Sequence[np.ndarray], gap: int, tolerance: int, bounds: Sequence[Any]
) -> Iterator[Row]:
    """Rows of each detector: realised false discovery, power, and what thresholding reaches at the same."""
    index = [np.arange(d.positions.size, dtype=np.float64) for d in seen]
    by_index = [type(d)(d.question, d.categories, i, d.counts, d.leaving) for d, i in zip(seen, index, strict=True)]
    found = posterior_moves(by_index, gap=gap, separation=tolerance)
    certified = exact_moves(by_index, bounds, gap=gap, separation=tolerance, tau=NO_EVENT)
    raw = [d.counts / np.maximum(d.counts.sum(axis=1, keepdims=True), 1.0) for d in seen]
    smooth = [outcome_curve(d).value for d in seen]
    ours = None
    for name, moves in (("posterior, 10 %", found), ("exact test, 5 %", certified)):
        starts = [[int(m.start) for m in moves.found if m.question == d.question] for d in seen]
        got = score(starts, references, gap, tolerance)
        ours = got if ours is None else ours
        yield from score_rows(f"{case}: {name}", got, 0.1 if name.startswith("posterior") else 0.05)
    assert ours is not None
    lower = posterior_moves(by_index, gap=gap, separation=tolerance, tau=NO_EVENT)
    starts = [[int(m.start) for m in lower.found if m.question == d.question] for d in seen]
    yield from score_rows(f"{case}: posterior of moves above 0.25, 10 %", score(starts, references, gap, tolerance))
    yield from score_rows(
        f"{case}: plain rule > 0.3", score(by_threshold(raw, 0.3, gap, tolerance), references, gap, tolerance)
    )
    others = {
        "plain rule": raw,
        "change points (BIC)": [change_points(d.counts) for d in seen],
        "smoothed counts": [smoothed(d.counts) for d in seen],
        "own curve": smooth,
    }
    yield from score_rows(
        f"{case}: posterior at its best threshold of that false discovery",
        best_of(found, seen, references, max(ours.fdr, 0.1), gap, tolerance),
    )
    for name, curves_ in others.items():
        threshold, got = power_at(curves_, references, max(ours.fdr, 0.1), gap, tolerance)
        yield from score_rows(f"{case}: {name} at its best threshold of that false discovery ({threshold:.2f})", got)


def best_of(
    moves: Moves, seen: Sequence[Any], references: Sequence[np.ndarray], fdr: float, gap: int, tolerance: int
) -> Score:
    """The most power of any cut of the candidates' probabilities at a realised false discovery of at most ``fdr``."""
    best = score([[] for _ in seen], references, gap, tolerance)
    for least in sorted({m.probability for m in moves.moves}):
        starts = [
            [int(m.start) for m in moves.moves if m.question == d.question and m.probability >= least] for d in seen
        ]
        got = score(starts, references, gap, tolerance)
        if got.hits + got.false and got.fdr <= fdr and got.power >= best.power:
            best = got
    return best


def event_rows(
    case: str, first: Sequence[np.ndarray], references: Sequence[np.ndarray], gap: int, tolerance: int
) -> Iterator[Row]:
    """How large the reference's events are in the reference, which chose them, and in draws that did not."""
    here, there = [], []
    for one, reference in zip(first, references, strict=True):
        other, own = distances(one, gap), distances(reference, gap)
        for start in reference_events(reference, gap, tolerance):
            here.append(float(own[start]))
            there.append(float(other[start]))
    for name, values in (("in the reference", here), ("in 100 other draws", there)):
        yield {"name": f"{case}: size of its events {name}, mean", "value": float(np.mean(values)), "unit": "TV"}
    above = 100 * float(np.mean(np.asarray(there) > 0.3))
    yield {"name": f"{case}: events that exceed 0.3 in 100 other draws", "value": above, "unit": "%", "of": len(there)}


def score_rows(case: str, got: Any, nominal: float | None = None) -> Iterator[Row]:
    """False discovery and power with their Wilson intervals."""
    for word, k, n in (("false discoveries", got.false, got.hits + got.false), ("power", got.found, got.events)):
        if n == 0:
            status = "none reported" if word == "false discoveries" else "no events"
            yield {"name": f"{case}, {word}", "value": None, "status": status, "unit": "%", "of": 0}
            continue
        low, high = wilson(k, n)
        row: Row = {
            "name": f"{case}, {word}",
            "value": 100 * k / max(n, 1),
            "unit": "%",
            "min": 100 * low,
            "max": 100 * high,
            "of": n,
        }
        if word == "false discoveries" and nominal is not None and n >= 50:
            row |= {"target": f"<= {100 * nominal:g}", "met": bool(k <= nominal * n)}
        yield row


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a proportion; (0, 1) of none."""
    if n == 0:
        return 0.0, 1.0
    z, p = 1.96, k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))
