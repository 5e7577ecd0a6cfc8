"""Posterior of shares that move by known kernels, or leap, and are seen in counts: exact, forward and backward.

A prior may know several modes of moving (:class:`sloc.windows.RunPrior`): a Markov chain that draws see
through the share alone, summed out with it.

Draws may contradict what a step is allowed, or move as the prior's tails hold for all but impossible, and thousands of
them rule the rest out beyond what a floating number can say.  So each step also leads to any cell with the weight
``LEAP``, which draws that ask for no leap do not notice.  No message of a cell is then below that of another by much
more than ``LEAP`` before its own draws are seen, so that products of messages do not underflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sloc.windows.move_kernels import EDGES, GRID, SHARES

_LEAST = 2e-3
"""A share of a cell, and what is left of one, are taken as at least this in the likelihood: cells have a width.

Both together stay one.  If only the first were raised, a share of 0 would be likelier than what was drawn up to about
.0055, and of many answers that are each so rare nothing would be left.
"""
LEAP = 1e-12
"""Weight of a step to any cell, beside what the kernels say: some 28 nats against it."""


@dataclass(frozen=True)
class SharePosterior:
    """Messages of ``A`` shares over ``T`` positions, in each of ``M`` modes of moving.

    Attributes:
        forward: ``[T, M, A, G]`` law of mode and share given the draws up to each position.
        backward: ``[T, M, A, G]`` likelihood of the later draws, each share's scaled to a maximum of 1.
        log_likelihood: ``[T, A, G]`` of each position's own draws, less its largest.
        kernels: ``[L, M, G, G]``, the step of the mode that it leads to.
        chain: ``[M, M]`` transition matrix of the modes.
        levels: ``[T - 1]`` which kernel leads from each position to the next.
        evidence: ``[A]`` log-probability of the draws (binomial coefficients left out).
        leaps: ``[T - 1, A]`` probability of a leap at each step, given all draws.

    """

    forward: np.ndarray
    backward: np.ndarray
    log_likelihood: np.ndarray
    kernels: np.ndarray
    chain: np.ndarray
    levels: np.ndarray
    evidence: np.ndarray
    leaps: np.ndarray

    def marginals(self) -> np.ndarray:
        """``[T, A, G]`` law of each share at each position given all draws."""
        product = (self.forward * self.backward).sum(axis=1)
        return product / product.sum(axis=2, keepdims=True)

    def pair(self, share: int, start: int, stop: int) -> np.ndarray:
        """``[G, G]`` joint law of a share at two positions, ``start < stop``."""
        joint = np.eye(GRID) * self.forward[start, :, share, None, :]
        for t in range(start, stop):
            mixed = _mixed(self.chain.T, joint)
            reached = mixed @ self.kernels[self.levels[t]] + LEAP * mixed.sum(axis=2, keepdims=True)
            joint = reached * np.exp(self.log_likelihood[t + 1, share])
            joint /= joint.sum()
        joint = (joint * self.backward[stop, :, share, None, :]).sum(axis=0)
        return joint / joint.sum()

    def expected_steps(self, power: int = 1) -> np.ndarray:
        """``[T - 1, A]`` posterior mean of ``|o_{t+1} - o_t|^power`` of each share."""
        distance = np.abs(SHARES[:, None] - SHARES[None, :]) ** power
        out = np.empty((self.levels.size, self.forward.shape[2]))
        for t, level in enumerate(self.levels):
            now, kernel = _mixed(self.chain.T, self.forward[t]), self.kernels[level] + LEAP
            ahead = self.backward[t + 1] * np.exp(self.log_likelihood[t + 1])
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
    inside = np.clip(SHARES, _LEAST, 1.0 - _LEAST)
    log_in, log_out = np.log(inside), np.log1p(-inside)
    log_likelihood = counts[..., None] * log_in + (totals[:, None] - counts)[..., None] * log_out
    peak = log_likelihood.max(axis=2, keepdims=True)
    log_likelihood -= peak
    likelihood = np.exp(log_likelihood)
    shape = (steps, priors, number, *log_likelihood.shape[1:])
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
        if t == 0:
            reached = started[:, :, None, None] * (law + LEAP)
        else:
            mixed = _mixed(ahead, forward[t - 1])
            reached = mixed @ step(kernels, t - 1) + LEAP * mixed.sum(axis=3, keepdims=True)
        joint = reached * likelihood[t]
        total = joint.sum(axis=(1, 3))
        scales[t] = np.log(total)
        np.divide(joint, total[:, None, :, None], out=forward[t])
    transposed, leaps = kernels.swapaxes(3, 4), np.empty((steps - 1, priors, shape[3]))
    for t in range(steps - 2, -1, -1):
        later = backward[t + 1] * likelihood[t + 1]
        leap = LEAP * later.sum(axis=3, keepdims=True)
        back = _mixed(chains, later @ step(transposed, t) + leap)
        by_leap = (forward[t] * _mixed(chains, np.broadcast_to(leap, back.shape))).sum(axis=(1, 3))
        leaps[t] = by_leap / (forward[t] * back).sum(axis=(1, 3))
        np.divide(back, back.max(axis=(1, 3), keepdims=True), out=backward[t])
    evidence = peak[..., 0].sum(axis=0) + scales.sum(axis=0)
    return tuple(
        SharePosterior(
            forward[:, p], backward[:, p], log_likelihood, kernels[p], chains[p], levels[p], evidence[p], leaps[:, p]
        )
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
