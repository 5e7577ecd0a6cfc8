"""Transformers: a diffusion transformer for images, and one that fills in masked tokens."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sloc.contracts import require
from sloc.nn.checks import check_sizes, checked_shape
from sloc.nn.conditioning import Condition, places, scaled

Array = jax.Array


class Block(nnx.Module):
    """Attention and a layer of features, each with normalisation that a condition may scale."""

    def __init__(self, width: int, heads: int, *, dtype: Any, rngs: nnx.Rngs, conditioned: bool = True) -> None:
        options: dict[str, Any] = dict(dtype=dtype, rngs=rngs)
        self.norms: Any = nnx.List([nnx.LayerNorm(width, **options) for _ in range(2)])
        self.attention: Any = nnx.MultiHeadAttention(heads, width, decode=False, **options)
        self.wide: Any = nnx.Linear(width, 4 * width, **options)
        self.narrow: Any = nnx.Linear(4 * width, width, **options)
        self.scale: Any = nnx.Linear(width, 4 * width, **options) if conditioned else None

    def __call__(self, h: Array, condition: Array | None) -> Array:
        """Return ``[B, L, width]``."""
        first = second = None
        if self.scale is not None and condition is not None:
            first, second = jnp.split(self.scale(condition), 2, axis=-1)
        a = self.norms[0](h)
        h = h + self.attention(a if first is None else scaled(a, first))
        b = self.norms[1](h)
        return h + self.narrow(jax.nn.gelu(self.wide(b if second is None else scaled(b, second))))


class DiT(nnx.Module):
    """A diffusion transformer: patches as tokens, each block scaled by the level and the class.

    A block is ``h <- h + attention(m_1(h))``, then ``h <- h + W gelu(V m_2(h))``, with
    ``m(h) = norm(h) (1 + scale) + shift``.  Source: Peebles & Xie 2023.

    Args:
        shape: ``(height, width)`` or ``(height, width, channels)`` of ``X``.
        num_classes: how many classes; 0 for none.
        patch: side of a patch, which divides height and width.
        width: features of a token, divisible by ``heads``.
        depth: how many blocks.
        heads: of the attention.
        dtype: in which it computes (``jnp.bfloat16`` for mixed precision); weights are float32.
        rngs: where the weights are drawn from.

    Raises:
        InvalidInput: a shape that is no image or that patches do not tile.

    """

    def __init__(
        self,
        shape: tuple[int, ...],
        num_classes: int = 0,
        *,
        patch: int = 2,
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = checked_shape(shape, image=True)
        check_sizes(rngs, num_classes, patch=patch, width=width, depth=depth, heads=heads)
        require(width % heads == 0, "heads", heads, f"a number that divides width = {width}")
        require(shape[0] % patch == 0 and shape[1] % patch == 0, "patch", patch, f"a side that divides {shape[:2]}")
        self.shape: tuple[int, ...] = tuple(shape)
        self.num_classes: int = num_classes
        self.patch: int = patch
        self.channels: int = shape[2] if len(shape) == 3 else 1
        self.rows: int = shape[0] // patch
        self.columns: int = shape[1] // patch
        options: dict[str, Any] = dict(dtype=dtype, rngs=rngs)
        size = patch * patch * self.channels
        self.condition: Condition = Condition(width, num_classes, rngs=rngs)
        self.first: Any = nnx.Linear(size, width, **options)
        self.places: Any = nnx.Param(places((self.rows, self.columns), width))
        self.blocks: Any = nnx.List([Block(width, heads, **options) for _ in range(depth)])
        self.norm: Any = nnx.LayerNorm(width, **options)
        self.last: Any = nnx.Linear(width, size, kernel_init=nnx.initializers.zeros_init(), **options)

    def __call__(self, y: Array, log_snr: Array, label: Array | None = None) -> Array:
        """Return a prediction of the shape of ``y`` (``v`` where trained by :func:`sloc.nn.denoising_loss`)."""
        condition, batch, p = jax.nn.silu(self.condition(log_snr, label)), y.shape[0], self.patch
        tiles = y.reshape(batch, self.rows, p, self.columns, p, self.channels).transpose(0, 1, 3, 2, 4, 5)
        h = self.first(tiles.reshape(batch, self.rows * self.columns, -1)) + self.places[...]
        for block in self.blocks:
            h = block(h, condition)
        out = self.last(self.norm(h)).reshape(batch, self.rows, self.columns, p, p, self.channels)
        return out.transpose(0, 1, 3, 2, 4, 5).reshape(y.shape).astype(y.dtype)


class MaskedTransformer(nnx.Module):
    """A transformer without a direction that gives the law of each masked token.

    A block is ``h <- h + attention(norm(h))``, then ``h <- h + W gelu(V norm(h))``.  Source: Vaswani et al. 2017; Sahoo
    et al. 2024 (for masked diffusion).

    Args:
        length: tokens of a sequence.
        vocabulary: letters ``0 .. vocabulary - 1``; ``vocabulary`` is the mask.
        sides: those of the grid that a sequence is, row by row: ``(8, 8)`` for an image of 64 pixels; default a line.
        width: features of a token, divisible by ``heads``.
        depth: how many blocks.
        heads: of the attention.
        dtype: in which it computes; weights are float32.
        rngs: where the weights are drawn from.

    Raises:
        InvalidInput: sides of a grid of another size.

    """

    def __init__(
        self,
        length: int,
        vocabulary: int,
        *,
        sides: tuple[int, ...] | None = None,
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        check_sizes(rngs, length=length, vocabulary=vocabulary, width=width, depth=depth, heads=heads)
        require(width % heads == 0, "heads", heads, f"a number that divides width = {width}")
        sides = (length,) if sides is None else checked_shape(sides, "sides")
        require(math.prod(sides) == length, "sides", sides, f"sides of a grid of {length} tokens")
        self.length: int = length
        self.vocabulary: int = vocabulary
        self.sides: tuple[int, ...] = sides
        options: dict[str, Any] = dict(dtype=dtype, rngs=rngs)
        self.letters: Any = nnx.Embed(vocabulary + 1, width, **options)
        self.places: Any = nnx.Param(places(self.sides, width))
        self.blocks: Any = nnx.List([Block(width, heads, conditioned=False, **options) for _ in range(depth)])
        self.norm: Any = nnx.LayerNorm(width, **options)
        self.last: Any = nnx.Linear(width, vocabulary, **options)

    def __call__(self, tokens: Array) -> Array:
        """Return logits ``[B, length, vocabulary]`` for tokens ``[B, length]``."""
        h = self.letters(tokens) * math.sqrt(self.letters.features) + self.places[...]
        for block in self.blocks:
            h = block(h, None)
        return self.last(self.norm(h)).astype(jnp.float32)
