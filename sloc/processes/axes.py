"""Common time axes, on which curves of different processes can be laid over each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import (
    ContractError,
    GaussianChannel,
    LinearGaussianChannel,
    ObservationProcess,
    check_registered,
    require,
    shown,
)
from sloc.contracts.arguments import as_floats
from sloc.processes.counts import Poisson
from sloc.processes.permuted import Permuted
from sloc.processes.retimed import Retimed


def raw_time(process: ObservationProcess, t: Any) -> np.ndarray:
    """Return the times themselves, exact in float64, checked against the process's range ``[0, horizon]``.

    The axis ``s(t) = t``, for comparison with those on which processes can be compared.

    Args:
        process: the process.
        t: one time or an array of times.

    Returns:
        The shape of ``t``.

    Raises:
        InvalidInput: times that are not numbers inside the range.

    Source: the process's own time, Li, Karan & Chen 2025, Def. 1.
    """
    check_registered(process, "process", ObservationProcess)
    times = as_floats(t, "t")
    inside = bool(np.all((times >= 0) & (times <= float(process.horizon) * (1 + 1e-6))))
    require(inside, "t", t, f"times from 0 to the horizon, {float(process.horizon):g}")
    return times


def log_snr(process: ObservationProcess, t: Any) -> np.ndarray:
    """Return the log signal-to-noise ratio at which a process sees a signal of unit variance (host, float64, exact).

    ``log(a^2 / sigma^2)`` for a Gaussian channel; ``log(tr(Sigma_t^-1 A_t A_t^T) / m)`` for a linear Gaussian
    channel, the mean over the ``m`` entries of ``Y_t``, which agrees with the former where both apply; for counts
    the log-exposure ``-log t``, the ratio at unit intensity.  It falls with ``t``: curves over noise use its negative.

    Args:
        process: a Gaussian, linear Gaussian or Poisson process, retimed or permuted or not.
        t: one time (a scalar) or an array of times; ``inf`` at 0 and ``-inf`` where nothing of the signal is left.

    Returns:
        The shape of ``t``; natural logarithm.

    Raises:
        ContractError: the process has no signal-to-noise ratio; compare it on the information axis,
            ``sloc.windows.information_axis``.
        InvalidInput: times outside the range.

    Source: Kingma et al. 2021; for matrices and counts the library's own.
    """
    times = raw_time(process, t)
    with np.errstate(divide="ignore"):
        if isinstance(process, GaussianChannel):
            a, sigma = (np.asarray(v, np.float64) for v in process.coefficients(times))
            return 2.0 * (np.log(a) - np.log(sigma)) + np.zeros_like(times)
        if isinstance(process, LinearGaussianChannel):
            flat = [_mean_log_snr(process, float(one)) for one in times.ravel()]
            return np.asarray(flat, np.float64).reshape(times.shape)
        if isinstance(process, Poisson):
            return -np.log(times)
    if isinstance(process, Retimed):
        return log_snr(process.process, process.clock(times))
    if isinstance(process, Permuted):
        return log_snr(process.process, times)
    raise ContractError(
        f"process = {shown(process)}: it has no signal-to-noise ratio; compare curves on sloc.windows.information_axis"
    )


def _mean_log_snr(process: LinearGaussianChannel, t: float) -> float:
    signal, noise = (np.asarray(v, np.float64) for v in process.matrices(t))
    if not noise.any():
        return np.inf
    ratio = float(np.sum(signal * np.linalg.solve(noise, signal)) / noise.shape[0])
    return float(np.log(ratio))
