"""What a window run found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sloc.report.sources import Source, plural
from sloc.report.window_run import ProcessWindows, decision_order
from sloc.results import TreeNode
from sloc.results.tree import MixtureTree
from sloc.results.window import Window

TITLES = {
    "ou": "diffusion (Ornstein-Uhlenbeck)",
    "ve": "diffusion (variance exploding)",
    "flow": "flow matching",
    "masking": "masking",
}
"""Processes in words."""


_NEVER = ("below_grid", "empty")
"""Statuses of ``t_after`` of a class that is settled at none of the levels looked at."""
_MOST_NAMES = 6


def process_title(name: str, source: Source) -> str:
    """Return the process in words, such as ``pixel masking``."""
    return f"{source.part} masking" if name == "masking" else TITLES[name]


def level_words(name: str, t: float) -> str:
    """Return a noise level as a person says it: ``t = 1.02``, or ``82 %`` of coordinates hidden under masking."""
    if name != "masking":
        return f"t = {t:.3g}"
    hidden = 100 * t
    return f"{hidden:.1f} %" if hidden < 99.5 else f"{hidden:.2f} %"


def axis_label(name: str, source: Source) -> str:
    """Return the label of the noise axis."""
    return f"fraction t of {source.part}s masked" if name == "masking" else "noise level t"


def listed(items: Sequence[Any]) -> str:
    """Return ``a, b and c``."""
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def tied(windows: Mapping[Any, Window], names: Sequence[Any], side: str = "after", most: int | None = 3) -> list[Any]:
    """Return the first of ``names`` and those of the next ``most - 1`` whose intervals overlap with its own."""
    first = getattr(windows[names[0]], f"{side}_interval")
    group = [names[0]]
    for name in names[1:most]:
        other = getattr(windows[name], f"{side}_interval")
        if first is not None and other is not None and first[0] <= other[1] and other[0] <= first[1]:
            group.append(name)
    return group


def summary_paragraph(result: ProcessWindows, source: Source) -> str:
    """Say in one paragraph which classes are decided first and last, which pairs, how they merge, and where half is.

    Generation runs from high noise to low noise: what is decided first is decided at the highest noise level.  What
    the run does not show is said to be so, and enters no order.

    Args:
        result: one process of a run.
        source: the data.

    """
    hidden = f" (percentages: {source.part}s still hidden)" if result.name == "masking" else ""
    parts = [f"Under {process_title(result.name, source)}, generation runs from high noise to low{hidden}."]
    parts.append(_half_words(result, source.noun))
    if len(result.classes) >= 2:
        parts += _class_words(result, source.noun)
    if len(result.pairs) > 1:
        parts += _pair_words(result)
    if result.tree is not None and len(result.tree.names) > 2:
        parts += tree_words(result.name, result.tree, source.noun)
    return " ".join(parts)


def _pair_words(result: ProcessWindows) -> list[str]:
    """Say which pairs are told apart first and last, with those of which the draws do not tell that they are not."""
    pairs, name = result.pairs, result.name
    ranked = [p for p in decision_order(pairs) if pairs[p].t_after is not None]
    if len(ranked) < 2:
        return []
    first, last = (tied(pairs, order, most=None) for order in (ranked, ranked[::-1]))
    if ranked[-1] in first:
        return [f"The run shows no order of the {len(ranked)} pairs that are told apart."]

    def said(some: Sequence[tuple[str, str]]) -> str:
        words = [f"{a} and {b} ({level_words(name, float(pairs[a, b].t_after or 0.0))})" for a, b in some[:3]]
        more = [f"{len(some) - 3} more"] if len(some) > 3 else []
        return " or ".join((*words, *more))

    return [f"Of the {len(pairs)} pairs, {said(first)} are told apart first, and last {said(last)}."]


def tree_words(name: str, tree: MixtureTree, noun: str) -> list[str]:
    """Say which classes merge first as noise is added, where all have merged, and what the checks said.

    Args:
        name: the process's name on the command line.
        tree: its mixture tree.
        noun: what a class is.

    """
    merges = [node for node in tree.nodes if node.children]
    placed = sorted((n for n in merges if n.noise_amount is not None), key=lambda n: float(n.noise_amount or 0.0))
    if not placed:
        return [f"No two {plural(noun)} merge (TV at most {tree.epsilon:g}) at the levels looked at."]
    first = placed[0]

    def level(node: TreeNode) -> str:
        return level_words(name, float(node.noise_amount or 0.0))

    # Merges of single classes only: what joins the first ones later is no rival for the first place.
    leaves = len(tree.names)
    close = [n for n in placed[1:] if all(c < leaves for c in n.children) and n is not tree.root and _meet(first, n)]
    start = f"TV at most {tree.epsilon:g} from {level(first)} on"
    text = f"As noise is added, {_some(tree.subset(first.index))} merge first ({start}"
    if close:
        others = " or ".join(_some(tree.subset(n.index)) for n in close[:2])
        text += f"; the draws do not exclude that {others} do)" if tree.draws else f", as {others} do)"
    else:
        text += ")"
    root = tree.root
    text += (
        f", and all {len(tree.names)} {plural(noun)} have merged at {level(root)}."
        if root.noise_amount is not None
        else f"; not all {plural(noun)} merge at the levels looked at."
    )
    inner = [n for n in merges if n is not root and n.noise_amount is not None]
    fails = sum(n.apart.verdict == "fails" for n in inner)
    holds = sum(n.apart.verdict == "holds" for n in inner)
    if not inner:
        return [text]
    if fails == len(inner):
        return [text, "None of the merges before the last is still apart from the rest, as a mixture tree would ask."]
    if holds == len(inner):
        return [text, "Every merge is certified to be still apart from the rest where it is made."]
    return [
        text,
        f"Of the {len(inner)} merges before the last, {holds} are certified to be still apart from the rest, "
        f"{fails} certainly are not.",
    ]


def _meet(one: TreeNode, other: TreeNode) -> bool:
    """Whether the intervals of two merges overlap."""
    a, b = one.interval, other.interval
    return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]


def _half_words(result: ProcessWindows, noun: str) -> str:
    half, interval, status, name = result.half, result.half_interval, result.half_status, result.name
    what = f"half of the {noun} information ({result.entropy / 2:.2f} of {result.entropy:.2f} bits)"
    start = what[0].upper() + what[1:]
    ends = None if interval is None else " and ".join(level_words(name, v) for v in interval)
    if half is not None:
        return f"{start} is there at {level_words(name, half)}" + (f" (between {ends})." if ends else ".")
    if status == "below_grid":
        return f"{start} is there at none of the levels looked at."
    if status == "above_grid":
        return f"{start} is there at every level looked at."
    return f"The draws do not tell at which level {what} is there" + (
        f"; it is between {ends}." if ends and np.isfinite(interval or (np.inf,)).all() else "."
    )


def _opens(name: str, window: Window, verb: str = "opens") -> str:
    """Say where a window opens, as a phrase of which the class is the subject."""
    if window.t_before is not None:
        return f"{verb} at {level_words(name, window.t_before)}"
    return {
        "above_grid": "open at every level looked at",
        "below_grid": "not open at the levels looked at",
        "empty": "open at no level",
    }.get(window.status_before, f"{verb} where the draws do not tell")


def _settles(name: str, window: Window) -> str:
    """Say where a window is settled, as a phrase of which the class is the subject."""
    if window.t_after is not None:
        return f"settled at {level_words(name, window.t_after)}"
    return {
        "above_grid": "settled at every level looked at",
        "below_grid": "not settled at the levels looked at",
        "empty": "settled at no level",
    }.get(window.status_after, "settled where the draws do not tell")


def _numbers(window: Window) -> tuple[float, float]:
    """Both edges, NaN where there is none (an edge at 0 is an edge)."""
    edges = (window.t_after, window.t_before)
    return tuple(np.nan if t is None else float(t) for t in edges)  # pyright: ignore[reportReturnType]


def _some(names: Sequence[str]) -> str:
    """List names, the first few only where there are many."""
    rest = len(names) - _MOST_NAMES
    return listed([*names[:_MOST_NAMES], f"{rest} more"] if rest > 1 else names)


def _class_words(result: ProcessWindows, noun: str) -> list[str]:
    """Say which classes are decided first and last, and for which ones the run does not tell."""
    name, windows = result.name, result.classes
    found = decision_order(windows)
    edges = np.asarray([_numbers(windows[a]) for a in found])
    statuses = {(windows[a].status_after, windows[a].status_before) for a in found}
    first = windows[found[0]]
    if len(statuses) == 1 and np.allclose(edges, edges[:1], rtol=1e-6, equal_nan=True):
        told = f"{_opens(name, first, 'open')}, {_settles(name, first)}"
        if first.status_after == "unresolved":
            return [f"{_some(found)} have one window ({told}): the run shows no order of theirs."]
        if first.status_after in _NEVER:
            return [f"{_some(found)} are not decided at the levels looked at ({told})."]
        return [f"{_some(found)} are decided together ({told})."]

    def told_of(a: str) -> str:
        return f"{a} ({_opens(name, windows[a])}, {_settles(name, windows[a])})"

    ranked = [a for a in found if windows[a].t_after is not None or windows[a].status_after == "above_grid"]
    never = [a for a in found if windows[a].status_after in _NEVER]
    unknown = [a for a in found if a not in ranked and a not in never]
    after = np.asarray([_numbers(windows[a])[0] for a in ranked])
    parts = []
    if len(ranked) >= 2 and np.allclose(after, after[:1], rtol=1e-6, equal_nan=True):
        opens = [f"{a} {_opens(name, windows[a])}" for a in ranked[:_MOST_NAMES]]
        parts.append(f"{_some(ranked)} are {_settles(name, windows[ranked[0]])} together ({', '.join(opens)}).")
    elif len(ranked) >= 2:
        early = [a for a in tied(windows, ranked)[1:] if a != ranked[-1]]
        late = [a for a in tied(windows, ranked[::-1])[1:] if a != ranked[0] and a not in early]
        text = f"Decided first: {noun} {told_of(ranked[0])}" + (f", {listed(early)} close behind" if early else "")
        text += f"; decided last: {told_of(ranked[-1])}" + (f", just after {listed(late)}" if late else "")
        parts.append(text + ".")
        if early or late:
            parts.append("Intervals of neighbours in this order overlap; more trajectories (--n) narrow them.")
    elif ranked:
        surely = all(_later(windows[a], windows[ranked[0]]) for a in unknown)
        parts.append(f"Decided{' first' if surely else ''}: {noun} {told_of(ranked[0])}.")
    if never:
        parts.append(
            f"Not settled at the levels looked at: {_some([f'{a} ({_opens(name, windows[a])})' for a in never])}."
        )
    if unknown:
        parts.append(f"The draws do not tell at which level {_some(unknown)} {_is(unknown)} settled.")
    return parts


def _later(window: Window, other: Window) -> bool:
    """Whether intervals show that ``window`` is settled at a lower level, later in generation, than ``other``."""
    mine, its = window.after_interval, other.after_interval
    return mine is not None and its is not None and mine[1] <= its[0]


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
