"""Information of what is seen as an exact sum, where what can be seen has finitely many patterns.

Under a revealing channel the mask carries no information on ``theta``, so

``I(theta; Y_t) = E_M sum_theta w_theta sum_s p^theta(s) log2 p^theta(s) / p(s)``,

``s`` over what the coordinates seen under the mask ``M`` can show.  Where the order of hiding is fixed there is one
mask at each time; where coordinates are alike only the number seen counts.  All on the host in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, RevealingChannel, tells_of_thresholds
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.masks import is_fixed_order
from sloc.divergence.paths import shortcut
from sloc.populations import Empirical, MarkovChains, ProductCategorical

MOST_PATTERNS = 1 << 22
"""Probabilities of patterns at one time (patterns times sub-populations) up to which a sum is worked out."""

_Law = Callable[[np.ndarray], np.ndarray]


def exact_information(process: ObservationProcess, population: Population, times: np.ndarray) -> np.ndarray | None:
    """``I(theta; Y_t)`` in bits at every time, exact to float64 rounding of the parameters, or None.

    There is a sum for labelled atoms (:class:`~sloc.populations.Empirical`) under a channel of fixed order, while
    atoms times classes are at most ``MOST_PATTERNS``; for
    :class:`~sloc.populations.MarkovChains` and :class:`~sloc.populations.ProductCategorical` under such a channel while
    the ``q^m`` words of the ``m`` letters seen, times ``K``, are at most ``MOST_PATTERNS``; and for identical coins
    under a channel that tells the law of the number seen, while the numbers of heads at all numbers seen, times ``K``,
    are as few (two thousand tosses under masking for two coins, millions under truncation).

    Args:
        process: the observation process, on concrete values.
        population: the population, on concrete values.
        times: ``[T]``.

    Returns:
        ``[T]``, each in ``[0, H(w)]``; None where the types, or their sizes, have no sum.

    """
    if not isinstance(process, RevealingChannel) or shortcut(process, population) is None:
        return None
    w = host_weights(population)
    if type(population) is ProductCategorical and population.identical and population.num_letters == 2:
        found = _of_counts(process, population, w, times)
        if found is not None:
            return found
    law = _law_of_seen(population)
    if law is None or not is_fixed_order(process, population):
        return None
    if isinstance(population, Empirical) and population.num_atoms * len(w) > MOST_PATTERNS:
        return None
    seen = _seen(process, population, times)
    if isinstance(population, (MarkovChains, ProductCategorical)):
        longest = max((len(s) for s in seen), default=0)
        if longest * np.log2(population.num_letters) + np.log2(len(w)) > np.log2(MOST_PATTERNS):
            return None
    return _falling([_bits(w, law(s)) for s in seen])


def _falling(bits: list[float]) -> np.ndarray:
    """Undo what rounding lets an information rise by, so that no token tells less than nothing."""
    return np.minimum.accumulate(np.asarray(bits, np.float64))


def _bits(w: np.ndarray, law: np.ndarray) -> float:
    """Return ``sum_theta w_theta sum_s p^theta(s) log2 p^theta(s) / p(s)`` of a law ``[K, S]``."""
    from scipy.special import rel_entr

    joint = w[:, None] * law
    return max(float(rel_entr(joint, w[:, None] * joint.sum(0)).sum() / np.log(2)), 0.0)


def _seen(process: RevealingChannel, population: Population, times: np.ndarray) -> list[np.ndarray]:
    """Return the coordinates that are seen at each time, under the one mask that there is."""
    x = jax.eval_shape(population.sample, jax.random.key(0), jnp.zeros((), jnp.int32))
    hidden_from = np.ravel(np.asarray(process.thresholds(jax.random.key(0), jnp.zeros(x.shape, x.dtype))))
    return [np.flatnonzero(hidden_from > t) for t in times]


def _law_of_seen(population: Population) -> _Law | None:
    """Return ``coordinates -> p^theta(s) [K, S]`` over what they can show, or None."""
    if type(population) is Empirical:
        array = isinstance(population.data, (jax.Array, np.ndarray))
        return _of_atoms(population) if array else None
    if type(population) is MarkovChains:
        return _of_chains(population)
    return _of_letters(population) if type(population) is ProductCategorical else None


def _of_atoms(population: Empirical) -> _Law:
    """Group the atoms that agree on what is seen; all atoms of a class weigh the same."""
    flat = np.asarray(population.data).reshape(population.num_atoms, -1)
    counts = np.asarray(population.counts)
    classes = np.repeat(np.arange(len(counts)), counts)

    def law(seen: np.ndarray) -> np.ndarray:
        group = np.zeros(len(flat), int)
        if seen.size:
            group = np.unique(flat[:, seen], axis=0, return_inverse=True)[1].ravel()
        total = np.zeros((len(counts), int(group.max()) + 1))
        np.add.at(total, (classes, group), 1.0 / counts[classes])
        return total

    return law


def _of_chains(population: MarkovChains) -> _Law:
    """Extend words letter after letter; a gap of ``g`` coordinates is the ``g``-th power of the transitions."""
    initial, moves = _rows(population.initial), _rows(population.transitions)

    def law(seen: np.ndarray) -> np.ndarray:
        if not seen.size:
            return np.ones((len(initial), 1))
        k, q = initial.shape
        first = np.einsum("kx,kxy->ky", initial, np.linalg.matrix_power(moves, int(seen[0])))
        words = first[:, None, :]
        for gap in np.diff(seen):
            step = np.linalg.matrix_power(moves, int(gap))
            words = (words[..., None] * step[:, None]).reshape(k, -1, q)
        return words.reshape(k, -1)

    return law


def _of_letters(population: ProductCategorical) -> _Law:
    """Multiply the letters' laws."""
    given = _rows(population.probs)
    k, q = given.shape[0], given.shape[-1]
    table = np.broadcast_to(given if given.ndim == 3 else given[:, None], (k, int(population.num_coordinates), q))

    def law(seen: np.ndarray) -> np.ndarray:
        words = np.ones((k, 1))
        for place in seen:
            words = (words[..., None] * table[:, None, place]).reshape(k, -1)
        return words

    return law


def _of_counts(
    process: RevealingChannel, population: ProductCategorical, w: np.ndarray, times: np.ndarray
) -> np.ndarray | None:
    """Average over the number seen the information of the number of heads, which is sufficient."""
    from scipy.stats import binom

    if not tells_of_thresholds(process, "count_law"):
        return None
    laws = [process.count_law(int(population.num_coordinates), float(t)) for t in times]
    numbers = sorted({int(m) for law in laws if law is not None for m, p in zip(*law, strict=True) if p > 0})
    if any(law is None for law in laws) or sum(m + 1 for m in numbers) * len(w) > MOST_PATTERNS:
        return None
    heads = _rows(population.probs)[:, 1, None]
    bits = {m: _bits(w, binom.pmf(np.arange(m + 1), m, heads)) for m in numbers}
    return _falling([sum(p * bits[int(m)] for m, p in zip(*law, strict=True) if p > 0) for law in laws if law])


def _rows(table: Any) -> np.ndarray:
    """Return rows of probabilities in float64 that sum to one."""
    given = np.asarray(table, np.float64)
    return given / given.sum(-1, keepdims=True)
