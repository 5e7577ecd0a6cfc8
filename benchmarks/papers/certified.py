"""Rows of certified windows: both edges with the intervals that draws give them, next to the exact ones."""

from __future__ import annotations

from sloc import Window

from .rows import Row, ends


def window_rows(
    name: str,
    setting: str,
    exact: tuple[float | None, float | None],
    window: Window,
    *,
    unit: str = "",
    said: tuple[float | None, float | None] = (None, None),
    notes: tuple[str, str] = ("", ""),
) -> list[Row]:
    """Return the rows of a certified window: both edges, exact, with their intervals, and as printed."""
    how, unit = f"certified, {window.draws:,} draws", unit and f" ({unit})"
    found = (
        ("T_after", window.t_after, window.after_interval, window.status_after),
        ("T_before", window.t_before, window.before_interval, window.status_before),
    )
    rows = []
    for (edge, value, interval, status), truth, number, note in zip(found, exact, said, notes, strict=True):
        words = "; ".join(w for w in (note, "" if status == "resolved" else f"status {status}") if w)
        rows.append(Row(name, setting, edge + unit, truth, *ends(value, interval), how, number, words))
    return rows
