"""The random hierarchy model: letters that a tree of production rules writes, one class at its root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    Observation,
    ObservationProcess,
    Population,
    check_registered,
    float_dtype,
    is_concrete,
    register_marginals,
    require,
)
from sloc.contracts.arguments import as_array, check_size, checked_key
from sloc.contracts.base import Asked
from sloc.populations.discrete import (
    check_mixture,
    check_rows,
    draw_letters,
    floating,
    log_mixture_weights,
)
from sloc.populations.hierarchy_leaves import BUILT_IN, LEAVES, LeafLogs, independent_leaves, resolve_leaves
from sloc.populations.hierarchy_messages import class_logs, class_messages, draw_downwards, marginals_downwards
from sloc.populations.hierarchy_pairs import hierarchy_marginals, hierarchy_path, hierarchy_paths
from sloc.populations.hierarchy_rules import draw_rules, refuse_shared

__all__ = ["RandomHierarchy", "independent_leaves", "register_leaves"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RandomHierarchy(Population):
    """Leaves of a tree of depth ``L``: class, then symbols, each replaced by an ``s``-tuple of the level below.

    A class ``theta`` (a symbol of level 0) becomes ``rules[0, theta, r]``, ``r`` drawn from its ``m`` rules, each of
    the ``s`` symbols in turn becomes a tuple by ``rules[1]``, and so on, so that a tree has the probability
    ``P(tree | theta) = prod_nodes rule_weights[level, symbol, rule]``; ``X`` is the ``s^L`` letters of the last level,
    int32 ``[s^L]``, or one-hot vectors ``[s^L, v]`` for Gaussian channels.  Class likelihoods, marginals of all hidden
    symbols and posterior draws are exact, by belief propagation on the tree, under every process that acts on each leaf
    by itself (``register_leaves``): revealing, memoryless, Gaussian, and linear Gaussian channels that do not mix
    leaves.  Source: Cagnetta, Petrini, Tomasini, Favero & Wyart 2024 (random hierarchy model); Sclocchi, Favero & Wyart
    2025 (belief propagation, transition of the class under diffusion).

    Attributes:
        rules: ``[L, R, m, s]`` integers in ``0 .. v - 1``, ``R = max(K, v)``; rows that a level does not have are not
            read.
        rule_weights: ``[L, R, m]``, the law of the rule of each symbol; None for uniform.
        weights: ``[K]``, ``w_theta``; None for uniform.
        num_classes: ``K``; None for ``R`` (static).
        vocabulary: ``v``; None for ``R`` (static).
        one_hot: whether leaves are one-hot vectors (static).
        ambiguous: whether two symbols of a level may share a tuple, so that leaves do not determine the class (static);
            all results stay exact.
        names: ``K`` distinct strings or the empty tuple (static).

    """

    rules: Any
    rule_weights: Any = field(default=None, metadata={"dtype": float})
    weights: Any = field(default=None, metadata={"dtype": float})
    num_classes: int | None = field(default=None, metadata={"static": True})
    vocabulary: int | None = field(default=None, metadata={"static": True})
    one_hot: bool = field(default=False, metadata={"static": True})
    ambiguous: bool = field(default=False, metadata={"static": True})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    atomic: ClassVar[bool] = True
    _asked: ClassVar[Asked] = {
        **Population._asked,
        "sample_tree": ("key", "component"),
        "level_posteriors": ("process", "y", "t"),
        "posterior_tree": ("key", "process", "y", "t"),
    }

    @classmethod
    def random(
        cls,
        key: Array,
        num_classes: int,
        depth: int,
        branching: int,
        vocabulary: int,
        rules: int,
        *,
        weights: Any = None,
        one_hot: bool = False,
        names: tuple[str, ...] = (),
    ) -> RandomHierarchy:
        """Draw production rules: at each level distinct tuples, uniform over all such choices.

        Args:
            key: typed PRNG key.
            num_classes: ``K``.
            depth: ``L``.
            branching: ``s``.
            vocabulary: ``v``.
            rules: ``m``, rules for each symbol; ``max(K, v) m <= v^s``.
            weights: ``[K]``, or None for uniform.
            one_hot: whether leaves are one-hot vectors.
            names: ``K`` distinct strings or the empty tuple.

        Raises:
            InvalidInput: no typed key, a size is not a positive integer, there are too few tuples for unambiguous
                rules, or weights or names are not as the class describes them.

        """
        key = checked_key(key)
        least = {"num_classes": 2, "depth": 1, "branching": 2, "vocabulary": 2, "rules": 1}
        given = {
            "num_classes": num_classes,
            "depth": depth,
            "branching": branching,
            "vocabulary": vocabulary,
            "rules": rules,
        }
        for name, value in given.items():
            check_size(value, name, least[name])
        symbols = [num_classes] + [vocabulary] * (depth - 1)
        space, owners = vocabulary**branching, max(symbols)
        require(
            owners * rules <= space,
            "rules",
            rules,
            f"at most {space // owners}: {owners} symbols of a level have rules, there are {space} tuples",
        )
        table = draw_rules(key, symbols, vocabulary, rules, branching)
        if depth == 1 and vocabulary > num_classes:
            table = jnp.pad(table, ((0, 0), (0, vocabulary - num_classes), (0, 0), (0, 0)))
        made = cls(table, None, weights, num_classes, vocabulary, one_hot, False, names)
        check_registered(made, "population", cls)
        made.validate()
        return made

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        return log_mixture_weights(self.weights, self.num_components, self._dtype)

    @property
    def num_components(self) -> int:
        """``K`` (static)."""
        return int(np.shape(self.rules)[1]) if self.num_classes is None else int(self.num_classes)

    @property
    def num_letters(self) -> int:
        """``v``, the size of the alphabet (static)."""
        return int(np.shape(self.rules)[1]) if self.vocabulary is None else int(self.vocabulary)

    @property
    def depth(self) -> int:
        """``L`` (static)."""
        return int(np.shape(self.rules)[0])

    @property
    def branching(self) -> int:
        """``s`` (static)."""
        return int(np.shape(self.rules)[3])

    @property
    def num_leaves(self) -> int:
        """``s^L``, the length of ``X`` (static)."""
        return self.branching**self.depth

    @property
    def _dtype(self) -> Any:
        return next((floating(w).dtype for w in (self.weights, self.rule_weights) if w is not None), float_dtype())

    def path_elements(self) -> int:
        """One number for each leaf, letter and rule."""
        return self.num_leaves * self.num_letters * int(np.shape(self.rules)[2])

    def validate(self) -> None:
        """Check shapes, sizes, letters, weights, names, and that no tuple has two owners.

        Raises:
            InvalidInput: an argument is not as the class describes it; of ambiguous rules the message names a tuple.

        """
        shape = np.shape(self.rules)
        require(len(shape) == 4 and 0 not in shape, "rules", shape, "a shape [L, R, m, s]")
        for name, value in (("num_classes", self.num_classes), ("vocabulary", self.vocabulary)):
            good = value is None or (isinstance(value, (int, np.integer)) and not isinstance(value, bool))
            require(good and (value is None or 1 <= value <= shape[1]), name, value, f"an int from 1 to {shape[1]}")
        require(
            max(self.num_components, self.num_letters) == shape[1],
            "rules",
            shape,
            f"R = {max(self.num_components, self.num_letters)}, the larger of num_classes and vocabulary",
        )
        require(shape[3] >= 2, "rules", shape, "tuples of at least two symbols")
        check_mixture(self.weights, self.names, self.num_components)
        symbols = self._symbols()
        if is_concrete(self.rules):
            rules = np.asarray(self.rules)
            require(rules.dtype.kind in "iu", "rules", f"dtype {rules.dtype}", "integers")
            for level, count in enumerate(symbols):
                rows = rules[level, :count]
                inside = int(rows.min()) >= 0 and int(rows.max()) < self.num_letters
                require(inside, f"rules[{level}]", rows, f"letters 0 .. {self.num_letters - 1}")
            if not self.ambiguous:
                refuse_shared(rules, symbols)
        if self.rule_weights is not None:
            require(
                np.shape(self.rule_weights) == shape[:3],
                "rule_weights",
                np.shape(self.rule_weights),
                f"the shape {shape[:3]}, that is [L, R, m]",
            )
            if is_concrete(self.rule_weights):
                for level, count in enumerate(symbols):
                    check_rows(f"rule_weights[{level}]", np.asarray(self.rule_weights)[level, :count])

    def _symbols(self) -> list[int]:
        return [self.num_components] + [self.num_letters] * (self.depth - 1)

    def tables(self) -> tuple[list[Array], list[Any]]:
        """Rules ``[q, m, s]`` and weights ``w / sum w``, ``[q, m]`` or None, of each level, the lowest first."""
        rules = jnp.asarray(self.rules).astype(jnp.int32)
        levels = list(enumerate(self._symbols()))[::-1]
        if self.rule_weights is None:
            return [rules[i, :q] for i, q in levels], [None] * self.depth
        weights = floating(self.rule_weights)
        # Rounded rows that miss one by 1e-7 would leave their mark on every node.
        rows = [weights[i, :q] for i, q in levels]
        return [rules[i, :q] for i, q in levels], [w / jnp.sum(w, -1, keepdims=True) for w in rows]

    def codes(self) -> Array:
        """How each letter ``j`` is written in ``X``: as itself, ``[v]``, or with entries ``1[i = j]``, ``[v, v]``."""
        if self.one_hot:
            return jnp.eye(self.num_letters, dtype=self._dtype)
        return jnp.arange(self.num_letters, dtype=jnp.int32)

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``: int32 ``[s^L]``, or floating one-hot vectors ``[s^L, v]``."""
        return self._written(self.sample_tree(key, component)[-1])

    def sample_tree(self, key: Array, component: Array) -> tuple[Array, ...]:
        """Draw from ``P(tree | theta)``, int32 symbols: ``[1]`` (the class), ``[s]``, ... ``[s^L]`` (the leaves)."""
        rules, weights = self.tables()
        return tuple(draw_downwards(self._uniforms(key), rules, weights, None, component))

    def _written(self, letters: Array) -> Array:
        return self.codes()[letters] if self.one_hot else letters

    def _uniforms(self, key: Array) -> Array:
        return jax.random.uniform(key, ((self.num_leaves - 1) // (self.branching - 1),), self._dtype)

    def _messages(self, process: Any, y: Any, t: Any) -> tuple[Array, Array, list[Array]]:
        """Log posterior of the class (up to a constant), and the messages of all levels, ``[n, q]`` each."""
        logs, _ = resolve_leaves(process, self)(process, self, y, t)
        top, _, levels = class_logs(*self.tables(), logs[..., None])
        return self.log_weights + top[:, 0], top[:, 0], [level[..., 0] for level in levels]

    def level_posteriors(self, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, ...]:
        """Marginals ``P(symbol | Y_t = y)`` of the whole tree under the mixture (exact; up and down the tree).

        Args:
            process: one under which the hierarchy can be evaluated.
            y: an observation of positive probability.
            t: its time.

        Returns:
            ``[1, K]`` (the class), then ``[s^l, v]`` for levels ``l = 1 .. L``; rows sum to one.

        Raises:
            ContractError: no likelihood of leaves is registered for the process.

        """
        joint, _, levels = self._messages(process, y, t)
        return tuple(marginals_downwards(*self.tables(), levels, jax.nn.softmax(joint)))

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture (exact); see :meth:`posterior_tree`."""
        tree = self.posterior_tree(key, process, y, t)
        return tree[0][0], self._written(tree[-1])

    def posterior_tree(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, ...]:
        """Draw ``tree | Y_t = y``, all symbols jointly and exactly: the class, then rule by rule downwards.

        Args:
            key: typed PRNG key.
            process: one under which the hierarchy can be evaluated.
            y: an observation of positive probability.
            t: its time.

        Returns:
            int32 ``[1]``, ``[s]``, ... ``[s^L]``, as :meth:`sample_tree`.

        Raises:
            ContractError: no likelihood of leaves is registered for the process.

        """
        key_theta, key_x = jax.random.split(key)
        joint, _, levels = self._messages(process, y, t)
        theta = draw_letters(jax.random.uniform(key_theta, (), joint.dtype), jnp.exp(joint - jnp.max(joint)))
        return tuple(draw_downwards(self._uniforms(key_x), *self.tables(), levels, theta))

    def class_likelihoods(self, messages: Array) -> Array:
        """Likelihoods ``P(y | theta)`` of many trees from likelihoods of their leaves: the fast way up.

        In linear space, scaled as it goes.  A class is lost (0) where its likelihood relative to the best symbols
        falls below 1e-38 on the way; on average over the hierarchy's own observations the posterior mass of what is
        lost is of order ``v^4 1e-33`` for each node (the probability that the truth is).  ``log_marginals`` loses
        nothing.

        Args:
            messages: ``[s^L, v, B]``, ``P(y_l | leaf l = letter)`` for ``B`` trees, the largest of a leaf about 1; or
                ``[tiles, s^L, v, B]``, taken tile by tile (about 512 trees each on a CPU), which keeps memory small.

        Returns:
            ``[K, B]`` or ``[tiles, K, B]``: ``P(y | theta)`` over that of the best class; 0 everywhere if impossible.

        Raises:
            InvalidInput: another shape, or no real numbers.

        """
        shape = np.shape(as_array(messages, "messages"))
        require(
            len(shape) in (3, 4) and shape[-3:-1] == (self.num_leaves, self.num_letters),
            "messages",
            shape,
            f"a shape [{self.num_leaves}, {self.num_letters}, B] or [tiles, {self.num_leaves}, {self.num_letters}, B]",
        )
        return class_messages(*self.tables(), messages)


def register_leaves(process_type: type) -> Callable[[LeafLogs], LeafLogs]:
    """Register the likelihoods of single leaves under a family of processes, for :class:`RandomHierarchy`.

    Use as a decorator on ``fn(process, population, y, t) -> (log u [leaves, v], log c)`` with
    ``P_t(y | x) = c(y, t) prod_l u_l(x_l)``, or as ``register_leaves(MyProcess)(independent_leaves)`` where
    ``log_prob`` is a sum over leaves.  Class likelihoods, paths, marginals and posterior draws follow.

    Args:
        process_type: a subclass of :class:`~sloc.ObservationProcess`.

    Raises:
        ContractError: it is no such class.

    """

    def register(fn: LeafLogs) -> LeafLogs:
        entry = register_marginals(process_type, RandomHierarchy)(hierarchy_marginals)
        entry.path(hierarchy_path)
        entry.paths(hierarchy_paths)
        LEAVES[process_type] = fn
        return fn

    return register


for _family, _leaves in BUILT_IN:
    register_leaves(_family)(_leaves)
