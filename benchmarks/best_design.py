"""The best split of a budget in the Gaussian picture of draws, for a curve whose steps are known beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.draw_design import Design, design_of


@dataclass(frozen=True)
class BestDesign:
    """A split of a budget, and how far from the best it can be at most.

    Attributes:
        draws: ``[T]``, fractions too.
        loss: expected total variation, mean over positions.
        gap: the loss of the best split is at least ``loss - gap``.

    """

    draws: np.ndarray
    loss: float
    gap: float


def best_design(
    steps: np.ndarray,
    shares: np.ndarray,
    prices: np.ndarray,
    budget: float,
    *,
    reference: float = np.inf,
    rounds: int = 200,
) -> BestDesign:
    """Split a budget over positions so that the loss is least, for a curve whose steps are known beforehand.

    A lower bound on the loss of any allocation within the picture, sequential ones too, is ``loss - gap``: the split
    knows the variance of every step and lets draws be fractions.  The loss is convex in the draws; multiplicative steps
    along ``(gain a token)^(2/3)`` keep the budget and stop at its minimum.  A convex loss lies above its tangent: with
    ``g_t`` what a token more at ``t`` takes off the loss, no split is better by more than
    ``budget max_t g_t - sum_t g_t (tokens at t)``, the gap of Frank and Wolfe (1956).

    Args:
        steps: ``[T - 1, A]`` variance of each step.
        shares: ``[T, A]``.
        prices: ``[T]`` positive cost of a draw.
        budget: what is spent, in the units of the prices.
        reference: draws of a histogram that the curve is scored against, whose noise is part of the loss; infinitely
            many for the curve itself.
        rounds: of the iteration.

    Returns:
        The split, its loss, and the gap.

    """
    size = prices.size
    draws = np.full(size, budget / (size * prices.mean()))
    draws *= budget / float(draws @ prices)
    design = design_of(steps, shares, draws)
    each = gain_of_a_token(design, prices, reference)
    for _ in range(rounds):
        draws = draws * (each / each.max()) ** (2.0 / 3.0)
        draws *= budget / float(draws @ prices)
        design = design_of(steps, shares, draws)
        each = gain_of_a_token(design, prices, reference)
    gap = budget * float(each.max()) - float(each @ (prices * draws))
    return BestDesign(draws, design.loss_against(reference), max(gap, 0.0))


def gain_of_a_token(design: Design, prices: np.ndarray, reference: float) -> np.ndarray:
    """``[T]`` slope of the loss in the tokens spent at each position, its sign turned.

    ``d v_s / d n_t = -C_st^2 / r_t`` and ``d sqrt(v / (2 pi)) = dv / sqrt(8 pi v)``.
    """
    weight = 1.0 / np.sqrt(8.0 * np.pi * (design.variance + design.noise / reference))
    slope = np.einsum("as,ast->at", weight, design.covariance**2) / design.noise
    return slope.sum(axis=0) / weight.shape[1] / prices
