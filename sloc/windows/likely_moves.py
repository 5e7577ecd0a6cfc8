"""Moves from posterior curves: where the answers move by more than a size, at a Bayesian false-discovery rate.

A candidate is a local maximum of ``TV(m_i, m_j)`` between posterior means at positions a fixed gap apart.  Its set
``A`` holds the answers that gain, ``TV(o_i, o_j) >= o_j(A) - o_i(A)``, and the posterior of that difference gives the
probability ``pi`` that the move exceeds ``tau``.  Candidates of all questions are reported, likeliest
first, as long as the mean of ``1 - pi`` among the reported stays at most ``alpha`` (Newton et al. 2004; Müller et al.
2006): under the prior the expected share of false ones is then at most ``alpha`` whichever are looked at, for two
answers; for more, evidence is that of single answers together, and the suite ``traces`` counts what the rate comes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all, checked_level
from sloc.results.outcome import Move, Moves
from sloc.windows.move_kernels import RUN_PRIORS, SHARES, MovePrior
from sloc.windows.outcome_curves import (
    TAILS,
    UNDECIDED,
    OutcomeCounts,
    OutcomePosterior,
    outcome_counts,
    outcome_posterior,
)
from sloc.windows.recorded import Recording
from sloc.windows.recorded_checks import check_axes, check_names
from sloc.windows.share_filter import difference_quantiles, quantiles

LOOK = 0.3
"""Candidates are local maxima above this share of ``tau``."""
LEVEL = 0.9
"""Nominal coverage of a move's size (tails as those of the bands of a curve) and of its location."""


def posterior_moves(
    questions: Sequence[OutcomeCounts | Recording],
    *,
    tau: float = 0.3,
    alpha: float = 0.1,
    gap: float = 4.0,
    separation: float = 8.0,
    priors: Sequence[MovePrior] = RUN_PRIORS,
) -> Moves:
    """Find moves by posterior probability: estimates under a prior, not certified.

    With ``A`` the answers that gain from ``i`` to ``j`` a move has the probability
    ``pi = P(o_j(A) - o_i(A) > tau | draws)``; moves are reported, likeliest first, while the mean of ``1 - pi`` among
    them is at most ``alpha``.

    Source: the library's own; the rate of Newton et al. 2004 and Müller et al. 2006.

    Args:
        questions: counts or recordings, of different names; recordings of one axis, that of ``gap``.
        tau: the size in total variation that a move exceeds, in [0, 1).
        alpha: the mean posterior probability of being false among the reported.
        gap: how far apart the two positions are, in units of positions (pairs start at each position and end at
            the first that is at least this much later).
        separation: candidates of a question lie further apart than this.
        priors: to be averaged; those of curves with runs of steps to one side, since without them a curve that climbs
            by little at many steps passes for one that jumps where draws are few.

    Returns:
        The moves of all questions.  ``size_interval`` is a credible one of ``LEVEL``, with the tails of a curve's
        bands, rounded outwards to the grid of shares; ``location`` the shortest range that holds as much of the steps
        expected near the pair.  The suite ``traces`` counts how often both hold simulated truths.  Where shares rise by
        more than log-probabilities allow (probabilities of another sampler), sizes are covered less often.  A question
        without a move is ``undecided`` where bands of its shares are too wide to say anything
        (``sloc.windows.outcome_curves.UNDECIDED``), ``contradicted`` where its curve is, else ``empty``.

    Raises:
        InvalidInput: a setting out of range, counts that do not fit, two questions of one name, or two axes.

    """
    questions = checked_all(questions, "questions", (OutcomeCounts, Recording), "OutcomeCounts or Recordings")
    check_names(questions, "questions")
    check_axes(questions, "questions")
    require(0.0 <= as_real(tau) < 1.0, "tau", tau, "a size in [0, 1)")
    checked_level(alpha, "alpha")
    require(as_real(gap) > 0, "gap", gap, "a positive distance")
    require(as_real(separation) >= 0, "separation", separation, "a distance, not negative")
    priors = checked_all(priors, "priors", MovePrior, "MovePriors", 1)
    found: list[Move] = []
    statuses: dict[str, str] = {}
    for question in questions:
        data = outcome_counts(question) if isinstance(question, Recording) else question
        own, status = ([], "one answer")
        if len(data.categories) > 1:
            own, status = _candidates(data, tau, gap, separation, priors)
        if data.one_answer():
            # Of a single answer nothing moves; few draws of it do not say that there is no other.
            own, status = [], "undecided" if status == "undecided" else "one answer"
        statuses[data.question] = status
        found.extend(own)
    ordered = sorted(found, key=lambda m: -m.probability)
    false = np.cumsum([1.0 - m.probability for m in ordered]) / np.arange(1, len(ordered) + 1)
    moves = [replace(m, adjusted=float(f), found=bool(f <= alpha)) for m, f in zip(ordered, false, strict=True)]
    statuses |= {m.question: "resolved" for m in moves if m.found}
    return Moves(tuple(moves), tau, alpha, "Bayesian false-discovery rate at most", statuses)


def pairs_at(positions: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Index pairs ``(i, j)`` with ``j`` the first position at least ``gap`` after ``i``."""
    stop = np.searchsorted(positions, positions + gap - 1e-9)
    start = np.flatnonzero(stop < positions.size)
    return start, stop[start]


def spaced_maxima(height: np.ndarray, place: np.ndarray, least: float, separation: float) -> list[int]:
    """Indices of the highest values, each further than ``separation`` from those chosen before it."""
    chosen: list[int] = []
    for i in np.argsort(-height, kind="stable"):
        if height[i] < least:
            break
        if all(abs(place[i] - place[c]) > separation for c in chosen):
            chosen.append(int(i))
    return chosen


def _candidates(
    data: OutcomeCounts, tau: float, gap: float, separation: float, priors: Sequence[MovePrior]
) -> tuple[list[Move], str]:
    single = outcome_posterior(data, priors=priors)
    marginals = single.marginals()
    mean = marginals @ SHARES
    mean = mean / mean.sum(axis=1, keepdims=True)
    tail = 0.5 * (1.0 - LEVEL) * TAILS
    (low,), (high,) = quantiles(marginals, np.asarray([tail]), np.asarray([1.0 - tail]))
    status = "undecided" if float((high - low).max(axis=1).mean()) > UNDECIDED else "empty"
    status = "contradicted" if single.contradicted() else status
    start, stop = pairs_at(data.positions, gap)
    if not start.size:
        # No two positions so far apart: whether anything moved was not asked.
        return [], "undecided"
    distance = 0.5 * np.abs(mean[stop] - mean[start]).sum(axis=1)
    chosen = spaced_maxima(distance, data.positions[start], LOOK * tau, separation)
    if not chosen:
        return [], status
    sets = mean[stop[chosen]] > mean[start[chosen]]
    unique, which = np.unique(sets, axis=0, return_inverse=True)
    posterior = outcome_posterior(data, unique, priors=priors, settings=single.settings)
    steps = np.einsum("p,pts->ts", posterior.settings, np.stack([f.expected_steps() for f in posterior.filters]))
    moves = [
        _move(posterior, int(s), int(start[c]), int(stop[c]), tau, separation, steps[:, s])
        for c, s in zip(chosen, which.ravel(), strict=True)
    ]
    return moves, status


def _move(
    posterior: OutcomePosterior, share: int, i: int, j: int, tau: float, separation: float, steps: np.ndarray
) -> Move:
    data, joint = posterior.data, posterior.pair(share, i, j)
    rise = SHARES[None, :] - SHARES[:, None]
    tail = 0.5 * (1.0 - LEVEL) * TAILS
    low, high = difference_quantiles(joint, tail, 1.0 - tail)
    place = data.positions
    near = (place[:-1] >= place[i] - separation) & (place[1:] <= place[j] + separation)
    return Move(
        question=data.question,
        start=float(place[i]),
        stop=float(place[j]),
        rising=tuple(c for c, s in zip(data.categories, posterior.sets[share], strict=True) if s),
        size=float((joint * rise).sum()),
        size_interval=(max(low, 0.0), max(high, 0.0)),
        location=shortest_range(place, np.where(near, steps, 0.0), LEVEL),
        p_value=float("nan"),
        probability=min(float(joint[rise > tau].sum()), 1.0),  # rounding
        adjusted=1.0,
        found=False,
        method="posterior of the difference, prior of steps and runs",
        categories=data.categories,
    )


def shortest_range(positions: np.ndarray, steps: np.ndarray, share: float) -> tuple[float, float]:
    """Shortest range of positions whose steps sum to at least ``share`` of all."""
    total = np.concatenate([[0.0], np.cumsum(steps)])
    ends = np.searchsorted(total, total[:-1] + share * total[-1] - 1e-12)
    starts = np.flatnonzero(ends < total.size)
    best = starts[np.argmin(positions[ends[starts]] - positions[starts])]
    return float(positions[best]), float(positions[ends[best]])
