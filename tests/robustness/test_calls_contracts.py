"""Methods of processes, populations and clocks refuse what they cannot take, where nothing is traced.

Nothing here is random: Hypothesis runs derandomized.
"""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("numpyro")

import sloc
from sloc import InvalidInput
from sloc.contracts import base
from sloc.populations import Empirical
from sloc.processes import BinarySymmetric, FlowMatching, Masking, OrnsteinUhlenbeck, Retimed, Truncation
from tests.robustness import rows_contracts
from tests.robustness.common import PAIR
from tests.robustness.sweep import Row, drawn_faults, listed_faults, refused

ROWS = rows_contracts.rows()
KEY, X = jax.random.key(0), jnp.asarray([0.5, 1.0])
# Of any type, since numbers are handed where arrays are declared.
OU: Any = OrnsteinUhlenbeck()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_cannot_be_taken_is_refused(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row.call(**row.good())
    refused(row, listed_faults, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in ROWS if r.searched], ids=lambda row: row.name)
def test_what_is_found_that_cannot_be_taken_is_refused(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(row, drawn_faults, tmp_path, monkeypatch)


@pytest.mark.parametrize("way", [jax.jit, jax.vmap, jax.grad, jax.checkpoint], ids=lambda way: way.__name__)
def test_traced_arguments_are_not_looked_at(way: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The other arguments neither: what is compiled is what the methods say, and no more."""

    def looked(*_: Any) -> None:
        raise AssertionError("looked at")

    monkeypatch.setattr(base, "CHECKS", dict.fromkeys(base.CHECKS, looked))
    times = jnp.asarray([0.5]) if way is jax.vmap else jnp.asarray(0.5)
    assert jnp.isfinite(way(lambda t: OU.log_prob(X, X, t))(times)).all()
    assert jnp.isfinite(way(lambda t: jnp.sum(OU.sample(KEY, X, t)))(times)).all()


def test_a_traced_process_or_population_is_not_looked_at() -> None:
    masses = jax.jit(lambda pair: pair.log_marginals(OU, X, 0.5))(PAIR.canonical())
    np.testing.assert_allclose(masses, PAIR.canonical().log_marginals(OU, X, 0.5), rtol=1e-6)
    assert math.isnan(float(jax.jit(lambda t: OU.log_prob(X, X, t))(-1.0)))


def test_compiled_code_is_that_of_the_methods_themselves() -> None:
    bare = OrnsteinUhlenbeck.log_prob.__wrapped__.__get__(OU)  # pyright: ignore[reportFunctionMemberAccess]
    assert str(jax.make_jaxpr(OU.log_prob)(X, X, 0.5)) == str(jax.make_jaxpr(bare)(X, X, 0.5))


@pytest.mark.parametrize(
    "call",
    [
        lambda: OU.sample(KEY, X, 0) - X,
        lambda: OU.degrade(KEY, X, 0.0, 0.0) - X,
        lambda: OU.bridge(KEY, X, X, 0.2, 0.2) - X,
        lambda: OU.bridge(KEY, X, X, 0, math.inf) - X,
        lambda: OU.sample(KEY, X, jnp.inf) - jax.random.normal(KEY, (2,)),
        lambda: FlowMatching().degrade(KEY, X, 1.0, 1.0) - X,
        lambda: BinarySymmetric().log_prob(X.astype(int), X.astype(int), np.float32(0.0)),
        lambda: Truncation(2).thresholds(None, X) - jnp.asarray([2, 1]),  # pyright: ignore[reportArgumentType]
        lambda: Masking().sample(KEY, X, 1).values,
    ],
)
def test_the_ends_of_time_are_taken_where_they_have_an_answer(call: Callable[[], Any]) -> None:
    np.testing.assert_allclose(call(), 0.0, atol=1e-6)


def test_a_time_that_float32_rounds_beyond_the_horizon_is_the_horizon() -> None:
    retimed: Any = Retimed(FlowMatching(), sloc.processes.Power(1.0, 10 / 3))
    assert float(np.float32(retimed.horizon)) > retimed.horizon
    assert jnp.isfinite(retimed.sample(KEY, X, np.float32(retimed.horizon))).all()
    with pytest.raises(InvalidInput, match=r"^t = 0.31: expected times up to the horizon, 0.3$"):
        retimed.sample(KEY, X, 0.31)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: OU.sample(KEY, X, -1.0), r"^t = -1.0: expected times that are not negative$"),
        (lambda: OU.log_prob(X, X, 0.0), r"^t = 0.0: expected times above 0"),
        (lambda: OU.log_prob(X[:1], X, 0.5), r"^y = .*: expected float32\[2\], an observation of OrnsteinUhlenbeck"),
        (lambda: OU.degrade(KEY, X, 0.5, 0.2), r"^s = 0.5: expected a time up to t = 0.2$"),
        (lambda: BinarySymmetric().sample(KEY, np.array([0, 7]), 0.1), r"^x = .*coordinate 1 of X holds the letter 7$"),
        (lambda: Truncation(2).sample(KEY, X, 0.5), r"^t = 0.5: expected whole numbers"),
        (lambda: PAIR.canonical().sample(KEY, 2), r"^component = 2: .*, from 0 to 1$"),
        (lambda: Empirical(np.eye(2), [0, 1]).canonical().posterior_sample(KEY, OU, X, 0.0), r"^t = 0.0: .*above 0"),
    ],
)
def test_what_once_gave_a_wrong_answer_without_a_word(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        call()


@pytest.mark.filterwarnings("error")
def test_lists_and_numbers_are_the_arrays_that_they_stand_for() -> None:
    written: Any = sloc.populations.GaussianMixture([0.5, 0.5], [[4.0, 0.0], [-4.0, 0.0]])
    arrays, y = written.canonical(), [0.5, 1.0]
    for name, given in (
        ("sample", (KEY, 1)),
        ("log_marginals", (OU, y, 0.5)),
        ("path_log_marginals", (OU, KEY, y, jnp.asarray([0.5, 1.0]))),
        ("posterior_sample", (KEY, OU, y, 0.5)),
        ("posterior_joint", (KEY, OU, y, 0.5)),
        ("bridge_pair", (OU, KEY, 0, 1, 0.5)),
        ("log_affinities", (OU, 0.5)),
    ):
        wanted = getattr(arrays, name)(*(X if value is y else value for value in given))
        jax.tree.map(np.testing.assert_array_equal, getattr(written, name)(*given), wanted)
    np.testing.assert_array_equal(OU.log_prob(y, x=y, t=0.5), OU.log_prob(X, X, 0.5))
    Empirical([[0], [1]], labels=["a", "b"]).posterior_sample(KEY, OU, [0.5], 0.5)  # no word about float64


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shifted(OrnsteinUhlenbeck):
    """A process of an outside class: it may take what it likes."""

    def sample(self, key, x, t):
        return x + t


def test_methods_of_outside_classes_are_left_as_they_are() -> None:
    assert float(Shifted().sample(None, 1.0, -3.0)) == -2.0  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match=r"^t = -3.0"):
        Shifted().log_prob(X, X, -3.0)


def test_observations_in_few_bits_are_taken() -> None:
    few = X.astype(jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):
        assert jnp.isfinite(OU.degrade(KEY, few, 0.1, 0.5)).all()
        assert jnp.isfinite(OU.sample(KEY, few, 0.5)).all()
        assert jnp.isfinite(OU.log_prob(few, few, 0.5))


def test_methods_say_what_they_said() -> None:
    assert list(inspect.signature(OU.sample).parameters) == ["key", "x", "t"]
    assert OU.sample.__doc__ == inspect.unwrap(OU.sample).__doc__
    assert pickle.loads(pickle.dumps(OU)) == OU
    assert hash(OU) == hash(OrnsteinUhlenbeck())
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        OU.sample(KEY, X)  # pyright: ignore[reportCallIssue]
