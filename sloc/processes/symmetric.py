"""The binary symmetric channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, MemorylessChannel, float_dtype, namespace, require
from sloc.contracts.arguments import as_whole
from sloc.processes.logs import binomial_log_weight


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BinarySymmetric(MemorylessChannel):
    """Every bit is flipped by itself with probability ``t``, ``0 <= t <= 1/2``.

    ``x`` and ``y`` are integer arrays of zeros and ones, of any shape.  With one key the sets of
    flipped bits at different ``t`` are nested.  From ``s`` to ``t`` a bit is flipped with probability
    ``p = (t - s) / (1 - 2 s)``, since ``1 - 2 t = (1 - 2 s)(1 - 2 p)``.

    Source: Shannon's binary symmetric channel.
    """

    horizon: ClassVar[float] = 0.5

    def transition(self, t: Any) -> Any:
        """Return ``[[1 - t, t], [t, 1 - t]]``, ``[2, 2]``; float64 off the device."""
        xp = namespace(t)
        t = t if xp is jnp else np.float64(t)
        return xp.stack([xp.stack([1.0 - t, t]), xp.stack([t, 1.0 - t])])

    def sample(self, key: Array, x: Array, t: Array) -> Array:
        """Draw ``Y_t | X = x``: flip where a uniform number per bit is below ``t``."""
        return _flip(key, x, t)

    def log_prob(self, y: Array, x: Array, t: Array) -> Array:
        """Return ``h log t + (L - h) log(1 - t)``, ``h`` the number of differing bits; ``0 log 0 = 0``.  Exact."""
        t = jnp.asarray(t, float_dtype())
        differ = jnp.sum(y != x, dtype=t.dtype)
        return binomial_log_weight(differ, jnp.size(y) - differ, t)

    def degrade(self, key: Array, y: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_t | Y_s = y``: flip each bit with probability ``(t - s) / (1 - 2 s)``."""
        return _flip(key, y, _between(s, t))

    def bridge(self, key: Array, y: Array, x: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_s | Y_t = y, X = x`` by Bayes' rule per bit.

        A bit of ``Y_s`` differs from ``x`` with probability ``s (1 - p) / t`` where ``y`` differs from
        ``x`` and ``s p / (1 - t)`` where it does not, ``p = (t - s) / (1 - 2 s)``.
        """
        p = _between(s, t)
        flipped = s * (1.0 - p) / jnp.where(jnp.asarray(t) > 0, t, 1.0)
        return _flip(key, x, jnp.where(y != x, flipped, s * p / (1.0 - t)))

    def grid(self, n: int) -> np.ndarray:
        """Return ``n`` times even in capacity ``1 - H_2(t)`` bits, strictly between 0 and 1/2 (float64)."""
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        target = np.arange(1, n + 1) / (n + 1)
        low, high = np.zeros(n), np.full(n, 0.5)
        for _ in range(64):
            middle = 0.5 * (low + high)
            below = _binary_entropy(middle) < target
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)


def _flip(key: Array, bits: Array, probability: Array) -> Array:
    flips = jax.random.uniform(key, jnp.shape(bits), float_dtype()) < probability
    return jnp.where(flips, 1 - bits, bits)


def _between(s: Array, t: Array) -> Array:
    """Return the flip probability from ``s`` to ``t``; at ``s = 1/2`` nothing is left to flip."""
    left = jnp.asarray(1.0 - 2.0 * s, float_dtype())
    return (t - s) / jnp.where(left > 0, left, 1.0)


def _binary_entropy(t: np.ndarray) -> np.ndarray:
    return -(t * np.log2(t) + (1.0 - t) * np.log1p(-t) / np.log(2.0))
