"""What needs no prior of recorded branches: plain draws, exact tests of moves, the published rule and its rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all, checked_kind, is_one_of
from sloc.results.outcome import Moves
from sloc.windows.allocation import recorded_draws
from sloc.windows.likely_moves import pairs_at
from sloc.windows.move_tests import exact_moves
from sloc.windows.multiplicity import Across
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts
from sloc.windows.recorded import Recording
from sloc.windows.recorded_checks import check_axes, check_names
from sloc.windows.rule_errors import RuleRates, rule_rates

if TYPE_CHECKING:
    import pandas as pd

RULE, NULL, EVENT = 0.5, 0.25, 0.6
"""The published rule's rise (Li, Karan & Chen 2025), and the true rises its rates are computed for."""


def plain_counts(recording: Recording, seed: int = 0, *, adjacent: bool | None = None) -> OutcomeCounts:
    """Count plain draws of ``o_t``, whole numbers, as exact tests ask for them.

    Where a position has one branch its draws are plain already; of several, each draw takes a branch by its weight and
    then that branch's next answer (:func:`sloc.windows.recorded_draws`), as many as the shortest branch has, so that
    none runs out.  Tests compare equal numbers of draws: no position counts more than ``n`` of them, the first ``n``,
    with the ``n`` that keeps most draws at positions that have as many: ``n_t = min(n, shortest branch's draws)`` at
    position ``t``.  Answers decide nothing of that.

    Source: the library's own.

    Args:
        recording: of one question.
        seed: of the choice of branches.
        adjacent: whether positions that differ by one are consecutive tokens, as of
            :func:`sloc.windows.outcome_counts`.

    Returns:
        The counts, at the positions and with the leaving masses of :func:`sloc.windows.outcome_counts`.

    Raises:
        InvalidInput: no recording, a seed that is none, or fractions that are said to be adjacent.

    """
    checked_kind(recording, "recording", Recording, "a Recording")
    stratified = outcome_counts(recording, adjacent=adjacent)
    positions = recording.positions
    where = np.searchsorted(positions, [b.position for b in recording.branches])
    shortest = np.full(positions.size, np.iinfo(np.int64).max)
    np.minimum.at(shortest, where, [b.answers.size for b in recording.branches])
    sizes = np.unique(shortest)
    most = int(sizes[np.argmax([n * (shortest >= n).sum() for n in sizes])])
    mixed = recorded_draws([recording], seed).answers
    code = {c: i for i, c in enumerate(recording.categories)}
    counts = np.zeros(stratified.counts.shape)
    for row, n, position in zip(np.searchsorted(stratified.positions, positions), shortest, positions, strict=True):
        first = mixed[recording.question, float(position)][: min(most, int(n))]
        counts[row] = np.bincount([code[a] for a in first], minlength=len(code))
    return OutcomeCounts(recording.question, recording.categories, stratified.positions, counts, stratified.leaving)


def recorded_exact_moves(
    recordings: Sequence[Recording],
    *,
    tau: float = 0.3,
    alpha: float = 0.05,
    gap: float = 4.0,
    separation: float = 8.0,
    across: Across = "bh",
    seed: int = 0,
    all_stated: bool = False,
    adjacent: bool | None = None,
) -> Moves:
    """Certify moves of recordings: :func:`sloc.windows.exact_moves` of their plain draws.

    What is refuted at a pair ``i < j`` is ``o_j(A) - o_i(A) <= tau`` for a set ``A`` of answers.

    Source: the library's own.

    Args:
        recordings: one a question.
        tau: the size that a move exceeds.
        alpha: the error level.
        gap: how far apart a pair's positions are.
        separation: certified moves of a question lie further apart than this.
        across: over questions, ``"none"``, ``"holm"`` or ``"bh"``; within one it is Holm.
        seed: of the choice of branches (:func:`plain_counts`).
        all_stated: whether the categories of the recordings were all named before anything was drawn, as those of a
            multiple choice are; then fewer sets are paid for.  Otherwise, the categories of a table, say, which are the
            answers that were seen in it, only the full generation's answer is known beforehand
            (``stated_answers``), and tests are exact all the same.
        adjacent: whether positions that differ by one are consecutive tokens (:func:`sloc.windows.outcome_counts`);
            False where they number sentences, or the statement is false.

    Returns:
        The moves, as :func:`sloc.windows.exact_moves` gives them.  Rare answers must not have been merged by looking
        at all draws (:meth:`sloc.windows.Recording.merged`): then the draws would have chosen what is asked of them.

    Raises:
        InvalidInput: settings out of range, two recordings of one name, of different axes, or of fractions
            that are said to be adjacent.

    """
    recordings = checked_all(recordings, "recordings", Recording, "Recordings")
    require(isinstance(all_stated, bool), "all_stated", all_stated, "true or false")
    check_names(recordings, "recordings")
    check_axes(recordings, "recordings")
    counts = [plain_counts(r, seed, adjacent=adjacent) for r in recordings]
    known = None if all_stated else stated_answers(recordings)
    return exact_moves(counts, tau=tau, alpha=alpha, gap=gap, separation=separation, across=across, stated=known)


def stated_answers(recordings: Sequence[Recording]) -> list[tuple[str, ...]]:
    """For each recording the answers that are known without its draws: the full generation's, or none.

    Args:
        recordings: one a question.

    """
    return [() if r.reference is None else (r.reference,) for r in recordings]


@dataclass(frozen=True)
class RuleFiring:
    """What the published rule says of one question, and how often it errs at as many draws.

    Attributes:
        question: its name.
        status: ``"fires"``, ``"silent"``, or ``"one answer"`` (only one was ever seen); ``"no pair"`` where no two
            positions a gap apart have ``draws`` draws.
        answer: whose share is looked at: the full generation's, or, where it was not recorded, the most frequent at
            the last position.
        start: position before the largest observed rise, NaN where there is no pair.
        stop: position after it.
        rise: the largest observed rise of that answer's share.
        draws: on either side.
        steps: pairs that were looked at.
        fires_flat: largest chance that the rule fires at a pair whose share does not change.
        fires_flat_anywhere: bound of that chance over all pairs of the question, and all answers where none was given.
        fires_null: largest chance that it fires at a pair of true rise ``NULL``.
        misses: largest chance that it is silent at a pair of true rise ``EVENT``.

    """

    question: str
    status: str
    answer: str
    start: float
    stop: float
    rise: float
    draws: int
    steps: int
    fires_flat: float
    fires_flat_anywhere: float
    fires_null: float
    misses: float

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row with the attributes as columns."""
        import pandas as pd

        return pd.DataFrame([vars(self)])


def rule_firing(
    data: OutcomeCounts, *, rise: float = RULE, gap: float = 4.0, reference: str | None = None
) -> RuleFiring:
    """Apply the published rule to one question: an answer's observed share rises by more than ``rise`` over a gap.

    It fires where ``max_i (share_j - share_i) > rise``, ``j`` the first position at least ``gap`` after ``i``.

    Source: Li, Karan & Chen 2025 (Sect. 6.2) for the rule, between consecutive kept parts; its rates are exact
    (:func:`sloc.windows.rule_rates`), in the worst case over the share before.

    Args:
        data: whole numbers of plain draws (:func:`plain_counts`).
        rise: the threshold, in [0, 1).
        gap: how far apart the two positions are, in units of positions.
        reference: the full generation's answer; when None the most frequent one at the last position with draws.

    Returns:
        The largest rise among the positions with the most draws, and the rates at that number of draws, which are
        for an answer that was fixed beforehand, and only ``fires_flat_anywhere`` counts the choice among all answers.

    Raises:
        InvalidInput: counts that do not fit or are not of plain draws, a gap that is not positive, an answer outside
            the categories.

    """
    checked_kind(data, "data", OutcomeCounts, "OutcomeCounts")
    data.validate_plain()
    require(as_real(gap) > 0, "gap", gap, "a positive distance")
    require(0.0 <= as_real(rise) < 1.0, "rise", rise, "a threshold in [0, 1)")
    known = reference is None or is_one_of(reference, data.categories)
    require(known, "reference", reference, f"one of {data.categories}, or None")
    total = data.counts.sum(axis=1)
    draws = int(total.max())
    full = np.flatnonzero(total == draws)
    last = data.counts[np.flatnonzero(total > 0)[-1]]
    which = int(last.argmax()) if reference is None else data.categories.index(reference)
    share = data.counts[full, which] / draws
    start, stop = pairs_at(data.positions[full], gap)
    rises = share[stop] - share[start]
    rates = _rates(draws, rise)
    # An answer chosen by the same draws may be any of them.
    chosen = len(data.categories) if reference is None else 1
    anywhere = min(1.0, chosen * start.size * rates.fires_flat)
    best = int(np.argmax(rises)) if start.size else None
    status = "no pair" if best is None else "fires" if rises[best] > rise + 1e-9 else "silent"
    nan = float("nan")
    return RuleFiring(
        question=data.question,
        status="one answer" if data.one_answer() else status,
        answer=data.categories[which],
        start=nan if best is None else float(data.positions[full[start[best]]]),
        stop=nan if best is None else float(data.positions[full[stop[best]]]),
        rise=nan if best is None else float(rises[best]),
        draws=draws,
        steps=int(start.size),
        fires_flat=rates.fires_flat,
        fires_flat_anywhere=anywhere,
        fires_null=rates.fires_null,
        misses=rates.misses,
    )


@lru_cache(maxsize=256)
def _rates(draws: int, rise: float) -> RuleRates:
    return rule_rates(draws, rise=rise, null=NULL, event=EVENT)
