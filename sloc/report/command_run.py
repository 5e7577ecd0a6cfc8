"""What every command does the same way: look at its output folder, record, write it whole, and say what was found."""

from __future__ import annotations

import importlib.util
import json as json_module
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.report.output import check_run_folder, jsonable, run_folder, say_written, write_run_json
from sloc.report.page_parts import shortened

if TYPE_CHECKING:
    from rich.console import Console

NOTES, LONGEST = 20, 400
"""Notes that the terminal shows, and characters of each; ``run.json`` has all."""


class CommandRun:
    """One run of a command, from the look at its output folder to the last line that it prints.

    The record is ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.  Of every command
    ``results`` holds ``"notes"``, a list of texts, and ``"NAME_sha256"`` of each argument that named a file;
    ``"seconds"`` is the time from the first look to the record, and ``"output"`` the folder as it was asked for, or
    None.  ``run.json`` holds all but ``"output"``, and ``"versions"``.

    Args:
        command: the verb, such as ``window`` or ``lm demo``.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object and nothing else.
        console: where results go; standard output when None.

    Raises:
        InvalidInput: a folder that cannot be written.

    """

    def __init__(
        self,
        command: str,
        out: str | os.PathLike[str] | None,
        *,
        overwrite: bool = False,
        json: bool = False,
        console: Console | None = None,
    ) -> None:
        """Look at the folder, and at the clock."""
        from rich.console import Console

        self.command: str = command
        self.out: str | os.PathLike[str] | None = out
        self.overwrite: bool = overwrite
        self.json: bool = json
        self.console: Console = Console() if console is None else console
        if out is not None:
            check_run_folder(out, overwrite)
        self._began: float = time.monotonic()

    def record(
        self, arguments: Mapping[str, Any], results: Mapping[str, Any], notes: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return the record of what was found, ``"output"`` None until it is written."""
        return jsonable(
            {
                "command": self.command,
                "arguments": arguments,
                "results": {**results, "notes": list(notes)},
                "seconds": round(time.monotonic() - self._began, 3),
                "output": None,
            }
        )

    def write(
        self,
        record: dict[str, Any],
        files: Callable[[Path], None],
        draw: Callable[[Path], None] | None = None,
        *,
        lost: str = "picture",
        kept: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        """Write the output folder, whole or not at all, and name it in the record; nothing where none was asked for.

        Args:
            record: of ``record``; a note is added where matplotlib is not installed.
            files: writes tables into a folder.
            draw: draws pictures into a folder, if there is anything to draw.
            lost: what is missing without matplotlib.
            kept: what ``run.json`` holds of the results, where other files hold the rest.

        Raises:
            InvalidInput: a folder that cannot be written.
            OSError: the disk is full, or anything else that keeps a file from being written.

        """
        if self.out is None:
            return
        with run_folder(self.out, self.overwrite) as folder:
            files(folder)
            if draw is not None and importlib.util.find_spec("matplotlib") is None:
                record["results"]["notes"].append(f"no {lost}: matplotlib is not installed (pip install 'sloc[viz]')")
            elif draw is not None:
                draw(folder)
            write_run_json(folder, self.command, record["arguments"], kept(record["results"]), record["seconds"])
        record["output"] = str(Path(self.out))

    def say(
        self, record: dict[str, Any], show: Callable[[Console], None], holds: str, picture: str = ""
    ) -> dict[str, Any]:
        """Print the record as JSON, or what was found, the notes and where it lies; return the record.

        Args:
            record: of ``record``.
            show: prints what was found.
            holds: what an output folder holds, in words.
            picture: a file in it that people look at first.

        """
        if self.json:
            print_json(record, self.console)
            return record
        show(self.console)
        print_notes(record["results"]["notes"], self.console)
        say_written(record["output"], holds, self.console, picture)
        return record


def print_json(record: Any, console: Console) -> None:
    """Print one JSON object on one line, letters as they are, or as escapes where the terminal may lack them."""
    plain = not console.encoding.lower().startswith("utf")
    console.out(json_module.dumps(jsonable(record), ensure_ascii=plain, allow_nan=False), highlight=False)


def print_notes(notes: Sequence[str], console: Console) -> None:
    """Print notes; those beyond ``NOTES`` are counted."""
    for note in notes[:NOTES]:
        console.print(f"note: {shortened(note, LONGEST)}", markup=False, highlight=False)
    if len(notes) > NOTES:
        console.print(f"... and {len(notes) - NOTES} more notes (--json has all)", markup=False, highlight=False)
