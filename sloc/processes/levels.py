"""Noise levels: one amount of noise in the units of every schedule, exactly.

Models number their noise by the time of their own schedule, by ``sigma``, by ``alpha-bar``; all are functions of
``log_snr = log(a^2 / sigma^2)``, and it is the level, never a step index, that curves of different models share.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ContractError, GaussianChannel, is_concrete, require, shown
from sloc.contracts.arguments import as_array, checked_choice
from sloc.processes.places import placed

LEVEL_UNITS = ("t", "log_snr", "sigma", "alpha_bar", "ou_time")
"""Units of noise; see :func:`level`."""


def level(schedule: GaussianChannel, t: Any, unit: str) -> Any:
    """Return the noise at a schedule's time ``t`` in another unit, elementwise; exact, float64 off the device.

    Units are ``t``, the schedule's own; ``log_snr``, ``log(a^2 / sigma^2)``; ``sigma``, ``sigma / a``; ``alpha_bar``,
    ``a^2 / (a^2 + sigma^2)``; and ``ou_time``, ``log(1 + sigma^2 / a^2) / 2``, the time of the Ornstein–Uhlenbeck
    process.

    Args:
        schedule: any Gaussian channel.
        t: times; traced ones too.
        unit: one of those above.

    Returns:
        The shape of ``t``.  ``alpha_bar`` and ``ou_time`` are those of the variance preserving schedule with the same
        signal-to-noise ratio, ``sigma`` that of the variance exploding one.

    Raises:
        ContractError: not a Gaussian channel.
        InvalidInput: another unit.

    Source: Kingma et al. 2021 (log-SNR); Karras et al. 2022 (``sigma``); Ho, Jain & Abbeel 2020 (``alpha_bar``).
    """
    _check(schedule, unit)
    t = t if isinstance(t, (int, float)) else as_array(t, "t")
    if unit == "t":
        return t
    host = not isinstance(t, jax.Array) and is_concrete(t, schedule)
    xp: Any = np if host else jnp
    with np.errstate(divide="ignore"):
        a, sigma = schedule.coefficients(np.asarray(t, np.float64)[()] if host else jnp.asarray(t))
        if unit == "log_snr":
            return 2.0 * (xp.log(a) - xp.log(sigma))
        if unit == "sigma":
            return sigma / a
        if unit == "alpha_bar":
            return a**2 / (a**2 + sigma**2)
        return 0.5 * xp.log1p((sigma / a) ** 2)


def time_at(schedule: GaussianChannel, value: Any, unit: str) -> Any:
    """Return the schedule's time at which the noise, in ``unit``, has a value: the inverse of :func:`level`.

    The ``t`` of which ``level(schedule, t, unit) = value``, by way of the log-SNR: ``-2 log sigma``,
    ``log(alpha_bar / (1 - alpha_bar))`` or ``-log(e^{2 ou_time} - 1)``.

    Args:
        schedule: any Gaussian channel with ``time_of_log_snr``.
        value: noise in ``unit``; traced values too.
        unit: as of :func:`level`.

    Returns:
        The shape of ``value``, exact up to rounding; ``inf`` where the schedule never has so much noise.

    Raises:
        ContractError: not a Gaussian channel.
        InvalidInput: another unit, or a concrete value outside the unit's range.

    Source: as of :func:`level`.
    """
    _check(schedule, unit)
    value = value if isinstance(value, (int, float)) else as_array(value, "value")
    if unit == "t":
        return value
    xp, value = placed(value)
    if is_concrete(value) and unit != "log_snr":
        high = 1.0 if unit == "alpha_bar" else np.inf
        inside = bool(np.all((np.asarray(value) >= 0) & (np.asarray(value) <= high)))
        require(inside, "value", value, f"numbers from 0 to {high:g}, in the unit {unit}")
    with np.errstate(divide="ignore"):
        if unit == "sigma":
            value = -2.0 * xp.log(value)
        elif unit == "alpha_bar":
            value = xp.log(value) - xp.log1p(-value)
        elif unit == "ou_time":
            # -log(e^2t - 1), without overflow.
            value = -2.0 * value - xp.log(-xp.expm1(-2.0 * value))
        return schedule.time_of_log_snr(value)


def _check(schedule: GaussianChannel, unit: str) -> None:
    if not isinstance(schedule, GaussianChannel):
        raise ContractError(f"schedule = {shown(schedule)}: expected a GaussianChannel")
    checked_choice(unit, "unit", LEVEL_UNITS)
