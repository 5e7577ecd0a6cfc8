"""Statistics for trees: all pairs of classes, or all nodes of a tree, in one stream of trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Population, float_dtype
from sloc.divergence.integrands import Arrays, Draws, Integrand, log_ratio, overlap
from sloc.divergence.statistics import Statistic, Term

Array = jax.Array


@dataclass(frozen=True)
class AllPairs(Integrand):
    """``1 - TV`` of every listed pair of single sub-populations, one column per pair."""

    columns = True

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average the overlap over one draw from each side, ``[T, P, R]``."""
        a, b = arrays["a"], arrays["b"]

        def one(log_p: Array) -> Array:
            def side(component: Array) -> Array:
                stratum = draws.position[component]
                return overlap(log_ratio(log_p[a, stratum], log_p[b, stratum]))

            return 0.5 * (side(a) + side(b))

        return jax.lax.map(one, draws.log_marginals)


@dataclass(frozen=True)
class PairTable(Statistic):
    """``TV(p_t^i, p_t^j)`` for a list of pairs ``i != j`` as columns of one curve.

    Unbiased; equal to :class:`sloc.TV` of each pair on the same draws, at a cost that does not grow with ``K`` per
    pair.

    Attributes:
        pairs: ``((i, j), ...)``, indices.

    """

    pairs: tuple[tuple[int, int], ...]

    def bind(self, population: Population) -> Term:
        """List the pairs; every class that occurs is a stratum."""
        table = np.asarray(self.pairs, np.int32)
        used = np.zeros(population.num_components, bool)
        used[table.ravel()] = True
        arrays = {"a": table[:, 0], "b": table[:, 1]}
        return Term(
            AllPairs(), arrays, used, lambda w: (1.0, -1.0, 0.0, 1.0), "decreasing", quantity="TV of pairs of classes"
        )


@dataclass(frozen=True)
class AllNodes(Integrand):
    """``1 - TV`` of every node against the rest and against the rest of its parent, without ``K`` work per node.

    Masses of nodes are sums up the tree.  Leaves stand in the tree's order, so that what is outside a node is what
    stands before it and what stands after it, and what is beside it in its parent is the other half of each merge on
    the way up: sums of positive terms only, nothing is subtracted.
    """

    columns = True

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average the overlaps over balanced draws; ``[T, 2 C, R]``, against the rest first."""
        left, right, order, beside = arrays["left"], arrays["right"], arrays["order"], arrays["beside"]
        nodes, joins = arrays["nodes"], left.shape[0]
        k = joins + 1
        coefficient, log_mass = arrays["coefficient"][:, draws.strata][:, :, None], arrays["log_mass"]

        def one(log_p: Array) -> Array:
            joint = log_p + draws.log_weights[:, None, None].astype(log_p.dtype)
            nothing = jnp.full((1, *joint.shape[1:]), -jnp.inf, joint.dtype)
            inside = jnp.concatenate([joint, jnp.broadcast_to(nothing, (joins + 1, *joint.shape[1:]))])

            def up(m: Array, inside: Array) -> Array:
                row = jnp.logaddexp(_row(inside, left[m]), _row(inside, right[m]))
                return jax.lax.dynamic_update_index_in_dim(inside, row, k + m, 0)

            inside = jax.lax.fori_loop(0, joins, up, inside)
            leaves = joint[order]
            before = jnp.concatenate([nothing, _running(leaves)])[arrays["start"]]
            after = jnp.concatenate([_running(leaves, reverse=True), nothing])[arrays["stop"]]
            rest = jnp.logaddexp(before, after)

            def add(other: Array, sibling: Array) -> Array:
                return jnp.logaddexp(sibling, inside[beside[:, other]])

            sibling = jax.lax.fori_loop(1, beside.shape[1], add, inside[beside[:, 0]])
            own = inside[nodes] - log_mass[0][:, None, None]
            apart = overlap(log_ratio(own, rest - log_mass[1][:, None, None]))
            within = overlap(log_ratio(own, sibling - log_mass[2][:, None, None]))
            values = jnp.concatenate([apart, within])
            return jnp.sum(values * coefficient, axis=1)

        return jax.lax.map(one, draws.log_marginals)


@dataclass(frozen=True)
class NodeTable(Statistic):
    """TV of every node of a tree against the rest of the population, and against its parent.

    For node ``u`` with parent ``v``: ``TV(p_t^u, p_t^rest)`` and ``TV(p_t^u, p_t^v) = (1 - w_u / w_v)
    TV(p_t^u, p_t^{v minus u})``, as columns of one curve, all nodes but the root, first the former, then the latter.
    Unbiased.

    Attributes:
        merges: ``((left, right), ...)``, the first two columns of a linkage array.
        kept: numbers of the binary clusters that are nodes, root last; a merge that is not kept belongs to its parent.
        weights: ``w [K]``.

    """

    merges: tuple[tuple[int, int], ...]
    kept: tuple[int, ...]
    weights: tuple[float, ...]

    def bind(self, population: Population) -> Term:
        """Work out members, weights and parents; every class is a stratum."""
        w = np.asarray(self.weights, np.float64)
        k = len(w)
        members = members_of(np.asarray(self.merges), k)
        nodes = np.asarray(self.kept[:-1], np.int32)
        parent = parents_of(np.asarray(self.merges), np.asarray(self.kept), k)
        order, start, stop = spans_of(np.asarray(self.merges), k)
        inside = members[nodes]
        beside = members[parent[nodes]] & ~inside
        sets = np.stack([inside, ~inside, beside])
        mass = sets @ w
        law = sets * w / mass[:, :, None]
        float_type = float_dtype()
        arrays = {
            "left": np.asarray([a for a, _ in self.merges], np.int32),
            "right": np.asarray([b for _, b in self.merges], np.int32),
            "order": order,
            "start": start[nodes],
            "stop": stop[nodes],
            "beside": beside_of(np.asarray(self.merges), np.asarray(self.kept), k)[nodes],
            "nodes": nodes,
            "log_mass": np.log(mass).astype(float_type),
            "coefficient": np.concatenate([0.5 * (law[0] + law[1]), 0.5 * (law[0] + law[2])]).astype(float_type),
        }
        share = np.concatenate([np.ones(len(nodes)), mass[2] / (mass[0] + mass[2])])
        return Term(
            AllNodes(),
            arrays,
            np.ones(k, bool),
            lambda _: (share, -share, 0.0, 1.0),
            "decreasing",
            quantity="TV of nodes against the rest and against their parents",
        )


def _row(x: Array, index: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(x, index, keepdims=False)


def _running(rows: Array, reverse: bool = False) -> Array:
    """Running ``log sum exp`` of rows; one by one, which compiles faster than an associative scan and is no slower."""

    def step(total: Array, row: Array) -> tuple[Array, Array]:
        total = jnp.logaddexp(total, row)
        return total, total

    return jax.lax.scan(step, jnp.full_like(rows[0], -jnp.inf), rows, reverse=reverse)[1]


def members_of(merges: np.ndarray, k: int) -> np.ndarray:
    """Return the members of every cluster of a linkage array, boolean ``[2 K - 1, K]``.

    Args:
        merges: ``[K-1, 2]``, the two clusters of each merge.
        k: number of classes.

    """
    members = np.zeros((2 * k - 1, k), bool)
    members[np.arange(k), np.arange(k)] = True
    for m, (a, b) in enumerate(np.asarray(merges, np.int64)):
        members[k + m] = members[a] | members[b]
    return members


def parents_of(merges: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    """Return the nearest kept ancestor of every cluster, int ``[2 K - 1]``; -1 for the root.

    Args:
        merges: ``[K-1, 2]``.
        kept: numbers of the clusters that are nodes.
        k: number of classes.

    """
    parent = np.full(2 * k - 1, -1)
    is_node = np.zeros(2 * k - 1, bool)
    is_node[kept] = True
    for m in range(len(merges) - 1, -1, -1):
        number = k + m
        above: Any = number if is_node[number] else parent[number]
        parent[np.asarray(merges[m], np.int64)] = above
    return parent


def spans_of(merges: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put leaves in an order in which every cluster is a run of neighbours.

    Args:
        merges: ``[K-1, 2]``.
        k: number of classes.

    Returns:
        ``(order [K], start [2 K - 1], stop [2 K - 1])``: cluster ``u`` holds ``order[start[u] : stop[u]]``.

    """
    size = np.ones(2 * k - 1, np.int32)
    for m, (a, b) in enumerate(np.asarray(merges, np.int64)):
        size[k + m] = size[a] + size[b]
    start = np.zeros(2 * k - 1, np.int32)
    for m in range(len(merges) - 1, -1, -1):
        a, b = merges[m]
        start[a], start[b] = start[k + m], start[k + m] + size[a]
    order = np.empty(k, np.int32)
    order[start[:k]] = np.arange(k)
    return order, start, start + size


def beside_of(merges: np.ndarray, kept: np.ndarray, k: int) -> np.ndarray:
    """List the clusters that make up a cluster's nearest kept ancestor beside it, int ``[2 K - 1, J]``.

    Args:
        merges: ``[K-1, 2]``.
        kept: numbers of the clusters that are nodes.
        k: number of classes.

    Returns:
        As many as the longest list; places that are left over hold ``2 K - 1``.

    """
    is_node = np.zeros(2 * k - 1, bool)
    is_node[kept] = True
    lists: list[list[int]] = [[] for _ in range(2 * k - 1)]
    for m in range(len(merges) - 1, -1, -1):
        a, b = (int(c) for c in merges[m])
        above = [] if is_node[k + m] else lists[k + m]
        lists[a], lists[b] = [b, *above], [a, *above]
    table = np.full((2 * k - 1, max(map(len, lists))), 2 * k - 1, np.int32)
    for row, others in zip(table, lists, strict=True):
        row[: len(others)] = others
    return table
