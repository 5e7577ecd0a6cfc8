"""Mixture trees: 200 random Gaussians, and a thousand classes, from the population to every check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import jax
import numpy as np

import sloc
from benchmarks.timing import Contender, Row, race, time_rows
from sloc import MixtureTree

CASE = "mixture tree"


def clustered(k: int, d: int = 16) -> sloc.populations.GaussianMixture:
    """Return ``k`` unit Gaussians in groups of 25 that lie in 5 parts each, at three scales of distance."""
    rng = np.random.default_rng(0)
    groups, parts = max(k // 25, 1), max(k // 5, 1)
    far, near, nearest = (scale * rng.normal(size=(n, d)) for scale, n in ((1e6, groups), (3e3, parts), (10.0, k)))
    index = np.arange(k)
    return sloc.populations.GaussianMixture(
        np.full(k, 1 / k), far[index * groups // k] + near[index * parts // k] + nearest
    )


def tree(k: int, epsilon: float = 0.2) -> Callable[[], MixtureTree]:
    """Return the whole tree with its checks as a call: exact pairs, complete linkage, nodes by bounds from pairs."""
    population, process, key = clustered(k), sloc.processes.OrnsteinUhlenbeck(), jax.random.key(0)
    return lambda: sloc.mixture_tree(key, process, population, epsilon=epsilon, method="closed-form")


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the times of both trees, and how many of the larger one's checks are settled.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.

    """
    sizes = {"200 Gaussians": 50 if smoke else 200, "K = 1000": 100 if smoke else 1000}
    calls = {name: tree(k) for name, k in sizes.items()}
    timings = race([Contender(name, call) for name, call in calls.items()], rounds)
    yield from time_rows(CASE, timings, {name: f"{k} classes" for name, k in sizes.items()})
    for name, call in calls.items():
        found = call()
        verdicts = Counter(getattr(node, check).verdict for node in found.nodes for check in ("merged", "apart"))
        total = sum(verdicts.values())
        yield {
            "name": f"{CASE}: {name}, share of the checks that are certified to hold or to fail",
            "unit": "",
            "value": 1 - verdicts["open"] / total,
            "holds": verdicts["holds"],
            "fails": verdicts["fails"],
        }
