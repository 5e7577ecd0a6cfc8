"""Laws of the next share on a grid, with a mean and a variance that the grid does not change.

A law of ``o_{t+1}`` is given on many points of its own.  Binned to the nearest shares it would lose steps smaller than
a cell, split over the two shares around each point it would gain variance; a mixture of the two has the law's own.
"""

from __future__ import annotations

import numpy as np

_STEEPEST, _DRIFT = 1e6, 1e-14


def tilted_to_mean(points: np.ndarray, laws: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Nearest laws with given means: ``l(o) exp(c o)`` scaled to one, of least relative entropy to ``l``.

    Args:
        points: ``[N, M]`` or ``[M]`` where the laws live.
        laws: ``[N, M]``, not negative.
        means: ``[N]``.

    Returns:
        ``[N, M]``, the mean kept to rounding.  A law that has nothing on one side of its mean has no such tilt; it is
        only scaled to one.

    """
    points = np.broadcast_to(points, laws.shape)
    # Differences of distribution functions may be below nothing by rounding.
    laws = np.maximum(laws, 0.0)
    laws = laws / laws.sum(axis=1, keepdims=True)
    out, off = laws.copy(), points - means[:, None]
    # In units of its own reach a law needs no tilt beyond some thousands.
    off = off / np.maximum(np.abs(off).max(axis=1, keepdims=True), 1e-300)
    left = np.flatnonzero(((laws > 0) & (off < 0)).any(axis=1) & ((laws > 0) & (off > 0)).any(axis=1))
    with np.errstate(divide="ignore"):
        logs = np.log(laws)
    tilt = np.zeros(means.size)
    low, high = np.full(means.size, -_STEEPEST), np.full(means.size, _STEEPEST)
    # Newton's steps, halving where they leave the bracket: the mean rises with the tilt.
    while left.size:
        away = off[left]
        power = logs[left] + tilt[left, None] * away
        law = np.exp(power - power.max(axis=1, keepdims=True))
        law /= law.sum(axis=1, keepdims=True)
        out[left] = law
        drift, spread = (law * away).sum(axis=1), (law * away**2).sum(axis=1)
        high[left] = np.where(drift > 0, tilt[left], high[left])
        low[left] = np.where(drift > 0, low[left], tilt[left])
        step = tilt[left] - drift / np.maximum(spread - drift**2, 1e-300)
        inside = (low[left] < step) & (step < high[left])
        tilt[left] = np.where(inside, step, 0.5 * (low[left] + high[left]))
        going = (np.abs(drift) > _DRIFT) & (high[left] - low[left] > 1e-9)
        left = left[going]
    return out


def on_grid(points: np.ndarray, laws: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Laws on a grid with the same means and, where the grid allows it, the same variances.

    Args:
        points: ``[N, M]`` inside the grid.
        laws: ``[N, M]``, each summing to one.
        grid: ``[G]`` increasing.

    Returns:
        ``[N, G]``: means kept to rounding; variances too, but where a mean between two shares, split over both, has a
        larger one already, or where binning adds to it.

    """
    means = (laws * points).sum(axis=1)
    variances = (laws * (points - means[:, None]) ** 2).sum(axis=1)
    above = np.clip(np.searchsorted(grid, points), 1, grid.size - 1)
    part = np.clip((points - grid[above - 1]) / (grid[above] - grid[above - 1]), 0.0, 1.0)
    split = _gathered(above - 1, laws * (1.0 - part), grid.size) + _gathered(above, laws * part, grid.size)
    binned = tilted_to_mean(grid, _gathered(above - 1 + (part > 0.5), laws, grid.size), means)
    # Steps that stay within a cell, or leave it on one side only: the mean alone, over the two shares around it.
    upper = np.clip(np.searchsorted(grid, means), 1, grid.size - 1)
    part = ((means - grid[upper - 1]) / (grid[upper] - grid[upper - 1]))[:, None]
    still = (1.0 - part) * np.eye(grid.size)[upper - 1] + part * np.eye(grid.size)[upper]
    missed = np.abs(binned @ grid - means) > 1e-12
    binned = np.where(missed[:, None], still, binned)
    least, most = ((law * (grid - means[:, None]) ** 2).sum(axis=1) for law in (binned, split))
    weight = np.clip((variances - least) / np.maximum(most - least, 1e-300), 0.0, 1.0)[:, None]
    return (1.0 - weight) * binned + weight * split


def _gathered(at: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """``[N, size]`` sums of weights by place."""
    rows = np.arange(at.shape[0])[:, None] * size
    return np.bincount((rows + at).ravel(), weights.ravel(), at.shape[0] * size).reshape(at.shape[0], size)
