"""The store of recorded resamples: nothing is lost on a round trip, and bad recordings are refused by name."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from sloc.contracts import InvalidInput
from sloc.windows.recorded import make_branch, make_recording
from sloc.windows.recorded_file import is_store, read_store, write_store
from sloc.windows.recorded_import import (
    from_forking_fast,
    read_forking_fast,
    recordings_from_table,
    to_forking_fast,
    write_forking_fast,
)
from sloc.windows.traces_table import trace_table


def record(**changes):
    """One question of a forking-fast store: three positions, two branches at the second."""
    branches = [
        {
            "t": 0,
            "tok_id": 7,
            "tok_p": 0.97,
            "is_base": True,
            "answers": ["A", "B", "A", "B"],
            "cont_lens": [4, 5, 6, 7],
        },
        {
            "t": 1,
            "tok_id": 8,
            "tok_p": 0.6,
            "is_base": True,
            "answers": ["A", "A", "A", "B"],
            "cont_lens": [3, 4, 5, 6],
        },
        {
            "t": 1,
            "tok_id": 9,
            "tok_p": 0.3,
            "is_base": False,
            "answers": ["B", "B", "C", "B"],
            "cont_lens": [3, 3, 3, 3],
        },
        {
            "t": 2,
            "tok_id": 7,
            "tok_p": 1.0,
            "is_base": True,
            "answers": ["A", "A", "A", "A"],
            "cont_lens": [2, 2, 2, 2],
        },
    ]
    whole = {
        "meta": {"row_id": 5, "question": "<b>why?</b>"},
        "idxs": [0, 1, 2],
        "categories": ["A", "B", "C"],
        "branches": branches,
        "base": {"gen_ids": [7, 8, 7], "token_texts": ["é", "\n", "x"]},
        "timing": {"gen_secs": 1.5},
    }
    return whole | changes


def branch(i, **changes):
    """The record with one branch changed."""
    branches = record()["branches"]
    branches[i] = branches[i] | changes
    return record(branches=branches)


def test_a_recording_knows_its_weights():
    recording, notes = from_forking_fast(record())
    assert recording.question == "5"
    assert np.allclose(recording.kept_mass, [0.97, 0.9, 1])
    assert np.allclose(recording.taken_mass, [0.97, 0.6, 1])
    assert recording.draws.tolist() == [4, 8, 4]
    by_hand = (0.6 * np.asarray([0.75, 0.25, 0]) + 0.3 * np.asarray([0, 0.75, 0.25])) / 0.9
    assert np.allclose(recording.distribution()[1], by_hand)
    assert "kept mass 0.9 at least" in notes[0]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_store_loses_nothing(tmp_path, name):
    first, _ = from_forking_fast(record())
    second, _ = recordings_from_table(
        pd.DataFrame({"question": ["q"] * 3, "fraction": [0.1, 0.1, 0.5], "answer": ["x y", "NA", "x y"]})
    )
    file = write_store(tmp_path / name, [first, *second])
    assert is_store(file)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    (again, plain), notes = read_store(file)
    assert again == first
    assert (plain,) == second
    assert len(notes) == 1
    assert to_forking_fast(again) == record()


def test_forking_fast_comes_back_as_it_was(tmp_path):
    file = tmp_path / "row.json.gz"
    file.write_bytes(gzip.compress(json.dumps(record()).encode()))
    recording, _ = read_forking_fast(file)
    written = write_forking_fast(tmp_path / "again.json.gz", recording)
    assert json.loads(gzip.decompress(written.read_bytes())) == record()


def test_published_stores_come_back_as_they_were(test_data, tmp_path):
    for name in ("llama/row003.json.gz", "deepseek/row006.json.gz", "s1000/row012_stride4.json.gz"):
        file = test_data / "data" / "forking_fast" / name
        published = json.loads(gzip.decompress(file.read_bytes()))
        recording, _ = read_forking_fast(file)
        assert to_forking_fast(recording) == published
        assert np.allclose(recording.distribution(), published["o_t_full"], atol=1e-5)
        if name.startswith("deepseek"):
            again = read_store(write_store(tmp_path / "s.jsonl.gz", [recording]))[0][0]
            assert to_forking_fast(again) == published


def test_a_table_of_draws_makes_the_recording_again():
    recording, _ = from_forking_fast(record())
    (again,), _ = recordings_from_table(recording.to_frame().sample(frac=1, random_state=0))
    assert [b.position for b in again.branches] == [b.position for b in recording.branches]
    names = [[again.categories[a] for a in b.answers] for b in again.branches]
    assert names == [b["answers"] for b in record()["branches"]]
    assert [b.costs.tolist() for b in again.branches] == [b["cont_lens"] for b in record()["branches"]]
    counted = trace_table(recording.to_frame().drop(columns="draw").assign(reference="A")).questions[0]
    order = [recording.categories.index(a) for a in counted.answers]
    assert np.allclose(counted.frequency, recording.distribution()[:, order])


def test_rare_answers_are_merged():
    recording, _ = from_forking_fast(record())
    assert recording.merged(0.05) is recording
    merged = recording.merged(0.1)
    assert merged.categories == ("A", "B", "Other")
    assert np.allclose(merged.distribution()[:, 2], recording.distribution()[:, 2])


REFUSED = {
    "outside the categories": (branch(1, answers=["A", "A", "Z", "B"]), "draw 2 = 'Z'.*categories"),
    "zero draws": (branch(2, answers=[], cont_lens=[]), "at least one draw"),
    "weights above one": (branch(2, tok_p=0.6), r"position 1, sum of weights = 1.2.*at most 1"),
    "no weight": (branch(2, tok_p=0.0), "probability in"),
    "contradiction": (
        record(branches=[*record()["branches"], record()["branches"][3] | {"answers": list("BBBB")}]),
        "contradict",
    ),
    "two taken": (branch(2, is_base=True), "one branch at most"),
    "costs": (branch(0, cont_lens=[1]), "one a draw"),
    "no branches": (record(branches=[]), "at least one branch"),
    "categories": (record(categories=["A", "A", "B", "C"]), "texts that differ"),
    "not a store": ({"a": 1}, "branches"),
    "cell": (record(branches=[{"t": 0}]), "tok_id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_recordings_are_refused(case):
    bad, message = REFUSED[case]
    with pytest.raises(InvalidInput, match=message):
        from_forking_fast(bad)


def test_repeats_and_gaps_are_noted():
    again = [*record()["branches"], record()["branches"][3]]
    recording, notes = from_forking_fast(record(branches=again, idxs=[0, 1, 2, 3]))
    assert len(recording.branches) == 4
    assert recording.missing == (3.0,)
    assert any("counted once" in n for n in notes)
    assert any("no draws at 1 of 4" in n for n in notes)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet", "a.json.gz"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_file_cut_in_the_middle_is_refused(tmp_path, name, share):
    recording, _ = from_forking_fast(record())
    file = tmp_path / name
    if name.endswith(".json.gz"):
        write_forking_fast(file, recording)
    else:
        write_store(file, [recording])
    raw = file.read_bytes()
    file.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(InvalidInput, match="cut in the middle"):
        (read_forking_fast if name.endswith(".json.gz") else read_store)(file)


def test_a_store_cut_between_lines_is_refused(tmp_path):
    recording, _ = from_forking_fast(record())
    file = write_store(tmp_path / "a.jsonl", [recording])
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-2]), "utf-8")
    with pytest.raises(InvalidInput, match="cut in the middle"):
        read_store(file)


def test_tables_that_contradict_themselves_are_refused():
    frame = pd.DataFrame({"question": "q", "fraction": [0.1, 0.1], "answer": ["a", "b"], "draw": [0, 0]})
    with pytest.raises(InvalidInput, match="contradict"):
        recordings_from_table(frame)
    with pytest.raises(InvalidInput, match="branch_weight"):
        recordings_from_table(frame.assign(weight=0.5))


def test_one_question_twice_is_refused(tmp_path):
    recording, _ = from_forking_fast(record())
    with pytest.raises(InvalidInput, match="different names"):
        write_store(tmp_path / "a.jsonl", [recording, recording])
    with pytest.raises(InvalidInput, match="texts that differ"):
        make_recording("q", ["a", "a"], [make_branch("b", ("a",), ["a"], 0, "", 1.0, taken=True)])


def test_a_table_tells_the_full_generation_by_its_last_rows():
    """As a table of counts does: rows at fraction 1, or of positions a single one at the last, are no draws."""
    frame = pd.DataFrame({"question": "q", "fraction": [0.2] * 3 + [0.6] * 3 + [1.0], "answer": list("ABAAABA")})
    (recording,), _ = recordings_from_table(frame)
    assert (recording.reference, recording.positions.tolist()) == ("A", [0.2, 0.6])
    (recording,), _ = recordings_from_table(frame.rename(columns={"fraction": "position"}))
    assert (recording.reference, recording.positions.tolist(), recording.full) == ("A", [0.2, 0.6], 1.0)
    with pytest.raises(InvalidInput, match="contradict one another"):
        recordings_from_table(pd.concat([frame, frame.tail(1).assign(answer="B")]))
    # A branch's single draw at the last position is a draw.
    branches = frame.rename(columns={"fraction": "position"}).assign(branch="x", branch_weight=0.5)
    (recording,), _ = recordings_from_table(branches)
    assert (recording.reference, recording.positions.tolist()) == (None, [0.2, 0.6, 1.0])


def test_names_of_branches_are_kept_as_they_are():
    """Tokens that differ by a blank, that are blank, or that read as a missing cell."""
    names = ["the", " the", "", " ", "nan", "NA"]
    frame = pd.DataFrame({"question": "q", "position": 0, "branch": names, "branch_weight": 0.1, "answer": "A"})
    (recording,), _ = recordings_from_table(frame.assign(taken=False))
    assert sorted(b.name for b in recording.branches) == sorted(names)


def test_fractions_have_no_place_in_a_store_of_tokens():
    branch = make_branch("q", ("A",), ["A"], 0.5, "", 1.0, taken=False)
    recording, _ = make_recording("q", ("A",), (branch,), axis="fraction", full=1.0)
    with pytest.raises(InvalidInput, match="whole positions"):
        to_forking_fast(recording)
