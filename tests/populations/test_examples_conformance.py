"""The populations of the papers' examples pass the public conformance suite under the processes they claim.

Each call fails by chance with probability at most ``FALSE_ALARM``: 18 calls, 1.8e-9 for the file.
"""

from __future__ import annotations

import numpy as np
import pytest

from sloc.populations import (
    CriticalTokens,
    HiddenMarkov,
    InContext,
    KalmanDiscourse,
    RandomWalkSolver,
    SparseRegression,
)
from sloc.processes import BinarySymmetric, Masking, OrderedMasking, Retimed, Steps, Truncation
from sloc.testing import check_population

FALSE_ALARM = 1e-10
DRAWS = 512
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

PAIRS = {
    "discourse, words": (DISCOURSE, rows(3, 2)),
    "discourse, Truncation": (DISCOURSE, Truncation(6)),
    "discourse, OrderedMasking": (DISCOURSE, OrderedMasking([2, 0, 1, 5, 4, 3])),
    "discourse, Masking": (DISCOURSE, Masking()),
    "regression, samples": (REGRESSION, rows(3, 4)),
    "regression, Truncation": (REGRESSION, Truncation(12)),
    "regression, Masking": (REGRESSION, Masking()),
    "hidden, Truncation": (HIDDEN, Truncation(3)),
    "hidden, OrderedMasking": (HIDDEN, OrderedMasking([1, 2, 0])),
    "hidden, Masking": (HIDDEN, Masking()),
    "hidden, BinarySymmetric": (HIDDEN, BinarySymmetric()),
    "examples, Truncation": (EXAMPLES, Truncation(4)),
    "examples, Masking": (EXAMPLES, Masking()),
    "walk, Truncation": (WALK, Truncation(4)),
    "walk, OrderedMasking": (WALK, OrderedMasking([1, 2, 0, 3])),
    "tokens, Truncation": (TOKENS, Truncation(4)),
    "tokens, OrderedMasking": (TOKENS, OrderedMasking([1, 2, 0, 3])),
    "tokens, BinarySymmetric": (TOKENS, BinarySymmetric()),
}


@pytest.mark.nightly
@pytest.mark.parametrize("pair", PAIRS)
def test_conforms(pair):
    population, process = PAIRS[pair]
    population.validate()
    print(check_population(population, process, draws=DRAWS, false_alarm=FALSE_ALARM))
