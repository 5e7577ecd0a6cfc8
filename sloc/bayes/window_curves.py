"""Log odds of total variation at all times, for one posterior draw: exact where there is a closed form, else sampled.

Written to be mapped over draws inside one compiled program: sets are static, the mixture's numbers are traced.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess, Population
from sloc.divergence.integrands import log_ratio, log_sum_exp, overlap
from sloc.divergence.paths import batched_paths, reduced
from sloc.divergence.statistics import disjoint_pair
from sloc.engine.plan import BLOCK_DRAWS
from sloc.populations import GaussianMixture

Array = jax.Array
_HIGHEST = jax.lax.Precision.HIGHEST
Pair = tuple[tuple[bool, ...], tuple[bool, ...]]
"""Two sets of sub-populations as masks, hashable."""
Split = tuple[tuple[int, ...], tuple[int, ...]]
"""Two disjoint sets as positions, in a fixed order."""


def has_closed_form(process: ObservationProcess, stacked: Population, pairs: tuple[Pair, ...]) -> bool:
    """Whether all TVs asked for are those of two Gaussians of one covariance, after nested sets are reduced."""
    if not isinstance(process, GaussianChannel) or type(stacked) is not GaussianMixture:
        return False
    if np.ndim(stacked.covariances) > 3:
        return False
    splits = [_split(p)[0] for p in pairs]
    return all(s is None or (len(s[0]) == len(s[1]) == 1) for s in splits)


def _split(pair: Pair) -> tuple[Split | None, np.ndarray, np.ndarray]:
    """Disjoint sets (None where the two are equal) and the masks whose weights scale their TV."""
    left, right, part, whole = disjoint_pair(np.asarray(pair[0]), np.asarray(pair[1]))
    if not part.any():
        return None, part, whole
    sides = sorted(tuple(int(i) for i in np.flatnonzero(s)) for s in (left, right))
    return (sides[0], sides[1]), part, whole


def _log_odds(mixture: Population, pairs: tuple[Pair, ...], tv: Array, common: Array) -> Array:
    """Log odds of TV from ``TV`` and ``1 - TV`` of the disjoint sets, ``[Q, T]``; ``1 - TV`` does not cancel."""
    w = jnp.exp(mixture.log_weights)[None]
    masks = np.stack([np.stack(_split(p)[1:]) for p in pairs], axis=1)
    part, whole = jnp.where(masks, w[None], jnp.zeros_like(w)[None]).sum(axis=2)
    # Equal sets have an empty part, so a TV of zero.
    ratio = (part / whole)[:, None]
    return jnp.log(ratio * tv) - jnp.log(jnp.maximum(1 - ratio, jnp.zeros_like(ratio)) + ratio * common)


def closed_curves(process: Any, mixture: GaussianMixture, times: Array, pairs: tuple[Pair, ...]) -> Array:
    """Log odds of the TV of each pair at all times, ``[Q, T]``, exact.

    ``TV = erf(|g| / sqrt 8)`` with ``g`` the whitened distance of the two means, times the share of the weights
    where sets are nested.

    Args:
        process: a Gaussian channel.
        mixture: Gaussians of one covariance.
        times: ``[T]``.
        pairs: for which ``has_closed_form`` holds.

    """
    splits = [_split(p)[0] or ((0,), (0,)) for p in pairs]
    sides = np.asarray([[left[0], right[0]] for left, right in splits])
    gap = mixture.means[sides[:, 0]] - mixture.means[sides[:, 1]]
    cov = mixture.covariances
    if cov.ndim == 2:
        values, vectors = jnp.linalg.eigh(cov)
        gap, cov = jnp.matmul(gap, vectors, precision=_HIGHEST), jnp.maximum(values, jnp.zeros_like(values))
    a, sigma = process.coefficients(times)
    v = (a**2)[:, None] * jnp.broadcast_to(cov, gap.shape[1:])[None] + (sigma**2)[:, None]
    squared = jnp.matmul(jnp.square(gap), ((a**2)[:, None] / v).T, precision=_HIGHEST)
    r = jnp.sqrt(squared / 8)
    return _log_odds(mixture, pairs, jax.lax.erf(r), jax.lax.erfc(r))


def strata_of(pairs: tuple[Pair, ...]) -> tuple[int, ...]:
    """Sub-populations that trajectories start from."""
    used: set[int] = set()
    for pair in pairs:
        split = _split(pair)[0]
        used |= set() if split is None else set(split[0]) | set(split[1])
    return tuple(sorted(used))


def rounds_of(pairs: tuple[Pair, ...]) -> int:
    """Rounds (one trajectory from each stratum) in a block."""
    return max(1, BLOCK_DRAWS // max(1, len(strata_of(pairs))))


def sampled_curves(
    key: Array, process: Any, mixture: Population, times: Array, pairs: tuple[Pair, ...], blocks: Array
) -> Array:
    """Log odds of the TV of each pair at all times, ``[Q, T]``, from trajectories.

    ``1 - TV = E 2 sigma(-|l|)`` over draws balanced between the two disjoint sets, stratified by source component,
    with common random numbers in ``t`` and in the pairs.  Unbiased before the log odds are taken.  What
    :func:`sloc.measure` does for :class:`sloc.TV`, without intervals and with static sets: each disjoint pair is
    evaluated once however many nested pairs reduce to it, and a single sub-population costs no log-sum-exp.

    Args:
        key: typed key.
        process: the process.
        mixture: the population; its weights may be traced.
        times: ``[T]``.
        pairs: sets, static.
        blocks: key blocks of at most 1,024 trajectories, an int32 that may be traced.

    """
    splits = list(dict.fromkeys(s for s in (_split(p)[0] for p in pairs) if s is not None))
    strata, rounds, k = strata_of(pairs), rounds_of(pairs), mixture.num_components
    log_w = mixture.log_weights - log_sum_exp(mixture.log_weights, axis=0)
    quick_process, quick = reduced(process, mixture)
    components = jnp.repeat(jnp.asarray(strata, jnp.int32), rounds)
    every_pair = len(splits) == k * (k - 1) // 2 and all(len(a) == len(b) == 1 for a, b in splits)

    def add(block: Array, total: Array) -> Array:
        paths = batched_paths(quick_process, quick, jax.random.fold_in(key, block), components, times)
        log_p = paths.reshape(*paths.shape[:2], len(strata), rounds)
        if every_pair:
            table = _pair_table(log_p)
            return total + jnp.stack([table[:, a[0], b[0]] for a, b in splits])
        return total + jnp.stack([_mean_overlap(log_p, log_w.astype(log_p.dtype), s, strata) for s in splits])

    if not splits:
        return jnp.full((len(pairs), times.shape[0]), -jnp.inf, log_w.dtype)
    total = jax.lax.fori_loop(0, blocks, add, jnp.zeros((len(splits), times.shape[0]), log_w.dtype))
    common = jnp.clip(total / blocks.astype(total.dtype), 0, 1)
    # Equal sets take any row: their share is zero.
    found = [_split(p)[0] for p in pairs]
    common = common[np.asarray([0 if s is None else splits.index(s) for s in found])]
    return _log_odds(mixture, pairs, 1 - common, common)


def _pair_table(log_p: Array) -> Array:
    """Means of ``2 sigma(-|l|)`` for every two sub-populations, ``log_p [T, K, K, R] -> [T, K, K]``."""
    t, k, _, rounds = log_p.shape
    # A masked sum is vectorised where taking a diagonal is not.
    own = jnp.where(jnp.eye(k, dtype=bool)[None, :, :, None], log_p, jnp.zeros_like(log_p)).sum(axis=1)
    values = overlap(log_ratio(own[:, None], log_p))
    mean = jnp.matmul(values.reshape(-1, rounds), jnp.full(rounds, 1 / rounds, log_p.dtype), precision=_HIGHEST)
    mean = mean.reshape(t, k, k)
    return 0.5 * (mean + jnp.swapaxes(mean, 1, 2))


def _mean_overlap(log_p: Array, log_w: Array, split: Split, strata: tuple[int, ...]) -> Array:
    """Mean of ``2 sigma(-|l|) = 2 min(p_A, p_B) / (p_A + p_B)`` over one block, ``log_p [T, K, S, R] -> [T]``."""
    own = [strata.index(i) for side in split for i in side]
    # Slices, not gathers, which a CPU does not vectorise.
    picked = log_p if own == list(range(len(strata))) else jnp.concatenate([log_p[:, :, i : i + 1] for i in own], 2)
    within = [jax.nn.softmax(jnp.stack([log_w[i] for i in side])) for side in split]
    if len(own) == 2:
        values = overlap(log_ratio(picked[:, split[0][0]], picked[:, split[1][0]]))
    else:
        members = [i for side in split for i in side]
        top = functools.reduce(jnp.maximum, [picked[:, i] for i in members])
        top = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))

        def side_density(side: tuple[int, ...], w: Array) -> Array:
            # Term by term: a running sum keeps XLA from storing a stack.
            return sum((w[j] * jnp.exp(picked[:, i] - top) for j, i in enumerate(side)), jnp.zeros_like(top))

        left, right = (side_density(*both) for both in zip(split, within, strict=True))
        # One exponential for each member and no logarithm; what underflows is below 1e-38 of the larger side.
        tiny = jnp.asarray(jnp.finfo(top.dtype).tiny, top.dtype)
        values = 2 * jnp.minimum(left, right) / jnp.maximum(left + right, tiny)
    # As a product with a vector: a CPU does not vectorise a sum over the last axis with the exponentials inside.
    weights = jnp.repeat(0.5 * jnp.concatenate(within) / values.shape[2], values.shape[2])
    return jnp.matmul(values.reshape(values.shape[0], -1), weights, precision=_HIGHEST)
