"""Windows of recorded answers: a question's curve, its steps, and the table of all questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sloc.contracts import backwards, require
from sloc.contracts.arguments import is_one_of
from sloc.contracts.equality import same_fields
from sloc.results.curve import Curve
from sloc.results.pictures import draw
from sloc.results.window import Window

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Axis = Literal["fraction", "position"]
"""What a kept part is counted in."""


@dataclass(frozen=True)
class ResampledCurve:
    """The answers of one question against what was kept, with exact bands.

    Column 0 of the ``[m, A]`` arrays is the full generation's answer: the curve of "same answer".
    ``lower .. upper`` covers the truth at each point and answer with probability at least
    ``1 - alpha``; ``lower_all .. upper_all`` covers it at all ``m`` points of one answer at once
    (Bonferroni over the points).  Bands are Clopper-Pearson where the weights of a point are equal,
    otherwise ``sloc.windows.proportions.weighted_interval``.

    Attributes:
        question: its name.
        reference: the full generation's answer.
        answers: ``A`` answers, the reference first, then by falling weight.
        axis: ``"fraction"`` or ``"position"``.
        kept: ``[m]`` what was kept, increasing.
        times: ``[m]`` ``full - kept``, hence decreasing.
        full: what the full generation keeps: 1, or its position.
        draws: ``[m]`` resamples.
        effective: ``[m]`` draws that weighted draws are worth, ``W^2 / sum w^2``; ``draws`` for equal weights.
        value: ``[m, A]`` (weighted) proportions.
        lower: ``[m, A]`` pointwise.
        upper: ``[m, A]`` pointwise.
        lower_all: ``[m, A]`` for all points at once.
        upper_all: ``[m, A]`` for all points at once.
        alpha: error level of either kind of band.
        method: how the bands were got.

    """

    question: str
    reference: str
    answers: tuple[str, ...]
    axis: Axis
    kept: np.ndarray
    times: np.ndarray
    full: float
    draws: np.ndarray
    effective: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lower_all: np.ndarray
    upper_all: np.ndarray
    alpha: float
    method: str

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def same(self) -> np.ndarray:
        """``[m]`` proportions of the full generation's answer, ``value[:, 0]``, in the order of ``kept``."""
        return self.value[:, 0]

    def to_curve(self, answer: str | None = None) -> Curve:
        """Return the curve of one answer over increasing ``t``, with the band that holds for all times.

        Args:
            answer: one of ``answers``; the full generation's when None.

        Raises:
            InvalidInput: an answer that was never seen.

        """
        name = self.reference if answer is None else answer
        require(is_one_of(name, self.answers), "answer", answer, f"one of the answers seen, {self.answers}")
        i, back = self.answers.index(name), slice(None, None, -1)
        value = self.value[back, i]
        stderr = np.sqrt(value * (1.0 - value) / self.effective[back])
        quantity = f"P(same answer), {self.question}" if i == 0 else f"P({name}), {self.question}"
        return Curve(
            self.times[back],
            value,
            stderr,
            self.lower_all[back, i],
            self.upper_all[back, i],
            n=int(self.draws.sum()),
            method=self.method,
            quantity=quantity,
            delta=self.alpha,
            time_axis=self.time_axis,
        )

    @property
    def time_axis(self) -> str:
        """What ``times`` are, as a picture writes it along them."""
        return backwards("fraction left out" if self.axis == "fraction" else "positions left out")

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per kept part and answer: what was kept, draws, the proportion and both bands."""
        import pandas as pd

        points, answers = self.value.shape
        along = {"kept": self.kept, "time": self.times, "draws": self.draws, "effective": self.effective}
        bands = ("value", "lower", "upper", "lower_all", "upper_all")
        return pd.DataFrame(
            {
                "question": self.question,
                **{k: np.repeat(v, answers) for k, v in along.items()},
                "answer": np.tile(np.asarray(self.answers, object), points),
                **{k: getattr(self, k).ravel() for k in bands},
            }
        )

    def to_xarray(self) -> xr.Dataset:
        """Return proportions and bands on dimensions ``kept`` and ``answer``; the other fields are attributes."""
        import xarray as xr

        bands = ("value", "lower", "upper", "lower_all", "upper_all")
        data: dict[str, Any] = {k: (("kept", "answer"), getattr(self, k)) for k in bands}
        data |= {k: ("kept", getattr(self, k)) for k in ("draws", "effective")}
        coords = {"kept": self.kept, "time": ("kept", self.times), "answer": np.asarray(self.answers, dtype=str)}
        named = ("question", "reference", "axis", "full", "alpha", "method")
        return xr.Dataset(data, coords, {k: getattr(self, k) for k in named})

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve with its bands; returns the matplotlib axes."""
        return draw("question", self, ax=ax)


@dataclass(frozen=True)
class RiseStep:
    """One step between consecutive kept fractions (positions) of a question.

    Attributes:
        question: its name.
        kept_before: kept at the step's start.
        kept_after: kept at its end.
        rise: observed rise of "same answer"; negative for a drop.
        by_rule: whether the rule calls it a window (the no-drop clause included).
        p_value: of "the true rise is at most ``rise``" (the threshold).
        p_adjusted: the same, corrected for the steps (and questions).
        certified: ``p_adjusted <= alpha``.
        p_any: of "the probability did not rise at all".
        p_any_adjusted: the same, corrected.
        test: which test gave the p-values.
        rise_low: lower end of an interval of the true rise that holds at all steps of the question at once, with
            probability at least ``1 - alpha`` (exact: ``sloc.windows.binomial_rise.rise_interval``, Bonferroni).
        rise_high: its upper end.
        fires_flat: largest chance that an observed rise exceeds the threshold at as many draws where nothing changed;
            NaN where weights or numbers of draws differ.
        misses: largest chance that it does not though the true rise is 0.1 above the threshold; NaN likewise.

    """

    question: str
    kept_before: float
    kept_after: float
    rise: float
    by_rule: bool
    p_value: float
    p_adjusted: float
    certified: bool
    p_any: float
    p_any_adjusted: float
    test: str
    rise_low: float = float("nan")
    rise_high: float = float("nan")
    fires_flat: float = float("nan")
    misses: float = float("nan")

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)


@dataclass(frozen=True)
class TraceWindows:
    """Curves and windows of every question of a table.

    Attributes:
        curves: one per question.
        rule: one window per question by the rule (its largest rise); ``empty`` where no step rises
            enough or a drop forbids it, ``below_grid`` where none does but more than ``rise`` is
            still missing at the last point, ``unresolved`` where one point allows no step, ``one answer`` where all
            resamples and the full generation agree.
        calibrated: one per question by the test; ``unresolved`` where the rule sees a window that the
            test does not certify.
        steps: every step of every question, in order.
        rise: the threshold.
        max_drop: the no-drop clause, or None.
        alpha: error level of bands and tests.
        correction: rule within a question.
        across: rule across questions.
        statistic: ordering of outcomes in the exact test.
        notes: what was noticed in the table.

    """

    curves: tuple[ResampledCurve, ...]
    rule: tuple[Window, ...]
    calibrated: tuple[Window, ...]
    steps: tuple[RiseStep, ...]
    rise: float
    max_drop: float | None
    alpha: float
    correction: str
    across: str
    statistic: str
    notes: tuple[str, ...] = ()
    axis: Axis = field(default="fraction")

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def __repr__(self) -> str:
        """Return the counts on one line."""
        counts = self.summary()
        return (
            f"TraceWindows({counts['questions']} questions, {counts['draws']:,} resamples: {counts['rule']} windows by "
            f"the rule (rise > {self.rise:g}), {counts['certified']} certified at {self.alpha:g}, "
            f"{counts['any_rise']} with some certain rise)"
        )

    def summary(self) -> dict[str, Any]:
        """Return counts: questions, draws, windows by the rule, certified, and questions with any certain rise."""
        rising = {s.question for s in self.steps if s.p_any_adjusted <= self.alpha}
        survivors = sum(r.resolved and c.resolved for r, c in zip(self.rule, self.calibrated, strict=True))
        return {
            "questions": len(self.curves),
            "draws": int(sum(int(c.draws.sum()) for c in self.curves)),
            "rule": sum(w.resolved for w in self.rule),
            "certified": sum(w.resolved for w in self.calibrated),
            "rule_and_certified": survivors,
            "any_rise": len(rising),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per question: where each kind of window lies, with statuses and p-values.

        ``rise_low .. rise_high`` is the interval of the largest observed rise, which holds whichever step that is;
        ``rule_...`` are the rule's computed rates at the question's numbers of draws, without the no-drop clause:
        firing on a flat curve at a step and anywhere (union bound), missing a rise 0.1 above the threshold.
        """
        import pandas as pd

        grouped: dict[str, list[RiseStep]] = {}
        for step in self.steps:
            grouped.setdefault(step.question, []).append(step)
        rows = []
        for curve, rule, test in zip(self.curves, self.rule, self.calibrated, strict=True):
            steps = grouped.get(curve.question, [])
            best = min(steps, key=lambda s: (s.p_adjusted, -s.rise), default=None)
            top = max(steps, key=lambda s: s.rise, default=None)
            flat = [s.fires_flat for s in steps]
            rows.append(
                {
                    "question": curve.question,
                    "reference": curve.reference,
                    "answers": len(curve.answers),
                    "points": curve.kept.size,
                    "draws": int(curve.draws.sum()),
                    "rule_status": rule.status_after,
                    **_kept_edges("rule", rule, curve),
                    "certified_status": test.status_after,
                    **_kept_edges("certified", test, curve),
                    "largest_rise": None if top is None else top.rise,
                    "rise_low": None if top is None else top.rise_low,
                    "rise_high": None if top is None else top.rise_high,
                    "largest_drop": max((max(-s.rise, 0.0) for s in steps), default=None),
                    "p_adjusted": None if best is None else best.p_adjusted,
                    "p_any_adjusted": min((s.p_any_adjusted for s in steps), default=None),
                    "test": "" if best is None else best.test,
                    "rule_fires_flat": float(np.max(flat)) if steps else None,
                    "rule_fires_flat_anywhere": float(np.minimum(np.sum(flat), 1.0)) if steps else None,
                    "rule_misses": float(np.max([s.misses for s in steps])) if steps else None,
                }
            )
        return pd.DataFrame(rows)

    def steps_dataframe(self) -> pd.DataFrame:
        """Return one row per step of every question."""
        import pandas as pd

        names = list(RiseStep.__dataclass_fields__)
        return pd.DataFrame([vars(s) for s in self.steps], columns=names)

    def to_xarray(self) -> xr.Dataset:
        """Return the curves and windows as one dataset.

        "Same answer" lies on dimensions ``question`` and ``point``, in order of ``kept`` and filled with
        NaN where a question has fewer points.  All answers that were seen lie on dimension ``entry`` with
        ``entry_question``, ``entry_point`` (indices) and ``entry_answer`` (an index into ``answer``).
        """
        from sloc.results.resampled_xarray import windows_dataset

        return windows_dataset(self)

    def plot(self, path: Any = None) -> Any:
        """Draw a panel per question, or a heat map of many; returns the matplotlib figure, saved if a path is given."""
        return draw("traces", self, path=path)


def _kept_edges(prefix: str, window: Window, curve: ResampledCurve) -> dict[str, float | None]:
    """Kept fractions and times of a window's edges; None where there is no window."""
    edges = {}
    for word, t in (("before", window.t_before), ("after", window.t_after)):
        at = None if t is None else int(np.argmin(np.abs(curve.times - t)))
        edges[f"{prefix}_{curve.axis}_{word}"] = None if at is None else float(curve.kept[at])
        edges[f"{prefix}_t_{word}"] = t
    return edges
