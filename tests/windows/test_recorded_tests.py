"""Plain draws of branches, exact tests of them, and the published rule with its rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.report.move_tables import found_beside
from sloc.report.recorded_analysis import analyse
from sloc.windows.allocation import recorded_draws
from sloc.windows.distance_estimates import outcome_distances
from sloc.windows.exact_bands import simultaneous_bands
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_tests import choose_windows, exact_moves
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts, outcome_curve
from sloc.windows.recorded import Branch, Recording, leaving_masses
from sloc.windows.recorded_import import read_forking_fast
from sloc.windows.recorded_tests import NULL, RULE, plain_counts, recorded_exact_moves, rule_firing
from sloc.windows.rule_errors import rule_rates


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


def test_recordings_of_one_name_or_of_two_axes_are_refused():
    rng = np.random.default_rng(3)
    one = recording([(0.9,), (0.1,)], [20, 20], rng)
    other = replace(one, question="r", axis="fraction")
    moves = posterior_moves([one])
    calls = (
        recorded_exact_moves,
        posterior_moves,
        analyse,
        lambda given: found_beside(moves, given, 1.0),
    )
    for call in (*calls, recorded_draws):
        with pytest.raises(InvalidInput, match=r"question = 'q': expected questions of different names"):
            call([one, one])
    for call in calls:
        with pytest.raises(InvalidInput, match=r"axis = 'position' \(question 'q'\) and 'fraction' \(question 'r'\)"):
            call([one, other])
    with pytest.raises(InvalidInput, match="all_stated"):
        recorded_exact_moves([one], all_stated=[("A",)])


def turned(axis, positions, weight=0.99):
    """The taken token is all but certain, yet 100 answers of A are followed by 100 of B at the next position."""
    branches = [
        Branch(float(t), "x", weight, True, np.full(100, 2 * i >= len(positions), int)) for i, t in enumerate(positions)
    ]
    return Recording("q", ("A", "B"), tuple(branches), axis=axis, full=float(max(positions)))


@pytest.mark.parametrize(
    ("axis", "positions", "adjacent"), [("fraction", (0, 1), None), ("position", range(10), False)]
)
def test_steps_that_are_no_tokens_may_be_of_any_size(axis, positions, adjacent):
    """Fractions 0 and 1, and numbered sentences: the first token's probability is not that of the step."""
    given = turned(axis, positions)
    for count in (outcome_counts, plain_counts):
        assert np.isnan(count(given, adjacent=adjacent).leaving).all()
    (move,) = recorded_exact_moves([given], gap=1, across="none", all_stated=True, adjacent=adjacent).found
    assert (move.size, move.size_interval[1]) == (1.0, 1.0)
    # Taken for tokens, the same draws contradict what is said of them: every pair is settled.
    tokens = turned("position", positions)
    assert recorded_exact_moves([tokens], gap=1, across="none", all_stated=True).moves == ()
    assert np.allclose(plain_counts(tokens, adjacent=True).leaving, 0.01)


def test_fractions_are_not_said_to_be_tokens():
    given = turned("fraction", (0, 1))
    for call in (outcome_counts, plain_counts, lambda r, **said: recorded_exact_moves([r], **said)):
        with pytest.raises(InvalidInput, match=r"adjacent = True: expected false or None: 'q' keeps fractions"):
            call(given, adjacent=True)
        with pytest.raises(InvalidInput, match=r"adjacent = 1: expected"):
            call(given, adjacent=1)


def without(given, *missing):
    """The recording, some of its positions expected and not drawn at."""
    branches = tuple(b for b in given.branches if b.position not in missing)
    return replace(given, branches=branches, expected=tuple(given.positions.tolist()))


def test_a_missing_position_unsettles_what_lies_across_it_alone():
    """One of ten is missing: its own step is not known, others are, and what lies around it is compared."""
    given = without(turned("position", range(10)), 4.0)
    data = plain_counts(given)
    assert data.positions.tolist() == list(range(10))
    assert data.counts.sum(axis=1).tolist() == [100.0] * 4 + [0.0] + [100.0] * 5
    # What leaves until the missing one is known; from it on, nothing is.
    assert np.array_equal(data.leaving, outcome_counts(given).leaving, equal_nan=True)
    assert np.isnan(data.leaving).tolist() == [False] * 4 + [True] + [False] * 4
    windows = choose_windows(data, 0.3, 1.0)
    assert (windows.start.tolist(), windows.stop.tolist(), windows.settled) == ([3], [5], 7)
    (move,) = recorded_exact_moves([given], gap=1, across="none", all_stated=True).found
    assert (move.start, move.stop, move.size) == (3.0, 5.0, 1.0)
    beside = found_beside(posterior_moves([given], gap=1), [given], 1.0)[1]
    assert beside.pairs[["pairs", "pairs_settled", "pairs_tested"]].to_numpy().tolist() == [[8, 7, 1]]
    fires = rule_firing(data, gap=1, reference="B")
    assert (fires.status, fires.start, fires.stop, fires.steps) == ("fires", 3.0, 5.0, 8)
    apart = outcome_distances(data, gap=1)
    assert (apart.start.size, apart.plug_in.tolist()) == (8, [0.0] * 3 + [1.0] + [0.0] * 4)


def test_exact_tests_keep_their_level_where_positions_are_missing():
    """Shares rise by 0.025 a token, as fast as the masses let them, ``tau`` in all at every pair that is asked."""
    rng, tau, wrong = np.random.default_rng(8), 0.1, 0
    share = 0.05 + 0.025 * np.arange(36)
    for _ in range(200):
        answers = [np.asarray(rng.random(60) < p, int) for p in share]
        branches = [Branch(float(t), "x", 0.975, True, a) for t, a in enumerate(answers)]
        given = without(
            Recording("q", ("A", "B"), tuple(branches)), *rng.choice(np.arange(1.0, 35.0), 4, replace=False)
        )
        found = exact_moves([plain_counts(given)], tau=tau - 1e-6, alpha=0.2, gap=4.0, across="none").found
        # Where the fourth position on is missing, the pair ends one later and its move is a true one.
        wrong += any(m.stop - m.start <= 4.0 for m in found)
    # 20 % each at most: above the limit with a chance below 1e-7.
    assert wrong <= binom.isf(1e-7, 200, 0.2)


def test_of_a_released_row_most_pairs_stay_settled_without_one_position(test_data):
    given, _ = read_forking_fast(test_data / "data" / "forking_fast" / "llama" / "row003.json.gz")
    middle = float(given.positions[given.positions.size // 2])
    whole, less = (choose_windows(plain_counts(r), 0.3, 4.0) for r in (given, without(given, middle)))
    # Pairs from the missing position, or across the step that leaves it, are five at most.
    assert whole.settled > 50
    assert whole.settled - 5 <= less.settled <= whole.settled


def dropped():
    """From position 5 on another token, of probability .6, was never continued: it would have answered B always.

    Before, all tokens were kept: what is recorded there, .4 of A, moves by .6 although the taken token was certain.
    """
    rng, branches = np.random.default_rng(4), []
    for t in range(10):
        answers = rng.permutation(np.repeat([0, 1], [20, 30])) if t < 5 else np.zeros(50, np.int16)
        branches.append(Branch(float(t), "taken", 1.0 if t != 5 else 0.4, True, answers))
    return Recording("q", ("A", "B"), tuple(branches))


def test_what_was_dropped_may_hold_every_other_answer():
    """Bounds, bands and sizes allow the move that dropping makes, in counts as in plain counts."""
    given, truth = dropped(), np.where(np.arange(10) < 5, 0.4, 1.0)
    for data in (outcome_counts(given), plain_counts(given)):
        assert np.allclose(data.leaving, [0.0] * 4 + [0.6] + [0.0] * 4)
        assert (np.abs(np.diff(truth)) <= data.leaving + 1e-12).all()
        low, high = simultaneous_bands(data.counts, data.leaving)
        assert ((low[:, 0] <= truth + 1e-12) & (truth <= high[:, 0] + 1e-12)).all()
        curve = outcome_curve(data, simultaneous=True)
        assert ((curve.lower_all[:, 0] <= truth + 1e-12) & (truth <= curve.upper_all[:, 0] + 1e-12)).all()
        # The pair over the step is not settled, and exact tests find what is there.
        (move,) = exact_moves([data], tau=0.3, gap=1, across="none").found
        assert (move.start, move.stop, move.size_interval[1]) == (4.0, 5.0, pytest.approx(0.6))
        (move,) = posterior_moves([data], gap=1).found
        assert move.start == 4.0
        assert move.size_interval[0] <= 0.6 + 0.03


@pytest.mark.parametrize("seed", range(20))
def test_leaving_masses_bound_what_kept_branches_show(seed):
    """Of any laws and any branches dropped: ``o_t - (1 - q_t) o_{t+1}`` is ``q_t`` times a distribution."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(4), 2)
    # Laws of the branches after the second position; the first one's taken branch mixes them all.
    after = rng.dirichlet(np.full(3, 0.3), 4)
    laws = np.concatenate([(weights[1] @ after)[None], rng.dirichlet(np.full(3, 0.3), 3)])
    kept = [np.r_[True, rng.random(3) < 0.5] for _ in range(2)]
    mass = np.asarray([w[k].sum() for w, k in zip(weights, kept, strict=True)])
    now, then = ((w[k] @ law[k]) / m for w, k, law, m in zip(weights, kept, (laws, after), mass, strict=True))
    (left,) = leaving_masses(weights[:, 0], mass)
    rest = now - (1.0 - left) * then
    assert (rest >= -1e-12).all()
    assert rest.sum() == pytest.approx(left)
    assert 0.5 * np.abs(now - then).sum() <= left + 1e-12
