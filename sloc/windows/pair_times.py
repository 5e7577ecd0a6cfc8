"""Merge times of all pairs of classes, exact or sampled, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sloc.divergence.intervals import maurer_pontil, tighten
from sloc.results.curve import Curve
from sloc.results.status import STATUSES
from sloc.windows.linkage import linkage_on_host
from sloc.windows.pair_table import PairForms
from sloc.windows.tree_evidence import ONE_TIME
from sloc.windows.tree_statistics import PairTable, members_of

_RESOLVED, _BELOW, _ABOVE, _OPEN = (STATUSES.index(s) for s in ("resolved", "below_grid", "above_grid", "unresolved"))
_SAME = 1e-6
"""TV up to which sampled classes count as one law at all times."""
_ROUNDS = 3
"""Times that pairs are added because the tree changed."""
_FEW = 64
"""Classes up to which every pair that may decide a height is sampled; with more of them one stands in for many."""


@dataclass(frozen=True)
class PairTimes:
    """``T_end(i, j)`` of all pairs.

    Attributes:
        merge: ``[K, K]``, the point; 0 below the grid, the last grid time above it.
        low: ``[K, K]``, lower end of an interval.
        high: ``[K, K]``, upper end.
        status: int ``[K, K]``, codes of :data:`sloc.results.STATUSES`.
        upper_at: ``(t, members) -> [m, m]``, an upper bound on TV between members at a time.
        same: boolean ``[K, K]``, pairs of one law.
        draws: draws used.
        method: how they were got.

    """

    merge: np.ndarray
    low: np.ndarray
    high: np.ndarray
    status: np.ndarray
    upper_at: Callable[[float, np.ndarray], np.ndarray] = field(repr=False)
    same: np.ndarray
    draws: int
    method: str

    def duplicates(self) -> list[list[int]]:
        """Return the groups of classes of one law."""
        groups, seen = [], set()
        for i in range(len(self.same)):
            group = [int(j) for j in np.flatnonzero(self.same[i] | (np.arange(len(self.same)) == i))]
            if i not in seen and len(group) > 1:
                groups.append(group)
                seen.update(group)
        return groups


def curve_words(curve: Curve) -> str:
    """How a curve was got, as one item of a list: ``monte carlo with exact marginals``."""
    return curve.method.replace(", ", " with ", 1)


def exact_pairs(forms: PairForms, grid: np.ndarray, epsilon: float) -> PairTimes:
    """Return exact merge times; pairs that never merge stand at the last grid time.

    Args:
        forms: closed forms of all pairs.
        grid: ``[T]``, the grid.
        epsilon: the threshold.

    """
    never = ~np.isfinite(forms.merge)
    merge = np.where(never, max(float(grid[-1]), float(forms.merge[~never].max(initial=0.0))), forms.merge)
    status = np.where(never, _ABOVE, _RESOLVED)
    early = forms.tv(float(grid[0]))
    same = (early == 0) & (merge == 0) & ~np.eye(len(merge), dtype=bool)

    def upper_at(t: float, members: np.ndarray) -> np.ndarray:
        # At the height of a complete linkage no pair is above epsilon; the table would only repeat it.
        most = np.full((len(members), len(members)), epsilon)
        return np.where(forms.merge[np.ix_(members, members)] <= t, most, 1.0)

    return PairTimes(merge, merge, np.where(never, np.inf, merge), status, upper_at, same, 0, "pairs exact")


def sampled_pairs(
    run: Callable[..., Any],
    grid: np.ndarray,
    affinity: Callable[[float], np.ndarray] | None,
    epsilon: float,
    k: int,
    horizon: float,
    discrete: bool,
) -> PairTimes:
    """Sample the curves of all pairs, or of those that can decide a height where affinities are known.

    With more than 64 classes one pair a merge is sampled first and stands in for the others (``relay``); of those
    only the ones are sampled that could still merge a grid step later than all that were.

    Args:
        run: ``(times, statistic, share, number) -> Curve``; ``share`` is the part of the error level to use.
        grid: ``[T]``.
        affinity: ``t -> [K, K]``, or None.
        epsilon: the threshold.
        k: number of classes.
        horizon: largest time.
        discrete: whether time is whole.

    Returns:
        Merge times with intervals that hold jointly at the runner's error level.

    """
    rows, columns = np.triu_indices(k, 1)
    count, times = len(rows), np.asarray(grid, np.float64)
    lower, upper = np.zeros((len(times), count)), np.ones((len(times), count))
    if affinity is not None:
        bc = np.stack([affinity(float(t))[rows, columns] for t in times])
        lower, upper = 1.0 - np.minimum(bc, 1.0), np.sqrt(np.maximum(1.0 - np.square(bc), 0.0))
    value = (lower + upper) / 2
    sampled, draws, way = np.zeros(count, bool), 0, "monte carlo"
    rounds = 1 if affinity is None else _ROUNDS
    for number in range(rounds):
        last = number == rounds - 1
        wanted = np.ones(count, bool)
        if affinity is not None:
            wanted = _contenders(times, value, lower, upper, epsilon, k, sampled if k > _FEW else None)
        if last and affinity is not None:
            wanted |= sampled
        new = np.flatnonzero(wanted & ~sampled)
        if not len(new):
            break
        curve = run(
            times.astype(np.int64) if discrete else times,
            PairTable(tuple((int(rows[p]), int(columns[p])) for p in new)),
            1.0 / rounds,
            number,
        )
        found = [np.asarray(x, np.float64) for x in (curve.value, curve.lower, curve.upper)]
        lower[:, new] = np.maximum(lower[:, new], found[1])
        upper[:, new] = np.maximum(np.minimum(upper[:, new], found[2]), lower[:, new])
        value[:, new] = np.clip(found[0], lower[:, new], upper[:, new])
        sampled[new] = True
        if affinity is not None and k > _FEW:
            relay(times, value, lower, upper, sampled, epsilon, k)
        draws += int(curve.n)
        way = curve_words(curve)
    pruned = "" if sampled.all() else f" ({int(sampled.sum()):,} of {count:,}, the others by affinities)"
    way = f"pairs {way}{pruned}"
    bands = (times, value, lower, upper)
    return _pair_times(bands, k, epsilon, horizon, discrete, draws, way, sampled)


def pairs_from_curves(
    curves: Mapping[tuple[int, int], Curve], k: int, epsilon: float, delta: float, horizon: float, discrete: bool
) -> PairTimes:
    """Merge times from TV curves of all pairs that were measured in one pass over all classes.

    Each curve's own band holds for that curve; here all must hold at once, so bands are taken anew
    (``joint_bands``) from the values and their standard errors.

    Args:
        curves: TV of pairs ``i < j``, all of them, from one call of :func:`sloc.measure` whose statistics used every
            class, with draws.
        k: number of classes.
        epsilon: the threshold.
        delta: error level of all intervals jointly.
        horizon: largest time.
        discrete: whether time is whole.

    Returns:
        Merge times with intervals that hold jointly with probability ``>= 1 - delta``.

    """
    rows, columns = np.triu_indices(k, 1)
    ordered = [curves[int(i), int(j)] for i, j in zip(rows, columns, strict=True)]
    times, draws = np.asarray(ordered[0].times, np.float64), int(ordered[0].n)
    value, lower, upper = joint_bands(ordered, draws // k, delta)
    bands = (times, value, lower, upper)
    way = f"pairs {curve_words(ordered[0])}"
    return _pair_times(bands, k, epsilon, horizon, discrete, draws, way, np.ones(value.shape[1], bool))


def joint_bands(curves: Sequence[Curve], rounds: int, delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of TV curves and a band that holds for all of them at once, each ``[T, C]``.

    The band that :func:`sloc.measure` would have given had the curves been columns of one: Maurer-Pontil, Bonferroni
    over all cells, with the variance ``rounds * stderr^2`` of one round, tightened because TV never increases.

    Args:
        curves: curves of TV of disjoint sets from one call, on the same times.
        rounds: rounds of stratified draws behind them (draws over strata).
        delta: error level.

    """
    value, stderr = (np.stack([np.asarray(getattr(c, f), np.float64) for c in curves], 1) for f in ("value", "stderr"))
    half = maurer_pontil(value, np.square(stderr) * rounds, rounds, delta / value.size)
    lower, upper = tighten(np.clip(value - half, 0.0, 1.0), np.clip(value + half, 0.0, 1.0))
    return value, lower, upper


def _pair_times(
    bands: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    k: int,
    epsilon: float,
    horizon: float,
    discrete: bool,
    draws: int,
    way: str,
    sampled: np.ndarray,
) -> PairTimes:
    """Read merge times off ``(times [T], value, lower, upper [T, P])``, pairs in the order of ``triu_indices``."""
    times, value, _, upper = bands
    rows, columns = np.triu_indices(k, 1)
    point, low, high, status = _edges(*bands, epsilon, horizon, discrete)
    # A pair that was not drawn may have a value lent by another: then its bound has to say so too.
    one_law = (np.where(sampled[None], value, upper).max(axis=0) <= _SAME) & bool(sampled.any())
    point, status = np.where(one_law, 0.0, point), np.where(one_law, _RESOLVED, status)

    def square(flat: np.ndarray) -> np.ndarray:
        table = np.zeros((k, k), flat.dtype)
        table[rows, columns] = table[columns, rows] = flat
        return table

    def upper_at(t: float, members: np.ndarray) -> np.ndarray:
        before = int(np.searchsorted(times, t * (1 + ONE_TIME), side="right")) - 1
        flat = upper[before] if before >= 0 else np.ones(len(rows))
        return square(flat)[np.ix_(members, members)]

    return PairTimes(square(point), square(low), square(high), square(status), upper_at, square(one_law), draws, way)


def _contenders(
    times: np.ndarray,
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    epsilon: float,
    k: int,
    sampled: np.ndarray | None,
) -> np.ndarray:
    """Pairs that may decide the height of the merge at which they meet, in the tree of the present values.

    Where ``sampled`` is given: at a merge of which no pair was sampled, the one that surely merges last; else those
    that may merge a grid step later than every sampled one.
    """
    # Between grid times by interpolation: this decides what to sample, not what is claimed.
    low, high = (_edges(times, v, v, v, epsilon, np.inf, False)[0] for v in (lower, upper))
    wanted = np.zeros(value.shape[1], bool)
    step = float(np.diff(times).max(initial=0.0))
    for _, _, cut in _cuts(times, value, epsilon, k):
        here = cut.ravel()
        if sampled is None:
            wanted[here[high[here] >= low[here].max()]] = True
        elif sampled[here].any():
            wanted[here[high[here] > high[here[sampled[here]]].max() + step]] = True
        else:
            wanted[here[np.argmax(low[here])]] = True
    return wanted


def _cuts(
    times: np.ndarray, value: np.ndarray, epsilon: float, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each merge of the tree of ``value`` both sides' members and the numbers of the pairs between them."""
    rows, columns = np.triu_indices(k, 1)
    number, table = np.zeros((k, k), np.int64), np.zeros((k, k))
    number[rows, columns] = number[columns, rows] = np.arange(len(rows))
    table[rows, columns] = table[columns, rows] = _edges(times, value, value, value, epsilon, np.inf, False)[0]
    merges = linkage_on_host(table)[:, :2]
    members = members_of(merges, k)
    for a, b in merges.astype(np.int64):
        left, right = np.flatnonzero(members[a]), np.flatnonzero(members[b])
        yield left, right, number[np.ix_(left, right)]


def relay(
    times: np.ndarray,
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    sampled: np.ndarray,
    epsilon: float,
    k: int,
) -> None:
    """Bound pairs by a sampled pair beside them, in place: ``|TV(i, j) - TV(i', j')| <= TV(i, i') + TV(j, j')``.

    The triangle inequality of TV twice; the bounds hold wherever those they are made of do.  At every merge of the
    tree of the present values the pairs between its two sides lean on the sampled one of greatest TV among them: where
    two groups meet that have each merged long before, all pairs between them are one.

    Args:
        times: ``[T]``.
        value: ``[T, P]``, pairs in the order of ``triu_indices``.
        lower: ``[T, P]``.
        upper: ``[T, P]``.
        sampled: boolean ``[P]``.
        epsilon: the threshold.
        k: number of classes.

    """
    rows, columns = np.triu_indices(k, 1)
    total = value.sum(axis=0)

    def from_one(group: np.ndarray, one: int) -> np.ndarray:
        first, second = np.minimum(group, one), np.maximum(group, one)
        # Of no use for the class itself, whose entry is set to 0.
        at = first * k - first * (first + 1) // 2 + second - first - 1
        return np.where(group == one, 0.0, upper[:, np.minimum(at, len(rows) - 1)])

    # Groups come before what they merge into, so bounds within them are at their best.
    for left, right, cut in list(_cuts(times, value, epsilon, k)):
        known = cut[sampled[cut]]
        if not len(known) or len(known) == cut.size:
            continue
        best = int(known[np.argmax(total[known])])
        ends = (int(rows[best]), int(columns[best]))
        i, j = ends if ends[0] in left else ends[::-1]
        slack = from_one(left, i)[:, :, None] + from_one(right, j)[:, None, :]
        lower[:, cut] = np.maximum(lower[:, cut], lower[:, best][:, None, None] - slack)
        upper[:, cut] = np.maximum(np.minimum(upper[:, cut], upper[:, best][:, None, None] + slack), lower[:, cut])
        rest = cut[~sampled[cut]]
        value[:, rest] = np.clip(value[:, best][:, None], lower[:, rest], upper[:, rest])


def _edges(
    times: np.ndarray,
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    epsilon: float,
    horizon: float,
    discrete: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``inf {t : TV <= epsilon}`` of every column: point, lower and upper end, status code."""
    size = len(times)

    def last(above: np.ndarray) -> np.ndarray:
        return np.where(above.any(axis=0), size - 1 - np.argmax(above[::-1], axis=0), -1)

    at, a = last(value > epsilon), last(lower > epsilon)
    down = upper <= epsilon
    b = np.where(down.any(axis=0), np.argmax(down, axis=0), size)
    low = np.where(a >= 0, times[np.maximum(a, 0)] + (1.0 if discrete else 0.0), 0.0)
    high = np.where(b < size, times[np.minimum(b, size - 1)], horizon)
    left, right = np.clip(at, 0, size - 1), np.clip(at + 1, 0, size - 1)
    columns = np.arange(value.shape[1])
    top, bottom = value[left, columns], value[right, columns]
    fall = np.where(top > bottom, top - bottom, 1.0)
    share = np.clip(np.where(top > bottom, (top - epsilon) / fall, 1.0), 0.0, 1.0)
    point = times[right] if discrete else times[left] + share * (times[right] - times[left])
    point = np.where(at == -1, 0.0, np.where(at == size - 1, times[-1], point))
    starts = times[0] == 0
    settled = (b < size) & ((a >= 0) | starts)
    status = np.where(
        at == size - 1,
        np.where(a == size - 1, _ABOVE, _OPEN),
        np.where((at == -1) & (not starts), np.where(b == 0, _BELOW, _OPEN), np.where(settled, _RESOLVED, _OPEN)),
    )
    return np.where(at == -1, 0.0, np.clip(point, low, np.maximum(high, low))), low, high, status
