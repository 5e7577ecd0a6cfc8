"""The header of a CSV file, before pandas numbers the names that stand twice in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def name_twice(file: Path) -> str | None:
    """Return a column's name that stands twice in a header, of which either could be meant; None where none does.

    Args:
        file: a CSV file, also as ``.gz``.

    Returns:
        The name; columns without a name are passed over.

    """
    import pandas as pd

    first = pd.read_csv(file, header=None, nrows=1, dtype=str, na_filter=False, index_col=False, encoding="utf-8-sig")
    counts = Counter(str(name).strip() for name in first.iloc[0])
    return next((name for name, count in counts.items() if count > 1 and name), None)
