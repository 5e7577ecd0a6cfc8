"""Bad recordings, line by line: what each says, through every way in."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from sloc.contracts import InvalidInput
from sloc.report.recorded_command import run_recorded
from sloc.windows.allocation import allocate_draws
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import outcome_counts, outcome_curve
from sloc.windows.posterior_moves import posterior_moves
from sloc.windows.recorded_file import read_store, write_store
from sloc.windows.recorded_import import from_forking_fast, recordings_from_table


def branch(t, token, weight, answers, *, taken=True):
    """One branch of a forking-fast store."""
    return {"t": t, "tok_id": token, "tok_p": weight, "is_base": taken, "answers": list(answers)}


def record(*branches, categories="AB", positions=None):
    """One question of a forking-fast store."""
    at = sorted({b["t"] for b in branches}) if positions is None else positions
    return {"meta": {"row_id": 4}, "idxs": at, "categories": list(categories), "branches": list(branches)}


GOOD = record(branch(0, 1, 1.0, "ABAB"), branch(1, 2, 0.5, "AA"), branch(1, 3, 0.4, "BB", taken=False))
REFUSED = {
    "an answer outside the categories": (record(branch(0, 1, 1.0, "ABZ")), r"position 0, draw 2 = 'Z'.*categories"),
    "zero draws": (record(branch(3, 1, 1.0, "")), r"position 3, answers = \[\]: expected at least one draw"),
    "no draws anywhere": (record(), r"question '4', branches = \[\]: expected at least one branch"),
    "a weight of zero": (record(branch(0, 1, 0.0, "A")), r"position 0, weight = 0.0: expected a probability"),
    "a weight that is none": (record(branch(0, 1, float("nan"), "A")), r"weight = nan: expected a probability"),
    "weights above one": (
        record(branch(2, 1, 0.7, "A"), branch(2, 2, 0.5, "B", taken=False)),
        r"position 2, sum of weights = 1.2: expected at most 1",
    ),
    "contradictory duplicates": (
        record(branch(1, 9, 1.0, "AB"), branch(1, 9, 1.0, "AA")),
        r"position 1, branch '9'.*contradict one another",
    ),
    "duplicates of different weights": (
        record(branch(1, 9, 0.5, "AB"), branch(1, 9, 0.4, "AB")),
        r"position 1, branch '9'.*contradict one another",
    ),
    "two tokens taken": (record(branch(1, 1, 0.5, "A"), branch(1, 2, 0.4, "B")), r"position 1: expected one branch"),
    "no categories": (record(branch(0, 1, 1.0, ""), categories=""), r"expected at least one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_store_is_refused_with_its_place(case, tmp_path):
    bad, message = REFUSED[case]
    with pytest.raises(InvalidInput, match=message):
        from_forking_fast(bad)
    file = tmp_path / "row.json.gz"
    file.write_bytes(gzip.compress(json.dumps(bad).encode()))
    with pytest.raises(InvalidInput, match=message):
        run_recorded(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def lines_of(tmp_path):
    """The lines of a good store of sloc's own, and its place."""
    recording, _ = from_forking_fast(GOOD)
    file = write_store(tmp_path / "a.jsonl", [recording])
    return file, [json.loads(line) for line in file.read_text("utf-8").splitlines()]


CHANGED = {
    "an answer outside the categories": ({"answers": ["A", "Q"]}, r"line 3, draw 1 = 'Q'"),
    "zero draws": ({"answers": []}, r"line 3, answers = \[\]: expected at least one draw"),
    "a weight above one": ({"weight": 1.5}, r"line 3, weight = 1.5: expected a probability"),
    "a negative position": ({"position": -1}, r"line 3, position = -1: expected a number"),
    "costs of another number": ({"costs": [1]}, r"line 3, costs = .*expected 4 whole numbers"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_line_of_a_store_is_refused_by_its_number(case, tmp_path):
    changed, message = CHANGED[case]
    file, lines = lines_of(tmp_path)
    lines[2] |= changed
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(InvalidInput, match=message):
        read_store(file)


def test_a_field_that_is_missing_is_named(tmp_path):
    file, lines = lines_of(tmp_path)
    del lines[2]["weight"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(InvalidInput, match=r"line 3: expected a field 'weight'"):
        read_store(file)


def test_kept_mass_below_one_is_reported_and_used():
    recording, notes = from_forking_fast(GOOD)
    assert notes == (
        "question '4': weights sum to less than one at 1 of 2 positions (kept mass 0.9 at least); "
        "estimates are of the kept branches",
    )
    assert np.allclose(recording.kept_mass, [1.0, 0.9])
    assert np.allclose(recording.distribution()[1], [5 / 9, 4 / 9])
    # What leaves the path is measured against what was kept.
    assert np.allclose(outcome_counts(recording).leaving, [0.0])


def test_missing_positions_are_reported_and_filled_in():
    full = record(branch(0, 1, 0.8, "AAAA"), branch(3, 2, 1.0, "AAAB"), positions=[0, 1, 2, 3])
    recording, notes = from_forking_fast(full)
    assert recording.missing == (1.0, 2.0)
    assert "question '4': no draws at 2 of 4 positions" in notes
    data = outcome_counts(recording)
    assert data.positions.tolist() == [0, 1, 2, 3]
    assert data.counts.sum(axis=1).tolist() == [4, 0, 0, 4]
    curve = outcome_curve(data)
    assert curve.draws.tolist() == [4, 0, 0, 4]
    assert curve.value[3, 0] < curve.value[2, 0] < curve.value[0, 0]


def test_one_category_is_a_status_and_no_window():
    recording, _ = from_forking_fast(record(branch(0, 1, 1.0, "AAA"), branch(1, 2, 1.0, "AA"), categories="A"))
    data = outcome_counts(recording)
    assert outcome_curve(recording, simultaneous=True).status == "one answer"
    for moves in (posterior_moves([recording]), exact_moves([data], [None])):
        assert moves.statuses == {"4": "one answer"}
        assert not moves.moves
    got = allocate_draws(lambda *_: ["A"], "q", ("A",), np.arange(3.0), budget=4)
    assert got.curve.status == "one answer"


def test_one_category_passes_through_the_command(tmp_path):
    one = record(branch(0, 1, 1.0, "AAA"), branch(1, 2, 1.0, "AA"), categories="A")
    file = tmp_path / "row.json"
    file.write_text(json.dumps(one), "utf-8")
    said = run_recorded(file, tmp_path / "out", json=True)
    assert said["results"]["moves"] == 0
    curves = pd.read_csv(tmp_path / "out" / "curves.csv")
    assert (curves["value"] == 1).all()


TABLES = {
    "contradictory draws": (dict(answer=["a", "b"], draw=[0, 0]), "contradict"),
    "no answer": (dict(answer=["a", ""]), "answer"),
    "a fraction above one": (dict(fraction=[0.1, 1.2]), "fraction"),
    "two references": (dict(reference=["a", "b"]), "reference"),
    "two weights of a branch": (dict(branch=["x", "x"], branch_weight=[0.4, 0.5]), "one weight for all draws"),
    "weights above one": (dict(branch=["x", "y"], branch_weight=[0.7, 0.6], taken=[1, 0]), "expected at most 1"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_plain_table_is_refused(case):
    changed, message = TABLES[case]
    frame = pd.DataFrame({"question": "q", "fraction": [0.1, 0.1], "answer": ["a", "b"]} | changed)
    with pytest.raises(InvalidInput, match=message):
        recordings_from_table(frame)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_plain_table_that_was_cut_is_refused(tmp_path, name):
    """A CSV has no end of its own: a cut is seen where it leaves half a row, so the last row is cut."""
    frame = pd.DataFrame({"question": ["q"] * 4, "fraction": [0.1, 0.1, 0.5, 0.5], "answer": ["yes", "no"] * 2})
    file = tmp_path / name
    if name.endswith(".csv"):
        frame.to_csv(file, index=False)
    elif name.endswith(".parquet"):
        frame.to_parquet(file)
    else:
        frame.to_json(file, orient="records", lines=True)
    raw = file.read_bytes()
    file.write_bytes(raw[: -len("yes,no") + 1] if name.endswith(".csv") else raw[: int(0.8 * len(raw))])
    said = r"column answer, row 4 = ''" if name.endswith(".csv") else r"cut in the middle\?"
    with pytest.raises(InvalidInput, match=said):
        recordings_from_table(file)
