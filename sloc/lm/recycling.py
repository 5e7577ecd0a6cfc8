"""Prefix recycling: a branch that writes the text itself up to a later cut is a sample of that cut too.

Source: identity 11 of the theory: ``X | Y_s`` restricted to ``Y_{s'} = y_{s'}`` has the law of ``X | Y_{s'}``.  Exact
where stopping is absolute (a total length, end tokens), whatever the temperature and truncation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sloc.lm.decoding import LOOK_EVERY, Branches, Plan, StopWatch, collected
from sloc.lm.forked import RUNNING, Lanes


def decode_recycled(key: jax.Array, plan: Plan) -> tuple[Branches, Lanes]:
    """Draw the branches of every cut, taking over those of earlier cuts that still agree with the text.

    Chain ``r`` goes through the cuts in order: its branch at a cut is the one before where that agrees with the text
    up to the cut, else a fresh one with the key it would have had anyway.  Fresh ones join the queue as soon as the
    chain's branch leaves the text, so lanes stay busy.
    """
    order = np.argsort(plan.cuts, kind="stable")
    chains = _Chains(plan, order)
    full, state = plan.queue(key), plan.lanes_state()
    watch = StopWatch(plan)
    while True:
        chains.extend(np.asarray(state.tokens), np.asarray(state.lengths), np.asarray(state.reasons))
        if chains.complete and watch.finished(state, chains.count):
            break
        rows = jnp.asarray(chains.padded())
        queue = dataclasses.replace(
            full,
            **{f: getattr(full, f)[rows] for f in ("cuts", "limits", "keys", "forced", "forced_counts")},
            end=jnp.asarray(chains.count, jnp.int32),
        )
        state = watch.checked(plan.advanced(queue, state, LOOK_EVERY), chains.rows)
    return chains.collected(state), state


class _Chains:
    """Which branch serves each (cut, resample), and which branches were started, in the order of the queue."""

    def __init__(self, plan: Plan, order: np.ndarray) -> None:
        self.plan, self.order = plan, order
        self.text = plan.prefix.tokens
        cuts, n = len(plan.cuts), plan.n
        self.source = np.full((cuts, n), -1)
        self.rows: list[int] = []
        # For each chain: its branch, that branch's cut, and the next place in the order to serve.
        self.branch = np.full(n, -1)
        self.next = np.zeros(n, int)

    @property
    def count(self) -> int:
        """Branches started."""
        return len(self.rows)

    @property
    def complete(self) -> bool:
        """Whether every (cut, resample) has its branch."""
        return bool((self.next == len(self.order)).all())

    def padded(self) -> np.ndarray:
        """Return the rows of all possible branches that the queue holds now, padded to a fixed size."""
        out = np.zeros(self.plan.capacity, int)
        out[: self.count] = self.rows
        return out

    def extend(self, tokens: np.ndarray, lengths: np.ndarray, reasons: np.ndarray) -> None:
        """Take over or start what can be decided from what is written so far."""
        for r in range(self.plan.n):
            for place in self._served(r, tokens, lengths, reasons):
                self.source[self.order[place], r] = self.branch[r]
                self.next[r] = place + 1

    def _served(self, r: int, tokens: np.ndarray, lengths: np.ndarray, reasons: np.ndarray) -> Iterator[int]:
        while self.next[r] < len(self.order):
            place = int(self.next[r])
            at = self.order[place]
            if self.branch[r] >= 0:
                agrees = self._agrees(int(self.branch[r]), int(self.plan.cuts[at]), tokens, lengths, reasons)
                if agrees is None:
                    return
                if agrees:
                    yield place
                    continue
            self.branch[r] = self.count
            self.rows.append(int(at) * self.plan.n + r)
            yield place

    def _agrees(
        self, branch: int, cut: int, tokens: np.ndarray, lengths: np.ndarray, reasons: np.ndarray
    ) -> bool | None:
        """Whether a branch wrote the text up to ``cut``; None while that is open."""
        start = int(self.plan.cuts[self.rows[branch] // self.plan.n])
        need, have = cut - start, int(lengths[branch])
        written = min(need, have)
        if not np.array_equal(tokens[branch, :written], self.text[start : start + written]):
            return False
        # A branch that ended at the cut itself has stopped there, which a branch of that cut could not have.
        if have > need:
            return True
        return None if reasons[branch] == RUNNING else False

    def collected(self, state: Lanes) -> Branches:
        """Return all samples, cut by cut."""
        n = self.plan.n
        sources = self.source.reshape(-1)
        cuts = np.repeat(self.plan.cuts, n)
        starts = np.asarray([self.plan.cuts[self.rows[s] // n] for s in sources])
        return collected(self.plan, state, cuts, np.tile(np.arange(n), len(self.plan.cuts)), sources, cuts - starts)
