"""Production rules of a random hierarchy: drawing them without shared tuples, and finding shared ones."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, require

# Up to here all tuples are shuffled and the first ones taken; a byte for each of more would be too many.
_MOST_SHUFFLED = 1 << 20


def draw_rules(key: Array, symbols: Sequence[int], vocabulary: int, rules: int, branching: int) -> Array:
    """Draw the rules of every level: distinct tuples for all symbols of a level, uniform over such choices.

    Args:
        key: typed PRNG key.
        symbols: for each level the number of symbols that have rules, ``num_classes`` first.
        vocabulary: ``v``, the letters of a tuple are ``0 .. v - 1``.
        rules: ``m``, tuples for each symbol.
        branching: ``s``, letters of a tuple.

    Returns:
        int32 ``[levels, max(symbols), m, s]``; rows of symbols that a level does not have are zero.

    """
    most = max(symbols)
    keys = jax.random.split(key, len(symbols))
    levels = []
    for k, count in zip(keys, symbols, strict=True):
        tuples = _distinct_tuples(k, count * rules, vocabulary, branching).reshape(count, rules, branching)
        levels.append(jnp.pad(tuples, ((0, most - count), (0, 0), (0, 0))))
    return jnp.stack(levels)


def _distinct_tuples(key: Array, count: int, vocabulary: int, branching: int) -> Array:
    """Draw ``count`` distinct tuples in random order, uniformly: int32 ``[count, s]``."""
    space = vocabulary**branching
    if space <= max(_MOST_SHUFFLED, 4 * count):
        codes = jax.random.permutation(key, space)[:count].astype(jnp.int32)
        return jnp.stack([codes // vocabulary**c % vocabulary for c in reversed(range(branching))], -1)

    def repeated(tuples: Array) -> Array:
        # Stable, so that of equal tuples the first in the sequence stays: the law does not depend on names of letters.
        order = jnp.lexsort(tuple(tuples.T))
        arranged = tuples[order]
        again = jnp.all(arranged[1:] == arranged[:-1], -1)
        return jnp.zeros((count,), bool).at[order[1:]].set(again)

    def redraw(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, tuples, again = state
        key, now = jax.random.split(key)
        fresh = jax.random.randint(now, tuples.shape, 0, vocabulary, jnp.int32)
        tuples = jnp.where(again[:, None], fresh, tuples)
        return key, tuples, repeated(tuples)

    # Repeats are drawn again one after the other in effect, so by symmetry all sequences of distinct tuples are
    # equally likely.  A tuple is drawn from a space four times as large as their number: a few rounds suffice.
    start = jnp.zeros((count, branching), jnp.int32)
    return jax.lax.while_loop(lambda s: jnp.any(s[2]), redraw, (key, start, jnp.ones((count,), bool)))[1]


def shared_tuples(rules: np.ndarray, symbols: Sequence[int]) -> list[tuple[int, tuple[int, ...], list[int]]]:
    """Find the tuples that more than one symbol of a level may become.

    Args:
        rules: ``[L, R, m, s]``.
        symbols: how many of the ``R`` rows each level has.

    Returns:
        ``(level, tuple, symbols)``, one entry for each shared tuple; level 0 holds the rules of the classes.

    """
    found = []
    for level, count in enumerate(symbols):
        m, s = rules.shape[2:]
        rows = np.asarray(rules[level, :count]).reshape(-1, s)
        owners = np.repeat(np.arange(count), m)
        tuples, index = np.unique(rows, axis=0, return_inverse=True)
        index = index.reshape(-1)
        # A tuple that one symbol has twice is a rule of double weight, not an ambiguity.
        pairs = np.unique(np.stack([index, owners], 1), axis=0)
        for i in np.flatnonzero(np.bincount(pairs[:, 0], minlength=len(tuples)) > 1):
            found.append((level, tuple(int(b) for b in tuples[i]), [int(a) for a in pairs[pairs[:, 0] == i, 1]]))
    return found


def refuse_shared(rules: np.ndarray, symbols: Sequence[int]) -> None:
    """Refuse rules in which two symbols of a level share a tuple, and say which.

    Raises:
        InvalidInput: the first shared tuple, its symbols, and how many there are.

    """
    found = shared_tuples(rules, symbols)
    if found:
        level, letters, owners = found[0]
        require(
            False,
            "rules",
            f"level {level}: the tuple {letters} is a rule of symbols {', '.join(map(str, owners))}; shared in all: "
            f"{len(found)}",
            "tuples of one symbol each (or ambiguous=True)",
        )
