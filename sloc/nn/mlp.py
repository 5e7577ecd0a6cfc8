"""A denoiser for vectors: residual layers."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sloc.nn.checks import check_sizes, checked_shape
from sloc.nn.conditioning import Condition, scaled

Array = jax.Array


class MLPDenoiser(nnx.Module):
    """Residual layers on the flattened ``y``, each scaled by the level and the class.

    A layer is ``h <- h + W silu(norm(h) (1 + scale) + shift)``, ``scale`` and ``shift`` linear in the embedding of the
    two.  Source: the library's own.

    Args:
        shape: the shape of ``X``.
        num_classes: how many classes; 0 for none.
        width: features of a layer.
        depth: how many layers.
        dtype: in which it computes (``jnp.bfloat16`` for mixed precision); weights are float32.
        rngs: where the weights are drawn from.

    """

    def __init__(
        self,
        shape: tuple[int, ...],
        num_classes: int = 0,
        *,
        width: int = 256,
        depth: int = 3,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = checked_shape(shape)
        check_sizes(rngs, num_classes, width=width, depth=depth)
        size = math.prod(shape)
        self.shape: tuple[int, ...] = tuple(shape)
        self.num_classes: int = num_classes
        self.dtype: Any = dtype
        self.condition: Condition = Condition(width, num_classes, rngs=rngs)
        self.first: Any = nnx.Linear(size, width, dtype=dtype, rngs=rngs)
        self.norms: Any = nnx.List([nnx.LayerNorm(width, dtype=dtype, rngs=rngs) for _ in range(depth)])
        self.scales: Any = nnx.List([nnx.Linear(width, 2 * width, dtype=dtype, rngs=rngs) for _ in range(depth)])
        self.layers: Any = nnx.List([nnx.Linear(width, width, dtype=dtype, rngs=rngs) for _ in range(depth)])
        self.last: Any = nnx.Linear(width, size, dtype=dtype, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def __call__(self, y: Array, log_snr: Array, label: Array | None = None) -> Array:
        """Return a prediction ``[B, *shape]`` (``v`` where trained by :func:`sloc.nn.denoising_loss`)."""
        condition = jax.nn.silu(self.condition(log_snr, label))
        h = self.first(y.reshape(y.shape[0], -1))
        for norm, scale, layer in zip(self.norms, self.scales, self.layers, strict=True):
            h = h + layer(jax.nn.silu(scaled(norm(h), scale(condition))))
        return self.last(h).reshape(y.shape).astype(y.dtype)
