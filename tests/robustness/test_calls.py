"""Public calls that measure, model, draw and report refuse what they cannot take.

Nothing here is random: Hypothesis runs derandomized.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness import rows_measures, rows_model, rows_samplers, rows_windows
from tests.robustness.sweep import Row, drawn_faults, listed_faults, refused

ROWS = [*rows_measures.rows(), *rows_windows.rows(), *rows_model.rows(), *rows_samplers.rows()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_cannot_be_taken_is_refused(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(row, listed_faults, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in ROWS if r.searched], ids=lambda row: row.name)
def test_what_is_found_that_cannot_be_taken_is_refused(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(row, drawn_faults, tmp_path, monkeypatch)
