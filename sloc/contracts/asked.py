"""What a person hands to a method of a process, a population or a clock, looked at before the method runs.

The tables ``_asked`` of the contracts say which arguments each method takes; ``Contract`` wraps the methods that this
package defines, and the wrapper comes here only where nothing is traced.  Numbers (times, components) are read, and
letters and intensities, which a process could otherwise look up or take logarithms of wrongly; of other arrays only the
structure, the shapes and the kind of numbers are looked at, so that nothing large is fetched from a device.
"""

# What contracts keep for themselves is asked here for them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts.arguments import as_array, as_floats, as_real, as_whole, checked_key, checked_whole
from sloc.contracts.base import CHECKS, ContractError, InvalidInput, check_registered, float_dtype, require, shown
from sloc.contracts.population import Population
from sloc.contracts.process import ObservationProcess, check_times, time_of
from sloc.contracts.signal import Coordinates, reached

Given = Mapping[str, Any]

_ROUNDING = 1e-6
"""How far beyond the horizon, relatively, a time in float32 may come to lie."""
_SINGULAR = ("log_prob", "bridge", "bridge_law")
"""Methods of one process in whose formulas a density stands, which is singular at ``t = 0``."""


# Jitted functions for their shapes alone, which JAX keeps by the structure of the arguments.
@jax.jit
def _observed(process: Any, x: Any, t: Any) -> Any:
    return process.sample(jax.random.key(0), x, t)


@jax.jit
def _observed_of(process: Any, population: Any, t: Any) -> Any:
    return process.sample(jax.random.key(0), population.sample(jax.random.key(0), jnp.zeros((), jnp.int32)), t)


@jax.jit
def _degraded(process: Any, y: Any, t: Any) -> Any:
    return process.degrade(jax.random.key(0), y, t, t)


def _process(owner: Any, given: Given) -> Any:
    """Return the process that a call is about: its argument, its owner, or the one a model was trained on."""
    found = given.get("process", owner)
    return found if isinstance(found, ObservationProcess) else getattr(owner, "_process", None)


def _time_of(process: ObservationProcess) -> jax.ShapeDtypeStruct:
    """Return a time that leaves other arrays their precision, as a Python number does."""
    t = time_of(process)
    return jax.ShapeDtypeStruct(t.shape, t.dtype, weak_type=True)


# --------------------------------------------------------------------------------------------
# Numbers
# --------------------------------------------------------------------------------------------


def _check_key(owner: Any, method: str, given: Given, name: str) -> None:
    checked_key(given[name], name)


def _check_some_key(owner: Any, method: str, given: Given, name: str) -> None:
    if given[name] is not None:
        checked_key(given[name], name)


def _at(process: ObservationProcess, host: np.ndarray, name: str, value: Any, *, singular: bool = False) -> None:
    """Refuse times (float64, any shape) outside a process's own."""
    require(not np.isnan(host).any(), name, value, "times, which are numbers")
    horizon = float(process.horizon)
    host = np.where(host <= horizon * (1 + _ROUNDING), np.minimum(host, horizon), host)
    check_times(process, host.reshape(-1), name, value, singular=singular)


def _plainly_inside(process: ObservationProcess, t: float) -> bool:
    """Whether nothing can be wrong with a time: the one that hosts ask in loops needs no arrays."""
    usual = type(process)._check_times is ObservationProcess._check_times
    return usual and not process.discrete and 0.0 < t < process.horizon


def _check_time(owner: Any, method: str, given: Given, name: str) -> None:
    value, process = given[name], _process(owner, given)
    t = as_real(value)
    require(not math.isnan(t), name, value, "a time, which is one number")
    population = owner if isinstance(owner, Population) else None
    if process is None:
        require(t >= 0, name, value, "a time that is not negative")
        return
    singular = method in _SINGULAR if population is None else population.atomic
    if not _plainly_inside(process, t):
        _at(process, np.asarray(t), name, value, singular=process.has_density and singular)


def _check_earlier(owner: Any, method: str, given: Given, name: str) -> None:
    _check_time(owner, "", given, name)
    s, t = as_real(given["s"]), as_real(given["t"])
    require(math.isfinite(s), name, given[name], "a time that is finite")
    kind = float_dtype().type
    if not math.isnan(t):  # else t is refused next
        require(bool(kind(s) <= kind(t)), name, given[name], f"a time up to t = {t:g}")


def _check_times(owner: Any, method: str, given: Given, name: str) -> None:
    value, process = given[name], _process(owner, given)
    if isinstance(value, float) and isinstance(process, ObservationProcess) and _plainly_inside(process, value):
        return
    host = as_floats(value, name)
    if process is not None:
        _at(process, host, name, value, singular=process.has_density and getattr(owner, "atomic", False))


def _check_row_of_times(owner: Any, method: str, given: Given, name: str) -> None:
    value = given[name]
    array = isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 1
    require(array, name, value, "an array of times [T]")
    _check_times(owner, method, given, name)


def _check_log_snr(owner: Any, method: str, given: Given, name: str) -> None:
    require(not np.isnan(as_floats(given[name], name)).any(), name, given[name], "numbers")


def _check_old_times(owner: Any, method: str, given: Given, name: str) -> None:
    good = bool((as_floats(given[name], name) >= 0).all())
    require(good, name, given[name], "times of the process, numbers that are not negative")


def _check_horizon(owner: Any, method: str, given: Given, name: str) -> None:
    require(as_real(given[name]) >= 0, name, given[name], "a time that is not negative, or inf")


def _check_component(owner: Any, method: str, given: Given, name: str) -> None:
    value, k = given[name], owner.num_components
    whole = jnp.issubdtype(getattr(value, "dtype", type(value) if type(value) is int else bool), jnp.integer)
    require(whole and 0 <= as_whole(value) < k, name, value, f"the number of a sub-population, from 0 to {k - 1}")


def _check_length(owner: Any, method: str, given: Given, name: str) -> None:
    checked_whole(given[name], name, 0, what="coordinates")


def _check_mask(owner: Any, method: str, given: Given, name: str) -> None:
    leaves = jax.tree.leaves(given[name])
    good = bool(leaves) and all(getattr(leaf, "dtype", None) == np.bool_ for leaf in leaves)
    require(good, name, given[name], "an array of truth values")


def _check_process(owner: Any, method: str, given: Given, name: str) -> None:
    check_registered(given[name], name, ObservationProcess)


# --------------------------------------------------------------------------------------------
# Signals and observations
# --------------------------------------------------------------------------------------------


def _as_tree(value: Any, name: str) -> Any:
    """Return a list of numbers as the array that it stands for, all else as it is."""
    nested = isinstance(value, (list, tuple)) and len(value) > 0
    plain = nested and all(isinstance(v, (bool, int, float, list, tuple, np.generic)) for v in value)
    return as_array(value, name) if plain or isinstance(value, list) else value


def _structs(tree: Any, name: str) -> Any:
    """Return the shapes and kinds of numbers of a tree of arrays."""

    def struct(leaf: Any) -> jax.ShapeDtypeStruct:
        shape, dtype = _kind(leaf)
        good = dtype is not None and (jnp.issubdtype(dtype, jnp.number) or dtype == np.bool_)
        require(good, name, tree, "an array of numbers, or a tree of such arrays")
        return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))

    try:
        return jax.tree.map(struct, tree)
    except (InvalidInput, ContractError):
        raise
    except (TypeError, ValueError) as error:  # keys of a mapping that have no order
        raise InvalidInput(f"{name} = {shown(tree)}: expected an array of numbers, or a tree of such arrays") from error


def _kind(leaf: Any) -> tuple[tuple[int, ...], Any]:
    if isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
        return tuple(leaf.shape), leaf.dtype
    if isinstance(leaf, (bool, int, float, complex)):
        return (), np.asarray(leaf).dtype
    return (), None


def _coordinates(tree: Any, structs: Any) -> Any:
    """Return what a process is told of a signal; the values are read where it asks what they reach."""

    def known(leaf: Any, struct: Any) -> Coordinates:
        return Coordinates(struct.shape, np.dtype(struct.dtype), ends=lambda: reached(np.asarray(leaf)[None]))

    return jax.tree.map(known, tree, structs)


def _check_x(owner: Any, method: str, given: Given, name: str) -> Any:
    process, value = _process(owner, given), given[name]
    x = _as_tree(value, name)
    structs = _structs(x, name)
    words = process._misfit(_coordinates(x, structs))
    require(not words, name, value, words)
    if isinstance(owner, Population):
        drawn = owner._known_x()
        if drawn is not None:
            _compare(structs, drawn, name, value, f"as {type(owner).__name__} draws them", kinds=False)
    return None if x is value else jnp.asarray(x)


def _check_y(owner: Any, method: str, given: Given, name: str) -> Any:
    process, value = _process(owner, given), given[name]
    y = _as_tree(value, name)
    structs = _structs(y, name)
    if isinstance(owner, ObservationProcess):
        if owner._like_x:
            words = owner._misfit(_coordinates(y, structs))
            require(not words, name, value, words)
        if "x" in given:
            found = _asked(_observed, owner, _structs(_as_tree(given["x"], "x"), "x"), _time_of(owner))
            words = f"an observation of {type(owner).__name__} given x"
        else:
            found = _after(owner, structs, value)
            words = f"an observation of {type(owner).__name__}"
    elif hasattr(owner, "_observed"):
        found, words = owner._observed(), f"an observation of {type(owner).__name__}"
    else:
        found = _asked(_observed_of, process, owner, _time_of(process))
        words = f"an observation of {type(owner).__name__} under {type(process).__name__}"
    if found is not None:
        _compare(structs, found, name, value, words)
    return None if y is value else jnp.asarray(y)


def _asked(shapes: Any, *given: Any) -> Any:
    """Return the shapes of what a function gives; None where it gives nothing: that shows itself where it runs."""
    try:
        return shapes.eval_shape(*given)
    except Exception:
        return None


def _after(process: ObservationProcess, y: Any, value: Any) -> Any:
    """Return the shapes of what an observation degrades to, which are its own if it is one."""
    try:
        return _degraded.eval_shape(process, y, _time_of(process))
    except (ContractError, InvalidInput, jax.errors.JAXTypeError):
        return None  # a method that is missing, or that cannot be traced
    except Exception as error:
        words = f"an observation that {type(process).__name__} can degrade"
        raise InvalidInput(f"y = {shown(value)}: expected {words} ({type(error).__name__})") from error


def _compare(found: Any, expected: Any, name: str, value: Any, words: str, *, kinds: bool = True) -> None:
    """Refuse a tree of other structure, shapes or kinds of numbers than expected."""
    own, wanted = jax.tree.leaves(found), jax.tree.leaves(expected)
    same = jax.tree.structure(found) == jax.tree.structure(expected)
    same = same and all(
        a.shape == b.shape and (not kinds or _fits(a.dtype, b.dtype)) for a, b in zip(own, wanted, strict=True)
    )
    if not same:
        described = jax.tree.map(lambda s: f"{s.dtype}{list(s.shape)}", expected)
        text = described if isinstance(described, str) else shown(described)
        require(False, name, value, f"{text}, {words}")


def _fits(found: Any, expected: Any) -> bool:
    """Whether numbers of a kind can stand where another is expected: whole ones for real ones, not the reverse."""
    order = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    ranks = [next((i for i, kind in enumerate(order) if jnp.issubdtype(d, kind)), 0) for d in (found, expected)]
    return ranks[0] <= ranks[1]


_ALL: dict[str, Callable[[Any, str, Given, str], Any]] = {
    "key": _check_key,
    "key?": _check_some_key,
    "process": _check_process,
    "x": _check_x,
    "s": _check_earlier,
    "t": _check_time,
    "t[]": _check_times,
    "times[]": _check_row_of_times,
    "y": _check_y,
    "known": _check_mask,
    "coordinates": _check_mask,
    "length": _check_length,
    "component": _check_component,
    "i": _check_component,
    "j": _check_component,
    "log_snr[]": _check_log_snr,
    "u[]": _check_old_times,
    "horizon": _check_horizon,
}
CHECKS.update(_ALL)
