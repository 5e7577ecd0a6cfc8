"""The numbers in ``uses.json`` as the tables of ``docs/uses.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def tables(found: dict[str, Any]) -> dict[str, str]:
    """Return the table of each use, in Markdown."""
    guidance, late, early, edits = (found[name] for name in ("guidance", "late_start", "early_stop", "edits"))
    return {
        "guidance": _table(
            ("guided", f"guided calls of {guidance['calls']}", "accuracy", "stderr"),
            [(r["guided"], r["guided calls"], f"{r['accuracy']:.3f}", f"{r['stderr']:.3f}") for r in guidance["rows"]],
        ),
        "late_start": _table(
            ("start", "t", "calls", "class TV", "distance"),
            [
                (r["start"], f"{r['t']:.3f}", r["calls"], f"{r['class TV']:.3f}", f"{r['distance']:.2f}")
                for r in late["rows"]
            ],
        ),
        "early_stop": _table(
            ("t of the stop", "calls", "same class", "with all calls", "judges agree", "pixels off"),
            [
                (
                    f"{r['t']:.3f}",
                    r["calls"],
                    f"{r['same class']:.3f}",
                    f"{r['with all calls']:.3f}",
                    f"{r['judges agree']:.3f}",
                    f"{r['pixels off']:.2f}",
                )
                for r in early["rows"]
            ],
        ),
        "masked_digits": _table(
            ("hidden", "network", "images", "ink"),
            [
                (f"{r['hidden']:.2f}", f"{r['network']:.3f}", f"{r['images']:.3f}", f"{r['ink']:.3f}")
                for r in early["nats"]
            ],
        ),
        "edits": _table(
            ("t of the turn", "inside the window", "flipped", "style"),
            [
                (
                    f"{r['t']:.3f}",
                    "yes" if r["inside"] else "no",
                    f"{r['flipped']:.3f}",
                    "–" if r["style"] is None else f"{r['style']:.2f}",
                )
                for r in edits["rows"]
            ],
        ),
    }


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
