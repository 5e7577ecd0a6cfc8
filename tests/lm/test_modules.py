"""A decoder as a Flax module: its logits, its parameters by path, a step of training, and the way back."""

from __future__ import annotations

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.lm import random_model, small_config
from sloc.lm.forward import logits

nnx = pytest.importorskip("flax.nnx")


def small():
    return random_model(jax.random.key(0), small_config(31, width=16, heads=2, kv_heads=1, tied=True), scale=0.3)


def test_its_logits_are_those_of_the_model() -> None:
    model = small()
    module = model.to_nnx()
    tokens = jnp.asarray([[1, 5, 9, 2], [0, 0, 7, 3]])
    mask = jnp.asarray([[True] * 4, [False, False, True, True]])
    want, _ = logits(model.config, model.weights, tokens, mask)
    np.testing.assert_allclose(nnx.jit(lambda m: m(tokens, mask))(module), want, atol=1e-5)


def test_parameters_stand_at_the_paths_of_the_weights() -> None:
    model = small()
    module = model.to_nnx()
    paths = {path for path, _ in nnx.to_flat_state(nnx.state(module, nnx.Param))}
    assert ("params", "layers", 0, "q", "w") in paths
    assert len(paths) == len(jax.tree.leaves(model.weights))
    assert jax.tree.structure(module.weights()) == jax.tree.structure(model.weights)


@pytest.mark.slow
def test_a_step_lowers_the_loss_and_comes_back_as_a_model() -> None:
    optax = pytest.importorskip("optax")
    model, tokens = small(), jnp.asarray([[1, 5, 9, 2, 7, 5, 9, 2]])

    def loss(module):
        scores = jax.nn.log_softmax(module(tokens[:, :-1]), axis=-1)
        return -jnp.mean(jnp.take_along_axis(scores, tokens[:, 1:, None], axis=-1))

    module = model.to_nnx()
    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)
    before, gradient = nnx.value_and_grad(loss)(module)
    optimizer.update(module, gradient)
    assert loss(module) < before
    trained = dataclasses.replace(model, weights=module.weights())
    found, _ = logits(trained.config, trained.weights, tokens)
    np.testing.assert_allclose(found, module(tokens), atol=1e-5)
    # The model that it came from is as it was.
    np.testing.assert_allclose(loss(model.to_nnx()), before, rtol=1e-6)


def test_without_flax_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sloc.lm.modules", raising=False)
    monkeypatch.setitem(sys.modules, "flax.nnx", None)
    with pytest.raises(InvalidInput, match=r"needs flax.*sloc\[nn\]"):
        small().to_nnx()
