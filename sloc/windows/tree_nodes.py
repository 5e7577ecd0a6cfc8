"""From a linkage array and what is known about its clusters to the nodes of a mixture tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.contracts import ObservationProcess
from sloc.results.status import status_code, status_name
from sloc.results.tree import cor1_bound
from sloc.results.tree_node import Check, TreeNode
from sloc.results.window import Window
from sloc.windows.critical import window_of
from sloc.windows.edges import Edge, Side, edge_on_grid
from sloc.windows.pair_times import PairTimes
from sloc.windows.search import Found
from sloc.windows.tree_evidence import Bands
from sloc.windows.tree_statistics import parents_of


@dataclass(frozen=True)
class Layout:
    """Which clusters of a binary linkage are nodes, once merges of equal height are one.

    Attributes:
        linkage: ``[K-1, 4]``.
        kept: numbers of the clusters that are nodes, leaves first, the root last.

    """

    linkage: np.ndarray
    kept: tuple[int, ...]

    @staticmethod
    def of(linkage: np.ndarray) -> Layout:
        """Drop every merge whose parent has the same height."""
        k = len(linkage) + 1
        above = np.full(2 * k - 1, np.inf)
        for a, b, height, _ in linkage:
            above[int(a)] = above[int(b)] = height
        keep = [k + m for m in range(k - 1) if linkage[m, 2] < above[k + m]]
        return Layout(linkage, (*range(k), *keep))


def build_nodes(
    process: ObservationProcess,
    layout: Layout,
    members: np.ndarray,
    weights: np.ndarray,
    pairs: PairTimes,
    bands: tuple[Bands, Bands],
    names: tuple[str, ...],
    epsilon: float,
    delta: float,
    draws: int,
    own: np.ndarray | None = None,
) -> tuple[TreeNode, ...]:
    """Give every node its noise amount, interval, checks and window.

    Args:
        process: the observation process.
        layout: which clusters are nodes.
        members: boolean ``[2 K - 1, K]``.
        weights: ``w [K]``.
        pairs: merge times of the pairs.
        bands: TV of every node but the root against the rest, and against its parent.
        names: names of the classes.
        epsilon: the threshold.
        delta: error level of the bands.
        draws: draws behind them.
        own: bounds that always hold on TV against the rest at each node's noise level, ``[N - 1, 2]``, or None.

    Returns:
        The nodes, children before parents.

    """
    k, linkage = len(weights), layout.linkage
    number = {cluster: i for i, cluster in enumerate(layout.kept)}
    parents = parents_of(linkage[:, :2], np.asarray(layout.kept), k)
    children: dict[int, list[int]] = {cluster: [] for cluster in layout.kept}
    for cluster in layout.kept[:-1]:
        children[int(parents[cluster])].append(number[cluster])
    apart = bands[0]
    never = status_code("above_grid")
    high = 1 - epsilon**2
    heights = {c: float(linkage[c - k, 2]) if c >= k else 0.0 for c in layout.kept}
    nodes = []
    for cluster in layout.kept:
        index, inside = number[cluster], np.flatnonzero(members[cluster])
        mass = float(weights[inside].sum())
        rest = float(weights[~members[cluster]].sum())
        parent = None if cluster == layout.kept[-1] else number[int(parents[cluster])]
        column = None if parent is None else index
        if cluster < k:
            noise, interval, status = 0.0, (0.0, 0.0), status_name(0)
            merged = Check(0.0, 0.0, 0.0, epsilon, True)
        else:
            block = np.ix_(inside, inside)
            codes, points = pairs.status[block], pairs.merge[block]
            deciding = codes[points == points.max()]
            code = never if (codes == never).any() else int(deciding.max())
            status = status_name(code)
            noise = None if code == never else heights[cluster]
            interval = (float(pairs.low[block].max()), float(pairs.high[block].max()))
            merged = _merged(noise, inside, weights, pairs, bands, children[cluster], epsilon)
        if column is None:
            check = Check(1.0, 1.0, 1.0, high, False)
        elif noise is None:
            check = Check(None, 0.0, 1.0, high, False)
        else:
            check = _apart(apart.at(column, noise), None if own is None else own[column], high)
        window = None
        if column is not None and parent is not None:
            above = None if layout.kept[parent] == layout.kept[-1] else parent
            window = _critical(process, bands, column, above, epsilon, delta, draws, names, inside)
        nodes.append(
            TreeNode(
                index,
                tuple(int(i) for i in inside),
                parent,
                tuple(children[cluster]),
                noise,
                interval,
                status,
                merged,
                check,
                window,
                cor1_bound(epsilon, rest / mass if parent is not None else 0.0),
            )
        )
    return tuple(nodes)


def _apart(found: tuple[float | None, float, float], own: np.ndarray | None, threshold: float) -> Check:
    """Check ``TV(p^S, p^rest) >= threshold``, bands met with bounds that always hold."""
    value, lower, upper = found
    if own is not None:
        lower, upper = max(lower, float(own[0])), min(upper, float(own[1]))
        upper = max(upper, lower)
    return Check(None if value is None else float(np.clip(value, lower, upper)), lower, upper, threshold, False)


def _merged(
    noise: float | None,
    inside: np.ndarray,
    weights: np.ndarray,
    pairs: PairTimes,
    bands: tuple[Bands, Bands],
    children: list[int],
    epsilon: float,
) -> Check:
    """Check ``max_i TV(p^i, p^S) <= epsilon`` at a noise level.

    Above: ``TV(p^i, p^S) <= sum_j (w_j / w_S) TV(p^i, p^j)``.  Below: ``TV(p^child, p^S)`` is no more than the largest
    over the child's members.  Classes that are children, and all classes at the root, where
    ``TV(p^i, p) = (1 - w_i) TV(p^i, p^rest)``, were measured themselves.
    """
    if noise is None:
        return Check(None, 0.0, 1.0, epsilon, True)
    apart, within = bands
    table = pairs.upper_at(noise, inside)
    np.fill_diagonal(table, 0.0)
    most = np.minimum(table @ (weights[inside] / weights[inside].sum()), 1.0)
    found = {child: within.at(child, noise) for child in children}
    if len(inside) == len(weights):
        for i in inside.tolist():
            value, low, high = apart.at(i, noise)
            share = 1.0 - float(weights[i])
            found[i] = (None if value is None else share * value, share * low, share * high)
    lower = max((low for _, low, _ in found.values()), default=0.0)
    measured = [found[i] for i in inside.tolist() if i in found]
    for place, i in enumerate(inside.tolist()):
        if i in found:
            most[place] = min(most[place], found[i][2])
    upper = max(float(most.max()), lower)
    values = [value for value, _, _ in measured if value is not None]
    known = len(values) == len(inside)
    return Check(float(np.clip(max(values), lower, upper)) if known else None, lower, upper, epsilon, True)


def _critical(
    process: ObservationProcess,
    bands: tuple[Bands, Bands],
    child: int,
    parent: int | None,
    epsilon: float,
    delta: float,
    draws: int,
    names: tuple[str, ...],
    inside: np.ndarray,
) -> Window:
    """The critical window of a node within its parent (Def. 4), from the bands of both."""
    apart, within = bands
    high = 1 - epsilon**2
    edges = {
        "after": _edge(process, apart, child, high, "last"),
        "close": _edge(process, within, child, epsilon, "first"),
    }
    if parent is not None:
        edges["apart"] = _edge(process, apart, parent, high, "last")
    shown = ", ".join(names[i] for i in inside[:6]) + (", ..." if len(inside) > 6 else "")
    exact = draws == 0
    found = Found(edges, {}, draws, "bounds from pairs" if exact else "monte carlo", 0.0 if exact else delta)
    return window_of(found, epsilon, f"{{{shown}}} within its parent", process.time_axis)


def _edge(process: ObservationProcess, bands: Bands, column: int, threshold: float, side: Side) -> Edge:
    value, lower, upper = (b[:, column] for b in (bands.value, bands.lower, bands.upper))
    known = bool(np.isfinite(value).all())
    edge = edge_on_grid(
        bands.times,
        value if known else (lower + upper) / 2,
        lower,
        upper,
        threshold,
        side,
        horizon=float(process.horizon),
        discrete=process.discrete,
    )
    if known or edge.status != "resolved" or (edge.interval is not None and edge.interval[0] == edge.interval[1]):
        return edge
    # Bounds alone say where an edge lies, not at which point.
    return Edge(None, edge.interval, "unresolved")
