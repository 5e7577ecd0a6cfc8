"""The pages of an experiment on a language model: an index over its questions, and one page a generation."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sloc.contracts.writing import write_whole
from sloc.lm.answers import NOT_FOUND
from sloc.lm.experiments.accuracy import LABELS, WindowAccuracy
from sloc.lm.experiments.detection import TextWindow
from sloc.lm.experiments.runs import Experiment, Graded
from sloc.report.lm_page import decided, question_page
from sloc.report.page_parts import page, safe, shortened, table

FoundWindows = Mapping[str, Mapping[str, Sequence[TextWindow]]]
"""Windows by what found them, then by generation."""


def write_experiment_pages(
    folder: str | os.PathLike[str],
    experiment: Experiment,
    windows: FoundWindows,
    accuracy: WindowAccuracy | None = None,
    tables: Mapping[str, Any] | None = None,
    *,
    title: str = "Critical windows of text",
    notes: Sequence[str] = (),
) -> Path:
    """Write ``index.html`` and one page a generation under ``questions/``.

    The pages are self-contained: no script, nothing fetched, every text of the model and of the questions escaped.

    Args:
        folder: must exist.
        experiment: what was drawn.
        windows: by what found them.
        accuracy: with and without windows.
        tables: further data frames by name, shown on the index.
        title: of the index.
        notes: of the run, shown on the index.

    Returns:
        The path of the index.

    """
    place = Path(folder)
    (place / "questions").mkdir(exist_ok=True)
    kinds = experiment.same_curves()
    more = {k: {c.question: c for c in traced.curves} for k, traced in kinds.items()} if len(kinds) > 1 else {}
    recordings = {r.question: r for r in experiment.recordings()}
    problems = experiment.problems
    rows = []
    for number, g in enumerate(experiment.graded, 1):
        name, recording = g.run.name, recordings.get(g.run.name)
        own = {kind: each.get(name, ()) for kind, each in windows.items()}
        link, largest = safe(shortened(name, 40)), ""
        if recording is not None:
            mine = [p for p in problems if p.startswith(f"question {name!r}")]
            found = decided(recording)
            curves = {k: each[name] for k, each in more.items() if name in each}
            text = question_page(recording, own, found=found, curves=curves, back="../index.html", notes=mine)
            write_whole(place / "questions" / f"{number:04}.html", text.encode())
            link = f'<a href="questions/{number:04}.html">{link}</a>'
            largest = _bar(float(found.moved.max()))
        rows.append(_row(g, link, own, largest))
    counts = [f"windows, {k}" for k in windows]
    head = ("question", "asked", "answer", "verdict", "tokens", *counts, "largest step")
    body = [
        f"<h1>{safe(title)}</h1>",
        *(f"<p>{safe(n)}</p>" for n in notes),
        table(head, rows, range(4, 5 + len(counts))),
        "" if accuracy is None else accuracy_part(accuracy),
        *(_frame_part(name, frame) for name, frame in (tables or {}).items()),
        _problems(problems),
    ]
    return write_whole(place / "index.html", page(title, body).encode())


def _frame_part(name: str, frame: Any) -> str:
    numbers = [i for i, kind in enumerate(frame.dtypes) if kind.kind in "if"]
    rows = [[_cell(v) for v in row] for row in frame.itertuples(index=False)]
    head = [c.replace("_", " ") for c in frame.columns]
    return f"<h2>{safe(name.capitalize())}</h2>{table(head, rows, numbers)}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3g}"
    return safe(shortened(str(value), 60))


def _bar(moved: float) -> str:
    return f'<span class="bar" style="width:{5 * moved:.2f}rem"></span> {moved:.2f}'


def _row(g: Graded, link: str, windows: Mapping[str, Sequence[TextWindow]], largest: str) -> list[str]:
    verdict = "no answer found" if g.answer == NOT_FOUND else {True: "right", False: "wrong", None: "–"}[g.right]
    origin = g.run.origin
    if origin is None:
        verdict = f"failed: {g.run.failure}"
    return [
        link,
        safe(shortened(g.run.question.shown, 70)),
        safe(shortened(g.answer, 30)),
        safe(shortened(verdict, 60)),
        "" if origin is None else str(len(origin)),
        *(str(len(each)) for each in windows.values()),
        largest,
    ]


def accuracy_part(accuracy: WindowAccuracy) -> str:
    """Return accuracy with and without windows as HTML."""
    rows = []
    for name, label in LABELS.items():
        found: Any = getattr(accuracy, name)
        value = "–" if math.isnan(found.value) else f"{found.value:.2f}"
        n = getattr(found, "n", None)
        rows.append([safe(label), value, f"{found.lower:.2f} to {found.upper:.2f}", "" if n is None else str(n)])
    said = (
        f"{accuracy.not_found} generations in which no answer was found and {accuracy.unknown} whose truth is not "
        f"known are in none of these. Intervals of level {accuracy.level:g}, clustered by question."
    )
    head = ("quantity", "value", "interval", "generations")
    return f"<h2>Accuracy and windows</h2>{table(head, rows, (1, 2, 3))}<p class=quiet>{safe(said)}</p>"


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return "<h2>What is missing</h2><p>Nothing.</p>"
    items = "".join(f"<li>{safe(p)}</li>" for p in problems)
    return f"<h2>What is missing</h2><ul>{items}</ul>"
