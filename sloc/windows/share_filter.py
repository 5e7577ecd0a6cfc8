"""Exact posterior of shares that move by known kernels and are seen in counts: forward and backward over positions.

A prior may know several modes of moving (:class:`sloc.windows.RunPrior`): a Markov chain that draws see
through the share alone, summed out with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.move_kernels import EDGES, GRID, SHARES

_LEAST = 2e-3
"""A share of a cell is taken as at least this in the likelihood: cells at 0 and 1 have a width."""


@dataclass(frozen=True)
class SharePosterior:
    """Messages of ``A`` shares over ``T`` positions, in each of ``M`` modes of moving.

    Attributes:
        forward: ``[T, M, A, G]`` law of mode and share given the draws up to each position.
        backward: ``[T, M, A, G]`` likelihood of the later draws, each share's scaled to a maximum of 1.
        likelihood: ``[T, A, G]`` of each position's own draws, scaled.
        kernels: ``[L, M, G, G]``, the step of the mode that it leads to.
        chain: ``[M, M]`` transition matrix of the modes.
        levels: ``[T - 1]`` which kernel leads from each position to the next.
        evidence: ``[A]`` log-probability of the draws (binomial coefficients left out).

    """

    forward: np.ndarray
    backward: np.ndarray
    likelihood: np.ndarray
    kernels: np.ndarray
    chain: np.ndarray
    levels: np.ndarray
    evidence: np.ndarray

    def marginals(self) -> np.ndarray:
        """``[T, A, G]`` law of each share at each position given all draws."""
        product = (self.forward * self.backward).sum(axis=1)
        return product / product.sum(axis=2, keepdims=True)

    def pair(self, share: int, start: int, stop: int) -> np.ndarray:
        """``[G, G]`` joint law of a share at two positions, ``start < stop``."""
        joint = np.eye(GRID) * self.forward[start, :, share, None, :]
        for t in range(start, stop):
            joint = _mixed(self.chain.T, joint) @ self.kernels[self.levels[t]] * self.likelihood[t + 1, share]
            joint /= joint.sum()
        joint = (joint * self.backward[stop, :, share, None, :]).sum(axis=0)
        return joint / joint.sum()

    def expected_steps(self, power: int = 1) -> np.ndarray:
        """``[T - 1, A]`` posterior mean of ``|o_{t+1} - o_t|^power`` of each share."""
        distance = np.abs(SHARES[:, None] - SHARES[None, :]) ** power
        out = np.empty((self.levels.size, self.forward.shape[2]))
        for t, level in enumerate(self.levels):
            now, kernel = _mixed(self.chain.T, self.forward[t]), self.kernels[level]
            ahead = self.likelihood[t + 1] * self.backward[t + 1]
            total = np.einsum("max,max->a", now, ahead @ kernel.swapaxes(1, 2))
            out[t] = np.einsum("max,max->a", now, ahead @ (kernel * distance).swapaxes(1, 2)) / total
        return out


def _mixed(chain: np.ndarray, law: np.ndarray) -> np.ndarray:
    """Sum modes: ``[..., M, M]`` times ``[..., M, X, G]`` over the last ``M``."""
    flat = law.reshape(*law.shape[:-2], -1)
    return (chain @ flat).reshape(law.shape)


def filter_shares(
    counts: np.ndarray,
    totals: np.ndarray,
    kernels: np.ndarray,
    levels: np.ndarray,
    first: np.ndarray,
    modes: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[SharePosterior, ...]:
    """Filter and smooth ``A`` shares under ``P`` priors at once.

    Args:
        counts: ``[T, A]`` draws (whole, or effective ones) inside each set of answers, zero where nothing was drawn.
        totals: ``[T]`` draws at each position.
        kernels: ``[P, L, M, G, G]`` from ``sloc.windows.move_kernels.mode_kernels``.
        levels: ``[P, T - 1]`` which kernel leads from each position to the next.
        first: ``[A, 2]`` parameters of each share's Beta prior at the first position.
        modes: ``[P, M]`` law of the mode at the first position and ``[P, M, M]`` transition matrices; a single mode
            when None.

    Returns:
        A posterior for each prior.

    """
    from scipy.special import betainc

    steps, (priors, _, number) = counts.shape[0], kernels.shape[:3]
    started, chains = (np.ones((priors, 1)), np.ones((priors, 1, 1))) if modes is None else modes
    log_in = np.log(np.clip(SHARES, _LEAST, 1.0))
    log_out = np.log(np.clip(1.0 - SHARES, _LEAST, 1.0))
    log_likelihood = counts[..., None] * log_in + (totals[:, None] - counts)[..., None] * log_out
    peak = log_likelihood.max(axis=2, keepdims=True)
    likelihood = np.exp(log_likelihood - peak)
    shape = (steps, priors, number, *likelihood.shape[1:])
    forward, backward = np.empty(shape), np.ones(shape)
    law = np.diff(betainc(first[:, :1], first[:, 1:], np.concatenate([[0.0], EDGES, [1.0]])[None, :]), axis=1)
    scales = np.empty((steps, priors, shape[3]))
    every, ahead = np.arange(priors), chains.swapaxes(1, 2)
    # A view where all priors step alike, as they do where probabilities are known: no copy of every kernel.
    alike = (levels == levels[0]).all(axis=0)
    at = [levels[0, t] if alike[t] else None for t in range(steps - 1)]

    def step(tables: np.ndarray, t: int) -> np.ndarray:
        return tables[every, levels[:, t]] if at[t] is None else tables[:, at[t]]

    for t in range(steps):
        reached = started[:, :, None, None] * law if t == 0 else _mixed(ahead, forward[t - 1]) @ step(kernels, t - 1)
        joint = reached * likelihood[t]
        scales[t] = joint.sum(axis=(1, 3))
        np.divide(joint, scales[t][:, None, :, None], out=forward[t])
    transposed = kernels.swapaxes(3, 4)
    for t in range(steps - 2, -1, -1):
        back = _mixed(chains, (backward[t + 1] * likelihood[t + 1]) @ step(transposed, t))
        np.divide(back, back.max(axis=(1, 3), keepdims=True), out=backward[t])
    evidence = peak[..., 0].sum(axis=0) + np.log(scales).sum(axis=0)
    return tuple(
        SharePosterior(forward[:, p], backward[:, p], likelihood, kernels[p], chains[p], levels[p], evidence[p])
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
        joint: ``[G, G]`` joint law of two shares, as ``SharePosterior.pair`` gives it.
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
