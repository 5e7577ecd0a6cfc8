"""Leaps of shares: what thousands of draws, or draws of another sampler, force on a curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sloc.windows.allocation import allocate_draws
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_kernels import SHARES, MovePrior, RunPrior
from sloc.windows.outcome_curves import outcome_curve, outcome_posterior
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


@pytest.mark.parametrize("gap", [8, 32, 128])
def test_a_leap_where_nothing_was_drawn_has_no_place_and_is_told(gap):
    """No step alone of those between holds much of the leap; all together may not move by as much."""
    rows = [[18, 2]] * 20 + [[0, 0]] * gap + [[1, 19]] * 20
    assert outcome_curve(counts(rows, leaving=[0.001] * (39 + gap))).status == "contradicted"
    # Draws at every 32nd position, all masses being known.
    sparse = np.zeros((32 * 40, 2))
    sparse[::32] = [[9, 1]] * 20 + [[1, 9]] * 20
    assert outcome_curve(counts(sparse, leaving=[0.0005] * (32 * 40 - 1))).status == "contradicted"
    # One step between that is not known may hold all of it.
    one = np.where(np.arange(39 + gap) == 20 + gap // 2, np.nan, 0.001)
    assert outcome_curve(counts(rows, leaving=one)).status in ("resolved", "undecided")


@pytest.mark.parametrize(("draws", "steps"), [(10_000, 200), (1_000_000, 40)])
def test_a_share_between_two_cells_contradicts_nothing(draws, steps):
    """Draws of one share, on the edge of two cells, are of either cell by chance; nothing leaves."""
    edge = 0.5 * (SHARES[30] + SHARES[31])
    for seed in range(3):
        hits = np.random.default_rng(seed).binomial(draws, edge, steps)
        curve = outcome_curve(counts(np.stack([hits, draws - hits], axis=1), np.zeros(steps - 1)))
        assert curve.status == "resolved"


def climbing(draws=10_000, steps=2_000, leaving=0.008):
    """A share that climbs by nearly all it can at each step."""
    share = [0.03]
    while len(share) < steps:
        share.append(share[-1] + 0.8 * leaving / (1 - leaving) * share[-1] * (1 - share[-1]))
    hits = np.round(draws * np.asarray(share))
    return counts(np.stack([hits, draws - hits], axis=1), [leaving] * (steps - 1))


@pytest.mark.filterwarnings("error")
def test_a_prior_that_never_enters_a_run_does_not_hear_of_it():
    """However much likelier the draws are in a run: the posterior is that of the prior alone."""
    data, still = climbing(), MovePrior(1.0, ())
    runs = MovePrior(0.0, ((1.0, 1.0),), runs=(RunPrior(0.01, 0.05, 300.0, 0.05),))
    (alone,) = outcome_posterior(data, priors=(still,)).filters
    beside, _ = outcome_posterior(data, priors=(still, runs)).filters
    for other in (beside, *outcome_posterior(data, priors=(replace(still, runs=(RunPrior(0.0),)),)).filters):
        assert np.allclose(alone.marginals(), other.marginals(), rtol=0, atol=1e-12)
        assert np.allclose(alone.leaps, other.leaps, rtol=0, atol=1e-12)
    assert outcome_curve(data, priors=(still, runs)).status == "resolved"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(4))
def test_products_of_messages_do_not_underflow(seed):
    """Any counts up to 1e12 at any masses, exactly 0 and 1 and not known among them."""
    rng = np.random.default_rng(seed)
    for _ in range(10):
        steps = int(rng.integers(1, 30))
        rows = np.round(10.0 ** rng.integers(0, 13) * rng.dirichlet(np.full(3, 0.1), steps))
        rows *= rng.random((steps, 1)) < 0.7
        rows[0, 0] += 1
        data = counts(rows, rng.choice([0, 1e-9, 0.001, 0.5, 0.995, 1, np.nan], steps - 1))
        curve = outcome_curve(data, simultaneous=True)
        assert np.allclose(curve.value.sum(axis=1), 1.0)
        numbers = [(m.probability, m.size, *m.size_interval, *m.location) for m in posterior_moves([data], gap=1).moves]
        assert np.isfinite(numbers).all()
