"""Distributions on [0, 1] of known mean and spread, and the check that an interval covers their means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import stats

FALSE_ALARM = 1e-10


@dataclass(frozen=True)
class Bounded:
    mean: float
    sd: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def two_point(p: float, low: float = 0.0, high: float = 1.0) -> Bounded:
    def draw(rng, shape):
        return np.where(rng.random(shape) < p, high, low)

    return Bounded(low + p * (high - low), math.sqrt(p * (1 - p)) * (high - low), draw)


def beta(a: float, b: float) -> Bounded:
    law = stats.beta(a, b)
    return Bounded(float(law.mean()), float(law.std()), lambda rng, shape: rng.beta(a, b, shape))


# Values that are not float32 numbers are chosen so that rounding moves no mean by a visible amount.
DISTRIBUTIONS = {
    "zero": two_point(0.0),
    "one": two_point(1.0),
    "constant": two_point(0.0, low=0.3125),
    "bernoulli(1e-4)": two_point(1e-4),
    "uniform": beta(1.0, 1.0),
    "arcsine": beta(0.5, 0.5),
    "beta(2, 5)": beta(2.0, 5.0),
    "overlap 1e-2": two_point(0.02, high=0.5),
    "overlap 1e-4": two_point(1e-3, low=0.0, high=0.1),
    "near one": two_point(0.01, low=1.0, high=0.25),
}


def allowed_misses(repetitions: int, delta: float) -> int:
    """Misses that an interval of level ``delta`` exceeds with probability at most ``FALSE_ALARM``."""
    return int(stats.binom.isf(FALSE_ALARM, repetitions, delta))


def misses(lower: np.ndarray, upper: np.ndarray, mean: float) -> int:
    """Repetitions (first axis) whose interval leaves out the mean at any time (further axes)."""
    # The constants are float32 values and the bounds float64: allow the last digits of float32.
    out = (np.asarray(lower) > mean * (1 + 1e-6)) | (np.asarray(upper) < mean * (1 - 1e-6)) | np.isnan(lower + upper)
    return int(out.reshape(len(out), -1).any(axis=1).sum())


def normal_interval(values: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the asymptotic interval: the row that must fail."""
    return normal_from_moments(values.mean(-1), values.std(-1), values.shape[-1], delta)


def normal_from_moments(mean, sd, n, delta):
    half = NormalDist().inv_cdf(1 - delta / 2) * sd / np.sqrt(n)
    return mean - half, mean + half


def width_ratio(lower: np.ndarray, upper: np.ndarray, law: Bounded, n: int, delta: float) -> float:
    """Mean width over the width of the normal interval with the true standard deviation."""
    return float(np.mean(upper - lower)) / (2 * NormalDist().inv_cdf(1 - delta / 2) * law.sd / math.sqrt(n))
