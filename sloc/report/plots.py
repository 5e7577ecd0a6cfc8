"""What ``.plot()`` of a result draws: one estimate, one curve, one window."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts.arguments import checked_kind
from sloc.report.style import (
    BLUE,
    DASHES,
    FAINT,
    GREEN,
    INK,
    LINES,
    ORANGE,
    RED,
    SOFT,
    given_axes,
    line_styles,
    styled,
    tidy,
)
from sloc.results import Interval
from sloc.results.curve import Curve, checked_curve
from sloc.results.estimate import Estimate
from sloc.results.window import TheoremWindow, Window

MANY_LABELS = 12
"""More columns than this are drawn without a legend."""


def plot_estimate(estimate: Estimate, ax: Any = None) -> Any:
    """Draw a number as a point with its interval.

    Args:
        estimate: the number.
        ax: matplotlib axes to draw into; new ones when None.

    Returns:
        The axes.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    checked_kind(estimate, "estimate", Estimate, "a sloc.Estimate")
    with styled():
        ax = tidy(given_axes(ax, 4.6, 1.7))
        value, low, high = float(estimate.value), float(estimate.lower), float(estimate.upper)
        ax.plot([low, high], [0, 0], color=BLUE, linewidth=3, alpha=0.35, solid_capstyle="butt")
        ax.plot([value], [0], marker="o", color=BLUE, markersize=6)
        ax.annotate(
            f"{value:.4g}  [{low:.4g}, {high:.4g}]",
            (value, 0),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            color=INK,
        )
        ax.set_yticks([])
        ax.set_ylim(-1, 1.4)
        ax.spines["left"].set_visible(False)
        how = f"{estimate.method}, n = {int(estimate.n):,}" if int(estimate.n) else str(estimate.method)
        ax.set_xlabel(f"{estimate.quantity}\n({how})" if estimate.quantity else how)
    return ax


def plot_curve(curve: Curve, ax: Any = None) -> Any:
    """Draw a curve, or one line per label, with its band against time.

    A curve that is drawn into axes where lines are already takes the next colour and dashes, and is named in a legend.

    Args:
        curve: the curve.
        ax: matplotlib axes to draw into; new ones when None.

    Returns:
        The axes.

    Raises:
        InvalidInput: a curve whose times do not increase or whose parts do not fit; matplotlib is not installed.

    """
    times = checked_curve(curve)[0]
    with styled():
        ax = tidy(given_axes(ax))
        quantity = curve.quantity or "value"
        said = f"{quantity} [{curve.unit}]" if curve.unit else quantity
        if not curve.labels:
            before = len(ax.lines)
            colour, dashes = line_styles(len(LINES))[before % len(LINES)]
            draw_band(ax, curve, colour, label=quantity, dashes=dashes)
            if before:
                ax.legend(fontsize=8)
                said = ", ".join(dict.fromkeys(filter(None, (ax.get_ylabel(), said))))
        else:
            for label, (colour, dashes) in zip(curve.labels, line_styles(len(curve.labels)), strict=True):
                draw_band(ax, curve.column(label), colour, label=label, dashes=dashes)
            if len(curve.labels) <= MANY_LABELS:
                ax.legend(fontsize=8)
        if _wide(times):
            ax.set_xscale("log")
        ax.set_xlabel(curve.time_axis)
        ax.set_ylabel(said)
    return ax


def draw_band(
    ax: Any, curve: Curve, colour: Any, label: str | None = None, width: float = 1.6, dashes: Any = "-"
) -> None:
    """Draw a scalar curve and its band into ``ax``."""
    times = np.asarray(curve.times, np.float64)
    ax.fill_between(times, np.asarray(curve.lower), np.asarray(curve.upper), color=colour, alpha=0.15, linewidth=0)
    ax.plot(times, np.asarray(curve.value), color=colour, linewidth=width, linestyle=dashes, label=label)


def plot_window(window: Window, ax: Any = None) -> Any:
    """Draw a window as a bar from ``t_after`` to ``t_before`` with both intervals as whiskers.

    Args:
        window: the window; an edge that was not found is left open and its status is written there.
        ax: matplotlib axes to draw into; new ones when None.

    Returns:
        The axes.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    checked_kind(window, "window", Window, "a sloc.Window")
    with styled():
        ax = tidy(given_axes(ax, 5.2, 1.7))
        ends = [e for e in (window.t_after, window.t_before) if e is not None]
        for interval in (window.after_interval, window.before_interval):
            ends += [e for e in interval or () if np.isfinite(e)]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        margin = 0.12 * (high - low) or 0.1 * max(abs(high), 1.0)
        ax.set_xlim(max(low - margin, 0.0) if low >= 0 else low - margin, high + margin)
        draw_bar(ax, window, 0.0, BLUE, height=0.5)
        for edge, status, side in (
            (window.t_after, window.status_after, "after"),
            (window.t_before, window.status_before, "before"),
        ):
            text = f"t_{side} = {edge:.4g}" if edge is not None else f"t_{side}: {status}"
            x = edge if edge is not None else ax.get_xlim()[0 if side == "after" else 1]
            ax.annotate(
                text,
                (x, 0.34),
                xytext=(0, 6),
                textcoords="offset points",
                color=INK,
                fontsize=8,
                ha="left" if side == "after" else "right",
            )
        ax.set_yticks([])
        ax.set_ylim(-0.7, 1.1)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(window.time_axis)
        ax.set_title(f"{window.name or 'window'}, ε = {window.epsilon:g}", color=INK)
    return ax


def draw_bar(ax: Any, window: Window, y: float, colour: Any, height: float = 0.62) -> None:
    """Draw one window as a horizontal bar at ``y``; an open end runs to the edge of the axes and fades.

    Call it when the limits of the axes are set.  An inverted window is drawn hollow; one without edges not at all.
    """
    left, right = sorted(ax.get_xlim())
    after, before = window.t_after, window.t_before
    if after is None and before is None:
        return
    start = after if after is not None else (left if window.status_after in ("below_grid", "empty") else before)
    stop = before if before is not None else (right if window.status_before == "above_grid" else after)
    assert start is not None
    assert stop is not None
    low, high = sorted((start, stop))
    hollow = "inverted" in (window.status_after, window.status_before)
    ax.barh(
        y,
        high - low,
        left=low,
        height=height,
        facecolor="none" if hollow else colour,
        edgecolor=colour,
        linewidth=1.0 if hollow else 0.0,
        alpha=0.9,
    )
    for edge, interval in ((after, window.after_interval), (before, window.before_interval)):
        if edge is not None and interval is not None:
            whisker(ax, y, (max(interval[0], left), min(interval[1], right)), height)


def whisker(ax: Any, y: float, interval: Interval, height: float) -> None:
    """Draw an interval as a thin line with caps at ``y``."""
    low, high = interval
    if high <= low:
        return
    cap = 0.2 * height
    for colour, width in (("white", 2.6), (INK, 1.0)):
        ax.plot([low, high], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
        for x in (low, high):
            ax.plot([x, x], [y - cap, y + cap], color=colour, linewidth=width, solid_capstyle="butt")


def plot_theorem_window(window: TheoremWindow, ax: Any = None) -> Any:
    """Draw the certificate of Theorem 2 over time with the printed bound and the window.

    Args:
        window: from :func:`sloc.theorem2`.
        ax: matplotlib axes to draw into; new ones when None.

    Returns:
        The axes.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    checked_kind(window, "window", TheoremWindow, "a sloc.TheoremWindow")
    with styled():
        ax = tidy(given_axes(ax, 5.6, 3.6))
        times = np.asarray(window.certificate.times, np.float64)
        draw_band(ax, window.certificate, BLUE, label="certificate")
        if window.misassignment is not None:
            draw_band(ax, window.misassignment, GREEN, label="misassignment", dashes=DASHES[3])
        if window.hellinger is not None:
            ax.plot(
                times,
                np.asarray(window.hellinger.value),
                color=RED,
                linewidth=1.2,
                linestyle=(0, (4, 2)),
                label="Hellinger bound",
            )
        ax.axhline(window.bound, color=SOFT, linewidth=1.0, linestyle=(0, (1, 1.5)), label="printed bound")
        if window.t_end is not None and window.t_start is not None and window.t_end <= window.t_start:
            ax.axvspan(window.t_end, window.t_start, color=ORANGE, alpha=0.18, linewidth=0, label="window")
        for edge in (window.t_end, window.t_start):
            if edge is not None:
                ax.axvline(edge, color=FAINT, linewidth=1.0, zorder=0)
        if _wide(times):
            ax.set_xscale("log")
        ax.set_ylim(0, None)
        ax.set_xlabel(window.certificate.time_axis)
        ax.set_ylabel("total variation")
        ax.set_title(f"{window.name or 'Theorem 2'}, ε = {window.epsilon:g}", color=INK)
        ax.legend(fontsize=8)
    return ax


def _wide(times: np.ndarray) -> bool:
    return bool(times.size > 1 and times[0] > 0 and times[-1] / times[0] > 300)
