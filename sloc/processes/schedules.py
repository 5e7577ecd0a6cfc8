"""Noise schedules of trained diffusion models, as Gaussian channels in the model's own time.

A variance preserving schedule with betas is the Ornstein–Uhlenbeck process in another time, ``u(t) = -log(alpha-bar(t))
/ 2``; a variance exploding one is :class:`~sloc.processes.VarianceExploding` at ``u = sigma(t)``.  So a schedule is a
:class:`~sloc.processes.Retimed` channel, whose clock is exact in both directions, and everything that takes a Gaussian
channel takes it.  Flow matching is :class:`~sloc.processes.FlowMatching` as it stands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from sloc.contracts import GaussianChannel, InvalidInput, check_registered, is_concrete, require, shown
from sloc.contracts.arguments import as_real, checked_number, is_one_of
from sloc.processes.axes import log_snr
from sloc.processes.clocks import Clock, Table
from sloc.processes.gaussian import OrnsteinUhlenbeck, VarianceExploding
from sloc.processes.places import placed
from sloc.processes.retimed import Retimed

LEAST_NOISE = 0.01
"""A schedule ends in noise if at its last time ``a^2 / sigma^2`` is at most this; Stable Diffusion's is 0.0047."""
_STEPS = 1000
"""Steps of a table of betas that has a name."""


class _UnitInterval(Clock):
    """A clock on ``0 <= t <= 1``."""

    def end(self, horizon: float) -> float:
        """Return 1."""
        return 1.0

    def span(self) -> tuple[float, float]:
        """Return ``u(0)`` and ``u(1)``."""
        return float(self(0.0)), float(self(1.0))

    def _up_to_the_end(self, xp: Any, u: Any, t: Any) -> Any:
        """Return ``t``, or ``inf`` where ``u`` lies beyond ``u(1)``."""
        return xp.where(u > self(xp.ones_like(u)), xp.inf, t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearBetas(_UnitInterval):
    """``u = int_0^t beta / 2`` with ``beta(t) = first + t (last - first)``, ``0 <= t <= 1``.

    Source: Ho, Jain & Abbeel 2020 (1,000 steps of ``beta / 1000``); Song et al. 2021 (VP SDE).

    Attributes:
        first: ``beta(0)``, positive.
        last: ``beta(1)``, larger.

    """

    first: Any = field(default=0.1, metadata={"dtype": float})
    last: Any = field(default=20.0, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse betas that are not positive and increasing."""
        _check_range(self.first, self.last)

    def __call__(self, t: Any) -> Any:
        """Return ``t first / 2 + t^2 (last - first) / 4``; exact."""
        _, t, first, last = placed(t, self.first, self.last)
        return 0.5 * t * first + 0.25 * t * t * (last - first)

    def inverse(self, u: Any) -> Any:
        """Return the root of the quadratic, without cancellation; ``inf`` beyond ``u(1)``."""
        xp, u, first, last = placed(u, self.first, self.last)
        t = 4.0 * u / (first + xp.sqrt(first * first + 4.0 * (last - first) * u))
        return self._up_to_the_end(xp, u, t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ScaledLinearBetas(_UnitInterval):
    """``u = int_0^t beta / 2`` with ``sqrt(beta(t))`` linear from ``sqrt(first)`` to ``sqrt(last)``, ``0 <= t <= 1``.

    Source: Rombach et al. 2022 (latent diffusion: 1,000 steps of ``beta / 1000``).

    Attributes:
        first: ``beta(0)``, positive.
        last: ``beta(1)``, larger.

    """

    first: Any = field(default=0.85, metadata={"dtype": float})
    last: Any = field(default=12.0, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse betas that are not positive and increasing."""
        _check_range(self.first, self.last)

    def __call__(self, t: Any) -> Any:
        """Return ``(r^2 t + r d t^2 + d^2 t^3 / 3) / 2``, ``r = sqrt(first)``, ``d = sqrt(last) - r``; exact."""
        xp, t, first, last = placed(t, self.first, self.last)
        r = xp.sqrt(first)
        d = xp.sqrt(last) - r
        return 0.5 * t * (r * r + r * d * t + d * d * t * t / 3.0)

    def inverse(self, u: Any) -> Any:
        """Return ``6 u / (c^2 + c r + r^2)``, ``c^3 = r^3 + 6 d u``; ``inf`` beyond ``u(1)``."""
        xp, u, first, last = placed(u, self.first, self.last)
        r = xp.sqrt(first)
        c = xp.cbrt(r**3 + 6.0 * (xp.sqrt(last) - r) * u)
        return self._up_to_the_end(xp, u, 6.0 * u / (c * c + c * r + r * r))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CosineBetas(_UnitInterval):
    """``alpha-bar(t) = cos(phi(t))^2 / cos(phi(0))^2``, ``phi = (t + offset) / (1 + offset) pi / 2``.

    ``0 <= t <= 1``.  Nothing of the signal is left at ``t = 1``.  Source: Nichol & Dhariwal 2021.

    Attributes:
        offset: a small positive number.

    """

    offset: Any = field(default=0.008, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse an offset that is not positive and finite."""
        if is_concrete(self.offset):
            value = as_real(self.offset)
            require(math.isfinite(value) and value > 0, "offset", self.offset, "a positive number")

    def _slope(self, xp: Any, offset: Any) -> tuple[Any, Any]:
        scale = 0.5 * math.pi / (1.0 + offset)
        return scale, xp.tan(scale * offset)

    def __call__(self, t: Any) -> Any:
        """Return ``-log(cos phi(t) / cos phi(0))``, as ``-log1p`` of a small number for small ``t``; exact."""
        xp, t, offset = placed(t, self.offset)
        scale, slope = self._slope(xp, offset)
        lost = 2.0 * xp.sin(0.5 * scale * t) ** 2 + slope * xp.sin(scale * t)
        with np.errstate(divide="ignore"):
            return -xp.log1p(-xp.minimum(lost, xp.ones_like(lost)))

    def inverse(self, u: Any) -> Any:
        """Return ``t``, from the tangent of the half angle ``(phi - phi(0)) / 2``; exact."""
        xp, u, offset = placed(u, self.offset)
        scale, slope = self._slope(xp, offset)
        lost, left = -xp.expm1(-u), xp.exp(-u)
        half = lost / (slope + xp.sqrt(slope * slope + (1.0 + left) * lost))
        return 2.0 * xp.arctan(half) / scale


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GeometricSigmas(_UnitInterval):
    """``u = sigma(t) = first (last / first)^t``, ``0 <= t <= 1``.

    At ``t = 0`` the noise ``first`` is there already.  Source: Song et al. 2021 (VE SDE).

    Attributes:
        first: ``sigma(0)``, positive.
        last: ``sigma(1)``, larger.

    """

    first: Any = field(default=0.01, metadata={"dtype": float})
    last: Any = field(default=50.0, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse sigmas that are not positive and increasing."""
        _check_range(self.first, self.last)

    def __call__(self, t: Any) -> Any:
        """Return ``first (last / first)^t``; exact."""
        xp, t, first, last = placed(t, self.first, self.last)
        return first * xp.exp(t * xp.log(last / first))

    def inverse(self, u: Any) -> Any:
        """Return ``log(u / first) / log(last / first)``; 0 below ``first``, ``inf`` beyond ``last``."""
        xp, u, first, last = placed(u, self.first, self.last)
        t = xp.log(xp.maximum(u, first) / first) / xp.log(last / first)
        return self._up_to_the_end(xp, u, t)


def _check_range(first: Any, last: Any) -> None:
    if is_concrete(first, last):
        low, high = as_real(first), as_real(last)
        require(math.isfinite(low) and low > 0, "first", first, "a positive number")
        increasing = math.isfinite(high) and high > low
        require(increasing, "last", last, f"a number above first, {low:g}: noise grows with time")


# --------------------------------------------------------------------------------------------
# Schedules
# --------------------------------------------------------------------------------------------

_CLOCKS = {"linear": LinearBetas, "scaled_linear": ScaledLinearBetas}


def variance_preserving(
    betas: str = "linear", first: float | None = None, last: float | None = None, offset: float = 0.008
) -> GaussianChannel:
    """Return a variance preserving schedule in continuous time, ``a^2 = alpha-bar(t)``, ``sigma^2 = 1 - a^2``.

    ``alpha-bar(t) = exp(-int_0^t beta)``, where ``beta`` (``linear``) or its root (``scaled_linear``) is linear in
    ``t``; ``cos(phi(t))^2 / cos(phi(0))^2`` with ``phi = (t + offset) / (1 + offset) pi / 2`` (``cosine``).

    Args:
        betas: ``linear``, ``scaled_linear`` or ``cosine``.
        first: ``beta(0)`` of the first two; default 0.1 and 0.85.
        last: ``beta(1)`` of the first two; default 20 and 12.
        offset: of ``cosine``.

    Returns:
        A Gaussian channel on ``0 <= t <= 1``, exact in both directions of its clock.

    Raises:
        InvalidInput: another name, betas that are not positive and increasing, or that do not end in noise.

    Source: Song et al. 2021; Rombach et al. 2022; Nichol & Dhariwal 2021.

    """
    require(is_one_of(betas, (*_CLOCKS, "cosine")), "betas", betas, "linear, scaled_linear or cosine")
    if betas == "cosine":
        require(first is None and last is None, "first, last", (first, last), "None: cosine has an offset alone")
        clock: Clock = CosineBetas(checked_number(offset, "offset", 0))
    else:
        given = {name: value for name, value in (("first", first), ("last", last)) if value is not None}
        clock = _CLOCKS[betas](**given)
    return _schedule(OrnsteinUhlenbeck(), clock)


def variance_exploding(first: float = 0.01, last: float = 50.0) -> GaussianChannel:
    """Return the schedule ``Y_t = X + sigma(t) Z``, ``sigma = first (last / first)^t``, ``0 <= t <= 1``.

    Args:
        first: noise at ``t = 0``.
        last: noise at ``t = 1``.

    Returns:
        The schedule, a Gaussian channel, exact in both directions of its clock.

    Raises:
        InvalidInput: sigmas that are not positive and increasing, or that do not end in noise.

    Source: Song et al. 2021.

    """
    return _schedule(VarianceExploding(), GeometricSigmas(first, last))


def tabulated(*, betas: Any = None, alpha_bars: Any = None, sigmas: Any = None) -> GaussianChannel:
    """Return the schedule of a model that was trained on ``N`` steps of noise; give one of the three arrays.

    Time is the number of steps, ``0 <= t <= N``: at ``t = 0`` there is no noise, and step ``n`` of the table (of
    ``0 .. N - 1``, the number that the network takes) is ``t = n + 1``, exactly.  Between steps ``u`` is interpolated
    linearly: constant betas within a step; sigmas that grow evenly.  ``a^2 = alpha-bar_n = prod_{i <= n} (1 - beta_i)``
    and ``sigma^2 = 1 - a^2`` at step ``n``, but ``a = 1`` where sigmas are given.

    Args:
        betas: ``[N]`` in (0, 1), or the name of 1,000 of them as DDPM and its kin have: ``linear``, evenly from 1e-4 to
            0.02; ``scaled_linear``, square roots evenly, from 0.00085 to 0.012; ``cosine``,
            ``1 - alpha-bar(n / N) / alpha-bar((n - 1) / N)``, at most 0.999.
        alpha_bars: ``[N]`` in (0, 1), strictly decreasing.
        sigmas: ``[N]`` positive, strictly increasing, of ``Y = X + sigma Z``.

    Returns:
        A Gaussian channel on ``0 <= t <= N``.

    Raises:
        InvalidInput: none or several of them, another name, numbers outside their range, not monotone, or not ending in
            noise.

    Source: Ho, Jain & Abbeel 2020; Rombach et al. 2022; Nichol & Dhariwal 2021.

    """
    given = {"betas": betas, "alpha_bars": alpha_bars, "sigmas": sigmas}
    chosen = [name for name, value in given.items() if value is not None]
    require(len(chosen) == 1, "betas, alpha_bars, sigmas", chosen, "exactly one of them")
    name = chosen[0]
    named = name == "betas" and isinstance(betas, str)
    values = _named_betas(betas) if named else _numbers(name, given[name])
    if name == "sigmas":
        require(bool((values > 0).all()), name, given[name], "positive numbers")
        require(bool((np.diff(values) > 0).all()), name, given[name], "strictly increasing numbers: noise grows")
        inner: GaussianChannel = VarianceExploding()
        old = values
    else:
        require(bool(((values > 0) & (values < 1)).all()), name, given[name], "numbers strictly between 0 and 1")
        inner = OrnsteinUhlenbeck()
        if name == "betas":
            old = -0.5 * np.cumsum(np.log1p(-values))
        else:
            falls = bool((np.diff(values) < 0).all())
            require(falls, name, given[name], "strictly decreasing numbers: signal is lost")
            old = -0.5 * np.log(values)
    return _schedule(inner, Table(np.arange(values.size + 1.0), np.concatenate([[0.0], old])), name)


def _named_betas(name: str) -> np.ndarray:
    require(is_one_of(name, (*_CLOCKS, "cosine")), "betas", name, "numbers, or linear, scaled_linear or cosine")
    if name == "cosine":
        with np.errstate(invalid="ignore"):
            u = np.asarray(CosineBetas()(np.linspace(0.0, 1.0, _STEPS + 1)), np.float64)
        return np.minimum(-np.expm1(-2.0 * np.diff(u)), 0.999)
    if name == "linear":
        return np.linspace(1e-4, 0.02, _STEPS)
    return np.linspace(math.sqrt(0.00085), math.sqrt(0.012), _STEPS) ** 2


def check_ends_in_noise(schedule: GaussianChannel, argument: str = "schedule") -> None:
    """Refuse a schedule at whose last time too much of a signal of unit variance is left.

    Args:
        schedule: a Gaussian channel.
        argument: its name in the message.

    Raises:
        ContractError: not a Gaussian channel.
        InvalidInput: ``a^2 / sigma^2`` there is above ``LEAST_NOISE``.

    """
    check_registered(schedule, argument, GaussianChannel)
    if is_concrete(schedule) and math.isfinite(float(schedule.horizon)):
        left = math.exp(float(log_snr(schedule, float(schedule.horizon))))
        expected = f"one that ends in noise: a^2 / sigma^2 at most {LEAST_NOISE:g} at its last time, not {left:.3g}"
        require(left <= LEAST_NOISE, argument, schedule, expected)


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        values = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{name} = {shown(value)}: expected numbers") from error
    require(values.ndim == 1 and values.size > 0, name, value, "a non-empty one-dimensional array")
    require(bool(np.isfinite(values).all()), name, value, "finite numbers")
    return values


def _schedule(inner: GaussianChannel, clock: Clock, argument: str = "schedule") -> GaussianChannel:
    made: Any = Retimed(inner, clock)
    made.validate()
    check_ends_in_noise(made, argument)
    return made
