"""All fast tests against the installed wheel, under the least and the newest jax, every library installed afresh.

Run ``python -m benchmarks.nightly_wheels`` (some 15 minutes an end); ``--end least`` runs one end, whose rows replace
its former ones.  :mod:`benchmarks.check_results` refuses a record in which a test failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from benchmarks import nightly_tests
from benchmarks.timing import Row

ROOT = Path(__file__).parent.parent
RECORD = Path(__file__).parent / "results" / "wheel-tests.json"
SUITE = "wheel-tests"
ENDS = ("least", "newest")
"""The least jax that is allowed, and that of ``constraints.txt``."""
PYTHON = ROOT / "build" / "wheel" / "env" / "bin" / "python"


def least() -> str:
    """Return the least version of jax that ``pyproject.toml`` allows, with all its numbers."""
    found = re.search(r'"jax>=([0-9.]+),', (ROOT / "pyproject.toml").read_text("utf-8"))
    if found is None:
        raise RuntimeError("pyproject.toml: expected a lower bound of jax")
    return f"{found[1]}.0"


def _case(end: str) -> str:
    return f"{end} jax, installed wheel, fresh libraries"


def missing(found: Iterable[Row]) -> list[str]:
    """Return the ends of which a record has no row."""
    names = [str(row["name"]) for row in found]
    return [end for end in ENDS if not any(name.startswith(_case(end)) for name in names)]


def rows(end: str, version: str, report: Path) -> Iterator[Row]:
    """Yield how many tests passed, failed and were skipped, as pytest's report (JUnit's XML) says.

    Args:
        end: which of :data:`ENDS`.
        version: of jax.
        report: the file.

    """
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    case = _case(end)
    when = {"jax": version, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    met = failed == 0 and passed > 0
    target = {"target": "<= 0", "met": met, "must": True}
    yield {
        "name": f"{case}: tests that failed",
        "value": failed,
        "unit": "tests",
        "of": count["tests"],
        **target,
        **when,
    }
    for word, value in (("passed", passed), ("were skipped", count["skipped"])):
        yield {"name": f"{case}: tests that {word}", "value": value, "unit": "tests", "of": count["tests"], **when}


def run(end: str) -> list[Row]:
    """Build the wheel, install it with all its libraries, run the tests against it; return the rows of one end.

    Raises:
        RuntimeError: no test ran.

    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={report}".strip()
        command = ["make", "--no-print-directory", "wheel-test", *([f"JAX={least()}"] if end == "least" else [])]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTEST_ADDOPTS": options}, check=False)
        if not report.exists():
            raise RuntimeError(f"{' '.join(command)}: no test ran")
        asked = [str(PYTHON), "-c", "import jax; print(jax.__version__)"]
        version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        return list(rows(end, version, report))


def main(arguments: Sequence[str]) -> int:
    """Run the ends that are asked for and keep what they said; return 1 where a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--end", choices=ENDS, help="one end (default: both)")
    parser.add_argument("--record", type=Path, default=RECORD, help="file to keep the rows in")
    asked = parser.parse_args(arguments)
    status = 0
    for end in ENDS if asked.end is None else (asked.end,):
        found = run(end)
        own = {row["name"] for row in found}
        others = [row for row in nightly_tests.read(asked.record) if row["name"] not in own]
        nightly_tests.write(asked.record, [*others, *found], SUITE)
        status |= any(row.get("met") is False for row in found)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
