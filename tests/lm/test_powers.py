"""Powers of two written out, against float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from sloc.lm.powers import LOG2_E, power_of_two


def test_powers_are_right_to_float32() -> None:
    x = np.linspace(-126, 126, 200_001).astype(np.float32)
    found = np.asarray(jax.jit(power_of_two)(jnp.asarray(x)), np.float64)
    np.testing.assert_allclose(found, np.exp2(x.astype(np.float64)), rtol=4e-7)
    whole = np.arange(-126, 127, dtype=np.float32)
    np.testing.assert_array_equal(np.asarray(power_of_two(jnp.asarray(whole))), np.exp2(whole))


def test_powers_stop_at_both_ends() -> None:
    far = jnp.asarray([-np.inf, -1e30, -127.0, 127.0, 1e30, np.inf], jnp.float32)
    assert np.asarray(power_of_two(far)).tolist() == [2.0**-126] * 3 + [2.0**126] * 3
    assert np.isnan(power_of_two(jnp.full(64, jnp.nan, jnp.float32))).all()


def test_the_other_base_is_that_of_exp() -> None:
    x = np.linspace(-20, 20, 1_001).astype(np.float32)
    found = np.asarray(power_of_two(jnp.float32(LOG2_E) * jnp.asarray(x)), np.float64)
    # Rounding of the product: half a unit in the last place of 29.
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2e-6)
