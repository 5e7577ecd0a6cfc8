"""Rows of the papers' table under diffusion whose exact number is a sum, an integral or draws in double precision.

Draws are compared at 6.5 standard errors, 8e-11 each: of 13 here all together 1e-9, of 66 in all with the curves 6e-9.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.papers import atom_clones, gaussian_certificate, gaussian_mixture, grammar_diffused, speciation
from benchmarks.papers.grammar_levels import LETTERS, RULES, SMALL
from benchmarks.papers.grammar_trees import grammar
from tests.examples.papers_rows import FOUND, SIGMAS, holds, row
from tests.oracles import channels, hierarchy, mixtures
from tests.oracles import papers as oracle

DIFFUSED = "depth 3, diffusion, ε = 0.2"
EDGES = (("T_after", 0.96), ("T_before", 0.2 / 0.75))


def stated_error(r: dict) -> float:
    """The standard error that a row's note gives its exact number."""
    return float(r["note"].split("± ")[1].split(":")[0])


# ------------------------------------------------------------------------------------------------- grammar


def small_trees() -> hierarchy.Derivations:
    return hierarchy.derivations(np.asarray(grammar(*SMALL).rules), SMALL[0])


def test_the_window_of_a_class_under_diffusion():
    trees = small_trees()
    for quantity, level in EDGES:
        r = row("grammar", quantity, DIFFUSED, "certified")
        assert r["low"] < r["exact"] < r["high"]
        assert r["low"] < r["found"] < r["high"]
        # Resolved, and to more than its order.
        assert r["high"] - r["low"] < 0.3 * r["exact"]
        assert 0 < stated_error(r) < 0.01 * r["exact"]
        # Draws whose likelihoods list all 512 trees, at the exact edge and a few stated errors to either side.
        t, wide = r["exact"], 8 * stated_error(r)
        (early, e1), (late, e2) = (oracle.diffused_class_tv(trees, t + side, 15_000, seed=5) for side in (-wide, wide))
        assert early + SIGMAS * e1 >= level >= late - SIGMAS * e2
        value, error = oracle.diffused_class_tv(trees, t, 15_000, seed=6)
        assert abs(value - level) <= SIGMAS * error + (early - late)


@pytest.mark.parametrize("t", [0.1, 0.5, 1.2])
def test_a_grammar_of_two_leaves_by_quadrature(t):
    rules = np.array([[[[0, 0], [1, 1]], [[0, 1], [1, 0]]]])
    trees = hierarchy.derivations(rules, 2)
    exact = oracle.diffused_pair_tv(trees, t)
    value, error = grammar_diffused.class_tv(rules, t, draws=100_000)
    assert abs(value - exact) <= SIGMAS * error
    value, error = oracle.diffused_class_tv(trees, t, 100_000, seed=1)
    assert abs(value - exact) <= SIGMAS * error


@pytest.mark.parametrize("place", [8, 18, 28])
def test_levels_of_a_small_grammar_by_all_trees(place):
    curves = FOUND["grammar"]["series"]["double"]["small"]
    want, error = oracle.diffused_beliefs(small_trees(), curves["t"][place], 8_000, seed=place)
    assert (np.abs(want - curves["kept"][place]) <= SIGMAS * np.hypot(error, curves["error"][place]) + 1e-9).all()


@pytest.mark.parametrize("place", [10, 18, 26, 34])
def test_levels_of_a_deep_grammar_in_double_precision(place):
    curves = FOUND["grammar"]["series"]["double"]["deep"]
    rules = np.asarray(grammar(LETTERS, RULES, 7).rules)
    values = oracle.diffused_levels(rules, curves["t"][place], 200, seed=place)
    error = np.hypot(values.std(0) / math.sqrt(len(values)), curves["error"][place])
    assert (np.abs(values.mean(0) - curves["kept"][place]) <= SIGMAS * error + 1e-9).all()


@pytest.mark.parametrize(("size", "setting", "depth"), [("small", "depth 3, diffusion", 3), ("deep", "depth 7", 7)])
def test_level_rows_are_those_of_the_curves(size, setting, depth):
    curves = FOUND["grammar"]["series"]["double"][size]
    log_t, kept = np.log(curves["t"]), np.asarray(curves["kept"])
    for level in range(depth + 1):
        called = {0: "the class", depth: "the leaves"}.get(level, f"level {level}")
        falls = np.minimum.accumulate(kept[:, level])[::-1]
        low, middle, high = np.exp([np.interp(share, falls, log_t[::-1]) for share in (0.75, 0.5, 0.25)])
        half, ratio = (
            row("grammar", f"t with ½ of {called} kept", setting),
            row("grammar", f"{called}: t with", setting),
        )
        holds(half, middle, 1e-6)
        holds(ratio, high / low, 1e-6)
        for r in (half, ratio):
            # The interval is of draws, and not so wide as to hold anything.
            assert 0 < stated_error(r) < (r["high"] - r["low"]) / 4
            assert r["high"] - r["low"] < 0.35 * r["exact"]


# ------------------------------------------------------------------------------------------------- collapse


@pytest.mark.parametrize("d", speciation.DIMENSIONS)
def test_half_of_the_clones_agree(d):
    points = speciation.atoms(d)
    r = row("speciation", "t at which clones agree on the atom", f"d = {d}")
    assert r["low"] <= r["exact"] <= r["high"]
    assert r["high"] - r["low"] < 0.05 * r["exact"]
    if d == 4:
        t = r["exact"]
        early, late = (oracle.atoms_clones_by_nodes(points, t + side) for side in (-2e-4, 2e-4))
        assert early > 0.5 > late
        return
    assert 0 < stated_error(r) < 0.001
    mean, error = oracle.atoms_clones(points, np.array([r["exact"]]), 40_000, seed=d + 1)
    # The curve falls by less than 4 a unit of t.
    assert abs(mean[0] - 0.5) <= SIGMAS * math.hypot(error[0], 4 * stated_error(r))


def test_collapse_comes_down_to_the_printed_time():
    over = [1 / row("speciation", "t at which clones agree on the atom", f"d = {d}")["ratio"] for d in (4, 6, 8, 10)]
    np.testing.assert_allclose(over, [1.735, 1.299, 1.281, 1.162], atol=0.003)
    assert over == sorted(over, reverse=True)


def test_lattice_of_clones_does_not_depend_on_its_spacing():
    points = speciation.atoms(4)[:3, :3]
    for t in (0.2, 0.6):
        fine = oracle.atoms_clones_by_nodes(points, t, nodes=60)
        assert atom_clones.by_lattice(points, t) == pytest.approx(fine, abs=2e-4)
        assert atom_clones.by_lattice(points, t, spacing=0.35, reach=7.0) == pytest.approx(fine, abs=1e-5)
        value, error = atom_clones.by_draws(points, t, 30_000)
        assert abs(value - fine) <= SIGMAS * error


# ------------------------------------------------------------------------------------------------- Ex. 1, 2


@pytest.mark.parametrize("weight", [0.2, 0.8])
def test_two_gaussians_of_other_weights(weight):
    def tv(t: float) -> float:
        return mixtures.pair_tv(np.array([8.0, 0.0, 0.0]), 1.0, *channels.ornstein_uhlenbeck(t))

    def whole(t: float) -> float:
        return mixtures.Line([weight, 1 - weight], [4.0, -4.0], 1.0, *channels.ornstein_uhlenbeck(t)).tv([0], [0, 1])

    for quantity, law, level in (("T_after", tv, 0.99), ("T_before", whole, 0.1)):
        r = row("gaussian_pair", quantity, f"w = {weight:g}")
        holds(r, oracle.edge(law, level, 0.1, 5), 1e-7)
        assert r["high"] - r["low"] < 0.05


@pytest.mark.parametrize("d", [4, 1024])
def test_the_certificate_of_four_gaussians(d):
    mu = gaussian_mixture.means(d)
    r, mass = (row("gaussian_mixture", q, f"d = {d},") for q in ("sampling-free certificate", "E[1-π] itself"))

    def bound(t: float) -> float:
        # Affinities by quadrature along the line through two means: int sqrt(p q).
        a, sigma = channels.ornstein_uhlenbeck(t)
        total = 0.0
        for other in mu[1:]:
            gap = a * float(np.linalg.norm(mu[0] - other))
            y = np.linspace(-10, gap + 10, 4001)
            p, q = (np.exp(-((y - place) ** 2) / (2 * (a * a + sigma * sigma))) for place in (0, gap))
            total += float(np.trapezoid(np.sqrt(p * q), y)) / math.sqrt(2 * math.pi)
        return total / 2

    near = r["exact"]
    holds(r, oracle.edge(lambda t: -bound(t), -0.1, max(near - 1, 0.01), near + 1), 1e-7)
    # E[1 - pi_0] = int p_0 (p_1 + p_2 + p_3) / (p_0 + ..) by draws in the span, at the exact edge.
    rng, a = np.random.default_rng(d), math.exp(-mass["exact"])
    gaps = a * gaussian_mixture.reduced(mu)[1:] - a * gaussian_mixture.reduced(mu)[0]
    odds = np.exp(rng.normal(size=(400_000, 3)) @ gaps.T - (gaps**2).sum(1) / 2).sum(1)
    lost = odds / (1 + odds)
    assert abs(lost.mean() - 0.1) <= SIGMAS * lost.std() / math.sqrt(len(lost))
    assert mass["low"] <= mass["exact"] <= mass["high"]
    # The printed edge is early, the certificate later, the mass itself last.
    assert r["printed"] < r["exact"] < mass["exact"]
    assert gaussian_certificate.affinity_bound(mu, mass["exact"]) > 0.1
