"""Tables and arrays as other programs write them: read as they are meant, or refused, never shifted or cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput
from sloc.populations import Empirical
from sloc.report.run_record import read_run_json, repeated
from sloc.report.sources import load_file_source, plural
from sloc.windows.traces_table import read_trace_table

ROWS = [f"{i / 10},{i % 5},{i % 2}" for i in range(20)]
"""Columns a, b, y."""


def read(file: Path, text: str, encoding: str = "utf-8") -> Empirical:
    file.write_bytes(text.encode(encoding))
    return loaded(file, "none")


def loaded(file: Path, scale: str | None) -> Empirical:
    population = load_file_source(file, None, None, scale, None).population
    assert isinstance(population, Empirical)
    return population


def table(rows: list[str], header: str = "a,b,y") -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (table(ROWS), "utf-8"),
        (table(ROWS), "utf-8-sig"),
        (table(ROWS).replace("\n", "\r\n"), "utf-8"),
        (table([f'"{row.replace(",", chr(34) + "," + chr(34))}"' for row in ROWS]), "utf-8"),
        (table(["", *ROWS, "", ""]), "utf-8"),
    ],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, text: str, encoding: str) -> None:
    population = read(tmp_path / "data.csv", text, encoding)
    assert population.names == ("0", "1")
    assert np.allclose(np.asarray(population.data)[:10, 0], np.arange(0, 2, 0.2))


def test_rows_longer_than_the_header_are_not_shifted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"data\.csv.*rows are as long as its header"):
        read(tmp_path / "data.csv", table([row + ",0.5" for row in ROWS]))
    ended = read(tmp_path / "data.csv", table([row + "," for row in ROWS]))
    assert np.allclose(ended.data, read(tmp_path / "data.csv", table(ROWS)).data)


@pytest.mark.parametrize("header", ["a,y,y", "a,a,y", '"a","a",y'])
def test_a_name_that_stands_twice_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InvalidInput, match=r"data\.csv.*'[ay]' is there twice"):
        read(tmp_path / "data.csv", table(ROWS, header))


@pytest.mark.parametrize("value", ['"1,000"', "12 cm", "1\0.5"])
def test_a_column_of_numbers_is_not_left_out_for_one_field(tmp_path: Path, value: str) -> None:
    text = table([*ROWS[:7], f"{value},3,1", *ROWS[7:]])
    with pytest.raises(InvalidInput, match=r"^x = '?a'?: expected numbers in every row.*row 8 holds"):
        read(tmp_path / "data.csv", text)


def test_a_column_of_words_is_left_out(tmp_path: Path) -> None:
    population = read(tmp_path / "data.csv", table([f"w{i},{row}" for i, row in enumerate(ROWS)], "who,a,b,y"))
    assert np.asarray(population.data).shape == (20, 2)


@pytest.mark.parametrize("scale", ["standard", "none", "-1,1"])
def test_numbers_beyond_the_precision_are_refused_without_a_warning(tmp_path: Path, scale: str) -> None:
    file = tmp_path / "data.npz"
    np.savez(file, x=np.array([[1e300], [-1e300], [1e300], [2.0]]) * 1.7e8, y=np.arange(4) % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidInput, match=r"^(x|data) = .*expected (numbers|finite numbers)"):
            load_file_source(file, None, None, scale, None)


def test_numbers_far_from_zero_need_their_scale(tmp_path: Path) -> None:
    file = tmp_path / "data.npz"
    np.savez(file, x=1.7e9 + np.arange(8.0)[:, None], y=np.arange(8) % 2)
    with pytest.raises(InvalidInput, match=r"^x = .*float32 tells apart"):
        load_file_source(file, None, None, "none", None)
    assert np.unique(loaded(file, None).data).size == 8


def test_several_of_what_a_noun_names() -> None:
    assert [plural(noun) for noun in ("class", "digit")] == ["classes", "digits"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_a_character_gets_a_mark_in_its_place(tmp_path: Path, encoding: str) -> None:
    arguments = ["tree", "gaussians", "--means", "4,0;-4,0", "--n", "512", "--times", "8"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "sloc.cli", *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"TV ?" in done.stdout
    assert b"Traceback" not in done.stderr


def test_a_table_of_answers_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_text("question,fraction,answer,answer\nq,0.5,A,B\nq,0.5,A,B\nq,1,A,B\n")
    with pytest.raises(InvalidInput, match=r"answers\.csv.*'answer' is there twice"):
        read_trace_table(file)


def test_a_key_that_stands_twice_in_json_is_refused(tmp_path: Path) -> None:
    lines, record = tmp_path / "answers.jsonl", tmp_path / "run.json"
    lines.write_text('{"question": "q", "fraction": 0.5, "answer": "A", "answer": "B"}\n')
    with pytest.raises(InvalidInput, match=r"line 1.*'answer' is there twice"):
        read_trace_table(lines)
    record.write_text('{"command": "tree", "command": "window", "arguments": {}}')
    with pytest.raises(InvalidInput, match=r"--from = .*'command' is there twice"):
        read_run_json(record, "window")
    record.write_text('\ufeff{"command": "window", "arguments": {"n": 3}}', "utf-8")
    assert read_run_json(record, "window") == ({"n": 3}, {})


@dataclass(frozen=True)
class Asked:
    n: int


def test_a_run_of_other_versions_is_repeated_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "run.json"
    for versions, said in (({"sloc": "99.0.0", "jax": jax.__version__}, True), ({"jax": jax.__version__}, False)):
        record.write_text(json.dumps({"command": "window", "arguments": {"n": 3}, "versions": versions}))
        assert repeated(Asked, record, "window") == Asked(3)
        words = " ".join(capsys.readouterr().err.split())
        other = f"the run was made with sloc 99.0.0; here is sloc {sloc.__version__}: numbers may differ"
        assert words == (other if said else "")
