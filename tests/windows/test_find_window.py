"""Windows on anybody's curve."""

from __future__ import annotations

import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput


def curve(times, value, width=0.0, **more):
    value = np.asarray(value, float)
    return sloc.Curve(np.asarray(times, float), value, np.zeros_like(value), value - width, value + width, 10, **more)


TIMES = np.linspace(0.0, 4.0, 9)
FALL = curve(TIMES, [1.0, 1.0, 0.999, 0.9, 0.5, 0.2, 0.05, 0.01, 0.0])


def test_by_threshold():
    found = sloc.find_window(FALL, epsilon=0.1)
    # Between 2.5 (.2) and 3 (.05) at .1; between 1 (.999) and 1.5 (.9) at .99.
    assert found.t_before == pytest.approx(2.5 + 0.5 * 0.1 / 0.15)
    assert found.t_after == pytest.approx(1.0 + 0.5 * 0.009 / 0.099)
    assert found.before_interval == (2.5, 3.0)
    assert found.after_interval == (1.0, 1.5)
    assert found.resolved
    assert found.draws == 10


def test_the_level_is_that_of_the_curves():
    given, other = curve(TIMES, FALL.value, 0.01, delta=0.02), curve(TIMES, FALL.value, 0.01, delta=0.03)
    exact = curve(TIMES, FALL.value, delta=0.0)
    assert sloc.find_window(given, epsilon=0.1).delta == 0.02
    assert sloc.find_window(given, epsilon=0.1, separation=other).delta == pytest.approx(0.05)
    assert sloc.find_window(given, epsilon=0.1, separation=given).delta == 0.02, "one band holds for both edges"
    assert sloc.find_window(exact, epsilon=0.1).delta == 0.0
    assert sloc.find_window(exact, epsilon=0.1, separation=other).delta == 0.03
    # A curve of somebody's own tells no level, and a rise in drawn values has no interval.
    assert np.isnan(sloc.find_window(FALL, epsilon=0.1).delta)
    assert np.isnan(sloc.find_window(given, epsilon=0.1, separation=FALL).delta)
    for rise in (0.3, 0.9):  # one that is there, one that is not
        assert np.isnan(sloc.find_window(given, rise=rise).delta)
        assert sloc.find_window(exact, rise=rise).delta == 0.0
    assert "delta=0.02" in repr(sloc.find_window(given, epsilon=0.1))


def test_with_a_second_curve_for_the_other_edge():
    late = curve([2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 0.98, 0.1])
    found = sloc.find_window(FALL, epsilon=0.1, separation=late)
    assert found.t_after == pytest.approx(3.5)
    assert found.status_after == found.status_before == "inverted"


@pytest.mark.parametrize(
    ("times", "value", "status"), [([1, 2], [0.05, 0.01], "below_grid"), ([1, 2], [0.9, 0.8], "above_grid")]
)
def test_outside_the_grid(times, value, status):
    assert sloc.find_window(curve(times, value), epsilon=0.1).status_before == status


def test_unresolved_by_its_band():
    wide = curve(TIMES, FALL.value, 0.3)
    assert sloc.find_window(wide, epsilon=0.1).status_before == "unresolved"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "epsilon, rise = .*exactly one"),
        ({"epsilon": 0.1, "rise": 0.5}, "epsilon, rise = .*exactly one"),
        ({"epsilon": 1.0}, "epsilon = 1.0"),
        ({"rise": 1.0}, "rise = 1.0"),
        ({"rise": "big"}, "rise = 'big'"),
        ({"epsilon": 0.1, "max_drop": 0.3}, "max_drop = 0.3: expected None with epsilon"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidInput, match=message):
        sloc.find_window(FALL, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (curve([1.0], [0.5]), "curve.times = .*at least two"),
        (curve([2.0, 1.0], [0.5, 0.1]), "curve.times = .*increasing"),
        (curve([1.0, 2.0], [0.5, np.nan]), "curve.value = .*finite"),
        (sloc.Curve(np.arange(2.0), np.ones((2, 3)), None, None, None, 1), "curve.value = .*Curve.column"),
        ([1, 0], "curve = .*a sloc.Curve"),
    ],
)
def test_bad_curves(given, message):
    with pytest.raises(InvalidInput, match=message):
        sloc.find_window(given, epsilon=0.1)
