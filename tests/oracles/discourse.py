"""Words around a discourse vector as one dense Gaussian, float64 NumPy; nothing here uses the library."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq


def covariance(theta: np.ndarray, alpha: float, times: np.ndarray) -> np.ndarray:
    """Covariance of the words at Ornstein-Uhlenbeck ``times`` (flattened, word after word), from the definition."""
    d = theta.size
    start = np.eye(d) + alpha * np.outer(theta, theta)
    blocks = []
    for s in times:
        row = []
        for r in times:
            # C at the later of two times is the earlier one decayed, plus independent noise.
            early = min(s, r)
            var = math.exp(-2 * early) * start + (1 - math.exp(-2 * early)) * np.eye(d)
            row.append(math.exp(-abs(s - r)) * var + (s == r) * np.eye(d))
        blocks.append(row)
    return np.block(blocks)


def log_density(x: np.ndarray, known: np.ndarray, sigma: np.ndarray) -> float:
    """Log density of the seen coordinates under ``N(0, sigma)``."""
    keep = np.flatnonzero(known.ravel())
    part, v = sigma[np.ix_(keep, keep)], x.ravel()[keep]
    return float(-0.5 * (v @ np.linalg.solve(part, v) + np.linalg.slogdet(2 * np.pi * part)[1])) if keep.size else 0.0


def conditional_mean(x: np.ndarray, known: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Mean of all coordinates given the seen ones under ``N(0, sigma)``, flattened."""
    keep = np.flatnonzero(known.ravel())
    return sigma[:, keep] @ np.linalg.solve(sigma[np.ix_(keep, keep)], x.ravel()[keep])


def affinity(first: np.ndarray, second: np.ndarray) -> float:
    """``int sqrt(p q)`` of two centred Gaussians, by determinants."""
    logs = [np.linalg.slogdet(m)[1] for m in (first, second, (first + second) / 2)]
    return math.exp(0.25 * logs[0] + 0.25 * logs[1] - 0.5 * logs[2])


def planar_tv(first: np.ndarray, second: np.ndarray, points: int = 1500) -> float:
    """TV of two centred Gaussians in the plane by the midpoint rule on a square of ten standard deviations."""
    reach = 10 * math.sqrt(max(np.linalg.eigvalsh(m).max() for m in (first, second)))
    grid = (np.arange(points) + 0.5) / points * 2 * reach - reach
    x = np.stack(np.meshgrid(grid, grid), -1)

    def density(sigma):
        form = np.einsum("...i,ij,...j->...", x, np.linalg.inv(sigma), x)
        return np.exp(-0.5 * form) / (2 * math.pi * math.sqrt(np.linalg.det(sigma)))

    return float(0.5 * np.abs(density(first) - density(second)).sum() * (2 * reach / points) ** 2)


def printed_edges(alpha: float, cosine: float, epsilon: float) -> tuple[float, float]:
    """``T_after`` and ``T_before`` as printed in Li, Karan & Chen 2025, Thm. 9."""

    def phi(x):
        return (2 + x) / ((2 + x * (1 + cosine) / 2) * (2 + x * (1 - cosine) / 2))

    inverse = brentq(lambda x: phi(x) - epsilon**2, 1e-9, 1e12)
    slack = alpha * math.sqrt(1 + alpha**2) * math.sqrt(1 - cosine**2) / epsilon
    return 0.5 * math.log(alpha / inverse), 0.5 * math.log(slack)
