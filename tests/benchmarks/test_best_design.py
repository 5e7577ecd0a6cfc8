"""The best split of a budget: no other does better."""

from __future__ import annotations

import numpy as np

from benchmarks.best_design import best_design, gain_of_a_token
from sloc.windows.draw_design import design_of

rng = np.random.default_rng(0)
STEPS, SHARES = rng.gamma(0.5, 0.01, (11, 3)), rng.dirichlet(np.ones(3), 12)
DRAWS, PRICES = rng.integers(0, 5, 12).astype(float), rng.uniform(1, 9, 12)


def test_no_other_split_of_the_budget_does_better():
    for reference in (np.inf, 100.0):
        best = best_design(STEPS, SHARES, PRICES, 200.0, reference=reference)
        assert np.isclose(best.draws @ PRICES, 200)
        assert np.isclose(best.loss, design_of(STEPS, SHARES, best.draws).loss_against(reference))
        # What no split can do better by: a thousandth of the loss.
        assert 0 <= best.gap < 1e-3 * best.loss
        early = best_design(STEPS, SHARES, PRICES, 200.0, reference=reference, rounds=1)
        assert early.loss > best.loss
        assert early.loss - early.gap <= best.loss
        for _ in range(200):
            other = best.draws * np.exp(rng.normal(0, 0.5, 12)) + rng.exponential(0.3, 12)
            other *= 200 / (other @ PRICES)
            assert design_of(STEPS, SHARES, other).loss_against(reference) >= best.loss - best.gap
        even = np.full(12, 200 / PRICES.sum())
        assert best.loss < design_of(STEPS, SHARES, even).loss_against(reference)


def test_a_token_more_takes_off_what_the_slope_says():
    """Finite differences of the loss in the draws at each position."""
    for reference in (np.inf, 100.0):
        slope = gain_of_a_token(design_of(STEPS, SHARES, DRAWS + 1), PRICES, reference)
        for t in range(12):
            step = 1e-4 * (np.arange(12) == t)
            low, high = (design_of(STEPS, SHARES, DRAWS + 1 + s * step).loss_against(reference) for s in (-1, 1))
            assert np.isclose((low - high) / 2e-4 / PRICES[t], slope[t], rtol=1e-4)
