"""Rows of methods and class methods of public classes whose arguments are values, each called on a small object."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import sloc
from sloc import Curve, Estimate, TheoremWindow, Window
from sloc.lm import Branches, Counters, Template
from sloc.populations import CriticalTokens, ProductCategorical, RandomHierarchy
from sloc.processes import (
    BinarySymmetric,
    FlowMatching,
    HalfSpace,
    OrnsteinUhlenbeck,
    Poisson,
    Product,
    RateMatrix,
    UniformCTMC,
    VarianceExploding,
)
from sloc.results import OutcomeCurve
from sloc.windows import trace_table, trace_windows
from tests.robustness import rows_asked
from tests.robustness.common import OU, PAIR
from tests.robustness.sweep import Row
from tests.robustness.values import (
    Argument,
    array,
    choice,
    fraction,
    key,
    names,
    path,
    positive,
    taken,
    text,
    thing,
    whole,
)

AX = thing(None, "axes").optional()


def on(owner: Any, name: str, /, **arguments: Argument) -> Row:
    """Return the row of a method: ``owner`` is the object (or the class) that has it, ``name`` its public name."""
    return Row(name, getattr(owner, name.rpartition(".")[2]), arguments)


def results() -> list[Row]:
    """Return rows of what is asked of results."""
    grid = np.array([0.25, 0.5, 1.0])
    values = np.tile([[0.9, 0.8], [0.5, 0.5], [0.1, 0.2]], 1)
    curve = Curve(grid, values, 0 * values, values, values, n=0, method="exact", labels=("cat", "dog"))
    window = Window(0.3, 0.7, None, None, "resolved", "resolved", 0.1, 0.05, 0, "exact", "cat within all")
    estimate = Estimate(0.5, 0.0, 0.5, 0.5, 0, "exact")
    edges = (0.7, 0.3, (0.7, 0.7), (0.3, 0.3), "resolved", "resolved")
    theorem = TheoremWindow(*edges, 0.1, 0.2, curve.column("cat"))
    tree = sloc.mixture_tree(jax.random.key(0), OU, PAIR, epsilon=0.1, method="closed-form")
    node = whole(1, 0).also(no_such_node=99)
    leaf = Argument(0, "a class", {**whole(0, 0).wrong, "no such class": 99, "an unknown name": "zebra"})
    c, t = "sloc.Curve.", "sloc.MixtureTree."
    return [
        on(curve, c + "column", label=choice("cat")),
        on(curve.column("cat"), c + "plot", ax=AX),
        on(window, "sloc.Window.plot", ax=AX),
        on(estimate, "sloc.Estimate.plot", ax=AX),
        on(theorem, "sloc.TheoremWindow.plot", ax=AX),
        on(tree, t + "subset", node=node),
        on(tree, t + "node_name", node=node, most=whole(6)),
        on(tree, t + "path", leaf=leaf),
        on(tree, t + "windows", leaf=leaf),
        on(tree, t + "perturbed", tv_error=fraction(0.01, low=True)),
        on(tree, t + "to_newick", root=text("ou")),
        on(tree, t + "plot", ax=AX),
        *_traces(),
    ]


def _traces() -> list[Row]:
    import pandas as pd

    rows = [("q", f, a) for f in (0.2, 0.6) for a in "AAB"] + [("q", 1.0, "A")]
    result = trace_windows(trace_table(pd.DataFrame(rows, columns=["question", "fraction", "answer"])))
    curve, grid = result.curves[0], np.arange(2.0)
    shares = np.full((2, 2), 0.5)
    outcomes = OutcomeCurve("q", ("A", "B"), grid, grid, shares, shares, shares, None, None, 0.9, grid, "resolved", "")
    r = "sloc.results.ResampledCurve."
    return [
        on(curve, r + "to_curve", answer=choice("B").optional()),
        on(curve, r + "plot", ax=AX),
        on(result, "sloc.results.TraceWindows.plot", path=path(None).optional()),
        on(outcomes, "sloc.results.OutcomeCurve.plot", ax=AX),
    ]


def grids() -> list[Row]:
    """Return rows of the grids of processes: how many times, and between which ends."""
    n, p = whole(4), "sloc.processes."
    ends = Argument(None, "two numbers, or None", array([2.0, -2.0]).but("None").also(three_numbers=[1, 2, 3]).wrong)
    plain = {
        "BinarySymmetric": BinarySymmetric(),
        "UniformCTMC": UniformCTMC(3),
        "Product": Product((OU, OU), ((0,), (1,))),
    }
    gaussian = {
        "OrnsteinUhlenbeck": OrnsteinUhlenbeck(),
        "VarianceExploding": VarianceExploding(),
        "FlowMatching": FlowMatching(),
    }
    return [
        *(on(process, f"{p}{name}.grid", n=n) for name, process in plain.items()),
        *(on(process, f"{p}{name}.grid", n=n, log_snr=ends) for name, process in gaussian.items()),
        on(Poisson(), p + "Poisson.grid", n=n, exposure=ends.also(none_of_it=[0, 1])),
    ]


def made() -> list[Row]:
    """Return rows of class methods that make models."""
    p = "sloc.populations."
    tokens = {"start": whole(4), "spread": whole(2), "length": whole(16, 2).says("length", "start + spread")}
    tokens = {k: a.says(k, "start + spread") for k, a in tokens.items()}
    rates = array([[-1.0, 1.0], [1.0, -1.0]])
    sizes = {"num_classes": (2, 2), "depth": (1, 1), "branching": (2, 2), "vocabulary": (2, 2), "rules": (1, 1)}
    return [
        on(
            HalfSpace,
            "sloc.processes.HalfSpace.random",
            key=key(),
            count=whole(3),
            dimension=whole(2),
            spread=positive(1.0, zero=True),
            noise=positive(0.0, zero=True),
        ),
        on(
            RandomHierarchy,
            p + "RandomHierarchy.random",
            key=key(),
            **{name: whole(*good) for name, good in sizes.items()},
            weights=array([0.5, 0.5]).optional(),
            one_hot=taken(False),
            names=names(("cat", "dog")),
        ),
        on(
            ProductCategorical,
            p + "ProductCategorical.coins",
            biases=array([0.1, 0.4]),
            length=whole(2),
            weights=array([0.5, 0.5]).optional(),
            names=names(("cat", "dog")),
        ),
        on(
            CriticalTokens,
            p + "CriticalTokens.refusals",
            **tokens,
            leak=fraction(0.01, low=True),
            refusal_weight=fraction(0.9),
        ),
        on(
            CriticalTokens,
            p + "CriticalTokens.agent",
            **{
                **tokens,
                "start": whole(8).says("start", "start + spread"),
                "length": whole(24, 2).says("length", "start + spread"),
            },
            leak=fraction(0.01, low=True),
            distraction_weight=fraction(0.1),
        ),
        on(RateMatrix, "sloc.processes.RateMatrix.absorbing", num_letters=whole(2), method=choice("uniformisation")),
        on(
            RateMatrix,
            "sloc.processes.RateMatrix.from_jumps",
            jumps=rates.says("jumps", "rates")
            .but("NaN inside", "infinity inside")  # there the diagonal, which is not read
            .also(NaN_off_the_diagonal=[[0, float("nan")], [1, 0]], a_negative_rate=[[0, -1], [1, 0]]),
            method=choice("uniformisation"),
        ),
        on(RateMatrix, "sloc.processes.RateMatrix.reversible", rates=rates),
    ]


def texts() -> list[Row]:
    """Return rows of templates and branches of texts."""
    template = Template.read("A {cat|dog} sat.")
    none = np.zeros(0, np.int32)
    branches = Branches(
        np.arange(3),
        np.array([1, 2]),
        np.array([0, 0]),
        [none, none],
        [none, none],
        ["end", "end"],
        none,
        Counters(*[0] * 5),
    )
    t = "sloc.lm.Template."
    said = ("text", "template")
    return [
        on(Template, t + "read", text=text("A {cat|dog} sat.").also(no_blank="cat", one_choice="{cat}").says(*said)),
        on(template, t + "fill", choices=names(("cat",)).also(nothing=())),
        on(branches, "sloc.lm.Branches.whole", i=whole(1, 0).also(no_such_branch=99)),
    ]


def rows() -> list[Row]:
    """Return every row of a method."""
    return [*results(), *grids(), *made(), *texts(), *rows_asked.rows()]
