"""Bands and tests of recorded answers against exact enumeration: nothing here is random."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.engine.binomial import clopper_pearson
from sloc.windows import binomial_rise
from sloc.windows.binomial_rise import (
    RELATIVE_MARGIN,
    critical_rise,
    rise_interval,
    rise_p_value,
    rise_p_values,
    rise_statistic,
)
from sloc.windows.multiplicity import adjust_steps, holm
from sloc.windows.proportions import hoeffding_rise_p_value, weight_sizes, weighted_interval
from sloc.windows.rises import find_rises, rise_window


@pytest.mark.parametrize("n", [2, 10, 25])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 6])
def test_clopper_pearson_covers_at_every_probability(n, alpha):
    x = np.arange(n + 1)
    low, high = clopper_pearson(x, n, alpha)
    for p in np.concatenate([np.linspace(0, 1, 2001), np.clip([low, low - 1e-9, high, high + 1e-9], 0, 1).ravel()]):
        covered = binom.pmf(x, n, p)[(low <= p) & (p <= high)].sum()
        assert covered >= 1 - alpha - 1e-9
    # It must not be wide for nothing: each end is where its tail is alpha / 2.
    assert np.allclose(binom.sf(x[1:] - 1, n, low[1:]), alpha / 2)
    assert np.allclose(binom.cdf(x[:-1], n, high[:-1]), alpha / 2)


@pytest.mark.parametrize(("n1", "n2"), [(4, 4), (20, 20), (10, 7)])
def test_intervals_of_a_rise_cover_at_all_probabilities(n1, n2):
    """Coverage by enumeration; and for equal numbers they are not wider than a difference of single intervals."""
    a, b = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    low, high = rise_interval(a, n1, b, n2, 0.1)
    for p, q in product(np.linspace(0, 1, 21), repeat=2):
        inside = (low <= q - p + 1e-12) & (q - p <= high + 1e-12)
        assert (binom.pmf(a, n1, p) * binom.pmf(b, n2, q) * inside).sum() >= 0.9 - 1e-9
    if n1 == n2 == 20:
        (low1, high1), (low2, high2) = clopper_pearson(a, n1, 0.05), clopper_pearson(b, n2, 0.05)
        assert (high - low).mean() < 0.8 * ((high2 - low1) - (low2 - high1)).mean()
    with pytest.raises(InvalidInput, match="x1"):
        rise_interval(n1 + 1, n1, 0, n2)


def test_a_bonferroni_band_covers_a_whole_curve():
    # Three independent points: the chance that all are covered is the product of exact coverages.
    n, alpha, points = 10, 0.1, 3
    x = np.arange(n + 1)
    low, high = clopper_pearson(x, n, alpha / points)
    coverage = [binom.pmf(x, n, p)[(low <= p) & (p <= high)].sum() for p in np.linspace(0, 1, 401)]
    assert min(coverage) ** points >= 1 - alpha
    low, high = clopper_pearson(x, n, alpha)
    pointwise = [binom.pmf(x, n, p)[(low <= p) & (p <= high)].sum() for p in np.linspace(0, 1, 401)]
    assert min(pointwise) ** points < 1 - alpha


@pytest.mark.parametrize("weights", [[1, 1, 2, 2, 3, 1, 2, 1], [1, 1, 1, 1, 1, 1, 1, 9]])
def test_weighted_intervals_cover_when_draws_have_their_own_probabilities(weights):
    w = np.asarray(weights, float)
    sizes = weight_sizes(w.sum(), w.max(), (w**2).sum())
    outcomes = np.asarray(list(product([0, 1], repeat=w.size)), float)
    value = outcomes @ w / w.sum()
    low, high = weighted_interval(value, np.full(value.shape, sizes[0]), np.full(value.shape, sizes[1]), 0.2)
    assert ((low <= value) & (value <= high)).all()
    rng = np.random.default_rng(0)
    equal = np.linspace(0, 1, 21)[:, None] * np.ones(w.size)
    for p in [*equal, *rng.random((60, w.size)), *rng.integers(0, 2, (20, w.size))]:
        mass = np.prod(np.where(outcomes == 1, p, 1 - p), axis=1)
        truth = p @ w / w.sum()
        assert mass[(low <= truth + 1e-12) & (truth - 1e-12 <= high)].sum() >= 0.8
    assert (high - low).max() < 1.0


@pytest.mark.parametrize("statistic", ["difference", "score"])
@pytest.mark.parametrize(("n1", "n2", "tau"), [(7, 9, 0.3), (8, 8, 0.0), (6, 5, 0.5), (12, 12, 0.5)])
def test_the_exact_test_keeps_its_size_and_wastes_nothing(n1, n2, tau, statistic):
    x1, x2 = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    p = rise_p_values(x1, np.full(x1.shape, n1), x2, np.full(x1.shape, n2), tau, statistic)
    boundary = np.linspace(0, 1 - tau, 1501)
    inside = np.random.default_rng(1).random((500, 2))
    inside = inside[inside[:, 1] - inside[:, 0] <= tau]
    nulls = np.concatenate([np.stack([boundary, boundary + tau], axis=1), inside])
    first = binom.pmf(np.arange(n1 + 1)[:, None], n1, nulls[:, 0])
    second = binom.pmf(np.arange(n2 + 1)[:, None], n2, np.minimum(nulls[:, 1], 1))
    for level in np.unique(p[p < 1]):
        size = np.einsum("ag,ab,bg->g", first, (p <= level).astype(float), second)
        assert size.max() <= level
        assert size.max() >= level / (1 + 2 * RELATIVE_MARGIN)
    rising = x2 / n2 - x1 / n1 > tau + 1e-9
    assert (p[~rising] == 1).all()
    assert (p[rising] < 1).all()
    assert (np.diff(p, axis=0) >= -2 * RELATIVE_MARGIN * p[1:]).all()
    assert (np.diff(p, axis=1) <= 2 * RELATIVE_MARGIN * p[:, :-1]).all()


def test_the_published_critical_rises():
    # Five per cent over 20 steps: 0.68 (100 resamples) and 0.84 (25) for "rise <= 0.5"; 0.21 and 0.44 for "no rise".
    alpha = 0.05 / 20
    found = {(n, rise): critical_rise(n, alpha, rise) for n in (100, 25) for rise in (0.5, 0.0)}
    assert found == {(100, 0.5): 0.68, (25, 0.5): 0.84, (100, 0.0): 0.21, (25, 0.0): 0.44}
    assert critical_rise(2, alpha, 0.5) is None


def test_the_difference_test_rejects_from_one_rise_on_whatever_the_start():
    for start in range(5):
        assert rise_p_value(start, 25, start + 21, 25) <= 0.05 / 20 < rise_p_value(start, 25, start + 20, 25)


def test_the_score_statistic_is_stronger_near_the_ends():
    assert rise_p_value(0, 25, 7, 25, 0.0, "score") <= 0.05 / 20 < rise_p_value(0, 25, 10, 25, 0.0)
    table = rise_statistic(9, 7, 0.2)
    assert (np.diff(table, axis=0) <= 0).all()
    assert (np.diff(table, axis=1) >= 0).all()


@pytest.mark.parametrize("case", [(3, 2, 1, 5), (-1, 5, 1, 5), (1, 0, 1, 5), (0.5, 5, 1, 5)])
def test_impossible_counts_are_refused(case):
    with pytest.raises(InvalidInput):
        rise_p_value(*case)


def test_impossible_settings_are_refused():
    for tau in (-0.1, 1.0):
        with pytest.raises(InvalidInput, match="tau"):
            rise_p_value(0, 5, 5, 5, tau)
    with pytest.raises(InvalidInput, match="statistic"):
        rise_p_value(0, 5, 5, 5, 0.5, "wald")
    with pytest.raises(InvalidInput, match="alpha"):
        clopper_pearson(np.asarray([1]), np.asarray([5]), 1.0)


def test_the_hoeffding_test_keeps_its_size():
    w1, w2, tau = np.asarray([1.0, 2, 3, 1]), np.asarray([2.0, 1, 1, 4]), 0.2
    a, b = (np.asarray(list(product([0, 1], repeat=4)), float) for _ in range(2))
    rise = (b @ w2 / w2.sum())[None, :] - (a @ w1 / w1.sum())[:, None]
    sizes = [np.full(rise.shape, w.sum() ** 2 / (w**2).sum()) for w in (w1, w2)]
    p = hoeffding_rise_p_value(rise, *sizes, tau)
    assert p[rise <= tau].min() == 1
    for q in np.linspace(0, 0.8, 41):
        mass = np.prod(np.where(a == 1, q, 1 - q), 1)[:, None] * np.prod(np.where(b == 1, q + tau, 0.8 - q), 1)[None, :]
        for level in (0.05, 0.2, 0.5):
            assert mass[p <= level].sum() <= level


def test_holm_by_hand():
    assert np.allclose(holm(np.asarray([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert np.allclose(holm(np.asarray([0.5, 0.9])), [1, 1])


def test_bonferroni_counts_the_steps_of_each_question():
    p, question = np.asarray([0.01, 0.3, 0.2]), np.asarray([0, 0, 1])
    assert np.allclose(adjust_steps(p, question), [0.02, 0.6, 0.2])
    assert np.allclose(adjust_steps(p, question, "holm"), [0.02, 0.3, 0.2])
    assert np.allclose(adjust_steps(p, question, across="holm"), holm(p))
    assert adjust_steps(np.zeros(0), np.zeros(0, int)).size == 0
    for bad in ({"within": "sidak"}, {"across": "fdr"}):
        with pytest.raises(InvalidInput):
            adjust_steps(p, question, **bad)


def test_benjamini_hochberg_over_questions_is_the_selection_it_says():
    rng = np.random.default_rng(2)
    for _ in range(20):
        question = rng.integers(0, 12, 40)
        p = rng.random(40) ** 4
        steps = adjust_steps(p, question)
        adjusted = adjust_steps(p, question, across="bh")
        ids = np.unique(question)
        smallest = np.sort([steps[question == q].min() for q in ids])
        for alpha in (0.01, 0.05, 0.2, 0.7):
            passing = np.flatnonzero(smallest <= alpha * np.arange(1, ids.size + 1) / ids.size)
            selected = passing[-1] + 1 if passing.size else 0
            expected = (steps <= selected * alpha / ids.size) & (selected > 0)
            assert np.array_equal(adjusted <= alpha, expected)


def test_rises_walk_from_high_time_to_low_in_any_order_of_rows():
    times, value = np.asarray([0.1, 0.9, 0.5, 0.7, 0.3]), np.asarray([1.0, 0.2, 0.1, 0.3, 0.8])
    assert find_rises(times, value) == [(2, 4)]
    assert rise_window(times, value) == (2, 4)
    assert find_rises(times, value, 0.05) == [(2, 4), (4, 0), (1, 3)]
    assert rise_window(times, value, 0.75) is None
    assert rise_window(times, value, 0.5, max_drop=0.3) == (2, 4)
    assert rise_window(times, value, 0.5, max_drop=0.19) is None


def test_equal_rises_go_to_the_earlier_in_the_generation():
    assert rise_window(np.asarray([3, 2, 1, 0]), np.asarray([0, 0.6, 0.4, 1.0])) == (0, 1)


def test_a_rise_of_exactly_the_threshold_is_no_window():
    for start in np.arange(0, 51) / 100:
        assert rise_window(np.asarray([1.0, 0.0]), np.asarray([start, start + 0.5])) is None
        assert rise_window(np.asarray([1.0, 0.0]), np.asarray([start, round(start + 0.5, 2)])) is None
    assert rise_window(np.asarray([1.0, 0.0]), np.asarray([0.0, 0.51])) == (0, 1)


@pytest.mark.parametrize(
    "bad",
    [
        ([[1.0, 2.0]], [[0.0, 1.0]], {}),
        ([1.0, 2.0], [0.0], {}),
        ([1.0, 1.0], [0.0, 1.0], {}),
        ([1.0, np.nan], [0.0, 1.0], {}),
        ([1.0, 2.0], [0.0, np.inf], {}),
        ([1.0, 2.0], [0.0, 1.0], {"rise": -1}),
        ([1.0, 2.0], [0.0, 1.0], {"max_drop": -1}),
    ],
)
def test_curves_that_are_none_are_refused(bad):
    with pytest.raises(InvalidInput):
        rise_window(np.asarray(bad[0]), np.asarray(bad[1]), **bad[2])


def test_a_sum_in_blocks_is_the_sum(monkeypatch):
    """Of many draws the table of all probabilities is made a block at a time."""
    p = np.linspace(0.0, 0.5, 201)
    boundary = np.minimum(np.arange(31) + 16, 31)
    whole = binomial_rise.rejection_probability(boundary, 30, p, p + 0.5)
    monkeypatch.setattr(binomial_rise, "_CELLS", 100)
    assert np.array_equal(binomial_rise.rejection_probability(boundary, 30, p, p + 0.5), whole)
    # Nothing is drawn before where p is 0: the tail after alone.
    assert whole[0] == pytest.approx(binom.sf(15, 30, 0.5))
