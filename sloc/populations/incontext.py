"""In-context learning: examples ``(x_i, y_i)`` one after the other, the rule from ``x`` to ``y`` is the feature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, check_size, checked_whole
from sloc.populations.backed import Backed
from sloc.populations.discrete import check_mixture, check_rows, floating
from sloc.populations.markov import MarkovChains


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class InContext(Backed):
    """``N`` examples of an unknown rule: tokens ``x_1, y_1, x_2, y_2, ..``, ``y_i ~ outputs[theta, x_i]``.

    The tokens between examples carry no information on the rule: ``x_1 ~ inputs`` and ``x_{i+1} ~ inputs``, or
    ``x_{i+1} ~ between[y_i]``, the same for all ``theta`` (Li, Karan & Chen 2025, Assumption 1; checked by
    :meth:`validate`).  With ``between`` None the likelihood is a product over examples,
    ``p^theta(x, y) = prod_i inputs[x_i] outputs[theta, x_i, y_i]``.  ``X`` is an int32 array ``[2N]``; letters
    ``0 .. m-1`` are inputs, ``m .. m+q-1`` outputs.  Exact under every revealing and memoryless channel, as a Markov
    chain on ``m + q`` letters; under :class:`~sloc.processes.Truncation` a sum of logarithms.  Source: Li, Karan &
    Chen 2025, Ex. 6, Ex. 11, App. C.2.4-C.2.6 (the interwoven kernel), Cor. 3.

    Attributes:
        outputs: ``[K, m, q]``; row ``x`` is the law of ``y`` under the rule ``theta``.
        inputs: ``[m]``, or ``[K, m]`` with equal rows; the law of ``x``.
        examples: ``N`` (static).
        between: None, or ``[q, m]`` (or ``[K, q, m]`` with equal tables): row ``y`` is the law of the next ``x``.
        weights: ``[K]``, ``w_theta``; None for uniform.
        names: ``K`` distinct strings or the empty tuple.

    """

    outputs: Any = field(metadata={"dtype": float})
    inputs: Any = field(metadata={"dtype": float})
    examples: int = field(metadata={"static": True})
    between: Any = field(default=None, metadata={"dtype": float})
    weights: Any = field(default=None, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    @property
    def num_components(self) -> int:
        """``K``, the number of rules (static)."""
        return int(np.shape(self.outputs)[0])

    @property
    def length(self) -> int:
        """``2N``, the number of tokens (static)."""
        return 2 * self.examples

    @property
    def num_letters(self) -> int:
        """``m + q``, inputs and outputs together (static)."""
        return sum(int(n) for n in np.shape(self.outputs)[1:])

    def validate(self) -> None:
        """Check shapes, rows, weights and names, and that nothing but the outputs depends on the rule.

        Raises:
            InvalidInput: an argument is not as the class describes it; in particular inputs or transitions between
                examples that differ from one rule to another (Assumption 1 fails).

        """
        shape = np.shape(self.outputs)
        require(len(shape) == 3 and 0 not in shape, "outputs", shape, "a shape [K, m, q]")
        k, m, q = shape
        check_rows("outputs", self.outputs)
        _check_uninformative("inputs", self.inputs, (m,), k)
        if self.between is not None:
            _check_uninformative("between", self.between, (q, m), k)
        check_size(self.examples, "examples")
        check_mixture(self.weights, self.names, k)

    def backing(self) -> MarkovChains:
        """Return the same words as Markov chains on ``m + q`` letters."""
        outputs = floating(self.outputs)
        k, m, q = outputs.shape
        inputs = _common(floating(self.inputs), 1)
        after = jnp.broadcast_to(inputs, (q, m)) if self.between is None else _common(floating(self.between), 2)
        upper = jnp.concatenate([jnp.zeros((k, m, m), outputs.dtype), outputs], -1)
        lower = jnp.concatenate([jnp.broadcast_to(after, (k, q, m)), jnp.zeros((k, q, q), outputs.dtype)], -1)
        first = jnp.concatenate([jnp.broadcast_to(inputs, (k, m)), jnp.zeros((k, q), outputs.dtype)], -1)
        return MarkovChains(first, jnp.concatenate([upper, lower], 1), self.length, self.weights, self.names)

    def affinity(self, examples: int) -> np.ndarray:
        """Return ``BC_n = sum sqrt(p^i p^j)`` over ``n`` complete examples, ``[K, K]``, float64 on the host, exact.

        For independent examples ``BC_n = BC_1^n``.  It bounds what is left to decide:
        ``E_{p^i}[1 - pi_i] <= sum_{j != i} sqrt(w_j / w_i) BC_n[i, j] / 2``.

        Args:
            examples: ``n >= 0``; may exceed ``N``.

        """
        checked_whole(examples, "examples", 0, what="examples")
        law, kernel, after = self._overlap_tables()
        k, m = kernel.shape[0], kernel.shape[2]
        state = np.broadcast_to(law, (k, k, m))
        for _ in range(int(examples)):
            state = np.einsum("ijx,ijxy,yz->ijz", state, kernel, after)
        return state.sum(-1)

    def smallest_hellinger(self, rule: int) -> float:
        """Return ``delta``, the smallest squared Hellinger distance of one example from the rule to another one.

        ``delta = min_{j != i} sum (sqrt p^i - sqrt p^j)^2 = min_j (2 - 2 BC_1[i, j])``.  A mixture of the others would
        not do: a mixture of products is not a product.  Exact, float64 on the host.

        Args:
            rule: index of the rule.

        Raises:
            InvalidInput: no such rule, or no other one.

        """
        rule = self._rule(rule)
        row = np.delete(self.affinity(1)[rule], rule)
        return float(2.0 - 2.0 * row.max())

    def examples_needed(self, rule: int, epsilon: float, most: int = 1_000_000) -> int | None:
        """Return the least number of examples whose affinity to every other rule is at most ``epsilon``.

        For independent examples the least integer with ``n >= ln(1/epsilon) / ln(1 / (1 - delta/2))``, ``delta`` from
        :meth:`smallest_hellinger`; the printed ``ln((1 - delta/2) / epsilon)`` (Cor. 3) is far too small.

        Args:
            rule: index of the true rule.
            epsilon: bound on the affinity, in ``(0, 1)``.
            most: where to give up.

        Returns:
            The number of examples, or None if even ``most`` do not suffice (two rules alike, say).

        Raises:
            InvalidInput: no such rule, or no other one; numbers out of range.

        """
        rule, most = self._rule(rule), checked_whole(most, "most", what="examples")
        require(0 < as_real(epsilon) < 1, "epsilon", epsilon, "a number in (0, 1)")
        law, kernel, after = self._overlap_tables()
        others = np.arange(kernel.shape[0]) != rule
        state = np.broadcast_to(law, (others.sum(), law.size))
        step = np.einsum("jxy,yz->jxz", kernel[rule][others], after)
        for n in range(1, most + 1):
            following = np.einsum("jx,jxz->jz", state, step)
            if following.sum(-1).max() <= epsilon:
                return n
            if np.abs(following - state).max() < 1e-13 * state.max():
                return None  # a fixed point above epsilon: two rules that no example tells apart
            state = following
        return None

    def _rule(self, rule: int) -> int:
        k = self.num_components
        require(k > 1, "outputs", np.shape(self.outputs), "at least two rules, to tell them apart")
        return checked_whole(rule, "rule", 0, k - 1)

    def _overlap_tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``inputs [m]``, ``sqrt(outputs_i outputs_j) [K, K, m, q]`` and ``between [q, m]``, float64."""
        outputs, inputs = np.asarray(self.outputs, np.float64), _common(np.asarray(self.inputs, np.float64), 1)
        q, m = outputs.shape[2], outputs.shape[1]
        after = np.broadcast_to(inputs, (q, m))
        if self.between is not None:
            after = _common(np.asarray(self.between, np.float64), 2)
        roots = np.sqrt(outputs / outputs.sum(-1, keepdims=True))
        kernel = roots[:, None] * roots[None, :]
        return inputs / inputs.sum(), kernel, after / after.sum(-1, keepdims=True)


def _common(table: Any, rank: int) -> Any:
    """Return what all rules share: the table, or the first of ``K`` equal ones."""
    return table if table.ndim == rank else table[0]


def _check_uninformative(argument: str, table: Any, shape: tuple[int, ...], rules: int) -> None:
    """Refuse tables of the wrong shape, rows that are no laws, and tables that differ between the rules."""
    values = np.asarray(table, np.float64)
    require(
        values.shape in (shape, (rules, *shape)),
        argument,
        values.shape,
        f"the shape {shape}, or {(rules, *shape)} with {rules} equal tables",
    )
    check_rows(argument, table)
    if values.shape != shape:
        gap = float(np.abs(values - values[:1]).max())
        require(
            gap <= 1e-6,
            argument,
            table,
            f"one law for all rules (Assumption 1: only outputs may tell rules apart; they differ by {gap:.3g})",
        )
