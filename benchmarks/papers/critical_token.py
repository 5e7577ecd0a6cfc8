"""Ex. 4: two continuations that part at one token (a jailbreak, an agent that drifts off), under truncation."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

import sloc
from sloc.windows import printed

from .certified import window_rows
from .critical_token_width import scaling, tables
from .rows import Result, Row, ends

NAME, EPSILON, LENGTH, START, SPREAD = "Ex. 4", 0.1, 9, 3, 3
LEAKS = (0.0, 0.05)


def prefix_distances(leak: float) -> np.ndarray:
    """Return TV of the first ``n = 0 .. L`` tokens, exactly, from the laws of all ``3^n`` prefixes."""
    first, common, branches = tables(leak)
    laws, out = [first, first], [0.0, 0.0]
    for place in range(1, LENGTH):
        share = min(max((place - START + 1) / SPREAD, 0.0), 1.0)
        moves = [(1 - share) * common + share * branch for branch in branches]
        laws = [law[..., None] * move for law, move in zip(laws, moves, strict=True)]
        out.append(float(np.abs(laws[0] - laws[1]).sum() / 2))
    return np.array(out)


def exact_edges(leak: float, epsilon: float = EPSILON) -> tuple[int, int]:
    """Return last ``t`` with ``TV >= 1 - eps^2`` and first with ``TV / 2 <= eps`` (equal weights), tokens removed."""
    tv = prefix_distances(leak)[::-1]
    return int(np.flatnonzero(tv >= 1 - epsilon**2).max()), int(np.flatnonzero(tv / 2 <= epsilon).min())


def named_distances(population: sloc.populations.CriticalTokens) -> np.ndarray:
    """Return TV of the first ``n = 0 .. L`` tokens of two modes with leaks, exactly.

    The last letter and the log likelihood ratio are sufficient, and the ratio takes few values: prefixes that share
    both are added up.
    """
    common, branches = np.asarray(population.common, np.float64), np.asarray(population.branches, np.float64)
    laws = {(letter, 0.0): m for letter, m in enumerate(np.asarray(population.initial, np.float64)) if m > 0}
    out = [0.0, 0.0]
    for seen in range(2, population.length + 1):
        share = min(max((seen - population.start) / population.spread, 0.0), 1.0)
        p, q = ((1 - share) * common + share * branch for branch in branches)
        grown: dict[tuple[int, float], float] = {}
        for (last, ratio), mass in laws.items():
            for letter in np.flatnonzero(p[last] > 0):
                # Ratios that differ by rounding alone are one.
                key = int(letter), round(ratio + math.log(q[last, letter] / p[last, letter]), 7)
                grown[key] = grown.get(key, 0.0) + mass * p[last, letter]
        laws = grown
        out.append(sum(mass * max(0.0, -math.expm1(ratio)) for (_, ratio), mass in laws.items()))
    return np.array(out)


NAMED = {"refusals": ("comply", 0.9), "agent": ("browse", 0.9)}
"""Of the ready-made populations the mode whose window is asked for, and the weight of the other one."""


def named_edges(tv: np.ndarray, other: float, epsilon: float = EPSILON) -> tuple[int, int]:
    """Return the window of a mode within both, from TV by tokens seen: ``TV(mode, both) = w_other TV``."""
    removed = tv[::-1]
    return (
        int(np.flatnonzero(removed >= 1 - epsilon**2).max()),
        int(np.flatnonzero(other * removed <= epsilon).min()),
    )


def named(budget: int = 120_000) -> list[Row]:
    """Return certified, exact and printed windows of the ready-made jailbreak and agent."""
    rows = []
    for name, (mode, other) in NAMED.items():
        population = getattr(sloc.populations.CriticalTokens, name)()
        length, start, spread = population.length, population.start, population.spread
        window = sloc.critical_window(
            jax.random.key(14), sloc.processes.Truncation(length), population, mode, population.names, epsilon=EPSILON,
            certify=True, budget=budget,
        )  # fmt: skip
        rows += window_rows(
            NAME, f"{name}(): {mode} within both, L = {length}, a = {start}, k = {spread}, ε = {EPSILON:g}",
            named_edges(named_distances(population), other), window, unit="tokens removed",
            said=printed.critical_token_edges(length, start, spread),
            notes=("a leak of .01: TV ≥ 1 - 2 · .01 only, so the exact edge is earlier", ""),
        )  # fmt: skip
    return rows


def run(budget: int = 120_000) -> Result:
    """Return certified, exact and printed windows with and without a leak."""
    rows, said = [], printed.critical_token_edges(LENGTH, START, SPREAD)
    for leak in LEAKS:
        population = sloc.populations.CriticalTokens(*tables(leak), START, SPREAD, LENGTH)
        window = sloc.critical_window(
            jax.random.key(4), sloc.processes.Truncation(LENGTH), population, 0, [0, 1], epsilon=EPSILON,
            certify=True, budget=budget,
        )  # fmt: skip
        exact, how = exact_edges(leak), f"certified, {window.draws:,} draws"
        setting = f"L = {LENGTH}, a = {START}, k = {SPREAD}, leak = {leak:g}, ε = {EPSILON:g}"
        late = "supports disjoint up to ε: TV ≥ 1 - ε, not 1 - ε²: the exact edge is earlier"
        rows += [
            Row(NAME, setting, "T_after (tokens removed)", exact[0], *ends(window.t_after, window.after_interval), how,
                said.after, late if leak else "the last token to part already shows it"),
            Row(NAME, setting, "T_before (tokens removed)", exact[1], *ends(window.t_before, window.before_interval),
                how, said.before, "attained: one token moves TV past 2ε"),
        ]  # fmt: skip
    series = {"tv": [prefix_distances(leak)[::-1] for leak in LEAKS], "printed": said, "leaks": LEAKS,
              "exact": [exact_edges(leak) for leak in LEAKS]}  # fmt: skip
    fits, series["widths"] = scaling(budget // 2)
    return Result(rows + named(budget), fits, series)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV against tokens removed, without and with a leak."""
    from .pictures import BLUE, ORANGE, SOFT, span

    for ax, leak, tv, exact in zip(axes, found["leaks"], found["tv"], found["exact"], strict=True):
        ax.plot(range(LENGTH + 1), tv, color=BLUE, marker="o", markersize=4, linewidth=1)
        ax.axhline(1 - EPSILON**2, color=SOFT, linewidth=0.8, linestyle=":")
        ax.axhline(2 * EPSILON, color=SOFT, linewidth=0.8, linestyle=":")
        span(ax, exact, BLUE, "exact window", 0.0)
        span(ax, found["printed"], ORANGE, "printed", 0.06)
        ax.set(xlabel="tokens removed, t", ylabel="TV of the two modes", title=f"leak {leak:g}", ylim=(-0.14, 1.05))
        ax.legend(fontsize=7.5)
