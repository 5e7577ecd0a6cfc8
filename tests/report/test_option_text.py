"""Refusals of the library in the words of the command line."""

from __future__ import annotations

import numpy as np
import pytest

from sloc.contracts import InvalidInput, require
from sloc.report.option_text import option_text, plain_value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.asarray([-0.5, 1.5]), "-0.5,1.5"),
        (np.asarray([[1.0, 2.0], [3.0, 4.5]]), "1,2;3,4.5"),
        (np.asarray([1, 2], np.int8), "1,2"),
        (np.float64(0.25), "0.25"),
        (("ou", "ou"), "ou,ou"),
        ("colour", "colour"),
        ("two words", "'two words'"),
        ("", "''"),
        (None, "nothing"),
        (2.0, "2"),
        (1 / 3, str(1 / 3)),
    ],
)
def test_values_are_plain(value, plain):
    assert plain_value(repr(value)) == plain


def test_cut_text_has_no_quote():
    assert plain_value("'abc...") == "abc..."


def refusal(argument, value):
    """Return the text of a refusal as the library makes it."""
    with pytest.raises(InvalidInput) as caught:
        require(False, argument, value, "positive = numbers: expected few")
    return str(caught.value)


def test_names_become_options():
    options = {"max_drop": "--max-drop"}
    rest = "expected positive = numbers: expected few"
    assert option_text(refusal("max_drop", np.asarray([-1.0])), options) == f"--max-drop = -1: {rest}"
    assert option_text(refusal("question 'a', reference", ["x"]), options) == f"question 'a', reference = x: {rest}"
    assert option_text("Masking cannot be evaluated", options) == "Masking cannot be evaluated"
