"""One compiled program for all posterior draws: curves, edges and trees of each, by draw and half of trajectories."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sloc.bayes.posterior_draws import MixturePosterior, as_populations
from sloc.bayes.window_curves import Pair, closed_curves, has_closed_form, rounds_of, sampled_curves, strata_of
from sloc.bayes.window_results import EdgePosterior
from sloc.contracts import require
from sloc.divergence.checks import as_times, checked_count, checked_pair
from sloc.engine.plan import BLOCK_DRAWS
from sloc.results.status import STATUSES
from sloc.windows.edge_codes import edges_from_curves, window_codes
from sloc.windows.linkage import complete_linkage

Array = jax.Array
_GRID = 64
_TILE_ELEMENTS = 1 << 20
"""Numbers in flight: draws side by side times trajectories times components times times."""


def _finite(log_odds: Array) -> Array:
    """Keep interpolation away from infinities, far outside of any threshold."""
    return jnp.clip(log_odds, -100.0, 100.0)


@dataclass(frozen=True)
class Asked:
    """One edge to find in each draw.

    Attributes:
        a: mask of one set.
        b: mask of the other.
        threshold: of their TV.
        side: ``first`` for ``inf {TV <= threshold}``, ``last`` for ``sup {TV >= threshold}``.

    """

    a: np.ndarray
    b: np.ndarray
    threshold: float
    side: Literal["first", "last"]


@dataclass(frozen=True)
class Prepared:
    """Checked arguments of a push.

    Attributes:
        process: with strong-typed parameters.
        stacked: draws of the mixture on a first axis.
        first: the first of them.
        shown: the grid on the host.
        times: the grid on the device.
        chains: chains that the draws come from in equal parts.

    """

    process: Any
    stacked: Any
    first: Any
    shown: np.ndarray
    times: Array
    chains: int


@dataclass(frozen=True)
class Pushed:
    """What a push found.

    Attributes:
        values: ``[S, 2, Q]``, by draw, half of the trajectories and edge.
        codes: int ``[S, 2, Q]``.
        linkage: ``[S, K - 1, 4]`` for trees, else ``[S, 0, 4]``.
        method: how the curves were got.
        n: trajectories for each draw, 0 where exact.

    """

    values: np.ndarray
    codes: np.ndarray
    linkage: np.ndarray
    method: str
    n: int


@functools.partial(jax.jit, static_argnames=("pairs", "sides", "exact", "batch", "tree"))
def _push(
    key: Array,
    process: Any,
    stacked: Any,
    times: Array,
    thresholds: Array,
    blocks: Array,
    *,
    pairs: tuple[Pair, ...],
    sides: tuple[Literal["first", "last"], ...],
    exact: bool,
    batch: int,
    tree: bool,
) -> tuple[Array, Array, Array | None]:
    """Edges of every draw from two independent halves of trajectories (the same twice where exact)."""
    discrete, (count, k) = process.discrete, stacked.log_weights.shape

    def edges(curves: Array) -> tuple[Array, Array]:
        values, codes = jnp.zeros(len(pairs), curves.dtype), jnp.zeros(len(pairs), jnp.int32)
        for side in sorted(set(sides)):
            own = np.flatnonzero([s == side for s in sides])

            def find(curve: Array, threshold: Array, side: Any = side) -> tuple[Array, Array]:
                return edges_from_curves(times, curve, threshold, side, discrete=discrete)

            value, code = jax.vmap(find)(_finite(curves[own]), thresholds[own])
            values, codes = values.at[own].set(value), codes.at[own].set(code)
        if tree:
            heights = _linkage(values, k)[:, 2]
            # A height is the time of one pair, whose status it has.
            which = jnp.argmax(values[None, :] == heights[:, None], axis=1)
            return jnp.concatenate([values, heights]), jnp.concatenate([codes, codes[which]])
        return _as_window(values, codes, sides)

    def one(given: tuple[Array, Any]) -> tuple[Array, Array, Array | None]:
        index, population = given
        if exact:
            found = edges(closed_curves(process, population, times, pairs))
            values, codes = (jnp.stack([v, v]) for v in found)
        else:
            # One half after the other: half the numbers in flight, which then fit the processor's cache.
            values, codes = jax.lax.map(
                lambda half: edges(sampled_curves(half, process, population, times, pairs, blocks)),
                jax.random.split(jax.random.fold_in(key, index), 2),
            )
        linkage = _linkage(values.mean(axis=0)[: len(pairs)], k) if tree else None
        return values, codes, linkage

    # Filled up with the last draw to whole batches: a remainder would be compiled as a program of its own.
    index = jnp.minimum(jnp.arange(-(-count // batch) * batch), count - 1)
    found = jax.lax.map(one, (index, jax.tree.map(lambda v: v[index], stacked)), batch_size=batch)
    return jax.tree.map(lambda v: v[:count], found)


def _as_window(values: Array, codes: Array, sides: tuple[str, ...]) -> tuple[Array, Array]:
    """``T_after`` and ``T_before`` from the edges asked for; sets that are equal merge at once."""
    before = (
        (values[1], codes[1]) if sides[1:2] == ("first",) else (jnp.zeros_like(values[0]), jnp.zeros_like(codes[0]))
    )
    apart = (values[-1], codes[-1]) if len(sides) > 1 and sides[-1] == "last" else None
    found = window_codes((values[0], codes[0]), before, apart)
    return jnp.stack([v for v, _ in found]), jnp.stack([c for _, c in found])


def _linkage(values: Array, k: int) -> Array:
    """Complete linkage of the pairs' merge times, ``[K - 1, 4]``."""
    table = jnp.zeros((k, k), values.dtype).at[np.triu_indices(k, 1)].set(values)
    return complete_linkage(table + table.T)


def compiles() -> int:
    """How many programs have been compiled for pushes."""
    return int(_push._cache_size())  # pyright: ignore[reportAttributeAccessIssue]


def prepared(process: Any, posterior: Any, draws: int | None, times: Any) -> Prepared:
    """Check the arguments of a push; see :func:`sloc.bayes.window_posterior`."""
    stacked = as_populations(posterior, None if draws is None else checked_count(draws, "draws"))
    first = jax.tree.map(lambda v: v[0], stacked)
    process, first = checked_pair(process, first)
    for name in ("weights", "means", "covariances"):
        values = np.asarray(getattr(stacked, name))
        require(bool(np.isfinite(values).all()), f"posterior.{name}", values, "finite numbers")
    grid = process.grid(_GRID) if times is None else times
    shown, device = as_times(process, first, grid)
    require(len(shown) >= 2, "times", times, "at least two times")
    stacked = jax.tree.map(lambda v: jnp.asarray(v, device.dtype if not process.discrete else None), stacked)
    chains = posterior.chains if isinstance(posterior, MixturePosterior) else 1
    return Prepared(process, stacked, first, shown, device, chains if len(stacked.weights) % chains == 0 else 1)


def edge_posteriors(pushed: Pushed, labels: Sequence[str], level: float, chains: int) -> list[EdgePosterior]:
    """Posteriors of edges, with the variance between halves told apart from that between draws.

    Args:
        pushed: what was found.
        labels: a name for each edge.
        level: of the credible intervals.
        chains: chains that the draws come from.

    """
    edges = []
    for q, label in enumerate(labels):
        pair, code = pushed.values[:, :, q], pushed.codes[:, :, q]
        # Halves that disagree on the status: the first speaks, as a single run of half the draws would.
        both = np.isin(code, [STATUSES.index("resolved"), STATUSES.index("inverted")]).all(axis=1)
        draw = np.where(code[:, 0] == code[:, 1], pair.mean(axis=1), pair[:, 0])
        good = pair[both]
        total = float(good.mean(axis=1).var(ddof=1)) if len(good) > 2 else float("nan")
        noise = float(((good[:, 0] - good[:, 1]) ** 2).mean() / 4) if len(good) and pushed.n else 0.0
        edges.append(EdgePosterior(label, draw, code[:, 0], level, max(total - noise, 0.0), noise, chains))
    return edges


def run(
    key: Array, given: Prepared, asked: Sequence[Asked], n: int, method: str, batch_size: int | None, *, tree: bool
) -> Pushed:
    """Push all draws at once.

    Args:
        key: typed key.
        given: the process, the draws and the grid.
        asked: the edges of a window in the order of :func:`sloc.critical_window`, or one for each pair of a tree.
        n: trajectories for each draw.
        method: ``auto``, ``closed-form`` or ``monte-carlo``.
        batch_size: draws side by side, or None.
        tree: whether ``asked`` are the pairs ``i < j``, of which trees are made.

    """
    pairs = tuple((tuple(q.a.tolist()), tuple(q.b.tolist())) for q in asked)
    exact = method != "monte-carlo" and has_closed_form(given.process, given.stacked, pairs)
    if method == "closed-form":
        require(exact, "method", method, "draws of one covariance and sets that nest down to single sub-populations")
    # In float64: 1 - epsilon^2 leaves few digits of epsilon in float32.
    levels = np.asarray([q.threshold for q in asked])
    thresholds = jnp.asarray(np.log(levels / (1 - levels)), jnp.result_type(float))
    count, k = given.stacked.log_weights.shape
    block = rounds_of(pairs) * len(strata_of(pairs))
    blocks = max(1, -(-n // (2 * block))) if block else 1
    flight = len(given.shown) * (len(pairs) if exact else BLOCK_DRAWS * k)
    values, codes, linkage = _push(
        key,
        given.process,
        given.stacked,
        given.times,
        thresholds,
        jnp.asarray(blocks, jnp.int32),
        pairs=pairs,
        sides=tuple(q.side for q in asked),
        exact=exact,
        batch=int(np.clip(batch_size or _TILE_ELEMENTS // flight, 1, count)),
        tree=tree,
    )
    return Pushed(
        np.asarray(values, np.float64),
        np.asarray(codes),
        np.zeros((count, 0, 4)) if linkage is None else np.asarray(linkage, np.float64),
        "exact curves" if exact else "monte carlo, exact marginals",
        0 if exact else 2 * blocks * block,
    )
