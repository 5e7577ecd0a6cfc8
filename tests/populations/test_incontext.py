"""In-context learning against enumeration, and the number of examples it takes."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput, Population, Revealed, check_registered
from sloc.populations import InContext
from sloc.processes import Masking, Truncation

from . import enumeration as oracle

OUTPUTS = np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.1, 0.9], [0.6, 0.4]], [[0.5, 0.5], [0.5, 0.5]]])
INPUTS, BETWEEN = np.array([0.4, 0.6]), np.array([[0.3, 0.7], [0.9, 0.1]])
WEIGHTS = [0.2, 0.3, 0.5]


def population(between=None) -> InContext:
    return InContext(OUTPUTS, INPUTS, 2, between, WEIGHTS, ("a", "b", "c"))


def word_masses(between=None) -> np.ndarray:
    """Masses of ``x_1 y_1 x_2 y_2`` (outputs are letters 2 and 3), ``[K, 4^4]``."""
    out = np.zeros((3, 4**4))
    for i, (x, y, u, v) in enumerate(oracle.words(4, 4)):
        if x < 2 <= y and u < 2 <= v:
            follow = INPUTS[u] if between is None else between[y - 2, u]
            out[:, i] = INPUTS[x] * OUTPUTS[:, x, y - 2] * follow * OUTPUTS[:, u, v - 2]
    return out


@pytest.mark.parametrize("between", [None, BETWEEN], ids=["independent", "interwoven"])
def test_marginals_match_enumeration(between):
    pop, pmf = population(between).canonical(), word_masses(between)
    rng = np.random.default_rng(1)
    words = oracle.words(4, 4)[pmf[0] > 0]
    known = np.concatenate([np.tri(5, 4, -1, bool), rng.random((30, 4)) < 0.6])
    values = np.where(known, words[rng.integers(0, len(words), len(known))], 0)
    got = jax.jit(jax.vmap(lambda v, m: pop.log_marginals(Masking(), Revealed(v, m), jnp.float32(0.5))))(
        jnp.asarray(values, jnp.int32), jnp.asarray(known)
    )
    want = [0.5**4 * oracle.seen_mass(pmf, 4, v, m) for v, m in zip(values, known, strict=True)]
    np.testing.assert_allclose(np.exp(np.asarray(got, np.float64)), want, rtol=1e-5)


def test_prefixes_are_products_over_examples():
    pop, process = population().canonical(), Truncation(4)
    x = jnp.asarray([1, 2, 0, 3], jnp.int32)
    got = jax.jit(lambda t: pop.path_log_marginals(process, jax.random.key(0), x, t))(jnp.asarray([4, 2, 0], jnp.int32))
    one = INPUTS[1] * OUTPUTS[:, 1, 0]
    want = [np.ones(3), one, one * INPUTS[0] * OUTPUTS[:, 0, 1]]
    np.testing.assert_allclose(np.asarray(got), np.log(want), atol=1e-5)


@pytest.mark.parametrize("between", [None, BETWEEN], ids=["independent", "interwoven"])
def test_affinities_match_enumeration(between):
    pmf = word_masses(between)
    want = np.sqrt(pmf[:, None] * pmf[None, :]).sum(-1)
    np.testing.assert_allclose(population(between).affinity(2), want, atol=1e-12)
    np.testing.assert_allclose(population(between).affinity(0), 1)
    if between is None:
        np.testing.assert_allclose(population().affinity(1) ** 2, want, atol=1e-12)


def test_the_printed_number_of_examples_is_too_small():
    coins = InContext([[[0.5, 0.5]], [[0.3, 0.7]]], [1.0], 400)
    coins.validate()
    epsilon, delta = 1e-3, coins.smallest_hellinger(0)
    assert delta == pytest.approx(2 - 2 * (math.sqrt(0.15) + math.sqrt(0.35)), abs=1e-12)
    printed = math.ceil(math.log((1 - delta / 2) / epsilon))
    assert printed == 7
    assert coins.examples_needed(0, epsilon) == 325
    assert coins.examples_needed(0, epsilon) == math.ceil(math.log(1 / epsilon) / -math.log(1 - delta / 2))

    def error(n: int) -> float:
        """TV from the next output to that of the true rule, on average: E[1 - pi] times the distance .2."""
        heads = np.arange(n + 1)
        p, q = binom.pmf(heads, n, 0.5), binom.pmf(heads, n, 0.7)
        return float((p * q / (p + q)).sum() * 0.2)

    assert error(printed) == pytest.approx(0.076, abs=5e-4)
    assert error(325) <= epsilon
    # The bound says as much without sampling: E[1 - pi] <= BC / 2.
    assert error(7) / 0.2 <= coins.affinity(7)[0, 1] / 2


def test_rules_alike_need_examples_without_end():
    pop = InContext([[[0.5, 0.5]], [[0.5, 0.5]]], [1.0], 3)
    assert pop.examples_needed(0, 0.1) is None
    needed = population(BETWEEN).examples_needed(0, 0.05)
    assert needed == next(n for n in range(1, 400) if population(BETWEEN).affinity(n)[0, 1:].max() <= 0.05)


def test_tables_per_rule_are_accepted_where_they_agree():
    pop = InContext(OUTPUTS, np.stack([INPUTS] * 3), 2, np.stack([BETWEEN] * 3))
    pop.validate()
    check_registered(pop.canonical(), "population", Population)
    np.testing.assert_allclose(pop.affinity(3), population(BETWEEN).affinity(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((OUTPUTS[0], INPUTS, 2), "outputs"),
        ((OUTPUTS, [0.4, 0.7], 2), "inputs"),
        ((OUTPUTS, [1.0], 2), "inputs"),
        ((OUTPUTS, [[0.4, 0.6], [0.4, 0.6], [0.5, 0.5]], 2), "Assumption 1"),
        ((OUTPUTS, INPUTS, 2, np.stack([BETWEEN, BETWEEN, BETWEEN[::-1]])), "Assumption 1"),
        ((OUTPUTS, INPUTS, 2, BETWEEN[:1]), "between"),
        ((OUTPUTS, INPUTS, 0), "examples"),
        ((OUTPUTS, INPUTS, 2, None, [0.5, 0.5]), "weights"),
        ((OUTPUTS, INPUTS, 2, None, None, ("a",)), "names"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        InContext(*arguments).validate()
