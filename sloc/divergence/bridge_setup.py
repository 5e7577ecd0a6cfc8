"""What a bridge estimate needs before the first draw: the pairs, their probabilities, and ``Z`` in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    ContractError,
    ObservationProcess,
    Population,
    RevealingChannel,
    component_names,
    float_dtype,
    is_concrete,
    overrides,
    require,
    tells_of_thresholds,
)
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.paths import shortcut
from sloc.divergence.statistics import disjoint_pair
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.populations.bridge_laws import BridgeLaw, find_bridge, hiding_rates, register_hiding_rates
from sloc.processes import Masking

Array = jax.Array

register_hiding_rates(Masking)(lambda process, length, t: t)


class BridgeDraw(NamedTuple):
    """What a user's ``bridge_pair`` may return instead of ``y`` when it does not draw exactly ``sqrt(p_i p_j)``.

    The estimate is then ``exp(log_affinities)[i, j]`` times importance weights; it is unbiased for any density that
    is positive where both ``p_i`` and ``p_j`` are, and its values stay in [0, 1] when
    ``exp(log_affinities[i, j]) q_ij(y) >= sqrt(p_i(y) p_j(y))`` everywhere.  ``log_marginals`` must then be
    normalised, and ``log_affinities`` may be any constants that keep the inequality.

    Attributes:
        value: the observation drawn.
        log_density: ``log q_ij(value)``, a scalar.

    """

    value: Any
    log_density: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BridgeProblem:
    """A pair of disjoint sets with a bridge, ready to draw from.

    Attributes:
        process: the observation process.
        population: the components used (reduced to a sufficient statistic where the bridge is built in).
        times: ``[T]`` for the device.
        share: ``[T, A, B]``, ``sqrt(a_i b_j) BC_ij / Z``.
        alive: ``[T]``, whether ``Z > 0``.
        left: int32 ``[A]``, components of the first set.
        right: int32 ``[B]``, of the second.
        log_a: ``[A]``, weights within the first set.
        log_b: ``[B]``, within the second.
        law: the built-in law, or None for a user's own (static).
        names: of the components, for messages (static).

    """

    process: Any
    population: Any
    times: Array
    share: Array
    alive: Array
    left: Array
    right: Array
    log_a: Array
    log_b: Array
    law: BridgeLaw | None = field(metadata={"static": True})
    names: tuple[str, ...] = field(metadata={"static": True})

    def log_ratios(self, y: Any, t: Array) -> Array:
        """``log p_t^theta(y)`` up to a term free of ``theta``, ``[K]``."""
        if self.law is None:
            return self.population.log_marginals(self.process, y, t)
        return self.law.log_ratios(self.process, self.population, y, t)


def _built_in(population: Population) -> bool:
    own = (GaussianMixture, ProductCategorical, Empirical)
    return any(
        isinstance(population, c)
        and all(getattr(type(population), m) is getattr(c, m) for m in ("bridge_pair", "log_affinities"))
        for c in own
    )


def has_bridge(process: ObservationProcess, population: Population) -> bool:
    """Whether overlaps of the pair can be estimated by bridges.

    True where the population defines ``bridge_pair`` and ``log_affinities`` itself, or where the built-in law applies
    to the process as it is (a subclass that replaces its family's sampling or likelihood is not covered).
    """
    if not _built_in(population):
        return all(overrides(population, Population, m) for m in ("bridge_pair", "log_affinities"))
    if find_bridge(process, population) is None or shortcut(process, population) is None:
        return False
    if not isinstance(process, RevealingChannel):
        return True
    if not tells_of_thresholds(process, "hidden_probability"):
        return False
    horizon = jnp.zeros((), jnp.int32 if process.discrete else float_dtype())
    return hiding_rates(process, _coordinates(population), horizon) is not None


def _coordinates(population: Any) -> int:
    if isinstance(population, ProductCategorical):
        return population.num_coordinates
    return int(np.prod(np.shape(population.data)[1:], dtype=int))


def bridge_problem(
    process: ObservationProcess,
    population: Population,
    shown: Any,
    times: Array,
    a: np.ndarray,
    b: np.ndarray,
) -> tuple[BridgeProblem | None, Any, Any]:
    """Prepare the bridge between two sets; classes of several atoms are split into atoms.

    Args:
        process: the observation process, canonical.
        population: the population, canonical.
        shown: ``[T]``, times as given (float64 on the host where concrete).
        times: ``[T]``, the same for the device.
        a: boolean mask ``[K]``.
        b: boolean mask ``[K]``.

    Returns:
        ``(problem, log_z, share)`` with ``1 - TV(a, b) = 1 - share + share exp(log_z) E v``; ``log_z [T]`` in float64
        on the host where everything is concrete.  The problem is None where the sets are equal.

    Raises:
        ContractError: no bridge is known for the pair.
        InvalidInput: a user's ``log_affinities`` are not affinities.

    """
    if not has_bridge(process, population):
        raise ContractError(
            f"population {type(population).__name__} has no bridge under process {type(process).__name__}; define "
            f"{type(population).__name__}.bridge_pair and log_affinities, or use balanced draws"
        )
    left, right, part, whole = disjoint_pair(a, b)
    if not part.any():
        return None, None, 1.0
    concrete = is_concrete(process, population, times)
    w = host_weights(population) if is_concrete(population.log_weights) else jax.nn.softmax(population.log_weights)
    share = w[part].sum() / w[whole].sum()
    law = find_bridge(process, population) if _built_in(population) else None
    names, population, w, left, right = _components(population, law, w, left, right)
    full = population
    if law is not None:
        process, population = law.prepare(process, population)
    xp = np if concrete else jnp
    log_a, log_b = xp.log(w[left] / w[left].sum()), xp.log(w[right] / w[right].sum())
    logs = _log_affinities(process, full, law, shown, times, left, right, concrete)
    logs = logs + (0.5 * (log_a[:, None] + log_b[None, :]))[None]
    top = xp.max(logs, axis=(1, 2))
    alive = top > -np.inf
    top = xp.where(alive, top, xp.zeros_like(top))
    total = xp.sum(xp.exp(logs - top[:, None, None]), axis=(1, 2))
    log_z = xp.where(alive, xp.log(xp.where(alive, total, xp.ones_like(total))) + top, -np.inf)
    # Dead times get any law at all: their value is zero.
    logs = xp.where(alive[:, None, None], logs - xp.where(alive, log_z, xp.zeros_like(log_z))[:, None, None], 0.0)
    dtype = float_dtype()
    problem = BridgeProblem(
        process,
        population,
        times,
        jnp.asarray(xp.exp(logs), dtype),
        jnp.asarray(alive),
        jnp.asarray(left, jnp.int32),
        jnp.asarray(right, jnp.int32),
        jnp.asarray(log_a, dtype),
        jnp.asarray(log_b, dtype),
        law,
        names,
    )
    return problem, log_z, share


def _components(population: Any, law: BridgeLaw | None, w: Any, a: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
    """Keep the components that matter: ``(names, population, w, left, right)`` with indices into what is left."""
    names = component_names(population)
    if law is None:
        return names, population, w, np.flatnonzero(a), np.flatnonzero(b)
    classes = np.arange(len(names))
    if isinstance(population, Empirical):
        counts = np.asarray(population.counts)
        classes = np.repeat(classes, counts)
        w = w[classes] / (counts if isinstance(w, np.ndarray) else jnp.asarray(counts, w.dtype))[classes]
    keep = np.flatnonzero((a | b)[classes])
    kept = classes[keep]
    return (
        tuple(names[c] for c in kept),
        law.restrict(population, keep),
        w[keep],
        np.flatnonzero(a[kept]),
        np.flatnonzero(b[kept]),
    )


def _log_affinities(
    process: Any,
    population: Any,
    law: BridgeLaw | None,
    shown: Any,
    times: Array,
    left: np.ndarray,
    right: np.ndarray,
    concrete: bool,
) -> Any:
    """``log BC_ij(t)`` as ``[T, A, B]``: float64 on the host where the law is built in and values are concrete."""
    if law is not None and concrete:
        # Whole numbers of a process are places (the order of a permuted one), those of a population may be data.
        channel = jax.tree.map(
            lambda v: np.asarray(v, None if np.asarray(v).dtype.kind in "iu" else np.float64), process
        )
        atoms = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), population)
        tables = [law.log_affinities(channel, atoms, t)[np.ix_(left, right)] for t in np.asarray(shown)]
        return np.minimum(np.stack(tables), 0.0)
    if law is not None:
        tables = jax.lax.map(lambda t: law.log_affinities(process, population, t), times)
        return tables[:, left][:, :, right]
    tables = jax.jit(lambda p, q, times: jax.lax.map(lambda t: q.log_affinities(p, t), times))(
        process, population, times
    )
    k = population.num_components
    shape = (times.shape[0], k, k)
    require(tables.shape == shape, "log_affinities(process, t)", tables.shape[1:], f"an array of shape ({k}, {k})")
    if not is_concrete(tables):
        return tables[:, left][:, :, right]
    i, j = jnp.asarray(left[0], jnp.int32), jnp.asarray(right[0], jnp.int32)
    draw = jax.eval_shape(lambda key: population.bridge_pair(process, key, i, j, times[0]), jax.random.key(0))
    return _checked(np.asarray(tables, np.float64)[:, left][:, :, right], times, isinstance(draw, BridgeDraw))


def _checked(tables: np.ndarray, times: Any, envelope: bool) -> np.ndarray:
    """Refuse what cannot be ``log int sqrt(p_i p_j)``: NaN, infinity, above 0 (unless they are envelopes)."""
    bad = np.isnan(tables) | (tables == np.inf) | ((tables > 1e-4) & (not envelope))
    if bad.any():
        where, i, j = (int(x[0]) for x in np.nonzero(bad))
        require(
            False,
            f"log_affinities(process, t) at t = {float(np.asarray(times)[where]):.6g}",
            float(tables[where, i, j]),
            f"logarithms of numbers in [0, 1] (pair {i} of the first set, {j} of the second)",
        )
    return tables if envelope else np.minimum(tables, 0.0)
