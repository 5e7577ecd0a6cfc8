"""Every built-in population passes the public conformance suite under every built-in process that it supports.

Each call fails by chance with probability at most ``FALSE_ALARM``: 33 calls, 3.3e-9 for the file.  What the draws
resolve is shown by the deliberate errors in ``tests/testing``; here every pair and every shortcut of it is run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sloc import populations
from sloc.contracts import Population
from sloc.populations import Empirical, GaussianMixture, MarkovChains, ProductCategorical
from sloc.processes import (
    BinarySymmetric,
    FlowMatching,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Truncation,
    VarianceExploding,
)
from sloc.testing import check_population

from .test_examples_conformance import PAIRS as EXAMPLES

FALSE_ALARM = 1e-10
DRAWS = 256
WEIGHTS = np.array([0.3, 0.7])
LENGTH = 3

MEANS = [[0.0, 1.0], [1.0, -0.5]]
COVARIANCES = {
    "scalar": 0.5,
    "variances": np.array([0.5, 1.5]),
    "matrix": np.array([[1.0, 0.4], [0.4, 0.7]]),
    "matrices": np.array([[[1.0, 0.4], [0.4, 0.7]], [[0.5, -0.2], [-0.2, 1.1]]]),
}

# Three atoms against two; one of them in both classes, so that even t = 0 does not tell the classes apart.
LABELS = [0, 1, 0, 1, 0]
BITS = np.array([[0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]], np.int32)
REAL = np.array([[0.1, -0.7, 0.2], [1.2, 0.4, -0.3], [-0.5, 0.5, 0.9], [0.1, -0.7, 0.2], [0.8, -1.1, 0.0]])

SMALL = {
    "bits": Empirical(BITS, LABELS, WEIGHTS),
    "real": Empirical(REAL, LABELS, WEIGHTS),
    "letters": ProductCategorical(
        np.array(
            [[[0.2, 0.5, 0.3], [0.6, 0.4, 0.0], [0.1, 0.1, 0.8]], [[0.5, 0.2, 0.3], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]]]
        ),
        WEIGHTS,
    ),
    "unlike coins": ProductCategorical(
        np.array([[[0.2, 0.8], [0.6, 0.4], [1.0, 0.0]], [[0.5, 0.5], [0.3, 0.7], [0.6, 0.4]]]), WEIGHTS
    ),
    "coins": ProductCategorical.coins([0.3, 0.8], LENGTH, WEIGHTS),
    "chains": MarkovChains(
        np.array([[0.5, 0.5], [0.8, 0.2]]),
        np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]]),
        LENGTH,
        WEIGHTS,
    ),
}

NOISE = {
    "OrnsteinUhlenbeck": OrnsteinUhlenbeck(),
    "VarianceExploding": VarianceExploding(),
    "FlowMatching": FlowMatching(),
}
REVEALING = {
    "Masking": Masking(),
    "OrderedMasking": OrderedMasking([1, 2, 0]),
    "Truncation": Truncation(LENGTH),
}
FLIPS = {"BinarySymmetric": BinarySymmetric()}
TIMES = {
    "OrnsteinUhlenbeck": [0.05, 0.4, 1.5],
    "VarianceExploding": [0.1, 1.0, 4.0],
    "FlowMatching": [0.1, 0.5, 0.9],
    "Masking": [0.0, 0.4, 0.8],
    "OrderedMasking": [0, 1, 3],
    "Truncation": [0, 1, 3],
    "BinarySymmetric": [0.0, 0.1, 0.3],
}


def table():
    """Return the pairs, by name."""
    pairs = {
        f"{kind}, {name}": (GaussianMixture(WEIGHTS, MEANS, covariance), process)
        for kind, covariance in COVARIANCES.items()
        for name, process in NOISE.items()
    }
    chosen = {
        "bits": {"OrnsteinUhlenbeck": NOISE["OrnsteinUhlenbeck"], **REVEALING, **FLIPS},
        "real": {**NOISE, "Masking": REVEALING["Masking"]},
        "letters": REVEALING,
        "unlike coins": FLIPS,
        "coins": {**REVEALING, **FLIPS},
        "chains": {**REVEALING, **FLIPS},
    }
    return pairs | {
        f"{population}, {name}": (SMALL[population], process)
        for population, processes_of in chosen.items()
        for name, process in processes_of.items()
    }


PAIRS = table()

FAST = {
    *(f"{kind}, OrnsteinUhlenbeck" for kind in COVARIANCES),
    "real, OrnsteinUhlenbeck",
    "real, FlowMatching",
    "bits, Masking",
    "letters, Masking",
    "coins, BinarySymmetric",
    "unlike coins, BinarySymmetric",
    "chains, OrderedMasking",
    "chains, BinarySymmetric",
}
"""Each population and each code path that is a pair's own; the other pairs run nightly."""


def test_the_fast_pairs_are_pairs_and_hold_every_population():
    assert set(PAIRS) >= FAST
    assert {name.partition(",")[0] for name in FAST} == {name.partition(",")[0] for name in PAIRS}


@pytest.mark.parametrize("pair", [pytest.param(p, marks=[] if p in FAST else pytest.mark.nightly) for p in PAIRS])
def test_conforms(pair):
    population, process = PAIRS[pair]
    report = check_population(
        population, process, times=TIMES[type(process).__name__], draws=DRAWS, false_alarm=FALSE_ALARM
    )
    print(report)


ELSEWHERE = {"RandomHierarchy": "test_hierarchy.py"}
"""Populations whose call of the suite stands beside their other tests."""


def test_every_population_is_here():
    exported = {
        name
        for name in populations.__all__
        if isinstance(getattr(populations, name), type) and issubclass(getattr(populations, name), Population)
    }
    checked = {type(population).__name__ for population, _ in [*PAIRS.values(), *EXAMPLES.values()]}
    for name, file in ELSEWHERE.items():
        assert "check_population(" in (Path(__file__).parent / file).read_text(encoding="utf-8"), name
    assert exported == checked | set(ELSEWHERE)
