"""Bridges of discrete populations: products under revealing and memoryless channels, atoms under revealing ones.

For independent coordinates ``sqrt(p^i p^j)`` is a product of geometric means, normalised by
``BC = prod_l bc_l`` with ``bc_l = sum_y sqrt(p_l^i(y) p_l^j(y))``.  Under a revealing channel that hides coordinate
``l`` with probability ``h_l``, independently, ``BC = prod_l (h_l + (1 - h_l) bc_l)``: coordinates are hidden more
often the further the laws are apart, always where they exclude each other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, MemorylessChannel, Revealed, RevealingChannel, namespace
from sloc.populations.bridge_gaussian import one_atom_each, restrict_atoms
from sloc.populations.bridge_laws import BridgeLaw, by_rows, known_rates, register_bridge, unchanged
from sloc.populations.categorical import ProductCategorical, letters_of, observed_logs
from sloc.populations.discrete import draw_letters, floating, relative_logs, restore_impossible, transition_matrix
from sloc.populations.empirical import Empirical


def _draw_mask(key: Array, rates: Array, loss: Array) -> Array:
    """Draw what is seen: coordinate ``l`` with probability ``(1 - h) f / (h + (1 - h) f)``, ``f = 1 - loss``."""
    seen = (1 - rates) * (1 - loss)
    total = rates + seen
    # Where the total is 0 the pair has no mass at all and is never drawn.
    share = seen / jnp.where(total > 0, total, jnp.ones_like(total))
    return jax.random.uniform(key, rates.shape, rates.dtype) < share


def _table(population: ProductCategorical, xp: Any) -> Any:
    """Return probabilities ``[K, L or 1, q]`` whose rows sum to one."""
    if xp is np:
        probs = np.asarray(population.probs, np.float64)
        probs = probs[:, None, :] if population.identical else probs
    else:
        probs = population.table()
    return probs / xp.sum(probs, axis=-1, keepdims=True)


def _loss(p: Any, q: Any, xp: Any) -> Any:
    """``1 - bc = 1/2 sum_y (sqrt p - sqrt q)^2`` over the last axis, without cancellation."""
    return 0.5 * xp.sum(xp.square(xp.sqrt(p) - xp.sqrt(q)), axis=-1)


def _log_products(table: Any, rates: Any, copies: int, xp: Any) -> Any:
    """``copies * sum_l log(h_l + (1 - h_l) bc_l)`` for all pairs, ``[K, K]``."""

    def row(i: Any) -> Any:
        loss = _loss(table, table[i][None], xp) * (1 - rates)[None, :]
        with np.errstate(divide="ignore"):
            return copies * xp.sum(xp.log1p(-xp.minimum(loss, xp.ones_like(loss))), axis=1)

    return by_rows(row, table.shape[0], xp)


def _revealed_pair(process: Any, population: Any, key: Array, i: Array, j: Array, t: Array) -> Revealed:
    table, length = _table(population, jnp), population.num_coordinates
    key_mask, key_letters = jax.random.split(key)
    loss = jnp.broadcast_to(_loss(table[i], table[j], jnp), (length,))
    known = _draw_mask(key_mask, known_rates(process, length, t).astype(loss.dtype), loss)
    mean = jnp.broadcast_to(jnp.sqrt(table[i] * table[j]), (length, population.num_letters))
    letters = draw_letters(jax.random.uniform(key_letters, (length,), mean.dtype), mean)
    return Revealed(jnp.where(known, letters, jnp.zeros_like(letters)), known)


def _revealed_log_affinities(process: Any, population: Any, t: Any) -> Any:
    xp = namespace(population.probs, t)
    table = _table(population, xp)
    rates = known_rates(process, population.num_coordinates, t).astype(table.dtype)
    return _log_products(table, rates, 1, xp)


def _revealed_log_ratios(process: Any, population: Any, y: Revealed, t: Array) -> Array:
    """Sum over what is seen; the pattern's probability, common to all, is left out."""
    logs = letters_of(population, relative_logs(jnp.log(population.table())), y.values)
    return restore_impossible(jnp.sum(jnp.where(y.known[:, None], logs, jnp.zeros_like(logs)), 0))


def _observed(process: Any, population: Any, t: Any, xp: Any) -> Any:
    """Law of one observed coordinate, ``[K, L or 1, q]``."""
    table = _table(population, xp)
    if xp is np:
        return table @ np.asarray(process.transition(t), np.float64)
    matrix = transition_matrix(process, t, population.num_letters, table.dtype)
    return jnp.matmul(table, matrix, precision=jax.lax.Precision.HIGHEST)


def _memoryless_pair(process: Any, population: Any, key: Array, i: Array, j: Array, t: Array) -> Array:
    table, length = _observed(process, population, t, jnp), population.num_coordinates
    mean = jnp.broadcast_to(jnp.sqrt(table[i] * table[j]), (length, population.num_letters))
    return draw_letters(jax.random.uniform(key, (length,), mean.dtype), mean)


def _memoryless_log_affinities(process: Any, population: Any, t: Any) -> Any:
    xp = namespace(population.probs, t)
    table = _observed(process, population, t, xp)
    copies = population.num_coordinates if population.identical else 1
    return _log_products(table, xp.zeros((table.shape[1],), table.dtype), copies, xp)


def _memoryless_log_ratios(process: Any, population: Any, y: Array, t: Array) -> Array:
    logs = relative_logs(observed_logs(process, population, t))
    return restore_impossible(jnp.sum(letters_of(population, logs, y), 0))


def _product_restrict(population: ProductCategorical, index: np.ndarray) -> ProductCategorical:
    return dataclasses.replace(population, probs=population.probs[index], weights=None, names=())


def _atoms_pair(process: Any, population: Empirical, key: Array, i: Array, j: Array, t: Array) -> Revealed:
    one_atom_each(population)
    x, x_j = population.data[i], population.data[j]
    differ = jnp.ravel(x != x_j)
    rates = known_rates(process, differ.shape[0], t)
    known = _draw_mask(key, rates, differ.astype(rates.dtype)).reshape(x.shape)
    return Revealed(jnp.where(known, x, jnp.zeros_like(x)), known)


def _atoms_log_affinities(process: Any, population: Empirical, t: Any) -> Any:
    """``log P(all differing coordinates hidden) = sum over them of log h_l``."""
    one_atom_each(population)
    xp = namespace(population.data, t)
    flat = xp.asarray(population.data).reshape(population.num_atoms, -1)
    rates = known_rates(process, flat.shape[1], t)
    with np.errstate(divide="ignore"):
        log_rates = xp.log(rates)

    def row(i: Any) -> Any:
        # Not a matrix product: 0 * (-inf) would be NaN where a coordinate is never hidden.
        return xp.sum(xp.where(flat != flat[i][None, :], log_rates[None, :], xp.zeros_like(log_rates)[None, :]), axis=1)

    return by_rows(row, flat.shape[0], xp)


def _atoms_log_ratios(process: Any, population: Empirical, y: Revealed, t: Array) -> Array:
    """0 where the atom agrees with what is seen, else ``-inf``."""
    n = population.num_atoms
    seen, values = jnp.ravel(y.known)[None, :], jnp.ravel(y.values)[None, :]
    agree = jnp.all(~seen | (population.data.reshape(n, -1) == values), axis=1)
    return jnp.where(agree, jnp.zeros((), floating(0.0).dtype), -jnp.inf)


register_bridge(
    RevealingChannel,
    ProductCategorical,
    BridgeLaw(_revealed_pair, _revealed_log_affinities, _revealed_log_ratios, _product_restrict, unchanged),
)
register_bridge(
    MemorylessChannel,
    ProductCategorical,
    BridgeLaw(_memoryless_pair, _memoryless_log_affinities, _memoryless_log_ratios, _product_restrict, unchanged),
)
register_bridge(
    RevealingChannel,
    Empirical,
    BridgeLaw(_atoms_pair, _atoms_log_affinities, _atoms_log_ratios, restrict_atoms, unchanged),
)
