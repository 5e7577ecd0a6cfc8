"""Run one suite and keep what it found: the rows, and what they depend on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.suites import SUITES
from benchmarks.timing import Row
from sloc.contracts import InvalidInput
from sloc.contracts.arguments import checked_path


def run_suite(
    suite: str, parts: Sequence[str], rounds: int, smoke: bool, on_row: Callable[[Row], None] = lambda row: None
) -> dict[str, Any]:
    """Run parts of a suite and return a result as :mod:`benchmarks.check_results` describes it.

    Args:
        suite: one of :data:`benchmarks.suites.SUITES`.
        parts: which of its parts.
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.
        on_row: called with each row as it comes.

    """
    result: dict[str, Any] = {
        "suite": suite,
        "device": machine.device_name(),
        **machine.code(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "smoke": smoke,
        "rounds": rounds,
        "parts": list(parts),
        "load_before": os.getloadavg()[0],
        "rows": [],
    }
    for row in SUITES[suite][0](rounds, smoke, tuple(parts)):
        result["rows"].append(row)
        on_row(row)
    result["load_after"] = os.getloadavg()[0]
    # Of the whole process, so only of this suite where a process runs one suite.
    result["peak_bytes"] = machine.peak_memory()
    return result


def file_name(suite: str, smoke: bool) -> str:
    """Return the name of a suite's file for this device, such as ``windows-cpu-2-cores.json``."""
    return f"{suite}-{machine.short_name()}{'-smoke' if smoke else ''}.json"


def checked_folder(out: str | os.PathLike[str]) -> Path:
    """Return the folder to write to, made where it is missing.

    Raises:
        InvalidInput: it is a file, or cannot be made or written to.

    """
    try:
        folder = Path(checked_path(out, "--out")).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError) as error:  # nobody's home
        raise InvalidInput(f"--out = {str(out)!r}: expected a folder that can be made ({error})") from error
    if not writable:
        raise InvalidInput(f"--out = {str(out)!r}: expected a folder that can be written to")
    return folder


def write_result(result: dict[str, Any], folder: Path) -> Path:
    """Write a result under its own name, whole or not at all; return the file."""
    file = folder / file_name(result["suite"], result["smoke"])
    aside = file.with_name(f".{file.name}.partial")
    aside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return aside.replace(file)
