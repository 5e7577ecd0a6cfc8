"""Ex. 4: how wide the window of a critical token is, by the tokens it takes to part and the length of the text."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import sloc
from sloc.windows import printed

from .rows import Fit, slope

NAME, EPSILON, START, SPREAD = "Ex. 4", 0.1, 3, 3
SPREADS, LENGTHS = (8, 16, 32, 64, 128), (9, 18, 36, 72)


def tables(leak: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first token, transitions before the modes part, and transitions of the two modes.

    Letters: the request, refusing, complying.  A mode writes its own letter but for a share ``leak``, spread over the
    other two.
    """
    rows = [np.full(3, leak / 2) + (1 - 1.5 * leak) * np.eye(3)[letter] for letter in (1, 2)]
    return np.eye(3)[0], np.tile(np.eye(3)[0], (3, 1)), np.stack([np.tile(row, (3, 1)) for row in rows])


def parting(spread: int) -> np.ndarray:
    """Return TV after ``i = 0 .. k`` parting tokens, no leak: ``1 - prod_{j <= i} (1 - j/k)``, none of them its own."""
    return 1 - np.cumprod(1 - np.arange(spread + 1) / spread)


def exact_width(spread: int, epsilon: float = EPSILON) -> int:
    """Return how many tokens lie between both edges at equal weights, no leak: where it starts drops out."""
    tv = parting(spread)
    return int(np.flatnonzero(tv >= 1 - epsilon**2).min() - np.flatnonzero(tv / 2 <= epsilon).max())


def certified_width(start: int, spread: int, length: int, budget: int) -> tuple[int, int]:
    """Return the least and the largest width that a certified window of modes without a leak allows."""
    population = sloc.populations.CriticalTokens(*tables(0.0), start, spread, length)
    window = sloc.critical_window(
        jax.random.key(15), sloc.processes.Truncation(length), population, 0, [0, 1], epsilon=EPSILON, certify=True,
        budget=budget,
    )  # fmt: skip
    (first, last), (early, late) = window.after_interval or (0, length), window.before_interval or (0, length)
    return int(early - last), int(late - first)


def scaling(budget: int = 60_000) -> tuple[list[Fit], dict[str, Any]]:
    """Return how the window's width follows ``k`` and the length of the text, and the widths.

    Printed is ``[L - a - k, L - a]``: ``k`` tokens at most, wherever they stand.  Modes that part evenly, the j-th
    token by ``j/k``, are told apart long before the last of them: ``prod (1 - j/k)`` falls as ``exp(-i^2 / 2k)``.
    """
    said = [printed.critical_token_edges(START + k, START, k) for k in SPREADS]
    exact, bands = [exact_width(k) for k in SPREADS], [certified_width(START, k, START + k, budget) for k in SPREADS]
    places = [certified_width(n // 3, SPREAD, n, budget) for n in LENGTHS]
    evenly, width = "√k where modes part evenly", "T_before - T_after"
    widths = [s.before - s.after for s in said]

    def measured(claim: str, x: str, what: str, of: tuple[int, ...], band: Any, claimed: float) -> Fit:
        low, high = np.transpose(band)
        return Fit(NAME, claim, x, f"certified {what}", *slope(of, (low + high) / 2, band=(low, high)), claimed)

    fits = [
        Fit(NAME, "k tokens at most", "k", f"printed {width}", *slope(SPREADS, widths), 1.0),
        Fit(NAME, evenly, "k", f"exact {width}", *slope(SPREADS, exact), 0.5),
        measured(evenly, "k", width, SPREADS, bands, 0.5),
        measured("width free of the length", "L", f"{width}, k = {SPREAD}, a = L/3", LENGTHS, places, 0.0),
    ]
    return fits, {"k": SPREADS, "exact": exact, "certified": bands, "L": LENGTHS, "by length": places}
