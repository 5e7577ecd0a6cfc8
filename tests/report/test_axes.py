"""Every axis of every picture says what it shows, and in what unit where that has one."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import sloc
from sloc import Estimate, TheoremWindow
from sloc.contracts import NOISE_AXIS
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.plots import plot_curve, plot_estimate, plot_theorem_window, plot_window
from sloc.report.posterior_plots import plot_histograms
from sloc.report.recorded_report import plot_outcomes, plot_recorded
from sloc.report.traces_picture import MAX_PANELS, plot_question, plot_traces
from sloc.report.tree_picture import plot_tree
from sloc.report.uturn_curves import compared
from sloc.report.uturn_picture import uturn_picture
from sloc.report.window_picture import plot_windows
from sloc.windows import OutcomeCounts, outcome_curve, posterior_moves, trace_windows
from sloc.windows.traces_table import trace_table
from tests.report.axis_labels import unlabelled
from tests.report.test_plots import CURVE, WINDOW
from tests.report.test_traces import table
from tests.report.test_uturn_run import curve


def outcomes(fractions: bool) -> tuple[list, Any]:
    """Curves of two questions that turn half way, and their moves."""
    rng, steps, questions = np.random.default_rng(0), 20, []
    for name in ("first", "second"):
        truth = np.where(np.arange(steps)[:, None] < 10, [0.9, 0.1], [0.1, 0.9])
        counts = np.stack([rng.multinomial(20, p) for p in truth]).astype(float)
        positions = np.arange(steps) / steps if fractions else np.arange(float(steps))
        questions.append(OutcomeCounts(name, ("42", "41"), positions, counts, np.full(steps - 1, 0.9)))
    return [outcome_curve(q) for q in questions], posterior_moves(questions)


def u_turn(tmp_path, monkeypatch) -> Figure:
    times, kept = np.geomspace(0.06, 3.0, 8), []
    curves = {"model": curve(times, 1 / (1 + times**2)), "images": curve(times, 1 / (1 + times**3))}
    with monkeypatch.context() as patched:
        patched.setattr(Figure, "savefig", lambda self, path, **options: kept.append(self))
        uturn_picture(times, curves, np.zeros((8, 8, 8), np.float32), compared(curves), "3", tmp_path / "x.png")
    return kept[0]


def grown():
    means = np.array([[0.0], [4.0], [300.0]])
    process, mixture = OrnsteinUhlenbeck(), GaussianMixture(np.full(3, 1 / 3), means, names=("a", "b", "c"))
    return sloc.mixture_tree(jax.random.key(1), process, mixture, epsilon=0.1, method="closed-form")


THEOREM = TheoremWindow(0.5, 2.0, None, None, "resolved", "resolved", 0.1, 0.17, CURVE, 0.11, CURVE, CURVE)
ANSWERS = [trace_windows(trace_table(table(n, position=p))) for n in (5, MAX_PANELS + 1) for p in (False, True)]
DRAWN = {
    plot_estimate: [lambda: plot_estimate(Estimate(0.5, 0.1, 0.4, 0.65, 100, "monte carlo", "TV(a, b)"))],
    plot_curve: [lambda: plot_curve(CURVE), lambda: plot_curve(replace(CURVE, quantity="TV(a, b)", unit=""))],
    plot_window: [lambda: plot_window(WINDOW)],
    plot_theorem_window: [lambda: plot_theorem_window(THEOREM)],
    plot_tree: [lambda: plot_tree(grown())],
    plot_histograms: [lambda: plot_histograms({"T_after": np.linspace(0, 1, 50)}, "cat", NOISE_AXIS)],
    plot_question: [lambda r=r: plot_question(r.curves[0]) for r in ANSWERS[:2]],
    plot_traces: [lambda r=r: plot_traces(r) for r in ANSWERS],
    plot_outcomes: [lambda f=f: plot_outcomes(outcomes(f)[0][0]) for f in (False, True)],
    plot_recorded: [lambda f=f: plot_recorded(*outcomes(f)) for f in (False, True)],
}
"""Each function that draws, with the kinds of picture that it makes."""


def named(case) -> str:
    """Name a case by its function, whose address would be another in each process."""
    function, way = case
    return f"{function.__name__}-{way}"


@pytest.mark.parametrize("case", [(f, i) for f, ways in DRAWN.items() for i in range(len(ways))], ids=named)
def test_every_axis_says_what_it_shows_and_its_unit(case) -> None:
    function, way = case
    drawn = DRAWN[function][way]()
    assert not list(unlabelled(drawn if isinstance(drawn, Figure) else drawn.figure))


def test_so_do_those_of_a_u_turn(tmp_path, monkeypatch) -> None:
    assert not list(unlabelled(u_turn(tmp_path, monkeypatch)))


def test_no_function_that_draws_is_left_out() -> None:
    rooms = [importlib.import_module(f"sloc.report.{m.name}") for m in pkgutil.iter_modules(sloc.report.__path__)]
    named = {f for room in rooms for name, f in vars(room).items() if re.match("plot_[a-z]+", name)}
    # A whole run is drawn, and its axes are read, where one is made: tests/report/test_window_report.py.
    assert named == set(DRAWN) | {plot_windows}


def test_a_missing_label_and_a_missing_unit_are_seen() -> None:
    ax = plot_curve(CURVE)
    assert not list(unlabelled(ax.figure))
    ax.set_ylabel("information")
    ax.set_xlabel("")
    assert len(list(unlabelled(ax.figure))) == 2
    ax.set(xlabel="some word", ylabel="information [bits]")
    assert len(list(unlabelled(ax.figure))) == 1
