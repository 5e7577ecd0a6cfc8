"""What every file of recordings asks before it is written, and how it is written: whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sloc.contracts import InvalidInput
from sloc.windows.recorded_checks import check_plain, check_text

if TYPE_CHECKING:
    from sloc.windows.recorded import Recording


def check_storable(recording: Recording) -> None:
    """Refuse a recording that no file would give back as it is.

    Args:
        recording: one question.

    Raises:
        InvalidInput: a ``meta`` or ``extra`` that is not plain JSON, or a text that UTF-8 cannot hold; the message
            names the place.

    """
    check_text(recording.question, "question")
    where = f"question {recording.question!r}"
    for i, category in enumerate(recording.categories):
        check_text(category, f"{where}, categories[{i}]")
    check_plain(recording.meta, f"{where}, meta")
    check_plain(recording.layout, f"{where}, layout")
    for b in recording.branches:
        check_text(b.name, f"{where}, position {b.position:g}, branch")
        if b.extra:
            check_plain(b.extra, f"{where}, position {b.position:g}, branch {b.name!r}, extra")


def write_whole(file: Path, content: bytes | Callable[[Path], None]) -> Path:
    """Write a file that appears whole or not at all.

    Args:
        file: the place.
        content: the bytes, compressed where the name ends in ``.gz``; or what writes them to a path that it is given.

    Returns:
        The place.

    Raises:
        InvalidInput: it cannot be written to.

    """
    temporary = file.parent / f".{file.name}.partial-{secrets.token_hex(4)}"
    try:
        if isinstance(content, bytes):
            # A fixed time stamp: the same recordings give the same bytes.
            temporary.write_bytes(gzip.compress(content, mtime=0) if file.name.endswith(".gz") else content)
        else:
            content(temporary)
        os.replace(temporary, file)
    except OSError as error:
        raise InvalidInput(f"path = {str(file)!r}: expected a place that can be written to ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return file
