"""Trees of many classes whose pairs are sampled: which pairs are, and heights against the closed form.

The classes are unit Gaussians on a line, given as Gaussians of covariances of their own, which have no closed form in
the library; their exact heights are those of the shared covariance.
"""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from scipy.special import erf, ndtri

from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck
from sloc.windows.pair_times import relay
from sloc.windows.tree import mixture_tree

OU = OrnsteinUhlenbeck()


def clustered(k: int) -> np.ndarray:
    """Return ``k`` points in groups of 25 that lie in 5 parts of 5 each, at three scales of distance, ``[k, 1]``."""
    rng, index = np.random.default_rng(0), np.arange(k)
    far = np.cumsum(2e5 * (1 + rng.random(k // 25 + 1)))[index // 25]
    near = 4e3 * (index % 25 // 5 + 0.3 * rng.random(k // 5 + 1)[index // 5])
    return (far + near + 60 * (index % 5 + 0.4 * rng.random(k)))[:, None]


def check(k: int, n: int, steps: int, most: int) -> None:
    means = clustered(k)
    population = GaussianMixture(np.full(k, 1 / k), means, np.ones((k, 1, 1)))
    times = np.linspace(2.0, 20.0, steps)
    # All intervals hold jointly: a false alarm has probability at most 1e-9.
    tree = mixture_tree(jax.random.key(0), OU, population, epsilon=0.2, n=n, delta=1e-9, times=times)
    found = re.search(r"\(([\d,]+) of ([\d,]+), the others by affinities\)", tree.method)
    assert found is not None, tree.method
    sampled, pairs = (int(word.replace(",", "")) for word in found.groups())
    assert pairs == k * (k - 1) // 2
    assert sampled <= most, sampled
    groups = {node.members for node in tree.nodes}
    for size in (5, 25):
        assert all(tuple(range(size * i, size * (i + 1))) in groups for i in range(k // size))
    widths = []
    for node in tree.nodes[k:]:
        exact = float(np.log(np.ptp(means[list(node.members)]) / (2 * ndtri(0.6))))
        # To the digits of the means in float32.
        assert node.interval[0] - 1e-5 <= exact <= node.interval[1] + 1e-5
        widths.append(node.interval[1] - node.interval[0])
    assert max(widths) <= 3 * (times[1] - times[0]) + 1e-9


def test_one_pair_stands_in_for_the_pairs_beside_it() -> None:
    means = clustered(50)[:, 0]
    rows, columns = np.triu_indices(50, 1)
    times = np.linspace(2.0, 20.0, 31)
    exact = erf(np.abs(means[rows] - means[columns]) * np.exp(-times)[:, None] / np.sqrt(8))
    affinity = np.exp(-(((means[rows] - means[columns]) * np.exp(-times)[:, None]) ** 2) / 8)
    lower, upper = 1 - affinity, np.sqrt(1 - affinity**2)
    # One pair between the two groups is known.
    sampled = (rows == 0) & (columns == 49)
    lower[:, sampled] = upper[:, sampled] = exact[:, sampled]
    value = np.clip((lower + upper) / 2, lower, upper)
    before = (upper - lower).sum(axis=0)
    relay(times, value, lower, upper, sampled, 0.2, 50)
    assert np.all((lower <= exact + 1e-12) & (exact <= upper + 1e-12))
    assert np.all((lower <= value) & (value <= upper))
    across = (rows < 25) & (columns >= 25)
    after = (upper - lower).sum(axis=0)
    assert np.all(after[across] <= before[across])
    assert np.median(after[across]) < 0.5 * np.median(before[across])
    np.testing.assert_array_equal(after[~across], before[~across])


@pytest.mark.slow
def test_a_hundred_classes() -> None:
    check(100, 65_536, 16, 600)


@pytest.mark.nightly
def test_a_thousand_classes() -> None:
    check(1_000, 65_536, 16, 6_000)
