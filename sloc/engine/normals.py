"""Standard normals whose generator's rounds are written out, so that XLA fuses them with what uses the draws.

The numbers are those of ``jax.random.normal``.  On a CPU its rounds are a loop through memory, about three times as
slow as the same rounds in registers; where a kernel does little else with a draw, that is most of its time.  Written
out they take longer to compile, so this is for the innermost loops.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_THREEFRY = "threefry2x32"
_MOST = 1 << 32


def threefry(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds: a bijection of two 32-bit words for each key of two words.

    Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3.

    Args:
        key: two uint32 arrays.
        counter: two uint32 arrays that broadcast with them.

    Returns:
        Two uint32 arrays of random bits.

    """
    words = (*key, key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    left, right = counter[0] + words[0], counter[1] + words[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            left = left + right
            right = left ^ ((right << jnp.uint32(turn)) | (right >> jnp.uint32(32 - turn)))
        left = left + words[(group + 1) % 3]
        right = right + words[(group + 2) % 3] + jnp.uint32(group + 1)
    return left, right


def written_out(key: Array) -> bool:
    """Whether bits of a typed key are those of ``threefry`` at ``(0, i)``, both words by exclusive or."""
    return bool(getattr(jax.config, "jax_threefry_partitionable", False)) and str(jax.random.key_impl(key)) == _THREEFRY


def normals(key: Array, shape: tuple[int, ...], dtype: Any = None) -> Array:
    """Draw what ``jax.random.normal`` draws, up to rounding: ``sqrt(2) erfinv(u)`` of uniform ``u`` in (-1, 1).

    Written out for float32 and a Threefry key in JAX's default, partitionable mode: draw ``i`` takes both words of
    ``threefry`` at ``(0, i)``, combined by exclusive or.  Otherwise it *is* ``jax.random.normal``.

    Args:
        key: typed PRNG key.
        shape: shape of the draws.
        dtype: floating type; None for the default.

    """
    dtype = jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)
    size = math.prod(shape)
    fits = 0 < size < _MOST and dtype == jnp.float32
    if not fits or not written_out(key):
        return jax.random.normal(key, shape, dtype)
    return _written_out(jax.random.key_data(key), shape)


@functools.partial(jax.jit, static_argnames="shape", inline=True)
def _written_out(words: Array, shape: tuple[int, ...]) -> Array:
    """Draw from a key's two words; inlined where it is traced, one program where it is not."""
    index = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    left, right = threefry((words[0], words[1]), (jnp.zeros_like(index), index))
    # The exponent of 1.0 and 23 random bits of mantissa: uniform on [1, 2).
    ones = ((left ^ right) >> jnp.uint32(9)) | jnp.uint32(0x3F800000)
    low = np.nextafter(np.float32(-1), np.float32(0))
    uniform = (jax.lax.bitcast_convert_type(ones, jnp.float32) - 1.0) * (np.float32(1) - low) + low
    return np.float32(math.sqrt(2)) * jax.lax.erf_inv(jnp.maximum(uniform, low))
