"""Critical tokens: autoregressive modes that agree up to a token and part soon after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import float_dtype, is_concrete, require
from sloc.contracts.arguments import as_array, as_real, as_whole, check_size, checked_all
from sloc.populations.backed import Backed
from sloc.populations.discrete import check_mixture, check_rows, floating
from sloc.populations.hmm import HiddenMarkov


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CriticalTokens(Backed):
    """Markov chains with common transitions for ``a`` tokens, then over ``k`` tokens to transitions of their own.

    Token ``l`` (counted from 0) follows ``(1 - c_l) common + c_l branches[theta]``, with
    ``c_l = min(max((l - a + 1) / k, 0), 1)``: the first ``a`` tokens have one law whatever ``theta``, so prefixes of
    at most ``a`` tokens have ``TV = 0``; token ``a + k - 1`` is the first to follow ``branches[theta]`` alone.  If
    mode ``theta`` then leaves its own letters with probability at most ``leak`` (and the letters of different modes
    are disjoint), prefixes of at least ``a + k`` tokens have ``TV >= 1 - 2 leak``.  So under
    :class:`~sloc.processes.Truncation` what happens happens for ``t`` in ``[L - a - k, L - a]``.  ``X`` is an int32
    array ``[L]``.  Exact under every revealing and memoryless channel (a Markov chain whose transitions depend on
    the place).  Source: Li, Karan & Chen 2025, Ex. 4.

    Attributes:
        initial: ``[q]``, the law of the first token.
        common: ``[q, q]``, the transitions before the modes part.
        branches: ``[K, q, q]``, the transitions of each mode.
        start: ``a``, at least 1.
        spread: ``k``, at least 1.
        length: ``L`` (static).
        weights: ``[K]``, ``w_theta``; None for uniform.
        names: ``K`` distinct strings or the empty tuple.
        vocabulary: ``q`` strings for :meth:`text`, or the empty tuple (static).

    """

    initial: Any = field(metadata={"dtype": float})
    common: Any = field(metadata={"dtype": float})
    branches: Any = field(metadata={"dtype": float})
    start: int
    spread: int
    length: int = field(metadata={"static": True})
    weights: Any = field(default=None, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})
    vocabulary: tuple[str, ...] = field(default=(), metadata={"static": True})

    @classmethod
    def refusals(
        cls, start: int = 4, spread: int = 2, length: int = 16, leak: float = 0.01, refusal_weight: float = 0.9
    ) -> CriticalTokens:
        """Return a model that refuses or complies: the answer is decided in its first few tokens.

        The request (``start`` tokens) is common.  The two modes then move to letters of their own, ``refuse`` to
        apologies, ``comply`` to instructions, and leave them with probability ``leak`` at each token: a jailbreak by
        prefilling is a step across this window.

        Args:
            start: ``a``, tokens of the request.
            spread: ``k``, tokens over which the modes part.
            length: ``L``.
            leak: probability that a token is none of the mode's own, in ``[0, 1)``.
            refusal_weight: ``w`` of ``refuse``.

        Raises:
            InvalidInput: numbers that are no such model's.

        """
        _check_places(start, spread)
        _check_shares(leak, refusal_weight, "refusal_weight")
        words = ("how", "do", "I", "sorry", "cannot", "help", "sure", "first", "then")
        groups = np.arange(9).reshape(3, 3)
        common = _cycle_within(groups[0], 9, 0.0)
        branches = np.stack([_cycle_within(groups[1], 9, leak), _cycle_within(groups[2], 9, leak)])
        weights = (float(refusal_weight), 1.0 - float(refusal_weight))
        initial = np.array([1.0, *np.zeros(8)])
        made = cls(initial, common, branches, start, spread, length, weights, ("refuse", "comply"), words)
        made.validate()
        return made

    @classmethod
    def agent(
        cls, start: int = 8, spread: int = 1, length: int = 24, leak: float = 0.01, distraction_weight: float = 0.1
    ) -> CriticalTokens:
        """Return an agent that keeps to its task or, from one step on, drifts off to browse.

        Mode ``work`` continues as before the critical step; mode ``browse`` moves to other actions and stays there up
        to ``leak``.

        Args:
            start: ``a``, actions before the critical one.
            spread: ``k``, actions over which the modes part.
            length: ``L``.
            leak: probability that an action is none of the mode's own, in ``[0, 1)``.
            distraction_weight: ``w`` of ``browse``.

        Raises:
            InvalidInput: numbers that are no such model's.

        """
        _check_places(start, spread)
        _check_shares(leak, distraction_weight, "distraction_weight")
        words = ("edit", "run", "test", "search", "photos", "scroll")
        groups = np.arange(6).reshape(2, 3)
        work, browse = (_cycle_within(group, 6, leak) for group in groups)
        weights = (1.0 - float(distraction_weight), float(distraction_weight))
        initial = np.array([0.5, 0.25, 0.25, 0, 0, 0])
        made = cls(initial, work, np.stack([work, browse]), start, spread, length, weights, ("work", "browse"), words)
        made.validate()
        return made

    @property
    def num_components(self) -> int:
        """``K``, the number of modes (static)."""
        return int(np.shape(self.branches)[0])

    @property
    def num_letters(self) -> int:
        """``q``, the size of the alphabet (static)."""
        return int(np.shape(self.branches)[-1])

    def validate(self) -> None:
        """Check shapes, rows, the critical token, length, weights, names and vocabulary.

        Raises:
            InvalidInput: an argument is not as the class describes it.

        """
        shape = np.shape(self.branches)
        require(len(shape) == 3 and shape[1] == shape[2] and 0 not in shape, "branches", shape, "a shape [K, q, q]")
        k, q, _ = shape
        require(np.shape(self.initial) == (q,), "initial", np.shape(self.initial), f"the shape {(q,)}")
        require(np.shape(self.common) == (q, q), "common", np.shape(self.common), f"the shape {(q, q)}")
        for name in ("initial", "common", "branches"):
            check_rows(name, getattr(self, name))
        check_size(self.length, "length", 2)
        if is_concrete(self.start, self.spread):
            for name in ("start", "spread"):
                value = np.asarray(getattr(self, name))
                require(value.ndim == 0 and value.dtype.kind in "iu", name, getattr(self, name), "an int")
                require(as_whole(value) >= 1, name, getattr(self, name), "at least 1")
            last = int(self.start) + int(self.spread)
            require(last <= self.length, "start + spread", last, f"at most {self.length}, the length")
        check_mixture(self.weights, self.names, k)
        if not isinstance(self.vocabulary, tuple) or self.vocabulary:
            words = checked_all(self.vocabulary, "vocabulary", str, "texts")
            require(len(words) == q, "vocabulary", self.vocabulary, f"{q} texts, one for each letter")

    def backing(self) -> HiddenMarkov:
        """Return the same words as chains whose states are seen, with one table of transitions for each step."""
        branches, common, initial = floating(self.branches), floating(self.common), floating(self.initial)
        k, q, _ = branches.shape
        # Transition l leads from token l to token l + 1.
        steps = jnp.arange(2, self.length + 1, dtype=jnp.int32) - jnp.asarray(self.start, jnp.int32)
        share = jnp.clip(steps.astype(branches.dtype) / jnp.asarray(self.spread, branches.dtype), 0.0, 1.0)
        share = share[None, :, None, None]
        moves = (1.0 - share) * common[None, None] + share * branches[:, None]
        letters = jnp.broadcast_to(jnp.eye(q, dtype=branches.dtype), (k, q, q))
        first = jnp.broadcast_to(initial, (k, q))
        return HiddenMarkov(first, moves, letters, self.length, self.weights, self.names)

    def window(self) -> tuple[int, int]:
        """Return ``(L - a - k, L - a)``, between which the printed window lies (Ex. 4).

        A bound on the edges of the definition, not the edges: disjointness up to ``leak`` gives
        ``TV >= 1 - 2 leak``, which reaches ``1 - epsilon^2`` only where ``leak <= epsilon^2 / 2``.
        """
        start, spread = int(self.start), int(self.spread)
        return self.length - start - spread, self.length - start

    def text(self, x: Any) -> str:
        """Return a word as text, by the vocabulary (or the numbers of the letters).

        Args:
            x: ``[n]`` letters, each from 0 to ``q - 1``; of any length.

        Raises:
            InvalidInput: anything else.

        """
        found = np.asarray(as_array(x, "x"))
        letters = found.ndim == 1 and (found.size == 0 or found.dtype.kind in "iu")
        letters = letters and bool(((found >= 0) & (found < self.num_letters)).all())
        require(letters, "x", x, f"a word [n] of letters, whole numbers from 0 to {self.num_letters - 1}")
        return " ".join(self.vocabulary[i] if self.vocabulary else str(i) for i in found.tolist())


def _cycle_within(own: np.ndarray, letters: int, leak: float) -> np.ndarray:
    """Rows ``[q, q]``: from inside ``own`` mostly to the next of them, from outside to its first; leak uniform."""
    require(0 <= as_real(leak) < 1, "leak", leak, "a probability in [0, 1)")
    others = np.setdiff1d(np.arange(letters), own)
    rows = np.zeros((letters, letters))
    rows[:, others] = leak / others.size
    inside = np.full((letters, own.size), 0.2 / max(own.size - 1, 1))
    inside[others, 0] = 0.8
    for place, letter in enumerate(own):
        inside[letter, (place + 1) % own.size] = 0.8
    rows[:, own] = (1 - leak) * inside / inside.sum(-1, keepdims=True)
    return np.asarray(rows, float_dtype())


def _check_shares(leak: Any, weight: Any, name: str) -> None:
    require(0 <= as_real(leak) < 1, "leak", leak, "a number in [0, 1)")
    require(0 < as_real(weight) < 1, name, weight, "a number in (0, 1)")


def _check_places(start: Any, spread: Any) -> None:
    if is_concrete(start, spread):
        for name, value in (("start", start), ("spread", spread)):
            require(as_whole(value) >= 1, name, value, "an int of at least 1")
