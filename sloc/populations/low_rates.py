"""Sums over atoms at low rates, all times from a few: where little is told apart, they are smooth in the rate.

With exponents ``e_i(r) = r^2 h_i - r c_i`` and ``m(r) = r^2 h - r c`` their means over the atoms,

    Q(r) = mean_i exp(e_i(r) - m(r))

is an entire function, at least 1 for real ``r`` (Jensen), and ``Q(0) = 1``.  Its polynomial interpolant at ``N + 1``
Chebyshev points of ``[0, r*]`` errs by at most ``4 M rho^-N / (rho - 1)`` if ``|Q| <= M`` within the ellipse of
parameter ``rho`` around that interval (Trefethen 2013, "Approximation theory and approximation practice", Theorem
8.2).  For ``r = x + i y`` there, with ``s`` the largest ``|h_i - h|``,

    |Q(r)| <= exp(max(x^2, y^2) s) P(x),    P(x) = mean_i exp(-x (c_i - c)),

and ``P`` is convex, so its values at both ends of the ellipse bound ``M``: two sums more, and the error is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Sums = Callable[[Array, Array, Array], Array]
_HIGHEST = jax.lax.Precision.HIGHEST

NODES = 10
"""Rates besides 0 at which ``Q`` is formed."""
_POINTS = 0.5 * (1.0 - np.cos(np.pi * np.arange(NODES + 1) / NODES))
_SIGNS = (-1.0) ** np.arange(NODES + 1) * np.where(np.arange(NODES + 1) % NODES == 0, 0.5, 1.0)
_RHO = 8.0
_SEMI_AXIS = 0.25 * (_RHO + 1.0 / _RHO)
_ENDS = np.asarray([0.5 - _SEMI_AXIS, 0.5 + _SEMI_AXIS])
"""Where the ellipse meets the real line, over ``r*``."""
_HOPED = 3.0
"""Rates are tried up to where, for normal noise, ``log P`` is about this at the ellipse's end."""


_LEAST_TOP = 1e-6


def hoped_for(rates: Any, spread: Any) -> Any:
    """Whether rates are so low that an interpolant up to there is worth trying, by the atoms' mean square distance."""
    return 0.5 * (_ENDS[1] * rates) ** 2 * spread < _HOPED


@dataclass(frozen=True)
class LowRates:
    """Rates at which sums over the atoms of a tile are worth interpolating, if that turns out to be exact enough.

    Attributes:
        tried: ``[J]``, which chunks of rates.
        top: the largest of them, ``r*``; tiny where there are none.
        half: ``[B]``, about the mean over the atoms of ``h_i = -|x - x_i|^2 / 2``.
        cross: ``[B]``, about the mean of ``c_i = <z, x - x_i>``.
        count: number of atoms.

    """

    tried: Array
    top: Array
    half: Array
    cross: Array
    count: Array

    @classmethod
    def of(cls, parts: Array, half: Array, cross: Array, count: Array, spread: Array) -> LowRates:
        """Choose among chunks of rates ``[J, c]`` by the atoms' mean square distance from their mean, ``spread``."""
        tops = jnp.max(parts, axis=1)
        tried = hoped_for(tops, spread)
        tried = tried & (jnp.sum(tried.astype(jnp.int32)) * parts.shape[1] > NODES + 2)
        top = jnp.max(jnp.where(tried, tops, jnp.full_like(tops, _LEAST_TOP)))
        return cls(tried, top, half, cross, count)

    def level(self, rates: Array) -> Array:
        """Mean exponent ``m(r)``, ``[T, B]``."""
        r = rates[:, None]
        return r * (r * self.half[None] - self.cross[None])

    def excess(self, sums: Sums, swing: Callable[[], Array]) -> tuple[Array, Array]:
        """Form ``Q - 1`` at the nodes, ``[N, B]``, and say for which chunks its interpolant is exact to rounding.

        Args:
            sums: ``(linear [n], square [n], level [n, B]) -> sum_i exp(square h_i - linear c_i - level) [n, B]``.
            swing: the largest ``|h_i - h|`` about the ``h`` that is given, or a bound of it.

        """
        nodes, ends = (self.top * jnp.asarray(p, self.top.dtype) for p in (_POINTS[1:], _ENDS))

        def formed() -> tuple[Array, Array]:
            levels = jnp.concatenate([self.level(nodes), -ends[:, None] * self.cross[None]])
            square = jnp.concatenate([nodes * nodes, jnp.zeros_like(ends)])
            means = sums(jnp.concatenate([nodes, ends]), square, levels) / self.count
            growth = jnp.max(jnp.max(means[NODES:], axis=0)) * jnp.exp(swing() * jnp.square(ends[1]))
            error = growth * (4.0 * _RHO**-NODES / (_RHO - 1.0))
            exact = error < 2 * jnp.finfo(error.dtype).eps
            # Where it is not, blocks side by side evaluate what follows too, and its derivatives must be finite.
            return jnp.where(exact, means[:NODES] - 1.0, 0.0), exact

        def none() -> tuple[Array, Array]:
            return jnp.zeros((NODES, self.half.shape[0]), self.half.dtype), jnp.asarray(False)

        excess, exact = jax.lax.cond(jnp.any(self.tried), formed, none)
        return excess, self.tried & exact

    def interpolated(self, excess: Array, rates: Array) -> Array:
        """``log sum_i exp(e_i(r))`` for rates of chunks where that is exact, ``[T, B]``; elsewhere some number."""
        weights = _weights(jnp.minimum(rates / self.top, jnp.ones_like(rates)))
        between = jnp.matmul(weights, excess, precision=_HIGHEST)
        return self.level(rates) + (jnp.log1p(between) + jnp.log(self.count))


def _weights(x: Array) -> Array:
    """Weights of all Chebyshev points but 0 in the polynomial's value at ``x [T]``, in (0, 1]; ``[T, N]``."""
    gaps = x[:, None] - jnp.asarray(_POINTS, x.dtype)[None]
    at = gaps == 0
    shares = jnp.asarray(_SIGNS, x.dtype)[None] / jnp.where(at, jnp.ones_like(gaps), gaps)
    weights = shares / jnp.sum(shares, axis=1, keepdims=True)
    return jnp.where(jnp.any(at, axis=1, keepdims=True), at.astype(x.dtype), weights)[:, 1:]
