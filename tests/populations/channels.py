"""Channels that the built-in ones do not cover: more than two letters, dependent thresholds, silent prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from sloc.contracts import MemorylessChannel, RevealingChannel
from sloc.processes import Truncation


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scramble(MemorylessChannel):
    """Each of three letters is redrawn uniformly with probability ``t``: a channel on more than two letters."""

    horizon = 1.0

    def transition(self, t):
        """Return ``(1 - t) I + t / 3``."""
        return (1 - t) * jnp.eye(3) + t / 3

    def sample(self, key, x, t):
        """Replace the letters whose uniform number is below ``t``."""
        redraw, letter = jax.random.split(key)
        fresh = jax.random.randint(letter, x.shape, 0, 3, x.dtype)
        return jnp.where(jax.random.uniform(redraw, x.shape) < t, fresh, x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blocks(RevealingChannel):
    """Coordinates are hidden two by two in random order: dependent, random thresholds."""

    horizon = 1.0

    def thresholds(self, key, x):
        """One uniform number per pair of neighbours."""
        return jnp.repeat(jax.random.uniform(key, (x.size // 2,), minval=1e-6), 2)

    def log_mask_prob(self, known, t):
        """Count the pairs; a half-seen pair is impossible."""
        pairs = known.reshape(-1, 2)
        seen = jnp.sum(pairs[:, 0], dtype=jnp.float32)
        whole = jnp.all(pairs[:, 0] == pairs[:, 1])
        return jnp.where(whole, seen * jnp.log1p(-t) + (pairs.shape[0] - seen) * jnp.log(t), -jnp.inf)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prefix(Truncation):
    """Truncation that says that it reveals prefixes, so that the shortcut is taken."""

    reveals_prefix: ClassVar[bool] = True


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cut(Truncation):
    """Truncation that keeps silent about prefixes, so that the forward algorithm is used."""

    reveals_prefix: ClassVar[bool] = False
