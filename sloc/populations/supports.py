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
    """Estimate :func:`enumerated_evidence` by sequential Monte Carlo over the samples.

    Particles start as uniform supports.  At each sample: weights multiply by the density of ``b_i``, the running
    estimate of the evidence by their mean; systematic resampling; ``moves`` Gibbs steps per particle, each of which
    redraws one feature of the support given the others and the samples so far.  Unbiased for
    ``p(b_1 .. b_i | design)`` at every ``i``.  The randomness comes from ``population.seed`` alone.

    Returns:
        Running log-estimate ``[N]`` and the log-likelihood of each particle's support, ``[P]``.

    """
    n, k, count = population.features, population.sparsity, population.particles
    variance = jnp.asarray(population.variance, values.dtype)
    design = jnp.where(known[:, :-1], values[:, :-1], jnp.zeros_like(values[:, :-1]))
    hidden = (~known[:, :-1]).astype(values.dtype)
    b, counted = values[:, -1], known[:, -1]
    rows = jnp.arange(population.samples, dtype=jnp.int32)

    def row_logs(support: Array, row: Array) -> Array:
        mean, unseen = jnp.sum(design[row][support]), jnp.sum(hidden[row][support])
        return jnp.where(counted[row], log_normal(b[row] - mean, variance + unseen), jnp.zeros_like(mean))

    def gibbs(key: Array, support: Array, row: Array) -> Array:
        key_place, key_feature = jax.random.split(key)
        place = jax.random.randint(key_place, (), 0, k)
        others = jnp.arange(k) != place
        mean = jnp.sum(jnp.where(others[None, :], design[:, support], jnp.zeros((), design.dtype)), -1)
        unseen = jnp.sum(jnp.where(others[None, :], hidden[:, support], jnp.zeros((), design.dtype)), -1)
        logs = log_normal((b - mean)[:, None] - design, variance + unseen[:, None] + hidden)
        used = counted & (rows <= row)
        logs = jnp.sum(jnp.where(used[:, None], logs, jnp.zeros_like(logs)), 0)
        taken = jnp.zeros((n,), bool).at[support].set(True).at[support[place]].set(False)
        logs = jnp.where(taken, -jnp.inf, logs)
        return support.at[place].set(jax.random.categorical(key_feature, logs).astype(support.dtype))

    def step(carry: tuple[Array, Array], given: tuple[Array, Array]) -> tuple[Any, Array]:
        supports, total = carry
        key, row = given
        key_resample, key_moves = jax.random.split(key)
        logs = jax.vmap(row_logs, (0, None))(supports, row)
        total = total + jax.nn.logsumexp(logs) - math.log(count)
        uniform = jax.random.uniform(key_resample, (), logs.dtype)
        ranks = (jnp.arange(count, dtype=logs.dtype) + uniform) / count
        cumulative = jnp.cumsum(jax.nn.softmax(logs))
        chosen = supports[jnp.searchsorted(cumulative / cumulative[-1], ranks)]
        for key_move in jax.random.split(key_moves, population.moves) if population.moves else ():
            chosen = jax.vmap(gibbs, (0, 0, None))(jax.random.split(key_move, count), chosen, row)
        return (jnp.where(counted[row], chosen, supports), total), total

    key_start, key_steps = jax.random.split(jax.random.key(population.seed))
    draw = jax.vmap(lambda key: jax.random.permutation(key, n)[:k].astype(jnp.int32))
    start = (draw(jax.random.split(key_start, count)), jnp.zeros((), values.dtype))
    given = (jax.random.split(key_steps, population.samples), rows)
    (supports, _), running = jax.lax.scan(step, start, given)
    final = jax.vmap(lambda support: jnp.sum(jax.vmap(row_logs, (None, 0))(support, rows)))(supports)
    return running, final
