"""The README: every Python snippet runs as it stands, and every file it points to is there."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXPECTED = (
    "Window(0 within all",
    "Window(cat within all: t_after=0.440",
    "Window(cat within all: t_after=0.0",
    "Window(cat within all",
)
LONGEST = 5
"""Lines of a snippet, blank lines and imports aside."""


def test_there_is_a_snippet_for_each_way_in() -> None:
    assert len(SNIPPETS) == len(EXPECTED)


@pytest.mark.parametrize("i", range(len(EXPECTED)))
def test_snippet_runs_and_prints(i: int, capsys: pytest.CaptureFixture[str]) -> None:
    # Read as a user runs it: with JAX's own promotion rules.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(compile(SNIPPETS[i], f"README snippet {i}", "exec"), {"__name__": "readme"})
    said = capsys.readouterr().out
    assert EXPECTED[i] in said
    assert said.startswith("Window("), "a snippet ends in a window"
    assert said.count("(resolved)") == 2


@pytest.mark.slow
@pytest.mark.parametrize("i", range(len(EXPECTED)))
def test_snippet_runs_in_a_fresh_process(i: int, tmp_path: Path) -> None:
    """As a reader runs it from the checkout: none of the tests' settings (no flags of XLA), nothing loaded before."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "SLOC_", "PYTEST_"))}
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPETS[i], "utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=ROOT,
        env=clean | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert EXPECTED[i] in done.stdout
    assert done.stdout.count("(resolved)") == 2


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_are_short(snippet: str) -> None:
    counted = [line for line in snippet.splitlines() if line.strip() and not line.startswith(("import ", "from "))]
    assert len(counted) <= LONGEST
    for node in ast.walk(ast.parse(snippet)):
        two = (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        )
        assert not two, "one thing a line"
    assert ";" not in snippet


def test_the_table_of_extras_names_those_that_there_are() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    table = README[README.index("| for | extra |") : README.index("**Known problem.**")]
    assert not [name for name in extras if name != "peers" and f"`{name}`" not in table]


def test_one_way_to_install_is_told() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    assert not [
        page.name for page in pages if "install 'sloc[" in (text := page.read_text("utf-8")) or 'install "sloc[' in text
    ]


def test_every_page_is_told_of() -> None:
    pages = {p.relative_to(ROOT).as_posix() for d in ("docs", "docs/howto") for p in (ROOT / d).glob("*.md")}
    named = set(re.findall(r"\]\((docs/[^)]+\.md)\)", README))
    assert pages - named <= {"docs/index.md"}


def test_files_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("http") or (ROOT / target).is_file(), target


def cut_rows(text: str) -> list[str]:
    """Rows of a page's tables that have not as many cells as their head: a bar in code ends a cell all the same."""
    rows, wrong = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).splitlines(), []
    bars = [len(re.findall(r"(?<!\\)\|", row)) if row.startswith("|") else 0 for row in rows]
    for i, row in enumerate(rows):
        if i and bars[i] and bars[i - 1] and bars[i] != bars[i - 1]:
            wrong.append(row)
    return wrong


def test_no_row_of_a_table_is_cut() -> None:
    assert cut_rows("| a | b |\n|---|---|\n| x | `y | z` |") == ["| x | `y | z` |"]
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs/howto").glob("*.md"),
    ]
    assert not [(page.name, row) for page in pages for row in cut_rows(page.read_text("utf-8"))]


def test_picture_is_light() -> None:
    assert (ROOT / "docs/_static/digits.png").stat().st_size < 400_000
