"""The README: every Python snippet runs as it stands, and every file it points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXPECTED = ("t_after=0.440", "TV(0, 1)", "Estimate(", "prefilled=4")


def test_there_is_a_snippet_for_each_way_in() -> None:
    assert len(SNIPPETS) == len(EXPECTED)


@pytest.mark.parametrize("i", range(len(EXPECTED)))
def test_snippet_runs_and_prints(i: int, capsys: pytest.CaptureFixture[str]) -> None:
    # Read as a user runs it: with JAX's own promotion rules.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(compile(SNIPPETS[i], f"README snippet {i}", "exec"), {"__name__": "readme"})
    assert EXPECTED[i] in capsys.readouterr().out


def test_files_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("http") or (ROOT / target).is_file(), target


def test_picture_is_light() -> None:
    assert (ROOT / "docs/_static/digits.png").stat().st_size < 400_000
