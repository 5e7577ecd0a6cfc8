"""Where to draw next: sequential allocation and two-stage certification through one small interface.

``draw(question, position, n)`` returns up to ``n`` new answers (their names) of a generation kept up to a position:
a language model behind a server, a simulator, or :class:`RecordedDraws`, which replays what was recorded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import (
    as_floats,
    as_real,
    checked_all,
    checked_level,
    checked_names,
    checked_seed,
    checked_whole,
)
from sloc.results.outcome import Move, Moves, OutcomeCurve
from sloc.windows.binomial_rise import rise_p_value
from sloc.windows.draw_design import Design, design_of, posterior_design, wary_steps
from sloc.windows.move_kernels import PRIORS, SHARES, MovePrior
from sloc.windows.multiplicity import holm
from sloc.windows.outcome_curves import OutcomeCounts, OutcomePosterior, outcome_curve, outcome_posterior
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_checks import check_names

if TYPE_CHECKING:
    import pandas as pd

_PICKS = 64
"""Choices in a round, each after the ones before it in the picture."""
_APART = 100.0
"""For a squared leaving mass that is not known."""
Draw = Callable[[str, float, int], Sequence[str]]
"""``(question, position, n)`` to at most ``n`` new answers, each one of the question's categories, as text."""


def _asked(draw: Draw, question: str, position: float, n: int, categories: Sequence[str]) -> list[str]:
    """Ask for draws, and check what comes: a sequence of at most ``n`` texts, each one of the categories.

    Raises:
        InvalidInput: anything else; an answer outside the categories is no answer that "did not rise".

    """
    where = f"question {question!r}, draws at {position:g}"
    got = draw(question, position, n)
    listed = isinstance(got, Sequence) and not isinstance(got, (str, bytes))
    listed = listed or (isinstance(got, np.ndarray) and got.ndim == 1)
    answers = list(got) if listed else []
    require(listed and all(isinstance(a, str) for a in answers), where, got, "a sequence of answers, each a text")
    require(len(answers) <= n, where, len(answers), f"at most the {n} answers that were asked for")
    wrong = next((a for a in answers if categories and a not in categories), None)
    if wrong is not None:
        raise InvalidInput(
            f"question {question!r}, position {position:g}, answer {wrong!r}: expected one of the categories "
            f"{tuple(categories)}"
        )
    return answers


@dataclass
class RecordedDraws:
    """Replays recorded draws in their order; each is handed out once.

    Attributes:
        answers: ``(question, position)`` to answers.
        costs: ``(question, position)`` to what each draw cost, or to one number for all; 1 where it is absent.
        used: draws handed out so far.
        spent: their cost.

    """

    answers: Mapping[tuple[str, float], Sequence[str]]
    costs: Mapping[tuple[str, float], Sequence[float] | float] = field(default_factory=dict)
    used: dict[tuple[str, float], int] = field(default_factory=dict)
    spent: float = 0.0

    def __call__(self, question: str, position: float, n: int) -> Sequence[str]:
        """Hand out the next ``n`` answers, fewer where no more were recorded."""
        key = (question, float(position))
        if key not in self.answers:
            raise InvalidInput(f"question {question!r}, position {position:g}: expected a position that was recorded")
        first = self.used.get(key, 0)
        given = list(self.answers[key][first : first + n])
        self.used[key] = first + len(given)
        cost = self.costs.get(key, 1.0)
        each = [cost] * len(given) if np.ndim(cost) == 0 else np.asarray(cost)[first : first + len(given)]
        self.spent += float(np.sum(each))
        return given

    @property
    def drawn(self) -> int:
        """Draws handed out so far, all positions together."""
        return sum(self.used.values())


def recorded_draws(recordings: Sequence[Recording], seed: int = 0) -> RecordedDraws:
    """Mix the branches of recordings: each draw takes a branch by its weight, then that branch's next answer.

    ``P(branch b) = p_b / sum_b' p_b'``, so that answers have the law ``o_t = sum_b p_b o_b / sum_b p_b``.

    Args:
        recordings: to be replayed, of different names.
        seed: of the choice of branches, with each question's name.

    Returns:
        Exact draws of ``o_t`` itself (over the kept branches), as many a position as its branches allow (at least as
        many as its shortest branch has, whatever is drawn); costs where they were recorded.

    Raises:
        InvalidInput: no recordings, two of one name, or a seed that is none.

    Source: textbook (the law of total probability).

    """
    recordings = checked_all(recordings, "recordings", Recording, "Recordings")
    check_names(recordings, "recordings")
    seed = checked_seed(seed)
    all_answers: dict[tuple[str, float], list[str]] = {}
    all_costs: dict[tuple[str, float], list[float]] = {}
    for recording in recordings:
        # A stream of each question's own: questions are independent, and what else is replayed changes none of them.
        rng = np.random.default_rng([seed, zlib.crc32(recording.question.encode("utf-8", "surrogatepass"))])
        at_position: dict[float, list[Branch]] = {}
        for branch in recording.branches:
            at_position.setdefault(branch.position, []).append(branch)
        for position, branches in at_position.items():
            picked, nth = _picks(rng, branches)
            key = recording.question, position
            all_answers[key] = [recording.categories[branches[b].answers[i]] for b, i in zip(picked, nth, strict=True)]
            all_costs[key] = [
                1.0 if (each := branches[b].costs) is None else float(each[i]) for b, i in zip(picked, nth, strict=True)
            ]
    return RecordedDraws(all_answers, all_costs)


def _picks(rng: np.random.Generator, branches: Sequence[Branch]) -> tuple[list[int], list[int]]:
    """Which branch each draw takes and which of its answers, until one is asked for an answer it has not."""
    sizes = np.asarray([b.answers.size for b in branches])
    if sizes.size == 1:
        return [0] * int(sizes[0]), list(range(int(sizes[0])))
    weights = np.asarray([b.weight for b in branches])
    # One more than there are answers: some branch is exhausted by then.
    picked = rng.choice(sizes.size, int(sizes.sum()) + 1, p=weights / weights.sum())
    nth = (np.cumsum(picked[:, None] == np.arange(sizes.size), axis=0) - 1)[np.arange(picked.size), picked]
    stop = int(np.argmax(nth >= sizes[picked]))
    return picked[:stop].tolist(), nth[:stop].tolist()


@dataclass(frozen=True)
class Allocation:
    """What sequential allocation drew, and the curve from it.

    Attributes:
        curve: from all draws.
        data: the counts.
        rounds: of drawing.
        status: ``"resolved"`` when the wanted width was reached, else ``"budget spent"`` or ``"no draws left"``.

    """

    curve: OutcomeCurve
    data: OutcomeCounts
    rounds: int
    status: str

    def to_dataframe(self) -> pd.DataFrame:
        """Return the curve's table, a row per position and answer, and ``count``, how many draws gave that answer."""
        return self.curve.to_dataframe().assign(count=np.asarray(self.data.counts).ravel())


def allocate_draws(
    draw: Draw,
    question: str,
    categories: Sequence[str],
    positions: np.ndarray,
    *,
    budget: int,
    leaving: np.ndarray | None = None,
    cost: np.ndarray | None = None,
    batch: int = 1,
    first: int = 16,
    share: float = 0.25,
    target: float = 0.0,
    level: float = 0.9,
    priors: Sequence[MovePrior] = PRIORS,
) -> Allocation:
    """Draw where the curve is least known for the cost, round after round.

    Each round chooses positions one after the other, each where a few draws more take most off the expected total
    variation (summed over all positions, for what a draw says of its neighbours too) for their cost, in the Gaussian
    picture of ``sloc.windows.draw_design``; what the model says next is asked when the round is over.  The first round
    knows no draw: all answers alike, and steps as restless as ``wary_steps`` has them.  There ``b`` draws more at ``t``
    take ``C_st^2 / (r_t / b + C_tt)`` off the variance at ``s``, with ``C`` the covariance of an answer's share along
    the positions and ``r_t = p_t (1 - p_t)`` the variance of a draw.  Rounds grow with what was drawn, so that there
    are few: about thirty for two thousand draws.

    Where a leaving mass is not known (sentences, say) a draw is taken to say nothing of what lies beyond that step, so
    that draws are dealt by what they cost and by how uncertain each position's own answer is.

    Against even draws of the same cost the gain on recordings was large at a draw a position or fewer, and beyond that
    little, of either sign from one set of questions to another (the suite ``traces``, part ``budget``).

    Source: the library's own.

    Args:
        draw: the generator.
        question: its name, handed to ``draw``.
        categories: answers that are possible.
        positions: ``[T]`` where may be drawn, increasing.
        budget: draws at most.
        leaving: ``[T - 1]`` probability that leaves the path at each step; unknown when None.
        cost: ``[T]`` positive cost of a draw at each position; equal when None.
        batch: draws at a time at one position, at least; more where a round is large.
        first: batches in the first round.
        share: of the draws so far, that a round adds.
        target: stop when the mean posterior standard deviation (over positions and answers) is at most this.
        level: of the curve's bands.
        priors: to be averaged.

    Returns:
        The draws and the curve: an estimate with credible bands, as :func:`sloc.windows.outcome_curve` gives it.

    Raises:
        InvalidInput: settings out of range, or a generator that returns no sequence of texts, more than it was asked
            for, an answer outside the categories, or none at all.

    """
    require(callable(draw), "draw", draw, "a function (question, position, n) -> answers")
    require(isinstance(question, str), "question", question, "a text")
    names, positions = (
        checked_names(tuple(categories) if isinstance(categories, str) else categories, "categories", 1),
        as_floats(positions, "positions"),
    )
    steps = positions.size
    rising = positions.ndim == 1 and bool(np.isfinite(positions).all() and (np.diff(positions) > 0).all())
    require(steps >= 1 and rising, "positions", positions, "at least one position, finite and increasing")
    budget, batch = checked_whole(budget, "budget"), checked_whole(batch, "batch")
    require(budget >= batch, "budget", budget, f"at least one batch of {batch}")
    require(as_real(target) >= 0, "target", target, "a standard deviation, not negative")
    require(0 < as_real(level) < 1, "level", level, "a coverage inside (0, 1)")
    priors = checked_all(priors, "priors", MovePrior, "MovePriors", 1)
    first = checked_whole(first, "first")
    require(0 < as_real(share) <= 1, "share", share, "a share in (0, 1]")
    prices = np.ones(steps) if cost is None else as_floats(cost, "cost")
    require(
        prices.shape == (steps,) and bool((prices > 0).all() and np.isfinite(prices).all()),
        "cost",
        prices,
        f"{steps} positive costs",
    )
    masses = np.full(steps - 1, np.nan) if leaving is None else as_floats(leaving, "leaving")
    require(masses.shape == (steps - 1,), "leaving", masses.shape, f"{steps - 1} masses")
    known = masses[~np.isnan(masses)]
    require(bool(((known >= 0) & (known <= 1)).all()), "leaving", masses, "probabilities, or NaN")
    data = OutcomeCounts(question, names, positions, np.zeros((steps, len(names))), masses)
    empty, squares = np.zeros(steps, bool), _squared_masses(masses)
    alike = np.full((steps, len(names)), 1.0 / len(names))
    design = design_of(wary_steps(alike, squares), alike, np.zeros(steps))
    number, left, rounds, status = first * batch, budget, 0, "budget spent"
    while left > 0:
        number = min(number, left)
        chosen = _best_positions(design, prices, empty, batch, number)
        if not chosen:
            break
        rounds += 1
        for t, wanted in chosen:
            if empty[t]:
                continue
            got = _asked(draw, question, float(positions[t]), wanted, names)
            _add(data, t, got)
            empty[t] = len(got) < wanted
            left -= len(got)
        if left <= 0:
            break
        if (drawn := int(data.counts.sum())) > 0:
            posterior = outcome_posterior(data, priors=priors)
            if target > 0 and _mean_deviation(posterior) <= target:
                status = "resolved"
                break
            design = posterior_design(posterior, squares)
        number = max(batch, round(share * drawn))
    require(data.counts.sum() > 0, "draw", "no answer at any position", "a generator that answers")
    if left > 0 and status != "resolved":
        status = "no draws left"
    return Allocation(outcome_curve(data, level=level, priors=priors), data, rounds, status)


def _squared_masses(leaving: np.ndarray) -> np.ndarray:
    """``[T - 1]`` squared leaving masses; where one is not known, so large that no draw says anything of the next."""
    return np.where(np.isnan(leaving), _APART, leaving**2)


def _mean_deviation(posterior: OutcomePosterior) -> float:
    """Posterior standard deviation, mean over positions and answers."""
    law = posterior.marginals()
    return float(np.sqrt(np.maximum(law @ SHARES**2 - (law @ SHARES) ** 2, 0.0)).mean())


def _add(data: OutcomeCounts, t: int, answers: Sequence[str]) -> None:
    for answer in answers:
        data.counts[t, data.categories.index(answer)] += 1


def _best_positions(
    design: Design, prices: np.ndarray, empty: np.ndarray, batch: int, number: int
) -> list[tuple[int, int]]:
    """Positions and draws at them, one after the other, each where it gains most for its cost, given those before it.

    ``number`` draws in at most ``_PICKS`` picks, or in batches where these are larger.
    """
    chosen: list[tuple[int, int]] = []
    each = max(batch, -(-number // _PICKS))
    while number > 0:
        wanted = min(each, number)
        gain = np.where(empty, 0.0, design.gains(wanted) / prices)
        t = int(np.argmax(gain))
        if gain[t] <= 0:
            break
        chosen.append((t, wanted))
        number -= wanted
        design = design.after(t, wanted)
    return chosen


def certify_moves(
    draw: Draw, candidates: Moves | Sequence[Move], *, n: int, alpha: float = 0.05, tau: float = 0.3
) -> Moves:
    """Certify located moves with fresh draws: the second of two stages.

    ``n`` draws before and ``n`` after each candidate, which were not used to find it, test "the answers ``A`` that
    seemed to gain rise by at most ``tau``", ``o_after(A) - o_before(A) <= tau``, by the exact unconditional test;
    p-values are corrected by Holm over the candidates.

    Source: the library's own; Holm 1979.

    Args:
        draw: the generator; it has to return fresh draws.
        candidates: from :func:`sloc.windows.posterior_moves` (those found), or any moves.  Answers have
            to be among the ``categories`` of a move; one made by hand without them takes any text.
        n: draws on either side.
        alpha: chance of certifying any false move.
        tau: the size that a move exceeds, in [0, 1).

    Returns:
        The candidates with p-values, sizes and verdicts from the fresh draws alone.  ``size_interval`` is of level
        ``1 - alpha / m`` for each of ``m`` candidates (Bonferroni), so that all hold at once with probability
        ``1 - alpha`` at least: Clopper-Pearson limits at ``alpha / (2 m)`` for either share, subtracted.  Holm's
        verdict is the sharper one: a certified move's interval may reach below ``tau``.

    Raises:
        InvalidInput: ``n`` below 1, or a generator that has no draw left at a candidate, or returns no sequence of
            texts, more than it was asked for, or an answer outside the move's categories.

    """
    checked_whole(n, "n", what="draws")
    checked_level(alpha, "alpha")
    require(callable(draw), "draw", draw, "a function (question, position, n) -> answers")
    require(0.0 <= as_real(tau) < 1.0, "tau", tau, "a size in [0, 1)")
    given = candidates.found if isinstance(candidates, Moves) else candidates
    wanted = checked_all(given, "candidates", Move, "Moves")
    tested = []
    for move in wanted:
        hits, sizes = [], []
        for position in (move.start, move.stop):
            answers = _asked(draw, move.question, position, int(n), move.categories)
            require(bool(answers), f"question {move.question!r}, draws at {position:g}", 0, "at least one fresh draw")
            hits.append(sum(a in move.rising for a in answers))
            sizes.append(len(answers))
        p = rise_p_value(hits[0], sizes[0], hits[1], sizes[1], tau)
        tested.append(
            (move, p, hits[1] / sizes[1] - hits[0] / sizes[0], _size_interval(hits, sizes, alpha / len(wanted)), sizes)
        )
    adjusted = holm(np.asarray([p for _, p, *_ in tested]))
    moves = tuple(
        replace(
            move,
            p_value=float(p),
            adjusted=float(a),
            found=bool(a <= alpha),
            size=float(max(size, 0.0)),
            size_interval=interval,
            probability=float("nan"),
            method=f"exact test of rise <= {tau:g}, {drawn[0]} fresh draws before and {drawn[1]} after",
        )
        for (move, p, size, interval, drawn), a in zip(tested, adjusted, strict=True)
    )
    statuses = {m.question: "empty" for m in moves} | {m.question: "resolved" for m in moves if m.found}
    return Moves(moves, tau, alpha, "chance of any false move at most", statuses)


def _size_interval(hits: Sequence[int], sizes: Sequence[int], level: float) -> tuple[float, float]:
    """Interval that misses a rise with chance ``level`` at most: Clopper-Pearson at half of it for either share."""
    from sloc.engine.binomial import clopper_pearson

    low, high = clopper_pearson(np.asarray(hits), np.asarray(sizes), 0.5 * level)
    return float(max(low[1] - high[0], 0.0)), float(max(high[1] - low[0], 0.0))
