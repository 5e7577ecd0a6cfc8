"""Which function draws which result: what `.plot()` calls, loaded when a picture is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def drawing(name: str) -> Callable[..., Any]:
    """Return the function that draws a result.

    Args:
        name: ``"estimate"``, ``"curve"``, ``"window"``, ``"theorem window"``, ``"tree"``, ``"question"``,
            ``"traces"``, ``"outcomes"`` or ``"histograms"``.

    Returns:
        The function; it takes the result, and ``ax`` or ``path``.

    """
    if name == "tree":
        from sloc.report.tree_picture import plot_tree

        return plot_tree
    if name in ("question", "traces"):
        from sloc.report.traces_picture import plot_question, plot_traces

        return plot_question if name == "question" else plot_traces
    if name == "outcomes":
        from sloc.report.recorded_report import plot_outcomes

        return plot_outcomes
    if name == "histograms":
        from sloc.report.posterior_plots import plot_histograms

        return plot_histograms
    from sloc.report.plots import plot_curve, plot_estimate, plot_theorem_window, plot_window

    return {
        "estimate": plot_estimate,
        "curve": plot_curve,
        "window": plot_window,
        "theorem window": plot_theorem_window,
    }[name]
