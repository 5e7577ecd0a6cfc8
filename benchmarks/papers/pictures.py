"""Drawing: the library's style, two panels for each example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sloc.report.style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, SOFT, new_figure, ordered_colours, styled

__all__ = [
    "BLUE",
    "GREEN",
    "INK",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "SOFT",
    "ordered_colours",
    "picture",
    "span",
    "ticks",
]


def span(ax: Any, edges: Any, colour: str, label: str, height: float) -> None:
    """Draw a window as a bar from edge to edge at a height of the axes (0 bottom, 1 top)."""
    low, high = sorted(float(e) for e in edges)
    ax.axvspan(low, high, height + 0.005, height + 0.05, color=colour, alpha=0.8, linewidth=0, label=label)


def ticks(ax: Any, values: Any) -> None:
    """Write the values themselves below a logarithmic axis, and nothing between them."""
    ax.set_xticks([float(v) for v in values], labels=[f"{v:.4g}" if v >= 1 else f"{v:.3g}" for v in values])
    ax.xaxis.minorticks_off()


def picture(path: Path, draw: Callable[[Any, dict[str, Any]], None], series: dict[str, Any]) -> None:
    """Draw one example into a PNG."""
    with styled():
        figure = new_figure(8.4, 2.9)
        draw(figure.subplots(1, 2), series)
        figure.savefig(path, dpi=110, metadata={"Software": None})
