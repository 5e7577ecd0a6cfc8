"""Exact edges in float64 NumPy and SciPy, independent of the library: what certified intervals are held against.

Two kinds of models have overlaps that need neither sampling nor the library's closed forms, for sets of any size:
Gaussians on the line (from the roots of the log ratio and the normal distribution function) and coins (the number of
heads is all that matters, so a sum over it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr
from scipy.stats import binom

_NODES = 4001
Members = Sequence[int]


class Model(Protocol):
    """Sub-populations under a process, exactly."""

    @property
    def weights(self) -> np.ndarray:
        """``[K]``."""
        ...

    @property
    def horizon(self) -> float:
        """Largest time."""
        ...

    @property
    def discrete(self) -> bool:
        """Whether times are whole numbers."""
        ...

    def overlap(self, a: Members, b: Members, t: float) -> float:
        """``1 - TV(p_t^a, p_t^b)`` with small relative error, however small."""
        ...

    def tv(self, a: Members, b: Members, t: float) -> float:
        """``TV(p_t^a, p_t^b)`` with small absolute error."""
        ...


@dataclass(frozen=True)
class Line:
    """Mixtures ``sum_i w_i N(m_i, v_i)`` on the line under the Ornstein-Uhlenbeck process.

    Attributes:
        weights: ``[K]``, of the sub-populations.
        means: ``[N]``, of the Gaussians (or atoms).
        variances: ``[N]``; zero for atoms.
        labels: ``[N]``, the sub-population of each, which they share evenly.

    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    labels: np.ndarray
    horizon: float = math.inf
    discrete: bool = False

    def overlap(self, a: Members, b: Members, t: float) -> float:
        mass_a, mass_b = self._masses(a, b, t)
        # Between two roots one density is the smaller throughout, so its mass is.
        return float(np.minimum(mass_a, mass_b).sum())

    def tv(self, a: Members, b: Members, t: float) -> float:
        mass_a, mass_b = self._masses(a, b, t)
        return float(np.abs(mass_a - mass_b).sum() / 2)

    def _set(self, members: Members, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return shares, means and standard deviations of the Gaussians of a set, each ``[n, 1]``."""
        inside = np.isin(self.labels, list(members))
        share = (self.weights / np.bincount(self.labels))[self.labels][inside]
        variance = math.exp(-2 * t) * self.variances[inside] - math.expm1(-2 * t)
        return (share / share.sum())[:, None], math.exp(-t) * self.means[inside][:, None], np.sqrt(variance)[:, None]

    def _masses(self, a: Members, b: Members, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Masses of both sets on the intervals between the roots of their log ratio."""
        sets = [self._set(members, t) for members in (a, b)]

        def ratio(y: np.ndarray) -> np.ndarray:
            left, right = (logsumexp(-0.5 * ((y - m) / s) ** 2 - np.log(s), axis=0, b=w) for w, m, s in sets)
            return left - right

        def mass(w: np.ndarray, m: np.ndarray, s: np.ndarray, ends: np.ndarray) -> np.ndarray:
            z = (ends - m) / s
            # Differences of whichever tail is the lighter do not cancel.
            below, above = np.diff(ndtr(z), axis=1), -np.diff(ndtr(-z), axis=1)
            return (w * np.where(z[:, 1:] + z[:, :-1] > 0, above, below)).sum(axis=0)

        y = np.linspace(
            min((m - 14 * s).min() for _, m, s in sets), max((m + 14 * s).max() for _, m, s in sets), _NODES
        )
        positive = ratio(y) >= 0
        roots = [
            brentq(lambda v: float(ratio(np.array([v]))[0]), y[i], y[i + 1], xtol=1e-14)
            for i in np.flatnonzero(positive[:-1] != positive[1:])
        ]
        # Infinite ends would make infinity minus infinity of the sum above; nothing lies beyond fifty deviations.
        reach = 40 * max(s.max() for *_, s in sets)
        ends = np.array([y[0] - reach, *roots, y[-1] + reach])
        return mass(*sets[0], ends), mass(*sets[1], ends)


@dataclass(frozen=True)
class Coins:
    """Coins of different bias, tossed ``length`` times, the last ``t`` tosses hidden."""

    weights: np.ndarray
    biases: np.ndarray
    length: int
    discrete: bool = True

    @property
    def horizon(self) -> float:
        return float(self.length)

    def overlap(self, a: Members, b: Members, t: float) -> float:
        return float(np.minimum(self._law(a, t), self._law(b, t)).sum())

    def tv(self, a: Members, b: Members, t: float) -> float:
        return float(np.abs(self._law(a, t) - self._law(b, t)).sum() / 2)

    def _law(self, members: Members, t: float) -> np.ndarray:
        seen = self.length - round(t)
        share = self.weights[list(members)] / self.weights[list(members)].sum()
        return share @ binom.pmf(np.arange(seen + 1)[None, :], seen, self.biases[list(members), None])


@dataclass(frozen=True)
class Truth:
    """Exact edges; None where there is none.

    Attributes:
        after: ``T_after``, or ``T_start`` of the theorem.
        before: ``T_before``, or ``T_end``.

    """

    after: float | None
    before: float | None


def crossing(model: Model, gap: Callable[[float], float]) -> float | None:
    """Return the time at which a falling ``gap`` passes zero: None if it is below zero at the start already.

    Discrete times are halved down to the last at which the gap is still at least zero.
    """
    # Densities of atoms are singular at 0 itself.
    start = 0.0 if model.discrete else 1e-9
    if gap(start) < 0:
        return None
    if model.discrete:
        low, high = 0, round(model.horizon)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if gap(middle) >= 0 else (low, middle)
        return float(low)
    high = 1.0
    while gap(high) > 0:
        high *= 2
        if high > 64:
            raise ArithmeticError("no crossing up to t = 64")
    root: Any = brentq(gap, start, high, xtol=1e-13)
    return float(root)


def last_apart(model: Model, a: Members, epsilon: float) -> float | None:
    """``sup {t : TV(p_t^a, p_t^rest) >= 1 - epsilon^2}``, through the overlap, which does not cancel."""
    rest = [k for k in range(len(model.weights)) if k not in set(a)]
    if not rest:
        return math.inf

    def gap(t: float) -> float:
        overlap = model.overlap(a, rest, t)
        return 2 * math.log(epsilon) - (math.log(overlap) if overlap > 0 else -math.inf)

    return crossing(model, gap)


def first_close(model: Model, a: Members, b: Members, epsilon: float) -> float:
    """``inf {t : TV(p_t^a, p_t^b) <= epsilon}``."""
    if set(a) == set(b):
        return 0.0
    step = 1.0 if model.discrete else 0.0

    def gap(t: float) -> float:
        # Equality already is close, but only discrete times can tell.
        return model.tv(a, b, t) - epsilon - (1e-15 if model.discrete else 0.0)

    found = crossing(model, gap)
    return 0.0 if found is None else found + step


def window_truth(model: Model, after: Members, before: Members, epsilon: float) -> Truth:
    """Exact ``T_after`` and ``T_before`` (Li, Karan & Chen 2025, Def. 4)."""
    close, apart = first_close(model, after, before, epsilon), last_apart(model, before, epsilon)
    held = apart is not None and close <= apart
    return Truth(last_apart(model, after, epsilon), close if held else None)


def theorem_truth(model: Model, init: Members, target: Members, epsilon: float) -> Truth:
    """Exact ``T_start`` and ``T_end`` of Theorem 2."""
    return Truth(last_apart(model, target, epsilon), first_close(model, init, target, epsilon))
