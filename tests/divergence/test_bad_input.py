"""Everything that is wrong is refused before anything is traced, by name, value and what was expected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.divergence.integrands import Integrand
from sloc.divergence.statistics import Statistic
from sloc.engine.streaming import count_traces
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.processes import FlowMatching, Masking, OrnsteinUhlenbeck, Retimed, Truncation
from sloc.processes.clocks import Clock

KEY = jax.random.key(0)
OU = OrnsteinUhlenbeck()
MEANS = [[1.0, 0.0], [-1.0, 0.0]]
PAIR = GaussianMixture([0.5, 0.5], MEANS)


@pytest.fixture(autouse=True)
def _nothing_is_traced():
    before = count_traces()
    yield
    assert count_traces() == before


def curve(process=OU, population=PAIR, times=(0.1, 0.2), a=0, b=1, key=KEY, n=16, **options):
    return sloc.tv_curve(key, process, population, times, a, b, n=n, method="monte-carlo", **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [-0.5, 1.5]}, "weights = .*positive weights"),
        ({"weights": [0.5, 0.4]}, r"weights = .*sum to one \(they sum to 0.9\)"),
        ({"weights": [0.2, 0.3, 0.5]}, r"means = \(2, 2\): expected shape \(3, d\)"),
        ({"weights": [1.0], "means": [[1.0]]}, "weights = .*at least two"),
        ({"weights": [np.nan, 1.0]}, "weights = .*finite"),
        ({"weights": [[0.5, 0.5]]}, "weights = .*one-dimensional"),
        ({"means": [[1.0, np.nan], [0.0, 0.0]]}, "means = .*finite"),
        ({"means": [[1.0, np.inf], [0.0, 0.0]]}, "means = .*finite"),
        ({"covariances": -1.0}, "covariances = .*positive variances"),
        ({"covariances": 0.0}, "covariances = .*positive variances"),
        ({"covariances": [[1.0, 2.0], [2.0, 1.0]]}, "covariances = .*smallest eigenvalue -1.*positive definite"),
        ({"covariances": [[1.0, 0.5], [0.0, 1.0]]}, "covariances = .*symmetric"),
        ({"covariances": [1.0, 2.0, 3.0]}, r"covariances = \(3,\): expected a scalar"),
        ({"covariances": np.nan}, "covariances = .*finite"),
        ({"names": ("a",)}, "names = .*2 names"),
        ({"names": ("a", "a")}, "names = .*distinct"),
    ],
)
def test_gaussian_mixtures(changes, message):
    with pytest.raises(InvalidInput, match=message):
        curve(population=GaussianMixture(**({"weights": [0.5, 0.5], "means": MEANS} | changes)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.0, np.nan], [1.0, 0.0]], [0, 1]), "data = nan.*finite"),
        (([[0.0, np.inf], [1.0, 0.0]], [0, 1]), "data = .*finite"),
        (([[0.0], [1.0]], [0, 1, 2]), "labels = .*3 labels.*expected 2 labels, one per atom"),
        (([[0.0], [1.0]], ["a", "a"]), "labels = .*one class only, .*at least two classes"),
        (([[0.0], [1.0]], [0.0, np.nan]), "labels = .*without NaN"),
        (([[0.0]], None), "data = .*at least two atoms"),
        (([["a"], ["b"]], [0, 1]), "data = .*numbers"),
        (([[0.0], [1.0]], [0, 1], [0.5, 0.6]), "weights = .*sum to one"),
        (([[0.0], [1.0]], [0, 1], [0.5, 0.25, 0.25]), "weights = .*2 weights, one for each"),
    ],
)
def test_atoms(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        Empirical(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"a": []}, "a = .*at least one sub-population"),
        ({"a": "zebra"}, "a = 'zebra': expected one of the names"),
        ({"b": 2}, "b = 2: expected an index from 0 to 1"),
        ({"b": -1}, "b = -1: expected an index from 0 to 1"),
        ({"a": 0.5}, "a = 0.5: expected an index, a name"),
        ({"a": [0.5]}, "a = 0.5: expected an int"),
        ({"a": True}, "a = True: expected"),
        ({"a": None}, "a = None: expected"),
        ({"times": [0.2, 0.1]}, "times = .*strictly increasing"),
        ({"times": [0.1, 0.1]}, "times = .*strictly increasing"),
        ({"times": [-0.1, 0.1]}, "times = .*not negative"),
        ({"times": [0.1, np.nan]}, "times = .*finite"),
        ({"times": []}, "times = .*non-empty"),
        ({"times": 0.3}, "times = .*one-dimensional"),
        ({"times": ["soon"]}, "times = .*sequence of numbers"),
        ({"times": [0.5, 1.5], "process": FlowMatching()}, "times = .*up to the horizon, 1"),
        (
            {"times": [0.5], "process": Truncation(2), "population": ProductCategorical.coins([0.1, 0.2], 2)},
            "times = .*whole numbers",
        ),
        ({"times": [0.0, 0.5], "population": Empirical(MEANS, [0, 1])}, "times = .*above 0.*singular"),
        ({"n": 1}, "n = 1: expected a whole number of draws, at least 2"),
        ({"n": 2.5}, "n = 2.5: expected a whole number"),
        ({"n": "many"}, "n = 'many': expected a whole number"),
        ({"n": float("inf")}, "n = inf: expected a whole number"),
        ({"n": float("nan")}, "n = nan: expected a whole number"),
        ({"delta": 0.0}, "delta = 0.0: expected a number strictly between 0 and 1"),
        ({"key": jax.random.PRNGKey(0)}, "key = .*typed PRNG key.*not a raw uint32"),
        ({"key": 0}, "key = 0: expected a typed PRNG key"),
        ({"key": jax.random.split(KEY, 2)}, r"key = .*one key, not a batch of shape \(2,\)"),
        ({"plan": sloc.Plan(devices=10_000)}, "devices = 10000: expected"),
    ],
)
def test_calls(options, message):
    with pytest.raises(InvalidInput, match=message):
        curve(**options)


def test_unknown_method():
    with pytest.raises(InvalidInput, match="method = 'magic': expected one of auto"):
        sloc.tv(KEY, OU, PAIR, 0.1, 0, 1, n=16, method="magic")


def test_statistics():
    with pytest.raises(InvalidInput, match=r"statistics = .*at least one"):
        sloc.measure(KEY, OU, PAIR, [0.1], [], n=16)
    with pytest.raises(InvalidInput, match=r"statistics = 'tv'.*sloc.TV or sloc.Information"):
        sloc.measure(KEY, OU, PAIR, [0.1], {"x": "tv"}, n=16)
    with pytest.raises(InvalidInput, match=r"init = .*a subset of target = "):
        sloc.measure(KEY, OU, PAIR, [0.1], [sloc.Certificate([0, 1], 0)], n=16)


@pytest.mark.parametrize("epsilon", [0, 1, 0.0, 1.0, -0.1, 2, float("nan"), "0.1", None])
def test_epsilon(epsilon):
    with pytest.raises(InvalidInput, match=r"epsilon = .*a number from 1e-06 .* to less than 1"):
        sloc.critical_window(KEY, OU, PAIR, 0, [0, 1], epsilon=epsilon)
    with pytest.raises(InvalidInput, match=r"epsilon = .*a number from 1e-06 .* to less than 1"):
        sloc.theorem2(KEY, OU, PAIR, 0, [0, 1], epsilon=epsilon)


def test_sets_of_windows():
    three = GaussianMixture([0.2, 0.3, 0.5], np.zeros((3, 1)))
    with pytest.raises(InvalidInput, match=r"after = .*a subset of before = \[1, 2\]"):
        sloc.critical_window(KEY, OU, three, [0, 1], [1, 2], epsilon=0.1)
    with pytest.raises(InvalidInput, match=r"after = .*a proper subset"):
        sloc.critical_window(KEY, OU, three, [0, 1, 2], [0, 1, 2], epsilon=0.1)
    with pytest.raises(InvalidInput, match=r"init = .*a subset of target = \[1, 2\]"):
        sloc.theorem2(KEY, OU, three, 0, [1, 2], epsilon=0.1)
    for call in (sloc.critical_window, sloc.theorem2):
        with pytest.raises(InvalidInput, match="at least one sub-population"):
            call(KEY, OU, three, [], [1, 2], epsilon=0.1)
        with pytest.raises(InvalidInput, match="expected one of the names"):
            call(KEY, OU, three, "zebra", [1, 2], epsilon=0.1)


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (-0.1, "t = -0.1: .*not negative"),
        (1.1, "t = 1.1: .*up to the horizon"),
        (np.nan, "t = nan: expected one finite"),
        ("noon", "t = 'noon': expected one finite"),
        ([0.1], "t = .*one finite"),
    ],
)
def test_time_of_a_posterior(t, message):
    with pytest.raises(InvalidInput, match=message):
        sloc.posterior(FlowMatching(), PAIR, jnp.zeros(2), t)


# --- classes ----------------------------------------------------------------------------------------------------


def test_a_process_without_log_prob_is_refused_with_atoms():
    class Silent(sloc.ObservationProcess):
        def sample(self, key, x, t):
            return x

    Silent = jax.tree_util.register_dataclass(dataclass(frozen=True)(Silent))
    with pytest.raises(ContractError, match=r"Silent does not define log_prob\(y, x, t\), which Empirical needs"):
        curve(Silent(), Empirical(MEANS, [0, 1]))
    with pytest.raises(ContractError, match=r"under process Silent; it can under: GaussianChannel, .*LinearGaussian"):
        curve(Silent())


def test_a_process_without_sample_is_refused():
    class Mute(sloc.ObservationProcess):
        def log_prob(self, y, x, t):
            return jnp.zeros(())

    Mute = jax.tree_util.register_dataclass(dataclass(frozen=True)(Mute))
    with pytest.raises(ContractError, match=r"Mute does not define sample\(key, x, t\)"):
        curve(Mute(), Empirical(MEANS, [0, 1]))


def test_a_class_that_is_not_registered_is_refused():
    @dataclass(frozen=True)
    class Forgotten(sloc.ObservationProcess):
        rate: Any = 1.0

    with pytest.raises(ContractError, match=r"Forgotten is not registered.*register_dataclass"):
        curve(Forgotten())

    @dataclass(frozen=True)
    class Heir(OrnsteinUhlenbeck):
        pass

    with pytest.raises(ContractError, match="Heir is not registered"):
        curve(Heir())


def test_a_static_field_that_cannot_be_hashed_is_refused():
    class Listed(OrnsteinUhlenbeck):
        sizes: Any = field(default_factory=lambda: [1, 2], metadata={"static": True})
        __annotations__ = {"sizes": Any}

    Listed = jax.tree_util.register_dataclass(dataclass(frozen=True)(Listed))
    with pytest.raises(ContractError, match=r"process.sizes = \[1, 2\]: a static field must be hashable"):
        curve(Listed())


def test_other_objects_are_refused():
    with pytest.raises(ContractError, match="process = 'ou': expected an instance of a subclass"):
        curve("ou")
    with pytest.raises(ContractError, match=r"population = .*expected an instance of a subclass"):
        curve(population=np.zeros(3))
    with pytest.raises(ContractError, match=r"process = .*expected an instance of a subclass"):
        curve(process=PAIR, population=OU)


def test_equally_specific_registrations_are_refused(monkeypatch):
    from sloc.contracts import population as contracts

    monkeypatch.setattr(contracts, "_PAIRS", dict(contracts._PAIRS))

    class Odd(OrnsteinUhlenbeck):
        pass

    class Special(GaussianMixture):
        pass

    Odd, Special = (jax.tree_util.register_dataclass(dataclass(frozen=True)(c)) for c in (Odd, Special))
    for pair in ((Odd, GaussianMixture), (sloc.GaussianChannel, Special)):
        sloc.register_marginals(*pair)(lambda process, population, y, t: jnp.zeros(2))
    with pytest.raises(ContractError, match=r"ambiguous: .*register the exact pair"):
        curve(Odd(), Special([0.5, 0.5], MEANS))


def test_registration_wants_classes():
    with pytest.raises(ContractError, match="process_type = "):
        sloc.register_marginals(int, GaussianMixture)
    with pytest.raises(ContractError, match="population_type = "):
        sloc.register_marginals(OrnsteinUhlenbeck, int)


def test_pairs_that_never_meet():
    with pytest.raises(ContractError, match="GaussianMixture cannot be evaluated under process Masking"):
        curve(Masking())


GRID = [0.1, 0.2]
CALLS = {
    "tv": lambda **o: sloc.tv(KEY, OU, PAIR, 0.3, 0, 1, n=16, **o),
    "tv_curve": lambda **o: sloc.tv_curve(KEY, OU, PAIR, GRID, 0, 1, n=16, **o),
    "information_curve": lambda **o: sloc.information_curve(KEY, OU, PAIR, GRID, n=16, **o),
    "label_curve": lambda **o: sloc.label_curve(KEY, OU, PAIR, GRID, 0, n=16, **o),
    "clone_agreement": lambda **o: sloc.clone_agreement(KEY, OU, PAIR, GRID, n=16, **o),
    "critical_window": lambda **o: sloc.critical_window(KEY, OU, PAIR, 0, [0, 1], epsilon=0.1, **o),
    "theorem2": lambda **o: sloc.theorem2(KEY, OU, PAIR, 0, [0, 1], epsilon=0.1, **o),
    "mixture_tree": lambda **o: sloc.mixture_tree(KEY, OU, PAIR, epsilon=0.1, **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_options_are_looked_at_however_the_answer_is_found(name):
    with pytest.raises(InvalidInput, match=rf"^foo = 3: expected an option of sloc\.{name}: .*\bplan\b"):
        CALLS[name](foo=3)
    with pytest.raises(InvalidInput, match=r"^plan = 3: expected a sloc\.Plan or None"):
        CALLS[name](plan=3)
    with pytest.raises(InvalidInput, match=r"^interval = 'nonsense': expected one of maurer-pontil"):
        CALLS[name](interval="nonsense")
    with pytest.raises(InvalidInput, match=r"^method = 'x': expected one of"):
        CALLS[name](method="x")
    with pytest.raises(InvalidInput, match=r"^delta = 2: "):
        CALLS[name](delta=2)


@pytest.mark.parametrize("name", ["critical_window", "theorem2"])
@pytest.mark.parametrize("flag", ["refine", "certify"])
def test_flags_are_true_or_false(name, flag):
    with pytest.raises(InvalidInput, match=rf"^{flag} = 'x': expected True or False"):
        CALLS[name](**{flag: "x"})


def test_a_clock_without_methods_is_refused():
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Stopped(Clock):
        pass

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class OneWay(Clock):
        def inverse(self, u):
            return u

    with pytest.raises(ContractError, match=r"^Stopped does not define inverse\(u\), which is needed to"):
        curve(Retimed(OU, Stopped()))
    with pytest.raises(ContractError, match=r"^OneWay does not define __call__\(t\), which is needed to"):
        curve(Retimed(FlowMatching(), OneWay()))


def test_a_statistic_without_bind_and_an_integrand_without_a_call_are_refused():
    class Unbound(Statistic):
        pass

    with pytest.raises(ContractError, match=r"^Unbound does not define bind\(population\), which is needed to"):
        sloc.measure(KEY, OU, PAIR, GRID, Unbound(), n=16)
    with pytest.raises(ContractError, match=r"^Integrand does not define __call__\(arrays, draws\), which is needed"):
        Integrand()({}, None)
