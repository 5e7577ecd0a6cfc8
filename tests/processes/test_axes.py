"""Common time axes: log-SNR of every Gaussian process and of counts, ranges, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from sloc.contracts import ContractError, InvalidInput
from sloc.processes import (
    AnisotropicGaussian,
    AnisotropicOrnsteinUhlenbeck,
    FlowMatching,
    IsotropicGaussian,
    Masking,
    OrnsteinUhlenbeck,
    Permuted,
    Poisson,
    Power,
    Projected,
    Retimed,
    VarianceExploding,
    log_snr,
    raw_time,
)

T = np.asarray([0.05, 0.4, 0.9])


@pytest.mark.parametrize(
    ("process", "ratio"),
    [
        (OrnsteinUhlenbeck(), 1 / np.expm1(2 * T)),
        (VarianceExploding(), 1 / T**2),
        (IsotropicGaussian(), 1 / T),
        (FlowMatching(), ((1 - T) / T) ** 2),
        (AnisotropicGaussian([1.0, 2.0, 4.0]), (1 + 1 / 2 + 1 / 4) / 3 / T),
        (AnisotropicOrnsteinUhlenbeck([0.5, 2.0]), (1 / np.expm1(T) + 1 / np.expm1(4 * T)) / 2),
        (Projected(OrnsteinUhlenbeck(), [[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]]), 1 / np.expm1(2 * T)),
        (Poisson(), 1 / T),
        (Retimed(Poisson(), Power(3.0)), 1 / T**3),
        (Retimed(IsotropicGaussian(), Power(2.0)), 1 / T**2),
        (Permuted(Poisson(), [1, 0]), 1 / T),
    ],
)
def test_log_snr(process, ratio):
    found = log_snr(process, T)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.log(ratio), rtol=1e-10)
    np.testing.assert_allclose(log_snr(process, float(T[1])), np.log(ratio[1]), rtol=1e-10)


def test_ends():
    assert log_snr(FlowMatching(), 1.0) == -np.inf
    assert log_snr(FlowMatching(), 0.0) == np.inf
    assert log_snr(AnisotropicGaussian([1.0, 2.0]), 0.0) == np.inf


def test_raw_time_and_refusals():
    np.testing.assert_array_equal(raw_time(Masking(), [0, 1]), [0.0, 1.0])
    with pytest.raises(InvalidInput, match="times from 0 to the horizon, 1"):
        raw_time(Masking(), [0.5, 2.0])
    with pytest.raises(InvalidInput, match="horizon"):
        log_snr(OrnsteinUhlenbeck(), np.nan)
    with pytest.raises(ContractError, match="information_axis"):
        log_snr(Masking(), 0.5)
