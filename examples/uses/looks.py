"""Colours, lines and the noise axis of the picture of uses."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

INK, SOFT, FAINT, BLUE, ORANGE = "#222222", "#6b6b6b", "#d9d9d9", "#0072B2", "#E69F00"
RC: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
}


def styled() -> Any:
    """Return a context in which matplotlib draws in this style."""
    return mpl.rc_context(RC)


def noise_axis(ax: Any, left: float, right: float) -> None:
    """Show levels from ``left`` to ``right`` on a logarithmic axis, with round numbers as ticks."""
    ax.set_xscale("log")
    ax.set_xlim(left, right)
    ticks = [k * 10.0**e for e in range(-6, 7) for k in (1, 2, 5)]
    ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if left <= t <= right]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}"))
