"""What a resampling experiment drew, graded: answers, recordings, windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require, shown
from sloc.contracts.arguments import as_real, checked_whole
from sloc.lm.answers.contract import NOT_FOUND, Grouped, Task
from sloc.lm.backends.contract import Continuation, Failure, Generation, Request
from sloc.lm.experiments.questions import Question
from sloc.lm.sampling import Sampling
from sloc.results import TraceWindows
from sloc.results.resampled import Axis
from sloc.windows.recorded import Recording, make_branch, make_recording
from sloc.windows.resampled import trace_windows
from sloc.windows.traces_table import trace_table

if TYPE_CHECKING:
    import pandas as pd

Samples = tuple[list[Continuation] | Failure, ...]
"""For each cut its continuations, or why there are none."""


@dataclass(frozen=True)
class QuestionRun:
    """One generation and its continuations.

    Attributes:
        question: what was asked.
        number: of the generation, from 0.
        request: as it was put.
        origin: the generation, None where it failed.
        failure: why it failed, or empty.
        at: kept part of each cut, as the axis counts it.
        cuts: kept tokens of each cut.
        samples: continuations by temperature, None for the run's own.
        stumps: continuations that were asked for the answer at once, or empty.

    """

    question: Question
    number: int
    request: Request
    origin: Generation | None
    failure: str
    at: tuple[float, ...]
    cuts: tuple[int, ...]
    samples: Mapping[float | None, Samples]
    stumps: Samples

    @property
    def name(self) -> str:
        """Of the question, with the number of the generation from the second on."""
        return self.request.name

    def kept(self, cut: int) -> str:
        """Return the text of the first tokens of the generation, its prefill included."""
        assert self.origin is not None
        cut = checked_whole(cut, "cut", 0, len(self.origin), what="tokens")
        return self.request.prefill + "".join(self.origin.pieces[:cut])


@dataclass(frozen=True)
class Graded:
    """The answers of one generation.

    Attributes:
        run: what was drawn.
        truth: the right answer, or None.
        answer: the generation's own; :data:`NOT_FOUND` where none was found.
        right: whether it is right; None where that is not known, or no answer was found.
        answers: for each temperature and cut the answers of its continuations (empty where they failed).
        stumps: for each cut the answers asked for at once.
        categories: every answer that was given: the right one first if it was, then the generation's.

    """

    run: QuestionRun
    truth: str | None
    answer: str
    right: bool | None
    answers: Mapping[float | None, tuple[tuple[str, ...], ...]]
    stumps: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]


def grade(run: QuestionRun, task: Task) -> Graded:
    """Read the answers of a generation and of all its continuations."""
    question = run.question
    if run.origin is None:
        return Graded(run, question.truth, NOT_FOUND, None, {}, (), ())
    whole = [run.request.prefill + run.origin.text]
    places: list[tuple[float | None, int]] = []
    for temperature, samples in run.samples.items():
        for j, drawn in enumerate(samples):
            for c in [] if isinstance(drawn, Failure) else drawn:
                whole.append(run.kept(run.cuts[j]) + c.text)
                places.append((temperature, j))
    read = task.extract_all(whole, question)
    groups = Grouped(task, question, [] if question.truth is None or not _truth_is_answer(task) else [question.truth])
    names = [groups.name(a) for a in read]
    answers: dict[float | None, list[list[str]]] = {t: [[] for _ in run.cuts] for t in run.samples}
    for (temperature, j), name in zip(places, names[1:], strict=True):
        answers[temperature][j].append(name)
    stumps = []
    for drawn in run.stumps:
        texts = [] if isinstance(drawn, Failure) else [c.text for c in drawn]
        stumps.append(tuple(groups.name(a) for a in task.extract_all(texts, question, stump=True)))
    answer = names[0]
    right = None if answer == NOT_FOUND else task.right(answer, question)
    given = Counter([*names, *(a for s in stumps for a in s)])
    firsts = [a for a in (question.truth, answer) if a in given and a != NOT_FOUND]
    rest = [a for a, _ in given.most_common() if a not in firsts and a != NOT_FOUND]
    categories = tuple(dict.fromkeys([*(a for a in firsts if a is not None), *rest]))
    if NOT_FOUND in given:
        categories = (*categories, NOT_FOUND)
    frozen = {t: tuple(tuple(a) for a in each) for t, each in answers.items()}
    return Graded(run, question.truth, answer, right, frozen, tuple(stumps), categories)


def _truth_is_answer(task: Task) -> bool:
    from sloc.lm.answers.judge import JudgeTask

    return not isinstance(task, JudgeTask)


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that a resampling experiment drew.

    Attributes:
        runs: one a generation, in the order of the questions.
        task: how answers are read.
        axis: what a kept part is counted in.
        sampling: law of the run, None for the model's own.
        temperatures: of the sweep.

    """

    runs: tuple[QuestionRun, ...]
    task: Task
    axis: str
    sampling: Sampling | None = None
    temperatures: tuple[float, ...] = ()

    @cached_property
    def graded(self) -> tuple[Graded, ...]:
        """The answers of each generation."""
        return tuple(grade(r, self.task) for r in self.runs)

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What is missing, in words: generations and cuts that failed, empty generations, answers not found."""
        out = []
        for g in self.graded:
            name, origin = g.run.name, g.run.origin
            if origin is None:
                out.append(f"question {name!r}: no generation ({g.run.failure})")
                continue
            if len(origin) == 0:
                out.append(f"question {name!r}: an empty generation: nothing to cut")
            for samples in (*g.run.samples.values(), g.run.stumps):
                failed = [(c, s) for c, s in zip(g.run.cuts, samples, strict=False) if isinstance(s, Failure)]
                out += [f"question {name!r}, {c} tokens kept: no continuations ({s.reason})" for c, s in failed]
            if g.answer == NOT_FOUND:
                out.append(f"question {name!r}: no answer found in the generation")
            drawn = [a for point in g.answers.get(None, ()) for a in point]
            lost = drawn.count(NOT_FOUND)
            if lost:
                out.append(f"question {name!r}: no answer found in {lost} of {len(drawn)} continuations")
            cut = sum(s.reason == "length" for each in g.run.samples.get(None, ()) for s in _list(each))
            if cut:
                out.append(f"question {name!r}: {cut} continuations ended by their number of tokens")
        return tuple(out)

    def recordings(self, *, temperature: float | None = None, stump: bool = False) -> tuple[Recording, ...]:
        """Return every sample as recordings, one a generation that has continuations.

        Branches carry the texts, the first tokens, and why each text ended; questions carry the tokens of the
        generation.  Write them by :func:`sloc.windows.write_store`.

        Args:
            temperature: of the sweep; the run's own where None.
            stump: the answers that were asked for at once instead.

        Raises:
            InvalidInput: a temperature that the run has not.

        """
        known = temperature is None or as_real(temperature) in self.temperatures
        require(known, "temperature", temperature, f"None, or one of the run's: {shown(self.temperatures)}")
        out = []
        for g in self.graded:
            samples = g.run.stumps if stump else g.run.samples.get(temperature, ())
            answers = g.stumps if stump else g.answers.get(temperature, ())
            made = recording_of(g, samples, answers, self.axis)
            if made is not None:
                out.append(made)
        return tuple(out)

    def windows(
        self,
        *,
        temperature: float | None = None,
        stump: bool = False,
        rise: float = 0.5,
        max_drop: float | None = None,
        alpha: float = 0.05,
        **options: Any,
    ) -> TraceWindows:
        """Return curves of "same answer as the generation" and their windows (:func:`sloc.windows.trace_windows`).

        Both definitions stand in the result: the plain rule of the paper (with ``max_drop``, its no-drop clause) and
        the calibrated test.

        Raises:
            InvalidInput: no generation has continuations, or settings out of range.

        """
        table = trace_table(self.to_frame(temperature=temperature, stump=stump))
        return trace_windows(table, rise=rise, max_drop=max_drop, alpha=alpha, **options)

    def same_curves(self, *, alpha: float = 0.05) -> dict[str, TraceWindows]:
        """Return the curves of "same answer" of each kind: ``"resampled"``, ``"temperature T"``, ``"asked at once"``.

        Early answers are compared with the generation's own.  Kinds without continuations are left out.

        Args:
            alpha: error level of the bands.

        """
        kinds: dict[str, dict[str, Any]] = {"resampled": {}}
        kinds |= {f"temperature {t:g}": {"temperature": t} for t in self.temperatures}
        kinds |= {"asked at once": {"stump": True}} if any(g.stumps for g in self.graded) else {}
        return {
            name: self.windows(alpha=alpha, **options) for name, options in kinds.items() if self.recordings(**options)
        }

    def to_frame(self, *, temperature: float | None = None, stump: bool = False) -> pd.DataFrame:
        """Return one row a continuation, and one for each whole generation, as ``sloc traces`` reads them."""
        import pandas as pd

        recordings = self.recordings(temperature=temperature, stump=stump)
        require(len(recordings) > 0, "experiment", self.problems[:3], "continuations of at least one generation")
        parts = []
        for recording in recordings:
            frame: Any = recording.to_frame()
            whole = {"question": recording.question, self.axis: recording.full, "answer": recording.reference}
            last = pd.DataFrame(
                [{**whole, "weight": 1.0, "draw": 0, "branch": "", "branch_weight": 1.0, "taken": True}]
            )
            parts += [frame, last]
        frame = pd.concat(parts, ignore_index=True)
        return frame[["question", self.axis, "draw", "answer", "weight"]]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a generation: its answer, whether it is right, its tokens, how many answers were not found."""
        import pandas as pd

        rows = []
        for g in self.graded:
            drawn = [a for point in g.answers.get(None, ()) for a in point]
            rows.append(
                {
                    "question": g.run.name,
                    "truth": g.truth,
                    "answer": g.answer,
                    "right": g.right,
                    "tokens": None if g.run.origin is None else len(g.run.origin),
                    "ended": None if g.run.origin is None else g.run.origin.reason,
                    "continuations": len(drawn),
                    "not_found": drawn.count(NOT_FOUND),
                    "right_continuations": self._right(g, drawn),
                    "failure": g.run.failure,
                }
            )
        return pd.DataFrame(rows)

    def _right(self, g: Graded, drawn: Sequence[str]) -> int | None:
        known = {a: self.task.right(a, g.run.question) for a in set(drawn) - {NOT_FOUND}}
        unknown = g.run.question.truth is None and all(v is None for v in known.values())
        return None if unknown else sum(bool(known.get(a)) for a in drawn)


def _list(samples: list[Continuation] | Failure) -> list[Continuation]:
    return [] if isinstance(samples, Failure) else samples


def recording_of(
    g: Graded, samples: Samples, answers: Sequence[Sequence[str]], axis: str, **more: Any
) -> Recording | None:
    """Return the continuations of a generation's cuts as a recording, None where all failed.

    Args:
        g: the generation, with the cuts that were continued.
        samples: for each cut its continuations.
        answers: of each of them.
        axis: what a kept part is counted in.
        more: further entries about the question.

    """
    origin = g.run.origin
    branches, expected = [], []
    for at, cut, drawn, names in zip(g.run.at, g.run.cuts, samples, answers, strict=False):
        expected.append(at)
        if isinstance(drawn, Failure) or not drawn:
            continue
        extra = {
            "tokens": cut,
            "texts": [c.text for c in drawn],
            "firsts": [c.first for c in drawn],
            "reasons": [c.reason for c in drawn],
        }
        costs = np.asarray([c.length for c in drawn], np.int64)
        where = f"question {g.run.name!r}, {cut} tokens kept"
        branches.append(make_branch(where, g.categories, names, at, "", 1.0, taken=False, costs=costs, extra=extra))
    if origin is None or not branches:
        return None
    asked = {"question": g.run.question.shown}
    meta = {
        "meta": asked,
        "prefill": g.run.request.prefill,
        "pieces": list(origin.pieces),
        "log_probs": None if origin.log_probs is None else list(origin.log_probs),
        "ended": origin.reason,
        "truth": g.truth,
        "right": g.right,
        "id": g.run.question.id,
        "generation": g.run.number,
        **more,
    }
    kind: Axis = "fraction" if axis == "fraction" else "position"
    full = 1.0 if kind == "fraction" else float(len(origin))
    recording, _ = make_recording(
        g.run.name,
        g.categories,
        branches,
        axis=kind,
        full=full,
        reference=g.answer,
        expected=tuple(expected),
        meta=meta,
    )
    return recording
