"""The schema check of benchmark results refuses what readers could not rely on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import check_results, nightly_tests, nightly_wheels, show
from benchmarks.suites import SUITES

GOOD: dict[str, Any] = {
    "suite": "windows",
    "device": "cpu, 2 cores",
    "versions": {"jax": "0.10.2"},
    "date": "2025-01-31T12:00:00+00:00",
    "rows": [{"name": "speed-up", "value": 312.5, "unit": "", "target": 300}],
}


def changed(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """Return the good result with one entry replaced, or removed where the value is ``...``."""
    result = copy.deepcopy(GOOD)
    place: Any = result
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


def test_a_good_result_passes() -> None:
    assert check_results.problems(GOOD) == []


@pytest.mark.parametrize("key", ["suite", "device", "versions", "date", "rows"])
def test_each_key_is_needed(key: str) -> None:
    found = check_results.problems(changed((key,), ...))
    assert len(found) == 1
    assert found[0].startswith(key)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("suite",), " "),
        (("device",), 3),
        (("versions",), {}),
        (("versions",), {"jax": 0.1}),
        (("date",), "yesterday"),
        (("date",), 20250131),
        (("commit",), ""),
        (("commit",), None),
        (("commit",), "unknown"),
        (("commit",), "0123abc dirty"),
        (("rows",), []),
        (("rows", 0), 5),
        (("rows", 0, "name"), ...),
        (("rows", 0, "value"), "312"),
        (("rows", 0, "value"), True),
        (("rows", 0, "value"), float("nan")),
        (("rows", 0, "unit"), ...),
        (("rows", 0, "met"), "yes"),
        (("rows", 0, "must"), 1),
        (("rows", 0, "must"), True),  # without a word on whether it is met
    ],
)
def test_a_wrong_entry_is_named(path: tuple[Any, ...], value: object) -> None:
    found = check_results.problems(changed(path, value))
    assert len(found) == 1
    assert found[0].startswith(str(path[0]))


def test_results_that_must_stand_come_from_a_full_run() -> None:
    # Every suite is run by night (`nightly_suites`), the others by the lines of the Makefile beside it.
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    assert "\t$(PY) -m benchmarks.nightly_suites\n" in makefile
    assert {"windows", "certificates", "bayes", "certified"} <= set(check_results.COMMITTED)
    others = {"bayes", "certified", "changes", "explain", "learned-runs", nightly_tests.SUITE, nightly_wheels.SUITE}
    assert set(check_results.COMMITTED) <= {*SUITES, *others}


def test_a_number_that_does_not_exist_is_null_with_a_status() -> None:
    row = {"name": "times fewer tokens", "value": None, "unit": ""}
    assert check_results.problems(GOOD | {"rows": [row | {"status": "not reached"}]}) == []
    for bad in (row, row | {"status": " "}, {"name": "n", "unit": "", "status": "not reached"}):
        assert len(check_results.problems(GOOD | {"rows": [bad]})) == 1
    assert show.line(row | {"status": "not reached", "target": ">= 5", "met": False}).startswith(
        "times fewer tokens: not reached  (target >= 5: NOT MET)"
    )


@pytest.mark.parametrize("commit", ["0123abc", "0123abc+", "0123456789abcdef0123456789abcdef01234567"])
def test_a_commit_may_be_named(commit: str) -> None:
    assert check_results.problems(GOOD | {"commit": commit}) == []


def test_a_committed_result_says_of_which_commit_it_is(tmp_path: Path) -> None:
    file = tmp_path / "windows.json"
    file.write_text(json.dumps(GOOD))
    assert check_results.check_file(file) == ("windows", [])  # as of a run outside a repository
    suite, (fault,) = check_results.check_file(file, committed=True)
    assert suite == "windows"
    assert fault.startswith(f"{file}: commit is missing")
    file.write_text(json.dumps(GOOD | {"commit": "0123abc+"}))
    assert check_results.check_file(file, committed=True) == ("windows", [])


def test_status_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_results.main([str(tmp_path)]) == 1
    assert "no results found" in capsys.readouterr().err

    (tmp_path / "good.json").write_text(json.dumps(GOOD))
    assert check_results.main([str(tmp_path)]) == 0

    (tmp_path / "torn.json").write_text(json.dumps(GOOD)[:-5])
    assert check_results.main([str(tmp_path)]) == 1
    assert "torn.json" in capsys.readouterr().err
    assert check_results.main([str(tmp_path / "absent.json")]) == 1


@pytest.mark.parametrize(("must", "met", "faults"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_promises_must_be_met_and_targets_need_not(must: bool, met: bool, faults: int) -> None:
    row = {"name": "coverage", "value": 61, "unit": "repetitions", "must": must, "met": met}
    found = check_results.problems(GOOD | {"rows": [*GOOD["rows"], row]})
    assert len(found) == faults
    assert all("rows[1].met = False" in message and "'coverage' must hold" in message for message in found)


def test_committed_results_are_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_results, "RESULTS", tmp_path)
    monkeypatch.setattr(nightly_tests, "nightly_tests", tuple)
    good = GOOD | {"commit": "0123abc"}
    for suite in check_results.COMMITTED[:-1]:
        (tmp_path / f"{suite}.json").write_text(json.dumps(good | {"suite": suite}))
    assert check_results.main([]) == 1
    missing = check_results.COMMITTED[-1]
    assert capsys.readouterr().err == f"{tmp_path}: no result of the suite {missing!r}\n"
    # Named files are checked for themselves alone.
    assert check_results.main([str(tmp_path)]) == 0

    (tmp_path / "another-name.json").write_text(json.dumps(GOOD | {"suite": missing}))
    assert check_results.main([]) == 1
    assert "another-name.json: commit is missing" in capsys.readouterr().err
    (tmp_path / "another-name.json").write_text(json.dumps(good | {"suite": missing}))
    assert check_results.main([]) == 0
