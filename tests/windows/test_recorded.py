"""The store of recorded resamples: nothing is lost on a round trip, and bad recordings are refused by name."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

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


def comes_back(file, folder):
    """Whether a published row is given back, directly and through every file, with nothing of this library's own."""
    published = json.loads(gzip.decompress(file.read_bytes()))
    recording, _ = read_forking_fast(file)
    assert json.dumps(to_forking_fast(recording), sort_keys=True) == json.dumps(published, sort_keys=True)
    assert recording.layout == {}
    assert np.allclose(recording.distribution(), published["o_t_full"], atol=1e-5)
    for name in ("s.jsonl.gz", "s.parquet") if folder else ():
        again = read_store(write_store(folder / name, [recording]))[0][0]
        assert again == recording
        assert json.dumps(to_forking_fast(again), sort_keys=True) == json.dumps(published, sort_keys=True)
    if folder:
        assert read_forking_fast(write_forking_fast(folder / "s.json.gz", recording))[0] == recording


@pytest.mark.parametrize("name", ["llama/row003", "deepseek/row006", "s1000/row012_stride4"])
def test_published_stores_come_back_as_they_were(test_data, tmp_path, name):
    comes_back(test_data / "data" / "forking_fast" / f"{name}.json.gz", tmp_path)


@pytest.mark.slow
def test_every_published_row_comes_back_as_it_was(test_data):
    files = sorted((test_data / "data" / "forking_fast").glob("*/row*.json.gz"))
    assert len(files) >= 100
    for file in files:
        comes_back(file, None)


def test_a_file_s_own_order_changes_no_estimate():
    """Branches, positions and repeats as they stand in the file are given back; what is estimated is the same."""
    recording, _ = from_forking_fast(record())
    own = record(branches=[record()["branches"][i] for i in (3, 2, 0, 1, 2)], idxs=[2.0, 0, 1])
    other, notes = from_forking_fast(own)
    assert any("counted once" in n for n in notes)
    assert [b.position for b in other.branches] == [0, 1, 1, 2]
    assert np.array_equal(other.distribution(), recording.distribution())
    assert to_forking_fast(other) == own
    assert other == replace(other, layout={})
    # What was changed since is written, in the file's order as far as it goes.
    fewer = replace(other, branches=other.branches[1:], expected=())
    assert [b["t"] for b in to_forking_fast(fewer)["branches"]] == [2, 1, 1, 1]
    assert to_forking_fast(fewer)["idxs"] == []
    assert from_forking_fast(to_forking_fast(fewer))[0] == fewer


def test_a_number_and_a_text_are_two_tokens(tmp_path):
    """At one position; a text alone keeps its name, whatever it looks like."""
    tokens = [4, "4", '"4"']
    branches = [
        record()["branches"][2] | {"t": 0, "tok_id": token, "answers": ["A"], "cont_lens": [1]} for token in tokens
    ]
    own = record(branches=[*branches, branches[1] | {"t": 1}], idxs=[0, 1])
    own["branches"][0]["is_base"] = True
    recording, _ = from_forking_fast(own)
    assert [b.name for b in recording.branches] == ["4", '"\\"4\\""', '"4"', "4"]
    assert recording.kept_mass[0] == pytest.approx(0.9)
    for name in ("a.jsonl", "a.parquet"):
        (again,), _ = read_store(write_store(tmp_path / name, [recording]))
        assert again == recording
        assert json.dumps(to_forking_fast(again), sort_keys=True) == json.dumps(own, sort_keys=True)


def test_what_the_format_has_no_room_for_stands_under_a_key_of_its_own(tmp_path):
    recording, _ = from_forking_fast(record())
    changed = replace(recording, question="mine", reference="B", full=120.0, meta=dict(recording.meta) | {"idxs": "x"})
    written = to_forking_fast(changed)
    assert written["sloc"] == {"question": "mine", "full": 120.0, "reference": "B", "meta": dict(changed.meta)}
    assert {k: v for k, v in written.items() if k != "sloc"} == record()
    assert read_forking_fast(write_forking_fast(tmp_path / "a.json", changed))[0] == changed
    named = replace(recording, branches=(replace(recording.branches[0], name="the"), *recording.branches[1:]))
    written = to_forking_fast(named)["branches"]
    assert written[0]["sloc"] == {"name": "the", "extra": {"tok_id": 7}}
    assert not any("sloc" in b for b in written[1:])


OWN_KEY = {
    "no object": (record(sloc=3), r"record, sloc = 3: expected an object"),
    "another name": (
        record(sloc={"colour": 1}),
        r"record, sloc = \['colour'\]: expected an object with no other names",
    ),
    "a reference unseen": (record(sloc={"reference": "Z"}), r"reference = 'Z': expected one of"),
    "a question a number": (record(sloc={"question": 5}), r"question = 5: expected a name"),
    "a length a text": (record(sloc={"full": "x"}), r"full = 'x': expected a positive number"),
    "a branch": (branch(0, sloc={"name": 5}), r"branches\[0\], position 0, name = 5: expected a text"),
    "a branch's key": (branch(0, sloc={"t": 5}), r"branches\[0\], sloc = \['t'\]: expected an object"),
    "half a token": (branch(0, t=0.5), r"branches\[0\], t = 0.5: expected a number of tokens"),
    "too far": (branch(3, t=2**53), r"branches\[3\], t = 9007199254740992: expected a number of tokens"),
}


@pytest.mark.parametrize("case", OWN_KEY)
def test_a_malformed_key_is_refused(case):
    bad, message = OWN_KEY[case]
    with pytest.raises(InvalidInput, match=message):
        from_forking_fast(bad)


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


def test_names_that_differ_by_a_blank_keep_their_draws():
    """A draw is numbered within its branch: draw 0 of `` the`` is not draw 0 of ``the``."""
    frame = pd.DataFrame(
        {"question": "q", "position": 0, "branch": ["the", " the", "the 0", "\0"], "branch_weight": 0.2, "draw": 0}
    ).assign(answer=["A", "B", "C", "A"], taken=False)
    (recording,), notes = recordings_from_table(frame)
    assert not any("repeated" in n for n in notes)
    found = {b.name: recording.categories[b.answers[0]] for b in recording.branches}
    assert found == {"the": "A", " the": "B", "the 0": "C", "\0": "A"}


@pytest.mark.parametrize("column", ["cost", "branch_weight", "taken"])
def test_a_repeated_draw_may_not_contradict_itself(column):
    frame = pd.DataFrame({"question": "q", "position": 0, "branch": "x", "draw": [0, 0, 1], "answer": "A"})
    frame = frame.assign(branch_weight=0.5, taken=True, cost=3)
    assert recordings_from_table(frame)[0][0].draws.tolist() == [2]
    frame[column] = (
        [0.25, 0.5, 0.5] if column == "branch_weight" else [False, True, True] if column == "taken" else [3, 4, 3]
    )
    with pytest.raises(InvalidInput, match=f"draw 0 of branch 'x': .*contradict one another.*; {column} "):
        recordings_from_table(frame)


def test_branches_without_costs_stand_beside_those_with():
    frame = pd.DataFrame({"question": "q", "position": [0, 0, 1, 1], "answer": "A", "cost": [3, 4, None, None]})
    (recording,), _ = recordings_from_table(frame)
    assert [b.costs is None for b in recording.branches] == [False, True]
    assert recordings_from_table(recording.to_frame())[0][0].branches[0].costs.tolist() == [3, 4]
    with pytest.raises(InvalidInput, match=r"column cost, row 4 = nan: expected a whole number, as other draws"):
        recordings_from_table(frame.assign(cost=[3, 4, 5, None]))


def test_positions_far_out_keep_their_place():
    """They were rounded to twelve decimals, which moves 37,000,001 by 7e-9 and takes 1e300 to infinity."""
    far = [37_000_001, 1e300]
    frame = pd.DataFrame({"question": "q", "position": np.repeat(far, 2), "answer": "A", "reference": "A"})
    assert recordings_from_table(frame)[0][0].positions.tolist() == far
    assert trace_table(frame).questions[0].kept.tolist() == far
    near = frame.assign(position=[0.1 + 0.2, 0.3, 1.0, 1.0])
    assert recordings_from_table(near)[0][0].positions.tolist() == [0.3, 1.0]


def test_what_no_cell_can_say_is_lost_as_it_is_said_to_be():
    """Blanks around answers, and a branch of the whole generation; the rest is a law of its own."""
    branches = [
        make_branch("q", (" A", "B"), list(answers), t, "x", 1.0, taken=True)
        for t, answers in ((0.5, [" A", "B"]), (1, ["B"]))
    ]
    recording, _ = make_recording("q ", (" A", "B"), branches, axis="fraction")
    (again,), _ = recordings_from_table(recording.to_frame())
    assert (again.question, again.categories, again.reference) == ("q", ("B", "A"), "B")
    assert again.positions.tolist() == [0.5]
    blank = replace(recording, categories=("", "B"))
    with pytest.raises(InvalidInput, match=r"column answer, row 1 = '': expected an answer; it is missing"):
        recordings_from_table(blank.to_frame())
