"""One block of forward–reverse experiments, all times of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sloc.contracts import require
from sloc.engine.plan import BLOCK_DRAWS
from sloc.samplers.exact import draw_component, draw_with_label
from sloc.samplers.localizer import Localizer, LocalizerState
from sloc.samplers.spoilt import SPOILT, is_spoilt

Array = jax.Array
Feature = Callable[[Any], Any]
"""``x -> int``: a label of one sample."""

_SCATTER_FROM = 64
"""From this many labels on they are counted by scattered additions, not by comparison with each."""


@dataclass(frozen=True)
class ExperimentKernel:
    """One block of forward–reverse experiments.

    Attributes:
        clones: reverse draws from each ``Y_t``.
        feature: the label of a sample, or None for its sub-population.
        keep: ``samples``, ``labels``, ``frequencies`` or ``agreement``.
        num_labels: how many labels are counted.
        at_once: times evaluated side by side.
        draws: how many of the block's draws are made, where fewer are wanted than a block holds.

    """

    clones: int
    feature: Feature | None
    keep: str
    num_labels: int
    at_once: int
    draws: int = BLOCK_DRAWS

    def setup(self, args: Any) -> Any:
        """Nothing to prepare."""
        return args

    def __call__(self, state: Any, key: Array) -> Any:
        """Return labels ``[T, B, C]`` (and samples), frequencies ``[T, F + 1, 1]`` or shares of pairs ``[T, 1]``."""
        process, population, log_init, times, localizer, grid = state
        keys = jax.vmap(lambda k: jax.random.split(k, 4))(jax.random.split(key, BLOCK_DRAWS)[: self.draws])
        components = jax.vmap(draw_component, (0, None))(keys[:, 0], log_init)
        x = jax.vmap(population.sample)(keys[:, 1], components)
        # One key for each clone serves every time (common random numbers), as one serves the forward draw.
        clone_keys = jax.vmap(lambda k: jax.random.split(k, self.clones))(keys[:, 3])

        def at(given: tuple[Array, Any]) -> Any:
            t, own_grid = given
            y = jax.vmap(process.sample, (0, 0, None))(keys[:, 2], x, t)
            labels, samples = self.reverse(process, population, clone_keys, y, t, localizer, own_grid)
            if self.keep == "samples":
                return labels, samples
            return labels if self.keep == "labels" else self.reduced(labels)

        return over_times(at, (times, grid), self.at_once)

    def reverse(
        self, process: Any, population: Any, keys: Array, y: Any, t: Array, localizer: Any, grid: Any
    ) -> tuple[Array, Any]:
        """Draw ``X' | Y_t`` for each clone: labels ``[B, C]``, samples ``[B, C, ...]``."""

        def one(key: Array, y: Any) -> tuple[Array, Any]:
            if localizer is not None:
                return self.run_back(localizer, grid, key, y, t)
            if self.feature is None:
                return draw_with_label(key, process, population, y, t)
            x = population.posterior_sample(key, process, y, t)
            return Labelled(self.feature)(x), x

        return jax.vmap(jax.vmap(one, (0, None)))(keys, y)

    def run_back(self, localizer: Localizer, grid: Array, key: Array, y: Any, t: Array) -> tuple[Array, Any]:
        """Undo the noise step by step: from ``t`` through the times of the grid below it."""
        state = localizer.init(key, t, y)

        def step(state: LocalizerState, given: tuple[Array, Array]) -> tuple[LocalizerState, None]:
            stage, s = given
            own = jax.random.fold_in(key, stage)
            return jax.lax.cond(s < t, lambda state: localizer.step(own, state, s)[0], lambda state: state, state), None

        stages = jnp.arange(1, grid.shape[0] + 1, dtype=jnp.int32)
        last = jax.lax.scan(step, state, (stages, grid[::-1]))[0]
        key_x, key_label = jax.random.split(jax.random.fold_in(key, 0))
        x = localizer.finish(key_x, last)
        if self.feature is not None:
            label = Labelled(self.feature)(x)
        else:
            assert localizer.log_posterior is not None
            label = draw_component(key_label, localizer.log_posterior(last))
        # A feature makes some label of NaN too.
        return jnp.where(is_spoilt(x), SPOILT, label), x

    def reduced(self, labels: Array) -> Array:
        """Sum labels ``[B, C]`` of a block up: frequencies ``[F + 1, 1]``, or the share of pairs that agree ``[1]``.

        The last frequency is that of labels outside ``0 .. F - 1``.
        """
        dtype = jnp.result_type(float)
        spoilt = jnp.any(labels == SPOILT)
        if self.keep == "agreement":
            return jnp.where(spoilt, jnp.nan, jnp.mean((labels[:, 0] == labels[:, 1]).astype(dtype)))[None]
        flat = labels.reshape(-1)
        if self.num_labels < _SCATTER_FROM:
            hits = jnp.arange(self.num_labels, dtype=jnp.int32)[:, None] == flat[None, :]
            counts = jnp.sum(hits, axis=1, dtype=jnp.int32)
        else:
            # A label outside the range is counted below, not folded into the last one.
            inside = jnp.where(flat >= 0, flat, self.num_labels)
            counts = jnp.zeros((self.num_labels,), jnp.int32).at[inside].add(1, mode="drop")
        outside = flat.shape[0] - jnp.sum(counts, dtype=jnp.int32)
        counts = jnp.concatenate([counts, outside[None]])
        return jnp.where(spoilt, jnp.nan, counts.astype(dtype) / flat.shape[0])[:, None]


def over_times(at: Callable[[Any], Any], given: Any, at_once: int) -> Any:
    """Evaluate ``at`` at every time, ``at_once`` side by side: leaves ``[T, ...]``.

    Args:
        at: of what belongs to one time.
        given: what belongs to each time: leaves ``[T, ...]``.
        at_once: how many are evaluated side by side.

    """
    count = jax.tree.leaves(given)[0].shape[0]
    if at_once >= count:
        return jax.vmap(at)(given)
    if at_once == 1:
        return jax.lax.map(at, given)
    rounds = -(-count // at_once)
    # The last round is filled up with the last time, so that one compiled body serves all.
    index = jnp.minimum(jnp.arange(rounds * at_once), count - 1).reshape(rounds, at_once)
    out = jax.lax.map(jax.vmap(at), jax.tree.map(lambda v: v[index], given))
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[:count], out)


@dataclass(frozen=True)
class Labelled:
    """A feature whose label is checked."""

    feature: Feature

    def __call__(self, x: Any) -> Array:
        """Return the label of one sample as int32.

        Raises:
            InvalidInput: no scalar, or no whole number.

        """
        label = jnp.asarray(self.feature(x))
        require(label.shape == (), "feature(x)", label.shape, "a scalar label for one sample")
        whole = jnp.issubdtype(label.dtype, jnp.integer) or label.dtype == jnp.bool_
        require(whole, "feature(x)", label.dtype, "an integer label")
        return label.astype(jnp.int32)
