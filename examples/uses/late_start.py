"""A late start: before the last window nothing is decided, and a Gaussian with the data's two moments stands for it.

Run ``python -m examples.uses.late_start``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import sloc
from examples.uses.digits import PARTS, PROCESS, judge, trained, windows
from sloc import samplers

STEPS = 32


def matched(mean, root, key, t, y=None):
    """Start from ``N(a mean, a^2 cov + sigma^2)`` at any time; ``root @ root.T = cov``."""
    a, sigma = PROCESS.coefficients(t)
    key_x, key_noise = jax.random.split(key)
    x = mean + root @ jax.random.normal(key_x, mean.shape)
    drawn = a * x + sigma * jax.random.normal(key_noise, mean.shape)
    return samplers.LocalizerState(drawn.reshape(8, 8) if y is None else y, t)


def main(small: bool = False) -> dict:
    """Return, for starts in noise, at the last window and inside it, the calls, accuracy and law of the classes."""
    model, n = trained(small), 1_024 if small else 8_192
    flat = PARTS.generator[0].reshape(-1, 64)
    mean, root = jnp.asarray(flat.mean(0)), jnp.asarray(np.linalg.cholesky(np.cov(flat.T) + 1e-6 * np.eye(64)), float)
    root = root.astype(mean.dtype)
    edges = windows()
    grid = model.grid(STEPS)
    starts = {
        "in noise": grid[-1],
        "where the last window opens": edges[:, 1].max(),
        "in the middle of the windows": float(np.exp(np.log(edges).mean())),
        "where the last window is settled": edges[:, 0].max(),
    }
    rows: list[dict] = []
    reference: Any = None
    for name, start in starts.items():
        below = np.append(grid[grid < start * 0.999], start)
        localizer = samplers.ancestral(model)._replace(init=Partial(matched, mean, root))
        x = sloc.localize(jax.random.key(3), PROCESS, model, grid=below, n=n, localizer=localizer)
        shares = np.bincount(judge()(x), minlength=10) / n
        reference = shares if reference is None else reference
        # How far from real digits: squared distance to the nearest one that the model was trained on.
        near = np.min(((x.reshape(n, 1, 64)[:1_000] - flat[None]) ** 2).sum(2), axis=1).mean()
        gap = 0.5 * np.abs(shares - reference).sum()
        rows.append(
            {"start": name, "t": float(start), "calls": len(below), "class TV": float(gap), "distance": float(near)}
        )
    # What two runs of equal laws differ by.
    noise = 0.5 * np.sum(np.sqrt(2 / np.pi * 2 * reference * (1 - reference) / n))
    return {"rows": rows, "class TV of equal laws": float(noise)}


if __name__ == "__main__":
    found = main()
    for row in found["rows"]:
        print("{start:34} t = {t:.3f}, {calls} calls, class TV {class TV:.3f}, distance {distance:.2f}".format(**row))
    print(f"class TV that chance alone gives: {found['class TV of equal laws']:.3f}")
