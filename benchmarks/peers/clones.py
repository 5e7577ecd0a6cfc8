"""The clone experiment of Biroli, Bonnaire, de Bortoli & Mezard (2024), "Dynamical regimes of diffusion models".

Written from the paper's description.  Data are two Gaussians ``N(+-m, I)`` of equal weight, noised by ``dX = -X dt +
sqrt(2) dB``.  A reverse trajectory is run down to ``t``, copied, and both copies go on to the data with noises of their
own; ``phi(t)`` is the probability that they end on the same side.  The score is exact,
``a m tanh(a m . y) - y`` with ``a = exp(-t)``, and the two sides part at the speciation time ``log(|m|^2) / 2``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.atoms import workers

Curve = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class TwoClouds:
    """The problem.

    Attributes:
        mean: ``m``, ``[d]``.
        times: ``[T]``, increasing.
        first: where reverse trajectories end.
        last: where they start, from pure noise.

    """

    mean: np.ndarray
    times: np.ndarray
    first: float = 0.01
    last: float = 5.0

    @staticmethod
    def make(d: int, times: int) -> TwoClouds:
        """Take ``m = (1, ..., 1)``, as the paper does, and times on both sides of the speciation time."""
        return TwoClouds(np.ones(d), np.linspace(0.25, 3.25, times))

    def exact(self) -> np.ndarray:
        """``phi(t) = E[p^2 + (1 - p)^2]``, ``p`` the posterior of one side, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(200)
        reach = np.exp(-self.times)[:, None] * np.linalg.norm(self.mean)
        # By symmetry one side is enough; every variance is one under this process.
        p = 1 / (1 + np.exp(-2 * reach * (reach + nodes)))
        return (p**2 + (1 - p) ** 2) @ weights / np.sqrt(2 * np.pi)


def torch_as_written(problem: TwoClouds, n: int, steps: int = 500) -> Curve:
    """Euler steps down from noise to each time, two copies, and on to the data; the batch in one tensor."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(workers())
    grid = np.linspace(problem.last, problem.first, steps + 1)
    mean = torch.tensor(problem.mean, dtype=torch.float32)

    def down(y: Any, stages: range, generator: Any) -> Any:
        for i in stages:
            h, a = float(grid[i] - grid[i + 1]), float(np.exp(-grid[i]))
            score = a * mean * torch.tanh(a * (y @ mean))[:, None] - y
            y = y + h * (y + 2 * score) + (2 * h) ** 0.5 * torch.randn(y.shape, generator=generator)
        return y

    def run(seed: int) -> np.ndarray:
        generator, phi = torch.Generator().manual_seed(seed), []
        with torch.inference_mode():
            for t in problem.times:
                stage = int(np.argmin(np.abs(grid - t)))
                y = down(torch.randn((n, mean.shape[0]), generator=generator), range(stage), generator)
                sides = [down(y, range(stage, steps), generator) @ mean > 0 for _ in range(2)]
                phi.append((sides[0] == sides[1]).float().mean().item())
        return np.asarray(phi)

    return run


def torch_tuned(problem: TwoClouds, n: int, block: int = 1 << 13) -> Curve:
    """sloc's algebra: the posterior instead of copies, projected on ``m``, all times of a block that stays in cache."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(workers())
    a = torch.tensor(np.exp(-problem.times), dtype=torch.float32)[:, None]
    sigma, reach = torch.sqrt(1 - a**2), float(np.linalg.norm(problem.mean))
    sizes = [min(block, n - start) for start in range(0, n, block)]

    def run(seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros(len(problem.times))
        with torch.inference_mode():
            for size in sizes:
                # By symmetry one side is enough.
                x, z = reach + torch.randn(size, generator=generator), torch.randn(size, generator=generator)
                logits = torch.addcmul(a * x, sigma, z).mul_(2 * reach * a)
                p = logits.sigmoid_()
                total += (1 - 2 * p * (1 - p)).sum(dim=1)
        return (total / n).numpy()

    return run
