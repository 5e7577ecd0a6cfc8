"""A process in another time, a member of the same family."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from sloc.contracts import (
    Array,
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    Observation,
    ObservationProcess,
    RevealingChannel,
    is_concrete,
    require,
    tells_of_thresholds,
)
from sloc.contracts.arguments import as_whole
from sloc.processes.clocks import Clock, Function


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Retimed(ObservationProcess):
    """``Y_t`` is the observation of another process at the time ``u(t)``, ``u`` strictly increasing.

    ``P_t(y | x) = P^inner_{u(t)}(y | x)``.  Law, Markov chain and bridge are the inner process's.  A Gaussian, linear
    Gaussian, revealing or memoryless channel stays one (``Retimed(...)`` makes an object of that family), so every
    shortcut still applies.  Source: textbook (time change of a Markov process).

    Args:
        process: the process.
        clock: :class:`Power`, :class:`Table`, :class:`Function`; :class:`Steps` in discrete time.

    """

    process: Any
    clock: Any

    def __new__(cls, process: Any = None, clock: Any = None, **_: Any) -> Retimed:
        """Make an object of the class of the inner process's family."""
        return object.__new__(_variant(process) if cls is Retimed else cls)

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The new time of the inner horizon; ``inf`` while the clock's parameters are traced."""
        return self.clock.end(self.process.horizon) if is_concrete(self) else math.inf

    @property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the clock counts steps."""
        return self.clock.discrete

    @property
    def has_density(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner process's."""
        return self.process.has_density

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the inner process lacks."""
        return lacking(self.process)

    def validate(self) -> None:
        """Refuse what is no process or no clock, a clock of the other kind of time or beyond the horizon."""
        require(isinstance(self.process, ObservationProcess), "process", self.process, "an observation process")
        require(isinstance(self.clock, Clock), "clock", self.clock, "a clock: Power, Table, Steps or Function")
        self.process.validate()
        self.clock.validate()
        kind = "Steps: the process's time is discrete" if self.process.discrete else "not Steps: time is continuous"
        require(self.clock.discrete == self.process.discrete, "clock", self.clock, kind)
        if not is_concrete(self):
            return
        if isinstance(self.clock, Function):
            self.clock.check_on(np.asarray(self.process.grid(33), np.float64), float(self.process.horizon))
        last, horizon = self.clock(self.horizon) if math.isfinite(self.horizon) else 0.0, float(self.process.horizon)
        beyond = f"times up to the horizon of the process, {horizon:g}"
        require(float(last) <= horizon * (1 + 1e-6), "clock", f"last time {float(last):g}", beyond)

    def sample(self, key: Array, x: Any, t: Array) -> Observation:
        """Draw the inner ``Y_u | X = x``."""
        return self.process.sample(key, x, self.clock(t))

    def log_prob(self, y: Observation, x: Any, t: Array) -> Array:
        """Log density or mass of the inner observation at ``u``."""
        return self.process.log_prob(y, x, self.clock(t))

    def degrade(self, key: Array, y: Observation, s: Array, t: Array) -> Observation:
        """Draw the inner ``Y_u(t) | Y_u(s) = y``."""
        return self.process.degrade(key, y, self.clock(s), self.clock(t))

    def bridge(self, key: Array, y: Observation, x: Any, s: Array, t: Array) -> Observation:
        """Draw the inner ``Y_u(s) | Y_u(t) = y, X = x``."""
        return self.process.bridge(key, y, x, self.clock(s), self.clock(t))

    def _misfit(self, x: Any) -> str:
        return self.process._misfit(x)

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        if is_concrete(self):
            self.clock._check_at(times, argument)
            self.process._check_times(np.asarray(self.clock(times)), argument)

    def grid(self, n: int) -> np.ndarray:
        """Return the new times of the inner grid; in discrete time all steps, thinned to at most ``n``."""
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        if self.discrete:
            return np.unique(np.round(np.linspace(0, int(self.horizon), n)).astype(np.int32))
        low, high = self.clock.span()
        inner = np.asarray(self.process.grid(n), np.float64)
        if inner[0] >= low and inner[-1] <= high:
            return np.minimum(np.asarray(self.clock.inverse(inner), np.float64), self.horizon)
        # The clock stops short of the inner grid's ends: take the inner grid's spacing from what is reached.
        fine = np.asarray(self.process.grid(4096), np.float64)
        fine = fine[(fine >= low) & (fine <= high)]
        knots = np.concatenate([[low] if low > 0 else [], fine[fine > low], [high] if fine[-1] < high else []])
        chosen = np.interp(np.linspace(0, knots.size - 1, n + 2)[1:-1], np.arange(knots.size), knots)
        return np.asarray(self.clock.inverse(chosen), np.float64)


def lacking(*processes: Any) -> frozenset[str]:
    """Return the methods that some of the processes cannot follow."""
    methods = ("log_prob", "degrade", "bridge")
    return frozenset(m for m in methods for p in processes if not _follows(p, m))


def _follows(process: Any, method: str) -> bool:
    own = getattr(type(process), method, None)
    return own is not getattr(ObservationProcess, method) and method not in process.absent


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
# `has_density` is the family's, which is also the inner one's.
class RetimedGaussian(GaussianChannel, Retimed):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A :class:`Retimed` Gaussian channel: a Gaussian channel."""

    @property
    def log_snr_range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner range, as far as the clock reaches."""
        high, low = self.process.log_snr_range
        return _reached(self.clock, high, low, lambda u: _log_snr(self.process, u))

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return the inner coefficients at ``u(t)``."""
        return self.process.coefficients(self.clock(t))

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the new time of the inner time of ``log_snr``; ``inf`` where the clock does not reach it."""
        return self.clock.inverse(self.process.time_of_log_snr(log_snr))

    def degrade_law(self, s: Array, t: Array) -> tuple[Array, Array, Array, Array]:
        """As of the family: ``(r, q, a_s, sigma_s)``, at the inner times."""
        return self.process.degrade_law(self.clock(s), self.clock(t))


def _log_snr(process: GaussianChannel, u: float) -> float:
    a, sigma = (np.float64(v) for v in process.coefficients(u))
    with np.errstate(divide="ignore"):
        return float(2.0 * (np.log(a) - np.log(sigma)))


def _reached(clock: Clock, high: float, low: float, log_snr: Any) -> tuple[float, float]:
    first, last = clock.span()
    top = min(high, log_snr(first)) if first > 0 else high
    bottom = max(low, log_snr(last)) if math.isfinite(last) else low
    # A little inside, so that rounding does not carry an end out of reach.
    margin = 1e-6 * (top - bottom)
    return (top - margin * (top < high), bottom + margin * (bottom > low))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
# `has_density` is the family's, which is also the inner one's.
class RetimedLinearGaussian(LinearGaussianChannel, Retimed):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A :class:`Retimed` linear Gaussian channel: a linear Gaussian channel."""

    @property
    def scalar_kernel(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner channel's."""
        return self.process.scalar_kernel

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the inner channel lacks."""
        return lacking(self.process)

    @property
    def log_snr_range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner range, as far as the clock reaches."""
        from sloc.processes.axes import log_snr

        high, low = self.process.log_snr_range
        return _reached(self.clock, high, low, lambda u: float(log_snr(self.process, u)))

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return the inner matrices at ``u(t)``."""
        return self.process.matrices(self.clock(t))

    def noise_root(self, t: Any) -> Any:
        """Return the inner root at ``u(t)``."""
        return self.process.noise_root(self.clock(t))

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return the inner kernel from ``u(s)`` to ``u(t)``."""
        return self.process.kernel(self.clock(s), self.clock(t))

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the new time of the inner time of ``log_snr``; ``inf`` where the clock does not reach it."""
        return self.clock.inverse(self.process.time_of_log_snr(log_snr))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RetimedRevealing(RevealingChannel, Retimed):
    """A :class:`Retimed` revealing channel: a revealing channel."""

    @property
    def reveals_prefix(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner channel's."""
        return self.process.reveals_prefix

    def thresholds(self, key: Array, x: Array) -> Array:
        """Return the new times of the inner thresholds; beyond the last time where the clock does not reach them."""
        return self.clock.inverse(self.process.thresholds(key, x))

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Return the inner log probability of the pattern at ``u(t)``."""
        return self.process.log_mask_prob(known, self.clock(t))

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Return the inner probability at ``u(t)`` (host); None while the clock's parameters are traced."""
        if not is_concrete(self.clock) or not tells_of_thresholds(self.process, "hidden_probability"):
            return None
        return self.process.hidden_probability(coordinates, self.clock(t))

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the inner law at ``u(t)`` (host); None while the clock's parameters are traced."""
        if not is_concrete(self.clock) or not tells_of_thresholds(self.process, "count_law"):
            return None
        return self.process.count_law(length, self.clock(t))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RetimedMemoryless(MemorylessChannel, Retimed):
    """A :class:`Retimed` memoryless channel: a memoryless channel."""

    def transition(self, t: Any) -> Any:
        """Return the inner transition matrix at ``u(t)``."""
        return self.process.transition(self.clock(t))


_FAMILIES: tuple[tuple[type, type[Retimed]], ...] = (
    (GaussianChannel, RetimedGaussian),
    (LinearGaussianChannel, RetimedLinearGaussian),
    (RevealingChannel, RetimedRevealing),
    (MemorylessChannel, RetimedMemoryless),
)


def _variant(process: Any) -> type[Retimed]:
    for family, made in _FAMILIES:
        if isinstance(process, family):
            return made
    return Retimed
