"""Simulated curves of known truth: moves of several sizes and widths, and drift, under the bound of log-probabilities.

Made by another rule than the prior of :mod:`sloc.windows.move_kernels`: a question has a Poisson number of moves; each
starts at a fork (``q_t > 0.4``, the likelier the larger) and sets a new target, a Dirichlet draw, which the answers
approach by at most ``min(q_t, speed)``: in that one step (seven in ten) or over those that follow; between moves they
drift.  Leaving masses ``q_t`` are like those of language models: mostly next to nothing.

What log-probabilities say holds: ``o_t = p_t o_{t+1} + q_t y_t`` with ``y_t`` a distribution of answers, so that no
share rises beyond ``o_t / p_t``.  ``identity=False`` keeps the weaker ``TV(o_t, o_{t+1}) <= q_t`` alone: curves as no
recording has them, unless its probabilities are another sampler's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.outcome_curves import OutcomeCounts

SPEEDS = (1.0, 0.2, 0.05)
"""Most that a move goes in one step: at a stroke, quickly, gradually."""


@dataclass(frozen=True)
class Truth:
    """One question.

    Attributes:
        curve: ``[T, A]`` true distributions.
        leaving: ``[T - 1]`` masses; ``TV(o_t, o_{t+1})`` is at most these.

    """

    curve: np.ndarray
    leaving: np.ndarray

    def counts(self, name: str, rng: np.random.Generator, draws: int, known: bool = True) -> OutcomeCounts:
        """Draw answers at every position."""
        seen = rng.multinomial(draws, self.curve).astype(np.float64)
        steps, answers = self.curve.shape
        masses = self.leaving if known else np.full(steps - 1, np.nan)
        return OutcomeCounts(name, tuple("ABCDEFGH"[:answers]), np.arange(steps, dtype=np.float64), seen, masses)


def sentences(truth: Truth, every: int = 5) -> Truth:
    """Every fifth position, as if sentences ended there: steps are longer than a token, what leaves is not known."""
    curve = truth.curve[::every]
    return Truth(curve, np.full(curve.shape[0] - 1, np.nan))


def allowed(now: np.ndarray, wanted: np.ndarray, leaving: float) -> np.ndarray:
    """As far from ``now`` towards ``wanted`` as ``o_t = p o_{t+1} + q y`` allows, ``y`` a distribution of answers.

    ``q y = o_t - p o_{t+1}`` is nowhere negative as long as no share rises beyond ``o_t / p``.
    """
    rise = np.maximum(wanted - now, 0.0) * (1.0 - leaving)
    part = np.min(leaving * now / np.maximum(rise, 1e-300), initial=1.0, where=rise > 0)
    return now + part * (wanted - now)


def simulate(
    rng: np.random.Generator, steps: int = 150, answers: int = 4, moves: float = 2.5, identity: bool = True
) -> Truth:
    """Draw one question; without the identity a step's total variation is at most ``q_t``, and no more is kept."""
    loose = rng.random(steps - 1) < 0.45
    leaving = np.where(loose, rng.beta(0.8, 1.6, steps - 1), rng.beta(0.3, 60.0, steps - 1))
    curve = np.empty((steps, answers))
    curve[0] = rng.dirichlet(np.full(answers, 0.6))
    forks = np.flatnonzero(leaving > 0.4)
    chance = leaving[forks] / leaving[forks].sum()
    starts = set(rng.choice(forks, min(rng.poisson(moves), forks.size), replace=False, p=chance).tolist())
    target, speed = curve[0], 0.0
    for t in range(steps - 1):
        if t in starts:
            target = rng.dirichlet(np.full(answers, 0.4))
            speed = float(rng.choice(SPEEDS, p=[0.7, 0.15, 0.15]))
        step = target - curve[t]
        size = 0.5 * np.abs(step).sum()
        moved = curve[t] + step * min(1.0, min(float(leaving[t]), speed) / max(size, 1e-12))
        if speed == SPEEDS[0]:
            # At a stroke: what the first step leaves undone stays so.
            target = allowed(curve[t], moved, float(leaving[t])) if identity else moved
        rest = float(leaving[t]) - 0.5 * np.abs(moved - curve[t]).sum()
        blend = 0.06 * max(rest, 0.0)
        wanted = (1.0 - blend) * moved + blend * rng.dirichlet(20.0 * moved + 0.02)
        curve[t + 1] = allowed(curve[t], wanted, float(leaving[t])) if identity else wanted
        target = target if size > 1e-9 else curve[t + 1]
    return Truth(curve, leaving)


def distances(curve: np.ndarray, gap: int) -> np.ndarray:
    """TV between positions ``gap`` apart, ``[T - gap]``."""
    return 0.5 * np.abs(curve[gap:] - curve[:-gap]).sum(axis=1)
