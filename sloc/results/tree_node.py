"""Nodes of mixture trees, and what was checked at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sloc.results.status import Status
from sloc.results.window import Interval, Window

Verdict = Literal["holds", "fails", "open"]
"""Whether a condition is certified, refuted, or not settled by the draws and bounds."""


@dataclass(frozen=True)
class Check:
    """One inequality of a tree's definition at one node.

    Attributes:
        value: the quantity, or None where only bounds on it are known.
        lower: lower end of a band for it.
        upper: upper end; the bands of all nodes hold at once with probability ``>= 1 - delta``.
        threshold: what it is compared with.
        at_most: whether the condition is ``<= threshold`` (else ``>= threshold``).

    """

    value: float | None
    lower: float
    upper: float
    threshold: float
    at_most: bool

    @property
    def verdict(self) -> Verdict:
        """``holds`` or ``fails`` where the band lies on one side of the threshold, else ``open``."""
        if self.at_most:
            return "holds" if self.upper <= self.threshold else "fails" if self.lower > self.threshold else "open"
        return "holds" if self.lower >= self.threshold else "fails" if self.upper < self.threshold else "open"


@dataclass(frozen=True)
class TreeNode:
    """One node of a mixture tree.

    Attributes:
        index: its number; leaves are ``0 .. K-1`` in the order of the classes, the root is last.
        members: ``Subset``, indices of classes.
        parent: number of the parent, None for the root.
        children: numbers of the children.
        noise_amount: ``NoiseAmount``, the time at which the members have merged (0 for leaves), or None where they
            do not merge within the times that were looked at.
        interval: an interval for the largest ``T_end`` among pairs of members, whose point is ``noise_amount``.
        status: status of that point.
        merged: ``max_{i in Subset} TV(p_t^i, p_t^Subset) <= epsilon`` at ``t = noise_amount``.
        apart: ``TV(p_t^Subset, p_t^rest) >= 1 - epsilon^2`` there; 1 for the root, which has no rest.
        window: the critical window of this node within its parent, None for the root.
        bound: ``epsilon + max(1, W) (epsilon^2 - epsilon^4 / 2)``, ``W = w_rest / w_Subset``: where both checks hold,
            a member noised to ``noise_amount`` and denoised has the law of the subset up to this TV.

    """

    index: int
    members: tuple[int, ...]
    parent: int | None
    children: tuple[int, ...]
    noise_amount: float | None
    interval: Interval | None
    status: Status
    merged: Check
    apart: Check
    window: Window | None
    bound: float


@dataclass(frozen=True)
class Condition:
    """One of the three conditions over the whole tree.

    Attributes:
        statement: the condition in words.
        verdict: ``holds`` if at every node, ``fails`` if it certainly fails at one, else ``open``.
        failing: numbers of the nodes where it certainly fails.
        unsettled: numbers of the nodes where it is open.

    """

    statement: str
    verdict: Verdict
    failing: tuple[int, ...]
    unsettled: tuple[int, ...]
