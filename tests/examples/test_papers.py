"""The table of the papers' examples, row by row against oracles that know nothing of the library.

What was computed stands in ``benchmarks/papers/papers.json``, with fixed seeds; most tests read it and compare.  Tests
whose oracle draws state their false-alarm rates; all of them together stay below 1e-8.
"""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.papers import (
    all_or_nothing,
    coins,
    discourse,
    gaussian_mixture,
    masking_orders,
    masking_permuted,
)
from benchmarks.papers.__main__ import EXAMPLES, HERE, ROOT, record
from benchmarks.papers.rows import crossing
from sloc.contracts import InvalidInput
from sloc.windows import printed
from tests.examples.papers_rows import FOUND, SIGMAS, bounds, fit, holds, ou_tv, row
from tests.oracles import atoms, channels, mixtures
from tests.oracles import papers as oracle

# ------------------------------------------------------------------------------------------------- Ex. 1, 2


def test_two_gaussians():
    after, before = oracle.edge(ou_tv, 0.99, 0.1, 2), oracle.edge(lambda t: ou_tv(t) / 2, 0.1, 1, 5)
    assert (round(after, 4), round(before, 4)) == (0.4401, 2.7593)
    holds(row("gaussian_pair", "T_after", "d = 3"), after, 1e-9)
    holds(row("gaussian_pair", "T_before", "d = 3"), before, 1e-9)
    said = printed.gaussian_pair_edges(4, 0.1)
    assert (round(said.after, 4), round(said.before, 3)) == (0.0222, 4.382)
    assert row("gaussian_pair", "T_after", "d = 3")["printed"] == pytest.approx(said.after, abs=1e-9)


def test_two_gaussians_from_the_proof():
    def lost(t: float) -> float:
        return -mixtures.Line([0.5, 0.5], [4.0, -4.0], 1.0, *channels.ornstein_uhlenbeck(t)).misassignment([0])

    mass = oracle.edge(lost, -0.1, 0.5, 2)
    assert round(mass, 4) == 0.9858
    holds(row("gaussian_pair", "E[1-π]"), mass, 1e-6)
    assert round(printed.gaussian_pair_after_from_proof(4, 0.1), 4) == 0.7043
    assert round(printed.gaussian_pair_after_from_proof(4, 0.1, 0.5), 4) == 0.8018
    # The edge of the mass is later than that of TV, and the proof's bound lies before the former only.
    assert ou_tv(0.7043) < 0.99
    widest = row("gaussian_pair", "largest")["exact"]
    assert widest == pytest.approx(0.30, abs=0.01)
    for epsilon, valid in ((widest - 0.01, True), (widest + 0.01, False)):
        t = printed.gaussian_pair_edges(4, epsilon).after
        assert bool(2 * norm.cdf(4 * math.exp(-t)) - 1 >= 1 - epsilon**2) is valid


@pytest.mark.parametrize("d", [4, pytest.param(64, marks=pytest.mark.nightly)])
def test_four_gaussians_against_draws_in_all_dimensions(d):
    # 4 comparisons at 6.5 standard errors: 4e-10.
    mu, weights = gaussian_mixture.means(d), np.full(4, 0.25)
    exact = [row("gaussian_mixture", quantity, f"d = {d},")["exact"] for quantity in ("T_after", "T_before")]
    for quantity, t, level in (("T_after", exact[0], 0.99), ("T_before", exact[1], 0.1 / 0.75)):
        a, sigma = channels.ornstein_uhlenbeck(t)
        value, error = mixtures.sampled_set_tv(weights, mu, 1.0, a, sigma, [0], [1, 2, 3], 60_000, seed=d)
        assert abs(value - level) <= SIGMAS * error + 1e-4, (quantity, value, error)
        r = row("gaussian_mixture", quantity, f"d = {d},")
        assert r["low"] <= r["exact"] <= r["high"]
        said = printed.gaussian_mixture_edges(mu, 0.1)
        assert said.after <= exact[0]
        assert said.before >= exact[1]


@pytest.mark.parametrize("d", gaussian_mixture.DIMENSIONS)
def test_four_gaussians_in_the_span_of_their_means(d):
    mu = gaussian_mixture.means(d)
    for quantity, level in (("T_after", 0.99), ("T_before", 0.1 / 0.75)):
        r = row("gaussian_mixture", quantity, f"d = {d},")
        # TV falls in t, so values on either side place the edge.
        assert oracle.first_of_four_tv(mu, r["exact"] - 1e-4) > level > oracle.first_of_four_tv(mu, r["exact"] + 1e-4)
        assert r["low"] <= r["exact"] <= r["high"]


@pytest.mark.nightly
def test_lattice_of_four_gaussians():
    mu = gaussian_mixture.means(4)
    for quantity, t in zip(("T_after", "T_before"), gaussian_mixture.exact_edges(mu), strict=True):
        assert row("gaussian_mixture", quantity, "d = 4,")["exact"] == pytest.approx(t, abs=1e-5)
    finer = gaussian_mixture.first_against_rest(math.exp(-1.0) * gaussian_mixture.reduced(mu), spacing=0.15)
    assert gaussian_mixture.first_against_rest(math.exp(-1.0) * gaussian_mixture.reduced(mu)) == pytest.approx(
        finer, abs=2e-5
    )


def test_every_certified_interval_holds_the_exact_edge():
    rows = [r for one in FOUND.values() for r in one["rows"] if None not in (r["exact"], r["low"])]
    assert len(rows) > 70
    for r in rows:
        slack = 1e-6 * max(1.0, abs(r["exact"]))
        assert r["low"] - slack <= r["exact"] <= r["high"] + slack, r
        assert r["found"] is None or r["low"] - slack <= r["found"] <= r["high"] + slack, r


def test_every_example_has_a_certified_window():
    for name, one in FOUND.items():
        edges = [r["quantity"].split(" ")[0] for r in one["rows"] if r["method"].startswith("certified")]
        assert {"T_after", "T_before"} <= set(edges), name
    # An edge that is not settled says why.
    for r in (r for one in FOUND.values() for r in one["rows"] if r["method"].startswith("certified")):
        assert r["found"] is not None or "; status" in r["note"], r


# ------------------------------------------------------------------------------------------------- Thm. 5-6, Ex. 7


def check_regression(features: int, draws: int) -> None:
    """Compare TV after 0 .. 10 samples: 10 comparisons at 6.5 standard errors of both, 8e-10."""
    values = oracle.regression_distances(features, 0.02, 10, draws, seed=features)
    mean, error = values.mean(0), values.std(0) / math.sqrt(draws)
    curve = FOUND["all_or_nothing"]["series"]["curves"][str(features)]
    # The library's band is at 1 %, more than 2.5 standard errors wide on either side.
    theirs = (np.asarray(curve["upper"]) - curve["lower"]) / 2 / 2.5
    assert (np.abs(mean - curve["tv"]) <= SIGMAS * np.hypot(error, theirs) + 1e-6).all()
    # And what stands in the exact column: 10 more, 8e-10.
    double, spread = np.asarray(curve["double"]), np.hypot(error, curve["error"])
    assert (np.abs(mean - double) <= SIGMAS * spread + 1e-9).all()
    exact = all_or_nothing.places(double) / curve["unit"]
    assert row("all_or_nothing", "samples at TV", f"n = {features},")["exact"] == pytest.approx(exact[1], abs=1e-8)
    width = row("all_or_nothing", "width", f"n = {features},")["exact"]
    assert width == pytest.approx(exact[2] - exact[0], abs=1e-8)
    if features not in all_or_nothing.CERTIFIED:
        return
    at = lambda t: (mean[10 - int(t)], error[10 - int(t)])  # noqa: E731
    bounds(row("all_or_nothing", "T_after", f"n = {features},"), 1, at, 0.99)
    bounds(row("all_or_nothing", "T_before", f"n = {features},"), 1, at, 0.1, 0.5)


@pytest.mark.parametrize("features", all_or_nothing.CERTIFIED)
def test_windows_of_all_or_nothing(features):
    curve, threshold = (
        FOUND["all_or_nothing"]["series"]["curves"][str(features)],
        4 * math.log(features / 2) / math.log(101),
    )
    for quantity, level, above, side in (("T_after", 0.99, 0, 1.5), ("T_before", 0.2, 1, 0.5)):
        r = row("all_or_nothing", quantity, f"n = {features},")
        # The edges are whole numbers: the committed draws say where TV is on either side.
        last = 10 - int(r["exact"]) + above
        assert curve["double"][last] - level > 6 * curve["error"][last]
        assert level - curve["double"][last - 1] > 6 * curve["error"][last - 1]
        # N + 2 - (1 +- delta) N*, with delta = 1/2 as the note says.
        assert r["printed"] == pytest.approx(12 - side * threshold, abs=1e-8)
        assert "δ = 0.5" in r["note"]
        assert r["ratio"] == pytest.approx(r["printed"] / r["exact"])


def test_all_or_nothing_with_few_features():
    check_regression(20, 2_000)


@pytest.mark.nightly
@pytest.mark.parametrize(("features", "draws"), [(100, 1_000), (300, 200)])
def test_all_or_nothing_with_many_features(features, draws):
    check_regression(features, draws)


def test_all_or_nothing_sharpens():
    widths = np.asarray(FOUND["all_or_nothing"]["series"]["widths"])
    # From .1 to .9 of TV, over N*.
    np.testing.assert_allclose(widths[:, 0], [1.65, 1.16, 0.95], atol=0.06)
    # The intervals of 20 and 100 features are apart, and so are those of 20 and 300.
    assert widths[0, 1] > widths[1, 2]
    assert widths[0, 1] > widths[2, 2]
    halves = [row("all_or_nothing", "samples at TV", f"n = {n},")["found"] for n in (20, 100, 300)]
    assert halves == sorted(halves, reverse=True)
    assert all(0.97 < h < 1.19 for h in halves)
    f = fit("all_or_nothing", "width")
    assert f["high"] < 0
    assert printed.sample_threshold(100, 2, 0.02) == pytest.approx(4 * math.log(50) / math.log(101))
    early, late = printed.sample_window(10, 100, 2, 0.02, 0.5)
    assert late - early == pytest.approx(printed.sample_threshold(100, 2, 0.02))


def test_windows_of_merges_in_order():
    d, words = 8, masking_orders.staircase(8)
    laws = [atoms.observed_laws(words, range(d + 1), atoms.ordered(range(d)[::-1], t))[0] for t in range(d + 1)]
    at = [atoms.Finite(law, np.full(d + 1, 1 / (d + 1))) for law in laws]
    for setting, after, before in (("{0} within all", [0], range(9)), ("4 words within 5", range(5, 9), range(4, 9))):
        rest, beyond = ([w for w in range(9) if w not in s] for s in (after, before))
        apart = [not beyond or f.tv(list(before), beyond) >= 0.99 for f in at]
        last = max(t for t, f in enumerate(at) if f.tv(list(after), rest) >= 0.99)
        first = min(t for t, f in enumerate(at) if apart[t] and f.tv(list(after), list(before)) <= 0.1)
        for quantity, truth in (("T_after", last), ("T_before", first)):
            r = row("masking_orders", quantity, f"ordered masking, {setting}")
            assert r["exact"] == truth
            assert r["low"] <= truth <= r["high"]


def test_masking_in_order_has_a_deep_tree():
    d, words = 8, masking_orders.staircase(8)
    # Hidden from the left: what is left of two words is the same or not, and each step adds one word to one class.
    for t in range(d + 1):
        laws, _ = atoms.observed_laws(words, range(d + 1), atoms.ordered(range(d)[::-1], t))
        finite = atoms.Finite(laws, np.full(d + 1, 1 / (d + 1)))
        merged = [k for k in range(d + 1) if finite.tv([k], [d]) < 0.1]
        assert merged == list(range(d - t, d + 1))
        assert t == d or finite.tv(merged, [k for k in range(d + 1) if k not in merged]) == pytest.approx(1)
    # Under diffusion: two words that have merged have a neighbour as near, so the pair is not apart from the rest.
    a, sigma = channels.ornstein_uhlenbeck(
        oracle.edge(lambda t: mixtures.pair_tv([1.0], 0.0, *channels.ornstein_uhlenbeck(t)), 0.1, 0.1, 9)
    )
    line = words * 1.0
    weights, pair, rest = np.full(d + 1, 1 / (d + 1)), [0, 1], list(range(2, d + 1))
    value, error = mixtures.sampled_set_tv(weights, line, 1e-12, a, sigma, pair, rest, 4_000, seed=0)
    assert value + SIGMAS * error < 0.99


def test_depths_of_trees_in_order():
    series = FOUND["masking_orders"]["series"]
    assert series["d"] == list(masking_orders.LENGTHS)
    for d, found in zip(series["d"], series["depths"]["ordered masking"], strict=True):
        assert found == oracle.alike_depth(masking_orders.staircase(d), list(range(d))) == d
    for column in ("exact", "found"):
        assert row("masking_orders", "depth", "ordered")[column] == 64
    f = fit("masking_orders", "depth, ordered")
    assert f["low"] == pytest.approx(f["high"]) == pytest.approx(1, abs=1e-9)


def test_diffusion_has_a_flat_tree():
    # All sets of up to nine words, one by one: none that has merged can be apart from the rest, but the whole.
    for d in (4, 8):
        assert not oracle.merged_sets_apart(masking_orders.staircase(d) * 1.0, masking_orders.EPSILON)
        assert masking_orders.exact_depth(d, "diffusion") == 1
    # The argument for longer words has an end, as it must, and it is after 64 letters.
    assert masking_orders.exact_depth(82, "diffusion") > 1
    for column in ("exact", "found"):
        assert row("masking_orders", "depth", "ε = 0.1, diffusion")[column] == 1
    assert FOUND["masking_orders"]["series"]["depths"]["diffusion"] == [1] * len(masking_orders.LENGTHS)
    f = fit("masking_orders", "depth, diffusion")
    assert f["low"] == f["high"] == pytest.approx(0, abs=1e-9)
    # Where words may be so few that the rest is far, the enumeration does find sets.
    apart = oracle.merged_sets_apart(np.array([[0.0], [1.0], [50.0], [51.0]]), 0.1)
    assert (0, 1) in apart


@pytest.mark.parametrize("name", ["from the left", "from the right", "at random", "by halves"])
def test_depths_by_the_order_of_reading(name):
    series = FOUND["masking_orders"]["series"]["permuted"]
    for d, found in zip(series["d"], series["depths"][name], strict=True):
        order = masking_permuted.orders(d)[name].tolist()
        assert sorted(order) == list(range(d))
        words = masking_orders.staircase(d)
        # What is open after some letters is a stretch of words: a binary search tree grows.
        assert found == oracle.alike_depth(words, order) == oracle.search_tree_height(order)
        assert {"from the left": d, "from the right": d, "by halves": math.log2(d) + 1}.get(name, found) == found
    r = row("masking_orders", "depth", f"read {name}")
    assert r["exact"] == r["found"] == series["depths"][name][-1]


def test_depths_by_halves_grow_as_the_logarithm():
    f = fit("masking_orders", "depth, read by halves")
    assert f["exponent"] == pytest.approx(1 / math.log(2), abs=1e-9) == f["claimed"]
    assert fit("masking_orders", "depth, read from the left")["exponent"] == pytest.approx(1, abs=1e-9)


def test_a_word_is_no_farther_from_a_set_than_from_its_members():
    r, noise = row("masking_orders", "TV of the first word"), channels.ornstein_uhlenbeck(masking_permuted.NOISE)
    ratio, members = noise[0] / noise[1], masking_permuted.MEMBERS
    holds(r, (members - 1) / members * oracle.first_word_tv(members - 1, ratio), 1e-6)
    words = masking_orders.staircase(8) * 1.0
    pairs = [mixtures.pair_tv(words[i] - words[0], 0.0, *noise) for i in range(1, members)]
    assert r["printed"] == pytest.approx(max(pairs), abs=1e-9)
    assert r["high"] < r["printed"]
    # And all sets under masking, by all patterns of few letters.
    words = masking_orders.staircase(4)
    for t in (0.2, 0.7):
        at = atoms.Finite(atoms.observed_laws(words, range(5), atoms.masking(t))[0], np.full(5, 0.2))
        for members in (m for n in (2, 3, 4, 5) for m in itertools.combinations(range(5), n)):
            far = {i: max(at.tv([i], [j]) for j in members) for i in members}
            assert all(at.tv([i], members) <= far[i] + 1e-12 for i in members)


# ------------------------------------------------------------------------------------------------- the table itself


def test_theorem_bound():
    assert printed.theorem_bound(0.1, 0.5) == pytest.approx(0.1 * (1 + 1 / math.sqrt(2)))


CHEAP = (coins, discourse)


@pytest.mark.parametrize("module", CHEAP, ids=lambda m: m.__name__.split(".")[-1])
def test_the_committed_table_is_what_the_code_gives(module):
    again = json.loads(json.dumps(record(module.closed())))
    kept = FOUND[module.__name__.split(".")[-1]]
    same(again["rows"], [r for r in kept["rows"] if "draws" not in r["method"]], 1e-8)
    same(again["fits"], kept["fits"], 1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("name", FOUND)
def test_the_committed_table_is_what_the_code_draws(name):
    again = json.loads(json.dumps(record(importlib.import_module(f"benchmarks.papers.{name}").run())))
    # Same keys, same draws; other processors round single precision in their own way.
    same(again["rows"], FOUND[name]["rows"], 1e-3)
    same(again["fits"], FOUND[name]["fits"], 1e-3)


def same(left: list[dict], right: list[dict], tolerance: float) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert value == (
                pytest.approx(b[key], rel=tolerance, abs=tolerance) if isinstance(value, float) else b[key]
            )


def test_every_example_has_rows_and_a_picture():
    assert tuple(FOUND) == EXAMPLES
    for name, one in FOUND.items():
        assert one["rows"], name
        png = (ROOT / "docs" / "_static" / "papers" / f"{name}.png").read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", png[16:24])) > 200
    with (HERE / "papers.csv").open(encoding="utf-8") as lines:
        assert len(list(csv.DictReader(lines))) == sum(len(one["rows"]) for one in FOUND.values())


def test_no_example_is_long_and_all_use_the_public_interface():
    for path in Path(HERE).glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 150, path.name


def test_crossing():
    root = brentq(lambda t: math.exp(-t) - 0.5, 0, 2)
    grid = np.linspace(0, 2, 2001)
    assert crossing(grid, np.exp(-grid), 0.5) == pytest.approx(root, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: printed.gaussian_pair_edges(4, 0.8), "epsilon"),
        (lambda: printed.gaussian_pair_edges(-1, 0.1), "norm"),
        (lambda: printed.gaussian_mixture_edges([[1.0], [1.0]], 0.1), "means"),
        (lambda: printed.critical_token_edges(5, 3, 3), "start"),
        (lambda: printed.coin_counts(0.5, 0.1), "drift"),
        (lambda: printed.discourse_edges(1.0, 0.3, 0.9), "epsilon"),
        (lambda: printed.sample_threshold(3, 4, 0.1), "sparsity"),
        (lambda: printed.grammar_transition(2, 2, 3), "rules"),
        (lambda: printed.collapse_time(1, 3), "atoms"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()
