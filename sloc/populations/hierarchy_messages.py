"""Belief propagation on a tree of production rules: messages upwards, marginals and draws downwards.

A message of a node is a row of ``P(what is seen below the node | its symbol)`` over its symbols.  Arrays of messages
are ``[n, v, B]``: the nodes of one level in order (siblings side by side), symbols, trees.  Trees come last, so that
vector lanes are trees: the rules are the same for all of them.  Source: Pearl 1988 (belief propagation, exact on
trees); Sclocchi, Favero & Wyart 2025 (for this model).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sloc.contracts import Array
from sloc.populations.discrete import draw_letters

# Rules that one compiled body takes at once; more are looped over.
_UNROLLED = 8


# Leaves whose likelihoods may be multiplied before the products are scaled again.  By Bayes' rule the posterior mass
# that underflow loses is, on average over the model's own observations, the probability that the true symbols are
# lost.  The likelihood u of the true symbol relative to the best has P(u < d) <= v d, so a product of f of them is
# below e = 1e-38 with probability at most about v^f e log(1/e)^(f-1) / (f-1)!: v^4 1e-33 for four.
_UNSCALED_LEAVES = 4


@jax.custom_jvp
def settle(values: Array) -> Array:
    """Return ``values``, written to memory before anything uses them: the start of a loop that never runs.

    XLA would otherwise inline one level's sums into the gathers of the next and compute them once for each rule
    (measured thirteen times slower); it drops an optimization barrier before it fuses, but does not look through a
    loop.  That the loop never runs is known only when it starts.
    """
    never = jax.lax.optimization_barrier(jnp.zeros((), jnp.int32))

    def change(state: tuple[Array, Array]) -> tuple[Array, Array]:
        return state[0] + 1, state[1] + jnp.ones((), values.dtype)

    return jax.lax.while_loop(lambda state: state[0] < never, change, (jnp.zeros((), jnp.int32), values))[1]


@settle.defjvp
def _settle_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return settle(primals[0]), tangents[0]


# --------------------------------------------------------------------------------------------
# Upwards, in one of two number systems
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Numbers:
    """How likelihoods are written: as they are, which is fast, or as logarithms, which loses nothing.

    Attributes:
        times: the product of two.
        plus: the sum of two.
        add_all: the sum of a list of arrays.
        zero: the number 0.
        weight: writes a weight.
        scale: from the largest entry of a message, the factor that brings it to 1 (where it is 0, the number 1).

    """

    times: Callable[[Array, Array], Array]
    plus: Callable[[Array, Array], Array]
    add_all: Callable[[list[Array]], Array]
    zero: float
    weight: Callable[[Array], Array]
    scale: Callable[[Array], Array]


def finite(top: Array) -> Array:
    """Return ``top`` with 0 for ``-inf``."""
    return jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))


def _log_add_all(terms: list[Array]) -> Array:
    if len(terms) == 1:
        return terms[0]
    top = finite(functools.reduce(jnp.maximum, terms))
    return jnp.log(functools.reduce(operator.add, [jnp.exp(term - top) for term in terms])) + top


LINEAR = _Numbers(
    operator.mul,
    operator.add,
    lambda terms: functools.reduce(operator.add, terms),
    0.0,
    lambda w: w,
    lambda top: 1.0 / jnp.where(top > 0, top, 1.0),
)
LOGS = _Numbers(operator.add, jnp.logaddexp, _log_add_all, -jnp.inf, jnp.log, lambda top: -finite(top))


def _rule_sums(numbers: _Numbers, rows: Array, nodes: Array, v: int, rules: Array, weights: Array | None) -> Array:
    """Messages of some nodes from those of their children.

    ``sum_r w[a, r] prod_c rows[v (s node + c) + rules[a, r, c]]``, gathers of whole rows of trees by one index each:
    the inner loop is then loads and multiply-adds over trees, with no transpose.

    Args:
        numbers: how likelihoods are written.
        rows: ``[n s v, B]``, the children's messages, symbol after symbol.
        nodes: which nodes, indices ``[n']`` in ``0 .. n - 1``.
        v: number of symbols of a child.
        rules: ``[q, m, s]``.
        weights: ``[q, m]`` as written, or None.

    Returns:
        ``[n', q, B]``.

    """
    symbols, m, s = rules.shape

    def some(rules: Array, weights: Array | None) -> Array:
        terms = []
        for r in range(rules.shape[1]):
            index = [v * (s * nodes[:, None] + c) + rules[None, :, r, c] for c in range(s)]
            product = functools.reduce(numbers.times, [jnp.take(rows, i, axis=0, mode="clip") for i in index])
            terms.append(product if weights is None else numbers.times(product, weights[None, :, r, None]))
        return numbers.add_all(terms)

    group = next(g for g in range(min(m, _UNROLLED), 0, -1) if m % g == 0)
    if group == m:
        return some(rules, weights)
    grouped = jnp.moveaxis(rules.reshape(symbols, m // group, group, s), 1, 0)
    each = grouped, None if weights is None else jnp.moveaxis(weights.reshape(symbols, m // group, group), 1, 0)

    def step(total: Array, given: tuple[Array, Array | None]) -> tuple[Array, None]:
        return numbers.plus(total, some(*given)), None

    start = jnp.full((nodes.shape[0], symbols, rows.shape[1]), numbers.zero, rows.dtype)
    return jax.lax.scan(step, start, each)[0]


def _largest(messages: Array) -> Array:
    """The largest entry of each message, ``[n, v, B]`` to ``[n, B]``."""
    return functools.reduce(jnp.maximum, [messages[:, a] for a in range(messages.shape[1])])


@dataclass(frozen=True)
class _Level:
    """Messages on their way up.

    Attributes:
        messages: ``[n, q, B]``.
        factor: ``[n, B]``, by which they must still be multiplied so that the largest is 1, or None.
        span: leaves whose likelihoods were multiplied since the last scaling.

    """

    messages: Array
    factor: Array | None
    span: int


def _climb(numbers: _Numbers, rules: list[Array], weights: list[Any], found: list[_Level]) -> list[_Level]:
    """Take messages up through the ``rules`` above ``found``, the lowest level first; return every level."""
    for i in range(len(found) - 1, len(rules)):
        rule, weight = rules[i], None if weights[i] is None else numbers.weight(weights[i])
        below, s = found[-1], rules[i].shape[-1]
        n, v, lanes = below.messages.shape
        nodes = jnp.arange(n // s, dtype=jnp.int32)
        messages = _rule_sums(numbers, below.messages.reshape(n * v, lanes), nodes, v, rule, weight)
        if below.factor is not None:
            factors = below.factor.reshape(n // s, s, 1, lanes)
            messages = numbers.times(messages, functools.reduce(numbers.times, [factors[:, c] for c in range(s)]))
        found.append(_scaled(numbers, settle(messages), below.span * s, s))
    return found


def _scaled(numbers: _Numbers, messages: Array, span: int, s: int) -> _Level:
    """Return a level, with factors if what is above it may not multiply that many likelihoods again."""
    if span * s <= _UNSCALED_LEAVES:
        return _Level(messages, None, span)
    return _Level(messages, settle(numbers.scale(_largest(messages))), 1)


def class_messages(rules: list[Array], weights: list[Any], messages: Array) -> Array:
    """Class likelihoods from likelihoods at the leaves, each relative to an unknown factor per tree.

    Args:
        rules: for each level from the lowest up, ``[q, m, s]``; the last has a row for each class.
        weights: for each level ``[q, m]``, or None where all rules weigh the same.
        messages: ``[leaves, v, B]``, or ``[tiles, leaves, v, B]``, which are taken tile by tile; nonnegative, at most
            about 1.

    Returns:
        ``[K, B]`` or ``[tiles, K, B]``, nonnegative, the largest of a tree 1 (all 0 if it is impossible).

    """
    leaves, v, lanes = messages.shape[-3:]
    rows, s = messages.reshape(-1, lanes), rules[0].shape[-1]

    def one(tile: Array) -> Array:
        # The lowest level reads the rows where they lie: taking a tile out first would copy it.
        nodes = tile * (leaves // s) + jnp.arange(leaves // s, dtype=jnp.int32)
        lowest = _scaled(LINEAR, settle(_rule_sums(LINEAR, rows, nodes, v, rules[0], weights[0])), s, s)
        out = _climb(LINEAR, rules, weights, [_Level(messages, None, 1), lowest])[-1].messages
        return (out * LINEAR.scale(_largest(out))[:, None, :])[0]

    if messages.ndim == 3:
        return one(jnp.zeros((), jnp.int32))
    return jax.lax.map(one, jnp.arange(messages.shape[0], dtype=jnp.int32))


def class_logs(rules: list[Array], weights: list[Any], logs: Array) -> tuple[Array, Array, list[Array]]:
    """Log class likelihoods from log likelihoods at the leaves, of any size; ``-inf`` is allowed.

    Args:
        rules: as for ``class_messages``.
        weights: likewise.
        logs: ``[leaves, v, B]``.

    Returns:
        ``rel [K, B]``, ``total [B]`` and the messages of each level from the leaves up, ``[n, q, B]``, up to a term per
        node; the log class likelihood is ``rel + total``, and ``rel``, at most 0, is precise where ``total`` is large.

    """
    start = _scaled(LOGS, logs, _UNSCALED_LEAVES, 2)
    levels = _climb(LOGS, rules, weights, [start])
    rel = levels[-1].messages[0]
    top = finite(_largest(rel[None])[0])
    total = top
    for level in levels[:-1]:
        total = total if level.factor is None else total - jnp.sum(level.factor, 0)
    # Equal weights, 1 / m at each node, were left out.
    left_out = sum(
        level.messages.shape[0] * math.log(rule.shape[1])
        for level, rule, weight in zip(levels[1:], rules, weights, strict=True)
        if weight is None
    )
    return rel - top[None], total - left_out, [level.messages for level in levels]


# --------------------------------------------------------------------------------------------
# Downwards, for one tree
# --------------------------------------------------------------------------------------------


def _rule_chances(rule: Array, weight: Any, logs: Array) -> Array:
    """``P(rule r | symbol a of the node, what is seen below)``: ``[n, v]`` to ``[n / s, q, m]``; 0 if impossible."""
    q, m, s = rule.shape
    children = logs.reshape(logs.shape[0] // s, s, logs.shape[1])
    picked = [jnp.take(children[:, c], rule[..., c].reshape(-1), axis=1, mode="clip") for c in range(s)]
    terms = functools.reduce(operator.add, picked).reshape(-1, q, m)
    if weight is not None:
        terms = terms + jnp.log(weight)[None]
    masses = jnp.exp(terms - finite(jnp.max(terms, -1))[..., None])
    total = jnp.sum(masses, -1, keepdims=True)
    return masses / jnp.where(total > 0, total, 1.0)


def marginals_downwards(rules: list[Array], weights: list[Any], levels: list[Array], root: Array) -> list[Array]:
    """Marginals of every node of one tree, from the law of its class and the messages that went up.

    ``P(child c = b) = sum_{a, r: rules[a, r, c] = b} P(a) P(r | a, below)``: probabilities only, nothing is divided by
    a message.

    Args:
        rules: as for ``class_messages``, the lowest level first.
        weights: likewise.
        levels: from ``class_logs``, without the axis of trees: ``[n, q]`` each.
        root: ``[K]``, the law of the class.

    Returns:
        From the class down, ``[1, K]``, ``[s, v]``, ... ``[leaves, v]``.

    """
    found = [root[None]]
    for rule, weight, logs in zip(reversed(rules), reversed(weights), reversed(levels[:-1]), strict=True):
        joint = found[-1][:, :, None] * _rule_chances(rule, weight, logs)
        becomes = jax.nn.one_hot(rule, logs.shape[1], dtype=joint.dtype)
        below = jnp.einsum("nar,arcb->ncb", joint, becomes, precision=jax.lax.Precision.HIGHEST)
        found.append(below.reshape(logs.shape))
    return found


def draw_downwards(
    uniforms: Array, rules: list[Array], weights: list[Any], levels: list[Array] | None, component: Array
) -> list[Array]:
    """Draw all symbols of one tree below a given class.

    Args:
        uniforms: one for each node that has children, from the root down, ``[(leaves - 1) / (s - 1)]``.
        rules: as for ``class_messages``, the lowest level first.
        weights: likewise.
        levels: messages ``[n, q]`` of each level from ``class_logs``, or None for a draw from the prior.
        component: the class, an int32 scalar.

    Returns:
        Symbols from the class down, int32 ``[1]``, ``[s]``, ... ``[leaves]``.

    """
    found, used = [jnp.reshape(component, (1,)).astype(jnp.int32)], 0
    evidence = [None] * len(rules) if levels is None else list(reversed(levels[:-1]))
    for rule, weight, logs in zip(reversed(rules), reversed(weights), evidence, strict=True):
        nodes = found[-1]
        uniform = uniforms[used : used + nodes.shape[0]]
        used += nodes.shape[0]
        if logs is not None:
            chances = _rule_chances(rule, weight, logs)
            chosen = draw_letters(uniform, jnp.take_along_axis(chances, nodes[:, None, None], 1)[:, 0])
        elif weight is not None:
            chosen = draw_letters(uniform, weight[nodes])
        else:
            chosen = jnp.minimum((uniform * rule.shape[1]).astype(jnp.int32), rule.shape[1] - 1)
        # One index into all rules: for two XLA would compute the symbols above twice, and so all the way up.
        below = rule.reshape(-1, rule.shape[2])[nodes * rule.shape[1] + chosen]
        found.append(settle(below.reshape(-1)))
    return found
