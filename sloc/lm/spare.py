"""Memory of rings between runs: on a CPU fresh pages from the system can cost a tenth of a run."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
Shapes = tuple[tuple[int, ...], ...]

MOST = 1 << 28
"""Bytes that are kept at most, of the last run alone."""
_left: dict[Any, list[Array]] = {}


def zeros(shapes: Sequence[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Return arrays of zeros, in the memory that ``leave`` was given if that has these shapes."""
    shapes, dtype = tuple(shapes), jnp.dtype(dtype)
    # Taken out: two threads never get the same.
    arrays = _left.pop((shapes, dtype, _device()), None)
    return [jnp.zeros(shape, dtype) for shape in shapes] if arrays is None else _cleared(arrays)


def leave(arrays: Sequence[Array]) -> None:
    """Leave arrays that nobody reads any more to the next call of ``zeros``; only on a lone CPU device."""
    device, arrays = _device(), list(arrays)
    fits = device.platform == "cpu" and sum(a.nbytes for a in arrays) <= MOST
    # Arrays that are bound to a device cannot stand beside those of a model that lies on several.
    if fits and all(a.sharding.device_set == {device} and not a.committed for a in arrays):
        _left.clear()
        _left[(tuple(a.shape for a in arrays), arrays[0].dtype, device)] = arrays


@functools.partial(jax.jit, donate_argnums=0, keep_unused=True)
def _cleared(arrays: list[Array]) -> list[Array]:
    """Return zeros in the memory of the arrays: what another model left there, infinite perhaps, reaches nobody."""
    return [jnp.zeros_like(a) for a in arrays]


def _device() -> Any:
    """Return the device on which new arrays are made."""
    chosen = getattr(jax.config, "jax_default_device", None)
    return chosen if isinstance(chosen, jax.Device) else jax.local_devices(backend=chosen)[0]
