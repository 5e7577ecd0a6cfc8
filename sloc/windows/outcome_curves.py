"""Curves of recorded answers: posterior means and bands under a prior of steps, by forward-backward on a grid.

Each answer's share, and each set of answers that a move is asked of, follows the prior of
``sloc.windows.move_kernels`` and is seen in binomial counts.  Shares of single answers are filtered one by
one and scaled to sum to one; priors are averaged with their evidence as weights.  That cross-validates how much
is smoothed: the log-evidence is the score of held-out draws, averaged over every set of ``p`` of them that may be held
out and summed over ``p`` (Fong & Holmes 2020, Biometrika 107, 489).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_real, checked_all, checked_names
from sloc.contracts.equality import same_fields
from sloc.results.outcome import OutcomeCurve
from sloc.windows.exact_bands import simultaneous_bands
from sloc.windows.move_kernels import (
    CELLS,
    PRIORS,
    SHARES,
    MovePrior,
    leaving_levels,
    mode_chain,
    mode_kernels,
)
from sloc.windows.recorded import Recording, leaving_masses
from sloc.windows.share_filter import SharePosterior, filter_shares, quantiles

UNDECIDED = 0.5
"""A curve whose bands are wider than this on average says nothing."""
_GRAIN = 0.01
"""What is left open of an identity, beside the halves of both cells of the grid that shares are known to."""
_PARTS = 0.05, 0.5
"""Probabilities of a leap that a range has to hold to be asked."""
CONTRADICTED = "draws move by more than the recorded probabilities allow, as if these were another sampler's"
"""What the status ``contradicted`` says."""
TAILS = 0.4
"""Tails of the bands over nominal ones: a band called 90 % leaves 0.02 out on either side, not 0.05.

It is central 96 % of the posterior, wider than its name says, because the prior is an approximation, most of all near
moves, and coverage there needs it.  Set from 0.6 to 0.4 on simulated curves (``benchmarks/traces_truth.py``), where
coverage near moves fell short.  That simulator's own moves were redesigned after the shortfall had been seen, so that
its coverage is no independent check of this number.  On recordings the suite ``traces`` checks the posterior's
prediction of further draws, at these tails and at those of a central 90 %, not these bands.
"""

PLAIN = "whole numbers of unweighted draws (of recorded branches: sloc.windows.plain_counts)"
ALIKE = 1e-9
"""Draws of a position weigh the same when their weights differ by no more than rounding, relatively."""


@dataclass(frozen=True)
class OutcomeCounts:
    """What was seen of one question, position by position.

    Attributes:
        question: its name.
        categories: ``A`` answers.
        positions: ``[T]`` increasing.
        counts: ``[T, A]`` draws per answer, whole or effective; a row of zeros where nothing was drawn.
        leaving: ``[T - 1]`` probability that leaves the taken path until the next position, NaN where not known; where
            branches were dropped, with their mass (:func:`sloc.windows.leaving_masses`), so that no step moves
            by more.
        heaviest: what the heaviest draw of each position counts, ``[T]`` or one number: 1 for plain draws, more where
            draws of branches weigh unlike.

    """

    question: str
    categories: tuple[str, ...]
    positions: np.ndarray
    counts: np.ndarray
    leaving: np.ndarray
    heaviest: np.ndarray | float = 1.0

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def validate(self) -> None:
        """Refuse arrays that do not fit one another, counts that are negative, masses outside [0, 1], no draws."""
        where = f"question {self.question!r}"
        checked_names(self.categories, f"{where}, categories", 1)
        for name in ("positions", "counts", "leaving"):
            value = getattr(self, name)
            real = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
            require(real, f"{where}, {name}", value, "an array of real numbers")
        require(self.counts.ndim == 2, f"{where}, counts", self.counts.shape, "a shape [T, A]")
        require(bool(np.isfinite(self.positions).all()), f"{where}, positions", self.positions, "finite positions")
        steps, answers = self.counts.shape
        require(answers == len(self.categories), f"{where}, counts", self.counts.shape, "a column for each category")
        require(self.positions.shape == (steps,), f"{where}, positions", self.positions.shape, f"{steps} positions")
        require(bool((np.diff(self.positions) > 0).all()), f"{where}, positions", self.positions, "rising positions")
        good = bool(np.isfinite(self.counts).all() and (self.counts >= 0).all())
        require(good, f"{where}, counts", self.counts, "numbers of draws, finite and not negative")
        require(float(self.counts.sum()) > 0, f"{where}, counts", 0, "at least one draw")
        shape = (steps - 1,)
        require(self.leaving.shape == shape, f"{where}, leaving", self.leaving.shape, f"{steps - 1} masses")
        known = self.leaving[~np.isnan(self.leaving)]
        require(bool(((known >= 0) & (known <= 1)).all()), f"{where}, leaving", known, "probabilities, or NaN")
        heavy = as_floats(self.heaviest, f"{where}, heaviest")
        good = heavy.shape in ((), (steps,)) and bool((heavy >= 1.0).all())
        words = f"what the heaviest draw counts, 1 at least: one number, or {steps}"
        require(good, f"{where}, heaviest", self.heaviest, words)

    def validate_plain(self) -> None:
        """Refuse also counts that are not whole, and draws that weigh unlike: exact tests are of plain draws."""
        self.validate()
        where = f"question {self.question!r}"
        require(bool((self.counts == np.round(self.counts)).all()), f"{where}, counts", self.counts, PLAIN)
        require(bool((np.asarray(self.heaviest) == 1.0).all()), f"{where}, heaviest", self.heaviest, PLAIN)

    def one_answer(self) -> bool:
        """Whether only one answer was ever seen, checked by :meth:`validate`; there is no move then."""
        self.validate()
        return int((self.counts.sum(axis=0) > 0).sum()) == 1


def outcome_counts(recording: Recording, *, adjacent: bool | None = None) -> OutcomeCounts:
    """Count a recording, branch-stratified: weights are known, so only the answers within a branch are random.

    A position counts as ``n_eff = 1 / sum_b w_b^2 / n_b`` draws of ``sum_b w_b o_b`` (``w`` the normalised
    weights): the number of plain draws of the same variance when branches are alike.  Where all draws weigh the same
    (one branch, or branches drawn in proportion to their weights) that is what was drawn: whole numbers, exactly.
    Elsewhere draws weigh unlike (``heaviest``), and counts are whole by chance at most; what asks for plain draws
    (:func:`sloc.windows.exact_moves`, :func:`sloc.windows.outcome_distances`) gets them from
    :func:`sloc.windows.plain_counts`.

    Args:
        recording: of one question.
        adjacent: whether positions that differ by one are consecutive tokens, so that the taken probability of the
            first is that of the whole step; when None, whether they are of the axis ``"position"`` and all differ by
            one.  Elsewhere, as where positions number sentences, the leaving mass is unknown.

    Returns:
        The counts, with a row of zeros at each position that is missing.

    Raises:
        InvalidInput: no recording, or fractions that are said to be adjacent.

    Source: Kish 1965 (effective sample size).

    """
    require(isinstance(recording, Recording), "recording", recording, "a Recording")
    require(adjacent is None or isinstance(adjacent, bool), "adjacent", adjacent, "true, false or None")
    tokens = recording.axis == "position"
    require(tokens or not adjacent, "adjacent", adjacent, f"false or None: {recording.question!r} keeps fractions")
    seen, value, taken = recording.positions, recording.distribution(), recording.taken_mass
    where = np.searchsorted(seen, [b.position for b in recording.branches])
    share = np.asarray([b.weight for b in recording.branches]) / recording.kept_mass[where]
    drawn = np.asarray([b.answers.size for b in recording.branches])
    size = 1.0 / np.bincount(where, share**2 / drawn, seen.size)
    positions = np.union1d(seen, np.asarray(recording.missing))
    at = np.searchsorted(positions, seen)
    counts = np.zeros((positions.size, len(recording.categories)))
    counts[at] = value * size[:, None]
    # Equal weights of all draws: (7 / 25) * 25 is not 7 in floating point, and whole numbers are what tests ask for.
    heavy = np.zeros(seen.size)
    np.maximum.at(heavy, where, share / drawn)
    off = np.abs(share / drawn * recording.draws[where] - 1.0)
    alike = np.bincount(where, off > ALIKE, seen.size) == 0
    plain = np.zeros((seen.size, len(recording.categories)))
    for i, branch in zip(where, recording.branches, strict=True):
        plain[i] += np.bincount(branch.answers, minlength=len(recording.categories))
    counts[at[alike]] = plain[alike]
    heaviest = np.ones(positions.size)
    heaviest[at] = np.where(alike, 1.0, np.maximum(heavy * size, 1.0))
    path, kept = np.full(positions.size, np.nan), np.ones(positions.size)
    path[at], kept[at] = taken, recording.kept_mass
    gaps = np.diff(positions)
    stepwise = tokens and bool((gaps == 1.0).all()) if adjacent is None else adjacent
    masses = np.where(gaps == 1.0, leaving_masses(path, kept), np.nan) if stepwise else np.full(gaps.size, np.nan)
    return OutcomeCounts(recording.question, recording.categories, positions, counts, masses, heaviest)


@dataclass(frozen=True)
class OutcomePosterior:
    """Posteriors of sets of answers under each prior.

    Attributes:
        data: what was seen.
        sets: ``[S, A]`` bool, answers in each set.
        filters: one per prior; where leaving masses are not known, one per prior and mass, each prior's together.
        settings: ``[P]`` weights of these.
        given: priors that were given, each with as many filters.

    """

    data: OutcomeCounts
    sets: np.ndarray
    filters: tuple[SharePosterior, ...]
    settings: np.ndarray
    given: int

    def prior_weights(self) -> np.ndarray:
        """Weights of the priors that were given, leaving masses summed out."""
        return self.settings.reshape(self.given, -1).sum(axis=1)

    def contradicted(self) -> bool:
        """Whether a share leaps by more than ``o_s = p o_t + (1 - p) y`` allows, ``p`` the taken path's from s to t.

        Asked of the shortest ranges that hold a part of a leap: it has no place of its own where nothing was drawn.
        """
        leaps = np.einsum("p,pts->ts", self.settings, np.stack([f.leaps for f in self.filters]))
        moved = np.flatnonzero(leaps.sum(axis=0) > 0.5)
        if not moved.size:
            return False
        # A mass that is not known may be all there is.
        leaving = np.minimum(np.where(np.isnan(self.data.leaving), 1.0, self.data.leaving), 1.0 - 1e-12)
        path = np.concatenate([[0.0], np.cumsum(np.log1p(-leaving))])
        for share, leap in zip((self.marginals() @ SHARES).T[moved], leaps.T[moved], strict=True):
            within, cell = np.concatenate([[0.0], np.cumsum(leap)]), np.interp(share, SHARES, CELLS)
            for part in _PARTS:
                ends = np.searchsorted(within, within + part)
                start = np.flatnonzero((ends < share.size) & (np.append(ends[1:], share.size + 1) > ends))
                stop = ends[start]
                kept = np.exp(path[stop] - path[start])
                left, grain = share[start] - kept * share[stop], _GRAIN + 0.5 * (cell[start] + cell[stop])
                if ((left < -grain) | (left > 1.0 - kept + grain)).any():
                    return True
        return False

    def marginals(self) -> np.ndarray:
        """``[T, S, G]`` law of each set's share at each position, priors averaged."""
        return np.einsum("p,ptsg->tsg", self.settings, np.stack([f.marginals() for f in self.filters]))

    def pair(self, share: int, start: int, stop: int) -> np.ndarray:
        """``[G, G]`` joint law of one set's share at two positions."""
        return sum(w * f.pair(share, start, stop) for w, f in zip(self.settings, self.filters, strict=True))  # pyright: ignore[reportReturnType]


@lru_cache(maxsize=4)
def _stacked(priors: tuple[MovePrior, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernels, first laws and chains of all priors; where some know more kinds of runs, the others never enter them."""
    most = max((p.runs for p in priors), key=len)
    never = tuple(replace(run, begin=0.0) for run in most)
    priors = tuple(replace(p, runs=p.runs + never[len(p.runs) :]) for p in priors)
    kernels = np.stack([mode_kernels(p) for p in priors])
    laws, chains = zip(*(mode_chain(p) for p in priors), strict=True)
    return kernels, np.stack(laws), np.stack(chains)


def outcome_posterior(
    data: OutcomeCounts, sets: Any = None, *, priors: Sequence[MovePrior] = PRIORS, settings: Any = None
) -> OutcomePosterior:
    """Filter sets of answers under each prior.

    Args:
        data: what was seen.
        sets: ``[S, A]`` bool; single answers when None.
        priors: to be averaged.
        settings: ``[P]`` weights of the filters when they are known (``OutcomePosterior.settings`` of other sets); else
            their evidence from single answers.

    Returns:
        The posterior.

    Raises:
        InvalidInput: counts that do not fit (see :class:`OutcomeCounts`), or a prior that is none.

    """
    data.validate()
    require(len(priors) > 0, "priors", priors, "at least one prior")
    given, priors = len(priors), _with_masses(priors, data.leaving)
    answers = len(data.categories)
    sets = np.eye(answers, dtype=bool) if sets is None else np.asarray(sets, bool)
    inside = sets.sum(axis=1)
    first = 0.5 * np.stack([inside, np.maximum(answers - inside, 1)], axis=1)
    totals, counts = data.counts.sum(axis=1), data.counts @ sets.T.astype(np.float64)
    kernels, started, chains = _stacked(tuple(priors))
    levels = np.stack([leaving_levels(data.leaving, p.unknown[0]) for p in priors])
    filters = filter_shares(counts, totals, kernels, levels, first, (started, chains))
    if settings is None:
        evidence = prior_evidence(filters, answers)
        settings = np.exp(evidence - evidence.max())
    return OutcomePosterior(data, sets, filters, np.asarray(settings) / np.sum(settings), given)


def _with_masses(priors: Sequence[MovePrior], leaving: np.ndarray) -> list[MovePrior]:
    """Each prior with each of its masses for steps that are not known; as they are where all steps are."""
    if not np.isnan(leaving).any():
        return list(priors)
    # All with as many, so that weights of filters fold back into weights of priors.
    most = math.lcm(*(len(p.unknown) for p in priors))
    masses = [p.unknown * (most // len(p.unknown)) for p in priors]
    return [replace(p, unknown=(mass,)) for p, own in zip(priors, masses, strict=True) for mass in own]


def prior_evidence(filters: Sequence[SharePosterior], answers: int) -> np.ndarray:
    """``[P]`` log-probability of the draws under each prior, from the filters of single answers.

    Shares of one question repeat one another (of two answers, each is the other's complement): the sum over ``A``
    answers counts for ``A - 1``.
    """
    return np.asarray([f.evidence.sum() for f in filters]) * (answers - 1) / answers


def outcome_curve(
    data: OutcomeCounts | Recording,
    *,
    level: float = 0.9,
    simultaneous: bool = False,
    priors: Sequence[MovePrior] = PRIORS,
) -> OutcomeCurve:
    """Estimate the distribution of answers at every position, with bands.

    The posterior mean ``E[o_t | draws]`` of each answer's share, made to sum to one, under a prior by which a step is
    ``o_t = (1 - q_t) o_{t+1} + q_t y`` with ``q_t`` its leaving mass.

    Source: the library's own.

    Args:
        data: counts, or a recording (then :func:`outcome_counts`).
        level: nominal coverage of the bands, in (0, 1).
        simultaneous: also bands for all positions at once (:func:`sloc.windows.simultaneous_bands`, which assume
            nothing of the curve but that no step exceeds its leaving mass).
        priors: to be averaged.

    Returns:
        The curve.  Pointwise bands are Bayesian (credible) and wider than ``level`` says: either tail holds
        ``TAILS`` times ``(1 - level) / 2`` of the posterior (0.02 at 0.9, so that the band is its central 96 %),
        because coverage near moves needs it.  The benchmark suite ``traces`` counts how often they hold curves of
        known truth, and how often the posterior's prediction holds further draws of recordings.

    Raises:
        InvalidInput: nothing was drawn, counts that do not fit, a level outside (0, 1).

    """
    require(isinstance(data, (OutcomeCounts, Recording)), "data", data, "OutcomeCounts or a Recording")
    priors = checked_all(priors, "priors", MovePrior, "MovePriors", 1)
    require(0.0 < as_real(level) < 1.0, "level", level, "a coverage inside (0, 1)")
    if isinstance(data, Recording):
        data = outcome_counts(data)
    if len(data.categories) == 1:
        data.validate()
        return _constant(data, level)
    posterior = outcome_posterior(data, priors=priors)
    marginals = posterior.marginals()
    mean = marginals @ SHARES
    value = mean / mean.sum(axis=1, keepdims=True)
    tail = 0.5 * (1.0 - level) * TAILS
    low, high = quantiles(marginals, np.asarray([tail]), np.asarray([1.0 - tail]))
    low, high = low[0], high[0]
    low, high = np.minimum(low, value), np.maximum(high, value)
    wide = float((high - low).max(axis=1).mean()) > UNDECIDED
    status = "undecided" if wide else "one answer" if data.one_answer() else "resolved"
    status = "contradicted" if posterior.contradicted() else status
    curve = OutcomeCurve(
        data.question,
        data.categories,
        data.positions,
        data.counts.sum(axis=1),
        value,
        low,
        high,
        None,
        None,
        level,
        posterior.prior_weights(),
        status,
        "posterior of shares under a prior of steps, on a grid; credible bands",
    )
    if not simultaneous:
        return curve
    low, high = simultaneous_bands(data.counts, data.leaving, level, heaviest=data.heaviest)
    return replace(curve, lower_all=np.minimum(low, curve.lower), upper_all=np.maximum(high, curve.upper))


def _constant(data: OutcomeCounts, level: float) -> OutcomeCurve:
    one = np.ones((data.positions.size, 1))
    draws = data.counts.sum(axis=1)
    method = "one category: nothing can move"
    return OutcomeCurve(
        data.question,
        data.categories,
        data.positions,
        draws,
        one,
        one,
        one,
        one,
        one,
        level,
        np.ones(1),
        "one answer",
        method,
    )
