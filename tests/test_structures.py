"""Pytree structures of two types are never equal: compiled functions are looked up by them."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import pkgutil
import re
import typing
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest

import sloc
from sloc.contracts import Contract, ContractError
from sloc.populations import GaussianMixture
from sloc.processes import FlowMatching, Function, OrnsteinUhlenbeck, Power, Retimed, VarianceExploding


def types(base=Contract):
    for kind in base.__subclasses__():
        yield kind
        yield from types(kind)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OfAUser(sloc.GaussianChannel):
    """Nothing of its own: its fields are those of the built-in channels, none."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Derived(OrnsteinUhlenbeck):
    """A subclass without new fields."""


def test_structures_of_processes_differ():
    for first, second in itertools.combinations(
        [OrnsteinUhlenbeck(), VarianceExploding(), FlowMatching(), OfAUser(), Derived()], 2
    ):
        assert jax.tree.structure(first) != jax.tree.structure(second)
        # Inside of others too.
        assert jax.tree.structure(Retimed(first, Power(2.0))) != jax.tree.structure(Retimed(second, Power(2.0)))
    assert jax.tree.structure(OfAUser()) == jax.tree.structure(OfAUser())


def test_every_contract_of_the_package_carries_its_type():
    for module in pkgutil.iter_modules(importlib.import_module("sloc.populations").__path__, "sloc.populations."):
        if module.name != "sloc.populations.atoms_pallas":
            importlib.import_module(module.name)
    found = [t for t in types() if t.__module__.startswith("sloc.") and "__dataclass_fields__" in vars(t)]
    assert len(found) > 30
    for kind in found:
        own = [f for f in dataclasses.fields(kind) if f.name == "_node_type"]
        assert [f.default for f in own] == [kind]
        assert own[0].metadata["static"]


def test_the_type_is_neither_shown_nor_compared_nor_lost():
    mixture = GaussianMixture([0.5, 0.5], [[0.0], [1.0]])
    assert "_node_type" not in repr(mixture)
    assert OrnsteinUhlenbeck() == OrnsteinUhlenbeck()
    again = dataclasses.replace(mixture, covariances=2.0).canonical()
    assert jax.tree.structure(again) == jax.tree.structure(mixture.canonical())
    assert jax.tree.structure(Function(jnp.sqrt, jnp.square)) != jax.tree.structure(Power())


def test_a_positional_argument_too_many_is_still_refused():
    with pytest.raises(TypeError, match="positional"):
        FlowMatching(1.0)


def test_an_object_that_carries_another_type_is_refused():
    @jax.tree_util.register_dataclass
    class Undecorated(OrnsteinUhlenbeck):
        pass

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True, slots=True)
    class Slotted(OrnsteinUhlenbeck):
        pass

    mixture = GaussianMixture([0.5, 0.5], [[0.0], [1.0]])
    handed_on = FlowMatching(**vars(OrnsteinUhlenbeck()))
    for process in (Undecorated(), Slotted(), handed_on):
        with pytest.raises(ContractError, match=f"{type(process).__name__} carries the type"):
            sloc.tv(jax.random.key(0), process, mixture, 0.5, 0, 1, n=64)


def test_a_list_of_fields_must_name_the_type():
    @dataclass(frozen=True)
    class Listed(sloc.ObservationProcess):
        scale: float = 1.0

    with pytest.raises(ValueError, match="_node_type"):
        jax.tree_util.register_dataclass(Listed, ["scale"], [])
    jax.tree_util.register_dataclass(Listed, ["scale"], ["_node_type"])
    assert jax.tree.structure(Listed()) != jax.tree.structure(Power())


@pytest.mark.parametrize("kind", [Contract, *(t for t in types() if t.__module__.startswith("sloc.contracts."))])
def test_contracts_can_be_read_where_they_are_written(kind):
    assert re.search(rf"^class {kind.__name__}\b", inspect.getsource(kind), re.MULTILINE)
    # What their files import for type checkers alone would not resolve.
    for method in (kind, *(m for m in vars(kind).values() if inspect.isfunction(m))):
        typing.get_type_hints(method)
