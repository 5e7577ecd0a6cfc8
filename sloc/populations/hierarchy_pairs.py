"""Where processes meet the random hierarchy: class likelihoods of one observation, one trajectory, many."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sloc.contracts import Array, RevealingChannel
from sloc.populations.discrete import BUDGET, draw_in_groups
from sloc.populations.hierarchy_leaves import resolve_leaves
from sloc.populations.hierarchy_messages import class_logs, class_messages


def hierarchy_marginals(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log p_t^theta(y)``, ``[K]``, exact, by belief propagation in logarithms."""
    logs, constant = resolve_leaves(process, population)(process, population, y, t)
    rules, weights = population.tables()
    top, total, _ = class_logs(rules, weights, logs[..., None])
    return top[:, 0] + (total[0] + constant)


def hierarchy_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory, ``[T, K]``, constants included: one key serves all times, and all go up the tree together."""
    leaf_logs = resolve_leaves(process, population)

    def at(t: Array) -> tuple[Array, Array]:
        return leaf_logs(process, population, process.sample(key, x, t), t)

    logs, constants = jax.vmap(at, out_axes=(-1, 0))(times)
    rules, weights = population.tables()
    top, total, _ = class_logs(rules, weights, logs)
    return (top + (total + constants)[None]).T


def hierarchy_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, K, B]``, up to a term free of ``theta``; one key serves all times of a draw."""
    leaf_logs = resolve_leaves(process, population)
    rules, weights = population.tables()
    per_time = 2 * population.num_leaves * population.num_letters
    at_once = min(times.shape[0], max(1, BUDGET // per_time))

    def draw(keys: Array, components: Array) -> Array:
        pairs = jax.vmap(jax.random.split)(keys)
        x = jax.vmap(population.sample)(pairs[:, 0], components)

        def at(t: Array) -> Array:
            def one(key: Array, x: Array) -> Array:
                return leaf_logs(process, population, process.sample(key, x, t), t)[0]

            return jax.vmap(one, out_axes=-1)(pairs[:, 1], x)

        def together(times: Array) -> Array:
            logs = jax.vmap(at, out_axes=2)(times)
            logs = logs.reshape(*logs.shape[:2], -1)
            if isinstance(process, RevealingChannel):
                # Likelihoods of leaves are 0 or 1, so nothing that counts is lost without logarithms.
                out = jnp.log(class_messages(rules, weights, jnp.exp(logs)))
            else:
                out = class_logs(rules, weights, logs)[0]
            return jnp.moveaxis(out.reshape(out.shape[0], times.shape[0], -1), 1, 0)

        if at_once == times.shape[0]:
            return together(times)
        return jax.lax.map(lambda t: together(t[None])[0], times)

    return draw_in_groups(draw, key, components, per_time * at_once)
