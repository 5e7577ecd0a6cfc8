"""``--resume`` and ``sloc replay``: checkpoints beside the output, gone when it is there, and the block that failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sloc.cli import app
from sloc.report.checkpoints import checkpoint_folder

OPTIONS = ["--labels", "y", "--x", "x", "--scale", "none", "--process", "ou", "--n", "2048", "--times", "8"]
runner = CliRunner()


def run(*arguments: Any) -> Any:
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.savez(folder / "good.npz", x=rng.normal(size=(12, 2)) + np.repeat([[0.0], [4.0]], 6, 0), y=np.repeat([0, 1], 6))
    np.savez(folder / "wild.npz", x=np.asarray([[3e38], [-3e38], [0.0]]), y=np.asarray([0, 0, 1]))
    return folder


def curves(record: dict[str, Any]) -> Any:
    (found,) = record["results"]["processes"].values()
    return {k: v for k, v in found.items() if k not in ("seconds", "summary")}


def test_a_run_cut_off_goes_on_and_leaves_only_its_output(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run("window", data / "good.npz", *OPTIONS, "--json")
    assert plain.exit_code == 0, plain.output

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    command = ["window", data / "good.npz", *OPTIONS, "--out", tmp_path / "out", "--resume", "--json"]
    with monkeypatch.context() as patch:
        patch.setattr("sloc.report.window_command._write", interrupt)
        cut = run(*command)
    assert cut.exit_code == 130
    folder = checkpoint_folder(tmp_path / "out")
    assert folder.is_dir()
    assert not (tmp_path / "out").exists()
    # Another run does not go on from there, and does no harm.
    other = run(*command, "--seed", 1)
    assert other.exit_code == 2
    assert "differs in seed" in other.stderr
    ended = run(*command)
    assert ended.exit_code == 0, ended.output
    assert curves(json.loads(ended.stdout)) == curves(json.loads(plain.stdout))
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_resume_needs_a_place(data: Path) -> None:
    result = run("window", data / "good.npz", *OPTIONS, "--resume")
    assert result.exit_code == 2
    assert "--resume" in result.stderr
    assert "--out" in result.stderr


def test_values_that_are_not_numbers_name_a_block_that_replay_evaluates(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    failed = run("window", data / "wild.npz", *OPTIONS, "--out", out, "--resume")
    assert failed.exit_code == 1, failed.output
    assert "block 0 of key" in failed.stderr
    assert "returned NaN" in failed.stderr
    assert not out.exists()
    found = run("replay", out, "--json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert record["block"] == 0
    assert any(a["nan"] > 0 and a["first"] is not None for a in record["arrays"])
    said = run("replay", out)
    assert "of them NaN, first at" in said.stdout


def test_replay_refuses_what_did_not_fail(tmp_path: Path) -> None:
    result = run("replay", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "expected a run with --resume" in result.stderr
