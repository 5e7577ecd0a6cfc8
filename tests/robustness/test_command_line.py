"""Verbs of the command line refuse options that are none, and files that cannot be read, in one line; no file is left.

What single options are handed is in :mod:`tests.robustness.test_options`.  Nothing is random.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.robustness.calling import ANSWERS, data, listing, no_refusal, place
from tests.robustness.options import GOOD, VERBS
from tests.robustness.values import UNICODE

pytest.importorskip("tokenizers")


def refused(arguments: Sequence[str], folder: Path) -> str:
    """Assert that a command is refused in one line and writes nothing; return what it said."""
    before = listing(folder)
    said, wrong = no_refusal(arguments)
    assert not wrong, (arguments, wrong)
    assert listing(folder) == before, "a refused command left files"
    return said


@pytest.mark.parametrize("verb", list(VERBS), ids=" ".join)
def test_an_option_that_does_not_exist(verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = place(tmp_path, monkeypatch)
    known = [a.replace("{dir}", str(inside)) for a in GOOD[verb]]
    assert UNICODE.split()[0] in refused([*verb, *known, f"--{UNICODE.split()[0]}", "1"], tmp_path)


def _parquet(table: str) -> bytes:
    import pandas as pd

    stream = io.BytesIO()
    pd.read_csv(io.StringIO(table)).to_parquet(stream, index=False)
    return stream.getvalue()


WHOLE_FILES = {
    "data.npz": data,
    "data.parquet": lambda: _parquet(ANSWERS),
    "data.csv.gz": lambda: gzip.compress(ANSWERS.encode() * 50),
    "data.jsonl": lambda: b'{"question": "q", "fraction": 0.5, "answer": "A"}\n' * 3,
    "run.json": lambda: json.dumps({"command": "window", "arguments": {}}).encode(),
    "weights.safetensors": lambda: b"\x40\x00\x00\x00\x00\x00\x00\x00" + b'{"a":{"dtype":"F32"',
}
READERS = {
    ("window", "{file}"): ("data.npz", "data.parquet", "data.csv.gz"),
    ("window", "--from", "{file}"): ("run.json",),
    ("tree", "{file}"): ("data.npz",),
    ("tree", "--from", "{file}"): ("run.json",),
    ("traces", "{file}"): ("data.parquet", "data.csv.gz", "data.jsonl"),
    ("uturn", "{file}"): ("weights.safetensors",),
    ("lm", "windows", "--model", "{dir}/none", "--task", "math", "--data", "{file}"): ("data.jsonl",),
}


@pytest.mark.parametrize(
    ("words", "name"),
    [pytest.param(w, n, id=f"{w[0]} {w[1]} {n}") for w, names in READERS.items() for n in names],
)
@pytest.mark.parametrize(
    "spoilt", ["empty", "cut in the middle", "noise", "missing", "a folder", "a NUL", "through .."]
)
def test_files_that_cannot_be_read(
    words: tuple[str, ...], name: str, spoilt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = place(tmp_path, monkeypatch)
    file = inside / f"{UNICODE.split()[0]}-{name}"
    content = WHOLE_FILES[name]()
    match spoilt:
        case "empty":
            file.write_bytes(b"")
        case "cut in the middle":
            file.write_bytes(content[: len(content) // 2 + 3])
        case "noise":
            file.write_bytes(np.random.default_rng(0).bytes(4096))
        case "a folder":
            file.mkdir()
        case "a NUL":
            file = Path(f"{file}\0")
        case "through ..":
            file = inside / ".." / ".." / "nowhere" / name
    arguments = [w.replace("{file}", str(file)).replace("{dir}", str(inside)) for w in words]
    refused([*arguments, "--out", str(tmp_path / "out")], tmp_path)


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = place(tmp_path, monkeypatch)

    # Permission bits do not bind the superuser, so the answer of the operating system is set.
    def denied(self: Path, *_: Any, **__: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    shutil.copy(inside / "answers.csv", inside / "other.csv")
    for reader in ("read_bytes", "read_text", "open"):
        monkeypatch.setattr(Path, reader, denied)
    for arguments in (["window", str(inside / "other.csv")], ["window", "--from", str(inside / "other.csv")]):
        assert "Permission denied" in refused([*arguments, "--out", str(tmp_path / "out")], tmp_path)
