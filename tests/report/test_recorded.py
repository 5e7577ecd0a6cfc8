"""The command and the page of recorded branches: whole or absent, escaped, self-contained."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from sloc.cli import app
from sloc.contracts import InvalidInput
from sloc.report.recorded_command import is_recorded, read_recordings, run_recorded
from sloc.windows.recorded_file import read_store


def store(row, seed=0):
    """A question that is decided at token 10, with markup in every text."""
    rng = np.random.default_rng(seed)
    branches = []
    for t in range(20):
        before = t < 10
        p = [0.9, 0.1] if before else [0.05, 0.95]
        answers = [["<A>", "B&"][a] for a in rng.choice(2, 20, p=p)]
        taken = 0.3 if t == 9 else 0.999
        branches.append(
            {"t": t, "tok_id": t, "tok_p": taken, "is_base": True, "answers": answers, "cont_lens": [5] * 20}
        )
        if t == 9:
            other = {
                "t": t,
                "tok_id": 99,
                "tok_p": 0.7,
                "is_base": False,
                "answers": ["<A>"] * 20,
                "cont_lens": [5] * 20,
            }
            branches.append(other)
    base = {"gen_ids": list(range(20)), "token_texts": ["<script>alert(1)</script>"] * 20}
    return {
        "meta": {"row_id": row, "question": "is <b>this</b> & that?"},
        "idxs": list(range(20)),
        "categories": ["<A>", "B&"],
        "branches": branches,
        "base": base,
    }


@pytest.fixture
def folder(tmp_path):
    """Two questions as a release would hold them."""
    where = tmp_path / "release"
    where.mkdir()
    for row in range(2):
        (where / f"row{row:03d}.json.gz").write_bytes(gzip.compress(json.dumps(store(row, row)).encode()))
    return where


def test_the_folder_holds_everything(folder, tmp_path):
    out = tmp_path / "out"
    record = run_recorded(folder, out)
    names = {p.name for p in out.iterdir()}
    assert names == {"moves.csv", "curves.csv", "traces.jsonl.gz", "report.html", "run.json"}
    assert record["results"]["moves"] == 2
    for found in record["results"]["found"]:
        assert found["start"] < 10 <= found["stop"]
    recordings, _ = read_store(out / "traces.jsonl.gz")
    assert recordings == read_recordings(folder)[0]
    again = run_recorded(out / "traces.jsonl.gz", None)
    assert again["results"]["found"] == record["results"]["found"]


def test_the_page_is_escaped_and_whole(folder, tmp_path):
    run_recorded(folder, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "is &lt;b&gt;this&lt;/b&gt; &amp; that?" in page
    assert page.count("<svg") == 2
    # Nothing is fetched: what looks like an address names a vocabulary.
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "&lt;A&gt;" in page


def test_the_command_takes_recorded_branches(folder, tmp_path):
    assert is_recorded(folder)
    assert not is_recorded(tmp_path / "absent.csv")
    result = CliRunner().invoke(app, ["traces", str(folder), "--rise", "0.4", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["arguments"]["size"] == 0.4
    refused = CliRunner().invoke(app, ["traces", str(folder), "--across", "bh"])
    assert refused.exit_code != 0
    assert "--across" in refused.output


def test_a_bad_file_leaves_nothing(folder, tmp_path):
    (folder / "row002.json.gz").write_bytes(b"\x1f\x8bnot")
    with pytest.raises(InvalidInput, match="cut in the middle"):
        run_recorded(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
