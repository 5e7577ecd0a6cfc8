"""``sloc bench``: which suites run, what is printed, compared and written."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import machine, suites
from benchmarks.command import run_bench
from benchmarks.runner import file_name
from benchmarks.suites import ALIASES, SUITES, chosen_parts, chosen_suites
from sloc.cli import app
from sloc.contracts import InvalidInput
from sloc.report import bench_command

RATIO = {"name": "peer over sloc", "value": 8.0, "unit": "", "min": 7.0, "max": 9.0, "rounds": 2, "better": "higher"}
TIME = {"name": "run", "value": 0.25, "unit": "s", "target": "<= 1", "met": True}
runner = CliRunner()


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(rounds: int, smoke: bool, parts: Sequence[str]) -> Iterator[dict[str, Any]]:
        if "peers" in parts:
            raise machine.MissingPeer("torch is not installed: --smoke goes without")
        yield RATIO
        yield TIME | {"parts": list(parts)}

    monkeypatch.setattr(suites, "SUITES", {"windows": (run, ("a", "b")), "atoms": (run, ("a", "peers"))})
    for name in ("benchmarks.runner",):
        monkeypatch.setattr(importlib.import_module(name), "SUITES", suites.SUITES)


def run(*arguments: object) -> Any:
    return runner.invoke(app, ["bench", *map(str, arguments)])


def test_names_of_suites() -> None:
    assert set(ALIASES.values()) <= set(SUITES)
    assert not set(ALIASES) & set(SUITES)
    assert chosen_suites(()) == ("windows", "atoms")
    assert chosen_suites(("atoms", "windows", "atoms")) == ("atoms", "windows")
    with pytest.raises(
        InvalidInput, match="SUITE = 'window': expected one of windows, atoms, certified, reverse, tree"
    ):
        chosen_suites(("window",))


def test_parts_belong_to_suites() -> None:
    assert chosen_parts(("windows", "atoms"), ()) == {"windows": ("a", "b"), "atoms": ("a", "peers")}
    assert chosen_parts(("windows", "atoms"), ("b", "peers")) == {"windows": ("b",), "atoms": ("peers",)}
    with pytest.raises(InvalidInput, match="--only = 'c': expected a part"):
        chosen_parts(("windows",), ("a", "c"))
    with pytest.raises(InvalidInput, match=r"--only = .*each suite"):
        chosen_parts(("windows", "atoms"), ("b",))


def test_table_and_file(tmp_path: Path) -> None:
    done = run("windows", "--smoke", "--only", "a,b", "--out", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert "peer over sloc" in done.stdout
    assert "7 .. 9" in done.stdout
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == file_name("windows", True) == f"windows-{machine.short_name()}-smoke.json"
    found = json.loads(file.read_text())
    assert (found["suite"], found["smoke"], found["rounds"], found["parts"]) == ("windows", True, 2, ["a", "b"])
    assert found["rows"][0] == RATIO


def test_json_is_all_there_is_on_standard_output() -> None:
    done = run("windows", "--rounds", "3", "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["command"] == "bench"
    assert [r["suite"] for r in record["results"]] == ["windows"]
    assert record["results"][0]["rounds"] == 3
    assert "peer over sloc: 8" in done.stderr


def test_against_a_committed_result(tmp_path: Path) -> None:
    assert run("windows", "--out", tmp_path).exit_code == 0
    assert run("windows", "--against", tmp_path, "--out", tmp_path).exit_code == 0
    file = tmp_path / file_name("windows", False)
    then = json.loads(file.read_text())
    then["rows"][0]["value"] = 17.0
    file.write_text(json.dumps(then))
    done = run("windows", "--against", file)
    assert done.exit_code == 1
    assert "2.12 FAILS" in done.stdout
    record = json.loads(run("windows", "--against", file, "--json").stdout)
    assert record["comparisons"]["windows"]["failed"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["window"], "SUITE = window: expected one of"),
        (["windows", "--rounds", "0"], "--rounds = 0: expected at least 1"),
        (["windows", "--rounds", "many"], "--rounds = many: expected a whole number"),
        (["windows", "--only", "c"], "--only = c: expected a part"),
        (["windows", "--smoke", "--against", "x"], "--against = x: expected a full run"),
        (["windows", "--against", "absent.json"], "--against = absent.json: expected a committed result"),
        (["windows", "--out", __file__], "--out = "),
        (["windows", "--explain"], "--explain = True: expected no suites"),
        (["atoms"], "torch is not installed"),
    ],
)
def test_bad_input(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("sloc: ") or "\nsloc: " in done.stderr
    assert words in done.stderr
    assert done.stdout == ""


def test_outside_a_checkout_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench_command, "__file__", str(tmp_path / "sloc" / "report" / "bench_command.py"))
    monkeypatch.chdir(tmp_path)
    done = run("windows")
    assert done.exit_code == 2
    assert "expected a checkout of sloc's repository" in done.stderr
    assert "clone it" in done.stderr
    # In a checkout it is found, wherever sloc is installed.
    monkeypatch.chdir(Path(__file__).parents[2])
    assert bench_command.bench_module().run_bench is run_bench
