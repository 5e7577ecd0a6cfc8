"""Betting intervals for the mean of a stream of values in [0, 1] (Waudby-Smith & Ramdas 2024).

For a candidate mean ``m`` a gambler stakes on the values lying above it (or below it) with bets that may look only at
the past.  If ``m`` is the true mean the wealth is a nonnegative martingale that starts at 1, so it reaches ``1/delta``
with probability at most ``delta`` (Ville); the interval keeps the means at which the gambler stayed poor.

Concrete arrays are handled on the host in float64 NumPy, traced ones (under ``jit`` or ``vmap``) in the working
precision.  Either way a bound on the rounding error is subtracted from the logarithm of the wealth before it is
compared with the threshold, so float32 costs a little width and never coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import is_concrete, require
from sloc.contracts.arguments import as_array, as_floats

TRUNCATION = 0.75
"""The gambler never stakes more than this share of what he can lose."""
_NEAREST, _FARTHEST = 1e-7, 80.0  # distances in logit between the sample mean and a bound
_STEPS = 22  # bisections of the logarithm of that distance: it is found to 5e-6 of itself
_LEAF = 128  # values added up in one go before the partial sums are


def betting_interval(values: Any, delta: Any) -> tuple[Any, Any]:
    """Two-sided betting interval for the mean, tuned to the number of values.

    ``[betting_lower(values, delta / 2), betting_upper(values, delta / 2)]``: contains the mean with probability at
    least ``1 - delta`` when the values lie in [0, 1] and each has the same mean given those before it (independent and
    identically distributed ones do).  The number of values must be fixed beforehand.  Under stratified draws average
    one draw per stratum first: the values themselves do not have a constant conditional mean.

    Args:
        values: values in [0, 1] in the order they were drawn, shape ``[..., n]``; the leading axes are cells.
        delta: error level in (0, 1), a scalar or one for each cell.

    Returns:
        ``(lower, upper)``, each of shape ``[...]``: float64 NumPy for concrete values, traced in the working precision
        under ``jit``.  NaN where traced values are NaN or outside [0, 1].

    Raises:
        InvalidInput: a level outside (0, 1), no values, or concrete values outside [0, 1].

    Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", Theorem 3 and
    Remark 3, the hedged capital process with weight 1/2 on each side.

    """
    delta = check_level(delta, values)
    return betting_lower(values, delta / 2), betting_upper(values, delta / 2)


def betting_lower(values: Any, delta: Any) -> Any:
    """One-sided betting bound: ``P(mean < lower) <= delta``.

    ``sup {m : prod_t (1 + min(lambda_t, 0.75 / m) (v_t - m)) >= 1 / delta}``, or 0 if no ``m`` is that bad, with
    ``lambda`` from ``bet_sizes``.  The product decreases in ``m``, so bisection finds the bound; the number
    returned is always one that was rejected (or 0), hence rounded outwards.

    Args:
        values: values in [0, 1] in the order they were drawn, ``[..., n]``.
        delta: error level in (0, 1), a scalar or one for each cell.

    Returns:
        The bound, ``[...]``; on the host in float64 for concrete values.

    Raises:
        InvalidInput: as :func:`betting_interval`.

    """
    return _bound(values, delta, 1)


def betting_upper(values: Any, delta: Any) -> Any:
    """One-sided betting bound: ``P(mean > upper) <= delta``.

    ``inf {m : prod_t (1 - min(lambda_t, 0.75 / (1 - m)) (v_t - m)) >= 1 / delta}``, or 1 if no ``m`` is that bad.

    Args:
        values: values in [0, 1] in the order they were drawn, ``[..., n]``.
        delta: error level in (0, 1), a scalar or one for each cell.

    Returns:
        The bound, ``[...]``; on the host in float64 for concrete values.

    Raises:
        InvalidInput: as :func:`betting_interval`.

    """
    return _bound(values, delta, -1)


def bet_sizes(values: Any, delta: Any) -> Any:
    """Predictable plug-in bets of a one-sided bound at level ``delta``.

    ``lambda_t = sqrt(2 log(1/delta) / (n s_{t-1}))``, ``s_t = (1/4 + sum_{i<=t} (v_i - mean_i)^2) / (t + 1)``,
    ``mean_t = (1/2 + sum_{i<=t} v_i) / (t + 1)``, ``s_0 = 1/4``: a function of the past alone, which is all that
    validity asks of it.

    Args:
        values: values in [0, 1] in the order they were drawn, ``[..., n]``.
        delta: error level in (0, 1) of the one-sided bound, a scalar or one for each cell.

    Returns:
        Bets before truncation, ``[..., n]``, positive.

    Source: Waudby-Smith & Ramdas 2024, equation (26) with the fixed sample size of their Remark 3.

    """
    xp = np if is_concrete(values, delta) else jnp
    values = _floating(values, xp)
    level = -xp.log(xp.asarray(delta, values.dtype))
    n = values.shape[-1]
    ones = xp.ones_like(values)
    seen = xp.cumsum(ones, axis=-1)  # exact in float32 up to 2**24; beyond, still a function of the past
    mean = (0.5 + xp.cumsum(values, axis=-1)) / (seen + 1.0)
    spread = (0.25 + xp.cumsum(xp.square(values - mean), axis=-1)) / (seen + 1.0)
    before = xp.concatenate([0.25 * ones[..., :1], spread[..., :-1]], axis=-1)
    return xp.sqrt(2.0 * (level if level.ndim == 0 else level[..., None]) / (n * before))


def check_level(delta: Any, cells: Any = None) -> Any:
    """Return the error level as an array of the precision in use, refusing concrete ones outside (0, 1).

    Args:
        delta: scalar or array.
        cells: the arrays the level is used with; if they are traced the level stays in the working precision.

    Returns:
        ``delta`` as a float64 NumPy array, or unchanged in kind if it or ``cells`` is traced.

    Raises:
        InvalidInput: a concrete level outside (0, 1).

    """
    if is_concrete(delta):
        delta = as_floats(delta, "delta")
        require(bool(np.all((delta > 0) & (delta < 1))), "delta", delta, "an error level inside (0, 1)")
    if is_concrete(delta, cells):
        return delta
    return jnp.asarray(delta, jnp.result_type(float)) if is_concrete(delta) else delta


def invert_wealth(
    log_wealth: Callable[[Any], Any], successes: Any, failures: Any, level: Any, side: int, xp: Any
) -> Any:
    """Bound a mean by the candidates at which a gambler's wealth stays below ``exp(level)``.

    Walks from the sample mean away (``side = 1``: down, to a lower bound; ``-1``: up) and bisects the logarithm of the
    distance in logit, 22 times, so that the distance is found to a relative 5e-6.  ``log_wealth`` must be monotone on
    that side; it is never asked at 0 or 1.  The result is a candidate that was rejected, or 0 (1) if none was.

    Args:
        log_wealth: maps candidate means ``[...]`` to logarithms of wealth (lower bounds on them), same shape.
        successes: ``sum v``, ``[...]``: places the start of the walk and nothing else.
        failures: ``sum (1 - v)``, same shape.
        level: ``log(1 / delta)``, scalar or same shape.
        side: 1 for a lower bound, -1 for an upper bound.
        xp: ``numpy`` or ``jax.numpy``.

    Returns:
        The bound, ``[...]``, in the dtype of ``successes``.

    """
    # Half a value on either side keeps the start finite; every bound lies beyond it or is lost by less than its width.
    start = xp.log(successes + 0.5) - xp.log(failures + 0.5)
    # One minus the largest candidate must stay a normal number of the precision in use.
    top = 16.0 if start.dtype == np.float32 else 36.0

    def candidate(distance: Any) -> Any:
        return 1.0 / (1.0 + xp.exp(-xp.clip(start - side * xp.exp(distance), -80.0, top)))

    def step(_: Any, bracket: tuple[Any, Any]) -> tuple[Any, Any]:
        near, far = bracket
        middle = 0.5 * (near + far)
        rejected = log_wealth(candidate(middle)) >= level
        return xp.where(rejected, near, middle), xp.where(rejected, middle, far)

    near = xp.full_like(start, float(np.log(_NEAREST)))
    farthest = xp.full_like(start, float(np.log(_FARTHEST)))
    bracket = (near, farthest)
    if xp is np:
        for i in range(_STEPS):
            bracket = step(i, bracket)
    else:
        bracket = jax.lax.fori_loop(0, _STEPS, step, bracket)
    bound = candidate(bracket[1])
    # A bracket that never moved ends at a candidate that was not tried.  One that moved ends at a rejected one, and is
    # not asked again: compiled elsewhere, the same wealth may round to just below the level.
    rejected = (bracket[1] < farthest) | (log_wealth(bound) >= level)
    return xp.where(rejected, bound, 0.0 if side == 1 else 1.0)


def _bound(values: Any, delta: Any, side: int) -> Any:
    values, delta = as_array(values, "values"), check_level(delta, values)
    xp = np if is_concrete(values, delta) else jnp
    values = _floating(values, xp)
    require(values.ndim >= 1 and values.shape[-1] >= 1, "values", values.shape, "at least one value on the last axis")
    require(np.ndim(delta) == 0 or np.shape(delta) == values.shape[:-1], "delta", np.shape(delta), "one for each cell")
    valid = xp.all((values >= 0) & (values <= 1), axis=-1)
    if xp is np:
        require(bool(np.all(valid)), "values", values, "numbers in [0, 1]")
    level = -xp.log(xp.asarray(delta, values.dtype))
    bets = bet_sizes(values, delta)
    unit = 0.5 * float(jnp.finfo(values.dtype).eps)
    depth = 1
    while _LEAF**depth < values.shape[-1]:
        depth += 1
    # Six roundings and a logarithm good to a few units in each term, and _LEAF additions at each level of the sum.
    slack = (_LEAF * depth + 16.0) * unit

    def log_wealth(mean: Any) -> Any:
        m = mean[..., None]
        stake = xp.minimum(bets, TRUNCATION / (m if side == 1 else 1.0 - m))
        terms = xp.log1p(side * stake * (values - m))
        return _sum(terms, xp) - slack * _sum(xp.abs(terms), xp)

    total = _sum(values, xp)
    bound = invert_wealth(log_wealth, total, _sum(1.0 - values, xp), level, side, xp)
    return xp.where(valid, bound, xp.nan)


def _floating(values: Any, xp: Any) -> Any:
    """Return float64 on the host; under tracing the array's own precision, at least float32."""
    if xp is np:
        return np.asarray(values, np.float64)
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return values.astype(jnp.float32)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def _sum(terms: Any, xp: Any) -> Any:
    """Sum over the last axis in a tree, because a sequential float32 sum of 1e6 terms drifts."""
    if xp is np:
        return np.sum(terms, axis=-1)
    while terms.shape[-1] > _LEAF:
        pad = -terms.shape[-1] % _LEAF
        terms = jnp.pad(terms, [(0, 0)] * (terms.ndim - 1) + [(0, pad)])
        terms = jnp.sum(terms.reshape((*terms.shape[:-1], -1, _LEAF)), axis=-1)
        # Without the barrier the compiler folds the two sums into one sequential one.
        terms = jax.lax.optimization_barrier(terms)
    return jnp.sum(terms, axis=-1)
