"""Behind ``sloc traces`` for recorded branches: curves, moves, a page, and a folder that is whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.contracts import require
from sloc.contracts.arguments import checked_path
from sloc.report.command_run import CommandRun
from sloc.report.recorded_analysis import ALPHA, LEVEL, SIZE, Analysis, analyse, check_settings
from sloc.report.run_record import digest
from sloc.results.outcome import Moves
from sloc.windows.recorded import Recording
from sloc.windows.recorded_file import is_store, read_store
from sloc.windows.recorded_import import names_branches, read_forking_fast, recordings_from_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PICTURE = "traces.png"
"""Name of the picture in the output folder."""
HOLDS, LOST = "tables, curves and a page", "picture and no page"
"""What an output folder holds, and what it lacks without matplotlib."""


def is_recorded(path: str | os.PathLike[str]) -> bool:
    """Whether a path holds recorded branches: sloc's store, a forking-fast JSON file, a folder, a table of branches."""
    file = Path(checked_path(path, "path"))
    if file.is_dir():
        return any(True for p in file.iterdir() if p.name.endswith((".json", ".json.gz")))
    return file.name.endswith((".json", ".json.gz")) or is_store(file) or names_branches(file)


def read_recordings(path: str | os.PathLike[str]) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Read what ``is_recorded`` recognises.

    Raises:
        InvalidInput: a file that is cut or breaks a rule, or two files of one question.

    """
    file = Path(path)
    if file.is_file() and not file.name.endswith((".json", ".json.gz")):
        return read_store(file) if is_store(file) else recordings_from_table(file)
    files = sorted(p for p in file.iterdir() if p.name.endswith((".json", ".json.gz"))) if file.is_dir() else [file]
    read = [read_forking_fast(f) for f in files]
    names = [r.question for r, _ in read]
    require(len(set(names)) == len(names), "path", str(path), f"one file a question; found {names}")
    return tuple(r for r, _ in read), tuple(note for _, notes in read for note in notes)


def run_recorded(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    *,
    size: float = SIZE,
    alpha: float = ALPHA,
    gap: float | None = None,
    level: float = LEVEL,
    adjacent: bool | None = None,
    overwrite: bool = False,
    json: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Read recorded branches, estimate curves, find moves, print them, and write the output folder.

    The folder holds ``moves.csv`` (candidates of the posterior, and whether the other two say the same there),
    ``exact.csv`` (moves by exact tests of plain draws, each place under Holm and under Benjamini-Hochberg across
    questions), ``rule.csv`` (a row per question: the published rule and its computed error rates), ``questions.csv`` (a
    row per question: statuses, weights of the priors, kept mass, pairs that log-probabilities settle), ``curves.csv``
    (a row per question, position and answer), ``traces.jsonl.gz`` (the recordings, see
    ``sloc.windows.recorded_file``), ``traces.png`` and ``report.html`` (both where matplotlib is installed) and
    ``run.json``, from which the run can be repeated (``sloc.report.traces_repeat.repeat_traces``).

    Args:
        path: what ``is_recorded`` recognises.
        out: the folder to write; nothing is written when None.
        size: a move exceeds this in total variation.
        alpha: Bayesian false-discovery rate of the moves; of the exact tests the false-discovery rate
            (Benjamini-Hochberg) or the chance of any false move (Holm).
        gap: how far apart the two positions of a move are, one step where positions are further apart; when None 4
            tokens, or one step of fractions and of positions that are no tokens.
        level: coverage of the bands.
        adjacent: whether positions that differ by one are consecutive tokens, whose log-probabilities then bound what
            a step can move; when None, whether all positions differ by one.  False where they number sentences.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of the table.
        console: where to print; standard output when None.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input or a folder that cannot be written.

    """
    run = CommandRun("traces", out, overwrite=overwrite, json=json, console=console)
    check_settings(size, alpha, gap, level, adjacent)
    recordings, notes = read_recordings(path)
    found = analyse(recordings, size=size, alpha=alpha, gap=gap, level=level, adjacent=adjacent)
    settings = {"size": size, "alpha": alpha, "gap": found.gap, "level": level, "adjacent": adjacent}
    record = run.record(
        {"table": str(Path(path).resolve()), **settings}, {**found.summary(), "table_sha256": digest(path)}, notes
    )
    run.write(
        record,
        found.write,
        lambda folder: found.draw(folder, notes, PICTURE),
        lost=LOST,
        kept=lambda results: {k: v for k, v in results.items() if k != "found"},
    )
    return run.say(record, lambda console: print_found(found, console), HOLDS, PICTURE)


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


def print_found(found: Analysis, console: Console) -> None:
    """Print the moves, and what needs no prior."""
    console.print(moves_table(found.moves))
    for line in found.lines():
        console.print(line, markup=False, highlight=False)
