"""What the nights leave behind: one row a test, merged as it comes, and no test without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from benchmarks import check_results, machine, nightly_tests


def report(name: str, when: Literal["setup", "call", "teardown"], outcome: Any, longrepr: Any = None) -> Any:
    """Return one phase of one test, half a second long."""
    return pytest.TestReport(name, ("file", 1, name), {}, outcome, longrepr, when, duration=0.5)


def phases(name: str, call: str) -> list[Any]:
    return [report(name, "setup", "passed"), report(name, "call", call), report(name, "teardown", "passed")]


@pytest.mark.parametrize("call", ["passed", "failed"])
def test_a_test_that_ran_has_a_row(tmp_path: Path, call: str) -> None:
    recorder = nightly_tests.Recorder(tmp_path / "record.json")
    for each in phases("a::b", call):
        recorder.pytest_runtest_logreport(each)
    (row,) = nightly_tests.read(tmp_path / "record.json")
    assert (row["name"], row["value"], row["outcome"], row["met"]) == ("a::b", 1.5, call, call == "passed")
    result = json.loads((tmp_path / "record.json").read_text())
    assert len(check_results.problems(result)) == (call == "failed")


def test_a_skip_shows_nothing(tmp_path: Path) -> None:
    reports = [report("a::b", "setup", "skipped", ("file", 1, "no data")), report("a::b", "teardown", "passed")]
    row = nightly_tests.row(reports)
    assert (row["outcome"], row["met"], row["reason"]) == ("skipped", False, "no data")


def test_a_failure_while_tearing_down_is_one(tmp_path: Path) -> None:
    reports = [*phases("a::b", "passed")[:2], report("a::b", "teardown", "failed")]
    assert not nightly_tests.row(reports)["met"]


def test_rows_of_other_runs_stay(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    for name, call in (("a::b", "failed"), ("a::c", "passed"), ("a::b", "passed")):
        recorder = nightly_tests.Recorder(record)
        for each in phases(name, call):
            recorder.pytest_runtest_logreport(each)
    rows = nightly_tests.read(record)
    assert [(row["name"], row["met"]) for row in rows] == [("a::b", True), ("a::c", True)]
    assert nightly_tests.missing(rows, ["a::b", "a::c", "a::d"]) == ["a::d"]


def test_a_failed_test_is_a_fault_and_one_without_a_night_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_results, "COMMITTED", ())
    monkeypatch.setattr(check_results, "RESULTS", tmp_path)
    monkeypatch.setattr(nightly_tests, "RECORD", tmp_path / "nightly-tests.json")
    monkeypatch.setattr(nightly_tests, "nightly_tests", lambda: ("a::b", "a::c"))
    monkeypatch.setattr(machine, "commit", lambda: "0123abc")
    recorder = nightly_tests.Recorder(nightly_tests.RECORD)
    for each in phases("a::b", "failed"):
        recorder.pytest_runtest_logreport(each)
    assert check_results.main([]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == ["no night has passed a::b", "no night has passed a::c"]
    assert "'a::b' must hold" in said.err
    for each in phases("a::b", "passed"):
        recorder.pytest_runtest_logreport(each)
    assert check_results.main([]) == 0
    assert "a::b" not in capsys.readouterr().out
