"""Guidance only inside the window: outside it the class is not being decided, and a second network call is for nothing.

Run ``python -m examples.uses.guidance``.
"""

from __future__ import annotations

import jax
import numpy as np

import sloc
from examples.uses.digits import PROCESS, judge, trained, windows
from sloc import samplers

STRENGTH, STEPS = 2.0, 32


def main(small: bool = False) -> dict:
    """Return, for guidance everywhere, inside, outside and nowhere, the judged accuracy and the guided calls."""
    model, n = trained(small), 32 if small else 400
    edges = windows()
    low, high = float(edges[:, 0].min()), float(edges[:, 1].max())
    grid = model.grid(STEPS)
    # The network is asked where each step starts, and once more at the end.
    inside = int(((grid >= low) & (grid <= high)).sum())
    ways = {
        "everywhere": ((STRENGTH, None), STEPS),
        "inside the window": ((STRENGTH, (low, high)), inside),
        "before it (more noise)": ((STRENGTH, (high, np.inf)), int((grid >= high).sum())),
        "after it (less noise)": ((STRENGTH, (0.0, low)), int((grid <= low).sum())),
        "nowhere": ((None, None), 0),
    }
    rows = []
    for name, ((strength, times), calls) in ways.items():
        right = []
        for label in range(10):
            own = model.conditioned(label, strength, times)
            key = jax.random.fold_in(jax.random.key(2), label)
            x = sloc.localize(key, PROCESS, own, grid=grid, n=n, localizer=samplers.ancestral(own))
            right.append(judge()(x) == label)
        share = float(np.mean(right))
        error = float(np.sqrt(share * (1 - share) / np.size(right)))
        rows.append({"guided": name, "accuracy": share, "stderr": error, "guided calls": calls})
    return {"window": [low, high], "calls": STEPS, "strength": STRENGTH, "rows": rows}


if __name__ == "__main__":
    found = main()
    print(f"window {found['window'][0]:.3f} .. {found['window'][1]:.3f}")
    for row in found["rows"]:
        text = "{guided:24} {accuracy:.3f} +- {stderr:.3f}, {guided calls} guided calls of {calls}"
        print(text.format(**row, calls=found["calls"]))
