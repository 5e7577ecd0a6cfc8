"""The record of tests against the installed wheel: what a report says; one end leaves the other's rows alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import check_results, nightly_tests, nightly_wheels

REPORT = '<testsuites><testsuite name="pytest" tests="{}" failures="{}" errors="{}" skipped="{}"/></testsuites>'


def report(folder: Path, *counts: int) -> Path:
    """Write what pytest would."""
    file = folder / "report.xml"
    file.write_text(REPORT.format(*counts), "utf-8")
    return file


def test_rows_count_what_the_report_counts(tmp_path: Path) -> None:
    failed, passed, skipped = nightly_wheels.rows("least", "0.10.0", report(tmp_path, 10, 1, 2, 3))
    assert (failed["value"], passed["value"], skipped["value"]) == (3, 4, 3)
    assert (failed["of"], failed["met"], failed["jax"]) == (10, False, "0.10.0")
    assert next(nightly_wheels.rows("least", "0.10.0", report(tmp_path, 10, 0, 0, 3)))["met"]
    # Where nothing ran nothing failed, and nothing is shown.
    assert not next(nightly_wheels.rows("least", "0.10.0", report(tmp_path, 0, 0, 0, 0)))["met"]


def test_an_end_leaves_the_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        nightly_wheels,
        "run",
        lambda end: list(nightly_wheels.rows(end, "0.10.9", report(tmp_path, 5, int(end == "least"), 0, 1))),
    )
    record = tmp_path / "wheel-tests.json"
    assert nightly_wheels.main(["--record", str(record)]) == 1
    assert nightly_wheels.main(["--record", str(record), "--end", "newest"]) == 0
    rows = json.loads(record.read_text("utf-8"))["rows"]
    assert [row["name"].partition(" ")[0] for row in rows] == ["least"] * 3 + ["newest"] * 3
    suite, found = check_results.check_file(record, committed=False)
    assert suite == "wheel-tests"
    assert len(found) == 1, "the failure of one end is refused, and nothing else is"


def test_a_record_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    record = tmp_path / "wheel-tests.json"
    found = {end: list(nightly_wheels.rows(end, "0.10.9", report(tmp_path, 5, 0, 0, 1))) for end in nightly_wheels.ENDS}
    nightly_tests.write(record, found["newest"], nightly_wheels.SUITE)
    assert nightly_wheels.missing(nightly_tests.read(record)) == ["least"]
    monkeypatch.setattr(nightly_wheels, "RECORD", record)
    assert check_results.main([]) == 1
    assert f"{record}: no tests under the least jax" in capsys.readouterr().err
    assert nightly_wheels.missing([*found["newest"], *found["least"]]) == []


def test_the_least_jax_is_that_of_the_makefile() -> None:
    assert nightly_wheels.least() == "0.10.0"
