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

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "_ext"))
import public_api

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
    page = (
        "```{code-cell} python\n:tags: [hide]\n%matplotlib inline\nimport sloc\nsloc.windows.move; sloc.lm.score\n```\n"
    )
    assert by_luck(code(page), loaded) == ["sloc.lm"]
    assert by_luck(code(page) + "import sloc.lm.parts", loaded) == []


PUBLIC = {line.partition("(")[0] for line in (ROOT / "tests/public_names.txt").read_text("utf-8").splitlines()}


def private(source: str) -> list[str]:
    """Return the addresses below ``sloc`` that code names, by imports or attributes, and no list promises."""
    asked, aliases = set(), {}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                asked |= {n.name for n in names}
                aliases |= {
                    n.asname or n.name.split(".")[0]: n.name if n.asname else n.name.split(".")[0] for n in names
                }
            case ast.ImportFrom(module=str(module), names=names, level=0):
                asked |= {f"{module}.{n.name}" for n in names}
                aliases |= {n.asname or n.name: f"{module}.{n.name}" for n in names}
            case _:
                pass
    asked |= {f"{aliases[root]}.{rest}" for root, rest in chains(source) if root in aliases}
    return sorted(a for a in asked if a.split(".")[0] == "sloc" and not promised(a))


def chains(source: str) -> Iterable[tuple[str, str]]:
    """Yield ``("a", "b.c")`` for each ``a.b.c``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            # What hangs on a call is of an object, not of a module.
            if rest.replace(".", "_").isidentifier():
                yield root, rest


def promised(address: str) -> bool:
    """Whether an address is a package, a public name or something of one."""
    parts = address.split(".")
    heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return address in public_api.PACKAGES or any(head in PUBLIC for head in heads)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("*.py")), ids=lambda f: f.stem)
def test_examples_name_what_is_public(file: Path) -> None:
    assert private(file.read_text("utf-8")) == []


def test_a_private_name_is_found() -> None:
    lines = [
        "import sloc.bayes, sloc.engine.stream",
        "from sloc import nn, tv",
        "from sloc.report.style import BLUE",
        "sloc.processes.OrnsteinUhlenbeck().grid(2); nn.fit; nn.training.fit; sloc.TV.bound; sloc.hidden",
    ]
    assert private("\n".join(lines)) == [
        "sloc.engine.stream",
        "sloc.hidden",
        "sloc.nn.training",
        "sloc.nn.training.fit",
        "sloc.report.style.BLUE",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_shows_what_an_error_says_and_no_traceback(page: Path) -> None:
    """A traceback names folders of the machine that built the page, and hides the sentence that a reader wants."""
    assert "raises-exception" not in page.read_text("utf-8")
