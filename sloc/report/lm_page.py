"""The page of one generation: its tokens by how much each decided, answers with bands, alternatives, windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sloc.lm.answers import NOT_FOUND
from sloc.lm.experiments.detection import CUT_PRIORS, TextWindow, cut_counts
from sloc.report.page_parts import MOST_ANSWERS, chart, page, safe, shortened, table
from sloc.results import OutcomeCurve, ResampledCurve
from sloc.windows.outcome_curves import outcome_curve
from sloc.windows.recorded import Branch, Recording

_STYLE = """
.text { white-space: pre-wrap; font: 1.02rem/1.9 ui-monospace, monospace; padding: .6rem 0; max-width: 52rem; }
.seg { border-radius: .2rem; padding: .12em 0; background: rgba(232, 89, 12, calc(.9 * var(--d))); outline-offset: 1px;
  border-bottom: 2px solid transparent; cursor: help; } .seg.w { border-bottom-color: #7a4a00; }
.seg:hover, .seg:focus { outline: 2px solid #0b5cad; } .prefill { color: #666; }
.tip { display: none; position: fixed; z-index: 2; right: 1rem; top: 1rem; width: 23rem; max-height: calc(100vh - 2rem);
  overflow-y: auto; background: #fff; border: 1px solid #888; border-radius: .4rem; padding: .6rem .8rem;
  box-shadow: 0 .3rem 1.2rem rgba(0,0,0,.25); font: .88rem/1.4 system-ui, sans-serif; white-space: normal; }
.tip b { display: block; margin-bottom: .2rem; } .tip th, .tip td { padding: .05rem .6rem .05rem 0; }
.tip td:first-child { white-space: nowrap; }
.seg:hover > .tip, .seg:focus > .tip, .seg:focus-within > .tip { display: block; }
.scale { display: inline-block; width: 8rem; height: .8rem; vertical-align: middle; border: 1px solid #ccc;
  background: linear-gradient(90deg, #fff, rgba(232, 89, 12, .9)); }
@media (max-width: 60rem) { .tip { left: 0; right: 0; top: auto; bottom: 0; width: auto; max-height: 45vh;
  border-radius: .6rem .6rem 0 0; } body { padding-bottom: 8rem; } }
"""
_ALTERNATIVES = 6
_LEVEL = 0.9


@dataclass(frozen=True)
class Decided:
    """How much each stretch of a generation decided.

    Attributes:
        curve: the answers at every cut, with bands for all cuts at once.
        tokens: ``[m + 1]`` kept tokens at each cut, and of the whole.
        moved: ``[m]`` total variation between the answers before and after each stretch; the last stretch ends in the
            generation's own answer.

    """

    curve: OutcomeCurve
    tokens: np.ndarray
    moved: np.ndarray


def decided(recording: Recording) -> Decided:
    """Estimate how much each stretch between cuts decided.

    Args:
        recording: of one generation, from :meth:`sloc.lm.Experiment.recordings`.

    """
    merged = _shown_answers(recording)
    curve = outcome_curve(cut_counts(merged), level=_LEVEL, simultaneous=True, priors=CUT_PRIORS)
    end = np.asarray([c == merged.reference for c in merged.categories], np.float64)
    steps = np.diff(np.concatenate([curve.value, end[None]]), axis=0)
    at = {float(b.position): int(b.extra["tokens"]) for b in recording.branches}
    tokens = [at[float(p)] for p in curve.positions] + [len(recording.meta["pieces"])]
    return Decided(curve, np.asarray(tokens), 0.5 * np.abs(steps).sum(axis=1))


def _shown_answers(recording: Recording) -> Recording:
    """Keep the answers that can be drawn; what is rarer is one answer, "Other"."""
    if len(recording.categories) <= MOST_ANSWERS:
        return recording
    reach = recording.distribution().max(axis=0)
    keep = {i for i, c in enumerate(recording.categories) if c in (recording.reference, NOT_FOUND)}
    order = sorted(set(range(len(reach))) - keep, key=lambda i: -reach[i])
    keep |= set(order[: MOST_ANSWERS - 1 - len(keep)])
    names = tuple(c for i, c in enumerate(recording.categories) if i in keep)
    other = "Other" if "Other" not in names else "Other answers"
    code = np.asarray([names.index(c) if c in names else len(names) for c in recording.categories])
    branches = tuple(replace(b, answers=code[b.answers]) for b in recording.branches)
    return replace(recording, categories=(*names, other), branches=branches)


def question_page(
    recording: Recording,
    windows: Mapping[str, Sequence[TextWindow]],
    *,
    found: Decided | None = None,
    curves: Mapping[str, ResampledCurve] | None = None,
    back: str = "",
    notes: Sequence[str] = (),
) -> str:
    """Return the page of one generation as text; all that a model wrote is escaped.

    Args:
        recording: from :meth:`sloc.lm.Experiment.recordings`.
        windows: by what found them (``"test"``, ``"rule"``, ``"moves"``), those of this generation.
        found: from ``decided``, where it is there already.
        curves: of "same answer", by kind, where there are several.
        back: address of the index, or empty.
        notes: what is missing.

    """
    found = decided(recording) if found is None else found
    meta, unit = recording.meta, "fraction of tokens kept" if recording.axis == "fraction" else "tokens kept"
    listed = [w for each in windows.values() for w in each]
    word = {True: "right", False: "wrong", None: "truth not known"}[meta.get("right")]
    if recording.reference == NOT_FOUND:
        word = "no answer found"
    asked = str(meta["meta"]["question"])
    total = sum(int(b.answers.size) for b in recording.branches)
    lost = _count(recording, NOT_FOUND)
    body = [
        f'<p><a href="{safe(back)}">All questions</a></p>' if back else "",
        f"<h1>{safe(recording.question)}</h1>",
        f"<p>Answer: <strong>{safe(recording.reference)}</strong> ({safe(word)}"
        + (f"; truth: {safe(meta['truth'])}" if meta.get("truth") is not None else "")
        + f"). {total:,} continuations from {len(recording.branches)} cuts; no answer found in {lost:,}.</p>",
        *(f'<p class="quiet">{safe(n)}</p>' for n in notes),
        f'<h2>Question</h2><div class="asked pre">{safe(asked)}</div>' if asked.strip() else "",
        "<h2>Where it was decided</h2>",
        '<p class="quiet">Colour: how far the distribution of answers moves over a stretch (total variation, '
        '0 <span class="scale"></span> 1). Point at a stretch, or tap it, for the answers before and after it and for '
        "what came instead. Underlined: a window.</p>",
        f'<div class="text">{_text(recording, found, listed)}</div>',
        "<h2>Answers</h2>",
        _chart(recording, found, listed, unit),
        f'<p class="quiet">Curves: posterior means; bands for all cuts of one answer at once, level {_LEVEL:g}.</p>',
        _same_chart(curves or {}, unit),
        "<h2>Windows</h2>",
        window_table(windows),
    ]
    return page(recording.question, body, _STYLE)


def _count(recording: Recording, name: str) -> int:
    if name not in recording.categories:
        return 0
    code = recording.categories.index(name)
    return sum(int((b.answers == code).sum()) for b in recording.branches)


def window_table(windows: Mapping[str, Sequence[TextWindow]]) -> str:
    """Return the windows by what found them, or a sentence where there are none."""
    said = {"test": "exact test", "rule": "plain rule", "moves": "posterior move"}
    rows = [
        [
            safe(said.get(kind, kind)),
            f"{w.start:g} → {w.stop:g}",
            f"{w.first}–{w.last}",
            f"{w.size:.2f}",
            "" if np.isnan(w.evidence) else f"{w.evidence:.2g}",
            f'<span class="pre">{safe(shortened(w.text, 160))}</span>',
        ]
        for kind, each in windows.items()
        for w in each
    ]
    if not rows:
        return f"<p>None by: {', '.join(said.get(k, k) for k in windows)}.</p>"
    return table(("by", "kept", "tokens", "size", "p or probability", "text"), rows, (1, 2, 3, 4))


def _chart(recording: Recording, found: Decided, windows: Sequence[TextWindow], unit: str) -> str:
    curve = found.curve
    low = curve.lower if curve.lower_all is None else curve.lower_all
    high = curve.upper if curve.upper_all is None else curve.upper_all
    spans = sorted({(w.start, w.stop) for w in windows})
    return chart(curve.positions, float(recording.full), curve.categories, curve.value, low, high, spans, unit)


def _same_chart(curves: Mapping[str, ResampledCurve], unit: str) -> str:
    """Return the share of the generation's own answer by kind; kinds that lack a cut of the first are left out."""
    if len(curves) < 2:
        return ""
    first = next(iter(curves.values()))
    shown = {k: c for k, c in curves.items() if np.array_equal(c.kept, first.kept)}
    value, low, high = (
        np.stack(part, axis=1)
        for part in zip(*((c.same, c.lower_all[:, 0], c.upper_all[:, 0]) for c in shown.values()), strict=True)
    )
    drawn = chart(first.kept, first.full, list(shown), value, low, high, (), unit)
    return f"<h2>Same answer, by how it was asked for</h2>{drawn}"


def _text(recording: Recording, found: Decided, windows: Sequence[TextWindow]) -> str:
    pieces, tokens = recording.meta["pieces"], found.tokens
    by_cut = {int(b.extra["tokens"]): b for b in recording.branches}
    head = "".join(pieces[: tokens[0]])
    out = [f'<span class="prefill">{safe(recording.meta.get("prefill", "") + head)}</span>']
    for i, moved in enumerate(found.moved):
        first, last = int(tokens[i]), int(tokens[i + 1])
        inside = any(w.first <= first and last <= w.last for w in windows)
        tip = _tip(recording, found, i, by_cut[first])
        text = safe("".join(pieces[first:last]))
        mark = " w" if inside else ""
        out.append(
            f'<span class="seg{mark}" tabindex="0" style="--d:{moved:.3f}">{text}<span class="tip">{tip}</span></span>'
        )
    return "".join(out)


def _tip(recording: Recording, found: Decided, i: int, branch: Branch) -> str:
    curve, first, last = found.curve, int(found.tokens[i]), int(found.tokens[i + 1])
    after = [f"{v:.2f}" for v in curve.value[i + 1]] if i + 1 < len(curve.value) else None
    if after is None:
        after = ["1" if c == recording.reference else "0" for c in curve.categories]
    rows = [
        [safe(shortened(c, 28)), f"{curve.value[i, a]:.2f}", after[a]]
        for a, c in enumerate(curve.categories)
        if curve.value[i, a] >= 0.005 or float(after[a]) >= 0.005
    ]
    which = f"Token {last}" if last == first + 1 else f"Tokens {first + 1} to {last}"
    return (
        f"<b>{which}: answers move by {found.moved[i]:.2f}</b>"
        + table(("answer", "before", "after"), rows, (1, 2))
        + _instead(recording, branch, recording.meta["pieces"][first])
    )


def _instead(recording: Recording, branch: Branch, taken: str) -> str:
    """What continuations began with at this cut, and what they then answered."""
    firsts = list(branch.extra["firsts"])
    count = Counter(firsts)
    rows = []
    for text, times in count.most_common(_ALTERNATIVES):
        own = Counter(recording.categories[a] for a, f in zip(branch.answers, firsts, strict=True) if f == text)
        said = ", ".join(f"{safe(shortened(a, 20))} {k / times:.2f}" for a, k in own.most_common(3))
        shown = safe(text.replace("\n", "⏎").replace(" ", "␣") or "(end)")
        name = f"<strong>{shown}</strong>" if text == taken else shown
        rows.append([name, f"{times / len(firsts):.2f}", said])
    return table(("next", "share", "then answered"), rows, (1,))
