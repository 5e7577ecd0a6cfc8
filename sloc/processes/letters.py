"""What channels on letters share: they follow from one transition matrix per coordinate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, MemorylessChannel, float_dtype, require
from sloc.contracts.arguments import as_whole


class LetterChannel(MemorylessChannel):
    """Base of channels that change each letter by itself: all methods from ``transition`` and ``kernel``.

    ``x`` and ``y`` are integer arrays of letters ``0 .. q-1``, of any shape.  Letters are drawn by inverting
    cumulative sums, with one uniform number per coordinate for all ``t``.
    """

    def kernel(self, s: Any, t: Any) -> Any:
        """Return ``P(Y_t = j | Y_s = i)``, ``[q, q]``; here that of a homogeneous chain, ``transition(t - s)``."""
        return self.transition(t - s)

    def sample(self, key: Array, x: Array, t: Array) -> Array:
        """Draw ``Y_t | X = x`` from the rows ``P_t[x]``."""
        return draw_letters(key, jnp.asarray(self.transition(t))[x], x)

    def log_prob(self, y: Array, x: Array, t: Array) -> Array:
        """Return ``sum_l log P_t[x_l, y_l]``; ``-inf`` where a letter cannot be reached."""
        return jnp.sum(jnp.log(jnp.asarray(self.transition(t))[x, y]))

    def degrade(self, key: Array, y: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_t | Y_s = y`` from the rows of the kernel."""
        return draw_letters(key, jnp.asarray(self.kernel(s, t))[y], y)

    def bridge(self, key: Array, y: Array, x: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_s | Y_t = y, X = x`` by Bayes' rule per letter: ``P_s[x, .] kernel[., y]``."""
        early, step = jnp.asarray(self.transition(s)), jnp.asarray(self.kernel(s, t))
        return draw_letters(key, early[x] * step.T[y], y)

    def grid(self, n: int) -> np.ndarray:
        """Return ``n`` times even in ``I(X; Y_t)`` bits for one letter ``X`` drawn uniformly (float64).

        Read off a table of 192 times even in ``log t``, so even to a few hundredths of a step.
        """
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        low, high = self._time_range()
        times = np.geomspace(low, high, 192)
        bits = np.asarray([letter_information(np.asarray(self.transition(float(t)), np.float64)) for t in times])
        bits = np.minimum.accumulate(bits)
        target = bits[-1] + (bits[0] - bits[-1]) * np.arange(n, 0, -1) / (n + 1)
        return np.exp(np.interp(-target, -bits, np.log(times)))

    def _misfit(self, x: Any) -> str:
        words = super()._misfit(x)
        if words or x.dtype is None or x.dtype.kind in "iu":
            return words
        return f"whole numbers for letters, which {type(self).__name__} looks up in its matrix; X is of {x.dtype}"

    def _time_range(self) -> tuple[float, float]:
        """Return a time at which next to nothing is lost and one at which next to nothing more will be."""
        return 1e-4, 40.0


def draw_letters(key: Array, masses: Array, like: Array) -> Array:
    """Draw letters ``[...]`` with probabilities proportional to ``masses [..., q]``, in the dtype of ``like``.

    A letter of mass zero is never drawn; one uniform number per coordinate, compared with cumulative sums.
    """
    cumulative = jnp.cumsum(masses, -1)
    total = cumulative[..., -1:]
    # Dividing by the last entry makes it exactly one, so that trailing letters of mass zero stay out of reach.
    cumulative = cumulative / jnp.where(total > 0, total, jnp.ones_like(total))
    uniforms = jax.random.uniform(key, masses.shape[:-1], masses.dtype)
    return jnp.sum(uniforms[..., None] >= cumulative[..., :-1], -1, dtype=jnp.int32).astype(jnp.asarray(like).dtype)


def letter_information(matrix: np.ndarray) -> float:
    """Return ``I(X; Y)`` in bits for ``X`` uniform on the rows of ``matrix [q, q]`` (float64, host)."""
    output = matrix.mean(axis=0)
    return float(_entropy(output) - np.mean([_entropy(row) for row in matrix]))


def _entropy(law: np.ndarray) -> float:
    inside = law[law > 0]
    return float(-np.sum(inside * np.log2(inside)))


def letter_counts(y: Array, x: Array) -> tuple[Array, Array]:
    """Return how many coordinates differ and how many agree, floating scalars."""
    differ = jnp.sum(y != x, dtype=float_dtype())
    return differ, jnp.size(y) - differ
