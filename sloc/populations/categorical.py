"""Mixtures of product laws over a finite alphabet: coins, dice, independent tokens."""

from __future__ import annotations

from collections.abc import Sequence
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
    is_concrete,
    register_marginals,
    require,
    shown,
)
from sloc.contracts.arguments import as_floats, check_size
from sloc.populations.bridge_laws import resolve_bridge
from sloc.populations.discrete import (
    BUDGET,
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
    thresholds_are_fixed,
    transition_matrix,
)

# One binomial draw costs about as much as this many coordinates drawn one by one.
_BINOMIAL_COST = 16

# In float32 the rejection step of a binomial draw loses digits with the number of trials: at 1e6 its law is off by
# 1.6e-3 (Kolmogorov distance), at 6.5e4 by less than 2e-4, which is what 16 million draws can see.
_BINOMIAL_TRIALS = 1 << 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ProductCategorical(Population):
    """Independent coordinates: ``p^theta(x) = prod_l probs[theta, l, x_l]`` on ``{0 .. q-1}^L``.

    ``X`` is an int32 array ``[L]``.  Probabilities of zero are allowed.  Exact under every
    :class:`~sloc.RevealingChannel` and :class:`~sloc.MemorylessChannel`.
    Source: Li, Karan & Chen 2025, Ex. 5 (coins).

    Attributes:
        probs: ``[K, L, q]``, or ``[K, q]`` for coordinates of one and the same law.
        weights: ``[K]``, ``w_theta``; None for uniform.
        length: ``L``; needed with ``[K, q]``, optional with ``[K, L, q]``.
        names: ``K`` distinct strings or the empty tuple.

    """

    probs: Any = field(metadata={"dtype": float})
    weights: Any = field(default=None, metadata={"dtype": float})
    length: int | None = field(default=None, metadata={"static": True})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    atomic: ClassVar[bool] = True

    @classmethod
    def coins(
        cls,
        biases: Sequence[float] | Array | np.ndarray,
        length: int,
        weights: Any = None,
        names: tuple[str, ...] = (),
    ) -> ProductCategorical:
        """Return ``K`` coins tossed ``length`` times: letter 1 has probability ``biases[theta]``.

        Args:
            biases: ``[K]``, in ``[0, 1]``.
            length: how many tosses.
            weights: ``[K]``, or None for uniform.
            names: ``K`` distinct strings or the empty tuple.

        Returns:
            The population; its letters are 0 and 1.

        Raises:
            InvalidInput: what is no row of probabilities, length, weights or names.

        """
        heads = biases if isinstance(biases, jax.Array) else as_floats(biases, "biases")
        if is_concrete(heads):
            require(np.ndim(heads) == 1 and np.size(heads) > 0, "biases", biases, "one number per coin")
            inside = bool(((np.asarray(heads) >= 0) & (np.asarray(heads) <= 1)).all())
            require(inside, "biases", biases, "numbers in [0, 1]")
        check_size(length, "length")
        stack = jnp.stack if isinstance(heads, jax.Array) else np.stack
        made = cls(stack([1 - heads, heads], -1), weights, length, names)
        made.validate()
        return made

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        return log_mixture_weights(self.weights, self.num_components, floating(self.probs).dtype)

    @property
    def num_components(self) -> int:
        """``K`` (static)."""
        return int(np.shape(self.probs)[0])

    @property
    def num_letters(self) -> int:
        """``q``, the size of the alphabet (static)."""
        return int(np.shape(self.probs)[-1])

    @property
    def identical(self) -> bool:
        """Whether all coordinates of a sub-population share one law, ``probs [K, q]`` (static)."""
        return len(np.shape(self.probs)) == 2

    @property
    def num_coordinates(self) -> int:
        """``L``, the length of ``X`` (static)."""
        if not self.identical:
            return int(np.shape(self.probs)[1])
        require(self.length is not None, "length", self.length, "a length, since probs is [K, q]")
        assert self.length is not None
        return self.length

    def validate(self) -> None:
        """Check shapes, rows, weights and names.

        Raises:
            InvalidInput: an argument is not as the class describes it.

        """
        shape = np.shape(self.probs)
        require(len(shape) in (2, 3) and 0 not in shape, "probs", shape, "a shape [K, L, q] or [K, q]")
        check_rows("probs", self.probs)
        if self.length is not None or len(shape) == 2:
            good = isinstance(self.length, (int, np.integer)) and not isinstance(self.length, bool)
            require(good and int(self.length or 0) >= 1, "length", self.length, "an int of at least 1")
        if self.length is not None and len(shape) == 3:
            require(self.length == shape[1], "length", self.length, f"{shape[1]}, the L of probs [K, L, q], or None")
        check_mixture(self.weights, self.names, shape[0])

    def table(self) -> Array:
        """Return ``P(x_l | theta)`` as ``[K, L, q]``, or ``[K, 1, q]`` where the coordinates are identical."""
        probs = floating(self.probs)
        return probs[:, None, :] if self.identical else probs

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``: int32 ``[L]``."""
        uniforms = jax.random.uniform(key, (self.num_coordinates,), floating(self.probs).dtype)
        return draw_letters(uniforms, self.table()[component])

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture, exactly: first ``theta | y``, then each coordinate.

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
        probs = self.table()
        if not isinstance(process, (RevealingChannel, MemorylessChannel)):
            raise ContractError(
                f"process = {shown(process)}: ProductCategorical.posterior_sample expects a RevealingChannel or a "
                "MemorylessChannel"
            )
        theta = jax.random.categorical(key_theta, self.log_weights + self.log_marginals(process, y, t))
        theta = theta.astype(jnp.int32)
        if isinstance(process, RevealingChannel):
            return theta, jnp.where(y.known, y.values, self.sample(key_x, theta))
        matrix = transition_matrix(process, t, self.num_letters, probs.dtype)
        uniforms = jax.random.uniform(key_x, (self.num_coordinates,), probs.dtype)
        likelihood = matrix.T[y]
        return theta, draw_letters(uniforms, jnp.broadcast_to(probs[theta], likelihood.shape) * likelihood)

    def bridge_pair(self, process: ObservationProcess, key: Array, i: Array, j: Array, t: Array) -> Any:
        """Draw ``Y`` proportional to ``sqrt(p_t^i p_t^j)``: a product of geometric means.

        Raises:
            ContractError: the process is of another family, or the law of its masks is not known.

        """
        return resolve_bridge(process, self).pair(process, self, key, i, j, t)

    def log_affinities(self, process: ObservationProcess, t: Array) -> Array:
        """``log int sqrt(p_t^i p_t^j)``, ``[K, K]``, exact; same processes as :meth:`bridge_pair`."""
        return resolve_bridge(process, self).log_affinities(process, self, t)


def letters_of(population: ProductCategorical, table: Array, x: Array) -> Array:
    """Look up ``table[theta, l, x_l]``: ``[K, L' , q]`` at ``[L]`` gives ``[L, K]``."""
    if population.identical:
        return table[:, 0, :].T[x]
    by_letter = jnp.transpose(table, (1, 2, 0))
    return jnp.take_along_axis(by_letter, x[:, None, None], 1)[:, 0, :]


# --------------------------------------------------------------------------------------------
# Revealing channels
# --------------------------------------------------------------------------------------------


@register_marginals(RevealingChannel, ProductCategorical)
def revealed_product(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log p_t^theta(y) = log P(pattern) + sum over seen l of log probs[theta, l, y_l]``, ``[K]``, exact."""
    logs = letters_of(population, jnp.log(population.table()), y.values)
    seen = jnp.where(y.known[:, None], logs, jnp.zeros_like(logs))
    return jnp.sum(seen, 0) + process.log_mask_prob(y.known, t)


@revealed_product.path
def _revealed_product_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory, ``[T, K]``, constants included: the thresholds are drawn once."""
    thresholds = process.thresholds(key, x)
    logs = jnp.maximum(letters_of(population, jnp.log(population.table()), x), IMPOSSIBLE)
    sums = restore_impossible(seen_sums(logs, thresholds, times))
    pattern = jax.lax.map(lambda t: process.log_mask_prob(jnp.asarray(t) < thresholds, t), times)
    return sums + pattern[:, None]


@revealed_product.paths
def _revealed_product_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, K, B]``, up to a term that does not depend on ``theta``.

    The probability of the pattern and ``max_theta log p_theta`` are left out: posteriors and distances use
    differences only.  Where thresholds are fixed (truncation, ordered masking) and coordinates identical, letter
    counts, which suffice, are drawn instead of letters, if that is less work.
    """
    length, letters = population.num_coordinates, population.num_letters
    fixed = thresholds_are_fixed(process, length)
    if fixed and population.identical and length > _BINOMIAL_COST * times.shape[0] * (letters - 1):
        return _count_paths(process, population, key, components, times)
    table = relative_logs(jnp.log(population.table()))

    def draw(keys: Array, components: Array) -> Array:
        pairs = jax.vmap(jax.random.split)(keys)
        x = jax.vmap(population.sample)(pairs[:, 0], components)
        axis = None if fixed else 0
        thresholds = jax.vmap(process.thresholds, out_axes=axis)(pairs[:, 1], x)  # pyright: ignore[reportArgumentType]
        logs = jax.vmap(lambda row: letters_of(population, table, row))(x)
        return jax.vmap(seen_sums, (0, axis, None), -1)(logs, thresholds, times)

    numbers = length * (population.num_components + letters + 2) + min(length, 8192) * times.shape[0]
    return restore_impossible(draw_in_groups(draw, key, components, numbers))


def _binomial(key: Array, trials: Array, chance: Array, most: int) -> Array:
    """Draw ``Bin(trials, chance)`` elementwise, ``trials <= most``, as a sum over at most ``_BINOMIAL_TRIALS`` each."""
    pieces = -(-most // _BINOMIAL_TRIALS)
    if pieces == 1:
        return jax.random.binomial(key, trials, chance, trials.shape, trials.dtype)
    share = jnp.floor(trials / pieces)

    def one_piece(total: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        key, index = given
        size = share + (index < trials - share * pieces).astype(trials.dtype)
        return total + jax.random.binomial(key, size, chance, trials.shape, trials.dtype), None

    given = jax.random.split(key, pieces), jnp.arange(pieces, dtype=trials.dtype)
    return jax.lax.scan(one_piece, jnp.zeros_like(trials), given)[0]


def _count_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Draw the counts of each letter among seen coordinates: multinomial increments, nested in ``t``."""
    nothing = jnp.zeros((population.num_coordinates,), jnp.int32)
    thresholds = process.thresholds(key, nothing)
    # One time after the other: at a million coordinates all comparisons at once would be held in memory.
    seen = jax.lax.map(lambda t: jnp.sum(t < thresholds, dtype=jnp.int32), times)
    order = jnp.argsort(seen)
    fresh = jnp.diff(seen[order], prepend=jnp.zeros((1,), jnp.int32))
    probs = floating(population.probs)
    shape = (times.shape[0], components.shape[0])
    left = jnp.broadcast_to(fresh.astype(probs.dtype)[:, None], shape)
    mass = probs[components].T
    # P(letter c | not one of the letters before c), in the order 0 .. q-1.
    tails = jnp.cumsum(mass[::-1], 0)[::-1]
    chances = jnp.where(tails > 0, mass / jnp.where(tails > 0, tails, 1.0), 0.0)[:-1]

    def one_letter(left: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        key, chance = given
        count = _binomial(key, left, jnp.broadcast_to(chance[None, :], shape), population.num_coordinates)
        return left - count, count

    keys = jax.random.split(key, chances.shape[0])
    last, counts = jax.lax.scan(one_letter, left, (keys, chances))
    counts = jnp.cumsum(jnp.concatenate([counts, last[None]]), 1)[:, jnp.argsort(order)]
    table = relative_logs(jnp.log(probs))
    return restore_impossible(jnp.einsum("ctb,kc->tkb", counts, table, precision=jax.lax.Precision.HIGHEST))


# --------------------------------------------------------------------------------------------
# Memoryless channels
# --------------------------------------------------------------------------------------------


def observed_logs(process: Any, population: Any, t: Any) -> Array:
    """``log sum_x probs[theta, l, x] P_t[x, y]``, ``[K, L or 1, q]``."""
    probs = population.table()
    matrix = transition_matrix(process, t, population.num_letters, probs.dtype)
    return jnp.log(jnp.matmul(probs, matrix, precision=jax.lax.Precision.HIGHEST))


@register_marginals(MemorylessChannel, ProductCategorical)
def memoryless_product(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log p_t^theta(y) = sum_l log sum_x probs[theta, l, x] P_t[x, y_l]``, ``[K]``, exact."""
    return jnp.sum(letters_of(population, observed_logs(process, population, t), y), 0)


@memoryless_product.paths
def _memoryless_product_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, K, B]``, up to a term that does not depend on ``theta``.

    The law of one observed coordinate is computed once per time, for all draws; one key serves all times of a draw.
    """
    tables = jax.vmap(lambda t: relative_logs(observed_logs(process, population, t)))(times)
    letters = jnp.arange(population.num_letters, dtype=jnp.int32)

    def evaluate(table: Array, y: Array) -> Array:
        if not population.identical:
            return jnp.sum(letters_of(population, table, y), 0)
        counts = jnp.sum(y[:, None] == letters[None, :], 0, dtype=jnp.int32).astype(table.dtype)
        return jnp.matmul(table[:, 0, :], counts, precision=jax.lax.Precision.HIGHEST)

    width = 2 + (0 if population.identical else population.num_components)
    per_time = population.num_coordinates * width
    at_once = min(times.shape[0], max(1, BUDGET // per_time))

    def draw(keys: Array, components: Array) -> Array:
        pairs = jax.vmap(jax.random.split)(keys)
        x = jax.vmap(population.sample)(pairs[:, 0], components)

        def at_time(given: tuple[Array, Array]) -> Array:
            t, table = given
            y = jax.vmap(process.sample, (0, 0, None))(pairs[:, 1], x, t)
            return jax.vmap(evaluate, (None, 0), -1)(table, y)

        if at_once == times.shape[0]:
            return jax.vmap(at_time)((times, tables))
        return jax.lax.map(at_time, (times, tables), batch_size=at_once)

    return restore_impossible(draw_in_groups(draw, key, components, per_time * at_once))
