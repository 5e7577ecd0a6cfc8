"""``sloc train`` and ``sloc uturn``: the split shares nothing, short runs write whole folders, bad input is refused."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.report.train_command import TrainRequest, run_train, split_digits
from sloc.report.uturn_command import UturnRequest, _crossing, run_uturn


def test_the_three_parts_share_no_image_and_are_all_of_them():
    parts = split_digits(3)
    sizes = [len(part[0]) for part in (parts.generator, parts.judge, parts.test)]
    assert sizes == [1078, 539, 180]
    again = split_digits(3)
    np.testing.assert_array_equal(parts.judge[0], again.judge[0])
    assert not np.array_equal(parts.judge[0], split_digits(4).judge[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(source="faces"), "SOURCE = 'faces': expected digits"),
        (dict(model="gan"), "--model = 'gan': expected one of unet"),
        (dict(steps=0), "--steps = 0"),
        (dict(seed=-1), "--seed = -1"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        run_train(TrainRequest(**options), None)


def test_resume_needs_a_folder():
    with pytest.raises(InvalidInput, match="--resume"):
        run_train(TrainRequest(), None, resume=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_short_run_writes_a_whole_folder(tmp_path, capsys):
    out = tmp_path / "run"
    request = TrainRequest(model="mlp", steps=400, samples=32)
    # Flax does not keep the strict rules itself.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        answer = run_train(request, out, resume=True, json=True)
    assert json.loads(capsys.readouterr().out) == answer
    names = {file.name for file in out.iterdir()}
    assert names == {"weights.safetensors", "losses.csv", "samples.png", "run.json"}
    # Nothing is left beside it.
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    found = answer["results"]
    assert found["accuracy_real"] > 0.95
    # By chance it is 0.1.
    assert found["accuracy_generated"] > 0.5

    request = UturnRequest(str(out / "weights.safetensors"), levels=6, n=64, steps=16)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        answer = run_uturn(request, tmp_path / "uturn", json=True)
    assert json.loads(capsys.readouterr().out) == answer
    assert {file.name for file in (tmp_path / "uturn").iterdir()} == {"curves.csv", "uturn.png", "run.json"}
    found = answer["results"]
    # Little noise is undone by anything, and from pure noise a 3 comes back as often as any digit.
    assert found["learned"][0] > 0.9
    assert found["exact"][0] > 0.95
    assert found["learned"][-1] < 0.5
    assert 0 <= found["difference_beyond_the_draws"] <= found["largest_difference"]


def test_crossings():
    times = np.array([1.0, 2.0, 3.0])
    assert _crossing(times, np.array([1.0, 0.8, 0.2]), 0.5) == pytest.approx(2.5)
    assert _crossing(times, np.array([0.4, 0.3, 0.2]), 0.5) is None
    assert _crossing(times, np.array([1.0, 0.9, 0.8]), 0.5) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(levels=1), "--levels = 1"),
        (dict(delta=1.0), "--delta = 1.0"),
        (dict(start="x"), "--start = 'x'"),
        (dict(), "a safetensors file that exists"),
    ],
)
def test_bad_uturns_are_refused(options, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        run_uturn(UturnRequest(str(tmp_path / "none"), **options), None)
