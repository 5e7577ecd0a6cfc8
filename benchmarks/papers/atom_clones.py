"""How often two clones agree on the atom, in double precision: a sum over a lattice, or draws with their error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq

from .atom_windows import signal_to_noise

LATTICE = 4
"""Up to how many dimensions the lattice is summed."""


def squares(offsets: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return ``sum_i pi_i^2`` at ``y = x_k + z`` from ``x_i - x_k`` in units of the noise, ``[N]``."""
    logs = z @ offsets.T - (offsets**2).sum(1) / 2
    p = np.exp(logs - logs.max(1, keepdims=True))
    return (p**2).sum(1) / p.sum(1) ** 2


def by_lattice(atoms: np.ndarray, t: float, spacing: float = 0.5, reach: float = 6.0) -> float:
    """Return ``E sum pi^2`` at noise ``t``: a sum over a lattice around each atom, in all dimensions.

    The integrand is smooth, so the error of the sum falls faster than any power of the spacing.
    """
    d, axis = atoms.shape[1], np.arange(-reach, reach + spacing / 2, spacing)
    z = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d)
    z = z[(z**2).sum(1) <= reach**2]
    mass = np.exp(-0.5 * (z**2).sum(1)) * (spacing / math.sqrt(2 * math.pi)) ** d
    r = signal_to_noise(t)
    return float(np.mean([mass @ squares(r * (atoms - own), z) for own in atoms]))


def by_draws(atoms: np.ndarray, t: float, draws: int, chunk: int = 1_000) -> tuple[float, float]:
    """Return ``E sum pi^2`` at noise ``t`` and its standard error: as many draws of each atom."""
    rng, r, means, spread = np.random.default_rng(11), signal_to_noise(t), [], 0.0
    each = -(-draws // len(atoms))
    sizes = [min(chunk, each - i) for i in range(0, each, chunk)]
    for own in atoms:
        values = np.concatenate([squares(r * (atoms - own), rng.normal(size=(n, len(own)))) for n in sizes])
        means.append(values.mean())
        spread += values.var(ddof=1) / each
    return float(np.mean(means)), math.sqrt(spread) / len(atoms)


def half_time(atoms: np.ndarray, said: float, draws: int = 400_000) -> tuple[float, float]:
    """Return the noise at which clones agree half the time, and its standard error (0 by lattice)."""
    if atoms.shape[1] <= LATTICE:
        found: Any = brentq(lambda t: by_lattice(atoms, t) - 0.5, said, 2 * said, xtol=1e-7)
        return float(found), 0.0
    found = brentq(lambda t: by_draws(atoms, t, draws)[0] - 0.5, said, 2 * said, xtol=1e-5)
    fall = (by_draws(atoms, found * 0.97, draws)[0] - by_draws(atoms, found * 1.03, draws)[0]) / (0.06 * found)
    return float(found), by_draws(atoms, found, draws)[1] / fall
