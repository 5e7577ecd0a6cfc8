"""Windows against being right: counts by hand, coverage of the intervals by enumeration, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.windows.right_wrong import difference_interval, right_wrong_table


def test_the_layout_by_hand():
    window = [True, True, True, False, False, True, False]
    right = [False, False, True, True, True, False, False]
    table = right_wrong_table(window, right, ["m"] * 6 + ["n"])
    first, second = table.to_dict("records")
    assert (first["group"], first["questions"], first["windows"], first["right"]) == ("m", 6, 4, 3)
    assert np.isclose(first["accuracy"], 1 / 2)
    assert np.isclose(first["accuracy_with"], 1 / 4)
    assert np.isclose(first["accuracy_without"], 1)
    assert np.isclose(first["accuracy_drop"], 3 / 4)
    assert np.isclose(first["windows_wrong"], 1)
    assert np.isclose(first["windows_right"], 1 / 3)
    assert np.isclose(first["window_excess"], 2 / 3)
    assert first["window_excess_low"] < 2 / 3 < first["window_excess_high"]
    # A single question, wrong and without a window: what has no denominator is missing.
    assert second["windows_wrong"] == 0
    assert all(pd.isna(second[k]) for k in ("accuracy_with", "accuracy_drop", "windows_right", "window_excess_low"))
    assert right_wrong_table(window, right)["group"].tolist() == ["all"]


@pytest.mark.parametrize(("p1", "p2"), [(0.3, 0.5), (0.05, 0.1), (0.9, 0.2), (0.5, 0.5)])
def test_intervals_of_differences_cover(p1, p2):
    """Coverage by enumeration of all outcomes of 30 and 50 questions: near nominal, as published for the method."""
    covered = 0.0
    first, second = binom.pmf(np.arange(31), 30, p1), binom.pmf(np.arange(51), 50, p2)
    for i in np.flatnonzero(first > 1e-5):
        for j in np.flatnonzero(second > 1e-5):
            _, low, high = difference_interval(int(i), 30, int(j), 50)
            assert low is not None
            assert high is not None
            covered += first[i] * second[j] * (low <= p1 - p2 <= high)
    assert 0.93 < covered < 0.98


BAD = {
    "none": (([], []), "at least one"),
    "lengths": (([True], [True, False]), "like has_window"),
    "values": (([0.5], [True]), "True or False"),
    "groups": (([True], [True], ["a", "b"]), "1 names"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(InvalidInput, match=message):
        right_wrong_table(*arguments)
