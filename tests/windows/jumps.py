"""Curves that jump once, and draws from them."""

from __future__ import annotations

import numpy as np

from sloc.windows.outcome_curves import OutcomeCounts

STEPS = 40


def step_truth(before, after, at=20):
    """A curve that jumps once, and masses that allow no other move."""
    curve = np.where(np.arange(STEPS)[:, None] < at, before, after)
    leaving = np.full(STEPS - 1, 0.002)
    leaving[at - 1] = 0.97
    return curve, leaving


def question(rng, curve, leaving, n=20, name="q"):
    """Draws from a curve."""
    seen = np.stack([rng.multinomial(n, p) for p in curve]).astype(float)
    return OutcomeCounts(name, tuple("ABCDEFGH"[: curve.shape[1]]), np.arange(len(curve), dtype=float), seen, leaving)


def counts(array, leaving=None, positions=None):
    """Counts of one question."""
    array = np.asarray(array, np.float64)
    steps = array.shape[0]
    masses = np.full(steps - 1, np.nan) if leaving is None else np.asarray(leaving, np.float64)
    places = np.arange(steps, dtype=np.float64) if positions is None else np.asarray(positions, np.float64)
    return OutcomeCounts("q", tuple("ABCDEF"[: array.shape[1]]), places, array, masses)
