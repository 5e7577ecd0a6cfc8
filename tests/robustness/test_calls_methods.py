"""Methods and class methods of public classes refuse what they cannot take.

Nothing here is random: Hypothesis runs derandomized.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tokenizers")

from tests.robustness import rows_methods
from tests.robustness.sweep import Row, drawn_faults, listed_faults, refused

ROWS = rows_methods.rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_cannot_be_taken_is_refused(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(row, listed_faults, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in ROWS if r.searched], ids=lambda row: row.name)
def test_what_is_found_that_cannot_be_taken_is_refused(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(row, drawn_faults, tmp_path, monkeypatch)
