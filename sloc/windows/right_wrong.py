"""Windows against being right: the layout of Table 1 of Li, Karan & Chen 2025, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_level

if TYPE_CHECKING:
    import pandas as pd


def right_wrong_table(
    has_window: Any, right: Any, groups: Sequence[Any] | None = None, *, level: float = 0.95
) -> pd.DataFrame:
    """Accuracy with and without windows, and frequency of windows among right and wrong answers.

    ``accuracy_drop`` is the paper's difference in accuracy, ``P(right | no window) - P(right | window)``, and
    ``window_excess`` its difference in critical windows, ``P(window | wrong) - P(window | right)``.  Shares are exact
    counts; the intervals of the two differences are Newcombe's (1998, method 10, from Wilson's limits): approximate,
    nominal coverage ``level`` on average over proportions.

    Args:
        has_window: ``[Q]`` bool, by whichever definition.
        right: ``[Q]`` bool, whether the full generation was right.
        groups: ``[Q]`` names of data sets, a row each; one row ``"all"`` when None.
        level: coverage of the intervals, in (0, 1).

    Returns:
        A row per data set, in order of first appearance: ``group, questions, windows, right, accuracy, accuracy_with,
        accuracy_without, accuracy_drop, accuracy_drop_low, accuracy_drop_high, windows_right, windows_wrong,
        window_excess, window_excess_low, window_excess_high``; shares in [0, 1], missing where their denominator is 0.

    Raises:
        InvalidInput: no question, arrays of different lengths, values that are not True or False, a coverage
            outside (0, 1).

    """
    import pandas as pd

    window, correct = _flags(has_window, "has_window"), _flags(right, "right")
    require(window.size >= 1, "has_window", window, "at least one question")
    require(correct.shape == window.shape, "right", correct.shape, f"shape {window.shape}, like has_window")
    checked_level(level, "level")
    listed = groups is None or (isinstance(groups, Iterable) and not isinstance(groups, (str, bytes)))
    require(listed, "groups", groups, "names, one a question")
    texts = ["all"] * window.size if groups is None else [str(g) for g in groups]
    require(len(texts) == window.size, "groups", len(texts), f"{window.size} names, one a question")
    names = np.asarray(texts, object)
    rows = []
    for name in dict.fromkeys(texts):
        own = names == name
        w, r = window[own], correct[own]
        cells = {
            "accuracy": (r, np.ones_like(r)),
            "accuracy_with": (r, w),
            "accuracy_without": (r, ~w),
            "windows_right": (w, r),
            "windows_wrong": (w, ~r),
        }
        counts = {k: (int((hit & among).sum()), int(among.sum())) for k, (hit, among) in cells.items()}
        row: dict[str, Any] = {"group": name, "questions": w.size, "windows": int(w.sum()), "right": int(r.sum())}
        row |= {k: hit / n if n else None for k, (hit, n) in counts.items()}
        for word, first, second in (
            ("accuracy_drop", "accuracy_without", "accuracy_with"),
            ("window_excess", "windows_wrong", "windows_right"),
        ):
            value, low, high = difference_interval(*counts[first], *counts[second], level)
            row |= {word: value, f"{word}_low": low, f"{word}_high": high}
        rows.append(row)
    order = ["group", "questions", "windows", "right", "accuracy", "accuracy_with", "accuracy_without"]
    order += ["accuracy_drop", "accuracy_drop_low", "accuracy_drop_high", "windows_right", "windows_wrong"]
    order += ["window_excess", "window_excess_low", "window_excess_high"]
    table = pd.DataFrame(rows, columns=order)
    return table.astype(dict.fromkeys(order[4:], "Float64"))


def difference_interval(
    k1: int, n1: int, k2: int, n2: int, level: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """``k1 / n1 - k2 / n2`` with Newcombe's interval; None where a denominator is 0.

    With Wilson's limits ``l, u`` of either proportion: ``d - sqrt((p1 - l1)^2 + (u2 - p2)^2)`` to
    ``d + sqrt((u1 - p1)^2 + (p2 - l2)^2)``.
    """
    if not n1 or not n2:
        return None, None, None
    (p1, l1, u1), (p2, l2, u2) = (_wilson(k, n, level) for k, n in ((k1, n1), (k2, n2)))
    difference = p1 - p2
    low = difference - float(np.hypot(p1 - l1, u2 - p2))
    high = difference + float(np.hypot(u1 - p1, p2 - l2))
    return difference, max(low, -1.0), min(high, 1.0)


def _wilson(k: int, n: int, level: float) -> tuple[float, float, float]:
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(level, method="wilson")
    return k / n, float(interval.low), float(interval.high)


def _flags(values: Any, name: str) -> np.ndarray:
    try:
        found = np.asarray(values)
    except ValueError:  # ragged
        found = np.asarray(None)
    good = found.ndim == 1 and (found.dtype == bool or bool(np.isin(found, (0, 1)).all()))
    require(good, name, values, "True or False for each question")
    return found.astype(bool)
