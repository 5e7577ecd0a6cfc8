"""A classifier of noised observations."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sloc.contracts.arguments import checked_whole
from sloc.nn.checks import check_sizes, checked_shape
from sloc.nn.conditioning import Condition, scaled

Array = jax.Array


class NoiseClassifier(nnx.Module):
    """Residual layers on the flattened ``y``, scaled by the level of noise: logits of ``theta`` given ``(y, level)``.

    A layer is ``h <- h + W silu(norm(h) (1 + scale) + shift)``, ``scale`` and ``shift`` linear in the embedding of the
    level.  Source: the library's own; Dhariwal & Nichol 2021 (classifiers of noised data).

    Args:
        shape: the shape of ``X``.
        num_classes: how many classes.
        width: features of a layer.
        depth: how many layers.
        dtype: in which it computes; weights are float32.
        rngs: where the weights are drawn from.

    """

    def __init__(
        self,
        shape: tuple[int, ...],
        num_classes: int,
        *,
        width: int = 256,
        depth: int = 2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = checked_shape(shape)
        check_sizes(rngs, width=width, depth=depth, num_classes=checked_whole(num_classes, "num_classes"))
        self.shape: tuple[int, ...] = shape
        self.num_classes: int = num_classes
        self.condition: Condition = Condition(width, 0, rngs=rngs)
        self.first: Any = nnx.Linear(math.prod(shape), width, dtype=dtype, rngs=rngs)
        self.norms: Any = nnx.List([nnx.LayerNorm(width, dtype=dtype, rngs=rngs) for _ in range(depth)])
        self.scales: Any = nnx.List([nnx.Linear(width, 2 * width, dtype=dtype, rngs=rngs) for _ in range(depth)])
        self.layers: Any = nnx.List([nnx.Linear(width, width, dtype=dtype, rngs=rngs) for _ in range(depth)])
        self.last: Any = nnx.Linear(width, num_classes, dtype=dtype, rngs=rngs)

    def __call__(self, y: Array, log_snr: Array) -> Array:
        """Return logits ``[B, num_classes]``."""
        condition = jax.nn.silu(self.condition(log_snr, None))
        h = self.first(y.reshape(y.shape[0], -1))
        for norm, scale, layer in zip(self.norms, self.scales, self.layers, strict=True):
            h = h + layer(jax.nn.silu(scaled(norm(h), scale(condition))))
        return self.last(h).astype(jnp.float32)
