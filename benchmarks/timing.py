"""Timing that survives a busy machine: compile time apart, interleaved rounds, ratios formed within a round.

A :class:`Contender` is one way to get the same numbers.  In each round every contender runs once, one after the
other, so a neighbour that slows the machine slows both sides of a ratio; the row shows the median of the rounds'
ratios with the smallest and the largest beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: shown in the rows.
        run: does the work, from the key to numbers on the host, and returns them.
        scale: the work of the full problem over the work of one ``run``; times are multiplied by it.
        first: seconds of the first call where that was made already (to check its numbers).

    """

    name: str
    run: Callable[[], Any]
    scale: float = 1.0
    first: float | None = None


@dataclass(frozen=True)
class Timing:
    """What was measured for one contender.

    Attributes:
        first: seconds of the first call, compilation included, not scaled.
        seconds: seconds of each later round, scaled to the full problem.
        scale: by what they were scaled.

    """

    first: float
    seconds: tuple[float, ...]
    scale: float

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.seconds)

    @property
    def compile_seconds(self) -> float:
        """First call less a later one, in seconds; never negative."""
        return max(self.first - self.median / self.scale, 0.0)


def called(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call gives and its wall time in seconds."""
    began = time.perf_counter()
    value = call()
    return value, time.perf_counter() - began


def timed(call: Callable[[], Any]) -> float:
    """Return the wall time of one call in seconds."""
    return called(call)[1]


def race(contenders: Sequence[Contender], rounds: int) -> dict[str, Timing]:
    """Run every contender once for its compilation, then all of them in each of ``rounds`` rounds.

    The order alternates from round to round, so that none always runs in another's wake.
    """
    first = {c.name: timed(c.run) if c.first is None else c.first for c in contenders}
    seconds: dict[str, list[float]] = {c.name: [] for c in contenders}
    for i in range(rounds):
        for c in contenders if i % 2 == 0 else reversed(contenders):
            seconds[c.name].append(c.scale * timed(c.run))
    return {c.name: Timing(first[c.name], tuple(seconds[c.name]), c.scale) for c in contenders}


def spread_row(name: str, values: Sequence[float], unit: str, **more: Any) -> Row:
    """Return a row with the median of ``values`` and their range."""
    return {
        "name": name,
        "value": statistics.median(values),
        "unit": unit,
        "min": min(values),
        "max": max(values),
        "rounds": len(values),
        **more,
    }


def time_rows(case: str, timings: dict[str, Timing], notes: dict[str, str] | None = None) -> list[Row]:
    """Return, for each contender, its run time and its compile time."""
    rows = []
    for name, timing in timings.items():
        more: Row = {"scaled_by": timing.scale} if timing.scale != 1 else {}
        if notes and name in notes:
            more["note"] = notes[name]
        rows.append(spread_row(f"{case}: {name}, run", timing.seconds, "s", **more))
        rows.append(
            {
                "name": f"{case}: {name}, compile and first call less a later one",
                "value": timing.compile_seconds,
                "unit": "s",
            }
        )
    return rows


def ratio_row(
    name: str, slow: Timing, fast: Timing, target: float | None = None, *, better: str | None = "higher", **more: Any
) -> Row:
    """Return how many times ``slow`` takes what ``fast`` takes, round by round.

    Args:
        name: of the row.
        slow: the numerator.
        fast: the denominator.
        target: the least wanted.
        better: ``"higher"`` or ``"lower"`` where the ratio says how good sloc is, so that it is held against committed
            ones (:mod:`benchmarks.regressions`); None where it says something else.
        more: further entries.

    """
    row = spread_row(name, [s / f for s, f in zip(slow.seconds, fast.seconds, strict=True)], "", **more)
    if better is not None:
        row["better"] = better
    if target is not None:
        row |= {"target": f">= {target:g}", "met": row["value"] >= target}
    return row


def at_most(row: Row, limit: float) -> Row:
    """Return ``row`` with an upper target."""
    row = row | {"target": f"<= {limit:g}", "met": row["value"] <= limit}
    return row | {"better": "lower"} if "better" in row else row


def near_one(row: Row, gap: float) -> Row:
    """Return a ratio with a target on both sides: at most ``gap`` from 1."""
    return row | {"target": f"within {gap:g} of 1", "met": abs(row["value"] - 1) <= gap}
