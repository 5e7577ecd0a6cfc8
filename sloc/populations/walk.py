"""Solving a problem as a random walk between two answers, absorbed when one of them is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import float_dtype, require
from sloc.contracts.arguments import as_array, as_real, check_size, checked_whole
from sloc.populations.backed import Backed
from sloc.populations.discrete import check_mixture
from sloc.populations.markov import MarkovChains


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RandomWalkSolver(Backed):
    """A walk from 0 with steps ``+1`` (probability ``1/2 + drift``) or ``-1``, absorbed at ``+A`` and ``-A``.

    Sub-population 0 leans to ``+A``, sub-population 1 is its mirror image (``1/2 - drift``).  ``X`` is the int32 array
    ``[L]`` of positions after each step, written as ``position + A``, letters ``0 .. 2A``; after absorption the letter
    stays.  The walk is a Markov chain, so it is exact under every revealing and memoryless channel.  Under
    :class:`~sloc.processes.Truncation` the last position seen is sufficient: the log-likelihood ratio of the two is
    ``position * log((1/2 + drift) / (1/2 - drift))``.  With ``A > L`` nothing is absorbed and the law is that of
    ``L`` coins.  Source: Li, Karan & Chen 2025, Ex. 5.

    Attributes:
        drift: the lean of a step, in ``(0, 1/2)``.
        barrier: ``A``, at least 1 (static).
        length: ``L``, the number of steps written down (static).
        weights: ``[2]``; None for one half each.
        names: two distinct strings.

    """

    drift: Any
    barrier: int = field(metadata={"static": True})
    length: int = field(metadata={"static": True})
    weights: Any = field(default=None, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=("plus", "minus"), metadata={"static": True})

    @property
    def num_components(self) -> int:
        """Two: the walk and its mirror image."""
        return 2

    @property
    def num_letters(self) -> int:
        """``2A + 1`` positions (static)."""
        return 2 * self.barrier + 1

    def validate(self) -> None:
        """Check drift, barrier, length, weights and names.

        Raises:
            InvalidInput: an argument is not as the class describes it.

        """
        require(0 < as_real(self.drift) < 0.5, "drift", self.drift, "a number strictly between 0 and 1/2")
        for name in ("barrier", "length"):
            check_size(getattr(self, name), name)
        check_mixture(self.weights, self.names, 2)

    def backing(self) -> MarkovChains:
        """Return the same words as Markov chains on ``2A + 1`` letters, absorbing at both ends."""
        a, size = self.barrier, self.num_letters
        drift = jnp.asarray(self.drift, float_dtype())
        up = jnp.stack([0.5 + drift, 0.5 - drift])[:, None, None]
        inside = np.ones((size, 1))
        inside[[0, -1]] = 0.0
        ends = jnp.asarray(np.diag(1.0 - inside[:, 0]), up.dtype)[None]
        right, left = (jnp.asarray(inside * np.eye(size, k=k), up.dtype)[None] for k in (1, -1))
        transitions = ends + up * right + (1.0 - up) * left
        return MarkovChains(transitions[:, a, :], transitions, self.length, self.weights, self.names)

    def position_law(self, steps: int) -> np.ndarray:
        """Return the law of the position after ``steps`` under sub-population 0, ``[2A + 1]``, float64 on the host.

        Exact up to rounding, by ``P_{n+1}(x) = p P_n(x - 1) + (1 - p) P_n(x + 1)``, ``p = 1/2 + drift``, within the
        barriers, which absorb (``O(A)`` a step); the law under sub-population 1 is its reverse.

        Args:
            steps: ``n >= 0``; may exceed ``L``.

        """
        checked_whole(steps, "steps", 0, what="steps")
        p = 0.5 + float(self.drift)
        law = np.zeros(self.num_letters)
        law[self.barrier] = 1.0
        for _ in range(int(steps)):
            law = _walk_on(law, p)
        return law

    def prefix_tv(self, steps: Any) -> np.ndarray:
        """Return ``TV`` between the two laws of the first ``n`` steps, float64 on the host, exact up to rounding.

        By the position after ``n`` steps, which is sufficient: ``P(S_n > 0) - P(S_n < 0)`` under sub-population 0.
        Up to ``n = A`` a difference of binomial tails; beyond, the absorbed law of :meth:`position_law`, one pass for
        all ``n``.  This is ``TV(p_t^plus, p_t^minus)`` under truncation at ``t = L - n``.

        Args:
            steps: ``n``, an int or an array of ints, at least 0.

        Returns:
            An array of the shape of ``steps``.

        """
        from scipy.stats import binom

        n = np.asarray(as_array(steps, "steps"))
        require(n.dtype.kind in "iu" and bool((n >= 0).all()), "steps", steps, "numbers of steps, at least 0")
        p, out = 0.5 + float(self.drift), np.zeros(n.shape)
        free = n <= self.barrier
        # Before the barrier can have been passed the sum of steps has the sign of heads - n / 2.
        out[free] = binom.sf(n[free] // 2, n[free], p) - binom.cdf((n[free] + 1) // 2 - 1, n[free], p)
        if free.all():
            return out
        law, done = self.position_law(self.barrier), self.barrier
        for wanted in np.unique(n[~free]):
            for _ in range(int(wanted) - done):
                law = _walk_on(law, p)
            done = int(wanted)
            out[n == wanted] = law[self.barrier + 1 :].sum() - law[: self.barrier].sum()
        return out

    def limit_tv(self) -> float:
        """Return ``lim_n TV = tanh(A/2 log((1/2 + drift) / (1/2 - drift)))``, all that absorption leaves; exact."""
        return math.tanh(0.5 * self.barrier * _log_odds(float(self.drift)))


def least_barrier(drift: float, epsilon: float) -> int:
    """Return the least ``A`` with ``limit_tv > 1 - epsilon^2``: below it ``T_after`` does not exist, however long.

    Closed form, ``A log((1/2 + drift)/(1/2 - drift)) / 2 > artanh(1 - epsilon^2)``.  The limit is approached from
    below, hence the strict inequality.  (``34`` at ``drift = epsilon = .05``.)

    Args:
        drift: in ``(0, 1/2)``.
        epsilon: in ``(0, 1)``.

    Raises:
        InvalidInput: numbers outside their ranges.

    Source: gambler's ruin (Feller 1968), for ``T_after`` of Li, Karan & Chen 2025, Def. 4.
    """
    require(0 < as_real(drift) < 0.5, "drift", drift, "a number strictly between 0 and 1/2")
    require(0 < as_real(epsilon) < 1, "epsilon", epsilon, "a number in (0, 1)")
    # artanh(1 - e) = log((2 - e) / e) / 2, without cancellation.
    needed = math.log((2.0 - epsilon**2) / epsilon**2) / _log_odds(drift)
    return math.floor(needed) + 1


def _log_odds(drift: float) -> float:
    return math.log1p(2.0 * drift) - math.log1p(-2.0 * drift)


def _walk_on(law: np.ndarray, p: float) -> np.ndarray:
    """One step of the absorbed walk."""
    after = np.zeros_like(law)
    after[2:] += p * law[1:-1]
    after[:-2] += (1.0 - p) * law[1:-1]
    after[0] += law[0]
    after[-1] += law[-1]
    return after
