"""Rows of :mod:`sloc.processes`, :mod:`sloc.populations` and the contracts: what is made is checked when it is used."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import sloc
from sloc.populations import Empirical, GaussianMixture, HiddenMarkov, ProductCategorical, RandomHierarchy
from sloc.processes import (
    BinarySymmetric,
    FlowMatching,
    Masking,
    OrnsteinUhlenbeck,
    Power,
    Retimed,
    Steps,
    Truncation,
)
from tests.processes.heads import heads, heads_likelihood
from tests.robustness.common import OU, PAIR, population_row, process_row, row
from tests.robustness.sweep import Row
from tests.robustness.values import (
    Argument,
    array,
    choice,
    each,
    fraction,
    free,
    function,
    instant,
    names,
    positive,
    real,
    taken,
    thing,
    whole,
)

COINS = ProductCategorical.coins([0.1, 0.4], 2)
BITS = Empirical([[0, 0], [1, 1]])
CODES = Empirical([[0, 0, 0, 0], [1, 1, 1, 1]])
LAW = [[0.5, 0.5], [0.8, 0.2]]
MOVES = [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]]
TRACED = ("a list with NaN",)


def numbers(good: Any, said: str = "") -> Argument:
    """Numbers of a process or a population, which a transformation may trace."""
    found = array(good)
    return found.says(said) if said else found


def scalar(good: float, *, zero: bool = False) -> Argument:
    """A positive number, or an array of them."""
    return positive(good, zero=zero).but("an array of rank 3")


def processes() -> list[Row]:
    """Return rows of classes of processes."""
    p = "sloc.processes."
    inner, clock = thing(OU, "a process"), thing(Power(2.0), "a clock")
    knots = numbers([0.0, 1.0])
    return [
        process_row(p + "AnisotropicGaussian", PAIR, covariance=numbers(np.eye(2))),
        process_row(p + "AnisotropicOrnsteinUhlenbeck", PAIR, rates=numbers(np.eye(2))),
        process_row(p + "LinearGaussian", PAIR, matrix=numbers(np.eye(2)), covariance=numbers(np.eye(2))),
        process_row(p + "Projected", PAIR, process=inner, matrix=numbers(np.eye(2))),
        process_row(p + "Permuted", PAIR, process=inner, order=numbers([1, 0])),
        process_row(p + "Retimed", PAIR, process=inner, clock=clock),
        process_row(
            p + "Product",
            PAIR,
            processes=thing((OU, OU), "processes"),
            groups=thing(((0,), (1,)), "groups").but("None"),
        ),
        process_row(
            p + "Composed",
            BITS,
            process=thing(BinarySymmetric(), "a process"),
            statistic=function(heads),
            likelihood=function(heads_likelihood).optional(),
            forward=function(heads).optional(),
            backward=function(heads).optional(),
            density=taken(None),
        ),
        process_row(
            p + "HalfSpace",
            Empirical([[0.0, 1.0], [1.0, 0.0]]),
            directions=numbers([[1.0, 0.0]]),
            offsets=real(0.5).but("an array of rank 3"),
            noise=scalar(0.0, zero=True),
        ),
        process_row(p + "Erasure", BITS, exponents=scalar(1.0)),
        process_row(p + "OrderedMasking", BITS, order=numbers([1, 0])),
        process_row(p + "Truncation", BITS, length=whole(2)),
        process_row(p + "UniformCTMC", BITS, num_letters=whole(2, 2)),
        process_row(
            p + "RateMatrix",
            BITS,
            rates=numbers([[-1.0, 1.0], [1.0, -1.0]]),
            stationary=numbers([0.5, 0.5]),
            method=choice("eigh"),
        ),
        Row(p + "Power", _clock("Power"), {"exponent": scalar(1.0), "scale": scalar(1.0)}),
        Row(p + "Table", _clock("Table"), {"new": knots, "old": knots}),
        Row(
            p + "Steps", lambda **given: Retimed(Truncation(4), Steps(**given)).validate(), {"old": numbers([0, 2, 4])}
        ),
        Row(p + "Function", _clock("Function"), {"forward": function(_same), "backward": function(_same)}),
    ]


def _same(t):
    return t


def _clock(name: str) -> Any:
    made = getattr(sloc.processes, name)

    def call(**given: Any) -> None:
        retimed: Any = Retimed(OU, made(**given))
        sloc.contracts.check_registered(retimed, "process", sloc.ObservationProcess)
        retimed.validate()
        retimed.canonical()

    return call


def populations() -> list[Row]:
    """Return rows of classes of populations."""
    p = "sloc.populations."
    weights, labels = numbers([0.5, 0.5]).optional(), names(("a", "b"))
    common = {"weights": weights, "names": labels}
    table = {"initial": numbers(LAW), "transitions": numbers(MOVES), "length": whole(3)}
    return [
        population_row(
            p + "GaussianMixture",
            OU,
            weights=numbers([0.5, 0.5]),
            means=numbers([[1.0], [-1.0]]),
            covariances=numbers(np.eye(1)),
            names=labels,
        ),
        population_row(
            p + "Empirical",
            OU,
            data=numbers([[0.0], [1.0]]).but("an array of rank 3"),
            labels=thing(["a", "b"], "labels").optional(),
            weights=weights,
            kernel=choice("xla"),
        ),
        population_row(p + "ProductCategorical", Masking(), probs=numbers(MOVES), length=whole(2).optional(), **common),
        population_row(p + "MarkovChains", Masking(), **table, **common),
        population_row(p + "HiddenMarkov", Masking(), emissions=numbers(MOVES), **table, **common),
        population_row(
            p + "CriticalTokens",
            Truncation(4),
            initial=numbers([0.6, 0.4]),
            common=numbers(LAW),
            branches=numbers(MOVES),
            start=whole(1),
            spread=whole(2),
            length=whole(4, 2),
            vocabulary=names(("x", "y")).but("a name twice"),
            **common,
        ),
        population_row(
            p + "InContext",
            Truncation(4),
            outputs=numbers([[[0.8, 0.2], [0.3, 0.7]], [[0.1, 0.9], [0.6, 0.4]]]),
            inputs=numbers([0.4, 0.6]),
            examples=whole(2),
            between=numbers([[0.4, 0.6], [0.4, 0.6]]).optional(),
            **common,
        ),
        population_row(
            p + "KalmanDiscourse",
            Truncation(3),
            directions=numbers([[1.0, 0.0], [0.6, 0.8]]),
            alpha=scalar(20.0),
            words=whole(3),
            step=scalar(0.5),
            **common,
        ),
        population_row(
            p + "RandomWalkSolver",
            Truncation(4),
            drift=fraction(0.2),
            barrier=whole(2),
            length=whole(4),
            **common,
        ),
        population_row(
            p + "RandomHierarchy",
            Masking(),
            rules=numbers(_rules()),
            rule_weights=numbers(np.full((1, 2, 2), 0.5)).optional(),
            num_classes=whole(2, 2).optional().says("num_classes", "weights"),
            vocabulary=whole(2, 2).optional().says("vocabulary", "rules"),
            one_hot=taken(False),
            ambiguous=taken(False),
            **common,
        ),
        population_row(
            p + "SparseRegression",
            Truncation(9),
            variance=scalar(0.3),
            features=whole(3),
            sparsity=whole(2),
            samples=whole(3),
            most_supports=whole(100, 0),
            particles=whole(8, 2),
            moves=whole(1, 0),
            seed=taken(0),
            **common,
        ),
    ]


def _rules() -> np.ndarray:
    return np.asarray(RandomHierarchy([[[[0, 0], [1, 1]], [[0, 1], [1, 0]]]]).rules)


_NO_TRUTH = {"an array": np.array([True, False]), "an array of JAX": jax.numpy.array([True, False])}


def _schedules(betas, first, last, offset):
    sloc.processes.variance_preserving("cosine", offset=offset)
    return sloc.processes.variance_preserving(betas, first, last)


def functions() -> list[Row]:
    """Return rows of functions on processes, schedules and observations."""
    p = "sloc.processes."
    t, unit, schedule = free([0.5]), choice("log_snr"), thing(FlowMatching(), "a schedule")
    return [
        row(p + "level", schedule=schedule, t=t, unit=unit),
        row(p + "time_at", schedule=schedule, value=free([0.5]), unit=unit),
        row(p + "log_snr", t=each([0.5])),
        row(p + "raw_time", t=each([0.5])),
        row(
            p + "tabulated",
            betas=array([0.1, 0.2]).optional(),
            alpha_bars=thing(None, "alpha_bars").optional(),
            sigmas=thing(None, "sigmas").optional(),
        ),
        row(p + "variance_exploding", first=positive(0.01), last=positive(50.0).says("last", "first")),
        row(
            p + "variance_preserving",
            _schedules,
            betas=choice("linear"),
            first=positive(0.1).optional(),
            last=positive(20.0).optional().says("last", "first"),
            offset=positive(0.008, zero=True),
        ),
        Row(
            "sloc.Revealed",
            lambda **given: sloc.posterior(Masking(), COINS, sloc.Revealed(**given), 0.5),
            {
                "values": _pair(np.zeros(2, np.int32)).says("y"),
                "known": _pair(np.ones(2, bool)).says("y"),
            },
        ),
        row("sloc.populations.least_barrier", drift=fraction(0.2)),
        row(
            "sloc.contracts.require",
            condition=Argument(True, "a truth value", dict(_NO_TRUTH)),
            **{name: taken("a text") for name in ("argument", "value", "expected")},
        ),
        Row(
            "sloc.register_marginals",
            sloc.register_marginals,
            {
                "process_type": thing(OrnsteinUhlenbeck, "a class of processes").also(a_population=GaussianMixture),
                "population_type": thing(GaussianMixture, "a class of populations").also(a_process=OrnsteinUhlenbeck),
            },
        ),
    ]


def _pair(good: np.ndarray) -> Argument:
    """An array of one shape, the values of which a transformation may trace."""
    found = free(good)
    return found.but("infinity inside") if "infinity inside" in found.wrong else found


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*processes(), *populations(), *functions()]


__all__ = ["CODES", "COINS", "HiddenMarkov", "instant", "real", "rows"]
