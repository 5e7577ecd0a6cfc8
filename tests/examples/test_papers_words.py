"""Rows of the papers' table about words: strings, critical tokens, coins, walks, discourse, examples in context.

Nothing here is random.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.papers import (
    critical_token,
)
from sloc.populations import CriticalTokens
from sloc.windows import printed
from tests.examples.papers_rows import FOUND, check_removed, fit, holds, row
from tests.oracles import atoms
from tests.oracles import discourse as discourse_oracle
from tests.oracles import papers as oracle

# ------------------------------------------------------------------------------------------------- Ex. 3, 4, 5


def test_two_strings_under_masking():
    strings = np.stack([np.zeros(10, int), np.ones(10, int)])

    def tv(t: float) -> float:
        return atoms.Finite(atoms.observed_laws(strings, [0, 1], atoms.masking(t))[0], [0.5, 0.5]).tv([0], [1])

    assert round(row("masked_pair", "T_after", "w = 0.5", "closed")["exact"], 3) == 0.631
    for method in ("closed", "certified"):
        for quantity, level in (("T_after", 0.99), ("T_before", 0.2)):
            r = row("masked_pair", quantity, "w = 0.5", method)
            assert tv(r["exact"]) == pytest.approx(level, abs=1e-8)
            holds(r, r["exact"], 1e-9)
    for weight in (0.5, 0.95):
        finite = atoms.Finite(atoms.observed_laws(strings, [0, 1], atoms.masking(0.9))[0], [weight, 1 - weight])
        holds(row("masked_pair", "posterior mass", f"w = {weight:g}"), finite.misassignment([0]), 1e-9)
        assert finite.misassignment([0]) == pytest.approx((1 - weight) * 0.9**10)
    lopsided = row("masked_pair", "T_before", "w = 0.95")
    assert lopsided["exact"] == lopsided["found"] == 0.0
    # At w = .95 the distance to the whole is .05 TV, below .1 already at t = 0.
    assert 0.05 * tv(1e-9) <= 0.1
    assert printed.masked_pair_edges(10, 0.1).before == pytest.approx(0.9895192582, abs=1e-9)


@pytest.mark.parametrize("leak", critical_token.LEAKS)
def test_critical_tokens(leak):
    c = critical_token
    want = oracle.script_window(c.tables(leak), c.START, c.SPREAD, c.LENGTH, c.EPSILON)
    for quantity, truth in zip(("T_after", "T_before"), want, strict=True):
        holds(row("critical_token", quantity, f"leak = {leak:g},"), truth, 1e-9)
    said = printed.critical_token_edges(c.LENGTH, c.START, c.SPREAD)
    # The printed edges lie inside the exact ones, or on them: bounds on where it happens, not edges.
    assert want[0] <= said.after
    assert said.before <= want[1]
    assert (want[0] == said.after) is (leak == 0)


@pytest.mark.parametrize(("name", "mode", "seen"), [("refusals", 1, 8), ("agent", 1, 12)])
def test_ready_made_critical_tokens(name, mode, seen):
    model = getattr(CriticalTokens, name)()
    tables = [np.asarray(v, np.float64) for v in (model.initial, model.common, model.branches)]
    # TV grows with every token seen: the first ones hold both edges.
    tv = np.array([oracle.parted_tv(*tables, model.start, model.spread, n) for n in range(seen + 1)])
    np.testing.assert_allclose(critical_token.named_distances(model)[: seen + 1], tv, atol=1e-6)
    other = 1 - np.asarray(model.weights)[mode]
    assert tv[-1] >= 1 - critical_token.EPSILON**2
    after = model.length - np.flatnonzero(tv >= 1 - critical_token.EPSILON**2).min()
    before = model.length - np.flatnonzero(other * tv <= critical_token.EPSILON).max()
    holds(row("critical_token", "T_after", f"{name}()"), after, 0)
    holds(row("critical_token", "T_before", f"{name}()"), before, 0)
    assert after <= row("critical_token", "T_after", f"{name}()")["printed"]


def test_certified_coins_and_walks():
    check_removed("coins", "coins, Δ = 0.1", oracle.coins_tv(0.6, 0.4, 180), 0.12)
    absorbed = np.array([oracle.absorbed_tv(0.6, 20, n) for n in range(121)])
    check_removed("coins", "absorbed at ±20, Δ = 0.1", absorbed, 0.2)


def test_coins():
    tv = oracle.coins_tv(0.55, 0.45, 950)
    assert np.flatnonzero(tv >= 1 - 0.05**2).min() == 909
    assert np.flatnonzero(tv / 2 <= 0.05 + 1e-12).max() == 2
    holds(row("coins", "n_after", "0.05"), 909, 0)
    holds(row("coins", "n_before", "0.05"), 2, 0)
    assert round(printed.coin_counts(0.05, 0.05).after) == 1337
    few = oracle.coins_tv(0.504, 0.496, 20)
    assert np.flatnonzero(few / 2 <= 0.01).max() == 10
    assert oracle.long_coins_tv(0.504, 0.496, 236_503) >= 1 - 1e-4 > oracle.long_coins_tv(0.504, 0.496, 236_502)
    holds(row("coins", "n_after", "0.004"), 236_503, 0)
    holds(row("coins", "n_before", "0.004"), 10, 0)
    said = printed.coin_counts(0.004, 0.01)
    assert (round(said.after), round(said.before, 2)) == (309_484, 4.25)


def test_absorbed_walks():
    r = row("coins", "largest TV")
    assert round(r["exact"], 4) == 0.7630
    holds(r, oracle.absorbed_tv(0.55, 10, 4000), 1e-8)
    least = row("coins", "least barrier")
    assert least["exact"] == least["found"] == 34
    assert oracle.absorbed_tv(0.55, 33, 20_000) < 1 - 0.05**2 < oracle.absorbed_tv(0.55, 34, 20_000)


# ------------------------------------------------------------------------------------------------- Thm. 9, Ex. 6


def test_discourse():
    tv = np.array([oracle.discourse_tv(1e8, 0.3, 20, 20 - t) for t in range(21)])
    assert np.flatnonzero(tv >= 0.99).max() == 3
    assert np.flatnonzero(tv / 2 <= 0.1).min() == 9
    np.testing.assert_allclose(FOUND["discourse"]["series"]["tv"], tv, atol=1e-6)
    holds(row("discourse", "T_after", method="exact"), 3, 0)
    check_removed("discourse", "α = 1e8", tv[::-1], 0.1)
    for r in FOUND["discourse"]["rows"][1:3]:
        assert r["quantity"].startswith("T_before")
        holds(r, 9, 0)
    said = printed.discourse_edges(1e8, 0.3, 0.1)
    assert (round(said.after, 2), round(said.before, 2)) == (6.18, 19.55)
    mended = printed.discourse_before_from_kl(1e8, 0.3, 0.1)
    # Valid, and about half of ln alpha before what is printed.
    assert 9 <= mended < 10
    assert said.before - mended == pytest.approx(0.5 * math.log(1e8) + 0.5 * math.log(4), abs=1e-3)


@pytest.mark.parametrize("t", [6, 8])
def test_affinity_of_one_word(t):
    topics = np.array([[1.0, 0.0], [0.3, math.sqrt(0.91)]])
    words = [discourse_oracle.covariance(u, 1e8, np.array([float(t)])) for u in topics]
    truth = discourse_oracle.affinity(*words)
    r = row("discourse", "BC of one word", f"t = {t}")
    holds(r, truth, 1e-9)
    assert r["printed"] == pytest.approx(truth, rel=1e-9)
    # One minus TV is between BC^2 / 2 and BC: the determinants against a sum over the plane.
    tv = discourse_oracle.planar_tv(*words)
    assert truth**2 / 2 <= 1 - tv <= truth


def test_discourse_formulas_invert_what_they_say():
    for alpha, cosine, epsilon in ((1e8, 0.3, 0.1), (50.0, -0.6, 0.4)):
        x = alpha * math.exp(-2 * printed.discourse_edges(alpha, cosine, epsilon).after)
        phi = (2 + x) / ((2 + x * (1 + cosine) / 2) * (2 + x * (1 - cosine) / 2))
        assert phi == pytest.approx(epsilon**2, rel=1e-9)
    # 2 KL of N(0, I + alpha theta theta^T) from N(0, I): trace - dimension - log determinant, shrunk by e^{-2T}.
    grown = np.eye(3) + 1e8 * np.outer([0.6, 0.0, 0.8], [0.6, 0.0, 0.8])
    slack = math.exp(-20) * math.sqrt(np.trace(grown) - 3 - np.linalg.slogdet(grown)[1])
    r = row("discourse", "e^{-T}")
    assert r["exact"] == pytest.approx(slack, rel=1e-8)
    assert r["printed"] == pytest.approx(slack, rel=1e-8)
    exact, said = fit("discourse", "exact T_before"), fit("discourse", "printed T_before")
    assert exact["low"] <= 0.5 <= exact["high"] < 0.6
    early = fit("discourse", "exact T_after")
    assert 0.4 < early["low"] <= 0.5 <= early["high"] < 0.6
    assert said["exponent"] == pytest.approx(1, abs=1e-6)


def test_in_context():
    # The law of the number of heads grown coin by coin, and E[1 - pi] = sum p q / (p + q).
    p, q = np.array([1.0]), np.array([1.0])
    error = [0.5]
    for _ in range(330):
        p, q = np.convolve(p, [0.5, 0.5]), np.convolve(q, [0.7, 0.3])
        error.append(float((p * q / (p + q)).sum()))
    r = row("in_context", "error of the next output")
    holds(r, 0.2 * error[7], 1e-9)
    assert round(r["exact"], 3) == 0.076
    check_removed("in_context", "N = 150", oracle.coins_tv(0.5, 0.3, 150), 0.15)
    affinity = math.sqrt(0.15) + math.sqrt(0.35)
    assert math.ceil(printed.examples_needed(2 - 2 * affinity, 1e-3)) == 7
    assert next(n for n in range(400) if affinity**n <= 1e-3) == 325
    assert math.ceil(printed.examples_needed_corrected(2 - 2 * affinity, 1e-3)) == 325
    holds(row("in_context", "examples whose affinity"), 325, 0)
    needed = row("in_context", "examples after which")["exact"]
    assert needed == next(n for n in range(330) if 0.2 * error[n] <= 1e-3)
    assert 0.2 * error[325] <= 1e-3
    assert abs(fit("in_context", "printed")["exponent"]) < 0.01
