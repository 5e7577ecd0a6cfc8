"""One HTML page of recorded resamples: curves, bands, moves and what the alternatives would have answered.

Self-contained: pictures are SVG inside the page, there is no script, and nothing is fetched.  Every text that came
with the recordings is escaped.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_all, checked_kind, checked_whole
from sloc.contracts.writing import checked_target, write_whole
from sloc.report.output import checked_picture, write_picture
from sloc.report.page_parts import page, plain, safe, table
from sloc.report.recorded_analysis import CONTRADICTED_AS
from sloc.report.style import DASHES, given_axes, new_figure, styled, tidy
from sloc.report.style import LINES as COLOURS
from sloc.report.traces_picture import CERTIFIED, INK, unit_of
from sloc.results.outcome import Move, Moves, OutcomeCurve
from sloc.windows.outcome_curves import TAILS
from sloc.windows.recorded import Recording

NOTES = 8
"""Notes that a page shows before the rest is folded away."""
_STYLE = """
body { max-width: 60rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
section { border-top: 1px solid #ddd; margin-top: 1.5rem; } section svg { width: 100%; min-width: 34rem; height: auto; }
code { background: #f4f4f4; padding: 0 .2rem; white-space: pre-wrap; }
"""


def plot_outcomes(curve: OutcomeCurve, moves: Sequence[Move] = (), ax: Any = None) -> Any:
    """Draw the answers of one question with their bands, and its moves as shaded ranges.

    Args:
        curve: from :func:`sloc.windows.outcome_curve`.
        moves: found moves of this question.
        ax: matplotlib axes; new ones when None.

    Returns:
        The axes.

    Raises:
        InvalidInput: no curve, or moves that are none.

    """
    checked_kind(curve, "curve", OutcomeCurve, "an OutcomeCurve")
    checked_all(moves, "moves", Move, "Moves")
    x = curve.positions
    # A curve does not say what its positions count: only fractions lie between 0 and 1.
    fractions = bool(x.max(initial=0.0) <= 1 and (x % 1 > 0).any())
    with styled():
        ax = tidy(given_axes(ax, 8, 2.6))
        for move in moves:
            ax.axvspan(*move.location, color=CERTIFIED, alpha=0.25, linewidth=0)
        shown = np.flatnonzero(curve.value.max(axis=0) >= 0.05)
        # Handed over by hand: matplotlib leaves labels that begin with "_" out of legends.
        lines, labels = [], []
        for rank, a in enumerate(shown[: len(COLOURS)]):
            colour, dashes = COLOURS[rank], DASHES[rank]
            ax.fill_between(x, curve.lower[:, a], curve.upper[:, a], color=colour, alpha=0.16, linewidth=0)
            lines += ax.plot(x, curve.value[:, a], color=colour, linestyle=dashes, linewidth=1.6)
            labels.append(_label(curve.categories[a])[:20])
        left = shown.size - len(lines)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlabel("kept fraction of the generation" if fractions else f"position{unit_of('position')}")
        ax.set_ylabel("share of the answers")
        told = ax.legend(lines, labels, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        if left:
            told.set_title(f"and {left} more not drawn", prop={"size": 8})
    return ax


def _label(text: str) -> str:
    """Return a text for a picture: no formula; and no control character, which an SVG keeps in a comment."""
    return plain(text).replace("$", r"\$")


def plot_recorded(
    curves: Sequence[OutcomeCurve], moves: Moves, path: str | os.PathLike[str] | None = None, *, limit: int = 12
) -> Any:
    """Draw a panel a question, those with moves first, moves shaded over the range that holds them.

    Args:
        curves: one per question.
        moves: of all questions.
        path: where to write the picture (its ending says in which format), whole or not at all; nowhere when None.
        limit: panels at most; a line below says how many questions are not drawn.

    Returns:
        The matplotlib figure.

    Raises:
        InvalidInput: no curve, a limit below 1, no place for a file, or an ending that names no picture.
        OSError: the disk is full.

    """
    checked_all(curves, "curves", OutcomeCurve, "OutcomeCurves", 1)
    checked_kind(moves, "moves", Moves, "Moves")
    path = None if path is None else checked_picture(path)
    require(len(curves) > 0, "curves", curves, "at least one question")
    checked_whole(limit, "limit", what="panels")
    own = {c.question: [m for m in moves.found if m.question == c.question] for c in curves}
    shown = sorted(curves, key=lambda c: not own[c.question])[: int(limit)]
    with styled():
        figure = new_figure(8, 0.4 + 1.9 * len(shown))
        axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
        for ax, curve in zip(axes, shown, strict=True):
            plot_outcomes(curve, own[curve.question], ax)
            name, number = _label(curve.question), len(own[curve.question])
            said = f"{number} move{'s' if number != 1 else ''}"
            said = {"resolved": said, "contradicted": f"{said}, contradicted"}.get(curve.status, curve.status)
            ax.set_title(f"{name}: {said}", fontsize=9, color=INK, loc="left")
            if ax is not axes[-1]:
                ax.set_xlabel("")
        left = len(curves) - len(shown)
        if left:
            figure.supxlabel(f"{left} more question{'s' if left > 1 else ''} not drawn", fontsize=8, color=INK)
    if path is not None:
        write_picture(figure, path, 150)
    return figure


def write_recorded_report(
    path: str | os.PathLike[str],
    curves: Sequence[OutcomeCurve],
    moves: Moves,
    recordings: Mapping[str, Recording] | None = None,
    notes: Sequence[str] = (),
    title: str = "Recorded traces",
    *,
    smoothing: Sequence[str] = (),
    limit: int = 100,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        curves: one per question.
        moves: of all questions.
        recordings: question to recording, for the alternatives at each move and the tokens around it.
        notes: what was noticed in the recordings.
        title: of the page.
        smoothing: what each prior says that the curves were averaged over, in the order of their weights.
        limit: questions that are drawn at most, those with moves first; a line says how many are not.

    Returns:
        The path.

    Raises:
        InvalidInput: no curves, moves or recordings where they are asked for, a limit below 1, or no place for a file.
        OSError: the disk is full.

    """
    checked_all(curves, "curves", OutcomeCurve, "OutcomeCurves")
    checked_kind(moves, "moves", Moves, "Moves")
    checked_kind(recordings, "recordings", Mapping, "a recording for each question, or None", optional=True)
    checked_kind(title, "title", str, "a text")
    smoothing = checked_all(smoothing, "smoothing", str, "texts, one a prior")
    checked_whole(limit, "limit", what="questions")
    file = checked_target(path)
    text = recorded_page(curves, moves, recordings, notes, title, smoothing=smoothing, limit=int(limit))
    return write_whole(file, text.encode())


def recorded_page(
    curves: Sequence[OutcomeCurve],
    moves: Moves,
    recordings: Mapping[str, Recording] | None = None,
    notes: Sequence[str] = (),
    title: str = "Recorded traces",
    *,
    smoothing: Sequence[str] = (),
    limit: int = 100,
) -> str:
    """Return the page as text (see ``write_recorded_report``)."""
    found: dict[str, list[Move]] = {}
    for move in moves.found:
        found.setdefault(move.question, []).append(move)
    order = {c.question: i for i, c in enumerate(curves)}
    parts = [
        f"<h1>{safe(title)}</h1>",
        f"<p>{len(curves)} questions; {len(moves.found)} moves of more than {moves.tau:g} "
        f"({safe(moves.control)} {moves.alpha:g}), in {len(found)} questions.</p>",
        _moves_table(sorted(moves.found, key=lambda m: (order.get(m.question, len(order)), m.start)), moves),
        _noted(notes),
        _smoothing(curves, smoothing),
    ]
    shown = sorted(curves, key=lambda c: c.question not in found)[:limit] if len(curves) > limit else curves
    if len(shown) < len(curves):
        parts.append(
            f"<p>{len(shown)} questions are drawn, those with moves first; {len(curves) - len(shown)} more are in "
            "<code>curves.csv</code> and <code>questions.csv</code>.</p>"
        )
    for curve in shown:
        own = sorted(found.get(curve.question, []), key=lambda m: m.start)
        recording = None if recordings is None else recordings.get(curve.question)
        parts.append(_section(curve, own, recording, moves.statuses.get(curve.question, "")))
    return page(title, parts, _STYLE)


def _noted(notes: Sequence[str]) -> str:
    """What was noticed, a paragraph each; of many the rest is folded away, so that curves are not out of sight."""
    each = [f'<p class="quiet">{safe(n)}</p>' for n in notes]
    first, more = "".join(each[:NOTES]), each[NOTES:]
    if len(more) < 2:
        return "".join(each)
    return f'{first}<details><summary class="quiet">{len(more)} more notes</summary>{"".join(more)}</details>'


def _smoothing(curves: Sequence[OutcomeCurve], smoothing: Sequence[str]) -> str:
    """What the curves were smoothed with, and what the bands hold, in words."""
    levels = sorted({c.level for c in curves})
    bands = " ".join(
        f"Bands called {100 * v:g} % are the central {100 - 100 * TAILS * (1 - v):g} % of the posterior, wider than "
        "their name, because coverage near moves needs it."
        for v in levels
    )
    many = [c.settings for c in curves if len(smoothing) == c.settings.size and c.status != "one answer"]
    if not many:
        return f'<p class="quiet">{bands}</p>'
    mean = np.mean(many, axis=0)
    items = "".join(f"<li>{w:.2f}: {safe(text)}</li>" for w, text in zip(mean, smoothing, strict=True))
    return (
        f'<p class="quiet">{bands}</p><p class="quiet">Smoothing: curves are averages over {len(smoothing)} priors of '
        "one step, weighted in each question by how well each prior predicts the draws of a position from those before "
        f'it. Mean weights:</p><ol class="quiet">{items}</ol>'
    )


def _section(curve: OutcomeCurve, own: Sequence[Move], recording: Recording | None, status: str) -> str:
    parts = [f"<section><h2>Question {safe(curve.question)}</h2>"]
    asked = _asked(recording)
    if asked:
        parts.append(f"<p>{safe(asked)}</p>")
    width = (curve.upper - curve.lower).mean()
    kept = "" if recording is None or recording.kept_mass.min() > 1 - 1e-6 else _kept(recording)
    many = curve.status != "one answer" and curve.settings.size > 1
    weights = f"; weights of the priors {', '.join(f'{w:.2f}' for w in curve.settings)}" if many else ""
    parts.append(
        f'<p class="quiet">{curve.draws.sum():,.0f} draws at {int((curve.draws > 0).sum())} of {curve.positions.size} '
        f"positions{kept}; curve {safe(curve.status)}; {100 * curve.level:g} % bands (central "
        f"{100 - 100 * TAILS * (1 - curve.level):g} % of the posterior), mean width {width:.2f}{weights}</p>"
    )
    if curve.status == "contradicted":
        parts.append(f"<p>{CONTRADICTED_AS.capitalize()}.</p>")
    if status == "undecided":
        parts.append("<p>Undecided: too few draws to tell a move from none.</p>")
    parts.append(f"<div class=scroll>{_svg(plot_outcomes(curve, own), curve.question)}</div>")
    parts.extend(_alternatives(move, recording) for move in own if recording is not None)
    return "".join([*parts, "</section>"])


def _kept(recording: Recording) -> str:
    least, mean = recording.kept_mass.min(), recording.kept_mass.mean()
    return f"; kept mass {least:.3f} at least, {mean:.3f} on average: estimates are of the kept branches"


def _asked(recording: Recording | None) -> str:
    about = {} if recording is None else recording.meta.get("meta", {})
    return str(about.get("question", "")) if isinstance(about, Mapping) else ""


def _moves_table(found: Sequence[Move], moves: Moves) -> str:
    if not found:
        open_ = list(moves.statuses.values()).count("undecided")
        said = f" {open_} questions are undecided: too few draws to tell a move from none." if open_ else ""
        return f"<p>No move at this error level.{said}</p>"
    word = "p, adjusted" if any(not np.isnan(m.p_value) for m in found) else "probability"
    rows = [
        [
            safe(m.question),
            f"{m.location[0]:g} – {m.location[1]:g}",
            safe(", ".join(m.rising)),
            f"{m.size:.2f}",
            f"{m.size_interval[0]:.2f} – {m.size_interval[1]:.2f}",
            f"{m.adjusted if word.startswith('p,') else m.probability:.3g}",
        ]
        for m in found
    ]
    return table(("question", "location", "answers that gain", "size", "interval", word), rows, (1, 3, 4, 5))


def _alternatives(move: Move, recording: Recording | None) -> str:
    """What every kept token would have answered at the positions of a move where several were kept."""
    if recording is None:
        return ""
    low, high = move.location
    parts = [f"<h3>Move at {low:g} – {high:g}</h3>"]
    text = _tokens(recording, low, high)
    if text:
        parts.append(f"<p><code>{safe(text)}</code></p>")
    rows = []
    inside = [b for b in recording.branches if low <= b.position <= high]
    # The one branch without a name of a plain table is no alternative to anything.
    several = {b.position for b in inside if not b.taken and b.name}
    for branch in inside:
        if branch.position not in several:
            continue
        share = np.bincount(branch.answers, minlength=len(recording.categories)) / branch.answers.size
        said = ", ".join(f"{c} {s:.2f}" for c, s in zip(recording.categories, share, strict=True) if s >= 0.005)
        name = branch.extra.get("token", branch.name)
        mark = " (taken)" if branch.taken else ""
        token = f"<code>{safe(name)}</code>{mark}"
        rows.append([f"{branch.position:g}", token, f"{branch.weight:.3f}", safe(said)])
    if rows:
        parts.append(table(("position", "next token", "probability", "answers"), rows, (0, 2)))
    return "".join(parts)


def _tokens(recording: Recording, low: float, high: float) -> str:
    base = recording.meta.get("base", {})
    texts = base.get("token_texts") if isinstance(base, Mapping) else None
    if not isinstance(texts, list):
        return ""
    return "".join(str(t) for t in texts[max(0, int(low) - 8) : int(high) + 9])


def _svg(ax: Any, name: str) -> str:
    from matplotlib import rc_context

    stream = io.StringIO()
    # No date and no random names, so that the same recordings give the same page; no name of one picture in another.
    with rc_context({"svg.hashsalt": f"sloc {name}"}):
        ax.figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", text, flags=re.DOTALL)
