"""The committed list of what commands leave: files, columns of tables, variables of datasets, keys of ``run.json``.

Tests that make a short run of a verb hold its folder against the list by :func:`hold_outputs`.
``python -m tests.public_outputs`` runs these tests and rewrites it.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
LIST = TESTS / "public_outputs.txt"
RUNS = (
    "test_cli.py::test_folder_holds_its_files",
    "test_cli_tree.py::test_the_folder_holds_the_tree_of_the_library",
    "report/test_traces.py::test_a_run_writes_a_folder_that_repeats_it",
    "report/test_recorded.py::test_the_folder_holds_everything",
    "report/test_lm_pages.py::test_the_folder_is_whole_and_the_record_counts",
    "report/test_train.py::test_a_short_run_writes_a_whole_folder",
)
"""Tests with a short run."""
REWRITE = "SLOC_REWRITE_OUTPUTS"


def outputs(verb: str, folder: Path) -> list[str]:
    """Return what stays public of an output folder, a line each.

    Args:
        verb: what the run is of, ahead of each line.
        folder: that the command left.

    """
    return [f"{verb}: {line}" for path in sorted(folder.iterdir()) for line in (path.name, *_inside(path))]


def _inside(path: Path) -> Iterator[str]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            yield from (f"{path.name} {column}" for column in next(csv.reader(file)))
    elif path.suffix == ".nc":
        import xarray as xr

        with xr.open_dataset(path, engine="h5netcdf") as data:
            names = sorted(str(n) for n in data.variables)
            yield from (f"{path.name} {name}({', '.join(map(str, data[name].dims))})" for name in names)
    elif path.name == "run.json":
        yield from (f"{path.name} {key}" for key in _keys(json.loads(path.read_text("utf-8"))))


def _keys(record: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of a record and those of its parts; what lies deeper may bear names of the data."""
    for key in sorted(record):
        yield key
        part = record[key]
        if isinstance(part, dict) and key != "versions":
            yield from (f"{key}.{own}" for own in sorted(part))


def listed(verb: str) -> list[str]:
    """Return the lines of the list that are of a verb."""
    lines = LIST.read_text("utf-8").splitlines() if LIST.exists() else []
    return [line for line in lines if line.startswith(f"{verb}: ")]


def hold_outputs(verb: str, folder: Path) -> None:
    """Hold an output folder against the list, or write it there where the environment says so.

    Args:
        verb: what the run is of.
        folder: that the command left.

    Raises:
        AssertionError: something went, or is new.

    """
    found, known = outputs(verb, folder), listed(verb)
    if os.environ.get(REWRITE):
        others = [line for line in LIST.read_text("utf-8").splitlines() if line not in known] if LIST.exists() else []
        LIST.write_text("\n".join(sorted([*others, *found])) + "\n", "utf-8")
        return
    gone, new = sorted(set(known) - set(found)), sorted(set(found) - set(known))
    assert not gone, f"public output that went or was renamed (see docs/stability.md): {gone}"
    assert not new, f"new output; run python -m tests.public_outputs: {new}"


if __name__ == "__main__":
    LIST.write_text("", "utf-8")
    tests = [str(TESTS / name) for name in RUNS]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-m", "slow or nightly or not slow", *tests]
    raise SystemExit(subprocess.run(command, env={**os.environ, REWRITE: "1"}, check=False).returncode)
