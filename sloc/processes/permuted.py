"""A process that takes the coordinates of ``x`` in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    Observation,
    ObservationProcess,
    Revealed,
    RevealingChannel,
    is_concrete,
    require,
    tells_of_thresholds,
)
from sloc.contracts.signal import Coordinates, of_size
from sloc.processes.retimed import lacking


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Permuted(ObservationProcess):
    """The process applied to ``x[order]``, its first coordinate being ``order[0]`` of ``x``.

    Where an observation has one entry per coordinate of ``x`` (Gaussian, revealing, memoryless channels) the entries
    are put back in the order of ``x`` and the channel stays in its family; any other observation is returned as
    the inner process gives it.  ``Permuted(Truncation(L), order)`` is autoregression in the order ``order``, the
    same as ``OrderedMasking(order[::-1])``.  Source: Li, Karan & Chen 2025, Cor. 1-2.

    Args:
        process: the process, on ``x`` given as one array.
        order: ``[L]``, a permutation of ``0 .. L-1`` of the flattened coordinates (a leaf).

    """

    process: Any
    order: Any

    def __new__(cls, process: Any = None, order: Any = None, **_: Any) -> Permuted:
        """Make an object of the class of the inner process's family."""
        return object.__new__(_variant(process) if cls is Permuted else cls)

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner horizon."""
        return self.process.horizon

    @property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner kind of time."""
        return self.process.discrete

    @property
    def has_density(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner process's."""
        return self.process.has_density

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the inner process lacks."""
        return lacking(self.process)

    def validate(self) -> None:
        """Refuse an inner object that is no process, and an order that is no permutation or of another length."""
        require(isinstance(self.process, ObservationProcess), "process", self.process, "an observation process")
        self.process.validate()
        shape = np.shape(self.order)
        require(len(shape) == 1 and shape[0] > 0, "order", shape, "a sequence of at least one coordinate")
        if is_concrete(self.order):
            order = np.asarray(self.order)
            valid = order.dtype.kind in "iu" and np.array_equal(np.sort(order), np.arange(order.size))
            require(valid, "order", self.order, f"a permutation of 0 .. {order.size - 1}")
        words = self.process._misfit(Coordinates((int(shape[0]),)))
        require(not words, "order", shape, f"one coordinate each for the inner process: {words}")

    def sample(self, key: Array, x: Any, t: Array) -> Observation:
        """Draw the inner ``Y_t`` given ``x[order]``."""
        return self._restored(self.process.sample(key, self._taken(x), t), x)

    def log_prob(self, y: Observation, x: Any, t: Array) -> Array:
        """Return the inner log density or mass."""
        return self.process.log_prob(self._entries(y), self._taken(x), t)

    def degrade(self, key: Array, y: Observation, s: Array, t: Array) -> Observation:
        """Draw the inner ``Y_t | Y_s = y``."""
        return self._restored(self.process.degrade(key, self._entries(y), s, t), y)

    def bridge(self, key: Array, y: Observation, x: Any, s: Array, t: Array) -> Observation:
        """Draw the inner ``Y_s | Y_t = y, X = x``."""
        return self._restored(self.process.bridge(key, self._entries(y), self._taken(x), s, t), y)

    def grid(self, n: int) -> np.ndarray:
        """Return the inner grid."""
        return self.process.grid(n)

    @property
    def time_axis(self) -> str:
        """Words for an axis of times: those of the inner process."""
        return self.process.time_axis

    def _misfit(self, x: Any) -> str:
        words = of_size(x, int(np.shape(self.order)[0]), "Permuted", "entries in its order")
        return words or self.process._misfit(x.taken(self.order if is_concrete(self.order) else None))

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        self.process._check_times(times, argument)

    def _entries(self, y: Observation) -> Observation:
        """Return an observation's entries in the inner order."""
        return y

    def _restored(self, y: Observation, like: Any) -> Observation:
        """Return an inner observation's entries in the order and shape of ``like``."""
        return y

    def _taken(self, x: Any) -> Array:
        x = jnp.asarray(x)
        size = int(np.shape(self.order)[0])
        require(x.size == size, "x", x.shape, f"{size} coordinates, as many as the order has")
        return jnp.reshape(x, -1)[jnp.asarray(self.order)]

    def _put_back(self, entries: Array, like: Any) -> Array:
        return jnp.reshape(entries[jnp.argsort(jnp.asarray(self.order))], jnp.shape(like))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PermutedRevealing(RevealingChannel, Permuted):
    """A :class:`Permuted` revealing channel: a revealing channel."""

    def thresholds(self, key: Array, x: Array) -> Array:
        """Return the inner thresholds, in the order of ``x``."""
        return self._put_back(self.process.thresholds(key, self._taken(x)), x)

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Return the inner log probability of the pattern taken in ``order``."""
        return self.process.log_mask_prob(self._taken(known), t)

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Return the inner probability; None while the order is traced."""
        if not is_concrete(self.order) or not tells_of_thresholds(self.process, "hidden_probability"):
            return None
        return self.process.hidden_probability(np.ravel(np.asarray(coordinates, bool))[np.asarray(self.order)], t)

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the inner law: an order does not change how many are seen."""
        return self.process.count_law(length, t) if tells_of_thresholds(self.process, "count_law") else None

    def _entries(self, y: Revealed) -> Revealed:
        return Revealed(self._taken(y.values), self._taken(y.known))

    def _restored(self, y: Revealed, like: Any) -> Revealed:
        shape = like.known if isinstance(like, Revealed) else like
        return Revealed(self._put_back(y.values, shape), self._put_back(y.known, shape))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PermutedMemoryless(MemorylessChannel, Permuted):
    """A :class:`Permuted` memoryless channel: the same law, since every coordinate meets the same matrix."""

    def transition(self, t: Any) -> Any:
        """Return the inner transition matrix."""
        return self.process.transition(t)

    def _entries(self, y: Array) -> Array:
        return self._taken(y)

    def _restored(self, y: Array, like: Any) -> Array:
        return self._put_back(y, like)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
# `has_density` is the family's, which is also the inner one's.
class PermutedGaussian(GaussianChannel, Permuted):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A :class:`Permuted` Gaussian channel: the same law, since the noise is isotropic."""

    @property
    def log_snr_range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner range."""
        return self.process.log_snr_range

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return the inner coefficients."""
        return self.process.coefficients(t)

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the inner time."""
        return self.process.time_of_log_snr(log_snr)

    def degrade_law(self, s: Array, t: Array) -> tuple[Array, Array, Array, Array]:
        """As of the family: ``(r, q, a_s, sigma_s)``, of the inner process."""
        return self.process.degrade_law(s, t)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
# `has_density` is the family's, which is also the inner one's.
class PermutedLinearGaussian(LinearGaussianChannel, Permuted):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A :class:`Permuted` linear Gaussian channel: the columns of ``A_t`` change places, ``y`` does not."""

    @property
    def scalar_kernel(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner channel's."""
        return self.process.scalar_kernel

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the inner channel lacks."""
        return lacking(self.process)

    @property
    def log_snr_range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner range."""
        return self.process.log_snr_range

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(A_t`` with column ``i`` moved to ``order[i]``, ``Sigma_t)``."""
        signal, noise = self.process.matrices(t)
        if not isinstance(signal, jax.Array) and is_concrete(self.order):
            return signal[:, np.argsort(np.asarray(self.order))], noise
        return jnp.asarray(signal)[:, jnp.argsort(jnp.asarray(self.order))], noise

    def noise_root(self, t: Any) -> Any:
        """Return the inner root."""
        return self.process.noise_root(t)

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return the inner kernel."""
        return self.process.kernel(s, t)

    def grid(self, n: int) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the inner grid."""
        return self.process.grid(n)


_FAMILIES: tuple[tuple[type, type[Permuted]], ...] = (
    (GaussianChannel, PermutedGaussian),
    (LinearGaussianChannel, PermutedLinearGaussian),
    (RevealingChannel, PermutedRevealing),
    (MemorylessChannel, PermutedMemoryless),
)


def _variant(process: Any) -> type[Permuted]:
    for family, made in _FAMILIES:
        if isinstance(process, family):
            return made
    return Permuted
