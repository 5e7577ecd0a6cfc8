"""Channels that hide coordinates and leave the others as they are: masking, ordered masking, truncation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, Revealed, RevealingChannel, float_dtype, is_concrete, require
from sloc.processes.logs import binomial_log_weight


def _reveal(x: Array, known: Array) -> Revealed:
    return Revealed(jnp.where(known, x, jnp.zeros_like(x)), known)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Masking(RevealingChannel):
    """Every coordinate is hidden by itself with probability ``t``, ``0 <= t <= 1``.

    ``x`` is an array of any shape, of any finite alphabet (integers) or continuous.  With one key
    the sets seen at different ``t`` are nested.  Source: Li, Karan & Chen 2025, Ex. 3; Austin et al.
    2021 (absorbing state).
    """

    horizon: ClassVar[float] = 1.0

    def thresholds(self, key: Array, x: Array) -> Array:
        """Draw, per coordinate of ``x``, the time from which it is hidden: uniform on ``(0, 1]``, same shape."""
        # uniform() may be 0 but never 1: its complement leaves everything seen at t = 0, nothing at t = 1.
        return 1.0 - jax.random.uniform(key, jnp.shape(x), float_dtype())

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Return ``n_hidden log t + n_seen log(1 - t)``, a scalar; ``0 log 0 = 0``.  Exact."""
        t = jnp.asarray(t, float_dtype())
        seen = jnp.sum(known, dtype=t.dtype)
        return binomial_log_weight(known.size - seen, seen, t)

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float:
        """Return ``t^h``, the probability that all ``h`` marked coordinates are hidden (float64, exact)."""
        return float(np.float64(t) ** int(np.count_nonzero(coordinates)))

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(0 .. length, Binomial(length, 1 - t))``, the law of the number of seen coordinates (float64)."""
        from scipy.stats import binom

        require(int(length) >= 0, "length", length, "a number of coordinates, at least 0")
        counts = np.arange(int(length) + 1)
        return counts, np.asarray(binom.pmf(counts, int(length), 1.0 - float(t)), np.float64)

    def degrade(self, key: Array, y: Revealed, s: Array, t: Array) -> Revealed:
        """Draw ``Y_t | Y_s = y``: each seen coordinate becomes hidden with probability ``(t - s) / (1 - s)``."""
        left = jnp.asarray(1.0 - s, float_dtype())
        hide = (t - s) / jnp.where(left > 0, left, 1.0)
        known = y.known & (jax.random.uniform(key, y.known.shape, float_dtype()) >= hide)
        return _reveal(y.values, known)

    def bridge(self, key: Array, y: Revealed, x: Array, s: Array, t: Array) -> Revealed:
        """Draw ``Y_s | Y_t = y, X = x``: a hidden coordinate was already hidden at ``s`` with probability ``s / t``."""
        stay = s / jnp.where(jnp.asarray(t) > 0, t, 1.0)
        known = y.known | (jax.random.uniform(key, y.known.shape, float_dtype()) >= stay)
        return _reveal(x, known)


class _FixedOrder(RevealingChannel):
    """Base of the channels that hide one coordinate per step in an order that is not random."""

    discrete: ClassVar[bool] = True

    def _hidden_from(self) -> Any:
        """Return the step from which each coordinate is hidden, ``[L]``: a permutation of ``1 .. L``."""
        raise NotImplementedError

    def _length(self) -> int:
        return int(self.horizon)

    def thresholds(self, key: Array | None, x: Array) -> Array:
        """Return the step from which each coordinate of ``x`` is hidden (int32, the shape of ``x``; no randomness).

        Raises:
            InvalidInput: ``x`` does not have as many coordinates as the process has steps.

        """
        size = int(np.prod(np.shape(x), dtype=int))
        require(size == self._length(), "x", np.shape(x), f"{self._length()} coordinates, one per step")
        return jnp.reshape(jnp.asarray(self._hidden_from(), jnp.int32), jnp.shape(x))

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Return 0 for the one pattern that is possible at step ``t`` and ``-inf`` for the others.  Exact."""
        possible = jnp.all(known == (jnp.asarray(t) < self.thresholds(None, known)))
        return jnp.where(possible, jnp.zeros((), float_dtype()), -jnp.inf)

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Return 1 if all marked coordinates are hidden at step ``t``, else 0; None while the order is traced."""
        if not is_concrete(self):
            return None
        steps = np.asarray(self._hidden_from())
        mask = np.ravel(np.asarray(coordinates, bool))
        require(mask.size == steps.size, "coordinates", np.shape(coordinates), f"a mask of {steps.size} coordinates")
        return float(np.all(steps[mask] <= t))

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Return ``([length - t], [1.0])``: exactly ``length - t`` coordinates are seen.

        Raises:
            InvalidInput: ``length`` is not the number of steps.

        """
        require(int(length) == self._length(), "length", length, f"{self._length()}, the number of steps")
        return np.asarray([int(length) - int(t)]), np.ones(1)

    def degrade(self, key: Array, y: Revealed, s: Array, t: Array) -> Revealed:
        """Return ``Y_t`` given ``Y_s = y``: the coordinates of steps ``s + 1 .. t`` become hidden."""
        return _reveal(y.values, y.known & (jnp.asarray(t) < self.thresholds(None, y.known)))

    def bridge(self, key: Array, y: Revealed, x: Array, s: Array, t: Array) -> Revealed:
        """Return ``Y_s`` given ``X = x``, which determines it."""
        return _reveal(x, jnp.asarray(s) < self.thresholds(None, y.known))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OrderedMasking(_FixedOrder):
    """At step ``t`` the coordinates ``order[:t]`` are hidden, ``t = 0 .. len(order)``.

    Run backwards it is autoregression in the order ``order[::-1]``.  Source: Li, Karan & Chen 2025,
    Sect. 2 and Cor. 1-2.

    Attributes:
        order: ``[L]``, a permutation of ``0 .. L-1`` (of the flattened coordinates of ``x``); a leaf,
            so another order does not recompile.

    """

    order: Any

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The number of steps, ``len(order)``."""
        return int(np.shape(self.order)[0])

    def validate(self) -> None:
        """Refuse an ``order`` that is not a permutation."""
        shape = np.shape(self.order)
        require(len(shape) == 1 and shape[0] > 0, "order", shape, "a sequence of at least one coordinate")
        if is_concrete(self):
            order = np.asarray(self.order)
            valid = order.dtype.kind in "iu" and np.array_equal(np.sort(order), np.arange(order.size))
            require(valid, "order", self.order, f"a permutation of 0 .. {order.size - 1}")

    def _hidden_from(self) -> Any:
        if is_concrete(self.order) and not isinstance(self.order, jax.Array):
            return np.argsort(np.asarray(self.order)).astype(np.int32) + 1
        return jnp.argsort(jnp.asarray(self.order)).astype(jnp.int32) + 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Truncation(_FixedOrder):
    """At step ``t`` the last ``t`` coordinates are hidden, ``t = 0 .. length``.

    Run backwards it is left-to-right autoregression.  Source: Li, Karan & Chen 2025, Ex. 4-5.

    Attributes:
        length: the number of coordinates of ``x`` (static).

    """

    reveals_prefix: ClassVar[bool] = True

    length: int = field(metadata={"static": True})

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The number of steps, ``length``."""
        return self.length

    def validate(self) -> None:
        """Refuse a ``length`` that is not a positive integer."""
        valid = isinstance(self.length, (int, np.integer)) and not isinstance(self.length, bool) and self.length > 0
        require(valid, "length", self.length, "a positive int")

    def _hidden_from(self) -> Any:
        return np.arange(self.length, 0, -1, dtype=np.int32)
