"""Label switching: found by the memberships of the data, undone by Stephens' relabelling."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

_MOST_POINTS = 512


def relabelling(log_members: np.ndarray, scores: np.ndarray, rounds: int = 5) -> np.ndarray:
    """Permutation of each draw that makes the memberships of the data agree best over all draws.

    Minimises ``sum_s KL(Q || P_s permuted)`` alternately over the mean memberships ``Q`` and the permutations
    (assignment problems), started from the draw of highest score.

    Args:
        log_members: ``[D, N, K]``, log probability that a point belongs to a sub-population, for each draw.
        scores: ``[D]``, log joint density of each draw.
        rounds: most alternations.

    Returns:
        ``[D, K]`` ints: sub-population ``j`` of the relabelled draw is ``perm[j]`` of the draw.

    Source: Stephens 2000, Sect. 4; the start is the pivot of Marin, Mengersen & Robert 2005.

    """
    from scipy.optimize import linear_sum_assignment

    step = max(1, log_members.shape[1] // _MOST_POINTS)
    logs = np.maximum(np.asarray(log_members[:, ::step], np.float64), -30.0)
    reference = np.exp(logs[int(np.argmax(scores))])
    perms: np.ndarray = np.tile(np.arange(logs.shape[2]), (len(logs), 1))
    for _ in range(rounds):
        cost = -np.einsum("nj,dnk->djk", reference, logs)
        new = np.stack([linear_sum_assignment(c)[1] for c in cost])
        if (new == perms).all():
            break
        perms = new
        reference = np.exp(np.take_along_axis(logs, perms[:, None, :], axis=2)).mean(axis=0)
    return perms


def switching(perms: np.ndarray, chains: int) -> tuple[int, float]:
    """How often labels switch.

    Args:
        perms: ``[chains * draws, K]``.
        chains: number of chains.

    Returns:
        Chains whose most common order differs from the first's, and the share of draws whose order is not the most
        common of their chain.

    """
    codes = np.unique(perms, axis=0, return_inverse=True)[1].reshape(chains, -1)
    common = np.array([np.bincount(row).argmax() for row in codes])
    return int((common != common[0]).sum()), float((codes != common[:, None]).mean())


def permute(samples: Mapping[str, np.ndarray], sites: Sequence[str], perms: np.ndarray) -> dict[str, np.ndarray]:
    """Reorder the first axis of some sites, draw by draw.

    Args:
        samples: sites to ``[D, ...]``.
        sites: those with one entry for each sub-population on their first axis.
        perms: ``[D, K]``.

    """
    index = np.arange(len(perms))[:, None]
    return {n: np.asarray(v)[index, perms] if n in sites else np.asarray(v) for n, v in samples.items()}


def labelled_sites(
    samples: Mapping[str, np.ndarray],
    k: int,
    log_joint: Callable[[Mapping[str, Any]], tuple[np.ndarray, np.ndarray]],
    probes: int = 2,
) -> tuple[str, ...]:
    """Sites that carry the labels, if the model does not tell sub-populations apart; else none.

    A set of sites carries the labels if reordering their first axes leaves the log prior density alone and reorders
    the joint densities of each data point with theta alike.  The largest such set is returned.

    Args:
        samples: sites to ``[D, ...]``.
        k: number of sub-populations.
        log_joint: for one draw, its log prior density and ``log P(theta, x_i)`` as ``[N, K]``.
        probes: draws to try.

    """
    candidates = [n for n, v in samples.items() if v.ndim >= 2 and v.shape[1] == k]
    # A rotation and a swap generate every order.
    perms = [np.roll(np.arange(k), 1), np.r_[1, 0, np.arange(2, k)]]
    draws = np.linspace(0, len(next(iter(samples.values()))) - 1, probes).astype(int)
    tests = [{n: v[d] for n, v in samples.items()} for d in draws]
    found = [log_joint(t) for t in tests]
    for size in range(len(candidates), 0, -1):
        for sites in itertools.combinations(candidates, size):
            if all(
                _alike(log_joint({**t, **{n: t[n][perm] for n in sites}}), f, perm)
                for t, f in zip(tests, found, strict=True)
                for perm in perms
            ):
                return sites
    return ()


def _alike(new: tuple[np.ndarray, np.ndarray], old: tuple[np.ndarray, np.ndarray], perm: np.ndarray) -> bool:
    prior = np.isclose(new[0], old[0], rtol=1e-4, atol=1e-3)
    return bool(prior) and np.allclose(new[1], old[1][:, perm], rtol=1e-4, atol=1e-3)
