"""Run by ``make types``: every public symbol has a type that a user's checker knows, whatever it infers.

What derives from a class of Flax or Typer is left to them: pyright does not know the types of their bases.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOREIGN = {"Type of base class unknown", "Type of metaclass unknown"}


def faults() -> list[str]:
    """Return what ``pyright --verifytypes`` finds, but for base classes of other libraries."""
    here = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "pyright", "--verifytypes", "sloc", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(
        [*command, "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=here.parent,
        env={**os.environ, "PYTHONPATH": str(here)},
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    if not found["exportedSymbolCounts"]["withKnownType"]:
        return ["pyright found no public symbol"]
    said = []
    for symbol in found["symbols"]:
        own = [d["message"] for d in symbol["diagnostics"] if d["message"].split("\n")[0] not in FOREIGN]
        if symbol["isExported"] and not symbol["isTypeKnown"] and own:
            said.append(f"{symbol['name']}: {own[0]}")
    return said


if __name__ == "__main__":
    found = faults()
    print("\n".join(found) or "every public symbol has a known type")
    sys.exit(bool(found))
