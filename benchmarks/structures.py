"""The suite ``structures``: mixture trees of many classes, random hierarchies, and two ways to filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import filters, hierarchy, machine, trees
from benchmarks.timing import Row

PARTS = ("trees", "hierarchy", "filters")


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts, the machine's ceilings first.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.
        parts: which of :data:`PARTS`.

    """
    ceilings = machine.ceilings(rounds, smoke)
    yield from ceilings.values()
    if "trees" in parts:
        yield from trees.rows(rounds, smoke)
    if "hierarchy" in parts:
        yield from hierarchy.rows(rounds, smoke, ceilings)
    if "filters" in parts:
        yield from filters.rows(rounds, smoke)
