"""Bridges between sub-populations: draws proportional to ``sqrt(p_t^i p_t^j)``, and where they are known.

A ``BridgeLaw`` belongs to a pair (family of processes, type of population), like the marginals.  The built-in
populations look theirs up in ``bridge_pair`` and ``log_affinities``; a population of a user's own overrides those two
methods instead.

The law of a pair under a revealing channel needs the law of the masks.  Two kinds are known: masks that are not
random, which is found while tracing, and coordinates hidden independently of each other, which a process says of
itself by ``register_hiding_rates``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, ContractError, ObservationProcess, Population, RevealingChannel, namespace

RatesFn = Callable[[Any, int, Any], Any]


@dataclass(frozen=True)
class BridgeLaw:
    """How to bridge the sub-populations of one type under one family of processes.

    Attributes:
        pair: ``(process, population, key, i, j, t) -> y``, a draw proportional to ``sqrt(p_t^i p_t^j)``.
        log_affinities: ``(process, population, t) -> [K, K]``, ``log int sqrt(p_t^i p_t^j)``; in float64 where the
            parameters and ``t`` are NumPy numbers.
        log_ratios: ``(process, population, y, t) -> [K]``, ``log p_t^theta(y)`` up to a term free of ``theta``.
        restrict: ``(population, index [M]) -> population`` of the components ``index`` (weights without meaning).
        prepare: ``(process, population) -> (process, population)``, a sufficient statistic in float32's best form.

    """

    pair: Callable[..., Any]
    log_affinities: Callable[..., Any]
    log_ratios: Callable[..., Array]
    restrict: Callable[[Any, np.ndarray], Any]
    prepare: Callable[[Any, Any], tuple[Any, Any]]


_LAWS: list[tuple[type, type, BridgeLaw]] = []
_RATES: dict[type, RatesFn] = {}


def register_bridge(process_type: type, population_type: type, law: BridgeLaw) -> None:
    """Register the law of a family of processes and a type of population."""
    _LAWS.append((process_type, population_type, law))


def find_bridge(process: ObservationProcess, population: Population) -> BridgeLaw | None:
    """Return the registered law of the pair, or None (also where the law of a revealing channel's masks is unknown)."""
    for process_type, population_type, law in _LAWS:
        if isinstance(process, process_type) and isinstance(population, population_type):
            return law
    return None


def resolve_bridge(process: ObservationProcess, population: Population) -> BridgeLaw:
    """Return the registered law of the pair.

    Raises:
        ContractError: there is none; the message lists the families there are.

    """
    law = find_bridge(process, population)
    if law is None:
        known = sorted({p.__name__ for p, q, _ in _LAWS if isinstance(population, q)})
        raise ContractError(
            f"{type(population).__name__} has no bridge under process {type(process).__name__}; it has under: "
            f"{', '.join(known) or 'none'}; define {type(population).__name__}.bridge_pair and log_affinities"
        )
    return law


def register_hiding_rates(process_type: type[RevealingChannel]) -> Callable[[RatesFn], RatesFn]:
    """Declare that a revealing process hides each coordinate independently of the others.

    Use as a decorator on ``fn(process, length, t) -> scalar or [length]``, the probability that each coordinate is
    hidden at ``t`` (NumPy in, NumPy out).  Subclasses that replace ``thresholds`` or ``sample`` are not covered.
    """

    def register(fn: RatesFn) -> RatesFn:
        _RATES[process_type] = fn
        return fn

    return register


def hiding_rates(process: RevealingChannel, length: int, t: Any) -> Any | None:
    """Probability that each of ``length`` coordinates is hidden at ``t``, independently of the others.

    Args:
        process: a revealing channel.
        length: the number of coordinates (flattened).
        t: one time; a NumPy or Python number gives float64 on the host.

    Returns:
        ``[length]``, zeros and ones where the order is fixed; None where the law of the masks is not known.

    """
    from sloc.populations.discrete import floating, thresholds_are_fixed

    for base in type(process).__mro__:
        if base in _RATES:
            same = all(getattr(type(process), m) is getattr(base, m) for m in ("thresholds", "sample"))
            if not same:
                break
            rates = _RATES[base](process, length, t)
            if namespace(t) is np:
                return np.broadcast_to(np.asarray(rates, np.float64), (length,))
            return jnp.broadcast_to(floating(rates), (length,))
    if not thresholds_are_fixed(process, length):
        return None
    thresholds = process.thresholds(jax.random.key(0), jnp.zeros((length,), jnp.int32))
    if namespace(t) is np:
        return (np.asarray(t) >= np.asarray(thresholds)).astype(np.float64)
    return floating(jnp.asarray(t) >= thresholds)


def known_rates(process: RevealingChannel, length: int, t: Any) -> Any:
    """Return ``hiding_rates``, refusing processes whose masks have no known law.

    Raises:
        ContractError: the masks are random and no rates were registered.

    """
    rates = hiding_rates(process, length, t)
    if rates is None:
        raise ContractError(
            f"the masks of {type(process).__name__} have no known law: where it hides coordinates independently, say "
            "so by sloc.populations.bridge_laws.register_hiding_rates"
        )
    return rates


def by_rows(row: Callable[[Any], Any], count: int, xp: Any) -> Any:
    """Stack ``row(0) .. row(count - 1)`` one at a time, so that memory holds one row of pairs."""
    if xp is np:
        return np.stack([row(i) for i in range(count)])
    return jax.lax.map(row, jnp.arange(count, dtype=jnp.int32))


def squared_distances(points: Any, xp: Any) -> Any:
    """``|x_i - x_j|^2`` from differences, ``[N, d] -> [N, N]``: no cancellation between close points."""
    return by_rows(lambda i: xp.sum(xp.square(points - points[i][None, :]), axis=1), points.shape[0], xp)


def unchanged(process: Any, population: Any) -> tuple[Any, Any]:
    """Return the pair as it is."""
    return process, population
