"""Decoding and scoring lower for CPU, GPU and TPU, and compile once for all sizes of a kind."""

from __future__ import annotations

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.lm import Sampling, decode, random_model, read_prefix, score, small_config
from sloc.lm.forked import Queue, advance, compiled_advance, empty_lanes
from sloc.lm.prefix import shared_of
from sloc.lm.scoring import _read_prompt, _scored

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=pytest.mark.slow)])
def test_kernels_lower_for_every_platform(dtype: str) -> None:
    model = random_model(jax.random.key(0), small_config(61, width=32, heads=4, kv_heads=2), dtype=dtype)
    prefix, law = read_prefix(model, [1, 2, 3]), Sampling(0.8, top_k=9, top_p=0.9)
    zeros = jnp.zeros(4, jnp.int32)
    data = jax.random.key_data(jax.random.split(jax.random.key(0), 4))
    state = empty_lanes(model.config, 2, 4, 8, model.dtype)

    def steps(weights, prefix, data, state):
        keys = jax.random.wrap_key_data(data)
        queue = Queue(zeros + 3, zeros + 8, keys, zeros[:, None], zeros, jnp.asarray(4, jnp.int32))
        return advance(model.config, law, (0,), weights, prefix, queue, state, jnp.asarray(8, jnp.int32))

    def scores(weights, tokens):
        read = _read_prompt(model.config, weights, tokens[:1], False)
        return _scored(model.config, law, weights, tokens, read, False)

    for kernel, args in (
        (steps, (model.weights, shared_of(prefix), data, state)),
        (scores, (model.weights, zeros[None])),
    ):
        exported = jax.export.export(jax.jit(kernel), platforms=PLATFORMS)(*args)
        assert exported.platforms == PLATFORMS


def test_other_texts_keys_and_cuts_do_not_compile_anew() -> None:
    model = random_model(jax.random.key(0), small_config(61, width=32, heads=4))
    rng = np.random.default_rng(0)
    sizes = []
    for seed, length in ((0, 18), (1, 22), (2, 30)):
        text = rng.integers(0, 61, length)
        decode(jax.random.key(seed), model, text, [2, 4, length - seed], n=16 - seed, new_tokens=6 + seed, lanes=8)
        score(model, [text[:5], text[:7]], prompt=[1, 2])
        sizes.append((compiled_advance()._cache_size(), _scored._cache_size()))
    assert sizes[0] == sizes[1] == sizes[2]
