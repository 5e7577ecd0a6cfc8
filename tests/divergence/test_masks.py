"""Mask-conditioned overlaps against enumeration over all masks.

Compared at 7 standard errors of means of values in [0, 1] over 16,384 masks (3e-12 a number, six numbers).
"""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput
from sloc.divergence.masks import mask_overlap
from sloc.populations import Empirical, ProductCategorical
from sloc.processes import Masking, OrderedMasking

KEY = jax.random.key(2)
X = np.asarray([[0, 0, 1, 1, 2], [0, 1, 1, 0, 2], [1, 1, 1, 1, 2], [0, 0, 1, 0, 0], [2, 0, 1, 1, 0]])
LABELS = ["a", "a", "b", "b", "c"]
WEIGHTS = [0.2, 0.5, 0.3]
A, B = np.asarray([0.5, 0.5, 0, 0, 0]), np.asarray([0, 0, 0.3125, 0.3125, 0.375])


def given_mask(known: np.ndarray) -> float:
    patterns: dict[tuple[int, ...], np.ndarray] = {}
    for x, masses in zip(X, np.stack([A, B], 1), strict=True):
        seen = tuple(x[known])
        patterns[seen] = patterns.get(seen, np.zeros(2)) + masses
    return sum(float(m.min()) for m in patterns.values())


def test_masking_against_enumeration() -> None:
    times = [0.1, 0.5, 0.9]
    curve = mask_overlap(KEY, Masking(), Empirical(X, LABELS, WEIGHTS), times, "a", ["b", "c"], n=16384, delta=1e-10)
    truth = [
        sum(
            given_mask(~np.asarray(hidden)) * t ** sum(hidden) * (1 - t) ** (5 - sum(hidden))
            for hidden in itertools.product([False, True], repeat=5)
        )
        for t in times
    ]
    assert np.all(np.abs(curve.value - truth) < 7 * curve.stderr)
    assert np.all((curve.lower <= truth) & (truth <= curve.upper))
    assert curve.delta == 1e-10
    draws = sloc.tv_curve(
        KEY, Masking(), Empirical(X, LABELS, WEIGHTS), times, "a", ["b", "c"], n=16384, method="monte-carlo"
    )
    # Rao-Blackwell: less variance than a balanced draw (whose rounds hold one draw from each of the three strata).
    assert np.all(curve.stderr**2 * curve.n < draws.stderr**2 * draws.n)


def test_a_fixed_order_needs_no_luck() -> None:
    order = np.asarray([4, 0, 3, 1, 2])
    curve = mask_overlap(KEY, OrderedMasking(order), Empirical(X, LABELS, WEIGHTS), np.arange(6), "a", ["b", "c"], n=2)
    truth = [given_mask(~np.isin(np.arange(5), order[:t])) for t in range(6)]
    np.testing.assert_allclose(curve.value, truth, atol=1e-6)
    assert np.all(curve.stderr < 1e-6)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Empirical data"):
        mask_overlap(KEY, Masking(), ProductCategorical.coins([0.1, 0.9], 3), [0.5], 0, 1, n=64)
