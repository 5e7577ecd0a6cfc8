"""Nothing is certified of marginals that are estimates, and curves say that their intervals leave the estimate out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.populations import SparseRegression
from sloc.processes import BinarySymmetric, Retimed, Steps, Truncation
from sloc.windows import certified_limits
from tests.testing.broken import TwoPoints

KEY, SAMPLES, FEATURES = jax.random.key(0), 3, 5
PROCESS = Retimed(Truncation(SAMPLES * (FEATURES + 1)), Steps((FEATURES + 1) * np.arange(SAMPLES + 1)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Undrawn(SparseRegression):
    """An estimate of which nothing may be drawn."""

    def sample(self, key, component):
        raise ContractError("drawn before it was refused")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Guessed(TwoPoints):
    """A user's own: it says in words how its marginals are got, and nothing more."""

    def marginals_words(self, process):
        return "marginals by guess"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Integrated(Guessed):
    """The same, exact to rounding."""

    def estimates_marginals(self, process):
        return False


ESTIMATE = Undrawn(0.3, FEATURES, 2, SAMPLES, most_supports=0, particles=4)
SETTINGS = {"epsilon": 0.2, "method": "monte-carlo"}
CERTIFIED = {
    "window": lambda *model: sloc.critical_window(KEY, *model, 0, [0, 1], certify=True, budget=8192, **SETTINGS),
    "theorem": lambda *model: sloc.theorem2(KEY, *model, 0, [0, 1], certify=True, budget=8192, **SETTINGS),
    "stream": lambda *model: sloc.anytime_windows(KEY, *model, 0, [0, 1], epsilon=0.2),
    "stream of the theorem": lambda *model: sloc.anytime_theorem2(KEY, *model, 0, [0, 1], epsilon=0.2),
    "tree": lambda *model: sloc.mixture_tree(KEY, *model, epsilon=0.2),
}


@pytest.mark.parametrize("call", list(CERTIFIED))
def test_certificates_of_estimates_are_refused_before_a_draw(call):
    with pytest.raises(InvalidInput, match=r"population = Undrawn: expected exact marginals for .* but under .* they ar"
                       r"e estimates \(marginals by sequential Monte Carlo \(4 particles\)\).*uncertified curves.*"
                       r"raise most_supports to 10"):  # fmt: skip
        CERTIFIED[call](PROCESS, ESTIMATE)


def test_words_of_a_population_of_ones_own_are_enough():
    with pytest.raises(InvalidInput, match=r"population = Guessed: .*\(marginals by guess\)"):
        CERTIFIED["window"](BinarySymmetric(), Guessed())


def test_what_is_exact_to_rounding_is_certified_and_named():
    window = CERTIFIED["window"](BinarySymmetric(), Integrated())
    assert window.method == "certified, balanced draws, marginals by guess"
    window = next(CERTIFIED["stream"](BinarySymmetric(), Integrated()))
    assert window.method == "certified at every stopping time, balanced draws, marginals by guess"


def test_curves_and_windows_say_that_their_intervals_are_of_the_draws_alone():
    words = "monte carlo, marginals by guess, whose own error the interval leaves out"
    curve = sloc.tv_curve(KEY, BinarySymmetric(), Guessed(), [0.1, 0.3], 0, 1, n=16)
    assert curve.method == words
    window = sloc.critical_window(KEY, BinarySymmetric(), Guessed(), 0, [0, 1], epsilon=0.2, n=16, refine=False)
    assert window.method == words
    with pytest.raises(InvalidInput, match=r"upper = .*its marginals are estimates, and its band is of"):
        certified_limits(upper=curve, epsilon=0.2)
    exact = sloc.tv_curve(KEY, BinarySymmetric(), Integrated(), [0.1, 0.3], 0, 1, n=16)
    assert exact.method == "monte carlo, marginals by guess"
    certified_limits(upper=exact, epsilon=0.2)


def test_enumerated_supports_are_not_an_estimate():
    exact = dataclasses.replace(ESTIMATE, most_supports=10)
    assert ESTIMATE.estimates_marginals(PROCESS)
    assert not exact.estimates_marginals(PROCESS)
    assert jnp.isfinite(exact.log_weights).all()
