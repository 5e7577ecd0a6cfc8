"""Rows of the suite ``traces``: coverage, and detectors beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.timing import Row
from benchmarks.traces_moves import by_threshold, power_at, score
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
    certified = exact_moves(by_index, bounds, gap=gap, separation=tolerance, tau=0.25)
    raw = [d.counts / np.maximum(d.counts.sum(axis=1, keepdims=True), 1.0) for d in seen]
    smooth = [outcome_curve(d).value for d in seen]
    ours = None
    for name, moves in (("posterior, 10 %", found), ("exact test, 5 %", certified)):
        starts = [[int(m.start) for m in moves.found if m.question == d.question] for d in seen]
        got = score(starts, references, gap, tolerance)
        ours = got if ours is None else ours
        yield from score_rows(f"{case}: {name}", got, 0.1 if name.startswith("posterior") else 0.05)
    assert ours is not None
    yield from score_rows(
        f"{case}: plain rule > 0.3", score(by_threshold(raw, 0.3, gap, tolerance), references, gap, tolerance)
    )
    for name, curves_ in (("plain rule", raw), ("own curve", smooth)):
        threshold, got = power_at(curves_, references, max(ours.fdr, 0.1), gap, tolerance)
        yield from score_rows(f"{case}: {name} at its best threshold of that false discovery ({threshold:.2f})", got)


def score_rows(case: str, got: Any, nominal: float | None = None) -> Iterator[Row]:
    """False discovery and power with their Wilson intervals."""
    for word, k, n in (("false discoveries", got.false, got.hits + got.false), ("power", got.found, got.events)):
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
