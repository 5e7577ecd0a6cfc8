"""What a window is good for: each example in small."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from examples.uses import digits, early_stop, edits, guidance, late_start
from examples.uses.__main__ import FILE
from examples.uses.picture import picture
from examples.uses.tables import tables


@pytest.fixture(scope="module", autouse=True)
def _relaxed(tmp_path_factory):
    """Flax does not keep the strict rules itself; weights are kept in a folder of the tests."""
    kept = digits.FOLDER
    digits.FOLDER = tmp_path_factory.mktemp("uses")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    digits.FOLDER = kept


def by(rows, key):
    return {row[key]: row for row in rows}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_guidance_in_small():
    found = guidance.main(small=True)
    rows = by(found["rows"], "guided")
    calls = [rows[k]["guided calls"] for k in ("inside the window", "before it (more noise)", "after it (less noise)")]
    # Every call is in one of the three parts.
    assert sum(calls) == rows["everywhere"]["guided calls"] == found["calls"]
    # By chance it is 0.1.
    assert rows["inside the window"]["accuracy"] > 0.4


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_late_start_in_small():
    found = late_start.main(small=True)
    calls = [row["calls"] for row in found["rows"]]
    assert calls == sorted(calls, reverse=True)
    assert calls[1] < 0.8 * calls[0]
    gaps = [row["class TV"] for row in found["rows"]]
    # Before the last window the classes come out as from noise: four times what equal laws differ by on average.
    assert gaps[1] < 4 * found["class TV of equal laws"]


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
def test_an_early_stop_in_small():
    found = early_stop.main(small=True)
    same = [row["same class"] for row in found["rows"]]
    # Stopped at t = 0 it is the whole run itself; the earlier the stop, the less it is.
    assert same[0] == 1.0
    assert same[-1] < same[1]
    assert found["rows"][0]["with all calls"] == 1.0
    assert [row["calls"] for row in found["rows"]] == [32, 25, 17, 13, 9, 5, 3]


@pytest.mark.nightly
@pytest.mark.filterwarnings("default")
def test_edits_in_small():
    found = edits.main(small=True)
    rows = found["rows"]
    assert rows[0]["flipped"] < 0.2
    assert rows[-1]["flipped"] > 0.5
    assert any(row["inside"] for row in rows)


def test_the_page_shows_the_numbers_that_were_found():
    found = json.loads(FILE.read_text("utf-8"))
    page = (FILE.parents[2] / "docs" / "uses.md").read_text("utf-8")
    for name, table in tables(found).items():
        assert table in page, name


def test_what_the_page_says_of_the_masked_model_holds():
    found = json.loads(FILE.read_text("utf-8"))["early_stop"]
    known = by(found["nats"], "hidden")
    # It knows more of digits that it never saw than its images themselves do, and than the frequency of ink.
    for share in (0.1, 0.25, 0.5):
        assert known[share]["network"] < known[share]["images"] < known[share]["ink"] - 0.05
    agreed = found["recognised"]
    assert agreed["samples"] > agreed["pixels alone"] + 0.15
    settled = [row for row in found["rows"] if row["t"] <= found["settled"]]
    # In one call the class is that of all the calls, where the images' classes are settled.
    assert all(row["same class"] > row["with all calls"] - 0.05 for row in settled)


def test_the_picture_draws_every_number(tmp_path):
    picture(json.loads(FILE.read_text("utf-8")), tmp_path / "uses.png")
    assert (tmp_path / "uses.png").stat().st_size > 20_000


def test_styles_are_told_apart():
    rng = np.random.default_rng(0)
    x = digits.PARTS.test[0]
    assert edits.alike(x, x) == pytest.approx(1.0)
    assert abs(edits.alike(x, x[rng.permutation(len(x))])) < 6 / np.sqrt(len(x))
