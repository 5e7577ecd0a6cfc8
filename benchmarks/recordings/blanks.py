"""Structured output: five two-way blanks, the curve of one string and where its blanks become identifiable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CHOSEN = ("N", "D", "B", "K", "P")
"""The string whose curve is published."""
RISE = 0.005
"""Rises that count, on a curve that is flat between blanks."""


def same_tuple(counts: pd.DataFrame, kept: int) -> float:
    """``P(the chosen tuple | its first `kept` blanks)``, from the counts of all tuples."""
    columns = list(counts.columns[:-1])
    agree = np.ones(len(counts), bool)
    for column, choice in list(zip(columns, CHOSEN, strict=True))[:kept]:
        agree &= (counts[column] == choice).to_numpy()
    whole = agree.copy()
    for column, choice in zip(columns, CHOSEN, strict=True):
        whole &= (counts[column] == choice).to_numpy()
    return float(counts["count"].to_numpy()[whole].sum() / counts["count"].to_numpy()[agree].sum())


def blank_rows(folder: Path) -> list[dict[str, Any]]:
    """For each blank: the published curve after it, the same from tuple counts, and where the curve rises.

    The published curve is of the exact string, of which other wordings with the same five answers are no part; once the
    first blanks are kept, both ask for the same choices.
    """
    counts = pd.read_csv(folder / "structured_tuple_counts.csv")
    curve = pd.read_csv(folder / "structured_curve_NDBKP.csv").to_numpy()
    points = pd.read_csv(folder / "structured_Tpoints_NDBKP.csv").to_numpy()
    total = int(counts["count"].to_numpy().sum())
    rows = [
        {
            "kept": "nothing",
            "published curve": float(curve[0, 1]),
            "from tuple counts": same_tuple(counts, 0),
            "draws behind it": total,
        }
    ]
    draws: pd.DataFrame = counts
    for blank, (column, choice) in enumerate(zip(counts.columns[:-1], CHOSEN, strict=True), 1):
        draws = draws.loc[draws[column] == choice]
        _, _, length, before, after = points[blank - 1, :5]
        end = float(points[blank, 3]) if blank < len(points) else 1.0
        # The last point before the next blank is decided: wording between the two is kept, the next choice is open.
        at = int(np.searchsorted(curve[:, 0], end - 1e-9)) - 1
        rises = np.flatnonzero(np.diff(curve[:, 1]) > RISE)
        near = [float(curve[i + 1, 0]) for i in rises if before - 0.03 <= curve[i + 1, 0] <= after + 0.03]
        rows.append(
            {
                "kept": "".join(CHOSEN[:blank]),
                "published curve": float(curve[at, 1]),
                "from tuple counts": same_tuple(counts, blank),
                "draws behind it": int(np.sum(draws["count"])),
                "printed T_before": float(before),
                "printed T_after": float(after),
                "rises of the curve end at": near,
                "characters": int(length),
            }
        )
    return rows


def consistency(folder: Path) -> dict[str, Any]:
    """Summarise the MATH test set: consistency with the full answer and accuracy, resampled or asked at once."""
    table = pd.read_csv(folder / "math_llama31_4934.csv").sort_values("stop_frac")
    kept, same, right = (table[c].to_numpy() for c in ("stop_frac", "is_consistent", "is_right"))
    rise = np.diff(same)
    largest = int(rise.argmax())
    asked = table["stump_is_right"].to_numpy()
    return {
        "kept fractions": [float(kept[0]), float(kept[-1])],
        "consistency there": [float(same[0]), float(same[-1])],
        "rises at every step": bool((rise > 0).all()),
        "largest rise of the mean": [float(kept[largest]), float(kept[largest + 1]), float(rise[largest])],
        "range of the accuracy": [float(right.min()), float(right.max())],
        "accuracy asked at once": [float(asked[0]), float(asked[-1])],
    }
