"""Mixture trees: which sub-populations are told apart at which noise level."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import NOISE_AXIS, require
from sloc.contracts.arguments import as_floats, checked_kind, checked_whole, is_one_of
from sloc.contracts.equality import same_fields
from sloc.contracts.extras import need
from sloc.results.pictures import draw
from sloc.results.status import status_code
from sloc.results.tree_node import Check, Condition, TreeNode, Verdict
from sloc.results.window import Window

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, repr=False)
class MixtureTree:
    """An epsilon-mixture tree: ``Subset`` and ``NoiseAmount`` of every node, with its three conditions checked.

    Source: Li, Karan & Chen 2025, Def. 8, Cor. 1 and 2; the form that is checked is written at
    :func:`sloc.mixture_tree`.

    Attributes:
        linkage: ``[K-1, 4]`` in SciPy's convention, binary; the height is the noise level of the merge (the last time
            looked at where there is none, see the node's status).
        names: names of the ``K`` classes.
        weights: ``w [K]``.
        nodes: leaves in the order of the classes, then merges by height, the root last.  Merges of equal height are
            one node with several children.
        duplicates: classes with one and the same law, by name.
        epsilon: the threshold.
        delta: error level of all intervals and checks jointly (0 where all is exact).
        draws: number of draws used.
        method: how the numbers were got.
        horizon: largest time of the process.
        time_axis: what its noise levels are, as a picture writes it along an axis of times.

    """

    linkage: np.ndarray
    names: tuple[str, ...]
    weights: np.ndarray
    nodes: tuple[TreeNode, ...]
    duplicates: tuple[tuple[str, ...], ...]
    epsilon: float
    delta: float
    draws: int
    method: str = ""
    horizon: float = math.inf
    time_axis: str = NOISE_AXIS

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def root(self) -> TreeNode:
        """The node of all classes."""
        return self.nodes[-1]

    @property
    def depth(self) -> int:
        """Edges on the longest path from the root to a leaf."""
        below = [0] * len(self.nodes)
        for node in self.nodes:
            below[node.index] = 1 + max((below[c] for c in node.children), default=-1)
        return below[-1]

    @property
    def conditions(self) -> dict[str, Condition]:
        """The three conditions: ``nested``, ``merged`` and ``apart``, each with the nodes at which it fails."""
        twins = {self.names.index(name) for group in self.duplicates for name in group}
        flat = []
        for node in self.nodes[:-1]:
            above = self.nodes[node.parent if node.parent is not None else -1].noise_amount
            # Classes with one law have nothing to be told apart by: they merge at 0, where leaves stand.
            twin = node.index < len(self.names) and node.index in twins and above == 0
            known = node.noise_amount is not None and above is not None
            if known and not node.noise_amount < above and not twin:  # pyright: ignore[reportOperatorIssue]
                flat.append(node.index)
        return {
            "nested": _condition(
                "the root is everything, leaves are single classes, children partition their parent with less noise",
                dict.fromkeys(flat, "fails"),
            ),
            "merged": _condition(
                "at its noise level a node's mixture is within epsilon of each of its classes",
                {node.index: node.merged.verdict for node in self.nodes},
            ),
            "apart": _condition(
                "at its noise level a node's mixture is at least 1 - epsilon^2 from the rest",
                {node.index: node.apart.verdict for node in self.nodes},
            ),
        }

    @property
    def verdict(self) -> Verdict:
        """``holds`` if all three conditions do, ``fails`` if one certainly fails, else ``open``."""
        verdicts = {c.verdict for c in self.conditions.values()}
        return "fails" if "fails" in verdicts else "open" if "open" in verdicts else "holds"

    def subset(self, node: int) -> tuple[str, ...]:
        """Return ``Subset`` of a node as names of classes.

        Raises:
            InvalidInput: no such node.

        """
        node = checked_whole(node, "node", 0, len(self.nodes) - 1)
        return tuple(self.names[i] for i in self.nodes[node].members)

    def node_name(self, node: int, most: int = 6) -> str:
        """Return a node as text: a class, or ``{a, b, ...}`` with at most ``most`` names.

        Raises:
            InvalidInput: no such node, or ``most`` below 1.

        """
        names, most = self.subset(node), checked_whole(most, "most")
        return (
            names[0] if len(names) == 1 else "{" + ", ".join((*names[:most], *(("...",) * (len(names) > most)))) + "}"
        )

    def path(self, leaf: int | str) -> tuple[TreeNode, ...]:
        """Return the nodes from the root down to a class.

        Args:
            leaf: index or name of a class.

        Raises:
            InvalidInput: no such class.

        """
        if isinstance(leaf, str):
            require(is_one_of(leaf, self.names), "leaf", leaf, f"one of the classes {self.names}")
            leaf = self.names.index(leaf)
        whole = isinstance(leaf, (int, np.integer)) and not isinstance(leaf, (bool, np.bool_))
        require(whole and 0 <= int(leaf) < len(self.names), "leaf", leaf, f"an index from 0 to {len(self.names) - 1}")
        node = self.nodes[int(leaf)]
        found = [node]
        while node.parent is not None:
            node = self.nodes[node.parent]
            found.append(node)
        return tuple(reversed(found))

    def windows(self, leaf: int | str) -> tuple[Window, ...]:
        """Return the critical windows on the path to a class, in the order in which generation passes them.

        One per edge from the root down: between ``t_before``, where the child is still merged with its parent,
        ``TV(p_t^child, p_t^parent) <= epsilon``, and ``t_after``, where it is already apart from the rest,
        ``TV(p_t^child, p_t^rest) >= 1 - epsilon^2`` (:func:`sloc.critical_window`).

        Args:
            leaf: index or name of a class.

        Raises:
            InvalidInput: no such class.

        Source: Li, Karan & Chen 2025, Cor. 1.

        """
        return tuple(node.window for node in self.path(leaf) if node.window is not None)

    def perturbed(self, tv_error: Any) -> MixtureTree:
        """Transfer the tree to a model ``q`` with ``TV(p^theta, q^theta) <= tv_error`` and the same weights.

        By data processing and convexity every ``TV(q_t^A, q_t^B)`` differs from ``TV(p_t^A, p_t^B)`` by at most
        ``eta_A + eta_B``, ``eta_S = sum_{theta in S} w_theta eta_theta / w_S``.  So the same subsets and noise levels
        are checked for ``q`` at the threshold ``epsilon' = max(epsilon + m, sqrt(epsilon^2 + s))`` with ``m``, ``s``
        the largest such sums in the two conditions: what holds for ``p`` at ``epsilon`` holds for ``q`` at
        ``epsilon'``.  Windows of ``q`` at ``epsilon'`` lie inside those of ``p``; their edges are known from one side
        only and therefore ``unresolved``, with that side as interval.

        Args:
            tv_error: a bound ``eta`` in ``[0, 1)``, for all classes or one for each, ``[K]``.

        Returns:
            The tree of ``q``; :attr:`epsilon` is ``epsilon'``.

        Raises:
            InvalidInput: errors outside ``[0, 1)`` or of the wrong number, or so large that ``epsilon' >= 1``.

        Source: Li, Karan & Chen 2025, Cor. 2, with its constants worked out by the triangle inequality.

        """
        eta = as_floats(tv_error, "tv_error")
        k = len(self.names)
        require(eta.shape in ((), (k,)), "tv_error", tv_error, f"one number, or {k}")
        require(bool(((eta >= 0) & (eta < 1)).all()), "tv_error", tv_error, "numbers in [0, 1)")
        eta, w = np.broadcast_to(eta, (k,)), self.weights
        inside = np.zeros((len(self.nodes), k), bool)
        for node in self.nodes:
            inside[node.index, list(node.members)] = True
        mass, error = inside @ w, inside @ (w * eta)
        rest_mass, rest_error = (~inside) @ w, (~inside) @ (w * eta)
        own = error / mass
        merged = np.where(inside, eta[None, :], 0.0).max(axis=1) + own
        merged[:k] = 0.0  # a leaf is compared with itself
        rest = np.divide(rest_error, rest_mass, out=np.zeros_like(own), where=rest_mass > 0)
        apart = np.where(rest_mass > 0, own + rest, 0.0)
        epsilon = max(self.epsilon + merged.max(), math.sqrt(self.epsilon**2 + apart.max()))
        require(epsilon < 1, "tv_error", tv_error, f"errors that leave epsilon' = {epsilon:.3g} below 1")
        if not eta.any():
            epsilon = self.epsilon
        nodes = tuple(
            replace(
                node,
                interval=None if node.interval is None else (0.0, self.horizon) if eta.any() else node.interval,
                merged=_shifted(node.merged, float(merged[i]), epsilon),
                apart=_shifted(node.apart, float(apart[i]), 1 - epsilon**2),
                window=_outer(node.window, epsilon, self.horizon) if eta.any() else node.window,
                bound=cor1_bound(epsilon, float(rest_mass[i] / mass[i])),
            )
            for i, node in enumerate(self.nodes)
        )
        return replace(self, nodes=nodes, epsilon=epsilon, method=f"{self.method}; transferred by TV error")

    def to_networkx(self) -> nx.DiGraph[Any]:
        """Return a directed tree, edges from parent to child, with the fields of the nodes as attributes.

        Raises:
            InvalidInput: networkx is not installed.

        """
        need("viz", "networkx", "to_networkx")
        import networkx as nx

        graph = nx.DiGraph(epsilon=self.epsilon, delta=self.delta)
        for node in self.nodes:
            graph.add_node(
                node.index,
                subset=self.subset(node.index),
                noise_amount=node.noise_amount,
                status=node.status,
                merged=node.merged.verdict,
                apart=node.apart.verdict,
                name=self.node_name(node.index),
            )
        graph.add_edges_from((node.parent, node.index) for node in self.nodes if node.parent is not None)
        return graph

    def to_newick(self, root: str = "") -> str:
        """Return the tree in Newick format; branch lengths are differences of noise levels, names quoted where needed.

        A node without a noise level stands at the last time that was looked at.

        Args:
            root: a label for the root; none when empty.

        Raises:
            InvalidInput: a label that is no text.

        """
        checked_kind(root, "root", str, "a text")
        height = self.heights()
        text: list[str] = [""] * len(self.nodes)
        for node in self.nodes:  # children come before their parents
            label = _quoted(self.names[node.index]) if not node.children else ""
            inner = "(" + ",".join(text[c] for c in node.children) + ")" if node.children else ""
            length = "" if node.parent is None else f":{height[node.parent] - height[node.index]:.12g}"
            text[node.index] = inner + label + length
        return text[-1] + (_quoted(root) if root else "") + ";"

    def heights(self) -> np.ndarray:
        """Return the height of every node, ``[N]``: its noise amount, or the last time looked at where it has none.

        The noise amount is ``max_{i, j in Subset} T_end(i, j)``, 0 of a leaf.
        """
        last = float(self.linkage[-1, 2])
        return np.asarray([last if n.noise_amount is None else n.noise_amount for n in self.nodes])

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per node: members, parent, noise amount and its interval, checks, window, bound."""
        import pandas as pd

        rows = []
        for node in self.nodes:
            low, high = node.interval or (None, None)
            row: dict[str, Any] = {
                "node": node.index,
                "subset": self.node_name(node.index, len(self.names)),
                "size": len(node.members),
                "parent": node.parent,
                "noise_amount": node.noise_amount,
                "noise_low": low,
                "noise_high": high,
                "status": node.status,
            }
            for name in ("merged", "apart"):
                check: Check = getattr(node, name)
                row |= {name: check.verdict, f"{name}_lower": check.lower, f"{name}_upper": check.upper}
            window = node.window
            row |= {
                "t_after": None if window is None else window.t_after,
                "t_before": None if window is None else window.t_before,
                "status_after": None if window is None else window.status_after,
                "status_before": None if window is None else window.status_before,
                "bound": node.bound,
            }
            rows.append(row)
        return pd.DataFrame(rows)

    def to_xarray(self) -> xr.Dataset:
        """Return a dataset on dimensions ``node``, ``class`` and ``merge``; missing numbers are NaN, no parent -1."""
        import xarray as xr

        def numbers(values: list[float | None]) -> tuple[str, np.ndarray]:
            return "node", np.asarray([np.nan if v is None else v for v in values], np.float64)

        inside = np.zeros((len(self.nodes), len(self.names)), bool)
        for node in self.nodes:
            inside[node.index, list(node.members)] = True
        data: dict[str, Any] = {
            "subset": (("node", "class"), inside),
            "parent": ("node", np.asarray([-1 if n.parent is None else n.parent for n in self.nodes])),
            "noise_amount": numbers([n.noise_amount for n in self.nodes]),
            "noise_low": numbers([None if n.interval is None else n.interval[0] for n in self.nodes]),
            "noise_high": numbers([None if n.interval is None else n.interval[1] for n in self.nodes]),
            "status": ("node", np.asarray([status_code(n.status) for n in self.nodes])),
            "t_after": numbers([None if n.window is None else n.window.t_after for n in self.nodes]),
            "t_before": numbers([None if n.window is None else n.window.t_before for n in self.nodes]),
            "merged_lower": numbers([n.merged.lower for n in self.nodes]),
            "merged_upper": numbers([n.merged.upper for n in self.nodes]),
            "apart_lower": numbers([n.apart.lower for n in self.nodes]),
            "apart_upper": numbers([n.apart.upper for n in self.nodes]),
            "linkage": (("merge", "column"), self.linkage),
            "weight": ("class", self.weights),
        }
        attrs = {"epsilon": self.epsilon, "delta": self.delta, "draws": self.draws, "method": self.method}
        dataset = xr.Dataset(data, {"class": list(self.names)}, attrs)
        dataset["noise_amount"].attrs["long_name"] = self.time_axis
        return dataset

    def plot(self, ax: Any = None) -> Any:
        """Draw the dendrogram with noise level as height; returns the matplotlib axes."""
        return draw("tree", self, ax=ax)

    def __repr__(self) -> str:
        """Return size, noise levels and the three verdicts on one line."""
        top = self.root.noise_amount
        noise = "-" if top is None else f"{top:.6g}"
        verdicts = ", ".join(f"{name} {c.verdict}" for name, c in self.conditions.items())
        twins = f", {len(self.duplicates)} groups of duplicates" if self.duplicates else ""
        return (
            f"MixtureTree({len(self.names)} classes, {len(self.nodes)} nodes, depth {self.depth}{twins}, root merges "
            f"at {noise} ({self.root.status}), epsilon={self.epsilon:g}, {verdicts}, delta={self.delta:g}, "
            f"draws={self.draws:,}, {self.method})"
        )


def cor1_bound(epsilon: float, odds: float) -> float:
    """Return ``epsilon + max(1, W) (epsilon^2 - epsilon^4 / 2)``, the law of Theorem 2 in closed form.

    Args:
        epsilon: threshold.
        odds: ``W = w_rest / w_Subset``.

    """
    return epsilon + max(1.0, odds) * (epsilon**2 - epsilon**4 / 2) if odds > 0 else epsilon


def _condition(statement: str, verdicts: dict[int, Verdict]) -> Condition:
    count = Counter(verdicts.values())
    verdict: Verdict = "fails" if count["fails"] else "open" if count["open"] else "holds"
    failing = tuple(i for i, v in verdicts.items() if v == "fails")
    return Condition(statement, verdict, failing, tuple(i for i, v in verdicts.items() if v == "open"))


def _shifted(check: Check, by: float, threshold: float) -> Check:
    if by == 0:
        return replace(check, threshold=threshold)
    # The sums that make up epsilon' must not undo in rounding what holds on paper.
    slack = 4e-16
    return Check(None, max(check.lower - by + slack, 0.0), min(check.upper + by - slack, 1.0), threshold, check.at_most)


def _outer(window: Window | None, epsilon: float, horizon: float) -> Window | None:
    """Keep what a window at ``epsilon`` says about that of a perturbed model at ``epsilon'``."""
    if window is None:
        return None
    low = 0.0 if window.after_interval is None else window.after_interval[0]
    high = horizon if window.before_interval is None else window.before_interval[1]
    return replace(
        window,
        t_after=None,
        t_before=None,
        after_interval=(low, horizon),
        before_interval=(0.0, high),
        status_after="unresolved",
        status_before="unresolved",
        epsilon=epsilon,
    )


def _quoted(name: str) -> str:
    plain = name and not any(c in "()[]{}:;,'\"/\\_" or c.isspace() for c in name)
    return name if plain else "'" + name.replace("'", "''") + "'"
