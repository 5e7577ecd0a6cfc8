"""Every public function of language models refuses what it cannot take.

Nothing here is random: Hypothesis runs derandomized.
"""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

pytest.importorskip("tokenizers")

from sloc.engine import count_traces
from tests.robustness import rows_lm
from tests.robustness.sweep import Row, faults

ROWS = rows_lm.rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_cannot_be_taken_is_refused(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = count_traces()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = faults(row)
    assert not found, f"{len(found)} faults:\n" + "\n".join(found)
    assert count_traces() == before, "a refused call was traced"
    assert [p.name for p in tmp_path.iterdir() if p.name != ".hypothesis"] == [], "a refused call left a file"
