"""Ex. 5: tokens that lean one way or the other, and the solving of a problem as a walk between two answers."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

import sloc
from sloc.windows import printed

from .certified import window_rows
from .rows import Fit, Result, Row, same, slope

NAME = "Ex. 5"
DRIFTS, EPSILON = (0.08, 0.04, 0.02, 0.01, 0.005, 0.0025), 0.1


def counts(drift: float, epsilon: float, length: int) -> tuple[int, int]:
    """Return the library's window in tokens kept: least that tell, most that do not."""
    coins = sloc.populations.ProductCategorical.coins([0.5 + drift, 0.5 - drift], length)
    window = sloc.critical_window(
        jax.random.key(5), sloc.processes.Truncation(length), coins, 0, [0, 1], epsilon=epsilon, method="closed-form"
    )
    assert window.t_after is not None
    assert window.t_before is not None
    return length - int(window.t_after), length - int(window.t_before)


def walk_tv(drift: float, steps: int) -> float:
    """Return TV of ``Bin(n, 1/2 +- drift)`` as the sum over heads, with log masses from ``lgamma``."""
    from scipy.special import gammaln

    heads = np.arange(steps + 1)
    choose = gammaln(steps + 1) - gammaln(heads + 1) - gammaln(steps - heads + 1)
    up = choose + heads * math.log(0.5 + drift) + (steps - heads) * math.log(0.5 - drift)
    return float(np.abs(np.exp(up) - np.exp(up[::-1])).sum() / 2)


def exact_counts(drift: float, epsilon: float, near: tuple[int, int]) -> tuple[int, int]:
    """Return the same from the binomial masses; TV climbs in steps of two tokens, so neighbours are looked at."""
    after = next(n for n in range(max(near[0] - 3, 0), near[0] + 4) if walk_tv(drift, n) >= 1 - epsilon**2)
    # At drift = epsilon one token ties with the threshold.
    few = [n for n in range(near[1] + 4) if walk_tv(drift, n) / 2 <= epsilon * (1 + 1e-12)]
    return after, max(few)


LEAN, LENGTHS, LEVELS, BARRIER = 0.1, (180, 120), (0.12, 0.2), 20
"""What is certified: short words, since each draw writes down all its tokens; levels at which no TV ties with 2ε."""


def edges_of(tv: np.ndarray, epsilon: float) -> tuple[int, int]:
    """Return the window in tokens removed from TV by tokens kept ``0 .. L`` (equal weights)."""
    removed = np.asarray(tv)[::-1]
    return int(np.flatnonzero(removed >= 1 - epsilon**2).max()), int(np.flatnonzero(removed / 2 <= epsilon).min())


def certified(budget: int = 24_000) -> list[Row]:
    """Return windows of coins and of absorbed walks by draws, closed forms switched off."""
    rows = []
    solver = sloc.populations.RandomWalkSolver(LEAN, BARRIER, LENGTHS[1])
    coins = sloc.populations.ProductCategorical.coins([0.5 + LEAN, 0.5 - LEAN], LENGTHS[0])
    free = np.array([walk_tv(LEAN, n) for n in range(LENGTHS[0] + 1)])
    absorbed = solver.prefix_tv(np.arange(LENGTHS[1] + 1))
    for population, name, tv, length, epsilon in (
        (coins, "coins", free, LENGTHS[0], LEVELS[0]),
        (solver, f"absorbed at ±{BARRIER}", absorbed, LENGTHS[1], LEVELS[1]),
    ):
        window = sloc.critical_window(
            jax.random.key(15), sloc.processes.Truncation(length), population, 0, [0, 1], epsilon=epsilon,
            times=np.arange(0, length + 1, 10), method="monte-carlo", certify=True, budget=budget,
        )  # fmt: skip
        said = printed.coin_counts(LEAN, epsilon)
        rows += window_rows(
            NAME, f"{name}, Δ = {LEAN:g}, L = {length}, ε = {epsilon:g}", edges_of(tv, epsilon), window,
            unit="tokens removed", said=(length - said.after, length - said.before) if population is coins else
            (None, None), notes=("", "TV climbs in steps of two tokens"),
        )  # fmt: skip
    return rows


def run() -> Result:
    """Return numbers of tokens, exact and certified, the limits of absorbed walks, and the exponent in the drift."""
    found = closed()
    return Result(found.rows + certified(), found.fits, found.series)


def closed() -> Result:
    """Return what takes no draws."""
    rows = []
    for drift, epsilon, length in ((0.05, 0.05, 2_000), (0.004, 0.01, 300_000)):
        found, said = counts(drift, epsilon, length), printed.coin_counts(drift, epsilon)
        exact, setting = exact_counts(drift, epsilon, found), f"Δ = {drift:g}, ε = {epsilon:g}"
        outside = " (outside the paper's assumptions)" if drift == 0.05 else ""
        for i, (name, number) in enumerate((("n_after", said.after), ("n_before", said.before))):
            note = ("the constant is loose" if i == 0 else "the constant is loose; kept tokens, ½ TV ≤ ε") + outside
            note += f"; not certified: {length:,} coins a draw" if i == 0 or drift != epsilon else (
                "; not certified: at ε = Δ one and two tokens tie with 2ε"
            )  # fmt: skip
            rows.append(
                Row(NAME, setting, f"{name} (tokens kept)", exact[i], *same(found[i]), "closed form", number, note)
            )
    solver = sloc.populations.RandomWalkSolver(0.05, 10, 100)
    limit, least = solver.limit_tv(), sloc.populations.least_barrier(0.05, 0.05)
    closed = math.tanh(5 * math.log(0.55 / 0.45))
    ever = math.floor(math.log((2 - 0.05**2) / 0.05**2) / math.log(0.55 / 0.45)) + 1
    rows += [
        Row(NAME, "Δ = 0.05, absorbed at ±10", "largest TV of any prefix", closed, *same(limit), "closed form", None,
            "the binomial law ends at the barrier; none is printed"),
        Row(NAME, "Δ = ε = 0.05", "least barrier at which T_after exists", ever, *same(least), "closed form", None,
            "below it no prefix, however long, meets 1 - ε²"),
    ]  # fmt: skip
    table = np.array([counts(d, EPSILON, int(6 / d**2)) for d in DRIFTS])
    fits = [  # Whole numbers, and TV climbs in steps of two tokens: each edge may lie so much lower.
        Fit(NAME, "Θ(1/Δ²)", "Δ", y, *slope(DRIFTS, n, band=(n - step, n), bend=("Δ²", np.square(DRIFTS))), -2.0)
        for y, n, step in (("n_after", table[:, 0], 2), ("n_after - n_before", table[:, 0] - table[:, 1], 4))
    ]
    drift, n = 0.05, np.arange(0, 2001, 10)
    series = {
        "drift": DRIFTS, "table": table, "printed": [printed.coin_counts(d, EPSILON).after for d in DRIFTS], "n": n,
        "free": sloc.populations.RandomWalkSolver(drift, 3000, 2000).prefix_tv(n),
        "absorbed": [sloc.populations.RandomWalkSolver(drift, a, 2000).prefix_tv(n) for a in (10, 20)],
    }  # fmt: skip
    return Result(rows, fits, series)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV against tokens kept with and without absorption, and tokens against the drift."""
    from .pictures import BLUE, GREEN, ORANGE, SKY, ticks

    left, right = axes
    left.plot(found["n"], found["free"], color=BLUE, label="coins")
    for tv, a, colour in zip(found["absorbed"], (10, 20), (GREEN, SKY), strict=True):
        left.plot(found["n"], tv, color=colour, label=f"absorbed at ±{a}")
    left.set(xlabel="tokens kept, n", ylabel="TV of the two solvers", title="Δ = 0.05", ylim=(0, 1.03))
    left.legend(fontsize=7.5)
    drift, table = np.asarray(found["drift"]), np.asarray(found["table"])
    right.plot(drift, table[:, 0], color=BLUE, marker="o", markersize=4, label="exact n_after")
    right.plot(drift, table[:, 1], color=GREEN, marker="^", markersize=4, label="exact n_before")
    right.plot(
        drift, found["printed"], color=ORANGE, marker="s", markersize=3.5, linestyle="--", label="printed n_after"
    )
    right.set(
        xscale="log", yscale="log", xlabel="lean Δ of a token", ylabel="tokens kept", title=f"Θ(1/Δ²), ε = {EPSILON:g}"
    )
    right.legend(fontsize=7.5)
    ticks(right, found["drift"])
