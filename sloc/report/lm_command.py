"""Everything behind ``sloc lm windows``: questions in, a folder of samples, windows and pages out."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.contracts import named, require
from sloc.contracts.arguments import as_real, checked_choice, checked_level, checked_whole
from sloc.contracts.extras import need
from sloc.lm.answers import NOT_FOUND, JudgeTask, Task, TemplateTask, read_task
from sloc.lm.backends import Backend, Rule, open_backend
from sloc.lm.experiments.accuracy import WindowAccuracy, window_accuracy
from sloc.lm.experiments.benchmarks import task_of
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.detection import DETECTORS, TextWindow, find_text_windows
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.interventions import comparable, compare_interventions
from sloc.lm.experiments.questions import read_questions
from sloc.lm.experiments.revisions import Revision, revise, revision_problems, revision_recordings
from sloc.lm.experiments.runs import Experiment
from sloc.lm.experiments.structured import template_jumps
from sloc.lm.sampling import Sampling
from sloc.report.command_run import CommandRun
from sloc.report.lm_index import write_experiment_pages
from sloc.report.output import jsonable
from sloc.report.run_record import digests
from sloc.windows.recorded_file import write_store

if TYPE_CHECKING:
    from rich.console import Console

HOLDS = "samples, tables and a page of each question"
"""What an output folder holds."""
STORES = {"jsonl": ".jsonl.gz", "parquet": ".parquet"}
"""Endings of the stores of samples, by their kind."""


@dataclass(frozen=True)
class LmRequest:
    """What ``sloc lm windows`` is asked for.

    Attributes:
        model: a checkpoint's folder or hub id, ``transformers:FOLDER``, or the URL of a server (``http://...``).
        data: a file of questions.
        task: how answers are read, or None where a benchmark says so.
        benchmark: whose rows the file holds, or None.
        cuts: ``"fraction"``, ``"token"`` or ``"sentence"``.
        fractions: kept fractions.
        every: one cut of tokens or sentences in so many.
        resamples: continuations a cut.
        generations: of each question.
        new_tokens: of a generation at most.
        temperature: of the draws; the model's own law where None and nothing below is given.
        top_k: of the draws.
        top_p: of the draws.
        min_p: of the draws.
        stop: texts that end a generation.
        sweep: further temperatures.
        stump: whether to ask for the answer at once at each cut.
        judge: a model that reads the answers, as ``model``; then ``judge_labels`` are the answers.
        judge_labels: what it may say; the first is the right one.
        rise: the threshold of a window.
        max_drop: the no-drop clause of the plain rule.
        alpha: error level.
        detector: which windows the accuracies are about.
        revise: texts a generation that has a window, asked to revise from before it; 0 for none.
        seed: of everything drawn.
        lanes: branches that decode at a time (own engine).
        store: ``"jsonl"`` or ``"parquet"``.
        server: options of a server by name.

    """

    model: str
    data: str
    task: str | None = None
    benchmark: str | None = None
    cuts: str = "fraction"
    fractions: tuple[float, ...] = Cuts().fractions
    every: int = 1
    resamples: int = 25
    generations: int = 1
    new_tokens: int = 256
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()
    sweep: tuple[float, ...] = ()
    stump: bool = False
    judge: str | None = None
    judge_labels: tuple[str, ...] = ("right", "wrong")
    rise: float = 0.5
    max_drop: float | None = None
    alpha: float = 0.05
    detector: str = "test"
    revise: int = 0
    seed: int = 0
    lanes: int = 512
    store: str = "jsonl"
    server: Mapping[str, Any] = field(default_factory=dict)

    def to_arguments(self) -> dict[str, Any]:
        """Return every argument by name, files and folders with their whole paths."""
        # What a server is asked with may hold a key.
        server = {k: v for k, v in self.server.items() if k != "key"}
        server |= {k: placed(server[k]) for k in ("adapter", "tokenizer") if k in server}
        whole = {"model": placed(self.model), "judge": placed(self.judge), "server": server}
        return dataclasses.asdict(self) | {"data": str(Path(self.data).resolve())} | whole

    def settings(self) -> ExperimentSettings:
        """Return what is drawn.

        Raises:
            InvalidInput: settings out of range.

        """
        given = {k: getattr(self, k) for k in ("temperature", "top_k", "top_p", "min_p")}
        given = {k: v for k, v in given.items() if v is not None}
        settings = ExperimentSettings(
            Cuts(self.cuts, self.fractions, self.every),
            self.resamples,
            Rule(self.new_tokens, Sampling(**given) if given else None, self.stop),
            self.sweep,
            self.stump,
            generations=self.generations,
            seed=self.seed,
        )
        settings.validate()
        checked_choice(self.detector, "detector", DETECTORS)
        require(0 <= as_real(self.rise) < 1, "rise", self.rise, "a threshold in [0, 1)")
        checked_level(self.alpha, "alpha")
        good = self.max_drop is None or 0 <= self.max_drop <= 1
        require(good, "max_drop", self.max_drop, "a number in [0, 1]")
        checked_whole(self.revise, "revise", 0)
        checked_choice(self.store, "store", STORES)
        if self.store == "parquet":
            need("data", "pyarrow", "a store in Parquet")
        checked_whole(self.lanes, "lanes")
        return settings

    def read_task(self) -> Task:
        """Return the task; that of the benchmark where none is given.

        Raises:
            InvalidInput: neither is given, or the task is none.

        """
        if self.task is None:
            require(self.benchmark is not None, "task", None, "a task, where the data is no benchmark's")
            assert self.benchmark is not None
            return read_task(task_of(self.benchmark))
        return read_task(self.task)


def placed(name: str | None) -> str | None:
    """Return the name of a model with its whole path where it is a folder here; hub ids and addresses stay."""
    kind, colon, rest = "", "", name or ""
    if rest.startswith("transformers:"):
        kind, colon, rest = rest.partition(":")
    return kind + colon + str(Path(rest).resolve()) if rest and Path(rest).is_dir() else name


def run_lm_windows(
    request: LmRequest,
    out: str | os.PathLike[str] | None,
    *,
    overwrite: bool = False,
    json: bool = False,
    backend: Backend | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Generate, resample, read answers, find windows, and write the output folder.

    The folder holds ``index.html`` and ``questions/*.html``; ``samples.jsonl.gz`` (every sample, which ``sloc traces``
    reads too), ``stumps.jsonl.gz``, ``sweep-T.jsonl.gz`` and ``revised.jsonl.gz`` where asked for; ``answers.csv`` (one
    row a generation), ``same.csv`` (shares of the same answer), ``windows.csv``, ``steps.csv``; ``accuracy.csv`` and
    ``interventions.csv`` where truths are known, ``jumps.csv`` of a template; ``problems.txt`` and ``run.json``.  While
    it runs, what is done lies in a hidden folder beside the output folder, and the same command goes on from there.

    Args:
        request: what is asked for.
        out: the folder to write; nothing is written when None (and a run that is cut off begins again).
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of a table.
        backend: a model that is open already, instead of ``request.model``.
        progress: say on standard error what is done.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input, another run's steps beside the folder, or a folder that cannot be written.

    """
    settings, task = request.settings(), request.read_task()
    with named("data", "path"):
        questions = read_questions(request.data, benchmark=request.benchmark)
    run = CommandRun("lm windows", out, overwrite=overwrite, json=json)
    journal = None if out is None else journal_folder(out)
    options = dict(request.server)
    with named("model", "name"):
        model = backend or open_backend(request.model, lanes=request.lanes, **options)
    if request.judge is not None:
        same = request.judge == request.model
        with named("judge", "name"):
            judge = model if same else open_backend(request.judge, lanes=request.lanes, **options)
        kept = None if journal is None else str(journal / "verdicts")
        words = request.judge_labels
        with named("judge_labels", "labels", "right_label"):
            task = JudgeTask(judge, words, right_label=words[0], asks=task.instructions, journal=kept)
    said = _progress if progress else None
    experiment = run_experiment(
        model, questions, task, settings, journal=None if journal is None else str(journal), progress=said
    )
    require(any(r.cuts for r in experiment.runs), "model", request.model, _nothing(experiment))
    windows = experiment_windows(experiment, request)
    accuracy = experiment_accuracy(experiment, windows[request.detector])
    revised: dict[str, Revision] = {}
    if accuracy is not None and request.revise:
        own = None if journal is None else str(journal / "revised")
        chosen, n, seed = windows[request.detector], request.revise, request.seed
        revised = revise(model, experiment, chosen, settings.rule, n=n, seed=seed, journal=own)
    tables = _tables(experiment, windows[request.detector], accuracy, revised, request)
    results = _results(experiment, windows, accuracy, task, revised, request)
    results |= digests(request, "data")
    results |= {name: jsonable(table.to_dict("records")) for name, table in tables.items()}
    record = run.record(request.to_arguments(), results, _problems(experiment, accuracy, revised, request))
    run.write(record, lambda folder: write_experiment(folder, experiment, windows, accuracy, request, tables, revised))
    if not results["failures"] and journal is not None:
        shutil.rmtree(journal, ignore_errors=True)
    return run.say(record, lambda console: _show(experiment, windows, accuracy, console), HOLDS)


def _tables(
    experiment: Experiment,
    windows: Mapping[str, tuple[TextWindow, ...]],
    accuracy: WindowAccuracy | None,
    revised: Mapping[str, Revision],
    request: LmRequest,
) -> dict[str, Any]:
    """Return what interventions would have given, and the jumps of a template, where there are any."""
    tables: dict[str, Any] = {}
    if accuracy is not None and comparable(experiment, windows):
        sizes = tuple(s for s in (1, 4, 16) if s <= request.resamples)
        found = compare_interventions(experiment, windows, sizes=sizes, revised=revised or None, seed=request.seed)
        tables["interventions"] = found.to_dataframe()
    if isinstance(experiment.task, TemplateTask) and experiment.axis == "position":
        import pandas as pd

        parts = [j.to_dataframe() for j in template_jumps(experiment, alpha=request.alpha)]
        if parts:
            tables["jumps"] = pd.concat(parts, ignore_index=True)
    return tables


def journal_folder(out: str | os.PathLike[str]) -> Path:
    """Return where the steps of a run that writes ``out`` lie."""
    target = Path(out).expanduser().absolute()
    return target.parent / f".{target.name}.journal"


def _nothing(experiment: Experiment) -> str:
    return f"a generation that can be cut; {'; '.join(experiment.problems[:3])}"


def experiment_windows(experiment: Experiment, request: LmRequest) -> dict[str, dict[str, tuple[TextWindow, ...]]]:
    """Return the windows of an experiment by each detector."""
    options: dict[str, Any] = {"rise": request.rise, "alpha": request.alpha}
    return {
        kind: find_text_windows(
            experiment, detector=kind, max_drop=request.max_drop if kind == "rule" else None, **options
        )
        for kind in DETECTORS
    }


def experiment_accuracy(experiment: Experiment, windows: Mapping[str, tuple[TextWindow, ...]]) -> WindowAccuracy | None:
    """Return accuracy with and without windows; None where no truth is known."""
    seen = [g for g in experiment.graded if g.run.name in windows]
    if all(g.right is None for g in seen):
        return None
    return window_accuracy(
        [g.run.question.id for g in seen],
        [g.right for g in seen],
        [bool(windows[g.run.name]) for g in seen],
        found=[g.answer != NOT_FOUND for g in seen],
    )


def _results(
    experiment: Experiment,
    windows: Mapping[str, Mapping[str, tuple[TextWindow, ...]]],
    accuracy: WindowAccuracy | None,
    task: Task,
    revised: Mapping[str, Revision],
    request: LmRequest,
) -> dict[str, Any]:
    table: Any = experiment.to_dataframe()
    judge = task.failures if isinstance(task, JudgeTask) else []
    problems = _problems(experiment, accuracy, revised, request)
    missing = [p for p in problems if "no generation" in p or "no continuations" in p]
    revisions = [a for r in revised.values() for a in r.answers]
    return {
        "task": task.name,
        "generations": len(table),
        "right": int((table["right"] == True).sum()),  # noqa: E712  a column of True, False and None
        "answers_not_found": int((table["answer"] == NOT_FOUND).sum()),
        "continuations": int(table["continuations"].sum()),
        "continuations_not_found": int(table["not_found"].sum()),
        "windows": {kind: sum(len(w) for w in each.values()) for kind, each in windows.items()},
        "with_windows": {kind: sum(bool(w) for w in each.values()) for kind, each in windows.items()},
        "accuracy": None if accuracy is None else dataclasses.asdict(accuracy),
        "failures": [*missing, *judge],
        "revisions": len(revisions),
        "revisions_not_found": revisions.count(NOT_FOUND),
    }


def _problems(
    experiment: Experiment, accuracy: WindowAccuracy | None, revised: Mapping[str, Revision], request: LmRequest
) -> list[str]:
    """Return what is missing, in words."""
    idle = request.revise > 0 and accuracy is None
    notes = ["no generation is known to be right or wrong: none was asked to revise"] if idle else []
    return [*experiment.problems, *revision_problems(revised), *notes]


def write_experiment(
    folder: Path,
    experiment: Experiment,
    windows: Mapping[str, Mapping[str, tuple[TextWindow, ...]]],
    accuracy: WindowAccuracy | None,
    request: LmRequest,
    tables: Mapping[str, Any] | None = None,
    revised: Mapping[str, Revision] | None = None,
) -> None:
    """Write everything but ``run.json`` into a folder."""
    import pandas as pd

    end = STORES[request.store]
    write_store(folder / f"samples{end}", experiment.recordings())
    if request.stump and (stumps := experiment.recordings(stump=True)):
        write_store(folder / f"stumps{end}", stumps)
    for t in request.sweep:
        if swept := experiment.recordings(temperature=t):
            write_store(folder / f"sweep-{t:g}{end}", swept)
    if asked := revision_recordings(experiment, revised or {}):
        write_store(folder / f"revised{end}", asked)
    experiment.to_dataframe().to_csv(folder / "answers.csv", index=False)
    rows = [vars(w) for each in windows.values() for own in each.values() for w in own]
    pd.DataFrame(rows, columns=list(TextWindow.__dataclass_fields__)).to_csv(folder / "windows.csv", index=False)
    _same(experiment, request.alpha).to_csv(folder / "same.csv", index=False)
    traced = experiment.windows(rise=request.rise, max_drop=request.max_drop, alpha=request.alpha)
    traced.steps_dataframe().to_csv(folder / "steps.csv", index=False)
    if accuracy is not None:
        accuracy.to_dataframe().to_csv(folder / "accuracy.csv", index=False)
    for name, table in (tables or {}).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    problems = _problems(experiment, accuracy, revised or {}, request)
    (folder / "problems.txt").write_text("".join(f"{p}\n" for p in problems), "utf-8", "replace")
    notes = [f"{request.model}; windows of accuracies: {request.detector}, rise {request.rise:g}."]
    write_experiment_pages(folder, experiment, windows, accuracy, tables, notes=notes)


def _same(experiment: Experiment, alpha: float) -> Any:
    """Return one row a generation, kind and cut: the share of the generation's own answer, with its band."""
    import pandas as pd

    rows = [
        {
            "question": c.question,
            "kind": kind,
            "kept": float(c.kept[i]),
            "draws": int(c.draws[i]),
            "same": float(c.same[i]),
            "lower": float(c.lower[i, 0]),
            "upper": float(c.upper[i, 0]),
        }
        for kind, traced in experiment.same_curves(alpha=alpha).items()
        for c in traced.curves
        for i in range(c.kept.size)
    ]
    return pd.DataFrame(rows)


def _progress(name: str, done: int, total: int) -> None:
    import sys

    sys.stderr.write(f"{done}/{total} {name}\n")


def _show(
    experiment: Experiment,
    windows: Mapping[str, Mapping[str, tuple[TextWindow, ...]]],
    accuracy: WindowAccuracy | None,
    console: Console,
) -> None:
    from rich.table import Table
    from rich.text import Text

    from sloc.report.page_parts import shortened

    table = Table(title=f"{len(experiment.runs)} generations")
    for name in ("question", "answer", "right", "tokens", *windows, "where"):
        table.add_column(name, justify="right" if name in ("tokens", *windows) else "left", overflow="fold")
    for g in experiment.graded[:40]:
        own = {k: each.get(g.run.name, ()) for k, each in windows.items()}
        where = next((w.text for each in own.values() for w in each), "")
        table.add_row(
            Text(shortened(g.run.name, 30)),
            Text(shortened(g.answer, 24)),
            {True: "yes", False: "no", None: "–"}[g.right],
            "–" if g.run.origin is None else str(len(g.run.origin)),
            *(str(len(each)) for each in own.values()),
            Text(shortened(where, 40) if where else ""),
        )
    if len(experiment.graded) > 40:
        table.caption = f"{len(experiment.graded) - 40} more not shown"
    console.print(table)
    if accuracy is not None:
        for row in accuracy.to_dataframe().to_dict("records"):
            said = f"{row['quantity']}: {row['value']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
            console.print(said, markup=False, highlight=False)
