"""Public calls that measure, model, draw and report refuse what they cannot take.

Nothing here is random: Hypothesis runs derandomized.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sloc.engine import count_traces
from tests.robustness import rows_measures, rows_model, rows_samplers, rows_windows
from tests.robustness.sweep import Row, faults

ROWS = [*rows_measures.rows(), *rows_windows.rows(), *rows_model.rows(), *rows_samplers.rows()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_cannot_be_taken_is_refused(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = count_traces()
    found = faults(row)
    assert not found, f"{len(found)} faults:\n" + "\n".join(found)
    assert count_traces() == before, "a refused call was traced"
    assert [p.name for p in tmp_path.iterdir() if p.name != ".hypothesis"] == [], "a refused call left a file"
