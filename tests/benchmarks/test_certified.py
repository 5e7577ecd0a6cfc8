"""The coverage grid holds the library against the right edges, judges rightly, and survives being killed."""

from __future__ import annotations

import collections
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks import nightly_certified
from benchmarks.certificates_overlaps import cases
from benchmarks.certified_runs import (
    Answer,
    Tally,
    contradicts,
    normal_lower,
    normal_lower_of_counts,
    normal_upper,
    normal_upper_of_counts,
    prepared,
    repeat,
)
from benchmarks.certified_settings import DELTA, SETTINGS, case, truth
from benchmarks.certified_truth import Coins, Line, crossing
from sloc.divergence import bridge_overlap
from sloc.engine.dithering import GRID
from sloc.windows import streams
from tests.oracles import mixtures


def other_oracle(model: Line, t: float) -> mixtures.Line:
    """Return the tests' own mixture, which knows no classes: each Gaussian is a component."""
    share = (model.weights / np.bincount(model.labels))[model.labels]
    return mixtures.Line(share, model.means, model.variances, math.exp(-t), math.sqrt(-math.expm1(-2 * t)))


@pytest.mark.parametrize("name", ["pair", "sets", "own"])
def test_overlaps_on_the_line(name: str) -> None:
    c = case(name)
    assert isinstance(c.model, Line)
    rest = sorted(set(range(len(c.model.weights))) - set(c.after))
    members = [np.flatnonzero(np.isin(c.model.labels, s)) for s in (c.after, rest)]
    for t in (0.5, 1.5, 4.0):
        expected = other_oracle(c.model, t).tv(*members)
        assert c.model.tv(c.after, rest, t) == pytest.approx(expected, abs=1e-12)
        assert c.model.overlap(c.after, rest, t) == pytest.approx(1 - expected, rel=1e-9)


def test_overlaps_of_coins() -> None:
    model = Coins(np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.4, 0.7]), 9)
    for hidden in (0, 4, 9):
        n = 9 - hidden
        laws = [[math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)] for p in (0.1, 0.4, 0.7)]
        left = [0.4 * x + 0.6 * y for x, y in zip(laws[0], laws[1], strict=True)]
        expected = sum(abs(x - y) for x, y in zip(left, laws[2], strict=True)) / 2
        assert model.tv([0, 1], [2], hidden) == pytest.approx(expected, abs=1e-14)
        assert model.overlap([0, 1], [2], hidden) == pytest.approx(1 - expected, abs=1e-14)


def test_edges_are_where_the_curves_cross() -> None:
    c, epsilon = case("sets"), 0.1
    exact = truth(SETTINGS["K = 8, two sets, epsilon = 0.1"])
    assert exact.after is not None
    assert exact.before is not None
    rest = sorted(set(range(8)) - set(c.after))
    assert c.model.overlap(c.after, rest, exact.after) == pytest.approx(epsilon**2, rel=1e-9)
    assert c.model.tv(c.after, c.before, exact.before) == pytest.approx(epsilon, rel=1e-9)
    coins = case("coins").model
    assert crossing(coins, lambda t: 40.0 - t) == 40.0
    assert crossing(coins, lambda t: 40.5 - t) == 40.0
    assert crossing(coins, lambda t: -1.0) is None


@pytest.mark.parametrize(
    ("status", "interval", "edge", "in_order", "wrong"),
    [
        ("resolved", (1.0, 2.0), 1.5, True, False),
        ("resolved", (1.0, 2.0), 2.5, True, True),
        ("resolved", (1.0, 2.0), None, True, True),
        ("unresolved", (0.0, 2.0), 1.5, True, False),
        ("unresolved", (0.0, 1.0), 1.5, True, True),
        ("unresolved", (0.0, 1.0), None, True, False),
        ("unresolved", None, 1.5, True, False),
        ("empty", None, None, True, False),
        ("empty", None, 0.0, True, True),
        ("below_grid", (0.0, 1.0), 0.5, True, False),
        ("below_grid", (0.0, 1.0), None, True, False),
        ("below_grid", (0.0, 1.0), 1.5, True, True),
        ("above_grid", (9.0, math.inf), 10.0, True, False),
        ("above_grid", (9.0, math.inf), 8.0, True, True),
        ("above_grid", (9.0, math.inf), None, True, True),
        ("inverted", (1.0, 2.0), 1.5, False, False),
        ("inverted", (1.0, 2.0), 1.5, True, True),
        ("inverted", (1.0, 2.0), None, False, True),
    ],
)
def test_judgement(status: str, interval: tuple[float, float] | None, edge: float | None, in_order: bool, wrong: bool):
    assert contradicts(status, interval, edge, in_order) is wrong


def test_normal_bounds_of_values_and_of_counts_agree() -> None:
    counts = np.zeros(len(GRID) + 1, np.int64)
    counts[[0, 40, 100]] = 700, 200, 100
    values = np.repeat(GRID, counts[:-1])
    for of_values, of_counts in ((normal_upper, normal_upper_of_counts), (normal_lower, normal_lower_of_counts)):
        assert of_values(values, 0.05) == pytest.approx(of_counts(counts, 0.05), rel=1e-3)
    assert normal_lower(values, 0.05) < values.mean() < normal_upper(values, 0.05)


def tally(wrong: int, n: int = 500) -> Tally:
    answers = [Answer(i < wrong, False, ("resolved", "resolved"), (0.1, math.inf), 1024) for i in range(n)]
    return Tally(answers, 1.0)


def test_rows_say_whether_a_promise_is_met() -> None:
    allowed = tally(0).allowed()
    assert 0.05 * 500 < allowed < 0.15 * 500
    setting = SETTINGS["K = 8, two sets, epsilon = 0.1"]
    for wrong, met in ((0, True), (allowed, True), (allowed + 1, False)):
        first, share, _ = nightly_certified.rows(setting, tally(wrong))
        assert (first["value"], first["must"], first["met"]) == (wrong, True, met)
        assert (share["value"], share["met"]) == (1.0, True)
        assert (first["delta"], first["repetitions"], first["mean_draws"]) == (DELTA, 500, 1024.0)
        assert first["median_width_after"] == 0.1
        assert "median_width_before" not in first  # infinite
    broken = next(s for s in SETTINGS.values() if s.normal)
    for wrong, met in ((0, False), (allowed, False), (allowed + 1, True)):
        (row,) = nightly_certified.rows(broken, tally(wrong))
        assert (row["value"], row["must"], row["met"]) == (int(met), True, met)


def test_a_killed_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "certified.json"
    kept = nightly_certified.Kept(path.with_name("certified.json.partial"), 3)
    name, *_ = SETTINGS
    made = list(nightly_certified.rows(SETTINGS[name], tally(0, 3)))
    kept.add(name, made)
    assert [p.name for p in tmp_path.iterdir()] == ["certified.json.partial"]

    monkeypatch.setattr(nightly_certified, "ProcessPoolExecutor", None)  # nothing is left to run
    monkeypatch.setattr(nightly_certified, "SETTINGS", {name: SETTINGS[name]})
    assert nightly_certified.main(["--repetitions", "3", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["rows"] == made
    assert [p.name for p in tmp_path.iterdir()] == ["certified.json"]
    # Rows of another number of repetitions are not these rows.
    kept.add(name, made)
    assert nightly_certified.Kept(kept.path, 4).rows == {}


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--repetitions", "0"], ["--workers", "0"], ["--only", "no such setting"]):
        with pytest.raises(SystemExit):
            nightly_certified.main(arguments)
        assert arguments[0] in capsys.readouterr().err


def test_traps_are_set_for_every_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trapped ladder saw must not place the next: each begins as close beyond the true edge as the first."""
    (setting,) = (s for s in SETTINGS.values() if s.trap and s.growth > 1)
    monkeypatch.setattr(streams, "_RENEWAL", 1 / 16)
    plans = collections.defaultdict(list)
    begin = streams.Walks.__init__

    def noted(walks: Any, key: Any, plan: Any, level: float, horizon: float) -> None:
        plans[plan.question.side].append((plan.point, plan.radius))
        begin(walks, key, plan, level, horizon)

    monkeypatch.setattr(streams.Walks, "__init__", noted)
    with prepared(replace(setting, looks=3)):
        repeat(replace(setting, looks=3), 0)
    exact = truth(setting)
    assert {side: len(found) for side, found in plans.items()} == {"last": 3, "first": 3}
    for side, edge in (("last", exact.after), ("first", exact.before)):
        assert edge is not None
        assert plans[side] == 3 * [plans[side][0]]
        point, radius = plans[side][0]
        assert point - 32 * radius == pytest.approx(edge, rel=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two Gaussians with a covariance each, d = 16", "60 unlike coins under flips"])
def test_small_overlaps_are_what_the_rows_say(name: str) -> None:
    """The rows' own alpha is that of the population: seven standard errors of 8,192 values in [0, 1]."""
    (found,) = (c for c in cases(5e-7) if c.name == name)
    assert found.alpha == pytest.approx(5e-7, rel=1e-4)
    curve = bridge_overlap(jax.random.key(3), found.process, found.population, [found.t], 0, 1, n=8192)
    assert curve.stderr[0] < 0.03 * found.alpha
    assert abs(curve.value[0] - found.alpha) < 7 * curve.stderr[0]
