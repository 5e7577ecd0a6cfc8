"""The suite of language models runs, and refuses a contestant that writes something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import lm, lm_large
from benchmarks.peers.decoders import cached_jax
from sloc.lm import load_model, random_model


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
    assert any("floor over time" in name for name in names)
    assert all(row["value"] > 0 for row in rows if "compile" not in row["name"])


@pytest.mark.slow
def test_the_peer_has_the_law_and_another_is_refused(tmp_path: Path) -> None:
    # Six standard errors of a mean over 300 texts: 2e-9.
    model = load_model(lm.write_random(tmp_path))
    text = np.arange(3, 19, dtype=np.int32)
    own = lm.check_law("sloc", model, text, lm.forked(model, text, 300, 8, 1), None)
    lm.check_law("JAX", model, text, cached_jax(model, text, 300, 8, 1), own)
    even = np.asarray(jax.random.randint(jax.random.key(0), (300, 8), 0, 512))
    lm.check_law("JAX, once", model, text, cached_jax(model, text, 300, 8, 2, once=True), own)
    with pytest.raises(AssertionError, match="off by"):
        lm.check_law("even", model, text, even, own)


def test_the_work_of_a_large_model() -> None:
    """The shape is that of eight billion parameters, counted by hand; more branches read no more of the text."""
    given = lm_large.problem(smoke=False)
    matrices = lm_large._matrices(given.config)
    assert matrices + 128_256 * 4096 + 65 * 4096 == 8_030_261_248
    tiny = lm_large.problem(smoke=True)
    model = random_model(jax.random.key(0), tiny.config, dtype="bfloat16")
    assert lm_large._matrices(tiny.config) == sum(a.size for a in jax.tree.leaves(model.weights) if a.ndim == 2) - (
        model.weights["embed"].size
    )
    flops, moved = lm_large.work(model, tiny)
    twice, more = lm_large.work(model, dataclasses.replace(tiny, branches=2 * tiny.branches))
    assert twice == 2 * flops
    # Keys and values of eight more branches, four tokens each on average, at each of eight steps.
    assert more - moved == 8 * 8 * 4 * (2 * 2 * 2 * 8 * 2)


def test_chi_square_tells_laws_apart() -> None:
    rng = np.random.default_rng(0)
    law = rng.dirichlet(np.full(64, 0.3))
    counts = rng.multinomial(20_000, law)
    # False alarm 1e-9.
    assert lm.chi_square(counts, law) > 1e-9
    other = 0.9 * law + 0.1 / 64
    assert lm.chi_square(counts, other) < 1e-9
