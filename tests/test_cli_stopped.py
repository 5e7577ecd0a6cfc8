"""Commands that end before their end: a full disk, Ctrl-C, a kill.  One line, and the folders as they were."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sloc.cli import app

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
    rows = [f"q,{f},{a}\n" for f in (0.2, 0.6) for a in "AAB"]
    file.write_text("question,fraction,answer\n" + "".join(rows) + "q,1,A\n")
    return file


@pytest.mark.parametrize("limit", [100, pytest.param(8_000, marks=pytest.mark.slow)])
def test_traces_whose_files_do_not_fit(answers: Path, limit: int) -> None:
    out = answers.parent / "new" / "out"
    one_line(ended(["traces", answers, "--out", out], limit), "File too large", str(out))
    assert list(answers.parent.iterdir()) == [answers]


@pytest.mark.parametrize("limit", [8_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 30_000))])
def test_a_window_whose_files_do_not_fit(tmp_path: Path, limit: int) -> None:
    out = tmp_path / "new" / "out"
    one_line(ended([*WINDOW, "--out", out], limit), "File too large", str(out))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["tree", "window"])
@pytest.mark.parametrize("size", ["12k", "20k", "100k"])
def test_a_disk_that_is_full_in_the_middle(tmp_path: Path, verb: str, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, size):
        # A page for each file and folder, so that even the last fills up somewhere in the middle.
        (disk / "ballast").write_bytes(bytes(90_000 if size == "100k" else 4_000))
        one_line(ended([verb, *WINDOW[1:], "--out", disk / "out"]), "No space left on device", str(disk / "out"))
        assert [p.name for p in disk.iterdir()] == ["ballast"]


class mounted:
    """A file system in memory of a size; the test is skipped where none can be mounted."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder, self.size = folder, size

    def __enter__(self) -> None:
        mount = shutil.which("mount")
        command = [str(mount), "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", str(self.folder)]
        if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


@pytest.mark.nightly
@pytest.mark.parametrize("model", ["unet", "classifier"])
@pytest.mark.parametrize("limit", [100, 20_000, 200_000])
def test_a_trained_network_whose_files_do_not_fit(tmp_path: Path, model: str, limit: int) -> None:
    pytest.importorskip("optax")
    options = ["--model", model, "--steps", "1", "--batch", "8", "--samples", "1"]
    one_line(ended(["train", "digits", *options, "--out", tmp_path / "out"], limit), "File too large")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_a_u_turn_whose_files_do_not_fit(tmp_path: Path) -> None:
    pytest.importorskip("optax")
    model = tmp_path / "model"
    done = ended(["train", "digits", "--steps", "1", "--batch", "8", "--samples", "1", "--out", model])
    assert done.returncode == 0, done.stderr
    options = ["--times", "2", "--n", "2", "--steps", "1"]
    for limit in (100, 10_000):
        result = ended(["uturn", model / "weights.safetensors", *options, "--out", tmp_path / "out"], limit)
        one_line(result, "File too large")
        assert list(tmp_path.iterdir()) == [model]


@pytest.mark.nightly
@pytest.mark.parametrize("limit", [100, 4_000])
def test_a_text_experiment_whose_files_do_not_fit(tmp_path: Path, limit: int) -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("optax")
    options = ["grammar", "--steps", "2", "--texts", "2", "--resamples", "2", "--lanes", "8"]
    one_line(ended(["lm", "demo", *options, "--out", tmp_path / "out"], limit), "File too large")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_killed_leaves_nothing_to_the_next(tmp_path: Path, answers: Path) -> None:
    # The last file waits for the signal, so that it comes when the others lie in the temporary folder.
    code = (
        "import sys, time\n"
        "from sloc.report import command_run\n"
        "def wait(*_):\n"
        "    print('written', file=sys.stderr, flush=True); time.sleep(60)\n"
        "command_run.write_run_json = wait\n"
        "from sloc.cli import main; main()"
    )
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", code, "traces", str(answers), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
    ) as process:
        assert process.stderr is not None
        while "written" not in process.stderr.readline() and process.poll() is None:
            pass
        hidden = [p for p in tmp_path.iterdir() if p.name.startswith(".out.partial-")]
        assert len(hidden) == 1
        # A run that lives keeps what it has written.
        other = CliRunner().invoke(app, ["traces", str(answers), "--out", str(out)])
        assert other.exit_code == 0, other.output
        assert hidden[0].is_dir()
        process.kill()
    assert hidden[0].is_dir()
    again = CliRunner().invoke(app, ["traces", str(answers), "--out", str(out), "--overwrite"])
    assert again.exit_code == 0, again.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.csv", "out"]


@pytest.mark.parametrize("stage", ["run_process", "plot_windows"])
def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"sloc.report.window_command.{stage}", interrupt)
    result = CliRunner().invoke(app, [*WINDOW, "--out", str(tmp_path / "new" / "out")])
    assert result.exit_code == 130
    assert "nothing was written" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_on_a_running_command_leaves_no_file(tmp_path: Path) -> None:
    # The handler is set by hand: a test run started in the background hands down an ignored SIGINT.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from sloc.cli import main; main()"
    arguments = [*WINDOW[:-4], "--n", str(10**9), "--times", "8", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = ""
        while "trajectories" not in line and process.poll() is None:
            line = process.stderr.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "nothing was written" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_on_traces_while_files_are_written_leaves_no_file(tmp_path: Path, answers: Path) -> None:
    # The last file waits for the signal, so that it comes when the others lie in the temporary folder.
    code = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from sloc.report import command_run\n"
        "def wait(folder, *_):\n"
        "    print('written:', *(p.name for p in folder.iterdir()), file=sys.stderr, flush=True); time.sleep(60)\n"
        "command_run.write_run_json = wait\n"
        "from sloc.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "traces", str(answers), "--out", str(tmp_path / "new" / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = ""
        while "written:" not in line and process.poll() is None:
            line = process.stderr.readline()
        assert "steps.csv" in line
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "nothing was written" in errors
    assert "Traceback" not in errors
    assert [p.name for p in tmp_path.iterdir()] == ["answers.csv"]
