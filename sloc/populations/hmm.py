"""Mixtures of hidden Markov chains with a finite alphabet of observed letters."""

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
    check_mixture,
    check_rows,
    draw_in_groups,
    draw_letters,
    floating,
    log_mixture_weights,
    relative_logs,
    restore_impossible,
    transition_matrix,
)

_EXACT = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HiddenMarkov(Population):
    """Letters emitted by a hidden Markov chain, one chain for each sub-population.

    ``p^theta(x) = sum_s initial[theta, s_1] prod_l transitions[theta, s_{l-1}, s_l] prod_l emissions[theta, s_l, x_l]``
    over the paths ``s`` of ``S`` hidden states.  ``X`` is an int32 array ``[L]`` of letters ``0 .. q-1``; the states
    are no part of it.  Probabilities of zero are allowed.  Exact under every
    :class:`~sloc.RevealingChannel` and :class:`~sloc.MemorylessChannel` by the scaled forward
    filter (Rabiner 1989, Sect. III.A and V.A); where the seen coordinates are a prefix one pass serves all times.

    Attributes:
        initial: ``[K, S]``, the law of the first state.
        transitions: ``[K, S, S]``, row ``s`` the law of the state after ``s``; or ``[K, L-1, S, S]``, one table for
            each step.
        emissions: ``[K, S, q]``, row ``s`` the law of the letter in state ``s``.
        length: ``L`` (static).
        weights: ``[K]``, ``w_theta``; None for uniform.
        names: ``K`` distinct strings or the empty tuple.

    """

    initial: Any = field(metadata={"dtype": float})
    transitions: Any = field(metadata={"dtype": float})
    emissions: Any = field(metadata={"dtype": float})
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
        return int(np.shape(self.emissions)[-1])

    def path_elements(self) -> int:
        """Numbers the filter holds per draw and time, at most."""
        return self.num_components * (int(np.shape(self.initial)[-1]) + 1)

    def validate(self) -> None:
        """Check shapes, rows, length, weights and names.

        Raises:
            InvalidInput: an argument is not as the class describes it.

        """
        check_size(self.length, "length")
        shape = np.shape(self.initial)
        require(len(shape) == 2 and 0 not in shape, "initial", shape, "a shape [K, S]")
        k, s = shape
        steps, emitted = np.shape(self.transitions), np.shape(self.emissions)
        require(
            steps in ((k, s, s), (k, self.length - 1, s, s)),
            "transitions",
            steps,
            f"the shape {(k, s, s)}, or {(k, self.length - 1, s, s)} with one table for each step",
        )
        require(
            len(emitted) == 3 and emitted[:2] == (k, s) and emitted[2] >= 1,
            "emissions",
            emitted,
            f"a shape [{k}, {s}, q]",
        )
        check_rows("initial", self.initial)
        check_rows("transitions", self.transitions)
        check_rows("emissions", self.emissions)
        check_mixture(self.weights, self.names, k)

    def tables(self) -> tuple[Array, Array, Array]:
        """Return ``(initial [K, S], transitions [L-1, K, S, S], emissions [K, S, q])``, each ``rows / sum rows``."""
        initial, moves, emissions = (
            rows / jnp.sum(rows, -1, keepdims=True)
            for rows in (floating(self.initial), floating(self.transitions), floating(self.emissions))
        )
        if moves.ndim == 3:
            return initial, jnp.broadcast_to(moves[None], (self.length - 1, *moves.shape)), emissions
        return initial, jnp.moveaxis(moves, 1, 0), emissions

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``: the states one after the other, a letter from each; int32 ``[L]``."""
        initial, moves, emissions = self.tables()
        uniforms = jax.random.uniform(key, (2, self.length), initial.dtype)
        first = draw_letters(uniforms[0, 0], initial[component])

        def step(state: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
            uniform, rows = given
            following = draw_letters(uniform, rows[state])
            return following, following

        rest = jax.lax.scan(step, first, (uniforms[0, 1:], moves[:, component]))[1]
        return draw_letters(uniforms[1], emissions[component][jnp.concatenate([first[None], rest])])

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture, exactly.

        First ``theta | y``, then the states by filtering forward and drawing backward (Chib 1996), then the letters
        that are not determined by ``y``.

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
        if not isinstance(process, (RevealingChannel, MemorylessChannel)):
            raise ContractError(
                f"process = {shown(process)}: HiddenMarkov.posterior_sample expects a RevealingChannel or a "
                "MemorylessChannel"
            )
        key_theta, key_states, key_letters = jax.random.split(key, 3)
        initial, moves, emissions = self.tables()
        likelihood = _likelihood(process, self, emissions, y, t)
        scales, filtered = _filter(initial, moves, likelihood)
        theta = jax.random.categorical(key_theta, self.log_weights + jnp.sum(jnp.log(scales), 0)).astype(jnp.int32)
        filtered = filtered[:, theta]
        uniforms = jax.random.uniform(key_states, (self.length,), initial.dtype)
        last = draw_letters(uniforms[-1], filtered[-1])

        def step(state: Array, given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            uniform, mass, rows = given
            before = draw_letters(uniform, mass * rows[:, state])
            return before, before

        rest = jax.lax.scan(step, last, (uniforms[:-1], filtered[:-1], moves[:, theta]), reverse=True)[1]
        masses = emissions[theta][jnp.concatenate([rest, last[None]])]
        if isinstance(process, MemorylessChannel):
            masses = masses * transition_matrix(process, t, self.num_letters, initial.dtype).T[y]
        letters = draw_letters(jax.random.uniform(key_letters, (self.length,), initial.dtype), masses)
        return theta, jnp.where(y.known, y.values, letters) if isinstance(process, RevealingChannel) else letters


# --------------------------------------------------------------------------------------------
# The forward filter
# --------------------------------------------------------------------------------------------


def _seen_likelihood(emissions: Array, values: Array, known: Array) -> Array:
    """Return ``P(letter_l | state)``, ``[L, K, S]``; 1 where the letter is hidden."""
    likelihood = jnp.moveaxis(emissions, -1, 0)[values]
    return jnp.where(known[:, None, None], likelihood, jnp.ones_like(likelihood))


def _likelihood(process: Any, population: Any, emissions: Array, y: Any, t: Any) -> Array:
    """Return the probability of what is observed at each place given the state there, ``[L, K, S]``."""
    if isinstance(process, RevealingChannel):
        return _seen_likelihood(emissions, y.values, y.known)
    matrix = transition_matrix(process, t, population.num_letters, emissions.dtype)
    return jnp.moveaxis(jnp.matmul(emissions, matrix, precision=_EXACT), -1, 0)[y]


def _filter(initial: Array, moves: Array, likelihood: Array) -> tuple[Array, Array]:
    """Scaled forward filter of all sub-populations.

    Args:
        initial: ``[K, S]``.
        moves: ``[L-1, K, S, S]``.
        likelihood: ``[L, K, S]``.

    Returns:
        Scales ``[L, K]``, the probability of each observation given those before (their product is the
        likelihood), and the filtered laws of the states ``[L, K, S]``.

    """

    def update(predicted: Array, weight: Array) -> tuple[Array, Array]:
        joint = predicted * weight
        scale = jnp.sum(joint, -1)
        # An impossible observation has scale 0: it stays 0 (log -inf) instead of turning into 0 / 0.
        return scale, joint / jnp.where(scale > 0, scale, jnp.ones_like(scale))[:, None]

    def step(filtered: Array, given: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        rows, weight = given
        scale, filtered = update(jnp.einsum("kx,kxy->ky", filtered, rows, precision=_EXACT), weight)
        return filtered, (scale, filtered)

    scale, first = update(initial, likelihood[0])
    scales, filtered = jax.lax.scan(step, first, (moves, likelihood[1:]))[1]
    return jnp.concatenate([scale[None], scales]), jnp.concatenate([first[None], filtered])


def prefix_reads(increments: Array, thresholds: Array, times: Array) -> Array:
    """Read running sums of a pass over the coordinates at the number that is seen at each time.

    Args:
        increments: ``[L, K]``, the log-probability of each coordinate given those before it.
        thresholds: ``[L]``, times from which the coordinates are hidden; those seen are a prefix at every time.
        times: ``[T]``.

    Returns:
        ``[T, K]``, ``sum_{l < n_t} increments_l``, ``n_t`` the number seen at ``times[t]``.

    """
    sums = jnp.concatenate([jnp.zeros_like(increments[:1]), jnp.cumsum(increments, 0)])
    return sums[jax.lax.map(lambda t: jnp.sum(t < thresholds, dtype=jnp.int32), times)]


def _path(process: Any, population: Any, key: Any, x: Any, times: Any, relative: bool) -> Array:
    """One trajectory, ``[T, K]``; with ``relative`` up to a term free of ``theta``, which keeps digits."""
    initial, moves, emissions = population.tables()
    logs = (lambda scales: relative_logs(jnp.log(scales), -1)) if relative else jnp.log

    def total(values: Array, known: Array) -> Array:
        return jnp.sum(logs(_filter(initial, moves, _seen_likelihood(emissions, values, known))[0]), 0)

    if isinstance(process, MemorylessChannel):

        def at_time(t: Array) -> Array:
            y = process.sample(key, x, t)
            return jnp.sum(logs(_filter(initial, moves, _likelihood(process, population, emissions, y, t))[0]), 0)

        return jax.vmap(at_time)(times)
    thresholds = process.thresholds(key, x)
    if getattr(process, "reveals_prefix", False):
        everything = jnp.ones(x.shape, bool)
        scales = _filter(initial, moves, _seen_likelihood(emissions, x, everything))[0]
        out = prefix_reads(logs(scales), thresholds, times)
    else:
        out = jax.vmap(lambda t: total(x, jnp.asarray(t) < thresholds))(times)
    if relative:
        return out
    return out + jax.lax.map(lambda t: process.log_mask_prob(jnp.asarray(t) < thresholds, t), times)[:, None]


def _paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, K, B]``, up to a term free of ``theta``; one key serves all times of a draw."""
    length, k = population.length, population.num_components
    states = int(jnp.shape(population.initial)[-1])

    def one(key: Array, component: Array) -> Array:
        key_x, key_y = jax.random.split(key)
        return _path(process, population, key_y, population.sample(key_x, component), times, True)

    passes = 1 if getattr(process, "reveals_prefix", False) else times.shape[0]
    numbers = length * k * (2 * states + 1) * passes + times.shape[0] * k
    return restore_impossible(draw_in_groups(jax.vmap(one, out_axes=-1), key, components, numbers))


@register_marginals(RevealingChannel, HiddenMarkov)
def revealed_hidden_markov(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log P(pattern) + log P(seen letters)``, ``[K]``, exact (forward filter; a hidden letter excludes no state)."""
    initial, moves, emissions = population.tables()
    scales = _filter(initial, moves, _seen_likelihood(emissions, y.values, y.known))[0]
    return jnp.sum(jnp.log(scales), 0) + process.log_mask_prob(y.known, t)


@revealed_hidden_markov.path
def _revealed_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory, ``[T, K]``, constants included; for prefixes one pass of the filter serves all times."""
    return _path(process, population, key, x, times, False)


revealed_hidden_markov.paths(_paths)


@register_marginals(MemorylessChannel, HiddenMarkov)
def memoryless_hidden_markov(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log p_t^theta(y)``, ``[K]``: a hidden Markov chain with emissions ``emissions @ P_t``, exact."""
    initial, moves, emissions = population.tables()
    return jnp.sum(jnp.log(_filter(initial, moves, _likelihood(process, population, emissions, y, t))[0]), 0)


memoryless_hidden_markov.paths(_paths)
