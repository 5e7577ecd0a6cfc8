"""Float64 NumPy oracles by brute enumeration of all words; nothing here uses the library."""

from __future__ import annotations

import itertools

import numpy as np


def words(letters: int, length: int) -> np.ndarray:
    """All words ``[q^L, L]`` over ``0 .. q-1`` in lexicographic order."""
    every = list(itertools.product(range(letters), repeat=length))
    return np.array(every, dtype=np.int64).reshape(letters**length, length)


def word_index(word: np.ndarray, letters: int) -> np.ndarray:
    """Row of :func:`words` at which ``word [..., L]`` stands."""
    word = np.asarray(word)
    return word @ letters ** np.arange(word.shape[-1])[::-1]


def product_pmf(probs: np.ndarray) -> np.ndarray:
    """``[K, q^L]`` masses of all words under independent letters with ``probs [K, L, q]``."""
    k, length, q = probs.shape
    out = np.ones((k, q**length))
    for i, word in enumerate(words(q, length)):
        for place, letter in enumerate(word):
            out[:, i] *= probs[:, place, letter]
    return out


def markov_pmf(initial: np.ndarray, transitions: np.ndarray, length: int) -> np.ndarray:
    """``[K, q^L]`` masses of all words under Markov chains."""
    k, q = initial.shape
    out = np.empty((k, q**length))
    for i, word in enumerate(words(q, length)):
        mass = initial[:, word[0]].copy()
        for before, after in itertools.pairwise(word):
            mass *= transitions[:, before, after]
        out[:, i] = mass
    return out


def seen_mass(pmf: np.ndarray, letters: int, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``[K]``: total mass of the words that agree with ``values`` where ``known``."""
    table = words(letters, len(known))
    agree = np.all((table == values) | ~known, axis=1)
    return pmf[:, agree].sum(1)


def noisy_pmf(pmf: np.ndarray, letters: int, length: int, matrix: np.ndarray) -> np.ndarray:
    """``[K, q^L]`` masses of all observed words when each letter passes through ``matrix [q, q]``."""
    table = words(letters, length)
    kernel = np.ones((len(table), len(table)))
    for place in range(length):
        kernel *= matrix[table[:, place][:, None], table[:, place][None, :]]
    return pmf @ kernel


def patterns(length: int) -> np.ndarray:
    """All ``2^L`` patterns of seen coordinates, boolean ``[2^L, L]``."""
    return words(2, length).astype(bool)


def masked_tv(pmf: np.ndarray, letters: int, length: int, weight: dict[tuple[bool, ...], float]) -> float:
    """TV of components 0 and 1 when the pattern ``known`` has probability ``weight[known]``."""
    total = 0.0
    for pattern, probability in weight.items():
        known = np.array(pattern)
        for seen in words(letters, int(known.sum())):
            values = np.zeros(length, int)
            values[known] = seen
            mass = seen_mass(pmf, letters, values, known)
            total += probability * abs(mass[0] - mass[1]) / 2
    return total


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """``sum |p - q| / 2``."""
    return float(np.abs(p - q).sum() / 2)


def binomial_tv(n: int, a: float, b: float) -> float:
    """TV of ``Bin(n, a)`` and ``Bin(n, b)``."""
    from scipy.stats import binom

    counts = np.arange(n + 1)
    return total_variation(binom.pmf(counts, n, a), binom.pmf(counts, n, b))


def random_rows(rng: np.random.Generator, *shape: int, zeros: bool = False) -> np.ndarray:
    """Random probability vectors on the last axis; with ``zeros`` about a quarter of the entries vanish."""
    mass = rng.gamma(0.7, size=shape) + 0.05
    if zeros:
        drop = rng.random(shape) < 0.25
        drop[..., 0] = False
        mass = np.where(drop, 0.0, mass)
    return mass / mass.sum(-1, keepdims=True)


def bernstein(draws: int, variance: float, delta: float) -> float:
    """Half-width with ``P(|mean - truth| >= half-width) <= delta`` for draws in ``[0, 1]`` of at most that variance."""
    scale = np.log(2 / delta) / draws
    return float(scale / 3 + np.sqrt((scale / 3) ** 2 + 2 * variance * scale))
