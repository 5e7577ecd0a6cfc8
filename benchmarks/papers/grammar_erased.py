"""The window of a small grammar's class when leaves are erased: certified, and by all trees and masks."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq

import sloc

from .certified import window_rows
from .grammar_trees import all_trees
from .rows import Row

EPSILON = 0.2


def class_tv(population: sloc.populations.RandomHierarchy) -> np.ndarray:
    """Return TV of class 0 and the rest by number of erased leaves: all trees, all masks."""
    levels, n = all_trees(population), population.num_leaves
    first = levels[0][:, 0] == 0
    totals, counts = np.zeros(n + 1), np.zeros(n + 1)
    for known in itertools.product((False, True), repeat=n):
        shown = np.unique(np.where(known, levels[-1], -1), axis=0, return_inverse=True)[1].ravel()
        laws = [np.bincount(shown, own / own.sum(), shown.max() + 1) for own in (first, ~first)]
        totals[n - sum(known)] += np.abs(laws[0] - laws[1]).sum() / 2
        counts[n - sum(known)] += 1
    return totals / counts


def exact_window(by_hidden: np.ndarray, classes: int, epsilon: float = EPSILON) -> tuple[float, float]:
    """Return the window of one class within all when leaves are erased with probability ``t``."""
    n = len(by_hidden) - 1

    def tv(t: float) -> float:
        return sum(math.comb(n, h) * t**h * (1 - t) ** (n - h) * by_hidden[h] for h in range(n + 1))

    levels = 1 - epsilon**2, epsilon / (1 - 1 / classes)
    found: Any = [brentq(lambda t: tv(t) - level, 1e-9, 1 - 1e-9, xtol=1e-12) for level in levels]  # noqa: B023
    return float(found[0]), float(found[1])


def certified(name: str, population: sloc.populations.RandomHierarchy, budget: int = 120_000) -> list[Row]:
    """Return the window of class 0 within all when leaves are erased, certified and exact."""
    classes = population.num_components
    window = sloc.critical_window(
        jax.random.key(19), sloc.processes.Masking(), population, 0, range(classes), epsilon=EPSILON,
        times=np.linspace(0.01, 0.99, 33), method="monte-carlo", certify=True, budget=budget,
    )  # fmt: skip
    setting = f"v = 4, m = 2, s = 2, depth 3, erasing, ε = {EPSILON:g}"
    note = "of the class: deeper levels are no sub-populations of words, so have no window"
    exact = exact_window(class_tv(population), classes)
    return window_rows(name, setting, exact, window, unit="class 0 within all", notes=(note, ""))
