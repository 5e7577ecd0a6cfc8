"""Equality of dataclasses that hold arrays, where the comparison that Python writes has no one truth value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def same_fields(one: Any, other: object) -> bool:
    """Whether two records are of one class and agree in every field; arrays agree in shape and in each number.

    NaN agrees with NaN, so that a copy is equal to what it was copied from.  Traced values agree with themselves alone.
    It is the ``__eq__`` of processes, populations and results.

    Args:
        one: a dataclass; of another object, or a dataclass that asks for none, the identity is compared.
        other: anything.

    Returns:
        Whether they agree (``NotImplemented`` for an object of another class).

    """
    if one is other:
        return True
    if type(one) is not type(other):
        return NotImplemented
    settings = getattr(type(one), "__dataclass_params__", None)
    if settings is None or not settings.eq:
        return NotImplemented
    return _agree(one, other)


def _agree(one: Any, other: Any) -> bool:
    fields: Any = dataclasses.fields(one)
    compared = (f.name for f in fields if f.compare)
    return all(_same(getattr(one, name), getattr(other, name)) for name in compared)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    if isinstance(a, (np.ndarray, np.generic, jax.Array)) or isinstance(b, (np.ndarray, np.generic, jax.Array)):
        return _same_arrays(a, b)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    try:
        return bool(a == b)
    except ValueError:  # no one truth value: a dataclass that holds arrays, of which Python compares tuples
        return type(a) is type(b) and dataclasses.is_dataclass(a) and _agree(a, b)


def _same_arrays(a: Any, b: Any) -> bool:
    if _is_key(a) and _is_key(b) and a.dtype == b.dtype:
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    try:
        a, b = np.asarray(a), np.asarray(b)
    except (TypeError, ValueError):  # a key beside what is none, ragged lists
        return False
    if a.dtype.kind == "O" and b.dtype.kind == "O":
        return a.shape == b.shape and all(map(_same, a.flat, b.flat))
    if a.shape != b.shape:
        return False
    if not all(jnp.issubdtype(v.dtype, jnp.inexact) for v in (a, b)):
        return bool(np.array_equal(a, b))
    # Not `equal_nan`, which knows no bfloat16; NaN alone differs from itself.
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
