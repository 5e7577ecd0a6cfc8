"""Targeted edits: a U-turn just inside a pair's window changes the class and keeps the style.

An image of a three is noised to ``t`` and brought back by the model of another class.  Below the window the class
stays; above it the style is forgotten too.  Run ``python -m examples.uses.edits``.
"""

from __future__ import annotations

import jax
import numpy as np

import sloc
from examples.uses.digits import PARTS, PROCESS, judge, trained
from sloc import samplers

FROM, TO, STEPS = 3, 8, 32


def style(x: np.ndarray) -> np.ndarray:
    """Return ink, slant and height of the centre of each image, ``[n, 3]``."""
    ink = (x + 1) / 2
    total = ink.sum((1, 2))
    rows, columns = np.mgrid[:8, :8]
    r, c = ((ink * v).sum((1, 2)) / total for v in (rows, columns))
    slant = (ink * (rows - r[:, None, None]) * (columns - c[:, None, None])).sum((1, 2)) / total
    return np.stack([total, slant, r], axis=1)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean correlation of the styles of two lists of images, pair by pair."""
    return float(np.mean([np.corrcoef(u, v)[0, 1] for u, v in zip(style(a).T, style(b).T, strict=True)]))


def main(small: bool = False) -> dict:
    """Return, by time of the turn, how many became the other class and how much of the style was kept."""
    model, n = trained(small), 256 if small else 2_048
    x, labels = PARTS.generator
    data = sloc.populations.Empirical(x[np.isin(labels, (FROM, TO))], labels[np.isin(labels, (FROM, TO))])
    window = sloc.critical_window(
        jax.random.key(0), PROCESS, data, str(FROM), [str(FROM), str(TO)], epsilon=0.2, n=16_384
    )
    assert window.t_after is not None
    assert window.t_before is not None
    low, high = window.t_after, window.t_before
    times = np.geomspace(0.5 * low, 2.0 * high, 9)
    own = model.conditioned(TO, 2.0)
    # The nearest of both classes labels what comes back; the judge, which saw other digits, has the last word.
    _, found = sloc.forward_reverse(
        jax.random.key(1), PROCESS, data, str(FROM), times, n=n, feature=first_pixel,
        localizer=samplers.ancestral(own), grid=samplers.level_grids(PROCESS, times, STEPS),
    )  # fmt: skip
    # The same draws with next to no noise are the images that each turn started from.
    _, began = sloc.forward_reverse(
        jax.random.key(1), PROCESS, data, str(FROM), 1e-3, n=n, feature=first_pixel,
        localizer=samplers.ancestral(own), grid=np.array([[5e-4]]),
    )  # fmt: skip
    rows = []
    for t, ended in zip(times, found, strict=True):
        label = judge()(ended)
        turned = label == TO
        kept = alike(began[turned], ended[turned]) if turned.sum() > 10 else None
        rows.append({"t": float(t), "inside": bool(low <= t <= high), "flipped": float(turned.mean()), "style": kept})
    return {"window": [low, high], "from": FROM, "to": TO, "rows": rows}


def first_pixel(x):
    """Label nothing: the judge does."""
    return (x[0, 0] > 0).astype(int)


if __name__ == "__main__":
    result = main()
    print(f"window of {FROM} against {TO}: {result['window'][0]:.3f} .. {result['window'][1]:.3f}")
    for row in result["rows"]:
        print(row)
