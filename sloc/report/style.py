"""One style for every picture: quiet axes, and colours that people with any colour vision tell apart."""

from __future__ import annotations

from typing import Any

from sloc.contracts import require
from sloc.contracts.extras import need

INK, SOFT, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
"""The palette of Okabe & Ito (2008)."""
GREY, AMBER, LAKE = "#777777", "#B07C00", "#3A9BD9"
LINES = (BLUE, RED, GREEN, PURPLE, AMBER, LAKE, GREY)
"""Of lines that may cross, drawn with ``DASHES``: orange and sky blue darkened,
so that thin lines are legible on white."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), "-", (0, (4, 2)), (0, (1, 1.2)))
"""One for each of ``LINES``, as matplotlib writes them; neighbours differ, so lines that coincide show both."""

RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
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
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled() -> Any:
    """Return a context in which matplotlib draws in this style.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    return need("viz", "matplotlib", "a picture").rc_context(RC)


def new_figure(width: float, height: float) -> Any:
    """Return a figure of that size in inches, drawn without a display; use inside ``styled``.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    figure = need("viz", "matplotlib.figure", "a picture").Figure(figsize=(width, height), layout="constrained")
    need("viz", "matplotlib.backends.backend_agg", "a picture").FigureCanvasAgg(figure)
    return figure


def given_axes(ax: Any, width: float = 5.2, height: float = 3.4) -> Any:
    """Return the axes that a plot was given, or new ones where it was given none.

    Raises:
        InvalidInput: something else than matplotlib axes.

    """
    if ax is None:
        return new_axes(width, height)
    require(hasattr(ax, "plot") and hasattr(ax, "set_xlabel"), "ax", ax, "matplotlib axes, or None")
    return ax


def new_axes(width: float = 5.2, height: float = 3.4) -> Any:
    """Return the axes of a new figure of that size in inches."""
    return new_figure(width, height).subplots()


def tidy(ax: Any) -> Any:
    """Give axes, new or a caller's, this style's frame: left and bottom, ticks in its colours; returns them."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set(color=SOFT, linewidth=0.8)
    ax.tick_params(color=SOFT, labelcolor=INK)
    return ax


def line_styles(count: int) -> list[tuple[Any, Any]]:
    """Return ``count`` pairs of colour and dashes for lines that may cross.

    Up to seven take ``LINES``; more take ``ordered_colours``, as no palette tells so many apart, with the
    same dashes in turn.
    """
    colours = list(LINES[:count]) if count <= len(LINES) else ordered_colours(count)
    return [(colour, DASHES[i % len(DASHES)]) for i, colour in enumerate(colours)]


def ordered_colours(count: int) -> list[Any]:
    """Return ``count`` colours in an order that the eye reads as one (dark to light, readable on white)."""
    colormap = need("viz", "matplotlib", "a picture").colormaps["viridis"]
    return [colormap(0.0 if count == 1 else 0.88 * i / (count - 1)) for i in range(count)]
