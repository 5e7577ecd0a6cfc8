"""``--from``, ``--resume`` and ``sloc replay`` mean the same in every verb, and its results can be handed to them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from sloc.cli import app
from sloc.report.checkpoints import checkpoint_folder
from tests.test_cli_help import COMMANDS

WRITES = [w for w, c in COMMANDS.items() if any(p.name == "overwrite" for p in c.params)]
OPTIONS = ["gaussians", "--means", "4;-4", "--n", "1024", "--times", "8"]
runner = CliRunner()


def run(*arguments: Any) -> Any:
    return runner.invoke(app, [str(a) for a in arguments])


def refused(result: Any, *words: str) -> None:
    """Exit code 2 and one line on standard error that holds the words."""
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    for word in words:
        assert word in result.stderr


def test_every_verb_that_writes_a_run_repeats_one() -> None:
    assert {w[0] for w in WRITES} == {"window", "tree", "traces", "train", "uturn", "lm"}
    assert [w for w in WRITES if all(p.name != "repeat" for p in COMMANDS[w].params)] == []
    resumed = [w[0] for w in COMMANDS if any(p.name == "resume" for p in COMMANDS[w].params)]
    assert resumed == ["window", "tree", "train", "uturn"]


@pytest.mark.parametrize("words", WRITES, ids=" ".join)
def test_options_of_the_output_come_last_in_one_order(words: tuple[str, ...]) -> None:
    order = ["out", "overwrite", "resume", "repeat", "json"]
    names = [p.name for p in COMMANDS[words].params if p.name != "help"]
    there = [n for n in order if n in names]
    assert names[-len(there) :] == there


def test_the_same_thing_is_said_in_the_same_words() -> None:
    said: dict[str, set[str]] = {}
    for words in WRITES:
        for param in COMMANDS[words].params:
            if param.name in ("out", "overwrite", "resume", "repeat", "json", "seed", "times", "max_drop"):
                said.setdefault(str(param.name), set()).add(str(getattr(param, "help", "")))
    assert {name: texts for name, texts in said.items() if len(texts) > 1} == {}
    # A default that is not a number stands behind one word, so that an eye finds it.
    helps = [str(getattr(p, "help", "")) for c in COMMANDS.values() for p in c.params]
    assert [h for h in helps if re.search(r"\bdefault\b(?!:)", h)] == []


@pytest.mark.parametrize("words", WRITES, ids=" ".join)
def test_beside_a_run_that_is_repeated_only_the_output_may_be_chosen(words: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    result = run(*words, "--from", tmp_path / "none", "--out", tmp_path / "out", "--json")
    refused(result, "--from = ", "run.json")
    own = next(p for p in COMMANDS[words].params if p.metavar in ("WHOLE", "NUMBER"))
    result = run(*words, "--from", tmp_path / "none", own.opts[0], "1")
    refused(result, "--from = ", "no other options beside it than --out", own.opts[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", WRITES, ids=" ".join)
def test_without_what_it_needs_a_run_names_it_and_the_other_way(words: tuple[str, ...]) -> None:
    pytest.importorskip("tokenizers")
    refused(run(*words), "or --from RUN")


RECORDS: dict[tuple[str, ...], dict[str, Any]] = {
    ("train",): {"source": "digits", "model": "mlp", "steps": 3, "batch": 8, "seed": 1, "guidance": 2, "samples": 4},
    ("lm", "demo"): {"name": "grammar", "model": None, "steps": 2, "texts": 2, "resamples": 3, "seed": 4, "lanes": 8},
    ("lm", "windows"): {
        "model": "m",
        "data": "{data}",
        "fractions": [0.0, 0.5],
        "stop": ["."],
        "server": {"rate": 2.5},
    },
    ("uturn",): {"weights": "{data}", "start": "8", "times": 3, "n": 5, "steps": 2, "delta": 0.1, "classifier": None},
}
PLACES = {
    ("train",): "train_command.run_train",
    ("uturn",): "uturn_command.run_uturn",
    ("lm", "demo"): "lm_demo.run_lm_demo",
    ("lm", "windows"): "lm_command.run_lm_windows",
}


def recorded(folder: Path, words: tuple[str, ...], **changes: Any) -> Path:
    """Write what a run of a verb recorded, its file of data beside it."""
    folder.mkdir()
    data = folder.parent / "data"
    data.write_text("what was read")
    arguments = {k: str(data) if v == "{data}" else v for k, v in RECORDS[words].items()} | changes
    record = {"command": " ".join(words), "arguments": arguments, "results": {}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("words", list(PLACES), ids=" ".join)
@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_record_becomes_the_request_that_it_was(
    words: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    seen: list[Any] = []
    monkeypatch.setattr(f"sloc.report.{PLACES[words]}", lambda request, out, **_: seen.append((request, out)))
    folder = recorded(tmp_path / "first", words)
    path = folder if named == "folder" else folder / "run.json"
    result = run(*words, "--from", path, "--out", tmp_path / "again")
    assert result.exit_code == 0, result.output
    ((request, out),) = seen
    assert out == str(tmp_path / "again")
    wanted = json.loads((folder / "run.json").read_text())["arguments"]
    again = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(request).items()}
    assert {k: again[k] for k in wanted} == wanted


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (("train",), {"steps": "many"}, "steps cannot be read"),
        (("train",), {"steps": True}, "steps cannot be read"),
        (("train",), {"batch": 2.5}, "batch cannot be read"),
        (("train",), {"guidance": None}, "guidance cannot be read"),
        (("train",), {"rate": 1.0}, "rate is no argument of one"),
        (("uturn",), {"weights": None}, "weights cannot be read"),
        (("uturn",), {"weights": "/nowhere/at/all"}, "a file that is still there"),
        (("uturn",), {"weights": "a\0b"}, "a file that is still there"),
        (("lm", "windows"), {"stop": "."}, "stop cannot be read"),
        (("lm", "windows"), {"fractions": [0.1, "x"]}, "fractions cannot be read"),
        (("lm", "windows"), {"server": [1]}, "server cannot be read"),
        (("lm", "demo"), {"name": ["grammar"]}, "name cannot be read"),
        (("lm", "demo"), {"steps": -1}, "--steps = -1"),
    ],
)
def test_records_that_someone_has_changed(
    words: tuple[str, ...], changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    pytest.importorskip("tokenizers")
    folder = recorded(tmp_path / "first", words, **changes)
    refused(run(*words, "--from", folder, "--out", tmp_path / "again"), said)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "first"]


def test_a_record_without_an_argument_that_has_no_default(tmp_path: Path) -> None:
    for words in [("uturn",), ("window",)]:
        (tmp_path / "run.json").write_text(json.dumps({"command": words[0], "arguments": {}}))
        refused(run(*words, "--from", tmp_path), "is missing")
    # A group of settings is no default: the run would be another.
    record = {"command": "window", "arguments": {"source": "digits"}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    refused(run("window", "--from", tmp_path), "settings is missing")


@pytest.mark.parametrize("words", [("uturn",), ("lm", "windows")], ids=" ".join)
def test_a_file_that_has_changed_is_not_taken_for_the_first(words: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    folder = recorded(tmp_path / "first", words)
    record = json.loads((folder / "run.json").read_text())
    name = "weights" if words == ("uturn",) else "data"
    record["results"][f"{name}_sha256"] = "0" * 64
    (folder / "run.json").write_text(json.dumps(record))
    refused(run(*words, "--from", folder), f"--from, {name} = ", "changed since")


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_tree_cut_off_goes_on_and_leaves_only_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("orbax.checkpoint")
    command = ["tree", *OPTIONS, "--out", tmp_path / "out", "--resume", "--json"]
    with monkeypatch.context() as patch:
        patch.setattr("sloc.report.tree_command._write", interrupt)
        cut = run(*command)
    assert cut.exit_code == 130
    assert (
        cut.stderr.splitlines()[-1]
        == "sloc: stopped; nothing was written; the same command goes on from its checkpoints"
    )
    stages = checkpoint_folder(tmp_path / "out") / "stages"
    kept = json.loads((stages / "manifest.json").read_text())["stages"]
    assert kept
    refused(run(*command, "--seed", 1), "--resume", "differs in seed")
    other = run("window", *command[1:])
    refused(other, "--resume", "a run of sloc window; this is one of sloc tree")
    refused(run("replay", tmp_path / "out"), "the same command goes on from its checkpoints")
    ended = run(*command)
    assert ended.exit_code == 0, ended.output
    plain = run("tree", *OPTIONS, "--json")
    records = [json.loads(r.stdout)["results"]["processes"] for r in (ended, plain)]
    assert records[0] == records[1]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_run_that_was_stopped_says_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sloc.report.tree_command._write", interrupt)
    said = run("tree", *OPTIONS, "--out", tmp_path / "out").stderr.splitlines()[-1]
    assert said == (
        "sloc: stopped; nothing was written; the same command begins anew, one with --out and --resume would go on"
    )
    assert list(tmp_path.iterdir()) == []


def test_replay_evaluates_the_block_of_a_tree(tmp_path: Path) -> None:
    pytest.importorskip("orbax.checkpoint")
    file = tmp_path / "wild.npz"
    np.savez(file, x=np.asarray([[3e38], [-3e38], [0.0]]), y=np.asarray([0, 0, 1]))
    command = ["tree", file, "--scale", "none", "--process", "ou", "--n", "1024", "--times", "8"]
    alone = run(*command)
    assert alone.exit_code == 1, alone.output
    assert "returned NaN" in alone.stderr
    assert "after the same command with --out and --resume, sloc replay FOLDER evaluates" in alone.stderr
    assert "sloc.Plan" not in alone.stderr
    out = tmp_path / "out"
    failed = run(*command, "--out", out, "--resume")
    assert failed.exit_code == 1, failed.output
    assert failed.stderr.endswith("; sloc replay FOLDER evaluates that block alone\n")
    record = json.loads(run("replay", out, "--json").stdout)
    assert (record["command"], record["block"]) == ("tree", 0)
    assert any(a["nan"] > 0 for a in record["arrays"])


@pytest.mark.parametrize("words", list(PLACES), ids=" ".join)
def test_replay_of_a_run_that_ended_well_says_how_to_repeat_it(words: tuple[str, ...], tmp_path: Path) -> None:
    folder = recorded(tmp_path / "first", words)
    refused(run("replay", folder), f"this one ended well; sloc {' '.join(words)} --from {folder} repeats it")


def test_a_network_cut_off_while_it_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optax")
    pytest.importorskip("sklearn")
    from sloc.nn.weights import save_arrays
    from sloc.report.train_command import TrainRequest

    seen: list[bool] = []

    def trained(request: Any, parts: Any, kept: Path, quiet: bool) -> Any:
        """Train a part, keep it, and be stopped; then go on."""
        seen.append(kept.is_file())
        if not seen[-1]:
            save_arrays(kept, {"w": np.zeros(2, np.float32)}, {"step": "1"})
            raise KeyboardInterrupt
        fitted = type("Fitted", (), {"losses": np.zeros(2), "model": None})
        return fitted, {"parameters": 2, "steps": 2, "training_seconds": 0.0, "loss": 0.0, **JUDGED}, None

    monkeypatch.setattr("sloc.report.train_command._trained", trained)
    monkeypatch.setattr("sloc.nn.save_weights", lambda file, *_, **__: file.write_bytes(b""))
    command = ["train", "digits", "--model", "mlp", "--steps", "2", "--out", tmp_path / "out", "--resume"]
    cut = run(*command)
    assert (cut.exit_code, cut.stderr.count("\n")) == (130, 1)
    assert "the same command goes on from its checkpoints" in cut.stderr
    # The weights of another seed are not gone on from.
    refused(run(*command, "--seed", 1), "--resume", "differs in seed")
    # Nor are those of another version.
    note = checkpoint_folder(tmp_path / "out") / "request.json"
    before = note.read_text()
    note.write_text(before.replace(f'"jax": "{jax.__version__}"', '"jax": "0.0.1"'))
    refused(run(*command), "--resume", "differs in the version of jax")
    note.write_text(before)
    ended = run(*command)
    assert ended.exit_code == 0, ended.output
    assert seen == [False, True]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert f"written to {tmp_path / 'out'}" in ended.stdout
    again: list[Any] = []
    monkeypatch.setattr("sloc.report.train_command.run_train", lambda request, *_, **__: again.append(request))
    assert run("train", "--from", tmp_path / "out").exit_code == 0
    assert again == [TrainRequest(model="mlp", steps=2)]


JUDGED = {"accuracy_generated": 1.0, "accuracy_real": 1.0, "generated": 1, "real": 1}


def test_a_loss_that_is_nan_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optax")
    pytest.importorskip("sklearn")
    import sloc.nn

    def fit(*_: Any, **__: Any) -> None:
        raise FloatingPointError("the loss of step 7 is not a number: a smaller rate may help")

    monkeypatch.setattr(sloc.nn, "fit", fit)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = run("train", "digits", "--model", "mlp", "--steps", "9")
    assert result.exit_code == 1
    assert result.stderr == "sloc: the loss of step 7 is not a number: a larger --batch or another --seed may help\n"
