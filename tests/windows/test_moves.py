"""Moves: exact tests keep their level, posteriors find what is there, replayed draws are handed out once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from sloc.contracts import InvalidInput
from sloc.windows.allocation import RecordedDraws, allocate_draws, certify_moves, recorded_draws
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
from sloc.windows.outcome_curves import OutcomeCounts, outcome_curve
from sloc.windows.posterior_moves import pairs_at, posterior_moves, shortest_range, spaced_maxima
from sloc.windows.recorded_import import from_forking_fast
from sloc.windows.rule_rates import rule_rates

STEPS = 40


def step_truth(before, after, at=20):
    """A curve that jumps once, and masses that allow no other move."""
    curve = np.where(np.arange(STEPS)[:, None] < at, before, after)
    leaving = np.full(STEPS - 1, 0.002)
    leaving[at - 1] = 0.97
    return curve, leaving


def question(rng, curve, leaving, n=20, name="q"):
    """Draws from a curve."""
    seen = np.stack([rng.multinomial(n, p) for p in curve]).astype(float)
    return OutcomeCounts(name, tuple("ABCDEFGH"[: curve.shape[1]]), np.arange(len(curve), dtype=float), seen, leaving)


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
    positions, draws = np.arange(STEPS, dtype=float), np.full(STEPS, 10.0)
    windows = choose_windows(positions, draws, bounds, 0.25, 4)
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
    (move,) = exact_moves([data], [leaving], tau=0.3, across="none").found
    assert move.rising == ("E", "F", "G", "H")
    assert 0.3 < move.size_interval[0] < 0.8


def test_of_many_answers_the_level_is_kept():
    """Two of eight answers move by exactly tau together, in each of 300 questions: at 5 % (binomial, 1e-9)."""
    rng = np.random.default_rng(11)
    before = [0.3, 0.3, 0.1, 0.1, 0.1, 0.04, 0.03, 0.03]
    after = [0.15, 0.15, 0.25, 0.25, 0.1, 0.04, 0.03, 0.03]
    curve, leaving = step_truth(before, after)
    data = [question(rng, curve, leaving, 10, f"q{i}") for i in range(300)]
    found = exact_moves(data, [leaving] * 300, tau=0.3, across="none")
    assert len(found.found) <= binom.isf(1e-9, 300, 0.05)


def test_exact_tests_certify_a_step_where_it_is():
    rng = np.random.default_rng(2)
    curve, leaving = step_truth([0.9, 0.05, 0.05], [0.05, 0.05, 0.9])
    data = question(rng, curve, leaving, 10)
    found = exact_moves([data], [leaving], tau=0.3, across="none")
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
    found = exact_moves(data, [leaving] * 300, tau=0.3, across="none")
    assert len(found.found) <= binom.isf(1e-3, 300, 0.05)
    assert not exact_moves(data, [leaving] * 300, tau=0.3, across="holm").found


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


def generator(rng, curve, names):
    """A live generator."""
    return lambda question, position, n: [names[a] for a in rng.choice(curve.shape[1], n, p=curve[int(position)])]


def test_two_stages_certify_with_fresh_draws():
    rng = np.random.default_rng(6)
    curve, leaving = step_truth([0.8, 0.1, 0.1], [0.1, 0.1, 0.8])
    located = posterior_moves([question(rng, curve, leaving, 4)], alpha=0.4)
    done = certify_moves(generator(rng, curve, "ABC"), located, n=100, tau=0.3)
    (move,) = done.found
    assert move.size_interval[0] < 0.7 < move.size_interval[1]
    flat = generator(rng, np.broadcast_to(curve[0], curve.shape), "ABC")
    assert not certify_moves(flat, located, n=100, tau=0.3).found
    with pytest.raises(InvalidInput, match="n = 0"):
        certify_moves(flat, located, n=0)


def test_both_stages_replay_recorded_draws():
    """Located and certified on one recording: no draw is used twice, and what was spent is counted."""
    rng = np.random.default_rng(8)
    curve, leaving = step_truth([0.8, 0.1, 0.1], [0.1, 0.1, 0.8])
    recorded = {
        ("q", float(t)): [("A", "B", "C")[a] for a in rng.choice(3, 120, p=shares)] for t, shares in enumerate(curve)
    }
    draw = RecordedDraws(recorded)
    positions = np.arange(float(curve.shape[0]))
    some = allocate_draws(draw, "q", "ABC", positions, budget=2 * positions.size, leaving=leaving)
    first = dict(draw.used)
    located = posterior_moves([some.data], alpha=0.5)
    done = certify_moves(draw, located, n=60, tau=0.3)
    (move,) = done.found
    assert move.size_interval[0] < 0.7 < move.size_interval[1]
    ends = {("q", m.start) for m in located.found} | {("q", m.stop) for m in located.found}
    assert {key: draw.used[key] - first.get(key, 0) for key in ends} == dict.fromkeys(ends, 60)
    # Two of a hundred draws a position in the first stage, and 120 a candidate in the second.
    assert draw.drawn == 2 * positions.size + 120 * len(located.found)


def test_sequential_allocation_draws_where_little_is_known():
    """Two draws a position in all: pooled on either side of the step, so that the curve errs by .05 or so."""
    rng = np.random.default_rng(7)
    curve, leaving = step_truth([0.9, 0.1], [0.1, 0.9])
    places, errors = np.arange(STEPS, dtype=float), []
    for _ in range(6):
        got = allocate_draws(generator(rng, curve, "AB"), "q", "AB", places, budget=80, leaving=leaving)
        assert got.data.counts.sum() == 80
        assert got.status == "budget spent"
        errors.append(0.5 * np.abs(got.curve.value - curve).sum(axis=1).mean())
    assert np.mean(errors) < 0.08
    early = allocate_draws(
        generator(rng, curve, "AB"), "q", "AB", np.arange(STEPS, dtype=float), budget=4000, leaving=leaving, target=0.06
    )
    assert early.status == "resolved"
    assert early.data.counts.sum() < 1000
    with pytest.raises(InvalidInput, match="categories"):
        allocate_draws(lambda *_: ["Z"], "q", "AB", np.arange(3.0), budget=8)


def test_cheap_draws_do_not_stand_for_their_neighbours():
    """A cheap position whose answers are its own: what is drawn there says little of the dear ones beside it.

    Few draws make all positions look alike, and a rule that believes it draws at the cheap one only, and is misled.
    """
    rng = np.random.default_rng(11)
    curve, cost = np.tile([0.45, 0.55], (40, 1)), np.full(40, 1000.0)
    cost[5::10], curve[5::10] = 600.0, [0.75, 0.25]
    errors, even = [], []
    for _ in range(12):
        got = allocate_draws(generator(rng, curve, "AB"), "q", "AB", np.arange(40.0), budget=400, cost=cost)
        drawn = got.data.counts.sum(axis=1)
        assert drawn.max() < 60
        assert (drawn > 0).mean() > 0.9
        errors.append(0.5 * np.abs(got.curve.value - curve).sum(axis=1).mean())
        tokens = int(drawn @ cost / cost.sum())
        counts = np.stack([rng.multinomial(tokens, p) for p in curve]).astype(float)
        plain = outcome_curve(OutcomeCounts("q", ("A", "B"), np.arange(40.0), counts, np.full(39, np.nan)))
        even.append(0.5 * np.abs(plain.value - curve).sum(axis=1).mean())
    # Over 40 runs the ratio is 1.14, with a standard error of .05: a third more draws of the odd ones weigh in.
    assert np.mean(errors) < 1.5 * np.mean(even)


def test_cheap_positions_are_drawn_more():
    rng = np.random.default_rng(12)
    curve, cost = np.tile([0.5, 0.5], (24, 1)), np.repeat([900.0, 100.0], 12)
    got = allocate_draws(generator(rng, curve, "AB"), "q", "AB", np.arange(24.0), budget=240, cost=cost)
    drawn = got.data.counts.sum(axis=1)
    assert drawn[13:].mean() > 1.5 * drawn[:11].mean()
    assert got.rounds < 20


def test_draws_come_in_the_batches_that_were_asked_for():
    rng, asked = np.random.default_rng(13), []
    draw = generator(rng, np.tile([0.5, 0.5], (20, 1)), "AB")

    def noted(question, position, n):
        asked.append(n)
        return draw(question, position, n)

    allocate_draws(noted, "q", "AB", np.arange(20.0), budget=80, batch=16)
    assert asked == [16] * 5


def test_recorded_draws_are_handed_out_once():
    draw = RecordedDraws({("q", 0.0): list("ABAB")}, {("q", 0.0): [1.0, 2.0, 3.0, 4.0]})
    assert [draw("q", 0, 3), draw("q", 0, 3), draw("q", 0, 3)] == [list("ABA"), ["B"], []]
    assert (draw.drawn, draw.spent) == (4, 10.0)
    with pytest.raises(InvalidInput, match="recorded"):
        draw("q", 1, 1)
    got = allocate_draws(
        RecordedDraws({("q", 0.0): list("AB"), ("q", 1.0): ["A"]}), "q", "AB", np.arange(2.0), budget=50
    )
    assert got.status == "no draws left"
    assert got.data.counts.sum() == 3


def test_branches_are_mixed_by_their_weights():
    branches = [
        {"t": 0, "tok_id": 1, "tok_p": 0.9, "is_base": True, "answers": ["A"] * 900, "cont_lens": [2] * 900},
        {"t": 0, "tok_id": 2, "tok_p": 0.1, "is_base": False, "answers": ["B"] * 900, "cont_lens": [5] * 900},
    ]
    record = {"meta": {"row_id": 1}, "idxs": [0], "categories": ["A", "B"], "branches": branches}
    draw = recorded_draws([from_forking_fast(record)[0]])
    answers = draw("1", 0, 800)
    hits = answers.count("B")
    # Binomial, false alarms below 1e-5.
    assert binom.ppf(5e-6, 800, 0.1) <= hits <= binom.isf(5e-6, 800, 0.1)
    assert draw.spent == 2 * (800 - hits) + 5 * hits


ASKED = {
    "outside": (lambda n: ["banana"] * n, r"answer 'banana': expected one of the categories \('A', 'B'\)"),
    "another case": (lambda n: ["b"] * n, r"answer 'b': expected one of the categories"),
    "too many": (lambda n: ["A"] * (n + 1), r"draws at .*: expected at most the \d+ answers that were asked for"),
    "a text": (lambda n: "AB", r"draws at .* = 'AB': expected a sequence of answers"),
    "None": (lambda n: None, r"draws at .* = None: expected a sequence of answers"),
    "numbers": (lambda n: [0] * n, r"expected a sequence of answers, each a text"),
    "lists": (lambda n: [["A"]] * n, r"expected a sequence of answers, each a text"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_a_generator_returns_is_checked(case):
    """By both: no draw beyond what was asked for, and no answer that is merely counted as not rising."""
    answers, message = ASKED[case]
    counts = np.array([[10, 0]] * 10 + [[0, 10]] * 10, float)
    located = posterior_moves([OutcomeCounts("q", ("A", "B"), np.arange(20.0), counts, np.full(19, np.nan))])
    with pytest.raises(InvalidInput, match=message):
        certify_moves(lambda q, p, n: answers(n), located, n=20)
    with pytest.raises(InvalidInput, match=message):
        allocate_draws(lambda q, p, n: answers(n), "q", ("A", "B"), np.arange(20.0), budget=40)


def test_sizes_are_certified_at_the_level_that_was_asked_for():
    """Each of ``m`` candidates has an interval of level ``1 - alpha / m``, from limits of either share."""
    counts = np.array([[10, 0]] * 10 + [[0, 10]] * 10, float)
    both = [OutcomeCounts(name, ("A", "B"), np.arange(20.0), counts, np.full(19, np.nan)) for name in "qr"]

    def interval(alpha, questions):
        seen = certify_moves(
            lambda q, p, n: np.array(["A"] * 24 + ["B"] * 6 if p < 10 else ["A"] * 3 + ["B"] * 27),
            posterior_moves(questions),
            n=30,
            alpha=alpha,
        )
        (found,) = {m.size_interval for m in seen.moves}
        assert len(seen.moves) == len(questions)
        return found

    def by_hand(level):
        (a, b), (c, d) = ((beta.ppf(level / 4, k, 31 - k), beta.isf(level / 4, k + 1, 30 - k)) for k in (6, 27))
        return max(c - b, 0.0), d - a

    for alpha in (0.01, 0.05, 0.2):
        assert np.allclose(interval(alpha, both[:1]), by_hand(alpha))
        assert np.allclose(interval(alpha, both), by_hand(alpha / 2))


def test_probabilities_stay_inside_their_range():
    """Rounding of a sum over the grid left 1 + 2e-16, and the mean of what is false below zero."""
    rng = np.random.default_rng(0)
    counts = [
        OutcomeCounts(str(i), ("A", "B"), np.arange(20.0), np.stack([k, n - k], axis=1), np.full(19, 0.5))
        for i, n in enumerate(rng.integers(50, 400, 40))
        for k in [np.where(np.arange(20) < 10, n, 0).astype(float)]
    ]
    moves = posterior_moves(counts).moves
    assert len(moves) == 40
    assert all(0.0 <= m.probability <= 1.0 and m.adjusted >= 0.0 for m in moves)
    assert max(m.probability for m in moves) > 1.0 - 1e-12


def test_a_short_generator_is_told_and_too_few_positions_are_undecided():
    curve, leaving = step_truth([0.8, 0.1, 0.1], [0.1, 0.1, 0.8])
    rng = np.random.default_rng(6)
    located = posterior_moves([question(rng, curve, leaving, 4)], alpha=0.4)
    done = certify_moves(lambda q, p, n: ["A"] * 3, located, n=50)
    assert all("3 fresh draws before and 3 after" in m.method for m in done.moves)
    alone = OutcomeCounts("alone", ("A", "B"), np.arange(2.0), np.full((2, 2), 50.0), np.full(1, np.nan))
    assert posterior_moves([alone], gap=4).statuses == {"alone": "undecided"}


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
        (move,) = exact_moves([few(rows, names)], [None], gap=1, separation=9, across="none", stated=stated).moves
        assert move.start == 1.0
        assert move.size == 1.0
        return move.p_value, move.rising

    # A and B were drawn at position 0: six sets of {A}, {B}, {C, D}.
    assert best(rows, [()]) == (pytest.approx(6 * tail), ("C", "D"))
    # C was stated, and D is what is left: six of their sets hold two answers, and there are two families.
    assert best(rows, [("C",)]) == (pytest.approx(2 * 6 * tail), ("C", "D"))
    # All stated: each set is a hypothesis.
    assert best(rows, None) == (pytest.approx(tail), ("C", "D"))
    assert best(rows, [names]) == (pytest.approx(tail), ("C", "D"))
    # Drawn elsewhere too, C and D have names of their own, as if stated.
    later = [*rows, [0, 0, 10, 10]]
    (move,) = exact_moves([few(later, names)], [None], gap=1, separation=9, across="none", stated=[()]).found
    assert (move.p_value, move.rising) == (pytest.approx(2 * 20 * tail), ("C", "D"))


def test_two_positions_alone_name_no_answer():
    """Nothing is known without their draws: no set may be asked of them, unless an answer was stated."""
    data = few([[30, 0], [0, 30]], ("A", "B"))
    nothing = exact_moves([data], [None], gap=1, across="none", stated=[()])
    assert [m.p_value for m in nothing.moves] == [1.0]
    (move,) = exact_moves([data], [None], gap=1, across="none", stated=[("A",)]).found
    assert (move.p_value, move.rising) == (pytest.approx(2 * binom.sf(59, 60, 0.65)), ("B",))


def test_more_answers_than_can_be_counted_leave_a_p_value_of_one():
    """2^3000 sets are no floating number: where every draw is an answer of its own nothing is certified, and told."""
    counts = np.zeros((3, 3000))
    for t in range(3):
        counts[t, 1000 * t : 1000 * (t + 1)] = 1.0
    data = few(counts, tuple(f"a{i}" for i in range(3000)))
    assert [m.p_value for m in exact_moves([data], [None], gap=2, tau=0.0).moves] == [1.0]


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
        exact_moves([few([[30, 0], [0, 30]], ("A", "B"))], [None], gap=1, stated=stated)


def test_questions_of_one_name_are_refused():
    """What is said of them is kept by name: the last one's status would have been everyone's."""
    data = [few([[30, 0], [0, 30]], ("A", "B"))] * 2
    for call in (posterior_moves, lambda q: exact_moves(q, [None] * 2)):
        with pytest.raises(InvalidInput, match=r"questions, question = 'q': expected questions of different names"):
            call(data)
