"""Texts that were asked to revise from before a window: drawn, kept as they come, graded, stored."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sloc.contracts import require
from sloc.contracts.arguments import checked_kind, checked_seed, checked_whole
from sloc.lm.answers.contract import NOT_FOUND, Grouped
from sloc.lm.backends.contract import Backend, Continuation, Failure, Rule
from sloc.lm.experiments.detection import TextWindow
from sloc.lm.experiments.journal import Journal
from sloc.lm.experiments.runs import Experiment, Graded, recording_of
from sloc.windows.recorded import Recording

if TYPE_CHECKING:
    import pandas as pd

REVISE = "\n\nWait, let me check this again from here.\n\n"
"""Put after the cut where the model is asked to revise."""


@dataclass(frozen=True)
class Revision:
    """One generation, asked to revise from a cut.

    Attributes:
        cut: kept tokens.
        ask: what was put after the cut.
        samples: what the model wrote then, or why there is nothing.
        answers: of each sample; empty where there are none.

    """

    cut: int
    ask: str
    samples: list[Continuation] | Failure
    answers: tuple[str, ...]

    @property
    def spent(self) -> list[tuple[str, int]]:
        """Answers with the tokens that each took."""
        return (
            []
            if isinstance(self.samples, Failure)
            else [(a, c.length) for a, c in zip(self.answers, self.samples, strict=True)]
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per text: where it was cut, its answer, its tokens; no row where there are none."""
        import pandas as pd

        rows = [{"cut": self.cut, "answer": a, "tokens": n} for a, n in self.spent]
        return pd.DataFrame(rows, columns=["cut", "answer", "tokens"])


def revise(
    backend: Backend,
    experiment: Experiment,
    windows: Mapping[str, Sequence[TextWindow]],
    rule: Rule,
    *,
    n: int = 16,
    seed: int = 0,
    ask: str = REVISE,
    journal: str | None = None,
) -> dict[str, Revision]:
    """Ask the model to revise from before each generation's first window.

    Texts are drawn from ``p(. | prompt, kept tokens, ask)``.  Source: the library's own.

    Args:
        backend: the model.
        experiment: whose generations.
        windows: of them.
        rule: how texts are drawn.
        n: texts a generation, at least 1.
        seed: of the draws.
        ask: put after the cut.
        journal: a folder of finished steps to write and to go on from, of this alone; nothing is kept where None.

    Returns:
        For each generation that has a window what came of it, failures included (they are drawn again where a run
        goes on from its journal).

    Raises:
        InvalidInput: no texts asked for, nothing to ask with, or a journal of another run.

    """
    checked_kind(backend, "backend", Backend, "a Backend")
    checked_kind(experiment, "experiment", Experiment, "an Experiment")
    checked_kind(windows, "windows", Mapping, "the windows of each generation")
    checked_kind(rule, "rule", Rule, "a Rule")
    rule.validate()
    n, seed = checked_whole(n, "n", what="texts a generation"), checked_seed(seed)
    require(isinstance(ask, str) and bool(ask.strip()), "ask", ask, "a text that asks to revise")
    kept = None if journal is None else Journal(journal, _settings(backend, rule, seed, ask))
    out: dict[str, Revision] = {}
    for g in experiment.graded:
        if not windows.get(g.run.name) or g.run.origin is None:
            continue
        cut = windows[g.run.name][0].first
        drawn = _drawn(backend, g, cut, n, rule, seed, ask, kept)
        answers: tuple[str, ...] = ()
        if not isinstance(drawn, Failure):
            texts = [g.run.kept(cut) + ask + c.text for c in drawn]
            groups = Grouped(experiment.task, g.run.question, [c for c in g.categories if c != NOT_FOUND])
            answers = tuple(groups.name(a) for a in experiment.task.extract_all(texts, g.run.question))
        out[g.run.name] = Revision(cut, ask, drawn, answers)
    return out


def revision_problems(revisions: Mapping[str, Revision]) -> tuple[str, ...]:
    """Return what is missing, in words: revisions that failed, answers that were not found.

    Args:
        revisions: what was asked to revise.

    Returns:
        A sentence each; none where nothing is missing.

    """
    checked_kind(revisions, "revisions", Mapping, "what revise returned")
    out = []
    for name, made in revisions.items():
        where = f"question {name!r}, asked to revise after {made.cut} tokens"
        if isinstance(made.samples, Failure):
            out.append(f"{where}: no continuations ({made.samples.reason})")
        elif lost := made.answers.count(NOT_FOUND):
            out.append(f"{where}: no answer found in {lost} of {len(made.answers)} texts")
    return tuple(out)


def revision_recordings(experiment: Experiment, revisions: Mapping[str, Revision]) -> tuple[Recording, ...]:
    """Return every text that was asked to revise as recordings, one a generation that has any.

    Like :meth:`sloc.lm.Experiment.recordings`, with one cut each; what was put after it stands in the entry ``asked``.

    Args:
        experiment: whose texts were revised.
        revisions: of its texts.

    Returns:
        A recording a generation.

    """
    checked_kind(experiment, "experiment", Experiment, "an Experiment")
    checked_kind(revisions, "revisions", Mapping, "what revise returned")
    out = []
    for g in experiment.graded:
        made = revisions.get(g.run.name)
        if made is None or made.cut not in g.run.cuts:
            continue
        at = g.run.at[g.run.cuts.index(made.cut)]
        run = dataclasses.replace(g.run, at=(at,), cuts=(made.cut,))
        named = dataclasses.replace(g, run=run, categories=tuple(dict.fromkeys([*g.categories, *made.answers])))
        recording = recording_of(named, (made.samples,), (made.answers,), experiment.axis, asked=made.ask)
        out += [] if recording is None else [recording]
    return tuple(out)


def _settings(backend: Backend, rule: Rule, seed: int, ask: str) -> dict[str, Any]:
    own = {"format": "sloc-lm-revisions", "backend": backend.name, "seed": seed, "ask": ask}
    return {**own, "rule": dataclasses.asdict(rule)}


def _drawn(
    backend: Backend, g: Graded, cut: int, n: int, rule: Rule, seed: int, ask: str, journal: Journal | None
) -> list[Continuation] | Failure:
    """Return a generation's revisions; those in the journal are not drawn again."""
    assert g.run.origin is not None
    # The generation's own text is part of the step: another one of the same name is another step.
    own = hashlib.sha256(g.run.kept(len(g.run.origin)).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    step = (g.run.name, "revised", f"{cut}", f"{n}", own)
    known = None if journal is None else journal.get(*step)
    if known is not None:
        return [Continuation(**c) for c in known]
    drawn = backend.fork(g.run.request, g.run.origin, [cut], n, rule, seed=seed, ask=ask)[0]
    if journal is not None and not isinstance(drawn, Failure):
        journal.put([dataclasses.asdict(c) for c in drawn], *step)
    return drawn
