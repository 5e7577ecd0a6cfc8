"""Populations that are another population in disguise: they say which, and inherit its exact marginals."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from sloc.contracts import (
    Array,
    ContractError,
    MemorylessChannel,
    Observation,
    ObservationProcess,
    Population,
    RevealingChannel,
    float_dtype,
    register_marginals,
    resolve_marginals,
)
from sloc.populations.discrete import log_mixture_weights


class Backed(Population):
    """Base of populations over words whose law is that of ``backing``, letter for letter.

    A subclass has the fields ``weights`` and ``names`` and gives ``num_components`` and ``backing``, a population
    of the same ``X`` with registered ``marginals``, ``path`` (revealing channels) and ``paths``.  Sampling, posterior
    draws and marginals under every :class:`~sloc.RevealingChannel` and
    :class:`~sloc.MemorylessChannel` follow, as exact as those of the backing.
    """

    atomic: ClassVar[bool] = True
    weights: Any = None

    def backing(self) -> Any:
        """Return the population that has this law; built from the leaves, so that it can be traced.

        Raises:
            ContractError: the subclass does not define it.

        """
        raise ContractError(f"{type(self).__name__} does not define backing(), which says what law it has")

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        dtype = getattr(self.weights, "dtype", float_dtype())
        dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else float_dtype()
        return log_mixture_weights(self.weights, self.num_components, dtype)

    def path_elements(self) -> int:
        """Return the path elements of the backing."""
        return self.backing().path_elements()

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``X ~ p^theta``: int32 ``[L]``."""
        return self.backing().sample(key, component)

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture, exactly: int32 scalar and int32 ``[L]``.

        Raises:
            ContractError: the process is neither a revealing nor a memoryless channel.

        """
        return self.backing().posterior_joint(key, process, y, t)


def _marginals(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log p_t^theta(y)`` of the backing, ``[K]``."""
    inner = population.backing()
    return resolve_marginals(process, inner)(process, inner, y, t)


def _path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory of the backing, ``[T, K]``."""
    return population.backing().path_log_marginals(process, key, x, times)


def _paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories of the backing, ``[T, K, B]``, up to a term free of ``theta``."""
    inner = population.backing()
    paths = resolve_marginals(process, inner).paths_fn
    assert paths is not None, f"{type(inner).__name__} registers no paths"
    return paths(process, inner, key, components, times)


for _family in (RevealingChannel, MemorylessChannel):
    _entry = register_marginals(_family, Backed)(_marginals)
    _entry.path(_path)
    _entry.paths(_paths)
