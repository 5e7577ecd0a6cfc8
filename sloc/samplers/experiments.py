"""Forward–reverse and clone experiments: noise a sample, undo the noise, ask what came back, at all times at once."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    ObservationProcess,
    Population,
    check_registered,
    component_mask,
    component_names,
    require,
    set_name,
)
from sloc.contracts.arguments import checked_level, refuse_traced
from sloc.engine.binomial import clopper_pearson
from sloc.engine.collecting import collect
from sloc.engine.plan import BLOCK_DRAWS, Plan
from sloc.engine.streaming import stream
from sloc.results.curve import Curve
from sloc.samplers.backward_grids import checked_grids
from sloc.samplers.checks import checked_count, checked_key, checked_model, checked_times_or_one, checked_trace
from sloc.samplers.exact import check_labels
from sloc.samplers.experiment_kernel import ExperimentKernel, Feature, Labelled
from sloc.samplers.localization import drawn_of_block, observation_numbers
from sloc.samplers.localizer import Localizer, as_argument, check_stops
from sloc.samplers.spoilt import naming_times, refuse_spoilt

Array = jax.Array

_NUMBERS = {"cpu": 1 << 20}
"""Numbers that the reverse draws of a tile may hold at once, by platform: on a CPU about what fits in its caches."""
_NUMBERS_ELSEWHERE = 1 << 25
_LARGEST_TILE = 16


def forward_reverse(
    key: Array,
    process: ObservationProcess,
    population: Population,
    init: Any,
    t: Any,
    *,
    n: int,
    clones: int | None = None,
    feature: Feature | None = None,
    samples: bool = True,
    localizer: Localizer | None = None,
    grid: Any = None,
    plan: Plan | None = None,
) -> tuple[np.ndarray, Any]:
    """Run the forward–reverse experiment: ``X ~ p^S``, ``Y_t | X``, then ``X' ~ P(X | Y_t)`` under the whole mixture.

    Exact (the law of ``X'`` is ``p^{S,t}``), for all times in one compiled call.  Times share their random numbers,
    forward and reverse: each time has its exact law, and curves over time are smooth.  Millions of trajectories are
    counted without being stored by :func:`sloc.samplers.label_frequencies`; label laws without any reverse draw are
    :func:`sloc.label_curve`.  Source: Li, Karan & Chen 2025, Def. 3; Biroli et al. 2024 (clones).

    Args:
        key: typed PRNG key; the same key gives the same draws on any number of devices, and more draws begin with
            the same ones.
        process: the observation process.
        population: the population.
        init: ``S``: an index, a name, or a sequence of them.
        t: a time, or ``[T]`` strictly increasing times.
        n: trajectories.
        clones: reverse draws from each ``Y_t``, independent given ``Y_t``; None for one without an axis of its own.
        feature: ``x -> int``, the label of one sample; None labels by sub-population: drawn with ``X'`` from
            ``P(theta, X | Y_t)`` (where ``theta`` is a function of ``X`` that is the sub-population of ``X'``).
        samples: whether ``X'`` is returned.
        localizer: undo the noise step by step with this sampler instead of one exact draw; needs ``grid``.
        grid: the times that the localizer goes through on its way down: from ``t`` itself to those of them below
            ``t``.  One grid ``[m]``, how many of ``process.grid``, or a grid for each time ``[T, m]``, all below it,
            such as :func:`sloc.samplers.level_grids` returns.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        ``(labels, samples)``: int32 ``[n]`` and leaves ``[n, ...]``, with a leading ``[T]`` if ``t`` has one and
        ``[clones]`` after ``n`` if asked for.  ``samples`` is None unless kept.

    Raises:
        InvalidInput: see the arguments.
        ContractError: a method is missing; the message names it and what can be used instead.
        NotANumber: a localizer returned NaN; names the time, the draw and its key.

    """
    refuse_traced("forward_reverse", key=key, process=process, population=population, t=t)
    key, n = checked_key(key), checked_count(n)
    copies = 1 if clones is None else checked_count(clones, "clones")
    args, times, numbers = _prepare(process, population, init, t, feature, localizer, grid)
    keep, (at_once, chosen) = "samples" if samples else "labels", _sizes(numbers * copies, times.shape[0], localizer)
    draws = drawn_of_block(n, localizer)
    kernel = ExperimentKernel(copies, feature, keep, 0, at_once, draws)
    with naming_times(kernel, args, key, times):
        found = collect(kernel, args, key, -(-n // BLOCK_DRAWS), axis=1, n=n, tile=chosen, plan=plan)
    refuse_spoilt(found[0] if samples else found, key, times)
    if clones is None:
        found = jax.tree.map(lambda v: v[:, :, 0], found)
    if np.ndim(t) == 0:
        found = jax.tree.map(lambda v: v[0], found)
    return found if samples else (found, None)


def label_frequencies(
    key: Array,
    process: ObservationProcess,
    population: Population,
    init: Any,
    t: Any,
    *,
    n: int,
    feature: Feature | None = None,
    num_labels: int | None = None,
    delta: float = 0.05,
    localizer: Localizer | None = None,
    grid: Any = None,
    plan: Plan | None = None,
) -> Curve:
    """Count the labels that come back from forward–reverse experiments, in memory independent of ``n``.

    Unbiased for ``P(label | start in S, forward to t, reverse)``, which for labels by sub-population is
    :func:`sloc.label_curve` (less noisy, since it needs no reverse draw); use this for features of ``X`` and for
    localizers that are not exact.  The band is Clopper and Pearson's (1934), exact at any ``n``, Bonferroni over
    times and labels: it holds for all at once with probability ``>= 1 - delta``.

    Args:
        key: typed PRNG key; the same trajectories as :func:`sloc.forward_reverse` draws from it.
        process: the observation process.
        population: the population.
        init: ``S``: an index, a name, or a sequence of them.
        t: a time, or ``[T]`` strictly increasing times.
        n: trajectories, rounded up to whole blocks of 1,024.
        feature: ``x -> int`` in ``0 .. num_labels - 1`` (others are refused, once they have come up); a module-level
            function, since another function object compiles anew.
        num_labels: how many labels a feature has.
        delta: error level of the band.
        localizer: as in :func:`sloc.forward_reverse`.
        grid: as in :func:`sloc.forward_reverse`.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        Frequencies ``[T, F]`` with the labels' names.

    Raises:
        InvalidInput: see the arguments.
        ContractError: a method is missing.

    """
    checked_level(delta, "delta")
    require((feature is None) == (num_labels is None), "num_labels", num_labels, "a number if, and only if, feature=")
    names = None
    if feature is None:
        check_registered(population, "population", Population)
        names = component_names(population)
    count = len(names) if names is not None else checked_count(num_labels, "num_labels")
    labels = names or tuple(str(i) for i in range(count))
    run = functools.partial(_count, key, process, population, init, t, n, feature, localizer, grid, plan)
    times, value, draws, start = run("frequencies", 1, count)
    if feature is not None:
        _refuse_outside(feature, value[:, count], times, draws, count)
    value, quantity = value[:, :count], f"P(label | start in {start}), forward–reverse"
    return _curve(process, times, value, draws, delta, quantity, labels)


def clone_frequencies(
    key: Array,
    process: ObservationProcess,
    population: Population,
    t: Any,
    *,
    n: int,
    init: Any = None,
    feature: Feature | None = None,
    delta: float = 0.05,
    localizer: Localizer | None = None,
    grid: Any = None,
    plan: Plan | None = None,
) -> Curve:
    """Count how often two clones from the same ``Y_t`` agree on their label, in memory independent of ``n``.

    Unbiased for ``P(label = label')``; by sub-population that is ``E sum_theta pi_theta^2``
    (:func:`sloc.clone_agreement`).  The band is Clopper and Pearson's, Bonferroni over times.  Source: Biroli et al.
    2024.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        t: a time, or ``[T]`` strictly increasing times.
        n: pairs of clones, rounded up to whole blocks of 1,024.
        init: where ``X`` starts; None for the whole population.
        feature: ``x -> int``; None labels by sub-population.
        delta: error level of the band.
        localizer: as in :func:`sloc.forward_reverse`.
        grid: as in :func:`sloc.forward_reverse`.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        The share of pairs that agree, ``[T]``.

    Raises:
        InvalidInput: see the arguments.
        ContractError: a method is missing.

    """
    checked_level(delta, "delta")
    start = range(population.num_components) if init is None and isinstance(population, Population) else init
    times, value, draws, _ = _count(
        key, process, population, start, t, n, feature, localizer, grid, plan, "agreement", 2, 0
    )
    return _curve(process, times, value, draws, delta, "P(two clones agree)", ())


def _count(
    key: Any,
    process: Any,
    population: Any,
    init: Any,
    t: Any,
    n: Any,
    feature: Feature | None,
    localizer: Localizer | None,
    grid: Any,
    plan: Plan | None,
    keep: str,
    clones: int,
    num_labels: int,
) -> tuple[np.ndarray, np.ndarray, int, str]:
    key, n = checked_key(key), checked_count(n)
    args, times, numbers = _prepare(process, population, init, t, feature, localizer, grid)
    at_once, chosen = _sizes(numbers * clones, times.shape[0], localizer)
    kernel, blocks = ExperimentKernel(clones, feature, keep, num_labels, at_once), -(-n // BLOCK_DRAWS)
    with naming_times(kernel, args, key, times):
        moments = stream(kernel, args, key, blocks, tile=chosen, plan=plan)
    start = set_name(population, component_mask(population, init, "init"))
    return np.asarray(times), moments.on_host()[1], blocks * BLOCK_DRAWS, start


def _refuse_outside(feature: Feature, share: np.ndarray, times: np.ndarray, draws: int, count: int) -> None:
    """Refuse a feature that gave labels which are not counted: their frequencies would be missing without a word."""
    worst = int(np.argmax(share))
    found = f"{round(float(share[worst]) * draws):,} of {draws:,} draws have others at t = {times[worst]:g}"
    require(not share[worst] > 0, "feature", feature, f"labels 0 .. {count - 1}, as num_labels = {count} says; {found}")


def _curve(
    process: Any, times: np.ndarray, value: np.ndarray, n: int, delta: float, quantity: str, labels: tuple[str, ...]
) -> Curve:
    hits = np.round(value * n)
    value = hits / n
    lower, upper = clopper_pearson(hits, n, delta / max(hits.size, 1))
    stderr = np.sqrt(value * (1 - value) / n)
    how = "forward–reverse draws"
    return Curve(times, value, stderr, lower, upper, n, how, quantity, "", labels, float(delta), process.time_axis)


def _prepare(
    process: Any,
    population: Any,
    init: Any,
    t: Any,
    feature: Feature | None,
    localizer: Localizer | None,
    grid: Any,
) -> tuple[Any, Array, int]:
    """Check everything; return the kernel's arguments, the times, and the numbers that one reverse draw holds."""
    require(feature is None or callable(feature), "feature", feature, "a function x -> int")
    require((localizer is None) == (grid is None), "grid", grid, "times if, and only if, localizer=")
    methods = ("sample", "posterior_sample") if localizer is None else ("sample",)
    process, population = checked_model(process, population, *methods)
    times = checked_times_or_one(process, population, t, "t")
    mask = component_mask(population, init, "init")
    log_init = jnp.where(jnp.asarray(mask), population.log_weights, -jnp.inf)
    if localizer is None:
        if feature is None:
            check_labels(process, population)
    else:
        localizer = as_argument(localizer)
        grid = checked_grids(process, population, grid, times)
        for start, own in zip(np.asarray(times), np.asarray(grid), strict=True):
            check_stops(localizer, own, start)
        observation_numbers(localizer, times, _observed(process, population, times))
        require(
            feature is not None or localizer.log_posterior is not None,
            "feature",
            feature,
            "a function x -> int, since this localizer has no log_posterior to draw sub-populations from",
        )
    shapes = jax.eval_shape(lambda k: population.sample(k, jnp.zeros((), jnp.int32)), jax.random.key(0))
    if feature is not None:
        expected = "a function x -> int of one sample"
        checked_trace(Labelled(feature), "feature", feature, expected, shapes)
    size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
    return (process, population, log_init, times, localizer, grid), times, max(size, population.path_elements(), 1)


def _observed(process: Any, population: Any, times: Array) -> Any:
    """Return the shapes of one observation."""

    def draw(key: Array, t: Array) -> Any:
        return process.sample(key, population.sample(key, jnp.zeros((), jnp.int32)), t)

    return jax.eval_shape(draw, jax.random.key(0), times[0])


def _sizes(numbers: int, times: int, localizer: Localizer | None) -> tuple[int, int]:
    """Return how many times to evaluate side by side and how many blocks: of shapes and platform, never of ``n``."""
    block, budget = BLOCK_DRAWS * numbers, _NUMBERS.get(jax.default_backend(), _NUMBERS_ELSEWHERE)
    # A localizer skips the times of its grid above t, which are others for each t: side by side none is skipped.
    at_once = 1 if localizer is not None else int(np.clip(budget // block, 1, times))
    return at_once, int(np.clip(budget // (block * at_once), 1, _LARGEST_TILE))
