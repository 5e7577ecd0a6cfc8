"""Logits of every family against a decoder in NumPy: whole, padded on either side, and with a cache."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from sloc.lm import LanguageModel, load_model
from sloc.lm.forward import empty_cache, logits
from tests.lm.families import FAMILIES, random_tensors, write_checkpoint
from tests.lm.oracle import oracle_logits

CLOSE = dict(rtol=0, atol=1e-4)
SHORT, LONG = 11, 23


# By day one of each kind; the others in the slow step.
DAY = ("llama", "phi3", "gpt2", "llada")
ALL = [name if name in DAY else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


@pytest.fixture(params=ALL)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LanguageModel, dict, dict]:
    settings = FAMILIES[request.param]
    tensors = random_tensors(settings)
    return load_model(write_checkpoint(tmp_path / "model", settings, tensors)), settings, tensors


def _texts() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.integers(0, 96, LONG).astype(np.int32), rng.integers(0, 96, SHORT).astype(np.int32)


def test_logits_are_those_of_the_oracle(case: tuple[LanguageModel, dict, dict]) -> None:
    model, settings, tensors = case
    long, short = _texts()
    want_long, want_short = (oracle_logits(settings, tensors, t, LONG) for t in (long, short))
    assert want_long.std() > 0.5
    # One batch holds a whole text, one padded on the right and one padded on the left.
    tokens, mask = np.zeros((3, LONG), np.int32), np.zeros((3, LONG), bool)
    tokens[0], mask[0] = long, True
    tokens[1, :SHORT], mask[1, :SHORT] = short, True
    tokens[2, -SHORT:], mask[2, -SHORT:] = short, True
    found = np.asarray(logits(model.config, model.weights, jnp.asarray(tokens), jnp.asarray(mask))[0])
    np.testing.assert_allclose(found[0], want_long, **CLOSE)
    np.testing.assert_allclose(found[1, :SHORT], want_short, **CLOSE)
    np.testing.assert_allclose(found[2, -SHORT:], want_short, **CLOSE)
    if not model.config.causal:
        return
    # The same with a cache, in parts of several sizes.
    cache = empty_cache(model.config, 3, LONG)
    parts = []
    for start, stop in ((0, 7), (7, 8), (8, LONG)):
        given = jnp.asarray(tokens[:, start:stop]), jnp.asarray(mask[:, start:stop])
        out, cache = logits(model.config, model.weights, *given, cache)
        parts.append(np.asarray(out))
    again = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(again[mask], found[mask], **CLOSE)


def test_long_rotary_factors_hold_for_long_contexts(tmp_path: Path) -> None:
    settings = FAMILIES["phi3"]
    tensors = random_tensors(settings)
    model = load_model(write_checkpoint(tmp_path / "model", settings, tensors))
    short = _texts()[1]
    for context in (16, 17):
        found, _ = logits(model.config, model.weights, jnp.asarray(short)[None], context=context)
        np.testing.assert_allclose(found[0], oracle_logits(settings, tensors, short, context), **CLOSE)
    near, far = (oracle_logits(settings, tensors, short, c) for c in (16, 17))
    assert np.abs(near - far).max() > 0.01


def test_the_trained_checkpoint_predicts_its_language(test_data: Path) -> None:
    model = load_model(test_data / "models" / "stories260k")
    tokens = model.tokens("Once upon a time, there was a little girl named Lily. She loved to play outside.")
    found, _ = logits(model.config, model.weights, jnp.asarray(tokens)[None])
    right = np.asarray(found[0, :-1]).argmax(-1) == tokens[1:]
    assert right.mean() > 0.7
