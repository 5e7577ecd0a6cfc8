"""Rotary frequencies of every scheme that the supported families use, from a checkpoint's configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.lm.config import Rotary

SCHEMES = ("default", "linear", "llama3", "longrope", "yarn")


def rotary_from(settings: Mapping[str, Any], head_dim: int, max_positions: int) -> Rotary:
    """Return the rotary embedding that a configuration describes.

    ``frequency_i = base^(-2 i / n)`` for ``n`` rotated features, changed by the scheme: ``linear`` divides all by a
    factor; ``llama3`` divides the slow ones and blends between by wavelength (as released with Llama 3.1); ``yarn``
    blends by the number of rotations (Peng et al. 2023, arXiv 2309.00071); ``longrope`` divides each by its own
    number, one set for short and one for long contexts (Ding et al. 2024, arXiv 2402.13753).

    Args:
        settings: of the checkpoint; ``rope_parameters``, or ``rope_theta`` and ``rope_scaling``.
        head_dim: features of a head.
        max_positions: longest context.

    Raises:
        InvalidInput: an unknown scheme, or factors that do not fit; names it.

    """
    scaling = dict(settings.get("rope_parameters") or settings.get("rope_scaling") or {})
    kind = str(scaling.get("rope_type", scaling.get("type", "default")))
    kind = "longrope" if kind == "su" else kind
    require(kind in SCHEMES, "config.json: rope_type", kind, f"one of {', '.join(SCHEMES)}")
    base = float(scaling.get("rope_theta", settings.get("rope_theta", 10000.0)))
    share = float(scaling.get("partial_rotary_factor", settings.get("partial_rotary_factor", 1.0)))
    rotated = int(head_dim * share)
    plain = base ** (-np.arange(0, rotated, 2, dtype=np.float64) / rotated)
    original = int(
        scaling.get("original_max_position_embeddings")
        or settings.get("original_max_position_embeddings")
        or max_positions
    )
    if kind == "linear":
        return Rotary(_tuple(plain / float(scaling["factor"])))
    if kind == "llama3":
        return Rotary(_tuple(_llama3(plain, scaling, original)))
    if kind == "yarn":
        return _yarn(plain, scaling, base, rotated, original, max_positions)
    if kind == "longrope":
        return _longrope(plain, scaling, original, max_positions)
    return Rotary(_tuple(plain))


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _llama3(plain: np.ndarray, scaling: Mapping[str, Any], original: int) -> np.ndarray:
    factor, low, high = (float(scaling[k]) for k in ("factor", "low_freq_factor", "high_freq_factor"))
    length = 2 * math.pi / plain
    share = np.clip((original / length - low) / (high - low), 0.0, 1.0)
    return (1 - share) * plain / factor + share * plain


def _yarn(
    plain: np.ndarray, scaling: Mapping[str, Any], base: float, rotated: int, original: int, longest: int
) -> Rotary:
    factor = float(scaling.get("factor") or longest / original)
    fast, slow = float(scaling.get("beta_fast") or 32), float(scaling.get("beta_slow") or 1)

    def place(rotations: float) -> float:
        return rotated * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low, high = place(fast), place(slow)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotated - 1)
    ramp = np.clip((np.arange(rotated // 2) - low) / max(high - low, 1e-3), 0.0, 1.0)
    scale = scaling.get("attention_factor")
    if scale is None:
        scale = _yarn_scale(factor, scaling.get("mscale"), scaling.get("mscale_all_dim"))
    return Rotary(_tuple(plain / factor * ramp + plain * (1 - ramp)), float(scale))


def _yarn_scale(factor: float, own: float | None, everywhere: float | None) -> float:
    def of(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    return of(own) / of(everywhere) if own and everywhere else of(1.0)


def _longrope(plain: np.ndarray, scaling: Mapping[str, Any], original: int, longest: int) -> Rotary:
    factors = {}
    for name in ("short_factor", "long_factor"):
        factors[name] = np.asarray(scaling[name], np.float64)
        fits = factors[name].shape == plain.shape
        require(fits, f"config.json: {name}", factors[name].shape, f"{plain.size} numbers, one a pair of features")
    factor = float(scaling.get("factor") or longest / original)
    scale = scaling.get("attention_factor")
    if scale is None:
        scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    short, far = (_tuple(plain / factors[name]) for name in ("short_factor", "long_factor"))
    return Rotary(short, float(scale), far, original)
