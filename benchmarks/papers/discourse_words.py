"""Thm. 9: the words around a discourse vector, and how much one of them tells."""

from __future__ import annotations

import math

import jax
import numpy as np

import sloc

from .rows import Row

NAME, ALPHA, COSINE = "Thm. 9", 1e8, 0.3


def words(alpha: float, length: int) -> sloc.populations.KalmanDiscourse:
    """Return two topics at the cosine, one word per unit of time."""
    directions = np.array([[1.0, 0.0], [COSINE, math.sqrt(1 - COSINE**2)]])
    return sloc.populations.KalmanDiscourse(directions, alpha, length)


def by_word(length: int) -> sloc.ObservationProcess:
    """Return truncation that hides whole words (of two coordinates each)."""
    steps = sloc.processes.Steps(2 * np.arange(length + 1))
    return sloc.processes.Retimed(sloc.processes.Truncation(2 * length), steps)


def overlaps(n: int = 200_000) -> list[Row]:
    """Return the affinity of one word under two topics: of the Gaussians' determinants, by draws, ``sqrt(2 phi)``."""
    rows = []
    for t in (6, 8):
        # The word that stands at this time: stretched by what is left of alpha.
        x = ALPHA * math.exp(-2 * t)
        curve = sloc.measure(
            jax.random.key(23), by_word(1), words(x, 1), [0], {"it": sloc.Hellinger(0, 1)}, n=n, delta=1e-6,
            method="monte-carlo",
        )["it"]  # fmt: skip
        value, low, high = (1 - float(np.asarray(v)[0]) for v in (curve.value, curve.upper, curve.lower))
        phi = (2 + x) / ((2 + x * (1 + COSINE) / 2) * (2 + x * (1 - COSINE) / 2))
        rows.append(
            Row(NAME, f"α = 1e8, cos = {COSINE:g}, the word at t = {t}", "BC of one word", word_affinity(x), value, low,
                high, f"{int(curve.n):,} draws", math.sqrt(2 * phi), "√(2φ(x)), x = α e^{-2t}: exact as printed")
        )  # fmt: skip
    return rows


def covariances(x: float) -> list[np.ndarray]:
    """Return the covariance of a word under each topic, ``2 I + x theta theta^T``."""
    return [2 * np.eye(2) + x * np.outer(u, u) for u in np.asarray(words(x, 1).directions, np.float64)]


def word_affinity(x: float) -> float:
    """Return ``int sqrt(p q)`` of two centred Gaussians: ``(|A| |B|)^{1/4} / |(A + B) / 2|^{1/2}``."""
    a, b = covariances(x)
    logs = [float(np.linalg.slogdet(m)[1]) for m in (a, b, (a + b) / 2)]
    return math.exp((logs[0] + logs[1]) / 4 - logs[2] / 2)


def stretch_left(time: float) -> float:
    """Return ``e^{-T} sqrt(2 KL)`` of ``N(0, 1 + alpha)`` from ``N(0, 1)``, the divergence by quadrature.

    Along the topic alone is the discourse vector no standard Gaussian; ``2 KL`` shrinks by ``e^{-2T}`` at least.
    """
    z, weights = np.polynomial.hermite_e.hermegauss(20)
    # log p / q at sqrt(1 + alpha) z, a polynomial of z: the rule is exact.
    ratio = ALPHA * z**2 / 2 - math.log(1 + ALPHA) / 2
    return math.exp(-time) * math.sqrt(2 * float(weights @ ratio) / math.sqrt(2 * math.pi))
