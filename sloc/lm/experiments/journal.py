"""What was drawn so far, on disk, so that a run goes on where it was cut off.

A folder with ``settings.json`` and one file for each step that was finished; files appear whole or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_path
from sloc.contracts.writing import write_whole

SETTINGS = "settings.json"


class Journal:
    """A folder of finished steps.

    Args:
        folder: made where it is not there.
        settings: of the run, in JSON's types.

    Raises:
        InvalidInput: the folder holds steps of a run of other settings (names which), or cannot be written to.

    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.folder: Path = Path(checked_path(folder, "journal"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"journal = {str(folder)!r}: expected a place that can be written to ({error})"
            ) from error
        own = json.loads(json.dumps(settings, allow_nan=False))
        file = self.folder / SETTINGS
        if file.is_file():
            try:
                there = json.loads(file.read_text("utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise InvalidInput(f"{file}: expected JSON ({error})") from error
            require(isinstance(there, dict), str(file), there, "an object in JSON")
            differ = sorted(k for k in {*own, *there} if own.get(k) != there.get(k))
            said = "; ".join(f"{k}: {_short(there.get(k))} there, {_short(own.get(k))} here" for k in differ)
            same = not differ
            if not same:
                raise InvalidInput(f"journal = {str(folder)!r}: expected steps of this run, not of another ({said})")
        else:
            write_whole(file, json.dumps(own, indent=2, ensure_ascii=False).encode(), "journal")

    def get(self, *step: str) -> Any:
        """Return what a step recorded, or None where it is not finished.

        Raises:
            InvalidInput: a file that is no record of this step.

        """
        file = self._file(step)
        if not file.is_file():
            return None
        try:
            record = json.loads(gzip.decompress(file.read_bytes()))
        except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
            raise InvalidInput(f"{file}: expected a finished step ({error}); remove the file to do it again") from error
        good = isinstance(record, dict) and record.get("step") == list(step) and "content" in record
        require(good, str(file), "another content", f"the step {step}")
        return record["content"]

    def put(self, content: Any, *step: str) -> None:
        """Record a finished step."""
        text = json.dumps({"step": list(step), "content": content}, ensure_ascii=False, allow_nan=False)
        write_whole(self._file(step), gzip.compress(text.encode(), mtime=0), "journal")

    def __len__(self) -> int:
        """Return how many steps are finished."""
        return len(list(self.folder.glob("*.json.gz")))

    def _file(self, step: tuple[str, ...]) -> Path:
        # A readable part, and a digest because names of questions may hold anything.
        digest = hashlib.sha256("\x1f".join(step).encode()).hexdigest()[:16]
        shown = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(step))[:40].strip("-")
        return self.folder / f"{shown}-{digest}.json.gz"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
