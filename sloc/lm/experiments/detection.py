"""Windows of an experiment, by any of the library's definitions, in tokens of the generation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_choice, checked_kind, checked_level
from sloc.lm.experiments.runs import Experiment
from sloc.results import TraceWindows
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_kernels import PRIORS
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts
from sloc.windows.recorded import Recording
from sloc.windows.recorded_checks import check_names

if TYPE_CHECKING:
    import pandas as pd

DETECTORS = ("test", "rule", "moves")
CUT_PRIORS = tuple(replace(p, unknown=(0.995,)) for p in PRIORS)
"""Of curves between cuts: where no probabilities are known, what stands between two cuts may decide anything."""
_GAP = 4.0
"""Tokens between the two positions of a move, where every token is cut at."""


@dataclass(frozen=True)
class TextWindow:
    """A window of one generation.

    Attributes:
        question: name of the generation.
        start: kept part before it, as the axis counts it.
        stop: kept part after it.
        first: tokens of the generation kept before it.
        last: tokens kept after it.
        text: the text of the tokens between.
        size: how far the answers move (for ``"test"`` and ``"rule"`` the observed rise of "same answer").
        evidence: adjusted p-value (``"test"``), posterior probability (``"moves"``), or NaN (``"rule"``).
        detector: by which definition.

    """

    question: str
    start: float
    stop: float
    first: int
    last: int
    text: str
    size: float
    evidence: float
    detector: str

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row with the attributes as columns."""
        import pandas as pd

        return pd.DataFrame([vars(self)])


def find_text_windows(
    experiment: Experiment,
    *,
    detector: str = "test",
    rise: float = 0.5,
    max_drop: float | None = None,
    alpha: float = 0.05,
    temperature: float | None = None,
) -> dict[str, tuple[TextWindow, ...]]:
    """Find the windows of each generation.

    A window is a step between cuts with ``p(after) - p(before) > rise``, ``p`` the probability of the generation's own
    answer (by ``"moves"`` with ``TV(o_before, o_after) > rise``, ``o`` the law of answers).

    Source: Li, Karan & Chen 2025, Sect. 6.2, for the rule; the other two are the library's own.

    Args:
        experiment: what was drawn.
        detector: ``"test"``, an exact test of "the rise of a step is at most ``rise``", Bonferroni over a question's
            steps; ``"rule"``, the paper's: the observed rise exceeds ``rise`` (with ``max_drop``, its no-drop clause);
            ``"moves"``, the posterior of the answers' distribution moves by more than ``rise`` in total variation, at
            Bayesian false-discovery rate ``alpha`` over all questions.
        rise: the threshold.
        max_drop: for ``"rule"`` alone.
        alpha: error level of ``"test"`` and ``"moves"``.
        temperature: of the sweep; the run's own where None.

    Returns:
        For every generation that has continuations its windows, in order; most have none.

    Raises:
        InvalidInput: an unknown detector, settings out of range or not its own, or no continuations.

    """
    checked_kind(experiment, "experiment", Experiment, "an Experiment")
    require(0 <= as_real(rise) < 1, "rise", rise, "a threshold in [0, 1)")
    require(max_drop is None or 0 <= as_real(max_drop) <= 1, "max_drop", max_drop, "None or a number in [0, 1]")
    checked_level(alpha, "alpha")
    known = temperature is None or math.isfinite(as_real(temperature))
    require(known, "temperature", temperature, "None or a temperature of the sweep")
    checked_choice(detector, "detector", DETECTORS)
    require(max_drop is None or detector == "rule", "max_drop", max_drop, "the detector 'rule'")
    recordings = experiment.recordings(temperature=temperature)
    check_names(recordings, "experiment")
    if detector == "moves":
        require(len(recordings) > 0, "experiment", experiment.problems[:3], "continuations of at least one generation")
        return _moves(recordings, rise, alpha)
    traced = experiment.windows(temperature=temperature, rise=rise, max_drop=max_drop, alpha=alpha)
    return _steps(recordings, traced, detector)


def cut_counts(recording: Recording) -> OutcomeCounts:
    """Count the answers at each cut, with the probability that leaves the generation until the next one.

    Continuations stop by the same rule as the generation, so their answers are a martingale along it: a step of small
    leaving mass ``1 - product of the tokens' probabilities`` cannot move them far, whatever was drawn.  Where the
    probabilities are not known, any move is possible.

    Args:
        recording: of one generation, from :meth:`sloc.lm.Experiment.recordings`.

    """
    counts = outcome_counts(replace(recording, expected=()), adjacent=False)
    told = recording.meta.get("log_probs")
    if told is None:
        return counts
    at = {float(b.position): int(b.extra["tokens"]) for b in recording.branches}
    path = np.concatenate([[0.0], np.cumsum(np.asarray(told, np.float64))])
    tokens = [at[float(p)] for p in counts.positions]
    leaving = -np.expm1(np.diff(path[tokens]))
    return replace(counts, leaving=np.clip(leaving, 0.0, 1.0))


def token_positions(recording: Recording) -> dict[float, int]:
    """Return how many tokens of the generation each kept part of a recording holds, the whole included."""
    at = {float(b.position): int(b.extra["tokens"]) for b in recording.branches}
    return {**at, float(recording.full): len(recording.meta["pieces"])}


def _steps(recordings: Sequence[Recording], traced: TraceWindows, detector: str) -> dict[str, tuple[TextWindow, ...]]:
    by_name = {r.question: r for r in recordings}
    out: dict[str, list[TextWindow]] = {r.question: [] for r in recordings}
    for step in traced.steps:
        if step.by_rule if detector == "rule" else step.certified:
            evidence = float("nan") if detector == "rule" else step.p_adjusted
            made = _window(by_name[step.question], step.kept_before, step.kept_after, step.rise, evidence, detector)
            out[step.question].append(made)
    return {name: tuple(found) for name, found in out.items()}


def _moves(recordings: Sequence[Recording], rise: float, alpha: float) -> dict[str, tuple[TextWindow, ...]]:
    # Merging looks at all draws: for the posterior, which conditions on them; a test could not have it.
    merged = [r.merged() for r in recordings]
    every = all(bool((np.diff(r.positions) == 1).all()) for r in recordings)
    gap = _GAP if every and recordings[0].axis == "position" else 1e-9
    counts = [cut_counts(r) for r in merged]
    moves = posterior_moves(counts, tau=rise, alpha=alpha, gap=gap, separation=2 * gap, priors=CUT_PRIORS)
    by_name = {r.question: r for r in recordings}
    out: Mapping[str, list[TextWindow]] = {r.question: [] for r in recordings}
    for m in moves.found:
        out[m.question].append(_window(by_name[m.question], m.start, m.stop, m.size, m.probability, "moves"))
    return {name: tuple(sorted(found, key=lambda w: w.start)) for name, found in out.items()}


def _window(recording: Recording, start: float, stop: float, size: float, evidence: float, detector: str) -> TextWindow:
    tokens = token_positions(recording)
    keys = np.asarray(list(tokens))
    first, last = (tokens[float(keys[np.argmin(np.abs(keys - x))])] for x in (start, stop))
    text = "".join(recording.meta["pieces"][first:last])
    return TextWindow(recording.question, start, stop, first, last, text, size, evidence, detector)
