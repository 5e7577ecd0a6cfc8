"""Curves laid over each other: the information axis and curves on an axis of one's own."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import sloc
from sloc import Curve, find_window
from sloc.contracts import InvalidInput
from sloc.processes import OrnsteinUhlenbeck, VarianceExploding, log_snr
from sloc.windows import information_axis, on_axis


def curve(value, times=None, **changes):
    """Return an exact curve."""
    value = np.asarray(value, float)
    times = np.arange(1.0, len(value) + 1) if times is None else np.asarray(times, float)
    return Curve(times, value, np.zeros_like(value), value, value, 0, "exact", **changes)


def test_the_axis_is_what_is_lost():
    np.testing.assert_allclose(information_axis(curve([1.0, 0.75, 0.25, 0.0])), [0.0, 0.25, 0.75, 1.0])
    np.testing.assert_allclose(information_axis(curve([0.75, 0.25]), total=1.0), [0.25, 0.75])


def test_noise_is_pooled():
    # The least-squares falling sequence of .5, .6 is their mean.
    np.testing.assert_allclose(information_axis(curve([0.9, 0.5, 0.6, 0.1]), total=1.0), [0.1, 0.45, 0.45, 0.9])
    np.testing.assert_array_equal(information_axis(curve([1.1, 0.5]), total=1.0), [0.0, 0.5])


def test_processes_of_one_snr_agree_on_the_axis():
    # Ornstein-Uhlenbeck and variance exploding noise carry the same information at equal log-SNR, in other times.
    population = sloc.populations.GaussianMixture([0.5, 0.5], [[2.0], [-2.0]], 0.5)
    snr = np.linspace(3.0, -4.0, 9)
    curves = []
    for process in (OrnsteinUhlenbeck(), VarianceExploding()):
        times = process.time_of_log_snr(snr)
        np.testing.assert_allclose(log_snr(process, times), snr, rtol=1e-9)
        lost = information_axis(
            sloc.information_curve(jax.random.key(0), process, population, times, n=2048), total=1.0
        )
        curves.append(on_axis(sloc.tv_curve(jax.random.key(1), process, population, times, 0, 1, n=64), lost))
    # The same key draws the same noise: both axes and the closed forms of TV agree to rounding.
    np.testing.assert_allclose(curves[0].times, curves[1].times, atol=1e-4)
    np.testing.assert_allclose(curves[0].value, curves[1].value, atol=1e-5)
    assert curves[0].times[0] < 0.05
    assert curves[0].times[-1] > 0.9


def test_windows_are_in_units_of_the_axis():
    tv = curve([1.0, 0.8, 0.4, 0.0], times=[0.1, 0.2, 0.3, 0.4], quantity="TV", unit="")
    moved = on_axis(tv, [0.0, 1.0, 2.0, 4.0])
    assert moved.quantity == "TV"
    window = find_window(moved, epsilon=0.2)
    assert "noise level" not in moved.time_axis  # whose picture would name a wrong axis
    assert window.time_axis == moved.time_axis
    # TV falls through 0.2 halfway from 2 to 4, through 0.96 a fifth of the way from 0 to 1.
    assert window.t_before == pytest.approx(3.0)
    assert window.t_after == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: information_axis(curve([1.0, np.nan])), "finite numbers"),
        (lambda: information_axis(curve([0.0, 0.0])), "total = 0.0: expected a positive amount"),
        (lambda: information_axis(curve([1.0, 0.5]), total=-1.0), "total = -1.0"),
        (lambda: information_axis(curve([[1.0, 0.5]], labels=("a", "b"))), "a scalar sloc.Curve"),
        (lambda: on_axis(curve([1.0, 0.5]), [0.0, 1.0, 2.0]), r"axis = \(3,\): expected shape \(2,\)"),
        (lambda: on_axis(curve([1.0, 0.5]), [1.0, 0.0]), "negate one that falls"),
        (lambda: on_axis(curve([1.0, 0.5]), [0.0, np.inf]), "axis = .*finite"),
        (lambda: on_axis(None, [0.0]), "a sloc.Curve"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_bad_axes_are_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()
