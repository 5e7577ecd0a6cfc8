"""Bad recordings, line by line: what each says, through every way in."""

from __future__ import annotations

import copy
import gzip
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sloc.contracts import InvalidInput
from sloc.report.recorded_command import read_recordings, run_recorded
from sloc.windows.allocation import allocate_draws
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import outcome_counts, outcome_curve
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_file import read_store, write_store
from sloc.windows.recorded_import import from_forking_fast, recordings_from_table, write_forking_fast


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
    "a duplicate of one answer more": (
        record(branch(1, 9, 1.0, "AB") | {"cont_lens": [5, 6]}, branch(1, 9, 1.0, "ABA") | {"cont_lens": [5, 6]}),
        r"position 1, branch '9'.*contradict one another \(2 and 3 draws\)",
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
    # What leaves the path is measured against what was kept; the tenth dropped one token later may answer otherwise.
    assert np.allclose(outcome_counts(recording).leaving, [0.1])


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
    for moves in (posterior_moves([recording]), exact_moves([data])):
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


def changed_record(*path, to):
    """A good forking-fast store with one field changed."""
    made = copy.deepcopy(record(branch(0, 1, 0.6, "ABAB"), branch(1, 2, 1.0, "AA")))
    made["base"] = {"gen_ids": [1, 2]}
    at = made
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = to
    return made


FIELDS = {
    "answers null": (changed_record("branches", 1, "answers", to=None), r"position 1, answers = None: expected a list"),
    "an answer that is a list": (changed_record("branches", 1, "answers", to=[["A"], "A"]), r"position 1, draw 0 = "),
    "meta a text": (changed_record("meta", to="x"), r"record, meta = 'x': expected a JSON object"),
    "base a list": (changed_record("base", to=[1]), r"record, base = \[1\]: expected a JSON object"),
    "positions a text": (changed_record("idxs", to=["x"]), r"question '4', idxs\[0\] = 'x': expected a number"),
    "positions null": (changed_record("idxs", to=[0, None]), r"question '4', idxs\[1\] = None: expected a number"),
    "tokens a number": (changed_record("base", "gen_ids", to=5), r"question '4', base, gen_ids = 5: expected a list"),
    "taken a text": (
        changed_record("branches", 0, "is_base", to="no"),
        r"position 0, is_base = 'no': expected true or",
    ),
    "a token null": (changed_record("branches", 0, "tok_id", to=None), r"branches\[0\], tok_id = None"),
    "categories numbers": (changed_record("categories", to=[1, 2]), r"question '4', categories = \[1, 2\]"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_field_of_another_kind_is_refused_with_its_place(case, tmp_path):
    bad, message = FIELDS[case]
    file = tmp_path / "row.json"
    file.write_text(json.dumps(bad), "utf-8")
    with pytest.raises(InvalidInput, match=message):
        read_recordings(file)


@pytest.mark.parametrize("meta", [None, {}, {"row_id": None}])
def test_a_store_without_a_row_takes_the_name_of_its_file(tmp_path, meta):
    """And what has neither is refused, or named by the caller."""
    nameless = changed_record("meta", to=meta)
    nameless["base"] = None
    file = tmp_path / "row007.json.gz"
    file.write_bytes(gzip.compress(json.dumps(nameless).encode()))
    (recording,), _ = read_recordings(file)
    assert recording.question == "row007"
    # The name would be lost if it were not written.
    written = write_forking_fast(tmp_path / "other.json", recording)
    assert json.loads(written.read_text("utf-8")) == nameless | {"sloc": {"question": "row007"}}
    assert read_recordings(written)[0] == (recording,)
    assert from_forking_fast(nameless, "mine")[0].question == "mine"
    with pytest.raises(InvalidInput, match="question = None"):
        from_forking_fast(nameless)


LINES = {
    "answers a number": (2, {"answers": 5}, r"line 3, answers = 5: expected a list"),
    "an answer an object": (2, {"answers": [{}]}, r"line 3, draw 0 = \{\}: expected one of the categories"),
    "extra a list": (2, {"extra": [1]}, r"line 3, extra = \[1\]: expected an object"),
    "taken a text": (2, {"taken": "no"}, r"line 3, taken = 'no': expected true or false"),
    "a branch's name a number": (2, {"branch": 7}, r"line 3, name = 7: expected a text"),
    "costs a text": (2, {"costs": "abcd"}, r"line 3, costs = 'abcd': expected 4 whole numbers"),
    "expected null": (1, {"expected": None}, r"line 2, expected = None: expected a list"),
    "expected a text": (1, {"expected": ["q"]}, r"question '4', expected\[0\] = 'q': expected a number"),
    "another axis": (1, {"axis": "zebra"}, r"question '4', axis = 'zebra': expected one of"),
    "full a text": (1, {"full": "x"}, r"question '4', full = 'x': expected a positive number"),
    "full negative": (1, {"full": -5}, r"question '4', full = -5: expected a positive number"),
    "fractions above one": (1, {"axis": "fraction", "expected": [3]}, r"question '4', position = 3.0: expected a frac"),
    "categories a text": (1, {"categories": "AB"}, r"line 2, categories = 'AB': expected a list"),
    "a category a list": (1, {"categories": ["A", ["B"]]}, r"line 2, categories = .*expected a sequence of texts"),
    "meta a list": (1, {"meta": [1]}, r"line 2, meta = \[1\]: expected an object"),
    "a question a number": (1, {"question": 5}, r"line 2, question = 5: expected a name"),
    "a reference unseen": (1, {"reference": "Z"}, r"question '4', reference = 'Z': expected one of"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_field_of_a_store_of_another_kind_is_refused(case, tmp_path):
    line, changed, message = LINES[case]
    file, lines = lines_of(tmp_path)
    lines[line] |= changed
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(InvalidInput, match=message):
        read_store(file)


CELLS = {
    "cost a text": (dict(cost=["3", "x"]), r"column cost, row 2 = 'x': expected a whole number"),
    "cost missing": (dict(cost=[3.0, np.nan]), r"column cost, row 2 = nan"),
    "cost broken": (dict(cost=[3.0, 1.7]), r"column cost, row 2 = 1.7: expected a whole number"),
    "draw a text": (dict(draw=["1", "second"]), r"column draw, row 2 = 'second': expected a number"),
    "weight a text": (dict(branch="x", branch_weight=["heavy", ".5"]), r"column branch_weight, row 1 = 'heavy'"),
    "taken a text": (dict(branch="x", branch_weight=0.5, taken=["yes", "no"]), r"column taken, row 1 = 'yes'"),
    "taken twice": (dict(branch="x", branch_weight=0.5, taken=[True, False]), r"taken = \[False, True\]: expected one"),
    "no branch": (dict(branch=["x", None], branch_weight=0.5), r"column branch, row 2: expected the name"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_of_another_kind_is_refused(case):
    changed, message = CELLS[case]
    frame = pd.DataFrame({"question": "q", "fraction": [0.1, 0.1], "answer": ["a", "b"]} | changed)
    with pytest.raises(InvalidInput, match=message):
        recordings_from_table(frame)


def tampered(tmp_path, change):
    """A Parquet store whose rows were changed, its metadata kept."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    store = record(branch(0, 1, 1.0, "ABAB"), branch(1, 2, 0.5, "AA"), branch(1, 3, 0.4, "BB", taken=False))
    for b in store["branches"]:
        b["token"] = f"token {b['tok_id']}"
    recording, _ = from_forking_fast(store)
    file = write_store(tmp_path / "a.parquet", [recording])
    table = parquet.read_table(file)
    changed = pa.Table.from_pandas(change(table.to_pandas()), preserve_index=False)
    parquet.write_table(changed.replace_schema_metadata(table.schema.metadata), file)
    return file, recording


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_a_parquet_store_may_come_in_any_order(tmp_path, seed):
    """What was said of a branch stays with it (24 orders of four branches' first rows: one in five may agree)."""
    file, recording = tampered(tmp_path, lambda d: d.sample(frac=1, random_state=seed))
    (again,), _ = read_store(file)
    assert again == recording
    assert [b.extra["token"] for b in again.branches] == ["token 1", "token 2", "token 3"]


ROWS = {
    "two weights": (lambda d: d.assign(weight=[0.9, *d["weight"][1:]]), r"position 0, branch '1', weight = .*one for"),
    "two taken": (lambda d: d.assign(taken=[False, *d["taken"][1:]]), r"position 0, branch '1', taken = .*one for all"),
    "a branch missing": (
        lambda d: d[d["branch"] != "3"],
        r"question '4', branch = \[\(1.0, '3'\)\]: expected the same",
    ),
    "another branch": (lambda d: d.assign(branch=d["branch"].replace("3", "5")), r"question '4', branch = "),
    "another question": (lambda d: pd.concat([d, d.assign(question="zz")]), r"question = \['zz'\]: expected the same"),
    "no rows of a question": (lambda d: d.assign(question="zz"), r"question = \['4', 'zz'\]: expected the same"),
    "a column missing": (lambda d: d.drop(columns="weight"), r"columns = .*expected the columns question, position"),
    "the last draw missing": (lambda d: d.drop(index=3), r"branch '1', draws = 3: expected 4, as many as were written"),
    "a draw missing": (lambda d: d.drop(index=1), r"branch '1', draw = .*expected 0, 1, 2"),
    "an answer missing": (
        lambda d: d.assign(answer=[None, *d["answer"][1:]]),
        r"column answer, row 1: expected a value",
    ),
    "draws that are texts": (lambda d: d.assign(draw=d["draw"].astype(str)), r"column draw = .*expected whole numbers"),
    "positions that are texts": (lambda d: d.assign(position="x"), r"column position = .*expected numbers"),
    "a cost of some": (lambda d: d.assign(cost=[1.0, *[np.nan] * 7]), r"branch '1', cost = .*a whole number for each"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_of_a_parquet_store_that_do_not_fit_are_refused(case, tmp_path):
    change, message = ROWS[case]
    file, _ = tampered(tmp_path, change)
    with pytest.raises(InvalidInput, match=message):
        read_store(file)


GOOD_BRANCH = Branch(0.5, "x", 1.0, True, np.array([0, 1]))
PARTS = {
    "a weight below zero": (lambda: replace(GOOD_BRANCH, weight=-1), r"weight = -1: expected a probability"),
    "a position that is none": (lambda: replace(GOOD_BRANCH, position="x"), r"position = 'x': expected a number"),
    "no draws": (lambda: replace(GOOD_BRANCH, answers=np.zeros(0, int)), r"at least one draw"),
    "answers as texts": (lambda: replace(GOOD_BRANCH, answers=["A"]), r"answers = \['A'\]: expected an array of whole"),
    "answers below zero": (lambda: replace(GOOD_BRANCH, answers=np.array([-1])), r"not negative"),
    "costs too few": (lambda: replace(GOOD_BRANCH, costs=np.array([1])), r"costs = .*2 whole numbers"),
    "an index too high": (
        lambda: Recording("q", ("A",), (GOOD_BRANCH,)),
        r"position 0.5, branch 'x', answers = 1: exp",
    ),
    "no branches": (lambda: Recording("q", ("A", "B"), ()), r"question 'q', branches = \[\]"),
    "one branch twice": (lambda: Recording("q", ("A", "B"), (GOOD_BRANCH, GOOD_BRANCH)), r"expected one record"),
    "out of order": (
        lambda: Recording("q", ("A", "B"), (GOOD_BRANCH, replace(GOOD_BRANCH, position=0.0))),
        r"in the order of their positions",
    ),
    "weights above one": (
        lambda: Recording("q", ("A", "B"), (GOOD_BRANCH, replace(GOOD_BRANCH, name="y"))),
        r"position 0.5, sum of weights = 2",
    ),
    "another axis": (lambda: Recording("q", ("A", "B"), (GOOD_BRANCH,), axis="zebra"), r"axis = 'zebra'"),
    "a fraction of three": (
        lambda: Recording("q", ("A", "B"), (replace(GOOD_BRANCH, position=3),), axis="fraction"),
        r"position = 3.0: expected a fraction",
    ),
    "an expected NaN": (
        lambda: Recording("q", ("A", "B"), (GOOD_BRANCH,), expected=(float("nan"),)),
        r"expected\[0\] = nan",
    ),
    "categories as one text": (lambda: Recording("q", "AB", (GOOD_BRANCH,)), r"a sequence of texts, not one"),
}


@pytest.mark.parametrize("case", PARTS)
def test_recordings_of_ones_own_check_themselves(case):
    made, message = PARTS[case]
    with pytest.raises(InvalidInput, match=message):
        made()
