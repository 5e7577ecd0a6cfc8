"""Every verb of the command line refuses malformed options, sources and places in one line, and leaves no file.

The options are read from the commands themselves, so that a new one is swept without a word here.  Nothing is random.
"""

from __future__ import annotations

import enum
import gzip
import inspect
import io
import json
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sloc.cli import app
from tests.robustness.sweep import within
from tests.robustness.values import UNICODE

pytest.importorskip("tokenizers")

SECONDS = 60
"""What a refused command may take: the first of them loads the libraries."""

GOOD = {
    ("window",): ["gaussians", "--means", "4;-4", "--n", "1024", "--times", "8"],
    ("tree",): ["gaussians", "--means", "4;-4", "--n", "1024", "--times", "8"],
    ("traces",): ["{dir}/answers.csv"],
    ("train",): ["digits", "--steps", "1"],
    ("uturn",): ["{dir}/none.safetensors"],
    ("lm", "windows"): ["--model", "{dir}/none", "--data", "{dir}/questions.jsonl", "--task", "math"],
    ("lm", "demo"): ["grammar", "--steps", "1"],
    ("replay",): ["{dir}/none"],
    ("bench",): ["windows", "--smoke"],
    ("info",): [],
}
"""Arguments of each verb that are read without complaint."""

WORDS = {"a unicode text": UNICODE, "an empty text": "", "NaN": "nan", "infinity": "inf", "two numbers": "1,2"}
NUMBERS = {**WORDS, "beyond floats": "1e999999", "hexadecimal": "0x10"}
"""What no option for a number takes."""
WHOLE = {**NUMBERS, "a broken number": "1.5", "a huge number": "1" + "0" * 40}
"""What no option for a whole number takes."""

ANSWERS = "question,fraction,answer\n" + "".join(f"q,{f},{a}\n" for f in (0.2, 0.6, 1) for a in "AAB")


def verbs(group: Any = None, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*at, name))
        else:
            yield (*at, name), command


VERBS = dict(verbs())


def cases() -> Iterator[Any]:
    """Yield verb, option and malformed text for every option of every verb that takes a number or one of some words."""
    for verb, command in VERBS.items():
        hints = typing.get_type_hints(inspect.unwrap(command.callback))
        for option in command.params:
            names = [o for o in option.opts if o.startswith("--")]
            if not names or getattr(option, "is_flag", False):
                continue
            hint = hints.get(option.name)
            chosen = isinstance(hint, type) and issubclass(hint, enum.Enum)
            bad = {"WHOLE": WHOLE, "NUMBER": NUMBERS}.get(option.metavar, WORDS if chosen else {})
            for label, value in bad.items():
                # By day each option is handed two; reading a command anew for each takes most of the time.
                marks = () if label in ("a unicode text", "NaN") else pytest.mark.slow
                yield pytest.param(verb, names[0], value, id=f"{' '.join(verb)} {names[0]} {label}", marks=marks)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder of files that are good and of files that are not."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "answers.csv").write_text(ANSWERS)
    (folder / "questions.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    return folder


def listing(folder: Path) -> list[tuple[str, int]]:
    """Return what lies below a folder, with sizes."""
    return sorted((str(p.relative_to(folder)), p.stat().st_size if p.is_file() else -1) for p in folder.rglob("*"))


def refused(arguments: list[str], tmp_path: Path, *, codes: tuple[int, ...] = (2,)) -> str:
    """Run a command that must be refused in one line, and see that nothing was written; return what it said."""
    before = listing(tmp_path)
    with within(SECONDS):
        result = CliRunner().invoke(app, arguments, prog_name="sloc")
    assert result.exit_code in codes, (arguments, result.exit_code, result.output, result.exception)
    assert "Traceback" not in result.output
    said = result.stderr
    assert said.startswith("sloc: "), said
    assert said.count("\n") == 1, said
    assert listing(tmp_path) == before, "a refused command left files"
    return said


def filled(verb: tuple[str, ...], place: Path) -> list[str]:
    """Return a command that is read without complaint."""
    return [*verb, *(a.replace("{dir}", str(place)) for a in GOOD[verb])]


def test_every_verb_is_swept() -> None:
    assert set(GOOD) == set(VERBS)
    assert len(list(cases())) > 150


@pytest.mark.parametrize(("verb", "option", "value"), list(cases()))
def test_malformed_options(verb: tuple[str, ...], option: str, value: str, place: Path, tmp_path: Path) -> None:
    arguments = [*filled(verb, place), f"{option}={value}"]
    if "--out" in {o for p in VERBS[verb].params for o in p.opts}:
        arguments += ["--out", str(tmp_path / "out")]
    assert option in refused(arguments, tmp_path)


@pytest.mark.parametrize("verb", list(VERBS), ids=" ".join)
def test_an_option_that_does_not_exist(verb: tuple[str, ...], place: Path, tmp_path: Path) -> None:
    said = refused([*filled(verb, place), f"--{UNICODE.split()[0]}", "1"], tmp_path)
    assert UNICODE.split()[0] in said


DATA = ["{dir}/data.npz", "--n", "1024", "--times", "8"]
LINES = ["lm", "windows", "--model", "{dir}/none", "--data", "{dir}/questions.jsonl"]
MIXTURE = ["gaussians", "--n", "1024", "--times", "8"]
NO_NUMBERS = (UNICODE, "", "nan", "1;;2", "inf;1", "1e999;0", "a", "0x10;1", ";", ",")
TEXTS: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {
    **{((verb, *MIXTURE), "--means"): (*NO_NUMBERS, "1;2,3", "1") for verb in ("window", "tree")},
    (("window", *MIXTURE, "--means", "4;-4"), "--weights"): (*NO_NUMBERS, "0,0", "-1,2", "1,1", "0.5"),
    (("window", *MIXTURE, "--means", "4;-4"), "--covariances"): (*NO_NUMBERS, "-1", "0", "1,2,3", "1|2|3"),
    (("window", *DATA), "--x"): (UNICODE, "", "z", "nan"),
    (("window", *DATA), "--labels"): (UNICODE, "", "z"),
    (("window", *DATA), "--scale"): (UNICODE, "", "1", "1,2,3", "2,1", "nan,1", "-inf,1", "1;2"),
    (("window", *DATA), "--image"): (UNICODE, "", "8", "0x0", "-1x2", "2x1x1", "\u00b2x1", "3x3"),
    (("window", *DATA), "--process"): (UNICODE, "ou,ou", "brownian"),
    (("window", *DATA), "--classes"): (UNICODE, "0,0", "7"),
    (("window", *DATA), "--devices"): (UNICODE, "", "0", "-1", "1.5", "\u00b2", "abacus"),
    (("tree", *DATA), "--process"): (UNICODE, "ou,ou", "brownian"),
    ((*LINES, "--task", "math"), "--fractions"): (UNICODE, "nan", "2", "-0.1", "a,b", "0.5,0.2,x"),
    ((*LINES, "--task", "math"), "--sweep"): (UNICODE, "nan", "-1", "hot"),
    ((*LINES, "--task", "math"), "--stop"): ("",),
    (tuple(LINES), "--task"): (UNICODE, "", "regex:(", "python:none.none"),
    (tuple(LINES), "--benchmark"): (UNICODE, "", "gre"),
    (("uturn", "{dir}/none.safetensors"), "--start"): (UNICODE, "", "11", "-1", "nan"),
}
"""Options that take a text of their own kind, and texts of another: a command up to the option, the option, values."""


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        pytest.param(
            words,
            option,
            value,
            id=f"{words[0]} {option} {value.encode('unicode_escape').decode()[:20]}",
            # By day two of each.
            marks=() if i < 2 else pytest.mark.slow,
        )
        for (words, option), values in TEXTS.items()
        for i, value in enumerate(values)
    ],
)
def test_malformed_texts(words: tuple[str, ...], option: str, value: str, place: Path, tmp_path: Path) -> None:
    (place / "data.npz").write_bytes(_npz())
    arguments = [w.replace("{dir}", str(place)) for w in words]
    assert option in refused([*arguments, f"{option}={value}", "--out", str(tmp_path / "out")], tmp_path)


def _parquet(table: str) -> bytes:
    import pandas as pd

    stream = io.BytesIO()
    pd.read_csv(io.StringIO(table)).to_parquet(stream, index=False)
    return stream.getvalue()


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros((64, 2)), y=np.arange(64) % 2)
    return stream.getvalue()


WHOLE_FILES = {
    "data.npz": _npz,
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
def test_files_that_cannot_be_read(words: tuple[str, ...], name: str, spoilt: str, place: Path, tmp_path: Path) -> None:
    file = place / f"{UNICODE.split()[0]}-{name}"
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
            file = place / ".." / ".." / "nowhere" / name
    arguments = [w.replace("{file}", str(file)).replace("{dir}", str(place)) for w in words]
    refused([*arguments, "--out", str(tmp_path / "out")], tmp_path)


@pytest.mark.parametrize("verb", [v for v in VERBS if any("--out" in p.opts for p in VERBS[v].params)], ids=" ".join)
@pytest.mark.parametrize("out", ["{file}", "{file}/inside", "", "{long}", "{dir}\0x"])
def test_places_that_cannot_be_written(verb: tuple[str, ...], out: str, place: Path, tmp_path: Path) -> None:
    if verb == ("bench",):
        pytest.skip("runs in a checkout, and is refused by the suite's own rules")
    where = out.format(file=place / "answers.csv", long=tmp_path / ("x" * 300), dir=place)
    refused([*filled(verb, place), "--out", where], tmp_path)


def test_a_folder_that_cannot_be_read(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permission bits do not bind the superuser, so the answer of the operating system is set.
    def denied(self: Path, *_: Any, **__: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    shutil.copy(place / "answers.csv", place / "other.csv")
    for reader in ("read_bytes", "read_text", "open"):
        monkeypatch.setattr(Path, reader, denied)
    for arguments in (["window", str(place / "other.csv")], ["window", "--from", str(place / "other.csv")]):
        assert "Permission denied" in refused([*arguments, "--out", str(tmp_path / "out")], tmp_path)
