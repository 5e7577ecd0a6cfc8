"""Rows of :mod:`sloc.divergence` and :mod:`sloc.engine`: measurements, intervals, plans."""

from __future__ import annotations

import jax
import numpy as np

from sloc import TV, Plan
from sloc.engine.plan import layout_of
from sloc.populations import Empirical
from sloc.processes import FlowMatching, Masking
from sloc.samplers import LearnedDiffusion
from tests.robustness.common import ATOMS, OU, PAIR, row, statistic_row
from tests.robustness.sweep import Row
from tests.robustness.values import (
    Argument,
    array,
    choice,
    fraction,
    function,
    instant,
    path,
    positive,
    sets,
    thing,
    whole,
)

UNIT = np.array([0.1, 0.5, 0.9])
MASK = np.array([True, False])


def _zeros(x, t, c):
    return 0 * x


def learned() -> LearnedDiffusion:
    """Return a model that predicts nothing."""
    return LearnedDiffusion(_zeros, FlowMatching(), (2,), "x0", num_classes=2, label=0)


def _levels(good: float) -> Argument:
    # One level or one for each cell: lists of numbers inside (0, 1) are good.
    return fraction(good).but("an empty list").listed()


def measures() -> list[Row]:
    """Return rows of what draws."""
    t = {"t": instant(0.5)}
    return [
        row("sloc.measure", statistics=thing([TV(0, 1)], "statistics")),
        row("sloc.tv", t=instant(0.5).says("t", "times")),
        row("sloc.tv_curve"),
        row("sloc.label_curve", init=sets(0)),
        row("sloc.information_curve"),
        row("sloc.clone_agreement"),
        row("sloc.divergence.tv_point", **t, replicates=whole(2, 2)),
        row("sloc.divergence.choose_estimator", t=instant(0.5).says("t", "times")),
        row("sloc.divergence.bridge_overlap"),
        row(
            "sloc.divergence.mask_overlap",
            process=thing(Masking(), "a process"),
            population=thing(Empirical([[0, 0], [1, 1]]), "a population"),
        ),
        row("sloc.divergence.tv_upper_bound", data=thing(ATOMS, "an Empirical")),
        row("sloc.divergence.tv_lower_bound", posterior=function(_even), held_out=thing(ATOMS, "an Empirical")),
        row(
            "sloc.divergence.tv_sampler_bound",
            a=thing(learned, "a model"),
            b=thing(learned, "a model").says("b", "model"),
            steps=whole(2),
            method=choice("likelihood-ratio"),
            reach=positive(1.0).left_out(),
        ),
        row("sloc.posterior", y=array(np.zeros(2)).but("NaN inside", "infinity inside"), **t),
        statistic_row("sloc.TV", a=sets(0), b=sets(1)),
        statistic_row("sloc.KL", a=sets(0), b=sets(1)),
        statistic_row("sloc.Hellinger", a=sets(0), b=sets(1)),
        statistic_row("sloc.Labels", init=sets(0)),
        statistic_row("sloc.Clones", init=sets(0).optional()),
        statistic_row("sloc.Certificate", init=sets(0), target=sets([0, 1])),
        statistic_row("sloc.Misassignment", target=sets(0)),
    ]


def _even(y, t):
    return jax.numpy.zeros(2)


def _mask() -> Argument:
    return thing(MASK, "a boolean mask")


def intervals() -> list[Row]:
    """Return rows of intervals and of what they are made from."""
    values = array(UNIT).but("an array of rank 3")
    return [
        row("sloc.divergence.betting_interval", values=values, delta=_levels(0.05)),
    ]


def _counts(good: float) -> Argument:
    return array([good]).but("an empty list", "an array of rank 3")


def plans() -> list[Row]:
    """Return rows of plans."""
    none = {
        "mesh": thing(None, "a mesh").optional(),
        "axis": thing(None, "a mesh's axis").optional(),
        "devices": thing(None, "devices").optional().but("an empty list"),
        "block": whole(1024).optional().also(odd=1000),
        "precision": thing(None, "a precision").optional(),
        "checkpoint": path(None).optional(),
        "every": positive(30.0, zero=True),
        "progress": function(print).optional().but(),
        "chunk": positive(0.5, zero=True),
        "replay": thing(None, "a stage and a block").optional(),
    }
    return [
        Row("sloc.Plan", lambda **given: layout_of(Plan(**given)), none),
    ]


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*measures(), *intervals(), *plans()]


__all__ = ["OU", "PAIR", "learned", "rows"]
