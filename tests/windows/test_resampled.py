"""Windows of recorded answers: the rule, the calibrated test, statuses, views, and published curves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sloc.contracts import InvalidInput
from sloc.engine.binomial import clopper_pearson
from sloc.windows.binomial_rise import rise_p_value
from sloc.windows.resampled import trace_windows
from sloc.windows.traces_table import trace_table


def rows(question, curve, n=25, weight=None):
    """Rows whose observed curve of "same answer" is given exactly, fraction by fraction."""
    out = []
    for fraction, value in curve.items():
        hits = round(value * n)
        out += [(question, fraction, "same" if i < hits else f"other{i % 2}", "same") for i in range(n)]
    table = pd.DataFrame(out, columns=["question", "fraction", "answer", "reference"])
    return table if weight is None else table.assign(weight=weight)


def windows(*tables, **settings):
    """Windows of several tables together."""
    return trace_windows(trace_table(pd.concat(tables)), **settings)


SHARP = {0.1: 0.04, 0.3: 0.08, 0.5: 0.96, 0.9: 1.0}
SEEN = {0.1: 0.2, 0.3: 0.2, 0.5: 0.8, 0.9: 1.0}
RAMP = {0.1: 0.2, 0.3: 0.4, 0.5: 0.64, 0.9: 1.0}
LATE = {0.1: 0.0, 0.3: 0.0, 0.5: 0.04, 0.9: 0.08}


def test_times_grow_as_information_is_lost():
    result = windows(rows("q", SHARP))
    window = result.calibrated[0]
    assert (window.t_after, window.t_before) == (0.5, 0.7)
    assert window.resolved
    assert (window.epsilon, window.delta, window.draws, window.name) == (0.5, 0.05, 100, "q")
    assert "exact unconditional" in window.method
    curve = result.curves[0].to_curve()
    assert curve.delta == window.delta
    assert np.allclose(curve.times, [0.1, 0.5, 0.7, 0.9])
    assert np.allclose(curve.value, [1, 0.96, 0.08, 0.04])
    assert ((curve.lower <= curve.value) & (curve.value <= curve.upper)).all()
    other = result.curves[0].to_curve("other0")
    assert np.allclose(other.value, [0, 0, 0.48, 0.48], atol=0.05)
    with pytest.raises(InvalidInput, match="answers seen"):
        result.curves[0].to_curve("never")
    frame = result.to_dataframe()
    assert frame.loc[0, ["rule_fraction_before", "rule_fraction_after"]].tolist() == [0.3, 0.5]
    assert frame.loc[0, ["certified_t_after", "certified_t_before"]].tolist() == [0.5, 0.7]


def test_bands_are_clopper_pearson_pointwise_and_for_all_points():
    curve = windows(rows("q", SHARP), alpha=0.1).curves[0]
    hits = np.asarray([1, 2, 24, 25])
    for level, low, high in ((0.1, curve.lower, curve.upper), (0.1 / 4, curve.lower_all, curve.upper_all)):
        expected = clopper_pearson(hits, np.full(4, 25), level)
        assert np.allclose(low[:, 0], expected[0])
        assert np.allclose(high[:, 0], expected[1])
    assert np.allclose(curve.value.sum(axis=1), 1)


def test_statuses_are_named():
    result = windows(
        rows("sharp", SHARP),
        rows("seen", SEEN),
        rows("ramp", RAMP),
        rows("late", LATE),
        rows("one answer", dict.fromkeys(SHARP, 1.0)),
        rows("one point", {0.5: 0.8}),
    )
    assert [w.status_after for w in result.rule] == [
        "resolved",
        "resolved",
        "empty",
        "below_grid",
        "one answer",
        "unresolved",
    ]
    assert [w.status_before for w in result.calibrated] == [
        "resolved",
        "unresolved",
        "empty",
        "below_grid",
        "one answer",
        "unresolved",
    ]
    assert all(w.t_after is None and w.t_before is None for w in result.rule if not w.resolved)
    counts = result.summary()
    assert (counts["questions"], counts["rule"], counts["certified"], counts["rule_and_certified"]) == (6, 2, 1, 1)
    assert "2 windows by the rule" in repr(result)


def test_the_no_drop_clause_is_about_the_whole_curve_and_the_rule_only():
    dropping = {0.1: 0.4, 0.3: 0.04, 0.5: 0.96, 0.9: 1.0}
    free, strict = (windows(rows("q", dropping), max_drop=d) for d in (None, 0.3))
    assert free.rule[0].resolved
    assert strict.rule[0].status_after == "empty"
    assert strict.calibrated[0].resolved
    assert windows(rows("q", dropping), max_drop=0.36).rule[0].resolved


def test_p_values_are_those_of_the_exact_test_corrected_for_the_steps():
    result = windows(rows("q", SHARP), statistic="score")
    step = result.steps[1]
    assert (step.kept_before, step.kept_after) == (0.3, 0.5)
    assert step.p_value == rise_p_value(2, 25, 24, 25, 0.5, "score")
    assert step.p_adjusted == pytest.approx(3 * step.p_value)
    assert step.p_any_adjusted == pytest.approx(3 * rise_p_value(2, 25, 24, 25, 0.0, "score"))
    assert step.rise == pytest.approx(0.88)
    assert (step.by_rule, step.certified) == (True, True)
    across = windows(rows("q", SHARP), rows("r", RAMP), across="holm").steps[1]
    assert across.p_adjusted == pytest.approx(6 * rise_p_value(2, 25, 24, 25))


def test_unequal_weights_change_the_method_and_say_so():
    weight = np.tile(np.where(np.arange(25) % 2, 1.0, 3.0), 4)
    result = windows(rows("q", SHARP, weight=weight), rows("r", SHARP, weight=2.0))
    assert result.steps[1].test == "Hoeffding (weighted)"
    assert result.steps[4].test == "exact unconditional (difference)"
    assert "weighted" in result.curves[0].method
    assert result.steps[1].p_value > result.steps[4].p_value
    plain = windows(rows("r", SHARP))
    for name in ("value", "lower", "upper_all"):
        assert np.allclose(getattr(result.curves[1], name), getattr(plain.curves[0], name))
    width = result.curves[0].upper - result.curves[0].lower
    assert (width >= result.curves[1].upper - result.curves[1].lower).all()
    assert np.allclose(result.curves[0].effective, weight[:25].sum() ** 2 / (weight[:25] ** 2).sum())


@pytest.mark.parametrize(
    "bad",
    [
        {"rise": 1.0},
        {"rise": -0.1},
        {"max_drop": -0.1},
        {"max_drop": 2},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"correction": "sidak"},
        {"across": "fdr"},
        {"statistic": "wald"},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        windows(rows("q", SHARP), **bad)


def test_the_dataset_holds_every_curve_and_survives_a_file(tmp_path):
    xr = pytest.importorskip("xarray")
    result = windows(rows("q", SHARP), rows("ünï", {0.5: 0.2, 0.7: 0.8}))
    data = result.to_xarray()
    data.to_netcdf(tmp_path / "curves.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "curves.nc", engine="h5netcdf") as back:
        assert back["question"].values.tolist() == ["q", "ünï"]
        assert np.allclose(back["same"].values[1], [0.2, 0.8, np.nan, np.nan], equal_nan=True)
        assert np.allclose((back["kept"] + back["time"]).values[0], 1)
        assert back["rule_status"].values.tolist() == ["resolved", "resolved"]
        assert back["rule_t_after"].values.tolist() == [0.5, pytest.approx(0.3)]
        entry = (back["entry_question"] == 1) & (back["answer"][back["entry_answer"].astype(int)].values == "same")
        assert back["value"].values[entry.values].tolist() == [0.2, 0.8]
        assert back.attrs["rise"] == 0.5
    assert len(result.steps_dataframe()) == 4


DATA = Path(os.environ.get("SLOC_TEST_DATA", "")) / "data" / "blink_of_an_eye" / "cot_windows_llama31_8b.csv"


@pytest.fixture(scope="module")
def published():
    """Curves published with the paper, as a long table of 25 answers a point, and the listed windows."""
    if "SLOC_TEST_DATA" not in os.environ or not DATA.is_file():
        pytest.skip("SLOC_TEST_DATA does not hold the published curves of chain-of-thought windows")
    wide = pd.read_csv(DATA)
    columns = [c for c in wide.columns if c.startswith("p_")]
    long = pd.concat(
        [
            rows(f"{row['dataset']} {row['id']}", {float(c[2:]): row[c] for c in columns})
            for row in wide.to_dict("records")
        ]
    )
    return wide, trace_table(long)


def test_the_rule_finds_every_listed_window_at_its_listed_place(published):
    wide, table = published
    frame = trace_windows(table, max_drop=0.3).to_dataframe()
    assert len(frame) == len(wide) == 295
    assert (frame["rule_status"] == "resolved").all()
    assert np.array_equal(frame["rule_fraction_before"], wide["frac_before"])
    assert np.array_equal(frame["rule_fraction_after"], wide["frac_after"])
    assert np.allclose(frame["rule_t_before"], 1 - wide["frac_before"])
    assert np.allclose(frame["largest_rise"], wide["max_jump"], atol=1e-9)
    assert np.allclose(frame["largest_drop"], np.maximum(-wide["min_step"], 0), atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "survivors", "any_rise"),
    [
        ({}, 71, 295),
        ({"correction": "holm"}, 71, 295),
        ({"across": "holm"}, 13, 208),
        ({"across": "bh"}, 34, 295),
        ({"statistic": "score"}, 82, 295),
        ({"statistic": "score", "across": "bh"}, 43, 295),
    ],
)
def test_how_many_listed_windows_survive_the_calibrated_test(published, settings, survivors, any_rise):
    _, table = published
    counts = trace_windows(table, max_drop=0.3, **settings).summary()
    assert (counts["rule"], counts["rule_and_certified"], counts["certified"], counts["any_rise"]) == (
        295,
        survivors,
        survivors,
        any_rise,
    )
