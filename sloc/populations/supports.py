"""The evidence of sparse regression: a mean over supports, enumerated or by sequential Monte Carlo."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array

_LOG_2PI = math.log(2.0 * math.pi)


@functools.lru_cache(maxsize=8)
def all_supports(features: int, sparsity: int) -> np.ndarray:
    """Return all subsets of ``sparsity`` out of ``features`` indices, ``[M, k]`` int32, in lexicographic order."""
    count = math.comb(features, sparsity)
    flat = itertools.chain.from_iterable(itertools.combinations(range(features), sparsity))
    table = np.fromiter(flat, np.int32, count * sparsity).reshape(count, sparsity)
    table.setflags(write=False)
    return table


def log_normal(residual: Array, variance: Array) -> Array:
    """Log-density of ``N(0, variance)`` at ``residual``."""
    return -0.5 * (residual**2 / variance + jnp.log(variance) + _LOG_2PI)


def prefix_rows(thresholds: Array, times: Array) -> Array:
    """Return how many whole rows are seen at each time, ``[T]`` int32, where what is seen is a prefix of the rows.

    Args:
        thresholds: ``[N, m]``, the times from which the coordinates are hidden.
        times: ``[T]``.

    """
    width = int(np.shape(thresholds)[1])
    return jax.lax.map(lambda t: jnp.sum(t < thresholds, dtype=jnp.int32), times) // width


def enumerated_evidence(population: Any, values: Array, known: Array) -> tuple[Array, Array]:
    """Return ``log p(b_1 .. b_i | design)`` after each sample, ``[N]``, and each support's log-likelihood, ``[M]``.

    Exact: ``logsumexp_S sum_i log N(b_i; sum_{j in S seen} a_ij, v + |S hidden|) - log M``.

    Args:
        population: a sparse regression with enumerable supports.
        values: ``[N, n + 1]``, rows ``(a_i, b_i)``.
        known: which of them are seen.

    """
    supports = jnp.asarray(all_supports(population.features, population.sparsity))
    variance = jnp.asarray(population.variance, values.dtype)

    def step(total: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        row, seen = given
        design, hidden = jnp.where(seen, row, jnp.zeros_like(row)), (~seen).astype(row.dtype)
        mean, unseen = jnp.zeros_like(total), jnp.zeros_like(total)
        for place in range(population.sparsity):
            mean, unseen = mean + design[supports[:, place]], unseen + hidden[supports[:, place]]
        fresh = log_normal(row[-1] - mean, variance + unseen)
        total = total + jnp.where(seen[-1], fresh, jnp.zeros_like(fresh))
        return total, jax.nn.logsumexp(total)

    start = jnp.zeros((supports.shape[0],), values.dtype)
    total, running = jax.lax.scan(step, start, (values, known))
    return running - math.log(supports.shape[0]), total


def particle_evidence(population: Any, values: Array, known: Array) -> tuple[Array, Array]:
    """Estimate ``enumerated_evidence`` by sequential Monte Carlo over the samples, one feature summed out.

    A particle is a set ``R`` of ``k - 1`` features and stands for all supports ``R + {j}``: its likelihood is the sum
    over ``j`` of theirs.  Particles start uniform.  At each sample: weights multiply by the growth of that sum, the
    running estimate of the evidence by their mean; systematic resampling; ``moves`` steps per particle, each of which
    draws ``j`` given ``R`` and the samples so far and lets it take the place of one feature of ``R``.  Unbiased for
    ``p(b_1 .. b_i | design)`` at every ``i``, without error for ``k = 1``.  The randomness comes from
    ``population.seed`` alone.

    Args:
        population: a sparse regression.
        values: ``[N, n + 1]``, rows ``(a_i, b_i)``.
        known: which of them are seen.

    Returns:
        Running log-estimate ``[N]`` and the log-likelihood of each particle's supports, ``[P, n]``, ``-inf`` for
        features in ``R``.

    """
    n, k, count = population.features, population.sparsity, population.particles
    variance = jnp.asarray(population.variance, values.dtype)
    design = jnp.where(known[:, :-1], values[:, :-1], jnp.zeros_like(values[:, :-1]))
    hidden = (~known[:, :-1]).astype(values.dtype)
    b, counted = values[:, -1], known[:, -1]
    rows = jnp.arange(population.samples, dtype=jnp.int32)

    def of_rows(members: Array, chosen: Any) -> Array:
        """Log-density of ``b`` in some rows for each ``j``, ``[..., n]``."""
        mean, unseen = jnp.sum(design[chosen][..., members], -1), jnp.sum(hidden[chosen][..., members], -1)
        spread = variance + unseen[..., None] + hidden[chosen]
        logs = log_normal((b[chosen] - mean)[..., None] - design[chosen], spread)
        return jnp.where(counted[chosen][..., None], logs, jnp.zeros_like(logs))

    def outside(members: Array) -> Array:
        return jnp.zeros((n,), values.dtype).at[members].set(-jnp.inf)

    def move(key: Array, members: Array, logs: Array, row: Array) -> tuple[Array, Array]:
        key_place, key_feature = jax.random.split(key)
        feature = jax.random.categorical(key_feature, logs).astype(members.dtype)
        members = members.at[jax.random.randint(key_place, (), 0, k - 1)].set(feature)
        seen = of_rows(members, rows)
        seen = jnp.sum(jnp.where((rows <= row)[:, None], seen, jnp.zeros_like(seen)), 0)
        return members, seen + outside(members)

    def step(carry: tuple[Array, Array, Array], given: tuple[Array, Array]) -> tuple[Any, Array]:
        members, logs, total = carry
        key, row = given
        key_resample, key_moves = jax.random.split(key)
        fresh = logs + jax.vmap(of_rows, (0, None))(members, row)
        growth = jax.nn.logsumexp(fresh, -1) - jax.nn.logsumexp(logs, -1)
        total = total + jax.nn.logsumexp(growth) - math.log(count)
        uniform = jax.random.uniform(key_resample, (), logs.dtype)
        ranks = (jnp.arange(count, dtype=logs.dtype) + uniform) / count
        cumulative = jnp.cumsum(jax.nn.softmax(growth))
        chosen = jnp.searchsorted(cumulative / cumulative[-1], ranks)
        moved, fresh = members[chosen], fresh[chosen]
        for key_move in jax.random.split(key_moves, population.moves) if population.moves and k > 1 else ():
            moved, fresh = jax.vmap(move, (0, 0, 0, None))(jax.random.split(key_move, count), moved, fresh, row)
        used = counted[row]
        return (jnp.where(used, moved, members), jnp.where(used, fresh, logs), total), total

    key_start, key_steps = jax.random.split(jax.random.key(population.seed))
    draw = jax.vmap(lambda key: jax.random.permutation(key, n)[: k - 1].astype(jnp.int32))
    members = draw(jax.random.split(key_start, count))
    start = (members, jax.vmap(outside)(members), jnp.zeros((), values.dtype))
    given = (jax.random.split(key_steps, population.samples), rows)
    (_, logs, _), running = jax.lax.scan(step, start, given)
    return running, logs
