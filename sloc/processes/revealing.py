"""Channels that hide coordinates and leave the others as they are: masking, ordered masking, truncation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, Revealed, RevealingChannel, backwards, float_dtype, is_concrete, require
from sloc.contracts.arguments import check_size, checked_whole
from sloc.contracts.base import Asked
from sloc.contracts.signal import of_size
from sloc.processes.logs import binomial_log_weight


def _reveal(x: Array, known: Array) -> Revealed:
    return Revealed(jnp.where(known, x, jnp.zeros_like(x)), known)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Masking(RevealingChannel):
    """Every coordinate is hidden by itself with probability ``t``, ``0 <= t <= 1``.

    A pattern has probability ``t^n_hidden (1 - t)^n_seen``.  ``x`` is an array of any shape, of any finite alphabet
    (integers) or continuous.  With one key the sets seen at different ``t`` are nested.  Source: Li, Karan & Chen 2025,
    Ex. 3; Austin et al. 2021 (absorbing state).
    """

    horizon: ClassVar[float] = 1.0
    _asked: ClassVar[Asked] = {**RevealingChannel._asked, "thresholds": ("key", "x")}

    @property
    def time_axis(self) -> str:
        """Words for an axis of times: the share of coordinates hidden."""
        return backwards("share t of coordinates hidden")

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

        checked_whole(length, "length", 0, what="coordinates")
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


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Erasure(RevealingChannel):
    """Coordinate ``l`` is erased by itself with probability ``t^c_l``, ``0 <= t <= 1``: some are lost before others.

    ``P(known) = prod_hidden t^c_l prod_seen (1 - t^c_l)``; with all ``c_l = 1`` it is :class:`Masking`.  ``x`` is an
    array of any shape, of any finite alphabet (integers) or continuous; with one key the sets seen at different ``t``
    are nested.  Source: Montanari 2023 (erasure process, there ``c = 1``); Shannon 1948.

    Attributes:
        exponents: ``c > 0``, a scalar or the shape of ``x``; above 1 a coordinate lasts longer, below 1 it goes sooner.

    """

    horizon: ClassVar[float] = 1.0
    _asked: ClassVar[Asked] = {**RevealingChannel._asked, "thresholds": ("key", "x")}

    exponents: Any = field(default=1.0, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse exponents that are not positive and finite."""
        if is_concrete(self.exponents):
            values = np.asarray(self.exponents, np.float64)
            valid = values.size > 0 and bool((np.isfinite(values) & (values > 0)).all())
            require(valid, "exponents", self.exponents, "positive, finite numbers")

    def thresholds(self, key: Array, x: Array) -> Array:
        """Draw, per coordinate of ``x``, the time from which it is erased: ``U^(1/c)`` on ``(0, 1]``, same shape.

        Raises:
            InvalidInput: ``x`` has another shape than the exponents.

        """
        self._check_shape(x)
        uniform = 1.0 - jax.random.uniform(key, jnp.shape(x), float_dtype())
        return jnp.exp(jnp.log(uniform) / self._exponents(jnp.shape(x)))

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Return ``sum_hidden c log t + sum_seen log(1 - t^c)``, a scalar; ``0 log 0 = 0``.  Exact."""
        t, exponents = jnp.asarray(t, float_dtype()), self._exponents(known.shape)
        # At a time of 0 or 1 the branch that is not taken must be finite, for the sake of gradients.
        hidden = exponents * jnp.log(jnp.where(known, jnp.ones_like(t), t))
        seen = jnp.log1p(-jnp.power(jnp.where(known, t, jnp.full_like(t, 0.5)), exponents))
        return jnp.sum(jnp.where(known, seen, hidden))

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Return ``t^(sum of c)`` over the marked coordinates (float64, exact); None while the exponents are traced."""
        if not is_concrete(self.exponents):
            return None
        marked = np.asarray(coordinates, bool)
        return float(np.float64(t) ** float(np.sum(self._host(marked.shape)[marked])))

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the law of the number of seen coordinates: Poisson-binomial, by convolution (float64, exact)."""
        checked_whole(length, "length", 0, what="coordinates")
        if not is_concrete(self.exponents):
            return None
        law = np.ones(1)
        for hidden in np.float64(t) ** self._host((int(length),)).ravel():
            law = np.append(law * hidden, 0.0) + np.append(0.0, law * (1.0 - hidden))
        return np.arange(int(length) + 1), law

    def degrade(self, key: Array, y: Revealed, s: Array, t: Array) -> Revealed:
        """Draw ``Y_t | Y_s = y``: a seen coordinate is erased with probability ``(t^c - s^c) / (1 - s^c)``."""
        early, late = self._seen_share(s, y.known.shape), self._seen_share(t, y.known.shape)
        stay = jnp.where(early > 0, late / jnp.where(early > 0, early, 1.0), 1.0)
        known = y.known & (jax.random.uniform(key, y.known.shape, float_dtype()) < stay)
        return _reveal(y.values, known)

    def bridge(self, key: Array, y: Revealed, x: Array, s: Array, t: Array) -> Revealed:
        """Draw ``Y_s | Y_t = y, X = x``: what is erased at ``t`` was erased at ``s`` with probability ``(s / t)^c``."""
        ratio = jnp.asarray(s / jnp.where(jnp.asarray(t) > 0, t, 1.0), float_dtype())
        erased = jnp.power(ratio, self._exponents(y.known.shape))
        return _reveal(x, y.known | (jax.random.uniform(key, y.known.shape, float_dtype()) >= erased))

    def _seen_share(self, t: Array, shape: tuple[int, ...]) -> Array:
        return -jnp.expm1(jnp.log(jnp.asarray(t, float_dtype())) * self._exponents(shape))

    def _exponents(self, shape: tuple[int, ...]) -> Array:
        given = jnp.asarray(self.exponents, float_dtype())
        return jnp.broadcast_to(given, shape) if given.ndim == 0 else given.reshape(shape)

    def _host(self, shape: tuple[int, ...]) -> np.ndarray:
        given = np.asarray(self.exponents, np.float64)
        return np.broadcast_to(given, shape) if given.ndim == 0 else given.reshape(shape)

    def _misfit(self, x: Any) -> str:
        given = np.shape(self.exponents)
        if not given:
            return super()._misfit(x)
        return of_size(x, int(np.prod(given, dtype=int)), "Erasure", "exponents")

    def _check_shape(self, x: Array) -> None:
        given = np.shape(self.exponents)
        same = given == () or int(np.prod(given)) == int(np.prod(np.shape(x), dtype=int))
        require(same, "x", np.shape(x), f"shape {given}, that of the exponents")


class _FixedOrder(RevealingChannel):
    """Base of the channels that hide one coordinate per step in an order that is not random."""

    discrete: ClassVar[bool] = True

    def _hidden_from(self) -> Any:
        """Return the step from which each coordinate is hidden, ``[L]``: a permutation of ``1 .. L``."""
        raise NotImplementedError

    def _length(self) -> int:
        return int(self.horizon)

    def _misfit(self, x: Any) -> str:
        return of_size(x, self._length(), type(self).__name__, "steps")

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
    def time_axis(self) -> str:
        """Words for an axis of times: the number of coordinates hidden."""
        return backwards("coordinates hidden t")

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

    ``known_l = 1[l < length - t]``, ``l`` from 0.  Run backwards it is left-to-right autoregression.  Source: Li, Karan
    & Chen 2025, Ex. 4-5.

    Attributes:
        length: the number of coordinates of ``x`` (static).

    """

    reveals_prefix: ClassVar[bool] = True

    length: int = field(metadata={"static": True})

    @property
    def time_axis(self) -> str:
        """Words for an axis of times: the number of coordinates hidden at the end."""
        return backwards("coordinates hidden at the end t")

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The number of steps, ``length``."""
        return self.length

    def validate(self) -> None:
        """Refuse a ``length`` that is not a positive integer."""
        check_size(self.length, "length")

    def _hidden_from(self) -> Any:
        return np.arange(self.length, 0, -1, dtype=np.int32)
