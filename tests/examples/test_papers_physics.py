"""Rows of the papers' table that come from physics: speciation, collapse, clones, and grammars.

Nothing here is random but what the committed table was drawn from.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.papers import (
    grammar_deep,
    grammar_levels,
    speciation,
)
from benchmarks.papers.grammar_trees import grammar
from benchmarks.papers.rows import crossing
from sloc.windows import printed
from tests.examples.papers_rows import FOUND, SIGMAS, bounds, fit, holds, ou_tv, row
from tests.oracles import channels, hierarchy, mixtures
from tests.oracles import papers as oracle

# ------------------------------------------------------------------------------------------------- physics


def test_speciation():
    said = printed.speciation_time(17.0)
    r = row("speciation", "TV at t_S", "w = ½")
    assert round(r["exact"], 2) == 0.67
    holds(r, ou_tv(said), 1e-9)
    far = printed.speciation_time(1 + 4 * 0.01 * 0.99 * 1e4)
    assert round(2 * norm.cdf(100 * math.exp(-far)) - 1, 7) == 0.9999995
    assert round(row("speciation", "TV at t_S", "0.01")["found"], 7) == 0.9999995
    line = mixtures.Line([0.5, 0.5], [4.0, -4.0], 1.0, *channels.ornstein_uhlenbeck(said))
    assert printed.pair_clones(4, said) == pytest.approx(line.clones([0, 1]), abs=1e-7)
    holds(row("speciation", "φ(t_S)"), line.clones([0, 1]), 1e-7)

    def agree(t: float) -> float:
        return mixtures.Line([0.5, 0.5], [4.0, -4.0], 1.0, *channels.ornstein_uhlenbeck(t)).clones([0, 1])

    holds(row("speciation", "t at which clones agree ¾"), oracle.edge(agree, 0.75, 0.5, 3), 1e-6)


def test_windows_around_the_speciation_time():
    for size, weight, setting in ((4.0, 0.5, "|μ| = 4, w = 0.5"), (100.0, 0.01, "|μ| = 100, w = 0.01, ε")):

        def tv(t: float) -> float:
            return mixtures.pair_tv(np.array([2 * size, 0.0]), 1.0, *channels.ornstein_uhlenbeck(t))  # noqa: B023

        low, high = math.log(size) - 3, math.log(size) + 3
        holds(row("speciation", "T_after", setting), oracle.edge(tv, 0.99, max(low, 0.01), high), 1e-8)
        holds(row("speciation", "T_before", setting), oracle.edge(tv, 0.1 / (1 - weight), max(low, 0.01), high), 1e-8)
    points = speciation.atoms(4)

    def draws(t):
        a, sigma = channels.ornstein_uhlenbeck(t)
        n = len(points)
        return mixtures.sampled_set_tv(
            np.full(n, 1 / n), points, 1e-12, a, sigma, [0], list(range(1, n)), 40_000, seed=2
        )

    bounds(row("speciation", "T_after", "the first within all"), 0, draws, 0.99)
    bounds(row("speciation", "T_before", "the first within all"), 0, draws, 0.1, 6 / 7)


def test_clones_of_narrow_classes():
    line = mixtures.Line([0.5, 0.5], [1.5, -1.5], 0.3, *channels.ornstein_uhlenbeck(0.8))
    assert printed.pair_clones(1.5, 0.8, 0.3) == pytest.approx(line.clones([0, 1]), abs=1e-7)


@pytest.mark.parametrize("d", speciation.DIMENSIONS)
def test_collapse(d):
    # 5 comparisons for each of 4 dimensions: 20 at 6.5 standard errors, 2e-9.
    curve = FOUND["speciation"]["series"]["collapse"][str(d)]
    said = printed.collapse_time(len(speciation.atoms(d)), d)
    t, value = np.asarray(curve["t"])[4::8] * said, np.asarray(curve["value"])[4::8]
    mean, error = oracle.atoms_clones(speciation.atoms(d), t, 20_000, seed=d)
    assert (np.abs(mean - value) <= SIGMAS * np.sqrt(2) * error + 2e-4).all()
    r = row("speciation", "t at which clones agree on the atom", f"d = {d}")
    assert r["printed"] == pytest.approx(said)


def test_collapse_time_balances_entropies():
    t = printed.collapse_time(math.exp(4), 8, 2.0)
    # ln n = d/2 ln(1 + variance e^{-2t} / (1 - e^{-2t})).
    assert 4 * math.log1p(2 * math.exp(-2 * t) / -math.expm1(-2 * t)) == pytest.approx(4)
    fitted = fit("speciation", "ln of t(")
    assert fitted["low"] <= fitted["exponent"] <= fitted["high"] < 0


def test_grammar_by_all_trees_and_masks():
    rules = np.asarray(grammar(4, 2, 3).rules)
    by_hidden = oracle.grammar_beliefs(rules, 4)
    t = np.linspace(0.02, 0.98, 97)
    n = len(by_hidden[0]) - 1
    mass = np.array([[math.comb(n, h) * s**h * (1 - s) ** (n - h) for h in range(n + 1)] for s in t])
    middles, ratios = [], []
    for called, beliefs in zip(("the class", "level 1", "level 2", "the leaves"), by_hidden, strict=True):
        kept = (mass @ beliefs - 0.25) / 0.75
        r = row("grammar", f"erased at which {called}")
        holds(r, crossing(t, kept, 0.5), 2e-6)
        middles.append(r["exact"])

        def level(s: float) -> float:
            terms = (math.comb(n, h) * s**h * (1 - s) ** (n - h) * beliefs[h] for h in range(n + 1))  # noqa: B023
            return (sum(terms) - 0.25) / 0.75

        early, late = (oracle.edge(level, share, 1e-6, 1 - 1e-6) for share in (0.75, 0.25))
        holds(row("grammar", f"{called}: erased with"), late / early, 5e-3)
        ratios.append(late / early)
    # Level by level: the class goes first, the leaves last; so shallow a tree does not flip under erasing.
    assert middles == sorted(middles)
    assert ratios == sorted(ratios, reverse=True)


def test_certified_window_of_a_grammar():
    trees = hierarchy.derivations(np.asarray(grammar(4, 2, 3).rules), 4)
    by_hidden = oracle.grammar_class_tv(trees)
    n = len(by_hidden) - 1

    def tv(s: float) -> float:
        return sum(math.comb(n, h) * s**h * (1 - s) ** (n - h) * by_hidden[h] for h in range(n + 1))

    holds(row("grammar", "T_after", "erasing"), oracle.edge(tv, 0.96, 1e-6, 0.99), 1e-6)
    holds(row("grammar", "T_before", "erasing"), oracle.edge(tv, 0.2 / 0.75, 1e-6, 0.999), 1e-6)


def test_levels_of_a_deep_grammar():
    # 8 levels at 4 noises at 6.5 standard errors of both: 32 comparisons, 3e-9.
    rules = np.asarray(grammar(grammar_levels.LETTERS, grammar_levels.RULES, 7).rules)
    levels = np.asarray(FOUND["grammar"]["series"]["levels"])
    for place in (5, 9, 13, 17):
        values = oracle.diffused_levels(rules, float(grammar_levels.NOISE[place]), 400, seed=place)
        error = values.std(0) / math.sqrt(len(values))
        both = error * math.sqrt(1 + len(values) / grammar_levels.TREES)
        assert (np.abs(values.mean(0) - levels[place]) <= SIGMAS * both + 1e-3).all(), place


def test_the_class_flips_and_the_leaves_move_smoothly():
    def among(quantity: str) -> list[dict]:
        names = ("the class", *(f"level {i}" for i in range(1, 7)), "the leaves")
        return [row("grammar", quantity.format(name), "depth 7, diffusion") for name in names]

    halves, ratios = among("t with ½ of {} kept"), among("{}: t with ¼ kept")
    assert [r["found"] for r in halves] == sorted(r["found"] for r in halves)
    assert [r["found"] for r in ratios] == sorted(r["found"] for r in ratios)
    # The intervals of class and leaves are apart: one flips, the others move.
    assert ratios[0]["high"] < ratios[-1]["low"]
    flips, moves = (fit("grammar", f"ln of ln(t(¼) / t(¾)) of the {who}") for who in ("class", "leaves"))
    assert flips["high"] < 0
    assert flips["exponent"] < moves["low"] <= 0 <= moves["high"]
    assert moves["exponent"] == pytest.approx(0, abs=0.03)


def test_grammar_map_and_its_fixed_point():
    # One letter right for sure and one of which nothing is known, by listing all tuples.
    v, s, m, p = 4, 2, 2, 0.7
    own, others, rest = m, m * v - m, (1 - p**s) / (v**s - 1)
    right = p**s + (own - 1) * rest
    assert printed.grammar_map(p, v, s, m) == pytest.approx(right / (right + others * rest))
    assert printed.grammar_map(1.0, v, s, m) == 1.0
    assert printed.grammar_map(1 / v, v, s, m) == pytest.approx(1 / v)
    share = printed.grammar_transition(16, 2, 4)
    belief = 1 - share + share / 16
    assert printed.grammar_map(belief, 16, 2, 4) == pytest.approx(belief)
    assert share == pytest.approx(0.8)
    assert printed.grammar_transition(3, 2, 2) is None
    deepest = row("grammar", "blur", "depth 8")
    assert abs(deepest["found"] - share) < 0.05
    f = fit("grammar", "ln width of the class, .75")
    assert f["low"] <= f["exponent"] <= f["high"] < -0.2


def test_pools_of_messages_are_those_of_trees():
    v, share = 3, 0.6
    rules = np.asarray(grammar(v, 2, 2).rules)

    def up(level: int, symbol: int) -> list[np.ndarray]:
        """The messages of all trees below a symbol, one by one; all weigh the same."""
        if level == len(rules):
            return [(1 - share) * np.eye(v)[symbol] + share / v]
        pairs = [
            (a, b) for left, right in rules[level][symbol] for a in up(level + 1, left) for b in up(level + 1, right)
        ]
        sums = [np.array([sum(a[x] * b[y] for x, y in rules[level][c]) for c in range(v)]) for a, b in pairs]
        return [s / s.sum() for s in sums]

    for depth in (1, 2):
        right = [m[c] for c in range(v) for m in up(2 - depth, c)]
        exact, spread = (np.mean(right) - 1 / v) * 1.5, np.std(right) * 1.5
        found = grammar_deep.pooled(rules, share, 4_000, seed=1)[depth - 1]
        # 12,000 draws whose children share ancestors: three times their errors if all were, so 6.5 of these, 2e-10.
        assert abs(found - exact) <= SIGMAS * 3 * spread / math.sqrt(12_000) + 1e-9


def test_deep_grammars_settle_at_a_slope():
    logs = np.asarray(FOUND["grammar"]["series"]["pools"])
    depths = np.arange(3, grammar_deep.DEPTH + 1)
    assert logs.shape == (grammar_deep.GRAMMARS, len(depths))
    parts = [fit("grammar", f"ln width of the class by pools, depths {first} ") for first, _ in grammar_deep.PARTS]
    for f, (first, last) in zip(parts, grammar_deep.PARTS, strict=True):
        each = [np.polyfit(depths[first - 3 : last - 2], one[first - 3 : last - 2], 1)[0] for one in logs]
        assert f["exponent"] == pytest.approx(np.mean(each), abs=1e-8)
        # 99 % of Student's t with five degrees of freedom.
        half = 4.0321 * np.std(each, ddof=1) / math.sqrt(len(each))
        assert f["high"] - f["exponent"] == pytest.approx(f["exponent"] - f["low"]) == pytest.approx(half, rel=1e-4)
    trees, limit = (
        fit("grammar", "ln width of the class, .75"),
        fit("grammar", "ln width of the class by pools, in the l"),
    )
    assert trees["low"] <= parts[0]["exponent"] <= trees["high"]
    # Gentler and gentler, and what is fitted of all depths holds where the last of them have come to.
    assert parts[0]["high"] < parts[1]["low"] < parts[1]["exponent"] < parts[2]["exponent"]
    assert limit["low"] <= parts[2]["exponent"] <= limit["high"]
    assert limit["high"] - limit["low"] < 0.02
    # The mean field's slope is left out, by less than a tenth of it: what the page says.
    assert limit["claimed"] == pytest.approx(-0.3075, abs=1e-4)
    assert limit["claimed"] < limit["low"]
    assert limit["exponent"] / limit["claimed"] > 0.9
