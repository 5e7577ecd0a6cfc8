"""Rows of the suite ``traces``: coverage, and detectors beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from sloc.windows.proportions import clopper_pearson


def target(smoke: bool, wanted: str, met: bool) -> Row:
    """Return the entries of a row with a target; none in a smoke run."""
    return {} if smoke else {"target": wanted, "met": bool(met)}


def clustered(hits: Sequence[float], of: Sequence[int], seed: int = 0, rounds: int = 4_000) -> tuple[float, float]:
    """95 % interval of ``sum hits / sum of``, questions drawn with replacement, since what is near hangs together.

    Where all or none hit, the exact binomial interval of as many questions.
    """
    hits_, of_ = np.asarray(hits, np.float64), np.asarray(of, np.float64)
    if hits_.sum() in (0.0, of_.sum()):
        low, high = clopper_pearson(np.asarray([(hits_ > 0).sum()]), np.asarray([(of_ > 0).sum()]), 0.05)
        return float(low[0]), float(high[0])
    picked = np.random.default_rng(seed).integers(0, of_.size, (rounds, of_.size))
    total = of_[picked].sum(axis=1)
    shares = (hits_[picked].sum(axis=1) / np.maximum(total, 1.0))[total > 0]
    return float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975))


def share_row(name: str, hits: Sequence[float], of: Sequence[int], least: float | None = None) -> Row:
    """A share over questions in per cent, its interval, and whether the interval lies above a target."""
    total = int(sum(of))
    if total == 0:
        return {"name": name, "value": None, "status": "none", "unit": "%", "of": 0, "questions": len(of)}
    low, high = clustered(hits, of)
    row: Row = {"name": name, "value": 100 * float(sum(hits)) / total, "unit": "%", "min": 100 * low, "max": 100 * high}
    row |= {"of": total, "questions": sum(n > 0 for n in of)}
    if least is None:
        return row
    # Met is what the interval shows: one that holds the target says neither.
    held = {"note": "the interval holds the target"} if low < least <= high else {}
    return row | {"target": f">= {100 * least:g}", "met": bool(low >= least)} | held


def coverage_rows(
    case: str, inside: Sequence[np.ndarray], near: Sequence[np.ndarray], smoke: bool, *, targeted: bool = True
) -> Iterator[Row]:
    """Coverage over all cells (positions and answers), and over those near moves; questions are independent units."""
    wanted = (0.88, 0.85) if targeted and not smoke else (None, None)
    yield share_row(f"{case}: coverage", [float(i.sum()) for i in inside], [i.size for i in inside], wanted[0])
    close = [i[n] for i, n in zip(inside, near, strict=True)]
    if sum(c.size for c in close):
        yield share_row(
            f"{case}: coverage near moves", [float(c.sum()) for c in close], [c.size for c in close], wanted[1]
        )


def detector_rows(
    case: str, seen: Sequence[Any], references: Sequence[np.ndarray], gap: int, tolerance: int, bounds: Sequence[Any]
) -> Iterator[Row]:
    """Rows of each detector: realised false discovery, power, and what thresholding reaches at the same."""
    by_index = [replace(d, positions=np.arange(d.positions.size, dtype=np.float64)) for d in seen]
    found = posterior_moves(by_index, gap=gap, separation=tolerance)
    certified = exact_moves(by_index, bounds, gap=gap, separation=tolerance, tau=NO_EVENT)
    raw = [d.counts / np.maximum(d.counts.sum(axis=1, keepdims=True), 1.0) for d in seen]
    smooth = [outcome_curve(d).value for d in seen]
    ours = None
    for name, moves in (("posterior, 10 %", found), ("exact test, 5 %", certified)):
        starts = [[int(m.start) for m in moves.found if m.question == d.question] for d in seen]
        got = score(starts, references, gap, tolerance)
        ours = got if ours is None else ours
        # So few questions decide little of the posterior's rate: it is held against its own elsewhere.
        yield from score_rows(f"{case}: {name}", got, None if name.startswith("posterior") else 0.05)
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
    """False discovery and power with their Wilson intervals; a target is met where the interval shows it."""
    for word, k, n in (("false discoveries", got.false, got.hits + got.false), ("power", got.found, got.events)):
        if n == 0:
            status = "none reported" if word == "false discoveries" else "no events"
            yield {"name": f"{case}, {word}", "value": None, "status": status, "unit": "%", "of": 0}
            continue
        low, high = wilson(k, n)
        row: Row = {
            "name": f"{case}, {word}",
            "value": 100 * k / n,
            "unit": "%",
            "min": 100 * low,
            "max": 100 * high,
            "of": n,
        }
        if word == "false discoveries" and nominal is not None and n >= 50:
            held = {"note": "the interval holds the target"} if low <= nominal < high else {}
            row |= {"target": f"<= {100 * nominal:g}", "met": bool(high <= nominal), **held}
        yield row


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a proportion."""
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
