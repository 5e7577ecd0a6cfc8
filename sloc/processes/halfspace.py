"""The half-space process: on which side of random hyperplanes the signal lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, ObservationProcess, Revealed, float_dtype, is_concrete, require
from sloc.contracts.arguments import check_size, checked_key, checked_number
from sloc.contracts.signal import of_size
from sloc.processes.revealing import Masking


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HalfSpace(ObservationProcess):
    """Answers to ``m`` questions ``<a_l, X> + noise Z_l >= b_l``, each forgotten with probability ``t``.

    Half-spaces that arrive as a Poisson process have, given which ones have come by the end, independent uniform
    times of arrival: seen in reverse each is forgotten by itself, with probability ``t`` by the time ``t``.  This is
    that process, given its half-spaces; ``0 <= t <= 1``.  ``x`` has ``d`` coordinates; ``y`` is a
    :class:`~sloc.Revealed` of ``m`` answers, 1 inside the half-space and 0 outside.  At ``t = 0`` the ``m`` answers
    are left, not ``x`` itself.
    Source: Montanari 2023 (half-space process), there without noise.

    Attributes:
        directions: ``a [m, d]``.
        offsets: ``b``, a scalar or ``[m]``.
        noise: standard deviation of the projections' noise, drawn once for each answer; 0 for none.

    """

    horizon: ClassVar[float] = 1.0

    directions: Any = field(metadata={"dtype": float})
    offsets: Any = field(default=0.0, metadata={"dtype": float})
    noise: Any = field(default=0.0, metadata={"dtype": float})

    @classmethod
    def random(cls, key: Array, count: int, dimension: int, *, spread: float = 1.0, noise: float = 0.0) -> HalfSpace:
        """Draw ``count`` half-spaces in ``dimension`` coordinates: directions uniform, offsets ``N(0, spread^2)``.

        Args:
            key: typed PRNG key.
            count: how many.
            dimension: ``d``.
            spread: standard deviation of the distance of the hyperplanes from the origin.
            noise: as in the class.

        Returns:
            The process.

        Raises:
            InvalidInput: no typed key, sizes that are no ints of at least 1, or a spread or noise that is no number of
                at least 0.

        """
        key = checked_key(key)
        for name, size in (("count", count), ("dimension", dimension)):
            check_size(size, name)
        for name, amount in (("spread", spread), ("noise", noise)):
            if is_concrete(amount):
                checked_number(amount, name, 0, ends="[")
        key_a, key_b = jax.random.split(key)
        directions = jax.random.normal(key_a, (count, dimension), float_dtype())
        directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
        return cls(directions, spread * jax.random.normal(key_b, (count,), float_dtype()), noise)

    def validate(self) -> None:
        """Refuse directions that are not ``[m, d]``, offsets of another length, and noise that is negative."""
        shape = np.shape(self.directions)
        require(len(shape) == 2 and 0 not in shape, "directions", shape, "a matrix of shape [m, d]")
        expected = f"a scalar or shape {shape[:1]}, one for each direction"
        require(np.shape(self.offsets) in ((), shape[:1]), "offsets", np.shape(self.offsets), expected)
        require(np.shape(self.noise) == (), "noise", np.shape(self.noise), "one number")
        if not is_concrete(self):
            return
        directions = np.asarray(self.directions, np.float64)
        require(bool(np.isfinite(directions).all()), "directions", self.directions, "finite numbers")
        require(bool((directions != 0).any(axis=1).all()), "directions", self.directions, "no direction that is zero")
        require(bool(np.isfinite(np.asarray(self.offsets)).all()), "offsets", self.offsets, "finite numbers")
        noise = float(self.noise)
        require(bool(np.isfinite(noise)) and noise >= 0, "noise", self.noise, "a finite number, not negative")

    def sample(self, key: Array, x: Array, t: Array) -> Revealed:
        """Draw the answers to all questions and forget each with probability ``t``; one key, nested in ``t``."""
        key_answer, key_mask = jax.random.split(key)
        return Masking().sample(key_mask, self._answers(key_answer, x), t)

    def log_prob(self, y: Revealed, x: Array, t: Array) -> Array:
        """Return ``sum_known log Phi(+-(<a, x> - b) / noise)`` plus the log mass of the pattern.  Exact.

        Without noise an answer has probability 1 or 0.
        """
        signed = jnp.where(y.values > 0, 1.0, -1.0) * self._margins(x)
        noise = jnp.asarray(self.noise, signed.dtype)
        noisy = jax.scipy.special.log_ndtr(signed / jnp.where(noise > 0, noise, jnp.ones_like(noise)))
        # A point on the hyperplane counts as inside.
        right = (signed > 0) | ((signed == 0) & (y.values > 0))
        exact = jnp.where(right, jnp.zeros_like(signed), -jnp.inf)
        terms = jnp.where(noise > 0, noisy, exact)
        seen = jnp.sum(jnp.where(y.known, terms, jnp.zeros_like(terms)))
        return seen + Masking().log_mask_prob(y.known, t)

    def degrade(self, key: Array, y: Revealed, s: Array, t: Array) -> Revealed:
        """Draw ``Y_t | Y_s = y``: forget each answer with probability ``(t - s) / (1 - s)``."""
        return Masking().degrade(key, y, s, t)

    def bridge(self, key: Array, y: Revealed, x: Array, s: Array, t: Array) -> Revealed:
        """Draw ``Y_s | Y_t = y, X = x``: what is forgotten at ``t`` was known at ``s`` with probability ``1 - s/t``."""
        key_answer, key_mask = jax.random.split(key)
        answers = jnp.where(y.known, y.values, self._answers(key_answer, x))
        return Masking().bridge(key_mask, y, answers, s, t)

    def _misfit(self, x: Any) -> str:
        return of_size(x, int(np.shape(self.directions)[1]), "HalfSpace", "columns in its directions")

    def _margins(self, x: Any) -> Array:
        directions = jnp.asarray(self.directions, float_dtype())
        x = jnp.asarray(x, directions.dtype).reshape(-1)
        require(
            x.size == directions.shape[1], "x", x.shape, f"{directions.shape[1]} coordinates, as the directions have"
        )
        return jnp.matmul(directions, x, precision=jax.lax.Precision.HIGHEST) - jnp.asarray(self.offsets, x.dtype)

    def _answers(self, key: Array, x: Any) -> Array:
        margins = self._margins(x)
        z = jax.random.normal(key, margins.shape, margins.dtype)
        return (margins + jnp.asarray(self.noise, z.dtype) * z >= 0).astype(jnp.int32)
