"""Simulation-based calibration of the change-point model: parameters from the prior, curves from them, a fit, ranks.

The prior is drawn here by NumPy, from its words in :mod:`sloc.bayes.change_model` and not from its code, so that a slip
in either shows.  Ranks are of two kinds: of each shared parameter among the posterior's draws, a data set a rank
(Talts et al. 2018); and of what happened in each question of one large data set, by the probability integral
transform of its posterior, randomised where it is discrete.  Either is uniform if everything is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import sloc.bayes
from benchmarks.timing import Row
from sloc.bayes.change_data import change_data
from sloc.bayes.change_predict import DrawnCurves, draw_curves
from sloc.bayes.posterior_draws import evenly

LEAST = 1e-4
"""P-values of uniform ranks must lie above this: a false alarm once in ten thousand runs of a row."""
BINS = 20
LEVELS = {"before": (1.5, 3.0), "after": (3.0, 1.5), "flat": (2.0, 2.0)}


@dataclass(frozen=True)
class Setting:
    """Sizes of simulated data sets.

    Attributes:
        questions: in each.
        points: of each curve.
        draws: resamples at each point.
        sets: named data sets in each, pooled.

    """

    questions: int
    points: int
    draws: int
    sets: int


LARGE = Setting(10_000, 8, 20, 4)
SMALL = Setting(200, 6, 10, 3)


def prior_draw(rng: np.random.Generator, sets: int) -> dict[str, np.ndarray]:
    """Draw the shared parameters from the prior."""
    windows, spread = rng.normal([0.0, -1.5], 1.0), np.exp(rng.normal(-0.7, 0.6))
    found = {
        "windows": windows,
        "spread": np.asarray(spread),
        "set_windows": windows + spread * rng.normal(size=(sets, 2)),
        "right": rng.normal(size=2),
        "place": rng.normal(size=2),
        "width": rng.dirichlet([4.0, 2.0, 1.0]),
    }
    for name, (a, b) in LEVELS.items():
        found |= {f"{name}_mean": np.asarray(rng.beta(a, b)), f"{name}_size": np.exp(np.asarray(rng.normal(1.0, 0.7)))}
    return found


def simulated(
    rng: np.random.Generator, shared: Mapping[str, np.ndarray], setting: Setting
) -> tuple[DrawnCurves, np.ndarray, np.ndarray]:
    """Draw curves, their data sets and their covariates."""
    groups = np.arange(setting.questions) % setting.sets
    right = (rng.random(setting.questions) < 0.5).astype(float)
    shape = (setting.questions, setting.points)
    blank, _ = change_data(np.zeros(shape), setting.draws, groups, right)
    inside = {n: jnp.asarray(v, jnp.float32) for n, v in shared.items()}
    return draw_curves(rng, inside, blank, np.full(shape, setting.draws)), groups, right


def scalars(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split parameters into their numbers, draws (if any) in front."""
    out = {}
    for name in ("windows", "spread", "set_windows", "right", "place", "width", *(f"{n}_mean" for n in LEVELS)):
        value = np.asarray(values[name])
        dims = {"spread": 0, "set_windows": 2}.get(name, 0 if name.endswith("_mean") else 1)
        cells = value.reshape(*value.shape[: value.ndim - dims], -1)
        count = cells.shape[-1] if dims else 1
        # Data sets are alike before they are drawn, so the first stands for all.
        for i in range(2 if name == "set_windows" else count):
            out[f"{name} {i + 1}" if dims else name] = cells[..., i] if dims else value
    for name in LEVELS:
        out[f"{name}_size"] = np.asarray(values[f"{name}_size"])
    return out


def shared_ranks(number: int, setting: Setting = SMALL, seed: int = 0) -> tuple[dict[str, np.ndarray], int, int]:
    """Rank the true shared parameters among the posterior's draws in ``number`` data sets.

    Returns:
        Parameter to ranks in (0, 1); data sets that were fitted again, four times as long; those refused twice.

    """
    ranks: dict[str, list[float]] = {}
    again = refused = 0
    for i in range(number):
        rng = np.random.default_rng([seed, i])
        truth = prior_draw(rng, setting.sets)
        curves, groups, right = simulated(rng, truth, setting)
        fitted = None
        for attempt, length in enumerate((200, 800)):
            try:
                fitted = sloc.bayes.fit_changes(
                    jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), i), attempt),
                    curves.counts,
                    setting.draws,
                    groups=groups,
                    right=right,
                    warmup=length,
                    draws=length,
                    max_r_hat=1.1,
                    min_ess=40,
                )
                break
            except sloc.bayes.ChainsDisagree:
                again += attempt == 0
        if fitted is None:
            refused += 1
            continue
        own = scalars(truth)
        flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in fitted.samples.items()}
        total = next(iter(flat.values())).shape[0]
        # Draws of a chain are correlated, and ranks want independent ones.
        thin = evenly(total, int(np.clip(min(fitted.diagnostics.ess.values()), 40, total)))
        for name, draws in scalars({n: v[thin] for n, v in flat.items()}).items():
            below = int((draws < own[name]).sum())
            ranks.setdefault(name, []).append((below + rng.random()) / (draws.size + 1))
    return {n: np.asarray(v) for n, v in ranks.items()}, again, refused


def question_ranks(
    rng: np.random.Generator, curves: DrawnCurves, posterior: sloc.bayes.ChangePosterior
) -> dict[str, np.ndarray]:
    """Randomised ranks of each question's number of windows and of where they begin and end, ``[Q]`` each."""
    none = posterior.numbers[:, :1]
    laws = {
        "number of windows": (posterior.numbers, curves.number),
        "where the first window begins": (np.concatenate([posterior.first, none], axis=1), curves.first),
        "where the last window ends": (np.concatenate([posterior.last, none], axis=1), curves.last),
    }
    out = {}
    for name, (law, truth) in laws.items():
        edges = np.concatenate([np.zeros((len(law), 1)), np.cumsum(law, axis=1)], axis=1)
        edges = edges / edges[:, -1:]
        at = np.arange(len(law))
        low, high = edges[at, truth], edges[at, truth + 1]
        out[name] = low + rng.random(len(law)) * (high - low)
    return out


def rank_rows(case: str, ranks: np.ndarray, bins: int = BINS) -> Iterator[Row]:
    """Histogram of ranks, chi-square test of its uniformity, which must not fail, and coverage of 90 % intervals."""
    from scipy.stats import chisquare

    seen = np.histogram(ranks, bins=bins, range=(0.0, 1.0))[0]
    p = float(chisquare(seen).pvalue)
    yield {
        "name": f"{case}: p-value of uniform ranks (chi-square, {bins} bins)",
        "value": p,
        "unit": "",
        "target": f"> {LEAST:g}",
        "met": p > LEAST,
        "must": True,
        "histogram": seen.tolist(),
        "of": int(ranks.size),
    }
    inside = float(((ranks > 0.05) & (ranks < 0.95)).mean())
    yield {"name": f"{case}: covered by the 90 % interval", "value": 100 * inside, "unit": "%", "of": int(ranks.size)}
