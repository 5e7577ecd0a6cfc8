"""Rows of benchmarks for the terminal: one line while they come, a table when they are all there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.regressions import LIMIT, Comparison
from benchmarks.timing import Row

_WIDTH = 160
"""Columns where there is no terminal to ask."""
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def terminal() -> Console:
    """Return where tables are printed: standard output, wide where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def number(value: float, unit: str = "") -> str:
    """Return a number with three digits and its unit: ``5.67 G/s``, ``12.3 ms``; a ratio has none."""
    if not math.isfinite(value):
        return f"{value} {unit}".rstrip()
    if unit == "":
        return f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{1e3 * value:.3g} ms" if abs(value) >= 1e-3 else f"{1e6 * value:.3g} us"
    if unit in ("B", "B/s", "/s", "flop/s", "flop"):
        for size, prefix in _PREFIXES:
            if abs(value) >= size:
                return f"{value / size:.3g} {prefix}{unit}"
    shown = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e12 else f"{value:.4g}"
    return f"{shown} {unit}"


def shown(row: Row) -> str:
    """Return a row's number with its unit, or its status where it has none."""
    return str(row["status"]) if row["value"] is None else number(row["value"], row["unit"])


def verdict(row: Row) -> str:
    """Return whether a row's target is met, or why nothing is said of it."""
    return str(row.get("status", "no verdict")) if "met" not in row else "met" if row["met"] else "NOT MET"


def line(row: Row) -> str:
    """Return one row as a line of text."""
    text = f"{row['name']}: {shown(row)}"
    if "expected" in row:
        text += f"  ({row['expected']:g} expected)"
    if "target" in row:
        text += f"  (target {row['target']}: {verdict(row)})"
    return text


def result_table(result: Mapping[str, Any]) -> Table:
    """Return a result as a table: name, median, range over rounds, target or expected value."""
    title = f"{result['suite']}{' (smoke run)' if result['smoke'] else ''} on {result['device']}"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.caption = (
        f"medians of {result['rounds']} rounds; load {result['load_before']:.1f} to {result['load_after']:.1f}; "
        f"peak memory {number(result['peak_bytes']['resident'], 'B')}"
    )
    table.add_column("row")
    for name in ("value", "range", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result["rows"]:
        spread = f"{number(row['min'], row['unit'])} .. {number(row['max'], row['unit'])}" if "min" in row else ""
        words = [f"{row['expected']:g} expected"] if "expected" in row else []
        words += [f"{row['target']} {verdict(row)}"] if "target" in row else []
        target, style = "; ".join(words), "" if row.get("met", True) else "red"
        table.add_row(Text(row["name"]), shown(row), spread, Text(target, style))
    return table


def comparison_table(suite: str, comparison: Comparison) -> Table:
    """Return a comparison with a committed result as a table, the worst first."""
    table = Table(title=f"{suite} against the committed result", title_justify="left", title_style="bold")
    table.caption = f"a ratio fails when it is more than {LIMIT:g} times worse"
    table.add_column("ratio")
    for name in ("now", "then", "times worse"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(comparison.rows, key=lambda r: -r.factor):
        style = "red" if row.failed else ""
        verdict = Text(f"{row.factor:.2f}{' FAILS' if row.failed else ''}", style)
        table.add_row(Text(row.name), f"{row.now:.3g}", f"{row.then:.3g}", verdict)
    return table


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", caption=caption)
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right")
    for first, *rest in rows:
        table.add_row(Text(first), *rest)
    return table
