"""The tree of two hundred random Gaussians and the staircase of words, against SciPy and float64 sampling.

False-alarm rate: 24 sampled TVs within 7 standard errors, below 1e-10 together (bounded values, 4,000 draws).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
from scipy.special import ndtri

from examples import mixture_trees
from sloc import MixtureTree
from sloc.results.tree_node import Check
from tests.oracles import mixtures

EPSILON = 0.2


@pytest.fixture(scope="module")
def means() -> np.ndarray:
    return mixture_trees.random_means()


@pytest.fixture(scope="module")
def tree() -> MixtureTree:
    return mixture_trees.two_hundred_gaussians(EPSILON)


def clusters(merges: np.ndarray) -> dict[frozenset[int], float]:
    """Members of every merge of a linkage in SciPy's convention, with its height."""
    k = len(merges) + 1
    members = [frozenset([i]) for i in range(k)]
    for left, right, *_ in merges:
        members.append(members[int(left)] | members[int(right)])
    return dict(zip(members[k:], merges[:, 2], strict=True))


def test_two_hundred_gaussians_merge_as_scipy_has_it(tree: MixtureTree, means: np.ndarray) -> None:
    """Unit variance stays under Ornstein-Uhlenbeck noise, so ``TV(p_t^i, p_t^j) = 2 Phi(|m_i - m_j| e^-t / 2) - 1``."""
    times = np.log(pdist(means) / (2 * ndtri((1 + EPSILON) / 2)))
    assert times.min() > 0  # no two are one before any noise is added
    expected = clusters(linkage(times, "complete"))
    merges = [node for node in tree.nodes if node.children]
    assert {frozenset(node.members) for node in merges} == expected.keys()
    for node in merges:
        assert node.status == "resolved"
        assert node.noise_amount == pytest.approx(expected[frozenset(node.members)], abs=1e-9)
    assert clusters(tree.linkage) == pytest.approx(expected, abs=1e-9)
    # Another rule would make another tree, so the comparison says which was followed.
    assert clusters(linkage(times, "single")).keys() != expected.keys()


def test_nothing_is_drawn_and_every_check_is_settled(tree: MixtureTree) -> None:
    assert (tree.draws, tree.delta) == (0, 0.0)
    verdicts = {name: {found.verdict for found in _checks(tree, name)} for name in ("merged", "apart")}
    assert "open" not in verdicts["merged"] | verdicts["apart"], mixture_trees.counts(tree)
    # Merges at the largest two scales stand apart; some within the nearest groups cannot.
    assert verdicts == {"merged": {"holds"}, "apart": {"holds", "fails"}}


def test_checks_hold_what_float64_sampling_finds(tree: MixtureTree, means: np.ndarray) -> None:
    merges = [node for node in tree.nodes if node.children][:-1]
    weights = np.full(len(means), 1 / len(means))
    for node in merges[:: len(merges) // 11]:
        t = node.noise_amount
        assert t is not None
        channel = math.exp(-t), math.sqrt(-math.expm1(-2 * t))
        inside = np.array(node.members)
        outside = np.setdiff1d(np.arange(len(means)), inside)
        value, error = mixtures.sampled_set_tv(weights, means, 1.0, *channel, inside, outside, 2_000, node.index)
        assert node.apart.lower - 7 * error - 1e-9 <= value <= node.apart.upper + 7 * error + 1e-9
        # The farthest of its classes from the node: any one of them is a lower bound of the check's quantity.
        one, rest = inside[:1], inside[1:]
        value, error = mixtures.sampled_set_tv(weights, means, 1.0, *channel, one, rest, 2_000, node.index)
        assert len(rest) / len(inside) * (value - 7 * error) <= node.merged.upper
        if len(inside) == 2:
            # TV(p^i, (p^i + p^j) / 2) is half of TV(p^i, p^j), which is epsilon there.
            assert node.merged.lower - 1e-9 <= EPSILON / 2 <= node.merged.upper + 1e-9


def test_words_peel_off_one_by_one() -> None:
    trees = mixture_trees.staircase(8)
    assert {name: tree.depth for name, tree in trees.items()} == {"ordered masking": 8, "masking": 4, "diffusion": 4}


def _checks(tree: MixtureTree, name: str) -> list[Check]:
    return [getattr(node, name) for node in tree.nodes if node.children]
