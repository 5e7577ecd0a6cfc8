"""Overlaps of masked data by sampling the mask only: given the mask, the total variation is a finite sum.

Under a revealing channel the mask carries no information on ``X``, so
``alpha = E_M [sum over patterns s of min(P_A(s), P_B(s))]`` where, for atoms, ``s`` runs over the classes of atoms
that agree on what ``M`` shows.  Averaging over the pattern exactly removes the part of the variance that sampling
it adds (Rao-Blackwell); nothing is left to sample where the order of masking is fixed.
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
from sloc.divergence.checks import as_times, checked_count, checked_key, checked_level, checked_pair
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.intervals import maurer_pontil, tighten
from sloc.divergence.statistics import disjoint_pair
from sloc.engine import Devices, Progress, stream
from sloc.populations import Empirical
from sloc.results import Curve

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
    devices: Devices = None,
    progress: Progress | None = None,
) -> Curve:
    """Overlap ``alpha_t = 1 - TV(p_t^a, p_t^b)`` of labelled atoms under a revealing channel, sampling masks only.

    Unbiased, and never of more variance than balanced draws of the same number; exact where the order of masking is
    fixed.  For ``alpha`` so small that few masks count, use the bridge.  The band (Maurer-Pontil, Bonferroni over
    times, tightened since ``alpha`` never decreases in ``t``) holds at all times at once with probability
    ``>= 1 - delta``.

    Args:
        key: typed PRNG key.
        process: a revealing channel.
        population: :class:`~sloc.populations.Empirical` with at most 2,048 atoms in the two sets.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: masks, rounded up to whole blocks of 64 (at least two blocks).
        delta: error level of the band.
        devices: local devices, how many, or None for all.
        progress: called with ``(done, total)`` blocks.

    Returns:
        The curve of ``alpha``.

    Raises:
        InvalidInput: another process or population, too many atoms, traced values, or as in :func:`sloc.measure`.

    """
    key = checked_key(key)
    process, population = checked_pair(process, population)
    display, device_times = as_times(process, population, times)
    n, delta = checked_count(n), checked_level(delta, "delta")
    require(isinstance(process, RevealingChannel), "process", shown(process), "a revealing channel")
    require(isinstance(population, Empirical), "population", shown(population), "Empirical data")
    assert isinstance(population, Empirical)
    require(is_concrete(process, population, times, key), "process, population, times", "traced", "concrete values")
    left, right = component_mask(population, a, "a"), component_mask(population, b, "b")
    name = f"1 - TV({set_name(population, left)}, {set_name(population, right)})"
    left, right, part, whole = disjoint_pair(left, right)
    if not part.any():
        one = np.ones(len(display))
        return Curve(display, one, 0 * one, one, one, 0, "exact", name)
    w = host_weights(population)
    counts = np.asarray(population.counts)
    classes = np.repeat(np.arange(len(counts)), counts)
    keep = np.flatnonzero((left | right)[classes])
    require(keep.size <= MOST_ATOMS, "population", f"{keep.size} atoms in the two sets", f"at most {MOST_ATOMS}")
    sides = [
        jnp.asarray((np.where(side, w / w[side].sum(), 0.0) / counts)[classes][keep], float_dtype())
        for side in (left, right)
    ]
    blocks = max(2, -(-n // _BLOCK))
    args = (process, population.data[keep], *sides, device_times)
    count, mean, variance = stream(MaskKernel(), args, key, blocks, devices=devices, progress=progress).on_host()
    share = float(w[part].sum() / w[whole].sum())
    half = maurer_pontil(mean, variance, count, delta / mean.size)
    lower, upper = tighten(np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1), decreasing=False)
    value, lower, upper = ((1 - share) + share * x for x in (mean, lower, upper))
    stderr = share * np.sqrt(variance / count)
    return Curve(display, value, stderr, lower, upper, blocks * _BLOCK, "masks sampled, inner sum exact", name)
