"""Mixtures of Gaussians: two in closed form, any number on the line by roots and by quadrature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

NODES = 40_001


def pair_tv(gap: np.ndarray, covariance: np.ndarray | float, a: float, sigma: float) -> float:
    """``2 Phi(r) - 1`` for ``N(mu, Sigma)`` against ``N(mu + gap, Sigma)`` after the channel."""
    gap = a * np.atleast_1d(np.asarray(gap, float))
    cov = np.asarray(covariance, float)
    if cov.ndim == 0:
        return float(2 * norm.cdf(np.linalg.norm(gap) / np.sqrt(a**2 * cov + sigma**2) / 2) - 1)
    cov = np.diag(cov) if cov.ndim == 1 else cov
    distance = np.sqrt(gap @ np.linalg.solve(a**2 * cov + sigma**2 * np.eye(gap.size), gap))
    return float(2 * norm.cdf(distance / 2) - 1)


class Line:
    """``sum_k w_k N(m_k, v_k)`` on the line: the law of ``Y_t`` by sub-population, and what follows from it."""

    def __init__(self, weights, means, variances, a: float = 1.0, sigma: float = 0.0):
        self.w = np.asarray(weights, float)
        self.m = a * np.asarray(means, float)
        self.sd = np.sqrt(a**2 * np.broadcast_to(np.asarray(variances, float), self.m.shape) + sigma**2)
        reach = 14 * self.sd.max()
        self.y = np.linspace(self.m.min() - reach, self.m.max() + reach, NODES)

    def logs(self, y: np.ndarray) -> np.ndarray:
        """``log p^k(y)``, ``[K, N]``."""
        return norm.logpdf(np.asarray(y)[None, :], self.m[:, None], self.sd[:, None])

    def set_log(self, members, y: np.ndarray) -> np.ndarray:
        """``log p^S(y)``."""
        members = list(members)
        return logsumexp(self.logs(y)[members], axis=0, b=(self.w[members] / self.w[members].sum())[:, None])

    def posteriors(self, y: np.ndarray) -> np.ndarray:
        """``[K, N]``."""
        joint = self.logs(y) + np.log(self.w)[:, None]
        return np.exp(joint - logsumexp(joint, axis=0))

    def tv(self, a, b) -> float:
        """Total variation of two sets, from the roots of the log ratio and the normal distribution function."""

        def ratio(y):
            return self.set_log(a, y) - self.set_log(b, y)

        grid = np.linspace(self.y[0], self.y[-1], 6001)
        signs = np.where(ratio(grid) >= 0, 1, -1)  # a root on a grid point counts once
        roots = [
            brentq(lambda v: float(ratio(np.array([v]))[0]), grid[i], grid[i + 1], xtol=1e-14)
            for i in np.flatnonzero(signs[:-1] * signs[1:] < 0)
        ]
        ends = np.array([-np.inf, *roots, np.inf])
        mass = self.set_cdf(a, ends) - self.set_cdf(b, ends)
        return float(np.abs(np.diff(mass)).sum() / 2)

    def set_cdf(self, members, y: np.ndarray) -> np.ndarray:
        """Distribution function of ``p^S``."""
        members = list(members)
        cdf = norm.cdf(y[None, :], self.m[members, None], self.sd[members, None])
        return (self.w[members] / self.w[members].sum()) @ cdf

    def mean_over(self, members, f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``E_{Y ~ p^S} f(posteriors)`` by the trapezoid rule (its error is far below rounding here)."""
        density = np.exp(self.set_log(members, self.y))
        return np.trapezoid(density * f(self.posteriors(self.y)), self.y)

    def tv_by_quadrature(self, a, b) -> float:
        """Total variation once more, by quadrature."""
        gap = np.abs(np.exp(self.set_log(a, self.y)) - np.exp(self.set_log(b, self.y)))
        return float(np.trapezoid(gap, self.y) / 2)

    def information(self) -> float:
        """``I(theta; Y)`` in bits."""

        def entropy(p):
            return -np.sum(np.where(p > 0, p * np.log2(np.maximum(p, 1e-300)), 0.0), axis=0)

        return float(-np.sum(self.w * np.log2(self.w)) - self.mean_over(range(len(self.w)), entropy))

    def labels(self, init) -> np.ndarray:
        """``E_{p^init} pi_k``, ``[K]``."""
        return np.asarray(self.mean_over(init, lambda p: p))

    def clones(self, init) -> float:
        """``E_{p^init} sum pi^2``."""
        return float(self.mean_over(init, lambda p: np.sum(p**2, axis=0)))

    def misassignment(self, members) -> float:
        """``E_{p^S}[1 - pi_S]``."""
        out = [k for k in range(len(self.w)) if k not in list(members)]
        return float(self.mean_over(members, lambda p: p[out].sum(0)))

    def certificate(self, init, target) -> float:
        """``TV(p^init, p^target) + E_{p^target}[1 - pi_target]``."""
        return self.tv(init, target) + self.misassignment(target)


def posterior(weights, means, covariances, a: float, sigma: float, y: np.ndarray) -> np.ndarray:
    """Posterior over Gaussian components at one ``y`` in any dimension, by SciPy's densities."""
    d = len(y)
    cov = np.asarray(covariances, float)
    cov = cov * np.eye(d) if cov.ndim == 0 else np.diag(cov) if cov.ndim == 1 else cov
    joint = np.array(
        [
            np.log(w)
            + multivariate_normal.logpdf(
                y, a * np.asarray(m), a**2 * (cov if cov.ndim == 2 else cov[k]) + sigma**2 * np.eye(d)
            )
            for k, (w, m) in enumerate(zip(weights, means, strict=True))
        ]
    )
    return np.exp(joint - logsumexp(joint))


def sampled_set_tv(weights, means, covariances, a, sigma, left, right, n: int, seed: int) -> tuple[float, float]:
    """``TV`` of two sets in any dimension by a plain float64 NumPy sampler, with its standard error."""
    rng, w = np.random.default_rng(seed), np.asarray(weights, float)
    means, d = np.asarray(means, float), np.shape(means)[1]
    cov = np.asarray(covariances, float)
    cov = cov * np.eye(d) if cov.ndim == 0 else np.diag(cov) if cov.ndim == 1 else cov
    each = [a**2 * (cov if cov.ndim == 2 else cov[k]) + sigma**2 * np.eye(d) for k in range(len(w))]

    def log_set(members, y):
        logs = np.stack([multivariate_normal.logpdf(y, a * means[k], each[k]) for k in members])
        return logsumexp(logs, axis=0, b=(w[members] / w[members].sum())[:, None])

    values = []
    for members in (left, right):
        ks = rng.choice(members, n, p=w[members] / w[members].sum())
        y = np.empty((n, d))
        for k in members:
            where = ks == k
            y[where] = rng.multivariate_normal(a * means[k], each[k], where.sum())
        gap = np.abs(log_set(left, y) - log_set(right, y))
        values.append(np.tanh(gap / 2))
    values = np.stack(values).mean(0)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(n))
