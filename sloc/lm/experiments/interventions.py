"""Does it pay to begin again before a window?  Interventions against plain self-consistency at the same budget.

All texts come from recorded continuations: a vote over ``k`` of those that keep the text up to the cut before a window
is set beside a vote over ``k`` whole new generations (continuations of the cut that keeps nothing), at the same number
of texts, and with both budgets in drawn tokens.  Votes of every size are averaged over random subsets of what was
drawn.  Whatever comes out is reported: published experience favours voting from the start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all, checked_kind, checked_seed
from sloc.lm.answers.contract import NOT_FOUND
from sloc.lm.backends.contract import Failure
from sloc.lm.experiments.accuracy import Difference, Share, share_of
from sloc.lm.experiments.detection import TextWindow
from sloc.lm.experiments.revisions import Revision
from sloc.lm.experiments.runs import Experiment, Graded

if TYPE_CHECKING:
    import pandas as pd

_SUBSETS = 400


@dataclass(frozen=True)
class Arm:
    """One way to spend a budget.

    Attributes:
        name: of the way.
        size: texts of a vote.
        accuracy: mean probability that its answer is right, with an interval over generations.
        tokens: drawn tokens a generation on average, the first generation's not counted.

    """

    name: str
    size: int
    accuracy: Share
    tokens: float


@dataclass(frozen=True)
class Interventions:
    """What each way gives, on the same generations.

    Attributes:
        arms: ways and sizes.
        against: for each way and size, its accuracy less that of self-consistency of the same size on the same
            generations, paired by question.
        generations: how many: those that have a window, a known truth and continuations at both cuts.
        level: coverage of the intervals.

    """

    arms: tuple[Arm, ...]
    against: Mapping[tuple[str, int], Difference]
    generations: int
    level: float

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a way and size."""
        import pandas as pd

        rows = []
        for arm in self.arms:
            d = self.against.get((arm.name, arm.size))
            own = {"way": arm.name, "size": arm.size, "accuracy": arm.accuracy.value, "lower": arm.accuracy.lower}
            own |= {"upper": arm.accuracy.upper, "tokens": arm.tokens}
            own |= {} if d is None else {"gain": d.value, "gain_lower": d.lower, "gain_upper": d.upper}
            rows.append(own)
        return pd.DataFrame(rows)


def compare_interventions(
    experiment: Experiment,
    windows: Mapping[str, Sequence[TextWindow]],
    *,
    sizes: Sequence[int] = (1, 4, 16),
    revised: Mapping[str, Revision] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interventions:
    """Compare ways to spend the same number of texts on generations that have a window.

    Ways: ``"keep"``, the generation's own answer; ``"vote from the start"``, plain self-consistency; ``"vote before the
    window"``; ``"revise"``, a vote over texts that were asked to revise before the window.  A vote is won by the most
    frequent answer that was found, ``argmax_a sum_i 1[answer_i = a]``; ties are shared.  Votes are averaged over
    subsets of the texts.

    Source: Wang et al. 2023 (self-consistency); the comparison is the library's own.

    Args:
        experiment: with a cut that keeps nothing.
        windows: of its generations, from :func:`sloc.lm.find_text_windows`; a generation's first window counts.
        sizes: texts of a vote.
        revised: from :func:`sloc.lm.revise`, or None; a generation whose revisions failed is left out of that way.
        level: coverage of the intervals.
        seed: of the subsets that votes are averaged over.

    Returns:
        Accuracies and paired gains.

    Raises:
        InvalidInput: sizes that are none, or no generation to compare on.

    """
    checked_kind(experiment, "experiment", Experiment, "an Experiment")
    checked_kind(windows, "windows", Mapping, "the windows of each generation")
    checked_kind(revised, "revised", Mapping, "what revise returned, or None", optional=True)
    require(0 < as_real(level) < 1, "level", level, "a coverage inside (0, 1)")
    seed = checked_seed(seed)
    sizes = checked_all(sizes, "sizes", (int, np.integer), "whole numbers")
    require(len(sizes) > 0 and all(s >= 1 for s in sizes), "sizes", sizes, "numbers of texts, each at least 1")
    pools = _compared(experiment, windows, revised)
    chosen = {g.run.name: g for g in experiment.graded}
    expected = "a generation with a window, a known truth and a cut at the start, and texts from both cuts"
    require(len(pools) > 0, "windows", len(windows), expected)
    rng = np.random.default_rng(seed)
    rows: dict[tuple[str, int], dict[str, float]] = {("keep", 0): {n: float(bool(chosen[n].right)) for n in pools}}
    spent: dict[tuple[str, int], list[float]] = {("keep", 0): [0.0]}
    for n, ways in pools.items():
        question = chosen[n].run.question
        for way, pool in ways.items():
            right = {a: a != NOT_FOUND and bool(experiment.task.right(a, question)) for a in {x for x, _ in pool}}
            for size in sizes if pool else ():
                rows.setdefault((way, size), {})[n] = _vote(rng, [a for a, _ in pool], right, size)
                spent.setdefault((way, size), []).append(size * float(np.mean([t for _, t in pool])))

    def names(values: Mapping[str, float]) -> list[str]:
        return [chosen[n].run.question.id for n in values]

    arms = tuple(
        Arm(way, size, _mean_share(names(values), list(values.values()), level), float(np.mean(spent[way, size])))
        for (way, size), values in rows.items()
    )
    base = {size: rows["vote from the start", size] for size in sizes}
    against = {
        (way, size): _paired(names(values), np.asarray([v - base[size][n] for n, v in values.items()]), level)
        for (way, size), values in rows.items()
        if size and way != "vote from the start"
    }
    return Interventions(arms, against, len(pools), level)


def comparable(experiment: Experiment, windows: Mapping[str, Sequence[TextWindow]]) -> bool:
    """Return whether there is a generation on which :func:`compare_interventions` has something to compare."""
    return bool(_compared(experiment, windows, None))


def _compared(
    experiment: Experiment, windows: Mapping[str, Sequence[TextWindow]], revised: Mapping[str, Revision] | None
) -> dict[str, dict[str, list[tuple[str, int]]]]:
    """Return the texts of each way for each generation that can be compared.

    Where those of either cut failed there is nothing to compare: that is no wrong answer.
    """
    seen = [g for g in experiment.graded if windows.get(g.run.name) and g.right is not None and 0 in g.run.cuts]
    ways = {g.run.name: _pools(g, windows[g.run.name][0], revised) for g in seen}
    return {n: w for n, w in ways.items() if w["vote from the start"] and w["vote before the window"]}


def _pools(g: Graded, window: TextWindow, revised: Mapping[str, Revision] | None) -> dict[str, list[tuple[str, int]]]:
    """Return, for each way, answers with the tokens that each took."""

    def at(cut: int) -> list[tuple[str, int]]:
        j = g.run.cuts.index(cut)
        drawn, answers = g.run.samples[None][j], g.answers[None][j]
        return [] if isinstance(drawn, Failure) else [(a, c.length) for a, c in zip(answers, drawn, strict=True)]

    ways = {"vote from the start": at(0), "vote before the window": at(window.first)}
    if revised is not None:
        ways["revise"] = revised[g.run.name].spent if g.run.name in revised else []
    return ways


def _vote(rng: np.random.Generator, answers: Sequence[str], right: Mapping[str, bool], size: int) -> float:
    """Return the probability that a vote over so many of the answers is right, averaged over subsets."""
    found = list(answers)
    if not found:
        return 0.0
    if size >= len(found):
        return _won(found, right)
    if size == 1:
        return float(np.mean([right[a] for a in found]))
    picks = (rng.choice(len(found), size, replace=False) for _ in range(_SUBSETS))
    return float(np.mean([_won([found[i] for i in pick], right) for pick in picks]))


def _won(answers: Sequence[str], right: Mapping[str, bool]) -> float:
    counts = Counter(a for a in answers if a != NOT_FOUND)
    if not counts:
        return 0.0
    most = max(counts.values())
    winners = [a for a, c in counts.items() if c == most]
    return sum(right[a] for a in winners) / len(winners)


def _mean_share(names: Sequence[str], values: Sequence[float], level: float) -> Share:
    """Mean of values in [0, 1] with an interval over questions."""
    if all(v in (0.0, 1.0) for v in values):
        return share_of(names, [v == 1.0 for v in values], level=level)
    d = _paired(names, np.asarray(values), level)
    return Share(d.value, max(d.lower, 0.0), min(d.upper, 1.0), len(values), len(set(names)))


def _paired(names: Sequence[str], values: np.ndarray, level: float) -> Difference:
    """Mean with a t interval over questions (clusters); the whole range for a single question."""
    from scipy.stats import t

    value = float(values.mean())
    clusters = sorted(set(names))
    if len(clusters) < 2:
        return Difference(value, -1.0, 1.0)
    sums = np.asarray([(values[np.asarray(names) == c] - value).sum() for c in clusters]) / values.size
    se = float(np.sqrt(len(clusters) / (len(clusters) - 1) * (sums**2).sum()))
    half = float(t.ppf(0.5 + level / 2, len(clusters) - 1)) * se
    return Difference(value, max(value - half, -1.0), min(value + half, 1.0))
