"""The suite of language models runs, and refuses a contestant that writes something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import lm
from benchmarks.peers.decoders import cached_jax
from sloc.lm import load_model


@pytest.fixture(autouse=True)
def _promotion() -> Iterator[None]:
    """Language models, here as in their own tests, run under JAX's own promotion rules."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
def test_every_part_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLOC_TEST_DATA", raising=False)
    rows = list(lm.run(1, True))
    names = [row["name"] for row in rows]
    assert any("JAX, a cache for each branch over sloc" in name for name in names)
    assert any("recycled, tokens drawn" in name for name in names)
    assert all(row["value"] > 0 for row in rows if "compile" not in row["name"])


@pytest.mark.slow
def test_the_peer_has_the_law_and_another_is_refused(tmp_path: Path) -> None:
    # Six standard errors of a mean over 300 texts: 2e-9.
    model = load_model(lm.write_random(tmp_path))
    text = np.arange(3, 19, dtype=np.int32)
    own = lm.check_law("sloc", model, text, lm.forked(model, text, 300, 8, 1), None)
    lm.check_law("JAX", model, text, cached_jax(model, text, 300, 8, 1), own)
    even = np.asarray(jax.random.randint(jax.random.key(0), (300, 8), 0, 512))
    with pytest.raises(AssertionError, match="off by"):
        lm.check_law("even", model, text, even, own)
