"""Everything behind ``sloc lm demo``: models trained here, or one of short stories, and where their texts decide."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import named, require
from sloc.contracts.arguments import checked_choice, checked_seed, checked_whole
from sloc.lm.answers.tasks import FunctionTask
from sloc.lm.answers.template import same_choices_curve
from sloc.lm.backends.engine import EngineBackend
from sloc.lm.demos.addition import addition_experiment, addition_questions, train_addition
from sloc.lm.demos.grammar import TEMPLATE, grammar_experiment, grammar_law, train_grammar
from sloc.lm.demos.stories import STORIES, first_word, story_experiment
from sloc.lm.experiments.interventions import comparable, compare_interventions
from sloc.lm.experiments.runs import Experiment
from sloc.lm.experiments.structured import template_jumps
from sloc.lm.model import load_model
from sloc.report.command_run import CommandRun
from sloc.report.lm_command import HOLDS, LmRequest, experiment_accuracy, experiment_windows, placed, write_experiment

if TYPE_CHECKING:
    from rich.console import Console

DEMOS = ("grammar", "addition", "stories")


@dataclass(frozen=True)
class DemoRequest:
    """What ``sloc lm demo`` is asked for.

    Attributes:
        name: ``"grammar"``, ``"addition"`` or ``"stories"``.
        model: the folder of a model of short stories, for ``"stories"``.
        steps: of training; default by demo.
        texts: generations (sums, stories); default by demo.
        resamples: continuations a cut; default by demo.
        seed: of everything drawn.
        lanes: branches that decode at a time.

    """

    name: str
    model: str | None = None
    steps: int | None = None
    texts: int | None = None
    resamples: int | None = None
    seed: int = 0
    lanes: int = 512

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InvalidInput: an unknown demo, numbers out of range, or stories without a model (or the other way round).

        """
        checked_choice(self.name, "name", DEMOS)
        for name, least in (("steps", 1), ("texts", 1), ("resamples", 2)):
            value = getattr(self, name)
            if value is not None:
                checked_whole(value, name, least)
        checked_seed(self.seed)
        checked_whole(self.lanes, "lanes")
        stories = self.name == "stories"
        good = self.model is not None or not stories
        require(good, "model", None, "the folder of a model of short stories, for the demo stories")
        require(stories or self.model is None, "model", self.model, "the demo stories; the others train their own")
        require(not stories or self.steps is None, "steps", self.steps, "a demo that trains")


def run_lm_demo(
    request: DemoRequest, out: str | os.PathLike[str] | None, *, overwrite: bool = False, json: bool = False
) -> dict[str, Any]:
    """Train, draw, find windows, print what is predicted and what was measured, and write the output folder.

    The folder is that of ``sloc lm windows``, and ``jumps.csv`` (grammar) or ``interventions.csv`` (addition).

    Args:
        request: what is asked for.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of text.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input, a missing extra, or a folder that cannot be written.

    """
    request.check()
    run = CommandRun("lm demo", out, overwrite=overwrite, json=json)
    experiment, results, tables = {"grammar": _grammar, "addition": _addition, "stories": _stories}[request.name](
        request
    )
    # The rule of the paper, as in its Table 1: twenty continuations are few for the exact test.
    shown = LmRequest(f"demo {request.name}", request.name, rise=0.5, detector="rule")
    windows = experiment_windows(experiment, shown)
    accuracy = experiment_accuracy(experiment, windows[shown.detector])
    results["with_windows"] = {k: sum(bool(w) for w in each.values()) for k, each in windows.items()}
    if accuracy is not None:
        rows: Any = accuracy.to_dataframe().to_dict("records")
        results["accuracy"] = rows
    record = run.record(vars(request) | {"model": placed(request.model)}, results, experiment.problems)
    run.write(record, lambda folder: write_experiment(folder, experiment, windows, accuracy, shown, tables))
    return run.say(record, lambda console: _show(record["results"], tables, accuracy, console), HOLDS)


def _grammar(request: DemoRequest) -> tuple[Experiment, dict[str, Any], dict[str, Any]]:
    import pandas as pd

    began = time.monotonic()
    model, losses = train_grammar(jax.random.key(request.seed), steps=request.steps or 400)
    trained = time.monotonic() - began
    experiment = grammar_experiment(
        model,
        generations=request.texts or 2,
        resamples=request.resamples or 200,
        seed=request.seed,
        lanes=request.lanes,
    )
    law, parts = grammar_law(), []
    jumps = template_jumps(experiment)
    for jump in jumps:
        kept = [k for p in jump.points for k in (p.before, p.after)]
        exact = same_choices_curve(law, jump.choices, jump.points, kept)
        parts.append(jump.to_dataframe().assign(exact_before=exact[::2], exact_after=exact[1::2]))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    results = {
        "training_seconds": round(trained, 1),
        "loss": float(np.mean(losses[-25:])),
        "generations_that_fit": len(jumps),
        "predicted_and_measured_coincide": bool(jumps) and all(j.coincide for j in jumps),
        "blanks": len(TEMPLATE.blanks),
    }
    return experiment, results, {"jumps": table}


def _addition(request: DemoRequest) -> tuple[Experiment, dict[str, Any], dict[str, Any]]:
    key_train, key_ask = jax.random.split(jax.random.key(request.seed))
    began = time.monotonic()
    model, losses = train_addition(key_train, steps=request.steps or 900)
    trained = time.monotonic() - began
    questions = addition_questions(key_ask, request.texts or 40)
    experiment = addition_experiment(
        model, questions, resamples=request.resamples or 20, seed=request.seed, lanes=request.lanes
    )
    results: dict[str, Any] = {
        "training_seconds": round(trained, 1),
        "loss": float(np.mean(losses[-25:])),
        "right": sum(g.right is True for g in experiment.graded),
        "wrong": sum(g.right is False for g in experiment.graded),
        "temperature": None if experiment.sampling is None else experiment.sampling.temperature,
    }
    shown = LmRequest("demo addition", "addition", rise=0.5)
    rule = experiment_windows(experiment, shown)["rule"]
    tables = {}
    if comparable(experiment, rule):
        tables["interventions"] = compare_interventions(experiment, rule, sizes=(1, 4, 16)).to_dataframe()
    return experiment, results, tables


def _stories(request: DemoRequest) -> tuple[Experiment, dict[str, Any], dict[str, Any]]:
    assert request.model is not None
    with named("model", "path"):
        backend = EngineBackend(load_model(request.model), lanes=request.lanes)
    parts = [
        story_experiment(
            backend, story, generations=request.texts or 2, resamples=request.resamples or 50, seed=request.seed
        )
        for story in STORIES
    ]
    task = FunctionTask(first_word, "the first of some words")
    runs = tuple(r for part in parts for r in part.runs)
    answers = [g.answer for part in parts for g in part.graded]
    return Experiment(runs, task, "position"), {"answers": answers}, {}


def _show(results: dict[str, Any], tables: dict[str, Any], accuracy: Any, console: Console) -> None:
    for name, value in results.items():
        if name not in ("accuracy", "notes"):
            console.print(f"{name.replace('_', ' ')}: {value}", markup=False, highlight=False)
    for name, table in tables.items():
        console.print(f"\n{name}", markup=False)
        console.print(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"), markup=False, highlight=False)
    if accuracy is not None:
        console.print(accuracy.to_dataframe().to_string(index=False), markup=False, highlight=False)
