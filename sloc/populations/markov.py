"""Mixtures of Markov chains over a finite alphabet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    ContractError,
    MemorylessChannel,
    Observation,
    ObservationProcess,
    Population,
    RevealingChannel,
    register_marginals,
    require,
    shown,
)
from sloc.contracts.arguments import check_size
from sloc.populations.discrete import (
    IMPOSSIBLE,
    check_mixture,
    check_rows,
    draw_in_groups,
    draw_letters,
    floating,
    log_mixture_weights,
    relative_logs,
    restore_impossible,
    seen_sums,
    transition_matrix,
)

_EXACT = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MarkovChains(Population):
    """Chains ``p^theta(x) = initial[theta, x_1] prod_l transitions[theta, x_{l-1}, x_l]`` on ``{0 .. q-1}^L``.

    ``X`` is an int32 array ``[L]``.  Probabilities of zero are allowed.  Exact under every
    :class:`~sloc.RevealingChannel` and :class:`~sloc.MemorylessChannel` by the forward
    algorithm (Rabiner 1989, Sect. III.A); where the seen coordinates are a prefix (``process.reveals_prefix``) by a
    sum of logarithms of transitions.  Source: Li, Karan & Chen 2025, Ex. 4 (autoregressive modes).

    Attributes:
        initial: ``[K, q]``, the law of the first letter.
        transitions: ``[K, q, q]``; row ``x`` is the law of the letter after ``x``.
        length: ``L`` (static).
        weights: ``[K]``, ``w_theta``; None for uniform.
        names: ``K`` distinct strings or the empty tuple.

    """

    initial: Any = field(metadata={"dtype": float})
    transitions: Any = field(metadata={"dtype": float})
    length: int = field(metadata={"static": True})
    weights: Any = field(default=None, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    atomic: ClassVar[bool] = True

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        return log_mixture_weights(self.weights, self.num_components, floating(self.initial).dtype)

    @property
    def num_components(self) -> int:
        """``K`` (static)."""
        return int(np.shape(self.initial)[0])

    @property
    def num_letters(self) -> int:
        """``q``, the size of the alphabet (static)."""
        return int(np.shape(self.initial)[-1])

    def validate(self) -> None:
        """Check shapes, rows, length, weights and names.

        Raises:
            InvalidInput: an argument is not as the class describes it.

        """
        shape = np.shape(self.initial)
        require(len(shape) == 2 and 0 not in shape, "initial", shape, "a shape [K, q]")
        k, q = shape
        require(
            np.shape(self.transitions) == (k, q, q),
            "transitions",
            np.shape(self.transitions),
            f"the shape {(k, q, q)}, that is [K, q, q]",
        )
        check_rows("initial", self.initial)
        check_rows("transitions", self.transitions)
        check_size(self.length, "length")
        check_mixture(self.weights, self.names, k)

    def tables(self) -> tuple[Array, Array]:
        """Return ``(initial [K, q], transitions [K, q, q])``, floating, each ``rows / sum rows``."""
        initial, transitions = floating(self.initial), floating(self.transitions)
        # Rounded rows that miss one by 1e-7 would leave their mark on every one of L hidden coordinates.
        return (
            initial / jnp.sum(initial, -1, keepdims=True),
            transitions / jnp.sum(transitions, -1, keepdims=True),
        )

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``, letter after letter: int32 ``[L]``."""
        initial, transitions = self.tables()
        rows = transitions[component]
        uniforms = jax.random.uniform(key, (self.length,), initial.dtype)
        first = draw_letters(uniforms[0], initial[component])

        def step(letter: Array, uniform: Array) -> tuple[Array, Array]:
            following = draw_letters(uniform, rows[letter])
            return following, following

        rest = jax.lax.scan(step, first, uniforms[1:])[1]
        return jnp.concatenate([first[None], rest])

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture, exactly: ``theta | y``, filter forward, draw backward.

        Args:
            key: typed PRNG key.
            process: a revealing or a memoryless channel.
            y: an observation of positive probability.
            t: its time.

        Returns:
            ``(int32 scalar, int32 [L])``.

        Raises:
            ContractError: the process is of neither family.

        """
        key_theta, key_x = jax.random.split(key)
        initial, transitions = self.tables()
        q, dtype = self.num_letters, initial.dtype
        if isinstance(process, RevealingChannel):
            emissions, symbols = _revealed_emissions(q, dtype), _revealed_symbols(y.values, y.known, q)
        elif isinstance(process, MemorylessChannel):
            emissions, symbols = transition_matrix(process, t, q, dtype), y
        else:
            raise ContractError(
                f"process = {shown(process)}: MarkovChains.posterior_sample expects a RevealingChannel or a "
                "MemorylessChannel"
            )
        theta = jax.random.categorical(key_theta, self.log_weights + self.log_marginals(process, y, t))
        theta = theta.astype(jnp.int32)
        rows = transitions[theta]
        filtered = _forward(initial[theta][None], rows[None], emissions, symbols[:, None])[1][:, 0, :, 0]
        uniforms = jax.random.uniform(key_x, (self.length,), dtype)
        last = draw_letters(uniforms[-1], filtered[-1])

        def step(letter: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            uniform, mass = given
            before = draw_letters(uniform, mass * rows[:, letter])
            return before, before

        rest = jax.lax.scan(step, last, (uniforms[:-1], filtered[:-1]), reverse=True)[1]
        return theta, jnp.concatenate([rest, last[None]])


# --------------------------------------------------------------------------------------------
# The forward algorithm
# --------------------------------------------------------------------------------------------


def _revealed_emissions(letters: int, dtype: Any) -> Array:
    """Return ``[q, q + 1]``: a seen letter excludes the others, the symbol ``q`` (hidden) excludes none."""
    return jnp.concatenate([jnp.eye(letters, dtype=dtype), jnp.ones((letters, 1), dtype)], -1)


def _revealed_symbols(values: Array, known: Array, letters: int) -> Array:
    """Return the letters that are seen and ``q`` where hidden; same shape, int32."""
    return jnp.where(known, values, jnp.full_like(values, letters))


def _advance(predicted: Array, transitions: Array, emissions: Array, symbols: Array) -> tuple[Array, Array, Array]:
    """One step of the scaled forward algorithm: ``(filtered, next prediction, log scale)``, batch last."""
    joint = predicted * emissions[:, symbols][None]
    scale = jnp.sum(joint, 1)
    # An impossible observation has scale 0: it stays 0 (log -inf) instead of turning into 0 / 0.
    filtered = joint / jnp.where(scale > 0, scale, jnp.ones_like(scale))[:, None, :]
    return filtered, jnp.einsum("kxy,kxn->kyn", transitions, filtered, precision=_EXACT), jnp.log(scale)


def _start(initial: Array, batch: int) -> tuple[Array, Array]:
    k, q = initial.shape
    return jnp.broadcast_to(initial[:, :, None], (k, q, batch)), jnp.zeros((k, batch), initial.dtype)


def _forward(initial: Array, transitions: Array, emissions: Array, symbols: Array) -> tuple[Array, Array]:
    """Scaled forward algorithm for ``N`` observations at once.

    Args:
        initial: ``[K, q]``.
        transitions: ``[K, q, q]``.
        emissions: ``[q, m]``, the probability of symbol ``s`` given letter ``x``.
        symbols: ``[L, N]`` int32.

    Returns:
        ``log p^theta(symbols)``, ``[K, N]``, and the filtered laws of each letter, ``[L, K, q, N]``.

    """

    def step(carry: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
        predicted, total = carry
        filtered, predicted, log_scale = _advance(predicted, transitions, emissions, row)
        return (predicted, total + log_scale), filtered

    (_, total), filtered = jax.lax.scan(step, _start(initial, symbols.shape[1]), symbols)
    return total, filtered


def _forward_differences(initial: Array, transitions: Array, emissions: Array, symbols: Array) -> Array:
    """``log p^theta(symbols)`` up to a term free of ``theta``, ``[K, N]``; keeps the digits of differences."""

    def step(carry: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], None]:
        predicted, total = carry
        _, predicted, log_scale = _advance(predicted, transitions, emissions, row)
        return (predicted, total + relative_logs(log_scale)), None

    (_, total), _ = jax.lax.scan(step, _start(initial, symbols.shape[1]), symbols)
    return restore_impossible(total)


# --------------------------------------------------------------------------------------------
# Revealing channels
# --------------------------------------------------------------------------------------------


def _steps(first: Array, following: Array, x: Array) -> Array:
    """Look up the factors of ``p^theta(x)``: ``[K, q]``, ``[K, q, q]`` at ``[L]`` give ``[L, K]``."""
    rest = jnp.transpose(following, (1, 2, 0))[x[:-1], x[1:]]
    return jnp.concatenate([first[:, x[0]][None], rest])


@register_marginals(RevealingChannel, MarkovChains)
def revealed_chains(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log P(pattern) + log of the sum of p^theta over hidden letters``, ``[K]``, exact.

    By the forward algorithm.  Where ``process.reveals_prefix``, whose ``log_mask_prob`` excludes all other patterns,
    the sum of the log transitions seen.
    """
    initial, transitions = population.tables()
    pattern = process.log_mask_prob(y.known, t)
    if getattr(process, "reveals_prefix", False):
        logs = _steps(jnp.log(initial), jnp.log(transitions), y.values)
        return jnp.sum(jnp.where(y.known[:, None], logs, jnp.zeros_like(logs)), 0) + pattern
    q = population.num_letters
    symbols = _revealed_symbols(y.values, y.known, q)[:, None]
    return _forward(initial, transitions, _revealed_emissions(q, initial.dtype), symbols)[0][:, 0] + pattern


@revealed_chains.paths
def _revealed_chain_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, K, B]``, up to a term that does not depend on ``theta``.

    Prefixes: one matrix product of indicators with log transitions.  Otherwise the forward algorithm over all times
    and draws at once.
    """
    initial, transitions = population.tables()
    length, q, k = population.length, population.num_letters, population.num_components
    prefix = getattr(process, "reveals_prefix", False)
    first, following = relative_logs(jnp.log(initial)), relative_logs(jnp.log(transitions))
    emissions = _revealed_emissions(q, initial.dtype)

    def draw(keys: Array, components: Array) -> Array:
        pairs = jax.vmap(jax.random.split)(keys)
        x = jax.vmap(population.sample)(pairs[:, 0], components)
        thresholds = jax.vmap(process.thresholds)(pairs[:, 1], x)
        if prefix:
            logs = jax.vmap(lambda row: _steps(first, following, row))(x)
            return restore_impossible(jax.vmap(seen_sums, (0, 0, None), -1)(logs, thresholds, times))
        known = times[None, :, None] < thresholds.T[:, None, :]
        letters = jnp.broadcast_to(x.T[:, None, :], known.shape)
        symbols = _revealed_symbols(letters, known, q).reshape(length, -1)
        out = _forward_differences(initial, transitions, emissions, symbols)
        return jnp.moveaxis(out.reshape(k, times.shape[0], -1), 0, 1)

    numbers = (length + 2 * k * q) * times.shape[0] + length * (k + 3)
    return draw_in_groups(draw, key, components, numbers)


@revealed_chains.path
def _revealed_chain_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory, ``[T, K]``, constants included: the thresholds are drawn once."""
    initial, transitions = population.tables()
    thresholds = process.thresholds(key, x)
    pattern = jax.lax.map(lambda t: process.log_mask_prob(jnp.asarray(t) < thresholds, t), times)
    if getattr(process, "reveals_prefix", False):
        logs = jnp.maximum(_steps(jnp.log(initial), jnp.log(transitions), x), IMPOSSIBLE)
        return restore_impossible(seen_sums(logs, thresholds, times)) + pattern[:, None]
    known = times[None, :] < thresholds[:, None]
    letters = jnp.broadcast_to(x[:, None], known.shape)
    q = population.num_letters
    symbols = _revealed_symbols(letters, known, q)
    return _forward(initial, transitions, _revealed_emissions(q, initial.dtype), symbols)[0].T + pattern[:, None]


# --------------------------------------------------------------------------------------------
# Memoryless channels
# --------------------------------------------------------------------------------------------


@register_marginals(MemorylessChannel, MarkovChains)
def memoryless_chains(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log p_t^theta(y)`` of a hidden Markov model with emissions ``P_t``, ``[K]``, exact (forward algorithm)."""
    initial, transitions = population.tables()
    emissions = transition_matrix(process, t, population.num_letters, initial.dtype)
    return _forward(initial, transitions, emissions, y[:, None])[0][:, 0]


@memoryless_chains.paths
def _memoryless_chain_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, K, B]``, up to a term free of ``theta``; one key serves all times of a draw."""
    initial, transitions = population.tables()
    length, q, k = population.length, population.num_letters, population.num_components

    def draw(keys: Array, components: Array) -> Array:
        pairs = jax.vmap(jax.random.split)(keys)
        x = jax.vmap(population.sample)(pairs[:, 0], components)

        def at_time(t: Array) -> Array:
            y = jax.vmap(process.sample, (0, 0, None))(pairs[:, 1], x, t)
            return _forward_differences(initial, transitions, transition_matrix(process, t, q, initial.dtype), y.T)

        return jax.vmap(at_time)(times)

    numbers = (length + 2 * k * q) * times.shape[0] + 3 * length
    return draw_in_groups(draw, key, components, numbers)
