"""Round trips as laws: whatever a file of recordings says comes back, and a table loses what it is said to lose."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_file import read_store, write_store
from sloc.windows.recorded_import import (
    from_forking_fast,
    read_forking_fast,
    recordings_from_table,
    to_forking_fast,
    write_forking_fast,
)

STORES = ("a.jsonl", "a.jsonl.gz", "a.parquet")
OWN_FIELDS = ("branches", "categories", "idxs", "t", "tok_id", "tok_p", "is_base", "answers", "cont_lens", "sloc")

words = st.text(max_size=4) | st.sampled_from(["A", "B", " A", "nan", "", "\n", "é\0", "\U0001f600"])
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
plain = leaves | st.lists(leaves, max_size=2) | st.dictionaries(words, leaves, max_size=2)
fields = st.dictionaries(words.filter(lambda k: k not in (*OWN_FIELDS, "meta", "base")), plain, max_size=3)
tokens = st.integers(0, 9) | st.sampled_from(["4", '"4"', '"\\"4\\""', "x", " x", ""]) | words
whole = st.integers(0, 6) | st.integers(0, 2**53 - 1)
entries = st.fixed_dictionaries(
    {"t": st.integers(0, 6) | st.just(3.0), "name": words, "tok_p": st.sampled_from([0.5, 1, 1.0])},
    optional={"cont_lens": st.none()},
)
# Of a recording that was changed since: they fit now and then.
layouts = st.fixed_dictionaries(
    {}, optional={"idxs": st.lists(whole | whole.map(float), max_size=2), "branches": st.lists(entries, max_size=4)}
)


def same(one, other):
    """Whether two JSON values agree to the kind of every number; names of an object have no order."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def alike(one, other):
    """Whether two recordings agree, to the kind of every number in what they carry along."""
    mine, yours = ([r.meta, *[dict(b.extra) for b in r.branches]] for r in (one, other))
    return one == other and same(mine, yours)


@st.composite
def weights(draw, size):
    """Probabilities of the branches of one position."""
    if size == 1 and draw(st.booleans()):
        return [draw(st.sampled_from([1, 1.0]))]
    return [draw(st.floats(0.0, 1.0 / size, exclude_min=True)) for _ in range(size)]


@st.composite
def answers(draw, categories):
    """Answers of one branch, and costs or none."""
    found = draw(st.lists(st.sampled_from(categories), min_size=1, max_size=4))
    costs = draw(st.none() | st.lists(st.integers(0, 2**53), min_size=len(found), max_size=len(found)))
    return found, costs


@st.composite
def records(draw):
    """Objects of a forking-fast store, in every form that is valid."""
    categories = draw(st.lists(words, min_size=1, max_size=3, unique=True))
    branches = []
    for t in draw(st.lists(whole, min_size=1, max_size=3, unique=True)):
        kept = draw(st.lists(tokens, min_size=1, max_size=3, unique_by=lambda v: (type(v), v)))
        taken = draw(st.integers(-1, len(kept) - 1))
        for i, (token, weight) in enumerate(zip(kept, draw(weights(len(kept))), strict=True)):
            found, costs = draw(answers(categories))
            place = draw(st.sampled_from([t, float(t)]))
            b = {"t": place, "tok_id": token, "tok_p": weight, "is_base": i == taken, "answers": found}
            if costs is not None or draw(st.booleans()):
                b["cont_lens"] = costs
            branches.append(b | draw(fields))
    branches += draw(st.lists(st.sampled_from(branches), max_size=2))
    record = {
        "idxs": draw(st.lists(whole | whole.map(float), max_size=4)),
        "categories": categories,
        "branches": draw(st.permutations(branches)),
        "meta": draw(fields) | {"row_id": draw(st.integers() | words.filter(bool))},
    }
    base = draw(
        st.none() | st.fixed_dictionaries({}, optional={"gen_ids": st.none() | st.lists(st.integers())}) | fields
    )
    return record | draw(fields) | ({"base": base} if draw(st.booleans()) else {})


@st.composite
def recordings(draw, *, places=whole, axis="position", carried=plain):
    """Recordings of one's own, with names and fields that no file would have thought of."""
    categories = tuple(draw(st.lists(words, min_size=1, max_size=3, unique=True)))
    keys = st.sampled_from([*OWN_FIELDS, "meta", "base", "row_id", "gen_ids"]) | words
    said = st.dictionaries(keys, carried, max_size=3)
    branches = []
    for t in sorted(draw(st.lists(places, min_size=1, max_size=3, unique_by=float))):
        kept = draw(st.lists(words | st.sampled_from(["4", '"4"']), min_size=1, max_size=3, unique=True))
        taken = draw(st.integers(-1, len(kept) - 1))
        for i, (name, weight) in enumerate(zip(kept, draw(weights(len(kept))), strict=True)):
            found, costs = draw(answers(categories))
            codes = np.asarray([categories.index(a) for a in found])
            extra = draw(said) | draw(st.fixed_dictionaries({}, optional={"tok_id": tokens}))
            branches.append(Branch(t, name, weight, i == taken, codes, costs and np.asarray(costs), extra))
    return Recording(
        draw(words.filter(bool)),
        categories,
        tuple(branches),
        axis,
        draw(st.sampled_from([1.0, 7.0]) | st.floats(0.0, exclude_min=True, allow_infinity=False)),
        draw(st.none() | st.sampled_from(categories)),
        tuple(draw(st.lists(places, max_size=4))),
        draw(said) | draw(st.fixed_dictionaries({}, optional={"meta": said, "base": said})),
        draw(layouts),
    )


@settings(max_examples=100)
@given(records())
def test_a_forking_fast_object_comes_back_as_it_was(record):
    recording, _ = from_forking_fast(record)
    assert same(to_forking_fast(recording), record)
    assert same(to_forking_fast(replace(recording)), record)


@pytest.mark.parametrize("name", STORES)
@settings(max_examples=25)
@given(record=records())
def test_a_forking_fast_object_comes_back_through_a_store(tmp_path_factory, name, record):
    recording, _ = from_forking_fast(record)
    (again,), _ = read_store(write_store(tmp_path_factory.getbasetemp() / name, [recording]))
    assert alike(again, recording)
    assert same(to_forking_fast(again), record)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
@settings(max_examples=25)
@given(record=records())
def test_a_forking_fast_file_comes_back_as_it_was(tmp_path_factory, name, record):
    file = tmp_path_factory.getbasetemp() / f"read-{name}"
    raw = json.dumps(record).encode()
    file.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    recording, _ = read_forking_fast(file)
    written = write_forking_fast(file.with_name(name), recording).read_bytes()
    assert same(json.loads(gzip.decompress(written) if name.endswith(".gz") else written), record)
    assert alike(read_forking_fast(file.with_name(name))[0], recording)


@settings(max_examples=100)
@given(recordings())
def test_a_recording_comes_back_from_a_forking_fast_object(recording):
    record = to_forking_fast(recording)
    assert alike(from_forking_fast(record)[0], recording)
    assert alike(from_forking_fast(json.loads(json.dumps(record)))[0], recording)
    assert same(to_forking_fast(from_forking_fast(record)[0]), record)


@pytest.mark.parametrize("name", STORES)
@settings(max_examples=25)
@given(
    one=recordings(),
    other=recordings(places=st.floats(0, 1), axis="fraction"),
    third=recordings(places=st.floats(0, 9)),
)
def test_a_store_gives_back_any_recordings(tmp_path_factory, name, one, other, third):
    made = [replace(r, question=f"{i} {r.question}") for i, r in enumerate((one, other, third))]
    again, _ = read_store(write_store(tmp_path_factory.getbasetemp() / name, made))
    assert all(alike(a, b) for a, b in zip(again, made, strict=True))
    assert [r.layout for r in again] == [r.layout for r in made]


def of_a_table(recording):
    """What the table of a recording has of it: everything but what :func:`recordings_from_table` says it loses."""
    seen = [recording.categories[a] for b in recording.branches for a in b.answers]
    names = tuple(dict.fromkeys([*([] if recording.reference is None else [recording.reference]), *seen]))
    code = np.asarray([names.index(c) if c in names else -1 for c in recording.categories])
    branches = sorted(recording.branches, key=lambda b: (b.position, b.name))
    return replace(
        recording,
        categories=names,
        branches=tuple(replace(b, answers=code[b.answers], extra={}) for b in branches),
        full=1.0 if recording.axis == "fraction" else max(1.0, *recording.positions),
        expected=(),
        meta={},
        layout={},
    )


def of_cells(recording):
    """The recording with texts and positions that cells can say."""
    names = [f"{i} {c}".strip() for i, c in enumerate(recording.categories)]
    reference = None if recording.reference is None else names[recording.categories.index(recording.reference)]
    return replace(recording, question=f"q {recording.question}".strip(), categories=tuple(names), reference=reference)


TABLE = {
    "position": st.integers(0, 9) | st.integers(0, 2**53 - 1) | st.floats(0, 1e300) | st.fractions(0, 9).map(float),
    "fraction": st.floats(0, 0.999) | st.fractions(0, 0.999).map(float),
}


def draws_of(recording):
    """Everything that was drawn, answers by name."""
    return [
        (
            b.position,
            b.name,
            b.weight,
            b.taken,
            [recording.categories[a] for a in b.answers],
            b.costs is None or [*b.costs],
        )
        for b in recording.branches
    ]


@pytest.mark.parametrize("axis", TABLE)
@settings(max_examples=40)
@given(data=st.data())
def test_a_table_loses_what_it_is_said_to_lose_and_nothing_else(axis, data):
    """In whatever order its rows stand."""
    made = data.draw(st.lists(recordings(places=TABLE[axis], axis=axis), min_size=1, max_size=3))
    # Positions that agree to twelve decimals are one in a table.
    made = [of_cells(r) for r in made if not (np.diff(r.positions) <= 2e-12).any()]
    made = list({r.question: r for r in made}.values())
    if not made:
        return
    frame = pd.concat([r.to_frame() for r in made])
    again, _ = recordings_from_table(frame)
    assert list(again) == [of_a_table(r) for r in made]
    shuffled = {r.question: r for r in recordings_from_table(frame.sample(frac=1, random_state=0))[0]}
    assert all(draws_of(shuffled[r.question]) == draws_of(r) for r in again)
    assert all((shuffled[r.question].reference, shuffled[r.question].full) == (r.reference, r.full) for r in again)
