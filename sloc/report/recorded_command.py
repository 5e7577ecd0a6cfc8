"""Behind ``sloc traces`` for recorded branches: curves, moves, a page, and a folder that is whole or absent."""

from __future__ import annotations

import importlib.util
import json as json_module
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.report.move_tables import Beside, found_beside
from sloc.report.output import check_run_folder, jsonable, run_folder, write_run_json
from sloc.results.outcome import Moves, OutcomeCurve
from sloc.windows.outcome_curves import outcome_counts, outcome_curve
from sloc.windows.posterior_moves import posterior_moves
from sloc.windows.recorded import Recording
from sloc.windows.recorded_file import is_store, read_store, write_store
from sloc.windows.recorded_import import names_branches, read_forking_fast, recordings_from_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def is_recorded(path: str | os.PathLike[str]) -> bool:
    """Whether a path holds recorded branches: sloc's store, a forking-fast JSON file, a folder, a table of branches."""
    file = Path(path)
    if file.is_dir():
        return any(True for p in file.iterdir() if p.name.endswith((".json", ".json.gz")))
    return file.name.endswith((".json", ".json.gz")) or is_store(file) or names_branches(file)


def read_recordings(path: str | os.PathLike[str]) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Read what :func:`is_recorded` recognises.

    Raises:
        InvalidInput: a file that is cut or breaks a rule, or two files of one question.

    """
    file = Path(path)
    if file.is_file() and not file.name.endswith((".json", ".json.gz")):
        return read_store(file) if is_store(file) else recordings_from_table(file)
    files = sorted(p for p in file.iterdir() if p.name.endswith((".json", ".json.gz"))) if file.is_dir() else [file]
    read = [read_forking_fast(f) for f in files]
    names = [r.question for r, _ in read]
    require(len(set(names)) == len(names), "folder", str(path), f"one file a question; found {names}")
    return tuple(r for r, _ in read), tuple(note for _, notes in read for note in notes)


def run_recorded(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    *,
    size: float = 0.3,
    alpha: float = 0.1,
    gap: float = 4.0,
    level: float = 0.9,
    overwrite: bool = False,
    json: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Read recorded branches, estimate curves, find moves, print them, and write the output folder.

    The folder holds ``moves.csv`` (candidates of the posterior, and whether the other two say the same there),
    ``exact.csv`` (moves by exact tests of plain draws, each place under Holm and under Benjamini-Hochberg across
    questions), ``rule.csv`` (a row per question: the published rule and its computed error rates), ``curves.csv`` (a
    row per question, position and answer), ``traces.jsonl.gz`` (the recordings, see
    :mod:`sloc.windows.recorded_file`), ``traces.png`` and ``report.html`` (both where matplotlib is installed) and
    ``run.json``.

    Args:
        path: what :func:`is_recorded` recognises.
        out: the folder to write; nothing is written when None.
        size: a move exceeds this in total variation.
        alpha: Bayesian false-discovery rate of the moves; of the exact tests the false-discovery rate
            (Benjamini-Hochberg) or the chance of any false move (Holm).
        gap: how far apart the two positions of a move are; one step where positions are further apart, and where
            they are fractions.
        level: coverage of the bands.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of the table.
        console: where to print; standard output when None.

    Returns:
        ``{"command", "arguments", "results", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input or a folder that cannot be written.

    """
    if out is not None:
        check_run_folder(out, overwrite)
    recordings, notes = read_recordings(path)
    gap = _gap(recordings, gap)
    merged = [r.merged() for r in recordings]
    curves = [outcome_curve(r, level=level, simultaneous=True) for r in merged]
    moves = posterior_moves([outcome_counts(r) for r in merged], tau=size, alpha=alpha, gap=gap, separation=2 * gap)
    table, beside = found_beside(moves, merged, gap)
    settings = {"size": size, "alpha": alpha, "gap": gap, "level": level}
    results = {
        "questions": len(recordings),
        "draws": int(sum(r.draws.sum() for r in recordings)),
        "moves": len(moves.found),
        "questions_with_moves": sum(s == "resolved" for s in moves.statuses.values()),
        **beside.summary(),
        "notes": list(notes),
        "found": [row for row in table.to_dict("records") if row["found"]],
    }
    arguments = {"table": str(Path(path).resolve()), **settings}
    record = jsonable({"command": "traces", "arguments": arguments, "results": results, "output": None})
    if out is not None:
        with run_folder(out, overwrite) as folder:
            _write(folder, merged, recordings, curves, moves, (table, beside), notes, record)
        record["output"] = str(Path(out))
    _show(moves, record, json, beside.lines(), console)
    return record


def _gap(recordings: Sequence[Recording], gap: float) -> float:
    """``gap``, or, of fractions, which no distance of tokens fits, their smallest step: pairs are neighbours then."""
    steps = [float(d) for r in recordings if r.axis == "fraction" for d in np.diff(r.positions)]
    return min([gap, *steps])


def _write(
    folder: Path,
    merged: list[Recording],
    recordings: tuple[Recording, ...],
    curves: list[OutcomeCurve],
    moves: Moves,
    tables: tuple[Any, Beside],
    notes: tuple[str, ...],
    record: dict[str, Any],
) -> None:
    import pandas as pd

    table, beside = tables
    table.to_csv(folder / "moves.csv", index=False)
    beside.exact.to_csv(folder / "exact.csv", index=False)
    beside.rule.to_csv(folder / "rule.csv", index=False)
    pd.concat([c.to_dataframe() for c in curves]).to_csv(folder / "curves.csv", index=False)
    write_store(folder / "traces.jsonl.gz", recordings)
    if importlib.util.find_spec("matplotlib") is None:
        record["results"]["notes"].append("no page, no picture: matplotlib is not installed (pip install 'sloc[viz]')")
    else:
        from sloc.report.recorded_report import plot_recorded, write_recorded_report

        plot_recorded(curves, moves, folder / "traces.png")
        write_recorded_report(
            folder / "report.html", curves, moves, {r.question: r for r in merged}, (*beside.lines(), *notes)
        )
    summary = {k: v for k, v in record["results"].items() if k != "found"}
    write_run_json(folder, record["command"], record["arguments"], summary)


def moves_table(moves: Moves, limit: int = 20) -> Table:
    """Return a terminal table of the moves that were found, the surest first; a caption counts the rest."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{len(moves.found)} moves of more than {moves.tau:g}, {moves.control} {moves.alpha:g}")
    for name in ("question", "location", "answers that gain", "size", "interval", "probability"):
        table.add_column(name, justify="right" if name in ("size", "probability") else "left", overflow="fold")
    for m in moves.found[:limit]:
        table.add_row(
            Text(m.question),
            f"{m.location[0]:g} → {m.location[1]:g}",
            Text(", ".join(m.rising)),
            f"{m.size:.2f}",
            f"{m.size_interval[0]:.2f} to {m.size_interval[1]:.2f}",
            f"{m.probability:.3f}",
        )
    if len(moves.found) > limit:
        table.caption = f"{len(moves.found) - limit} more moves not shown"
    return table


def _show(moves: Moves, record: dict[str, Any], json: bool, lines: Sequence[str], console: Console | None) -> None:
    from rich.console import Console

    console = Console() if console is None else console
    if json:
        console.out(json_module.dumps(record, ensure_ascii=False, allow_nan=False), highlight=False)
        return
    console.print(moves_table(moves))
    for line in lines:
        console.print(line, markup=False, highlight=False)
    for note in record["results"]["notes"][:20]:
        console.print(f"note: {note}", markup=False, highlight=False)
    if record["output"] is not None:
        console.print(f"written to {record['output']}", markup=False, highlight=False)
