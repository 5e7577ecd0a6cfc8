"""Continuous-time Markov chains on letters: uniform, absorbing, and any matrix of rates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, float_dtype, is_concrete, require
from sloc.contracts.arguments import as_floats, as_whole, check_size, checked_choice
from sloc.processes.letters import LetterChannel, letter_counts
from sloc.processes.places import placed

_METHODS = ("uniformisation", "expm", "eigh")
_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class UniformCTMC(LetterChannel):
    """Every letter is redrawn uniformly at rate 1, by itself, ``0 <= t < inf``.

    ``P_t = e^-t I + (1 - e^-t) 1 1^T / q``: ``x`` is an integer array of letters ``0 .. q-1``.  With one key the sets
    of letters redrawn at different ``t`` are nested, and a redrawn letter stays the same.  Source: Montanari 2023
    (symmetric process); Austin et al. 2021 (uniform diffusion).

    Attributes:
        num_letters: ``q`` (static).

    """

    num_letters: int = field(metadata={"static": True})

    def validate(self) -> None:
        """Refuse a ``num_letters`` that is not an int of at least 2."""
        check_size(self.num_letters, "num_letters", 2)

    def transition(self, t: Any) -> Any:
        """Return ``e^-t I + (1 - e^-t) / q``, ``[q, q]``; exact, float64 off the device."""
        xp, t = placed(t)
        return xp.exp(-t) * xp.eye(self.num_letters, dtype=t.dtype) - xp.expm1(-t) / self.num_letters

    def sample(self, key: Array, x: Array, t: Array) -> Array:
        """Draw ``Y_t | X = x``: redraw where a uniform number per letter is below ``1 - e^-t``."""
        return self._redraw(key, x, t)

    def log_prob(self, y: Array, x: Array, t: Array) -> Array:
        """Return the log mass from the number of letters that differ; ``0 log 0 = 0``.  Exact."""
        differ, agree = letter_counts(y, x)
        other = -jnp.expm1(-jnp.asarray(t, float_dtype())) / self.num_letters
        log_other = jnp.log(jnp.where(differ > 0, other, 1.0))
        return differ * log_other + agree * jnp.log1p(-(self.num_letters - 1) * other)

    def degrade(self, key: Array, y: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_t | Y_s = y``: redraw each letter with probability ``1 - e^-(t - s)``."""
        return self._redraw(key, y, t - s)

    def grid(self, n: int) -> np.ndarray:
        """Return ``n`` times even in capacity, that of the ``q``-ary symmetric channel (float64)."""
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        target = np.log(self.num_letters) * np.arange(n, 0, -1) / (n + 1)
        low, high = np.full(n, math.log(1e-12)), np.full(n, math.log(60.0))
        for _ in range(80):
            middle = 0.5 * (low + high)
            above = self._capacity(np.exp(middle)) > target
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.exp(0.5 * (low + high))

    def _capacity(self, t: np.ndarray) -> np.ndarray:
        q, other = self.num_letters, -np.expm1(-t) / self.num_letters
        same = 1.0 - (q - 1) * other
        return np.log(q) + same * np.log(same) + (q - 1) * other * np.log(other)

    def _redraw(self, key: Array, letters: Array, t: Array) -> Array:
        key_when, key_what = jax.random.split(key)
        redrawn = jax.random.uniform(key_when, jnp.shape(letters), float_dtype()) < -jnp.expm1(-t)
        fresh = jax.random.randint(key_what, jnp.shape(letters), 0, self.num_letters, jnp.int32)
        return jnp.where(redrawn, fresh.astype(jnp.asarray(letters).dtype), letters)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RateMatrix(LetterChannel):
    """Every letter follows, by itself, the Markov chain with generator ``Q``: ``P_t = e^(tQ)``, ``0 <= t < inf``.

    ``x`` is an integer array of letters ``0 .. q-1``.  Exact up to rounding by one of three methods: uniformisation
    (Jensen 1953: a Poisson mixture of powers of a stochastic matrix, with scaling and squaring; no cancellation, so
    each entry keeps its relative accuracy and impossible letters stay impossible); Pade's ``expm``; ``eigh`` of the
    symmetrised generator where the chain is reversible (one decomposition for all times; entries are off by rounding
    of the largest one).  A time-dependent rate is a :class:`Retimed` chain.  Source: Campbell et al. 2022.

    Attributes:
        rates: ``Q [q, q]``: off the diagonal the rate from letter ``i`` to ``j``; rows sum to zero.
        stationary: ``pi [q]``, positive, with ``pi_i Q_ij = pi_j Q_ji``; needed by ``eigh`` only.
        method: ``uniformisation``, ``expm`` or ``eigh`` (static).

    """

    rates: Any = field(metadata={"dtype": float})
    stationary: Any = field(default=None, metadata={"dtype": float})
    method: str = field(default="uniformisation", metadata={"static": True})

    @classmethod
    def absorbing(cls, num_letters: int, method: str = "uniformisation") -> RateMatrix:
        """Return the chain on ``num_letters + 1`` letters whose last, the mask, absorbs all others at rate 1.

        At ``t`` it is :class:`Masking` with probability ``1 - e^-t``, a hidden letter written as the mask.

        Raises:
            InvalidInput: no number of letters, an unknown method, or ``eigh``, which needs a chain that is reversible.

        """
        check_size(num_letters, "num_letters")
        rates = np.diag(np.append(-np.ones(num_letters), 0.0))
        rates[:-1, -1] = 1.0
        return cls(rates, None, method)._checked()

    @classmethod
    def from_jumps(cls, jumps: Any, method: str = "uniformisation") -> RateMatrix:
        """Return the chain with the given rates off the diagonal (the diagonal of ``jumps`` is not read).

        Raises:
            InvalidInput: not a square matrix of rates, or an unknown method.

        """
        jumps = np.array(as_floats(jumps, "jumps"))
        require(jumps.ndim == 2 and jumps.shape[0] == jumps.shape[1], "jumps", jumps.shape, "a square matrix")
        np.fill_diagonal(jumps, 0.0)
        np.fill_diagonal(jumps, -jumps.sum(axis=1))
        return cls(jumps, None, method)._checked()

    @classmethod
    def reversible(cls, rates: Any) -> RateMatrix:
        """Return the chain with its stationary law found (float64) and the method ``eigh``.

        Raises:
            InvalidInput: the rates are no generator, or the chain is not reversible.

        """
        check_generator(rates)
        q = np.asarray(rates, np.float64)
        pi = np.abs(np.linalg.svd(q.T)[2][-1])
        made = cls(rates, pi / pi.sum(), "eigh")
        made.validate()
        return made

    def _checked(self) -> RateMatrix:
        self.validate()
        return self

    @property
    def num_letters(self) -> int:
        """``q`` (static)."""
        return int(np.shape(self.rates)[0])

    def validate(self) -> None:
        """Refuse rates that are no generator, an unknown method, and ``eigh`` without detailed balance."""
        checked_choice(self.method, "method", _METHODS)
        if is_concrete(self.rates):
            check_generator(self.rates)
        if self.method == "eigh":
            _check_balance(self.rates, self.stationary)

    def transition(self, t: Any) -> Any:
        """Return ``e^(tQ) [q, q]``: by the method on the device, by SciPy's ``expm`` in float64 on the host."""
        xp, t, rates = placed(t, self.rates)
        if xp is np:
            from scipy.linalg import expm

            return _stochastic(expm(float(t) * rates), np)
        if self.method == "uniformisation":
            return uniformised(rates, t)
        if self.method == "expm":
            # Enough squarings for any time that float32 can hold.
            return _stochastic(jax.scipy.linalg.expm(t * rates, max_squarings=128), jnp)
        weight = jnp.sqrt(jnp.asarray(self.stationary, rates.dtype))
        symmetric = rates * (weight[:, None] / weight[None, :])
        values, vectors = jnp.linalg.eigh(0.5 * (symmetric + symmetric.T))
        spread = vectors * jnp.exp(t * jnp.minimum(values, 0.0))[None, :]
        power = jnp.matmul(spread, vectors.T, precision=_HIGHEST)
        return _stochastic(power * (weight[None, :] / weight[:, None]), jnp)

    def _time_range(self) -> tuple[float, float]:
        rates = np.asarray(self.rates, np.float64)
        moves = -np.diagonal(rates)
        gaps = np.abs(np.real(np.linalg.eigvals(rates)))
        slowest = gaps[gaps > 1e-9 * moves.max()].min(initial=moves.max())
        return 1e-4 / moves.max(), 20.0 / slowest


def uniformised(rates: Array, t: Array) -> Array:
    """Return ``e^(tQ)`` as ``(sum_n Poisson(n; a) B^n)^(2^k)``, ``B = I + Q / r``, ``a = r t / 2^k <= 1``.

    ``r`` is the largest rate of leaving a letter.  All terms are nonnegative.  The series is cut where its tail is
    below rounding, and rows are normalised after each squaring.

    Args:
        rates: ``[q, q]``, a generator that is not zero.
        t: a floating scalar, not negative.

    Returns:
        ``[q, q]``.

    """
    eye = jnp.eye(rates.shape[0], dtype=rates.dtype)
    top = jnp.max(-jnp.diagonal(rates))
    base = jnp.maximum(eye + rates / jnp.where(top > 0, top, jnp.ones_like(top)), 0.0)
    amount = (top * t).astype(rates.dtype)
    squarings = jnp.ceil(jnp.log2(jnp.maximum(amount, 1.0)))
    small = amount * jnp.exp2(-squarings)
    terms = 14 if rates.dtype == jnp.float32 else 22

    def horner(step: Array, total: Array) -> Array:
        n = (terms - step).astype(rates.dtype)
        return eye + (small / n) * jnp.matmul(base, total, precision=_HIGHEST)

    series = jax.lax.fori_loop(0, terms, horner, eye)

    def square(_: Array, power: Array) -> Array:
        return _stochastic(jnp.matmul(power, power, precision=_HIGHEST), jnp)

    return jax.lax.fori_loop(0, squarings.astype(jnp.int32), square, _stochastic(series, jnp))


def _stochastic(matrix: Any, xp: Any) -> Any:
    matrix = xp.maximum(matrix, 0.0)
    return matrix / xp.sum(matrix, axis=1, keepdims=True)


def check_generator(rates: Any) -> None:
    """Refuse a matrix that is not the generator of a Markov chain that moves.

    Raises:
        InvalidInput: not square, not finite, a negative rate off the diagonal, rows that do not sum to zero, or all
            rates zero.

    """
    values = as_floats(rates, "rates")
    shape = values.shape
    require(len(shape) == 2 and shape[0] == shape[1] and shape[0] >= 2, "rates", shape, "a matrix [q, q], q >= 2")
    require(bool(np.isfinite(values).all()), "rates", rates, "finite numbers")
    off = values - np.diag(np.diagonal(values))
    if off.min() < 0:
        i, j = np.unravel_index(int(off.argmin()), off.shape)
        require(False, f"rates[{i}, {j}]", float(off[i, j]), "a rate that is not negative, off the diagonal")
    sums, scale = values.sum(axis=1), float(np.abs(values).max())
    require(scale > 0, "rates", rates, "at least one rate that is not zero")
    worst = int(np.abs(sums).argmax())
    require(abs(sums[worst]) <= 1e-5 * scale, f"rates[{worst}] summed", float(sums[worst]), "rows that sum to zero")


def _check_balance(rates: Any, stationary: Any) -> None:
    require(stationary is not None, "stationary", stationary, "the stationary law, which the method eigh needs")
    if not is_concrete(rates, stationary):
        return
    q, pi = np.asarray(rates, np.float64), np.asarray(stationary, np.float64)
    size = q.shape[:1]
    require(pi.shape == size, "stationary", pi.shape, f"shape {q.shape[:1]}, one number per letter")
    positive, whole = bool((pi > 0).all()), float(pi.sum())
    require(positive and abs(whole - 1) < 1e-5, "stationary", stationary, "a positive law")
    flow = pi[:, None] * q
    gap = float(np.abs(flow - flow.T).max())
    expected = "detailed balance, pi_i Q_ij = pi_j Q_ji, which the method eigh needs"
    require(gap <= 1e-5 * float(np.abs(flow).max()), "stationary", f"largest imbalance {gap:.3g}", expected)
