"""What learned models are timed against, and the bookkeeping of the nightly run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import learned_levels, nightly_learned
from sloc.contracts import InvalidInput


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_pytorch_has_the_same_network_and_brings_back_the_same_shares() -> None:
    pytest.importorskip("torch")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        names = [row["name"] for row in learned_levels.rows(1, True)]
    assert sum("level by level, over sloc" in name for name in names) == 1
    assert sum("all levels at once, over sloc" in name for name in names) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_another_network_is_not_timed() -> None:
    pytest.importorskip("torch")
    from flax import nnx

    from sloc import nn
    from sloc.nn.weights import named_arrays

    network = nn.UNet((8, 8), 10, rngs=nnx.Rngs(0))
    network.last.kernel[...] = 0.02 * jax.random.normal(jax.random.key(2), network.last.kernel.shape)
    weights = named_arrays(nnx.state(network, nnx.Param))
    # The transposed convolution is where a flip would go unseen.
    weights["double.0.kernel"] = np.flip(weights["double.0.kernel"], (0, 1))
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        pytest.raises(InvalidInput, match="outputs of the two networks differ"),
    ):
        learned_levels.check_outputs(network, weights)


def test_what_attempts_took_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly_learned, "_BETWEEN", 0.01)
    runs: list[Path] = []

    def run(out: Path) -> None:
        runs.append(out)
        time.sleep(0.05)
        # What was spent so far is on disk while it runs: it may be killed.
        until = time.monotonic() + 60
        while nightly_learned.spent(tmp_path / "model.seconds.json")["attempts"] < len(runs):
            assert time.monotonic() < until
            time.sleep(0.01)
        if len(runs) == 1:
            raise KeyboardInterrupt
        out.mkdir()
        (out / "run.json").write_text(json.dumps({"results": {"value": 3}}))

    with pytest.raises(KeyboardInterrupt):
        nightly_learned.done_once(tmp_path / "model", run)
    first = nightly_learned.spent(tmp_path / "model.seconds.json")
    assert first["wall"] >= 0.05
    found, took = nightly_learned.done_once(tmp_path / "model", run)
    assert found == {"value": 3}
    assert took["attempts"] == 2
    assert took["wall"] >= first["wall"] + 0.05
    # What is there is not run again.
    assert nightly_learned.done_once(tmp_path / "model", run) == (found, took)
    assert len(runs) == 2
