"""Coefficients ``(a, sigma)`` of ``Y_t = a X + sigma Z``, written out once more."""

from __future__ import annotations

import math


def ornstein_uhlenbeck(t: float) -> tuple[float, float]:
    """``dX = -X dt + sqrt 2 dB``."""
    return math.exp(-t), math.sqrt(1 - math.exp(-2 * t))


def variance_exploding(t: float) -> tuple[float, float]:
    """``Y = X + t Z``."""
    return 1.0, t


def flow_matching(t: float) -> tuple[float, float]:
    """``Y = (1 - t) X + t Z``."""
    return 1 - t, t
