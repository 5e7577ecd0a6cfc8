"""Windows with posteriors: calibration on simulated data sets, and the time of pushing draws through windows.

Run ``python -m benchmarks.nightly_bayes --json benchmarks/results/bayes.json``.

Simulation-based calibration (Talts et al. 2018): parameters from the prior, a data set from the parameters, a fit, and
the rank of the true edge among the posterior's draws, thinned to their effective sample size.  If everything is right
the ranks are uniform and credible intervals of level 0.9 hold the truth nine times in ten.  An edge that does not exist
counts as ``-inf`` and one beyond the grid as ``inf``, ties are broken at random, so that no data set is left out.

Two hundred data sets see only gross errors, so the same data sets also go through an independent sampler
(:mod:`benchmarks.bayes_reference`): the ranks of one truth under both differ by sampling noise alone, and their mean
difference sees a bias of a few thousandths.  What both share (the prior, the edges, the ranks) is seen by that
sampler's ranks over more data sets.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

import sloc
import sloc.bayes
from benchmarks.bayes_reference import reference_posterior
from benchmarks.machine import code, device_name
from benchmarks.timing import at_most, called
from sloc.bayes.posterior_draws import evenly
from sloc.results.status import STATUSES

PRIOR = sloc.bayes.GaussianMixtureModel(
    2, "spherical", location=(0.0,), scale=(1.0,), spread=4.0, width=1.0, width_sd=0.3, concentration=5.0
)
POINTS, EPSILON, LEVEL = 60, 0.3, 0.9
MOVED = 2.0
"""Units of time by which draws are moved, to see a test of calibration fail."""
LEAST, SECONDS = 1e-3, 20.0
"""The p-values of calibration must be above the first, and pushing draws should take no longer than the second."""
Row = dict[str, str | float]


@dataclass(frozen=True)
class Calibration:
    """Ranks of the true edges.

    Attributes:
        ranks: ``[sets, 2]``, of ``T_after`` and ``T_before`` in (0, 1), draws thinned.
        smooth: ``[sets, 2]``, the share of all draws below the truth, ties by a fixed number of the data set.
        moved: ``[sets, 2]``, the same ranks with every draw moved by :data:`MOVED`: what a broken posterior looks like.
        index: ``[sets]``, the number of the data set.
        retried: data sets fitted again.
        refused: data sets whose second fit was refused too.

    """

    ranks: np.ndarray
    smooth: np.ndarray
    moved: np.ndarray
    index: np.ndarray
    retried: int = 0
    refused: int = 0


def truth(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Draw weights, means and standard deviation from the prior, means in order, and a data set ``[N, 1]``."""
    weights = rng.dirichlet([PRIOR.concentration] * 2)
    means = rng.normal(0.0, PRIOR.spread, size=2)
    sd = float(np.exp(rng.normal(0.0, PRIOR.width_sd)))
    order = np.argsort(means)
    weights, means = weights[order], means[order]
    theta = rng.choice(2, size=POINTS, p=weights)
    return weights, means, sd, (means[theta] + sd * rng.normal(size=POINTS))[:, None]


def extended(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Edges as extended real numbers: what is not there or below the grid is ``-inf``, above it ``inf``."""
    low = np.isin(codes, [STATUSES.index("empty"), STATUSES.index("below_grid")])
    return np.where(low, -np.inf, np.where(codes == STATUSES.index("above_grid"), np.inf, values))


def normalised_rank(draws: np.ndarray, true: float, u: float) -> float:
    """Rank of the truth among the draws in (0, 1), a uniform number ``u`` breaking ties and filling the gap."""
    below, ties = int((draws < true).sum()), int((draws == true).sum())
    return float((below + u * (ties + 1)) / (len(draws) + 1))


def data_sets(sets: int, seed: int) -> Iterator[tuple[int, sloc.populations.GaussianMixture, np.ndarray, np.ndarray]]:
    """Number, true mixture (one draw, stacked), data ``[N, 1]`` and four uniform numbers of each data set."""
    for i in range(sets):
        rng = np.random.default_rng([seed, i])
        weights, means, sd, data = truth(rng)
        exact = sloc.populations.GaussianMixture(
            weights[None], means[None, :, None], np.asarray([sd**2]), names=("0", "1")
        )
        yield i, exact, data, rng.random(4)


def edges_of(mixtures: object) -> np.ndarray:
    """``T_after`` and ``T_before`` of every draw as extended numbers, ``[S, 2]``; exact curves."""
    key, process = jax.random.key(0), sloc.processes.OrnsteinUhlenbeck()
    given: Any = mixtures
    found = sloc.bayes.window_posterior(
        key, process, given, 0, [0, 1], epsilon=EPSILON, draws=None, method="closed-form"
    )
    return np.stack([extended(e.draws, e.codes) for e in (found.after, found.before)], axis=1)


def fitted(key: jax.Array, data: np.ndarray, draws: int) -> tuple[sloc.bayes.MixturePosterior | None, int]:
    """Fit, and fit again four times as long where chains disagree; the posterior or None, and refusals."""
    for attempt, kept in enumerate((draws, 4 * draws)):
        try:
            posterior = sloc.bayes.fit(
                jax.random.fold_in(key, attempt),
                PRIOR,
                data,
                warmup=250 * (1 + 3 * attempt),
                draws=kept,
                max_r_hat=1.1,
                min_ess=50,
                max_divergences=0.2,
                target_accept=0.9,
            )
        except sloc.bayes.ChainsDisagree:
            continue
        return posterior, attempt
    return None, 2


def calibrate(sets: int, seed: int = 0, draws: int = 250) -> Calibration:
    """Fit simulated data sets and rank the true edges."""
    ranks, smooth, moved, index, refusals = [], [], [], [], []
    for i, exact, data, u in data_sets(sets, seed):
        posterior, attempts = fitted(jax.random.fold_in(jax.random.key(seed), i), data, draws)
        refusals.append(attempts)
        if posterior is None:
            continue
        true, found = edges_of(exact)[0], edges_of(posterior)
        # Draws of one chain are correlated, and ranks want independent ones.
        count = int(np.clip(min(posterior.diagnostics.ess.values()), 50, len(found)))
        thin = found[evenly(len(found), count)]
        ranks.append([normalised_rank(thin[:, e], true[e], u[e]) for e in range(2)])
        moved.append([normalised_rank(thin[:, e] + MOVED, true[e], u[e]) for e in range(2)])
        smooth.append([normalised_rank(found[:, e], true[e], u[2 + e]) for e in range(2)])
        index.append(i)
    counts = np.asarray(refusals)
    return Calibration(
        np.asarray(ranks),
        np.asarray(smooth),
        np.asarray(moved),
        np.asarray(index),
        int((counts > 0).sum()),
        int((counts > 1).sum()),
    )


def reference(sets: int, seed: int = 0) -> Calibration:
    """The same data sets through the independent sampler."""
    ranks = []
    for i, exact, data, u in data_sets(sets, seed):
        key = jax.random.fold_in(jax.random.key(seed + 1_000_000), i)
        draws = reference_posterior(
            key, data[:, 0], concentration=PRIOR.concentration, spread=PRIOR.spread, width_sd=PRIOR.width_sd
        )
        true, found = edges_of(exact)[0], edges_of(draws)
        ranks.append([normalised_rank(found[:, e], true[e], u[2 + e]) for e in range(2)])
    exact = np.asarray(ranks)
    return Calibration(exact, exact, exact, np.arange(sets))


def uniformity_rows(name: str, ranks: np.ndarray, must: bool = False) -> list[Row]:
    """Coverage and p-values of uniformity, which ``must`` lie above :data:`LEAST` where a result promises it."""
    from scipy.stats import binomtest, kstest

    inside = int(((ranks > (1 - LEVEL) / 2) & (ranks < (1 + LEVEL) / 2)).sum())
    found = {
        "covered by the 90 % interval": inside / len(ranks),
        "p-value of the coverage (binomial)": float(binomtest(inside, len(ranks), LEVEL).pvalue),
        "p-value of uniform ranks (Kolmogorov)": float(kstest(ranks, "uniform").pvalue),
    }
    return [
        {"name": f"{name}: data sets", "value": len(ranks), "unit": "sets"},
        *(
            {"name": f"{name}: {what}", "value": value, "unit": ""}
            | ({"target": f"> {LEAST:g}", "met": value > LEAST, "must": True} if must and "p-value" in what else {})
            for what, value in found.items()
        ),
    ]


def calibration_rows(found: Calibration, other: Calibration) -> list[Row]:
    """Coverage, p-values and histogram of ranks, and what an independent sampler says of the same data sets."""
    rows: list[Row] = [
        {"name": "sets fitted again with more draws", "value": found.retried, "unit": "sets"},
        {"name": "sets refused for good", "value": found.refused, "unit": "sets"},
    ]
    for e, name in enumerate(("T_after", "T_before")):
        rows += uniformity_rows(name, found.ranks[:, e], must=True)
        counts = np.histogram(found.ranks[:, e], bins=10, range=(0, 1))[0]
        rows += [
            {"name": f"{name}: ranks in [{b / 10:.1f}, {(b + 1) / 10:.1f})", "value": int(c), "unit": "sets"}
            for b, c in enumerate(counts)
        ]
        gap = found.smooth[:, e] - other.smooth[found.index, e]
        numbers = {"mean": gap.mean(), "standard error": gap.std(ddof=1) / np.sqrt(len(gap)), "sd": gap.std(ddof=1)}
        rows += [
            {"name": f"{name}: rank minus the independent sampler's, {what}", "value": float(v), "unit": ""}
            for what, v in numbers.items()
        ]
        rows += uniformity_rows(f"{name}, independent sampler, same sets", other.ranks[found.index, e])
        rows += uniformity_rows(f"{name}, independent sampler, all sets", other.ranks[:, e])
    return rows


def stacked(k: int, draws: int, per_component: bool, seed: int = 0) -> sloc.populations.GaussianMixture:
    """Draws around a mixture of ``k`` Gaussians in the plane, as a posterior would give them."""
    rng = np.random.default_rng(seed)
    means = np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])[:k] + 0.1 * rng.normal(size=(draws, k, 2))
    weights = rng.dirichlet(np.full(k, 100.0), size=draws)
    size = (draws, k, 1, 1) if per_component else (draws,)
    spread = np.exp(0.05 * rng.normal(size=size))
    return sloc.populations.GaussianMixture(weights, means, spread * np.eye(2) if per_component else spread)


def push_rows(draws: int, n: int = 4096) -> list[Row]:
    """Seconds to push draws through a window on 64 times: first call with its compilation, and again."""
    process, rows = sloc.processes.OrnsteinUhlenbeck(), []
    for k in (2, 3):
        for per_component in (False, True):
            mixtures = stacked(k, draws, per_component)
            seconds, cpu = [], []
            for seed in range(2):
                start, busy = time.perf_counter(), time.process_time()
                sloc.bayes.window_posterior(jax.random.key(seed), process, mixtures, 0, range(k), epsilon=0.1, n=n)
                seconds.append(time.perf_counter() - start)
                cpu.append(time.process_time() - busy)
            what = f"K = {k}, {'a covariance each' if per_component else 'one covariance'}, {draws:,} draws x 64 times"
            rows += [
                at_most({"name": f"{what}: with compilation", "value": seconds[0], "unit": "s"}, SECONDS),
                {"name": f"{what}: with compilation, processor time", "value": cpu[0], "unit": "s"},
                {"name": f"{what}: again", "value": seconds[1], "unit": "s"},
                {"name": f"{what}: again, processor time", "value": cpu[1], "unit": "s"},
            ]
    mixtures = stacked(3, draws, False)
    took = called(lambda: sloc.bayes.merge_posterior(jax.random.key(0), process, mixtures, epsilon=0.1, n=n))[1]
    what = f"merges, K = 3, one covariance, {draws:,} draws x 64 times: with compilation"
    return [*rows, at_most({"name": what, "value": took, "unit": "s"}, SECONDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/bayes.json"))
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--more", type=int, default=600, help="data sets of the independent sampler")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    rows = push_rows(options.draws)
    rows += calibration_rows(calibrate(options.sets), reference(max(options.more, options.sets)))
    found = code()
    found["versions"] |= {n: metadata.version(n) for n in ("numpyro", "optax")}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"suite": "bayes", "device": device_name(), **found, "date": date, "rows": rows}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['name']}: {row['value']:.4g} {row['unit']}")


if __name__ == "__main__":
    main()
