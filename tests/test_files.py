"""No file of the repository is longer than 500 lines without a reason."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MOST = 500
LONG = {
    "benchmarks/results/*.json": "numbers that programs write and read",
    "benchmarks/papers/papers.json": "numbers that programs write and read",
    "benchmarks/recordings/recordings.json": "numbers that programs write and read",
    "tests/public_*.txt": "lists of what is public, which a program writes",
}
"""Patterns of files that may be longer, each with the reason."""


def lengths() -> dict[str, int]:
    """Return the number of lines of every file of the repository that is a text."""
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("no checkout of the repository")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    found = {}
    for name in filter(None, listed.decode().split("\0")):
        file = REPOSITORY / name
        if file.is_file():
            content = file.read_bytes()
            if b"\0" not in content[:8192]:
                found[name] = content.count(b"\n")
    return found


def test_no_file_is_long_without_a_reason() -> None:
    found = {n: lines for n, lines in lengths().items() if lines > MOST}
    free = {n: lines for n, lines in found.items() if not any(fnmatch.fnmatchcase(n, p) for p in LONG)}
    assert not free, f"longer than {MOST} lines: split them, or give a reason: {free}"
    idle = [p for p in LONG if not any(fnmatch.fnmatchcase(n, p) for n in found)]
    assert not idle, f"reasons for files that are not long (any more): {idle}"


def test_examples_are_short() -> None:
    """A reader takes in an example at a glance."""
    found = {n: lines for n, lines in lengths().items() if fnmatch.fnmatchcase(n, "examples/*.py") and lines >= 80}
    assert not found, f"examples of 80 lines and more: split them: {found}"
