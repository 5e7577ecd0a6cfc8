"""A grammar with one-hot leaves under diffusion: the window of its class certified, and draws in double precision.

What stands in the exact column is a mean over draws outside the library, with its standard error in the note.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq

import sloc

from .certified import window_rows
from .grammar_trees import grammar
from .rows import Row

EPSILON, LETTERS, RULES, DEPTH, DRAWS = 0.2, 4, 2, 3, 600_000
NOISES = np.geomspace(0.02, 1.0, 49)


def messages(rules: np.ndarray, logs: np.ndarray) -> list[np.ndarray]:
    """Return likelihoods of what lies below each node by its symbol, level by level, from those of leaves, in float64.

    Binary rules ``[L, v, m, 2]`` and ``logs [N, leaves, v]``; each message is scaled so that its largest entry is one.
    """
    found = [np.exp(logs - logs.max(-1, keepdims=True))]
    for table in rules[::-1]:
        left, right = found[0][:, 0::2], found[0][:, 1::2]
        up = sum(left[..., table[:, i, 0]] * right[..., table[:, i, 1]] for i in range(table.shape[1]))
        found.insert(0, np.asarray(up) / np.max(up, -1, keepdims=True))
    return found


def kept(rules: np.ndarray, symbols: list[np.ndarray], logs: np.ndarray) -> np.ndarray:
    """Return the belief in the true symbols over chance, ``[N, L + 1]``: up the tree, then down it."""
    up, v = messages(rules, logs), rules.shape[1]
    outside, out = np.ones_like(up[0]), []
    for level, true in enumerate(symbols):
        belief = outside * up[level]
        own = np.take_along_axis(belief, true[..., None], -1)[..., 0] / belief.sum(-1)
        out.append((own.mean(1) - 1 / v) / (1 - 1 / v))
        if level == len(rules):
            break
        table, below = rules[level], up[level + 1]
        down = np.zeros_like(below)
        for side in (0, 1):
            other = below[:, 1 - side :: 2]
            for i in range(table.shape[1]):
                # Letters that this rule puts here, one for each symbol above.
                spread = np.eye(v)[table[:, i, side]]
                down[:, side::2] += (outside * other[..., table[:, i, 1 - side]]) @ spread
        outside = down / down.max(-1, keepdims=True)
    return np.stack(out, 1)


def grown(rules: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the symbols of a tree below each class, level by level, ``[N, 2^l]``."""
    symbols = [classes[:, None]]
    for table in rules:
        pairs = table[symbols[-1], rng.integers(0, table.shape[1], symbols[-1].shape)]
        symbols.append(pairs.reshape(len(classes), -1))
    return symbols


def leaf_logs(leaves: np.ndarray, noise: np.ndarray, t: float) -> np.ndarray:
    """Return log-likelihoods of letters given ``y = e^{-t} onehot + sqrt(1 - e^{-2t}) noise``, up to one constant."""
    r = math.exp(-t) / math.sqrt(-math.expm1(-2 * t))
    return r * (r * np.eye(noise.shape[-1])[leaves] + noise)


def class_tv(rules: np.ndarray, t: float, draws: int = DRAWS, chunk: int = 50_000) -> tuple[float, float]:
    """Return ``TV`` of class 0 and the mean of the others at noise ``t`` by draws, and its standard error.

    ``E |tanh(D / 2)|`` over as many draws of class 0 as of the rest, ``D`` their log-likelihood ratio.  The same trees
    and noise serve every ``t``.
    """
    v, values = rules.shape[1], []
    for part in range(draws // chunk):
        rng = np.random.default_rng([7, part])
        classes = np.where(np.arange(chunk) % 2 == 0, 0, rng.integers(1, v, chunk))
        leaves = grown(rules, classes, rng)[-1]
        found = messages(rules, leaf_logs(leaves, rng.normal(size=(*leaves.shape, v)), t))[0][:, 0]
        first, rest = found[:, 0], found[:, 1:].mean(-1)
        # |tanh(D / 2)|, a pair of draws at a time: the halves are strata.
        values.append((np.abs(first - rest) / (first + rest)).reshape(-1, 2).mean(1))
    every = np.concatenate(values)
    return float(every.mean()), float(every.std() / math.sqrt(len(every)))


def exact_window(rules: np.ndarray, epsilon: float = EPSILON) -> list[tuple[float, float]]:
    """Return both edges of class 0 within all, each with its standard error."""
    out = []
    for level, span in ((1 - epsilon**2, (0.02, 0.15)), (epsilon / (1 - 1 / rules.shape[1]), (0.3, 0.8))):
        t: Any = brentq(lambda t: class_tv(rules, t)[0] - level, *span, xtol=1e-6)  # noqa: B023
        fall = (class_tv(rules, t * 0.98)[0] - class_tv(rules, t * 1.02)[0]) / (0.04 * t)
        out.append((float(t), class_tv(rules, t)[1] / fall))
    return out


def certified(name: str, budget: int = 120_000) -> list[Row]:
    """Return the window of class 0 within all under diffusion, certified and by draws in double precision."""
    population = grammar(LETTERS, RULES, DEPTH, one_hot=True)
    window = sloc.critical_window(
        jax.random.key(19), sloc.processes.OrnsteinUhlenbeck(), population, 0, range(LETTERS), epsilon=EPSILON,
        times=np.geomspace(0.005, 2, 33), method="monte-carlo", certify=True, budget=budget,
    )  # fmt: skip
    edges = exact_window(np.asarray(population.rules))
    setting = f"v = {LETTERS}, m = {RULES}, s = 2, depth {DEPTH}, diffusion, ε = {EPSILON:g}"
    after, before = (f"exact ± {error:.1g}: {DRAWS:,} draws in double precision" for _, error in edges)
    return window_rows(
        name, setting, (edges[0][0], edges[1][0]), window, unit="class 0 within all", notes=(after, before)
    )


def survival_by_draws(rules: np.ndarray, trees: int, seed: int, chunk: int = 1_000) -> np.ndarray:
    """Return belief over chance at ``NOISES`` by tree and level, ``[trees, T, L + 1]``: one tree, every noise."""
    out, v = [], rules.shape[1]
    for part in range(trees // chunk):
        rng = np.random.default_rng([seed, part])
        symbols = grown(rules, rng.integers(0, v, chunk), rng)
        noise = rng.normal(size=(*symbols[-1].shape, v))
        out.append(np.stack([kept(rules, symbols, leaf_logs(symbols[-1], noise, t)) for t in NOISES], 1))
    return np.concatenate(out)


def level_edges(
    rules: np.ndarray, trees: int, edges: Callable[[np.ndarray, np.ndarray], tuple[float, float]], seed: int = 3
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return half-point and ratio of each level by draws in double precision, errors, ``[L + 1, 2]``, and curves."""
    values, rng = survival_by_draws(rules, trees, seed), np.random.default_rng(seed)

    def of(picked: Any) -> list[tuple[float, float]]:
        mean = values[picked].mean(0)
        return [edges(NOISES, mean[:, level]) for level in range(mean.shape[1])]

    again = np.array([of(rng.integers(0, trees, trees)) for _ in range(60)])
    curves = {"t": NOISES, "kept": values.mean(0), "error": values.std(0) / math.sqrt(trees)}
    return np.array(of(slice(None))), again.std(0), curves
