"""Localizers of which some steps are taken by another kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from sloc.contracts import ContractError, InvalidInput, require, shown
from sloc.contracts.arguments import checked_number
from sloc.engine.plan import BLOCK_DRAWS
from sloc.samplers.checks import checked_count, checked_key
from sloc.samplers.localization import STATE, observation_numbers
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState, as_argument, check_stops

Array = jax.Array
Kernel = Callable[[Array, Any, Array, Array], Any]
"""``(key, y, s, t) -> y``: draw ``Y_s`` from ``Y_t = y``."""

_FLOOR = float(np.log(1e-6))
"""Posteriors below 1e-6 count as equal: their logarithms carry no digits."""
_NATS = 16.0
"""Size of a coordinate's log density, in nats, whose rounding is allowed for."""


def interweave(
    localizer: Localizer,
    kernel: Kernel,
    at: Any,
    *,
    key: Array,
    grid: Any,
    n: int = BLOCK_DRAWS,
    tolerance: float | None = None,
) -> Localizer:
    """Let another kernel take chosen steps of a localizer, after checking that it carries no information on ``theta``.

    Li, Karan & Chen 2025, App. C.2.5 (in-context learning: examples that a user writes between the model's answers),
    whose Assumption 1 asks that alternative transitions carry no information on ``theta``: then the posterior after
    such a step is the one before it, ``P(theta | Y_s) = P(theta | Y_t)``, and windows and Theorem 2 hold for the
    interwoven sampler.  That equality is checked on ``n`` trajectories of the interwoven sampler, at every alternative
    step and for their changes added up along each trajectory, since many small ones make a large one: a test on draws,
    which can refute the assumption and cannot prove it.

    Args:
        localizer: the sampler, with ``log_posterior``.
        kernel: ``(key, y, s, t) -> y``, draws ``Y_s`` from one ``Y_t = y``; a :class:`jax.tree_util.Partial` for
            parameters that do not recompile.
        at: the times of the grid that the kernel steps to, one or several.  Grids of runs to come must have them.
        key: typed PRNG key for the check.
        grid: ``[m]`` strictly increasing times, those of the runs to come.
        n: trajectories of the check.
        tolerance: largest change of a log posterior, in nats, that counts as rounding, of one step and of all added up;
            posteriors below 1e-6 are not compared.  Default ``16 (1 + d)`` machine epsilons for observations of ``d``
            numbers, log densities of 16 nats a number: 1e-5 for four letters.  A larger one allows as much information.

    Returns:
        The interwoven localizer; alternative steps report a draw of ``finish`` as their ``info.x``.  Runs on a grid
        without a time of ``at`` that they would pass are refused.

    Raises:
        InvalidInput: times not on the grid, or Assumption 1 fails on a draw: the message names the time and the change,
            or the change up to that time where single steps are within the tolerance.
        ContractError: the localizer has no ``log_posterior``, or the kernel cannot be called.

    """
    tolerance = None if tolerance is None else checked_number(tolerance, "tolerance", 0)
    localizer, key, n = as_argument(localizer), checked_key(key), checked_count(n)
    if localizer.log_posterior is None:
        raise ContractError("localizer.log_posterior = None: expected a function (state) -> [K] to check Assumption 1")
    if not callable(kernel):
        raise ContractError(f"kernel = {shown(kernel)}: expected a function (key, y, s, t) -> y")
    kernel = kernel if isinstance(kernel, Partial) else Partial(kernel)
    times = jnp.asarray(_as_time(grid, "grid"))
    require(times.ndim == 1 and times.size >= 2, "grid", grid, "at least two times")
    good = bool(np.isfinite(times).all() and (np.diff(np.asarray(times)) > 0).all())
    require(good, "grid", grid, "finite, strictly increasing times")
    chosen = np.atleast_1d(_as_time(at, "at"))
    inside = np.isin(chosen, np.asarray(times)[:-1])
    require(inside.size > 0 and bool(inside.all()), "at", at, "times of the grid below its last")
    check_stops(localizer, times)
    alternative = jnp.asarray(chosen, times.dtype)
    stops = chosen if localizer.stops is None else np.union1d(np.asarray(localizer.stops), chosen)
    step = Partial(_step, localizer, kernel, alternative)
    woven = localizer._replace(step=step, stops=jnp.asarray(stops, times.dtype))
    if tolerance is None:
        tolerance = _NATS * (1 + observation_numbers(woven, times)) * float(jnp.finfo(jnp.result_type(float)).eps)
    changes, sums = (np.asarray(v) for v in _changes(woven, jax.random.split(key, n), times, alternative))
    one, many = "the step to t = {:g} moves", "the alternative steps down to t = {:g} move"
    for values, what in ((changes, one), (sums, many)):
        found = np.where(np.isnan(values), np.inf, values)
        worst = int(np.argmax(found))
        if found[worst] > tolerance:
            raise InvalidInput(
                f"kernel = {shown(kernel.func)}: expected transitions that carry no information on the sub-population "
                f"(Assumption 1), but {what.format(float(times[worst]))} a log posterior by "
                f"{found[worst]:.3g} nats on one of {n:,} draws (tolerance {tolerance:.3g})"
            )
    return woven


def _as_time(values: Any, argument: str) -> np.ndarray:
    try:
        host = np.asarray(values)
        require(host.dtype.kind in "iuf", argument, values, "numbers")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{argument} = {shown(values)}: expected numbers") from error
    return host.astype(np.int32) if host.dtype.kind in "iu" else host.astype(jnp.result_type(float))


def _step(
    localizer: Localizer, kernel: Kernel, at: Array, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    def other(key: Array, state: LocalizerState) -> tuple[LocalizerState, LocalizerInfo]:
        key_y, key_x = jax.random.split(key)
        y = kernel(key_y, state.y, s, state.t)
        return LocalizerState(y, s, state.memory), LocalizerInfo(localizer.finish(key_x, state))

    def usual(key: Array, state: LocalizerState) -> tuple[LocalizerState, LocalizerInfo]:
        return localizer.step(key, state, s)

    return jax.lax.cond(jnp.any(at == s), other, usual, key, state)


@jax.jit
def _changes(localizer: Localizer, keys: Array, grid: Array, at: Array) -> tuple[Array, Array]:
    """Largest change of a log posterior over the draws, by the step to each time of ``grid`` and added up so far.

    Both are 0 where the usual step is taken.
    """
    assert localizer.log_posterior is not None

    def seen(state: LocalizerState) -> Array:
        assert localizer.log_posterior is not None
        return jnp.maximum(jax.vmap(localizer.log_posterior, (STATE,))(state), _FLOOR)

    def own(stage: Array) -> Array:
        return jax.vmap(jax.random.fold_in, (0, None))(keys, stage)

    def step(carry: tuple[LocalizerState, Array], given: tuple[Array, Array]) -> tuple[Any, tuple[Array, Array]]:
        (state, total), (stage, s) = carry, given
        after, _ = jax.vmap(localizer.step, (0, STATE, None), (STATE, 0))(own(stage), state, s)

        def change(before: LocalizerState, after: LocalizerState, total: Array) -> tuple[Array, Array, Array]:
            moved = seen(after) - seen(before)
            return total + moved, jnp.max(jnp.abs(moved)), jnp.max(jnp.abs(total + moved))

        def nothing(before: LocalizerState, after: LocalizerState, total: Array) -> tuple[Array, Array, Array]:
            return total, jnp.zeros((), total.dtype), jnp.zeros((), total.dtype)

        total, one, added = jax.lax.cond(jnp.any(at == s), change, nothing, state, after, total)
        return (after, total), (one, added)

    first = jax.vmap(localizer.init, (0, None), STATE)(own(jnp.zeros((), jnp.int32)), grid[-1])
    stages = jnp.arange(1, grid.shape[0], dtype=jnp.int32)
    start = first, jnp.zeros_like(seen(first))
    changes = jax.lax.scan(step, start, (stages, grid[:-1][::-1]))[1]
    one, added = (jnp.concatenate([v[::-1], jnp.zeros((1,), v.dtype)]) for v in changes)
    return one, added
