"""Paths relative to their own source: what a pair says of them is what they are, and leaves no answer changed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import find_marginals
from sloc.divergence.paths import are_relative, batched_paths, reduced

MEANS = jnp.asarray([[0.0, 1.0, 0.5], [2.0, -1.0, 0.0], [-1.0, 0.3, 1.5]])
COVARIANCES = {
    "shared variance": jnp.asarray(0.7),
    "shared variances": jnp.asarray([0.5, 1.0, 2.0]),
    "shared matrix": jnp.asarray([[1.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 2.0]]),
    "own matrices": jnp.stack([jnp.eye(3), 2 * jnp.eye(3), jnp.eye(3)]),
}


def mixture(name: str) -> sloc.populations.GaussianMixture:
    return sloc.populations.GaussianMixture(jnp.asarray([0.2, 0.3, 0.5]), MEANS, COVARIANCES[name])


@pytest.mark.parametrize("name", COVARIANCES)
def test_relative_paths_are_finite_and_zero_for_the_source(name: str) -> None:
    process, population = reduced(sloc.processes.OrnsteinUhlenbeck(), mixture(name))
    components = jnp.asarray([0, 1, 2, 0], jnp.int32)
    paths = np.asarray(batched_paths(process, population, jax.random.key(0), components, jnp.asarray([0.1, 1.0])))
    own = paths[:, np.asarray(components), np.arange(4)]
    assert np.isfinite(paths).all()
    # Where each component has a covariance of its own nothing drops out, and nothing may be left out.
    assert are_relative(process, population) == (name != "own matrices") == bool((own == 0).all())


@pytest.mark.parametrize("name", ["shared variance", "shared matrix"])
def test_a_pair_of_classes_is_the_same_without_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process, population = sloc.processes.OrnsteinUhlenbeck(), mixture(name)

    def value() -> np.ndarray:
        jax.clear_caches()  # the kernel is traced once for a shape, whatever the pair says later
        ask = sloc.TV(0, 2)
        got = sloc.measure(jax.random.key(1), process, population, [0.3, 0.9], ask, n=2048, method="monte-carlo")
        return np.asarray(got[ask].value)

    relative = value()
    entry = find_marginals(*reduced(process, population))
    assert entry is not None
    monkeypatch.setattr(entry, "relative_fn", None)
    np.testing.assert_allclose(value(), relative, rtol=0, atol=1e-6)
