"""Recorded answers of the forking-fast release under the protocol of the suite ``traces``.

``SLOC_TEST_DATA``, a variable of the environment, names a folder with ``data/forking_fast``; nothing of it is kept.
"""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sloc.windows.move_kernels import PRIORS, RUN_PRIORS, MovePrior
from sloc.windows.outcome_curves import OutcomeCounts, outcome_posterior, prior_evidence
from sloc.windows.recorded import Recording, leaving_masses
from sloc.windows.recorded_import import read_forking_fast

TUNE, REPORT = tuple(range(25)), tuple(range(25, 50))
"""Rows that settings were chosen on, and rows that are reported."""
TRACKS = {"llama": (4, 8), "deepseek": (1, 1)}
"""Track to the gap of a move and the tolerance, in positions."""


@dataclass(frozen=True)
class Row200:
    """One question: 200 draws a position, and what the store says of its path.

    Attributes:
        name: track and row.
        draws: ``[T, 200]`` answers.
        answers: how many.
        positions: ``[T]``.
        leaving: ``[T - 1]``, NaN where steps are longer than a token.
        cost: ``[T]`` mean tokens of a continuation.

    """

    name: str
    draws: np.ndarray
    answers: int
    positions: np.ndarray
    leaving: np.ndarray
    cost: np.ndarray

    @property
    def reference(self) -> np.ndarray:
        """``[T, A]`` histogram of draws 100 to 199."""
        return np.eye(self.answers)[self.draws[:, 100:]].mean(axis=1)

    def counts(self, draws: int, stride: int = 1) -> OutcomeCounts:
        """Return the first ``draws`` draws at every ``stride``-th position, other positions unobserved."""
        seen = np.eye(self.answers)[self.draws[:, :draws]].sum(axis=1)
        seen[np.arange(seen.shape[0]) % stride > 0] = 0.0
        return OutcomeCounts(self.name, tuple("ABCDEFGH"[: self.answers]), self.positions, seen, self.leaving)


def folder() -> Path | None:
    """Return the folder of recorded answers, or None where none is named."""
    named = os.environ.get("SLOC_TEST_DATA")
    found = Path(named) / "data" / "forking_fast" if named else None
    return found if found is not None and found.is_dir() else None


@lru_cache(maxsize=128)
def recording(track: str, row: int) -> Recording:
    """Read one question's branches."""
    where = folder()
    assert where is not None
    return read_forking_fast(where / track / f"row{row:03d}.json.gz")[0]


@lru_cache(maxsize=200)
def load(track: str, row: int) -> Row200:
    """Load one question."""
    where = folder()
    assert where is not None
    with np.load(where / f"mixture_draws_{track}.npz") as kept:
        draws, positions = kept[f"row{row:03d}_draws"], kept[f"row{row:03d}_pos"].astype(np.float64)
    store = recording(track, row)
    leaving = leaving_masses(store.taken_mass, store.kept_mass)
    leaving = np.where(np.diff(positions) == 1.0, leaving, np.nan)
    if track == "deepseek":
        leaving = np.full_like(leaving, np.nan)
    cost = np.zeros(positions.size)
    at = {float(p): i for i, p in enumerate(positions)}
    kept = store.kept_mass
    for b in store.branches:
        share = b.weight / kept[at[b.position]]
        cost[at[b.position]] += share * float(np.mean(b.costs)) if b.costs is not None else share
    return Row200(f"{track} {row}", draws, int(draws.max()) + 1, positions, leaving, np.maximum(cost, 1.0))


def noise_floor(data: Row200) -> float:
    """Mean TV between the truth and a histogram of 100 draws of it, the truth taken to be that of all 200 draws.

    ``sum_a E|Bin(100, p_a) / 100 - p_a| / 2`` at each position, summed exactly.
    """
    from scipy.stats import binom

    p = np.arange(201)[:, None] / 200
    seen = np.arange(101)[None, :]
    apart = (binom.pmf(seen, 100, p) * np.abs(seen / 100 - p)).sum(axis=1)
    counts = np.eye(data.answers, dtype=int)[data.draws].sum(axis=1)
    return float(0.5 * apart[counts].sum(axis=1).mean())


def beyond_identity(row: int, fork: float = 0.4) -> np.ndarray:
    """At each fork of a llama question, how far a share rises beyond ``o_t / p_t``, in standard errors of 200 draws.

    ``o_t = p_t o_{t+1} + q_t y_t`` forbids it; the largest over answers, where ``q_t > fork``.
    """
    data = load("llama", row)
    share, p = np.eye(data.answers)[data.draws].mean(axis=1), (1.0 - data.leaving)[:, None]
    noise = (p**2 * share[1:] * (1.0 - share[1:]) + share[:-1] * (1.0 - share[:-1])) / data.draws.shape[1]
    beyond = (p * share[1:] - share[:-1]) / np.sqrt(noise + 1e-4)
    return beyond.max(axis=1)[data.leaving > fork]


def evidence_of_runs(data: Row200, draws: int) -> float:
    """Log-probability of the first ``draws`` draws with runs of steps to one side, less that without.

    ``log(mean_p exp e_p)`` over priors of equal weight, ``e_p`` the evidence by which curves weigh priors.
    """

    def evidence(priors: tuple[MovePrior, ...]) -> float:
        filters = outcome_posterior(data.counts(draws), priors=priors).filters
        each = prior_evidence(filters, data.answers)
        return float(np.logaddexp.reduce(each)) - math.log(len(priors))

    return evidence(RUN_PRIORS) - evidence(PRIORS)


def peer_scores() -> dict[tuple[str, int, int, str], dict[int, tuple[float, float]]]:
    """Return the published tool's scores: (track, draws, stride, model) to row to (mean TV, seconds)."""
    where = folder()
    assert where is not None
    out: dict[tuple[str, int, int, str], dict[int, tuple[float, float]]] = defaultdict(dict)
    with (where / "peer_scores_rows25_49.csv").open(newline="") as stream:
        for r in csv.DictReader(stream):
            key = r["track"], int(r["S"]), int(r["stride"]), r["model"]
            out[key][int(r["row"])] = float(r["mean_tv_to_draws_100_199"]), float(r["secs"])
    return dict(out)


def interval(values: np.ndarray, seed: int = 0, rounds: int = 4_000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over rows."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, values.size, (rounds, values.size))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
