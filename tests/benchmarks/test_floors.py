"""The numbers that the page about floors quotes are those of the committed results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import floors_table
from benchmarks.floors_table import BEGIN, END, FLOORS, MISSING, RESULTS, SECTIONS, cell, missing, renewed, table


def prose() -> str:
    """The page without the table that is made from the results."""
    text = FLOORS.read_text(encoding="utf-8")
    return text.partition(BEGIN)[0] + text.partition(END)[2]


def test_the_page_shows_the_committed_results() -> None:
    text = FLOORS.read_text(encoding="utf-8")
    assert renewed(text) == text, "python -m benchmarks.floors_table"


def test_what_the_prose_names_is_a_row_of_the_table() -> None:
    known = {shown.words for rows in SECTIONS.values() for shown in rows}
    named = re.findall(r"\[([^\]]+)\]\(#measured\)", " ".join(prose().split()))
    named.remove("Measured")  # the table itself
    assert len(named) > 15
    assert set(named) <= known, set(named) - known


def test_rows_have_names_of_their_own() -> None:
    words = [shown.words for rows in SECTIONS.values() for shown in rows]
    assert len(set(words)) == len(words)
    assert all("|" not in w for w in words)


def test_another_result_changes_the_page(tmp_path: Path) -> None:
    for file in RESULTS.glob("*-cpu-2-cores.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert table(tmp_path) == table()
    file = tmp_path / "windows-cpu-2-cores.json"
    result = json.loads(file.read_text(encoding="utf-8"))
    (row,) = (r for r in result["rows"] if r["name"] == "two Gaussians: projected JAX, by hand over sloc")
    row["value"] *= 2
    file.write_text(json.dumps(result), encoding="utf-8")
    changed = [a for a, b in zip(table(tmp_path).splitlines(), table().splitlines(), strict=True) if a != b]
    assert [line.split("|")[1].strip() for line in changed] == ["two Gaussians: projected by hand over sloc"]
    # Without the file its rows are named as missing, and the page says so.
    file.unlink()
    assert "windows: two Gaussians: sloc, run" in missing(tmp_path)
    assert f"| two Gaussians: time | {MISSING} | `windows` |" in table(tmp_path)


def test_numbers_in_words() -> None:
    row = {"name": "a", "value": 2.0, "unit": "", "min": 1.5, "max": 3.0, "target": ">= 3", "met": False}
    assert cell(row, "value") == "2 (1.5 to 3), target >= 3 **not met**"
    assert cell(row | {"expected": 1.0, "met": True}, "value") == "2 (1.5 to 3), 1 expected, target >= 3 met"
    assert cell({"name": "a", "value": 0.5, "unit": "", "run_seconds": 0.0123}, "run_seconds") == "12.3 ms"
    assert cell({"name": "a", "value": None, "unit": "", "status": "not reached"}, "value") == "not reached"
    assert cell(None, "value") == MISSING


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the marks"):
        renewed("# Floors")
    assert floors_table.main(["--check"]) == 0
