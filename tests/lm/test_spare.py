"""Memory of rings between runs: written again, cleared, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.lm import Sampling, decode, random_model, small_config, spare

SHAPES = [(4, 3), (2, 5)]


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    spare._left.clear()
    yield
    spare._left.clear()


def test_left_memory_is_cleared_and_used_once() -> None:
    arrays = [jnp.full(s, jnp.nan) for s in SHAPES]
    where = [a.unsafe_buffer_pointer() for a in arrays]
    spare.leave(arrays)
    again = spare.zeros(SHAPES, jnp.float32)
    assert all((np.asarray(a) == 0).all() for a in again)
    assert [a.unsafe_buffer_pointer() for a in again] == where
    other = spare.zeros(SHAPES, jnp.float32)
    assert not {a.unsafe_buffer_pointer() for a in other} & set(where)


def test_other_shapes_types_and_large_memory_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    spare.leave([jnp.ones(s) for s in SHAPES])
    assert [a.shape for a in spare.zeros(SHAPES[:1], jnp.float32)] == SHAPES[:1]
    assert all(a.dtype == jnp.bfloat16 for a in spare.zeros(SHAPES, jnp.bfloat16))
    # Only what the last run left is kept.
    spare.leave([jnp.ones(3)])
    assert len(spare._left) == 1
    monkeypatch.setattr(spare, "MOST", 8)
    spare._left.clear()
    spare.leave([jnp.ones(3)])
    assert not spare._left


def test_arrays_bound_to_a_device_are_not_kept() -> None:
    spare.leave([jax.device_put(jnp.ones(3), jax.devices()[0])])
    assert not spare._left


def test_what_a_broken_model_left_reaches_no_other() -> None:
    config = small_config(31, width=16, layers=1, heads=2)
    sound, broken = (random_model(jax.random.key(0), config, scale=0.3) for _ in range(2))
    text, key = np.arange(1, 9), jax.random.key(2)

    def drawn(model):
        return decode(key, model, text, n=3, new_tokens=4, sampling=Sampling(), end_tokens=())

    want = drawn(sound)
    spare._left.clear()
    broken.weights["layers"][0]["v"]["w"] = broken.weights["layers"][0]["v"]["w"] * jnp.nan
    assert np.isnan(np.concatenate(drawn(broken).log_probs)).any()
    assert spare._left
    found = drawn(sound)
    for a, b in zip(want.tokens, found.tokens, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(want.log_probs, found.log_probs, strict=True):
        np.testing.assert_array_equal(a, b)
