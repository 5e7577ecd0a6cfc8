"""Moves: exact tests keep their level, posteriors find what is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.windows.likely_moves import pairs_at, posterior_moves, shortest_range, spaced_maxima
from sloc.windows.move_kernels import (
    EDGES,
    GRID,
    LEVELS,
    SHARES,
    MovePrior,
    RunPrior,
    leaving_levels,
    mode_chain,
    mode_kernels,
)
from sloc.windows.move_tests import answer_sets, choose_windows, exact_moves, pooled_rise_p_value, strongest_sets
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.rule_errors import rule_rates
from tests.windows.jumps import STEPS, question, step_truth


def test_pooled_p_values_are_valid_for_draws_that_differ():
    """Exact: the law of a sum of unlike indicators, against every threshold."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        n, tau = 6, 0.2
        after = rng.random(n)
        before = rng.random(n)
        mean = after.mean() - before.mean()
        if mean > tau:
            continue
        law = np.ones(1)
        for p in [*after, *(1 - before)]:
            law = np.convolve(law, [1 - p, p])
        tail = np.cumsum(law[::-1])[::-1]
        p_values = pooled_rise_p_value(np.arange(2 * n + 1.0), np.asarray(2.0 * n), np.asarray(tau))
        assert (tail <= p_values + 1e-12).all()
    assert np.isclose(pooled_rise_p_value(np.asarray(12.0), np.asarray(12.0), np.asarray(0.2)), binom.sf(11, 12, 0.6))


def test_windows_are_chosen_without_the_answers_and_their_slack_is_a_bound():
    rng = np.random.default_rng(1)
    bounds = rng.beta(0.3, 3, STEPS - 1)
    data = OutcomeCounts("q", ("A", "B"), np.arange(STEPS, dtype=float), np.full((STEPS, 2), 5.0), bounds)
    windows = choose_windows(data, 0.25, 4)
    path = np.concatenate([[0.0], np.cumsum(bounds)])
    for i, j, w, slack in zip(windows.start, windows.stop, windows.width, windows.slack, strict=True):
        by_hand = np.mean(path[i] - path[i - w + 1 : i + 1]) + np.mean(path[j : j + w] - path[j])
        assert np.isclose(slack, by_hand)
    assert windows.settled == np.sum(path[4:] - path[:-4] <= 0.25)
    assert answer_sets(4).shape == (14, 4)


def test_of_many_answers_every_set_is_tested():
    """The strongest set of either family, found without trying them, against all of them."""
    rng = np.random.default_rng(9)
    for answers in (4, 7, 9):
        sets = answer_sets(answers)
        ends = np.isin(sets.sum(axis=1), (1, answers - 1))
        gains = np.round(rng.normal(0, 4, (60, answers)))
        gains[:20] = np.abs(gains[:20])
        gains[20:30] = -np.abs(gains[20:30])
        strongest, number = strongest_sets(gains)
        assert (number == [ends.sum(), (~ends).sum()]).all()
        every = gains @ sets.T
        for family, among in enumerate((ends, ~ends)):
            size = strongest[:, family].sum(axis=1)
            assert np.isin(size, np.unique(sets[among].sum(axis=1))).all()
            assert np.array_equal((gains * strongest[:, family]).sum(axis=1), every[:, among].max(axis=1))


def test_a_move_that_no_single_answer_shows_is_certified():
    """Four of eight answers gain 0.2 each: no answer, and no complement of one, moves by more than 0.3."""
    rng = np.random.default_rng(10)
    before = [0.225] * 4 + [0.025] * 4
    curve, leaving = step_truth(before, before[::-1])
    data = question(rng, curve, leaving, 20)
    (move,) = exact_moves([data], tau=0.3, across="none").found
    assert move.rising == ("E", "F", "G", "H")
    assert 0.3 < move.size_interval[0] < 0.8


def test_of_many_answers_the_level_is_kept():
    """Two of eight answers move by exactly tau together, in each of 300 questions: at 5 % (binomial, 1e-9)."""
    rng = np.random.default_rng(11)
    before = [0.3, 0.3, 0.1, 0.1, 0.1, 0.04, 0.03, 0.03]
    after = [0.15, 0.15, 0.25, 0.25, 0.1, 0.04, 0.03, 0.03]
    curve, leaving = step_truth(before, after)
    data = [question(rng, curve, leaving, 10, f"q{i}") for i in range(300)]
    found = exact_moves(data, tau=0.3, across="none")
    assert len(found.found) <= binom.isf(1e-9, 300, 0.05)


def test_exact_tests_certify_a_step_where_it_is():
    rng = np.random.default_rng(2)
    curve, leaving = step_truth([0.9, 0.05, 0.05], [0.05, 0.05, 0.9])
    data = question(rng, curve, leaving, 10)
    found = exact_moves([data], tau=0.3, across="none")
    (move,) = found.found
    assert move.start < 20 <= move.stop
    assert "C" in move.rising
    assert "A" not in move.rising
    assert 0.3 < move.size_interval[0] < 0.85 <= move.size_interval[1]
    assert found.statuses == {"q": "resolved"}
    assert len(found.to_dataframe()) == 1


def test_exact_tests_keep_their_level_at_the_boundary():
    """A true move of exactly tau in each of 300 questions: at 5 %, at most 27 certified (binomial, 1e-3)."""
    rng = np.random.default_rng(3)
    curve, leaving = step_truth([0.65, 0.35], [0.35, 0.65])
    data = [question(rng, curve, leaving, 10, f"q{i}") for i in range(300)]
    found = exact_moves(data, tau=0.3, across="none")
    assert len(found.found) <= binom.isf(1e-3, 300, 0.05)
    assert not exact_moves(data, tau=0.3, across="holm").found


def test_posterior_moves_find_size_and_location():
    rng = np.random.default_rng(4)
    curve, leaving = step_truth([0.8, 0.1, 0.1], [0.1, 0.1, 0.8])
    flat = np.broadcast_to([0.5, 0.3, 0.2], (STEPS, 3))
    one = OutcomeCounts("one", ("A",), np.arange(3.0), np.full((3, 1), 5.0), np.full(2, np.nan))
    data = [question(rng, curve, leaving, 30), question(rng, flat, np.full(STEPS - 1, 0.3), 10, "flat"), one]
    moves = posterior_moves(data)
    (move,) = moves.found
    assert move.question == "q"
    assert move.start < 20 <= move.stop
    assert move.rising == ("C",) or set(move.rising) == {"B", "C"}
    # The grid of shares is 0.026 wide at most.
    assert move.size_interval[0] - 0.03 < 0.7 < move.size_interval[1] + 0.03
    assert move.location[0] <= 19 <= 20 <= move.location[1]
    assert move.location[1] - move.location[0] <= 4
    assert moves.statuses == {"q": "resolved", "flat": "empty", "one": "one answer"}
    assert "1 found" in repr(moves)


def from_the_prior(rng, prior, steps=40):
    """Two answers whose share is drawn from the prior itself, and masses."""
    kernels, (law, chain) = mode_kernels(prior), mode_chain(prior)
    leaving = np.where(rng.random(steps - 1) < 0.2, rng.choice(LEVELS[LEVELS > 0.3], steps - 1), 0.001)
    x = [int(rng.choice(GRID, p=np.diff(np.concatenate([[0.0], 2 / np.pi * np.arcsin(np.sqrt(EDGES)), [1.0]]))))]
    mode = int(rng.choice(law.size, p=law)) if law.size > 1 else 0
    for level in leaving_levels(leaving, 0.5):
        mode = int(rng.choice(law.size, p=chain[mode])) if law.size > 1 else 0
        x.append(int(rng.choice(GRID, p=kernels[level, mode, x[-1]])))
    return np.stack([SHARES[x], 1 - SHARES[x]], axis=1), leaving


OWN = {
    "steps": MovePrior(0.7, ((0.3, 2.0),)),
    "runs": MovePrior(0.9, ((0.1, 2.0),), runs=(RunPrior(0.05, 0.1, 10.0, 0.5),)),
}


@pytest.mark.parametrize("kind", OWN)
def test_probabilities_of_moves_are_calibrated_under_the_prior(kind):
    """Of candidates given probability pi, pi have such a move: summed over 600 curves (six standard errors).

    Sizes lie in their 90 % intervals: one candidate a curve, binomial, 1e-9.
    """
    rng, prior = np.random.default_rng(7), OWN[kind]
    # Martingales settle at 0 or 1: most of what moves does so early.
    made = [from_the_prior(rng, prior, steps=20) for _ in range(600)]
    data = [question(rng, curve, leaving, 5, str(i)) for i, (curve, leaving) in enumerate(made)]
    moves = posterior_moves(data, priors=(prior,), alpha=0.1)
    pi, truth, held = [], [], {}
    for m in moves.moves:
        share = made[int(m.question)][0][:, "AB".index(m.rising[0])]
        size = share[int(m.stop)] - share[int(m.start)]
        pi.append(m.probability)
        truth.append(size > 0.3)
        held.setdefault(m.question, m.size_interval[0] <= max(size, 0.0) <= m.size_interval[1])
    assert sum(held.values()) >= binom.ppf(1e-9, len(held), 0.9)
    pi, truth = np.asarray(pi), np.asarray(truth)
    assert 40 < truth.sum() < truth.size - 40
    for part in (pi < 0.5, pi >= 0.5):
        spread = np.sqrt((pi[part] * (1 - pi[part])).sum() + 1)
        assert abs(pi[part].sum() - truth[part].sum()) < 6 * spread
    found = np.asarray([m.found for m in moves.moves])
    # 10 % promised of those reported; binomial, 1e-9.
    assert (~truth[found]).sum() <= binom.isf(1e-9, found.sum(), 0.1)


def test_too_few_draws_are_undecided_and_not_empty():
    """One draw in twenty positions says nothing; many draws that all agree say that nothing moves."""
    few, many = np.zeros((20, 2)), np.full((20, 2), 15.0)
    few[3, 0] = 1.0
    questions = [
        OutcomeCounts(name, ("A", "B"), np.arange(20.0), counts, np.full(19, np.nan))
        for name, counts in (("few", few), ("many", many))
    ]
    assert posterior_moves(questions).statuses == {"few": "undecided", "many": "empty"}


def test_small_pieces():
    start, stop = pairs_at(np.asarray([0.0, 1, 5, 6]), 4)
    assert (start.tolist(), stop.tolist()) == ([0, 1], [2, 2])
    assert spaced_maxima(np.asarray([1.0, 3, 2, 0.5]), np.arange(4), 0.6, 1) == [1]
    assert shortest_range(np.arange(5.0), np.asarray([0.0, 1, 0, 0]), 0.9) == (1.0, 2.0)


def test_the_rule_errs_as_computed():
    """All pairs of counts, added up; the worst probability before the step is sought on a grid, a little below."""

    def fires(n, rise, size):
        counts = np.arange(n + 1)
        over = counts[None, :] - counts[:, None] > n * rise + 1e-9
        before = np.linspace(0, 1 - size, 401)
        laws = (binom.pmf(counts, n, p[:, None]) for p in (before, before + size))
        return np.einsum("pi,ij,pj->p", next(laws), over, next(laws))

    for n, rise, null, event in ((25, 0.5, 0.45, 0.6), (10, 0.5, 0.25, 0.6), (100, 0.3, 0.2, 0.35), (3, 0.0, 0.1, 0.9)):
        rates = rule_rates(n, rise=rise, null=null, event=event, steps=3)
        for rate, chances in (
            (rates.fires_flat, fires(n, rise, 0.0)),
            (rates.fires_null, fires(n, rise, null)),
            (rates.misses, 1 - fires(n, rise, event)),
        ):
            assert chances.max() - 1e-9 <= rate <= chances.max() + 1e-3
        assert np.isclose(rates.fires_curve, min(1.0, 3 * rates.fires_null))
    with pytest.raises(InvalidInput, match="draws"):
        rule_rates(0)


def test_sets_are_made_of_named_answers_alone():
    """The strongest set of either family among those of the named answers, against all of them."""
    rng = np.random.default_rng(12)
    gains, named = np.round(rng.normal(0, 4, (200, 6))), rng.random((200, 6)) < 0.6
    strongest, number = strongest_sets(gains, named)
    for row, own, best, count in zip(gains, named, strongest, number, strict=True):
        size = int(own.sum())
        sets = answer_sets(size) if size > 1 else np.zeros((0, size), bool)
        ends = np.isin(sets.sum(axis=1), (1, size - 1))
        assert count.tolist() == [ends.sum(), (~ends).sum()]
        assert not best[:, ~own].any()
        for family, among in enumerate((ends, ~ends)):
            if among.any():
                assert row[best[family]].sum() == (sets[among] @ row[own]).max()


def few(rows, names):
    """A question by its counts."""
    counts = np.asarray(rows, float)
    return OutcomeCounts("q", names, np.arange(float(len(rows))), counts, np.full(len(rows) - 1, np.nan))


def test_answers_that_only_the_pair_saw_are_one():
    """C and D appear after the only step: named one by one once they were drawn elsewhere or stated, and paid for."""
    names, tail = ("A", "B", "C", "D"), binom.sf(39, 40, 0.65)
    rows = [[10, 10, 0, 0], [15, 5, 0, 0], [0, 0, 12, 8]]

    def best(rows, stated):
        (move,) = exact_moves([few(rows, names)], gap=1, separation=9, across="none", stated=stated).moves
        assert move.start == 1.0
        assert move.size == 1.0
        return move.p_value, move.rising

    # A and B were drawn at position 0: six sets of {A}, {B}, {C, D}.
    assert best(rows, [()]) == (pytest.approx(6 * tail), ("C", "D"))
    # C was stated, and D is what is left: six of their sets hold two answers, and there are two families.
    assert best(rows, [("C",)]) == (pytest.approx(2 * 6 * tail), ("C", "D"))
    # All stated: each set is a hypothesis.
    assert best(rows, None) == (pytest.approx(tail), ("C", "D"))
    assert best(rows, [None]) == (pytest.approx(tail), ("C", "D"))
    # Named, others being possible: as if drawn elsewhere.
    assert best(rows, [names]) == (pytest.approx(2 * 20 * tail), ("C", "D"))
    # Drawn elsewhere too, C and D have names of their own, as if stated.
    later = [*rows, [0, 0, 10, 10]]
    (move,) = exact_moves([few(later, names)], gap=1, separation=9, across="none", stated=[()]).found
    assert (move.p_value, move.rising) == (pytest.approx(2 * 20 * tail), ("C", "D"))


def test_two_positions_alone_name_no_answer():
    """Nothing is known without their draws: no set may be asked of them, unless an answer was stated."""
    data = few([[30, 0], [0, 30]], ("A", "B"))
    nothing = exact_moves([data], gap=1, across="none", stated=[()])
    assert [m.p_value for m in nothing.moves] == [1.0]
    (move,) = exact_moves([data], gap=1, across="none", stated=[("A",)]).found
    assert (move.p_value, move.rising) == (pytest.approx(2 * binom.sf(59, 60, 0.65)), ("B",))


def test_more_answers_than_can_be_counted_leave_a_p_value_of_one():
    """2^3000 sets are no floating number: where every draw is an answer of its own nothing is certified, and told."""
    counts = np.zeros((3, 3000))
    for t in range(3):
        counts[t, 1000 * t : 1000 * (t + 1)] = 1.0
    data = few(counts, tuple(f"a{i}" for i in range(3000)))
    assert [m.p_value for m in exact_moves([data], gap=2, tau=0.0).moves] == [1.0]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ([("A",), ("A",)], "stated = 2: expected one for each of 1 questions"),
        ([("C",)], r"question 'q', stated = \['C'\]: expected some of the categories \('A', 'B'\)"),
        ([("A", "A")], "question 'q', stated"),
        ("A", "stated = 'A': expected a sequence of lists of texts, or None"),
        (["A"], "expected a sequence of lists of texts, or None"),
    ],
)
def test_stated_answers_are_categories(stated, message):
    with pytest.raises(InvalidInput, match=message):
        exact_moves([few([[30, 0], [0, 30]], ("A", "B"))], gap=1, stated=stated)


def test_questions_of_one_name_are_refused():
    """What is said of them is kept by name: the last one's status would have been everyone's."""
    data = [few([[30, 0], [0, 30]], ("A", "B"))] * 2
    for call in (posterior_moves, exact_moves):
        with pytest.raises(InvalidInput, match=r"questions, question = 'q': expected questions of different names"):
            call(data)


def test_sizes_of_all_questions_hold_together():
    """Twelve questions of one pair and different sizes, all certified by Holm: 10 %, 400 times (binomial, 1e-6)."""
    rng, wrong, level = np.random.default_rng(21), 0, 0.1
    sizes = np.linspace(0.35, 0.9, 12)
    for _ in range(400):
        data = []
        for i, size in enumerate(sizes):
            before, after = 0.5 - size / 2, 0.5 + size / 2
            hits = rng.binomial(200, [before, after]).astype(float)
            seen = np.stack([hits, 200 - hits], axis=1)
            data.append(OutcomeCounts(f"q{i}", ("A", "B"), np.arange(2.0), seen, np.full(1, np.nan)))
        found = exact_moves(data, tau=0.0, gap=1, alpha=level, across="holm").moves
        wrong += any(m.found and m.size_interval[0] > sizes[int(m.question[1:])] for m in found)
    assert wrong <= binom.isf(1e-6, 400, level)
    # Holm's own steps taken for levels of limits err 13 % of the time, Bonferroni's 5 %.
    assert wrong < 0.09 * 400


def test_stated_answers_leave_room_for_others_whether_or_not_they_were_drawn():
    """A question of one stated answer stays a hypothesis, so that no draw decides how many there are."""
    always = OutcomeCounts("always", ("A",), np.arange(2.0), np.full((2, 1), 20.0), np.full(1, np.nan))
    never = OutcomeCounts("never", ("A", "B"), np.arange(2.0), np.asarray([[20.0, 0.0]] * 2), np.full(1, np.nan))
    moved = OutcomeCounts("q", ("A", "B"), np.arange(2.0), np.asarray([[20.0, 0.0], [0.0, 20.0]]), np.full(1, np.nan))
    p = [
        exact_moves([moved, other], gap=1, across="holm", stated=[("A",), ("A",)]).moves[0].adjusted
        for other in (always, never)
    ]
    assert p[0] == p[1]
