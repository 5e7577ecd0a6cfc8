"""The parts of a decoder layer, with features on the last axis (prompts) or on the first one (lanes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.lm.config import DecoderConfig, Rotary

Array = jax.Array
Weights = Any
"""A tree of arrays: ``embed [V, E]``, ``positions [P, E]``, ``layers`` (a list of parts), ``norm``, ``head [V, E]``."""


def matmul(equation: str, a: Array, b: Array, *, wide: bool = False) -> Array:
    """Return a contraction; float32 is not rounded to less on the way (GPUs would use TF32).

    ``wide`` keeps the sums of narrower numbers in float32.
    """
    precision = "highest" if a.dtype == jnp.float32 else None
    return jnp.einsum(equation, a, b, precision=precision, preferred_element_type=jnp.float32 if wide else None)


def linear(part: Mapping[str, Array], x: Array, *, lanes: bool = False) -> Array:
    """Return ``W x + b`` over the last axis of ``x``, or over the first where ``lanes``."""
    if lanes:
        y = matmul("oi,ib->ob", part["w"], x)
        return y + part["b"][:, None] if "b" in part else y
    y = matmul("...i,oi->...o", x, part["w"])
    return y + part["b"] if "b" in part else y


def normalised(config: DecoderConfig, part: Mapping[str, Array], x: Array, axis: int = -1) -> Array:
    """Return the root-mean-square or layer normalisation of ``x`` over an axis, computed in float32."""
    h = x.astype(jnp.float32)
    if config.norm == "layer":
        h = h - jnp.mean(h, axis=axis, keepdims=True)
    h = h * jax.lax.rsqrt(jnp.mean(h * h, axis=axis, keepdims=True) + config.norm_epsilon)
    shape = [1] * x.ndim
    shape[axis] = -1
    y = h.astype(x.dtype) * part["scale"].reshape(shape)
    return y + part["bias"].reshape(shape) if "bias" in part else y


def activated(config: DecoderConfig, layer: Weights, x: Array, *, lanes: bool = False) -> Array:
    """Return the feed-forward part of a layer for normalised ``x``."""
    if "gate_up" in layer:
        gate, up = jnp.split(linear(layer["gate_up"], x, lanes=lanes), 2)
        return linear(layer["down"], _activation(config, gate) * up, lanes=lanes)
    up = linear(layer["up"], x, lanes=lanes)
    if not config.gated:
        return linear(layer["down"], _activation(config, up), lanes=lanes)
    gate = _activation(config, linear(layer["gate"], x, lanes=lanes))
    return linear(layer["down"], gate * up, lanes=lanes)


def _activation(config: DecoderConfig, x: Array) -> Array:
    if config.activation == "silu":
        return jax.nn.silu(x)
    return jax.nn.gelu(x, approximate=config.activation == "gelu_tanh")


def angles(rotary: Rotary, positions: Array, long: bool) -> tuple[Array, Array]:
    """Return cosines and sines, ``[n, ...]`` in float32, of positions ``[...]`` for each of ``n`` pairs of features."""
    frequencies = np.asarray(rotary.long_frequencies if long else rotary.frequencies, np.float32)
    shape = (-1,) + (1,) * positions.ndim
    angle = positions.astype(jnp.float32)[None] * frequencies.reshape(shape)
    return rotary.scale * jnp.cos(angle), rotary.scale * jnp.sin(angle)


def rotated(x: Array, cosines: Array, sines: Array, axis: int) -> Array:
    """Rotate pairs ``(i, i + n)`` of the first ``2 n`` features on an axis of ``x``; the rest passes.

    ``cosines`` and ``sines`` have ``n`` rows on the same axis and broadcast on the others.
    """
    n = cosines.shape[axis]
    first, second = (jax.lax.slice_in_dim(x, i * n, (i + 1) * n, axis=axis) for i in range(2))
    a, b = first.astype(jnp.float32), second.astype(jnp.float32)
    turned = [(a * cosines - b * sines).astype(x.dtype), (b * cosines + a * sines).astype(x.dtype)]
    if x.shape[axis] > 2 * n:
        turned.append(jax.lax.slice_in_dim(x, 2 * n, x.shape[axis], axis=axis))
    return jnp.concatenate(turned, axis=axis)


def head_matrix(weights: Weights) -> Array:
    """Return the matrix of the last layer ``[V, E]``."""
    return weights.get("head", weights["embed"])
