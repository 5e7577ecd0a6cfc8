"""The suite ``certificates``: draws and seconds that certified overlaps, edges and tables take, beside plain ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import certificates_edges, certificates_overlaps, certificates_table
from benchmarks.timing import Row

PARTS = ("overlaps", "edges", "table")


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts.

    Args:
        rounds: seeds of the edges and of the overlaps, and rounds of the table's time.
        smoke: tiny sizes, to show that everything runs.
        parts: which of :data:`PARTS`.

    """
    if "overlaps" in parts:
        yield from certificates_overlaps.rows(rounds, smoke)
    if "edges" in parts:
        yield from certificates_edges.rows(rounds, smoke)
    if "table" in parts:
        yield from certificates_table.rows(rounds, smoke)
