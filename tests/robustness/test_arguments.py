"""Single arguments: what counts as a number, and that traced values are passed through where a call can be traced."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc import InvalidInput
from sloc.contracts.arguments import (
    as_array,
    as_floats,
    as_real,
    as_whole,
    check_size,
    checked_all,
    checked_key,
    checked_number,
    checked_path,
    checked_whole,
)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2), jnp.asarray(2), jnp.asarray(2.0)])
def test_scalars_of_every_kind_are_numbers(value: Any) -> None:
    assert as_real(value) == as_whole(value) == checked_whole(value, "v") == checked_number(value, "v") == 2


@pytest.mark.parametrize("value", [None, True, np.True_, "2", b"2", [2], np.ones(1), 2j, np.array(2j), math.nan, {}])
def test_other_things_are_none(value: Any) -> None:
    assert math.isnan(as_real(value))
    for check in (checked_whole, checked_number, check_size):
        with pytest.raises(InvalidInput, match=r"^v = .*: expected "):
            check(value, "v")


def test_a_number_beyond_floats_is_none_and_one_beyond_bounds_is_refused() -> None:
    assert math.isnan(as_real(10**400))
    assert as_real(math.inf) == math.inf
    assert math.isnan(as_whole(math.inf))
    with pytest.raises(InvalidInput, match="from 0 to 7"):
        checked_whole(8, "v", 0, 7)


def test_bounds_belong_to_a_range_where_it_says_so() -> None:
    assert checked_number(0.0, "v", 0, 1, ends="[") == 0.0
    for value, ends in ((0.0, "]"), (1.0, "["), (1.0, "")):
        with pytest.raises(InvalidInput, match=r"v = "):
            checked_number(value, "v", 0, 1, ends=ends)


def test_traced_values_are_passed_through() -> None:
    def through(v: jax.Array) -> Any:
        assert math.isnan(as_real(v[0]))
        return as_array(v, "v")

    np.testing.assert_array_equal(jax.jit(through)(jnp.arange(3.0)), [0, 1, 2])
    assert jax.vmap(checked_key)(jax.random.split(jax.random.key(0), 2)).shape == (2,)


def test_arrays_sequences_and_paths() -> None:
    assert as_floats([1, 2], "v").dtype == np.float64
    assert checked_all((1, 2), "v", int, "ints") == (1, 2)
    assert checked_path("a", "v") == "a"
    for refuse in (
        lambda: as_floats([[1.0], [1.0, 2.0]], "v"),
        lambda: as_array(jax.random.key(0), "v"),
        lambda: checked_all("ab", "v", str, "texts"),
        lambda: checked_all([], "v", str, "texts", 1),
        lambda: checked_path("a\0", "v"),
        lambda: checked_key(jax.random.PRNGKey(0), "v"),
    ):
        with pytest.raises(InvalidInput, match=r"^v = "):
            refuse()
