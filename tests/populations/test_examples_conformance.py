"""The populations of the papers' examples pass the public conformance suite under the processes they claim.

Each call fails by chance with probability at most ``FALSE_ALARM``: 20 calls, 2e-9 for the file.
"""

from __future__ import annotations

import pytest

from sloc.processes import BinarySymmetric, Masking, OrderedMasking, Truncation, UniformCTMC
from sloc.testing import check_population

from .examples import DISCOURSE, EXAMPLES, HIDDEN, REGRESSION, TOKENS, WALK, rows

FALSE_ALARM = 1e-10
DRAWS = 512

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
    "examples, UniformCTMC": (EXAMPLES, UniformCTMC(4)),
    "walk, Truncation": (WALK, Truncation(4)),
    "walk, OrderedMasking": (WALK, OrderedMasking([1, 2, 0, 3])),
    "walk, UniformCTMC": (WALK, UniformCTMC(5)),
    "tokens, Truncation": (TOKENS, Truncation(4)),
    "tokens, OrderedMasking": (TOKENS, OrderedMasking([1, 2, 0, 3])),
    "tokens, BinarySymmetric": (TOKENS, BinarySymmetric()),
}


# Where the process's own nine times would take a minute.
TIMES = {"UniformCTMC": [0.3, 1.0]}

# One pair of each population, and the only ones of a registered pair (of a base, one); the others are more of the kind.
SLOW = {
    "discourse, words",
    "regression, samples",
    "hidden, Masking",
    "examples, Truncation",
    "walk, Truncation",
    "tokens, Truncation",
    "hidden, BinarySymmetric",
    "tokens, BinarySymmetric",
}


def test_each_population_has_a_pair_in_the_slow_tier():
    assert {type(PAIRS[pair][0]) for pair in SLOW} == {type(population) for population, _ in PAIRS.values()}


@pytest.mark.parametrize(
    "pair", [pytest.param(pair, marks=pytest.mark.slow if pair in SLOW else pytest.mark.nightly) for pair in PAIRS]
)
def test_conforms(pair):
    population, process = PAIRS[pair]
    population.validate()
    times = TIMES.get(type(process).__name__)
    print(check_population(population, process, times=times, draws=DRAWS, false_alarm=FALSE_ALARM))
