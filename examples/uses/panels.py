"""Two panels of the picture of uses: the early stop and the edits."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.uses.looks import BLUE, FAINT, INK, ORANGE, SOFT, noise_axis


def early_stop(ax: Any, found: dict[str, Any]) -> None:
    """Shares of the same class by when the run stops."""
    rows = found["rows"]
    ax.axvline(found["settled"], color=ORANGE, ls="--", label="the images' classes are settled")
    times = [r["t"] for r in rows]
    ax.plot(times, [r["with all calls"] for r in rows], "s--", color=SOFT, ms=4, label="gone on with by all steps")
    ax.plot(times, [r["same class"] for r in rows], "o-", color=BLUE, ms=5, label="the rest in one call")
    for row in rows:
        beside(ax, f"{row['calls']}", row["t"], row["same class"])
    ax.set(xlabel="share still hidden at the stop", ylabel="share with the same class", ylim=(0, 1.08))
    ax.set_title("Early stop of a masked sampler, and its calls")
    ax.legend(frameon=True, framealpha=1, edgecolor="none")


def edits(ax: Any, found: dict[str, Any]) -> None:
    """Flipped pictures and kept style by when the turn is taken."""
    rows, (low, high) = found["rows"], found["window"]
    ax.axvspan(low, high, color=FAINT, alpha=0.6, lw=0, label="window of the pair")
    ax.plot([r["t"] for r in rows], [r["flipped"] for r in rows], "o-", color=BLUE, ms=4, label="flipped")
    kept = [r for r in rows if r["style"] is not None]
    ax.plot(
        [r["t"] for r in kept], [r["style"] for r in kept], "s--", color=ORANGE, ms=4, label="style kept (correlation)"
    )
    ax.set(
        xlabel="noise level t of the turn",
        ylabel="share flipped; correlation of style",
        ylim=(-0.05, 1.4),
        yticks=np.linspace(0, 1, 6),
    )
    noise_axis(ax, rows[0]["t"] / 1.1, rows[-1]["t"] * 1.1)
    ax.set_title(f"A {found['from']} edited to a {found['to']}", color=INK)
    ax.legend()


def beside(ax: Any, words: str, x: float, y: float) -> None:
    """Write words beside a point."""
    ax.annotate(words, (x, y), (5, 5), textcoords="offset points", fontsize=8, color=SOFT)
