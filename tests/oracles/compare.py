"""Statistical comparison of a measured curve with the truth."""

from __future__ import annotations

import numpy as np

DELTA = 1e-10
"""Error level of the bands that tests ask for: each is missed with at most this probability."""
SIGMAS = 6.5
"""Width of the z-test beside the band: 8e-11 two-sided where the mean is close to normal."""


def assert_matches(curve, truth, *, rounding: float = 2e-6, z: bool = True) -> None:
    """Assert that the truth lies in the band (rigorous) and within 6.5 standard errors of the value (catches bias)."""
    truth = np.asarray(truth, float)
    value, lower, upper = (np.asarray(getattr(curve, k), float) for k in ("value", "lower", "upper"))
    assert value.shape == truth.shape
    assert "monte carlo" in curve.method
    assert int(curve.n) > 0
    assert np.all(lower <= truth + rounding), (curve, truth, lower)
    assert np.all(truth <= upper + rounding), (curve, truth, upper)
    if z:
        # A handful of rare draws has no normal mean: there the band alone decides.
        gap = np.abs(value - truth)
        assert np.all(gap <= SIGMAS * np.asarray(curve.stderr, float) + rounding), (
            curve,
            gap / np.maximum(np.asarray(curve.stderr, float), 1e-12),
        )
