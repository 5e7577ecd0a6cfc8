"""Results, processes and populations are equal where their numbers are, arrays among them."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import re
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts.equality import same_fields
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import FlowMatching, OrnsteinUhlenbeck, Projected
from sloc.samplers import Localization

KEY = jax.random.key(0)
OU = OrnsteinUhlenbeck()
ATOMS = Empirical([[-1.0], [-0.5], [0.5], [1.0]], [0, 0, 1, 1])
PAIR = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Own(sloc.ObservationProcess):
    level: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ByIdentity(sloc.ObservationProcess):
    level: Any


def made() -> dict[str, Any]:
    curve = sloc.Curve(np.arange(2.0), np.ones(2), np.zeros(2), np.ones(2), np.ones(2), 3)
    return {
        "a curve": curve,
        "a curve of JAX's arrays": jax.tree.map(jnp.asarray, curve),
        "an estimate": sloc.Estimate(np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), 4),
        "a window with its certificates": sloc.theorem2(KEY, OU, ATOMS, 0, [0, 1], epsilon=0.2, n=64),
        "a tree": sloc.mixture_tree(KEY, OU, PAIR, epsilon=0.2),
        "a process with a matrix": Projected(OU, np.eye(2)),
        "a mixture": PAIR,
        "a mixture of arrays": PAIR.canonical(),
        "a process of one's own": Own(np.ones(3)),
    }


@pytest.mark.parametrize("name", made())
def test_a_copy_is_equal(name: str) -> None:
    it = made()[name]
    for other in (it, copy.deepcopy(it), pickle.loads(pickle.dumps(it))):
        assert it == other
        assert not it != other
    assert it in [None, "it", it]
    for other in (None, 3, "it", np.ones(2)):
        assert not np.all(it == other)


def test_nan_agrees_with_nan_in_every_kind_of_floating_number() -> None:
    for kind in (np.float16, np.float32, np.complex64, jnp.bfloat16):
        level = np.asarray([1, np.nan], kind)
        assert Own(level) == Own(level.copy())
        assert Own(level[1]) == Own(level.copy()[1])
        assert Own(level) != Own(np.asarray([2, np.nan], kind))


def test_another_number_makes_another() -> None:
    curve = made()["a curve"]
    assert curve != replace(curve, value=np.array([1.0, 2.0]))
    assert curve != replace(curve, value=np.ones(3))
    assert curve != replace(curve, delta=0.1)  # NaN, where it is not known
    assert PAIR.canonical() != GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.5]]).canonical()
    assert Own(np.ones(3)) != Own(np.zeros(3))
    assert OU != FlowMatching()


def test_what_hashes_and_what_asks_for_identity_stays() -> None:
    assert len({OU, OrnsteinUhlenbeck(), FlowMatching()}) == 2
    assert hash(Own(1)) == hash(Own(1))
    assert ByIdentity(1) != ByIdentity(1)
    assert len({ByIdentity(1), ByIdentity(1)}) == 2


def test_traced_values_are_equal_to_themselves_alone() -> None:
    def compared(level: Any) -> Any:
        return jnp.asarray([Own(level) == Own(level), Own(level) == Own(level + 0.0)])

    assert list(jax.jit(compared)(1.0)) == [True, False]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Inner:
    level: Any


@pytest.mark.parametrize(
    "make",
    [
        lambda v: Own(Inner(np.arange(3.0) + v)),
        lambda v: Own({"a": (Inner(np.full(2, np.nan)), v)}),
        lambda v: Own(sloc.Revealed(jnp.arange(3) + v, jnp.ones(3, bool))),
        lambda v: Own(np.asarray([np.arange(2), np.arange(3) + v, np.nan], object)),
        lambda v: Own(jax.random.key(v)),
        lambda v: Localization(np.ones(1), np.ones(1), sloc.Revealed(jnp.arange(3) + v, jnp.ones(3, bool))),
    ],
)
def test_arrays_inside_of_other_records_compare(make: Any) -> None:
    """As pytrees hold them: what people's own dataclasses compare by is the truth value of an array."""
    assert make(0) == make(0)
    assert make(0) != make(1)


def test_what_has_no_one_truth_value_and_no_fields_is_another() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2]})
    assert Own(frame) == Own(frame)
    assert Own(frame) != Own(frame.copy())
    assert Own(jax.random.key(0)) != Own(np.zeros(2))


class ByName(sloc.ObservationProcess):
    """A base of somebody's own that says what is equal."""

    name: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByName) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Named(ByName):
    name: Any
    level: Any


def test_a_comparison_that_a_class_inherits_stays() -> None:
    assert Named("a", np.ones(2)) == Named("a", np.zeros(2))
    assert Named("a", 1) != Named("b", 1)
    assert len({Named("a", 1), Named("a", 2)}) == 1


def test_every_public_result_with_arrays_compares() -> None:
    """What the comparison that dataclasses write would end in an error for: the truth value of an array."""
    # Questions (which sets, how to run), and what is compared by what it is, not by its numbers.
    others = {"Branch", "Plan", "LanguageModel", "Prefix", "Source", "Tokenizer", "Question", "Recording", "Revealed"}
    found = {
        it
        for name in ("sloc", *(f"sloc.{m.name}" for m in pkgutil.iter_modules(sloc.__path__)))
        for it in vars(importlib.import_module(name)).values()
        if isinstance(it, type) and is_dataclass(it) and it.__module__.startswith("sloc.")
    }
    holds = {it for it in found if any(re.search("ndarray|Array|Any", str(f.type)) for f in fields(it))}
    asked = {it for it in holds if it.__module__ not in ("sloc.divergence.statistics", "sloc.divergence.integrands")}
    written = {it for it in asked if it.__eq__ is same_fields or it.__eq__.__qualname__ == f"{it.__name__}.__eq__"}
    written = {it for it in written if it.__eq__ is same_fields or "same_fields" in it.__eq__.__code__.co_names}
    by_identity = {it for it in asked if it.__eq__ is object.__eq__}
    assert {it.__name__ for it in asked - written - by_identity} == others
