"""The Poisson process: counts of events whose intensity is the signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, ObservationProcess, float_dtype, require
from sloc.contracts.arguments import as_whole
from sloc.contracts.base import Asked
from sloc.contracts.process import two_ends
from sloc.contracts.signal import below_zero, one_array
from sloc.processes.places import placed


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Poisson(ObservationProcess):
    """``Y_t ~ Poisson(X / t)`` by itself in each coordinate: counts of events over an exposure ``1 / t``.

    ``x`` is an array of intensities that are not negative, ``y`` an int32 array of the same shape, ``0 < t < inf``.
    Forgetting is thinning: each event of ``Y_s`` is kept with probability ``s / t``.  Another exposure ``lambda(t)``
    is a :class:`Retimed` process.  Counts are int32: keep ``x / t`` below 2e9.  Source: Montanari
    2023 (Poisson observation process, exposure ``s = 1 / t``).
    """

    has_density: ClassVar[bool] = True  # not a density, but equally singular at t = 0, where counts are infinite
    exposure_range: ClassVar[tuple[float, float]] = (1e3, 1e-3)
    _like_x: ClassVar[bool] = True
    _asked: ClassVar[Asked] = {**ObservationProcess._asked, "exposure": ("t[]",)}

    def exposure(self, t: Any) -> Any:
        """Return ``1 / t``, elementwise; float64 off the device."""
        _, t = placed(t)
        return 1.0 / t

    def sample(self, key: Array, x: Array, t: Array) -> Array:
        """Draw ``Poisson(x / t)``."""
        return jax.random.poisson(key, self._rate(x, t), dtype=jnp.int32)

    def log_prob(self, y: Array, x: Array, t: Array) -> Array:
        """Return ``sum y log(x / t) - x / t - log y!``; written without cancellation at large counts.  Exact."""
        rate = self._rate(x, t)
        return jnp.sum(-_deviance(y, rate) - _log_normaliser(y, rate.dtype))

    def degrade(self, key: Array, y: Array, s: Array, t: Array) -> Array:
        """Draw ``Binomial(y, s / t)``: thinning."""
        y = jnp.asarray(y)
        counts = y.astype(float_dtype())
        lose = jnp.broadcast_to(jnp.asarray((t - s) / t, counts.dtype), counts.shape)
        return (counts - jax.random.binomial(key, counts, lose, dtype=counts.dtype)).astype(y.dtype)

    def bridge(self, key: Array, y: Array, x: Array, s: Array, t: Array) -> Array:
        """Draw ``y + Poisson(x (1/s - 1/t))``: what was thinned away does not depend on what was kept."""
        lost = self._rate(x, s) * ((t - s) / t)
        return y + jax.random.poisson(key, lost, dtype=jnp.int32)

    def grid(self, n: int, exposure: tuple[float, float] | None = None) -> np.ndarray:
        """Return ``n`` times even in log-exposure, by default from ``exposure_range[0]`` down to ``[1]`` (float64)."""
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        high, low = two_ends(exposure, self.exposure_range, "exposure")
        require(low > 0 and high > 0, "exposure", exposure, "two positive numbers")
        return 1.0 / np.geomspace(high, low, n)

    def _misfit(self, x: Any) -> str:
        words = one_array(x, "Poisson")
        if words:
            return words
        found = below_zero(x)
        return f"intensities that are not negative, under Poisson; {found}" if found else ""

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        inside = bool(((times > 0) & (times < np.inf)).all())
        require(inside, argument, times, "times above 0, where counts are infinite, and below infinity")

    def _rate(self, x: Any, t: Array) -> Array:
        x = jnp.asarray(x)
        x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float_dtype())
        return x / t


def _deviance(y: Array, rate: Array) -> Array:
    """``rate - y + y log(y / rate)`` from the relative gap, so that large counts lose no digits."""
    count = y.astype(rate.dtype)
    gap = (rate - count) / jnp.maximum(count, 1.0)
    # gap - log1p(gap) by its series where the two agree in most digits.
    series = gap * gap * (1 / 2 + gap * (-1 / 3 + gap * (1 / 4 - gap / 5)))
    excess = jnp.where(jnp.abs(gap) < 0.02, series, gap - jnp.log1p(gap))
    return jnp.where(count > 0, count * excess, rate)


def _log_normaliser(y: Array, dtype: Any) -> Array:
    """``log y! - y log y + y``: Stirling's series from 10 on, a table below."""
    count = y.astype(dtype)
    large = jnp.maximum(count, 10.0)
    stirling = 0.5 * jnp.log(2 * math.pi * large) + 1 / (12 * large) - 1 / (360 * large**3)
    return jnp.where(count >= 10.0, stirling, jnp.asarray(_SMALL, dtype)[jnp.clip(y, 0, 9)])


_SMALL = tuple(math.lgamma(k + 1) - (k * math.log(k) if k else 0.0) + k for k in range(10))
