"""Windows of recorded answers: when did a language model, or anything that can be resampled, decide?

A generation is kept up to a fraction (or position), finished again several times, and the answers
are recorded.  The curve of "same answer as the full generation" against what was kept says when the
answer was decided.  Time keeps the library's sense, it grows as information is lost:
``t = 1 - kept fraction``, or ``t = full length - kept position``.

Two definitions of a window stand side by side:

* **the rule**: the observed curve rises by more than ``rise`` between consecutive kept fractions
  (Li, Karan & Chen 2025, Sect. 6.2; their code also asks for no drop above 0.3 anywhere);
* **the calibrated test**: an exact test rejects "the true rise of this step is at most ``rise``",
  corrected for the number of steps, and on request for the number of questions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_choice, checked_level
from sloc.engine.binomial import clopper_pearson
from sloc.results import ResampledCurve, RiseStep, Status, TraceWindows
from sloc.results.resampled import Axis
from sloc.results.window import Window
from sloc.windows.binomial_rise import RISE_STATISTICS, RiseStatistic, rise_interval, rise_p_values
from sloc.windows.multiplicity import ACROSS, WITHIN, Across, Within, adjust_steps
from sloc.windows.proportions import hoeffding_rise_p_value, weighted_interval
from sloc.windows.rises import TOLERANCE, find_rises
from sloc.windows.rule_errors import RuleRates, rule_rates
from sloc.windows.traces_table import QuestionTraces, TraceTable

BEYOND = 0.1
"""Misses of the rule are computed for a true rise this much above its threshold."""


def trace_windows(
    table: TraceTable,
    *,
    rise: float = 0.5,
    max_drop: float | None = None,
    alpha: float = 0.05,
    correction: Within = "bonferroni",
    across: Across = "none",
    statistic: RiseStatistic = "difference",
) -> TraceWindows:
    """Curves, bands and windows of every question.

    Each step between consecutive kept fractions is tested for "true rise at most ``rise``",
    ``p(after) - p(before) <= rise``, and for "no rise" by ``sloc.windows.binomial_rise.rise_p_value`` (exact), or,
    where weights within a point differ, by Hoeffding's inequality (valid, conservative); p-values are corrected by
    ``sloc.windows.multiplicity.adjust_steps``.

    Source: the rule is that of Li, Karan & Chen 2025; the tests are the library's own.

    Args:
        table: from :func:`sloc.windows.read_trace_table`.
        rise: the threshold, in [0, 1).
        max_drop: if given, the rule calls nothing a window where the curve drops by more than this.
            The test is about single steps and does not use it.
        alpha: error level of the bands and of the tests, in (0, 1).
        correction: over a question's steps, ``"bonferroni"`` or ``"holm"``.
        across: over questions, ``"none"``, ``"holm"`` or ``"bh"``.
        statistic: ordering of outcomes in the exact test, ``"difference"`` or ``"score"``.

    Returns:
        The curves and windows.

    Raises:
        InvalidInput: a setting out of range.

    """
    require(isinstance(table, TraceTable), "table", table, "a TraceTable")
    require(0.0 <= as_real(rise) < 1.0, "rise", rise, "a threshold in [0, 1)")
    require(max_drop is None or 0.0 <= as_real(max_drop) <= 1.0, "max_drop", max_drop, "None or a number in [0, 1]")
    checked_level(alpha, "alpha")
    checked_choice(correction, "correction", WITHIN)
    checked_choice(across, "across", ACROSS)
    checked_choice(statistic, "statistic", RISE_STATISTICS)
    curves = tuple(_curve(q, table.axis, alpha) for q in table.questions)
    owner = np.repeat(np.arange(len(curves)), [c.kept.size - 1 for c in curves])
    p_rise = [_p_values(q, rise, statistic) for q in table.questions]
    p_any = p_rise if rise == 0 else [_p_values(q, 0.0, statistic) for q in table.questions]
    adjusted = adjust_steps(_join(p_rise), owner, correction, across)
    adjusted_any = adjust_steps(_join(p_any), owner, correction, across)
    steps: list[RiseStep] = []
    rule, calibrated = [], []
    for i, (question, curve) in enumerate(zip(table.questions, curves, strict=True)):
        passing = find_rises(curve.times, curve.same, rise, max_drop)
        mine = range(*np.searchsorted(owner, [i, i + 1]))
        low, high = _rise_intervals(question, alpha / max(len(mine), 1))
        own = [
            RiseStep(
                question=curve.question,
                kept_before=float(curve.kept[j]),
                kept_after=float(curve.kept[j + 1]),
                rise=float(curve.same[j + 1] - curve.same[j]),
                by_rule=(j, j + 1) in passing,
                p_value=float(p_rise[i][j]),
                p_adjusted=float(adjusted[s]),
                certified=bool(adjusted[s] <= alpha),
                p_any=float(p_any[i][j]),
                p_any_adjusted=float(adjusted_any[s]),
                test=_test_name(question, j, statistic),
                rise_low=float(low[j]),
                rise_high=float(high[j]),
                **_rule_rates(question, j, rise),
            )
            for j, s in enumerate(mine)
        ]
        steps.extend(own)
        rule.append(_rule_window(curve, passing, rise, max_drop))
        calibrated.append(_calibrated_window(curve, own, rise, alpha))
    return TraceWindows(
        curves,
        tuple(rule),
        tuple(calibrated),
        tuple(steps),
        rise,
        max_drop,
        alpha,
        correction,
        across,
        statistic,
        table.notes,
        table.axis,
    )


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


def _curve(question: QuestionTraces, axis: Axis, alpha: float) -> ResampledCurve:
    points = question.kept.size
    (low, high), (low_all, high_all) = (_bands(question, level) for level in (alpha, alpha / points))
    kinds = "Clopper-Pearson" if question.equal.all() else "Chernoff or Hoeffding for weighted draws"
    if question.equal.any() and not question.equal.all():
        kinds = "Clopper-Pearson where weights are equal, else Chernoff or Hoeffding"
    return ResampledCurve(
        question.question,
        question.reference,
        question.answers,
        axis,
        question.kept,
        question.full - question.kept,
        question.full,
        question.draws,
        question.hoeffding,
        question.frequency,
        low,
        high,
        low_all,
        high_all,
        alpha,
        f"resampled answers, {kinds}, Bonferroni over {points} points",
    )


def _bands(question: QuestionTraces, level: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = clopper_pearson(question.counts, question.draws[:, None], level)
    if not question.equal.all():
        shape = question.frequency.shape
        chernoff, hoeffding = (np.broadcast_to(s[:, None], shape) for s in (question.chernoff, question.hoeffding))
        weighted_low, weighted_high = weighted_interval(question.frequency, chernoff, hoeffding, level)
        equal = question.equal[:, None]
        low, high = np.where(equal, low, weighted_low), np.where(equal, high, weighted_high)
    return low, high


def _p_values(question: QuestionTraces, tau: float, statistic: RiseStatistic) -> np.ndarray:
    same, n, value = question.counts[:, 0], question.draws, question.frequency[:, 0]
    exact = question.equal[:-1] & question.equal[1:]
    p = hoeffding_rise_p_value(value[1:] - value[:-1], question.hoeffding[:-1], question.hoeffding[1:], tau)
    if exact.any():
        p[exact] = rise_p_values(same[:-1][exact], n[:-1][exact], same[1:][exact], n[1:][exact], tau, statistic)
    return p


def _rise_intervals(question: QuestionTraces, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of every step's rise: exact where weights are equal, else from either point's own at half the level."""
    same, n = question.counts[:, 0], question.draws
    low, high = rise_interval(same[:-1], n[:-1], same[1:], n[1:], level)
    exact = question.equal[:-1] & question.equal[1:]
    if not exact.all():
        lower, upper = (b[:, 0] for b in _bands(question, level / 2))
        low, high = np.where(exact, low, lower[1:] - upper[:-1]), np.where(exact, high, upper[1:] - lower[:-1])
    return low, high


def _rule_rates(question: QuestionTraces, step: int, rise: float) -> dict[str, float]:
    """Rates of the rule at a step, NaN where they are not computed: weights or numbers of draws that differ."""
    before, after = (int(n) for n in question.draws[step : step + 2])
    if before != after or not question.equal[step : step + 2].all():
        return {"fires_flat": float("nan"), "misses": float("nan")}
    rates = _rates(before, rise)
    return {"fires_flat": rates.fires_flat, "misses": rates.misses}


@lru_cache(maxsize=256)
def _rates(draws: int, rise: float) -> RuleRates:
    return rule_rates(draws, rise=rise, event=min(rise + BEYOND, 1.0))


def _test_name(question: QuestionTraces, step: int, statistic: RiseStatistic) -> str:
    exact = bool(question.equal[step] and question.equal[step + 1])
    return f"exact unconditional ({statistic})" if exact else "Hoeffding (weighted)"


def _rule_window(curve: ResampledCurve, passing: list[tuple[int, int]], rise: float, max_drop: float | None) -> Window:
    clause = "" if max_drop is None else f", no drop > {max_drop:g}"
    method = f"observed rise > {rise:g} between consecutive {curve.axis}s{clause}"
    if passing:
        return _window(curve, passing[0], "resolved", rise, 0.0, method)
    return _window(curve, None, _without_step(curve, rise), rise, 0.0, method)


def _calibrated_window(curve: ResampledCurve, steps: list[RiseStep], rise: float, alpha: float) -> Window:
    method = f"test of rise <= {rise:g}: {steps[0].test}" if steps else f"test of rise <= {rise:g}"
    certified = [(s.p_adjusted, -s.rise, j) for j, s in enumerate(steps) if s.certified]
    if certified:
        j = min(certified)[2]
        return _window(curve, (j, j + 1), "resolved", rise, alpha, method)
    seen = any(s.rise > rise + TOLERANCE for s in steps)
    return _window(curve, None, "unresolved" if seen else _without_step(curve, rise, True), rise, alpha, method)


def _without_step(curve: ResampledCurve, rise: float, certain: bool = False) -> Status:
    """Why no step is a window: one answer only, none to look at, the rise lies after the last point, or none."""
    if len(curve.answers) == 1:
        return "one answer"
    last = float(curve.upper[-1, 0] if certain else curve.same[-1])
    if 1.0 - last > rise + TOLERANCE:
        return "below_grid"
    return "unresolved" if curve.kept.size < 2 else "empty"


def _window(
    curve: ResampledCurve, pair: tuple[int, int] | None, status: Status, rise: float, delta: float, method: str
) -> Window:
    before, after = (None, None) if pair is None else (float(curve.times[pair[0]]), float(curve.times[pair[1]]))
    # Of a certified window no more is known than that the rise lies between its two points: either edge does.
    place = None if not delta or before is None or after is None else (after, before)
    return Window(
        t_after=after,
        t_before=before,
        after_interval=place,
        before_interval=place,
        status_after=status,
        status_before=status,
        epsilon=rise,
        delta=delta,
        draws=int(curve.draws.sum()),
        method=method,
        name=curve.question,
        time_axis=curve.time_axis,
    )
