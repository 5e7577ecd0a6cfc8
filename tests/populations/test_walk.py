"""The absorbed random walk against enumeration, and the numbers of the paper's example."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput, Population, Revealed, check_registered, find_marginals
from sloc.populations import RandomWalkSolver, least_barrier
from sloc.processes import Masking, Truncation
from tests.oracles.words import walk_law

from .enumeration import bernstein, binomial_tv

BARRIER, LENGTH, DRIFT = 2, 6, 0.15


def population() -> RandomWalkSolver:
    return RandomWalkSolver(DRIFT, BARRIER, LENGTH).canonical()


def laws() -> tuple[dict, dict]:
    return walk_law(0.5 + DRIFT, BARRIER, LENGTH), walk_law(0.5 - DRIFT, BARRIER, LENGTH)


def test_marginals_match_enumeration():
    pop, rng = population(), np.random.default_rng(0)
    paths = np.array(list(laws()[0])) + BARRIER
    masses = np.array([[law[tuple(path - BARRIER)] for path in paths] for law in laws()])
    known = np.concatenate([np.tri(LENGTH + 1, LENGTH, -1, bool), rng.random((40, LENGTH)) < 0.5])
    values = np.where(known, paths[rng.integers(0, len(paths), len(known))], 0)
    got = jax.jit(jax.vmap(lambda v, m: pop.log_marginals(Masking(), Revealed(v, m), jnp.float32(0.5))))(
        jnp.asarray(values, jnp.int32), jnp.asarray(known)
    )
    agree = np.all((paths[None] == values[:, None]) | ~known[:, None], -1)
    np.testing.assert_allclose(np.exp(np.asarray(got, np.float64)), 0.5**LENGTH * agree @ masses.T, rtol=2e-5)


def test_distances_match_enumeration_and_the_librarys_paths():
    plus, minus = laws()
    tv = []
    for n in range(LENGTH + 1):
        seen: dict = {}
        for sign, law in ((1, plus), (-1, minus)):
            for path, mass in law.items():
                seen[path[:n]] = seen.get(path[:n], 0.0) + sign * mass
        tv.append(sum(abs(v) for v in seen.values()) / 2)
    pop = population()
    host = RandomWalkSolver(DRIFT, BARRIER, LENGTH)
    np.testing.assert_allclose(host.prefix_tv(np.arange(LENGTH + 1)), tv, atol=1e-12)
    law = {}
    for path, mass in plus.items():
        law[path[-1]] = law.get(path[-1], 0.0) + mass
    np.testing.assert_allclose(host.position_law(LENGTH), [law.get(s, 0.0) for s in range(-2, 3)], atol=1e-12)
    # 20,000 draws, 7 comparisons of 1e-11 each.
    n, times = 20_000, jnp.arange(LENGTH + 1, dtype=jnp.int32)
    paths = find_marginals(Truncation(LENGTH), pop).paths_fn
    logs = jax.jit(lambda p, k, c: paths(Truncation(LENGTH), p, k, c, times))(
        pop, jax.random.key(1), jnp.arange(n, dtype=jnp.int32) % 2
    )
    value = np.abs(np.tanh(np.asarray(logs[:, 0] - logs[:, 1], np.float64) / 2)).mean(-1)
    width = np.array([bernstein(n, v - v * v, 1e-11) for v in tv])
    assert (np.abs(value[::-1] - tv) <= width + 1e-6).all()


def test_coins_before_the_barrier():
    walk = RandomWalkSolver(0.05, 30, 40)
    for n in (0, 1, 2, 7, 30):
        assert walk.prefix_tv(n) == pytest.approx(binomial_tv(n, 0.55, 0.45), abs=1e-12)


def test_numbers_of_the_papers_example():
    # Without absorption (barrier out of reach): edges in the number of tokens kept.
    long = RandomWalkSolver(0.05, 1000, 2000)
    tv = long.prefix_tv(np.arange(1000))
    assert np.flatnonzero(tv >= 1 - 0.05**2).min() == 909
    slow = RandomWalkSolver(0.004, 300_000, 300_000)
    tv = slow.prefix_tv(np.arange(236_490, 236_510))
    assert 236_490 + np.flatnonzero(tv >= 1 - 0.01**2).min() == 236_503
    assert np.flatnonzero(slow.prefix_tv(np.arange(50)) / 2 <= 0.01).max() == 10
    # The printed edges are looser: log(2 / eps^2) / (2 drift^2) and eps^2 / drift^2 - 2.
    assert round(np.log(2 / 0.05**2) / (2 * 0.05**2)) == 1337
    assert np.log(2 / 0.01**2) / (2 * 0.004**2) == pytest.approx(309_484, abs=1)
    assert 0.01**2 / 0.004**2 - 2 == pytest.approx(4.25)
    # With absorption at +-10 the distance saturates.
    short = RandomWalkSolver(0.05, 10, 2000)
    assert short.limit_tv() == pytest.approx(0.7630, abs=5e-5)
    tv = short.prefix_tv(np.array([50, 400, 4000]))
    assert tv[0] < tv[1] < tv[2] <= short.limit_tv() + 1e-12
    assert tv[2] == pytest.approx(short.limit_tv(), abs=1e-9)


def test_least_barrier_is_the_first_at_which_the_edge_exists():
    assert least_barrier(0.05, 0.05) == 34
    target = 1 - 0.05**2
    assert RandomWalkSolver(0.05, 33, 9).limit_tv() < target < RandomWalkSolver(0.05, 34, 9).limit_tv()
    # At 34 it does exist: a long walk gets there; at 33 none does.
    assert RandomWalkSolver(0.05, 34, 9).prefix_tv(8000) > target > RandomWalkSolver(0.05, 33, 9).prefix_tv(8000)


def test_registered():
    check_registered(population(), "population", Population)
    assert RandomWalkSolver(0.1, 1, 3).position_law(5) == pytest.approx([0.4, 0.0, 0.6])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 3, 5), "drift"),
        ((0.5, 3, 5), "drift"),
        ((float("nan"), 3, 5), "drift"),
        ((0.1, 0, 5), "barrier"),
        ((0.1, 2.0, 5), "barrier"),
        ((0.1, 3, 0), "length"),
        ((0.1, 3, 5, [0.5, 0.6]), "weights"),
        ((0.1, 3, 5, None, ("a", "a")), "names"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        RandomWalkSolver(*arguments).validate()
    with pytest.raises(InvalidInput, match="drift"):
        least_barrier(0.7, 0.1)
    with pytest.raises(InvalidInput, match="steps"):
        RandomWalkSolver(0.1, 3, 5).prefix_tv(-1)
