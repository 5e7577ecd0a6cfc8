"""Everything behind ``sloc bench``: choose, run, print, compare, write."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import machine
from benchmarks.check_results import problems
from benchmarks.regressions import Comparison, compare, read_committed
from benchmarks.runner import checked_folder, file_name, run_suite, write_result
from benchmarks.show import comparison_table, line, result_table, terminal
from benchmarks.suites import chosen_parts, chosen_suites
from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_path
from sloc.report.command_run import print_json

FULL_ROUNDS, SMOKE_ROUNDS = 5, 2


def run_bench(
    suites: Sequence[str] = (),
    *,
    smoke: bool = False,
    rounds: int | None = None,
    only: Sequence[str] = (),
    json: bool = False,
    out: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | None = None,
    explain: bool = False,
    console: Console | None = None,
) -> int:
    """Run suites, print a table of each, and write a file of each where a folder is named.

    Args:
        suites: names (:mod:`benchmarks.suites`); all where none is named.
        smoke: tiny sizes, to show that everything runs.
        rounds: interleaved rounds; 5 where None, 2 in a smoke run.
        only: parts of the suites, or kernels to explain; all where none is named.
        json: print one JSON object instead of tables.
        out: folder for ``SUITE-DEVICE.json`` files (with ``-smoke`` where they are of a smoke run).
        against: a committed result, or the folder that holds those of this device, to compare ratios with.
        explain: show what the compiler says of each kernel, instead of running suites.
        console: where to print; standard output when None.

    Returns:
        The exit status: 1 where a row breaks a promise or a ratio is more than twice as bad as the committed one.

    Raises:
        InvalidInput: bad arguments, or a peer that a full run needs is not installed.

    """
    require(rounds is None or rounds >= 1, "--rounds", rounds, "at least 1")
    if explain:
        given = [name for name, value in (("SUITES", suites), ("--against", against)) if value]
        require(not given, "--explain", True, f"no suites and no --against beside it, but found {', '.join(given)}")
        from benchmarks.explain import run_explain

        return run_explain(only, rounds=rounds or FULL_ROUNDS, smoke=smoke, json=json, out=out, console=console)
    names = chosen_suites(suites)
    parts = chosen_parts(names, only)
    require(not (against and smoke), "--against", against, "a full run; numbers of smoke runs mean little")
    # Read before anything is measured, and before a new result may take the place of the old one.
    committed = {
        name: read_committed(
            Path(checked_path(against, "--against")), name, machine.device_name(), file_name(name, smoke)
        )
        for name in names
        if against is not None
    }
    folder = None if out is None else checked_folder(out)
    console = terminal() if console is None else console
    number = rounds or (SMOKE_ROUNDS if smoke else FULL_ROUNDS)
    results, comparisons, failed = [], {}, False
    for name in names:
        result = _run(name, parts[name], number, smoke)
        results.append(result)
        for fault in problems(result):
            failed = True
            print(fault, file=sys.stderr)
        if name in committed:
            comparisons[name] = compare(result, committed[name])
            failed |= comparisons[name].failed
        written = None if folder is None else write_result(result, folder)
        if not json:
            _show(console, result, comparisons.get(name), written)
    if json:
        record = {
            "command": "bench",
            "results": results,
            "comparisons": {k: _record(c) for k, c in comparisons.items()},
        }
        print_json(record, console)
    return int(failed)


def _run(name: str, parts: Sequence[str], rounds: int, smoke: bool) -> dict[str, Any]:
    """Run a suite; rows pass by on standard error, as a line that changes on a terminal and as lines elsewhere."""
    progress = Console(stderr=True)
    status = progress.status(f"{name} ...")
    try:
        with status:

            def said(row: Any) -> None:
                status.update(f"{name}: {line(row)}")
                if not progress.is_terminal:
                    print(line(row), file=sys.stderr, flush=True)

            return run_suite(name, parts, rounds, smoke, said)
    except machine.MissingPeer as error:
        raise InvalidInput(str(error)) from error


def _show(console: Console, result: dict[str, Any], comparison: Comparison | None, written: Path | None) -> None:
    console.print(result_table(result))
    if comparison is not None:
        console.print(comparison_table(result["suite"], comparison))
        for name in comparison.missing:
            console.print(f"not in the committed result: {name}", markup=False, highlight=False)
        if comparison.failed and result["load_before"] > 1:
            console.print(
                f"measured beside other work (load {result['load_before']:.1f}): repeat it on a quiet machine"
            )
    if written is not None:
        console.print(f"written to {written}", markup=False, highlight=False)


def _record(comparison: Comparison) -> dict[str, Any]:
    rows = [{"name": r.name, "now": r.now, "then": r.then, "factor": r.factor} for r in comparison.rows]
    return {"failed": comparison.failed, "rows": rows, "missing": list(comparison.missing)}
