"""Options of the compiler: only where they are known, and where nobody has said otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import pytest

from sloc.lm import compiling


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    compiling.lane_options.cache_clear()
    yield
    compiling.lane_options.cache_clear()


def test_sums_are_xlas_own_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    options = compiling.lane_options()
    many = jnp.ones((8, 8, 64))
    compiled = jax.jit(lambda x: jnp.sum(x * x, axis=1), compiler_options=options or None).lower(many).compile()
    assert "ynn" not in (compiled.as_text() or "")


def test_what_the_user_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", f"--{compiling._YNNPACK}=LIBRARY_FUSION_TYPE_DOT")
    assert set(compiling.lane_options()) == {compiling._WIDTH}


def test_other_devices_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiling.lane_options() == {}


def test_an_option_that_is_not_there_is_left_out() -> None:
    assert compiling.known({"xla_cpu_no_such_option": "1"}) == {}
    assert compiling.known({}) == {}
