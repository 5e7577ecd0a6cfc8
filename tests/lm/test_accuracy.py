"""Accuracy with and without windows: exact where it can be, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.engine.binomial import clopper_pearson
from sloc.lm.experiments.accuracy import LABELS, share_of, window_accuracy


def test_shares_by_hand() -> None:
    right = [True, True, False, None, True, False, None]
    window = [True, False, True, True, False, False, False]
    found = [True, True, True, False, True, True, True]
    made = window_accuracy(list("abcdefg"), right, window, found=found)
    assert (made.with_window.value, made.with_window.n) == (0.5, 2)
    assert (made.without_window.value, made.without_window.n) == (pytest.approx(2 / 3), 3)
    assert made.drop.value == pytest.approx(2 / 3 - 0.5)
    assert (made.right.value, made.wrong.value) == (pytest.approx(1 / 3), 0.5)
    assert made.excess.value == pytest.approx(0.5 - 1 / 3)
    assert (made.not_found, made.unknown) == (1, 1)
    assert list(made.to_dataframe()["quantity"]) == list(LABELS.values())


def test_one_generation_a_question_is_clopper_and_pearson() -> None:
    hits = [True] * 7 + [False] * 13
    share = share_of([str(i) for i in range(20)], hits, level=0.9)
    low, high = clopper_pearson(np.asarray([7]), np.asarray([20]), 0.1)
    assert (share.lower, share.upper) == (pytest.approx(low[0]), pytest.approx(high[0]))


def test_generations_that_repeat_one_another_count_once() -> None:
    names = [str(i) for i in range(20) for _ in range(5)]
    hits = [i < 8 for i in range(20) for _ in range(5)]
    alike, one = share_of(names, hits), share_of([str(i) for i in range(20)], hits[::5])
    assert alike.upper - alike.lower > 0.95 * (one.upper - one.lower)
    apart = share_of([str(i) for i in range(100)], hits)
    assert apart.upper - apart.lower < 0.6 * (alike.upper - alike.lower)
    never = share_of(names, [False] * 100)
    assert never.upper > 0.15, "twenty questions without a hit say no more than that"


def simulated(seed: int, questions: int, generations: int) -> tuple[int, ...]:
    """Return how many of 1000 intervals of accuracy, of windows and of their difference cover the truth."""
    rng = np.random.default_rng(seed)
    names = [str(q) for q in range(questions) for _ in range(generations)]
    # Difficulty of a question moves both how often it is right and how often it has a window.
    difficulty = rng.uniform(size=400_000)
    p_right, p_window = 0.2 + 0.7 * difficulty, 0.6 - 0.5 * difficulty
    with_ = (p_right * p_window).sum() / p_window.sum()
    without = (p_right * (1 - p_window)).sum() / (1 - p_window).sum()
    covered = np.zeros(3, int)
    for _ in range(1000):
        own = np.repeat(rng.uniform(size=questions), generations)
        right = rng.uniform(size=own.size) < 0.2 + 0.7 * own
        window = rng.uniform(size=own.size) < 0.6 - 0.5 * own
        made = window_accuracy(names, right.tolist(), window.tolist(), level=0.9)
        for i, (found, truth) in enumerate(
            ((made.with_window, with_), (made.without_window, without), (made.drop, without - with_))
        ):
            covered[i] += found.lower <= truth <= found.upper
    return tuple(covered.tolist())


@pytest.mark.parametrize(("questions", "generations"), [(40, 1), (25, 4)])
def test_intervals_cover(questions: int, generations: int) -> None:
    # At a coverage of 0.9 fewer than 840 of 1000 have probability 2e-9; six bounds: 2e-8 at most at exactly nominal
    # coverage; these intervals cover more than that (0.92 and above), at which it is below 1e-14 each.
    assert min(simulated(11, questions, generations)) >= 840


def test_nothing_to_compare() -> None:
    made = window_accuracy(["a"], [True], [False])
    assert math.isnan(made.with_window.value)
    assert (made.with_window.lower, made.with_window.upper) == (0.0, 1.0)
    assert (made.drop.lower, made.drop.upper) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: window_accuracy(["a"], [True, False], [True, False]), "one entry a generation in each"),
        (lambda: window_accuracy(["a"], [True], [True], level=1.0), "level = 1.0"),
        (lambda: share_of(["a"], [True, False]), "hits = 2"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()
