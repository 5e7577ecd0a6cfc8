"""Exact information from sums over patterns, against tables of all words and masks written out one by one."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sloc
from sloc.populations import Empirical, MarkovChains, ProductCategorical
from sloc.processes import Masking, OrderedMasking, Truncation
from tests.populations.enumeration import markov_pmf, product_pmf

KEY = jax.random.key(0)


def bits(w: np.ndarray, law: np.ndarray) -> float:
    """Return ``H(theta) - sum_s p(s) H(theta | s)`` of ``law [K, S]``, entry by entry."""
    total = 0.0
    for s in range(law.shape[1]):
        joint = w * law[:, s]
        for j in joint[joint > 0]:
            total += j * np.log2(j / joint.sum())
    return total - float(sum(v * np.log2(v) for v in w))


def shown_law(words: np.ndarray, seen: list[int]) -> np.ndarray:
    """Add up a table of whole words ``[K, q, .., q]`` over the coordinates that are not seen."""
    hidden = tuple(1 + i for i in range(words.ndim - 1) if i not in seen)
    return words.sum(hidden).reshape(words.shape[0], -1)


def exact(process: sloc.ObservationProcess, population: sloc.Population, times: object) -> np.ndarray:
    curve = sloc.information_curve(KEY, process, population, times, n=2, method="closed-form")
    assert curve.method == "exact"
    assert curve.n == 0
    assert (curve.lower == curve.value).all()
    return curve.value


@settings(max_examples=15)
@given(seed=st.integers(0, 2**16), k=st.integers(2, 3), q=st.integers(2, 3), length=st.integers(2, 4))
def test_chains_and_letters_in_any_order(seed: int, k: int, q: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    w, order = rng.dirichlet(np.ones(k)), rng.permutation(length)
    initial, moves = rng.dirichlet(np.ones(q), k), rng.dirichlet(np.ones(q), (k, q))
    probs = rng.dirichlet(np.ones(q), (k, length))
    chains, letters = MarkovChains(initial, moves, length, w), ProductCategorical(probs, w)
    tables = (markov_pmf(initial, moves, length), product_pmf(probs))
    for population, flat in zip((chains, letters), tables, strict=True):
        table = flat.reshape(k, *(q,) * length)
        for process, hides in ((OrderedMasking(order), order), (Truncation(length), np.arange(length)[::-1])):
            seen = [sorted(set(range(length)) - set(hides[:t].tolist())) for t in range(length + 1)]
            truth = [bits(w, shown_law(table, s)) for s in seen]
            np.testing.assert_allclose(exact(process, population, range(length + 1)), truth, atol=1e-12)


@pytest.mark.parametrize("heads", [(0.3, 0.6, 0.9), (0.0, 0.5, 1.0)])
def test_coins_over_all_masks(heads: tuple[float, ...]) -> None:
    w, length, times = np.array([0.2, 0.5, 0.3]), 4, np.array([0.1, 0.4, 0.75])
    coins = ProductCategorical.coins(heads, length, w)
    each = np.broadcast_to(np.array([[1 - h, h] for h in heads])[:, None], (3, length, 2))
    table = product_pmf(each).reshape(3, *(2,) * length)
    truth = [
        sum(
            t ** (length - len(seen)) * (1 - t) ** len(seen) * bits(w, shown_law(table, list(seen)))
            for r in range(length + 1)
            for seen in itertools.combinations(range(length), r)
        )
        for t in times
    ]
    np.testing.assert_allclose(exact(Masking(), coins, times), truth, atol=1e-12)


def test_a_thousand_coins_are_summed_by_their_count() -> None:
    # False alarm 1e-9, the band's level.
    coins, times = ProductCategorical.coins([0.5, 0.53], 1000), [100, 500, 900]
    drawn = sloc.information_curve(KEY, Truncation(1000), coins, times, n=16_384, delta=1e-9, method="monte-carlo")
    found = exact(Truncation(1000), coins, times)
    assert (drawn.lower <= found).all()
    assert (found <= drawn.upper).all()
    assert (np.diff(found) < -0.05).all()


def test_labelled_atoms_agree_or_differ() -> None:
    # Two atoms of class 0 and one of class 1; the third letter alone tells the classes apart, the second the atoms.
    atoms = Empirical(np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1]]), np.array([0, 0, 1]))
    found = exact(Truncation(3), atoms, range(4))
    # All atoms weigh the same.  Without the third letter two of three show 1, and then either class is as likely.
    whole = -(2 / 3) * np.log2(2 / 3) - (1 / 3) * np.log2(1 / 3)
    np.testing.assert_allclose(found, [whole, whole - 2 / 3, 0.0, 0.0], atol=1e-12)


def test_chosen_where_there_is_one_and_refused_where_not() -> None:
    chains = MarkovChains([[0.5, 0.5]] * 2, [[[0.9, 0.1], [0.1, 0.9]], [[0.4, 0.6], [0.6, 0.4]]], 40)
    few = sloc.information_curve(KEY, Truncation(40), chains, range(20, 41), n=2)
    assert few.method == "exact"
    density = sloc.windows.information_density(few)
    assert (density.lower == density.value).all()
    many = sloc.information_curve(KEY, Truncation(40), chains, range(15, 41), n=1024)
    assert many.method.startswith("monte carlo")
    for process, times in ((Truncation(40), [0]), (Masking(), [0.5])):
        with pytest.raises(sloc.InvalidInput, match=r"method = 'closed-form'.*none for information"):
            sloc.information_curve(KEY, process, chains, times, n=2, method="closed-form")
