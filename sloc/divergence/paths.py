"""Path log-marginals for a whole batch of trajectories: the registered shortcut or the vmapped definition."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sloc.contracts import Marginals, ObservationProcess, Population, find_marginals

Array = jax.Array

_TILE_ELEMENTS = 1 << 22
"""Numbers held at once by the vmapped definition; larger batches are looped over."""


def shortcut(process: ObservationProcess, population: Population) -> Marginals | None:
    """Return the registered pair unless a class replaces what the pair was written for.

    That is the population's sampling and marginals, and the sampling and likelihood that a family of processes
    gives its members (a family that leaves them to its members, like the memoryless one, is not asked).
    """
    entry = find_marginals(process, population)
    if entry is None:
        return None
    base, family = entry.population_type, entry.process_type
    same = all(
        getattr(type(population), m) is getattr(base, m) for m in ("sample", "log_marginals", "path_log_marginals")
    ) and all(
        getattr(type(process), m) is getattr(family, m)
        for m in ("sample", "log_prob")
        if getattr(family, m) is not getattr(ObservationProcess, m)
    )
    return entry if same else None


def reduced(process: ObservationProcess, population: Population) -> tuple[ObservationProcess, Population]:
    """Replace ``Y_t`` by a sufficient statistic for ``theta`` where the pair has one (same TV, same posteriors)."""
    entry = shortcut(process, population)
    return (process, population) if entry is None or entry.reduce_fn is None else entry.reduce_fn(process, population)


def drawn_paths(
    process: ObservationProcess, population: Population, key: Array, components: Array
) -> Callable[[Array], Array] | None:
    """Draw trajectories once and return ``times -> [T, K, B]``, their path log-marginals, where the pair can do so.

    What ``batched_paths`` gives at the same key, for some times after others; None where draws and times cannot be
    told apart.
    """
    entry = shortcut(process, population)
    return None if entry is None or entry.draws_fn is None else entry.draws_fn(process, population, key, components)


def batched_paths(
    process: ObservationProcess, population: Population, key: Array, components: Array, times: Array
) -> Array:
    """Draw trajectories from given components and return their path log-marginals.

    Args:
        process: how ``X`` is degraded.
        population: what ``X`` is.
        key: one typed key for the batch.
        components: int32 ``[B]``, the source of each trajectory.
        times: ``[T]``.

    Returns:
        ``[T, K, B]``: ``log p_t^theta(Y_t)`` up to terms that do not depend on ``theta``, batch last.

    """
    entry = shortcut(process, population)
    if entry is not None and entry.paths_fn is not None:
        return entry.paths_fn(process, population, key, components, times)

    def one(key: Array, component: Array) -> Array:
        key_x, key_y = jax.random.split(key)
        return population.path_log_marginals(process, key_y, population.sample(key_x, component), times)

    batch = components.shape[0]
    keys = jax.random.split(key, batch)
    per_draw = times.shape[0] * max(population.path_elements(), 1)
    tile = max(1, min(batch, _TILE_ELEMENTS // per_draw))
    if tile == batch:
        return jax.vmap(one, out_axes=-1)(keys, components)
    paths = jax.lax.map(lambda kc: one(*kc), (keys, components), batch_size=tile)
    return jnp.moveaxis(paths, 0, -1)
