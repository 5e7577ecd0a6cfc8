"""The published curves as the page draws them: by place of the window, of the exact string, means on MATH."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.recordings.blanks import RISE
from benchmarks.recordings.chain_of_thought import RESAMPLES, counts_of, kept_fractions, read_curves


def curves(folder: Path) -> dict[str, Any]:
    """Collect what is drawn.

    Returns:
        ``windows``: kept fractions and, for each listed place of a window, how many curves there are, their mean and
        quartiles; ``blanks``: the curve of the exact string; ``consistency``: means over the MATH problems.

    """
    return {"windows": window_curves(folder), "blanks": blank_curve(folder), "consistency": mean_curves(folder)}


def window_curves(folder: Path) -> dict[str, Any]:
    """Mean and quartiles of the curves of each listed place."""
    table = read_curves(folder)
    shares = counts_of(table) / RESAMPLES
    places = [f"{b:g} to {a:g}" for b, a in zip(table["frac_before"], table["frac_after"], strict=True)]
    found = {}
    for place in sorted(set(places)):
        own = shares[np.asarray(places) == place]
        low, high = np.quantile(own, [0.25, 0.75], axis=0)
        found[place] = {"curves": len(own), "mean": _short(own.mean(axis=0)), "low": _short(low), "high": _short(high)}
    return {"kept": _short(kept_fractions(table)), "places": found}


def blank_curve(folder: Path) -> dict[str, Any]:
    """The curve of the exact string where it rises, and where its blanks are printed to be decided."""
    curve = pd.read_csv(folder / "structured_curve_NDBKP.csv").to_numpy()
    points = pd.read_csv(folder / "structured_Tpoints_NDBKP.csv").to_numpy()
    # A staircase: its first point, both ends of every rise, its last.
    rises = np.flatnonzero(np.diff(curve[:, 1]) > RISE)
    kept = curve[np.unique(np.concatenate([[0], rises, rises + 1, [len(curve) - 1]]))]
    return {
        "kept": _short(kept[:, 0]),
        "same string": _short(kept[:, 1]),
        "printed": [[float(before), float(after)] for before, after in points[:, 3:5]],
    }


def mean_curves(folder: Path) -> dict[str, Any]:
    """Means over the MATH problems at each kept fraction."""
    table = pd.read_csv(folder / "math_llama31_4934.csv").sort_values("stop_frac")
    names = {"kept": "stop_frac", "same answer": "is_consistent", "right": "is_right"}
    return {name: _short(table[column].to_numpy()) for name, column in names.items()}


def _short(values: np.ndarray) -> list[float]:
    return [round(float(v), 4) for v in values]
