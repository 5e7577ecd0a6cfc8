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
_WARY, _SPREAD = 0.2, 0.01


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
        return self.loss_against(np.inf)

    def loss_against(self, reference: float) -> float:
        """The same from a histogram of ``reference`` other draws instead of the truth."""
        return float(np.sqrt((self.variance + self.noise / reference) / (2.0 * np.pi)).sum(axis=0).mean())

    def gains(self, batch: float) -> np.ndarray:
        """``[T]`` what ``batch`` more draws at each position take off the loss at least (roots by their tangents)."""
        variance = self.variance
        squares = (variance[:, None, :] ** -0.5 @ self.covariance**2)[:, 0]
        less = squares / (self.noise / batch + variance)
        return less.sum(axis=0) / np.sqrt(8.0 * np.pi) / variance.shape[1]

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


def posterior_steps(posterior: OutcomePosterior) -> tuple[np.ndarray, np.ndarray]:
    """Expected squared steps ``[T - 1, A]`` and mean shares ``[T, A]`` of a posterior of single answers."""
    shares = posterior.marginals() @ SHARES
    squares = np.stack([f.expected_steps(2) for f in posterior.filters])
    return np.einsum("p,pta->ta", posterior.settings, squares), shares / shares.sum(axis=1, keepdims=True)


def posterior_design(posterior: OutcomePosterior, squares: np.ndarray | None = None) -> Design:
    """The picture that a posterior of single answers paints: its means, expected squared steps, the draws so far.

    Args:
        posterior: of single answers.
        squares: ``[T - 1]`` squared leaving masses, to add ``wary_steps``; none are added when None.

    Returns:
        The picture.

    """
    steps, shares = posterior_steps(posterior)
    more = 0.0 if squares is None else wary_steps(shares, squares)
    return design_of(steps + more, shares, posterior.data.counts.sum(axis=1))


def wary_steps(shares: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Variance that a step is given beside what a posterior expects of it, ``.2 q_t^2 p (1 - p)``.

    A posterior from few draws takes most steps for smaller than they are: what was never looked at does not move.
    A design that believes it draws at the cheapest of the positions that it holds for alike and leaves out the others;
    where that position is the odd one, its many draws mislead all of them.  A step that may be restless passes on less.
    The factor was chosen on recorded questions that are not reported; from .03 to .3 it made little difference there.

    Args:
        shares: ``[T, A]`` of each answer.
        squares: ``[T - 1]`` squared leaving masses ``q_t^2``; where nothing leaves nothing is added.

    Returns:
        ``[T - 1, A]``.

    """
    spread = shares * (1.0 - shares) + _SPREAD
    return _WARY * squares[:, None] * 0.5 * (spread[1:] + spread[:-1])
