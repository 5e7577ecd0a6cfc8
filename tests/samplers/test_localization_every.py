"""Every process with every population that it can be undone for: labels and samples come back with their exact laws.

``test_localization_pairs.py`` holds one pair of each kind, through ``localize`` and ``label_frequencies``; here are all
others, and the guard that none is left out.  False-alarm rate: for each pair one comparison of laws of 4e-11 and two
bands of 2e-11 each, of at most 120 pairs: 1e-8.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta

import sloc
from sloc import populations, processes
from sloc.contracts import ContractError, ObservationProcess, Population, find_marginals, overrides
from sloc.populations import MarkovChains, ProductCategorical, RandomHierarchy
from sloc.processes import (
    AnisotropicGaussian,
    AnisotropicOrnsteinUhlenbeck,
    BinarySymmetric,
    Erasure,
    FlowMatching,
    HalfSpace,
    IsotropicGaussian,
    LinearGaussian,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Permuted,
    Poisson,
    Power,
    Product,
    Projected,
    RateMatrix,
    Retimed,
    Truncation,
    UniformCTMC,
    VarianceExploding,
)
from sloc.samplers import exact_localizer
from sloc.testing import assert_same_law
from tests.populations.examples import DISCOURSE, EXAMPLES, HIDDEN, REGRESSION, TOKENS, WALK
from tests.processes.heads import HEADS
from tests.samplers import test_localization_pairs as first
from tests.samplers.test_localization_pairs import INTENSITIES, MIXTURE, ONE_HOT, REAL, WORDS, N, columns

LAWS, BAND = 4e-11, 2e-11
WEIGHTS = [0.3, 0.7]
RNG = np.random.default_rng(1)
STEPS = [[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]

# Of every population on letters one that two letters can be written for, where there is one.
LETTERS: dict[str, Any] = {
    "atoms": WORDS,
    "coins": ProductCategorical(RNG.dirichlet([1, 1], (2, 3)), WEIGHTS),
    "chains": MarkovChains([[0.5, 0.5], [0.8, 0.2]], STEPS, 3, WEIGHTS),
    "hidden chains": HIDDEN,
    "hierarchy": RandomHierarchy.random(jax.random.key(6), 2, 2, 2, 2, 2, weights=np.array(WEIGHTS)),
    "tokens": TOKENS,
    "examples": EXAMPLES,
    "walk": WALK,
}
ALPHABET = {"examples": 4, "walk": 5}
NUMBERS: dict[str, Any] = {"discourse": DISCOURSE, "regression": REGRESSION}
REALS: dict[str, Any] = {"mixture": MIXTURE, "real atoms": REAL, "one-hot hierarchy": ONE_HOT}


def size(population: Population) -> int:
    """How many coordinates a sample has."""
    shape = jax.eval_shape(
        lambda k: population.canonical().sample(k, jnp.zeros((), jnp.int32)), jax.random.key(0)
    ).shape
    return int(np.prod(shape))


def revealing(length: int) -> dict[str, tuple[Any, list[float]]]:
    """Channels that hide coordinates, each with two times."""
    return {
        "Masking": (Masking(), [0.3, 0.8]),
        "OrderedMasking": (OrderedMasking([*range(1, length), 0]), [1, length - 1]),
        "Truncation": (Truncation(length), [1, length - 1]),
        "Erasure": (Erasure(1.5), [0.3, 0.8]),
    }


def memoryless(letters: int) -> dict[str, tuple[Any, list[float]]]:
    """Channels that rewrite letters."""
    jumps = RNG.gamma(1.0, size=(letters, letters))
    found: dict[str, tuple[Any, list[float]]] = {
        "UniformCTMC": (UniformCTMC(letters), [0.2, 0.7]),
        "RateMatrix": (RateMatrix.from_jumps(jumps * (1 - np.eye(letters))), [0.2, 0.7]),
    }
    return found | ({"BinarySymmetric": (BinarySymmetric(), [0.1, 0.3])} if letters == 2 else {})


def noisy(d: int) -> dict[str, tuple[Any, list[float]]]:
    """Gaussian channels; matrices that mix coordinates where those are no letters of a hierarchy."""
    mixing = np.diag(np.linspace(0.5, 1.5, d)) + (0.3 if d == 2 else 0.0)
    return {
        "OrnsteinUhlenbeck": (OrnsteinUhlenbeck(), [0.3, 1.0]),
        "VarianceExploding": (VarianceExploding(), [0.5, 1.5]),
        "FlowMatching": (FlowMatching(), [0.3, 0.6]),
        "IsotropicGaussian": (IsotropicGaussian(), [0.3, 1.0]),
        "LinearGaussian": (LinearGaussian(mixing, np.eye(d)), [0.3, 1.0]),
        "AnisotropicGaussian": (AnisotropicGaussian(mixing), [0.3, 1.0]),
        "AnisotropicOrnsteinUhlenbeck": (AnisotropicOrnsteinUhlenbeck(np.linspace(0.5, 1.5, d)), [0.3, 1.0]),
        "Projected": (Projected(OrnsteinUhlenbeck(), np.eye(d)[: max(d - 1, 1)]), [0.3, 1.0]),
    }


def base() -> dict[str, tuple[Any, Any, list[float]]]:
    """Every built-in channel with every population that it can be undone for."""
    found = {}
    for name, population in (LETTERS | NUMBERS).items():
        channels = revealing(size(population))
        channels |= memoryless(ALPHABET.get(name, 2)) if name in LETTERS else {}
        found |= {f"{channel}, {name}": (process, population, t) for channel, (process, t) in channels.items()}
    for name, population in REALS.items():
        channels = noisy(size(population))
        found |= {f"{channel}, {name}": (process, population, t) for channel, (process, t) in channels.items()}
    return found


SWAP, BOTH = [1, 0], ((0,), (1,))
LINEAR = LinearGaussian([[1.0, 0.4], [0.2, 0.7]], [[1.0, 0.3], [0.3, 0.5]])
COMBINED: dict[str, tuple[Any, Any, list[float]]] = {
    "Retimed linear, mixture": (Retimed(LINEAR, Power(2.0)), MIXTURE, [0.1, 0.5]),
    "Retimed masking, chains": (Retimed(Masking(), Power(1.0, 0.5)), LETTERS["chains"], [0.1, 0.6]),
    "Retimed flips, tokens": (Retimed(BinarySymmetric(), Power(0.5)), TOKENS, [0.05, 0.2]),
    "Retimed counts, atoms": (Retimed(Poisson(), Power(2.0)), INTENSITIES, [0.15, 1.0]),
    "Product of noises, mixture": (Product((FlowMatching(), OrnsteinUhlenbeck()), BOTH), MIXTURE, [0.3, 0.6]),
    "Product of unlike, atoms": (Product((Poisson(), OrnsteinUhlenbeck()), BOTH), INTENSITIES, [0.3, 1.0]),
    "Permuted truncation, hidden chains": (Permuted(Truncation(3), [2, 0, 1]), HIDDEN, [1, 2]),
    "Permuted linear, mixture": (Permuted(LINEAR, SWAP), MIXTURE, [0.3, 1.0]),
}

PAIRS = base() | COMBINED
NOT_WRITTEN = {
    ("BinarySymmetric", "RandomWalkSolver"): "a walk has at least three positions",
    ("BinarySymmetric", "InContext"): "two letters are one question with one answer: nothing to tell rules by",
}
"""Pairs of classes that could be undone if there were such objects, and why there are none."""


FAMILIES = (
    ObservationProcess,
    sloc.GaussianChannel,
    sloc.LinearGaussianChannel,
    sloc.RevealingChannel,
    sloc.MemorylessChannel,
)
COMBINATORS = (Retimed, Product, Permuted)


def public(module: Any, base: type) -> set[type]:
    """The public classes of a module that derive from ``base``."""
    found = {getattr(module, name) for name in module.__all__}
    return {c for c in found if isinstance(c, type) and issubclass(c, base)} - set(FAMILIES)


def localized() -> set[tuple[type, type]]:
    """The classes of all pairs that some test here or in ``test_localization_pairs.py`` localizes."""
    return {(type(process), type(population)) for process, population, _ in (PAIRS | first.PAIRS).values()}


def channels(length: int) -> dict[type, ObservationProcess]:
    """A built-in process of each class, of samples with so many coordinates; without combinators."""
    found = [process for process, _ in (revealing(length) | memoryless(2) | noisy(length)).values()]
    found += [Poisson(), HalfSpace.random(jax.random.key(1), 6, length, noise=0.5), HEADS]
    return {type(process): process for process in found}


def populations_by_class() -> dict[type, Population]:
    """A population of each public class."""
    return {type(population): population for population in (LETTERS | NUMBERS | REALS).values()}


def can_be_undone(process: ObservationProcess, population: Population) -> bool:
    """Whether a pair has marginals, which all built-in posterior draws go by, and the process a bridge."""
    process, population = process.canonical(), population.canonical()
    return find_marginals(process, population) is not None and overrides(process, ObservationProcess, "bridge")


def left_out(seen: set[tuple[type, type]]) -> set[tuple[str, str]]:
    """The pairs of classes that can be undone and are not among ``seen``."""
    found = set()
    for kind, population in populations_by_class().items():
        for channel, process in channels(size(population)).items():
            if can_be_undone(process, population) and (channel, kind) not in seen:
                found.add((channel.__name__, kind.__name__))
    return found


def test_every_pair_is_localized():
    assert set(channels(4)) == public(processes, ObservationProcess) - set(COMBINATORS)
    assert set(populations_by_class()) == public(populations, Population)
    assert left_out(localized()) == set(NOT_WRITTEN)
    # A combinator's object is of a class of the family that it keeps, whose posterior draws the pairs above go through:
    # its own bridge is run once.
    variants = {c for base in COMBINATORS for c in (base, *base.__subclasses__())}
    assert variants <= {process for process, _ in localized()}


def test_a_pair_that_is_left_out_is_named():
    hidden = {pair for pair in localized() if pair != (OrderedMasking, MarkovChains)}
    assert left_out(hidden) - set(NOT_WRITTEN) == {("OrderedMasking", "MarkovChains")}


def observes(process: ObservationProcess, population: Population) -> bool:
    """Whether a process can be applied to samples of a population at all, by kind and number of their coordinates."""
    process, population = process.canonical(), population.canonical()

    def once(key, process, population):
        t = jnp.zeros((), jnp.int32 if process.discrete else jnp.float32)
        return process.sample(key, population.sample(key, jnp.zeros((), jnp.int32)), t)

    try:
        jax.eval_shape(once, jax.random.key(0), process, population)
    except (TypeError, ValueError):
        return False
    return True


WAYS = ("it can under", "expects a", "does not define", "register_leaves")
"""How a refusal begins to list what could be, each as written in the package."""


@pytest.mark.slow
def test_every_other_pair_is_refused():
    said: dict[tuple[str, str], str] = {}
    for population in populations_by_class().values():
        for process in channels(size(population)).values():
            if not can_be_undone(process, population) and observes(process, population):
                names = type(process).__name__, type(population).__name__
                try:
                    exact_localizer(process, population)
                    said[names] = "nothing"
                except ContractError as error:
                    said[names] = str(error)
    # The message names who lacks what, in values and not in tracers.
    assert not {names: text for names, text in said.items() if not any(name in text for name in names)}
    assert not {names: text for names, text in said.items() if "Tracer" in text}
    # And what could be taken instead, or what to define.
    assert not {names: text for names, text in said.items() if not any(way in text for way in WAYS)}
    assert len(said) > 50


@functools.cache
def of_the_population(name: str) -> np.ndarray:
    """Draws of a population of the table and their products: one reference for all processes."""
    return columns(first.from_the_population(jax.random.key(2), PAIRS[name][1].canonical()))


def reference(pair: str) -> np.ndarray:
    """The reference of the first pair with the same population, so that each is drawn once."""
    return of_the_population(next(name for name in PAIRS if PAIRS[name][1] is PAIRS[pair][1]))


# One of each kind of step back that test_localization_pairs.py has not: an order of its own, other schedules and noise.
SLOW = {
    "OrderedMasking, chains",
    "FlowMatching, one-hot hierarchy",
    "IsotropicGaussian, mixture",
    "VarianceExploding, mixture",
    "Product of unlike, atoms",
}


@pytest.mark.parametrize(
    "pair", [pytest.param(p, marks=getattr(pytest.mark, ("nightly", "slow")[p in SLOW])) for p in PAIRS]
)
def test_labels_and_samples_come_back(pair):
    process, population, times = PAIRS[pair]
    localizer, everything = exact_localizer(process, population), range(population.num_components)

    def back(key, init):
        return sloc.forward_reverse(
            jax.random.key(key), process, population, init, times[1:], n=N, localizer=localizer, grid=times
        )

    # From the whole population, forward and back step by step: its own law.
    _, x = back(3, everything)
    assert_same_law(columns(x[0]), reference(pair), false_alarm=LAWS, what=pair)
    # From one sub-population: the labels that the exact posteriors alone promise.
    labels, _ = back(4, 0)
    hits, level = np.bincount(labels[0], minlength=population.num_components), BAND / population.num_components / 2
    lower = np.where(hits > 0, beta.ppf(level, np.maximum(hits, 1), N - hits + 1), 0.0)
    upper = np.where(hits < N, beta.ppf(1 - level, hits + 1, np.maximum(N - hits, 1)), 1.0)
    want = sloc.label_curve(jax.random.key(7), process, population, times[1:], 0, n=1 << 14, delta=BAND)
    assert (lower <= np.asarray(want.upper)[0]).all(), (hits / N, want)
    assert (np.asarray(want.lower)[0] <= upper).all(), (hits / N, want)
    assert (upper - lower < 0.12).all()
