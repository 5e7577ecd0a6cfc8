"""Everything behind ``sloc bench``: find the benchmarks, which are part of the repository and not of the wheel."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from sloc.contracts import InvalidInput


def bench_module() -> Any:
    """Return the module ``benchmarks.command`` of the checkout that sloc lies in, or else of the working directory.

    Raises:
        InvalidInput: neither is a checkout; the message says how to get one.

    """
    places = (Path(__file__).resolve().parents[2], Path.cwd())
    root = next((p for p in places if (p / "benchmarks" / "command.py").is_file()), None)
    if root is None:
        raise InvalidInput(
            f"working directory = {str(places[1])!r}: expected a checkout of sloc's repository, since the benchmarks "
            "are not part of the wheel: clone it, pip install -e '.[viz,peers]' in it, and run sloc bench there"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module("benchmarks.command")
