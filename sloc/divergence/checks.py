"""Entry checks shared by the public calls: everything is refused here, before anything is traced."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    InvalidInput,
    ObservationProcess,
    Population,
    check_pair,
    check_registered,
    check_times,
    component_names,
    float_dtype,
    is_concrete,
    require,
    shown,
)
from sloc.contracts.arguments import as_floats, as_real, checked_choice, checked_level, checked_whole
from sloc.contracts.arguments import checked_key as checked_key
from sloc.divergence.bands import INTERVALS
from sloc.engine.plan import as_plan

Array = jax.Array


def checked_pair(process: Any, population: Any) -> tuple[ObservationProcess, Population]:
    """Check, cast and validate a process and a population, and that they can meet.

    Raises:
        ContractError: a class that is not registered, a static field that is not hashable, a missing method.
        InvalidInput: what their ``validate`` refuses, duplicate names, or a wrong number of names; an ``X`` that the
            process cannot take.

    """
    check_registered(process, "process", ObservationProcess)
    check_registered(population, "population", Population)
    if is_concrete(process):
        process.validate()
    if is_concrete(population):
        population.validate()
    process, population = process.canonical(), population.canonical()
    names = component_names(population)
    k = population.num_components
    require(len(names) == k, "names", names, f"{k} names, one for each sub-population")
    require(len(set(names)) == k, "names", names, "distinct names")
    check_pair(process, population)
    return process, population


def as_times(process: ObservationProcess, population: Population, times: Any) -> tuple[Any, Array]:
    """Check times and cast them to the process's kind of time.

    Returns:
        The times as given (float64 or int64 on the host when concrete) and as an array for the device.

    Raises:
        InvalidInput: not one-dimensional, empty, not finite, not strictly increasing, negative, beyond the
            horizon, not whole where time is discrete, or 0 where densities are singular.

    """
    dtype = jnp.int32 if process.discrete else float_dtype()
    if not is_concrete(times):
        times = jnp.asarray(times)
        return times, times.astype(dtype)
    host = as_floats(times, "times", "a sequence of numbers")
    require(host.ndim == 1 and host.size > 0, "times", times, "a non-empty one-dimensional sequence")
    require(bool(np.isfinite(host).all()), "times", times, "finite numbers")
    require(bool((np.diff(host) > 0).all()), "times", times, "strictly increasing times")
    check_times(process, host, "times", times, singular=process.has_density and population.atomic)
    if process.discrete:
        return host.astype(np.int64), jnp.asarray(host.astype(np.int64), dtype)
    return host, jnp.asarray(host, dtype)


def as_time(process: ObservationProcess, population: Population, t: Any) -> Array:
    """Check one time and cast it; see ``as_times``."""
    dtype = jnp.int32 if process.discrete else float_dtype()
    if not is_concrete(t):
        return jnp.asarray(t).astype(dtype)
    host = as_floats(t, "t", "one finite number")
    require(host.ndim == 0 and bool(np.isfinite(host)), "t", t, "one finite number")
    check_times(process, host[None], "t", t, singular=process.has_density and population.atomic)
    return jnp.asarray(host, dtype)


def checked_count(n: Any, argument: str = "n", least: int = 2) -> int:
    """Return ``n`` as an int of at least ``least``.

    Raises:
        InvalidInput: not a whole number, or below ``least``.

    """
    return checked_whole(n, argument, least, what="draws")


LEAST_EPSILON = 1e-6
"""Below it ``1 - epsilon^2``, the threshold of ``T_after``, keeps too few digits of ``epsilon^2`` in float64."""


def checked_epsilon(value: Any, argument: str = "epsilon") -> float:
    """Return a threshold of windows, from ``LEAST_EPSILON`` up to but not including 1.

    ``1 - epsilon^2`` is rounded to 1.1e-16, so ``epsilon^2`` is kept to 1e-4 of itself at 1e-6 and not at all below
    1e-8: an edge would be that of another threshold, and an exact one would not show it.

    Raises:
        InvalidInput: outside, or not a number.

    """
    least = f"{LEAST_EPSILON:g}"
    expected = f"a number from {least} (below it 1 - epsilon^2 cannot be told from 1) to less than 1"
    number = as_real(value)
    require(LEAST_EPSILON <= number < 1.0, argument, value, expected)
    return float(value)


def checked_method(method: Any) -> str:
    """Return one of ``auto``, ``closed-form``, ``monte-carlo``; ``balanced`` is another name of the last.

    Raises:
        InvalidInput: anything else.

    """
    return _chosen(method, ("auto", "closed-form", "monte-carlo"), "method")


def checked_tv_method(method: Any) -> str:
    """Return one of the ways to a total variation.

    They are those of ``checked_method``, ``bridge``, ``mask-conditioned`` and ``sobol``.

    Raises:
        InvalidInput: anything else.

    """
    return _chosen(method, ("auto", "closed-form", "monte-carlo", "bridge", "mask-conditioned", "sobol"), "method")


def checked_interval(interval: Any) -> str:
    """Return one of ``INTERVALS``.

    Raises:
        InvalidInput: anything else.

    """
    return _chosen(interval, INTERVALS, "interval")


def checked_options(call: Callable[..., Any], options: Mapping[str, Any], *known: str, ways: bool = False) -> None:
    """Refuse options that a public call does not know, and values of those that it knows.

    It is called first, so that an option is looked at whether or not the way to the answer would use it.

    Args:
        call: the public call, such as :func:`sloc.tv_curve`.
        options: its ``**options``, as given.
        known: names of those that it takes: some of ``delta``, ``method``, ``interval`` and ``plan``.
        ways: whether ``method`` may be any way to a total variation (``checked_tv_method``).

    Raises:
        InvalidInput: an option of another name, or a value that its own check refuses.

    """
    checks: dict[str, Callable[[Any], Any]] = {
        "delta": lambda value: checked_level(value, "delta"),
        "method": checked_tv_method if ways else checked_method,
        "interval": checked_interval,
        "plan": as_plan,
    }
    for name, value in options.items():
        if name not in known:
            own = [p.name for p in inspect.signature(call).parameters.values() if p.kind is p.KEYWORD_ONLY]
            words = f"an option of sloc.{call.__name__}: {', '.join((*own, *known))}"
            raise InvalidInput(f"{name} = {shown(value)}: expected {words}")
        checks[name](value)


def _chosen(value: Any, choices: tuple[str, ...], argument: str) -> str:
    if argument == "method" and isinstance(value, str) and value == "balanced":
        return "monte-carlo"
    return checked_choice(value, argument, choices)


def checked_tolerance(value: Any) -> float | None:
    """Return a positive number or None.

    Raises:
        InvalidInput: anything else.

    """
    if value is None:
        return None
    number = as_real(value)
    require(0.0 < number < np.inf, "tolerance", value, "None or a positive number, in units of t")
    return float(value)


def checked_growth(value: Any) -> float:
    """Return a finite number of at least 1.

    Raises:
        InvalidInput: anything else.

    """
    number = as_real(value)
    require(1.0 <= number < np.inf, "growth", value, "a finite number, at least 1")
    return float(value)
