"""Entry checks of the samplers: everything is refused here, before anything is traced."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    ContractError,
    InvalidInput,
    ObservationProcess,
    Population,
    check_fits,
    check_registered,
    check_runs,
    check_times,
    component_names,
    draws_posterior,
    float_dtype,
    is_concrete,
    overrides,
    require,
    shown,
)
from sloc.contracts.arguments import as_array, as_whole, checked_whole
from sloc.contracts.arguments import checked_key as checked_key

Array = jax.Array

_INSTEAD = {
    "posterior_sample": (
        "without it: sloc.label_curve and sloc.clone_agreement need log_marginals only, and under a Gaussian channel "
        "so does sloc.samplers.euler_reverse"
    ),
    "bridge": (
        "without it: sloc.forward_reverse draws X | Y_t in one step and needs no bridge, and under a Gaussian channel "
        "neither does sloc.samplers.euler_reverse"
    ),
}
_NEEDED = {
    "posterior_sample": ("posterior_sample(key, process, y, t)", "draw X given an observation"),
    "bridge": ("bridge(key, y, x, s, t)", "step back from Y_t to Y_s given X"),
    "sample": ("sample(key, x, t)", "draw observations"),
}


def checked_model(process: Any, population: Any, *methods: str) -> tuple[Any, Any]:
    """Check, cast and validate a process and a population that are to draw, and that they have the methods for it.

    Args:
        process: the observation process.
        population: the population.
        methods: of ``sample``, ``bridge`` (of the process) and ``posterior_sample`` (of the population).

    Raises:
        ContractError: a class that is not registered, or a missing method; the message says what can be used instead;
            or a method of the population that asks the process for what it does not have.
        InvalidInput: what their ``validate`` refuses; an ``X`` that the process cannot take.

    """
    check_registered(process, "process", ObservationProcess)
    check_registered(population, "population", Population)
    if is_concrete(process):
        process.validate()
    if is_concrete(population):
        population.validate()
    process, population = process.canonical(), population.canonical()
    k = population.num_components
    require(len(component_names(population)) == k, "names", population.names, f"{k} names, one for each sub-population")
    for method in methods:
        of_population = method == "posterior_sample"
        owner = population if of_population else process
        if not (draws_posterior(population) if of_population else overrides(process, ObservationProcess, method)):
            signature, purpose = _NEEDED[method]
            instead = f"; {_INSTEAD[method]}" if method in _INSTEAD else ""
            raise ContractError(
                f"{type(owner).__name__} does not define {signature}, which is needed to {purpose}{instead}"
            )
    if "posterior_sample" in methods:
        check_runs(process, population, "posterior_sample")
    check_fits(process, population)
    return process, population


def checked_times_or_one(process: ObservationProcess, population: Population, t: Any, argument: str) -> Array:
    """Check one time or several, ``[T]`` either way; see ``checked_times``."""
    given = as_array(t, argument)
    return _cast(process, population, [given] if np.ndim(given) == 0 else given, argument, t)


def checked_times(process: ObservationProcess, population: Population, times: Any, argument: str) -> Array:
    """Check times and cast them to the process's kind of time, ``[T]``; an int asks for ``process.grid(n)``.

    Raises:
        InvalidInput: empty, not finite, not strictly increasing (also after the cast), negative, beyond the horizon,
            not whole where time is discrete, or 0 where densities are singular.

    """
    if isinstance(times, (int, np.integer)) and not isinstance(times, bool):
        require(as_whole(times) >= 1, argument, times, "at least one time")
        times = process.grid(int(times))
    return _cast(process, population, times, argument, times)


def _cast(process: ObservationProcess, population: Population, values: Any, argument: str, times: Any) -> Array:
    try:
        host = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{argument} = {shown(times)}: expected numbers") from error
    require(host.ndim == 1 and host.size > 0, argument, times, "a non-empty one-dimensional sequence of times")
    require(bool(np.isfinite(host).all()), argument, times, "finite times")
    check_times(process, host, argument, times, singular=process.has_density and population.atomic)
    cast = host.astype(np.int32 if process.discrete else float_dtype())
    require(bool((np.diff(cast) > 0).all()), argument, times, f"times strictly increasing in {cast.dtype}")
    return jnp.asarray(cast)


# Traced for its shapes alone, which JAX keeps for each function: asking again does not run the function again.
@functools.partial(jax.jit, static_argnums=0)
def _called(function: Any, *given: Any) -> Any:
    return function(*given)


def checked_trace(function: Any, argument: str, named: Any, expected: str, *given: Any) -> Any:
    """Trace a function of the caller for its shapes, so that what it cannot do is refused before anything is compiled.

    Args:
        function: what is traced; equal functions are traced once.
        argument: its name.
        named: what the message shows for it.
        expected: what it should be, for the message.
        given: the shapes of its arguments.

    Returns:
        The shapes of what it returns.

    Raises:
        InvalidInput: it raised (the message says what), or returned what is no tree of numbers.

    """
    try:
        return _called.eval_shape(function, *given)
    except (InvalidInput, ContractError):
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "")
        raise InvalidInput(
            f"{argument} = {shown(named)}: expected {expected}; JAX traces it for one draw, where it raised "
            f"{type(error).__name__}: {said}"
        ) from error


def positions(grid: Array, at: Any, times: Array, argument: str) -> np.ndarray:
    """Return for each point of ``grid`` its index in ``times``, or -1.

    Raises:
        InvalidInput: a time that is not on the grid.

    """
    host, wanted = np.asarray(grid), np.asarray(times)
    found = np.isin(wanted, host)
    require(bool(found.all()), argument, at, f"times of the grid; {wanted[~found][:3]} are not among them")
    slots = np.full(host.shape, -1, np.int32)
    slots[np.searchsorted(host, wanted)] = np.arange(wanted.size)
    return slots


def checked_count(n: Any, argument: str = "n", least: int = 1) -> int:
    """Return ``n`` as an int of at least ``least``.

    Raises:
        InvalidInput: not a whole number, or too small.

    """
    return checked_whole(n, argument, least)
