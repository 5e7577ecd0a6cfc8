"""Filters one step after the other, or as associative scans: a Markov chain behind noise, and messages on a tree.

Forward filter of ``K`` chains with ``q`` letters: a step takes ``q^2`` multiplications of each chain and draw, the
product of two steps' matrices ``q^3``, so that a scan over products costs ``q`` times the work at least and has
``log L`` steps instead of ``L``.  On a tree the levels are that structure already: all nodes of a level at once
(:class:`sloc.populations.RandomHierarchy`), or node by node.  Both are held against the library's own answers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks.timing import Contender, Row, called, race, ratio_row, time_rows
from sloc.populations import MarkovChains, RandomHierarchy

Array = jax.Array
CHAINS, LETTERS, TIME = 4, 4, 0.5
SIZES: dict[str, tuple[int, int]] = {"many draws": (128, 1024), "one long sequence": (16384, 1)}
"""Length and draws of each case."""
DEPTH, SYMBOLS, RULES, TREES = 6, 8, 4, 1024


def one_by_one(initial: Array, moves: Array, weights: Array) -> Array:
    """Scaled forward algorithm, draws last, as the library's hot path: ``[L, q, B]`` to ``[K, B]``."""

    def step(carry: tuple[Array, Array], weight: Array) -> tuple[tuple[Array, Array], None]:
        predicted, total = carry
        joint = predicted * weight[None]
        scale = jnp.sum(joint, 1)
        ahead = jnp.einsum("kxy,kxn->kyn", moves, joint / scale[:, None, :], precision="highest")
        return (ahead, total + jnp.log(scale)), None

    draws = weights.shape[-1]
    start = jnp.broadcast_to(initial[..., None], (*initial.shape, draws)), jnp.zeros((initial.shape[0], draws))
    return jax.lax.scan(step, start, weights)[0][1]


def by_products(initial: Array, moves: Array, weights: Array) -> Array:
    """The same as products of scaled matrices by ``jax.lax.associative_scan``."""

    def join(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        # Written out over the letters between: fused, and draws stay last.
        a, b = first[0], second[0]
        product = functools.reduce(jnp.add, [a[:, :, :, y, None] * b[:, :, y, None] for y in range(a.shape[3])])
        scale = jnp.max(product, (2, 3))
        return product / scale[:, :, None, None], first[1] + second[1] + jnp.log(scale)

    steps = jnp.einsum("kxy,lyn->lkxyn", moves, weights[1:], precision="highest")
    products, logs = jax.lax.associative_scan(
        join, (steps, jnp.zeros((steps.shape[0], steps.shape[1], steps.shape[4])))
    )
    mass = jnp.einsum("kx,xn,kxyn->kn", initial, weights[0], products[-1], precision="highest")
    return jnp.log(mass) + logs[-1]


def chain_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield times of both filters and their ratio, for many draws and for one long sequence."""
    rng = np.random.default_rng(0)
    tables = [rng.uniform(0.1, 1.0, shape) for shape in ((CHAINS, LETTERS), (CHAINS, LETTERS, LETTERS))]
    initial, moves = (rows / rows.sum(-1, keepdims=True) for rows in tables)
    process = sloc.processes.UniformCTMC(LETTERS)
    for case, (length, draws) in SIZES.items():
        length, draws = (max(length // 32, 4), max(draws // 32, 1)) if smoke else (length, draws)
        population = MarkovChains(initial, moves, length)
        y = jnp.asarray(rng.integers(0, LETTERS, (draws, length)), jnp.int32)
        reference = jax.vmap(lambda row: population.log_marginals(process, row, jnp.float32(TIME)))(y).T  # noqa: B023
        weights = jnp.moveaxis(jnp.asarray(process.transition(jnp.float32(TIME)))[:, y], 2, 0)
        yield from _race(
            f"filter, {case}: {length} letters, {draws} draws",
            {"one by one": one_by_one, "associative scan": by_products},
            (jnp.asarray(initial, jnp.float32), jnp.asarray(moves, jnp.float32), weights),
            lambda found: np.abs(found / np.asarray(reference) - 1).max(),  # noqa: B023
            rounds,
        )


def level_by_level(population: RandomHierarchy, messages: Array) -> Array:
    """The library's own: all nodes of a level at once."""
    return population.class_likelihoods(messages[None])[0]


def node_by_node(population: RandomHierarchy, messages: Array) -> Array:
    """One node after the other, children before parents, each scaled so that its largest entry is one."""
    rules = jnp.asarray(population.rules)[::-1]
    leaves, symbols, lanes = messages.shape
    counts = [leaves >> (level + 1) for level in range(rules.shape[0])]
    levels = np.repeat(np.arange(len(counts)), counts)
    store = jnp.concatenate([messages, jnp.zeros((sum(counts), symbols, lanes))])

    def step(store: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        node, level = given
        pair = jax.lax.dynamic_slice_in_dim(store, 2 * node, 2)
        rule = rules[level]
        message = jnp.sum(pair[0][rule[..., 0]] * pair[1][rule[..., 1]], 1)
        message = message / jnp.max(message, 0, keepdims=True)
        return jax.lax.dynamic_update_slice_in_dim(store, message[None], leaves + node, 0), None

    nodes = jnp.arange(sum(counts), dtype=jnp.int32)
    return jax.lax.scan(step, store, (nodes, jnp.asarray(levels, jnp.int32)))[0][-1]


def tree_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield times of both orders of belief propagation and their ratio."""
    depth = 3 if smoke else DEPTH
    population = RandomHierarchy.random(jax.random.key(0), SYMBOLS, depth, 2, SYMBOLS, RULES, one_hot=True)
    messages = jax.random.uniform(jax.random.key(1), (2**depth, SYMBOLS, TREES), minval=0.01)
    reference = np.asarray(level_by_level(population, messages))
    yield from _race(
        f"belief propagation: {2**depth} leaves, {TREES} trees",
        {"level by level": level_by_level, "node by node": node_by_node},
        (population, messages),
        lambda found: np.abs(found - reference).max(),
        rounds,
    )


def _race(
    case: str,
    ways: dict[str, Callable[..., Array]],
    given: tuple[Any, ...],
    gap: Callable[[np.ndarray], float],
    rounds: int,
) -> Iterator[Row]:
    raced = []
    for name, way in ways.items():
        run = jax.jit(way)

        def call(run: Callable[..., Array] = run) -> np.ndarray:
            return np.asarray(run(*given))

        found, first = called(call)
        if not gap(found) < 1e-4:
            raise AssertionError(f"{case}: {name} is off by {gap(found):.2g}")
        raced.append(Contender(name, call, first=first))
    timings = race(raced, rounds)
    yield from time_rows(case, timings)
    first, second = ways
    yield ratio_row(f"{case}: {second} over {first}", timings[second], timings[first], better=None)


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the rows of both."""
    yield from chain_rows(rounds, smoke)
    yield from tree_rows(rounds, smoke)
