"""Check that benchmark results have the shape that readers rely on, and that what must hold does.

Run ``python -m benchmarks.check_results`` for every JSON file in ``benchmarks/results``, where each suite of
:data:`COMMITTED` must have left one, or name files and folders; nightly tests that no night has run are listed.  A
result is an object with the keys

* ``suite``: name of the suite;
* ``device``: what it ran on;
* ``versions``: package name to version;
* ``date``: ISO 8601;
* ``commit``: hash of the code's commit, with ``+`` where it had changes; a run outside a repository has none, and its
  result is not one to commit;
* ``rows``: a list of objects with ``name``, a finite number ``value``, and ``unit`` (empty for a ratio); more keys may
  stand beside these.  Where there is no number, ``value`` is null and ``status`` says why (``"not reached"``).

A row with ``must: true`` is a promise (a coverage, say) and says ``met: true`` or is a fault.  A row with ``met`` alone
has a target, such as a speed, that a slower machine may miss.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import nightly_tests, nightly_wheels

RESULTS = Path(__file__).parent / "results"
COMMITTED = (
    "atoms",
    "bayes",
    "certificates",
    "certified",
    "changes",
    "explain",
    "learned",
    "learned-runs",
    "lm",
    "nightly-tests",
    "samplers",
    "structures",
    "traces",
    "unnormalized",
    "wheel-tests",
    "windows",
)
"""Suites of which a result must stand in :data:`RESULTS`."""
_COMMIT = "expected the hash of the code's commit, with '+' where it had changes"


def is_text(value: object) -> bool:
    """Whether a value is a string that says something."""
    return isinstance(value, str) and bool(value.strip())


def is_date(value: object) -> bool:
    """Whether a value is a date or a date with a time, in ISO 8601."""
    try:
        datetime.fromisoformat(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return False
    return True


def is_versions(value: object) -> bool:
    """Whether a value maps at least one package to its version."""
    return isinstance(value, dict) and bool(value) and all(is_text(k) and is_text(v) for k, v in value.items())


def is_commit(value: object) -> bool:
    """Whether a value is the hash of a commit, perhaps with the mark of changes."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{7,64}[+]?", value) is not None


def is_finite(value: object) -> bool:
    """Whether a value is a finite number (a boolean is none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def row_problems(row: Any, where: str) -> list[str]:
    """Return what is wrong with one row, as messages that begin with ``where``."""
    if not isinstance(row, dict):
        return [f"{where} = {row!r}: expected an object"]
    found = []
    if not is_text(row.get("name")):
        found.append(f"{where}.name = {row.get('name')!r}: expected a name")
    absent = "value" in row and row["value"] is None and is_text(row.get("status"))
    if not (absent or is_finite(row.get("value"))):
        found.append(f"{where}.value = {row.get('value')!r}: expected a finite number, or null and a status")
    if not isinstance(row.get("unit"), str):
        found.append(f"{where}.unit = {row.get('unit')!r}: expected a unit, or '' for a ratio")
    for key in ("must", "met"):
        if key in row and not isinstance(row[key], bool):
            found.append(f"{where}.{key} = {row[key]!r}: expected true or false")
    if row.get("must") is True and row.get("met") in (None, False):
        found.append(f"{where}.met = {row.get('met')!r}: expected true, since {row.get('name')!r} must hold")
    return found


def problems(result: Any) -> list[str]:
    """Return what is wrong with one result, one message a fault; empty if nothing is."""
    if not isinstance(result, dict):
        return ["expected an object at the top"]
    checks = {
        "suite": (is_text, "the name of the suite"),
        "device": (is_text, "the device, in words"),
        "versions": (is_versions, "an object from package to version"),
        "date": (is_date, "a date in ISO 8601"),
    }
    found = [
        f"{key} = {result.get(key)!r}: expected {expected}"
        for key, (good, expected) in checks.items()
        if not good(result.get(key))
    ]
    if "commit" in result and not is_commit(result["commit"]):
        found.append(f"commit = {result['commit']!r}: {_COMMIT}")
    rows = result.get("rows")
    if not isinstance(rows, list) or not rows:
        return [*found, f"rows = {rows!r}: expected a list with at least one row"]
    return found + [message for i, row in enumerate(rows) for message in row_problems(row, f"rows[{i}]")]


def check_file(path: Path, *, committed: bool = False) -> tuple[str | None, list[str]]:
    """Return the suite of one file, if it names one, and what is wrong with it, as messages that name the file.

    A ``committed`` result must say of which commit it is.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return None, [f"{path}: cannot be read as JSON: {error}"]
    suite = result.get("suite") if isinstance(result, dict) else None
    found = problems(result)
    if committed and isinstance(result, dict) and "commit" not in result:
        found.append(f"commit is missing: {_COMMIT}")
    return suite if is_text(suite) else None, [f"{path}: {message}" for message in found]


def main(arguments: Sequence[str]) -> int:
    """Check the named files and folders (default: the committed results, complete); return the exit status."""
    named = [Path(a) for a in arguments] or [RESULTS]
    files = [f for path in named for f in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    checked = [check_file(path, committed=not arguments) for path in files]
    found = [message for _, messages in checked for message in messages]
    if not arguments:
        missing = sorted(set(COMMITTED) - {suite for suite, _ in checked})
        found += [f"{RESULTS}: no result of the suite {suite!r}" for suite in missing]
        ends = nightly_wheels.missing(nightly_tests.read(nightly_wheels.RECORD))
        found += [f"{nightly_wheels.RECORD}: no tests under the {end} jax" for end in ends]
        # New tests wait for their first night; one that failed has a row that must hold.
        for name in nightly_tests.missing(nightly_tests.read(nightly_tests.RECORD), nightly_tests.nightly_tests()):
            print(f"no night has passed {name}")
    if not files:
        found = [f"{', '.join(map(str, named))}: no results found"]
    for message in found:
        print(message, file=sys.stderr)
    if not found:
        print(f"{len(files)} benchmark result{'s' if len(files) > 1 else ''} in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
