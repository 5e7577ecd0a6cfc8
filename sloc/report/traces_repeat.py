"""``sloc traces --from run.json``: the run of a former folder once more."""

from __future__ import annotations

import json as json_module
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_path
from sloc.report.output import RUN_FILE, check_run_folder
from sloc.report.recorded_analysis import digest
from sloc.report.recorded_command import run_recorded
from sloc.report.traces_command import run_traces

if TYPE_CHECKING:
    from rich.console import Console

_STORE = frozenset({"table", "size", "alpha", "gap", "level"})
_TABLE = _STORE | {"rise", "max_drop", "correction", "across", "statistic", "move_alpha"}


def repeat_traces(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    *,
    overwrite: bool = False,
    json: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Repeat a run of ``sloc traces``, on a table or on recorded branches, with the settings that it recorded.

    Args:
        path: its ``run.json``, or the folder that holds it.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of tables.
        console: where to print; standard output when None.

    Returns:
        What the first run returned.

    Raises:
        InvalidInput: no such file, not the record of such a run, or a table that has changed since.

    """
    if out is not None:
        check_run_folder(out, overwrite)
    shown = checked_path(path, "--from")
    try:
        file = Path(shown).expanduser()
        file = file / RUN_FILE if file.is_dir() else file
        record = json_module.loads(file.read_text("utf-8"))
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"--from = {str(path)!r}: expected the {RUN_FILE} of a run ({error})") from error
    arguments = record.get("arguments") if isinstance(record, dict) and record.get("command") == "traces" else None
    good = isinstance(arguments, dict) and "table" in arguments and set(arguments) in (_STORE, _TABLE)
    require(good, "--from", str(path), f"the {RUN_FILE} of a traces run with all its arguments")
    settings = dict(arguments or {})
    table = settings.pop("table")
    require(isinstance(table, str) and Path(table).exists(), "--from, table", table, "a file that is still there")
    results = record.get("results")
    known = results.get("table_sha256") if isinstance(results, dict) else None
    same = known in (None, digest(Path(table)))
    require(same, "--from, table", table, "the file as it was in the first run; its contents have changed since")
    run: Any = run_traces if "rise" in settings else run_recorded
    return run(table, out, **settings, overwrite=overwrite, json=json, console=console)
