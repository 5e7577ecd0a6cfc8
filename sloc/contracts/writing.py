"""The one way in which a file that stands alone is written: whole or not at all (run folders are renamed as one)."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from sloc.contracts.arguments import checked_path
from sloc.contracts.base import InvalidInput, require, shown

_NO_PLACE = frozenset(
    {
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What the system says of a place that is none; all else (a full disk, a limit) is no fault of the argument."""


def checked_target(value: Any, argument: str = "path") -> Path:
    """Return a path to which a file can be written, as far as looking tells; call it before what takes long.

    Args:
        value: what was given.
        argument: its name.

    Raises:
        InvalidInput: no path, a path in a folder that does not exist, or one where something stands that is no file (a
            folder, a device, which a rename would replace).

    """
    file = Path(checked_path(value, argument))
    place = os.path.realpath(file)
    parent = os.path.dirname(place)
    require(os.path.isdir(parent), argument, str(file), f"a file in a folder that exists; {shown(parent)} is none")
    require(not os.path.isdir(place), argument, str(file), "the name of a file; this is a folder")
    free = os.path.isfile(place) or not os.path.lexists(place)
    require(free, argument, str(file), "the name of a file; what stands there is neither a file nor a folder")
    return file


def write_whole(path: str | os.PathLike[str], content: bytes | memoryview, argument: str = "path") -> Path:
    """Write a file that appears whole or not at all, whatever ends the process; one that stood there stays until then.

    The content goes to a hidden file beside it, onto the disk, and is renamed; of a symbolic link the file that it
    leads to is written.  A file that is replaced keeps its permissions, where the disk has any; whether it may be
    replaced is the folder's to say.

    Args:
        path: the place.
        content: all of the file.
        argument: the name of ``path`` where the caller was given it.

    Returns:
        The path.

    Raises:
        InvalidInput: no place for a file: as ``checked_target``, or a folder that may not be written to.
        OSError: the disk is full, or anything else that keeps a good place from being written; names ``path``.

    """
    file = checked_target(path, argument)
    place = Path(os.path.realpath(file))
    # Of a long name the beginning: with what is added the system would refuse all of it.
    aside = place.with_name(f".{place.name[:40]}.partial-{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(OSError):  # no file yet, or a disk that keeps no permissions
            aside.chmod(stat.S_IMODE(place.stat().st_mode))
        os.replace(aside, place)
    except OSError as error:
        # What was asked for, not the hidden file.
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        if error.errno in _NO_PLACE:
            said = f"expected a place that can be written to ({reason})"
            raise InvalidInput(f"{argument} = {shown(str(file))}: {said}") from error
        raise OSError(error.errno, reason, str(file)) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return file
