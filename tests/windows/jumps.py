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
