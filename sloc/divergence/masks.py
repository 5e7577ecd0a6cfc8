"""Overlaps of masked data by sampling the mask only: given the mask, the total variation is a finite sum.

Under a revealing channel the mask carries no information on ``X``, so
``alpha = E_M [sum over patterns s of min(P_A(s), P_B(s))]`` where, for atoms, ``s`` runs over the classes of atoms
that agree on what ``M`` shows.  Averaging over the pattern exactly removes the part of the variance that sampling
it adds (Rao-Blackwell).  Where the order of masking is fixed nothing is left to sample and the sum is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    ObservationProcess,
    Population,
    RevealingChannel,
    Sets,
    component_mask,
    float_dtype,
    is_concrete,
    require,
    set_name,
    shown,
)
from sloc.contracts.arguments import checked_level
from sloc.divergence.bands import interval_words, mean_interval, streamed
from sloc.divergence.checks import (
    as_times,
    checked_count,
    checked_interval,
    checked_key,
    checked_pair,
)
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.intervals import tighten
from sloc.divergence.paths import shortcut
from sloc.divergence.statistics import disjoint_pair
from sloc.engine.plan import Plan
from sloc.populations import Empirical
from sloc.results.curve import Curve

Array = jax.Array

_BLOCK = 64
"""Masks per key block: each is worth a sum over all pairs of atoms."""

MOST_ATOMS = 2048
"""Atoms in the two sets together, at most: work per mask grows with their square."""


@dataclass(frozen=True)
class MaskKernel:
    """One block of masks: the overlap given each, ``[T, R]``, in [0, 1]."""

    def setup(self, args: Any) -> Any:
        """Nothing is left to prepare."""
        return args

    def __call__(self, state: Any, key: Array) -> Array:
        """Settle, per pair of atoms, the time from which they agree; then sum over classes at every time."""
        process, atoms, a, b, times = state
        n = atoms.shape[0]
        flat = atoms.reshape(n, -1)

        def one(key: Array) -> Array:
            thresholds = jnp.ravel(process.thresholds(key, atoms[0])).astype(times.dtype)
            start = jnp.full_like(thresholds, jnp.iinfo(jnp.int32).min if times.dtype == jnp.int32 else -jnp.inf)

            def settled(x: Array) -> Array:
                return jnp.max(jnp.where(flat != x[None, :], thresholds[None, :], start[None, :]), axis=1)

            agreed = jax.lax.map(settled, flat, batch_size=min(n, 64))  # [N, N]

            def at(t: Array) -> Array:
                same = (agreed <= t).astype(a.dtype)
                mass = jnp.matmul(same, jnp.stack([a, b], 1), precision=jax.lax.Precision.HIGHEST)
                # Each class is counted once per member, with the member's share of P_A + P_B.
                share = (a + b) / jnp.sum(mass, axis=1)
                return jnp.sum(share * jnp.min(mass, axis=1))

            return jax.lax.map(at, times)

        return jnp.minimum(jax.lax.map(one, jax.random.split(key, _BLOCK)).T, 1.0)


def mask_overlap(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    delta: float = 0.05,
    interval: str = "maurer-pontil",
    plan: Plan | None = None,
) -> Curve:
    """Overlap ``alpha_t = 1 - TV(p_t^a, p_t^b)`` of labelled atoms under a revealing channel, sampling masks only.

    Unbiased, and never of more variance than balanced draws of the same number, but a mask costs as much as
    trajectories from all atoms together; exact, in float64 and without draws, where the order of masking is fixed.
    For ``alpha`` so small that few masks count, use the bridge.  The band (Bonferroni over times, tightened since
    ``alpha`` never decreases in ``t``) holds at all times at once with probability ``>= 1 - delta``.

    Source: the library's own.

    Args:
        key: typed PRNG key.
        process: a revealing channel.
        population: :class:`~sloc.populations.Empirical` with at most 2,048 atoms in the two sets
            (any number where the order is fixed).
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: masks, rounded up to whole blocks of 64 (at least two blocks).
        delta: error level of the band.
        interval: ``maurer-pontil``, ``betting`` or ``clopper-pearson``, see :func:`sloc.measure`.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        The curve of ``alpha``.

    Raises:
        InvalidInput: another process or population, too many atoms, traced values, or as in :func:`sloc.measure`.

    """
    key, given = checked_key(key), population
    process, population = checked_pair(process, population)
    display, device_times = as_times(process, population, times)
    n, delta, interval = checked_count(n), checked_level(delta, "delta"), checked_interval(interval)
    require(isinstance(process, RevealingChannel), "process", shown(process), "a revealing channel")
    require(isinstance(population, Empirical), "population", shown(population), "Empirical data")
    assert isinstance(population, Empirical)
    assert isinstance(process, RevealingChannel)
    require(shortcut(process, population) is not None, "process", shown(process), "its family's own sampling")
    require(is_concrete(process, population, times, key), "process, population, times", "traced", "concrete values")
    left, right = component_mask(population, a, "a"), component_mask(population, b, "b")
    name = f"1 - TV({set_name(population, left)}, {set_name(population, right)})"
    left, right, part, whole = disjoint_pair(left, right)
    if not part.any():
        one = np.ones(len(display))
        return Curve(display, one, 0 * one, one, one, 0, "exact", name, delta=0.0, time_axis=process.time_axis)
    w = host_weights(given)  # as given: their cast to float32 would show in an exact sum's digits
    counts = np.asarray(population.counts)
    classes = np.repeat(np.arange(len(counts)), counts)
    keep = np.flatnonzero((left | right)[classes])
    share = float(w[part].sum() / w[whole].sum())
    sides = [(np.where(side, w / w[side].sum(), 0.0) / counts)[classes][keep] for side in (left, right)]
    if is_fixed_order(process, population):
        one = _in_fixed_order(process, np.asarray(population.data)[keep], sides, np.asarray(display))
        value = (1 - share) + share * one
        return Curve(
            display,
            value,
            0 * value,
            value,
            value,
            0,
            "exact, order of masking fixed",
            name,
            delta=0.0,
            time_axis=process.time_axis,
        )
    require(keep.size <= MOST_ATOMS, "population", f"{keep.size} atoms in the two sets", f"at most {MOST_ATOMS}")
    blocks = max(2, -(-n // _BLOCK))
    args = (process, population.data[keep], *(jnp.asarray(side, float_dtype()) for side in sides), device_times)
    moments, tallies = streamed(MaskKernel(), args, key, blocks, interval, plan=plan)
    count, mean, variance, lower, upper = mean_interval(moments, tallies, interval, delta / len(display))
    lower, upper = tighten(lower, upper, decreasing=False)
    value, lower, upper = ((1 - share) + share * x for x in (mean, lower, upper))
    stderr = share * np.sqrt(variance / count)
    method = "mask-conditioned, inner sum exact" + interval_words(interval)
    return Curve(
        display, value, stderr, lower, upper, blocks * _BLOCK, method, name, delta=delta, time_axis=process.time_axis
    )


def is_fixed_order(process: RevealingChannel, population: Population) -> bool:
    """Whether ``process.thresholds(key, x)`` leaves its key alone, so that one mask is all there is."""
    x = jax.eval_shape(population.sample, jax.random.key(0), jnp.zeros((), jnp.int32))
    traced = jax.make_jaxpr(process.thresholds)(jax.random.key(0), x).jaxpr
    key = traced.invars[0]
    return not any(used is key for used in [*traced.outvars, *(v for e in traced.eqns for v in e.invars)])


def _in_fixed_order(
    process: RevealingChannel, atoms: np.ndarray, sides: list[np.ndarray], times: np.ndarray
) -> np.ndarray:
    """Sum ``min(P_A, P_B)`` over the classes of atoms that agree on what is seen, ``[T]`` in float64."""
    flat = atoms.reshape(len(atoms), -1)
    a, b = sides
    hidden_from = np.ravel(np.asarray(process.thresholds(jax.random.key(0), jnp.asarray(atoms[0]))))
    values = []
    for t in times:
        seen = flat[:, hidden_from > t]
        group = np.unique(seen, axis=0, return_inverse=True)[1].ravel() if seen.size else np.zeros(len(flat), int)
        values.append(np.minimum(np.bincount(group, a), np.bincount(group, b)).sum())
    return np.minimum(np.asarray(values), 1.0)
