"""The four uses of a window in one picture, from the numbers in ``uses.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from examples.uses.looks import BLUE, ORANGE, noise_axis, styled
from examples.uses.panels import beside, early_stop, edits


def picture(found: dict[str, Any], path: Path) -> None:
    """Draw what :mod:`examples.uses` found, a panel for each use, and write it."""
    with styled():
        figure = Figure(figsize=(8.6, 6.4), layout="constrained")
        panels = figure.subplots(2, 2).ravel()
        for name, panel in zip(("guidance", "late_start", "early_stop", "edits"), panels, strict=True):
            _DRAWN[name](panel, found[name])
        figure.savefig(path, dpi=120)


def _guidance(ax: Any, found: dict[str, Any]) -> None:
    rows = found["rows"][::-1]
    places = range(len(rows))
    shares, errors = [r["accuracy"] for r in rows], [2 * r["stderr"] for r in rows]
    ax.errorbar(shares, places, xerr=errors, fmt="o", ms=5, color=BLUE, capsize=3)
    for place, row in zip(places, rows, strict=True):
        calls = row["guided calls"]
        beside(ax, f"{calls} of {found['calls']} calls guided", row["accuracy"], place)
    ax.set(
        yticks=list(places), yticklabels=[r["guided"] for r in rows], xlabel="share of samples of the class asked for"
    )
    ax.set_ylim(-0.5, len(rows) - 0.3)
    # Room for the words to the right of the points.
    least, most = min(shares), max(shares)
    ax.set_xlim(least - 0.3 * (most - least), most + 0.9 * (most - least))
    ax.set_xticks([v for v in ax.get_xticks() if least - 0.01 <= v <= 1])
    ax.set_title("Guidance by part of the way")


def _late_start(ax: Any, found: dict[str, Any]) -> None:
    rows = found["rows"]
    chance = found["class TV of equal laws"]
    ax.axhline(chance, color=ORANGE, ls="--", label="equal laws, this many draws")
    ax.plot([r["t"] for r in rows[1:]], [r["class TV"] for r in rows[1:]], "o-", color=BLUE, ms=5, label="late start")
    for row in rows[1:]:
        beside(ax, f"{row['calls']} calls", row["t"], row["class TV"])
    ax.set(xlabel="noise level t of the start", ylabel="TV of the classes from a start in noise")
    ax.set_ylim(0, 1.45 * max(max(r["class TV"] for r in rows), 2 * chance))
    noise_axis(ax, rows[-1]["t"] / 1.2, rows[1]["t"] * 1.5)
    ax.set_title(f"Late start ({rows[0]['calls']} calls from noise)")
    ax.legend()


_DRAWN = {"guidance": _guidance, "late_start": _late_start, "early_stop": early_stop, "edits": edits}
