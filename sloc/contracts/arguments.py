"""Checks of single arguments that every floor shares: keys, whole numbers, numbers in a range, one word of several."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from sloc.contracts.base import InvalidInput, is_concrete, require, shown

_MOST = 2**63 - 1
"""The largest whole number that arrays of indices hold."""
MOST_SEED = 2**32 - 1
"""The largest seed: ``jax.random.key`` takes 32 bits."""
HELD = "a text without NUL characters or half a surrogate pair, which the files of results cannot hold"
"""What ``is_held`` asks, for a message."""


def as_real(value: Any) -> float:
    """Return a real number as a float; NaN for anything else, and for a number too large for one.

    Scalars of NumPy and JAX are numbers; truth values, texts, complex numbers, arrays with axes and traced values are
    not.  No comparison holds for NaN, so ``0 < as_real(value) < 1`` can be asked of anything.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.nan
    scalar = isinstance(value, (np.ndarray, np.generic, jax.Array)) and is_concrete(value) and np.ndim(value) == 0
    real = scalar and any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.integer, jnp.floating))
    return float(value) if real else math.nan


def as_whole(value: Any) -> float:
    """Return a whole number, ``4096.0`` among them, as ``as_real`` does; NaN for anything else."""
    number = as_real(value)
    return number if math.isfinite(number) and number == int(number) else math.nan


def is_one_of(value: Any, choices: Collection[str]) -> bool:
    """Whether a value is a word, and one of several; anything may be asked of."""
    return isinstance(value, str) and value in choices


def is_held(text: str) -> bool:
    """Whether a text can stand in every file of results: netCDF ends texts at a NUL, UTF-8 has no half characters."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def refuse_mask(value: Any, argument: str) -> None:
    """Refuse an array that carries a mask of its own (``numpy.ma``): made a plain array it would show what it hides.

    Raises:
        InvalidInput: such an array, or a sequence of them.

    """
    require(
        not _has_mask(value),
        argument,
        value,
        "an array without a mask: leave out what is hidden, or fill it in (.filled)",
    )


def _has_mask(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        nested = any(isinstance(part, (list, tuple, np.ma.MaskedArray)) for part in value)
        return nested and any(map(_has_mask, value))
    return isinstance(value, np.ma.MaskedArray)


def refuse_traced(call: str, **given: Any) -> None:
    """Refuse arguments that a transformation of JAX traces, in a call that decides by their values what it does next.

    Raises:
        InvalidInput: such an argument.

    """
    words = f"values, not what jit, vmap or grad trace: {call} decides by them what it does next, so call it outside"
    for name, value in given.items():
        require(is_concrete(value), name, value, words)


def as_floats(value: Any, argument: str, what: str = "an array of numbers") -> np.ndarray:
    """Return numbers of any shape as float64 on the host; a refusal expects ``what``.

    Raises:
        InvalidInput: ragged sequences, texts, objects, complex numbers, arrays with a mask.

    """
    refuse_mask(value, argument)
    if isinstance(value, Tracer):
        require(False, argument, value, f"{what} with values, not what jit, vmap or grad trace: call this outside")
    try:
        array = np.asarray(value)
        real = array.dtype.kind in "biufO" or jnp.issubdtype(array.dtype, jnp.floating)
        if real and value is not None:
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{argument} = {shown(value)}: expected {what}") from error
    raise InvalidInput(f"{argument} = {shown(value)}: expected {what}")


def as_array(value: Any, argument: str) -> Any:
    """Return real numbers of any shape as they came if they are an array or traced, else as a NumPy array.

    Raises:
        InvalidInput: ragged sequences, texts, objects, complex numbers, arrays with a mask.

    """
    if isinstance(value, jax.Array):
        real = not jnp.issubdtype(value.dtype, jnp.complexfloating) and not jnp.issubdtype(
            value.dtype, jax.dtypes.extended
        )
        require(real, argument, value, "an array of real numbers")
        return value
    if not is_concrete(value):
        return jnp.asarray(value)
    refuse_mask(value, argument)
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        array = np.asarray(None)
    return array if array.dtype.kind in "biuf" else as_floats(value, argument)


def checked_number(
    value: Any, argument: str, low: float = -math.inf, high: float = math.inf, *, ends: str = "", what: str = "a number"
) -> float:
    """Return a real number between two bounds.

    Args:
        value: what was given.
        argument: its name.
        low: the lower bound.
        high: the upper bound; the number is finite whatever the bounds.
        ends: which bounds belong to the range: ``[`` the lower, ``]`` the upper, ``[]`` both.
        what: what the message calls it.

    Raises:
        InvalidInput: no number, not finite, or outside.

    """
    number = as_real(value)
    inside = (low <= number if "[" in ends else low < number) and (number <= high if "]" in ends else number < high)
    left, right = "[" if "[" in ends else "(", "]" if "]" in ends else ")"
    bounded = math.isfinite(low) or math.isfinite(high)
    expected = f"{what} in {left}{low:g}, {high:g}{right}" if bounded else f"{what} that is finite"
    require(inside and math.isfinite(number), argument, value, expected)
    return number


def checked_level(value: Any, argument: str) -> float:
    """Return a number strictly between 0 and 1.

    Raises:
        InvalidInput: outside ``(0, 1)`` or not a number.

    """
    number = as_real(value)
    require(0.0 < number < 1.0, argument, value, "a number strictly between 0 and 1")
    return float(value)


def checked_whole(value: Any, argument: str, least: int = 1, most: int = _MOST, *, what: str = "") -> int:
    """Return a whole number from ``least`` to ``most``; ``4096.0`` is one.

    Args:
        value: what was given.
        argument: its name.
        least: the least that is taken.
        most: the most that is taken.
        what: what it counts, for the message, such as ``"draws"``.

    Raises:
        InvalidInput: not a whole number, or outside.

    """
    bounds = f"at least {least}" if most >= _MOST else f"from {least} to {most}"
    expected = f"a whole number{' of ' + what if what else ''}, {bounds}"
    require(math.isfinite(as_whole(value)) and least <= int(value) <= most, argument, value, expected)
    return int(value)


def checked_seed(value: Any, argument: str = "seed") -> int:
    """Return a seed, a whole number from 0 to ``MOST_SEED``.

    Raises:
        InvalidInput: not a whole number, or outside.

    """
    return checked_whole(value, argument, 0, MOST_SEED)


def check_size(value: Any, argument: str, least: int = 1) -> None:
    """Refuse the size of an array, which is static, that is no int from ``least`` to what int32 indices reach.

    Raises:
        InvalidInput: no int, or outside.

    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    require(whole and least <= int(value) < 2**31, argument, value, f"an int of at least {least}, below 2^31")


def checked_choice(value: Any, argument: str, choices: Collection[str]) -> str:
    """Return a word that is one of several.

    Raises:
        InvalidInput: anything else.

    """
    require(is_one_of(value, choices), argument, value, f"one of {', '.join(choices)}")
    return value


def checked_key(key: Any, argument: str = "key") -> jax.Array:
    """Return ``key`` if it is one typed PRNG key.

    Raises:
        InvalidInput: a raw uint32 key, an int seed, or a batch of keys.

    """
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    require(typed, argument, key, "a typed PRNG key from jax.random.key(seed), not a raw uint32 key or a seed")
    require(key.shape == (), argument, key, f"one key, not a batch of shape {key.shape}")
    return key


def checked_all(
    values: Any, argument: str, kind: type | tuple[type, ...], what: str, least: int = 0
) -> tuple[Any, ...]:
    """Return the members of a sequence, all of one kind.

    Args:
        values: what was given.
        argument: its name.
        kind: the class, or classes, of every member.
        what: what they are, in the plural, for the message.
        least: how many there must be.

    Raises:
        InvalidInput: no sequence, a member of another kind, or too few.

    """
    listed = isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping, jax.Array))
    listed = listed and not (isinstance(values, np.ndarray) and values.ndim != 1)
    found = tuple(values) if listed else ()
    good = listed and all(isinstance(v, kind) for v in found)
    require(good, argument, values, f"a sequence of {what}")
    require(len(found) >= least, argument, values, f"at least {least} of {what}")
    return found


def checked_names(values: Any, argument: str, least: int = 0) -> tuple[str, ...]:
    """Return distinct texts.

    Raises:
        InvalidInput: no sequence, members that are no texts, a text twice, or too few.

    """
    found = checked_all(values, argument, str, "texts", least)
    require(len(set(found)) == len(found), argument, values, "texts that differ from one another")
    return found


def checked_kind(value: Any, argument: str, kind: type | tuple[type, ...], what: str, *, optional: bool = False) -> Any:
    """Return an object of one class, or None where it may be left out.

    Raises:
        InvalidInput: an object of another class.

    """
    require(isinstance(value, kind) or (optional and value is None), argument, value, what)
    return value


def checked_path(value: Any, argument: str = "path") -> str:
    """Return a path as text.

    Raises:
        InvalidInput: no path, an empty one, one with a NUL character or half a surrogate pair, which no system has, or
            with a name that is too long to be looked for.

    """
    require(isinstance(value, (str, os.PathLike)), argument, value, "a path: a str or an os.PathLike")
    text = os.fspath(value)
    words = "a path that is not empty, without NUL characters"
    require(isinstance(text, str) and bool(text) and "\0" not in text, argument, value, words)
    try:
        names = os.fsencode(text).split(os.fsencode(os.sep))
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{argument} = {shown(text)}: expected a path of characters ({error.reason})") from error
    if os.name == "posix":
        # Looking for it would be an OSError, at whichever place happens to look first.
        fits = max(map(len, names)) <= 255 and sum(map(len, names)) + len(names) <= 4096
        require(fits, argument, value, "a path of names of at most 255 bytes, and of 4,096 bytes in all")
    return text


def checked_file(value: Any, argument: str, expected: str) -> Path:
    """Return a path at which there is a file; what cannot be looked for is not there.

    Args:
        value: what was given.
        argument: its name.
        expected: what was expected, for the message.

    Raises:
        InvalidInput: no path, or no file there.

    """
    file = Path(checked_path(value, argument))
    try:
        found, folder = file.is_file(), file.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise InvalidInput(f"{argument} = {shown(str(file))}: expected {expected} ({error.strerror})") from error
    require(found, argument, str(file), f"{expected}; this is a folder" if folder else expected)
    return file


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, for ``json.loads(..., object_pairs_hook=)``, which would take the last of two values.

    Raises:
        ValueError: a key stands twice.

    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in found if keys.count(key) > 1)!r} is there twice")
    return found


def some_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first names of a list for a message, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
