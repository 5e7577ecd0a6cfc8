"""How a distribution of answers may move along a generation: the prior of curves, with the martingale built in.

Along the generation that was kept, ``o_t = p_t o_{t+1} + q_t y_t`` with ``q_t = 1 - p_t`` the probability that
left the taken path and ``y_t`` the answers of what left.  Hence ``o_{t+1} = (o_t - q_t y_t) / p_t``: where no mass
leaves nothing moves, a share ``x`` rises to ``x / p_t`` at most, and falls to ``(x - q_t) / p_t`` at least.
For the share ``x`` of one set of answers the prior says of ``y`` given ``x``

    ``y = x`` with probability ``stay``, else the nearest law to ``Beta(c x, c (1 - x))`` with concentration ``c`` of
    weight ``v_c`` that keeps ``0 <= o_{t+1} <= 1`` and the mean ``E[y] = x``.

Nearest is in relative entropy: the Beta law cut off where ``o_{t+1}`` would leave [0, 1] and tilted by ``exp(k y)``
(``sloc.windows.share_steps.tilted_to_mean``).  So the path is a martingale, ``E[o_{t+1} | o_t, q_t] = o_t``,
whatever leaves and also where the cut binds.  The identity above is exact; that ``y`` has the mean of ``o_t`` is an
assumption, of a taken token that is no better than the others on average (over all tokens it holds whatever they
answer).  A share of 0 or 1 stays there.

A curve that climbs by little at many steps is improbable then, although a path that was not drawn (greedy decoding,
say) may climb so: few draws of it are explained by a jump.  A prior with runs (:class:`RunPrior`) knows both: while a
run lasts, steps lead to the same side, on average to ``x +- q (1 - r) x (1 - x) / p`` with ``r < 1``.  Rising and
falling have the same probability beforehand and lead as far, so that on average over both nothing drifts; given the
steps before, it does.

``PRIORS`` expect most of what leaves to answer alike.  A curve that moves by nearly all it can at every step is
none of theirs; ``MovePrior(0.0, ((1.0, 1.0),))`` beside them takes its place by its evidence.

Shares live on a grid ``sin(pi u / 2)^2``, even in the arcsine scale; steps on it have the mean and, as far as it
allows, the variance of the laws (``sloc.windows.share_steps.on_grid``), so that many small ones add up to what they
are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all
from sloc.windows.share_steps import on_grid, tilted_to_mean

GRID = 61
SHARES = np.sin(np.linspace(0.0, np.pi / 2, GRID)) ** 2
"""``[G]`` values of a share."""
EDGES = np.sin(np.pi / 2 * (np.arange(GRID - 1) + 0.5) / (GRID - 1)) ** 2
"""``[G - 1]`` edges between the cells around them."""
CELLS = np.diff(EDGES, prepend=0.0, append=1.0)
"""``[G]`` widths of the cells."""
LEVELS = np.asarray(
    [
        *(0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.03, 0.045, 0.07, 0.1, 0.13, 0.17, 0.21),
        *(0.26, 0.31, 0.37, 0.43, 0.5, 0.57, 0.64, 0.71, 0.78, 0.85, 0.92, 0.97, 0.995),
    ]
)
"""Leaving masses that kernels are tabulated at; others take the next above, up to .995."""
_FINE, _ROOM = 128, 0.9


@dataclass(frozen=True)
class RunPrior:
    """Runs of steps to one side.

    Source: the library's own.

    Attributes:
        begin: probability at a step that such a run begins, rising or falling with half of it; 0 for never.
        end: probability at a step that it ends.
        concentration: ``c``, of the answers that leave the path in a run.
        pull: ``r``: of the answers that leave, a rising share ``x`` has ``x (1 - (1 - r) (1 - x))`` on average (where
            it fits), less than ``x``; about ``r x`` where ``x`` is small.

    """

    begin: float = 0.002
    end: float = 0.1
    concentration: float = 10.0
    pull: float = 0.5

    def validate(self) -> None:
        """Refuse probabilities out of range, a concentration that is not positive, a pull outside (0, 1]."""
        require(0 <= as_real(self.begin) < 1, "prior, runs.begin", self.begin, "a probability in [0, 1)")
        require(0 < as_real(self.end) < 1, "prior, runs.end", self.end, "a probability inside (0, 1)")
        positive = 0 < as_real(self.concentration) < np.inf
        require(positive, "prior, runs.concentration", self.concentration, "a finite positive number")
        require(0 < as_real(self.pull) <= 1, "prior, runs.pull", self.pull, "a ratio in (0, 1]")


@dataclass(frozen=True)
class MovePrior:
    """How answers of what leaves the path differ from those of the path.

    Attributes:
        stay: probability that they are the same.
        spread: pairs (weight, concentration); weights and ``stay`` sum to one.
        unknown: leaving masses that steps whose probability was not recorded may have (between sentences, say), all of
            a question the same, each as likely beforehand.  No step moves by more than its leaving mass, so that the
            largest bounds what can be seen.
        runs: kinds of runs to one side, of large and of small steps, say; without any, steps forget those before them.

    """

    stay: float = 0.9
    spread: tuple[tuple[float, float], ...] = ((0.08, 80.0), (0.02, 3.0))
    unknown: tuple[float, ...] = (0.5, 0.7, 0.95)
    runs: tuple[RunPrior, ...] = ()

    def validate(self) -> None:
        """Refuse weights that do not sum to one, concentrations that are not positive, masses outside (0, 1)."""
        require(0 <= as_real(self.stay) <= 1, "prior, stay", self.stay, "a probability in [0, 1]")
        pairs = isinstance(self.spread, (tuple, list)) and all(
            isinstance(p, (tuple, list)) and len(p) == 2 and all(np.isfinite(as_real(v)) for v in p)
            for p in self.spread
        )
        require(pairs, "prior, spread", self.spread, "pairs (weight, concentration)")
        total = self.stay + sum(w for w, _ in self.spread)
        require(abs(total - 1.0) < 1e-9, "prior, weights", total, "weights that sum to one with `stay`")
        require(min([self.stay, *(w for w, _ in self.spread)]) >= 0, "prior, weights", self, "no negative weight")
        require(all(c > 0 for _, c in self.spread), "prior, concentrations", self.spread, "positive numbers")
        masses = isinstance(self.unknown, (tuple, list)) and bool(self.unknown)
        masses = masses and all(0 < as_real(q) < 1 for q in self.unknown)
        require(masses, "prior, unknown", self.unknown, "leaving masses inside (0, 1), at least one")
        for run in checked_all(self.runs, "prior, runs", RunPrior, "RunPrior"):
            run.validate()
        begin = sum(run.begin for run in self.runs)
        require(begin < 1, "prior, runs", begin, "probabilities of beginning that sum to less than one")


PRIORS = (
    MovePrior(),
    MovePrior(0.8, ((0.1, 150.0), (0.08, 20.0), (0.02, 2.0))),
    MovePrior(0.6, ((0.3, 150.0), (0.07, 20.0), (0.03, 2.0))),
)
"""The priors that curves are averaged over, weighted by what they said of the draws beforehand (their evidence)."""
RUNS = RunPrior(0.002, 0.1, 10.0, 0.5), RunPrior(0.002, 0.1, 100.0, 0.8)
RUN_PRIORS = tuple(replace(p, runs=RUNS) for p in PRIORS)
"""The priors that moves are asked of.  On recordings (questions 0 to 24 of a release, either model) these runs predict
draws about as well as none.  They are there for curves that are no martingales: on simulated ones, some of which climb
step by step, how often runs begin was chosen so that false discoveries stay below their nominal rate."""


@lru_cache(maxsize=16)
def move_kernels(prior: MovePrior) -> np.ndarray:
    """Tabulate the transition matrices of a share.

    Args:
        prior: how answers differ.

    Returns:
        ``[L, G, G]`` float64, rows summing to one: of ``o_{t+1}`` given ``o_t`` for each of ``LEVELS``, out of
        a run.  Exact martingales: ``kernels @ SHARES == SHARES``.

    """
    prior.validate()
    kernels = prior.stay * np.broadcast_to(np.eye(GRID), (LEVELS.size, GRID, GRID))
    for weight, concentration in prior.spread:
        kernels = kernels + weight * _martingales(concentration)
    kernels = kernels / kernels.sum(axis=2, keepdims=True)
    kernels.setflags(write=False)
    return kernels


@lru_cache(maxsize=16)
def mode_kernels(prior: MovePrior) -> np.ndarray:
    """Tabulate transition matrices of a share in each mode.

    Args:
        prior: how answers differ.

    Returns:
        ``[L, M, G, G]`` float64: out of a run (``move_kernels``), then for each kind of runs in a rising one and in
        a falling one, whose means lie as far above a share as below it.

    """
    found = [move_kernels(prior)]
    for run in prior.runs:
        up = _martingales(run.concentration, run.pull)
        # A share falls as the share of the other answers rises; the grid is its own mirror image.
        found += [up, up[:, ::-1, ::-1]]
    kernels = np.stack(found, axis=1)
    kernels.setflags(write=False)
    return kernels


def _martingales(concentration: float, pull: float = 1.0) -> np.ndarray:
    """``[L, G, G]``, a leaving mass each: laws cut off, tilted to the means of ``_mean_shares``, on the grid."""
    points, laws = zip(*(_cut_law(float(q), concentration, pull) for q in LEVELS[1:]), strict=True)
    means = np.concatenate([_mean_shares(float(q), pull) for q in LEVELS[1:]])
    points, laws = np.concatenate(points), np.concatenate(laws)
    moved = on_grid(points, tilted_to_mean(points, laws, means), SHARES).reshape(-1, GRID, GRID)
    # A share of 0 or 1 has nowhere to go, and nothing moves where nothing leaves.
    moved[:, 0], moved[:, -1] = np.eye(GRID)[0], np.eye(GRID)[-1]
    return np.concatenate([np.eye(GRID)[None], moved])


def _mean_shares(leaving: float, pull: float) -> np.ndarray:
    """``[G]`` mean of ``o_{t+1}``: the share, or in a run above it by ``q (1 - r) x (1 - x) / p`` where it fits."""
    x, p = SHARES, 1.0 - leaving
    room = np.minimum(np.minimum(x / p, 1.0) - x, x - np.maximum((x - leaving) / p, 0.0))
    return x + np.minimum(leaving * (1.0 - pull) * x * (1.0 - x) / p, _ROOM * room)


def _cut_law(leaving: float, concentration: float, pull: float) -> tuple[np.ndarray, np.ndarray]:
    """``(x - q y) / p`` with ``y ~ Beta(c r x, c (1 - r x))``, ``r`` the pull, cut off outside [0, 1]: points, masses.

    Two arrays ``[G, M]``: middles of ``_FINE`` cells of ``y``, even in the arcsine scale, and their masses.
    """
    from scipy.special import betainc

    p = 1.0 - leaving
    x = np.clip(SHARES, 1e-4, 1.0 - 1e-4)[:, None]
    mean = pull * x
    low, high = (np.arcsin(np.sqrt(np.clip(v / leaving, 0.0, 1.0))) for v in (x - p, x))
    edges = np.sin(low + (high - low) * np.linspace(0.0, 1.0, _FINE + 1)) ** 2
    masses = np.diff(betainc(concentration * mean, concentration * (1.0 - mean), edges), axis=1)
    middles = 0.5 * (edges[:, 1:] + edges[:, :-1])
    # The outermost cells stand at their ends, so that whatever mean can be reached is among the points.
    middles[:, 0], middles[:, -1] = edges[:, 0], edges[:, -1]
    points = (x - leaving * middles) / p
    # Far out in a tail of the Beta law nothing is left of it; any law on the cells is as near.
    return np.clip(points, 0.0, 1.0), np.where(masses.sum(axis=1, keepdims=True) > 0, masses, 1.0) + 1e-300


def mode_chain(prior: MovePrior) -> tuple[np.ndarray, np.ndarray]:
    """Law of the modes at the first position ``[M]``, the stationary one, and their transition matrix ``[M, M]``."""
    begin = np.repeat([0.5 * run.begin for run in prior.runs], 2)
    # A run that never begins ends at once: draws that it would explain better than anything else then count for nothing
    # at places where it cannot be.
    end = np.repeat([run.end if run.begin > 0 else 1.0 for run in prior.runs], 2)
    chain = np.diag(np.concatenate([[1.0 - begin.sum()], 1.0 - end]))
    chain[0, 1:], chain[1:, 0] = begin, end
    law = np.concatenate([[1.0], begin / end])
    return law / law.sum(), chain


def leaving_levels(leaving: np.ndarray, unknown: float) -> np.ndarray:
    """Indices into ``LEVELS`` of leaving masses, NaN standing for ``unknown``."""
    known = np.where(np.isnan(leaving), unknown, leaving)
    return np.minimum(np.searchsorted(LEVELS, known - 1e-6), LEVELS.size - 1)
