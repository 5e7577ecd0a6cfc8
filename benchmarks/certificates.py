"""The suite ``certificates``: draws and seconds that certified overlaps, edges and tables take, beside plain ways.

We know of no other package that certifies overlaps or windows of given sub-populations, so what stands beside sloc are
the plain ways of a careful user: Clopper-Pearson's bound (SciPy) on balanced draws, Bonferroni over a grid, empirical
Bernstein.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import certificates_edges, certificates_overlaps, certificates_table, machine
from benchmarks.timing import Row

PARTS = ("overlaps", "edges", "table")


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts, the machine's ceilings first.

    Args:
        rounds: seeds of the edges and of the overlaps, and rounds of the table's time.
        smoke: tiny sizes, to show that everything runs.
        parts: which of :data:`PARTS`.

    """
    ceilings = machine.ceilings(rounds, smoke)
    yield from ceilings.values()
    if "overlaps" in parts:
        yield from certificates_overlaps.rows(rounds, smoke)
    if "edges" in parts:
        yield from certificates_edges.rows(rounds, smoke, ceilings)
    if "table" in parts:
        yield from certificates_table.rows(rounds, smoke, ceilings)
