"""``python -m examples.uses``: run the four examples at full size and keep their numbers in ``uses.json``."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path

EXAMPLES = ("guidance", "late_start", "early_stop", "edits")
FILE = Path(__file__).parent / "uses.json"


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


if __name__ == "__main__":
    main()
