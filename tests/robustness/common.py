"""Good arguments by their names, and rows made from signatures: a parameter that nobody described is an error."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import sloc
from sloc.contracts import Population
from sloc.divergence.checks import checked_pair
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import OrnsteinUhlenbeck
from tests.robustness.sweep import Row
from tests.robustness.values import (
    Argument,
    choice,
    fraction,
    key,
    path,
    sets,
    taken,
    text,
    thing,
    times,
    whole,
)

OU = OrnsteinUhlenbeck()
PAIR = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], names=("cat", "dog"))
ATOMS = Empirical([[-1.0], [-0.5], [0.5], [1.0]], [0, 0, 1, 1])
TIMES = [0.25, 0.5]

COMMON: dict[str, Argument] = {
    "key": key(),
    "process": thing(OU, "a process"),
    "population": thing(PAIR, "a population"),
    "times": times(TIMES),
    "a": sets(0),
    "b": sets(1),
    "n": whole(16, 2),
    "delta": fraction(0.05),
    "alpha": fraction(0.05),
    "level": fraction(0.9),
    "epsilon": fraction(0.1),
    "plan": thing(None, "a plan").optional(),
    "method": choice("auto"),
    "interval": choice("maurer-pontil"),
    "seed": whole(0, 0),
    "path": path("there"),
    "overwrite": taken(False),
    "json": taken(True),
    "console": taken(None),
    "ax": thing(None, "axes").optional(),
}
"""What an argument of this name is wherever a row says nothing else."""

AFTER_BEFORE = {"after": sets(0), "before": sets([0, 1])}
INIT_TARGET = {"init": sets(0), "target": sets([0, 1])}


def resolve(name: str) -> Any:
    """Return the object behind a dotted public name: of a package, or of a class in one."""
    owner, _, own = name.rpartition(".")
    inside = owner.rpartition(".")[2][:1].isupper()
    return getattr(resolve(owner) if inside else importlib.import_module(owner), own)


_MEASURE = ("delta", "method", "interval", "plan")
HANDED_ON: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("tv", "tv_curve", "information_curve", "label_curve", "clone_agreement"), _MEASURE),
    **dict.fromkeys(("critical_window", "theorem2", "mixture_tree"), ("plan", "interval")),
    "as_diffusion": ("label", "guidance", "guidance_times", "data_std", "names"),
    "as_masked": ("mask", "timed", "temperature"),
    "small_config": ("hidden", "max_positions", "kv_heads", "mask_token"),
    "save_weights": ("note",),
}
"""What may stand for ``**options`` of a call of this name: each is swept like an argument of its own."""


def hands_on(function: Callable[..., Any]) -> bool:
    """Whether a call takes further arguments by any name; those named ``_`` are the tree's own, and passed over."""
    own = inspect.signature(function).parameters.values()
    return not inspect.isclass(function) and any(p.kind is p.VAR_KEYWORD and p.name != "_" for p in own)


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of what a call takes, and of what it hands on."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    own = inspect.signature(function).parameters.values()
    if inspect.isclass(function) and all(p.kind in kinds for p in own):
        # The class of the class stands before it.
        own = inspect.signature(vars(function).get("__init__", function)).parameters.values()
    named = [p.name for p in own if p.kind not in kinds and p.name != "self"]
    return [*named, *(n for n in HANDED_ON[function.__name__] if n not in named)] if hands_on(function) else named


def row(name: str, call: Callable[..., Any] | None = None, /, **own: Argument) -> Row:
    """Return the row of a public function; ``call`` where it must be called in another way."""
    function = resolve(name)
    wanted = parameters(function)
    if call is None:
        missing = [p for p in wanted if p not in own and p not in COMMON]
        assert not missing, f"{name}: nothing is said of {missing}"
        arguments = {p: own[p] if p in own else COMMON[p] for p in wanted} | own
        call = _by_position(function)
    else:
        arguments = dict(own)
    return Row(name, call, arguments)


def _by_position(function: Callable[..., Any]) -> Callable[..., Any]:
    only = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    if not only:
        return function
    return lambda **given: function(*(given.pop(name) for name in only), **given)


def process_row(name: str, population: Population, **own: Argument) -> Row:
    """Return the row of a class of processes: made, then checked as every public call checks it."""
    made = resolve(name)
    return Row(name, lambda **given: checked_pair(made(**given), population), own)


def population_row(name: str, process: Any, **own: Argument) -> Row:
    """Return the row of a class of populations: made, then checked as every public call checks it."""
    made = resolve(name)
    return Row(name, lambda **given: checked_pair(process, made(**given)), own)


def statistic_row(name: str, **own: Argument) -> Row:
    """Return the row of a statistic: made, and bound to sub-populations as :func:`sloc.measure` does."""
    made = resolve(name)
    return Row(name, lambda **given: made(**given).bind(PAIR), own)


__all__ = ["AFTER_BEFORE", "ATOMS", "COMMON", "INIT_TARGET", "OU", "PAIR", "TIMES", "np", "row", "sloc", "text"]
