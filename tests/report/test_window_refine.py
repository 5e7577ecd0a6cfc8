"""The second look at edges: where it looks, and what it adds to the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sloc import Curve
from sloc.populations import Empirical
from sloc.report.window_refine import LEVELS_PER_EDGE, Crossing, levels_inside
from sloc.report.window_run import Settings, run_pilot, run_process

TIMES = np.geomspace(0.01, 10, 31)


def test_levels_lie_inside_the_brackets_alone():
    brackets = [(float(TIMES[3]), float(TIMES[4])), (float(TIMES[20]), float(TIMES[22]))]
    levels = levels_inside(TIMES, brackets, 64)
    assert len(levels) == 2 * LEVELS_PER_EDGE
    assert (np.diff(levels) > 0).all()
    for low, high in brackets:
        assert np.count_nonzero((low < levels) & (levels < high)) == LEVELS_PER_EDGE


def test_overlapping_brackets_share_levels():
    one, two = (float(TIMES[5]), float(TIMES[7])), (float(TIMES[6]), float(TIMES[8]))
    levels = levels_inside(TIMES, [one, two], 8)
    assert len(levels) == 8
    both = (TIMES[6] < levels) & (levels < TIMES[7])
    assert np.count_nonzero(both) == 4
    assert ((one[0] < levels) & (levels < two[1])).all()


def test_levels_are_distinct_on_the_device():
    times = np.asarray([0.1, 0.5, 0.5 + 1e-7, 0.9])
    levels = levels_inside(times, [(0.5, 0.5 + 1e-7)], 64)
    assert len(np.unique(levels.astype(np.float32))) == len(levels)
    assert ((levels >= 0.1) & (levels <= 0.9)).all()


def test_crossings_are_found_on_curves():
    t = np.linspace(0, 1, 11)
    curves = {"c": Curve(t, 1 - t, 0 * t, 0.97 - t, 1.03 - t, 9)}
    crossing = Crossing("c", 0.55, "first")
    edge = crossing.on(curves, 1.0, False)
    assert edge.value == pytest.approx(0.45)
    assert edge.interval == pytest.approx((0.4, 0.5))
    assert crossing.point_on(curves) == pytest.approx(0.45)


@pytest.fixture(scope="module")
def population():
    data = np.asarray([[0, 0, 0, 0], [1, 0, 0, 0], [2, 2, 2, 2]], np.float32)
    return Empirical(data, ["a", "b", "c"])


SETTINGS = Settings(n=60_000, times=12)


@pytest.fixture(scope="module")
def found(population):
    pilot = run_pilot("masking", population, SETTINGS)
    assert pilot.passes == 2
    return run_process("masking", population, SETTINGS, pilot.times)


def test_second_look_narrows_and_holds_the_truth(population, found):
    # TV(c, {a, b}) = 1 - t^4: t_after = 0.01^(1/4), t_before = 0.85^(1/4).  Maurer-Pontil bands are so wide that the
    # failure rate is far below 1e-8 (see test_class_windows_hold_the_truth).
    window = found.classes["c"]
    after = Crossing(("class", "c"), 0.99, "last").on(found.curves, 1.0, False)
    before = Crossing(("class", "c"), 0.15, "first").on(found.curves, 1.0, False)
    for edge, value, interval, truth in (
        (after, window.t_after, window.after_interval, 0.01**0.25),
        (before, window.t_before, window.before_interval, 0.85**0.25),
    ):
        assert edge.interval is not None
        assert interval[0] <= truth <= interval[1]
        assert edge.interval[0] <= interval[0] <= value <= interval[1] <= edge.interval[1]
        assert interval[1] - interval[0] < 0.9 * (edge.interval[1] - edge.interval[0])
    # Twelve levels leave gaps of 0.05 and more; t_before of the second look is a crossing of fresh values, whose
    # deviation is below 0.002 (slope 3.5, deviation of TV 0.0015): eight of them are 0.02.
    assert window.t_before == pytest.approx(0.85**0.25, abs=0.02)


def test_draws_of_both_looks_are_counted(found):
    assert found.classes["c"].draws == 2 * found.draws
    assert found.pairs["a", "b"].draws in (0, found.draws)
    assert 0 < found.refined.size <= SETTINGS.times
    assert found.times[0] <= found.refined[0] < found.refined[-1] <= found.times[-1]


def test_second_look_has_draws_of_its_own_and_is_repeated(population, found):
    again = run_process("masking", population, SETTINGS, found.times, refined=[float(t) for t in found.refined])
    assert again.classes == found.classes
    assert (again.half, again.half_interval) == (found.half, found.half_interval)
    other = run_process("masking", population, replace(SETTINGS, seed=1), found.times)
    assert other.classes != found.classes
