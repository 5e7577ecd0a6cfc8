"""Where to draw next, and fresh draws: replayed draws are handed out once, generators are checked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from sloc.contracts import InvalidInput
from sloc.windows.allocation import RecordedDraws, allocate_draws, certify_moves, recorded_draws
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_import import from_forking_fast
from tests.windows.jumps import STEPS, question, step_truth


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


def test_where_no_leaving_mass_is_known_draws_follow_their_cost():
    """Of positions that tell nothing of one another ``n`` goes as ``cost^(-2/3)``: 4.3 to 1 at nine times the cost."""
    rng, cost = np.random.default_rng(14), np.repeat([9.0, 1.0], 20)
    curve = np.tile([0.5, 0.5], (40, 1))
    drawn = {}
    for case, prices in (("alike", None), ("dear, then cheap", cost)):
        got = allocate_draws(generator(rng, curve, "AB"), "q", "AB", np.arange(40.0), budget=400, cost=prices)
        drawn[case] = got.data.counts.sum(axis=1)
    assert drawn["alike"].min() >= 5
    assert drawn["alike"].max() <= 20
    dear, cheap = drawn["dear, then cheap"].reshape(2, 20)
    assert dear.min() >= 1
    assert 3 <= cheap.mean() / dear.mean() <= 6


def test_draws_go_on_where_a_position_has_no_more():
    answers = {("q", float(t)): list("AB" * (1 if t == 1 else 20)) for t in range(4)}
    got = allocate_draws(RecordedDraws(answers), "q", "AB", np.arange(4.0), budget=30)
    assert got.data.counts.sum(axis=1).tolist() == pytest.approx([9, 2, 9, 9], abs=1)
    assert got.data.counts.sum() == 30
    none = allocate_draws(RecordedDraws(answers), "q", "AB", np.arange(4.0), budget=300)
    assert (none.status, none.data.counts.sum()) == ("no draws left", 122)


def test_cheap_positions_are_drawn_more():
    """Where leaving masses are known; else a design could be misled, and draws are dealt evenly."""
    rng = np.random.default_rng(12)
    curve, cost = np.tile([0.5, 0.5], (24, 1)), np.repeat([900.0, 100.0], 12)
    got = allocate_draws(
        generator(rng, curve, "AB"), "q", "AB", np.arange(24.0), budget=240, leaving=np.full(23, 0.5), cost=cost
    )
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


def test_a_generator_that_never_answers_is_named():
    with pytest.raises(InvalidInput, match="draw = "):
        allocate_draws(lambda *_: [], "q", "AB", np.arange(3.0), budget=8)


def test_questions_mix_their_branches_apart():
    """Two questions of the same branches take other ones; what else is replayed changes none."""
    parts = [Branch(0.0, str(i), 0.5, i == 0, np.full(40, i)) for i in range(2)]
    one, two = (Recording(name, ("A", "B"), tuple(parts)) for name in ("one", "two"))
    both, alone = recorded_draws([one, two]), recorded_draws([two])
    assert both("one", 0.0, 30) != (taken := both("two", 0.0, 30))
    assert taken == alone("two", 0.0, 30)


def test_a_cost_may_be_any_number():
    draw = RecordedDraws({("q", 0.0): list("AB")}, {("q", 0.0): np.int64(7)})
    draw("q", 0.0, 2)
    assert draw.spent == 14.0


def test_positions_alike_in_all_are_drawn_alike():
    rng, masses = np.random.default_rng(14), np.full(39, np.nan)
    masses[3] = 0.4
    curve = np.tile([0.5, 0.5], (40, 1))
    got = allocate_draws(generator(rng, curve, "AB"), "q", "AB", np.arange(40.0), budget=80, leaving=masses)
    assert got.data.counts.sum(axis=1).tolist() == [2.0] * 40
