"""Windows and trees as quantities with posteriors: every posterior draw of a mixture is pushed through them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from sloc.bayes.posterior_draws import MixturePosterior
from sloc.bayes.pushing import Asked, edge_posteriors, prepared, run
from sloc.bayes.window_results import MergePosterior, WindowPosterior
from sloc.contracts import ObservationProcess, Sets, component_mask, component_names, require, set_name
from sloc.contracts.arguments import checked_level, checked_whole
from sloc.divergence.checks import checked_count, checked_epsilon, checked_key, checked_method
from sloc.populations import GaussianMixture

Array = jax.Array


def window_posterior(
    key: Array,
    process: ObservationProcess,
    posterior: MixturePosterior | GaussianMixture,
    after: Sets,
    before: Sets,
    *,
    epsilon: float,
    times: Any = None,
    draws: int | None = 1000,
    n: int = 4096,
    level: float = 0.9,
    method: str = "auto",
    batch_size: int | None = None,
) -> WindowPosterior:
    """Posterior of the critical window of ``after`` within ``before``, given the data behind a posterior.

    Each posterior draw ``phi`` of the mixture has a window (:func:`sloc.critical_window`), with edges such as
    ``T_after(phi) = sup {t : TV(p_t^after, p_t^rest) >= 1 - epsilon^2}``; their law is the window's posterior.  Curves
    are exact where a draw's TVs have closed forms (one covariance, sets that nest down to single sub-populations), else
    from ``n`` trajectories of each draw's own, in two independent halves: the covariance of the halves is the data's
    share of the variance, the rest is sampling noise.  All draws run in one compiled program.

    Args:
        key: typed PRNG key.
        process: the observation process.
        posterior: a fit, or a Gaussian mixture whose leaves have a first axis of draws.
        after: an index, a name, or a sequence of them; inside ``before``.
        before: likewise; all of them is allowed.
        epsilon: threshold in ``[1e-6, 1)``.
        times: the grid; default ``process.grid(64)``.
        draws: posterior draws to push, evenly spaced; None takes all, more than there are means all.
        n: trajectories for each posterior draw, rounded up to blocks of 1,024 in each half.
        level: of the credible intervals.
        method: ``auto``, ``closed-form`` or ``monte-carlo``.
        batch_size: posterior draws side by side; None chooses so that memory stays small.

    Returns:
        The posterior of both edges, with probabilities of each status.

    Raises:
        InvalidInput: ``after`` not inside ``before``, sets unknown, levels outside ``(0, 1)``, bad times, sub-
            populations that are not Gaussian, no closed form where one is asked for.

    Source: Li, Karan & Chen 2025, Def. 4.

    """
    key, n, method = checked_key(key), checked_count(n), checked_method(method)
    epsilon, level = checked_epsilon(epsilon), checked_level(level, "level")
    batch_size = None if batch_size is None else checked_whole(batch_size, "batch_size")
    given = prepared(process, posterior, draws, times)
    first = given.first
    inner, outer = component_mask(first, after, "after"), component_mask(first, before, "before")
    require(bool((outer | ~inner).all()), "after", after, f"a part of before = {before!r}")
    require(not inner.all(), "after", after, "a proper part of all sub-populations")
    high = 1 - epsilon**2
    asked = [Asked(inner, ~inner, high, "last")]
    if (outer & ~inner).any():
        asked.append(Asked(inner, outer, epsilon, "first"))
    if (~outer).any():
        asked.append(Asked(outer, ~outer, high, "last"))
    name = f"{set_name(first, inner)} within {'all' if outer.all() else set_name(first, outer)}"
    found = run(key, given, asked, n, method, batch_size, tree=False)
    after_edge, before_edge = edge_posteriors(found, ["T_after", "T_before"], level, given.chains)
    shown = np.asarray(given.shown, np.float64)
    axis = given.process.time_axis
    return WindowPosterior(after_edge, before_edge, shown, epsilon, found.method, found.n, name, axis)


def merge_posterior(
    key: Array,
    process: ObservationProcess,
    posterior: MixturePosterior | GaussianMixture,
    *,
    epsilon: float,
    times: Any = None,
    draws: int | None = 1000,
    n: int = 4096,
    level: float = 0.9,
    method: str = "auto",
    batch_size: int | None = None,
) -> MergePosterior:
    """Posterior of the mixture tree: of the heights at which sub-populations merge, and of which merge first.

    Each posterior draw has a tree, that of :func:`sloc.mixture_tree`: complete linkage on
    ``T_end(i, j) = inf {t : TV(p_t^i, p_t^j) <= epsilon}``, so that at a node's height all of its members are within
    ``epsilon`` of each other, and of the node's own law since ``TV(p^i, p^S) <= max_{j in S} TV(p^i, p^j)``.  Exact
    for Gaussians of one covariance, else from ``n`` trajectories of each draw's own in two independent halves.
    Whether a draw's tree meets the further condition that nodes are apart from the rest is not checked here.

    Args:
        key: typed PRNG key.
        process: the observation process.
        posterior: see :func:`window_posterior`.
        epsilon: threshold in ``[1e-6, 1)``.
        times: the grid; default ``process.grid(64)``.
        draws: posterior draws to push, evenly spaced; None takes all, more than there are means all.
        n: trajectories for each posterior draw, rounded up to blocks of 1,024 in each half.
        level: of the credible intervals.
        method: ``auto``, ``closed-form`` or ``monte-carlo``.
        batch_size: posterior draws side by side.

    Returns:
        The posterior of the pairs' times, of the heights of the ``K - 1`` merges and of the clusters; heights are
        censored by the grid.

    Raises:
        InvalidInput: see :func:`window_posterior`.

    Source: Li, Karan & Chen 2025, Def. 8; Li & Chen 2024, Lemma 15.

    """
    key, n, method = checked_key(key), checked_count(n), checked_method(method)
    epsilon, level = checked_epsilon(epsilon), checked_level(level, "level")
    batch_size = None if batch_size is None else checked_whole(batch_size, "batch_size")
    given = prepared(process, posterior, draws, times)
    names = component_names(given.first)
    k, eye = len(names), np.eye(len(names), dtype=bool)
    index = [(i, j) for i in range(k) for j in range(i + 1, k)]
    asked = [Asked(eye[i], eye[j], epsilon, "first") for i, j in index]
    found = run(key, given, asked, n, method, batch_size, tree=True)
    labels = [f"{names[i]} with {names[j]}" for i, j in index] + [f"merge {m + 1}" for m in range(k - 1)]
    edges = edge_posteriors(found, labels, level, given.chains)
    pairs = {(names[i], names[j]): e for (i, j), e in zip(index, edges, strict=False)}
    heights, axis = tuple(edges[len(index) :]), given.process.time_axis
    return MergePosterior(pairs, heights, found.linkage, names, epsilon, found.method, found.n, axis)
