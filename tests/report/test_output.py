"""Output folders appear whole or not at all, and never take a person's files with them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.report import output
from sloc.report.output import check_run_folder, jsonable, run_folder, versions, write_run_json


def fill(folder, text="one"):
    """Write a small run."""
    (folder / "windows.csv").write_text(text)
    write_run_json(folder, "traces", {"rise": 0.5}, {"windows": 1}, 0.5)


def names(folder):
    """Names in a folder, hidden ones included."""
    return sorted(p.name for p in folder.iterdir())


def test_a_run_appears_whole_with_its_record(tmp_path):
    out = tmp_path / "a" / "b"
    with run_folder(out) as folder:
        fill(folder)
        assert not out.exists()
    assert names(out) == ["run.json", "windows.csv"]
    assert names(tmp_path / "a") == ["b"]
    record = json.loads((out / "run.json").read_text())
    assert record["files"] == ["run.json", "windows.csv"]
    assert record["arguments"] == {"rise": 0.5}
    assert record["versions"]["numpy"] == np.__version__
    assert (out.stat().st_mode & 0o777) == (out.parent.stat().st_mode & 0o777)


def test_an_empty_folder_is_used(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with run_folder(out) as folder:
        fill(folder)
    assert names(out) == ["run.json", "windows.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_a_failure_or_ctrl_c_leaves_nothing(tmp_path, error):
    def interrupted():
        with run_folder(tmp_path / "new" / "out") as folder:
            fill(folder)
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_a_failure_while_overwriting_leaves_the_old_run(tmp_path):
    out = tmp_path / "out"
    with run_folder(out) as folder:
        fill(folder, "old")

    def interrupted():
        with run_folder(out, overwrite=True) as folder:
            fill(folder, "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (out / "windows.csv").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_an_interrupt_between_the_two_renames_restores_the_old_run(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with run_folder(out) as folder:
        fill(folder, "old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "_rename_onto_nothing", interrupt)

    def overwritten():
        with run_folder(out, overwrite=True) as folder:
            fill(folder, "new")

    with pytest.raises(KeyboardInterrupt):
        overwritten()
    assert (out / "windows.csv").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_another_run_is_refused_unless_overwritten(tmp_path):
    out = tmp_path / "out"
    with run_folder(out) as folder:
        fill(folder, "old")
        (folder / "old_only.png").write_text("x")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="already holds one"):
        check_run_folder(out)
    with pytest.raises(InvalidInput, match="already holds one"), run_folder(out):
        pytest.fail("the block must not run")
    with run_folder(out, overwrite=True) as folder:
        fill(folder, "new")
    assert names(out) == ["notes.txt", "run.json", "windows.csv"]
    assert (out / "windows.csv").read_text() == "new"
    assert (out / "notes.txt").read_text() == "mine"
    assert "notes.txt" not in json.loads((out / "run.json").read_text())["files"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_other_files_is_refused_even_to_overwrite(tmp_path, overwrite):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidInput, match="holds other files"):
        check_run_folder(out, overwrite)
    assert names(out) == ["thesis.tex"]


def test_a_file_a_folder_in_a_file_and_the_current_directory_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InvalidInput, match="this is a file"):
        check_run_folder(file)
    with pytest.raises(InvalidInput, match="can be written to"):
        check_run_folder(file / "inside")
    inner = tmp_path / "here" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    for path in (".", "..", str(inner)):
        with pytest.raises(InvalidInput, match="current directory"):
            check_run_folder(path)
    with pytest.raises(InvalidInput, match="name of a folder"):
        check_run_folder("  ")


@pytest.mark.parametrize("place", ["file/inside", "file/deep/inside", "/proc/sloc-test", "x" * 300, "new/" + "x" * 300])
def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path, place):
    # None of these depends on permission bits, which do not bind the superuser.
    if place.startswith("/proc") and not os.path.isdir("/proc/self"):
        pytest.skip("this system has no /proc")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="output folder = "):
        check_run_folder(tmp_path / place)
    with pytest.raises(InvalidInput, match="output folder = "), run_folder(tmp_path / place):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["file"]


def test_a_check_leaves_nothing_behind(tmp_path):
    assert check_run_folder(tmp_path / "a" / "b") == (tmp_path / "a" / "b").resolve()
    assert names(tmp_path) == []


def test_a_mount_point_is_refused(tmp_path, monkeypatch):
    # It could not be renamed away when the run is done.
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(InvalidInput, match="new folder inside it"):
        check_run_folder(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InvalidInput, match="can be written to"), run_folder(tmp_path / "out"):
            pytest.fail("the block must not run")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_while_making_the_folder_is_a_message(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.mkdir", full)
    with pytest.raises(InvalidInput, match="No space left"):
        check_run_folder(tmp_path / "out")
    with pytest.raises(InvalidInput, match="No space left"), run_folder(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_a_folder_filled_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out"

    def late():
        with run_folder(out) as folder:
            fill(folder, "slow")
            with run_folder(out) as other:
                fill(other, "quick")

    with pytest.raises(InvalidInput, match="already holds one"):
        late()
    assert (out / "windows.csv").read_text() == "quick"
    assert names(tmp_path) == ["out"]


def test_a_run_without_a_record_is_refused(tmp_path):
    def silent():
        with run_folder(tmp_path / "out") as folder:
            (folder / "windows.csv").write_text("x")

    with pytest.raises(InvalidInput, match=r"run\.json"):
        silent()
    assert names(tmp_path) == []


def test_jsonable_turns_arrays_paths_and_non_finite_numbers(tmp_path):
    value = {"a": np.arange(2), "b": (np.float64(0.5), float("nan")), "c": tmp_path, 1: {3}, "d": np.inf}
    assert jsonable(value) == {"a": [0, 1], "b": [0.5, None], "c": str(tmp_path), "1": [3], "d": None}
    assert {"python", "jax", "numpy"} <= set(versions())


def _gone() -> int:
    """Return the number of a process that has ended."""
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def _left(out, kind, process, here=None):
    """Leave what a killed run leaves."""
    folder = out.parent / f".{out.name}.{kind}-{here or output._here()}-{process}-0123"
    folder.mkdir()
    fill(folder, kind)
    return folder


@pytest.mark.parametrize("start", [check_run_folder, lambda out: run_folder(out).__enter__()])
def test_what_killed_runs_left_of_the_same_folder_is_removed(tmp_path, start):
    out, gone = tmp_path / "out", _gone()
    mine, theirs = _left(out, "partial", gone), _left(tmp_path / "out2", "partial", gone)
    living, elsewhere = _left(out, "partial", os.getpid()), _left(out, "partial", gone, "ffffff")
    start(out)
    assert not mine.exists()
    assert all(folder.is_dir() for folder in (theirs, living, elsewhere))


def test_a_run_that_a_killed_one_had_moved_away_comes_back(tmp_path):
    out = tmp_path / "out"
    _left(out, "replaced", _gone())
    with pytest.raises(InvalidInput, match="already holds one"):
        check_run_folder(out)
    assert names(tmp_path) == ["out"]
    _left(out, "replaced", _gone())
    check_run_folder(out, overwrite=True)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("encoder error")])
def test_what_cannot_be_written_names_the_folder_that_was_asked_for(tmp_path, error):
    def full():
        with run_folder(tmp_path / "out"):
            raise error

    with pytest.raises(OSError, match=r"No space|encoder") as raised:
        full()
    assert raised.value.filename == str(tmp_path / "out")
    assert names(tmp_path) == []

    def full_in_a_writer():
        with run_folder(tmp_path / "out"):
            raise InvalidInput("path = a: expected a place that can be written to") from error

    with pytest.raises(OSError, match=r"No space|encoder"):
        full_in_a_writer()


def test_netcdf_in_memory_is_what_xarray_reads(tmp_path):
    import xarray as xr

    data = xr.Dataset({"a": ("x", np.arange(3.0)), "b": ("x", ["a", "bb", "ü"])}, attrs={"unit": "bits"})
    output.write_netcdf(data, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), data)
