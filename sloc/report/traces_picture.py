"""Pictures and tables of windows in recorded answers.

Colours are those of Okabe & Ito, which people with any colour vision tell apart; the two kinds of
window also differ in hatching, and lines in their dashes.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts.arguments import checked_kind, checked_whole
from sloc.contracts.extras import need
from sloc.report.output import checked_picture, write_picture
from sloc.report.style import BLUE, DASHES, GREEN, INK, LAKE, ORANGE, PURPLE, RED, given_axes, tidy
from sloc.results import ResampledCurve, TraceWindows

if TYPE_CHECKING:
    from rich.table import Table

    from sloc.results.window import Window

MAX_PANELS = 12
"""More questions than this are drawn as one heat map."""
SAME, RULE, CERTIFIED = BLUE, ORANGE, GREEN
_OTHERS = tuple(zip((RED, PURPLE, LAKE), DASHES[1:4], strict=True))


def plot_traces(result: TraceWindows, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw a panel per question, or a heat map of questions where there are more than ``MAX_PANELS``.

    Args:
        result: from :func:`sloc.windows.trace_windows`.
        path: where to save the picture (its ending says in which format); nothing is saved when None.

    Returns:
        The matplotlib figure, made without a display.

    Raises:
        InvalidInput: no result, no place for a file, or an ending that names no picture.
        OSError: the disk is full.

    """
    checked_kind(result, "result", TraceWindows, "TraceWindows")
    path = None if path is None else checked_picture(path)
    need("viz", "matplotlib", "a picture")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if len(result.curves) <= MAX_PANELS:
        _panels(figure, result)
    else:
        _heat_map(figure, result)
    if path is not None:
        write_picture(figure, path, 150)
    return figure


def plot_question(
    curve: ResampledCurve, ax: Any = None, *, rule: Window | None = None, certified: Window | None = None
) -> Any:
    """Draw one question: its curve, both bands, up to three other answers, and its windows as shaded spans.

    Args:
        curve: the question's curve.
        ax: matplotlib axes to draw into; new ones when None.
        rule: its window by the rule, if it is to be marked.
        certified: its certified window, if it is to be marked.

    Returns:
        The matplotlib axes.

    """
    ax = given_axes(ax, 5, 3.4)
    spans = _span(curve, rule), _span(curve, certified)
    if spans[1] is not None:
        ax.axvspan(*spans[1], facecolor=CERTIFIED, alpha=0.28, linewidth=0)
    if spans[0] is not None and spans[0] != spans[1]:
        ax.axvspan(*spans[0], facecolor=RULE, alpha=0.22, edgecolor=RULE, hatch="////", linewidth=0)
    ax.fill_between(curve.kept, curve.lower_all[:, 0], curve.upper_all[:, 0], color=SAME, alpha=0.13, linewidth=0)
    ax.fill_between(curve.kept, curve.lower[:, 0], curve.upper[:, 0], color=SAME, alpha=0.22, linewidth=0)
    shown = [i for i in range(1, len(curve.answers)) if curve.value[:, i].max() >= 0.05][: len(_OTHERS)]
    named: list[tuple[int, float]] = []
    for i, (colour, dashes) in zip(shown, _OTHERS, strict=False):
        ax.plot(curve.kept, curve.value[:, i], color=colour, linestyle=dashes, linewidth=1.3)
        peak = int(np.argmax(curve.value[:, i]))
        side = "left" if peak == 0 else "right" if peak == curve.kept.size - 1 else "center"
        # Answers that are as common at one place are named one above the other.
        above = sum(at == peak and abs(height - curve.value[peak, i]) < 0.1 for at, height in named)
        named.append((peak, float(curve.value[peak, i])))
        ax.annotate(
            _short(curve.answers[i], 14),
            (curve.kept[peak], curve.value[peak, i]),
            xytext=(0, 4 + 9 * above),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            color=colour,
            annotation_clip=True,
        )
    ax.plot(curve.kept, curve.same, color=SAME, marker="o", markersize=3.5, linewidth=1.9)
    ax.set_xlim(-0.012 * curve.full, 1.012 * curve.full)
    ax.set_ylim(-0.03, 1.09)
    ax.set_yticks([0, 0.5, 1])
    ax.set_title(f"{_short(curve.question, 30)}  →  {_short(curve.reference, 14)}", fontsize=9, color=INK, loc="left")
    ax.set_xlabel(_axis_label(curve), fontsize=9, color=INK)
    ax.set_ylabel("probability of the answer", fontsize=9, color=INK)
    _tidy(ax)
    return ax


def traces_summary_table(result: TraceWindows, limit: int = 20) -> Table:
    """Return a terminal table of the questions, earliest window first.

    Args:
        result: from :func:`sloc.windows.trace_windows`.
        limit: rows at most; a last row counts the rest.

    Returns:
        A rich table.

    """
    checked_kind(result, "result", TraceWindows, "TraceWindows")
    limit = checked_whole(limit, "limit")
    from rich.table import Table
    from rich.text import Text

    counts = result.summary()
    table = Table(
        title=f"When was the answer decided?  {counts['rule']} windows by the rule, {counts['certified']} certified, "
        f"{counts['questions']} questions",
        caption=f"rule: observed rise > {result.rise:g}   certified: exact test of rise ≤ {result.rise:g} at "
        f"{result.alpha:g}, {result.correction} over steps"
        + ("" if result.across == "none" else f", {result.across} over questions"),
        header_style="bold",
        title_style="bold",
    )
    unit = "kept" if result.axis == "fraction" else "position"
    for name in ("question", "answer", "draws", "rise", f"rule ({unit})", f"certified ({unit})", "p"):
        table.add_column(name, justify="right" if name in ("draws", "rise", "p") else "left", overflow="fold")
    frame = result.to_dataframe()
    largest, p = (frame[name].to_numpy(np.float64) for name in ("largest_rise", "p_adjusted"))
    order = _order(result)
    for i in order[:limit]:
        curve, rule, test = result.curves[i], result.rule[i], result.calibrated[i]
        table.add_row(
            Text(_short(curve.question, 40)),
            Text(_short(curve.reference, 20)),
            f"{int(curve.draws.sum()):,}",
            "-" if math.isnan(largest[i]) else f"{largest[i]:+.2f}",
            Text(_where(curve, rule), style=_style(rule)),
            Text(_where(curve, test), style=_style(test)),
            "-" if math.isnan(p[i]) else f"{p[i]:.2g}",
        )
    if len(order) > limit:
        table.caption = f"{len(order) - limit} more questions not shown\n{table.caption}"
    return table


def _span(curve: ResampledCurve, window: Window | None) -> tuple[float, float] | None:
    """What is kept where a window begins and ends, or None."""
    if window is None or window.t_before is None or window.t_after is None:
        return None
    return curve.full - window.t_before, curve.full - window.t_after


def _where(curve: ResampledCurve, window: Window) -> str:
    span = _span(curve, window)
    return str(window.status_after) if span is None else f"{span[0]:.4g} → {span[1]:.4g}"


def _style(window: Window) -> str:
    return "bold" if window.resolved else "dim"


def _short(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _order(result: TraceWindows) -> list[int]:
    """Questions by where their window lies in what was kept, certified before not, those without one last."""

    def key(i: int) -> tuple[float, float, bool, float]:
        curve, certified = result.curves[i], result.calibrated[i].resolved
        span = _span(curve, result.rule[i]) or _span(curve, result.calibrated[i])
        if span is None:
            return 2.0, 0.0, False, -float(curve.same.mean())
        return span[0] / curve.full, span[1] / curve.full, not certified, -float(curve.same.mean())

    return sorted(range(len(result.curves)), key=key)


def _tidy(ax: Any) -> None:
    tidy(ax).tick_params(labelsize=8)


def _axis_label(shown: TraceWindows | ResampledCurve) -> str:
    return f"kept {'fraction of' if shown.axis == 'fraction' else 'position in'} the generation{unit_of(shown.axis)}"


def unit_of(axis: str) -> str:
    """Return the unit of kept parts behind a blank, nothing where they are fractions."""
    return "" if axis == "fraction" else " [tokens, or as recorded]"


def _headline(result: TraceWindows) -> str:
    counts = result.summary()
    return (
        f"When is the answer decided?   {counts['rule']} of {counts['questions']} questions have a window by the "
        f"rule, {counts['certified']} certified"
    )


def _panels(figure: Any, result: TraceWindows) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    count = len(result.curves)
    columns = count if count <= 4 else 3 if count in (5, 6, 9) else 4
    rows = math.ceil(count / columns)
    figure.set_size_inches(max(3.5 * columns, 9.0), 2.6 * rows + 1.5)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=result.axis == "fraction")
    flat = axes.ravel()
    for ax, i in zip(flat, _order(result), strict=False):
        plot_question(result.curves[i], ax, rule=result.rule[i], certified=result.calibrated[i])
        ax.set(xlabel="", ylabel="")  # the figure says them once
    for ax in flat[count:]:
        ax.set_visible(False)
    for ax in flat[max(count - columns, 0) : count]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(_axis_label(result), fontsize=9, color=INK)
    figure.suptitle(_headline(result), fontsize=11, color=INK)
    figure.supylabel("probability of the answer", fontsize=10, color=INK)
    percent = f"{100 * (1 - result.alpha):g} %"
    handles = [
        Line2D([], [], color=SAME, marker="o", markersize=3.5, linewidth=1.9, label="the full generation's answer"),
        Patch(facecolor=SAME, alpha=0.35, label=f"{percent} band, each point"),
        Patch(facecolor=SAME, alpha=0.13, label=f"{percent} band, all points"),
        Line2D([], [], color=_OTHERS[0][0], linestyle=_OTHERS[0][1], linewidth=1.3, label="other answers"),
        Patch(
            facecolor=RULE,
            alpha=0.3,
            edgecolor=RULE,
            hatch="////",
            linewidth=0,
            label=f"window by the rule only (rise > {result.rise:g})",
        ),
        Patch(facecolor=CERTIFIED, alpha=0.35, label="certified window"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _heat_map(figure: Any, result: TraceWindows) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    order = _order(result)
    count = len(order)
    grid = np.linspace(0.0, 1.0, 401)
    image = np.full((count, grid.size), np.nan)
    edges, bars = [], {RULE: [], CERTIFIED: []}
    for row, i in enumerate(order):
        curve = result.curves[i]
        image[row] = np.interp(grid, curve.kept / curve.full, curve.same, left=np.nan, right=np.nan)
        certified = _span(curve, result.calibrated[i])
        span = certified or _span(curve, result.rule[i])
        if span is not None:
            ends = [x / curve.full for x in span]
            edges += [[(x, row - 0.5), (x, row + 0.5)] for x in ends]
            bars[RULE if certified is None else CERTIFIED].append((row, *ends))
    height = float(np.clip(0.09 * count, 5.0, 9.5))
    figure.set_size_inches(9.5, height)
    left, right = figure.subplots(1, 2, width_ratios=[3.4, 1], sharey=True)
    left.set_facecolor("#eeeeee")
    shown = left.imshow(
        image,
        aspect="auto",
        origin="upper",
        extent=(0, 1, count - 0.5, -0.5),
        cmap="cividis",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    left.add_collection(LineCollection(edges, colors="white", linewidths=1.6, capstyle="butt"))
    for colour, rows in bars.items():
        if rows:
            row, before, after = np.asarray(rows).T
            right.barh(row, after - before, height=1.0, left=before, color=colour, linewidth=0)
    right.set_xlim(0, 1)
    kept = "kept fraction of the generation"
    left.set_xlabel(kept, fontsize=9, color=INK)
    right.set_xlabel(f"windows, {kept[:13]}", fontsize=9, color=INK)
    left.set_ylabel(f"{count} questions, earliest window first", fontsize=9, color=INK)
    if count <= 40:
        left.set_yticks(range(count), [_short(result.curves[i].question, 24) for i in order])
    for ax in (left, right):
        _tidy(ax)
        ax.set_ylim(count - 0.5, -0.5)
    bar = figure.colorbar(shown, ax=left, location="top", fraction=0.03, pad=0.01, aspect=50)
    bar.set_label(
        "probability of the same answer as the full generation (white: edges of its window)", fontsize=9, color=INK
    )
    bar.ax.tick_params(labelsize=8)
    handles = [
        Line2D([], [], color=RULE, linewidth=4, label=f"by the rule only (rise > {result.rise:g})"),
        Line2D([], [], color=CERTIFIED, linewidth=4, label="certified by the exact test"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.suptitle(_headline(result), fontsize=11, color=INK)
