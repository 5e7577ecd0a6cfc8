"""Exact tests keep their level: of many rare answers, at the boundary itself, and along paths that positions share.

Every simulation is of fixed seeds; what it is held against is a binomial quantile of the level (or of an error that is
computed exactly), so that a test that is right fails with the probability that is stated beside it.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.traces_truth import distances, simulate
from sloc.windows.move_tests import choose_windows, exact_moves, pooled_rise_p_value, strongest_sets
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_tests import recorded_exact_moves

TAU, LEVEL = 0.3, 0.05
LOW, HIGH = np.asarray([0.65, 0.35]), np.asarray([0.35, 0.65])
"""A move of exactly ``TAU`` between shares that lie evenly about a half: there the binomial bound is attained."""


def seen(rng, curve, draws, name, only=False, leaving=None):
    """Draws of a curve; ``only`` the answers that were seen are categories, as in a table."""
    counts = rng.multinomial(draws, curve).astype(float)
    counts = counts[:, counts.sum(axis=0) > 0] if only else counts
    names = tuple(f"answer {i}" for i in range(counts.shape[1]))
    masses = np.full(len(curve) - 1, np.nan) if leaving is None else leaving
    return OutcomeCounts(name, names, np.arange(float(len(curve))), counts, masses)


def errors(data, stated=None, tau=TAU, gap=1):
    """Questions with a certified move: family-wise errors where every pair's truth is ``tau`` at most."""
    moves = exact_moves(data, tau=tau, alpha=LEVEL, gap=gap, separation=0, across="none", stated=stated)
    return len({m.question for m in moves.found})


def rare_shares():
    """Sixty answers of 1 to 2 % each."""
    shares = np.random.default_rng(60).uniform(0.01, 0.02, 60)
    return shares / shares.sum()


@pytest.mark.parametrize("number", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_many_rare_answers_keep_the_level(number):
    """Short questions of 60 answers, six positions: where nothing changed, and where tau itself moves.

    Each case fails with probability below 1e-6 if its error is the level.
    """
    shares = rare_shares()
    half = np.repeat([LOW[0] / 30, LOW[1] / 30], 30)
    one = np.concatenate([LOW[:1], np.full(60, LOW[1] / 60)]), np.concatenate([HIGH[:1], np.full(60, HIGH[1] / 60)])
    cases = {
        "nothing changed": (np.tile(shares, (6, 1)), 0.0),
        "half of them gain tau together": (np.stack([half, half[::-1]] * 3), TAU),
        "one frequent answer loses tau to all": (np.stack([*one] * 3), TAU),
    }
    most = binom.isf(1e-6, number, LEVEL)
    for case, (curve, tau) in cases.items():
        for draws in (10, 50):
            rng = np.random.default_rng(draws)
            stated = [seen(rng, curve, draws, f"q{i}") for i in range(number)]
            found = [seen(rng, curve, draws, f"q{i}", only=True) for i in range(number)]
            assert errors(stated, tau=tau) <= most, case
            assert errors(found, [()] * number, tau=tau) <= most, case


def test_a_set_that_the_draws_chose_would_not_keep_it():
    """The same short questions where nothing changed: the set that gained most, as if it had been named before."""
    rng, curve, wrong = np.random.default_rng(4), np.tile(rare_shares(), (2, 1)), 0
    for _ in range(200):
        before, after = rng.multinomial(25, curve)
        gains = (after - before)[None].astype(float)
        best = strongest_sets(gains)[0][0, 1]
        rising = np.asarray(after[best].sum() + before[~best].sum())
        wrong += bool(pooled_rise_p_value(rising, np.asarray(50.0), np.zeros(())) <= LEVEL)
    assert wrong > 190


def test_one_set_errs_by_its_level_and_no_more():
    """Exactly, without sampling: before and after of every share that tau allows, at every number of draws.

    At shares about a half the error is below the level by the lattice of counts alone; elsewhere by more.
    """
    for draws in (10, 25, 100, 400):
        counts = np.arange(draws + 1)
        rising = np.arange(2 * draws + 1)
        rejected = pooled_rise_p_value(rising, np.asarray(2.0 * draws), np.asarray(TAU)) <= LEVEL
        error = {}
        for before in np.linspace(0.0, 1.0 - TAU, 15):
            law = np.convolve(binom.pmf(counts, draws, before + TAU), binom.pmf(counts, draws, 1.0 - before))
            error[round(before, 3)] = law[rejected].sum()
        assert max(error.values()) <= LEVEL + 1e-12
        assert max(error.values()) == pytest.approx(error[0.35])
        assert error[0.35] >= (0.5 if draws < 100 else 0.75) * LEVEL


@pytest.mark.parametrize(("draws", "number"), [(25, 800), (100, 800)])
def test_a_move_of_tau_itself_errs_as_computed(draws, number):
    """One pair, two answers: half of the level goes to each set, and only one of the two sits at the boundary.

    The error is a binomial tail, 1.6 % at 25 draws and 2.1 % at 100; either side of it with probability 1e-6.
    """
    rng = np.random.default_rng(draws)
    rising = np.arange(2 * draws + 1)
    rejected = pooled_rise_p_value(rising, np.asarray(2.0 * draws), np.asarray(TAU)) <= LEVEL / 2
    error = float(binom.pmf(rising, 2 * draws, HIGH[1])[rejected].sum())
    assert 0.25 * LEVEL < error <= LEVEL / 2
    got = errors([seen(rng, np.stack([LOW, HIGH]), draws, f"q{i}") for i in range(number)])
    assert binom.ppf(1e-6, number, error) <= got <= binom.isf(1e-6, number, error)


@pytest.mark.slow
def test_every_step_at_the_boundary():
    """Twenty steps up and down by tau itself, neighbours sharing their draws: any of them certified is an error.

    2,000 questions, 100 draws: at most the level (1e-6), and with both answers stated at least a fifth of it (1e-6: the
    test is no empty one; 2 % were found).
    """
    rng, number = np.random.default_rng(12), 2_000
    curve = np.stack([LOW, HIGH] * 10 + [LOW])
    data = [seen(rng, curve, 100, f"q{i}") for i in range(number)]
    assert binom.ppf(1e-6, number, LEVEL / 5) <= errors(data) <= binom.isf(1e-6, number, LEVEL)
    assert errors(data, [()] * number) <= binom.isf(1e-6, number, LEVEL)


def toggling(rng, steps):
    """A path whose share toggles between two values at forks: all moves are of exactly tau, what leaves is at 0 or 1.

    ``.35 = p .65 + (1 - p) 0`` at a fork, so that ``1 - p = .46`` leaves there, and nothing elsewhere.
    """
    fork = rng.random(steps - 1) < 0.3
    state = np.concatenate([[0], np.cumsum(fork)]) % 2
    return np.where(state[:, None] == 0, LOW, HIGH), np.where(fork, 1.0 - LOW[1] / LOW[0], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("draws", [10, 40])
def test_along_a_shared_path_no_position_errs_beyond_the_level(draws):
    """Draws pooled along the path, every pair of it tested: 800 paths, fails with probability below 1e-6.

    The bound is the path's own, so that flat stretches are pooled whole; windows of neighbouring pairs share draws.
    """
    rng, wrong, pooled = np.random.default_rng(draws), {"stated": 0, "not stated": 0}, []
    for i in range(800):
        curve, leaving = toggling(rng, 40)
        data = seen(rng, curve, draws, f"q{i}", leaving=leaving)
        for case, stated in (("stated", None), ("not stated", [()])):
            wrong[case] += errors([data], stated, gap=2)
        pooled.extend(choose_windows(data, TAU, 2).width)
    assert np.mean(pooled) > 1.5
    assert max(wrong.values()) <= binom.isf(1e-6, 800, LEVEL)
    assert wrong["stated"] >= binom.ppf(1e-6, 800, LEVEL / 10)


@pytest.mark.slow
def test_on_curves_like_recorded_ones_the_largest_move_is_no_error():
    """Simulated martingales, tau the largest move of each: every pair is true, and the largest at the boundary.

    250 questions of 150 positions; fails with probability below 1e-6 if the error is the level.
    """
    rng, wrong, number = np.random.default_rng(5), 0, 0
    while number < 250:
        truth = simulate(rng, answers=3)
        tau = float(distances(truth.curve, 4).max()) + 1e-12
        if 0.05 < tau < 0.95:
            data = seen(rng, truth.curve, 20, f"q{number}", leaving=truth.leaving)
            wrong += errors([data], tau=tau, gap=4)
            number += 1
    assert wrong <= binom.isf(1e-6, number, LEVEL)


@pytest.mark.slow
def test_recorded_branches_some_dropped_keep_the_level():
    """Branches at every fork, half of the time the one that leaves is dropped: 300 recordings, below 1e-6.

    Where it is dropped the recorded distribution is that of the taken branch, one token early.
    """
    rng, draws, wrong = np.random.default_rng(6), 15, {True: 0, False: 0}
    for i in range(300):
        curve, leaving = toggling(rng, 30)
        branches = []
        for t in range(30):
            leaves = leaving[t] if t < 29 else 0.0
            after = curve[t + 1] if leaves else curve[t]
            branches.append(Branch(float(t), "taken", 1.0 - leaves, True, rng.choice(2, draws, p=after)))
            if leaves and rng.random() < 0.5:
                # What leaves answers by the rest of the law: all of one answer.
                rest = np.clip(curve[t] - (1.0 - leaves) * after, 0.0, 1.0) / leaves
                branches.append(Branch(float(t), "other", leaves, False, rng.choice(2, draws, p=rest / rest.sum())))
        recording = Recording(f"q{i}", ("A", "B"), tuple(branches), reference="A")
        for stated in wrong:
            found = recorded_exact_moves(
                [recording], tau=TAU, alpha=LEVEL, gap=2, separation=0, across="none", all_stated=stated
            )
            wrong[stated] += bool(found.found)
    assert max(wrong.values()) <= binom.isf(1e-6, 300, LEVEL)
