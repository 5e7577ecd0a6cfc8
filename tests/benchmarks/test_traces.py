"""Rows of the suite ``traces``: verdicts, intervals over questions, and branches of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import traces_recorded
from benchmarks.show import line, verdict
from benchmarks.traces_branches import branched, first_draws
from benchmarks.traces_moves import Score, score
from benchmarks.traces_rows import clustered, power_rows, resampled_ratio, score_rows, share_row
from benchmarks.traces_simulated import truths
from sloc.windows.outcome_curves import outcome_counts
from sloc.windows.recorded import Branch, Recording


def test_of_few_questions_there_is_no_verdict():
    few = share_row("share", [9.0] * 9, [10] * 9, 0.85)
    assert "met" not in few
    assert (few["status"], few["target"]) == ("too few questions", ">= 85")
    assert verdict(few) == "too few questions"
    assert "too few questions" in line(few)
    enough = share_row("share", [10.0] * 40, [10] * 40, 0.85)
    assert enough["met"]
    assert verdict(enough) == "met"


def scored(hits, false, events, found):
    """A score from counts of each question."""
    return Score(np.stack([np.asarray(v, np.int64) for v in (hits, false, events, found)], axis=1))


def test_false_discoveries_have_a_verdict_or_say_why_not():
    rows = {r["name"]: r for r in score_rows("case", scored([1] * 40, [0] * 40, [1] * 40, [1] * 40), 0.05)}
    row = rows["case, false discoveries"]
    assert (row["of"], row["status"], "met" in row, row["target"]) == (40, "too few", False, "<= 5")
    (row, _) = score_rows("case", scored([1] * 200, [0] * 200, [1] * 200, [1] * 200), 0.05)
    assert row["met"]
    (row, _) = score_rows("case", scored([0] * 20, [0] * 20, [1] * 20, [0] * 20), 0.05)
    assert (row["value"], row["status"]) == (None, "none reported")


def test_intervals_are_over_questions():
    """Ten questions that hold ten detections each, all false or none: as wide as of ten, not of a hundred."""
    false = np.repeat([10, 0], [5, 5])
    row, _ = score_rows("case", scored(10 - false, false, [1] * 10, [1] * 10))
    low, high = clustered(false.tolist(), [10] * 10)
    assert (row["min"], row["max"]) == (100 * low, 100 * high)
    # Binomial of ten: standard deviation 16 %; of a hundred 5 %.
    assert high - low > 0.5


def test_a_score_adds_up_question_by_question():
    step = np.where(np.arange(30)[:, None] < 15, [1.0, 0.0], [0.0, 1.0])
    flat = np.full((30, 2), 0.5)
    got = score([[13], [4], []], [step, flat, step], gap=4, tolerance=3)
    assert got.each.tolist() == [[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert (got.hits, got.false, got.events, got.found) == (1, 1, 2, 1)
    assert (got.fdr, got.power) == (0.5, 0.5)


def test_power_is_compared_on_the_same_events():
    """One finds what the other finds and more: pairing leaves no noise where both agree."""
    events = np.ones(100, int)
    ours, other = events.copy(), np.repeat([1, 0], [80, 20])
    (row,) = power_rows("less", scored(ours, 0 * ours, events, ours), scored(other, 0 * other, events, other))
    assert row["value"] == 20.0
    assert 10 < row["min"] < 20 < row["max"] < 30
    low, high = resampled_ratio(-other.astype(float), events.astype(float))
    assert low < -0.8 < high < 0
    assert list(power_rows("none", scored([0], [1], [0], [0]), scored([0], [1], [0], [0]))) == []


def test_simulated_branches_add_up_to_the_curve():
    """Each branch's law, from very many draws, weighed: the kept curve; what is dropped leaves the next position's."""
    (truth,) = truths(1, seed=3)
    rng = np.random.default_rng(0)
    recording, kept = branched(truth, rng, 6_000)
    at = recording.distribution()
    # 600 shares, each of 2,000 draws a branch at least: seven standard errors.
    assert np.abs(at - kept).max() < 7 * 0.5 / np.sqrt(2_000)
    dropped = np.append(truth.leaving < 0.02, True)
    assert np.array_equal(kept[~dropped], truth.curve[~dropped])
    assert np.array_equal(kept[:-1][dropped[:-1]], truth.curve[1:][dropped[:-1]])
    whole, _ = branched(truth, rng, 10, dropped=0.0)
    assert np.allclose(whole.kept_mass, 1.0)
    assert np.allclose(outcome_counts(whole).leaving, truth.leaving)


def test_a_budget_is_shared_out_among_branches():
    """The first draws of each branch, at least one; those of the second half start where they are told to."""
    answers = np.arange(200) % 3
    branches = [Branch(0.0, str(i), 0.3, i == 0, answers) for i in range(3)] + [Branch(1.0, "0", 1.0, True, answers)]
    given = Recording("q", ("A", "B", "C"), tuple(branches))
    assert [b.answers.size for b in first_draws(given, 10, split=True).branches] == [3, 3, 3, 10]
    assert [b.answers.size for b in first_draws(given, 2, split=True).branches] == [1, 1, 1, 2]
    later = first_draws(given, 100, split=False, start=100)
    assert all(np.array_equal(b.answers, answers[100:]) for b in later.branches)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_the_noise_of_the_reference_is_what_simulation_gives(share):
    """200 draws whose shares are exact: mean TV of 100 draws from them, over 20,000 repetitions."""
    draws = np.repeat([0, 1], [round(200 * share), 200 - round(200 * share)])[None, :]
    data = traces_recorded.Row200("q", draws, 2, np.zeros(1), np.zeros(0), np.ones(1))
    seen = np.random.default_rng(0).binomial(100, share, 20_000) / 100
    apart = np.abs(seen - share)
    assert abs(traces_recorded.noise_floor(data) - apart.mean()) < 6.5 * apart.std() / np.sqrt(20_000)
