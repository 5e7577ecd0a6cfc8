"""The shape of a mixture tree, read off merge times of pairs, and what has to be measured for its nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sloc.contracts import ObservationProcess, Population
from sloc.results.curve import Curve
from sloc.results.tree import MixtureTree
from sloc.windows.linkage import linkage_on_host
from sloc.windows.pair_table import PairForms
from sloc.windows.pair_times import PairTimes, curve_words
from sloc.windows.tree_evidence import Bands, cluster_bounds, overlap_bounds
from sloc.windows.tree_nodes import Layout, build_nodes
from sloc.windows.tree_statistics import NodeTable, members_of, parents_of

_OWN_TIMES = 96
"""Merges up to which each gets a time of its own in the check of the conditions."""
Table = Callable[[float], np.ndarray] | None


@dataclass(frozen=True)
class Skeleton:
    """A complete linkage of merge times; the nodes' quantities are still to be measured.

    Attributes:
        pairs: merge times of all pairs.
        names: names of the ``K`` classes.
        weights: ``w [K]``.
        epsilon: threshold of the merge times.
        layout: the linkage, and which of its clusters are nodes.
        members: boolean ``[2 K - 1, K]``.
        beside: boolean ``[2 K - 1, K]``, the members of a cluster's parent that are not its own.

    """

    pairs: PairTimes
    names: tuple[str, ...]
    weights: np.ndarray
    epsilon: float
    layout: Layout
    members: np.ndarray
    beside: np.ndarray

    @staticmethod
    def of(pairs: PairTimes, names: tuple[str, ...], weights: np.ndarray, epsilon: float) -> Skeleton:
        """Link the pairs; the arguments are the attributes of those names."""
        linkage = linkage_on_host(pairs.merge)
        layout, k = Layout.of(linkage), len(names)
        members = members_of(linkage[:, :2], k)
        parents = parents_of(linkage[:, :2], np.asarray(layout.kept), k)
        beside = np.zeros_like(members)
        beside[:-1] = members[parents[:-1]] & ~members[:-1]
        return Skeleton(pairs, names, weights, epsilon, layout, members, beside)

    @property
    def heights(self) -> np.ndarray:
        """The noise levels of the merges, increasing, each once."""
        return np.unique(self.layout.linkage[:, 2])

    @property
    def statistic(self) -> NodeTable:
        """What to measure: every node against the rest, and against its parent."""
        merges = tuple((int(a), int(b)) for a, b in self.layout.linkage[:, :2])
        return NodeTable(merges, self.layout.kept, tuple(float(x) for x in self.weights))

    def times(self, grid: np.ndarray, process: ObservationProcess, population: Population) -> np.ndarray:
        """Add the noise levels of the merges to a grid, where they are few and allowed.

        Args:
            grid: ``[T]``, increasing.
            process: the observation process.
            population: the population; atoms have no density at 0.

        """
        heights = self.heights
        if len(heights) > _OWN_TIMES:
            return grid
        lowest = grid[0] if process.has_density and population.atomic else 0.0
        # Times closer than float32 tells apart would be one time on the device.
        extra = [h for h in heights if h >= lowest and np.abs(grid - h).min() > 1e-6 * max(h, 1e-12)]
        return np.unique(np.concatenate([grid, extra]))

    def tree(
        self,
        process: ObservationProcess,
        curve: Curve | None,
        times: np.ndarray,
        forms: PairForms | None,
        affinity: Table,
        delta: float,
    ) -> MixtureTree:
        """Check the conditions at every node and return the tree.

        Args:
            process: the observation process.
            curve: of ``statistic``, from draws that the pairs did not see; None to go by bounds from pairs alone.
            times: where to look at the bounds, ``[T]``: those of ``curve`` where there is one.
            forms: closed forms of the pairs, or None.
            affinity: ``t -> [K, K]``, exact affinities of the pairs, or None.
            delta: error level of pairs and nodes jointly; 0 where nothing was drawn.

        """
        bands = self._bands(curve, times, None if forms is None else forms.tv, affinity)
        own = None if forms is None else self._own_checks(forms)
        draws = 0 if curve is None else int(curve.n)
        nodes = build_nodes(
            process,
            self.layout,
            self.members,
            self.weights,
            self.pairs,
            bands,
            self.names,
            self.epsilon,
            delta,
            draws,
            own,
        )
        way = "nodes by bounds from pairs" if curve is None else f"nodes {curve_words(curve)}"
        return MixtureTree(
            self.layout.linkage,
            self.names,
            self.weights,
            nodes,
            tuple(tuple(self.names[i] for i in group) for group in self.pairs.duplicates()),
            self.epsilon,
            delta,
            self.pairs.draws + draws,
            f"{self.pairs.method}, {way}",
            float(process.horizon),
            process.time_axis,
        )

    def _own_checks(self, forms: PairForms) -> np.ndarray:
        """Bounds on ``TV(p^S, p^rest)`` of every node but the root at its own noise level, ``[N - 1, 2]``."""
        k = len(self.weights)
        bounds = np.tile([0.0, 1.0], (len(self.layout.kept) - 1, 1))
        for row, cluster in zip(bounds, self.layout.kept[:-1], strict=True):
            inside, rest = np.flatnonzero(self.members[cluster]), np.flatnonzero(~self.members[cluster])
            noise = float(self.layout.linkage[cluster - k, 2]) if cluster >= k else 0.0
            a, b = (self.weights[side] / self.weights[side].sum() for side in (inside, rest))
            low, high = overlap_bounds(*forms.between(noise, inside, rest), a, b)
            row[:] = 1.0 - high, 1.0 - low
        return bounds

    def _bands(self, curve: Curve | None, times: np.ndarray, tv: Table, affinity: Table) -> tuple[Bands, Bands]:
        """TV of every node against the rest and its parent: draws where there are any, met with bounds from pairs."""
        nodes = np.asarray(self.layout.kept[:-1])
        count, merges = len(nodes), self.layout.linkage[:, :2].astype(np.int64)
        table = (len(times), count)
        apart = within = Bands(times, np.full(table, np.nan), np.zeros(table), np.ones(table))
        mass, near = self.members[nodes] @ self.weights, self.beside[nodes] @ self.weights
        share = near / (mass + near)
        if curve is not None:
            value, lower, upper = (np.asarray(x, np.float64) for x in (curve.value, curve.lower, curve.upper))
            apart = Bands(times, value[:, :count], lower[:, :count], upper[:, :count])
            within = Bands(times, value[:, count:], lower[:, count:], upper[:, count:])
        low, high, near_low, near_high = (
            b[:, nodes] for b in cluster_bounds(merges, self.members, self.beside, self.weights, times, tv, affinity)
        )
        return apart.meet(low, high), within.meet(share * near_low, share * near_high)
