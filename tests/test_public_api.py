"""Every public symbol is documented, and the check that says so can fail."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

import sloc
import sloc.bayes
import sloc.lm
import sloc.report
import sloc.results
import sloc.windows
from sloc import cli

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "_ext"))
import house_picture
import public_api
import public_names

NAME = "fabricated_package"


def described() -> None:
    """Do something."""


def silent() -> None:
    pass


@dataclasses.dataclass(frozen=True)
class Silent:
    """Overwritten below: stands for a dataclass whose author wrote nothing."""

    x: int = 0


Silent.__doc__ = "Silent(x: int = 0)"


class Way(enum.Enum):
    """Words of an option."""

    one = "one"
    two = "two"


@pytest.fixture
def fabricate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that makes an importable package with the given public names."""

    def make(**symbols: Any) -> str:
        module = types.ModuleType(NAME)
        module.__dict__.update(symbols, __all__=sorted(symbols))
        monkeypatch.setitem(sys.modules, NAME, module)
        return NAME

    return make


def test_an_undocumented_function_is_found(fabricate: Callable[..., str]) -> None:
    package = fabricate(described=described, silent=silent)
    assert public_api.undocumented([package]) == [f"{NAME}.silent"]


def test_the_docstring_made_up_by_dataclass_does_not_count(fabricate: Callable[..., str]) -> None:
    assert public_api.undocumented([fabricate(Silent=Silent)]) == [f"{NAME}.Silent"]


def test_a_value_is_documented_by_the_string_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = '__all__ = ["A", "B", "C"]\nA = (1, 2)\n"""Said."""\nB: tuple = (3, 4)\nC = (5, 6)  # said to no reader\n'
    (tmp_path / "fabricated_values.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert public_api.undocumented(["fabricated_values"]) == ["fabricated_values.B", "fabricated_values.C"]
    finally:
        sys.modules.pop("fabricated_values", None)


def test_an_unlisted_symbol_is_found(fabricate: Callable[..., str]) -> None:
    package = fabricate(described=described, LIMITS=(0, 1))
    assert public_api.unlisted([f"{NAME}.LIMITS"], [package]) == [f"{NAME}.described"]
    assert public_api.unlisted([f"{NAME}.described"], [package]) == [f"{NAME}.LIMITS"]


def test_a_symbol_may_be_listed_under_another_of_its_names(fabricate: Callable[..., str]) -> None:
    package = fabricate(described=described, alias=described)
    assert public_api.unlisted([f"{NAME}.alias"], [package]) == []
    assert public_api.unlisted([f"{described.__module__}.described"], [package]) == []


def test_every_public_symbol_has_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert public_api.twice() == []
    monkeypatch.setattr(sloc.windows, "__all__", [*sloc.windows.__all__, "Move"])
    monkeypatch.setattr(sloc.windows, "Move", sloc.results.Move, raising=False)
    assert public_api.twice() == ["sloc.windows.Move"]


@pytest.mark.parametrize("package", public_api.PACKAGES)
def test_no_module_bears_the_name_of_a_public_function(package: str) -> None:
    """The function would stand where the module is looked for."""
    modules = {m.name for m in pkgutil.iter_modules(getattr(importlib.import_module(package), "__path__", ()))}
    assert not modules & {name for name, _ in public_api.public_symbols(package)}


def test_each_fault_has_its_message(fabricate: Callable[..., str]) -> None:
    package = fabricate(silent=silent)
    assert public_api.check([], [package]) == [f"{NAME}.silent: no docstring", f"{NAME}.silent: on no API page"]
    assert public_api.check([f"{NAME}.silent"], [package]) == [f"{NAME}.silent: no docstring"]


def test_the_build_fails_on_a_fault(fabricate: Callable[..., str]) -> None:
    errors = pytest.importorskip("sphinx.errors", reason="the documentation tools are not installed")
    package = fabricate(silent=silent)
    env = types.SimpleNamespace(domains={"py": types.SimpleNamespace(objects={f"{NAME}.silent": None})})
    app = types.SimpleNamespace(config=types.SimpleNamespace(public_api_packages=[package]))
    with pytest.raises(errors.ExtensionError, match=r"fabricated_package\.silent: no docstring"):
        public_api._check_consistency(app, env)


@pytest.mark.parametrize("package", public_api.PACKAGES)
def test_every_public_function_says_what_it_takes(package: str) -> None:
    module = importlib.import_module(package)
    functions = [(n, f) for n in module.__all__ if inspect.isfunction(f := getattr(module, n))]
    silent = [n for n, f in functions if inspect.signature(f).parameters and "Args:" not in (f.__doc__ or "")]
    assert not silent, f"no Args in the docstrings of {silent}"


@pytest.mark.parametrize("package", public_api.PACKAGES)
def test_every_public_symbol_has_a_docstring(package: str) -> None:
    assert list(public_api.public_symbols(package)), f"{package}.__all__ is empty"
    assert public_api.undocumented([package]) == []


@pytest.mark.parametrize(
    ("path", "lines"),
    [(public_names.LIST, public_names.public_names), (public_names.CLI_LIST, public_names.public_cli)],
    ids=["names", "options"],
)
def test_what_is_public_is_what_the_list_says(path: Path, lines: Callable[[], list[str]]) -> None:
    listed, found = path.read_text("utf-8").splitlines(), lines()
    gone, new = sorted(set(listed) - set(found)), sorted(set(found) - set(listed))
    assert not gone, f"public, and went or changed what it takes (see docs/stability.md): {gone}"
    assert not new, f"new and public; run python docs/_ext/public_names.py: {new}"
    assert listed == found


def test_a_method_that_goes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(public_names.public_names(["sloc"]))
    monkeypatch.delattr(sloc.Curve, "to_xarray")
    # Of a base that is not public itself.
    monkeypatch.delattr(sloc.Window.__mro__[1], "to_dataframe")
    monkeypatch.setattr(sloc.ObservationProcess, "degrade", lambda self, key, y, s: y)
    after = set(public_names.public_names(["sloc"]))
    gone = {"sloc.Curve.to_xarray()", "sloc.Window.to_dataframe()", "sloc.TheoremWindow.to_dataframe()"}
    assert before - after == {*gone, "sloc.ObservationProcess.degrade(key, y, s, t)"}
    assert after - before == {"sloc.ObservationProcess.degrade(key, y, s)"}


def test_members_are_those_that_a_reader_may_call(fabricate: Callable[..., str]) -> None:
    class Hidden:
        shared = 1

        def inherited(self, a: int) -> None: ...

    class Open(Hidden):
        def __init__(self, x: int, *, y: int = 0) -> None: ...

        def __call__(self, z: int) -> None: ...

        @property
        def half(self) -> int:
            return 0

        @classmethod
        def made(cls, text: str) -> None: ...

        @staticmethod
        def free(*rest: int) -> None: ...

        def _own(self) -> None: ...

    class Under(Open):
        def more(self) -> None: ...

    assert public_names.public_names([fabricate(Open=Open, Under=Under)]) == [
        f"{NAME}.Open(x, *, y)",
        *(f"{NAME}.Open.{m}" for m in ("__call__(z)", "free(*rest)", "half", "inherited(a)", "made(text)", "shared")),
        f"{NAME}.Under(x, *, y)",
        f"{NAME}.Under.more()",
    ]


def test_an_option_that_goes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def walk(where: str, n: Annotated[int, typer.Option("--n", "-n")] = 0, way: Way = Way.one) -> None: ...

    @app.command()
    def rest() -> None: ...

    ours = [line for line in public_names.public_cli(app) if line.startswith("sloc walk")]
    assert ours == ["sloc walk", "sloc walk --n/-n", "sloc walk --way one|two", "sloc walk WHERE"]
    window = next(c for c in cli.app.registered_commands if c.callback is not None and c.callback.__name__ == "window")
    before = set(public_names.public_cli())

    def bare(source: str = "") -> None: ...

    monkeypatch.setattr(window, "callback", bare)
    gone = before - set(public_names.public_cli())
    assert {"sloc window --epsilon", "sloc window --json"} <= gone
    assert all(line.startswith("sloc window") for line in gone)


def test_a_changed_parameter_changes_the_line() -> None:
    def old(key: int, *, n: int, **options: int) -> None: ...

    def positional(a: int, /, b: int, *rest: int, c: int = 0) -> None: ...

    @dataclasses.dataclass
    class Record:
        a: int
        b: int = dataclasses.field(default=0, kw_only=True)
        c: int = dataclasses.field(default=0, init=False)

    assert public_names.parameters(old) == "(key, *, n, **options)"
    assert public_names.parameters(positional) == "(a, /, b, *rest, c)"
    assert public_names.parameters(Record) == "(a, *, b)"
    assert public_names.parameters((1, 2)) == ""


def test_names_as_users_write_them_lead_to_where_they_are_described() -> None:
    pytest.importorskip("sphinx", reason="the documentation tools are not installed")
    import public_links

    assert public_links.described_name("sloc.measure") == "sloc.measure"
    assert public_links.described_name("sloc.populations.Empirical") == "sloc.populations.Empirical"
    # As annotations name them, by the file.
    assert public_links.described_name("sloc.contracts.process.GaussianChannel") == "sloc.GaussianChannel"
    assert public_links.described_name("sloc.divergence.measurement.measure") == "sloc.measure"
    assert public_links.described_name("sloc.populations.empirical.Empirical") == "sloc.populations.Empirical"
    of_the_house = ("sloc.contracts.check_pair", "sloc.windows.edges.Edge")
    for other in (*of_the_house, "sloc.nothing", "jax.Array", "sloc.measure.n", "measure", ""):
        assert public_links.described_name(other) is None


def test_the_picture_of_the_house_shows_its_rooms() -> None:
    root = Path(__file__).parents[1]
    contracts = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert house_picture.rooms() == [layer.strip("()") for layer in contracts[0]["layers"]]
    assert house_picture.PICTURE.read_text("utf-8") == house_picture.picture(), "run python docs/_ext/house_picture.py"


def test_every_picture_hangs_in_the_gallery() -> None:
    page = (Path(__file__).parents[1] / "docs" / "gallery.md").read_text("utf-8")
    rooms = [sloc, sloc.results, sloc.bayes, sloc.windows, sloc.report, sloc.lm]
    named = {name: getattr(room, name) for room in rooms for name in room.__all__}
    drawn = {n for n, v in named.items() if n.startswith("plot_") or (isinstance(v, type) and hasattr(v, "plot"))}
    assert {"Curve", "Window", "plot_windows"} <= drawn
    assert not {name for name in drawn if f".{name}`" not in page}
    # Each stands in a section with a cell that draws it; the build fails where a drawing cell shows no picture.
    cell, draws = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.M | re.S), re.compile(r"\.plot\(|\.plot_\w+\(")
    hung = set()
    for section in page.split("\n## ")[1:]:
        own = {name for name in drawn if f".{name}`" in section}
        functions = {name for name in own if name.startswith("plot_")}
        pictures = len(draws.findall("".join(cell.findall(section))))
        assert pictures >= max(len(functions), len(own - functions)), (section.partition("\n")[0], own)
        hung |= own
    assert hung == drawn


def test_the_build_fails_where_a_figure_is_not_shown() -> None:
    pytest.importorskip("sphinx", reason="the documentation tools are not installed")
    import figures

    drawn = "```{code-cell} python\nwindow.plot();\n```\n"
    told = "```{code-cell} python\nprint(1)\n```\n```python\nwindow.plot()\n```\n"
    shown = f'<img alt="x" src="../_images/{"0a" * 32}.png" />'
    assert figures.missing(drawn + told, '<img src="_images/digits.png" />') == 1
    assert figures.missing(drawn + told, shown) == 0
    assert figures.missing(told, "") == 0
