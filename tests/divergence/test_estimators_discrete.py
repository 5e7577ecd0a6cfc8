"""Estimators on product laws and Markov chains, closed forms switched off, against enumeration and binomial sums.

False-alarm rate: each comparison is missed with probability at most 1e-10 by the band and about 8e-11 by the z-test;
fewer than 60 curves make at most 1e-8.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.stats import binom

import sloc
from sloc.populations import MarkovChains, ProductCategorical
from sloc.processes import Masking, OrderedMasking, Truncation
from tests.oracles import atoms
from tests.oracles.compare import DELTA, assert_matches
from tests.populations import enumeration

N = 1 << 15
L, Q, K = 4, 2, 3
WEIGHTS = np.array([0.5, 0.2, 0.3])
PROCESSES = [
    ("masking", Masking(), [0.1, 0.5, 0.9]),
    ("truncation", Truncation(L), [0, 1, 3]),
    ("ordered", OrderedMasking([2, 0, 3, 1]), [0, 2, 3]),
]


def laws(pmf, kind, t):
    order = {"truncation": range(L)[::-1], "ordered": [2, 0, 3, 1]}
    mass = atoms.masking(t) if kind == "masking" else atoms.ordered(order[kind], t)
    columns = []
    for known in enumeration.patterns(L):
        p = mass(tuple(known.tolist()))
        for seen in enumeration.words(Q, int(known.sum())) if p > 0 else ():
            values = np.zeros(L, int)
            values[known] = seen
            columns.append(p * enumeration.seen_mass(pmf, Q, values, known))
    return np.stack(columns, axis=1)


def populations():
    rng = np.random.default_rng(3)
    rows = enumeration.random_rows(rng, K, L, Q)
    initial, moves = enumeration.random_rows(rng, K, Q), enumeration.random_rows(rng, K, Q, Q)
    return {
        "product": (ProductCategorical(rows, WEIGHTS), enumeration.product_pmf(rows)),
        "chains": (MarkovChains(initial, moves, L, WEIGHTS), enumeration.markov_pmf(initial, moves, L)),
    }


@pytest.mark.parametrize(
    ("which", "place"), [("product", 0), ("chains", 0), ("product", 1), ("chains", 1), ("product", 2), ("chains", 2)]
)
def test_every_statistic_against_enumeration(which, place):
    kind, process, times = PROCESSES[place]
    population, pmf = populations()[which]
    # All seven on masking; elsewhere the kinds that need no further compilation than these.
    named = {
        "tv": sloc.TV(0, 1),
        "sets": sloc.TV([0, 1], 2),
        "overlap": sloc.TV([0, 1], [1, 2]),
        "information": sloc.Information(),
        "labels": sloc.Labels(2),
        "clones": sloc.Clones([0, 1]),
        "certificate": sloc.Certificate(0, [0, 2]),
    }
    named = named if kind == "masking" else {k: named[k] for k in ("tv", "sets", "overlap", "labels")}
    curves = sloc.measure(jax.random.key(5), process, population, times, named, n=N, delta=DELTA, method="monte-carlo")
    each = [atoms.Finite(laws(pmf, kind, t), WEIGHTS) for t in times]
    truth = {
        "tv": lambda f: f.tv([0], [1]),
        "sets": lambda f: f.tv([0, 1], [2]),
        "overlap": lambda f: f.tv([0, 1], [1, 2]),
        "information": lambda f: f.information(),
        "labels": lambda f: f.labels([2]),
        "clones": lambda f: f.clones([0, 1]),
        "certificate": lambda f: f.certificate([0], [0, 2]),
    }
    for name, curve in curves.items():
        assert_matches(curve, np.stack([truth[name](f) for f in each]))


@pytest.mark.parametrize("length", [12, 900])
def test_coins_under_truncation_are_binomial(length):
    # 900 coins at three times take the branch that draws counts.
    process, population = Truncation(length), ProductCategorical.coins([0.55, 0.45], length)
    times = [0, length // 3, length - 1]
    curve = sloc.tv_curve(jax.random.key(0), process, population, times, 0, 1, n=N, delta=DELTA, method="monte-carlo")
    truth = []
    for t in times:
        n = length - t
        k = np.arange(n + 1)
        truth.append(np.abs(binom.pmf(k, n, 0.55) - binom.pmf(k, n, 0.45)).sum() / 2)
    assert_matches(curve, truth, rounding=1e-5)
    exact = sloc.tv_curve(jax.random.key(0), process, population, times, 0, 1, n=2)
    assert exact.method == "exact"
    np.testing.assert_allclose(exact.value, truth, atol=1e-11)
