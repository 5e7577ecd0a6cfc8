"""Code that readers copy, of pages and examples: what it names is there without luck, and is public."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import sloc

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
CELL = re.compile(r"^```(?:\{code-cell\} )?python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PARTS = {m.name for m in pkgutil.iter_modules(sloc.__path__)}


def code(page: str) -> str:
    """Return the Python of a page's cells, without options of cells and magics."""
    cells = (re.sub(r"^[:%].*$", "", cell, flags=re.MULTILINE) for cell in CELL.findall(page))
    return "\n".join(cells)


def imported(source: str) -> set[str]:
    """Return the modules that code imports, and for each ``from a import b`` both ``a`` and ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {n.name for n in names}
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module, *(f"{module}.{n.name}" for n in names)}
            case _:
                pass
    return found


def by_luck(source: str, loaded: Iterable[str]) -> list[str]:
    """Return the parts of sloc that code names by ``sloc.part`` and does not import."""
    named = {
        f"sloc.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sloc"
        if node.attr in PARTS
    }
    # ``import sloc.windows.printed`` loads ``sloc.windows``.
    have = {".".join(name.split(".")[:2]) for name in imported(source)}
    return sorted(named - have - set(loaded))


@pytest.fixture(scope="module")
def loaded() -> list[str]:
    """Return the parts that ``import sloc`` loads."""
    ask = "import sloc, sys; print(*(m for m in sys.modules if m.startswith('sloc.') and m.count('.') == 1))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_pages_import_what_they_name(loaded: list[str]) -> None:
    assert "sloc.windows" in loaded
    lines = [code(page.read_text("utf-8")) for page in PAGES]
    assert sum("import sloc" in text for text in lines) > 15, "the pattern of cells finds them"
    found = {page.name: by_luck(text, loaded) for page, text in zip(PAGES, lines, strict=True)}
    assert not {name: parts for name, parts in found.items() if parts}


def test_a_part_that_is_not_imported_is_found(loaded: list[str]) -> None:
    page = "```{code-cell} python\n:tags: [hide]\n%matplotlib inline\nimport sloc\nsloc.windows.move; sloc.lm.score\n```\n"
    assert by_luck(code(page), loaded) == ["sloc.lm"]
    assert by_luck(code(page) + "import sloc.lm.parts", loaded) == []
