"""Total variation between two positions from draws at both: its bias under no change, a corrected value, an interval.

With ``x ~ Multinomial(n, p)`` before and ``y ~ Multinomial(m, q)`` after, three numbers hold ``TV(p, q)``:

* the **plug-in** ``sum_a |y_a / m - x_a / n| / 2``, whose mean is at least ``TV`` (Jensen): noise only adds to it;
* its **floor**, the mean of the plug-in where nothing changed.  For ``p = q = r`` it is
  ``sum_a E|Bin(m, r_a) / m - Bin(n, r_a) / n| / 2``, summed exactly; whatever ``r``, at most
  ``sqrt((A - 1) (1/n + 1/m)) / 2``;
* the **corrected** value: each answer's sign is taken from all draws but one of either side, and applied to those two:
  ``sum_a sign(d_a without the pair) (1[after is a] - 1[before is a]) / 2``, averaged over all pairs.  The two draws
  are independent of the sign, so that the mean is ``sum_a E[sign] (q_a - p_a) / 2``: **0 where nothing changed, and
  never above TV**.

The means of plug-in and corrected value therefore enclose the total variation.
"""

from __future__ import annotations

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real
from sloc.results.outcome import OutcomeDistances
from sloc.windows.likely_moves import pairs_at
from sloc.windows.move_tests import pooled_rise_p_value
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts
from sloc.windows.recorded import Recording

_CHUNK = 2**20
"""Values of distribution functions that are held at once."""


def outcome_distances(data: OutcomeCounts | Recording, *, gap: float = 4.0, level: float = 0.9) -> OutcomeDistances:
    """Estimate the total variation between the answers at positions a gap apart, with its noise floor.

    The plug-in is ``1/2 sum_a |f_j(a) - f_i(a)|`` of the frequencies ``f`` of the answers ``a`` at the two positions.

    Args:
        data: whole numbers of unweighted draws.  A recording with several branches at a position goes through
            :func:`sloc.windows.plain_counts` first (branches mixed by :func:`sloc.windows.recorded_draws`).  Positions
            with fewer than two draws are left out.
        gap: how far apart the two positions are, in units of positions; the second is the first position with draws at
            least this much later.
        level: coverage of each pair's interval, in (0, 1), whatever the distributions and at every number of draws.

    Returns:
        For each pair the plug-in value (mean at least the total variation), what it would be on average if nothing
        had changed (``floor``, an estimate at the pooled answers; ``floor_bound`` holds for all), the corrected value
        (mean at most the total variation, and 0 if nothing changed; it may be negative), an interval and a p-value of
        "nothing changed".

        The interval is exact: with equal numbers of draws from the binomial tail that bounds every sum of unlike
        indicators (Hoeffding 1956, Theorem 4), otherwise from Hoeffding's inequality (1963).  Total variation is the
        largest gain of any set of answers, so that the upper limit needs no correction and the lower one holds for
        all ``2^A - 2`` sets (Bonferroni), given that the ``A`` categories were named before anything was drawn.

    Raises:
        InvalidInput: counts that are not whole, not of plain draws or do not fit, a gap that is not positive, a level
            outside (0, 1).

    """
    require(isinstance(data, (OutcomeCounts, Recording)), "data", data, "OutcomeCounts or a Recording")
    data = outcome_counts(data) if isinstance(data, Recording) else data
    data.validate_plain()
    require(as_real(gap) > 0, "gap", gap, "a positive distance")
    require(0.0 < as_real(level) < 1.0, "level", level, "a coverage inside (0, 1)")
    drawn = np.flatnonzero(data.counts.sum(axis=1) >= 2)
    start, stop = pairs_at(data.positions[drawn], gap)
    before, after = data.counts[drawn[start]], data.counts[drawn[stop]]
    plug_in = plug_in_distance(before, after)
    n, m = before.sum(axis=1), after.sum(axis=1)
    lower, upper, p_value = _interval(plug_in, n, m, before.shape[1], level)
    return OutcomeDistances(
        question=data.question,
        start=data.positions[drawn[start]],
        stop=data.positions[drawn[stop]],
        plug_in=plug_in,
        floor=expected_plug_in((before + after) / np.maximum(n + m, 1.0)[:, None], n, m),
        floor_bound=floor_bound(n, m, before.shape[1]),
        corrected=corrected_distance(before, after),
        lower=lower,
        upper=upper,
        p_value=p_value,
        level=level,
        method="plug-in, its exact mean under no change, leave-a-pair-out correction; exact interval over all sets",
    )


def plug_in_distance(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """``[M]`` total variation between observed frequencies ``[M, A]``; its mean is at least the true one."""
    shares = [c / c.sum(axis=1, keepdims=True) for c in (before, after)]
    return 0.5 * np.abs(shares[1] - shares[0]).sum(axis=1)


def expected_plug_in(shares: np.ndarray, n: np.ndarray, m: np.ndarray) -> np.ndarray:
    """``[M]`` exact mean of the plug-in where both positions answer by ``[M, A]`` shares, of ``n`` and ``m`` draws.

    Absolute differences add over answers, and each answer's count is binomial, so that no joint law is needed:
    ``E|U - V|`` is the integral of ``F (1 - G) + G (1 - F)``, ``F`` and ``G`` the distribution functions.
    """
    from scipy.special import bdtr

    out = np.zeros(n.size)
    for first, second in {(int(a), int(b)) for a, b in zip(n, m, strict=True)}:
        own = np.flatnonzero((n == first) & (m == second))
        # Both steps, of the shares times both numbers of draws; ten standard errors on either side leave nothing out.
        steps = np.union1d(np.arange(first) * second, np.arange(second) * first)
        widths = np.diff(steps, append=first * second) / (first * second)
        reach = 5.0 / np.sqrt(min(first, second)) + 20.0 / min(first, second)
        most = min(steps.size, int(2.0 * reach * (first + second)) + 2)
        for rows in np.array_split(own, max(1, own.size * shares.shape[1] * most // _CHUNK)):
            low = np.searchsorted(steps, (shares[rows] - reach) * (first * second))
            at = np.minimum(low, steps.size - most)[..., None] + np.arange(most)
            share = np.clip(shares[rows], 0.0, 1.0)[..., None]
            f, g = (bdtr((steps[at] // b).astype(float), a, share) for a, b in ((first, second), (second, first)))
            apart = f * (1.0 - g) + g * (1.0 - f)
            out[rows] = 0.5 * (apart * widths[at]).sum(axis=(1, 2))
    return out


def floor_bound(n: np.ndarray, m: np.ndarray, answers: int) -> np.ndarray:
    """``sqrt((A - 1) (1/n + 1/m)) / 2``: the plug-in's bias is at most this, whatever the two distributions.

    ``E|d^_a| - |d_a|`` is at most the standard deviation of ``d^_a``, and the sum of ``A`` of those at most
    ``sqrt(A (1 - 1/A) (1/n + 1/m))`` (Cauchy and Schwarz).
    """
    return 0.5 * np.sqrt((answers - 1.0) * (1.0 / n + 1.0 / m))


def corrected_distance(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """``[M]`` leave-a-pair-out value of ``[M, A]`` counts, at least two draws on either side (see this module).

    Of the ``n m`` pairs of draws those count in which one of the two, and not both, is of the answer:
    ``y (n - x)`` gain, with the sign of ``(y - 1) / (m - 1) - x / (n - 1)``, and ``x (m - y)`` lose, with that of
    ``y / (m - 1) - (x - 1) / (n - 1)``.  Signs are of whole numbers; a tie counts 0.
    """
    n, m = before.sum(axis=1, keepdims=True), after.sum(axis=1, keepdims=True)
    gain = np.sign((after - 1.0) * (n - 1.0) - before * (m - 1.0))
    loss = np.sign(after * (n - 1.0) - (before - 1.0) * (m - 1.0))
    return 0.5 * ((after * (n - before) * gain - before * (m - after) * loss) / (n * m)).sum(axis=1)


def _interval(
    plug_in: np.ndarray, n: np.ndarray, m: np.ndarray, answers: int, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Limits of the total variation and p-values of "nothing changed", from the set of answers that seemed to gain.

    Both are monotone in a set's observed gain, which is largest, and equal to the plug-in, for that set.
    """
    from scipy.special import betaincinv

    tail, sets = 0.5 * (1.0 - level), max(2.0**answers - 2.0, 1.0)
    room = 1.0 / n + 1.0 / m
    lower = plug_in - np.sqrt(0.5 * room * np.log(sets / tail))
    upper = plug_in + np.sqrt(0.5 * room * np.log(1.0 / tail))
    p_value = sets * np.exp(-2.0 * plug_in**2 / room)
    same = n == m
    # Successes after and failures before, of 2 n draws: unlike indicators of mean (1 + gain) / 2.
    total = 2.0 * n
    rising = np.round(n * (1.0 + plug_in))
    low = betaincinv(rising, total - rising + 1.0, tail / sets)
    high = np.where(rising < total, betaincinv(rising + 1.0, np.maximum(total - rising, 1.0), 1.0 - tail), 1.0)
    # The theorem speaks of tails from one above (below) the mean on.
    lower = np.where(same, 2.0 * np.minimum(low, (rising - 1.0) / total) - 1.0, lower)
    upper = np.where(same, 2.0 * np.maximum(high, np.minimum((rising + 1.0) / total, 1.0)) - 1.0, upper)
    p_value = np.where(same, sets * pooled_rise_p_value(rising, total, np.zeros(1)), p_value)
    limits = np.clip(lower, 0.0, 1.0), np.clip(upper, 0.0, 1.0)
    # One answer: nothing can change.
    return (*limits, np.minimum(p_value, 1.0)) if answers > 1 else (0.0 * n, 0.0 * n, np.ones(n.size))
