"""``sloc traces`` of positions that number sentences: a first token's probability bounds no sentence's step."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sloc.cli import app
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_file import write_store


def sentences(draws=40):
    """Ten sentences, each begun by a token that was all but certain; the answer turns at the fifth."""
    branches = [Branch(float(t), "The", 0.99, True, np.full(draws, int(t >= 5))) for t in range(10)]
    return Recording("q", ("A", "B"), tuple(branches), full=10.0, reference="B")


@pytest.fixture(params=["store", "table"])
def recorded(request, tmp_path):
    """The same draws as a store, and as a table of branches."""
    if request.param == "store":
        return write_store(tmp_path / "kept.jsonl", [sentences()])
    rows = [
        {"question": "q", "position": b.position, "answer": "AB"[a], "branch": b.name, "branch_weight": b.weight}
        | {"taken": b.taken, "reference": "B"}
        for b in sentences().branches
        for a in b.answers
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "kept.csv", index=False)
    return tmp_path / "kept.csv"


def run(*arguments):
    return CliRunner().invoke(app, ["traces", *map(str, arguments)])


def test_a_sentence_may_move_whatever_its_first_token_weighed(recorded, tmp_path):
    """Said to be sentences, the turn is found, by exact tests too, between neighbours; the run can be repeated."""
    out, again = tmp_path / "out", tmp_path / "again"
    assert run(recorded, "--no-adjacent", "--out", out).exit_code == 0
    record = json.loads((out / "run.json").read_text("utf-8"))
    assert record["arguments"]["adjacent"] is False
    assert record["arguments"]["gap"] == 1.0
    assert record["results"]["pairs_settled"] == 0
    moves = pd.read_csv(out / "moves.csv")
    found = moves[moves["found"]]
    assert found[["start", "stop"]].to_numpy().tolist() == [[4.0, 5.0]]
    assert found["certified_holm"].all()
    assert pd.read_csv(out / "questions.csv")["curve_status"].tolist() == ["resolved"]
    assert run("--from", out / "run.json", "--out", again).exit_code == 0
    for name in ("moves.csv", "exact.csv", "curves.csv", "questions.csv"):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_taken_for_tokens_the_same_draws_contradict_what_is_recorded(recorded, tmp_path):
    """Steps of one are taken for tokens unless sentences are said; page and terminal say what does not fit, and why."""
    for i, said in enumerate(((), ("--adjacent",))):
        out = tmp_path / f"out{i}"
        result = run(recorded, *said, "--out", out)
        assert result.exit_code == 0
        assert "say --no-adjacent" in " ".join(result.stdout.split())
        assert pd.read_csv(out / "questions.csv")["curve_status"].tolist() == ["contradicted"]
        assert json.loads((out / "run.json").read_text("utf-8"))["results"]["pairs_settled"] > 0
        assert "--no-adjacent" in (out / "report.html").read_text("utf-8")


def test_fractions_are_no_tokens(tmp_path):
    given = sentences()
    branches = tuple(Branch(b.position / 10, b.name, b.weight, b.taken, b.answers) for b in given.branches)
    file = write_store(tmp_path / "kept.jsonl", [Recording("q", ("A", "B"), branches, axis="fraction", full=1.0)])
    result = run(file, "--adjacent", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "sloc: --adjacent = True: expected false or None: 'q' keeps fractions" in result.stderr
    assert not (tmp_path / "out").exists()
    assert run(file, "--no-adjacent").exit_code == 0
