"""Dendrograms of mixture trees.

Colours are those of Okabe & Ito, which people with any colour vision tell apart; verdicts also differ in marker.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.results.tree import MixtureTree, TreeNode

LINE, INTERVAL, WINDOW, INK = "#333333", "#0072B2", "#E69F00", "#333333"
_MARKS = {"holds": ("o", "#009E73"), "fails": ("X", "#D55E00"), "open": ("D", "#999999")}
_WORDS = {"holds": "conditions certified", "fails": "a condition fails", "open": "not settled"}
_NAMED = 60
"""Classes up to which leaves are labelled."""


def plot_tree(tree: MixtureTree, ax: Any = None) -> Any:
    """Draw a dendrogram: noise level as height, certified bars, and the critical window on each edge.

    Args:
        tree: from :func:`sloc.windows.tree.mixture_tree`.
        ax: matplotlib axes to draw into; new ones when None.

    Returns:
        The matplotlib axes.

    """
    count = len(tree.names)
    if ax is None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        size = (float(np.clip(0.55 * count + 2.5, 5.5, 14)), 4.6)
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
    place, height = _places(tree), tree.heights()
    ends = [node.interval[1] for node in tree.nodes if node.interval is not None and np.isfinite(node.interval[1])]
    top = max(float(height[-1]), *ends) * 1.06 or 1.0
    many = count > _NAMED
    shown: dict[str, Any] = {}
    for node in tree.nodes:
        x, y = place[node.index], height[node.index]
        if node.parent is not None:
            ax.plot([x, x], [y, height[node.parent]], color=LINE, linewidth=0.7 if many else 1.2, zorder=1)
            shown |= _window(ax, node, x, top, many)
        if not node.children:
            continue
        across = [place[c] for c in node.children]
        ax.plot([min(across), max(across)], [y, y], color=LINE, linewidth=0.7 if many else 1.2, zorder=1)
        shown |= _interval(ax, node, x, y, top, many)
        shown |= _mark(ax, node, x, y, many)
    ax.set_ylim(-0.02 * top, top)
    ax.set_xlim(-0.8, count - 0.2)
    order = np.argsort(place[:count])
    ax.set_xticks(np.arange(count) if not many else [])
    if not many:
        long = max(len(name) for name in tree.names) > 3
        ax.set_xticklabels([tree.names[i] for i in order], rotation=90 if long else 0, fontsize=8, color=INK)
    ax.set_ylabel("noise level", color=INK)
    title = f"ε = {tree.epsilon:g}" + (f", {count} classes" if many else "")
    ax.set_title(title, fontsize=9, color=INK, loc="left")
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=0)
    ax.tick_params(axis="y", colors=INK, labelsize=8)
    if shown:
        ax.legend(
            list(shown.values()),
            list(shown),
            fontsize=7,
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=3,
            columnspacing=1.0,
            handlelength=1.2,
        )
    return ax


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


def _interval(ax: Any, node: TreeNode, x: float, y: float, top: float, many: bool) -> dict[str, Any]:
    if node.interval is None or node.interval[1] <= node.interval[0]:
        return {}
    low, high = max(node.interval[0], 0.0), min(node.interval[1], top)
    (line,) = ax.plot(
        [x, x], [low, high], color=INTERVAL, alpha=0.45, linewidth=3 if many else 6, solid_capstyle="butt", zorder=2
    )
    return {"interval of the merge": line}


def _window(ax: Any, node: TreeNode, x: float, top: float, many: bool) -> dict[str, Any]:
    window = node.window
    if window is None or not window.resolved or window.t_after is None or window.t_before is None:
        return {}
    (line,) = ax.plot(
        [x, x],
        [window.t_after, min(window.t_before, top)],
        color=WINDOW,
        linewidth=2 if many else 4.5,
        solid_capstyle="butt",
        zorder=1.5,
    )
    return {"critical window": line}


def _mark(ax: Any, node: TreeNode, x: float, y: float, many: bool) -> dict[str, Any]:
    both = {node.merged.verdict, node.apart.verdict}
    verdict = "fails" if "fails" in both else "open" if "open" in both else "holds"
    marker, colour = _MARKS[verdict]
    hollow = node.noise_amount is None
    (point,) = ax.plot(
        [x],
        [y],
        linestyle="none",
        marker=marker,
        markersize=3 if many else 6,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        zorder=3,
    )
    return {_WORDS[verdict] + (", no noise level" if hollow else ""): point}
