"""Masked models: the law of parallel writing by enumeration, orders, and network calls that are left out."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput, Revealed
from sloc.engine import NotANumber
from sloc.populations import Empirical
from sloc.processes import Masking
from sloc.samplers import LearnedMasked, masked_ancestral
from tests.samplers.laws import assert_frequencies

# Two letters that agree nine times in ten.
JOINT = np.array([[0.45, 0.05], [0.05, 0.45]])
CALLS: list[int] = []


def exact_pair(tokens):
    """The exact law of each of two tokens given the seen ones; 2 is the mask."""
    table = jnp.asarray(JOINT, jnp.float32)
    marginal = jnp.stack([table.sum(1), table.sum(0)])
    given = jnp.stack([table[:, tokens[1] % 2] * 2, table[tokens[0] % 2, :] * 2])
    other_seen = jnp.stack([tokens[1] < 2, tokens[0] < 2])
    return jnp.log(jnp.where(other_seen[:, None], given, marginal))


def counted(tokens):
    jax.debug.callback(lambda _: CALLS.append(1), tokens[0])
    return exact_pair(tokens)


PAIR = LearnedMasked(exact_pair, (2,), 2)


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_error_of_parallel_writing_is_one_over_the_steps(steps):
    n = 40_960
    grid = np.linspace(0.0, 1.0, steps + 1)
    x = sloc.localize(jax.random.key(0), Masking(), PAIR, grid=grid, n=n, localizer=masked_ancestral(PAIR))
    counts = np.bincount(2 * x[:, 0] + x[:, 1], minlength=4)
    # Both tokens fall into the same of the even steps with probability 1 / steps, and are then drawn on their own.
    want = (1 - 1 / steps) * JOINT + 1 / steps * np.outer(JOINT.sum(1), JOINT.sum(0))
    assert_frequencies(counts, want.ravel())


@pytest.mark.parametrize("order", ["confidence", "margin", "entropy"])
def test_one_token_a_step_is_exact_in_any_order(order):
    n, localizer = 20_480, masked_ancestral(PAIR, order)
    x = sloc.localize(jax.random.key(1), Masking(), PAIR, grid=[0.0, 0.5, 1.0], n=n, localizer=localizer)
    counts = np.bincount(2 * x[:, 0] + x[:, 1], minlength=4)
    if order == "confidence":
        # Confidence looks at the letters drawn and changes the law; what is seen stays in range.
        assert counts.sum() == n
    else:
        assert_frequencies(counts, JOINT.ravel())


def certain_from_the_left(tokens):
    """Token ``i`` of five is letter ``i % 3`` with a confidence that falls with ``i``."""
    sure = jnp.asarray([6.0, 5.0, 4.0, 3.0, 2.0])
    letters = jnp.arange(5, dtype=jnp.int32) % 3
    del tokens
    return sure[:, None] * jax.nn.one_hot(letters, 3, dtype=jnp.float32)


@pytest.mark.parametrize("order", ["margin", "entropy"])
def test_the_surest_tokens_come_first(order):
    model = LearnedMasked(certain_from_the_left, (5,), 3)
    localizer = masked_ancestral(model, order)
    state = localizer.init(jax.random.key(0), jnp.float32(1.0))
    for s, known in ((0.8, 1), (0.75, 1), (0.4, 3), (0.0, 5)):
        state, _ = localizer.step(jax.random.key(1), state, jnp.float32(s))
        np.testing.assert_array_equal(np.asarray(state.y.known), np.arange(5) < known)


@pytest.mark.parametrize("order", ["random", "confidence"])
def test_idle_calls_are_left_out_and_change_nothing(order):
    grid, n = np.linspace(0.0, 1.0, 33), 4
    model = LearnedMasked(counted, (2,), 2)

    def draw(skip):
        localizer = masked_ancestral(model, order, skip=skip)
        keys = jax.random.split(jax.random.key(3), n)

        def run(keys):
            state = jax.vmap(localizer.init, (0, None), sloc.samplers.LocalizerState(0, None, 0))(keys, jnp.float32(1))

            def step(state, s):
                axes = sloc.samplers.LocalizerState(0, None, 0)
                return jax.vmap(localizer.step, (0, axes, None), (axes, 0))(keys, state, s)[0], None

            return jax.lax.scan(step, state, jnp.asarray(grid[:-1][::-1], jnp.float32))[0].y

        CALLS.clear()
        found = jax.block_until_ready(jax.jit(run)(keys))
        jax.effects_barrier()
        return found, len(CALLS) // n

    with_skips, few = draw(True)
    without, all_calls = draw(False)
    np.testing.assert_array_equal(np.asarray(with_skips.values), np.asarray(without.values))
    assert all_calls == 32
    # At most one call for each token of each draw; in the common order of confidence one for each token.
    assert few <= (2 if order == "confidence" else 2 * n)


def test_forward_and_reverse_with_clones():
    data = Empirical(np.array([[0, 0], [1, 1], [0, 1], [1, 0]], np.int32), ["same", "same", "other", "other"])
    localizer = masked_ancestral(PAIR)
    labels, x = sloc.forward_reverse(
        jax.random.key(0),
        Masking(),
        data,
        "same",
        [0.25, 1.0],
        n=2_048,
        clones=2,
        feature=agree,
        localizer=localizer,
        grid=np.linspace(0.0, 0.99, 34),
    )
    assert labels.shape == (2, 2_048, 2)
    assert x.shape == (2, 2_048, 2, 2)
    np.testing.assert_array_equal(np.asarray(x[..., 0] == x[..., 1]).astype(int), labels)
    # From all hidden: the law of the model. Six standard errors and the parallel writing of 34 steps.
    assert abs(labels[1].mean() - 0.9) < 6 * np.sqrt(0.09 / 4_096) + 0.4 / 34


def agree(x):
    return (x[0] == x[1]).astype(jnp.int32)


def broken(tokens):
    """NaN for the second token, once the first is seen."""
    return jnp.where((jnp.arange(2)[:, None] == 1) & (tokens[0] < 2), jnp.nan, exact_pair(tokens))


@pytest.mark.parametrize(
    "order", ["random", *(pytest.param(o, marks=pytest.mark.slow) for o in ("confidence", "margin", "entropy"))]
)
def test_nan_from_a_masked_network_names_its_level_and_draw(order):
    model = LearnedMasked(broken, (2,), 2)
    data = Empirical(np.array([[0, 0], [1, 1]], np.int8), ["a", "b"])
    options = dict(localizer=masked_ancestral(model, order))
    key = jax.random.key(7)
    with pytest.raises(NotANumber, match=r"NaN (on the way to|from) t = 0(\.25)?, draw \d+ of key \[0, 7\]"):
        sloc.localize(key, Masking(), model, grid=[0.0, 0.25, 0.75, 1.0], n=64, **options)
    options |= dict(feature=agree, grid=np.linspace(0.0, 0.5, 4))
    with pytest.raises(NotANumber, match=r"NaN at t = 0\.7 \(time 0\), draw \d+ of key \[0, 7\]"):
        sloc.forward_reverse(key, Masking(), data, "a", [0.7, 0.9], n=64, **options)
    with pytest.raises(NotANumber, match=r"NaN at t = 0\.7 \(time 0\), draw \d+ of key \[0, 7\]"):
        sloc.samplers.label_frequencies(key, Masking(), data, "a", [0.7, 0.9], n=64, num_labels=2, **options)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fn": lambda tokens: tokens}, r"fn\(tokens \[2\], t\) = 'int32\[2\]'"),
        ({"fn": lambda tokens: jnp.zeros((2, 1))}, r"expected a floating array of shape \[2, 2\]"),
        ({"shape": ()}, "shape = "),
        ({"vocabulary": 1}, "vocabulary = 1"),
        ({"mask": 1}, "mask = 1: expected a number that is no letter"),
        ({"temperature": 0.0}, "temperature = 0.0"),
    ],
)
def test_bad_masked_models_are_refused(parts, message):
    with pytest.raises(InvalidInput, match=message):
        masked_ancestral(dataclasses.replace(PAIR, **parts))


def test_bad_calls_are_refused():
    with pytest.raises(InvalidInput, match="order = 'left': expected one of random"):
        masked_ancestral(PAIR, "left")
    with pytest.raises(ContractError, match="LearnedMasked"):
        masked_ancestral(exact_pair)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="a last time of 1, where every token is hidden"):
        sloc.localize(jax.random.key(0), Masking(), PAIR, grid=[0.0, 0.5], n=4, localizer=masked_ancestral(PAIR))
    seen = Revealed(jnp.zeros(3, jnp.int32), jnp.zeros(3, bool))
    with pytest.raises(InvalidInput, match=r"the model's shape \[2\]"):
        masked_ancestral(PAIR).init(jax.random.key(0), jnp.float32(0.5), seen)
