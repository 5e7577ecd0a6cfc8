"""``sloc train``: the split shares nothing, a short run writes a whole folder, bad input is refused."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.report.train_command import TrainRequest, run_train, split_digits


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
