"""What every command does the same way: its record, its folder, its one line of JSON, a library that is missing."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sloc import Curve
from sloc.cli import app
from sloc.report.command_run import print_json
from sloc.windows import Branch, Recording, write_store

runner = CliRunner()
MIXTURE = ["gaussians", "--means", "4;-4", "--n", "1024", "--times", "8"]


@dataclass(frozen=True)
class Case:
    """One command, at the least that it can do.

    Attributes:
        make: writes what is read into a folder, replaces what takes long by something cheap, and returns the words.
        file: the argument that names a file, and the file's name.
        picture: what is drawn where matplotlib is installed.

    """

    make: Callable[[Path, pytest.MonkeyPatch], list[str]]
    file: tuple[str, str] | None = None
    picture: str = ""


def window(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    np.savez(folder / "data.npz", x=np.asarray([[0.0], [0.1], [4.0], [4.1]]), y=np.asarray([0, 0, 1, 1]))
    return ["window", str(folder / "data.npz"), "--process", "ou", "--n", "1024", "--times", "8"]


def traces(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    rows = [f"q,{f},{a}\n" for f in (0.2, 0.6) for a in "AAB"]
    (folder / "answers.csv").write_text("question,fraction,answer\n" + "".join(rows) + "q,1,A\n")
    return ["traces", str(folder / "answers.csv")]


def branches(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    kept = tuple(Branch(float(t), "x", 1.0, True, np.array([0, 0, 1])) for t in range(3))
    write_store(folder / "store.jsonl.gz", [Recording("q", ("A", "B"), kept)])
    return ["traces", str(folder / "store.jsonl.gz")]


def train(_: Path, patch: pytest.MonkeyPatch) -> list[str]:
    for module in ("flax", "optax", "safetensors", "sklearn"):
        pytest.importorskip(module)
    found = {"parameters": 2, "steps": 2, "training_seconds": 0.0, "loss": np.nan, "real": 1, "generated": 1}
    found |= {"accuracy_generated": 1.0, "accuracy_real": 1.0}
    fitted = type("Fitted", (), {"losses": np.zeros(2), "model": None})
    drawn = np.zeros((10, 12, 8, 8))
    patch.setattr("sloc.report.train_command._trained", lambda *_, **__: (fitted, found, drawn))
    patch.setattr("sloc.nn.save_weights", lambda file, *_, **__: file.write_bytes(b""))
    return ["train", "digits", "--model", "mlp", "--steps", "2"]


def uturn(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    for module in ("flax", "safetensors"):
        pytest.importorskip(module)
    t = np.linspace(0.5, 2, 4)
    curves = {name: Curve(t, 1 - t / 3, 0 * t, 0.9 - t / 3, 1.1 - t / 3, 9, "drawn") for name in ("model", "images")}
    patch.setattr("sloc.report.uturn_command.loaded", lambda _: None)
    patch.setattr("sloc.report.uturn_command.turned", lambda *_: (t, curves, np.zeros((4, 8, 8))))
    (folder / "weights.safetensors").write_bytes(b"weights")
    return ["uturn", str(folder / "weights.safetensors"), "--times", "4"]


def lm_windows(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("tokenizers")
    from tests.lm.scripted import Coin

    patch.setattr("sloc.report.lm_command.open_backend", lambda *_, **__: Coin(0.5))
    (folder / "q.jsonl").write_text('{"id": "q", "question": "?", "answer": "right"}\n')
    options = ["--task", "regex:(right)", "--cuts", "token", "--resamples", "5"]
    return ["lm", "windows", "--model", "coin", "--data", str(folder / "q.jsonl"), *options]


def lm_demo(_: Path, patch: pytest.MonkeyPatch) -> list[str]:
    pytest.importorskip("tokenizers")
    pytest.importorskip("optax")
    from sloc.lm.answers import RegexTask
    from sloc.lm.experiments.cuts import Cuts
    from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
    from sloc.lm.experiments.questions import Question
    from tests.lm.scripted import Coin

    settings = ExperimentSettings(Cuts("token"), 5)
    drawn = run_experiment(Coin(0.5), [Question("q", "?", truth="right")], RegexTask("(right)"), settings)
    patch.setattr("sloc.report.lm_demo._grammar", lambda _: (drawn, {"loss": np.nan}, {}))
    return ["lm", "demo", "grammar"]


CASES = {
    "window": Case(window, ("source", "data.npz"), "windows.png"),
    "tree": Case(lambda folder, patch: ["tree", *window(folder, patch)[1:]], ("source", "data.npz"), "tree.png"),
    "mixture": Case(lambda *_: ["window", *MIXTURE], None, "windows.png"),
    "traces": Case(traces, ("table", "answers.csv"), "traces.png"),
    "branches": Case(branches, ("table", "store.jsonl.gz"), "traces.png"),
    "train": Case(train, None, "samples.png"),
    "uturn": Case(uturn, ("weights", "weights.safetensors"), "uturn.png"),
    "lm windows": Case(lm_windows, ("data", "q.jsonl")),
    "lm demo": Case(lm_demo),
}


def run(*arguments: Any) -> Any:
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("name", list(CASES))
def test_every_command_records_writes_and_prints_in_one_way(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    words = case.make(tmp_path, monkeypatch)
    out = tmp_path / "öl"
    ended = run(*words, "--out", f"{out}/", "--json")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.count("\n") == 1
    # JSON that every reader takes, letters as they are.
    assert "öl" in ended.stdout
    printed = json.loads(ended.stdout, parse_constant=pytest.fail)
    assert list(printed) == ["command", "arguments", "results", "seconds", "output"]
    assert printed["output"] == str(out)
    assert " ".join(words).startswith(printed["command"])
    saved = json.loads((out / "run.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert list(saved) == ["command", "arguments", "versions", "seconds", "results", "files"]
    assert [saved[k] for k in ("command", "arguments", "seconds")] == [
        printed[k] for k in ("command", "arguments", "seconds")
    ]
    assert saved["seconds"] >= 0
    assert set(saved["results"]) <= set(printed["results"])
    assert saved["results"]["notes"] == printed["results"]["notes"]
    assert not [n for n in saved["results"]["notes"] if "matplotlib" in n]
    assert [k for k in saved["results"] if k.endswith("sha256")] == ([f"{case.file[0]}_sha256"] if case.file else [])
    assert case.picture in [*saved["files"], ""]
    # A file is known again, or refused, in one way; the folder is left as it was.
    if case.file is not None:
        argument, file = case.file
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes() + b"\n")
        again = run(*words[: 2 if words[0] == "lm" else 1], "--from", out, "--out", tmp_path / "again")
        assert (again.exit_code, again.stderr.count("\n")) == (2, 1), again.output
        assert f"--from, {argument} = " in again.stderr
        assert "changed since" in again.stderr
    # So is a folder that holds a run already.
    again = run(*words, "--out", out)
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1), again.output
    assert "already holds one" in again.stderr


@pytest.mark.parametrize("name", list(CASES))
def test_what_is_missing_without_matplotlib_is_noted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, find = CASES[name], importlib.util.find_spec
    words = case.make(tmp_path, monkeypatch)
    monkeypatch.setattr("importlib.util.find_spec", lambda n, *a: None if n == "matplotlib" else find(n, *a))
    ended = run(*words, "--out", tmp_path / "out")
    assert ended.exit_code == 0, ended.output
    saved = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    said = "matplotlib is not installed (pip install 'sloc[viz]')"
    noted = [n for n in saved["results"]["notes"] if n.endswith(said)]
    assert len(noted) == bool(case.picture)
    if case.picture:
        assert noted[0].startswith("no picture")
        assert case.picture not in saved["files"]
        assert "note: no picture" in ended.stdout
    assert f"written to {tmp_path / 'out'}" in ended.stdout.replace("\n", "")


@pytest.mark.parametrize(("encoding", "printed"), [("utf-8", '{"a": "é – 答"}'), ("latin-1", None), ("ascii", None)])
def test_json_loses_no_letter_where_the_terminal_lacks_it(encoding: str, printed: str | None) -> None:
    from rich.console import Console

    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="replace")
    print_json({"a": "é – 答"}, Console(file=stream))
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert json.loads(text) == {"a": "é – 答"}
    assert printed is None or text.strip() == printed
