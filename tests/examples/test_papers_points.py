"""Points behind the fitted exponents of words, one by one: each edge lies where an oracle's TV passes the level.

Nothing here is random.
"""

from __future__ import annotations

import math

import pytest

from benchmarks.papers import coins, discourse, in_context, masked_pair
from benchmarks.papers.rows import slope
from tests.examples.papers_rows import FOUND, fit
from tests.oracles import papers as oracle


@pytest.mark.parametrize("i", range(len(coins.DRIFTS)))
def test_coins(i):
    series, level = FOUND["coins"]["series"], coins.EPSILON
    drift, (after, before) = series["drift"][i], series["table"][i]
    assert drift == coins.DRIFTS[i]

    def tv(tokens: int) -> float:
        return oracle.long_coins_tv(0.5 + drift, 0.5 - drift, tokens)

    # More tokens tell no less, so neighbours place the edge.
    assert tv(after) >= 1 - level**2 > tv(after - 1)
    assert tv(before) / 2 <= level < tv(before + 1) / 2


@pytest.mark.parametrize("i", range(len(discourse.ALPHAS)))
def test_discourse(i):
    series, level = FOUND["discourse"]["series"], discourse.EPSILON
    alpha, (after, before) = series["alpha"][i], series["edges"][i]
    assert alpha == discourse.ALPHAS[i]

    def tv(removed: float) -> float:
        return oracle.discourse_tv(alpha, discourse.COSINE, 30, 30 - int(removed))

    assert tv(before) / 2 <= level < tv(before - 1) / 2
    if after is None:
        assert tv(0) < 1 - level**2
    else:
        assert tv(after) >= 1 - level**2 > tv(after + 1)


@pytest.mark.parametrize("i", range(len(in_context.GAPS)))
def test_in_context(i):
    series, gap = FOUND["in_context"]["series"], in_context.GAPS[i]
    number = series["exact"][i]
    mass = [oracle.long_coins_mass(0.5, 0.5 - gap, n) for n in (number, number - 1)]
    assert mass[0] <= in_context.EPSILON < mass[1]
    affinity = math.sqrt(0.5 * (0.5 - gap)) + math.sqrt(0.5 * (0.5 + gap))
    assert series["delta"][i] == pytest.approx(2 - 2 * affinity, rel=1e-8)
    assert series["mended"][i] == pytest.approx(math.log(in_context.EPSILON) / math.log(affinity), rel=1e-8)
    assert series["printed"][i] == pytest.approx(math.log(affinity / in_context.EPSILON), rel=1e-8)


def test_strings():
    series, level = FOUND["masked_pair"]["series"], masked_pair.EPSILON
    assert series["h"] == list(masked_pair.DISTANCES)
    for h, (after, before) in zip(series["h"], series["edges"], strict=True):
        # TV is one minus the chance that all h places are hidden; edges are kept to ten digits.
        assert h * math.log(after) == pytest.approx(2 * math.log(level), rel=1e-4)
        assert h * math.log(before) == pytest.approx(math.log(1 - 2 * level), rel=1e-4)


def test_exponents_are_those_of_the_points():
    drifts = FOUND["coins"]["series"]["drift"]
    squares, gaps = ("Δ²", [d**2 for d in drifts]), ("δ", FOUND["in_context"]["series"]["delta"])
    # Whole numbers: an edge may lie lower by a step, of two tokens, of four for a difference, of one example.
    for name, y, x, points, step, bend, claimed in (
        ("coins", "n_after", "drift", [after for after, _ in FOUND["coins"]["series"]["table"]], 2, squares, -2),
        ("coins", "n_after - n_before", "drift", [a - b for a, b in FOUND["coins"]["series"]["table"]], 4, squares, -2),
        ("in_context", "exact", "delta", FOUND["in_context"]["series"]["exact"], 1, gaps, -1),
    ):
        (f,) = [f for f in FOUND[name]["fits"] if f["y"] == y or y == "exact" == f["y"][:5]]
        band = [p - step for p in points], points
        value, low, high, _ = slope(FOUND[name]["series"][x], points, band=band, bend=bend)
        assert (f["exponent"], f["low"], f["high"]) == pytest.approx((value, low, high), rel=1e-6)
        assert f["claimed"] == claimed
    # Whole words: an edge in continuous time lies within one of each.
    edges = FOUND["discourse"]["series"]["edges"]
    table = [(a, after, before) for a, (after, before) in zip(discourse.ALPHAS, edges, strict=True)]
    told = [(a, after) for a, after, _ in table if after is not None]
    x, low = [a for a, _ in told], [after for _, after in told]
    want = slope(x, [v + 0.5 for v in low], band=(low, [v + 1 for v in low]), log_y=False)
    f = fit("discourse", "exact T_after")
    assert (f["exponent"], f["low"], f["high"]) == pytest.approx(want[:3], rel=1e-6)
    high = [before for *_, before in table]
    want = slope(discourse.ALPHAS, [v - 0.5 for v in high], band=([v - 1 for v in high], high), log_y=False)
    f = fit("discourse", "exact T_before")
    assert (f["exponent"], f["low"], f["high"]) == pytest.approx(want[:3], rel=1e-6)
