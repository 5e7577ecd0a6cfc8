"""The number of ones among five bits that are flipped: a statistic whose law, kernel and bridge are sums over bits."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from sloc.processes import BinarySymmetric, Composed

BITS = 5


def heads(y):
    """Return the number of ones."""
    return jnp.sum(y, dtype=jnp.int32)


def flip_chance(s, t):
    """Return the probability that a bit of ``Y_s`` is another one in ``Y_t``."""
    return (t - s) / (1 - 2 * s)


def heads_law(x, p):
    """Law ``[n + 1]`` of the ones among ``n`` bits flipped with probability ``p``: a product of polynomials."""
    ones = jnp.where(jnp.asarray(x, bool), 1.0 - p, p)
    law = jnp.eye(x.size + 1)[0]
    for one in ones:
        law = law * (1.0 - one) + jnp.roll(law, 1) * one
    return law


def heads_likelihood(process, z, x, t):
    """``log P(number of ones = z | x)``."""
    return jnp.log(heads_law(x, t)[z])


def flip_heads(key, process, z, s, t):
    """Flip each of ``z`` ones and the zeros with the probability of the step."""
    flips = jax.random.uniform(key, (BITS,)) < flip_chance(s, t)
    return jnp.sum(jnp.where(jnp.arange(BITS, dtype=jnp.int32) < z, ~flips, flips), dtype=jnp.int32)


def heads_before(key, process, z, x, s, t):
    """Draw ``S(Y_s) = a`` with probability proportional to ``P(a | x) P(S(Y_t) = z | a)``."""
    before = jnp.tri(BITS + 1, BITS, -1)
    steps = jax.vmap(heads_law, (0, None))(before, flip_chance(s, t))[:, z]
    return jax.random.categorical(key, jnp.log(heads_law(x, s)) + jnp.log(steps)).astype(jnp.int32)


WITHOUT_BRIDGE = Composed(BinarySymmetric(), heads, likelihood=heads_likelihood, forward=flip_heads)
HEADS = Composed(BinarySymmetric(), heads, likelihood=heads_likelihood, forward=flip_heads, backward=heads_before)
