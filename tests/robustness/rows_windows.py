"""Rows of :mod:`sloc.windows`, of the printed formulas and of the methods of results."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd

from sloc import Curve, find_window
from sloc.results import Moves
from sloc.windows import (
    Branch,
    MovePrior,
    OutcomeCounts,
    Recording,
    RunPrior,
    answers_of_counts,
    posterior_moves,
    recorded_draws,
    trace_table,
)
from tests.robustness.common import AFTER_BEFORE, INIT_TARGET, OU, PAIR, row
from tests.robustness.sweep import Row
from tests.robustness.values import (
    Argument,
    array,
    choice,
    fraction,
    function,
    instant,
    names,
    path,
    positive,
    real,
    sets,
    taken,
    text,
    thing,
    times,
    whole,
)

GRID = np.linspace(0.1, 1.0, 5)
CURVE = Curve(GRID, 1.0 - GRID, 0 * GRID, 0.9 - 0.9 * GRID, 1.0 - 0.9 * GRID, 64, "exact", "TV")
COUNTS = OutcomeCounts("q", ("A", "B"), np.arange(3.0), np.array([[8.0, 2.0], [8.0, 2.0], [2.0, 8.0]]), np.full(2, 0.5))
BRANCHES = tuple(Branch(float(t), "x", 1.0, True, np.array([0, 0, 1])) for t in range(3))
RECORDING = Recording("q", ("A", "B"), BRANCHES)
TABLE = answers_of_counts(np.array([[1, 4], [2, 4]]), 4, kept=[0.25, 0.75])
TRACES = trace_table(TABLE)


def _window_options() -> dict[str, Argument]:
    return {
        "refine": taken(True),
        "certify": taken(False),
        "budget": whole(2048),
        "tolerance": positive(0.1).optional(),
        "growth": real(2.0).also(below_one=0.5),
        "times": times(GRID).optional(),
    }


def _curve() -> Row:
    """Return the row of a curve, which is refused by what reads it."""
    level = array(GRID).also(another_length=[0.5], columns=np.ones((5, 2)))
    fields = {name: level.says(f"curve.{name}") for name in ("value", "lower", "upper")}
    fields["lower"] = fields["lower"].also(above_the_upper_one=GRID + 1)
    words = Argument("", "a text", {**text("").wrong})
    return Row(
        "sloc.Curve",
        lambda **given: find_window(Curve(**given), epsilon=0.1),
        {
            "times": times(GRID)
            .also(a_text="abc", one_time=[0.5])
            .but("-1", "a negative time")
            .says("curve.times", "curve.value"),
            **fields,
            "stderr": taken(0 * GRID),
            "n": whole(64, 0).says("curve.n"),
            **{name: words.says(f"curve.{name}") for name in ("method", "quantity", "unit", "time_axis")},
            "labels": thing((), "texts").but("an empty list").says("curve.labels"),
            "delta": positive(0.05, zero=True).but("NaN", "a list with NaN").listed().says("curve.delta"),
        },
    )


def windows() -> list[Row]:
    """Return rows of windows, theorems and trees."""
    given = _window_options()
    anytime = {k: given[k] for k in ("budget", "growth", "times")}
    fixed = {k: given[k] for k in ("refine", "certify", "budget", "tolerance", "times")}
    curve = thing(CURVE, "a curve")
    return [
        row("sloc.critical_window", **AFTER_BEFORE, **fixed),
        row("sloc.theorem2", **INIT_TARGET, **fixed),
        row("sloc.anytime_windows", **AFTER_BEFORE, **anytime),
        row("sloc.anytime_theorem2", **INIT_TARGET, **anytime, n=whole(16, 2)),
        row("sloc.mixture_tree", times=given["times"]),
        row(
            "sloc.find_window",
            curve=curve,
            epsilon=fraction(0.1).optional(),
            rise=fraction(0.5, low=True).left_out().says("rise", "epsilon"),
            separation=thing(None, "a curve").optional(),
            max_drop=positive(0.5, zero=True).left_out().says("max_drop", "epsilon"),
            horizon=positive(float("inf")).but("infinity"),
            discrete=taken(False),
        ),
        _curve(),
        row(
            "sloc.windows.certified_limits",
            lower=thing(CURVE, "a curve").optional(),
            upper=thing(CURVE, "a curve").optional(),
            separation_lower=thing(None, "a curve").optional(),
            separation_upper=thing(None, "a curve").optional(),
            horizon=positive(float("inf")).but("infinity"),
        ),
        row("sloc.windows.hellinger_bound", target=sets(0)),
        row("sloc.windows.decided_between", curve=curve, low=real(0.2).says("low"), high=real(0.8).says("high")),
        row("sloc.windows.information_axis", curve=curve, total=positive(1.0).optional()),
        row("sloc.windows.information_density", curve=curve),
        row("sloc.windows.information_window", curve=curve, share=fraction(0.8), total=positive(1.0).optional()),
        row("sloc.windows.on_axis", curve=curve, axis=array(GRID)),
    ]


def recorded() -> list[Row]:
    """Return rows of recorded answers."""
    rise, drop = fraction(0.5, low=True), positive(0.5, zero=True).optional().but("infinity")
    tau, gap, priors = fraction(0.3, low=True), positive(4.0).but("infinity"), thing((MovePrior(),), "priors")
    separation, bounds = positive(8.0, zero=True).but("infinity"), array(np.full(2, 0.5))
    correction, across = choice("bonferroni"), choice("none")
    counts, data = thing([COUNTS], "counts"), thing(COUNTS, "counts")
    adjacent, moves = thing(None, "a truth value").optional(), posterior_moves([COUNTS])
    return [
        row(
            "sloc.windows.rule_rates",
            draws=whole(8),
            rise=rise,
            null=fraction(0.25, low=True),
            event=fraction(0.35, high=True),
            steps=whole(1),
        ),
        row("sloc.windows.critical_rise", n=whole(8), alpha=fraction(0.05), rise=fraction(0.5, low=True)),
        row(
            "sloc.windows.right_wrong_table",
            has_window=thing([True, False, True], "truth values"),
            right=thing([True, False, True], "truth values"),
            groups=thing(None, "groups").optional(),
        ),
        row(
            "sloc.windows.simultaneous_bands",
            counts=array(COUNTS.counts),
            bounds=bounds.but("NaN inside", "infinity inside"),
            heaviest=array(np.ones(3)).but("infinity inside"),
        ),
        row("sloc.windows.leaving_masses", taken=array(np.full(3, 0.5)).but("NaN inside"), kept=array(np.ones(3))),
        row(
            "sloc.windows.trace_windows",
            table=thing(TRACES, "a trace table"),
            rise=rise,
            max_drop=drop,
            correction=correction,
            across=across,
            statistic=choice("difference"),
        ),
        row(
            "sloc.windows.answers_of_counts",
            counts=array(np.array([[1, 4], [2, 4]])),
            draws=whole(4),
            kept=array([0.25, 0.75]),
            questions=names(("a", "b")),
        ),
        row("sloc.windows.trace_table", frame=thing(TABLE, "a table").says("frame", "table")),
        row("sloc.windows.recordings_from_table", source=thing(_branches, "a table").says("source", "table")),
        row("sloc.windows.outcome_counts", recording=thing(RECORDING, "a recording"), adjacent=adjacent),
        row(
            "sloc.windows.outcome_curve",
            data=data,
            simultaneous=taken(True),
            priors=priors,
        ),
        row("sloc.windows.outcome_distances", data=data, gap=gap),
        row(
            "sloc.windows.posterior_moves",
            questions=counts.but("an empty list"),
            tau=tau,
            gap=gap,
            separation=separation,
            priors=priors,
        ),
        row(
            "sloc.windows.exact_moves",
            questions=counts,
            tau=tau,
            gap=gap,
            separation=separation,
            correction=correction,
            across=across,
            stated=thing([("A",)], "stated answers").optional(),
        ),
        row("sloc.windows.plain_counts", recording=thing(RECORDING, "a recording"), adjacent=adjacent),
        row(
            "sloc.windows.recorded_exact_moves",
            recordings=thing([RECORDING], "recordings").but("an empty list"),
            tau=tau,
            gap=gap,
            separation=separation,
            across=across,
            all_stated=taken(True),
            adjacent=adjacent,
        ),
        row("sloc.windows.rule_firing", data=data, rise=rise, gap=gap, reference=choice("A").optional()),
        row("sloc.windows.recorded_draws", recordings=thing([RECORDING], "recordings").but("an empty list")),
        row(
            "sloc.windows.certify_moves",
            draw=function(recorded_draws([RECORDING])),
            candidates=thing(moves, "moves").but("an empty list"),
            n=whole(2),
            tau=tau,
        ),
        row(
            "sloc.windows.allocate_draws",
            draw=function(recorded_draws([RECORDING])),
            question=text("q"),
            categories=names(("A", "B")).but("a unicode text"),
            positions=array(np.arange(3.0)),
            budget=whole(6),
            leaving=bounds.optional().but("NaN inside", "a list with NaN"),
            cost=array(np.ones(3)).optional(),
            batch=whole(1),
            first=whole(3),
            share=fraction(0.5, high=True),
            target=positive(0.0, zero=True).but("infinity"),
            priors=priors,
        ),
        Row(
            "sloc.windows.MovePrior",
            lambda **given: MovePrior(**given).validate(),
            {
                "stay": fraction(0.9),
                "spread": thing(((0.1, 2.0),), "weights and concentrations").says("spread", "prior"),
                "unknown": thing((0.5, 0.9), "leaving masses").says("unknown", "prior"),
                "runs": thing((RunPrior(),), "kinds of runs").but("an empty list").says("runs", "prior"),
            },
        ),
        Row(
            "sloc.windows.RunPrior",
            lambda **given: RunPrior(**given).validate(),
            {
                "begin": fraction(0.01, low=True),
                "end": fraction(0.1),
                "concentration": positive(10.0),
                "pull": fraction(0.5, high=True),
            },
        ),
        row(
            "sloc.windows.Branch",
            position=positive(0.0, zero=True),
            name=text("x"),
            weight=fraction(0.5, high=True),
            taken=thing(True, "a truth value"),
            answers=thing(np.array([0, 1]), "answers by their index"),
            costs=thing(None, "costs").optional(),
            extra=thing({}, "an object").but("a mapping"),
        ),
        row(
            "sloc.windows.Recording",
            question=text("q"),
            categories=names(("A", "B")).says("categories"),
            branches=thing(BRANCHES, "branches"),
            axis=choice("position"),
            full=positive(2.0),
            reference=choice("A").optional(),
            expected=array([0.0, 1.0]).but("an empty list"),
            meta=thing({}, "an object").but("a mapping"),
            layout=thing({}, "an object"),
        ),
        Row(
            "sloc.windows.OutcomeCounts",
            lambda **given: OutcomeCounts(**given).validate(),
            {
                "question": taken("q"),
                "categories": names(("A", "B")),
                "positions": array(np.arange(3.0)),
                "counts": array(COUNTS.counts),
                "leaving": bounds.but("NaN inside", "a list with NaN"),
                "heaviest": array(np.ones(3)).but("infinity inside"),
            },
        ),
    ]


def _branches() -> pd.DataFrame:
    return TABLE.rename(columns={})


def files() -> list[Row]:
    """Return rows of what reads and writes files."""
    return [
        row(
            "sloc.windows.read_forking_fast",
            path=path("there"),
            question=text("q").optional().says("question", "path"),
        ),
        row("sloc.windows.read_store", path=path("there")),
        row("sloc.windows.read_trace_table"),
        row("sloc.windows.write_store", path=path("out.jsonl"), recordings=thing([RECORDING], "recordings")),
        row("sloc.windows.write_forking_fast", path=path("out.json"), recording=thing(RECORDING, "a recording")),
    ]


def printed() -> list[Row]:
    """Return rows of the papers' formulas."""
    p = "sloc.windows.printed."
    alpha, cosine = positive(2.0), real(0.2).also(one=1, minus_one=-1)
    grammar = {"vocabulary": whole(4, 2), "branching": whole(2, 2), "rules": whole(2)}
    samples = {"features": whole(64), "sparsity": whole(4), "variance": positive(1.0)}
    return [
        row(p + "coin_counts", drift=fraction(0.1)),
        row(p + "collapse_time", atoms=positive(16.0).also(one=1), dimension=whole(4), variance=positive(1.0)),
        row(p + "critical_token_edges", length=whole(8), start=whole(2, 0), spread=whole(2)),
        row(p + "discourse_before_from_kl", alpha=alpha, cosine=cosine),
        row(p + "discourse_edges", alpha=alpha, cosine=cosine),
        row(p + "discourse_slack", alpha=alpha, time=instant(1.0)),
        row(p + "examples_needed", hellinger=positive(0.5)),
        row(p + "examples_needed_corrected", hellinger=positive(0.5)),
        row(p + "gaussian_mixture_edges", means=array([[0.0], [4.0]])),
        row(
            p + "gaussian_pair_after_from_proof", norm=positive(4.0), constant=positive(0.7).says("constant", "epsilon")
        ),
        row(p + "gaussian_pair_edges", norm=positive(4.0)),
        row(p + "grammar_map", belief=fraction(0.5, low=True, high=True), **grammar),
        row(p + "grammar_transition", **grammar),
        row(p + "masked_pair_edges", distance=positive(4.0)),
        row(p + "pair_clones", norm=positive(1.0, zero=True), time=positive(0.5), variance=positive(1.0, zero=True)),
        row(p + "sample_threshold", **samples),
        row(p + "sample_window", samples=whole(16, 0), slack=positive(0.1), **samples),
        row(p + "speciation_time", eigenvalue=positive(2.0)),
        row(p + "theorem_bound", odds=positive(1.0, zero=True)),
    ]


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*windows(), *recorded(), *files(), *printed()]


__all__ = ["OU", "PAIR", "Moves", "jax", "path", "rows"]
