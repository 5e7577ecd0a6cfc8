"""Intervals of moves, and total variation between positions, on simulated curves of known truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.timing import Row
from benchmarks.traces_rows import share_row
from benchmarks.traces_truth import distances
from sloc.results.outcome import Move, Moves
from sloc.windows.distance_estimates import outcome_distances
from sloc.windows.outcome_curves import OutcomeCounts

STILL, MOVED = 0.02, 0.3
"""Pairs whose answers differ by at most the first have hardly moved, by at least the second they have."""


def truth_of(move: Move, truths: Sequence[np.ndarray]) -> np.ndarray:
    """The curve of a move's question, ``q`` and its number."""
    return truths[int(move.question[1:])]


def size_held(move: Move, truth: np.ndarray) -> bool:
    """Whether the size interval holds ``TV`` of the truth between the pair's positions."""
    tv = 0.5 * float(np.abs(truth[int(move.stop)] - truth[int(move.start)]).sum())
    return move.size_interval[0] <= tv <= move.size_interval[1]


def middle_held(move: Move, truth: np.ndarray, reach: int) -> bool:
    """Whether the location holds the step at which half of the truth's way within reach of the pair is done."""
    first, last = max(0, int(move.start) - reach), min(len(truth) - 1, int(move.stop) + reach)
    way = np.cumsum(distances(truth[first : last + 1], 1))
    step = first + int(np.searchsorted(way, 0.5 * way[-1]))
    return move.location[0] <= step and step + 1 <= move.location[1]


def interval_rows(case: str, moves: Moves, truths: Sequence[np.ndarray], reach: int, smoke: bool) -> Iterator[Row]:
    """Coverage of the intervals of reported moves; questions are independent units."""
    held = {"size": [[] for _ in truths], "location": [[] for _ in truths]}
    for move in moves.found:
        truth, own = truth_of(move, truths), int(move.question[1:])
        held["size"][own].append(size_held(move, truth))
        held["location"][own].append(middle_held(move, truth, reach))
    for word, found in held.items():
        name = f"{case}: 90 % intervals of the {word} of reported moves, coverage"
        yield share_row(name, [sum(v) for v in found], [len(v) for v in found], None if smoke else 0.88)
    widths = {
        "size": ([m.size_interval[1] - m.size_interval[0] for m in moves.found], "TV"),
        "location": ([m.location[1] - m.location[0] for m in moves.found], "positions"),
    }
    for word, (found, unit) in widths.items():
        if found:
            name = f"{case}: 90 % intervals of the {word} of reported moves, mean width"
            yield {"name": name, "value": float(np.mean(found)), "unit": unit, "of": len(found)}


def distance_rows(
    case: str, seen: Sequence[OutcomeCounts], truths: Sequence[np.ndarray], gap: int, smoke: bool
) -> Iterator[Row]:
    """Errors of total variation between positions, where nothing moved and where much did, and coverage."""
    found = [outcome_distances(d, gap=gap) for d in seen]
    true = np.concatenate([distances(t, gap) for t in truths])
    joined = {n: np.concatenate([getattr(f, n) for f in found]) for n in ("plug_in", "floor", "corrected")}
    for word, own in (("hardly moved", true <= STILL), ("moved", true >= MOVED)):
        name = f"{case}, pairs that {word}"
        yield {"name": f"{name}: truth, mean", "value": float(true[own].mean()), "unit": "TV", "of": int(own.sum())}
        for value, say in (
            (joined["plug_in"], "plug-in"),
            (joined["floor"], "plug-in if nothing changed, estimated"),
            (joined["corrected"], "corrected"),
        ):
            yield {"name": f"{name}: {say}, mean", "value": float(value[own].mean()), "unit": "TV"}
    inside = [
        (f.lower <= distances(t, gap)) & (distances(t, gap) <= f.upper) for f, t in zip(found, truths, strict=True)
    ]
    name = f"{case}: 90 % intervals, coverage"
    yield share_row(name, [float(i.sum()) for i in inside], [i.size for i in inside], None if smoke else 0.9)
    width = float(np.mean(np.concatenate([f.upper - f.lower for f in found])))
    yield {"name": f"{case}: 90 % intervals, mean width", "value": width, "unit": "TV"}
