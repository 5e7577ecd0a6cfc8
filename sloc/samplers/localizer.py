"""What a localization sampler is: two or three pure functions, one kind of state, one kind of info."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from sloc.contracts import ContractError, is_concrete, require, shown
from sloc.contracts.arguments import as_floats

Array = jax.Array


class LocalizerState(NamedTuple):
    """What the next step needs, and nothing else.

    Attributes:
        y: the observation ``Y_t``, a pytree.
        t: its time, a scalar; one for all draws that are run side by side.
        memory: what a method with memory keeps between steps (a multistep solver's last slope), else empty.

    """

    y: Any
    t: Array
    memory: Any = ()


class LocalizerInfo(NamedTuple):
    """Diagnostics of one step; unused parts are not computed under ``jit``.

    Attributes:
        x: what the step took ``X`` to be: the draw from ``X | Y_t`` of the exact sampler, the denoised
            ``E[X | Y_t]`` of a discretised one.

    """

    x: Any


def observation_itself(key: Array, state: LocalizerState) -> Any:
    """Return ``Y_t`` as the sample: for methods that run down to ``t = 0``, where it is ``X``.

    Args:
        key: not used.
        state: of a localizer.

    Returns:
        The observation in it.

    """
    del key
    return state.y


class Localizer(NamedTuple):
    """A localization sampler as pure functions of one draw, after blackjax's ``SamplingAlgorithm(init, step)``.

    ``Y_{t_m}``, then ``Y_{t_k} | Y_{t_{k+1}}`` for ``k = m - 1 .. 0``, then ``X | Y_{t_0}`` (Li, Karan & Chen 2025,
    Def. 2).  Functions made with :class:`jax.tree_util.Partial` make it a pytree, an argument of jitted functions
    whose parameters never recompile; plain functions and closures work too, and compile once for each function.

    Attributes:
        init: ``(key, t, y=None) -> LocalizerState``: draw ``Y_t`` from its marginal, or start from a given ``y``.
        step: ``(key, state, s) -> (LocalizerState, LocalizerInfo)``: go back from ``state.t`` to ``s < state.t``.
        finish: ``(key, state) -> x``: draw ``X`` (or what stands for it) from the last state.
        log_posterior: ``(state) -> [K]``, log posterior over sub-populations; None where it is not known.
        stops: times that a grid must have where it passes them, since the step to each is of its own
            (:func:`sloc.samplers.interweave`); None where every grid serves.

    """

    init: Callable[..., LocalizerState]
    step: Callable[..., tuple[LocalizerState, LocalizerInfo]]
    finish: Callable[..., Any] = observation_itself
    log_posterior: Callable[..., Array] | None = None
    stops: Any = None


def as_argument(localizer: Any) -> Localizer:
    """Return the localizer as a pytree that a jitted function takes: plain functions become structure.

    Raises:
        ContractError: not a :class:`Localizer`, or a field that cannot be called.
        InvalidInput: stops that are no times.

    """
    if not isinstance(localizer, Localizer):
        raise ContractError(
            f"localizer = {shown(localizer)}: expected a sloc.samplers.Localizer, such as exact_localizer(process, "
            "population) returns"
        )
    for name in ("init", "step", "finish"):
        if not callable(getattr(localizer, name)):
            raise ContractError(f"localizer.{name} = {shown(getattr(localizer, name))}: expected a function")
    init, step, finish, posterior, stops = localizer
    if posterior is not None and not callable(posterior):
        raise ContractError(f"localizer.log_posterior = {shown(posterior)}: expected a function, or None")
    if stops is not None and is_concrete(stops):
        times = as_floats(stops, "localizer.stops")
        good = times.ndim == 1 and bool((np.isfinite(times) & (times >= 0)).all())
        require(good, "localizer.stops", stops, "times, none of them negative, or None")
    posterior = None if posterior is None else _portable(posterior)
    return Localizer(_portable(init), _portable(step), _portable(finish), posterior, stops)


def check_stops(localizer: Localizer, grid: Any, start: float | None = None) -> None:
    """Refuse a grid that passes a time at which the localizer's step is of its own.

    Args:
        localizer: the sampler.
        grid: ``[m]`` increasing times.
        start: where a run begins that passes only what lies below it; None for the grid's last, and then every stop
            must be passed.

    Raises:
        InvalidInput: a grid without one of ``localizer.stops``, or that starts at one.

    """
    if localizer.stops is None:
        return
    stops, given = np.asarray(localizer.stops), np.asarray(grid)
    passed = stops if start is None else stops[stops < start]
    missing = passed[~np.isin(passed, given[:-1] if start is None else given)]
    through = shown([v.item() for v in missing]) + (" and a last time above" if start is None else "")
    expected = f"a grid through {through}: the interwoven kernel takes the steps to these"
    require(missing.size == 0, "grid", given.tolist(), expected)


def _portable(function: Callable[..., Any]) -> jax.tree_util.Partial:
    return function if isinstance(function, jax.tree_util.Partial) else jax.tree_util.Partial(function)
