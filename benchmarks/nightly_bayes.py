"""Windows with posteriors: calibration on simulated data sets, and the time of pushing draws through windows.

Run ``python -m benchmarks.nightly_bayes --json benchmarks/results/bayes.json``.

Simulation-based calibration (Talts et al. 2018): parameters from the prior, a data set from the parameters, a fit, and
the rank of the true edge among the posterior's draws.  If everything is right the ranks are uniform and credible
intervals of level 0.9 hold the truth nine times in ten.  An edge that does not exist counts as ``-inf`` and one beyond
the grid as ``inf``, ties are broken at random, so that no data set is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import jax
import numpy as np

import sloc
import sloc.bayes
from benchmarks.machine import device_name, versions
from sloc.results.status import STATUSES

PRIOR = sloc.bayes.GaussianMixtureModel(
    2, "spherical", location=(0.0,), scale=(1.0,), spread=4.0, width=1.0, width_sd=0.3, concentration=5.0
)
POINTS, EPSILON, LEVEL = 60, 0.3, 0.9
Row = dict[str, str | float]


@dataclass(frozen=True)
class Calibration:
    """Normalised ranks in (0, 1) of the true edges, ``[sets]`` each, and fits refused at first or for good."""

    after: np.ndarray
    before: np.ndarray
    retried: int
    refused: int


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


def normalised_rank(draws: np.ndarray, true: float, rng: np.random.Generator) -> float:
    """Rank of the truth among the draws with random ties, moved into (0, 1) by a uniform number."""
    below, ties = int((draws < true).sum()), int((draws == true).sum())
    return float((below + rng.integers(0, ties + 1) + rng.random()) / (len(draws) + 1))


def calibrate(sets: int, seed: int = 0, draws: int = 250, shift: float = 0.0) -> Calibration:
    """Fit simulated data sets and rank the true edges; ``shift`` moves the draws by so much, to see a test fail."""
    rng, process = np.random.default_rng(seed), sloc.processes.OrnsteinUhlenbeck()
    after, before, retried, refused = [], [], 0, 0
    for i in range(sets):
        weights, means, sd, data = truth(rng)
        key = jax.random.fold_in(jax.random.key(seed), i)
        posterior = None
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
                break
            except sloc.bayes.ChainsDisagree:
                retried += attempt == 0
        if posterior is None:
            refused += 1
            continue
        exact = sloc.populations.GaussianMixture(
            weights[None], means[None, :, None], np.asarray([sd**2]), names=("0", "1")
        )
        edges = []
        # Draws of one chain are correlated, and ranks want independent ones: every eighth or so is.
        for given, count in ((exact, None), (posterior, 128)):
            found = sloc.bayes.window_posterior(key, process, given, 0, [0, 1], epsilon=EPSILON, draws=count)
            edges.append([extended(e.draws, e.codes) for e in (found.after, found.before)])
        after.append(normalised_rank(edges[1][0] + shift, float(edges[0][0][0]), rng))
        before.append(normalised_rank(edges[1][1] + shift, float(edges[0][1][0]), rng))
    return Calibration(np.asarray(after), np.asarray(before), int(retried), refused)


def calibration_rows(found: Calibration) -> list[Row]:
    """Coverage, p-values of uniformity and the histogram of ranks."""
    from scipy.stats import binomtest, kstest

    rows: list[Row] = [
        {"name": "sets fitted again with more draws", "value": found.retried, "unit": "sets"},
        {"name": "sets refused for good", "value": found.refused, "unit": "sets"},
    ]
    for name, ranks in (("T_after", found.after), ("T_before", found.before)):
        inside = int(((ranks > (1 - LEVEL) / 2) & (ranks < (1 + LEVEL) / 2)).sum())
        test = binomtest(inside, len(ranks), LEVEL)
        rows += [
            {"name": f"{name}: data sets", "value": len(ranks), "unit": "sets"},
            {"name": f"{name}: covered by the 90 % interval", "value": inside / len(ranks), "unit": ""},
            {"name": f"{name}: p-value of the coverage (binomial)", "value": float(test.pvalue), "unit": ""},
            {
                "name": f"{name}: p-value of uniform ranks (Kolmogorov)",
                "value": float(kstest(ranks, "uniform").pvalue),
                "unit": "",
            },
        ]
        counts = np.histogram(ranks, bins=10, range=(0, 1))[0]
        rows += [
            {"name": f"{name}: ranks in [{b / 10:.1f}, {(b + 1) / 10:.1f})", "value": int(c), "unit": "sets"}
            for b, c in enumerate(counts)
        ]
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
                {"name": f"{what}: with compilation", "value": seconds[0], "unit": "s"},
                {"name": f"{what}: again", "value": seconds[1], "unit": "s"},
                {"name": f"{what}: again, processor time", "value": cpu[1], "unit": "s"},
            ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/bayes.json"))
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    rows = push_rows(options.draws) + calibration_rows(calibrate(options.sets))
    found = versions() | {n: metadata.version(n) for n in ("numpyro", "optax")}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"suite": "bayes", "device": device_name(), "versions": found, "date": date, "rows": rows}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['name']}: {row['value']:.4g} {row['unit']}")


if __name__ == "__main__":
    main()
