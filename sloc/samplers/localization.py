"""Running a localizer down a grid of times: samples, trajectories, and statistics on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, require, shown
from sloc.contracts.equality import same_fields
from sloc.engine.collecting import collect
from sloc.engine.plan import BLOCK_DRAWS, Plan
from sloc.engine.streaming import stream
from sloc.samplers.checks import checked_count, checked_key, checked_model, checked_times, checked_trace, positions
from sloc.samplers.exact import exact_localizer
from sloc.samplers.localizer import Localizer, LocalizerState, as_argument, check_stops
from sloc.samplers.spoilt import naming_steps, refuse_spoilt_letters, spoilt_observation

if TYPE_CHECKING:
    import pandas as pd

Array = jax.Array
Observe = Callable[[Any, Array], Any]
"""``(y, t) -> pytree``: what is kept of one draw's observation at a requested time."""

STATE = LocalizerState(y=0, t=None, memory=0)  # pyright: ignore[reportArgumentType]
"""Where the draws lie in a state that holds many of them: the time is common."""

_TILE_NUMBERS = 1 << 19
"""Numbers that the draws stepped side by side hold at once, roughly."""
_NUMBERS = (jnp.floating, jnp.integer, jnp.bool_)
_LARGEST_TILE = 16
_ROUND = 32
"""Fewer draws than a block are rounded up to a multiple of this."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Localization:
    """Samples with the observations met on the way.

    Attributes:
        samples: the draws of ``X``, leaves ``[n, ...]``.
        times: ``[T]``, increasing, those that were asked for.
        observations: ``Y_t`` at these times, leaves ``[n, T, ...]``.

    """

    samples: Any
    times: Any
    observations: Any

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LocalizationStatistics:
    """Means over trajectories of a statistic at the times that were asked for.

    Attributes:
        times: ``[T]``, increasing.
        mean: leaves ``[T, ...]``, float64.
        stderr: standard errors, same shapes.
        n: trajectories, whole blocks of 1,024.

    """

    times: Any
    mean: Any
    stderr: Any
    n: Any

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per time and number: time, which leaf, its place there, mean, stderr.

        ``leaf`` is the number's path within the statistic's pytree (empty for a single array), ``index`` its place in
        that leaf once flattened, of all axes but time.
        """
        import pandas as pd

        times = np.asarray(self.times)
        means, errors = jax.tree_util.tree_leaves_with_path(self.mean), jax.tree.leaves(self.stderr)
        parts = []
        for (path, mean), error in zip(means, errors, strict=True):
            flat = np.asarray(mean, np.float64).reshape(times.size, -1)
            width = flat.shape[1]
            part = {"time": np.repeat(times, width), "leaf": jax.tree_util.keystr(path)}
            part |= {"index": np.tile(np.arange(width), times.size), "mean": flat.ravel()}
            parts.append(pd.DataFrame({**part, "stderr": np.asarray(error, np.float64).ravel()}))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def run_keys(localizer: Localizer, keys: Array, grid: Array, slots: Array, observe: Observe | None, count: int) -> Any:
    """Run one localization per key, all side by side, down ``grid``.

    Args:
        localizer: the sampler.
        keys: ``[B]`` typed keys; draw ``i`` depends on ``keys[i]`` alone.
        grid: ``[m]``, increasing.
        slots: int32 ``[m]``, where each time's observation is kept, or -1.
        observe: what is kept, or None for nothing.
        count: how many times are kept (static).

    Returns:
        ``(samples, kept)``: leaves ``[B, ...]`` and, for ``observe``, leaves ``[count, B, ...]``.

    """
    stages = jnp.arange(grid.shape[0], dtype=jnp.int32)[::-1]

    def own(stage: Array) -> Array:
        return jax.vmap(jax.random.fold_in, (0, None))(keys, stage)

    def keep(kept: Any, state: LocalizerState, slot: Array) -> Any:
        if observe is None:
            return kept
        look = observe

        def write(kept: Any) -> Any:
            seen = jax.vmap(lambda y: look(y, state.t))(state.y)
            return jax.tree.map(lambda all_, one: all_.at[slot].set(jnp.asarray(one)), kept, seen)

        # The slot is the same for all draws, so this is a branch and not a selection: nothing is computed between.
        return jax.lax.cond(slot >= 0, write, lambda kept: kept, kept)

    first = jax.vmap(localizer.init, (0, None), STATE)(own(stages[0]), grid[-1])
    kept = None
    if observe is not None:
        shapes = jax.eval_shape(jax.vmap(lambda y: observe(y, grid[-1])), first.y)
        kept = jax.tree.map(lambda v: jnp.zeros((count, *v.shape), v.dtype), shapes)
    kept = keep(kept, first, slots[-1])

    def step(carry: tuple[LocalizerState, Any], given: tuple[Array, Array, Array]) -> tuple[Any, None]:
        (state, kept), (stage, s, slot) = carry, given
        state, _ = jax.vmap(localizer.step, (0, STATE, None), (STATE, 0))(own(stage), state, s)
        return (state, keep(kept, state, slot)), None

    below = (stages[1:], grid[:-1][::-1], slots[:-1][::-1])
    (last, kept), _ = jax.lax.scan(step, (first, kept), below)
    samples = jax.vmap(localizer.finish, (0, STATE))(own(jnp.asarray(grid.shape[0], jnp.int32)), last)
    return samples, kept


@dataclass(frozen=True)
class LocalizeKernel:
    """One block of localizations.

    Attributes:
        observe: what is kept at the requested times, or None.
        count: how many times are requested.
        means: whether the kept numbers alone are returned, the draws last, as a stream takes them.
        draws: how many of the block's draws are made, where fewer are wanted than a block holds.

    """

    observe: Observe | None = None
    count: int = 0
    means: bool = False
    draws: int = BLOCK_DRAWS

    def setup(self, args: Any) -> Any:
        """Nothing to prepare."""
        return args

    def __call__(self, state: Any, key: Array) -> Any:
        """Return ``(samples [B, ...], kept [B, count, ...])``, or ``kept [count, ..., B]``."""
        localizer, grid, slots = state
        keys = jax.random.split(key, BLOCK_DRAWS)[: self.draws]
        samples, kept = run_keys(localizer, keys, grid, slots, self.observe, self.count)
        if self.means:
            return jax.tree.map(lambda v: _real(jnp.moveaxis(v, 1, -1)), kept)
        return samples, jax.tree.map(lambda v: jnp.moveaxis(v, 1, 0), kept)


def observation(y: Any, t: Array) -> Any:
    """Keep the observation itself."""
    del t
    return y


def _real(values: Array) -> Array:
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(jnp.result_type(float))


@overload
def localize(
    key: Array,
    process: ObservationProcess,
    population: Population,
    *,
    grid: Any,
    n: int = ...,
    localizer: Localizer | None = ...,
    trajectories: Literal[False] = ...,
    at: None = ...,
    plan: Plan | None = ...,
) -> Any: ...
@overload
def localize(
    key: Array,
    process: ObservationProcess,
    population: Population,
    *,
    grid: Any,
    n: int = ...,
    localizer: Localizer | None = ...,
    trajectories: Literal[True],
    at: Any = ...,
    plan: Plan | None = ...,
) -> Localization: ...
def localize(
    key: Array,
    process: ObservationProcess,
    population: Population,
    *,
    grid: Any,
    n: int = BLOCK_DRAWS,
    localizer: Localizer | None = None,
    trajectories: bool = False,
    at: Any = None,
    plan: Plan | None = None,
) -> Any:
    """Draw samples by localization: ``Y_{t_m}``, back along the grid, then ``X | Y_{t_0}``.

    The joint law is ``P(y_m) prod_k P(y_k | y_{k+1}) P(x | y_0)``: with the exact localizer (the default) the samples
    have the law ``p`` of the population and the trajectories the law of ``(Y_t)``, on any grid (Li, Karan & Chen 2025,
    Def. 2).  Compiled once for each shape and kind of model, whatever its parameters.

    Args:
        key: typed PRNG key; the same key gives the same draws on any number of devices, and more draws begin with
            the same ones.
        process: the observation process.
        population: the population.
        grid: ``[m]`` strictly increasing times, run from the last down to the first; or how many of ``process.grid``.
        n: how many draws.
        localizer: another sampler, such as :func:`sloc.samplers.euler_reverse` or :func:`sloc.samplers.interweave`
            returns; default :func:`sloc.samplers.exact_localizer`.
        trajectories: whether the observations on the way are kept too.
        at: the times of the grid at which they are kept; default all of them.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        Samples of ``X`` as a pytree of NumPy arrays ``[n, ...]``; if ``trajectories``, a
        :class:`sloc.samplers.Localization`.

    Raises:
        InvalidInput: see the arguments.
        ContractError: a method that the sampler needs is missing.
        NotANumber: a sample or a kept observation holds NaN; names the time where it came in, the draw and its key.

    """
    require(trajectories or at is None, "at", at, "None, unless trajectories=True")
    key, n = checked_key(key), checked_count(n)
    draws = drawn_of_block(n, localizer)
    times, slots, localizer, grid, numbers = _prepare(process, population, grid, at, localizer)
    kernel = LocalizeKernel(observation, times.shape[0], draws=draws) if trajectories else LocalizeKernel(draws=draws)
    every = jnp.arange(grid.shape[0], dtype=jnp.int32)
    looking = LocalizeKernel(spoilt_observation, grid.shape[0], draws=draws)
    with naming_steps(looking, (localizer, grid, every), key, grid):
        blocks, tile = -(-n // BLOCK_DRAWS), _tile(numbers)
        samples, kept = collect(kernel, (localizer, grid, slots), key, blocks, axis=0, n=n, tile=tile, plan=plan)
        refuse_spoilt_letters(samples)
    return Localization(samples, np.asarray(times), kept) if trajectories else samples


def localization_statistics(
    key: Array,
    process: ObservationProcess,
    population: Population,
    statistic: Observe,
    *,
    grid: Any,
    n: int,
    localizer: Localizer | None = None,
    at: Any = None,
    plan: Plan | None = None,
) -> LocalizationStatistics:
    """Average a statistic of ``Y_t`` over localizations, at the requested times only, in memory independent of ``n``.

    Unbiased for ``E f(Y_t, t)`` under the localizer's own law, which with the exact localizer is that of ``Y_t``.

    Source: the library's own.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        statistic: ``(y, t) -> pytree of numbers`` of one observation; a module-level function, since another function
            object compiles anew.  It is evaluated at the times ``at`` and nowhere else.
        grid: ``[m]`` strictly increasing times, or how many of ``process.grid``.
        n: trajectories, rounded up to whole blocks of 1,024.
        localizer: default :func:`sloc.samplers.exact_localizer`.
        at: times of the grid; default all of them.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        Means and standard errors, leaves ``[T, ...]``.

    Raises:
        InvalidInput: see the arguments.
        ContractError: a method that the sampler needs is missing.

    """
    require(callable(statistic), "statistic", statistic, "a function (y, t) -> numbers")
    key, n = checked_key(key), checked_count(n)
    times, slots, localizer, grid, numbers = _prepare(process, population, grid, at, localizer)
    expected = "a function (y, t) -> real numbers"
    kept = checked_trace(statistic, "statistic", statistic, expected, _observed(localizer, grid), grid[-1])
    found = jax.tree.leaves(kept)
    good = [any(jnp.issubdtype(leaf.dtype, kind) for kind in _NUMBERS) for leaf in found]
    require(bool(found) and all(good), "statistic", statistic, f"{expected}; it returned {shown(kept)}")
    kernel, blocks = LocalizeKernel(statistic, times.shape[0], means=True), -(-n // BLOCK_DRAWS)
    moments = stream(
        kernel,
        (localizer, grid, slots),
        key,
        blocks,
        tile=_tile(numbers),
        plan=plan,
    )
    draws = blocks * BLOCK_DRAWS
    hosted = jax.tree.map(lambda m: m.on_host(), moments, is_leaf=lambda m: hasattr(m, "on_host"))
    is_triple = lambda v: isinstance(v, tuple) and len(v) == 3 and isinstance(v[0], int)  # noqa: E731
    mean = jax.tree.map(lambda v: v[1], hosted, is_leaf=is_triple)
    stderr = jax.tree.map(lambda v: np.sqrt(v[2] / draws), hosted, is_leaf=is_triple)
    return LocalizationStatistics(np.asarray(times), mean, stderr, draws)


def _prepare(
    process: Any, population: Any, grid: Any, at: Any, localizer: Localizer | None
) -> tuple[Array, Array, Localizer, Array, int]:
    process, population = checked_model(process, population, "sample")
    given = exact_localizer(process, population) if localizer is None else as_argument(localizer)
    grid = checked_times(process, population, grid, "grid")
    check_stops(given, grid)
    times = grid if at is None else checked_times(process, population, at, "at")
    slots = jnp.asarray(positions(grid, at, times, "at"))
    return times, slots, given, grid, max(observation_numbers(given, grid), population.path_elements())


def drawn_of_block(n: int, localizer: Localizer | None) -> int:
    """Return how many draws of a block to make where ``n`` in all are wanted.

    A network is worth not asking about draws that nobody wants: rounded up to 32, so that at most 32 shapes compile.
    The exact sampler, which is asked for where there is no ``localizer``, makes whole blocks, which compile once.
    """
    if localizer is None:
        return BLOCK_DRAWS
    return BLOCK_DRAWS if n > BLOCK_DRAWS else min(-(-n // _ROUND) * _ROUND, BLOCK_DRAWS)


def observation_numbers(localizer: Localizer, grid: Array, y: Any = None) -> int:
    """Return how many numbers one observation holds (found by tracing shapes).

    Args:
        localizer: the sampler.
        grid: times, of which it starts at the last.
        y: shapes of an observation that it starts from; None where it draws its own.

    """
    return max(1, sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(_observed(localizer, grid, y))))


def _observed(localizer: Localizer, grid: Array, y: Any = None) -> Any:
    """Return the shapes of one observation; see ``observation_numbers``."""
    # The top is looked up before tracing, so that a localizer can refuse a time at which it cannot start.
    top = grid[-1]
    if y is None:
        return jax.eval_shape(lambda key: localizer.init(key, top).y, jax.random.key(0))
    return jax.eval_shape(lambda key, y: localizer.init(key, top, y).y, jax.random.key(0), y)


def _tile(numbers: int) -> int:
    return int(np.clip(_TILE_NUMBERS // (BLOCK_DRAWS * numbers), 1, _LARGEST_TILE))
