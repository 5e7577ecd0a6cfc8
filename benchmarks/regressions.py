"""What became slower since a committed result: ratios of one device against ratios of the same device.

Only rows that say ``better`` are compared: medians over interleaved rounds of ratios that were formed within a round,
never times.  Identical code has varied by 1.7 on a busy machine, so that a ratio fails beyond twice its old value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.check_results import problems
from sloc.contracts import InvalidInput, require

LIMIT = 2.0
"""How many times worse a ratio may be."""


@dataclass(frozen=True)
class Compared:
    """One ratio, now and then.

    Attributes:
        name: of the row.
        now: its value in this run.
        then: its value in the committed result.
        factor: how many times worse it is now: ``then / now`` where more is better, ``now / then`` where less is.

    """

    name: str
    now: float
    then: float
    factor: float

    @property
    def failed(self) -> bool:
        """Whether it is worse by more than :data:`LIMIT`."""
        return not self.factor <= LIMIT


@dataclass(frozen=True)
class Comparison:
    """One result against a committed one.

    Attributes:
        rows: what both have.
        missing: names of the ratios of this run that the committed result lacks.

    """

    rows: tuple[Compared, ...]
    missing: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether any ratio is worse by more than :data:`LIMIT`."""
        return any(row.failed for row in self.rows)


def read_committed(path: Path, suite: str, device: str, name: str) -> dict[str, Any]:
    """Read the committed result that a run of a suite on a device can be held against.

    Args:
        path: a file, or a folder that holds ``name``.
        suite: the suite.
        device: the device, in words.
        name: of the file, where ``path`` is a folder.

    Raises:
        InvalidInput: no such file, no result, or one of another suite or device, or of a smoke run.

    """
    file = path / name if path.is_dir() else path
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"--against = {str(file)!r}: expected a committed result of this device ({error})"
        ) from error
    faults = problems(result)
    require(not faults, "--against", str(file), f"a result of a benchmark; {'; '.join(faults[:1])}")
    require(result["suite"] == suite, "--against", str(file), f"a result of the suite {suite}, not {result['suite']}")
    require(
        result["device"] == device,
        "--against",
        str(file),
        f"a result of this device ({device}), not {result['device']}",
    )
    require(
        not result.get("smoke"), "--against", str(file), "a result of a full run; numbers of smoke runs mean little"
    )
    return result


def compare(result: Mapping[str, Any], committed: Mapping[str, Any]) -> Comparison:
    """Compare the ratios of a run with those of a committed result.

    Raises:
        InvalidInput: they have no ratio in common.

    """
    then = {row["name"]: row for row in committed["rows"] if row["unit"] == "" and row.get("rounds")}
    mine = ratios(result)
    found = tuple(_compared(row, then[row["name"]]) for row in mine if row["name"] in then)
    missing = tuple(row["name"] for row in mine if row["name"] not in then)
    require(bool(found), "--against", str(committed["suite"]), "a result with at least one ratio that this run has too")
    return Comparison(found, missing)


def ratios(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows of a result that are compared: ratios of rounds that say which way is better."""
    return [row for row in result["rows"] if row.get("better") and row["unit"] == "" and row.get("rounds")]


def _compared(row: Mapping[str, Any], before: Mapping[str, Any]) -> Compared:
    now, then = float(row["value"]), float(before["value"])
    worse, base = (then, now) if row["better"] == "higher" else (now, then)
    return Compared(row["name"], now, then, worse / base if base > 0 else math.inf)
