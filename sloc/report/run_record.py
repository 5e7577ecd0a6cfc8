"""Arguments of a former run, read from its record (``--from RUN``, ``sloc replay``) and held against what they are."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_path, each_key_once
from sloc.report.output import RUN_FILE, versions

T = TypeVar("T")
_DECIDING = ("sloc", "jax", "jaxlib", "numpy")
"""Libraries whose versions may change numbers."""


def repeated(kind: type[T], path: str | os.PathLike[str], command: str, *files: str, words: Sequence[str] = ()) -> T:
    """Return the request of a former run, so that it can be run once more exactly.

    Args:
        kind: the request, a dataclass; its annotations say which types its arguments have.
        path: the run's ``run.json``, or the folder that holds it.
        command: what was run, such as ``window`` or ``lm demo``.
        *files: arguments that name a file (or are None), whose ``digests`` lie among the results.
        words: values of theirs that name none.

    Raises:
        InvalidInput: no such record, or not of such a run; an argument that a run does not have, that is missing, or
            of another type; a file that is gone, or has other contents now.

    """
    record = _record(path, command)
    _tell_versions(record.get("versions"))
    arguments, results = record["arguments"], _results(record)
    request = request_from(kind, arguments, f"--from: expected the {RUN_FILE} of a {command} run")
    for name in files:
        file, known = getattr(request, name), results.get(f"{name}_sha256")
        if file is not None and file not in words:
            there = "\0" not in file and os.path.exists(file)
            require(there, f"--from, {name}", file, "a file that is still there")
            changed = "the file as it was in the first run; its contents have changed since"
            require(known is None or known == digest(file), f"--from, {name}", file, changed)
    return request


def read_run_json(path: str | os.PathLike[str], command: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments and the results that a former run recorded.

    Args:
        path: its ``run.json``, or the folder that holds it.
        command: what was run.

    Raises:
        InvalidInput: no such file, or not the record of such a run.

    """
    record = _record(path, command)
    return record["arguments"], _results(record)


def _results(record: Mapping[str, Any]) -> dict[str, Any]:
    results = record.get("results")
    return results if isinstance(results, dict) else {}


def _tell_versions(recorded: Any) -> None:
    """Say on standard error which libraries are others now: the same arguments may give other numbers."""
    if not isinstance(recorded, dict):
        return
    here = versions()
    other = [name for name in _DECIDING if isinstance(recorded.get(name), str) and recorded[name] != here[name]]
    if other:
        then, now = (", ".join(f"{name} {of[name]}" for name in other) for of in (recorded, here))
        from rich.console import Console

        Console(stderr=True).print(
            f"the run was made with {then}; here is {now}: numbers may differ", highlight=False, markup=False
        )


def _record(path: str | os.PathLike[str], command: str) -> dict[str, Any]:
    try:
        file = Path(checked_path(path, "--from")).expanduser()
        file = file / RUN_FILE if file.is_dir() else file
        record = json.loads(file.read_text("utf-8-sig"), object_pairs_hook=each_key_once)
    except InvalidInput:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"--from = {str(path)!r}: expected the {RUN_FILE} of a run ({error})") from error
    ok = isinstance(record, dict) and record.get("command") == command and isinstance(record.get("arguments"), dict)
    require(ok, "--from", str(path), f"the {RUN_FILE} of a {command} run")
    return record


def request_from(kind: type[T], arguments: Mapping[str, Any], wanted: str) -> T:
    """Build a request from its arguments in JSON's types.

    Args:
        kind: a dataclass; its annotations say which types its arguments have.
        arguments: by name; those with a default may be missing.
        wanted: how a refusal begins.

    Raises:
        InvalidInput: an argument that ``kind`` does not have, that is missing, or that is of another type.

    """
    try:
        return _built(kind, arguments)
    except _Unfit as error:
        raise InvalidInput(f"{wanted}; {error}") from error


def digests(request: Any, *files: str) -> dict[str, str]:
    """Return ``{"NAME_sha256": digest}`` of a request's arguments that name a file and are not None."""
    found = {name: getattr(request, name) for name in files}
    return {f"{name}_sha256": digest(file) for name, file in found.items() if file is not None}


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files, so that a repeated run can tell a change."""
    file = Path(path)
    if not file.is_dir():
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    found = hashlib.sha256()
    for one in sorted(p for p in file.iterdir() if p.is_file()):
        found.update(f"{one.name}\0{digest(one)}\0".encode())
    return found.hexdigest()


class _Unfit(ValueError):
    """An argument that cannot be read."""


def _built(kind: Any, arguments: Mapping[str, Any]) -> Any:
    fields, hints = dataclasses.fields(kind), get_type_hints(kind)
    unknown = sorted(set(arguments) - {f.name for f in fields})
    if unknown:
        raise _Unfit(f"{unknown[0]} is no argument of one")
    # A group of settings is recorded as a whole: without it the defaults would be taken for what was asked.
    needed = {f.name for f in fields if f.default is f.default_factory or dataclasses.is_dataclass(hints[f.name])}
    missing = sorted(needed - set(arguments))
    if missing:
        raise _Unfit(f"{missing[0]} is missing")
    return kind(**{name: _read(name, value, hints[name]) for name, value in arguments.items()})


def _read(name: str, value: Any, hint: Any) -> Any:
    """Return an argument in the type that its annotation names."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        for one in inner:
            try:
                return _read(name, value, one)
            except _Unfit:
                pass
    elif kind is Literal:
        if value in inner:
            return value
    elif dataclasses.is_dataclass(kind):
        if isinstance(value, Mapping):
            return _built(kind, value)
    elif kind in (tuple, Sequence):
        if isinstance(value, list):
            return tuple(_read(name, v, inner[0]) for v in value)
    elif kind is Mapping:
        if isinstance(value, dict):
            return {k: _read(name, v, inner[1]) for k, v in value.items()}
    elif kind in (int, float):
        # A truth value is a whole number to Python, and a whole number is a real one to people.
        if isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool):
            return kind(value)
    elif kind is Any or isinstance(value, kind):
        return value
    raise _Unfit(f"{name} cannot be read")
