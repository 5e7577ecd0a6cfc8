"""Small populations of the papers' examples, and the truncation that hides whole rows of them."""

from __future__ import annotations

import numpy as np

from sloc.populations import (
    CriticalTokens,
    HiddenMarkov,
    InContext,
    KalmanDiscourse,
    RandomWalkSolver,
    SparseRegression,
)
from sloc.processes import Retimed, Steps, Truncation

WEIGHTS = (0.3, 0.7)


def rows(length: int, width: int):
    """Truncation that hides whole rows."""
    return Retimed(Truncation(length * width), Steps(width * np.arange(length + 1)))


DISCOURSE = KalmanDiscourse([[1.0, 0.0], [0.3, 0.91**0.5]], 20.0, 3, 0.5, WEIGHTS)
REGRESSION = SparseRegression(0.3, 3, 2, 3, WEIGHTS)
HIDDEN = HiddenMarkov(
    [[0.5, 0.5], [0.8, 0.2]],
    [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]],
    [[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.6, 0.4]]],
    3,
    WEIGHTS,
)
EXAMPLES = InContext([[[0.8, 0.2], [0.3, 0.7]], [[0.1, 0.9], [0.6, 0.4]]], [0.4, 0.6], 2, weights=WEIGHTS)
WALK = RandomWalkSolver(0.2, 2, 4, WEIGHTS)
TOKENS = CriticalTokens(
    [0.6, 0.4], [[0.5, 0.5], [0.3, 0.7]], [[[0.9, 0.1], [0.8, 0.2]], [[0.1, 0.9], [0.3, 0.7]]], 1, 2, 4, WEIGHTS
)
