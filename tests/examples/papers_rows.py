"""Rows of the committed table of the papers' examples, and how they are compared with an oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.papers.__main__ import HERE
from tests.oracles import channels, mixtures

FOUND = json.loads((HERE / "papers.json").read_text(encoding="utf-8"))
SIGMAS = 6.5


def row(example: str, quantity: str, setting: str = "", method: str = "") -> dict:
    """Return the one row whose quantity starts so, and whose setting and method contain so."""
    (found,) = [
        r
        for r in FOUND[example]["rows"]
        if r["quantity"].startswith(quantity) and setting in r["setting"] and method in r["method"]
    ]
    return found


def fit(example: str, y: str) -> dict:
    (found,) = [f for f in FOUND[example]["fits"] if f["y"].startswith(y)]
    return found


def holds(r: dict, truth: float, tolerance: float) -> None:
    """Assert that a row's exact number is the oracle's, and that the library's interval contains it."""
    assert r["exact"] == pytest.approx(truth, abs=tolerance)
    assert r["low"] - tolerance <= truth <= r["high"] + tolerance, r


def ou_tv(t: float) -> float:
    return mixtures.pair_tv(np.array([8.0, 0.0, 0.0]), 1.0, *channels.ornstein_uhlenbeck(t))


def check_removed(example: str, setting: str, kept: np.ndarray, epsilon: float) -> None:
    """Compare a certified window in what is removed with TV by what is kept, at equal weights."""
    removed = kept[::-1]
    for quantity, truth in (
        ("T_after", np.flatnonzero(removed >= 1 - epsilon**2).max()),
        ("T_before", np.flatnonzero(removed / 2 <= epsilon).min()),
    ):
        holds(row(example, quantity, setting, "certified"), truth, 0)


def bounds(r: dict, step: float, draws, level: float, share: float = 1.0) -> None:
    """Assert that draws do not refute an interval: ``share * TV`` on either side of it, 2e-10 for each of two.

    ``draws(t)`` gives TV and its standard error; an interval of whole numbers ends one step before TV has passed.
    """
    first = r["quantity"].startswith("T_before")
    for t, high in ((r["low"] - step * first, True), (r["high"] + step * (not first), False)):
        value, error = draws(t)
        assert share * (value + SIGMAS * error) >= level if high else share * (value - SIGMAS * error) <= level, (r, t)
