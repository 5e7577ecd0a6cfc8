"""Rows of :mod:`sloc.samplers`, :mod:`sloc.testing` and :mod:`sloc.report`."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sloc import TheoremWindow, Window, localize
from sloc.processes import FlowMatching, Masking, OrnsteinUhlenbeck
from sloc.report import Settings, Source
from sloc.report.sources import load_gaussians_source
from sloc.samplers import LearnedDiffusion, LearnedMasked, Localizer, Unnormalized, exact_localizer
from sloc.testing import ConformanceError
from sloc.windows import outcome_curve, posterior_moves
from tests.robustness.common import OU, PAIR, row
from tests.robustness.rows_measures import learned
from tests.robustness.rows_windows import COUNTS, CURVE
from tests.robustness.sweep import Row
from tests.robustness.values import (
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

WINDOW = Window(0.5, 2.0, (0.4, 0.6), (1.9, 2.2), "resolved", "resolved", 0.1, 0.05, 1024, "monte carlo", "cat")

THEOREM = TheoremWindow(
    2.0,
    0.5,
    (1.9, 2.2),
    (0.4, 0.6),
    "resolved",
    "resolved",
    0.1,
    0.2,
    CURVE,
    delta=0.05,
    draws=0,
    method="exact",
    name="cat",
)


KEY = jax.random.key(0)


def _no_step(*_):
    raise AssertionError("it was called")


def _quadratic(x):
    return -0.5 * jnp.sum(x * x)


def _label(x):
    return jnp.int32(0)


def _statistic(y, t):
    return jnp.sum(y)


def _kernel(key, y, t, population):
    return y


def _network(y, t=None):
    return jnp.zeros((2, 3))


def samplers() -> list[Row]:
    """Return rows of localization, of experiments and of samplers of learned models."""
    p = "sloc.samplers."
    model, masked = thing(learned, "a learned model"), thing(LearnedMasked(_network, (2,), 3), "a learned model")
    localizer = thing(None, "a localizer").optional()
    grid = times([0.25, 0.5]).but("NaN", "-1")
    free = grid.left_out()
    t = {"t": instant(0.5)}
    experiment = {"localizer": localizer, "grid": free, "feature": function(_label).left_out()}
    init, some = sets(0), whole(16)
    starts = times([0.25, 0.5]).but("decreasing times", "a time twice").listed()
    return [
        row("sloc.localize", n=some, grid=grid, localizer=localizer, trajectories=taken(False), at=free),
        row(
            p + "localization_statistics",
            n=whole(16),
            statistic=function(_statistic),
            grid=grid,
            localizer=localizer,
            at=free,
        ),
        row(
            "sloc.forward_reverse",
            n=whole(16),
            init=init,
            **t,
            clones=whole(2).optional(),
            samples=taken(True),
            **experiment,
        ),
        row(p + "clone_frequencies", n=some, init=init.optional(), **t, **experiment),
        row(p + "label_frequencies", n=some, init=init, **t, num_labels=whole(2).left_out(), **experiment),
        row(p + "exact_localizer"),
        Row(
            p + "Localizer",
            lambda **given: localize(KEY, OU, PAIR, grid=[0.25, 0.5], n=2, localizer=Localizer(**given)),
            {
                **{name: function(_no_step).says(name, f"localizer.{name}") for name in ("init", "step", "finish")},
                "log_posterior": function(_no_step).optional(),
                "stops": times([0.25]).optional().but("an empty list", "decreasing times", "a time twice").listed(),
            },
        ),
        row(p + "euler_reverse", grid=free),
        row(
            p + "oracle_localizer",
            target=thing(Unnormalized(_quadratic, 2, 3.0), "an Unnormalized"),
            chains=whole(2),
            mcmc_steps=whole(1),
            warm_steps=whole(1, 0),
            ascent_steps=whole(1, 0),
            jumps=taken(True),
        ),
        row(
            p + "interweave",
            localizer=thing(lambda: exact_localizer(OU, PAIR), "a localizer"),
            kernel=function(_kernel),
            at=times([0.25]).but("NaN", "-1", "a time twice"),
            grid=grid,
            n=some,
            tolerance=positive(0.01).optional(),
        ),
        row(p + "level_grids", times=starts, steps=whole(4), least=positive(0.01).optional()),
        row(p + "ancestral", model=model, variance=choice("posterior")),
        row(p + "ddim", model=model, eta=fraction(0.0, low=True, high=True)),
        row(p + "dpm_solver", model=model),
        row(p + "euler_maruyama", model=model),
        row(p + "flow_sde", model=model, strength=positive(1.0, zero=True)),
        row(
            p + "heun",
            model=model,
            churn=fraction(0.0, low=True, high=True),
            churn_levels=thing((0.0, 1.0), "two levels"),
            churn_noise=positive(1.0),
        ),
        row(p + "predictor_corrector", model=model, corrections=whole(1, 0), size=positive(0.5)),
        row(p + "probability_flow", model=model, order=whole(2)),
        row(p + "masked_ancestral", model=masked, order=choice("random"), skip=taken(True)),
        Row(
            p + "LearnedDiffusion",
            lambda **given: LearnedDiffusion(**given).validate(),
            {
                "fn": function(_zeros),
                "schedule": thing(FlowMatching(), "a schedule"),
                "shape": thing((2,), "a shape"),
                "parameterization": choice("x0"),
                "time": choice("t"),
                "num_classes": whole(2, 0),
                "label": whole(0, 0).optional(),
                "null_label": whole(2, 0).optional(),
                "guidance": real(1.5).optional(),
                "guidance_times": thing((0.1, 0.9), "two times").optional(),
                "data_std": positive(1.0),
                "batched": taken(False),
                "names": names(("a", "b")),
            },
        ),
        Row(
            p + "LearnedMasked",
            lambda **given: LearnedMasked(**given).validate(),
            {
                "fn": function(_network),
                "shape": thing((2,), "a shape"),
                "vocabulary": whole(3, 2).says("vocabulary", "mask"),
                "mask": whole(3, 0).optional().but("10**400", "-1", "a huge negative number").listed(),
                "timed": taken(False),
                "temperature": positive(1.0),
                "batched": taken(False),
            },
        ),
        Row(
            p + "Unnormalized",
            lambda **given: Unnormalized(**given).validate(),
            {
                "log_density": function(_quadratic),
                "dim": whole(2),
                "radius": positive(3.0),
                "width": positive(0.5).optional(),
                "centre": array(np.zeros(2)),
            },
        ),
    ]


def _zeros(y, t, c):
    return 0 * y


def testing() -> list[Row]:
    """Return rows of conformance checks and statistical assertions."""
    p = "sloc.testing."
    # NaN fails the assertion itself, and infinities are values of a law.
    sample = array(np.linspace(0, 1, 64)).but("an array of rank 3", "NaN inside", "infinity inside")
    alarm = fraction(1e-9).also(a_half=0.5)
    xs = array([[0.0, 1.0], [1.0, 0.0]]).but("an array of rank 3", "NaN inside", "infinity inside")
    drawn = {"times": times([0.25, 0.5]).optional(), "draws": whole(64, 64), "false_alarm": alarm}
    return [
        row(
            p + "assert_means_equal",
            first=sample,
            second=sample,
            bounds=thing((0.0, 1.0), "two bounds").optional(),
            false_alarm=alarm,
            what=taken("the means"),
        ),
        row(
            p + "assert_same_law",
            first=sample,
            second=sample,
            resolution=positive(0.0, zero=True).but("infinity"),
            false_alarm=alarm,
            what=taken("the laws"),
        ),
        row(
            p + "assert_probability_calibrated",
            labels=array(np.zeros(64, int)),
            probabilities=array(np.full(64, 0.5)).but("a list with NaN", "NaN inside", "infinity inside"),
            functions=array(np.zeros((64, 1))).optional(),
            false_alarm=alarm,
            what=taken("the probabilities"),
        ),
        dataclasses.replace(row(p + "check_process", xs=xs, key=row_key(), **drawn), refusals=(ConformanceError,)),
        dataclasses.replace(row(p + "check_population", key=row_key(), **drawn), refusals=(ConformanceError,)),
    ]


def row_key():
    """Return a key that may be left out."""
    from tests.robustness.values import key

    return key().optional()


def report() -> list[Row]:
    """Return rows of pictures, tables and commands."""
    p = "sloc.report."
    outcomes, moves = thing([outcome_curve(COUNTS)], "curves"), thing(posterior_moves([COUNTS]), "moves")
    source = thing(lambda: load_gaussians_source("4;-4", None, None), "a source")
    settings = thing(Settings(n=1024, times=8), "settings")
    results = thing([], "results").but("an empty list")
    maybe_path = path(None).optional()
    words = text("a few words")
    return [
        row(
            p + "plot_outcomes",
            ax=thing(None, "axes").optional(),
            curve=thing(outcome_curve(COUNTS), "a curve"),
            moves=thing((), "moves").but("an empty list"),
        ),
        Row(
            p + "Source",
            Source,
            {
                "population": thing(PAIR, "a population"),
                **dict.fromkeys(("title", "noun", "part"), words),
                **{name: words.optional() for name in ("file", "sha256")},
                "image": array([2.0, 3.0]).but("None").also(three_numbers=(1, 2, 3), parts=(1.5, 2), one=(2,)),
            },
        ),
        row(p + "plot_recorded", curves=outcomes, moves=moves, path=maybe_path, limit=whole(1)),
        row(
            p + "plot_windows",
            results=results,
            source=source.says("source", "results"),
            path=maybe_path.says("path", "results"),
            seed=whole(0, 0).says("seed", "results"),
        ),
        row(
            p + "run_process",
            name=choice("ou"),
            settings=settings,
            times=times([0.25, 0.5]).optional(),
            run=thing(None, "a plan").optional().says("plan"),
            progress=taken(None),
            refined=taken(None),
            progress_refined=taken(None),
        ),
        Row(
            p + "Settings",
            lambda **given: Settings(**given).validate(PAIR),
            {
                "epsilon": fraction(0.1),
                "n": whole(1024, 2),
                "times": whole(8, 8),
                "seed": whole(0, 0),
                "delta": fraction(0.05),
            },
        ),
    ]


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*samplers(), *testing(), *report()]


__all__ = ["Masking", "OrnsteinUhlenbeck", "rows"]
