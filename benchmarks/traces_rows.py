"""Rows of the suite ``traces``: coverage, and detectors beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.peers.smoothing import change_points, smoothed
from benchmarks.timing import Row
from benchmarks.traces_moves import NO_EVENT, Score, by_threshold, power_at, reference_events, score, starts_of
from benchmarks.traces_truth import distances
from sloc.engine.binomial import clopper_pearson
from sloc.results.outcome import Moves
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import outcome_curve


def target(smoke: bool, wanted: str, met: bool) -> Row:
    """Return the entries of a row with a target; none in a smoke run."""
    return {} if smoke else {"target": wanted, "met": bool(met)}


FEWEST, FEWEST_FOUND = 10, 50
"""Questions, and detections, below which a share is given with its interval and no verdict."""


def clustered(hits: Sequence[float], of: Sequence[float]) -> tuple[float, float]:
    """95 % interval of ``sum hits / sum of``, questions drawn with replacement, since what is near hangs together.

    Where all or none hit, the exact binomial interval of as many questions.
    """
    hits_, of_ = np.asarray(hits, np.float64), np.asarray(of, np.float64)
    if hits_.sum() in (0.0, of_.sum()):
        low, high = clopper_pearson(np.asarray([(hits_ > 0).sum()]), np.asarray([(of_ > 0).sum()]), 0.05)
        return float(low[0]), float(high[0])
    return resampled_ratio(hits_, of_)


def resampled_ratio(part: np.ndarray, of: np.ndarray, seed: int = 0, rounds: int = 4_000) -> tuple[float, float]:
    """95 % interval of ``sum part / sum of``, questions drawn with replacement; parts may be negative."""
    rng, sums = np.random.default_rng(seed), np.empty((rounds, 2))
    # A few rounds at a time: thousands of questions take no memory to speak of.
    for first in range(0, rounds, 200):
        picked = rng.integers(0, of.size, (min(200, rounds - first), of.size))
        sums[first : first + 200] = np.stack([part[picked].sum(axis=1), of[picked].sum(axis=1)], axis=1)
    shares = (sums[:, 0] / np.maximum(sums[:, 1], 1.0))[sums[:, 1] > 0]
    return float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975))


def share_row(name: str, hits: Sequence[float], of: Sequence[int], least: float | None = None) -> Row:
    """A share over questions in per cent, its interval, and whether the interval lies above a target.

    Of fewer than :data:`FEWEST` questions there is no verdict: an interval over so few clusters is none to judge by.
    """
    total = int(sum(of))
    if total == 0:
        return {"name": name, "value": None, "status": "none", "unit": "%", "of": 0, "questions": len(of)}
    low, high = clustered(hits, of)
    row: Row = {"name": name, "value": 100 * float(sum(hits)) / total, "unit": "%", "min": 100 * low, "max": 100 * high}
    row |= {"of": total, "questions": sum(n > 0 for n in of)}
    if least is None:
        return row
    if row["questions"] < FEWEST:
        return row | {"target": f">= {100 * least:g}", "status": "too few questions"}
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
    case: str,
    seen: Sequence[Any],
    references: Sequence[np.ndarray],
    gap: int,
    tolerance: int,
    smoke: bool = False,
) -> Iterator[Row]:
    """Rows of each detector: realised false discovery, power, and what thresholding reaches at the same."""
    nominal = None if smoke else 0.05
    by_index = [replace(d, positions=np.arange(d.positions.size, dtype=np.float64)) for d in seen]
    found = posterior_moves(by_index, gap=gap, separation=tolerance)
    certified = exact_moves(by_index, gap=gap, separation=tolerance, tau=NO_EVENT)
    raw = [d.counts / np.maximum(d.counts.sum(axis=1, keepdims=True), 1.0) for d in seen]
    smooth = [outcome_curve(d).value for d in seen]
    ours = None
    for name, moves in (("posterior, 10 %", found), ("exact test, 5 %", certified)):
        got = score(starts_of(moves, seen), references, gap, tolerance)
        ours = got if ours is None else ours
        # So few questions decide little of the posterior's rate: it is held against its own elsewhere.
        yield from score_rows(f"{case}: {name}", got, None if name.startswith("posterior") else nominal)
    assert ours is not None
    lower = posterior_moves(by_index, gap=gap, separation=tolerance, tau=NO_EVENT)
    got = score(starts_of(lower, seen), references, gap, tolerance)
    yield from score_rows(f"{case}: posterior of moves above 0.25, 10 %", got)
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
        against = f"{case}: power of the posterior at 10 % less that of {name} at equal false discovery, paired"
        yield from power_rows(against, ours, got)


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


def power_rows(name: str, ours: Score, other: Score) -> Iterator[Row]:
    """Difference in power on the same events, questions drawn with replacement; thresholds stay as they were chosen.

    At equal false discovery the other detector has its best threshold of a realised one at most ours (or 10 %).
    """
    if ours.events == 0:
        return
    gained, events = ours.each[:, 3] - other.each[:, 3], ours.each[:, 2].astype(np.float64)
    low, high = resampled_ratio(gained.astype(np.float64), events)
    value = 100 * float(gained.sum()) / ours.events
    row: Row = {"name": name, "value": value, "unit": "points"}
    yield row | {"min": 100 * low, "max": 100 * high, "of": ours.events, "questions": int((events > 0).sum())}


def score_rows(case: str, got: Score, nominal: float | None = None) -> Iterator[Row]:
    """False discovery and power, intervals over questions; a target is met where the interval shows it.

    Of fewer than :data:`FEWEST_FOUND` detections the status says that they are too few for a verdict.
    """
    hits, false, events, found = got.each.T
    for word, k, n in (("false discoveries", false, hits + false), ("power", found, events)):
        total, name = int(n.sum()), f"{case}, {word}"
        targeted = word == "false discoveries" and nominal is not None
        wanted: Row = {"target": f"<= {100 * nominal:g}"} if targeted and nominal is not None else {}
        if total == 0:
            status = "none reported" if word == "false discoveries" else "no events"
            yield {"name": name, "value": None, "status": status, "unit": "%", "of": 0, **wanted}
            continue
        low, high = clustered(k.tolist(), n.tolist())
        row: Row = {"name": name, "value": 100 * int(k.sum()) / total, "unit": "%", "min": 100 * low}
        row |= {"max": 100 * high, "of": total, "questions": int((n > 0).sum()), **wanted}
        if targeted and nominal is not None:
            if total < FEWEST_FOUND or row["questions"] < FEWEST:
                row |= {"status": "too few"}
            else:
                held = {"note": "the interval holds the target"} if low <= nominal < high else {}
                row |= {"met": bool(high <= nominal), **held}
        yield row
