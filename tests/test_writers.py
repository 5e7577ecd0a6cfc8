"""What writes a file writes all of it or nothing, and refuses a place that is none in the same words."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sloc.contracts import InvalidInput
from sloc.contracts.writing import write_whole

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 100
"""Bytes that no file may grow beyond, where the disk is full; every file here is larger."""


@functools.cache
def _recording() -> Any:
    from sloc.windows import recordings_from_table

    rows = [(f, a) for f in range(8) for a in ("left", "right", "left" if f < 4 else "right") * 4]
    table = {"question": ["q"] * len(rows), "position": [f for f, _ in rows], "answer": [a for _, a in rows]}
    return recordings_from_table(pd.DataFrame(table))[0][0]


@functools.cache
def _analysis() -> Any:
    from sloc.report.recorded_analysis import analyse

    return analyse([_recording()])


def _weights(path: Path) -> None:
    nn = pytest.importorskip("sloc.nn")
    from flax import nnx

    nn.save_weights(path, nn.MLPDenoiser((2,), 2, width=4, depth=1, rngs=nnx.Rngs(0)))


def _recorded_picture(path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sloc.report import plot_recorded

    found = _analysis()
    plot_recorded(found.curves, found.moves, path)


def _traces_picture(path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sloc.windows import trace_windows
    from sloc.windows.traces_table import trace_table

    rows = [("q", f, "A" if f < 0.5 else "B") for f in (0.2, 0.8, 1.0) for _ in range(10)]
    trace_windows(trace_table(pd.DataFrame(rows, columns=["question", "fraction", "answer"]))).plot(path)


@functools.cache
def _windows() -> tuple[Any, Any]:
    from sloc.populations import Empirical
    from sloc.report import Settings, Source
    from sloc.report.window_run import run_pilot, run_process

    source = Source(Empirical([[0, 0], [1, 0], [2, 2]], ["a", "b", "c"]), "three patterns", "pattern", "pixel")
    settings = Settings(n=4096, times=8)
    pilot = run_pilot("masking", source.population, settings)
    return run_process("masking", source.population, settings, pilot.times), source


def _windows_picture(path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sloc.report import plot_windows

    found, source = _windows()
    plot_windows([found], source, path)


def _page(path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sloc.report.recorded_report import write_recorded_report

    found = _analysis()
    write_recorded_report(path, found.curves, found.moves)


def _store(path: Path) -> None:
    from sloc.windows import write_store

    write_store(path, [_recording()])


def _forking_fast(path: Path) -> None:
    from sloc.windows import write_forking_fast

    write_forking_fast(path, _recording())


def _netcdf(path: Path) -> None:
    from sloc.report.output import write_netcdf

    xr = pytest.importorskip("xarray")
    write_netcdf(xr.Dataset({"a": ("x", np.arange(3.0))}), path)


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "write_store": ("a.jsonl", _store),
    "write_store, packed": ("a.jsonl.gz", _store),
    "write_store, parquet": ("a.parquet", _store),
    "write_forking_fast": ("a.json", _forking_fast),
    "save_weights": ("a.safetensors", _weights),
    "plot_recorded": ("a.png", _recorded_picture),
    "plot_traces": ("a.png", _traces_picture),
    "plot_windows": ("a.png", _windows_picture),
    "the page of traces": ("a.html", _page),
    "write_netcdf": ("a.nc", _netcdf),
}
PICTURES = [name for name in WRITERS if name.startswith("plot_")]
writers = pytest.mark.parametrize("writer", WRITERS)


@writers
def test_a_folder_that_does_not_exist_is_refused_by_the_same_words(tmp_path: Path, writer: str) -> None:
    name, write = WRITERS[writer]
    with pytest.raises(InvalidInput, match=r"^path = .*: expected a file in a folder that exists; .*nowhere' is none$"):
        write(tmp_path / "nowhere" / name)
    assert not list(tmp_path.iterdir())


@writers
def test_a_folder_in_place_of_the_file_is_refused_and_kept(tmp_path: Path, writer: str) -> None:
    name, write = WRITERS[writer]
    (tmp_path / name).mkdir()
    with pytest.raises(InvalidInput, match=r"^path = .*: expected the name of a file; this is a folder$"):
        write(tmp_path / name)
    assert [p.name for p in tmp_path.rglob("*")] == [name]


@pytest.mark.parametrize("name", ["a.foo", "a", "a.png.txt", ".png"])
@pytest.mark.parametrize("writer", PICTURES)
def test_a_picture_of_an_unknown_ending_is_refused(tmp_path: Path, writer: str, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^path = .*: expected a name that ends in one of \.png, \.pdf, \.svg"):
        WRITERS[writer][1](tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "begin"), [("a.pdf", b"%PDF"), ("a.PNG", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.jpg", b"\xff\xd8")]
)
def test_a_picture_is_what_its_ending_says(tmp_path: Path, name: str, begin: bytes) -> None:
    _traces_picture(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begin)


FULL = f"""
import json, resource, sys
from pathlib import Path
from tests.test_writers import WRITERS
folder = Path(sys.argv[1])
for number, (name, write) in enumerate(WRITERS.values()):
    write(folder / f"{{number}}-{{name}}")  # what is kept for later calls (fonts, compiled code) is there now
found = []
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for number, (name, write) in enumerate(WRITERS.values()):
    resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, hard))
    said = []
    for file in (folder / f"{{number}}-{{name}}", folder / f"new-{{number}}-{{name}}"):
        try:
            write(file)
            said.append("written")
        except Exception as error:
            said.append([type(error).__name__, str(error), getattr(error, "filename", None) == str(file)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found.append(said)
print(json.dumps(found))
"""


def test_a_full_disk_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of a process")
    for part in ("matplotlib", "flax", "pyarrow", "xarray"):
        pytest.importorskip(part)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": ""}
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    found = json.loads(done.stdout.splitlines()[-1])
    for name, said in zip(WRITERS, found, strict=True):
        for kind, words, named in said:
            assert (kind, named) == ("OSError", True), (name, words)
            assert "File too large" in words
            assert "partial" not in words
    assert sorted(before) == sorted(f"{n}-{name}" for n, (name, _) in enumerate(WRITERS.values()))
    assert min(map(len, before.values())) > LIMIT
    # Whole: they are what they were when there was room.
    for number, (name, write) in enumerate(WRITERS.values()):
        file = tmp_path / f"again-{name}"
        write(file)
        assert file.read_bytes() == before[f"{number}-{name}"]


def test_a_name_of_any_length_and_links_that_lead_to_files(tmp_path: Path) -> None:
    longest = tmp_path / ("ü" * 125 + ".json")
    assert write_whole(longest, b"1") == longest
    (tmp_path / "link").symlink_to(longest)
    write_whole(tmp_path / "link", b"2")
    assert ((tmp_path / "link").is_symlink(), longest.read_bytes()) == (True, b"2")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidInput, match="expected"):
        write_whole(tmp_path / "loop", b"3")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "a")
    with pytest.raises(InvalidInput, match="a folder that exists"):
        write_whole(tmp_path / "dangling", b"3")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.skipif(os.name != "posix", reason="permissions of another kind")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "private.json"
    file.touch()
    for mode in (0o600, 0o664, 0o400):
        file.chmod(mode)
        write_whole(file, b"1")
        assert (file.stat().st_mode & 0o777, file.read_bytes()) == (mode, b"1")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InvalidInput, match=r"^journal = .*neither a file nor a folder"):
            write_whole(place, b"1", "journal")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InvalidInput, match=r"^path = .*can be written to \(Permission denied\)$"):
            write_whole(tmp_path / "a", b"1")
    finally:
        tmp_path.chmod(0o700)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    write_whole(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]
