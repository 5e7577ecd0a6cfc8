"""Bands of recorded answers against further draws: the predicted ones at two tails, and those of the share itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import traces_recorded
from benchmarks.timing import Row
from benchmarks.traces_recorded import REPORT, TRACKS, TUNE
from benchmarks.traces_rows import coverage_rows
from benchmarks.traces_simulated import near_moves
from sloc.windows.move_kernels import SHARES
from sloc.windows.outcome_curves import TAILS, OutcomeCounts, outcome_curve, outcome_posterior

AFTER = 100
"""Further draws that bands are held against."""
KINDS = {
    f"90 % bands predicted for {AFTER} further draws": True,
    f"central 90 % predicted for {AFTER} further draws": True,
    "90 % bands of the share, histogram inside": False,
    "90 % bands of the share, histogram inside, expected": False,
}
"""What is counted, and whether it has a target: with the tails that bands have; with those their name says; the band of
the share; how often that should hold the histogram if the posterior is right."""


def recorded_bands(smoke: bool, draws: Sequence[int]) -> Iterator[Row]:
    """Predicted bands and bands of the share against recorded answers.

    The histogram of draws 100 to 199 is a sample.  A band of the share that is right holds it as often as the posterior
    expects, which is less than 90 % where the band is narrower than the noise of 100 draws; that expectation stands
    beside what was counted.  Priors were chosen on the first 25 questions: verdicts are of the others, and all 50 stand
    beside them because few questions have an event.
    """
    for track, (gap, tolerance) in TRACKS.items():
        rng = np.random.default_rng(0)
        rows = REPORT[:2] if smoke else (*TUNE, *REPORT)
        reported = [i for i, row in enumerate(rows) if row in REPORT]
        for number in draws[:1] if smoke else draws:
            data = [traces_recorded.load(track, row) for row in rows]
            found = [held(d.counts(number), d.reference, rng) for d in data]
            near = [near_moves(d.reference, gap, tolerance) for d in data]
            for k, (kind, targeted) in enumerate(KINDS.items()):
                case = f"{kind}, recorded {track}, {number} draws"
                own = [found[i][k] for i in reported], [near[i] for i in reported]
                yield from coverage_rows(case, *own, smoke, targeted=targeted)
                if not smoke:
                    every = [f[k] for f in found]
                    yield from coverage_rows(f"{case}, all 50 questions", every, near, smoke, targeted=False)


def held(
    counts: OutcomeCounts, reference: np.ndarray, rng: np.random.Generator, at: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """What :data:`KINDS` counts, ``[T, A]`` each: ranks inside either predicted band; histogram inside; its chance.

    Args:
        counts: that the posterior sees.
        reference: ``[T, A]`` histogram of :data:`AFTER` other draws.
        rng: ranks between two ties.
        at: ``[T]`` indices of the reference's positions among those of the counts; all of them when None.

    """
    from scipy.stats import binom

    table = binom.cdf(np.arange(-1, AFTER + 1)[:, None], AFTER, np.clip(SHARES, 2e-3, 1 - 2e-3)[None, :])
    law, curve = outcome_posterior(counts).marginals(), outcome_curve(counts)
    at = np.arange(law.shape[0]) if at is None else at
    law, lower, upper = law[at], curve.lower[at], curve.upper[at]
    seen = np.round(AFTER * reference).astype(int)
    below, upto = (np.einsum("tag,tag->ta", law, table[seen + k]) for k in (0, 1))
    # A randomised rank: uniform exactly where the predictive law is right, whatever the lattice.
    rank = below + rng.random(below.shape) * (upto - below)
    inside = [(rank > 0.05 * tails) & (rank < 1.0 - 0.05 * tails) for tails in (TAILS, 1.0)]
    first, last = np.ceil(AFTER * lower - 1e-9).astype(int), np.floor(AFTER * upper + 1e-9).astype(int)
    chance = np.einsum("tag,tag->ta", law, np.maximum(table[np.maximum(last + 1, first)] - table[first], 0.0))
    return (*inside, (seen >= first) & (seen <= last), chance)
