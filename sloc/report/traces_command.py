"""Everything behind ``sloc traces``: read, check, compute, print, and write a folder that is whole or absent."""

from __future__ import annotations

import importlib.util
import json as json_module
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.report.output import check_run_folder, jsonable, run_folder, write_netcdf, write_run_json
from sloc.report.traces import plot_traces, traces_summary_table
from sloc.results import TraceWindows
from sloc.windows.binomial_rise import Statistic
from sloc.windows.multiplicity import Across, Within
from sloc.windows.resampled import trace_windows
from sloc.windows.traces_table import TraceTable, read_trace_table

if TYPE_CHECKING:
    from rich.console import Console

COLUMN_HELP = """\
A long table, one row per resample: CSV, JSONL (either also .gz) or Parquet.

question: which question.
fraction or position: what was kept before resampling, a fraction in [0, 1] or a number of tokens.
answer: what the resample arrived at; answers are compared as text.
weight (optional): a fixed, non-negative weight of the draw.
draw (optional): the resample's number; a repeated row then counts once.
reference (optional): the full generation's answer, the same in all rows of a question (or empty).

Without `reference`, the full generation's answer is that of the rows at fraction 1, which must agree, or, for
positions, of a single row at the question's last position. Those rows are no points of the curve.
At least two resamples at every point. Rows may come in any order."""
"""The rules of the input table, for ``--help``."""


def run_traces(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    *,
    rise: float = 0.5,
    max_drop: float | None = None,
    alpha: float = 0.05,
    correction: Within = "bonferroni",
    across: Across = "none",
    statistic: Statistic = "difference",
    overwrite: bool = False,
    json: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Read a table of recorded answers, find the windows, print them, and write the output folder.

    The folder holds ``windows.csv`` (a row per question), ``steps.csv`` (a row per step), ``curves.nc``
    (see :meth:`sloc.windows.resampled.TraceWindows.to_xarray`), ``traces.png`` (where matplotlib is
    installed) and ``run.json`` (enough to repeat the run).  It appears when all is written; after
    bad input, a failure or Ctrl-C nothing is there.

    Args:
        path: the table (:data:`COLUMN_HELP`).
        out: the folder to write; nothing is written when None.
        rise: the threshold of a window.
        max_drop: no window by the rule where the curve drops by more than this.
        alpha: error level of bands and tests.
        correction: over a question's steps, ``"bonferroni"`` or ``"holm"``.
        across: over questions, ``"none"``, ``"holm"`` or ``"bh"``.
        statistic: ``"difference"`` or ``"score"``.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of the table.
        console: where to print; standard output when None.

    Returns:
        ``{"command", "arguments", "results", "output"}`` in JSON's types: ``results`` holds the counts,
        the notes and a row per question.

    Raises:
        InvalidInput: bad input or a folder that cannot be written.

    """
    if out is not None:
        check_run_folder(out, overwrite)
    settings: dict[str, Any] = {
        "rise": rise,
        "max_drop": max_drop,
        "alpha": alpha,
        "correction": correction,
        "across": across,
        "statistic": statistic,
    }
    table = read_trace_table(path)
    result = trace_windows(table, **settings)
    record = _record(path, settings, table, result)
    if out is not None:
        with run_folder(out, overwrite) as folder:
            _write(folder, result, record)
        record["output"] = str(Path(out))
    _show(result, record, json, console)
    return record


def _record(
    path: str | os.PathLike[str], settings: dict[str, Any], table: TraceTable, result: TraceWindows
) -> dict[str, Any]:
    frame = result.to_dataframe().astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    file = Path(path).resolve()
    arguments = {"table": str(file), **settings}
    results = {
        **result.summary(),
        "rows": table.rows,
        "axis": table.axis,
        "table_sha256": _digest(file),
        "notes": list(table.notes),
        "windows": rows,
    }
    return jsonable({"command": "traces", "arguments": arguments, "results": results, "output": None})


def _digest(file: Path) -> str:
    """SHA-256 of the input, so that a repeated run can tell whether the table is still the same."""
    import hashlib

    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(folder: Path, result: TraceWindows, record: dict[str, Any]) -> None:
    result.to_dataframe().to_csv(folder / "windows.csv", index=False)
    result.steps_dataframe().to_csv(folder / "steps.csv", index=False)
    write_netcdf(result.to_xarray(), folder / "curves.nc")
    if importlib.util.find_spec("matplotlib") is None:
        record["results"]["notes"].append("no picture: matplotlib is not installed (pip install 'sloc[viz]')")
    else:
        plot_traces(result, folder / "traces.png")
    summary = {k: v for k, v in record["results"].items() if k != "windows"}
    write_run_json(folder, record["command"], record["arguments"], summary)


def _show(result: TraceWindows, record: dict[str, Any], json: bool, console: Console | None) -> None:
    from rich.console import Console

    console = Console() if console is None else console
    if json:
        console.out(json_module.dumps(record, ensure_ascii=False, allow_nan=False), highlight=False)
        return
    console.print(traces_summary_table(result))
    for note in record["results"]["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)
    if record["output"] is not None:
        console.print(f"written to {record['output']}", markup=False, highlight=False)
