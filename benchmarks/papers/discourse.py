"""Thm. 9: words around a discourse vector that turns towards its topic, read from the far end."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

import sloc
from sloc.windows import printed

from .certified import window_rows
from .discourse_words import ALPHA, COSINE, NAME, by_word, overlaps, stretch_left, words
from .rows import Fit, Result, Row, same, slope

EPSILON, WORDS = 0.1, 20
ALPHAS = (1e4, 1e6, 1e8, 1e10, 1e12, 1e14, 1e16)


def library_window(alpha: float, length: int) -> sloc.Window:
    """Return the library's window, in words removed, which is time here."""
    return sloc.critical_window(
        jax.random.key(6), by_word(length), words(alpha, length), 0, [0, 1], epsilon=EPSILON, method="closed-form"
    )


def exact_edges(alpha: float, length: int) -> tuple[int, int]:
    """Return the edges by ``TV = (2 / pi) arcsin(..)`` of the first words; see ``KalmanDiscourse.prefix_tv``."""
    tv = words(alpha, length).prefix_tv(0, 1, np.arange(length, -1, -1))
    return int(np.flatnonzero(tv >= 1 - EPSILON**2).max()), int(np.flatnonzero(tv / 2 <= EPSILON).min())


def certified(budget: int = 120_000) -> list[Row]:
    """Return the same window by draws, closed forms switched off."""
    window = sloc.critical_window(
        jax.random.key(6), by_word(WORDS), words(ALPHA, WORDS), 0, [0, 1], epsilon=EPSILON, method="monte-carlo",
        certify=True, budget=budget,
    )  # fmt: skip
    setting, said = f"α = 1e8, cos = {COSINE:g}, ε = {EPSILON:g}", printed.discourse_edges(ALPHA, COSINE, EPSILON)
    notes = "at 4 words TV is .98988, next to 1 - ε² = .99", ""
    return window_rows(NAME, setting, exact_edges(ALPHA, WORDS), window, unit="words = OU time", said=said, notes=notes)


def run() -> Result:
    """Return exact, certified and printed edges, and how they grow with alpha."""
    found = closed()
    return Result(found.rows + overlaps() + certified(), found.fits, found.series)


def closed() -> Result:
    """Return what takes no draws."""
    window, said = library_window(ALPHA, WORDS), printed.discourse_edges(ALPHA, COSINE, EPSILON)
    exact, setting = exact_edges(ALPHA, WORDS), f"α = 1e8, cos = {COSINE:g}, ε = {EPSILON:g}"
    mended = printed.discourse_before_from_kl(ALPHA, COSINE, EPSILON)
    excess = 0.5 * math.log(math.sqrt(1 + ALPHA**2)) + 0.5 * math.log(4)
    rows = [
        Row(NAME, setting, "T_after (words = OU time)", exact[0], *same(window.t_after), window.method, said.after,
            "an edge of the posterior mass: no edge of the definition, which is earlier"),
        Row(NAME, setting, "T_before (words = OU time)", exact[1], *same(window.t_before), window.method, said.before,
            f"a factor √(1+α²) too much: {excess:.2f} later than what KL gives"),
        Row(NAME, setting, "T_before (words = OU time), from KL", exact[1], *same(window.t_before), window.method,
            mended, "correct and simple: x √(1-c²) ≤ 4ε"),
        Row(NAME, setting, "e^{-T} √(2 KL) at T = 20", stretch_left(WORDS), None, None, None, "",
            printed.discourse_slack(ALPHA, WORDS),
            "the printed edge asks for ε at most, which is why it takes T = 20 words to state it"),
    ]  # fmt: skip
    edges = np.array([[w.t_after, w.t_before] for w in (library_window(a, 30) for a in ALPHAS)], np.float64)
    said_all = np.array([printed.discourse_edges(a, COSINE, EPSILON) for a in ALPHAS])
    # Whole words: the edge in continuous time lies up to one word before t_before, up to one after t_after.
    band = (edges[:, 1] - 1, edges[:, 1])
    # With little stretch not even all words tell the topics apart: no T_after.
    told = np.isfinite(edges[:, 0])
    stretch, early = np.array(ALPHAS)[told], edges[told, 0]
    fits = [
        Fit(NAME, "T_after ~ ½ ln α", "α", "exact T_after (slope in ln α)",
            *slope(stretch, early + 0.5, band=(early, early + 1), log_y=False), 0.5),
        Fit(NAME, "T_after ~ ½ ln α", "α", "printed T_after (slope in ln α)",
            *slope(ALPHAS, said_all[:, 0], log_y=False), 0.5),
        Fit(NAME, "T_before ~ ½ ln α", "α", "exact T_before (slope in ln α)",
            *slope(ALPHAS, edges[:, 1] - 0.5, band=band, log_y=False), 0.5),
        Fit(NAME, "T_before ~ ½ ln α", "α", "printed T_before (slope in ln α)",
            *slope(ALPHAS, said_all[:, 1], log_y=False), 0.5),
    ]  # fmt: skip
    t = np.arange(WORDS + 1)
    tv = words(ALPHA, WORDS).prefix_tv(0, 1, t[::-1])
    series = {"t": t, "tv": tv, "exact": exact, "printed": said, "alpha": ALPHAS, "edges": edges, "said": said_all,
              "mended": [printed.discourse_before_from_kl(a, COSINE, EPSILON) for a in ALPHAS]}  # fmt: skip
    return Result(rows, fits, series)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV with both windows, and edges against alpha."""
    from .pictures import BLUE, GREEN, ORANGE, SKY, span

    left, right = axes
    left.plot(found["t"], found["tv"], color=BLUE, marker="o", markersize=3, linewidth=1)
    span(left, found["exact"], BLUE, "exact window", 0.0)
    span(left, found["printed"], ORANGE, "printed", 0.06)
    left.set(
        xlabel="words removed, t (OU time)", ylabel="TV of the two topics", title="α = 1e8, ε = 0.1", ylim=(-0.14, 1.05)
    )
    left.legend(fontsize=7.5)
    a, edges, said = found["alpha"], np.asarray(found["edges"], float), np.asarray(found["said"])
    right.plot(a, said[:, 1], color=ORANGE, marker="s", markersize=3.5, linestyle="--", label="printed T_before")
    right.plot(a, found["mended"], color=GREEN, marker="^", markersize=4, linestyle="--", label="T_before from KL")
    right.plot(a, edges[:, 1], color=BLUE, marker="o", markersize=4, label="exact T_before")
    right.plot(a, edges[:, 0], color=SKY, marker="o", markersize=4, label="exact T_after")
    right.set(xscale="log", xlabel="stretch α", ylabel="words removed (OU time)", title="edges against α")
    right.legend(fontsize=7.5)
