"""An early stop of a masked sampler: once the class is settled the tokens left can be written in one call.

Run ``python -m examples.uses.early_stop``.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from examples.uses.digits import PARTS, judge
from examples.uses.finishing import gone_on, off, said, sampled_at_once
from examples.uses.masked_digits import agreement, bits, nats, recognised, trained
from sloc import nn, samplers

STEPS = 32
KEPT = (0, 8, 16, 20, 24, 28, 30)
"""Steps that are left out."""
PROCESS = sloc.processes.Masking()


def main(small: bool = False) -> dict:
    """Return, for stops at several shares of hidden pixels, how often the class is that of the whole run.

    A class can differ because pixels were written at once or because it was not yet settled: so each run is also
    gone on with from the same pixels by all its steps, with other random numbers.
    """
    x, labels = PARTS.generator
    images, network = bits(x), trained(small)
    model, n = nn.as_masked(network), 128 if small else 1_024
    # When is the class settled, for the images themselves?
    data = sloc.populations.Empirical(images, labels)
    times = np.linspace(0.02, 0.98, 33)
    asked = {k: sloc.TV(k, [j for j in range(10) if j != k]) for k in range(10)}
    curves = sloc.measure(jax.random.key(0), PROCESS, data, times, asked, n=1_024 if small else 4_096)
    settled = min(float(times[np.asarray(c.value) >= 0.96].max(initial=times[0])) for c in curves.values())

    localizer, grid = samplers.masked_ancestral(model), np.linspace(0.0, 1.0, STEPS + 1)
    path = sloc.localize(
        jax.random.key(1), PROCESS, model, grid=grid, n=n, localizer=localizer, trajectories=True, at=grid[list(KEPT)]
    )
    whole = judge(True)(2.0 * path.samples - 1)
    keys, rows = jax.random.split(jax.random.key(2), n), []
    finish = jax.jit(jax.vmap(functools.partial(sampled_at_once, model.canonical())))
    again = jax.jit(jax.vmap(functools.partial(gone_on, localizer, jnp.asarray(grid, jnp.float32)), (None, 0, 0)))
    for i, kept in enumerate(KEPT):
        seen = jax.tree.map(lambda v, i=i: jnp.asarray(v[:, i]), path.observations)
        ended = np.asarray(finish(keys, seen))
        same, slow = (judge(True)(2.0 * v - 1) == whole for v in (ended, np.asarray(again(kept, keys, seen))))
        rows.append(
            {
                "t": float(grid[kept]),
                "calls": STEPS - kept + (kept > 0),
                "same class": float(same.mean()),
                "with all calls": float(slow.mean()),
                "judges agree": agreement(ended),
                "pixels off": off(ended, images),
            }
        )
    return {
        "settled": settled,
        "steps": STEPS,
        "rows": rows,
        "nats": nats(network),
        "recognised": recognised(path.samples),
        "pixels off": off(bits(PARTS.test[0]), images),
    }


if __name__ == "__main__":
    print(said(main()))
