"""The list of what commands leave: what goes from a folder is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import public_outputs
from tests.public_outputs import RUNS, TESTS, hold_outputs, listed, outputs


def made(folder: Path) -> Path:
    (folder / "windows.csv").write_text("a,b\n1,2\n")
    (folder / "run.json").write_text(json.dumps({"arguments": {"n": 1}, "versions": {"jax": "0"}, "files": []}))
    return folder


def test_a_column_a_key_or_a_file_that_goes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path)
    lines = outputs("verb", folder)
    keys = ("arguments", "arguments.n", "files", "versions")
    tables = ("windows.csv", "windows.csv a", "windows.csv b")
    assert lines == [f"verb: {line}" for line in ("run.json", *(f"run.json {k}" for k in keys), *tables)]
    monkeypatch.delenv(public_outputs.REWRITE, raising=False)
    monkeypatch.setattr(public_outputs, "listed", lambda verb: lines)
    hold_outputs("verb", folder)
    (folder / "windows.csv").write_text("a,c\n1,2\n")
    with pytest.raises(AssertionError, match=r"went or was renamed .*'verb: windows.csv b'"):
        hold_outputs("verb", folder)
    (folder / "windows.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(AssertionError, match=r"python -m tests.public_outputs: \['verb: windows.csv c'\]"):
        hold_outputs("verb", folder)
    made(folder)
    (folder / "run.json").write_text(json.dumps({"arguments": {}, "versions": {}, "files": []}))
    with pytest.raises(AssertionError, match=r"run.json arguments.n"):
        hold_outputs("verb", folder)


def test_the_list_is_of_the_runs_that_are_named() -> None:
    verbs = {line.partition(": ")[0] for line in public_outputs.LIST.read_text("utf-8").splitlines()}
    assert verbs == {"window", "tree", "traces TABLE", "traces FOLDER", "lm windows", "train", "uturn"}
    assert all(f"{verb}: run.json command" in listed(verb) for verb in verbs)
    for run in RUNS:
        file, _, test = run.partition("::")
        body = (TESTS / file).read_text("utf-8").partition(f"def {test}(")[2].partition("\ndef ")[0]
        assert "hold_outputs(" in body, run
