"""Exact tests for moves: "TV(o_i, o_j) is at most tau", at every pair of positions a gap apart, with error control.

Draws of neighbouring positions are pooled where log-probabilities alone bound how far the truth can have moved between
them (:func:`sloc.windows.leaving_masses`); the bound is added to the null, so the statement is about ``o_i``
and ``o_j`` themselves.  Windows are chosen by these bounds and the numbers of draws, never by the answers.

What is **conditioned on**, and may therefore depend on anything but the draws that are tested: the generation and its
probabilities, positions, numbers of draws, the bounds, and which answers there are.  Answers that were named beforehand
are given.  Answers that are only known because they were drawn are not: a pair's sets are then of those that were also
drawn outside its windows, at other positions, whose draws are independent of the pair's, and all the others are one
answer.  Given the draws elsewhere the sets are fixed, so that each p-value stays valid, and no more than the pair
counts as a hypothesis, whose number no draw decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all, checked_choice, checked_level, checked_names
from sloc.results.outcome import Move, Moves
from sloc.windows.likely_moves import pairs_at, spaced_maxima
from sloc.windows.multiplicity import ACROSS, WITHIN, Across, Within, adjust_steps
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.recorded_checks import check_names

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Numbers of positions that are pooled on either side."""
MAX_ANSWERS = 6
"""Up to this many answers, all stated, each set of them is a hypothesis; beyond it a pair's sets are tested as one."""
LEAST, MANY = 1e-300, 1000
"""P-values are taken to be this at least, and ``2^A`` to be ``2^1000`` at most: their product is then above 1."""


@dataclass(frozen=True)
class PairWindows:
    """What is pooled for each pair that has to be tested.

    Attributes:
        start: ``[M]`` index ``i``.
        stop: ``[M]`` index ``j``.
        width: ``[M]`` positions pooled on either side: ``i - width + 1 .. i`` and ``j .. j + width - 1``.
        slack: ``[M]`` bound of what pooling may add to ``TV(o_i, o_j)``.
        span: ``[M]`` bound of ``TV(o_i, o_j)`` from log-probabilities.
        settled: pairs left out, because ``span <= tau``.

    """

    start: np.ndarray
    stop: np.ndarray
    width: np.ndarray
    slack: np.ndarray
    span: np.ndarray
    settled: int


def pooled_rise_p_value(rising: np.ndarray, total: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """P-value of "the mean probability after is at most that before plus ``tau``", draws not identically distributed.

    With ``n`` draws on either side let ``S`` count the successes after and the failures before: a sum of ``2 n``
    independent indicators of mean sum at most ``n (1 + tau)`` under the null.  Its upper tail is at most that of
    ``Bin(2 n, (1 + tau) / 2)`` from one above the mean on (Hoeffding 1956, Theorem 4); elsewhere the p-value is 1.

    Args:
        rising: ``S``, any shape.
        total: ``2 n``.
        tau: the rise that the null allows, in [0, 1].

    Returns:
        P-values, valid at every number of draws.

    """
    from scipy.stats import binom

    rising, total, tau = np.broadcast_arrays(np.round(rising), np.asarray(total, np.float64), tau)
    mean = total * 0.5 * (1.0 + tau)
    tail = binom.sf(np.maximum(rising - 1.0, 0.0), total, np.minimum(0.5 * (1.0 + tau), 1.0))
    return np.where((rising >= mean + 1.0) & (tau < 1.0), tail, 1.0)


def drawn_pairs(data: OutcomeCounts, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Index pairs ``(i, j)`` of positions with draws, ``j`` the first of them at least ``gap`` after ``i``."""
    drawn = np.flatnonzero(data.counts.sum(axis=1) > 0)
    start, stop = pairs_at(data.positions[drawn], gap)
    return drawn[start], drawn[stop]


def choose_windows(data: OutcomeCounts, tau: float, gap: float) -> PairWindows:
    """Choose what is pooled, from leaving masses and numbers of draws alone.

    Args:
        data: the counts; a position without draws is the end of no pair, and adds nothing inside a window.
        tau: the size that a move exceeds.
        gap: how far apart the pairs are.

    Returns:
        The windows of pairs that are not settled.

    """
    positions, draws = data.positions, data.counts.sum(axis=1)
    start, stop = drawn_pairs(data, gap)
    path = np.concatenate([[0.0], np.cumsum(np.where(np.isnan(data.leaving), 1.0, data.leaving))])
    span = np.minimum(path[stop] - path[start], 1.0)
    open_ = span > tau
    weight = np.concatenate([[0.0], np.cumsum(draws)])
    drift = np.concatenate([[0.0], np.cumsum(draws * path)])
    width, slack = np.ones(start.size, np.int64), np.full(start.size, np.inf)
    best = np.full(start.size, np.inf)
    for w in WIDTHS:
        left, right = start - w + 1, stop + w
        fits = (left >= 0) & (right <= positions.size)
        low, high = np.maximum(left, 0), np.minimum(right, positions.size)
        before, after = weight[start + 1] - weight[low], weight[high] - weight[stop]
        fits &= (before == after) & (before > 0)
        # Mean, over the draws, of how far a pooled position is from the pair's own.
        here = path[start] - (drift[start + 1] - drift[low]) / np.maximum(before, 1)
        there = (drift[high] - drift[stop]) / np.maximum(after, 1) - path[stop]
        # Three standard errors at an even share: the threshold, roughly, at usual levels.
        threshold = here + there + 3.0 / np.sqrt(2.0 * np.maximum(before, 1))
        better = fits & (threshold < best - 1e-12)
        width, slack = np.where(better, w, width), np.where(better, here + there, slack)
        best = np.where(better, threshold, best)
    usable = open_ & np.isfinite(best)
    return PairWindows(start[usable], stop[usable], width[usable], slack[usable], span[usable], int((~open_).sum()))


def answer_sets(answers: int) -> np.ndarray:
    """``[S, A]`` bool: every set of answers that may gain, neither none nor all."""
    return np.asarray([s for s in product([False, True], repeat=answers) if any(s) and not all(s)])


def strongest_sets(gains: np.ndarray, named: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The sets of answers that gain most, without trying all ``2^A - 2``.

    A set's statistic is the sum of its answers' gains, so that the p-value is smallest for the answers that gain.  Two
    families are kept apart, since the first is small: single answers and all but one, and everything between.

    Args:
        gains: ``[M, A]`` successes after less those before.
        named: ``[M, A]`` bool, the answers that sets are made of at each pair, others in none; all when None.

    Returns:
        ``[M, 2, A]`` bool, the best set of either family, and ``[M, 2]`` how many sets each has; of a family that has
        none (of fewer than two answers, or of fewer than four) the set means nothing.

    """
    named = np.ones(gains.shape, bool) if named is None else named
    answers, own = named.sum(axis=1), np.where(named, gains, -np.inf)
    rank = np.argsort(np.argsort(-own, axis=1, kind="stable"), axis=1, kind="stable")
    # All but the last gains as much as the first alone or more exactly when the sum of those between is not negative.
    inner = named & (rank > 0) & (rank < answers[:, None] - 1)
    many = np.where(inner, gains, 0.0).sum(axis=1) > 0
    ends = rank < np.where(many, answers - 1, 1)[:, None]
    between = rank < np.clip((own > 0).sum(axis=1), 2, np.maximum(answers - 2, 2))[:, None]
    # More sets than this make every p-value 1; a number that is not finite would say less.
    every = np.exp2(np.minimum(answers, MANY)) - 2.0
    ring = np.where(answers > 2, 2.0 * answers, np.where(answers == 2, 2.0, 0.0))
    rest = np.where(answers > 3, every - ring, 0.0)
    return np.stack([ends, between], axis=1) & named[:, None], np.stack([ring, rest], axis=1)


def exact_moves(
    questions: Sequence[OutcomeCounts],
    *,
    tau: float = 0.3,
    alpha: float = 0.05,
    gap: float = 4.0,
    separation: float = 8.0,
    correction: Within = "holm",
    across: Across = "bh",
    stated: Sequence[Sequence[str] | None] | None = None,
) -> Moves:
    """Certify moves: exact p-values of every set of answers at every pair, corrected for all of them.

    Up to six answers, all stated, each set at each pair is a hypothesis.  Else each pair is one hypothesis, "no set of
    answers gains more than ``tau``", with the p-value ``min(1, 2 min_f (S_f p_f))``: ``p_f`` the smallest of the family
    ``f`` (single answers and their complements; all other sets), ``S_f`` its number of sets (Bonferroni, half of the
    level for each family; of fewer than four answers there is one family, and no factor 2).  No set is left out, and
    single answers pay twice what they would alone.

    Levels are exact given what this module says is conditioned on: categories that were fixed beforehand, or
    ``stated``.  Rare answers that were merged by looking at the draws, or draws whose number hung on the answers before
    them, are neither.

    Args:
        questions: whole numbers of unweighted draws, of different names; recordings with branches go through
            :func:`sloc.windows.plain_counts` (branches mixed by :func:`sloc.windows.recorded_draws`).  Draws are pooled
            as far as their ``leaving`` allows, not at all where it is NaN: that says what log-probabilities are not to
            be trusted with.
        tau: the size that a move exceeds, in [0, 1).
        alpha: the error level.
        gap: how far apart a pair's positions are.
        separation: certified moves of a question lie further apart than this.
        correction: over the sets and pairs of a question.
        across: over questions: ``"none"`` (each has its own level), ``"holm"`` (no false move anywhere), ``"bh"``.
        stated: for each question those of its categories that were named before anything was drawn, others being
            possible; None where the categories are all that is possible, named beforehand; None altogether: so they are
            of every question.  Any other answer enters a pair's sets by its name only if it
            was also drawn outside the pair's windows, and together with all such answers if not.

    Returns:
        The moves, one row per separate certified place, and the best pair of a question without any.  ``location`` is
        the pair; ``size_interval`` holds by the log-probabilities above, and below for all pairs of the question
        together (``"none"``), of all questions (``"holm"``), or of each question that is selected at the false coverage
        rate ``alpha`` (``"bh"``; Benjamini & Yekutieli 2005): Bonferroni's limits, since those of Holm's steps would
        not hold together, so that they may lie below ``tau`` where Holm certifies more.

    Raises:
        InvalidInput: settings out of range, counts that are not whole or not of plain draws, two questions of one
            name, stated answers that are no categories.

    """
    questions = checked_all(questions, "questions", OutcomeCounts, "OutcomeCounts")
    check_names(questions, "questions")
    require(as_real(gap) > 0, "gap", gap, "a positive distance")
    require(as_real(separation) >= 0, "separation", separation, "a distance, not negative")
    require(0.0 <= as_real(tau) < 1.0, "tau", tau, "a size in [0, 1)")
    checked_level(alpha, "alpha")
    checked_choice(correction, "correction", WITHIN)
    checked_choice(across, "across", ACROSS)
    named = (
        (None,) * len(questions)
        if stated is None
        else checked_all(stated, "stated", (tuple, list, type(None)), "lists of texts, or None")
    )
    require(len(named) == len(questions), "stated", len(named), f"one for each of {len(questions)} questions")
    tests = []
    for data, names in zip(questions, named, strict=True):
        data.validate_plain()
        windows = choose_windows(data, tau, gap)
        tests.append((data, windows, set_tests(data, windows, tau, names)))
    sizes = [found.p.size for *_, found in tests]
    owner = np.repeat(np.arange(len(tests)), sizes)
    joined = np.concatenate([found.p.ravel() for *_, found in tests]) if tests else np.zeros(0)
    adjusted = np.split(adjust_steps(joined, owner, correction, across), np.cumsum(sizes)[:-1]) if tests else []
    moves: list[Move] = []
    statuses: dict[str, str] = {}
    levels = _size_levels(adjusted, alpha, across)
    for (data, windows, found), flat, each in zip(tests, adjusted, levels, strict=True):
        if data.one_answer():
            # Its p-values are all 1: it stays among the hypotheses, which the draws do not choose.
            statuses[data.question] = "one answer"
            continue
        own = _separate(data, windows, found, flat.reshape(found.p.shape), alpha, each, tau, separation)
        statuses[data.question] = "resolved" if any(m.found for m in own) else "empty"
        moves.extend(own)
    control = {
        "none": "chance of a false move in a question",
        "holm": "chance of any false move",
        "bh": "false-discovery rate",
    }
    return Moves(tuple(sorted(moves, key=lambda m: m.adjusted)), tau, alpha, f"{control[across]} at most", statuses)


@dataclass(frozen=True)
class SetTests:
    """Tests of the sets of one question at its pairs.

    Attributes:
        sets: ``[1, S, A]`` bool, the same at every pair, or ``[M, 1, A]``, the strongest of each pair.
        rising: ``[M, S]`` successes after and failures before.
        single: ``[M, S]`` p-values of these sets, alone.
        p: ``[M, S]`` p-values of the hypotheses: the same, or of "no set of answers gains more than ``tau``".

    """

    sets: np.ndarray
    rising: np.ndarray
    single: np.ndarray
    p: np.ndarray

    def of(self, pair: int, column: int) -> np.ndarray:
        """``[A]`` the set in one column at one pair."""
        return self.sets[min(pair, self.sets.shape[0] - 1), column]


def set_tests(data: OutcomeCounts, windows: PairWindows, tau: float, stated: Sequence[str] | None = None) -> SetTests:
    """Test sets of answers at every pair (see :func:`exact_moves`).

    Args:
        data: of one question.
        windows: what is pooled for each pair.
        tau: the size that a move exceeds.
        stated: categories that were named before anything was drawn, and were not all that is possible; all, and no
            others possible, when None.

    Raises:
        InvalidInput: stated answers that are no categories, or twice.

    """
    answers, open_set = len(data.categories), stated is not None
    where = f"question {data.question!r}, stated"
    names = data.categories if stated is None else checked_names(stated, where)
    wrong = [n for n in names if n not in data.categories]
    require(not wrong, where, wrong[:1], f"some of the categories {data.categories}")
    total = np.concatenate([np.zeros((1, answers)), np.cumsum(data.counts, axis=0)])
    before = total[windows.start + 1] - total[windows.start - windows.width + 1]
    after = total[windows.stop + windows.width] - total[windows.stop]
    draws = 2.0 * before.sum(axis=1, keepdims=True)
    null = np.minimum(tau + windows.slack, 1.0)[:, None]
    if answers <= MAX_ANSWERS and not open_set:
        sets = answer_sets(answers) if answers > 1 else np.zeros((0, 1), bool)
        rising = after @ sets.T + before @ (~sets).T
        p = pooled_rise_p_value(rising, draws, null)
        return SetTests(sets[None], rising, p, p)
    # Sets are of answers stated or drawn elsewhere, and of one more, all the others together.
    own = np.asarray([c in names for c in data.categories]) | (total[-1] - before - after > 0)
    gains, listed = after - before, own
    if open_set:
        # Also where nothing else was drawn: what is asked may not hang on that.
        others = np.where(own, 0.0, gains).sum(axis=1, keepdims=True)
        gains = np.concatenate([gains, others], axis=1)
        listed = np.concatenate([own, np.ones_like(others, bool)], axis=1)
    sets, number = strongest_sets(gains, listed)
    sets = np.where(own[:, None], sets[..., :answers], sets[..., -1:])
    rising = np.where(sets, after[:, None], before[:, None]).sum(axis=2)
    single = pooled_rise_p_value(rising, draws, null)
    families = (number > 0).sum(axis=1, keepdims=True)
    paid = np.where(number > 0, families * number * np.maximum(single, LEAST), np.inf)
    best = np.argmin(paid, axis=1)[:, None]
    p = np.minimum(1.0, np.take_along_axis(paid, best, axis=1))
    strongest = np.take_along_axis(sets, best[..., None], axis=1)
    rising, single = (np.take_along_axis(v, best, axis=1) for v in (rising, single))
    return SetTests(strongest, rising, single, p)


def _size_levels(adjusted: Sequence[np.ndarray], alpha: float, across: str) -> list[float]:
    """Level of each limit of a size in each question: its share of ``alpha`` over all hypotheses that it holds with."""
    sizes = [max(flat.size, 1) for flat in adjusted]
    if across == "holm":
        return [alpha / max(sum(flat.size for flat in adjusted), 1)] * len(sizes)
    selected = sum(bool(flat.size and flat.min() <= alpha) for flat in adjusted)
    asked = sum(flat.size > 0 for flat in adjusted)
    part = selected / max(asked, 1) if across == "bh" else 1.0
    return [alpha * part / size for size in sizes]


def _separate(
    data: OutcomeCounts,
    windows: PairWindows,
    tests: SetTests,
    adjusted: np.ndarray,
    alpha: float,
    each: float,
    tau: float,
    separation: float,
) -> list[Move]:
    """The best pair of each separate place that is certified, or the best pair of all."""
    if not tests.p.size:
        return []
    best = np.argmin(tests.p, axis=1)
    rows = np.arange(best.size)
    strength = -adjusted[rows, best] - 1e-9 * tests.p[rows, best]
    place = data.positions[windows.start]
    chosen = spaced_maxima(strength, place, -alpha - 1e-9, separation) or [int(np.argmax(strength))]
    moves = []
    for c in chosen:
        s, i, j, w = int(best[c]), int(windows.start[c]), int(windows.stop[c]), int(windows.width[c])
        n, rising = float(data.counts[i - w + 1 : i + 1].sum()), float(tests.rising[c, s])
        paid = max(tests.p[c, s] / max(tests.single[c, s], LEAST), 1.0)
        certified = bool(adjusted[c, s] <= alpha)
        low = _lower_size(rising, n, float(windows.slack[c]), each / paid) if certified else 0.0
        gaining = tests.of(c, s)
        moves.append(
            Move(
                question=data.question,
                start=float(data.positions[i]),
                stop=float(data.positions[j]),
                rising=tuple(name for name, inside in zip(data.categories, gaining, strict=True) if inside),
                size=float(np.clip(rising / n - 1.0, 0.0, 1.0)),
                size_interval=(low, float(windows.span[c])),
                location=(float(data.positions[i]), float(data.positions[j])),
                p_value=float(tests.p[c, s]),
                probability=float("nan"),
                adjusted=float(adjusted[c, s]),
                found=certified,
                method=f"exact test of TV <= {tau:g}, {w} positions pooled on either side",
                categories=data.categories,
            )
        )
    return moves


def _lower_size(rising: float, n: float, slack: float, level: float) -> float:
    """Largest size that the test rejects at ``level``; 0 where it rejects none."""
    low, high = 0.0, 1.0
    if pooled_rise_p_value(np.asarray(rising), np.asarray(2 * n), np.asarray(min(slack, 1.0))) > level:
        return 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        tau = np.asarray(min(middle + slack, 1.0))
        rejected = pooled_rise_p_value(np.asarray(rising), np.asarray(2 * n), tau) <= level
        low, high = (middle, high) if rejected else (low, middle)
    return low
