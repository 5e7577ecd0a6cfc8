"""Everything behind ``sloc traces``: read, check, compute, print, and write a folder that is whole or absent."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import HELD, is_held
from sloc.report.command_run import CommandRun
from sloc.report.output import write_netcdf
from sloc.report.recorded_analysis import ALPHA, LEVEL, SIZE, Analysis, analyse, check_settings
from sloc.report.recorded_command import HOLDS, LOST, PICTURE, is_recorded, print_found
from sloc.report.run_record import digest
from sloc.report.traces_picture import plot_traces, traces_summary_table
from sloc.results import TraceWindows
from sloc.windows.binomial_rise import RiseStatistic
from sloc.windows.multiplicity import Across, Within
from sloc.windows.recorded import Recording
from sloc.windows.recorded_import import recordings_from_table
from sloc.windows.resampled import trace_windows
from sloc.windows.traces_file import read_frame
from sloc.windows.traces_table import TraceTable, trace_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

COLUMN_HELP = """\
A long table, one row per resample: CSV, JSONL (either also .gz) or Parquet.

question: which question.
fraction or position: what was kept before resampling, a fraction in [0, 1] or a number of tokens.
answer: what the resample arrived at; answers are compared as text.
weight (optional): a fixed, non-negative weight of the draw.
draw (optional): the resample's number; a repeated row then counts once.
reference (optional): the full generation's answer, the same in all rows of a question (or empty).
branch, branch_weight (optional, both): the token that was written at the point, and its probability; then draws are
counted by branch, as those of a store are. taken (optional): whether it is the token that the generation took.

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
    statistic: RiseStatistic = "difference",
    size: float = SIZE,
    move_alpha: float = ALPHA,
    gap: float | None = None,
    level: float = LEVEL,
    adjacent: bool | None = None,
    overwrite: bool = False,
    json: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Read a table of recorded answers, find windows and moves, print them, and write the output folder.

    Of the full generation's answer: ``windows.csv`` (a row per question), ``steps.csv`` (a row per step) and
    ``curves.nc`` (see :meth:`sloc.results.TraceWindows.to_xarray`).  Of all answers, as of recorded branches:
    ``moves.csv``, ``exact.csv``, ``rule.csv``, ``questions.csv``, ``curves.csv``, ``traces.jsonl.gz`` and
    ``report.html`` (see ``sloc.report.recorded_command.run_recorded``), absent with a note where draws have
    weights of their own.  Besides ``traces.png`` (it and the page where matplotlib is installed) and ``run.json``, from
    which the run can be repeated.  The folder appears when all is written; after bad input, a failure or Ctrl-C
    nothing is there.

    Args:
        path: the table (``COLUMN_HELP``).
        out: the folder to write; nothing is written when None.
        rise: the threshold of a window.
        max_drop: no window by the rule where the curve drops by more than this.
        alpha: error level of bands and tests.
        correction: over a question's steps, ``"bonferroni"`` or ``"holm"``.
        across: over questions, ``"none"``, ``"holm"`` or ``"bh"``.
        statistic: ``"difference"`` or ``"score"``.
        size: a move exceeds this in total variation of all answers.
        move_alpha: error level of the moves: Bayesian false-discovery rate, and that of the exact tests.
        gap: how far apart the two positions of a move are; when None 4 tokens, or one step of fractions
            and of positions that are no tokens.
        level: coverage of the bands of all answers' curves.
        adjacent: whether positions that differ by one are consecutive tokens, whose log-probabilities then bound what
            a step can move; when None, whether all positions differ by one.  False where they number sentences.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of the table.
        console: where to print; standard output when None.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types: ``results`` holds the counts,
        the notes, a row per question and, as ``all_answers``, what was found of all answers.

    Raises:
        InvalidInput: bad input or a folder that cannot be written.

    """
    run = CommandRun("traces", out, overwrite=overwrite, json=json, console=console)
    settings: dict[str, Any] = {
        "rise": rise,
        "max_drop": max_drop,
        "alpha": alpha,
        "correction": correction,
        "across": across,
        "statistic": statistic,
    }
    # What can be refused is refused before anything is computed.
    check_settings(size, move_alpha, gap, level, adjacent)
    if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
        require(False, "path", str(path), f"a table, or a folder of recorded branches; {_inside(path)}")
    frame = read_frame(path)
    table = trace_table(frame)
    _check_held(table)
    result = trace_windows(table, **settings)
    recordings, notes = recordings_of_table(frame, table)
    own: dict[str, Any] = {"size": size, "gap": gap, "level": level, "adjacent": adjacent}
    found = analyse(recordings, alpha=move_alpha, **own) if recordings else None
    if found is not None:
        own["gap"] = found.gap
    record = run.record(
        {"table": str(Path(path).resolve()), **settings, **own, "move_alpha": move_alpha},
        _results(path, table, result, found),
        (*table.notes, *notes),
    )
    run.write(
        record,
        lambda folder: _write(folder, result, found),
        lambda folder: _draw(folder, result, found, record),
        lost=LOST,
        kept=_kept,
    )
    return run.say(record, lambda console: _show(result, found, console), HOLDS, PICTURE)


def _check_held(table: TraceTable) -> None:
    """Refuse texts that stop the writing of curves, when all is computed; a store of recordings holds any."""
    for each in table.questions:
        require(is_held(each.question), "question", each.question, HELD)
        for answer in each.answers:  # that of the full generation is the first
            require(is_held(answer), f"question {each.question!r}, answer", answer, HELD)


def _inside(path: str | os.PathLike[str]) -> str:
    """What a folder without recordings holds."""
    folders = sorted(f"{p.name}/" for p in Path(path).iterdir() if p.is_dir() and is_recorded(p))
    there = f"; its subfolder{'s' * (len(folders) > 1)} {', '.join(folders[:5])} do" if folders else ""
    return f"no file in it ends in .json or .json.gz{there}"


def recordings_of_table(frame: pd.DataFrame, table: TraceTable) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Take a table that was checked as recordings, so that curves and moves of all answers can be asked of it.

    Args:
        frame: as it was read.
        table: the same, checked (:func:`sloc.windows.trace_table`).

    Returns:
        The recordings, without the rows that only state the full generation's answer, and notes; none of the first
        and the reason where draws have weights of their own.

    """
    import pandas as pd

    plain: Any = frame
    if "weight" in frame and "branch" not in frame and all(q.equal.all() for q in table.questions):
        # Weights that are equal at every position say nothing, and a draw of weight 0 was none.
        weights: Any = pd.to_numeric(frame["weight"], errors="coerce")
        plain = plain[weights > 0].drop(columns="weight")
    numbers: Any = pd.to_numeric(plain["draw"], errors="coerce") if "draw" in plain else None
    if numbers is not None and bool(numbers.isna().any()):
        # Names of draws give no order but that of the rows.
        plain = plain.assign(draw=pd.factorize(plain["draw"].astype(str))[0])
    own, recordings = {q.question: q for q in table.questions}, []
    try:
        read, notes = recordings_from_table(plain)
        for recording in read:
            question = own[recording.question]
            kept = set(question.kept.tolist())
            branches = tuple(b for b in recording.branches if b.position in kept)
            recordings.append(replace(recording, branches=branches, reference=question.reference, full=question.full))
    except InvalidInput as error:
        return (), (f"no curves and moves of all answers: {error}",)
    return tuple(recordings), tuple(n for n in notes if n not in table.notes)


def _results(
    path: str | os.PathLike[str], table: TraceTable, result: TraceWindows, found: Analysis | None
) -> dict[str, Any]:
    frame = result.to_dataframe().astype(object)
    return {
        **result.summary(),
        "rows": table.rows,
        "axis": table.axis,
        "table_sha256": digest(path),
        "windows": frame.where(frame.notna(), None).to_dict("records"),
        "all_answers": None if found is None else found.summary(),
    }


def _kept(results: dict[str, Any]) -> dict[str, Any]:
    """Leave out of ``run.json`` what stands in the tables: a row for each window and for each move."""
    moves = results["all_answers"]
    return {k: v for k, v in results.items() if k != "windows"} | {
        "all_answers": None if moves is None else {k: v for k, v in moves.items() if k != "found"}
    }


def _write(folder: Path, result: TraceWindows, found: Analysis | None) -> None:
    result.to_dataframe().to_csv(folder / "windows.csv", index=False)
    result.steps_dataframe().to_csv(folder / "steps.csv", index=False)
    write_netcdf(result.to_xarray(), folder / "curves.nc")
    if found is not None:
        found.write(folder)


def _draw(folder: Path, result: TraceWindows, found: Analysis | None, record: dict[str, Any]) -> None:
    plot_traces(result, folder / PICTURE)
    if found is not None:
        found.draw(folder, record["results"]["notes"])


def _show(result: TraceWindows, found: Analysis | None, console: Console) -> None:
    console.print(traces_summary_table(result))
    if found is not None:
        print_found(found, console)
