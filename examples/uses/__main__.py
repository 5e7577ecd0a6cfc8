"""``python -m examples.uses``: run the four examples at full size, keep their numbers and draw them.

Numbers go to ``uses.json`` beside this file, the picture to ``docs/_static/uses.png``.
"""

from __future__ import annotations

import importlib
import json
import time
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


def main() -> None:
    """Run every example and write the file."""
    found = {}
    for name in EXAMPLES:
        began = time.monotonic()
        found[name] = rounded(importlib.import_module(f"examples.uses.{name}").main())
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    aside = FILE.with_suffix(".partial")
    aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    aside.replace(FILE)
    picture(found, PICTURE)


if __name__ == "__main__":
    main()
