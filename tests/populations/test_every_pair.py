"""Every registered pair of a process family and a population is run by a conformance test, and has an oracle.

A pair is covered by what a call of the suite resolves: the registered pair of its process and population, and those of
the smaller problems that its ``reduce`` leads to.  Populations that inherit their pair from a base are asked for one by
one.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import pytest

import sloc
from sloc import populations
from sloc.contracts import Marginals, Population, find_marginals
from sloc.contracts import population as contracts

from . import test_conformance, test_examples_conformance, test_gaussian_linear, test_hierarchy

Pair = tuple[str, str]
"""Names of a process family and of a population."""

HERE, DIVERGENCE = "tests/populations/", "tests/divergence/"
ORACLE: dict[Pair, str] = {
    # Letters, by enumeration of all words and of all that may be seen of them.
    ("RevealingChannel", "ProductCategorical"): HERE + "test_categorical.py::test_revealed_marginals_match_enumeration"
    "_and_sum_to_one",
    ("MemorylessChannel", "ProductCategorical"): HERE + "test_categorical.py::test_memoryless_marginals_match"
    "_enumeration_and_sum_to_one",
    ("RevealingChannel", "MarkovChains"): HERE + "test_markov.py::test_revealed_marginals_match_enumeration"
    "_and_sum_to_one",
    ("MemorylessChannel", "MarkovChains"): HERE + "test_markov.py::test_memoryless_marginals_match_enumeration"
    "_and_sum_to_one",
    ("RevealingChannel", "HiddenMarkov"): HERE + "test_hmm.py::test_revealed_marginals_match_enumeration",
    ("MemorylessChannel", "HiddenMarkov"): HERE + "test_hmm.py::test_memoryless_marginals_match_enumeration",
    ("RevealingChannel", "CriticalTokens"): HERE + "test_tokens.py::test_marginals_match_enumeration",
    ("RevealingChannel", "InContext"): HERE + "test_incontext.py::test_marginals_match_enumeration",
    ("RevealingChannel", "RandomWalkSolver"): HERE + "test_walk.py::test_marginals_match_enumeration",
    **{
        ("MemorylessChannel", population): HERE
        + "test_examples_noisy.py::test_marginals_and_posteriors_match_enumeration"
        for population in ("CriticalTokens", "InContext", "RandomWalkSolver")
    },
    # Trees, by enumeration of all of them; under noise with normal densities of the leaves.
    **{
        (family, "RandomHierarchy"): HERE + "test_hierarchy.py::test_one_observation_against_enumeration"
        for family in ("RevealingChannel", "MemorylessChannel", "GaussianChannel", "LinearGaussianChannel")
    },
    # Numbers, by dense Gaussian densities.
    ("RevealingChannel", "KalmanDiscourse"): HERE + "test_discourse.py::test_marginals_match_the_dense_gaussian",
    ("RevealingChannel", "SparseRegression"): HERE + "test_regression.py::test_marginals_match_dense_gaussians",
    ("GaussianChannel", "GaussianMixture"): DIVERGENCE + "test_estimators_gaussian.py::test_posterior_is_bayes_rule",
    ("GaussianChannel", "_Diagonalised"): DIVERGENCE + "test_estimators_gaussian.py::test_every_kind_of_covariance"
    "_in_several_dimensions",
    ("LinearGaussianChannel", "GaussianMixture"): HERE + "test_gaussian_linear.py::test_marginals",
    # Models, by dense Gaussian densities; `tests/bayes/test_ways.py` has the ways that are not registered.
    ("GaussianChannel", "NumPyroPopulation"): "tests/bayes/test_population.py::test_gaussian_posterior_is_exact_bayes",
    ("LinearGaussianChannel", "NumPyroPopulation"): "tests/bayes/test_population.py::test_gaussians_under_linear"
    "_channels_are_exact",
    # Atoms, by Bayes' rule, enumeration of what may be seen, and quadrature under a channel of no family.
    ("GaussianChannel", "Empirical"): DIVERGENCE + "test_estimators_atoms.py::test_posterior_of_atoms_is_bayes_rule",
    ("RevealingChannel", "Empirical"): DIVERGENCE + "test_estimators_atoms.py::test_every_statistic_of_finite"
    "_observations",
    ("ObservationProcess", "Empirical"): DIVERGENCE + "test_estimators_atoms.py::test_a_process_of_no_family",
}
"""Where each registered pair is compared with what knows nothing of the package: file and test."""


@pytest.fixture(autouse=True)
def _relaxed_promotion():
    """NumPyro's models do not keep the strict rules, and are traced when they are made."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def registered() -> dict[tuple[type, type], Marginals]:
    """The package's own pairs, whatever tests have registered besides: every module that registers some is imported."""
    root = Path(sloc.__file__).parent
    for file in sorted(root.rglob("*.py")):
        if "register_marginals(" in file.read_text(encoding="utf-8"):
            parts = file.relative_to(root).with_suffix("").parts
            importlib.import_module(".".join(["sloc", *(part for part in parts if part != "__init__")]))
    own = {key: entry for key, entry in contracts._PAIRS.items() if all(c.__module__.startswith("sloc.") for c in key)}
    assert len(own) > 20
    return own


@functools.cache
def tables() -> list[tuple[Any, Any]]:
    """All ``(population, process)`` that the conformance tests call the suite with."""
    from tests.bayes import test_population

    found = [*test_conformance.PAIRS.values(), *test_examples_conformance.PAIRS.values()]
    found += [test_hierarchy.conformance_pair(name) for name in test_hierarchy.CONFORMANCE]
    found += [test_gaussian_linear.conformance_pair(name) for name in test_gaussian_linear.CONFORMANCE]
    # One model for each process: making one takes a second, and all are of one class.
    models = {type(process): (make, process) for make, process in reversed(test_population.CONFORMANCE.values())}
    return found + [(make(), process) for make, process in models.values()]


def inheritors(population_type: type) -> list[type]:
    """The public populations that a pair of this type is registered for, or the type itself where there is none."""
    public = [getattr(populations, name) for name in populations.__all__]
    found = [c for c in public if inspect.isclass(c) and issubclass(c, population_type) and issubclass(c, Population)]
    return found or [population_type]


def uncovered(pairs: Mapping[tuple[type, type], Marginals], calls: Iterable[tuple[Any, Any]]) -> set[Pair]:
    """The registered pairs that no call resolves."""
    seen = set()
    for population, process in calls:
        process, population = process.canonical(), population.canonical()
        entry, own = find_marginals(process, population), set()
        while entry is not None and (met := (entry.process_type, type(population))) not in own:
            own.add(met)
            if entry.reduce_fn is not None:
                # Only the classes are looked at, so nothing is computed.
                process, population = jax.eval_shape(entry.reduce_fn, process, population)
                entry = find_marginals(process, population)
        seen |= own
    return {(family.__name__, own.__name__) for family, own in wanted(pairs) - seen}


def wanted(pairs: Iterable[tuple[type, type]]) -> set[tuple[type, type]]:
    """The registered pairs, those of a base under each population that inherits them."""
    return {(family, own) for family, base in pairs for own in inheritors(base)}


def without_oracle(pairs: Iterable[tuple[type, type]], table: Mapping[Pair, str]) -> set[Pair]:
    """The registered pairs for which the table names no test that there is."""
    named = {(family.__name__, own.__name__) for family, own in wanted(pairs)}
    return {pair for pair in named if pair not in table or table[pair].partition("::")[2] not in names_in(table[pair])}


@functools.cache
def parsed(file: str) -> ast.Module:
    """A file of the repository, as syntax."""
    return ast.parse((Path(__file__).parents[2] / file).read_text(encoding="utf-8"))


def names_in(place: str) -> set[str]:
    """Names of all tests of the file that ``file::test`` is of."""
    functions = (node for node in parsed(place.partition("::")[0]).body if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_registered_pair_is_run():
    missing = uncovered(registered(), tables())
    assert not missing, f"pairs that no conformance table holds: {sorted(missing)}"


def test_a_pair_without_a_call_is_named():
    pairs, calls = registered(), tables()
    hidden = [c for c in calls if type(c[0]).__name__ != "HiddenMarkov"]
    assert uncovered(pairs, hidden) == {("MemorylessChannel", "HiddenMarkov"), ("RevealingChannel", "HiddenMarkov")}
    # A pair of a base is asked for under each population that inherits it.
    walks = [c for c in calls if (type(c[0]).__name__, type(c[1]).__name__) != ("RandomWalkSolver", "UniformCTMC")]
    assert uncovered(pairs, walks) == {("MemorylessChannel", "RandomWalkSolver")}
    # One that is met only through a reduction is not seen without it.
    matrices = [c for c in calls if getattr(getattr(c[0], "covariances", None), "ndim", 0) < 3]
    assert uncovered(pairs, matrices) == {("GaussianChannel", "_Diagonalised")}


def test_every_registered_pair_has_an_oracle():
    pairs = registered()
    assert not without_oracle(pairs, ORACLE)
    # And none is named that is no longer registered.
    assert set(ORACLE) == {(family.__name__, own.__name__) for family, own in wanted(pairs)}


def test_a_pair_without_an_oracle_is_named():
    pairs, chains = registered(), ("RevealingChannel", "MarkovChains")
    assert without_oracle(pairs, {pair: place for pair, place in ORACLE.items() if pair != chains}) == {chains}
    assert without_oracle(pairs, ORACLE | {chains: HERE + "test_markov.py::test_that_is_not_there"}) == {chains}
