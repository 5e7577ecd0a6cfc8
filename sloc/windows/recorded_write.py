"""What every file of recordings asks before it is written, and its bytes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

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


def packed(file: Path, text: str) -> bytes:
    """Return the bytes of a text, compressed where the file's name ends in ``.gz``."""
    content = text.encode()
    # A fixed time stamp: the same recordings give the same bytes.
    return gzip.compress(content, mtime=0) if file.name.endswith(".gz") else content
