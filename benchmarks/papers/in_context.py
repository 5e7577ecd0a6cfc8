"""Ex. 6 and 11: how many examples tell a rule (Cor. 3)."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from scipy.stats import binom

import sloc
from sloc.windows import printed

from .certified import window_rows
from .rows import Fit, Result, Row, same, slope

NAME, EPSILON, RULES = "Ex. 6", 1e-3, (0.5, 0.3)
GAPS = (0.2, 0.1, 0.05, 0.025)


def rules(p: float, q: float, examples: int) -> sloc.populations.InContext:
    """Return two rules: the output is 0 with probability ``p`` or ``q``."""
    return sloc.populations.InContext([[[p, 1 - p]], [[q, 1 - q]]], [1.0], examples)


def wrong_rule(p: float, q: float, examples: int) -> float:
    """Return ``E[1 - pi]`` of the first rule after so many examples: a sum over counts (equal weights)."""
    k = np.arange(examples + 1)
    a, b = binom.pmf(k, examples, p), binom.pmf(k, examples, q)
    return float(np.divide(a * b, a + b, out=np.zeros_like(a), where=a + b > 0).sum())


def least_examples(p: float, q: float, epsilon: float) -> int:
    """Return the least number with which the next output is within ``epsilon`` of the rule's: doubling, bisection."""

    def good(n: int) -> bool:
        return wrong_rule(p, q, n) * abs(p - q) <= epsilon

    low, high = 0, 1
    while not good(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


EXAMPLES, LEVEL = 150, 0.15


def rule_tv(p: float, q: float, examples: int) -> float:
    """Return TV of the outputs of so many examples under the two rules: a sum over counts."""
    k = np.arange(examples + 1)
    return float(np.abs(binom.pmf(k, examples, p) - binom.pmf(k, examples, q)).sum() / 2)


def certified(budget: int = 60_000) -> list[Row]:
    """Return the window of the first rule within both, in examples removed, by draws and exactly."""
    p, q = RULES
    steps = sloc.processes.Steps(2 * np.arange(EXAMPLES + 1))
    process = sloc.processes.Retimed(sloc.processes.Truncation(2 * EXAMPLES), steps)
    window = sloc.critical_window(
        jax.random.key(17), process, rules(p, q, EXAMPLES), 0, [0, 1], epsilon=LEVEL, method="monte-carlo",
        certify=True, budget=budget,
    )  # fmt: skip
    removed = np.array([rule_tv(p, q, EXAMPLES - t) for t in range(EXAMPLES + 1)])
    exact = int(np.flatnonzero(removed >= 1 - LEVEL**2).max()), int(np.flatnonzero(removed / 2 <= LEVEL).min())
    note = "no window is printed, only a number of examples"
    return window_rows(
        NAME, f"coins {p:g} / {q:g}, N = {EXAMPLES}, ε = {LEVEL:g}", exact, window, unit="examples removed",
        notes=(note, note),
    )  # fmt: skip


def run(n: int = 100_000) -> Result:
    """Return the error that the printed number leaves, numbers that suffice, and their growth as rules come closer."""
    p, q = RULES
    gap, delta = abs(p - q), rules(p, q, 1).smallest_hellinger(0)
    said = math.ceil(printed.examples_needed(delta, EPSILON))
    enough = math.ceil(printed.examples_needed_corrected(delta, EPSILON))
    curve = sloc.measure(
        jax.random.key(7), sloc.processes.Truncation(2 * said), rules(p, q, said), [0], {"it": sloc.Misassignment(0)},
        n=n, delta=1e-6,
    )["it"]  # fmt: skip
    left, low, high = (float(np.asarray(v)[0]) * gap for v in (curve.value, curve.lower, curve.upper))
    needed = rules(p, q, 1).examples_needed(0, EPSILON)
    setting = f"coins {p:g} / {q:g}, ε = {EPSILON:g}"
    rows = [
        Row(NAME, setting, f"error of the next output after the printed {said} examples (TV)",
            wrong_rule(p, q, said) * gap, left, low, high, f"{int(curve.n):,} draws", EPSILON,
            "wrong: 76 times what is claimed"),
        Row(NAME, setting, "examples whose affinity is ε", float(enough), *same(needed), "closed form",
            printed.examples_needed(delta, EPSILON), "mended: ln(1/ε) / ln(1/(1-δ/2)), δ the least over single rules"),
        Row(NAME, setting, "examples after which the error is ε", float(least_examples(p, q, EPSILON)), None, None,
            None, "", printed.examples_needed(delta, EPSILON), "the mended number is a safe upper bound"),
    ]  # fmt: skip
    rows += certified()
    hellinger = [rules(0.5, 0.5 - g, 1).smallest_hellinger(0) for g in GAPS]
    # The error itself falls with the gap, so hold fixed how often the rule is taken for the other.
    exact = [least_examples(0.5, 0.5 - g, EPSILON * g) for g in GAPS]
    mended = [printed.examples_needed_corrected(h, EPSILON) for h in hellinger]
    said_all = [printed.examples_needed(h, EPSILON) for h in hellinger]
    whole = {"band": (np.array(exact) - 1, exact), "bend": ("δ", hellinger)}
    fits = [
        Fit(NAME, "examples ~ 1/δ", "δ", "exact number with E[1-π] = ε", *slope(hellinger, exact, **whole), -1.0),
        Fit(NAME, "examples ~ 1/δ", "δ", "printed number", *slope(hellinger, said_all), -1.0),
    ]
    grid = np.arange(0, 401, 4)
    series = {"n": grid, "error": [wrong_rule(p, q, int(m)) * gap for m in grid], "said": said, "enough": enough,
              "delta": hellinger, "exact": exact, "mended": mended, "printed": said_all}  # fmt: skip
    return Result(rows, fits, series)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw the error against the number of examples, and the number against the distance of the rules."""
    from .pictures import BLUE, GREEN, ORANGE, SOFT, ticks

    left, right = axes
    left.plot(found["n"], found["error"], color=BLUE, label="exact error")
    left.axhline(EPSILON, color=SOFT, linestyle=":", linewidth=1, label="ε")
    left.axvline(found["said"], color=ORANGE, linestyle="--", label=f"printed: {found['said']}")
    left.axvline(found["enough"], color=GREEN, linestyle="--", label=f"mended: {found['enough']}")
    left.set(yscale="log", xlabel="examples", ylabel="TV of the next output", title="coins 0.5 / 0.3")
    left.legend(fontsize=7.5, loc="lower left")
    d = found["delta"]
    right.plot(d, found["mended"], color=GREEN, marker="^", markersize=4, linestyle="--", label="mended")
    right.plot(d, found["exact"], color=BLUE, marker="o", markersize=4, label="exact")
    right.plot(d, found["printed"], color=ORANGE, marker="s", markersize=3.5, linestyle="--", label="printed")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="squared Hellinger distance δ",
        ylabel="examples",
        title="closer rules need more",
    )
    right.legend(fontsize=7.5)
    ticks(right, found["delta"])
