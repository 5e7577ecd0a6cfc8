"""Critical tokens against enumeration of all words."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput, Population, Revealed, check_registered, find_marginals
from sloc.populations import CriticalTokens, MarkovChains
from sloc.processes import Masking, Truncation
from tests.oracles import words as oracle

from . import enumeration

LENGTH, START, SPREAD, LEAK = 6, 2, 2, 0.03
INITIAL = np.array([0.6, 0.4, 0.0])
COMMON = np.array([[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.1, 0.5, 0.4]])
BRANCHES = np.array([[[1 - LEAK, LEAK / 2, LEAK / 2]] * 3, [[LEAK, 0.6 * (1 - LEAK), 0.4 * (1 - LEAK)]] * 3])


def population() -> CriticalTokens:
    return CriticalTokens(INITIAL, COMMON, BRANCHES, START, SPREAD, LENGTH, [0.8, 0.2], ("a", "b")).canonical()


def word_masses() -> np.ndarray:
    return np.array([oracle.script_pmf(INITIAL, COMMON, branch, START, SPREAD, LENGTH) for branch in BRANCHES])


def test_marginals_match_enumeration():
    pop, pmf, rng = population(), word_masses(), np.random.default_rng(0)
    known = np.concatenate([np.tri(LENGTH + 1, LENGTH, -1, bool), rng.random((40, LENGTH)) < 0.5])
    values = np.where(known, rng.integers(0, 3, known.shape), 0)
    got = jax.jit(jax.vmap(lambda v, m: pop.log_marginals(Masking(), Revealed(v, m), jnp.float32(0.5))))(
        jnp.asarray(values, jnp.int32), jnp.asarray(known)
    )
    want = [0.5**LENGTH * enumeration.seen_mass(pmf, 3, v, m) for v, m in zip(values, known, strict=True)]
    np.testing.assert_allclose(np.exp(np.asarray(got, np.float64)), want, rtol=2e-5, atol=1e-9)


def test_distances_are_zero_before_the_token_and_near_one_after_the_spread():
    first, second = word_masses()
    tv = [oracle.prefix_tv(first, second, 3, LENGTH, n) for n in range(LENGTH + 1)]
    np.testing.assert_allclose(tv[: START + 1], 0, atol=1e-12)
    assert tv[START + 1] > 0.1
    assert min(tv[START + SPREAD :]) >= 1 - 2 * LEAK
    assert population().window() == (LENGTH - START - SPREAD, LENGTH - START)
    # And the library's own paths say so: 20,000 draws, 7 comparisons of 1e-11 each.
    pop, n = population(), 20_000
    times = jnp.arange(LENGTH + 1, dtype=jnp.int32)
    paths = find_marginals(Truncation(LENGTH), pop).paths_fn
    logs = jax.jit(lambda p, k, c: paths(Truncation(LENGTH), p, k, c, times))(
        pop, jax.random.key(1), jnp.arange(n, dtype=jnp.int32) % 2
    )
    value = np.abs(np.tanh(np.asarray(logs[:, 0] - logs[:, 1], np.float64) / 2)).mean(-1)
    for seen, exact in enumerate(tv):
        assert abs(value[LENGTH - seen] - exact) <= enumeration.bernstein(n, exact - exact**2, 1e-11) + 1e-6


def test_a_first_token_of_full_spread_gives_markov_chains():
    pop = CriticalTokens(INITIAL, COMMON, BRANCHES, 1, 1, LENGTH).canonical()
    chains = MarkovChains(np.stack([INITIAL] * 2), BRANCHES, LENGTH).canonical()
    y = Revealed(jnp.asarray([0, 1, 1, 0, 2, 0], jnp.int32), jnp.asarray([True, True, True, True, False, False]))
    got, want = jax.jit(lambda t: [p.log_marginals(Truncation(LENGTH), y, t) for p in (pop, chains)])(jnp.int32(2))
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-5)


@pytest.mark.parametrize("model", [CriticalTokens.refusals(), CriticalTokens.agent()], ids=["refusals", "agent"])
def test_models_of_refusals_and_of_agents(model):
    model.validate()
    check_registered(model.canonical(), "population", Population)
    assert float(np.exp(np.asarray(model.log_weights)).max()) == pytest.approx(0.9)
    # Once the modes have parted a mode keeps to letters that the other mode uses with probability at most leak.
    rows = np.asarray(model.branches, float)
    own = rows.max(1) > 0.05
    assert not (own[0] & own[1]).any()
    for mode in range(2):
        assert (rows[mode][:, ~own[mode]].sum(1) <= 0.01 + 1e-6).all()
    # Rows of the agent at work are those before the critical step: only the other mode changes its ways.
    assert np.array_equal(rows[0], np.asarray(model.common)) == (model.names[0] == "work")
    assert model.text([0, 1]) == " ".join(model.vocabulary[:2])


def test_an_agent_drifts_off_after_the_critical_step():
    model = CriticalTokens.agent(leak=0.0).canonical()
    x = np.asarray(jax.jit(model.sample)(jax.random.key(0), jnp.int32(1)))
    assert x.dtype == np.int32
    assert (x[:8] < 3).all()
    assert (x[8:] >= 3).all()
    assert model.text(x).split()[8:9] == ["search"] or "photos" in model.text(x) or "scroll" in model.text(x)


HALF = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], HALF, HALF, 1, 1, 4), "branches"),
        (([1.0], HALF, [HALF, HALF], 1, 1, 4), "initial"),
        (([0.5, 0.5], [HALF], [HALF, HALF], 1, 1, 4), "common"),
        (([0.5, 0.6], HALF, [HALF, HALF], 1, 1, 4), "initial"),
        (([0.5, 0.5], HALF, [HALF, HALF], 0, 1, 4), "start"),
        (([0.5, 0.5], HALF, [HALF, HALF], 1, 0, 4), "spread"),
        (([0.5, 0.5], HALF, [HALF, HALF], 3, 2, 4), "start \\+ spread"),
        (([0.5, 0.5], HALF, [HALF, HALF], 1, 1, 1), "length"),
        (([0.5, 0.5], HALF, [HALF, HALF], 1, 1, 4, None, ("a", "b"), ("x",)), "vocabulary"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        CriticalTokens(*arguments).validate()


def test_a_leak_is_a_probability():
    with pytest.raises(InvalidInput, match="leak"):
        CriticalTokens.refusals(leak=1.5)
