"""Checkpoints of a command: a hidden folder beside its output folder, gone when the output is there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_path
from sloc.contracts.writing import write_whole
from sloc.engine import NotANumber, is_leader
from sloc.report.output import RUN_FILE, jsonable, versions

REQUEST, FAILURE, STAGES = "request.json", "failure.json", "stages"


class Request(Protocol):
    """What a command was asked for."""

    def to_arguments(self) -> Mapping[str, Any]:
        """Return every argument by name."""
        ...


def checkpoint_folder(out: str | os.PathLike[str]) -> Path:
    """Return where the checkpoints of a run that writes ``out`` lie."""
    target = Path(out).expanduser().absolute()
    return target.parent / f".{target.name}.checkpoint"


@contextlib.contextmanager
def checkpoints(
    out: str | os.PathLike[str] | None, request: Request, resume: bool, command: str = "window"
) -> Generator[Path | None, None, None]:
    """Yield the folder for a plan's checkpoints, or None without ``resume``; remove it if the block ends well.

    Where a kernel returns NaN, the block is noted for ``sloc replay``.

    Args:
        out: the run's output folder.
        request: what the command was asked for.
        resume: whether checkpoints are kept.
        command: the verb.

    Raises:
        InvalidInput: ``resume`` without an output folder, or a place that cannot be written to.

    """
    if not resume:
        yield None
        return
    require(out is not None, "resume", resume, "an output folder (--out) beside it")
    assert out is not None
    folder = checkpoint_folder(out)
    if is_leader():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _check_same(folder, request, command)
            _write(folder / REQUEST, {"command": command, "arguments": request.to_arguments(), "versions": versions()})
            (folder / FAILURE).unlink(missing_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"resume = True: expected a place for {folder} that can be written to ({error})"
            ) from error
    try:
        yield folder / STAGES
    except NotANumber as error:
        if is_leader() and error.block >= 0 and error.stage:
            _write(folder / FAILURE, {"stage": error.stage, "block": error.block, "message": str(error)})
        raise
    if is_leader():
        shutil.rmtree(folder, ignore_errors=True)


def _check_same(folder: Path, request: Request, command: str) -> None:
    """Refuse to go on from checkpoints of another command or request (other devices are no other request)."""
    if not (folder / REQUEST).is_file():
        return
    try:
        record = json.loads((folder / REQUEST).read_text("utf-8"))
        before, verb, kept = dict(record["arguments"]), record["command"], dict(record["versions"])
    except (ValueError, KeyError, TypeError) as error:
        reason = f"expected a {REQUEST} that can be read; remove the folder to start again"
        raise InvalidInput(f"resume = {str(folder)!r}: {reason}") from error
    start_anew = "(remove the folder to start anew)"
    require(verb == command, "resume", str(folder), f"a run of sloc {command}; this is one of sloc {verb} {start_anew}")
    now = jsonable(request.to_arguments())
    flat = [{**a, **{k: v for k, v in a.get("settings", {}).items() if k != "devices"}} for a in (before, now)]
    differ = sorted(k for k in {*flat[0], *flat[1]} - {"settings"} if flat[0].get(k) != flat[1].get(k))
    own = versions()
    differ += [f"the version of {k}" for k in ("sloc", "jax", "jaxlib") if kept.get(k, own.get(k)) != own.get(k)]
    require(
        not differ,
        "resume",
        str(folder),
        f"the run that was cut off; this one differs in {', '.join(differ)} {start_anew}",
    )


def read_failure(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any], tuple[str, int], Path]:
    """Return the verb and the arguments of a run that met NaN, ``(stage, block)``, and the folder of its stages.

    Args:
        path: the run's output folder, or its checkpoint folder.

    Raises:
        InvalidInput: nothing was noted there; of a run that ended well it says how to repeat it.

    """
    shown = checked_path(path, "FOLDER")
    folder = None
    try:
        folder = Path(shown).expanduser().absolute()
        folder = folder if (folder / REQUEST).is_file() else checkpoint_folder(folder)
        request = json.loads((folder / REQUEST).read_text("utf-8"))
        failure = json.loads((folder / FAILURE).read_text("utf-8"))
        command, arguments = str(request["command"]), dict(request["arguments"])
        where = str(failure["stage"]), int(failure["block"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        verb = _ended_well(shown)
        reason = " ".join(str(error).split())
        if isinstance(error, FileNotFoundError) and folder is not None and (folder / REQUEST).is_file():
            reason = "this one was cut off otherwise: the same command goes on from its checkpoints"
        if verb is not None:
            reason = f"this one ended well; sloc {verb} --from {path} repeats it"
        raise InvalidInput(
            f"FOLDER = {str(path)!r}: expected a run with --resume that ended with values that are not numbers "
            f"({reason})"
        ) from error
    return command, arguments, where, folder / STAGES


def _ended_well(path: str | os.PathLike[str]) -> str | None:
    """Return the verb of the run that a folder holds, or None where it holds none."""
    try:
        verb = json.loads((Path(path).expanduser() / RUN_FILE).read_text("utf-8"))["command"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None
    return verb if isinstance(verb, str) else None


def _write(file: Path, record: Any) -> None:
    text = json.dumps(jsonable(record), indent=1, ensure_ascii=False) + "\n"
    write_whole(file, text.encode(), "resume")
