"""Exact posterior of shares that move by known kernels and are seen in counts: forward and backward over positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.move_kernels import EDGES, GRID, SHARES

_LEAST = 2e-3
"""A share of a cell is taken as at least this in the likelihood: cells at 0 and 1 have a width."""


@dataclass(frozen=True)
class SharePosterior:
    """Messages of ``A`` shares over ``T`` positions.

    Attributes:
        forward: ``[T, A, G]`` law of the share given the draws up to each position.
        backward: ``[T, A, G]`` likelihood of the later draws, each scaled to a maximum of 1.
        likelihood: ``[T, A, G]`` of each position's own draws, scaled.
        kernels: ``[L, G, G]``.
        levels: ``[T - 1]`` which kernel leads from each position to the next.
        evidence: ``[A]`` log-probability of the draws (binomial coefficients left out).

    """

    forward: np.ndarray
    backward: np.ndarray
    likelihood: np.ndarray
    kernels: np.ndarray
    levels: np.ndarray
    evidence: np.ndarray

    def marginals(self) -> np.ndarray:
        """``[T, A, G]`` law of each share at each position given all draws."""
        product = self.forward * self.backward
        return product / product.sum(axis=2, keepdims=True)

    def pair(self, share: int, start: int, stop: int) -> np.ndarray:
        """``[G, G]`` joint law of a share at two positions, ``start < stop``."""
        joint = np.diag(self.forward[start, share])
        for t in range(start, stop):
            joint = joint @ self.kernels[self.levels[t]] * self.likelihood[t + 1, share]
            joint /= joint.sum()
        joint = joint * self.backward[stop, share]
        return joint / joint.sum()

    def expected_steps(self, power: int = 1) -> np.ndarray:
        """``[T - 1, A]`` posterior mean of ``|o_{t+1} - o_t|^power`` of each share."""
        distance = np.abs(SHARES[:, None] - SHARES[None, :]) ** power
        out = np.empty((self.levels.size, self.forward.shape[1]))
        for t, level in enumerate(self.levels):
            ahead = self.likelihood[t + 1] * self.backward[t + 1]
            total = np.einsum("ax,ax->a", self.forward[t], ahead @ self.kernels[level].T)
            out[t] = np.einsum("ax,ax->a", self.forward[t], ahead @ (self.kernels[level] * distance).T) / total
        return out


def filter_shares(
    counts: np.ndarray, totals: np.ndarray, kernels: np.ndarray, levels: np.ndarray, first: np.ndarray
) -> tuple[SharePosterior, ...]:
    """Filter and smooth ``A`` shares under ``P`` priors at once.

    Args:
        counts: ``[T, A]`` draws (whole, or effective ones) inside each set of answers, zero where nothing was drawn.
        totals: ``[T]`` draws at each position.
        kernels: ``[P, L, G, G]`` from :func:`sloc.windows.move_kernels.move_kernels`.
        levels: ``[P, T - 1]`` which kernel leads from each position to the next.
        first: ``[A, 2]`` parameters of each share's Beta prior at the first position.

    Returns:
        A posterior for each prior.

    """
    from scipy.special import betainc

    steps, priors = counts.shape[0], kernels.shape[0]
    log_in = np.log(np.clip(SHARES, _LEAST, 1.0))
    log_out = np.log(np.clip(1.0 - SHARES, _LEAST, 1.0))
    log_likelihood = counts[..., None] * log_in + (totals[:, None] - counts)[..., None] * log_out
    peak = log_likelihood.max(axis=2, keepdims=True)
    likelihood = np.exp(log_likelihood - peak)
    shape = (steps, priors, *likelihood.shape[1:])
    forward, backward = np.empty(shape), np.ones(shape)
    law = np.diff(betainc(first[:, :1], first[:, 1:], np.concatenate([[0.0], EDGES, [1.0]])[None, :]), axis=1)
    scales = np.empty(shape[:3])
    every = np.arange(priors)
    for t in range(steps):
        reached = law[None] if t == 0 else forward[t - 1] @ kernels[every, levels[:, t - 1]]
        joint = reached * likelihood[t]
        scale = joint.sum(axis=2, keepdims=True)
        np.divide(joint, scale, out=forward[t])
        scales[t] = scale[..., 0]
    transposed = kernels.swapaxes(2, 3)
    for t in range(steps - 2, -1, -1):
        back = (backward[t + 1] * likelihood[t + 1]) @ transposed[every, levels[:, t]]
        np.divide(back, back.max(axis=2, keepdims=True), out=backward[t])
    evidence = peak[..., 0].sum(axis=0) + np.log(scales).sum(axis=0)
    return tuple(
        SharePosterior(forward[:, p], backward[:, p], likelihood, kernels[p], levels[p], evidence[p])
        for p in range(priors)
    )


def quantiles(marginals: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of laws on the grid, rounded outwards to the edges of their cells.

    Args:
        marginals: ``[..., G]`` laws.
        low: ``[Q]`` levels in (0, 1), rounded down.
        high: ``[Q]`` levels in (0, 1), rounded up.

    Returns:
        Two arrays ``[Q, ...]``.

    """
    edges = np.concatenate([[0.0], EDGES, [1.0]])
    below = np.cumsum(marginals, axis=-1)

    def cell(level: float) -> np.ndarray:
        return np.minimum((below < level).sum(axis=-1), GRID - 1)

    return np.stack([edges[cell(q)] for q in low]), np.stack([edges[cell(q) + 1] for q in high])


def difference_quantiles(joint: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Quantiles of the second share less the first, rounded outwards to the edges of both cells.

    On plateaus with many draws all mass lies in one cell on either side; the difference is then known to half a cell on
    either side and no better.

    Args:
        joint: ``[G, G]`` joint law of two shares, as :meth:`SharePosterior.pair` gives it.
        low: level in (0, 1), rounded down.
        high: level in (0, 1), rounded up.

    Returns:
        Both quantiles.

    """
    edges = np.concatenate([[0.0], EDGES, [1.0]])
    least = (edges[None, :-1] - edges[1:, None]).ravel()
    most = (edges[None, 1:] - edges[:-1, None]).ravel()
    found = []
    for values, level in ((least, low), (most, high)):
        order = np.argsort(values, kind="stable")
        below = np.cumsum(joint.ravel()[order])
        found.append(float(values[order][min(int(np.searchsorted(below, level)), order.size - 1)]))
    return found[0], found[1]
