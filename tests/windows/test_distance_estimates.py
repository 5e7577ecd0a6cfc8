"""Total variation between positions, every expectation and coverage by enumeration of all outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from sloc.contracts import InvalidInput
from sloc.windows import OutcomeCounts, outcome_distances
from sloc.windows.distance_estimates import (
    corrected_distance,
    expected_plug_in,
    floor_bound,
    plug_in_distance,
)
from sloc.windows.move_tests import pooled_rise_p_value

TWO, THREE = (np.asarray(v) for v in ([0.3, 0.7], [0.6, 0.3, 0.1]))
PAIRS = [
    (TWO, TWO, 6, 6),
    (TWO, 1 - TWO, 6, 5),
    (np.asarray([0.02, 0.98]), np.asarray([0.98, 0.02]), 7, 7),
    (THREE, THREE, 4, 4),
    (THREE, THREE, 3, 5),
    (THREE, THREE[::-1], 4, 4),
    (THREE, np.asarray([0.5, 0.3, 0.2]), 4, 3),
]


def outcomes(n, answers):
    """Every way in which ``n`` draws may fall on the answers."""
    grids = np.indices((n + 1,) * answers).reshape(answers, -1).T
    return grids[grids.sum(axis=1) == n].astype(float)


def both_sides(p, q, n, m):
    """All pairs of outcomes, and their probabilities."""
    first, second = outcomes(n, p.size), outcomes(m, q.size)
    i, j = (v.ravel() for v in np.indices((len(first), len(second))))
    weight = multinomial.pmf(first, n, p)[i] * multinomial.pmf(second, m, q)[j]
    assert np.isclose(weight.sum(), 1)
    return first[i], second[j], weight


def counts(before, after):
    """A question that was drawn at positions 0 and 4 only."""
    seen = np.zeros((5, before.size))
    seen[0], seen[4] = before, after
    return OutcomeCounts("q", tuple("ABCDEFGHIJKL"[: before.size]), np.arange(5.0), seen, np.full(4, np.nan))


@pytest.mark.parametrize(("p", "q", "n", "m"), PAIRS)
def test_the_two_means_enclose_the_total_variation(p, q, n, m):
    before, after, weight = both_sides(p, q, n, m)
    tv = 0.5 * np.abs(q - p).sum()
    plug_in, corrected = weight @ plug_in_distance(before, after), weight @ corrected_distance(before, after)
    sizes = np.asarray([float(n)]), np.asarray([float(m)])
    bound = floor_bound(*sizes, p.size)[0]
    if tv == 0:
        assert abs(corrected) < 1e-12
        assert np.isclose(plug_in, expected_plug_in(p[None], *sizes)[0])
        assert 0.3 * bound < plug_in <= bound
    else:
        assert corrected < tv < plug_in <= tv + bound


@pytest.mark.parametrize(("n", "m"), [(3, 7), (50, 50), (40, 900), (1_200, 1_200)])
def test_the_floor_is_the_sum_over_both_counts(n, m):
    shares = np.asarray([[0.5, 0.499, 0.001], [1.0, 0.0, 0.0], [0.9, 0.05, 0.05]])
    before, after = np.arange(n + 1.0), np.arange(m + 1.0)
    apart = np.abs(before[:, None] / n - after[None, :] / m)
    laws = [binom.pmf(k, size, shares[..., None]) for k, size in ((before, n), (after, m))]
    wanted = 0.5 * ((laws[0] @ apart) * laws[1]).sum(axis=(1, 2))
    got = expected_plug_in(shares, np.full(3, float(n)), np.full(3, float(m)))
    assert np.allclose(got, wanted, rtol=1e-12, atol=1e-14)


def test_a_million_draws_have_a_floor():
    """That of a normal law: ``sqrt(r (1 - r) 2 / n) sqrt(2 / pi)``, halved and summed over both answers."""
    n = np.full(1, 1e6)
    assert np.isclose(expected_plug_in(np.asarray([[0.3, 0.7]]), n, n)[0], np.sqrt(0.21 * 4e-6 / np.pi), rtol=1e-4)


def test_the_correction_is_what_its_sentence_says():
    """Draw by draw: the sign from all draws but a pair, applied to that pair, over all pairs."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        x, y = rng.integers(0, 3, 6), rng.integers(0, 3, rng.integers(2, 8))
        total = 0.0
        for k in range(x.size):
            for w in range(y.size):
                rest = [np.bincount(np.delete(v, i), minlength=3) / (v.size - 1) for v, i in ((x, k), (y, w))]
                difference = np.round(rest[1] - rest[0], 12)
                total += 0.5 * sum(np.sign(difference[a]) * (int(y[w] == a) - int(x[k] == a)) for a in range(3))
        own = corrected_distance(*(np.bincount(v, minlength=3)[None].astype(float) for v in (x, y)))[0]
        assert np.isclose(own, total / (x.size * y.size))


@pytest.mark.parametrize(("p", "q", "n", "m"), [*PAIRS, (TWO, TWO[::-1], 20, 20), (TWO, TWO, 2, 2)])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover(p, q, n, m, level):
    """Exactly, by enumeration; and the p-value is one."""
    before, after, weight = both_sides(p, q, n, m)
    inside = rejected = 0.0
    tv = 0.5 * np.abs(q - p).sum()
    for x, y, w in zip(before, after, weight, strict=True):
        if w > 1e-8:
            found = outcome_distances(counts(x, y), level=level)
            inside += w * bool(found.lower[0] - 1e-12 <= tv <= found.upper[0] + 1e-12)
            rejected += w * bool(found.p_value[0] <= 1 - level)
    assert inside >= level - 1e-5
    if tv == 0:
        assert rejected <= 1 - level
    elif n == 20:
        assert rejected > 0.4


def test_limits_are_where_the_exact_test_turns():
    """The lower limit is the largest size that the test of every set rejects, the upper one its mirror image."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, y = rng.multinomial(15, [0.7, 0.2, 0.1]).astype(float), rng.multinomial(15, [0.1, 0.3, 0.6]).astype(float)
        found = outcome_distances(counts(x, y), level=0.8)
        rising = np.round(15 * (1 + found.plug_in[0]))
        for size, below in ((found.lower[0] - 1e-6, True), (found.lower[0] + 1e-6, False)):
            if size > 0:
                p = 6 * pooled_rise_p_value(rising, np.asarray(30.0), np.asarray(size))
                assert bool(p <= 0.1) is below
        assert found.upper[0] == 1 or np.isclose(binom.cdf(rising, 30, 0.5 * (1 + found.upper[0])), 0.1)


def test_pairs_lie_a_gap_apart_where_draws_are():
    seen = np.asarray([[3.0, 0], [0, 0], [2, 1], [0, 1], [0, 4], [0, 3]])
    data = OutcomeCounts("q", ("A", "B"), np.arange(6.0), seen, np.full(5, np.nan))
    found = outcome_distances(data, gap=3)
    assert (found.start.tolist(), found.stop.tolist()) == ([0, 2], [4, 5])
    assert np.allclose(found.plug_in, [1, 2 / 3])
    assert len(found.to_dataframe()) == 2
    assert "2 pairs" in repr(found)
    assert "no pair" in repr(outcome_distances(data, gap=30))


def test_one_answer_cannot_change_and_many_are_all_looked_at():
    one = outcome_distances(counts(np.asarray([4.0]), np.asarray([3.0])))
    assert [v[0] for v in (one.plug_in, one.floor, one.corrected, one.lower, one.upper, one.p_value)] == [0] * 5 + [1]
    before = np.asarray([9.0] * 6 + [1.0] * 6)
    many = outcome_distances(counts(before, before[::-1]))
    assert np.isclose(many.plug_in[0], 0.8)
    # No sign hangs on a single draw: nothing is taken off.
    assert np.isclose(many.corrected[0], 0.8)
    assert 0.3 < many.lower[0] < 0.8 < many.upper[0]


BAD = {
    "fraction": (dict(data=counts(np.asarray([1.5, 0.5]), np.asarray([1.0, 1.0]))), "whole numbers"),
    "gap": (dict(data=counts(TWO * 10, TWO * 10), gap=0.0), "gap = 0"),
    "level": (dict(data=counts(TWO * 10, TWO * 10), level=1.0), "level = 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(InvalidInput, match=message):
        outcome_distances(**arguments)
