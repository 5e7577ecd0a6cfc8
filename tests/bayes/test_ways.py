"""Every way in which a NumPyro model's marginals are got has an oracle, under each kind of process it is taken for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping

import pytest

import sloc
from sloc.bayes import NumPyroPopulation
from sloc.bayes.population import WAYS
from tests.bayes import test_population, test_quadrature
from tests.populations.test_every_pair import names_in

POPULATION, QUADRATURE = "tests/bayes/test_population.py::", "tests/bayes/test_quadrature.py::"
OU = test_population.OU

ORACLE = {
    ("gaussian", "Gaussian channel"): POPULATION + "test_gaussian_posterior_is_exact_bayes",
    ("gaussian", "linear Gaussian channel"): POPULATION + "test_gaussians_under_linear_channels_are_exact",
    ("letters", "memoryless channel"): POPULATION + "test_discrete_posterior_is_exact_bayes",
    ("letters", "revealing channel"): POPULATION + "test_discrete_posterior_is_exact_bayes",
    ("outcomes", "any"): POPULATION + "test_posterior_over_few_outcomes_is_exact_bayes_under_any_process",
    ("quadrature", "Gaussian channel"): POPULATION + "test_quadrature_posterior_is_exact_bayes",
    ("quadrature", "linear Gaussian channel"): QUADRATURE + "test_measurements_of_a_plane",
    ("quadrature", "any"): QUADRATURE + "test_noise_of_no_family",
    ("monte-carlo", "any"): POPULATION + "test_monte_carlo_is_near_quadrature",
}
"""Where each way, under a kind of process, is compared with what knows nothing of the package."""

TAKEN = {
    ("gaussian", "Gaussian channel"): (test_population.gaussians, OU),
    ("gaussian", "linear Gaussian channel"): (test_population.gaussians, test_population.LINEAR["one measurement"][0]),
    ("letters", "memoryless channel"): (test_population.bits, sloc.processes.BinarySymmetric()),
    ("letters", "revealing channel"): (test_population.bits, sloc.processes.Masking()),
    ("outcomes", "any"): (test_population.bits, OU),
    ("quadrature", "Gaussian channel"): (test_population.branches, OU),
    ("quadrature", "linear Gaussian channel"): (test_quadrature.corners, test_quadrature.SUM),
    ("quadrature", "any"): (test_population.branches, test_quadrature.LaplaceNoise()),
    ("monte-carlo", "any"): (test_population.many, OU),
}


def without_oracle(table: Mapping[tuple[str, str], str]) -> set[str]:
    """The ways for which the table names no test that there is."""
    named = {way for (way, _), place in table.items() if place.partition("::")[2] in names_in(place)}
    return set(WAYS) - named


def test_every_way_has_an_oracle():
    assert not without_oracle(ORACLE)
    assert all(place.partition("::")[2] in names_in(place) for place in ORACLE.values())
    assert {way for way, _ in ORACLE} == set(WAYS)


def test_there_are_no_other_ways():
    source = ast.parse(textwrap.dedent(inspect.getsource(NumPyroPopulation.way)))
    returned = [node.value for node in ast.walk(source) if isinstance(node, ast.Return)]
    assert {node.value for node in returned if isinstance(node, ast.Constant)} == set(WAYS)
    assert all(isinstance(node, ast.Constant) for node in returned)


def test_a_way_without_an_oracle_is_named():
    assert without_oracle({k: v for k, v in ORACLE.items() if k[0] != "outcomes"}) == {"outcomes"}
    assert without_oracle(ORACLE | {("outcomes", "any"): POPULATION + "test_that_is_not_there"}) == {"outcomes"}


@pytest.mark.parametrize("key", ORACLE)
def test_the_way_is_taken(key):
    model, process = TAKEN[key]
    assert NumPyroPopulation(model).way(process.canonical()) == key[0]
