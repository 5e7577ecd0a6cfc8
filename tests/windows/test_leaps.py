"""Leaps of shares: what thousands of draws, or draws of another sampler, force on a curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sloc.windows.allocation import allocate_draws
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.outcome_curves import outcome_curve
from tests.windows.jumps import counts


@pytest.mark.parametrize("draws", [30, 1_000, 100_000])
def test_any_number_of_draws_has_a_curve(draws):
    """Plateaus that thousands of draws put where floating numbers end have curves, and take no other's move."""
    rows = [[draws, 0]] * 3 + [[0, draws]] * 3
    unknown, curve = counts(rows), outcome_curve(counts(rows))
    assert curve.status == "resolved"
    assert np.allclose(curve.value[:, 0], [1, 1, 1, 0, 0, 0], atol=0.15 if draws == 30 else 0.01)
    good = [replace(counts([[9, 1]] * 3 + [[1, 9]] * 3), question=f"good {i}") for i in range(3)]
    for questions in ([unknown, *good], [*good, unknown]):
        found = posterior_moves(questions, gap=1, separation=1)
        assert set(found.statuses.values()) == {"resolved"}
        assert all(np.isfinite(m.probability) for m in found.moves)
    got = allocate_draws(lambda _, t, n: ["A" if t < 3 else "B"] * n, "q", "AB", np.arange(6.0), budget=6 * draws // 10)
    assert np.isfinite(got.curve.value).all()
    assert got.data.counts.sum(axis=1).min() > 0


@pytest.mark.parametrize(("draws", "steps"), [(20, 20), (50, 20), (1_000, 3), (10, 100)])
def test_draws_that_contradict_the_probabilities_are_told(draws, steps):
    """A jump from .9 to .05 where next to nothing leaves: the curve follows the draws and says so."""
    high, low = [round(0.9 * draws), draws - round(0.9 * draws)], [round(0.05 * draws), draws - round(0.05 * draws)]
    data = counts([high] * steps + [low] * steps, leaving=[0.001] * (2 * steps - 1))
    curve = outcome_curve(data)
    assert curve.status == "contradicted"
    assert curve.value[0, 0] > 0.8
    assert curve.value[-1, 0] < 0.1
    (move,) = posterior_moves([data]).found
    assert move.start < steps <= move.stop
    # As it may move where all may leave, and as it does not move, nothing is contradicted.
    forked = np.where(np.arange(2 * steps - 1) == steps - 1, 0.99, 0.001)
    assert outcome_curve(replace(data, leaving=forked)).status == "resolved"
    flat = counts([high] * 2 * steps, leaving=[0.001] * (2 * steps - 1))
    assert outcome_curve(flat).status != "contradicted"
