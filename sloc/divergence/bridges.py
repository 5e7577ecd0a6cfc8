"""Small overlaps ``alpha = 1 - TV(p_A, p_B)`` by pairwise bridges, with few draws however small ``alpha`` is.

Design.  With ``p_A = sum a_i p_i``, ``p_B = sum b_j p_j``, ``BC_ij = int sqrt(p_i p_j)`` and
``Z = sum_ij sqrt(a_i b_j) BC_ij``: draw ``(i, j)`` with probability ``sqrt(a_i b_j) BC_ij / Z``, then ``Y``
proportional to ``sqrt(p_i p_j)``.  The density of ``Y`` is ``g / Z`` with
``g = (sum_i sqrt(a_i p_i)) (sum_j sqrt(b_j p_j))``, so

    ``v = min(p_A, p_B) / g``   lies in [0, 1], and   ``alpha = Z E v``, without bias.

``v`` does not depend on the normalisation of the ``p``, is a function of log-ratios between components, and is of
order 1 where balanced draws see values of order ``alpha``; float32 therefore serves at any ``alpha``.  ``Z`` is
taken in float64 on the host and multiplied in at the end.  ``alpha <= Z`` needs no draw at all.

One pass serves all times: the same uniforms choose ``(i, j)`` and the same key draws ``Y`` at every ``t`` (common
random numbers).  Values are independent and identically distributed per time, in [0, 1]: any interval for bounded
means applies to ``E v`` and is scaled by ``Z``.

Where ``alpha`` is not small the bridge can lose to balanced draws without bound: ``sloc.divergence.pilot``
chooses.  Laws come from ``population.bridge_pair`` and ``log_affinities``.  A bridge of a user's own that draws
exactly ``sqrt(p_i p_j)`` gives ``v <= 1`` by algebra; one that draws from another law returns :class:`BridgeDraw` with
its density, which may break ``v <= 1``.  Draws above 1 are refused; that none was seen does not prove that there are
none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    InvalidInput,
    ObservationProcess,
    Population,
    Sets,
    component_mask,
    is_concrete,
    marginals_method,
    set_name,
)
from sloc.contracts.arguments import checked_level
from sloc.divergence.bands import interval_words, mean_interval, streamed
from sloc.divergence.bridge_setup import BridgeDraw, BridgeProblem, bridge_problem
from sloc.divergence.checks import (
    as_times,
    checked_count,
    checked_interval,
    checked_key,
    checked_pair,
)
from sloc.divergence.integrands import log_sum_exp
from sloc.divergence.intervals import tighten
from sloc.engine.moments import Moments
from sloc.engine.plan import BLOCK_DRAWS, Plan
from sloc.populations.discrete import draw_letters
from sloc.results.curve import Curve

__all__ = ["BridgeDraw", "BridgeKernel", "BridgeViolation", "bridge_moments", "bridge_overlap"]

Array = jax.Array

TOLERANCE = 1e-4
"""By how much rounding may lift ``v`` above 1."""

_GROUP_ELEMENTS = 1 << 22
"""Numbers held at once while times are evaluated side by side."""


class BridgeViolation(InvalidInput):
    """A draw of ``bridge_pair`` with ``v > 1``, or where one of its two densities is zero or NaN."""


@dataclass(frozen=True)
class BridgeKernel:
    """The streaming kernel: one block of bridge draws at all times.

    Attributes:
        rounds: draws per block.

    """

    rounds: int = BLOCK_DRAWS

    def setup(self, args: BridgeProblem) -> BridgeProblem:
        """Nothing is left to prepare."""
        return args

    def __call__(self, state: BridgeProblem, key: Array) -> tuple[Array, Array]:
        """Return ``v`` clipped to [0, 1] and the share of refused draws, each ``[T, R]``."""
        v, _, _ = bridge_values(state, key, self.rounds)
        refused = jnp.isnan(v) | (v > 1.0 + TOLERANCE)
        return jnp.where(refused, jnp.ones_like(v), jnp.minimum(v, 1.0)), refused.astype(v.dtype)


def bridge_values(problem: BridgeProblem, key: Array, rounds: int) -> tuple[Array, Array, Array]:
    """Draw bridges and return ``v`` with the components they lie between.

    Args:
        problem: from ``bridge_problem``.
        key: typed PRNG key.
        rounds: how many draws.

    Returns:
        ``(v, i, j)``, each ``[T, R]``; ``v`` is NaN where a draw cannot come from its pair, and 0 at times at which
        ``Z = 0``.

    """
    key_pair, key_y = jax.random.split(key)
    uniforms = jax.random.uniform(key_pair, (2, rounds), problem.share.dtype)
    keys = jax.random.split(key_y, rounds)

    def at(given: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        t, share, alive = given
        row = draw_letters(uniforms[0], jnp.sum(share, axis=1)[None, :])
        column = draw_letters(uniforms[1], share[row])
        i, j = problem.left[row], problem.right[column]
        log_g, log_min, _, excess = densities(problem, keys, i, j, t)
        log_v = log_min - log_g + excess
        # Set after the exponential: compiled for CPU, the exponential of a NaN need not be one.
        v = jnp.where(jnp.isnan(log_v), jnp.nan, jnp.exp(log_v))
        return jnp.where(alive, v, jnp.zeros_like(v)), i, j

    return jax.lax.map(at, (problem.times, problem.share, problem.alive), batch_size=_times_at_once(problem, rounds))


def densities(problem: BridgeProblem, keys: Array, i: Array, j: Array, t: Array) -> tuple[Array, ...]:
    """Draw between given pairs and return ``(log g, log min(p_A, p_B), log m, log excess)``, each ``[R]``.

    ``m = (p_A + p_B) / 2``; the first three share an additive constant.  ``excess`` is 0 for exact bridges and
    ``log sqrt(p_i p_j) - log_affinity - log_density`` for a :class:`BridgeDraw`.
    """

    def one(key: Array, i: Array, j: Array) -> tuple[Array, Array]:
        y = problem.population.bridge_pair(problem.process, key, i, j, t)
        if not isinstance(y, BridgeDraw):
            return problem.log_ratios(y, t), jnp.zeros((), problem.share.dtype)
        log_p = problem.population.log_marginals(problem.process, y.value, t)
        table = problem.population.log_affinities(problem.process, t)
        return log_p, 0.5 * (log_p[i] + log_p[j]) - table[i, j] - y.log_density

    log_p, excess = jax.vmap(one)(keys, i, j)
    log_g, log_min, log_m = set_densities(problem, log_p)
    rows = jnp.arange(i.shape[0], dtype=jnp.int32)
    own = jnp.minimum(log_p[rows, i], log_p[rows, j])
    # A draw that one of its own two laws cannot make shows that the bridge is not the pair's.
    broken = jnp.isneginf(own) | jnp.isnan(own)
    return log_g, jnp.where(broken, jnp.nan, log_min), log_m, excess


def set_densities(problem: BridgeProblem, log_p: Array) -> tuple[Array, Array, Array]:
    """Return ``(log g, log min(p_A, p_B), log m)``, each ``[R]``, from log-densities ``[R, K]`` up to a constant."""
    left, right = log_p[:, problem.left], log_p[:, problem.right]
    top = jnp.maximum(jnp.max(left, axis=1), jnp.max(right, axis=1))
    top = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))[:, None]
    left = left - top + problem.log_a[None, :]
    right = right - top + problem.log_b[None, :]
    log_a, log_b = log_sum_exp(left, axis=1), log_sum_exp(right, axis=1)
    log_g = log_sum_exp(0.5 * left, axis=1) + log_sum_exp(0.5 * right, axis=1)
    return log_g, jnp.minimum(log_a, log_b), jnp.logaddexp(log_a, log_b) - math.log(2.0)


def _times_at_once(problem: BridgeProblem, rounds: int) -> int:
    process, population = problem.process, problem.population
    draw = jax.eval_shape(
        lambda key, t: population.bridge_pair(process, key, problem.left[0], problem.right[0], t),
        jax.random.key(0),
        problem.times[0],
    )
    numbers = population.path_elements() + 2 * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(draw))
    return max(1, min(problem.times.shape[0], _GROUP_ELEMENTS // (rounds * numbers)))


def bridge_moments(
    key: Array,
    problem: BridgeProblem,
    *,
    n: int,
    interval: str = "maurer-pontil",
    plan: Plan | None = None,
) -> tuple[Moments, Any, int, Array | None]:
    """Stream ``v`` over ``n`` bridge draws: the low-level form of :func:`bridge_overlap`.

    Args:
        key: typed PRNG key.
        problem: from ``bridge_problem``.
        n: draws, rounded up to whole blocks of 1,024.
        interval: what the draws are kept for, see ``streamed``.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        ``(moments, counts, draws, refused)``: moments of ``v`` per time, ``[T]`` (``alpha = exp(log_z) * mean``),
        counts of dithered ``v`` where the interval reads them (else None), the draws made, and None, or where traced
        the share of refused draws per time, ``[T]``.

    Raises:
        BridgeViolation: a draw had ``v > 1 + 1e-4``; the message names the pair and the time (not under tracing).

    """
    blocks = -(-n // BLOCK_DRAWS)
    kernel = BridgeKernel()
    (moments, refused), counts = streamed(kernel, problem, key, blocks, interval, plan=plan)
    counts = None if counts is None else counts[0]
    share = refused.on_device()[1] if not is_concrete(refused) else refused.on_host()[1]
    if not is_concrete(share):
        return moments, counts, blocks * BLOCK_DRAWS, share
    if np.any(share > 0):
        raise_violation(problem, key, blocks)
    return moments, counts, blocks * BLOCK_DRAWS, None


def raise_violation(problem: BridgeProblem, key: Array, blocks: int, first: int = 0) -> NoReturn:
    """Refuse a bridge of which a draw broke its promise, by the pair and time of the worst draw of a block.

    Args:
        problem: the pairs.
        key: typed PRNG key of the draws.
        blocks: how many blocks to draw again.
        first: the first of them.

    Raises:
        BridgeViolation: always; without a pair where no draw of these blocks shows it again.

    """
    evaluate = jax.jit(lambda problem, key: bridge_values(problem, key, BLOCK_DRAWS))
    name = f"bridge_pair = {type(problem.population).__name__}.bridge_pair"
    expected = (
        "expected draws proportional to sqrt(p_t^i p_t^j), or a BridgeDraw whose density times exp(log_affinities) is "
        "nowhere below sqrt(p_t^i p_t^j)"
    )
    for block in range(first, first + blocks):
        v, i, j = (np.asarray(x) for x in evaluate(problem, jax.random.fold_in(key, block)))
        worst = np.unravel_index(np.argmax(np.where(np.isnan(v), np.inf, v)), v.shape)
        if v[worst] <= 1.0 + TOLERANCE:
            continue
        left, right = problem.names[int(i[worst])], problem.names[int(j[worst])]
        t = np.asarray(problem.times)[worst[0]]
        found = (
            "a draw that one of the two cannot make (its density there is zero or NaN)"
            if np.isnan(v[worst])
            else f"a draw with v = {float(v[worst]):.6g}, where v <= 1 was promised"
        )
        raise BridgeViolation(f"{name}: between {left!r} and {right!r} at t = {t:.6g} it gave {found}; {expected}")
    raise BridgeViolation(
        f"{name}: a draw broke v <= 1, and none of those made again shows between which two; {expected}"
    )


def bridge_overlap(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    delta: float = 0.05,
    interval: str = "maurer-pontil",
    plan: Plan | None = None,
) -> Curve:
    """Overlap ``alpha_t = 1 - TV(p_t^a, p_t^b)`` over times by pairwise bridges.

    ``alpha = Z E v`` with ``v`` in [0, 1] (see the module): unbiased, of relative variance of order 1 at any
    ``alpha``.  Nested sets are reduced first, ``alpha = 1 - rho + rho alpha'``.  The band (for ``E v``,
    Bonferroni over times, tightened since ``alpha`` never decreases in ``t``) holds at all times at once with
    probability ``>= 1 - delta``.  Traceable in the parameters, times and key; then a draw with ``v > 1`` turns the
    value at its time into NaN instead of being refused.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: a population with a bridge under it: Gaussian mixtures under a Gaussian channel, labelled atoms
            under a Gaussian or revealing channel, products under a revealing or memoryless channel, or one that
            defines ``bridge_pair`` and ``log_affinities``.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: draws, rounded up to whole blocks of 1,024.
        delta: error level of the band.
        interval: ``maurer-pontil``, ``betting`` or ``clopper-pearson``, see :func:`sloc.measure`.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        The curve of ``alpha``, float64 on the host: numbers such as 1e-12 are meant.

    Raises:
        InvalidInput: sets that are empty or unknown, ``n`` or ``delta`` out of range, an unknown ``interval``,
            ``log_affinities`` that are not affinities.
        ContractError: no bridge is known for the pair.
        BridgeViolation: a draw of a user's bridge with ``v > 1``.

    Source: Bhattacharyya 1943 for ``alpha <= BC``; importance sampling from the normalised geometric mean.

    """
    key = checked_key(key)
    process, population = checked_pair(process, population)
    shown, device_times = as_times(process, population, times)
    n, delta, interval = checked_count(n), checked_level(delta, "delta"), checked_interval(interval)
    left, right = component_mask(population, a, "a"), component_mask(population, b, "b")
    name = f"1 - TV({set_name(population, left)}, {set_name(population, right)})"
    problem, log_z, share = bridge_problem(process, population, shown, device_times, left, right)
    if problem is None:  # the same set twice
        one = np.ones(len(shown))
        return Curve(shown, one, 0 * one, one, one, 0, "exact", name, delta=0.0, time_axis=process.time_axis)
    moments, counts, draws, refused = bridge_moments(key, problem, n=n, interval=interval, plan=plan)
    concrete = is_concrete(moments, log_z, share)
    count, mean, variance, low, high = mean_interval(moments, counts, interval, delta / moments.mean.shape[0])
    xp = np if concrete else jnp
    # In float64 on the host Z may be as small as 1e-300; the mean of v is of order one.
    z = xp.exp(log_z)
    lower, upper = tighten(low * z, xp.minimum(high * z, 1.0), decreasing=False)
    value, stderr = z * mean, z * xp.sqrt(variance / xp.asarray(count, mean.dtype))
    if refused is not None:
        value = jnp.where(refused > 0, jnp.nan, value)
    value, lower, upper = ((1 - share) + share * x for x in (value, lower, upper))
    method = f"bridge, {marginals_method(process, population)}" + interval_words(interval)
    return Curve(
        shown, value, share * stderr, lower, upper, draws, method, name, delta=delta, time_axis=process.time_axis
    )
