"""What no file would give back as it is: refused before anything is written, with its place, by every writer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_file import read_store, write_store
from sloc.windows.recorded_import import read_forking_fast, to_forking_fast, write_forking_fast

BRANCH = Branch(1.0, "x", 1.0, True, np.array([0, 1]))
RECORDING = Recording("q", ("A", "B"), (BRANCH,))
FILES = ("a.jsonl", "a.jsonl.gz", "a.parquet", "a.json", "a.json.gz")


def write(file, recording):
    """Write by whichever writer the file's name asks for."""
    if ".json" in file.suffixes:
        return write_forking_fast(file, recording)
    return write_store(file, [recording])


def nested(depth, kind):
    """An object as deep as that."""
    made = 1
    for _ in range(depth):
        made = [made] if kind is list else {"y": made}
    return made


ITSELF = {}
ITSELF["x"] = ITSELF

NOT_PLAIN = {
    "NaN": ({"x": [1.0, float("nan")]}, r"\.x\[1\] = nan: expected a finite number"),
    "infinity": ({"x": {"y": -float("inf")}}, r"\.x\.y = -inf: expected a finite number"),
    "an array": ({"x": {"y": np.arange(2)}}, r"\.x\.y = ndarray: expected plain JSON"),
    "a number of NumPy": ({"x": np.float64(1.0)}, r"\.x = float64: expected plain JSON"),
    "a whole number of NumPy": ({"x": [np.int64(1)]}, r"\.x\[0\] = int64: expected plain JSON"),
    "a truth value of NumPy": ({"x": np.True_}, r"\.x = bool: expected plain JSON"),
    "a text of NumPy": ({"x": np.str_("a")}, r"\.x = str_: expected plain JSON"),
    "a tuple": ({"x": (1, 2)}, r"\.x = tuple: expected plain JSON"),
    "a set": ({"x": {1}}, r"\.x = set: expected plain JSON"),
    "bytes": ({"x": b"a"}, r"\.x = bytes: expected plain JSON"),
    "a number as a name": ({1: "x"}, r", name = 1: expected a text"),
    "none as a name": ({"x": [{None: 1}]}, r"\.x\[0\], name = None: expected a text"),
    "half a character": ({"x": ["\ud800"]}, r"\.x\[0\] = '.ud800': expected texts that UTF-8 can hold"),
    "half a character in a name": ({"\udc00": 1}, r", name = '.udc00': expected texts that UTF-8 can hold"),
    "a number of 5000 digits": ({"x": 10**5000}, r"\.x = a whole number of 16610 bits"),
    "lists in lists": ({"x": nested(2000, list)}, r"\.x\[0\].*expected lists and objects within at most 100"),
    "objects in objects": ({"x": nested(101, dict)}, r"\.x\.y\.y.*expected lists and objects within at most 100"),
    "itself": (ITSELF, r"\.x\.x.*expected lists and objects within at most 100"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("case", NOT_PLAIN)
def test_what_would_not_come_back_is_not_written(tmp_path, case, name):
    said, message = NOT_PLAIN[case]
    with pytest.raises(InvalidInput, match="question 'q', meta" + message):
        write(tmp_path / name, replace(RECORDING, meta=said))
    with pytest.raises(InvalidInput, match="question 'q', position 1, branch 'x', extra" + message):
        write(tmp_path / name, replace(RECORDING, branches=(replace(BRANCH, extra=said),)))
    with pytest.raises(InvalidInput, match="question 'q', meta" + message):
        to_forking_fast(replace(RECORDING, meta=said))
    assert not list(tmp_path.iterdir())


HALF = {
    "question": (replace(RECORDING, question="\ud800"), "^question = '.ud800': expected texts that UTF-8"),
    "category": (replace(RECORDING, categories=("A", "\ud800")), r"question 'q', categories\[1\] = '.ud800'"),
    "branch": (
        replace(RECORDING, branches=(replace(BRANCH, name="\ud800"),)),
        "question 'q', position 1, branch = '.ud800'",
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("case", HALF)
def test_half_a_character_is_not_written(tmp_path, case, name):
    recording, message = HALF[case]
    with pytest.raises(InvalidInput, match=message):
        write(tmp_path / name, recording)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_what_is_plain_is_written(tmp_path, name):
    """To the deepest, and to the longest number."""
    said = {"": [True, None, -0.0, 5e-324, 10**3900, "\0\u2028\r\n"], "deep": nested(98, list), "x": nested(98, dict)}
    recording = replace(RECORDING, meta=said, branches=(replace(BRANCH, extra=said, costs=np.array([0, 2**53])),))
    file = write(tmp_path / name, recording)
    assert (read_forking_fast(file)[0] if ".json" in file.suffixes else read_store(file)[0][0]) == recording


@pytest.mark.parametrize("costs", [[True, 3], [2**53 + 1, 0], [2**64, 0], np.array([2**63, 0], np.uint64)])
def test_costs_that_no_file_would_give_back_are_refused(costs):
    with pytest.raises(InvalidInput, match=r"costs = .*expected 2 whole numbers"):
        replace(BRANCH, costs=costs)


LAYOUTS = {
    "a list": ([], r"layout = \[\]: expected an object"),
    "other names": ({"order": []}, r"layout = \['order'\]: expected an object with no other names than idxs, branches"),
    "positions no list": ({"idxs": 3}, r"layout, idxs = 3: expected a list"),
    "half a token": ({"idxs": [0, 0.5]}, r"layout, idxs\[1\] = 0.5: expected a number of tokens"),
    "a branch no object": ({"branches": [3]}, r"layout, branches\[0\] = 3: expected an object"),
    "a field missing": (
        {"branches": [{"t": 0, "name": "x"}]},
        r"layout, branches\[0\] = \['tok_p'\]: expected an object with t",
    ),
    "a name a number": (
        {"branches": [{"t": 0, "name": 1, "tok_p": 1}]},
        r"layout, branches\[0\], name = 1: expected a text",
    ),
    "a weight a text": ({"branches": [{"t": 0, "name": "", "tok_p": "x"}]}, r"layout, branches\[0\], tok_p = 'x'"),
    "lengths": (
        {"branches": [{"t": 0, "name": "", "tok_p": 1, "cont_lens": 1}]},
        r"layout, branches\[0\], cont_lens = 1",
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_of_another_kind_is_refused(case):
    layout, message = LAYOUTS[case]
    with pytest.raises(InvalidInput, match="question 'q', " + message):
        replace(RECORDING, layout=layout)
