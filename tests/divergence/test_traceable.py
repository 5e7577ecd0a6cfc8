"""Inside ``jit``, ``vmap`` and ``grad`` the numbers are those of a plain call."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from sloc.divergence import integrands
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrnsteinUhlenbeck

KEY = jax.random.key(6)
OU = OrnsteinUhlenbeck()
W = jnp.asarray([0.3, 0.7], jnp.float32)
MEANS = jnp.asarray([[1.0], [-1.0]], jnp.float32)
N = 4096
EVERY = {
    "tv": sloc.TV(0, 1),
    "nested": sloc.TV(0, [0, 1]),
    "information": sloc.Information(),
    "labels": sloc.Labels(0),
    "clones": sloc.Clones(),
    "loss": sloc.Misassignment(0),
    "certificate": sloc.Certificate(0, [0, 1]),
}


def fields(curves):
    return {k: (c.value, c.stderr, c.lower, c.upper) for k, c in curves.items()}


def test_measure_inside_jit_is_measure_outside():
    def every(key, w, means, times):
        return fields(sloc.measure(key, OU, GaussianMixture(w, means), times, EVERY, n=N, method="monte-carlo"))

    times = jnp.asarray([0.1, 0.5], jnp.float32)
    outside, inside = every(KEY, W, MEANS, times), jax.jit(every)(KEY, W, MEANS, times)
    for name in EVERY:
        for a, b in zip(outside[name], inside[name], strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-6, err_msg=name)


def test_measure_without_jit_is_measure_with_it():
    times = jnp.asarray([0.1, 0.5], jnp.float32)
    compiled = fields(sloc.measure(KEY, OU, GaussianMixture(W, MEANS), times, EVERY, n=1024, method="monte-carlo"))
    with jax.disable_jit():
        plain = fields(sloc.measure(KEY, OU, GaussianMixture(W, MEANS), times, EVERY, n=1024, method="monte-carlo"))
    for name in EVERY:
        for a, b in zip(plain[name], compiled[name], strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-6, err_msg=name)


def test_a_traced_key_or_time_alone_will_do():
    by_key = jax.jit(lambda k: sloc.tv(k, OU, GaussianMixture(W, MEANS), 0.5, 0, 1, n=N, method="monte-carlo").value)
    by_time = jax.jit(lambda t: sloc.tv(KEY, OU, GaussianMixture(W, MEANS), t, 0, 1, n=N).value)
    plain = sloc.tv(KEY, OU, GaussianMixture(W, MEANS), 0.5, 0, 1, n=N, method="monte-carlo").value
    np.testing.assert_allclose([by_key(KEY), by_time(jnp.float32(0.5))], [plain, plain], atol=2e-6)


def test_vmap_over_parameters_is_a_loop_over_parameters():
    means = jnp.stack([MEANS, 2 * MEANS, 0.1 * MEANS])

    def one(m):
        found = sloc.tv(KEY, OU, GaussianMixture(W, m), 0.5, 0, 1, n=N, method="monte-carlo")
        return found.value, found.lower, found.upper

    together = jax.jit(jax.vmap(one))(means)
    for i in range(3):
        np.testing.assert_allclose([v[i] for v in together], one(means[i]), atol=2e-6)


def test_posterior_under_jit_vmap_and_without_jit():
    population = GaussianMixture(W, MEANS)
    y = jnp.linspace(-3, 3, 5, dtype=jnp.float32)[:, None]
    batched = jax.jit(jax.vmap(lambda v: sloc.posterior(OU, population, v, 0.5)))(y)
    with jax.disable_jit():
        single = jnp.stack([sloc.posterior(OU, population, v, 0.5) for v in y])
    np.testing.assert_allclose(batched, single, atol=1e-6)
    np.testing.assert_allclose(jnp.exp(batched).sum(1), 1, atol=1e-6)


def test_gradients_of_posteriors_are_finite_and_right():
    y = jnp.asarray([0.4], jnp.float32)

    def value(m):
        return sloc.posterior(OU, GaussianMixture(W, m), y, 0.5)[0]

    slope = jax.grad(value)(MEANS)
    step = jnp.zeros_like(MEANS).at[0, 0].set(1e-2)
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(slope[0, 0], (value(MEANS + step) - value(MEANS - step)) / 2e-2, rtol=1e-2)
    # Far away, where one component is impossible in float32.
    assert np.isfinite(jax.grad(value)(300.0 * MEANS)).all()
    atoms = Empirical([[0, 1, 0], [1, 1, 0], [0, 0, 1]], [0, 0, 1])
    seen = sloc.Revealed(jnp.asarray([0, 1, 0]), jnp.asarray([True, True, False]))
    # The second class is ruled out: log pi = -inf there, with a gradient that is still finite on the first.
    assert np.isfinite(jax.grad(lambda t: sloc.posterior(Masking(), atoms, seen, t)[0])(jnp.float32(0.3)))


def test_an_impossible_observation_has_no_posterior():
    atoms = Empirical([[0, 1], [1, 1]], [0, 1])
    seen = sloc.Revealed(jnp.asarray([0, 0]), jnp.asarray([True, True]))
    np.testing.assert_array_equal(sloc.posterior(Masking(), atoms, seen, 0.5), [-np.inf, -np.inf])


def test_overlap_keeps_its_digits():
    delta = jnp.asarray([0.0, 16.0, -40.0, 80.0, jnp.inf, -jnp.inf], jnp.float32)
    found = np.asarray(integrands.overlap(delta), np.float64)
    e = np.exp(-np.abs([0.0, 16.0, 40.0, 80.0]))
    np.testing.assert_allclose(found[:4], 2 * e / (1 + e), rtol=1e-5)
    np.testing.assert_array_equal(found[4:], 0)


def test_log_sum_exp_of_nothing_is_minus_infinity():
    x = jnp.asarray([[-jnp.inf, -jnp.inf], [0.0, -jnp.inf]], jnp.float32)
    np.testing.assert_array_equal(integrands.log_sum_exp(x, axis=1), [-np.inf, 0.0])
    np.testing.assert_array_equal(integrands.log_sum_exp(x, axis=0), [0.0, -np.inf])
