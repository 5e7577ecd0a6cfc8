"""Every public function of networks and posteriors refuses what it cannot take.

Nothing here is random: Hypothesis runs derandomized.
"""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

pytest.importorskip("flax")
pytest.importorskip("numpyro")

from tests.robustness import rows_learned
from tests.robustness.sweep import Row, drawn_faults, listed_faults, refused

ROWS = rows_learned.rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_cannot_be_taken_is_refused(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        refused(row, listed_faults, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in ROWS if r.searched], ids=lambda row: row.name)
def test_what_is_found_that_cannot_be_taken_is_refused(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        refused(row, drawn_faults, tmp_path, monkeypatch)
