"""Gaussian channels ``Y_t = a(t) X + sigma(t) Z``: diffusion and flow matching.

Each gives its coefficients and their inverse in the log signal-to-noise ratio
``log(a^2 / sigma^2)``; everything else comes from :class:`sloc.GaussianChannel`.  The
forward kernels are written without the difference ``sigma_t^2 - (a_t / a_s)^2 sigma_s^2``, which
loses all digits in float32 when ``s`` is close to ``t``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from sloc.contracts import GaussianChannel, namespace, require


def _on_host_or_device(value: Any) -> tuple[Any, Any]:
    """Return the array namespace and the value in it: float64 unless it is a JAX array."""
    xp = namespace(value)
    return xp, (value if xp is not np else np.asarray(value, np.float64)[()])


def check_finite(times: np.ndarray, argument: str) -> None:
    """Refuse times at which the noise is infinite."""
    require(bool(np.isfinite(times).all()), argument, times, "finite times: the noise grows without bound")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OrnsteinUhlenbeck(GaussianChannel):
    """``dX = -X dt + sqrt(2) dB``: ``a = e^-t``, ``sigma^2 = 1 - e^-2t``, ``0 <= t < inf``.

    Source: Li, Karan & Chen 2025, Ex. 1; Song et al. 2021 (variance preserving SDE).
    """

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return ``(e^-t, sqrt(-expm1(-2 t)))``, elementwise; exact, float64 off the device."""
        xp, t = _on_host_or_device(t)
        return xp.exp(-t), xp.sqrt(-xp.expm1(-2.0 * t))

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return ``t = log(1 + e^-log_snr) / 2``, elementwise; exact at any log-SNR."""
        xp, log_snr = _on_host_or_device(log_snr)
        return 0.5 * xp.logaddexp(xp.zeros_like(log_snr), -log_snr)

    def degrade_law(self, s: Any, t: Any) -> tuple[Any, Any, Any, Any]:
        """As of the family: ``(r, q, a_s, sigma_s)``, ``r`` and ``q`` those of the time between."""
        r, sd = self.coefficients(t - s)
        a_s, sigma_s = self.coefficients(s)
        return r, sd**2, a_s, sigma_s


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VarianceExploding(GaussianChannel):
    """``Y_t = X + t Z``: time is the noise level itself, ``0 <= t < inf``.

    Source: Karras et al. 2022 (EDM), whose ``sigma`` is ``t`` here; in Montanari 2023's stochastic
    localization the precision is ``1 / t^2``.
    """

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return ``(1, t)``, elementwise; exact, float64 off the device."""
        xp, t = _on_host_or_device(t)
        return xp.ones_like(t), t

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        check_finite(times, argument)

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return ``t = e^(-log_snr / 2)``, elementwise."""
        xp, log_snr = _on_host_or_device(log_snr)
        return xp.exp(-0.5 * log_snr)

    def degrade_law(self, s: Any, t: Any) -> tuple[Any, Any, Any, Any]:
        """As of the family: ``(r, q, a_s, sigma_s)``, ``q = (t - s) (t + s)`` without cancellation."""
        a_s, sigma_s = self.coefficients(s)
        return a_s, (t - s) * (t + s), a_s, sigma_s


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class IsotropicGaussian(GaussianChannel):
    """``Y_t = X + B_t``, ``B`` a Brownian motion: the isotropic Gaussian process, ``t`` a variance, ``0 <= t < inf``.

    Stochastic localization observes ``sX + B_s`` with precision ``s`` growing; at ``s = 1 / t`` it is ``Y_t / t``, as
    processes and not only at each time, since ``t B_{1/t}`` is a Brownian motion too.  Source: Montanari 2023
    (isotropic Gaussian); Eldan 2013.
    """

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return ``(1, sqrt(t))``, elementwise; exact, float64 off the device."""
        xp, t = _on_host_or_device(t)
        return xp.ones_like(t), xp.sqrt(t)

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        check_finite(times, argument)

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return ``t = e^-log_snr``, elementwise."""
        xp, log_snr = _on_host_or_device(log_snr)
        return xp.exp(-log_snr)

    def degrade_law(self, s: Any, t: Any) -> tuple[Any, Any, Any, Any]:
        """As of the family: ``(r, q, a_s, sigma_s)``, ``q = t - s`` without cancellation."""
        a_s, sigma_s = self.coefficients(s)
        return a_s, t - s, a_s, sigma_s


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FlowMatching(GaussianChannel):
    """``Y_t = (1 - t) X + t Z``: linear interpolation to noise, ``0 <= t <= 1``.

    Source: Lipman et al. 2023; Liu et al. 2023 (rectified flow), with time from data to noise.  The
    Markov chain with these marginals is the one with kernel ``Y_t | Y_s ~ N(r Y_s, t^2 - r^2 s^2)``,
    ``r = (1 - t) / (1 - s)``.
    """

    horizon: ClassVar[float] = 1.0

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return ``(1 - t, t)``, elementwise; exact, float64 off the device."""
        _, t = _on_host_or_device(t)
        return 1.0 - t, t

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return ``t = 1 / (1 + e^(log_snr / 2))``, elementwise; no overflow at any log-SNR."""
        xp, log_snr = _on_host_or_device(log_snr)
        return xp.exp(-xp.logaddexp(xp.zeros_like(log_snr), 0.5 * log_snr))

    def degrade_law(self, s: Any, t: Any) -> tuple[Any, Any, Any, Any]:
        """As of the family: ``(r, q, a_s, sigma_s)``, ``q`` without cancellation, and the identity at ``s = t = 1``."""
        xp = namespace(s, t)
        a_s, sigma_s = self.coefficients(s)
        # At s = t = 1 nothing is left of X and the kernel is the identity, not 0 / 0.
        safe = xp.where(a_s > 0, a_s, xp.ones_like(a_s))
        share = xp.where(a_s > 0, (t - s) / safe, xp.zeros_like(a_s))
        r = 1.0 - share
        return r, share * (t + r * s), a_s, sigma_s
