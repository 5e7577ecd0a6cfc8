"""P-values adjusted for looking at many steps of many questions."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sloc.contracts.arguments import checked_choice

Within = Literal["bonferroni", "holm"]
Across = Literal["none", "holm", "bh"]
WITHIN: tuple[str, ...] = get_args(Within)
ACROSS: tuple[str, ...] = get_args(Across)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, ``max_{j <= i} min(1, (m - j + 1) p_(j))`` (Holm 1979).

    Args:
        p: ``[m]`` p-values, any dependence.

    Returns:
        ``[m]`` adjusted p-values; rejecting those ``<= alpha`` errs at all with probability ``<= alpha``.

    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(p.size, 0, -1, dtype=np.float64)
    adjusted = np.empty(p.size)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * p[order]))
    return adjusted


def adjust_steps(
    p: np.ndarray, question: np.ndarray, within: Within = "bonferroni", across: Across = "none"
) -> np.ndarray:
    """Adjust the p-values of all steps of all questions.

    Within a question: Bonferroni (times its number of steps) or Holm.  Across questions:

    * ``"none"``: each question keeps its own level;
    * ``"holm"``: Holm over all steps of all questions: the chance of one false window anywhere is
      at most ``alpha`` (``within`` no longer matters);
    * ``"bh"``: Benjamini-Hochberg over questions, independent of one another, each represented by
      its smallest adjusted step, then the steps of the ``R`` selected among ``Q`` at level
      ``R alpha / Q`` (Benjamini & Bogomolov 2014).  A step with within-adjusted ``a`` is rejected
      exactly when ``min_k Q max(P_(k), a) / k <= alpha``, which is the number returned.

    Args:
        p: ``[S]`` p-values.
        question: ``[S]`` integer index of each step's question.
        within: rule within a question.
        across: rule across questions.

    Returns:
        ``[S]`` adjusted p-values: a step is certified where its number is at most ``alpha``.

    Raises:
        InvalidInput: unknown rule.

    """
    checked_choice(within, "correction", WITHIN)
    checked_choice(across, "across", ACROSS)
    if not p.size:
        return np.zeros(0)
    if across == "holm":
        return holm(p)
    indices, inverse = np.unique(question, return_inverse=True)
    adjusted = np.empty(p.size)
    order = np.argsort(inverse, kind="stable")
    for group in np.split(order, np.cumsum(np.bincount(inverse))[:-1]):
        adjusted[group] = np.minimum(1.0, group.size * p[group]) if within == "bonferroni" else holm(p[group])
    if across == "none":
        return adjusted
    smallest = np.full(indices.size, np.inf)
    np.minimum.at(smallest, inverse, adjusted)
    return _selected_level(adjusted, np.sort(smallest))


def _selected_level(adjusted: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """``min_k Q max(P_(k), a) / k`` for every ``a``: the best ``k`` is the last below ``a`` or one above it."""
    count = ordered.size
    ranks = np.arange(1, count + 1)
    above = np.minimum.accumulate((count * ordered / ranks)[::-1])[::-1]
    above = np.append(above, np.inf)
    below = np.searchsorted(ordered, adjusted, side="right")
    return np.minimum(1.0, np.minimum(above[below], count * adjusted / np.maximum(below, 1)))
