"""Dendrograms of mixture trees: noise level as height, certified bars, and what the checks said of each merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sloc.report.style import BLUE, GREEN, INK, ORANGE, RED, SOFT, given_axes, styled, tidy
from sloc.results import TreeNode
from sloc.results.tree import MixtureTree

# Verdicts differ in marker, not only in colour.
_MARKS = {"holds": ("o", GREEN), "apart": ("X", RED), "merged": ("s", RED), "open": ("D", SOFT)}
_WORDS = {
    "holds": "merged, apart from the rest",
    "apart": "merged, not apart",
    "merged": "not merged",
    "open": "not settled",
}
_INTERVAL, _WINDOW = "interval", "critical window"
_NO_LEVEL = ", no noise level"
_LEGEND = (_INTERVAL, _WINDOW, *_WORDS.values())
_NAMED = 60
"""Classes up to which leaves are labelled."""
_CUT = 0.4
"""Where all merges lie above this share of the axis, the axis does not begin at 0."""
_ROOM = 0.22
"""Share of the height of a picture with thumbnails that they take."""


def plot_tree(
    tree: MixtureTree,
    ax: Any = None,
    *,
    words: Callable[[float], str] | None = None,
    thumbnail: Callable[[Any, int], None] | None = None,
) -> Any:
    """Draw a dendrogram: noise level as height, certified bars, and the critical window on each edge.

    A merge stands where its classes have merged; the bar around it is the interval of that noise level, its marker
    says what was certified there.  Leaves stand at noise 0; where all merges lie far above, the axis begins below the
    first of them and is marked as broken.

    Args:
        tree: from :func:`sloc.mixture_tree`.
        ax: matplotlib axes to draw into; new ones when None.
        words: how to write a noise level on the axis; plain numbers when None.
        thumbnail: called with axes and the index of a class, to draw a picture of it under its leaf.

    Returns:
        The matplotlib axes.

    Raises:
        InvalidInput: matplotlib is not installed.

    """
    count = len(tree.names)
    with styled():
        ax = tidy(given_axes(ax, float(np.clip(0.55 * count + 2.5, 5.5, 14)), 4.6))
        place, height = _places(tree), tree.heights()
        low, top, broken = _limits(tree)
        floor = low - (_ROOM / (1 - _ROOM) * (top - low) if thumbnail else 0.0)
        ax.set_ylim(floor, top)
        ax.set_xlim(-0.6, count - 0.4)
        shown = _lines(ax, tree, place, height, low, top)
        _levels(ax, tree.time_axis, (low, top, floor), broken, words)
        _leaves(ax, tree, place, thumbnail)
        ax.set_title(
            f"ε = {tree.epsilon:g}" + (f", {count} classes" if count > _NAMED else ""),
            fontsize=9,
            color=INK,
            loc="left",
        )
        if shown:
            order = sorted(shown, key=lambda name: _LEGEND.index(name.removesuffix(_NO_LEVEL)))
            ax.legend(
                [shown[name] for name in order],
                order,
                fontsize=8,
                loc="lower right",
                bbox_to_anchor=(1.0, 1.0),
                borderaxespad=0.2,
                ncols=4 if count >= 8 else 2,
                columnspacing=1.0,
                handlelength=1.0,
                handletextpad=0.5,
            )
    return ax


def _lines(ax: Any, tree: MixtureTree, place: np.ndarray, height: np.ndarray, low: float, top: float) -> dict[str, Any]:
    """Draw branches, bars, windows and marks; return what the legend names."""
    many, shown = len(tree.names) > _NAMED, {}
    width = 0.7 if many else 1.2
    for node in tree.nodes:
        x, y = place[node.index], max(height[node.index], low)
        if node.parent is not None:
            ax.plot([x, x], [y, height[node.parent]], color=INK, linewidth=width, zorder=1)
            shown |= _window(ax, node, x, (y, height[node.parent]), many)
        if not node.children:
            continue
        across = [place[c] for c in node.children]
        ax.plot([min(across), max(across)], [y, y], color=INK, linewidth=width, zorder=1)
        shown |= _interval(ax, node, x, low, top, many)
        shown |= _mark(ax, node, x, y, many)
    return shown


def _limits(tree: MixtureTree) -> tuple[float, float, bool]:
    """Lowest and highest noise level drawn, and whether 0 is left out."""
    merges = [n for n in tree.nodes if n.children]
    heights = tree.heights()
    ends = [n.interval[1] for n in merges if n.interval is not None and np.isfinite(n.interval[1])]
    highest = max([float(heights[-1]), *ends])
    starts = [heights[n.index] if n.interval is None else min(n.interval[0], heights[n.index]) for n in merges]
    lowest = float(min(starts))
    if lowest > _CUT * highest:
        margin = 0.16 * (highest - lowest) or 0.05 * highest
        return lowest - margin, highest + 0.3 * margin, True
    top = 1.06 * highest or 1.0
    return -0.02 * top, top, False


def _levels(
    ax: Any,
    axis: str,
    ends: tuple[float, float, float],
    broken: bool,
    words: Callable[[float], str] | None,
) -> None:
    """Set the noise axis, upright here: ticks where it holds, a break where it leaves out 0."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, top, floor = ends
    ticks = [t for t in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, top) if max(low, 0.0) <= t <= top]
    ax.set_yticks(ticks)
    if words is not None:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda t, _: words(t)))
    ax.set_ylabel(axis.replace("right to left", "downwards"), color=INK)
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set_visible(False)
    foot = (low - floor) / (top - floor)
    line = {"color": SOFT, "linewidth": 0.8, "transform": ax.transAxes, "clip_on": False}
    ax.plot([0, 0], [foot, 1], **line)
    if broken:
        for y in (foot, foot + 0.02):
            ax.plot([-0.008, 0.008], [y - 0.012, y + 0.012], **line)


def _leaves(ax: Any, tree: MixtureTree, place: np.ndarray, thumbnail: Callable[[Any, int], None] | None) -> None:
    """Name the leaves, where they are few, and draw their pictures."""
    count = len(tree.names)
    ax.tick_params(axis="x", length=0)
    order = np.argsort(place[:count])
    if count > _NAMED:
        ax.set_xticks([])
        return
    upright = max(len(name) for name in tree.names) > 3
    names = [n if len(n) <= 24 else n[:23] + "…" for n in (tree.names[i] for i in order)]
    ax.set_xticks(np.arange(count), names, rotation=90 if upright else 0, fontsize=9, color=INK)
    if thumbnail is None:
        return
    for leaf, x in zip(order, np.arange(count), strict=True):
        centre = (x + 0.6) / (count + 0.2)
        box = ax.inset_axes((centre - 0.036, 0.005, 0.072, _ROOM - 0.015))
        box.set_anchor("S")
        thumbnail(box, int(leaf))


def _places(tree: MixtureTree) -> np.ndarray:
    """Horizontal place of every node: leaves in the order of a walk down the tree, parents above the middle."""
    order: list[int] = []
    stack = [len(tree.nodes) - 1]
    while stack:
        node = tree.nodes[stack.pop()]
        if not node.children:
            order.append(node.index)
        stack.extend(sorted(node.children, key=lambda c: (len(tree.nodes[c].members), c)))
    place = np.zeros(len(tree.nodes))
    place[order] = np.arange(len(order))
    for node in tree.nodes:
        if node.children:
            across = [place[c] for c in node.children]
            place[node.index] = (min(across) + max(across)) / 2
    return place


def _interval(ax: Any, node: TreeNode, x: float, low: float, top: float, many: bool) -> dict[str, Any]:
    if node.interval is None or node.interval[1] <= node.interval[0]:
        return {}
    ends = max(node.interval[0], low), min(node.interval[1], top)
    (line,) = ax.plot([x, x], ends, color=BLUE, alpha=0.4, linewidth=3 if many else 6, solid_capstyle="butt", zorder=2)
    return {_INTERVAL: line}


def _window(ax: Any, node: TreeNode, x: float, branch: tuple[float, float], many: bool) -> dict[str, Any]:
    """Draw what of a node's window lies on its branch: below, the node itself comes apart."""
    window = node.window
    if window is None or not window.resolved or window.t_after is None or window.t_before is None:
        return {}
    start, stop = max(window.t_after, branch[0]), min(window.t_before, branch[1])
    if stop <= start:
        return {}
    width = 2.0 if many else 4.5
    (line,) = ax.plot([x, x], [start, stop], color=ORANGE, linewidth=width, solid_capstyle="butt", zorder=1.5)
    return {_WINDOW: line}


def _mark(ax: Any, node: TreeNode, x: float, y: float, many: bool) -> dict[str, Any]:
    merged, apart = node.merged.verdict, node.apart.verdict
    verdict = "merged" if merged == "fails" else "apart" if apart == "fails" else "holds"
    if verdict == "holds" and "open" in (merged, apart):
        verdict = "open"
    marker, colour = _MARKS[verdict]
    hollow = node.noise_amount is None
    (point,) = ax.plot(
        [x],
        [y],
        linestyle="none",
        marker=marker,
        markersize=3 if many else 6.5,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        markeredgecolor=colour if hollow else "white",
        markeredgewidth=1.0 if hollow else 0.6,
        zorder=3,
    )
    return {_WORDS[verdict] + (_NO_LEVEL if hollow else ""): point}
