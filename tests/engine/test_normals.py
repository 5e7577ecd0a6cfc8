"""Normals with their rounds written out are those of JAX up to rounding, and JAX's own where they cannot be."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from sloc.engine.normals import normals, threefry


def test_threefry_is_that_of_jax():
    words = jnp.asarray([0x13198A2E, 0x03707344], jnp.uint32)
    counter = jnp.asarray(np.random.default_rng(0).integers(0, 2**32, 64, np.uint32))
    found = threefry((words[0], words[1]), (counter[:32], counter[32:]))
    np.testing.assert_array_equal(jnp.concatenate(found), threefry_2x32(words, counter))


def test_known_answer():
    # The published vectors of Threefry-2x32 with 20 rounds (Random123, kat_vectors).
    word = lambda v: jnp.uint32(v)  # noqa: E731
    found = threefry((word(0), word(0)), (word(0), word(0)))
    assert [hex(int(v)) for v in found] == ["0x6b200159", "0x99ba4efe"]
    found = threefry((word(0xFFFFFFFF),) * 2, (word(0xFFFFFFFF),) * 2)
    assert [hex(int(v)) for v in found] == ["0x1cb996fc", "0xbb002be7"]


@pytest.mark.parametrize("shape", [(), (7,), (33, 16), (0, 3)])
def test_draws_are_those_of_jax(shape):
    key = jax.random.key(5)
    for draw in (normals, jax.jit(normals, static_argnums=1)):
        np.testing.assert_allclose(draw(key, shape), jax.random.normal(key, shape), rtol=2e-7, atol=1e-7)


def test_draws_of_many_keys_are_those_of_jax():
    keys = jax.random.split(jax.random.key(1), 50)
    found = jax.vmap(lambda key: normals(key, (16,)))(keys)
    np.testing.assert_allclose(found, jax.vmap(lambda key: jax.random.normal(key, (16,)))(keys), rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_generators_are_left_to_jax(impl):
    key = jax.random.key(3, impl=impl)
    np.testing.assert_array_equal(normals(key, (9,)), jax.random.normal(key, (9,)))


def test_other_precisions_are_left_to_jax():
    key = jax.random.key(3)
    np.testing.assert_array_equal(normals(key, (9,), jnp.float16), jax.random.normal(key, (9,), jnp.float16))
    with jax.enable_x64(True):
        assert normals(key, (9,)).dtype == jnp.float64
        np.testing.assert_array_equal(normals(key, (9,)), jax.random.normal(key, (9,)))
