"""The authors' recordings: what the page says is what the command computes from the published numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.recordings import blanks, chain_of_thought, curves
from benchmarks.recordings.__main__ import HERE


@pytest.fixture(scope="module")
def kept():
    """What stands in the repository."""
    return json.loads((HERE / "recordings.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(test_data):
    """The published numbers."""
    return test_data / "data" / "blink_of_an_eye"


def test_every_listed_window_is_found_where_it_is_listed(kept):
    windows = kept["windows"]
    assert windows["generations"] == windows["windows by the rule"] == windows["at the listed place"] == 295
    assert windows["places listed"] == windows["places by the rule"]
    assert sum(windows["places listed"].values()) == 295
    assert windows["some rise certain, each question at 5 %"] == 295
    # A test at an error level certifies fewer than a rule without one.
    assert 0 < windows["certified above 0.5, each question at 5 %"] < 295


def test_the_implied_share_of_windows_is_that_of_bayes_rule():
    """A population of known shares: its two differences give the share back."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        rate, with_window, drop = rng.uniform(0.02, 0.4), rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.5)
        without = with_window + drop
        right = rate * with_window + (1 - rate) * without
        excess = rate * (1 - with_window) / (1 - right) - rate * with_window / right
        found = chain_of_thought.implied_rate(with_window, without, excess)
        assert found is not None
        # The smaller of two roots.
        assert found <= rate + 1e-6
        again = found * (1 - with_window) / (1 - (r := found * with_window + (1 - found) * without))
        assert np.isclose(again - found * with_window / r, excess, atol=1e-6)
    assert chain_of_thought.implied_rate(0.3, 0.35, 0.9) is None


def test_the_table_has_the_printed_numbers_and_the_listed_counts(kept):
    assert sum(r["windows listed"] for r in kept["table"]) == 295
    for r in kept["table"]:
        assert np.isclose(r["accuracy with"], r["of them right"] / r["windows listed"])
        assert np.isclose(r["accuracy without, implied"], r["accuracy with"] + r["accuracy drop, printed"])


def test_table_1_has_its_layout_and_leaves_empty_what_was_not_published(kept):
    """Seven data sets by two differences of three models; of the published generations all have a window."""
    assert [len(r) for r in kept["printed"]] == [7] * 7
    assert kept["printed"][4]["data set"] == "MATH"
    assert [kept["printed"][4][f"{m}, dCW"] for m in chain_of_thought.MODELS.values()] == [0.33, 0.33, 0.29]
    assert [r["data set"] for r in kept["computed"]] == [r["data set"] for r in kept["printed"]]
    listed = {r["data set"]: r for r in kept["table"]}
    for r in kept["computed"]:
        assert r["questions"] == r["windows"] == listed[r["data set"]]["windows listed"]
        assert r["accuracy_with"] == listed[r["data set"]]["accuracy with"]
        assert r["accuracy_without"] is None
        assert r["accuracy_drop"] is r["accuracy_drop_low"] is None


def test_the_posterior_agrees_with_tests_that_rises_are_there(kept):
    posterior = kept["posterior"]
    assert posterior["agree with the test of any rise"] > 0.9
    assert posterior["largest R-hat"] < 1.05
    assert sum(posterior["table against the test of any rise"].values()) == 295


def test_curves_between_blanks_are_those_of_the_counts(kept):
    """Within five standard errors of the counts behind them, once a blank is kept."""
    for row in kept["blanks"][1:]:
        p, n = row["from tuple counts"], row["draws behind it"]
        assert abs(row["published curve"] - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-6
        assert row["printed T_after"] in row["rises of the curve end at"]


def test_the_page_is_what_the_command_computes(kept, folder):
    published = chain_of_thought.read_curves(folder)
    counts, _ = chain_of_thought.window_counts(published)
    assert json.loads(json.dumps(counts)) == kept["windows"]
    assert json.loads(json.dumps(chain_of_thought.table_rows(published, folder))) == kept["table"]
    assert json.loads(json.dumps(chain_of_thought.printed_rows(folder))) == kept["printed"]
    assert json.loads(json.dumps(chain_of_thought.computed_rows(published))) == kept["computed"]
    assert json.loads(json.dumps(blanks.blank_rows(folder))) == kept["blanks"]
    assert json.loads(json.dumps(blanks.consistency(folder))) == kept["consistency"]
    assert json.loads(json.dumps(curves.curves(folder))) == kept["curves"]


def test_curves_rise_where_their_windows_are_listed(kept):
    drawn = kept["curves"]["windows"]
    for place, own in drawn["places"].items():
        rise = np.diff(own["mean"])
        largest = int(rise.argmax())
        assert place == f"{drawn['kept'][largest]:g} to {drawn['kept'][largest + 1]:g}"
        # The rule's rise, in every curve and so in their mean.
        assert rise[largest] > 0.5
        assert all(low <= high for low, high in zip(own["low"], own["high"], strict=True))
    assert sum(own["curves"] for own in drawn["places"].values()) == 295
    staircase = kept["curves"]["blanks"]
    for before, after in staircase["printed"]:
        low, high = (np.interp(x, staircase["kept"], staircase["same string"]) for x in (before - 0.005, after))
        assert high > low + 0.005


@pytest.mark.nightly
def test_the_posterior_on_the_page_is_what_the_command_computes(kept, folder):
    """Same key, same draws, up to rounding that differs between machines: far closer than its standard errors."""
    published = chain_of_thought.read_curves(folder)
    _, tests = chain_of_thought.window_counts(published)
    found = json.loads(json.dumps(chain_of_thought.posterior_rows(published, tests)))
    assert found.keys() == kept["posterior"].keys()
    for name, value in kept["posterior"].items():
        if name == "predictive checks":
            for check, own in value.items():
                assert np.allclose(found[name][check], own, atol=0.1), check
        elif name.startswith("table"):
            assert all(abs(found[name][k] - n) <= 3 for k, n in value.items()), name
        elif name == "reported at 10 %":
            assert abs(found[name] - value) <= 3
        elif name.startswith("log-odds"):
            assert np.allclose(found[name], value, atol=0.4)
        else:
            assert np.isclose(found[name], value, atol=0.03), name


def test_shares_that_are_no_counts_are_refused(folder):
    published = chain_of_thought.read_curves(folder)
    with pytest.raises(ValueError, match="multiples"):
        chain_of_thought.counts_of(published.assign(**{"p_0.1": published["p_0.1"] + 0.011}))
