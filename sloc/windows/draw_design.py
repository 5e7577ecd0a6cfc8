"""What further draws would teach: a Gaussian picture of the posterior, in which every design has a known error.

The share of an answer is a random walk with variance ``q_t`` of the step from ``t`` to ``t + 1``, seen at ``t`` in
``n_t`` draws of variance ``r_t = p_t (1 - p_t)`` each; ``q`` and ``p`` are the exact posterior's.  Its covariance ``C``
does not depend on what the draws will say: ``b`` more at ``t`` take ``C_st^2 / (r_t / b + C_tt)`` off the variance at
``s``.  The loss is the expected total variation, ``sum_a sqrt(v_sa / (2 pi))``, averaged over positions ``s``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.move_kernels import SHARES
from sloc.windows.outcome_curves import OutcomePosterior

_LEAST_STEP, _LEAST_VARIANCE = 1e-7, 1e-3
_FIRST = 0.25
"""Variance of a share before any draw."""


@dataclass(frozen=True)
class Design:
    """The Gaussian picture of one question.

    Attributes:
        covariance: ``[A, T, T]`` of each share along the positions.
        noise: ``[A, T]`` variance of a single draw.

    """

    covariance: np.ndarray
    noise: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """``[A, T]``."""
        return np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 1e-12)

    @property
    def loss(self) -> float:
        """Expected total variation, mean over positions: ``E|N(0, v)| / 2`` summed over answers."""
        return float(np.sqrt(self.variance / (2.0 * np.pi)).sum(axis=0).mean())

    def gains(self, batch: float) -> np.ndarray:
        """``[T]`` what ``batch`` more draws at each position take off the loss."""
        variance = self.variance
        held = self.noise / batch + variance
        after = np.maximum(variance[:, :, None] - self.covariance**2 / held[:, None, :], 0.0)
        less = np.sqrt(variance)[:, :, None] - np.sqrt(after)
        return less.sum(axis=(0, 1)) / np.sqrt(2.0 * np.pi) / variance.shape[1]

    def after(self, position: int, batch: float) -> Design:
        """The picture after ``batch`` more draws at a position."""
        column = self.covariance[:, :, position]
        held = self.noise[:, position] / batch + column[:, position]
        return Design(self.covariance - column[:, :, None] * column[:, None, :] / held[:, None, None], self.noise)


def design_of(steps: np.ndarray, shares: np.ndarray, draws: np.ndarray) -> Design:
    """Build the picture.

    Args:
        steps: ``[T - 1, A]`` variance of each step.
        shares: ``[T, A]`` of each answer.
        draws: ``[T]`` draws that were made.

    Returns:
        The picture.

    """
    noise = np.maximum(shares * (1.0 - shares), _LEAST_VARIANCE).T
    walk = 1.0 / np.maximum(steps, _LEAST_STEP).T
    answers, size = noise.shape
    precision = np.zeros((answers, size, size))
    at = np.arange(size)
    precision[:, at, at] = draws[None] / noise
    precision[:, 0, 0] += 1.0 / _FIRST
    if size > 1:
        precision[:, at[:-1], at[:-1]] += walk
        precision[:, at[1:], at[1:]] += walk
        precision[:, at[:-1], at[1:]] = precision[:, at[1:], at[:-1]] = -walk
    return Design(np.linalg.inv(precision), noise)


def steps_and_shares(posterior: OutcomePosterior) -> tuple[np.ndarray, np.ndarray]:
    """``[T - 1, A]`` expected squared step and ``[T, A]`` mean of each share, for :func:`design_of`."""
    shares = posterior.marginals() @ SHARES
    squares = np.stack([f.expected_steps(2) for f in posterior.filters])
    return np.einsum("p,pta->ta", posterior.settings, squares), shares / shares.sum(axis=1, keepdims=True)


def posterior_design(posterior: OutcomePosterior) -> Design:
    """The picture that a posterior of single answers paints: its means, expected squared steps, the draws so far."""
    return design_of(*steps_and_shares(posterior), posterior.data.counts.sum(axis=1))


def best_design(
    steps: np.ndarray, shares: np.ndarray, prices: np.ndarray, budget: float, rounds: int = 200
) -> tuple[np.ndarray, float]:
    """Split a budget over positions so that the loss is least, for a curve whose steps are known beforehand.

    A lower bound on the loss of any allocation within the picture, sequential ones too: it knows the variance of
    every step and lets draws be fractions.  The loss is convex in the draws; multiplicative steps along
    ``(gain a token)^(2/3)`` keep the budget and stop at its minimum.

    Args:
        steps: ``[T - 1, A]`` variance of each step.
        shares: ``[T, A]``.
        prices: ``[T]`` positive cost of a draw.
        budget: what is spent, in the units of the prices.
        rounds: of the iteration.

    Returns:
        ``[T]`` draws and the loss.

    """
    size = prices.size
    draws = np.full(size, budget / (size * prices.mean()))
    draws *= budget / float(draws @ prices)
    for _ in range(rounds):
        design = design_of(steps, shares, draws)
        weight = 1.0 / np.sqrt(design.variance)
        # d v_s / d n_t = -C_st^2 / r_t.
        slope = np.einsum("as,ast->at", weight, design.covariance**2) / design.noise
        each = slope.sum(axis=0) / prices
        draws = draws * (each / each.max()) ** (2.0 / 3.0)
        draws *= budget / float(draws @ prices)
    return draws, design_of(steps, shares, draws).loss
