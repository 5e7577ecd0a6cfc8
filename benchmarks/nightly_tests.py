"""The tests that are too long for every change: run them by night, and keep what each of them said.

Run ``python -m benchmarks.nightly_tests`` for all of them, or name files and tests as for pytest; ``--only-missing``
runs those that the record does not call passed.  Each outcome is merged into the record as it comes, so that a run that
is killed loses one test, and a run of some tests leaves the others' rows alone.  Rows of tests that are no longer there
are dropped.

:mod:`benchmarks.check_results` refuses a record in which a nightly test failed, and lists those that no night has run:
they show nothing yet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import code, device_name
from benchmarks.timing import Row

ROOT = Path(__file__).parent.parent
RECORD = Path(__file__).parent / "results" / "nightly-tests.json"
SUITE = "nightly-tests"


class _Collected:
    """Plugin that keeps the names of the tests that pytest would run."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.names = [item.nodeid for item in session.items]


def nightly_tests() -> tuple[str, ...]:
    """Return the names of all nightly tests, in pytest's order, without running any.

    Raises:
        RuntimeError: the tests cannot be collected.

    """
    found = _Collected()
    quiet = ["--collect-only", "--quiet", "--quiet"]
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        status = pytest.main([*quiet, "-m", "nightly", str(ROOT / "tests")], plugins=[found])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"the nightly tests cannot be collected: pytest says {status!r}")
    return tuple(found.names)


class Recorder:
    """Plugin that merges each test's outcome into the record, as soon as the test has been torn down."""

    def __init__(self, record: Path) -> None:
        """Start from what the record holds already."""
        self.record = record
        self.rows: dict[str, Row] = {row["name"]: row for row in read(record)}
        self._reports: dict[str, list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one phase of one test; with xdist, from whichever process ran it."""
        reports = self._reports.setdefault(report.nodeid, [])
        reports.append(report)
        if report.when == "teardown":
            self.rows[report.nodeid] = row(self._reports.pop(report.nodeid))
            write(self.record, self.rows.values())


def row(reports: Sequence[pytest.TestReport]) -> Row:
    """Return the row of one test from the reports of its setting up, its call and its tearing down."""
    first = reports[0]
    outcome = "passed"
    facts: dict[str, Any] = {}
    for report in reports:
        if report.failed:
            outcome = "failed"
        elif report.skipped and outcome == "passed":
            outcome = "skipped"
            facts["reason"] = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    seconds = round(sum(report.duration for report in reports), 2)
    facts |= {"outcome": outcome, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    return {"name": first.nodeid, "value": seconds, "unit": "s", "must": True, "met": outcome == "passed", **facts}


def read(record: Path) -> list[Row]:
    """Return the rows of a record; none where it is not there."""
    return json.loads(record.read_text(encoding="utf-8"))["rows"] if record.exists() else []


def write(record: Path, rows: Iterable[Row], suite: str = SUITE) -> None:
    """Write the record of a suite, whole or not at all."""
    result = {
        "suite": suite,
        "device": device_name(),
        **code(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": sorted(rows, key=lambda r: r["name"]),
    }
    record.parent.mkdir(parents=True, exist_ok=True)
    aside = record.with_name(f".{record.name}.partial")
    aside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    aside.replace(record)


def missing(rows: Iterable[Row], names: Iterable[str]) -> list[str]:
    """Return the names for which no row says that the test passed."""
    passed = {r["name"] for r in rows if r.get("met")}
    return [name for name in names if name not in passed]


def main(arguments: Sequence[str]) -> int:
    """Run nightly tests and keep their outcomes; return pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=RECORD, help="file to merge outcomes into")
    parser.add_argument("--only-missing", action="store_true", help="run those that the record does not call passed")
    parser.add_argument("tests", nargs="*", help="files or tests, as for pytest (default: all)")
    asked, for_pytest = parser.parse_known_args(arguments)
    names = nightly_tests()
    kept = {row["name"]: row for row in read(asked.record) if row["name"] in set(names)}
    if kept:
        write(asked.record, kept.values())
    tests = asked.tests
    if asked.only_missing:
        tests = [name for name in missing(kept.values(), names) if not tests or name.startswith(tuple(tests))]
        if not tests:
            print("every nightly test has passed")
            return 0
    return int(pytest.main([*for_pytest, "-m", "nightly", *tests], plugins=[Recorder(asked.record)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
