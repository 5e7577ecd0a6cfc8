"""An early stop of a masked sampler: once the class is settled the tokens left can be written in one call.

Run ``python -m examples.uses.early_stop``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import sloc
from examples.uses.digits import PARTS, fitted, judge
from sloc import nn, samplers
from sloc.contracts import Revealed

STEPS = 32
PROCESS = sloc.processes.Masking()


def main(small: bool = False) -> dict:
    """Return, for stops at several shares of hidden pixels, how often the class is that of the whole run."""
    x, labels = PARTS.generator
    bits = (x.reshape(-1, 64) > 0).astype(np.int32)
    network = nn.MaskedTransformer(64, 2, width=32, depth=1 if small else 3, heads=2, rngs=nnx.Rngs(0))
    steps = 100 if small else 800
    network = fitted(network, nn.masked_loss, (bits,), steps, "masked-small" if small else "masked")
    model, n = nn.as_masked(network), 256 if small else 2_048
    localizer = samplers.masked_ancestral(model)
    # When is the class settled, for the images themselves?
    data = sloc.populations.Empirical(bits, labels)
    times = np.linspace(0.02, 0.98, 33)
    asked = {k: sloc.TV(k, [j for j in range(10) if j != k]) for k in range(10)}
    curves = sloc.measure(jax.random.key(0), PROCESS, data, times, asked, n=4_096)
    settled = min(float(times[np.asarray(c.value) >= 0.96].max(initial=times[0])) for c in curves.values())

    grid, key = np.linspace(0.0, 1.0, STEPS + 1), jax.random.key(1)
    path = sloc.localize(key, PROCESS, model, grid=grid, n=n, localizer=localizer, trajectories=True)
    whole = judge(True)(2.0 * path.samples - 1)
    rows = []
    for kept in (0, 8, 16, 20, 24, 28, 30):
        seen = jax.tree.map(lambda v, i=kept: jnp.asarray(v[:, i]), path.observations)
        finish = jax.jit(jax.vmap(lambda k, y: sampled_at_once(model.canonical(), k, y)))
        ended = np.asarray(finish(jax.random.split(jax.random.key(2), n), seen))
        same = float((judge(True)(2.0 * ended - 1) == whole).mean())
        near = np.abs(ended[:500, None] - bits[None]).sum(2).min(1).mean()
        calls = STEPS - kept + (kept > 0)
        rows.append({"t": float(grid[kept]), "calls": calls, "same class": same, "pixels off": float(near)})
    return {"settled": settled, "steps": STEPS, "rows": rows}


def sampled_at_once(model, key, y: Revealed):
    """Write every hidden token from its own law, in one call of the network."""
    drawn = jax.random.categorical(key, model.log_probs(y, jnp.float32(1.0)))
    return jnp.where(y.known, y.values, drawn)


if __name__ == "__main__":
    found = main()
    print(f"the images' classes are settled at t = {found['settled']:.2f}")
    for row in found["rows"]:
        print(
            "stop at t = {t:.3f}: {calls} calls, same class {same class:.3f}, {pixels off:.2f} pixels off".format(**row)
        )
