"""A resampling experiment: generations, their continuations from cuts, and the answers of all of them.

Source of the experiment: Li, Karan & Chen 2025, Sect. 6.2.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sloc.contracts import require
from sloc.contracts.arguments import as_real, as_whole, checked_kind, checked_seed, checked_whole
from sloc.lm.answers.contract import Task
from sloc.lm.backends.contract import Backend, Continuation, Failure, Generation, Request, Rule
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.journal import Journal
from sloc.lm.experiments.questions import Question, check_names, check_questions
from sloc.lm.experiments.runs import Experiment, QuestionRun, Samples
from sloc.lm.sampling import Sampling

Progress = Callable[[str, int, int], None]
"""Called with what is done, and of how many."""


@dataclass(frozen=True)
class ExperimentSettings:
    """What is drawn.

    Attributes:
        cuts: where generations are cut.
        resamples: continuations a cut, at least 2.
        rule: how texts are drawn.
        temperatures: further temperatures at which the same cuts are continued (a sweep), or empty.
        stump: whether to ask for the answer at once at each cut.
        stump_tokens: tokens of such an answer at most.
        generations: of each question.
        seed: of everything drawn.

    """

    cuts: Cuts = dataclasses.field(default_factory=Cuts)
    resamples: int = 25
    rule: Rule = dataclasses.field(default_factory=Rule)
    temperatures: tuple[float, ...] = ()
    stump: bool = False
    stump_tokens: int = 16
    generations: int = 1
    seed: int = 0

    def validate(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InvalidInput: names the entry.

        """
        checked_kind(self.cuts, "cuts", Cuts, "Cuts")
        checked_kind(self.rule, "rule", Rule, "a Rule")
        self.cuts.validate()
        self.rule.validate()
        require(as_whole(self.resamples) >= 2, "resamples", self.resamples, "at least 2: one allows no interval")
        checked_whole(self.stump_tokens, "stump_tokens")
        checked_whole(self.generations, "generations")
        checked_seed(self.seed)
        listed = isinstance(self.temperatures, (tuple, list))
        good = (
            listed
            and all(0 <= as_real(t) < math.inf for t in self.temperatures)
            and len(set(self.temperatures)) == len(self.temperatures)
        )
        require(good, "temperatures", self.temperatures, "numbers that are at least 0, each once")


def run_experiment(
    backend: Backend,
    questions: Sequence[Question],
    task: Task,
    settings: ExperimentSettings | None = None,
    *,
    journal: str | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Draw generations, continue each from its cuts, and read all answers.

    Continuations are draws from ``p(. | prompt, kept tokens)``.  Source: Li, Karan & Chen 2025, Sect. 6.2.

    Texts are kept and graded at the end, so that another task can read them again from the journal.  What failed after
    its retries is listed and drawn again when the run is resumed.

    Args:
        backend: the model.
        questions: of different names.
        task: how questions are put and answers read.
        settings: what is drawn.
        journal: a folder of finished steps to write and to go on from (see
            ``sloc.lm.experiments.journal.Journal``); nothing is kept where None.
        progress: called after each step.

    Returns:
        Every text and answer.

    Raises:
        InvalidInput: settings out of range, two questions of one name, or a journal of another run.

    """
    checked_kind(backend, "backend", Backend, "a Backend")
    checked_kind(task, "task", Task, "a Task")
    checked_kind(settings, "settings", ExperimentSettings, "ExperimentSettings, or None", optional=True)
    require(progress is None or callable(progress), "progress", progress, "a function, or None")
    settings = settings or ExperimentSettings()
    settings.validate()
    questions = check_questions(questions)
    kept = None if journal is None else Journal(journal, run_settings(backend, questions, task, settings))
    steps = _Steps(backend, task, settings, kept)
    asked = [(q, g, put_question(backend, task, q, g)) for q in questions for g in range(settings.generations)]
    check_names([r.name for _, _, r in asked])
    runs: list[QuestionRun] = []
    # Continued as soon as they are there: a back end may still hold what it made of them.
    for start in range(0, len(asked), backend.at_once):
        part = asked[start : start + backend.at_once]
        origins = steps.originals([r for _, _, r in part])
        for (question, number, request), origin in zip(part, origins, strict=True):
            runs.append(steps.run(question, number, request, origin))
            if progress is not None:
                progress(request.name, len(runs), len(asked))
    return Experiment(tuple(runs), task, settings.cuts.axis, settings.rule.sampling, settings.temperatures)


def run_settings(
    backend: Backend, questions: Sequence[Question], task: Task, settings: ExperimentSettings
) -> dict[str, Any]:
    """Return what the texts of a run depend on, in JSON's types: a journal of other settings is another run's.

    Number of questions apart: each question's own text is part of its step, so that a file may grow.
    """
    return {
        "format": "sloc-lm-journal",
        "backend": backend.name,
        "instructions": task.instructions,
        "stump": task.stump if settings.stump else None,
        "settings": dataclasses.asdict(settings),
    }


def put_question(backend: Backend, task: Task, question: Question, number: int = 0) -> Request:
    """Return the request of a question's generation.

    Args:
        backend: decides between a chat and a text.
        task: how the question is put.
        question: raw ones are sent as they are.
        number: of the generation.

    """
    name = question.id if number == 0 else f"{question.id}#{number + 1}"
    if question.raw:
        return Request(name, question.text, question.prefill)
    if not isinstance(question.text, str):
        last = dict(question.text[-1])
        if task.instructions and last.get("role") == "user":
            last["content"] = f"{last['content']}\n\n{task.instructions}"
        return Request(name, (*question.text[:-1], last), question.prefill)
    text = task.prompt(question)
    if backend.chats:
        return Request(name, ({"role": "user", "content": text},), question.prefill)
    return Request(name, f"{text}\n\n", question.prefill)


class _Steps:
    """The steps of a run, done or read from its journal."""

    def __init__(self, backend: Backend, task: Task, settings: ExperimentSettings, journal: Journal | None) -> None:
        self.backend, self.task, self.settings, self.journal = backend, task, settings, journal

    def run(self, question: Question, number: int, request: Request, origin: Generation | Failure) -> QuestionRun:
        """Continue one generation from its cuts."""
        settings, rule = self.settings, self.settings.rule
        if isinstance(origin, Failure):
            return QuestionRun(question, number, request, None, origin.reason, (), (), {}, ())
        cuts = settings.cuts.of(origin.pieces)
        at = [c for _, c in cuts]
        samples: dict[float | None, Samples] = {
            None: self._forked(request, origin, at, settings.resamples, rule, "resampled")
        }
        for t in settings.temperatures:
            law = dataclasses.replace(rule.sampling or Sampling(), temperature=t)
            swept = dataclasses.replace(rule, sampling=law)
            samples[t] = self._forked(request, origin, at, settings.resamples, swept, f"temperature {t:g}")
        stumps: tuple[list[Continuation] | Failure, ...] = ()
        if settings.stump:
            asked = dataclasses.replace(rule, new_tokens=settings.stump_tokens)
            stumps = self._forked(request, origin, at, settings.resamples, asked, "stump", self.task.stump)
        return QuestionRun(question, number, request, origin, "", tuple(f for f, _ in cuts), tuple(at), samples, stumps)

    def _step(self, request: Request, *names: str) -> tuple[str, ...]:
        text = json.dumps([request.prompt, request.prefill], ensure_ascii=False)
        return (request.name, *names, hashlib.sha256(text.encode()).hexdigest()[:12])

    def originals(self, requests: Sequence[Request]) -> list[Generation | Failure]:
        """Return the generations; those in the journal are not drawn again."""
        steps = [self._step(r, "original") for r in requests]
        known = [None if self.journal is None else self.journal.get(*s) for s in steps]
        out: list[Generation | Failure] = [Failure("") if k is None else Generation.from_json(k) for k in known]
        open_ = [i for i, k in enumerate(known) if k is None]
        if open_:
            made = self.backend.generate([requests[i] for i in open_], self.settings.rule, seed=self.settings.seed)
            for i, generation in zip(open_, made, strict=True):
                out[i] = generation
                if self.journal is not None and isinstance(generation, Generation):
                    self.journal.put(generation.to_json(), *steps[i])
        return out

    def _forked(
        self,
        request: Request,
        origin: Generation,
        cuts: Sequence[int],
        n: int,
        rule: Rule,
        stage: str,
        ask: str = "",
    ) -> tuple[list[Continuation] | Failure, ...]:
        """Return the continuations of all cuts; those in the journal are not drawn again."""
        steps = [self._step(request, stage, f"{c}") for c in cuts]
        known = [None if self.journal is None else self.journal.get(*s) for s in steps]
        open_ = [i for i, k in enumerate(known) if k is None]
        out: list[list[Continuation] | Failure] = [
            Failure("") if k is None else [Continuation(**c) for c in k] for k in known
        ]
        # Some cuts at a time, so that what is done is kept; draws do not depend on it.
        size = max(1, self.backend.batch // n)
        for start in range(0, len(open_), size):
            part = open_[start : start + size]
            made = self.backend.fork(
                request, origin, [cuts[i] for i in part], n, rule, seed=self.settings.seed, ask=ask
            )
            for i, continuations in zip(part, made, strict=True):
                out[i] = continuations
                if self.journal is not None and not isinstance(continuations, Failure):
                    self.journal.put([dataclasses.asdict(c) for c in continuations], *steps[i])
        return tuple(out)
