"""Two ways to finish a masked sequence, at once or step by step, and how far what comes out is from the data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from sloc import Revealed


def sampled_at_once(model, key, y: Revealed):
    """Write every hidden token from its own law, in one call of the network."""
    drawn = jax.random.categorical(key, model.log_probs(y, jnp.float32(1.0)))
    return jnp.where(y.known, y.values, drawn)


def gone_on(localizer, grid, kept, key, y: Revealed):
    """Go on from ``y`` at ``grid[kept]`` by the ``kept`` steps that are left."""

    def step(i, state):
        return localizer.step(jax.random.fold_in(key, i), state, grid[kept - 1 - i])[0]

    state = jax.lax.fori_loop(0, kept, step, localizer.init(key, grid[kept], y))
    return localizer.finish(jax.random.fold_in(key, grid.shape[0] - 1), state)


def off(x: np.ndarray, images: np.ndarray) -> float:
    """Return in how many pixels a sequence differs from the nearest image, on average over the first 500."""
    return float(np.abs(x[:500, None] - images[None]).sum(2).min(1).mean())


def said(found: dict) -> str:
    """Return what :func:`examples.uses.early_stop.main` found, in lines."""
    nats = "{hidden:.2f} hidden: {network:.3f} nats a pixel, images {images:.3f}, ink {ink:.3f}"
    row = (
        "stop at t = {t:.3f}: {calls} calls, same class {same class:.3f} (with all calls {with all calls:.3f}), "
        "judges agree {judges agree:.3f}, {pixels off:.2f} pixels off"
    )
    shares = ", ".join(f"{name} {share:.3f}" for name, share in found["recognised"].items())
    return "\n".join(
        [
            *(nats.format(**r) for r in found["nats"]),
            f"both judges agree: {shares}",
            f"the images' classes are settled at t = {found['settled']:.2f}",
            *(row.format(**r) for r in found["rows"]),
        ]
    )
