"""Edges of curves and of exact functions: every status, both sides, steps and plateaus."""

from __future__ import annotations

import numpy as np
import pytest

from sloc.windows.edges import Edge, bracket, combined, crossing_point, edge_on_grid, exact_edge

TIMES = np.array([1.0, 2.0, 3.0, 4.0])
VALUE = np.array([0.9, 0.7, 0.3, 0.1])


def edge(value, threshold, side, width=0.0, times=TIMES, **options):
    value = np.asarray(value, float)
    return edge_on_grid(np.asarray(times, float), value, value - width, value + width, threshold, side, **options)


@pytest.mark.parametrize("side", ["first", "last"])
def test_resolved_by_interpolation_inside_its_bracket(side):
    found = edge(VALUE, 0.5, side, 0.1)
    assert found.value == pytest.approx(2.5)
    assert found.interval == (2.0, 3.0)
    assert found.status == "resolved"


@pytest.mark.parametrize("side", ["first", "last"])
def test_a_wide_band_leaves_the_edge_open(side):
    assert edge(VALUE, 0.5, side, 0.45).status == "unresolved"
    low = edge(VALUE, 0.85, side, 0.1)  # the first value may lie on either side
    assert (low.value, low.status, low.interval) == (None, "unresolved", (0.0, 2.0))
    high = edge(VALUE, 0.15, side, 0.1)
    assert (high.value, high.status, high.interval) == (None, "unresolved", (3.0, np.inf))


@pytest.mark.parametrize("side", ["first", "last"])
def test_beyond_the_grid_only_if_the_whole_band_is(side):
    below, above = edge(VALUE, 0.95, side, 0.01), edge(VALUE, 0.05, side, 0.01, horizon=9.0)
    assert (below.value, below.interval, below.status) == (None, (0.0, 1.0), "below_grid")
    assert (above.value, above.interval, above.status) == (None, (4.0, 9.0), "above_grid")
    # The value alone lies beyond, the band does not.
    assert edge(VALUE, 0.95, side, 0.1).status == "unresolved"
    assert edge(VALUE, 0.05, side, 0.1).status == "unresolved"


def test_a_grid_that_starts_at_zero_knows_what_lies_below():
    times = [0.0, 1.0, 2.0, 3.0]
    first, last = edge(VALUE, 0.95, "first", 0.01, times), edge(VALUE, 0.95, "last", 0.01, times)
    assert (first.value, first.interval, first.status) == (0.0, (0.0, 0.0), "resolved")
    assert (last.value, last.interval, last.status) == (None, None, "empty")
    # A band around the threshold at 0: the infimum is near 0, the supremum may not exist.
    assert edge(VALUE, 0.95, "first", 0.1, times).status == "resolved"
    assert edge(VALUE, 0.95, "first", 0.1, times).interval == (0.0, 1.0)
    assert edge(VALUE, 0.95, "last", 0.1, times).status == "unresolved"


def test_ties_fall_on_the_side_of_the_definition():
    # inf {q <= c} and sup {q >= c} on a plateau at c.
    value = [0.9, 0.5, 0.5, 0.1]
    assert edge(value, 0.5, "first", discrete=True).value == 2.0
    assert edge(value, 0.5, "last", discrete=True).value == 3.0
    assert edge(value, 0.5, "first", discrete=True).interval == (2.0, 2.0)
    assert edge(value, 0.5, "last", discrete=True).interval == (3.0, 3.0)
    assert crossing_point(TIMES, np.asarray(value), 0.5, "first") == pytest.approx(2.0)
    assert crossing_point(TIMES, np.asarray(value), 0.5, "last") == pytest.approx(3.0)


def test_an_interval_contains_the_edge_of_every_curve_in_the_band():
    rng = np.random.default_rng(0)
    times = np.linspace(0.5, 4.0, 15)
    for _ in range(300):
        rate, level, width = rng.uniform(0.2, 2), rng.uniform(0.05, 0.9), rng.uniform(0, 0.2)
        truth, centre = np.exp(-rate * times), np.exp(-rate * times) + rng.uniform(-1, 1, 15) * width
        exact = -np.log(level) / rate
        for side in ("first", "last"):
            found = edge_on_grid(times, centre, centre - width, centre + width, level, side)
            assert np.all(np.abs(truth - centre) <= width)
            low, high = found.interval
            assert low <= exact <= high
            if found.status == "resolved":
                assert low <= found.value <= high


@pytest.mark.parametrize("side", ["first", "last"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_exact_edges_of_a_decay(side, scale):
    found = exact_edge(lambda t: float(np.exp(-t / scale)), 0.1, side, horizon=np.inf, discrete=False)
    assert found.value == pytest.approx(scale * np.log(10), rel=1e-10)
    assert found.interval == (found.value, found.value)


@pytest.mark.parametrize(
    ("threshold", "side", "expected"),
    [
        (0.5, "first", 3.0),
        (0.5, "last", 2.0),
        (0.0, "first", 7.0),
        (1.0, "last", 2.0),
        (0.4, "first", 3.0),
        (0.4, "last", 6.0),
    ],
)
def test_exact_edges_of_steps(threshold, side, expected):
    def step(t):
        return 1.0 if t <= 2 else 0.4 if t <= 6 else 0.0

    assert exact_edge(step, threshold, side, horizon=10, discrete=True).value == expected


def test_exact_edges_outside():
    def falls(t):
        return 0.8 - 0.1 * t

    assert exact_edge(falls, 0.9, "first", horizon=1, discrete=False).value == 0.0
    assert exact_edge(falls, 0.9, "last", horizon=1, discrete=False).status == "empty"
    assert exact_edge(falls, 0.1, "last", horizon=1, discrete=False).status == "above_grid"
    assert exact_edge(lambda t: 1.0, 0.5, "first", horizon=np.inf, discrete=False).status == "above_grid"
    assert exact_edge(falls, 0.75, "first", horizon=0.7, discrete=False).value == pytest.approx(0.5)


def test_brackets_are_cut_at_the_grid():
    times = np.geomspace(0.01, 10, 31)
    assert bracket(Edge(None, (0.0, np.inf), "unresolved"), times) == pytest.approx((0.01, 10.0))
    assert bracket(Edge(None, (0.0, 0.01), "below_grid"), times) is None
    assert bracket(Edge(1.0, (1.0, 1.0), "resolved"), times) is None
    # Values above the threshold where the band is below it from the first time on.
    assert bracket(Edge(None, (0.0, 0.01), "unresolved"), times) is None


def test_looks_are_combined():
    first = Edge(1.5, (1.0, 2.0), "resolved")
    assert combined(first, Edge(1.7, (1.4, 3.0), "resolved"), 1.6) == Edge(1.6, (1.4, 2.0), "resolved")
    assert combined(first, Edge(None, (1.4, 3.0), "unresolved"), 2.5) == Edge(2.0, (1.4, 2.0), "resolved")
    assert combined(first, Edge(2.5, (2.4, 3.0), "resolved"), 2.5) == Edge(None, (1.0, 2.0), "unresolved")
    unresolved = Edge(None, (0.0, 2.0), "unresolved")
    assert combined(unresolved, Edge(None, (1.0, 9.0), "unresolved"), 1.6) == Edge(None, (1.0, 2.0), "unresolved")
    assert combined(unresolved, Edge(1.7, (1.4, 3.0), "resolved"), None) == Edge(1.7, (1.4, 2.0), "resolved")
