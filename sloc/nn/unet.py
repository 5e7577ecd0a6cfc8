"""A small U-Net for images."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sloc.contracts import require
from sloc.nn.checks import check_sizes, checked_shape
from sloc.nn.conditioning import Condition, scaled

Array = jax.Array


class ResidualBlock(nnx.Module):
    """Two convolutions with normalisation scaled by the condition, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, width: int, *, dtype: Any, rngs: nnx.Rngs) -> None:
        groups = max(g for g in range(1, 9) if inputs % g == 0), max(g for g in range(1, 9) if outputs % g == 0)
        self.norm_in: Any = nnx.GroupNorm(inputs, groups[0], dtype=dtype, rngs=rngs)
        self.norm_out: Any = nnx.GroupNorm(outputs, groups[1], dtype=dtype, rngs=rngs)
        self.conv_in: Any = nnx.Conv(inputs, outputs, (3, 3), dtype=dtype, rngs=rngs)
        self.conv_out: Any = nnx.Conv(outputs, outputs, (3, 3), dtype=dtype, rngs=rngs)
        self.scale: Any = nnx.Linear(width, 2 * outputs, dtype=dtype, rngs=rngs)
        self.shortcut: Any = nnx.Conv(inputs, outputs, (1, 1), dtype=dtype, rngs=rngs) if inputs != outputs else None

    def __call__(self, x: Array, condition: Array) -> Array:
        """Return ``[B, H, W, outputs]``."""
        h = self.conv_in(jax.nn.silu(self.norm_in(x)))
        h = self.conv_out(jax.nn.silu(scaled(self.norm_out(h), self.scale(condition))))
        return h + (x if self.shortcut is None else self.shortcut(x))


class UNet(nnx.Module):
    """Residual blocks at each resolution on the way down, and again, with what was seen there, on the way up.

    A block is ``x + conv(silu(m(conv(silu(norm(x))))))``, ``m(h) = norm(h) (1 + scale) + shift`` by the level and the
    class; where channels change ``x`` goes through a convolution too.  Source: Ronneberger, Fischer & Brox 2015;
    residual blocks told the level as in Ho, Jain & Abbeel 2020.

    Args:
        shape: ``(height, width)`` or ``(height, width, channels)`` of ``X``.
        num_classes: how many classes; 0 for none.
        base: channels at full resolution, doubled at each halving.
        levels: resolutions; height and width are divisible by ``2^(levels - 1)``.
        dtype: in which it computes (``jnp.bfloat16`` for mixed precision); weights are float32.
        rngs: where the weights are drawn from.

    Raises:
        InvalidInput: a shape that is no image or that cannot be halved so often.

    """

    def __init__(
        self,
        shape: tuple[int, ...],
        num_classes: int = 0,
        *,
        base: int = 16,
        levels: int = 2,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = checked_shape(shape, image=True)
        check_sizes(rngs, num_classes, base=base, levels=levels)
        step = 2 ** (levels - 1)
        even = shape[0] % step == 0 and shape[1] % step == 0
        require(even, "shape", shape, f"a height and a width divisible by {step}, for {levels} levels")
        channels = shape[2] if len(shape) == 3 else 1
        self.shape: tuple[int, ...] = tuple(shape)
        self.num_classes: int = num_classes
        self.channels: int = channels
        width = 4 * base
        sizes = [base * 2**i for i in range(levels)]
        options: dict[str, Any] = dict(dtype=dtype, rngs=rngs)
        self.condition: Condition = Condition(width, num_classes, rngs=rngs)
        self.first: Any = nnx.Conv(channels, base, (3, 3), **options)
        self.down: Any = nnx.List([ResidualBlock(c, c, width, **options) for c in sizes])
        pairs = list(itertools.pairwise(sizes))
        self.halve: Any = nnx.List([nnx.Conv(a, b, (2, 2), strides=2, **options) for a, b in pairs])
        self.middle: ResidualBlock = ResidualBlock(sizes[-1], sizes[-1], width, **options)
        self.double: Any = nnx.List([nnx.ConvTranspose(b, a, (2, 2), strides=(2, 2), **options) for a, b in pairs])
        self.up: Any = nnx.List([ResidualBlock(2 * c, c, width, **options) for c in sizes])
        self.norm: Any = nnx.GroupNorm(base, max(g for g in range(1, 9) if base % g == 0), **options)
        self.last: Any = nnx.Conv(base, channels, (3, 3), kernel_init=nnx.initializers.zeros_init(), **options)

    def __call__(self, y: Array, log_snr: Array, label: Array | None = None) -> Array:
        """Return a prediction of the shape of ``y`` (``v`` where trained by :func:`sloc.nn.denoising_loss`)."""
        condition = jax.nn.silu(self.condition(log_snr, label))
        h = self.first(y.reshape(y.shape[0], self.shape[0], self.shape[1], self.channels))
        seen = []
        for i, block in enumerate(self.down):
            h = block(h, condition)
            seen.append(h)
            if i < len(self.halve):
                h = self.halve[i](h)
        h = self.middle(h, condition)
        for i in reversed(range(len(self.up))):
            h = self.up[i](jnp.concatenate([h, seen[i]], axis=-1), condition)
            if i > 0:
                h = self.double[i - 1](h)
        return self.last(jax.nn.silu(self.norm(h))).reshape(y.shape).astype(y.dtype)
