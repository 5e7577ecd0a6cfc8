"""Simulated curves of known truth: moves of several sizes and widths, and drift, under the bound of log-probabilities.

Made by another rule than the prior of :mod:`sloc.windows.move_kernels`: a question has a Poisson number of moves; each
sets a new target, a Dirichlet draw, which the answers approach by at most ``min(q_t, its own speed)`` a step;
between moves they drift.  Leaving masses ``q_t`` are like those of language models: mostly next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.outcome_curves import OutcomeCounts


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


def simulate(rng: np.random.Generator, steps: int = 150, answers: int = 4, moves: float = 1.2) -> Truth:
    """Draw one question."""
    loose = rng.random(steps - 1) < 0.45
    leaving = np.where(loose, rng.beta(0.8, 1.6, steps - 1), rng.beta(0.3, 60.0, steps - 1))
    curve = np.empty((steps, answers))
    curve[0] = rng.dirichlet(np.full(answers, 0.6))
    starts = set(rng.integers(1, steps - 1, rng.poisson(moves)).tolist())
    target, speed = curve[0], 0.0
    for t in range(steps - 1):
        if t in starts:
            target = rng.dirichlet(np.full(answers, 0.4))
            speed = float(rng.choice([0.02, 0.1, 0.3, 1.0], p=[0.2, 0.2, 0.2, 0.4]))
        step = target - curve[t]
        size = 0.5 * np.abs(step).sum()
        allowed = min(float(leaving[t]), speed)
        moved = curve[t] + step * min(1.0, allowed / max(size, 1e-12))
        rest = float(leaving[t]) - 0.5 * np.abs(moved - curve[t]).sum()
        blend = 0.06 * max(rest, 0.0)
        curve[t + 1] = (1.0 - blend) * moved + blend * rng.dirichlet(20.0 * moved + 0.02)
    return Truth(curve, leaving)


def distances(curve: np.ndarray, gap: int) -> np.ndarray:
    """TV between positions ``gap`` apart, ``[T - gap]``."""
    return 0.5 * np.abs(curve[gap:] - curve[:-gap]).sum(axis=1)
