"""Rows of the methods that processes, populations and clocks share, called with values as a person calls them.

Which arguments they have is read from the contracts' own tables; of each class stand here the methods that it writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import sloc
from sloc import populations as pops
from sloc import processes as ps
from sloc.bayes import NumPyroPopulation
from sloc.contracts import Marginals
from sloc.samplers import LearnedDiffusion, LearnedMasked
from tests.processes.heads import flip_heads, heads, heads_likelihood
from tests.robustness.common import ATOMS, OU, PAIR, resolve
from tests.robustness.sweep import Row
from tests.robustness.values import (
    NO_NUMBER,
    NO_OBJECT,
    Argument,
    each,
    function,
    instant,
    key,
    positive,
    taken,
    thing,
    whole,
)

KEY = jax.random.key(0)
LISTS = ("an empty list", "a list with NaN")
POINT, BITS = jnp.asarray([0.5, 1.0]), jnp.asarray([0, 1])
LAW = [[0.5, 0.5], [0.8, 0.2]]
MOVES = [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]]


def rank_free(process: Any) -> bool:
    """Whether a process takes arrays of any shape."""
    sized = (ps.Permuted, ps.Product, ps.HalfSpace, sloc.LinearGaussianChannel)
    return not isinstance(process, sized)


def time(good: float, process: Any, *, above: bool = False) -> Argument:
    """One time of a process; ``above`` says that it is not 0."""
    found = instant(good).also(**({"0": 0} if above else {}))
    if not np.isfinite(process.horizon):
        grows = isinstance(process, (ps.VarianceExploding, ps.IsotropicGaussian, ps.Poisson))
        return found if grows else found.but("infinity")
    return found.also(beyond_the_horizon=2 * process.horizon + 1)


def signal(good: Any, process: Any) -> Argument:
    """An ``X``: of other arrays than letters and intensities the values are not read."""
    fine = (*LISTS, "an array of rank 3") if rank_free(process) else LISTS
    return Argument(good, "a signal", {k: v for k, v in NO_NUMBER.items() if k not in fine}).says("x")


def observation(good: Any, *fine: str) -> Argument:
    """An observation: of another kind or shape than the process makes them."""
    return Argument(good, "an observation", {k: v for k, v in NO_NUMBER.items() if k not in fine}).says("y")


def arguments(method: str, words: tuple[str, ...], good: dict[str, Any], process: Any, atomic: bool) -> dict[str, Any]:
    """Return the arguments of a method, by the words of the contract's table."""
    density = process is not None and process.has_density and (atomic or method in ("log_prob", "bridge", "bridge_law"))
    truth = thing(good.get("known", np.array([True, False])), "truth values").also(numbers=np.array([1, 0]))
    component = whole(1, 0).also(one_too_many=99, a_float=1.0)
    moments = Argument(np.array([0.25, 0.5]), "times", dict(NO_OBJECT)).also(NaN_inside=np.array([np.nan]))
    found: dict[str, Any] = {}
    for word in words:
        name = word.rstrip("[]?")
        anything = "x" not in words and rank_free(process) and not isinstance(good.get("y"), sloc.contracts.Revealed)
        fine = (*LISTS, "an array of rank 3") if anything and "process" not in words else ()
        found[name] = {
            "key": key,
            "key?": lambda: key() if isinstance(process, (ps.Masking, ps.Erasure)) else key().but("None"),
            "process": lambda: thing(process, "a process"),
            "x": lambda: signal(good["x"], process),
            "y": lambda fine=fine: observation(good["y"], *fine),
            "s": lambda: time(good["s"], process).also(after_t=good["t"] * 1.5),
            "t": lambda: time(good["t"], process, above=density),
            "t[]": lambda: time(good["t"], process, above=isinstance(process, ps.Poisson)).but(
                "an empty list", "an array of rank 3"
            ),
            "times[]": lambda: moments,
            "known": lambda: truth,
            "coordinates": lambda: truth,
            "length": lambda: whole(2, 0),
            "component": lambda: component,
            "i": lambda: component,
            "j": lambda: component,
            "log_snr[]": lambda: each(0.5).also(NaN=float("nan")),
            "u[]": lambda: each(0.5).also(NaN=float("nan"), a_negative_time=-1),
            "horizon": lambda: positive(1.0, zero=True).but("infinity"),
        }[word]()
    return found | ({"fused": taken(True)} if method == "channel_posterior" else {})


def called(name: str, owner: Any, process: Any = None, /, *, only: tuple[str, ...] = (), **good: Any) -> Iterator[Row]:
    """Return rows of the methods that the class of this name writes itself, called on an object that has them."""
    for method, words in owner._asked.items():
        if inspect.isfunction(vars(resolve(name)).get(method)) and (not only or method in only):
            own = arguments(method, words, {"t": 0.3, "s": 0.1, **good}, process, getattr(owner, "atomic", False))
            yield Row(f"{name}.{method}", getattr(owner, method), own)


def processes() -> Iterator[Row]:
    """Return rows of processes."""
    p = "sloc.processes."
    flat = ps.AnisotropicOrnsteinUhlenbeck(np.eye(2))
    reals = {
        "sloc.GaussianChannel": OU,
        "sloc.LinearGaussianChannel": ps.AnisotropicGaussian(np.eye(2)),
        p + "AnisotropicOrnsteinUhlenbeck": flat,
        p + "OrnsteinUhlenbeck": OU,
        p + "VarianceExploding": ps.VarianceExploding(),
        p + "IsotropicGaussian": ps.IsotropicGaussian(),
        p + "FlowMatching": ps.FlowMatching(),
        p + "Projected": ps.Projected(OU, np.eye(2)),
        p + "Permuted": ps.Permuted(OU, [1, 0]),
        p + "Retimed": ps.Retimed(ps.BinarySymmetric(), ps.Power(2.0)),
        p + "Product": ps.Product((ps.BinarySymmetric(), ps.BinarySymmetric()), ((0,), (1,))),
        p + "Poisson": ps.Poisson(),
        p + "HalfSpace": ps.HalfSpace(np.eye(2), noise=0.5),
    }
    letters = {
        "sloc.RevealingChannel": ps.Masking(),
        p + "Masking": ps.Masking(),
        p + "Erasure": ps.Erasure(),
        p + "BinarySymmetric": ps.BinarySymmetric(),
        p + "UniformCTMC": ps.UniformCTMC(2),
        p + "RateMatrix": ps.RateMatrix([[-1.0, 1.0], [1.0, -1.0]]),
        p + "Composed": ps.Composed(ps.BinarySymmetric(), heads, heads_likelihood, flip_heads, lambda *a: a[2]),
    }
    for name, process in (reals | letters).items():
        x: Any = BITS if name in letters or name in (p + "Retimed", p + "Product") else POINT
        x = jnp.ones(5, jnp.int32) if isinstance(process, ps.Composed) else x
        yield from called(name, process, process, x=x, y=process.sample(KEY, x, 0.3))


def clocks() -> Iterator[Row]:
    """Return rows of clocks."""
    made = {"Power": ps.Power(2.0), "Table": ps.Table([0.0, 1.0], [0.0, 1.0]), "Steps": ps.Steps([0, 2, 4])}
    made["Function"] = ps.Function(lambda t: t, lambda u: u)
    for name, clock in made.items():
        yield from called(f"sloc.processes.{name}", clock)
    yield from called("sloc.processes.Clock", made["Power"], only=("end",))


def _model() -> None:
    theta = numpyro.sample("theta", dist.Categorical(jnp.asarray([0.5, 0.5])))
    numpyro.sample("x", dist.Normal(jnp.asarray([0.0, 2.0])[theta], 1.0), obs=jnp.asarray(0.0))


def populations() -> Iterator[Row]:
    """Return rows of populations."""
    p, mask = "sloc.populations.", ps.Masking()
    table = {"initial": LAW, "transitions": MOVES, "length": 3}
    made: list[tuple[str, Any, Any]] = [
        (p + "Empirical", pops.Empirical(np.eye(2), [0, 1]), OU),
        (p + "GaussianMixture", PAIR, OU),
        (p + "HiddenMarkov", pops.HiddenMarkov(emissions=MOVES, **table), mask),
        (p + "MarkovChains", pops.MarkovChains(**table), mask),
        (p + "ProductCategorical", pops.ProductCategorical.coins([0.1, 0.4], 2), mask),
        (p + "KalmanDiscourse", pops.KalmanDiscourse([[1.0, 0.0], [0.0, 1.0]], 2.0, 3), mask),
        (p + "SparseRegression", pops.SparseRegression(0.3, 3, 2, 3), mask),
        (p + "RandomHierarchy", pops.RandomHierarchy.random(KEY, 2, 1, 2, 2, 1), mask),
        ("sloc.bayes.NumPyroPopulation", NumPyroPopulation(_model), OU),
    ]
    for name, drawn, process in made:
        population = drawn.canonical()
        y = process.sample(KEY, population.sample(KEY, 1), 0.3)
        yield from called(name, population, process, y=y)
    own = ("log_marginals", "path_log_marginals", "posterior_sample")
    yield from called("sloc.Population", PAIR.canonical(), OU, only=own, x=POINT, y=POINT)
    likely = Argument(np.zeros(4), "an array of a shape", dict(NO_NUMBER))
    yield Row(p + "Empirical.by_class", ATOMS.by_class, {"log_likelihood": likely})
    messages = Argument(np.ones((2, 2, 1)), "an array of a shape", dict(NO_NUMBER))
    yield Row(p + "RandomHierarchy.class_likelihoods", made[7][1].class_likelihoods, {"messages": messages})


def models() -> Iterator[Row]:
    """Return rows of trained models, and of the decorators of a registered pair."""
    diffusion = LearnedDiffusion(lambda y, t: 0 * y, OU, (2,))
    yield from called("sloc.samplers.LearnedDiffusion", diffusion, OU, y=POINT)
    masked = LearnedMasked(lambda tokens: jnp.zeros((*tokens.shape, 2)), (2,), 2)
    yield from called("sloc.samplers.LearnedMasked", masked, ps.Masking(), y=ps.Masking().sample(KEY, BITS, 0.3))
    pair = Marginals(OU.__class__, PAIR.__class__, lambda process, population, y, t: y)
    for name in ("path", "paths", "draws", "reduce"):
        yield Row(f"sloc.contracts.Marginals.{name}", getattr(pair, name), {"fn": function(lambda *_: None)})


def rows() -> list[Row]:
    """Return every row of this file."""
    return [*processes(), *clocks(), *populations(), *models()]
