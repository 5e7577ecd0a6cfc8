"""Where numbers are computed: float64 on the host for closed forms, the working precision on the device."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import float_dtype, is_concrete


def placed(value: Any, *parameters: Any) -> tuple[Any, ...]:
    """Return ``(xp, value, *parameters)`` in one place.

    NumPy and float64 where ``value`` is no JAX array and nothing is traced, so that closed forms keep their digits;
    otherwise ``jax.numpy`` with floating parameters.
    """
    if not isinstance(value, jax.Array) and is_concrete(value, *parameters):
        return np, *(np.asarray(v, np.float64)[()] for v in (value, *parameters))
    return jnp, _floating(value), *(_floating(v) for v in parameters)


def _floating(value: Any) -> jax.Array:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return jnp.asarray(value, float_dtype())
