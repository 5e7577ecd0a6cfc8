"""A curve carries the level of its band wherever it goes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.windows import on_axis

TIMES = np.asarray([1.0, 2.0, 3.0])
VALUE = np.asarray([0.9, 0.5, 0.1])


def curve(value: np.ndarray = VALUE, **more: object) -> sloc.Curve:
    return sloc.Curve(TIMES, value, 0 * value, value - 0.1, value + 0.1, 7, "drawn", **more)


def test_a_curve_of_ones_own_tells_no_level() -> None:
    assert np.isnan(curve().delta)
    assert "delta=nan" in repr(curve())


def test_the_level_is_shown_and_written() -> None:
    given = curve(delta=0.05)
    assert "delta=0.05, n=7" in repr(given)
    assert given.to_xarray().attrs["delta"] == 0.05
    assert np.isnan(curve().to_xarray().attrs["delta"])


def test_columns_and_other_axes_keep_it() -> None:
    both = curve(np.stack([VALUE, 1 - VALUE], 1), labels=("a", "b"), delta=0.01)
    assert both.column("b").delta == 0.01
    assert on_axis(curve(delta=0.02), 2 * TIMES).delta == 0.02


def test_the_level_is_a_leaf() -> None:
    # Were it static, two curves of unknown level would have unequal structures: NaN is not equal to itself.
    one, other = curve(), curve(1 - VALUE)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, one, other)
    np.testing.assert_allclose(mean.value, 0.5)
    kept = jax.jit(lambda c: c)(jax.tree.map(jnp.asarray, curve(delta=0.25)))
    assert kept.delta == 0.25


@pytest.mark.parametrize("method", ["auto", "monte-carlo"])
def test_measured_curves_tell_theirs(method: str) -> None:
    two = sloc.populations.GaussianMixture([0.5, 0.5], np.asarray([[1.0], [-1.0]]))
    ask = {"tv": sloc.TV(0, 1), "labels": sloc.Labels(0)}
    found = sloc.measure(
        jax.random.key(0), sloc.processes.OrnsteinUhlenbeck(), two, TIMES, ask, n=1024, delta=0.125, method=method
    )
    assert found["tv"].delta == (0.0 if method == "auto" else 0.125)
    assert found["labels"].delta == found["labels"].column("0").delta == 0.125


def test_inside_jit_and_vmap() -> None:
    def at(mean: jax.Array) -> sloc.Curve:
        two = sloc.populations.GaussianMixture(jnp.asarray([0.5, 0.5]), jnp.stack([mean, -mean])[:, None])
        process, times = sloc.processes.OrnsteinUhlenbeck(), jnp.asarray(TIMES)
        return sloc.tv_curve(jax.random.key(0), process, two, times, 0, 1, n=1024, delta=0.125)

    batch = jax.jit(jax.vmap(at))(jnp.asarray([1.0, 2.0]))
    np.testing.assert_array_equal(batch.delta, [0.125, 0.125])
    assert "batch of shape (2, 3)" in repr(batch)
