"""Plain draws of branches, exact tests of them, and the published rule with its rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.windows.allocation import recorded_draws
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_tests import NULL, RULE, plain_counts, recorded_exact_moves, rule_firing
from sloc.windows.rule_rates import rule_rates


def recording(laws, sizes, rng, weights=(0.7, 0.3), name="q"):
    """Two branches at every position where ``laws[t]`` has two shares of the first answer, else one."""
    branches = []
    for t, (law, n) in enumerate(zip(laws, sizes, strict=True)):
        for i, share in enumerate(law):
            answers = (rng.random(n) >= share).astype(np.int16)
            weight = weights[i] if len(law) > 1 else 1.0
            branches.append(Branch(float(t), str(i), weight, i == 0, answers))
    return Recording(name, ("A", "B"), tuple(branches))


def test_plain_counts_are_whole_and_of_equal_numbers():
    """20 draws at four positions of five, 7 at the other: none counts more than 20, branches mixed as replayed."""
    rng = np.random.default_rng(0)
    given = recording([(0.5,), (0.2, 0.9), (0.5,), (0.3, 0.4), (0.6,)], [20, 20, 7, 30, 25], rng)
    data = plain_counts(given)
    assert data.counts.sum(axis=1).tolist() == [20, 20, 7, 20, 20]
    replay = recorded_draws([given])
    for t in range(5):
        first = replay("q", t, 20 if t != 2 else 7)
        assert data.counts[t].tolist() == [first.count("A"), first.count("B")]
    # One branch: its first draws, in their order.
    assert data.counts[4, 0] == (given.branches[-1].answers[:20] == 0).sum()


def test_plain_counts_have_the_law_of_plain_draws():
    """Of two unlike branches the count of an answer is binomial, mean and variance, over 1,500 recordings."""
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(1_500):
        data = plain_counts(recording([(0.9, 0.1)], [12], rng), seed=int(rng.integers(2**31)))
        seen.append(data.counts[0, 0])
    share = 0.7 * 0.9 + 0.3 * 0.1
    hits = int(np.sum(seen))
    # False alarms below 1e-9 each.
    assert binom.ppf(5e-10, 18_000, share) <= hits <= binom.isf(5e-10, 18_000, share)
    variance = 12 * share * (1 - share)
    assert abs(np.var(seen) / variance - 1.0) < 6.2 * np.sqrt(2.0 / 1_500)


@pytest.mark.parametrize("across", ["holm", "bh"])
def test_exact_tests_of_branches_keep_their_level_and_find_a_step(across):
    """At a true move of ``tau`` itself certificates of any question err; a full step is found where it is."""
    rng, tau, wrong = np.random.default_rng(2), 0.3, 0
    for _ in range(60):
        laws = [(0.4, 0.4)] * 6 + [(0.7, 0.7)] * 6
        found = recorded_exact_moves([recording(laws, [25] * 12, rng)], tau=tau, alpha=0.05, across=across)
        wrong += bool(found.found)
    # At most 5 % each: more than 16 of 60 has a chance below 1e-7.
    assert wrong <= binom.isf(1e-7, 60, 0.05)
    step = recording([(1.0, 1.0)] * 6 + [(0.0, 0.0)] * 6, [100] * 12, rng)
    found = recorded_exact_moves([step], tau=tau, alpha=0.05, across=across).found
    assert [(m.start < 6 <= m.stop, m.rising) for m in found] == [(True, ("B",))]


def shares(values, n=20):
    """Counts of two answers from observed shares of the second."""
    counts = np.asarray([[n - round(n * v), round(n * v)] for v in values], np.float64)
    steps = len(values)
    return OutcomeCounts("q", ("A", "B"), np.arange(float(steps)), counts, np.full(steps - 1, np.nan))


def test_the_rule_looks_at_one_answer_and_says_how_often_it_errs():
    rising = shares([0.1, 0.1, 0.2, 0.9, 0.9])
    got = rule_firing(rising, gap=1)
    assert (got.status, got.answer, got.start, got.stop) == ("fires", "B", 2.0, 3.0)
    assert (got.rise, got.draws, got.steps) == (pytest.approx(0.7), 20, 4)
    rates = rule_rates(20, rise=RULE, null=NULL, event=0.6)
    assert (got.fires_flat, got.fires_null, got.misses) == (rates.fires_flat, rates.fires_null, rates.misses)
    # Four pairs, and either answer might have been the last position's most frequent.
    assert got.fires_flat_anywhere == pytest.approx(2 * 4 * rates.fires_flat)
    assert rule_firing(rising, gap=1, reference="B").fires_flat_anywhere == pytest.approx(4 * rates.fires_flat)
    # A rise of the other answer, and one of exactly the threshold, are none.
    assert rule_firing(rising, gap=1, reference="A").status == "silent"
    assert rule_firing(shares([0.2, 0.7]), gap=1).status == "silent"
    assert rule_firing(shares([0.2, 0.7]), gap=4).status == "no pair"


def test_bad_input_is_refused():
    with pytest.raises(InvalidInput, match="gap"):
        rule_firing(shares([0.1, 0.9]), gap=0)
    with pytest.raises(InvalidInput, match="reference"):
        rule_firing(shares([0.1, 0.9]), reference="C")
