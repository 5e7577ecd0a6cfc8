"""Output folders that appear whole or not at all.

A run writes into a hidden sibling of the folder it was asked for; the sibling is renamed into
place when everything is written and removed when anything fails, Ctrl-C included.  What a killed
run could not remove is removed by the next one that writes the same folder.  A folder that
already holds a run is refused unless it is to be overwritten, and files that a run did not write
are never deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import platform
import re
import secrets
import shutil
from collections.abc import Generator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_path
from sloc.contracts.writing import checked_target, write_whole

RUN_FILE = "run.json"
"""The file that marks a folder as holding a run and says how to repeat it."""
PICTURE_SUFFIXES = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""Of the files that pictures are written to."""


def check_run_folder(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Refuse an output folder that a run could not be written to; what was there before is there after.

    Call it before a long computation: it makes the folder's temporary sibling (and missing parents) and removes
    them again, because only trying tells whether a place can be written to.

    Args:
        path: the folder to write.
        overwrite: whether a run that is already there may be replaced.

    Returns:
        The absolute path, symbolic links resolved.

    Raises:
        InvalidInput: the path is a file, the current directory or a folder around it, holds a run
            (and ``overwrite`` is false), holds other files, is a mount point, or cannot be created.

    """
    _clear_leftovers(_absolute(path))
    target = _checked_target(path, overwrite)
    temporary, made = _make_temporary(target, str(path))
    for folder in (temporary, *made):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return target


@contextlib.contextmanager
def run_folder(path: str | os.PathLike[str], overwrite: bool = False) -> Generator[Path, None, None]:
    """Yield a temporary folder that becomes ``path`` if the block ends well.

    The temporary folder is a hidden sibling of ``path``.  On success it is renamed to ``path`` in
    one step; on any exception (Ctrl-C included) it is removed, with the parent folders that were
    made for it, and whatever stood at ``path`` stands there untouched.  On success the names of
    the files written are added to ``run.json`` as ``"files"``, so that a later run which replaces
    this one knows its files from those that a person put beside them: the latter are kept.

    Args:
        path: the folder to write.
        overwrite: whether a run that is already there may be replaced.

    Yields:
        The temporary folder; write everything there, ``run.json`` included
        (see ``write_run_json``).

    Raises:
        InvalidInput: as ``check_run_folder``; or the folder was filled by another run meanwhile;
            or the block wrote no ``run.json``.
        OSError: the disk is full, or anything else that keeps a file from being written; names ``path``.

    """
    _clear_leftovers(_absolute(path))
    target = _checked_target(path, overwrite)
    temporary, made = _make_temporary(target, str(path))
    try:
        try:
            yield temporary
        except InvalidInput as error:
            # A writer for which a path is an argument; here the path is good, and the disk is not.
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise
        _list_files(temporary, str(path))
        _install(temporary, target, str(path), overwrite)
        made = []
    except OSError as error:
        # The folder that was asked for, not the hidden one, and only what the operating system said.
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        raise OSError(error.errno, reason, str(path)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def write_run_json(
    folder: Path, command: str, arguments: Mapping[str, Any], results: Mapping[str, Any], seconds: float
) -> Path:
    """Write ``run.json``: the command, every argument (defaults included), versions, seconds and results.

    Args:
        folder: the folder yielded by ``run_folder``.
        command: the verb, for example ``"traces"``.
        arguments: every argument by name, enough to repeat the run exactly.
        results: a summary of what was found.
        seconds: how long it took.

    Returns:
        The path written.

    """
    folder = Path(checked_path(folder, "folder"))
    require(isinstance(command, str), "command", command, "the verb, a text")
    record = {
        "command": command,
        "arguments": arguments,
        "versions": versions(),
        "seconds": seconds,
        "results": results,
    }
    file = folder / RUN_FILE
    file.write_text(json.dumps(jsonable(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return file


def say_written(output: str | os.PathLike[str] | None, kept: str, console: Any, picture: str = "") -> None:
    """Print where a run lies; or, where nothing was written, what an output folder would have kept.

    Args:
        output: the folder, or None.
        kept: what it holds, in words.
        console: where to print.
        picture: a file in it that people look at first, named too where it is there.

    """
    if output is None:
        console.print(f"nothing was written; --out FOLDER keeps {kept}", style="dim")
        return
    plain = {"markup": False, "highlight": False, "soft_wrap": True}
    console.print(f"written to {output}", **plain)
    if picture and (Path(output) / picture).exists():
        console.print(f"picture: {Path(output) / picture}", **plain)


def write_netcdf(dataset: Any, file: Path) -> None:
    """Write an xarray dataset as netCDF.

    HDF5 writes to memory: a file of its own that a full disk cuts off cannot be closed, and takes Python down with it
    when it is collected.

    Args:
        dataset: an :class:`xarray.Dataset`.
        file: the file to write.

    Raises:
        InvalidInput: no place for a file.
        OSError: the disk is full.

    """
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    content = io.BytesIO()
    with h5netcdf.File(content, "w") as store:
        dataset.dump_to_store(H5NetCDFStore(store))
    write_whole(file, content.getbuffer())


def checked_picture(path: str | os.PathLike[str]) -> Path:
    """Return a path to which a picture can be written; call it before what is to be drawn.

    Raises:
        InvalidInput: no place for a file, or a name that does not end in one of ``PICTURE_SUFFIXES``.

    """
    file = checked_target(path)
    known = file.suffix.lower() in PICTURE_SUFFIXES
    require(known, "path", str(file), f"a name that ends in one of {', '.join(PICTURE_SUFFIXES)}")
    return file


def write_picture(figure: Any, path: str | os.PathLike[str], dpi: int) -> None:
    """Write a matplotlib figure, whole or not at all, in the format that the ending of its name says.

    Args:
        figure: the figure.
        path: the file to write.
        dpi: dots per inch.

    Raises:
        InvalidInput: as ``checked_picture``.
        OSError: the disk is full.

    """
    file, content = checked_picture(path), io.BytesIO()
    figure.savefig(content, dpi=dpi, format=file.suffix[1:].lower())
    write_whole(file, content.getbuffer())


def versions() -> dict[str, str]:
    """Return the versions that decide a run's numbers: Python, sloc, jax, numpy, scipy, and the platform."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("sloc", "jax", "jaxlib", "numpy", "scipy", "pandas", "xarray"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def jsonable(value: Any) -> Any:
    """Return ``value`` in JSON's own types.

    Arrays become lists, NumPy scalars numbers, paths strings, and numbers that are not finite
    become None, because JSON has no word for them.
    """
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _absolute(path: str | os.PathLike[str]) -> Path:
    require(isinstance(path, (str, os.PathLike)), "output folder", path, "the name of a folder")
    text = os.fspath(path)
    require(
        isinstance(text, str) and bool(text.strip()) and "\0" not in text, "output folder", text, "the name of a folder"
    )
    try:
        target = Path(text).expanduser().resolve()
        target.exists()  # names that are too long, folders that may not be looked into
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"output folder = {text!r}: expected a path that can be followed ({reason})") from error
    return target


def _entries(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise InvalidInput(
            f"output folder = {str(folder)!r}: expected a folder that can be read ({error.strerror})"
        ) from error


def _checked_target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Refuse what can be refused without trying to write."""
    target = _absolute(path)
    shown = str(path)
    require(not target.exists() or target.is_dir(), "output folder", shown, "a folder; this is a file")
    cwd = Path.cwd().resolve()
    require(
        target != cwd and target not in cwd.parents,
        "output folder",
        shown,
        "a folder of its own, not the current directory or a folder around it",
    )
    if target.exists():
        entries = _entries(target)
        holds_run = RUN_FILE in entries
        require(
            overwrite or not holds_run,
            "output folder",
            shown,
            "a folder without a run; this one already holds one (pass --overwrite, overwrite=True, to replace it)",
        )
        require(
            holds_run or not entries,
            "output folder",
            shown,
            f"a new or empty folder, or one that holds a run; this one holds other files ({len(entries)} of them)",
        )
        require(
            not os.path.ismount(target),
            "output folder",
            shown,
            "a folder that can be put in place as a whole; this one is a mount point, so name a new folder inside it",
        )
    return target


def _here() -> str:
    """Return a mark of the machine (or container) within which a number names one process."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text("ascii", "replace"))
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:6]


def _hidden(target: Path, kind: str) -> Path:
    """Return a name beside ``target`` that says which process made it."""
    return target.parent / f".{target.name}.{kind}-{_here()}-{os.getpid()}-{secrets.token_hex(2)}"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another person's
        return True
    return True


def _clear_leftovers(target: Path) -> None:
    """Remove what runs that were killed left beside ``target``; put a run back that one had moved away to replace.

    Only what processes of this machine made that are gone: another run may be writing the same folder now.
    """
    if os.name == "nt":  # there a signal 0 ends the process
        return
    left = re.compile(rf"\.{re.escape(target.name)}\.(partial|replaced)-{_here()}-(\d+)-[0-9a-f]+")
    try:
        found = [(folder, m) for folder in target.parent.iterdir() if (m := left.fullmatch(folder.name))]
    except OSError:
        return
    for folder, match in found:
        if _alive(int(match[2])):
            continue
        if match[1] == "replaced" and not target.exists():
            with contextlib.suppress(OSError):
                folder.rename(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _make_temporary(target: Path, shown: str) -> tuple[Path, list[Path]]:
    """Make the hidden sibling of ``target`` and missing parents; return it, and the parents made, innermost first."""
    temporary = _hidden(target, "partial")
    made: list[Path] = []
    folder = target.parent
    try:
        for folder in reversed([parent for parent in target.parents if not parent.exists()]):
            folder.mkdir(exist_ok=True)
            made.insert(0, folder)
        folder = temporary
        temporary.mkdir()
    except BaseException as error:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if not isinstance(error, OSError):
            raise
        raise InvalidInput(
            f"output folder = {shown!r}: expected a place that can be written to; no folder can be made in "
            f"{folder.parent} ({error.strerror})"
        ) from error
    return temporary, made


def _list_files(folder: Path, shown: str) -> None:
    file = folder / RUN_FILE
    require(file.is_file(), "output folder", shown, f"a {RUN_FILE} among the files written by the run")
    record = json.loads(file.read_text("utf-8"))
    if isinstance(record, dict):
        record["files"] = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        file.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _install(temporary: Path, target: Path, shown: str, overwrite: bool) -> None:
    """Rename ``temporary`` to ``target``; the folder that stood there comes back if that fails."""
    _checked_target(target, overwrite)
    if not target.exists() or not _entries(target):
        _rename_onto_nothing(temporary, target, shown)
        return
    for name in _foreign(target):
        if not (temporary / name).exists():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(target / name, temporary / name)
    old = _hidden(target, "replaced")
    try:
        target.rename(old)
        _rename_onto_nothing(temporary, target, shown)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def _rename_onto_nothing(temporary: Path, target: Path, shown: str) -> None:
    try:
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        raise InvalidInput(
            f"output folder = {shown!r}: expected a folder that nothing else writes to meanwhile ({error.strerror})"
        ) from error


def _foreign(folder: Path) -> list[str]:
    """Files of a run folder that its ``run.json`` does not list: a person put them there."""
    try:
        listed = json.loads((folder / RUN_FILE).read_text("utf-8")).get("files", [])
    except (OSError, ValueError, AttributeError):
        listed = []
    own = {*listed, RUN_FILE}
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in names if name not in own)
