"""Exact windows of single points under diffusion: the staircase of Ex. 7, and one atom among few that collapses.

False-alarm rate: 4 comparisons of draws at 6.5 standard errors, 4e-10.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.papers import masking_orders
from benchmarks.papers.atom_windows import first_atom_tv, first_step_tv
from benchmarks.papers.speciation_windows import few_atoms
from tests.examples.test_papers import SIGMAS, row
from tests.oracles import channels, mixtures
from tests.oracles import papers as oracle

SHORT, LEVELS = masking_orders.SHORT, (("T_after", 0.99), ("T_before", 0.1))


def ratio(t: float) -> float:
    """Signal to noise of the Ornstein-Uhlenbeck process."""
    a, sigma = channels.ornstein_uhlenbeck(t)
    return a / sigma


def brackets(r: dict, tv, level: float, width: float) -> None:
    """Assert that a TV that falls passes the level at a row's exact number, which its interval holds."""
    assert tv(r["exact"] - width) > level > tv(r["exact"] + width)
    assert r["low"] <= r["exact"] <= r["high"]


@pytest.mark.parametrize(("d", "r"), [(2, 0.3), (2, 4.0), (8, 0.157), (8, 4.3), (30, 1.0)])
def test_two_ways_to_a_word_among_all(d, r):
    # The module integrates a function of the chain backwards, the oracle carries its density forwards.
    assert first_step_tv(d, r) == pytest.approx(oracle.first_word_tv(d, r), abs=1e-6)


def test_small_cases_are_pairs_and_agree():
    corners = np.array([[0.3, 0.1, 0.0], [1.3, 0.1, 0.2], [-0.4, 0.9, 0.0], [0.1, -0.5, 1.1]])
    for r in (0.2, 1.0, 4.0):
        want = mixtures.pair_tv(np.array([1.0]), 0.0, r, 1.0)
        assert first_step_tv(1, r) == pytest.approx(want, abs=1e-9)
        # Two others at one place are one.
        assert oracle.first_of_several_tv(r * np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])) == pytest.approx(want)
        for points in (corners[:3, :2], corners):
            assert first_atom_tv(points, r) == pytest.approx(oracle.first_of_several_tv(r * points, 0.1), abs=1e-4)


def test_a_word_among_all_under_diffusion():
    for setting, quantity, level in (
        ("{0} within all", "T_after", 0.99),
        ("{0} within {0, 1}", "T_after", 0.99),
        ("{0} within all", "T_before", 0.1 * 9 / 8),
    ):
        found = row("masking_orders", quantity, f"diffusion, {setting}")
        brackets(found, lambda t: oracle.first_word_tv(SHORT, ratio(t)), level, 1e-5)
    # And draws in all eight dimensions, which know nothing of chains.
    words, share = masking_orders.staircase(SHORT) * 1.0, np.full(SHORT + 1, 1 / (SHORT + 1))
    rest = list(range(1, SHORT + 1))
    for quantity, level in (("T_after", 0.99), ("T_before", 0.1 * 9 / 8)):
        noise = channels.ornstein_uhlenbeck(row("masking_orders", quantity, "diffusion, {0} within all")["exact"])
        value, error = mixtures.sampled_set_tv(share, words, 1e-12, *noise, [0], rest, 20_000, seed=1)
        assert abs(value - level) <= SIGMAS * error


def test_two_words_have_no_window_under_diffusion():
    # Where the first is within .1 of both, both are not .99 from the rest, and less so at more noise: 1e-10.
    words, share = masking_orders.staircase(SHORT) * 1.0, np.full(SHORT + 1, 1 / (SHORT + 1))
    merged = oracle.edge(lambda t: mixtures.pair_tv(np.ones(1), 0.0, *channels.ornstein_uhlenbeck(t)) / 2, 0.1, 0.1, 9)
    noise = channels.ornstein_uhlenbeck(merged)
    value, error = mixtures.sampled_set_tv(share, words, 1e-12, *noise, [0, 1], list(range(2, 9)), 4_000, seed=0)
    assert value + SIGMAS * error < 0.99
    none = row("masking_orders", "T_before", "diffusion, {0} within {0, 1}")
    assert none["exact"] is none["found"] is None
    assert "none exists" in none["note"]
    assert "status empty" in none["note"]


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "level"), [("T_after", 0.99), ("T_before", 0.1 * 7 / 6)])
def test_one_atom_among_seven(quantity, level):
    # The module sums over a lattice in four dimensions, the oracle over lines with a formula along each.
    found, points = row("speciation", quantity, "the first within all"), few_atoms()
    brackets(found, lambda t: oracle.first_of_several_tv(ratio(t) * points, 0.4), level, 1e-5)
