"""Likelihoods of single leaves: what belief propagation needs to know of an observation process.

A process that acts on each leaf by itself has ``P_t(y | x) = c(y, t) prod_l u_l(x_l)``.  One function per family of
processes gives ``log u``, ``[leaves, v]``, and ``log c``; the most specific one registered is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    ContractError,
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    ObservationProcess,
    RevealingChannel,
    find_marginals,
    is_concrete,
    require,
    shown,
)
from sloc.populations.discrete import transition_matrix

LeafLogs = Callable[[Any, Any, Any, Any], tuple[Array, Array]]
"""``(process, population, y, t) -> (log u [leaves, v], log c)``."""

LEAVES: dict[type, LeafLogs] = {}
"""By the process type under which the marginals are registered."""

_EXACT = jax.lax.Precision.HIGHEST


def resolve_leaves(process: ObservationProcess, population: Any) -> LeafLogs:
    """Return the function registered for a process; the one that its marginals were registered with.

    Raises:
        ContractError: there is none, or two match equally well.

    """
    entry = find_marginals(process, population)
    if entry is None or entry.process_type not in LEAVES:
        raise ContractError(
            f"process = {shown(process)}: {type(population).__name__} needs the likelihood of each leaf; "
            f"known for {', '.join(sorted(t.__name__ for t in LEAVES))}; use "
            "sloc.populations.hierarchy.register_leaves, with independent_leaves where log_prob is a sum over leaves"
        )
    return LEAVES[entry.process_type]


def independent_leaves(process: Any, population: Any, y: Any, t: Any) -> tuple[Array, Array]:
    """Leaf likelihoods of any process with ``log_prob(y, x, t) = sum_l log_prob(y_l, x_l, t)``.

    That the process acts on each leaf by itself, by one and the same law, is for whoever registers it to know.

    Args:
        process: defines ``log_prob`` for a single leaf, a scalar, or ``[v]`` where leaves are one-hot.
        population: the hierarchy.
        y: a pytree whose leaves have a first axis of length ``leaves``.
        t: the time.

    Returns:
        ``log u [leaves, v]`` and 0.

    """
    codes = population.codes()
    of_leaf = jax.vmap(lambda part, code: process.log_prob(part, code, t), (None, 0))
    logs = jax.vmap(lambda part: of_leaf(part, codes))(y)
    return logs, jnp.zeros((), logs.dtype)


def revealed_leaves(process: Any, population: Any, y: Any, t: Any) -> tuple[Array, Array]:
    """0 where a letter agrees with what is seen of the leaf, else ``-inf``; ``log c`` is that of the pattern."""
    codes = population.codes()
    agree = ~y.known[:, None] | (y.values[:, None] == codes[None])
    agree = agree if codes.ndim == 1 else jnp.all(agree, -1)
    pattern = process.log_mask_prob(y.known, t)
    return jnp.where(agree, jnp.zeros((), pattern.dtype), -jnp.inf), pattern


def memoryless_leaves(process: Any, population: Any, y: Any, t: Any) -> tuple[Array, Array]:
    """``log P_t[letter, y_l]``."""
    require(
        not population.one_hot, "population.one_hot", True, f"letters, one_hot=False, under {type(process).__name__}"
    )
    dtype = population.log_weights.dtype
    matrix = transition_matrix(process, t, population.num_letters, dtype)
    return jnp.log(matrix).T[y], jnp.zeros((), dtype)


def gaussian_leaves(process: Any, population: Any, y: Any, t: Any) -> tuple[Array, Array]:
    """``(a / sigma^2) (<e, y_l> - a |e|^2 / 2)`` for the code ``e`` of each letter, 0 at the best letter.

    ``log c`` is the log density at the best letters: no large squares are subtracted from each other.
    """
    a, sigma = process.coefficients(t)
    codes = population.codes().astype(y.dtype)
    if codes.ndim == 1:
        logs = (a / sigma**2) * (y[:, None] * codes[None] - 0.5 * a * jnp.square(codes)[None])
    else:
        # One-hot codes: <e_j, y_l> = y_lj, and the norm is the same for all.
        logs = (a / sigma**2) * y
    return _at_best(process, population, y, t, logs)


def linear_gaussian_leaves(process: Any, population: Any, y: Any, t: Any) -> tuple[Array, Array]:
    """``<h_l, e> - e^T J_ll e / 2``, ``h = A^T Sigma^-1 y``, ``J = A^T Sigma^-1 A``, 0 at the best letter.

    Exact where no measurement mixes leaves, so that ``J`` is block diagonal (blocks of one leaf each).

    Raises:
        InvalidInput: concrete matrices for which it is not.  Traced ones give NaN.

    """
    codes = population.codes().astype(y.dtype)
    signal, noise = (jnp.asarray(m, y.dtype) for m in process.matrices(t))
    count, d = population.num_leaves, codes.size // codes.shape[0]
    require(
        signal.shape[1] == count * d,
        "process.matrices(t)[0].shape",
        signal.shape,
        f"{count * d} columns, the coordinates of x",
    )
    factor = jnp.linalg.cholesky(noise)
    white = jax.scipy.linalg.solve_triangular(factor, signal, lower=True)
    h = jnp.matmul(jax.scipy.linalg.solve_triangular(factor, y, lower=True), white, precision=_EXACT)
    square = jnp.matmul(white.T, white, precision=_EXACT)
    own = np.kron(np.eye(count), np.ones((d, d))) > 0
    mixed = jnp.max(jnp.where(own, 0.0, jnp.abs(square))) > 1e-5 * jnp.max(jnp.abs(square))
    if is_concrete(mixed):
        require(not bool(mixed), "process.matrices(t)", signal.shape, "measurements and noise that do not mix leaves")
    blocks = jnp.stack([square[i * d : (i + 1) * d, i * d : (i + 1) * d] for i in range(count)])
    table = codes.reshape(-1, d)
    curve = jnp.einsum("vd,lde,ve->lv", table, blocks, table, precision=_EXACT)
    logs = jnp.matmul(h.reshape(count, d), table.T, precision=_EXACT) - 0.5 * curve
    return _at_best(process, population, y, t, jnp.where(mixed, jnp.nan, logs))


def _at_best(process: Any, population: Any, y: Any, t: Any, logs: Array) -> tuple[Array, Array]:
    """Return ``logs`` less their maximum over letters, and the log density at the letters that attain it."""
    best = population.codes()[jnp.argmax(logs, 1)]
    return logs - jnp.max(logs, 1, keepdims=True), process.log_prob(y, best, t)


BUILT_IN: tuple[tuple[type, LeafLogs], ...] = (
    (RevealingChannel, revealed_leaves),
    (MemorylessChannel, memoryless_leaves),
    (GaussianChannel, gaussian_leaves),
    (LinearGaussianChannel, linear_gaussian_leaves),
)
