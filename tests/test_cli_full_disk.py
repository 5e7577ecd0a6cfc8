"""A disk that is full while results are written: one line, exit code 1, and the folders as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="limits of a process")

REPOSITORY = Path(__file__).resolve().parents[1]
WINDOW = ["window", "gaussians", "--means", "4,0;-4,0", "--n", "1024", "--times", "8"]
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from sloc.cli import main
main()
"""
"""The command line in a process that may not write larger files: the kernel's answer is that of a full disk."""


def ended(arguments: list[Any], limit: int = -1) -> subprocess.CompletedProcess[str]:
    """Run a command that must end with one line; no file may grow beyond ``limit`` bytes."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_COMPILATION_CACHE_DIR": ""}
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, arguments)],
        capture_output=True,
        env=environment,
        text=True,
        timeout=500,
        check=False,
    )


def one_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 1, no traceback, and a last line that says what happened."""
    assert result.returncode == 1, (result.returncode, result.stderr)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    said = [line for line in result.stderr.splitlines() if line.startswith("sloc: ")]
    assert len(said) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == said[0]
    for word in (*words, "no results were written"):
        assert word in said[0]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    file = tmp_path / "answers.csv"
    rows = [f"q,{f},{a}\n" for f in (0.2, 0.6, 1) for a in "AAB"]
    file.write_text("question,fraction,answer\n" + "".join(rows))
    return file


@pytest.mark.parametrize("limit", [100, pytest.param(8_000, marks=pytest.mark.slow)])
def test_traces_whose_files_do_not_fit(answers: Path, limit: int) -> None:
    out = answers.parent / "new" / "out"
    one_line(ended(["traces", answers, "--out", out], limit), "File too large", str(answers.parent / "new" / "out"))
    assert list(answers.parent.iterdir()) == [answers]


@pytest.mark.parametrize("limit", [8_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 30_000))])
def test_a_window_whose_files_do_not_fit(tmp_path: Path, limit: int) -> None:
    one_line(ended([*WINDOW, "--out", tmp_path / "new" / "out"], limit), "File too large", str(tmp_path / "new" / "out"))
    assert list(tmp_path.iterdir()) == []
