"""Every suite in full, each in a process of its own and held against the committed result of this device.

Run ``python -m benchmarks.nightly_suites`` for all suites, or name some.  A suite whose result of this very device is
committed fails where a ratio became more than twice as bad (:mod:`benchmarks.regressions`); where there is none, or
none with ratios that say how good sloc is, it runs without.  One that fails does not keep the others from running.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.regressions import ratios, read_committed
from benchmarks.runner import file_name
from benchmarks.suites import chosen_suites
from sloc.contracts import InvalidInput

RESULTS = Path(__file__).parent / "results"


def why_alone(suite: str, folder: Path) -> str:
    """Return why there is nothing that a run of this suite on this device can be held against; empty where there is.

    Args:
        suite: its name.
        folder: where the committed results are.

    """
    try:
        committed = read_committed(folder, suite, machine.device_name(), file_name(suite, smoke=False))
    except InvalidInput as error:
        return str(error)
    return "" if ratios(committed) else f"{suite}: the committed result has no ratio that says how good sloc is"


def run_suites(suites: Sequence[str], out: Path, against: Path) -> list[str]:
    """Run suites and return the names of those that failed, in order.

    Args:
        suites: their names; all where none is named.
        out: folder that the results are written to; may be ``against``, which is read first.
        against: folder of the committed results.

    Raises:
        InvalidInput: a name that is none.

    """
    failed = []
    for suite in chosen_suites(suites):
        command = [sys.executable, "-m", "benchmarks", suite, "--out", str(out)]
        alone = why_alone(suite, against)
        if alone:
            print(f"not held against an older result: {alone}", file=sys.stderr, flush=True)
        else:
            command += ["--against", str(against)]
        # A process each, so that none starts with another's compilations and peak of memory.
        if subprocess.run(command, check=False).returncode:
            failed.append(suite)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 1 where a suite failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly_suites", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="all where none is named")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument("--against", type=Path, default=RESULTS, help="folder of the committed results")
    given = parser.parse_args(arguments)
    try:
        failed = run_suites(given.suites, given.out, given.against)
    except InvalidInput as error:
        print(f"nightly_suites: {error}", file=sys.stderr)
        return 2
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
