"""The command line: what it prints and writes, and every bad input that it must refuse without leaving a file."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from sloc.cli import app
from tests.public_outputs import hold_outputs

GAUSSIANS = ["window", "gaussians", "--means", "3;0;-3", "--weights", "0.5,0.25,0.25", "--n", "2048", "--times", "12"]
ANSWERS = (
    "question,fraction,answer\n"
    + "".join(
        f"q,{fraction},{answer}\n" for fraction in (0.2, 0.6) for answer in ("A", "B" if fraction < 0.5 else "A", "A")
    )
    + "q,1,A\n"
)
runner = CliRunner()


def run(*arguments: str) -> Any:
    return runner.invoke(app, [str(a) for a in arguments])


def refused(result: Any, *words: str) -> None:
    """Exit code 2, one message on standard error that holds the words, nothing on standard output."""
    assert result.exit_code == 2, (result.exit_code, result.output)
    assert result.stderr.startswith("sloc: "), result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    labels = np.repeat(["cat", "dog", "eel"], 8)
    x = rng.normal(size=(24, 3)) + np.repeat([[0.0], [4.0], [8.0]], 8, axis=0)
    frame = pd.DataFrame(x, columns=["pixel_1", "pixel_2", "other"]).assign(kind=labels, note="text")
    folder = tmp_path_factory.mktemp("data")
    frame.to_csv(folder / "data.csv", index=False)
    frame.to_parquet(folder / "data.parquet", index=False)
    np.savez(
        folder / "data.npz",
        x=rng.integers(0, 5, size=(24, 2, 2)),
        y=labels,
        short=labels[:5],
        one=np.zeros(24, int),
        nan=np.where(np.arange(24)[:, None] == 3, np.nan, x),
        inf=np.where(np.arange(24)[:, None] == 3, np.inf, x),
        text=labels,
    )
    return folder / "data.csv"


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("runs") / "first"
    return out, run(*GAUSSIANS, "--out", out, "--json")


def test_folder_holds_its_files(first_run: tuple[Path, Any]) -> None:
    out, result = first_run
    assert result.exit_code == 0, result.output
    files = ["curves.nc", "run.json", "tree.csv", "tree.nwk", "windows.csv", "windows.png"]
    assert sorted(p.name for p in out.iterdir()) == files
    assert (out / "windows.png").read_bytes().startswith(b"\x89PNG")
    assert [p for p in out.parent.iterdir() if p != out] == []
    hold_outputs("window", out)


def test_json_is_all_there_is_on_standard_output(first_run: tuple[Path, Any]) -> None:
    out, result = first_run
    record = json.loads(result.stdout)
    assert record["command"] == "window"
    assert record["output"] == str(out)
    assert [w["a"] for w in record["results"]["processes"]["ou"]["windows"]] == record["results"]["processes"]["ou"][
        "order"
    ]
    said = " ".join(result.stderr.split())
    assert re.search(r"noise levels .*: (about \d+ s|less than a second), compilation aside", said)


def test_files_agree(first_run: tuple[Path, Any]) -> None:
    out, _ = first_run
    frame = pd.read_csv(out / "windows.csv")
    assert list(frame["kind"]) == ["class"] * 3 + ["pair"] * 3
    with xr.open_dataset(out / "curves.nc", engine="h5netcdf") as curves:
        assert dict(curves.sizes) == {"process": 1, "step": 12, "class": 3, "pair": 3, "start": 3, "label": 3}
        assert bool((np.diff(curves["time"].values[0]) > 0).all())
        assert bool((curves["tv_class_lower"] <= curves["tv_class_upper"]).all())
        assert curves["information"].attrs["units"] == "bits"
        assert all(0 < curves[f"{name}_lower"].attrs["delta"] <= 0.05 for name in ("information", "tv_class", "labels"))


def test_middle_component_is_decided_last(first_run: tuple[Path, Any]) -> None:
    # Means 3, 0, -3: the middle one borders on both others, so its TV to the rest is the smallest at every t.
    order = json.loads(first_run[1].stdout)["results"]["processes"]["ou"]["order"]
    assert order[-1] == "1"


def test_run_json_repeats_the_run_exactly(first_run: tuple[Path, Any], tmp_path: Path) -> None:
    out, _ = first_run
    again = tmp_path / "again"
    result = run("window", "--from", out / "run.json", "--out", again)
    assert result.exit_code == 0, result.output
    assert (again / "windows.csv").read_bytes() == (out / "windows.csv").read_bytes()
    with (
        xr.open_dataset(out / "curves.nc", engine="h5netcdf") as a,
        xr.open_dataset(again / "curves.nc", engine="h5netcdf") as b,
    ):
        xr.testing.assert_identical(a, b)


def test_same_options_same_numbers(first_run: tuple[Path, Any], tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run(*GAUSSIANS, "--out", again).exit_code == 0
    assert (again / "windows.csv").read_bytes() == (first_run[0] / "windows.csv").read_bytes()


def test_one_device_gives_the_same_numbers(first_run: tuple[Path, Any], tmp_path: Path) -> None:
    again = tmp_path / "again"
    result = run(*GAUSSIANS, "--devices", "1", "--out", again)
    assert result.exit_code == 0, result.output
    assert (again / "windows.csv").read_bytes() == (first_run[0] / "windows.csv").read_bytes()


def test_another_run_is_kept_unless_overwritten(first_run: tuple[Path, Any]) -> None:
    out, _ = first_run
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    refused(run(*GAUSSIANS, "--seed", "1", "--out", out), "already holds", "--overwrite")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_overwrite_replaces(first_run: tuple[Path, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text("{}")
    result = run("window", "--from", first_run[0], "--out", out, "--overwrite")
    assert result.exit_code == 0, result.output
    assert (out / "windows.csv").is_file()


def test_two_gaussians_are_exact() -> None:
    result = run(
        "window", "gaussians", "--means", "4,0;-4,0", "--weights", "0.5,0.5", "--n", "2048", "--times", "12", "--json"
    )
    assert result.exit_code == 0, result.output
    for w in json.loads(result.stdout)["results"]["processes"]["ou"]["windows"]:
        assert w["t_after"] == pytest.approx(0.4401, abs=5e-5)
        assert w["t_before"] == pytest.approx(2.7593, abs=5e-5)
        assert w["draws"] == 0


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_data_files(table: Path, tmp_path: Path, kind: str) -> None:
    file = table.with_suffix(f".{kind}")
    process = "masking" if kind == "npz" else "ou"
    options = ["--labels", "y", "--image", "2x2"] if kind == "npz" else ["--labels", "kind", "--x", "pixel*,other"]
    out = tmp_path / "out"
    result = run("window", file, *options, "--process", process, "--n", "1024", "--times", "8", "--out", out)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(out / "windows.csv")
    assert set(frame["process"]) == {process}
    assert set(frame["a"]) == {"cat", "dog", "eel"}
    record = json.loads((out / "run.json").read_text())
    assert len(record["results"]["source_sha256"]) == 64


def test_classes_restrict_the_report(table: Path) -> None:
    result = run("window", table, "--labels", "kind", "--classes", "dog,eel", "--n", "1024", "--times", "8", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["results"]["processes"]["ou"]
    assert {w["a"] for w in found["windows"]} == {"dog", "eel"}
    assert [(p["a"], p["b"]) for p in found["pairs"]] == [("dog", "eel")]


def test_changed_file_is_not_repeated(table: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "copy.csv", tmp_path / "out"
    copy.write_bytes(table.read_bytes())
    options = ["--labels", "kind", "--n", "1024", "--times", "8"]
    assert run("window", copy, *options, "--out", out).exit_code == 0
    copy.write_bytes(table.read_bytes().replace(b"cat", b"bat"))
    refused(run("window", "--from", out, "--out", tmp_path / "again"), "changed since")
    assert not (tmp_path / "again").exists()


def _bad_cases() -> list[Any]:
    g = ["window", "gaussians"]
    return [
        pytest.param(["window"], ["SOURCE"], id="no source"),
        pytest.param(["window", "missing.csv"], ["missing.csv", "exists"], id="no file"),
        pytest.param(["window", "{dir}/empty.csv"], ["empty"], id="empty csv"),
        pytest.param(["window", "{dir}/empty.npz"], ["empty"], id="empty npz"),
        pytest.param(["window", "{dir}/rubbish.npz"], ["expected a NumPy .npz"], id="not an npz"),
        pytest.param(["window", "{dir}/rubbish.parquet"], ["expected a parquet table"], id="not parquet"),
        pytest.param(["window", "{dir}/header.csv", "--labels", "b"], ["at least two rows"], id="header only"),
        pytest.param(["window", "{dir}/data.txt"], [".npz, .csv"], id="unknown kind"),
        pytest.param(
            ["window", "{csv}", "--labels", "colour"],
            ["--labels = colour: expected one of the columns: ", "kind"],
            id="no label column",
        ),
        pytest.param(
            ["window", "{csv}", "--labels", "kind", "--x", "size"],
            ["--x = size: expected one of the columns: "],
            id="no x column",
        ),
        pytest.param(["window", "{csv}", "--labels", "kind", "--x", "note"], ["numbers"], id="text column"),
        pytest.param(["window", "{npz}", "--x", "z"], ["--x = z: ", "arrays in the file"], id="no x array"),
        pytest.param(
            ["window", "{csv}", "--labels", "other"],
            ["--labels = other: expected labels that are text or whole numbers, not"],
            id="a column of measurements as labels",
        ),
        pytest.param(["window", "{npz}", "--labels", "short"], ["5 labels", "24"], id="labels of wrong length"),
        pytest.param(
            ["window", "{npz}", "--labels", "one"],
            ["--labels = one: ", "at least two classes; all labels are 0"],
            id="one class",
        ),
        pytest.param(
            ["window", "{npz}", "--x", "nan"], ["--x = nan: expected finite numbers only; 3 values"], id="NaN"
        ),
        pytest.param(
            ["window", "{npz}", "--x", "inf"], ["--x = inf: expected finite numbers only; 3 values"], id="infinite"
        ),
        pytest.param(["window", "{npz}", "--x", "text"], ["numbers"], id="text array"),
        pytest.param(["window", "{npz}", "--image", "3x3"], ["--image", "with 4 pixels"], id="image size"),
        pytest.param(["window", "{npz}", "--image", "wide"], ["--image", "8x8"], id="image text"),
        pytest.param(["window", "{npz}", "--scale", "big"], ["--scale", "standard"], id="scale"),
        pytest.param(
            ["window", "{npz}", "--means", "1;2"],
            ["--means = 1;2: expected no such option with a data file"],
            id="foreign option",
        ),
        pytest.param([*g], ["--means = nothing: expected a row of numbers for each Gaussian"], id="no means"),
        pytest.param([*g, "--means", "1;2", "--labels", "foo"], ["--labels = foo", "data files"], id="foreign labels"),
        pytest.param([*g, "--means", "1;nan"], ["--means = 1;nan: expected finite numbers"], id="means NaN"),
        pytest.param([*g, "--means", "1;inf"], ["--means = 1;inf: expected finite numbers"], id="means infinite"),
        pytest.param([*g, "--means", "1"], ["--means = 1: expected at least two Gaussians"], id="one mean"),
        pytest.param([*g, "--means", "1;a"], ["--means", "numbers"], id="means text"),
        pytest.param([*g, "--means", "1;2,3"], ["--means", "rows of one length"], id="ragged means"),
        pytest.param(
            [*g, "--means", "1;2", "--weights", "0.5,0.6"],
            ["--weights = 0.5,0.6: ", "these sum to 1.1"],
            id="weights sum",
        ),
        pytest.param(
            [*g, "--means", "1;2", "--weights=-0.5,1.5"],
            ["--weights = -0.5,1.5: expected positive numbers"],
            id="negative weight",
        ),
        pytest.param(
            [*g, "--means", "1;2", "--weights", "0.2,0.3,0.5"],
            ["--weights = 0.2,0.3,0.5: expected 2 numbers"],
            id="weights length",
        ),
        pytest.param(
            [*g, "--means", "1,0;2,0", "--covariances", "1,2;2,1"],
            ["--covariances = 1,2;2,1: ", "positive definite", "smallest eigenvalue here is -1"],
            id="covariance",
        ),
        pytest.param([*g, "--means", "1;2", "--covariances=-1"], ["--covariances = -1: "], id="negative variance"),
        pytest.param([*g, "--means", "1,0;2,0", "--covariances", "1,2;0,1"], ["symmetric"], id="asymmetric"),
        pytest.param(
            [*g, "--means", "1,0;2,0", "--covariances", "1,2,3"], ["a matrix of 2 x 2"], id="covariance shape"
        ),
        pytest.param([*GAUSSIANS, "--epsilon", "0"], ["--epsilon", "a number from 1e-06"], id="epsilon 0"),
        pytest.param([*GAUSSIANS, "--epsilon", "1.5"], ["--epsilon", "a number from 1e-06"], id="epsilon above 1"),
        pytest.param([*GAUSSIANS, "--n", "1"], ["--n", "at least 2"], id="n below 2"),
        pytest.param([*GAUSSIANS, "--n", "abc"], ["--n = abc: expected a whole number"], id="n is a word"),
        pytest.param([*GAUSSIANS, "--n", "1.5"], ["--n = 1.5: expected a whole number"], id="n is broken"),
        pytest.param([*GAUSSIANS, "--n", "1e999999999"], ["--n = 1e999999999: "], id="n is huge"),
        pytest.param([*GAUSSIANS, "--delta", "nan"], ["--delta = nan: expected a number"], id="delta NaN"),
        pytest.param([*GAUSSIANS, "--foo", "1"], ["--foo"], id="unknown option"),
        pytest.param([*GAUSSIANS, "--times", "2"], ["--times", "8"], id="few times"),
        pytest.param([*GAUSSIANS, "--seed", "-1"], ["--seed"], id="seed"),
        pytest.param([*GAUSSIANS, "--devices", "99"], ["--devices"], id="devices"),
        pytest.param(
            [*GAUSSIANS, "--devices", "gpu"],
            ["--devices = gpu: expected a kind of device that is here: cpu"],
            id="no GPU",
            marks=pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is an accelerator"),
        ),
        pytest.param([*GAUSSIANS, "--classes", "0,zebra"], ["--classes", "zebra"], id="unknown class"),
        pytest.param([*GAUSSIANS, "--process", "brownian"], ["--process", "masking"], id="unknown process"),
        pytest.param(
            [*GAUSSIANS, "--process", "ou,ou"], ["--process = ou,ou: expected each process once"], id="process twice"
        ),
        pytest.param([*GAUSSIANS, "--process", "masking"], ["Masking"], id="process without a likelihood here"),
        pytest.param(["window", "--from", "{csv}"], ["--from", "run.json"], id="from no run"),
        pytest.param(["window", "--from", "nowhere"], ["--from"], id="from nothing"),
        pytest.param(["window", "--from", "nowhere", "--n", "5"], ["--from", "no other options", "n"], id="from and n"),
        pytest.param(["traces", "missing.csv"], ["TABLE = missing.csv: "], id="no traces"),
        pytest.param(["traces", "{answers}", "--rise", "2"], ["--rise = 2: "], id="rise"),
        pytest.param(["traces", "{answers}", "--rise", "big"], ["--rise = big: expected a number"], id="rise text"),
        pytest.param(["traces", "{answers}", "--alpha", "0"], ["--alpha = 0: "], id="alpha"),
        pytest.param(["traces", "{answers}", "--max-drop", "3"], ["--max-drop = 3: "], id="max drop"),
        pytest.param(["traces", "{answers}", "--across", "all"], ["--across: 'all'", "holm"], id="across"),
    ]


@pytest.mark.parametrize(("arguments", "words"), _bad_cases())
def test_bad_input_is_refused_and_nothing_is_written(
    table: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in (
        ("empty.csv", b""),
        ("empty.npz", b""),
        ("rubbish.npz", b"abc"),
        ("header.csv", b"a,b\n"),
        ("rubbish.parquet", b"abc"),
        ("data.txt", b"1 2"),
    ):
        (folder / name).write_bytes(content)
    answers = folder / "answers.csv"
    answers.write_text(ANSWERS)
    names = {
        "{answers}": str(answers),
        "{dir}": str(folder),
        "{csv}": str(table),
        "{npz}": str(table.with_suffix(".npz")),
    }
    filled = []
    for argument in arguments:
        for word, value in names.items():
            argument = argument.replace(word, value)
        filled.append(argument)
    refused(run(*filled, "--out", tmp_path / "out"), *words)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("window gaussians --means 1;2 --process", ["--process = '': expected something"]),
        ("window gaussians --means 1;2 --classes", ["--classes = '': expected something"]),
        ("lm windows --model {dir} --data {dir}/q.jsonl --task math --judge-labels", ["--judge-labels = '': "]),
        ("lm windows --model {dir} --data {dir}/q.jsonl --task math --fractions", ["--fractions = '': "]),
    ],
)
def test_an_option_without_a_value_is_not_one_left_out(line: str, words: list[str], tmp_path: Path) -> None:
    refused(run(*line.replace("{dir}", str(tmp_path)).split(), ""), *words)


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ("lm windows --model {dir} --data {dir}/q.jsonl --task math --dtype int3", "--dtype = int3: "),
        ("lm windows --model {dir}/none --data {dir}/q.jsonl --task math", "--model = {dir}/none: "),
        ("lm windows --model {dir} --data {dir}/q.jsonl --task math", "--model = {dir}: "),
        ("lm demo stories", "--model = nothing: expected the folder of a model of short stories"),
        ("lm demo stories --model {dir}/none", "--model = {dir}/none: "),
        ("uturn {dir}/q.jsonl", "WEIGHTS = {dir}/q.jsonl: expected a safetensors file"),
    ],
)
def test_a_refusal_names_the_option_that_was_typed(line: str, start: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    result = run(*line.replace("{dir}", str(tmp_path)).split())
    refused(result)
    assert result.stderr.startswith(f"sloc: {start}".replace("{dir}", str(tmp_path))), result.stderr


def test_output_folders_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    refused(run(*GAUSSIANS, "--out", file), f"--out = {file}: ", "this is a file")
    refused(run(*GAUSSIANS, "--out", ""), "--out = '': ")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    refused(run(*GAUSSIANS, "--out", other, "--overwrite"), "other files")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "other", "thesis.tex"]


@pytest.mark.parametrize("command", ["window", "traces"])
@pytest.mark.parametrize("place", ["{file}/inside", "{file}/deep/inside", "/proc/sloc-test", "{long}"])
def test_places_where_no_folder_can_be_made_are_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, command: str
) -> None:
    # None of these depends on permission bits, which do not bind the superuser.
    if place.startswith("/proc") and not Path("/proc/self").is_dir():
        pytest.skip("this system has no /proc")
    file, answers = tmp_path / "file", tmp_path / "answers.csv"
    file.write_text("mine")
    answers.write_text(ANSWERS)

    def too_late(*_: Any, **__: Any) -> None:
        raise AssertionError("the run has begun")

    monkeypatch.setattr("sloc.report.window_command.measured", too_late)
    monkeypatch.setattr("sloc.report.traces_command.read_frame", too_late)
    out = place.format(file=file, long=tmp_path / ("x" * 300))
    arguments = GAUSSIANS if command == "window" else ["traces", str(answers)]
    refused(run(*arguments, "--out", out), f"--out = {out[:60]}")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["answers.csv", "file"]


def test_unreadable_source_is_refused(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permission bits do not bind the superuser, so the answer of the operating system is set.
    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    result = run("window", table, "--labels", "kind", "--out", tmp_path / "out")
    refused(result, f"SOURCE = {table}: expected a file that can be read (Permission denied)")
    assert list(tmp_path.iterdir()) == []


def test_n_may_have_an_exponent(tmp_path: Path) -> None:
    result = run("window", "gaussians", "--means", "4;-4", "--n", "2e3", "--times", "8", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["arguments"]["settings"]["n"] == 2000


def test_labels_named_na_are_labels(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    rows = [f"{value},{label}" for value, label in zip(range(6), ["NA", "nan", "None"] * 2, strict=True)]
    file.write_text("\n".join(["x,y", *rows]))
    result = run("window", file, "--n", "1024", "--times", "8", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["results"]["classes"] == ["NA", "None", "nan"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_parent(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        refused(run(*GAUSSIANS, "--out", tmp_path / "out"), "--out = ", "can be made")
    finally:
        tmp_path.chmod(0o700)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    refused(run("window", "digits", "--n", "1024"), "scikit-learn", "sloc[viz]")


def test_info() -> None:
    found = json.loads(run("info", "--json").stdout)
    assert found["x64"] is False
    assert found["precision"] == "float32"
    assert {"sloc", "jax", "jaxlib", "numpy", "python", "devices"} <= set(found)
    assert "jaxlib" in run("info").stdout


def test_devices_that_are_not_here_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, Any] = {"__name__": "jax._src.xla_bridge"}
    exec("def none():\n    raise RuntimeError('Unable to initialize backend')", space)
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    with monkeypatch.context() as patch:
        patch.setattr(jax, "local_devices", space["none"])
        refused(run("info"), "JAX_PLATFORMS = abacus: expected kinds of devices that JAX finds here")

    def other() -> None:
        raise RuntimeError("something else")

    # What is not known stays an error with its traceback.
    monkeypatch.setattr(jax, "local_devices", other)
    assert isinstance(run("info").exception, RuntimeError)


def test_help_holds_the_column_rules() -> None:
    result = run("window", "--help")
    assert result.exit_code == 0
    assert "pixel*" in result.stdout
    assert "parquet" in result.stdout
