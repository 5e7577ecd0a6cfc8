"""Counts of many resampled curves, and what of their likelihood does not depend on shared parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, checked_all

Array = jax.Array
MAX_WIDTH = 3
"""Widest window in steps: its ends have one level each, the points inside it levels of their own."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ChangeData:
    """Sufficient counts of ``Q`` curves at ``T`` points each.

    A question has no window (one level throughout), one (a level before, ``w - 1`` points inside, a level after), or
    two of one step each (a level between them).  With uniform priors of all levels the likelihood of each place is a
    number, kept here relative to the question's largest; other priors of the levels before, after and throughout
    multiply it by ratios that depend on ``ends`` alone.

    Attributes:
        ends: ``[2, 2 T - 1, Q]`` successes and failures of the first ``i + 1`` points, of the points from ``j + 1`` on,
            and of all points; questions last, so that loops over them are vectorised.
        pairs: ``[2, 2 T - 1, U]`` the different ones among these: thousands of curves of equal draws share few.
        place: ``[2 T - 1, Q]`` int32, which of them is each question's.
        uniform: ``[2 T - 1, Q]`` log-likelihood of each of these with a uniform prior of its level.
        uniform_pairs: ``[2 T - 1, U]`` the same of ``pairs``.
        inside: ``[T - 1, T - 1, Q]`` likelihood with points ``i + 1 .. j`` at levels of their own, over the largest.
        between: ``[T - 1, T - 1, Q]`` the same with one level of those points.
        largest: ``[Q]`` its logarithm.
        group: ``[Q]`` int32 data set.
        right: ``[Q]`` float, the covariate.

    """

    ends: Array
    pairs: Array
    place: Array
    uniform: Array
    uniform_pairs: Array
    inside: Array
    between: Array
    largest: Array
    group: Array
    right: Array

    @property
    def steps(self) -> int:
        """``T - 1``."""
        return self.inside.shape[0]


def change_data(
    successes: Any, resamples: Any, groups: Any = None, right: Any = None
) -> tuple[ChangeData, tuple[str, ...]]:
    """Check counts and precompute.

    Args:
        successes: ``[Q, T]`` whole numbers, answers that agree with the full generation.
        resamples: ``[Q, T]`` or one number; zero at points that were not drawn.
        groups: ``[Q]`` names of data sets; one data set when None.
        right: ``[Q]`` whether the full generation was right; not used when None.

    Returns:
        The data and the names of the data sets.

    Raises:
        InvalidInput: counts that are not whole, negative, above the resamples, or of fewer than two points.

    """
    from scipy.special import betaln

    y = as_floats(successes, "successes")
    require(y.ndim == 2 and y.shape[0] >= 1 and y.shape[1] >= 2, "successes", y.shape, "shape (Q, T), T at least 2")
    n = as_floats(resamples, "resamples")
    require(n.shape in ((), y.shape), "resamples", n.shape, f"one number, or shape {y.shape}")
    n = np.broadcast_to(n, y.shape)
    for name, counts in (("successes", y), ("resamples", n)):
        good = bool((np.isfinite(counts) & (counts == np.round(counts))).all())
        require(good, name, counts, "whole numbers")
    require(bool(((y >= 0) & (y <= n)).all()), "successes", y, "counts between 0 and the resamples")
    empty = np.flatnonzero(n.sum(axis=1) == 0)
    require(not empty.size, "resamples", f"none for question {empty[:1]}", "at least one a question")
    names, group = _codes(groups, y.shape[0])
    given = np.zeros(y.shape[0]) if right is None else as_floats(right, "right")
    require(given.shape == (y.shape[0],), "right", given.shape, f"shape ({y.shape[0]},)")
    require(bool(np.isin(given, (0.0, 1.0)).all()), "right", given, "True or False for each question")
    pair = np.stack([y, n - y], axis=2)
    path = np.concatenate([np.zeros((y.shape[0], 1, 2)), np.cumsum(pair, axis=1)], axis=1)
    # A level with a uniform prior: B(1 + k, 1 + m - k) / B(1, 1).
    own = np.concatenate([np.zeros((y.shape[0], 1)), np.cumsum(betaln(1 + y, 1 + n - y), axis=1)], axis=1)
    span = path[:, None, 1:-1] - path[:, 1:-1, None]
    between = betaln(1 + np.maximum(span[..., 0], 0), 1 + np.maximum(span[..., 1], 0))
    inside = own[:, None, 1:-1] - own[:, 1:-1, None]
    ends = np.concatenate([path[:, 1:-1], path[:, -1:] - path[:, 1:-1], path[:, -1:]], axis=1)
    uniform = betaln(1 + ends[..., 0], 1 + ends[..., 1])
    steps = y.shape[1] - 1
    outer = uniform[:, :steps, None] + uniform[:, None, steps : 2 * steps]
    room = np.triu(np.ones((steps, steps), bool))
    tables = [np.where(room, outer + part, -np.inf) for part in (inside, between)]
    largest = np.maximum(np.max(tables, axis=(0, 2, 3)), uniform[:, -1])
    pairs, place = _different(ends.transpose(1, 0, 2))
    arrays = {"ends": ends.transpose(2, 1, 0), "uniform": uniform.T, "largest": largest, "right": given}
    arrays |= {"pairs": pairs, "uniform_pairs": betaln(1 + pairs[0], 1 + pairs[1])}
    shares = [np.exp(t - largest[:, None, None]).transpose(1, 2, 0) for t in tables]
    arrays |= dict(zip(("inside", "between"), shares, strict=True))
    codes = {"group": jnp.asarray(group, jnp.int32), "place": jnp.asarray(place, jnp.int32)}
    data = ChangeData(**codes, **{n: jnp.asarray(v, jnp.float32) for n, v in arrays.items()})
    return data, names


def _different(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different pairs ``[2, R, U]`` in each row of ``ends [R, Q, 2]``, and where each question's stands ``[R, Q]``.

    ``U`` is a power of two, or ``Q``, so that data sets of one size seldom compile anew.
    """
    rows, questions, _ = ends.shape
    found = [np.unique(row, axis=0, return_inverse=True) for row in ends]
    most = max(len(unique) for unique, _ in found)
    width = min(questions, 1 << (most - 1).bit_length())
    pairs = np.zeros((2, rows, width))
    for r, (unique, _) in enumerate(found):
        pairs[:, r, : len(unique)] = unique.T
    return pairs, np.stack([inverse.ravel() for _, inverse in found])


def _codes(groups: Sequence[Any] | None, questions: int) -> tuple[tuple[str, ...], np.ndarray]:
    if groups is None:
        return ("all",), np.zeros(questions, np.int32)
    texts = [str(g) for g in checked_all(groups, "groups", (str, int, np.integer), "names")]
    require(len(texts) == questions, "groups", len(texts), f"{questions} names, one a question")
    names = tuple(dict.fromkeys(texts))
    return names, np.asarray([names.index(t) for t in texts], np.int32)
