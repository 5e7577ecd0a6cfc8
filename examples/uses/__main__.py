"""``python -m examples.uses``: run the four examples at full size, keep their numbers and draw them.

``python -m examples.uses early_stop`` runs that one, and leaves the others' numbers alone.  Numbers go to ``uses.json``
beside this file, the picture to ``docs/_static/uses.png``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .picture import picture

EXAMPLES = ("guidance", "late_start", "early_stop", "edits")
FILE = Path(__file__).parent / "uses.json"
PICTURE = Path(__file__).parents[2] / "docs" / "_static" / "uses.png"


def rounded(value):
    """Return numbers with six digits, in JSON's types."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main(names: Sequence[str] = EXAMPLES) -> None:
    """Run these examples and write the file."""
    unknown = sorted(set(names) - set(EXAMPLES))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: expected examples, of {', '.join(EXAMPLES)}")
    found = json.loads(FILE.read_text("utf-8")) if set(names) != set(EXAMPLES) else {}
    for name in names:
        began = time.monotonic()
        found[name] = rounded(importlib.import_module(f"examples.uses.{name}").main())
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    aside = FILE.with_suffix(".partial")
    aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    aside.replace(FILE)
    picture(found, PICTURE)


if __name__ == "__main__":
    main(sys.argv[1:] or EXAMPLES)
