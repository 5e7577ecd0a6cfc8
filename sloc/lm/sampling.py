"""How the next token is drawn: temperature, top-k, top-p, min-p; exact laws, one uniform number a draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sloc.contracts import require
from sloc.contracts.arguments import as_real, as_whole

Array = jax.Array


@dataclass(frozen=True)
class Sampling:
    """The law of the next token, made from logits; hashable.

    ``p(token) ∝ exp(logit / temperature)`` over the tokens that are left, in this order: logits over ``temperature``;
    the ``top_k`` likeliest; of those the smallest set of likeliest tokens whose mass reaches ``top_p``; of those, whose
    probability is at least ``min_p`` times the largest; then normalised.  Tokens as likely as the last one kept are
    kept too.  Source: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p); Nguyen et al. 2024 (min-p).

    Attributes:
        temperature: 0 for the likeliest token always (the first one of equals).
        top_k: 0 for all.
        top_p: 1 for all.
        min_p: 0 for all.

    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def validate(self) -> None:
        """Refuse what is no law.

        Raises:
            InvalidInput: names the entry.

        """
        require(
            0 <= as_real(self.temperature) < float("inf"),
            "temperature",
            self.temperature,
            "a number that is at least 0",
        )
        require(as_whole(self.top_k) >= 0, "top_k", self.top_k, "a whole number, 0 for all tokens")
        require(0 < as_real(self.top_p) <= 1, "top_p", self.top_p, "a number in (0, 1]")
        require(0 <= as_real(self.min_p) <= 1, "min_p", self.min_p, "a number in [0, 1]")

    @property
    def truncates(self) -> bool:
        """Whether any token can be ruled out."""
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1 or self.min_p > 0)

    @staticmethod
    def from_settings(settings: Mapping[str, Any]) -> Sampling:
        """Return what a ``generation_config.json`` says; a checkpoint that does not sample gets plain sampling."""
        known = {f.name: f.type for f in dataclasses.fields(Sampling)}
        given = {k: settings[k] for k in known if settings.get(k) is not None}
        return Sampling(**given) if settings.get("do_sample") else Sampling()


def log_law(logits: Array, sampling: Sampling, axis: int = -1) -> Array:
    """Return the log-probabilities of the next token, minus infinity where it is ruled out.

    Args:
        logits: of the model, float32, tokens on ``axis``.
        sampling: the law.
        axis: of the tokens.

    Returns:
        The same shape, normalised over ``axis``.

    """
    if sampling.temperature == 0:
        best = jnp.argmax(logits, axis=axis, keepdims=True)
        here = jax.lax.broadcasted_iota(best.dtype, logits.shape, axis % logits.ndim) == best
        return jnp.where(here, 0.0, -jnp.inf)
    scaled = logits / sampling.temperature
    if sampling.truncates:
        top = jnp.max(scaled, axis=axis, keepdims=True)
        mass = jnp.exp(scaled - top)
        scaled = jnp.where(mass >= threshold(mass, sampling, axis), scaled, -jnp.inf)
    return jax.nn.log_softmax(scaled, axis=axis)


def threshold(mass: Array, sampling: Sampling, axis: int) -> Array:
    """Return the least mass that a kept token has (``axis`` kept, of size 1), for masses with a largest of one.

    No sort: positive floats are ordered as their bits are, so 31 halvings of the bits find the exact place.
    """
    least = jnp.zeros_like(jnp.max(mass, axis=axis, keepdims=True))
    if 0 < sampling.top_k < mass.shape[axis]:
        # The largest value that at least k tokens reach.
        least = _last_true(lambda x: jnp.sum(mass >= x, axis=axis, keepdims=True) >= sampling.top_k, least)
    if sampling.top_p < 1:
        kept = jnp.where(mass >= least, mass, 0.0)
        goal = sampling.top_p * jnp.sum(kept, axis=axis, keepdims=True)
        # A token stays where what is likelier than it does not reach p yet.
        above = _last_true(lambda x: jnp.sum(jnp.where(kept > x, kept, 0.0), axis=axis, keepdims=True) >= goal, least)
        reached = jnp.sum(jnp.where(kept > above, kept, 0.0), axis=axis, keepdims=True) >= goal
        next_up = jnp.min(jnp.where(kept > above, kept, 1.0), axis=axis, keepdims=True)
        least = jnp.maximum(least, jnp.where(reached, next_up, 0.0))
    if sampling.min_p > 0:
        least = jnp.maximum(least, sampling.min_p)
    return least


def _last_true(holds: Any, like: Array) -> Array:
    """Return the largest float in [0, 1] for which ``holds``, which once lost never returns; 0 where it never does."""
    low = jnp.zeros(like.shape, jnp.int32)
    high = jnp.full(like.shape, 0x3F800001, jnp.int32)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) // 2
        yes = holds(jax.lax.bitcast_convert_type(middle, jnp.float32))
        return jnp.where(yes, middle, low), jnp.where(yes, high, middle)

    low, _ = jax.lax.fori_loop(0, 31, halve, (low, high))
    return jax.lax.bitcast_convert_type(low, jnp.float32)
