"""Ex. 4: how wide the window of a critical token is, against counting: the birthday problem and all words."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from benchmarks.papers import critical_token_width as example
from tests.examples.test_papers import FOUND
from tests.oracles import papers as oracle

WIDTHS = FOUND["critical_token"]["series"]["widths"]


def birthday(spread: int) -> list[Fraction]:
    """TV after ``i = 0 .. k`` parting tokens: none of ``i`` draws from ``k`` days like an earlier one, one minus."""
    return [1 - Fraction(math.perm(spread, i), spread**i) for i in range(1, spread + 2)]


def width(tv: list[Fraction], epsilon: Fraction = Fraction(1, 10)) -> int:
    apart = next(i for i, v in enumerate(tv) if v >= 1 - epsilon**2)
    return apart - max(i for i, v in enumerate(tv) if v / 2 <= epsilon)


def fits(y: str) -> list[dict]:
    return [f for f in FOUND["critical_token"]["fits"] if f["y"].startswith(y)]


def test_evenly_parting_modes_are_a_birthday_problem():
    # prod_{j <= i} (1 - j/k) = k! / ((k - i - 1)! k^{i+1}).
    for spread in (3, 8):
        first, common, branches = example.tables(0.0)
        words = [oracle.parted_tv(first, common, branches, example.START, spread, example.START + i) for i in range(7)]
        np.testing.assert_allclose(example.parting(spread)[:7], words[: spread + 1], atol=1e-12)
        np.testing.assert_allclose(example.parting(spread), [float(v) for v in birthday(spread)], atol=1e-12)


def test_widths_of_critical_tokens():
    assert WIDTHS["k"] == list(example.SPREADS)
    for spread, exact, (low, high) in zip(WIDTHS["k"], WIDTHS["exact"], WIDTHS["certified"], strict=True):
        assert exact == width(birthday(spread))
        assert low <= exact <= high <= spread
        # What is certified says more than that the window is not empty.
        assert high - low <= max(4, exact // 2)
    for low, high in WIDTHS["by length"]:
        assert low <= example.exact_width(example.SPREAD) == example.SPREAD <= high


def test_the_window_grows_as_the_root_of_k_and_not_with_the_length():
    (said,), (exact,) = fits("printed"), fits("exact")
    assert said["low"] == pytest.approx(said["high"]) == pytest.approx(1)
    assert exact["low"] <= 0.5 <= exact["high"]
    assert exact["exponent"] == pytest.approx(0.5, abs=0.1)
    by_spread, by_length = fits("certified")
    assert by_spread["low"] <= 0.5 <= by_spread["high"] < 1
    assert by_length["low"] <= 0 <= by_length["high"] < 0.5
    # The exponent has no way to be another one: 1 - prod (1 - j/k) is a function of i^2 / k up to 1 / sqrt(k).
    far = [width(birthday(k)) for k in (512, 1024)]
    assert math.log(far[1] / far[0]) / math.log(2) == pytest.approx(0.5, abs=0.05)
