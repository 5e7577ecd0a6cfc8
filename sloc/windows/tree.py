"""Mixture trees: how a population's classes merge as information is lost, with the conditions checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sloc.contracts import InvalidInput, ObservationProcess, Population, component_names, refuse_estimates, require
from sloc.contracts.arguments import checked_level, refuse_traced
from sloc.divergence.checks import (
    checked_count,
    checked_epsilon,
    checked_key,
    checked_method,
    checked_options,
    checked_pair,
)
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.measurement import measure
from sloc.results.tree import MixtureTree
from sloc.windows.critical import default_times
from sloc.windows.pair_table import PairForms, affinity_form, pair_forms
from sloc.windows.pair_times import exact_pairs, sampled_pairs
from sloc.windows.tree_skeleton import Skeleton

Array = jax.Array
SAMPLED_CLASSES = 128
"""Classes up to which nodes are sampled even where pairs have closed forms."""


def mixture_tree(
    key: Array,
    process: ObservationProcess,
    population: Population,
    *,
    epsilon: float,
    times: Any = None,
    n: int = 65_536,
    delta: float = 0.05,
    method: str = "auto",
    **options: Any,
) -> MixtureTree:
    """Build the epsilon-mixture tree of a population and check its three conditions.

    Every node ``v`` has a set of classes ``Subset(v)`` and a noise level ``NoiseAmount(v)``.  Checked are

    1. *nested*: the root is the whole population, leaves are single classes (at noise 0), children partition their
       parent, and noise amounts strictly fall from parent to child;
    2. *merged*: at ``t = NoiseAmount(v)``, ``TV(p_t^i, p_t^Subset(v)) <= epsilon`` for every class ``i`` in it (hence,
       by convexity, for every child of ``v`` too);
    3. *apart*: at that ``t``, ``TV(p_t^Subset(v), p_t^rest) >= 1 - epsilon^2`` (no rest counts as 1).

    These are the hypotheses of Theorem 2 with ``init`` a class and ``target = Subset(v)``; where all hold, noising any
    class to ``NoiseAmount(v)`` and denoising yields ``Subset(v)`` up to ``TreeNode.bound``, for all nodes on its
    path (Cor. 1).

    Construction: complete linkage on ``T_end(i, j) = inf {t : TV(p_t^i, p_t^j) <= epsilon}``, so condition 2 holds for
    exact times.  Where all pairs have closed forms these times are exact, else sampled (pairs whose times cannot
    decide a height, by the bound ``1 - BC <= TV <= sqrt(1 - BC^2)``, are not; among more than 64 classes, up to 1,024
    Gaussians, nor are those that one sampled pair stands in for by the triangle inequality of TV).  Nodes are then
    measured in one pass of fresh draws, and their bands intersected with rigorous bounds from pairs.  Such a tree need
    not meet condition 3, and for no epsilon need there be one that does: the result says which condition fails where.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population, of 2 to 5,000 classes.
        epsilon: threshold in ``[1e-6, 1)``.
        times: the grid; default ``process.grid(64)``.
        n: trajectories per pass, rounded up to whole blocks.
        delta: joint error level of all intervals and checks.
        method: ``auto``; ``closed-form``: no draws at all, nodes are checked by bounds from pairs (refused where
            pairs have no closed form); ``monte-carlo``: no closed forms and no bounds.  ``auto`` samples nodes unless
            pairs have closed forms and there are more than 128 classes.
        **options: ``plan`` and ``interval`` of :func:`sloc.measure`.

    Returns:
        The tree; a class pair that does not merge within ``times`` leaves its node without a noise amount, with
        status ``above_grid``; classes of one law merge at 0 and are named in ``duplicates``.

    Raises:
        InvalidInput: traced arguments; fewer than two classes or more than 5,000, ``epsilon`` outside ``[1e-6, 1)``,
            ``delta`` outside ``(0, 1)``, bad times, ``n < 2``, ``closed-form`` where there is none; marginals that are
            estimates where draws are needed (:meth:`sloc.Population.estimates_marginals`): the checks are certificates.
        ContractError: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Def. 8, with conditions 2 and 3 in the form that Theorem 2 needs for Cor. 1;
    Li & Chen 2024, Lemma 15, for ``TV(p^i, p^S) <= max_{j in S} TV(p^i, p^j)``.

    """
    checked_options(mixture_tree, options, "plan", "interval")
    refuse_traced("mixture_tree", key=key, process=process, population=population, times=times)
    key, given = checked_key(key), (process, population)
    process, population = checked_pair(process, population)
    epsilon, delta, n = checked_epsilon(epsilon), checked_level(delta, "delta"), checked_count(n)
    method = checked_method(method)
    k = population.num_components
    require(2 <= k <= 5_000, "population", f"{k} classes", "from 2 to 5,000 classes")
    grid = np.asarray(default_times(process, population, times), np.float64)
    names, weights = component_names(population), host_weights(given[1])
    key_pairs, key_nodes = jax.random.split(key)

    forms = None if method == "monte-carlo" else pair_forms(*given, epsilon)
    if method == "closed-form" and forms is None:
        raise InvalidInput(
            f"method = {method!r}: expected pairs with closed forms of TV; "
            f"{type(population).__name__} under {type(process).__name__} has none"
        )
    affinity = _affinity(given, forms, method)
    sample_nodes = method == "monte-carlo" or (method == "auto" and (forms is None or k <= SAMPLED_CLASSES))
    if sample_nodes or forms is None:
        refuse_estimates(process, population, "the checks of a mixture tree")
    if forms is not None:
        pairs = exact_pairs(forms, grid, epsilon)
    else:
        run = _runner(key_pairs, process, population, n, delta / 2, options)
        pairs = sampled_pairs(run, grid, affinity, epsilon, k, float(process.horizon), process.discrete)
    skeleton = Skeleton.of(pairs, names, weights, epsilon)
    looked, curve = skeleton.times(grid, process, population), None
    if sample_nodes:
        run = _runner(key_nodes, process, population, n, delta if forms is not None else delta / 2, options)
        curve = run(looked.astype(np.int64) if process.discrete else looked, skeleton.statistic)
    level = delta if sample_nodes or forms is None else 0.0
    return skeleton.tree(process, curve, looked, forms, affinity, level)


def _affinity(
    given: tuple[ObservationProcess, Population], forms: PairForms | None, method: str
) -> Callable[[float], np.ndarray] | None:
    if method == "monte-carlo":
        return None
    return forms.affinity if forms is not None else affinity_form(*given)


def _runner(
    key: Array, process: ObservationProcess, population: Population, n: int, delta: float, options: dict[str, Any]
) -> Callable[..., Any]:
    def run(times: np.ndarray, statistic: Any, share: float = 1.0, number: int = 0) -> Any:
        # A number that no block of the first round has: its draws choose what later rounds ask.
        used = key if number == 0 else jax.random.fold_in(key, np.uint32(2**32 - number))
        found = measure(
            used,
            process,
            population,
            times,
            {"it": statistic},
            n=n,
            delta=delta * share,
            method="monte-carlo",
            **options,
        )
        return found["it"]

    return run
