"""Laws of the next token against sorting, and draws against the laws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sloc.contracts import InvalidInput
from sloc.lm import Sampling
from sloc.lm.drawing import draw_many, draw_tokens, uniforms
from sloc.lm.sampling import log_law

LAWS = [
    Sampling(),
    Sampling(0.6, top_p=0.9),
    Sampling(1.3, top_k=7),
    Sampling(0.8, min_p=0.05),
    Sampling(0.9, top_k=30, top_p=0.8, min_p=0.02),
    Sampling(top_k=1),
]


def by_sorting(logits: np.ndarray, law: Sampling) -> np.ndarray:
    """Return the law of one vector of logits in float64, as the definition reads."""
    p = np.exp((logits.astype(np.float64) - logits.max()) / law.temperature)
    order = np.argsort(-p, kind="stable")
    kept = np.ones(len(p), bool)
    if law.top_k:
        kept &= p >= p[order[min(law.top_k, len(p)) - 1]]
    share = np.where(kept, p, 0) / p[kept].sum()
    before = np.cumsum(share[order]) - share[order]
    nucleus = np.zeros(len(p), bool)
    nucleus[order[before < law.top_p]] = True
    kept &= nucleus & (p >= law.min_p * p.max())
    return np.where(kept, p, 0) / p[kept].sum()


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("size", [2, 97, 512])
def test_the_law_is_that_of_sorting(law: Sampling, size: int) -> None:
    logits = np.random.default_rng(size).normal(size=(200, size)).astype(np.float32) * 3
    found = np.exp(np.asarray(log_law(jnp.asarray(logits), law)))
    want = np.stack([by_sorting(row, law) for row in logits])
    # A mass within rounding of top_p may fall on either side: such rows are left out, and are few.
    same = (found > 0) == (want > 0)
    assert same.all(axis=1).mean() > 0.99
    rows = same.all(axis=1)
    np.testing.assert_allclose(found[rows], want[rows], rtol=2e-5, atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)
    across = np.exp(np.asarray(log_law(jnp.asarray(logits.T), law, axis=0))).T
    np.testing.assert_allclose(across, found, rtol=1e-5, atol=1e-9)


def test_ties_with_the_last_token_kept_are_kept() -> None:
    logits = jnp.asarray([0.0, 1.0, 1.0, -3.0])
    assert (np.exp(log_law(logits, Sampling(top_k=1))) == np.array([0.0, 0.5, 0.5, 0.0])).all()
    assert (np.exp(log_law(logits, Sampling(top_p=0.1))) > 0).tolist() == [False, True, True, False]


def test_temperature_zero_takes_the_likeliest_first_of_equals() -> None:
    logits = jnp.asarray([[0.0, 2.0, 2.0], [3.0, 2.0, 2.0]])
    assert np.exp(log_law(logits, Sampling(0.0))).tolist() == [[0, 1, 0], [1, 0, 0]]
    tokens, logs = draw_tokens(logits.T, jnp.full((2, 2), 0.7), Sampling(0.0))
    assert tokens.tolist() == [1, 0]
    assert logs.tolist() == [0, 0]


@pytest.mark.parametrize(
    "law", [LAWS[1], *(pytest.param(law, marks=pytest.mark.slow) for law in (LAWS[0], LAWS[4]))], ids=str
)
def test_a_million_draws_have_the_law(law: Sampling) -> None:
    # False alarm: 1e-9 each, three of them.
    size, n = 512, 1_000_000
    logits = np.random.default_rng(1).normal(size=size).astype(np.float32) * 2
    tokens = np.asarray(jax.jit(draw_many, static_argnums=(2, 3))(jax.random.key(5), jnp.asarray(logits), n, law))
    p = by_sorting(logits, law)
    counts = np.bincount(tokens, minlength=size)
    assert counts[p == 0].sum() == 0
    # Tokens that are expected less than ten times are taken together, so that the chi-square law is near.
    rare = p * n < 10
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(p[~rare], p[rare].sum()) * n
    used = expected > 0
    chi = ((observed[used] - expected[used]) ** 2 / expected[used]).sum()
    assert stats.chi2.sf(chi, used.sum() - 1) > 1e-9


def test_log_probabilities_are_those_of_the_tokens_drawn() -> None:
    logits = jax.random.normal(jax.random.key(0), (97, 300)) * 2
    for law in LAWS:
        tokens, logs = draw_tokens(logits, jax.random.uniform(jax.random.key(1), (2, 300)), law)
        want = np.take_along_axis(np.asarray(log_law(logits, law, axis=0)), np.asarray(tokens)[None], axis=0)[0]
        np.testing.assert_allclose(logs, want, atol=2e-5)


def test_a_very_rare_token_is_drawn_as_often_as_it_should() -> None:
    # Its probability is 1e-8, a sixth of the step of one float32 uniform number.  The share of hits over an even grid
    # of uniforms is what inversion gives, free of chance; rounding within a pile leaves it right to about a third.
    logits = np.full(400, -60.0, np.float32)
    logits[:20] = 0.0
    logits[21] = np.log(20 * 1e-8)
    mass = np.exp(logits.astype(np.float64))
    mass /= mass.sum()
    # Piles are the columns of 20 rows of 20 tokens; token 21 lies in the second row of the second.
    pile, top = mass[1] + mass[21], 2e-6
    inside = 1 - top * (np.arange(100_000) + 0.5) / 100_000
    u = jnp.asarray(np.stack([np.full(inside.size, mass[0] + 0.5 * pile), inside]), jnp.float32)
    tokens, _ = draw_tokens(jnp.broadcast_to(jnp.asarray(logits)[:, None], (400, inside.size)), u, Sampling())
    assert (np.asarray(tokens) == 21).mean() * top * pile == pytest.approx(1e-8, rel=0.4)


@pytest.mark.parametrize(
    ("law", "name"),
    [
        (Sampling(-1.0), "temperature"),
        (Sampling(top_k=-1), "top_k"),
        (Sampling(top_p=0.0), "top_p"),
        (Sampling(min_p=1.5), "min_p"),
    ],
)
def test_laws_that_are_none_are_refused(law: Sampling, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        law.validate()


def test_settings_of_a_checkpoint() -> None:
    given = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}
    assert Sampling.from_settings(given) == Sampling(0.6, top_p=0.9)
    assert Sampling.from_settings({**given, "do_sample": False}) == Sampling()


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg"])
def test_uniform_numbers_are_those_of_the_key_and_the_step(generator: str) -> None:
    keys = jax.random.split(jax.random.key(3, impl=generator), 5)
    steps = jnp.asarray([0, 1, 7, 2**20, 3], jnp.int32)
    found = np.asarray(jax.jit(uniforms)(keys, steps))
    bits = jax.vmap(lambda key, at: jax.random.bits(jax.random.fold_in(key, at), (2,)))(keys, steps)
    np.testing.assert_array_equal(found, (np.asarray(bits).T >> 8) / 2.0**24)


def test_where_rounding_leaves_the_tokens_the_heaviest_is_taken() -> None:
    # A uniform number of one passes every running sum: of the places that are left none without mass is drawn.
    logits = jnp.asarray([-jnp.inf, 0.0, 2.0, 2.0, -jnp.inf, -jnp.inf, -jnp.inf], jnp.float32)
    columns = jnp.broadcast_to(logits[:, None], (7, 3))
    tokens, _ = draw_tokens(columns, jnp.asarray([[0.0, 0.3, 1.0], [1.0, 1.0, 1.0]]), Sampling())
    assert set(np.asarray(tokens).tolist()) <= {1, 2, 3}
