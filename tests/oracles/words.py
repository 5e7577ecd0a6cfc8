"""Masses of all words under hidden chains, scripts of tokens and walks, float64 NumPy, by enumeration of all paths."""

from __future__ import annotations

import itertools

import numpy as np


def hidden_pmf(initial: np.ndarray, moves: np.ndarray, emissions: np.ndarray, length: int) -> np.ndarray:
    """``[q^L]`` masses of one hidden chain, ``moves [L-1, S, S]``: a sum over all paths of states, word by word."""
    states, letters = emissions.shape
    out = []
    for word in itertools.product(range(letters), repeat=length):
        total = 0.0
        for path in itertools.product(range(states), repeat=length):
            mass = initial[path[0]] * emissions[path[0], word[0]]
            for place in range(1, length):
                mass *= moves[place - 1][path[place - 1], path[place]] * emissions[path[place], word[place]]
            total += mass
        out.append(total)
    return np.array(out)


def script_pmf(initial: np.ndarray, common: np.ndarray, branch: np.ndarray, start: int, spread: int, length: int):
    """``[q^L]`` masses of words whose token ``l`` follows ``branch`` with share ``min(max((l-a+1)/k, 0), 1)``."""
    out = []
    for word in itertools.product(range(initial.size), repeat=length):
        mass = initial[word[0]]
        for place in range(1, length):
            share = min(max((place - start + 1) / spread, 0.0), 1.0)
            before, now = word[place - 1], word[place]
            mass *= (1 - share) * common[before, now] + share * branch[before, now]
        out.append(mass)
    return np.array(out)


def walk_law(p: float, barrier: int, steps: int) -> dict[tuple[int, ...], float]:
    """Law of the positions after each step, absorbed at both barriers: by enumeration of all ups and downs."""
    out: dict[tuple[int, ...], float] = {}
    for moves in itertools.product((1, -1), repeat=steps):
        position, path, mass = 0, [], 1.0
        for move in moves:
            mass *= p if move == 1 else 1 - p
            position = position if abs(position) == barrier else position + move
            path.append(position)
        out[tuple(path)] = out.get(tuple(path), 0.0) + mass
    return out


def prefix_tv(first: np.ndarray, second: np.ndarray, letters: int, length: int, seen: int) -> float:
    """TV of the first ``seen`` letters of two laws on words."""
    shape = (letters**seen, letters ** (length - seen))
    return float(np.abs(first.reshape(shape).sum(1) - second.reshape(shape).sum(1)).sum() / 2)
