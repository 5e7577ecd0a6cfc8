"""What a long run keeps of its values: streaming moments, and beside them counts of dithered values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.engine.dithering import GRID, dither
from sloc.engine.moments import Moments, block_moments, merge_moments, pool_moments, zero_moments

Array = jax.Array

_SALT = 0x64697468
"""Sets the dither's key of a block apart from every key that a kernel makes of the same block's."""


def is_moments(node: Any) -> bool:
    """Whether a node of a tree is a ``Moments``."""
    return isinstance(node, Moments)


@dataclass(frozen=True)
class Averages:
    """Moments of each array of a kernel, in a tree of the kernel's shape."""

    kept: ClassVar[str] = "moments"

    def zero(self, shapes: Any) -> Any:
        """Return the state before any block."""
        return jax.tree.map(lambda s: zero_moments(s.shape[:-1], s.dtype), shapes)

    def block(self, values: Any, key: Array, extra: Any) -> Any:
        """Return what one block adds."""
        del key, extra
        return jax.tree.map(block_moments, values)

    def absorb(self, total: Any, parts: Any, keep: Array) -> Any:
        """Add the blocks of one step, leading axis ``[B]``, where ``keep``.

        Pooled at once, not merged one by one: a loop over tens of tiny merges takes longer than the draws.
        """
        return jax.tree.map(lambda a, b: merge_moments(a, pool_moments(b, keep)), total, parts, is_leaf=is_moments)

    def merge(self, a: Any, b: Any) -> Any:
        """Add the states of two devices."""
        return jax.tree.map(merge_moments, a, b, is_leaf=is_moments)

    def finish(self, state: Any) -> Any:
        """Return the result of a state on the host."""
        return state

    def moments(self, state: Any) -> Any:
        """Return the moments in a state."""
        return state


@dataclass(frozen=True)
class Tallies:
    """Moments, and integer counts of values rounded at random to the edges of a grid.

    The state is ``(moments, counts)``, each a tree of the kernel's shape; counts are ``[..., B + 1]``, the last of them
    of values that are NaN.  Integer counts of blocks, devices and resumed runs add up exactly, so an interval from them
    does not depend on how the work was divided.

    Attributes:
        edges: the grid, from 0 to 1.

    """

    edges: tuple[float, ...] = tuple(GRID.tolist())

    @property
    def kept(self) -> str:
        """What is kept, in words: a checkpoint of other edges is another run's."""
        digest = hashlib.sha256(np.asarray(self.edges, np.float64).tobytes()).hexdigest()[:16]
        return f"moments and counts on {len(self.edges)} edges ({digest})"

    def zero(self, shapes: Any) -> Any:
        """Return the state before any block."""
        counts = jax.tree.map(lambda s: jnp.zeros((*s.shape[:-1], len(self.edges) + 1), jnp.int32), shapes)
        return Averages().zero(shapes), counts

    def block(self, values: Any, key: Array, extra: Any) -> Any:
        """Return what one block adds; ``extra`` holds ``(low, high)`` of each array, in the order of the leaves."""
        salted, found = jax.random.fold_in(key, _SALT), []
        leaves, tree = jax.tree.flatten(values)
        for i, (value, (low, high)) in enumerate(zip(leaves, extra, strict=True)):
            # Rounding may lift a value off the end of its span; NaN is kept and counted as refused.
            share = jnp.clip((value - low[..., None]) / (high - low)[..., None], 0.0, 1.0)
            found.append(dither(jax.random.fold_in(salted, i), share, self.edges))
        return jax.tree.map(block_moments, values), tree.unflatten(found)

    def absorb(self, total: Any, parts: Any, keep: Array) -> Any:
        """Add the blocks of one step, leading axis ``[B]``, where ``keep``."""

        def add(sums: Array, counts: Array) -> Array:
            chosen = jnp.where(keep.reshape((-1,) + (1,) * (counts.ndim - 1)), counts, jnp.zeros_like(counts))
            return sums + jnp.sum(chosen, 0, jnp.int32)

        return Averages().absorb(total[0], parts[0], keep), jax.tree.map(add, total[1], parts[1])

    def merge(self, a: Any, b: Any) -> Any:
        """Add the states of two devices."""
        return Averages().merge(a[0], b[0]), jax.tree.map(lambda x, y: x + y, self.finish(a)[1], self.finish(b)[1])

    def finish(self, state: Any) -> Any:
        """Return the result of a state on the host, counts as int64."""
        return state[0], jax.tree.map(lambda c: np.asarray(c, np.int64), state[1])

    def moments(self, state: Any) -> Any:
        """Return the moments in a state."""
        return state[0]


Accumulator = Averages | Tallies
