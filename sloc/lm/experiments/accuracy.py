"""Accuracy with and without windows, and how often right and wrong answers have one; intervals clustered by question.

Generations of one question are not independent.  A proportion's interval is that of Korn and Graubard (1998): the exact
binomial interval at the effective number of generations ``p (1 - p) / v``, ``v`` the clustered variance of the ratio;
where every question has one generation it is Clopper and Pearson's.  A difference's joins the two by the square-and-add
rule with their clustered correlation (Zou and Donner 2008).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Share:
    """A proportion of generations.

    Attributes:
        value: it, NaN of none.
        lower: of its interval.
        upper: of its interval.
        n: generations.
        clusters: questions.

    """

    value: float
    lower: float
    upper: float
    n: int
    clusters: int


@dataclass(frozen=True)
class Difference:
    """A difference of two proportions.

    Attributes:
        value: it, NaN where one is of none.
        lower: of its interval.
        upper: of its interval.

    """

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class WindowAccuracy:
    """Accuracy with and without windows: Table 1 of Li, Karan & Chen 2025, with intervals.

    Attributes:
        with_window: accuracy of generations that have a window.
        without_window: of those that have none.
        drop: the latter less the former.
        right: how often right generations have a window.
        wrong: how often wrong ones do.
        excess: the latter less the former.
        not_found: generations in which no answer was found; in none of the shares above.
        unknown: generations whose truth is not known; in none of the shares above.
        level: coverage of the intervals.

    """

    with_window: Share
    without_window: Share
    drop: Difference
    right: Share
    wrong: Share
    excess: Difference
    not_found: int
    unknown: int
    level: float

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a quantity: value, interval, generations, questions."""
        import pandas as pd

        rows = []
        for name in ("with_window", "without_window", "drop", "right", "wrong", "excess"):
            found: Any = getattr(self, name)
            rows.append({"quantity": LABELS[name], **vars(found)})
        return pd.DataFrame(rows)


LABELS: Mapping[str, str] = {
    "with_window": "accuracy with a window",
    "without_window": "accuracy without",
    "drop": "accuracy without less with",
    "right": "windows among right answers",
    "wrong": "windows among wrong answers",
    "excess": "windows, wrong less right",
}
"""What the quantities are called in tables."""


def window_accuracy(
    questions: Sequence[str],
    right: Sequence[bool | None],
    window: Sequence[bool],
    *,
    found: Sequence[bool] | None = None,
    level: float = 0.95,
) -> WindowAccuracy:
    """Compare accuracy with and without windows.

    Differences are ``P(right | no window) - P(right | window)`` and ``P(window | wrong) - P(window | right)``.

    Source: Li, Karan & Chen 2025, Table 1; Korn & Graubard 1998 and Zou & Donner 2008 for the intervals.

    Args:
        questions: the question of each generation (its cluster).
        right: whether it is right; None where no answer was found or the truth is not known: such generations are
            left out.
        window: whether it has a window.
        found: whether an answer was found in it; in all where None.
        level: coverage of the intervals.

    Returns:
        Shares and differences.  Shares without generations are NaN, from 0 to 1.

    Raises:
        InvalidInput: sequences of different lengths, or a level outside (0, 1).

    """
    questions, window = checked_all(questions, "questions", str, "texts"), _flags(window, "window")
    right = checked_all(right, "right", (bool, np.bool_, type(None)), "truth values, or None")
    found = [True] * len(right) if found is None else _flags(found, "found")
    sizes = {len(questions), len(right), len(window), len(found)}
    require(len(sizes) == 1, "questions, right, window, found", sorted(sizes), "one entry a generation in each")
    require(0 < as_real(level) < 1, "level", level, "a coverage inside (0, 1)")
    known = [i for i, r in enumerate(right) if r is not None and found[i]]
    names = [questions[i] for i in known]
    good = np.asarray([bool(right[i]) for i in known], bool)
    has = np.asarray([bool(window[i]) for i in known], bool)
    pairs = {
        "drop": (_ratio(names, good, ~has), _ratio(names, good, has)),
        "excess": (_ratio(names, has, ~good), _ratio(names, has, good)),
    }
    shares = {k: tuple(_share(r, level) for r in pair) for k, pair in pairs.items()}
    differences = {k: _difference(pair, shares[k], level) for k, pair in pairs.items()}
    return WindowAccuracy(
        with_window=shares["drop"][1],
        without_window=shares["drop"][0],
        drop=differences["drop"],
        right=shares["excess"][1],
        wrong=shares["excess"][0],
        excess=differences["excess"],
        not_found=sum(not f for f in found),
        unknown=sum(bool(f) and r is None for f, r in zip(found, right, strict=True)),
        level=level,
    )


def share_of(questions: Sequence[str], hits: Sequence[bool], *, level: float = 0.95) -> Share:
    """Return the share of hits among generations, its interval clustered by question.

    Args:
        questions: of each generation.
        hits: of each generation.
        level: coverage of the interval.

    """
    questions, hits = checked_all(questions, "questions", str, "texts"), _flags(hits, "hits")
    require(0 < as_real(level) < 1, "level", level, "a coverage inside (0, 1)")
    require(len(questions) == len(hits), "hits", len(hits), f"one a generation, {len(questions)}")
    return _share(_ratio(list(questions), np.asarray(hits, bool), np.ones(len(hits), bool)), level)


def _flags(values: Any, argument: str) -> tuple[bool, ...]:
    return checked_all(values, argument, (bool, np.bool_), "truth values")


@dataclass(frozen=True)
class _Ratio:
    """A share and the influence of each question on it."""

    value: float
    n: int
    clusters: int
    influence: Mapping[str, float]
    single: bool


def _ratio(names: Sequence[str], hit: np.ndarray, member: np.ndarray) -> _Ratio:
    """Share of hits among members; influence of a question: its hits less its expected ones, over all members."""
    n = int(member.sum())
    if n == 0:
        return _Ratio(math.nan, 0, 0, {}, True)
    value = float((hit & member).sum() / n)
    influence: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, h, m in zip(names, hit, member, strict=True):
        if m:
            influence[name] = influence.get(name, 0.0) + (float(h) - value) / n
            sizes[name] = sizes.get(name, 0) + 1
    return _Ratio(value, n, len(influence), influence, max(sizes.values()) == 1)


def _covariance(a: _Ratio, b: _Ratio) -> float:
    """Clustered covariance of two shares (linearised), with the usual factor for few clusters."""
    common = set(a.influence) & set(b.influence)
    clusters = max(len(set(a.influence) | set(b.influence)), 2)
    return clusters / (clusters - 1) * sum(a.influence[c] * b.influence[c] for c in common)


def _share(ratio: _Ratio, level: float) -> Share:
    from scipy.stats import beta, t

    alpha = 1.0 - level
    if ratio.n == 0:
        return Share(math.nan, 0.0, 1.0, 0, 0)
    size = float(ratio.n)
    if not ratio.single:
        variance, p = _covariance(ratio, ratio), ratio.value
        # At 0 or 1 nothing tells how alike the generations of a question are: a question counts as one.
        size = float(ratio.clusters) if variance <= 0 else min(p * (1 - p) / variance, ratio.n)
        if ratio.clusters > 1 and ratio.n > 1:
            size *= (t.ppf(alpha / 2, ratio.n - 1) / t.ppf(alpha / 2, ratio.clusters - 1)) ** 2
        else:
            size = 1.0
    hits = ratio.value * size
    low = 0.0 if hits <= 0 else float(beta.ppf(alpha / 2, hits, size - hits + 1))
    high = 1.0 if hits >= size else float(beta.ppf(1 - alpha / 2, hits + 1, size - hits))
    return Share(ratio.value, low, high, ratio.n, ratio.clusters)


def _difference(pair: tuple[_Ratio, _Ratio], shares: tuple[Share, ...], level: float) -> Difference:
    (a, b), (x, y) = pair, shares
    if not a.n or not b.n:
        return Difference(math.nan, -1.0, 1.0)
    spread = math.sqrt(max(_covariance(a, a), 0.0) * max(_covariance(b, b), 0.0))
    r = 0.0 if spread <= 0 else float(np.clip(_covariance(a, b) / spread, -1.0, 1.0))
    down, up = (x.value - x.lower, y.upper - y.value), (x.upper - x.value, y.value - y.lower)
    value = x.value - y.value
    low = value - math.sqrt(max(down[0] ** 2 + down[1] ** 2 - 2 * r * down[0] * down[1], 0.0))
    high = value + math.sqrt(max(up[0] ** 2 + up[1] ** 2 - 2 * r * up[0] * up[1], 0.0))
    return Difference(value, max(low, -1.0), min(high, 1.0))
