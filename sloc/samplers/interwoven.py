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
from sloc.engine import BLOCK_DRAWS
from sloc.samplers.checks import checked_count, checked_key
from sloc.samplers.localization import STATE
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState, as_argument

Array = jax.Array
Kernel = Callable[[Array, Any, Array, Array], Any]
"""``(key, y, s, t) -> y``: draw ``Y_s`` from ``Y_t = y``."""

_FLOOR = float(np.log(1e-6))
"""Posteriors below 1e-6 count as equal: their logarithms carry no digits."""


def interweave(
    localizer: Localizer,
    kernel: Kernel,
    at: Any,
    *,
    key: Array,
    grid: Any,
    n: int = BLOCK_DRAWS,
    tolerance: float = 1e-2,
) -> Localizer:
    """Let another kernel take chosen steps of a localizer, after checking that it carries no information on ``theta``.

    Li, Karan & Chen 2025, App. C.2.5 (in-context learning: examples that a user writes between the model's answers),
    whose Assumption 1 asks that alternative transitions carry no information on ``theta``: then the posterior after
    such a step is the one before it, ``P(theta | Y_s) = P(theta | Y_t)``, and windows and Theorem 2 hold for the
    interwoven sampler.  That equality is checked on ``n`` trajectories of the interwoven sampler, at every alternative
    step: a test on draws, which can refute the assumption and cannot prove it.

    Args:
        localizer: the sampler, with ``log_posterior``.
        kernel: ``(key, y, s, t) -> y``, draws ``Y_s`` from one ``Y_t = y``; a :class:`jax.tree_util.Partial` for
            parameters that do not recompile.
        at: the times of the grid that the kernel steps to, one or several.
        key: typed PRNG key for the check.
        grid: ``[m]`` strictly increasing times, those of the runs to come.
        n: trajectories of the check.
        tolerance: largest change of a log posterior, in nats, that counts as rounding; posteriors below 1e-6 are
            not compared.

    Returns:
        The interwoven localizer; alternative steps report a draw of ``finish`` as their ``info.x``.

    Raises:
        InvalidInput: times not on the grid, or Assumption 1 fails on a draw: the message names the time and the change.
        ContractError: the localizer has no ``log_posterior``, or the kernel cannot be called.

    """
    tolerance = checked_number(tolerance, "tolerance", 0)
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
    woven = localizer._replace(step=Partial(_step, localizer, kernel, jnp.asarray(chosen, times.dtype)))
    changes = np.asarray(_changes(woven, jax.random.split(key, n), times, jnp.asarray(chosen, times.dtype)))
    changes = np.where(np.isnan(changes), np.inf, changes)
    worst = int(np.argmax(changes))
    if changes[worst] > tolerance:
        raise InvalidInput(
            f"kernel = {shown(kernel.func)}: expected transitions that carry no information on the sub-population "
            f"(Assumption 1), but the step to t = {float(times[worst]):g} moves a log posterior by "
            f"{changes[worst]:.3g} nats on one of {n:,} draws (tolerance {tolerance:g})"
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
def _changes(localizer: Localizer, keys: Array, grid: Array, at: Array) -> Array:
    """Largest change of a log posterior over the draws, for each time of ``grid`` (0 where the usual step is taken)."""
    assert localizer.log_posterior is not None

    def seen(state: LocalizerState) -> Array:
        assert localizer.log_posterior is not None
        return jnp.maximum(jax.vmap(localizer.log_posterior, (STATE,))(state), _FLOOR)

    def own(stage: Array) -> Array:
        return jax.vmap(jax.random.fold_in, (0, None))(keys, stage)

    def step(state: LocalizerState, given: tuple[Array, Array]) -> tuple[LocalizerState, Array]:
        stage, s = given
        after, _ = jax.vmap(localizer.step, (0, STATE, None), (STATE, 0))(own(stage), state, s)

        def change(before: LocalizerState, after: LocalizerState) -> Array:
            return jnp.max(jnp.abs(seen(after) - seen(before)))

        def nothing(before: LocalizerState, after: LocalizerState) -> Array:
            return jnp.zeros((), jnp.result_type(float))

        return after, jax.lax.cond(jnp.any(at == s), change, nothing, state, after)

    first = jax.vmap(localizer.init, (0, None), STATE)(own(jnp.zeros((), jnp.int32)), grid[-1])
    stages = jnp.arange(1, grid.shape[0], dtype=jnp.int32)
    changes = jax.lax.scan(step, first, (stages, grid[:-1][::-1]))[1]
    return jnp.concatenate([changes[::-1], jnp.zeros((1,), changes.dtype)])
