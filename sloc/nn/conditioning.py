"""What networks are told beside ``y``: the level of noise, the class, and where a token stands."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

Array = jax.Array


class Condition(nnx.Module):
    """An embedding of the log-SNR, by Fourier features, plus one of the label.

    Labels are ``0 .. num_classes``, the last one for no class; without classes there is none.
    """

    def __init__(self, width: int, num_classes: int, *, rngs: nnx.Rngs, features: int = 32) -> None:
        self.frequencies: tuple[float, ...] = tuple(float(0.05 * 1.3**i) for i in range(features // 2))
        self.first: Any = nnx.Linear(features, width, rngs=rngs)
        self.second: Any = nnx.Linear(width, width, rngs=rngs)
        self.labels: Any = nnx.Embed(num_classes + 1, width, rngs=rngs) if num_classes else None

    def __call__(self, log_snr: Array, label: Array | None) -> Array:
        """Return ``[B, width]`` for ``[B]`` levels and labels."""
        phase = log_snr[:, None] * jnp.asarray(self.frequencies, log_snr.dtype)[None, :] * (math.pi / 2)
        seen = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=1)
        out = self.second(jax.nn.silu(self.first(seen)))
        return out if self.labels is None or label is None else out + self.labels(label)


def scaled(features: Array, scale_and_shift: Array) -> Array:
    """Return features ``[B, ..., C]`` scaled and shifted by ``[B, 2 C]``, as adaptive normalisation does."""
    scale, shift = jnp.split(scale_and_shift, 2, axis=-1)
    middle = (1,) * (features.ndim - 2)
    scale, shift = (v.reshape(v.shape[0], *middle, v.shape[-1]) for v in (scale, shift))
    return features * (1.0 + scale) + shift


def places(sides: tuple[int, ...], width: int) -> Array:
    """Return what tokens on a grid are told of where they stand, ``[prod(sides), width]``: sines and cosines.

    Each side has an equal share of the features, at angles that grow in a geometric row from half a turn over the whole
    side to a quarter of a turn from one token to the next; what does not divide is zero.  The mean square is one, that
    of the letters they are added to: with places fifty times smaller, tokens look alike to attention for so long that
    a network learns how frequent letters are and stays there.  Sources: Vaswani et al. 2017; for two sides Peebles &
    Xie 2023.
    """
    count = max(width // (2 * len(sides)), 1)
    parts = []
    for side, where in zip(sides, np.indices(sides), strict=True):
        angles = where.reshape(-1, 1) * np.geomspace(math.pi / max(side, 2), math.pi / 2, count)
        parts += [np.sin(angles), np.cos(angles)]
    found = math.sqrt(2.0) * np.concatenate(parts, axis=1)[:, :width]
    return jnp.asarray(np.pad(found, ((0, 0), (0, width - found.shape[1]))), jnp.float32)
