"""Equality of dataclasses that hold arrays, where the comparison that Python writes has no one truth value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

import jax
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
    fields: Any = dataclasses.fields(cast(Any, one))
    compared = (f.name for f in fields if f.compare)
    return all(_same(getattr(one, name), getattr(other, name)) for name in compared)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    if isinstance(a, (np.ndarray, jax.Array)) or isinstance(b, (np.ndarray, jax.Array)):
        return _same_arrays(a, b)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return bool(a == b)


def _same_arrays(a: Any, b: Any) -> bool:
    try:
        a, b = np.asarray(a), np.asarray(b)
    except (TypeError, ValueError):  # keys of JAX, ragged lists
        return False
    floating = a.dtype.kind in "fc" and b.dtype.kind in "fc"
    return bool(np.array_equal(a, b, equal_nan=floating))
