"""Run a suite of benchmarks: ``python -m benchmarks SUITE [--smoke] [--rounds N] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import atoms, certificates, machine, samplers, structures, unnormalized, windows
from benchmarks.check_results import problems
from benchmarks.timing import Row

SUITES = {
    "atoms": (atoms.run, atoms.PARTS),
    "certificates": (certificates.run, certificates.PARTS),
    "samplers": (samplers.run, samplers.PARTS),
    "structures": (structures.run, structures.PARTS),
    "unnormalized": (unnormalized.run, unnormalized.PARTS),
    "windows": (windows.run, windows.PARTS),
}


def shown(row: Row) -> str:
    """Return one row as a line of text."""
    value = row["value"]
    digits = f"{value:.3g}" if math.isfinite(value) and abs(value) < 1e5 else f"{value:.2e}"
    text = f"{row['name']}: {digits}{'x' if row['unit'] == '' else ' ' + row['unit']}"
    if "min" in row:
        text += f"  [{row['min']:.3g} .. {row['max']:.3g}, {row['rounds']} rounds]"
    if "target" in row:
        text += f"  target {row['target']}: {'met' if row['met'] else 'NOT MET'}"
    return text


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, under a minute: shows that everything runs")
    parser.add_argument("--rounds", type=int, default=None, metavar="N", help="interleaved rounds (default 5; smoke 2)")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        help="run only this part (may be repeated): "
        + "; ".join(f"{suite}: {', '.join(parts)}" for suite, (_, parts) in SUITES.items()),
    )
    parser.add_argument("--date", default=None, help="ISO 8601 date to write (default: now)")
    chosen = parser.parse_args(arguments)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds {chosen.rounds}: expected at least 1")
    unknown = set(chosen.only or ()) - set(SUITES[chosen.suite][1])
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: expected {', '.join(SUITES[chosen.suite][1])}")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite, print its rows as they come, write them if asked; return the exit status."""
    chosen = options(arguments)
    run, parts = SUITES[chosen.suite]
    rounds = chosen.rounds or (2 if chosen.smoke else 5)
    result: dict[str, Any] = {
        "suite": chosen.suite,
        "device": machine.device_name(),
        **machine.code(),
        "date": chosen.date or datetime.now(UTC).isoformat(timespec="seconds"),
        "smoke": chosen.smoke,
        "rounds": rounds,
        "load_before": os.getloadavg()[0],
        "rows": [],
    }
    print(f"{result['device']}; load {result['load_before']:.1f}")
    for row in run(rounds, chosen.smoke, tuple(chosen.only or parts)):
        result["rows"].append(row)
        print(shown(row), flush=True)
    result["load_after"] = os.getloadavg()[0]
    faults = problems(result)
    for fault in faults:
        print(fault, file=sys.stderr)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
