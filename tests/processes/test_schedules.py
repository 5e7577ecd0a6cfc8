"""Schedules against their definitions in float64, and noise levels against each other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from sloc.contracts import ContractError, InvalidInput
from sloc.processes import (
    FlowMatching,
    Masking,
    OrnsteinUhlenbeck,
    VarianceExploding,
    level,
    tabulated,
    time_at,
    variance_exploding,
    variance_preserving,
)
from sloc.processes.levels import LEVEL_UNITS
from sloc.processes.schedules import LEAST_NOISE
from sloc.testing import check_process

# Karras et al. 2022, eq. 5, with rho = 7.
EDM = np.linspace(0.002 ** (1 / 7), 80 ** (1 / 7), 40) ** 7
SCHEDULES = {
    "OU": OrnsteinUhlenbeck(),
    "VE": VarianceExploding(),
    "flow": FlowMatching(),
    "linear": variance_preserving("linear"),
    "scaled linear": variance_preserving("scaled_linear"),
    "cosine": variance_preserving("cosine"),
    "geometric": variance_exploding(),
    "linear, steps": tabulated(betas="linear"),
    "scaled linear, steps": tabulated(betas="scaled_linear"),
    "cosine, steps": tabulated(betas="cosine"),
    "EDM, steps": tabulated(sigmas=EDM),
}


@pytest.mark.parametrize(
    ("name", "beta"),
    [
        ("linear", lambda t: 0.1 + 19.9 * t),
        ("scaled linear", lambda t: (0.85**0.5 + t * (12**0.5 - 0.85**0.5)) ** 2),
    ],
)
def test_continuous_betas_are_the_integral(name, beta):
    for t in (1e-4, 0.1, 0.5, 1.0):
        a, sigma = SCHEDULES[name].coefficients(t)
        want = np.exp(-quad(beta, 0, t, epsabs=0, epsrel=1e-11)[0])
        np.testing.assert_allclose((a**2, sigma**2), (want, 1 - want), rtol=1e-10)


def test_cosine_is_its_formula():
    t = np.array([1e-3, 0.2, 0.7, 0.999])
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    a, sigma = SCHEDULES["cosine"].coefficients(t)
    np.testing.assert_allclose(a**2, f, rtol=1e-10)
    np.testing.assert_allclose(sigma**2, 1 - f, rtol=1e-9)
    assert SCHEDULES["cosine"].coefficients(1.0)[0] < 1e-7


def test_tables_are_exact_at_their_steps():
    betas = np.linspace(1e-4, 0.02, 1000)
    a, sigma = SCHEDULES["linear, steps"].coefficients(np.arange(1, 1001.0))
    bars = np.cumprod(1 - betas)
    np.testing.assert_allclose(a**2, bars, rtol=1e-11)
    np.testing.assert_allclose(sigma**2, 1 - bars, rtol=1e-9)
    # Published ends of the two schedules.
    assert bars[-1] == pytest.approx(4.0358e-05, rel=1e-4)
    last = SCHEDULES["scaled linear, steps"].coefficients(1000.0)[0] ** 2
    assert last == pytest.approx(0.0046601, rel=1e-4)
    f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    bars_cosine = np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))
    got = SCHEDULES["cosine, steps"].coefficients(np.arange(1, 1001.0))[0] ** 2
    np.testing.assert_allclose(got, bars_cosine, rtol=1e-9)
    np.testing.assert_allclose(SCHEDULES["EDM, steps"].coefficients(np.arange(1, 41.0))[1], EDM, rtol=1e-14)
    same = tabulated(alpha_bars=bars)
    np.testing.assert_allclose(same.coefficients(np.array([3.0, 500.0])), (a[[2, 499]], sigma[[2, 499]]), rtol=1e-11)


@pytest.mark.parametrize("name", SCHEDULES)
def test_levels_and_times_are_inverse(name):
    schedule = SCHEDULES[name]
    t = np.asarray(schedule.grid(24), np.float64)
    for unit in LEVEL_UNITS:
        there = level(schedule, t, unit)
        np.testing.assert_allclose(time_at(schedule, there, unit), t, rtol=1e-6 if unit == "alpha_bar" else 1e-9)
        on_device = jax.jit(lambda t, unit=unit: level(schedule, t, unit))(jnp.asarray(t, jnp.float32))
        np.testing.assert_allclose(on_device, there, rtol=2e-4, atol=2e-4 if unit == "log_snr" else 1e-7)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("other", ["OU", "flow"])
def test_one_level_in_two_schedules(name, other):
    t = np.asarray(SCHEDULES[name].grid(9), np.float64)
    there = time_at(SCHEDULES[other], level(SCHEDULES[name], t, "log_snr"), "log_snr")
    np.testing.assert_allclose(
        level(SCHEDULES[other], there, "log_snr"), level(SCHEDULES[name], t, "log_snr"), rtol=1e-8, atol=1e-8
    )


def test_units_agree_with_their_closed_forms():
    t = np.array([0.05, 0.7, 3.0])
    np.testing.assert_allclose(level(OrnsteinUhlenbeck(), t, "ou_time"), t, rtol=1e-12)
    np.testing.assert_allclose(level(OrnsteinUhlenbeck(), t, "alpha_bar"), np.exp(-2 * t), rtol=1e-12)
    np.testing.assert_allclose(level(VarianceExploding(), t, "sigma"), t, rtol=1e-12)
    np.testing.assert_allclose(level(FlowMatching(), 0.25, "sigma"), 1 / 3, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "cosine", "EDM, steps"])
def test_schedules_pass_the_conformance_suite(name):
    check_process(SCHEDULES[name], np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: variance_preserving("quadratic"), "betas = 'quadratic': expected linear"),
        (lambda: variance_preserving("linear", 20.0, 0.1), "last = 0.1: expected a number above first, 20"),
        (lambda: variance_preserving("linear", 0.1, 2.0), r"ends in noise: a\^2 / sigma\^2 at most 0.01"),
        (lambda: variance_preserving("cosine", 0.1), "first, last"),
        (lambda: variance_exploding(0.01, 1.0), "ends in noise"),
        (lambda: tabulated(betas=[0.1, 1.2]), "betas = .*expected numbers strictly between 0 and 1"),
        (lambda: tabulated(betas=np.linspace(1e-4, 0.02, 100)), "betas = .*ends in noise"),
        (lambda: tabulated(betas="sigmoid"), "betas = 'sigmoid': expected numbers, or linear, scaled_linear or cosine"),
        (lambda: tabulated(alpha_bars=[0.9, 0.95, 0.001]), "alpha_bars = .*strictly decreasing"),
        (lambda: tabulated(sigmas=[0.1, 90.0, 80.0]), "sigmas = .*strictly increasing"),
        (lambda: tabulated(sigmas=[0.1, 2.0]), "sigmas = .*ends in noise"),
        (lambda: tabulated(betas=[0.5], sigmas=[1.0]), "exactly one of them"),
        (lambda: tabulated(betas=[[0.5]]), "one-dimensional"),
        (lambda: level(OrnsteinUhlenbeck(), 1.0, "beta"), "unit = 'beta': expected one of t, log_snr"),
        (lambda: time_at(OrnsteinUhlenbeck(), 1.5, "alpha_bar"), "value = .*from 0 to 1"),
    ],
)
def test_bad_schedules_are_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_only_gaussian_channels_have_levels():
    with pytest.raises(ContractError, match="expected a GaussianChannel"):
        level(Masking(), 0.5, "sigma")
    assert LEAST_NOISE == 0.01
