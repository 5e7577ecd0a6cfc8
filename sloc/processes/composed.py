"""What is left of an observation after a further map: linear projections, and functions of a user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    ContractError,
    GaussianChannel,
    LinearGaussianChannel,
    Observation,
    ObservationProcess,
    is_concrete,
    require,
)
from sloc.processes.linear import check_matrix
from sloc.processes.places import placed


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Projected(LinearGaussianChannel):
    """``B Y_t``, a linear statistic of a Gaussian or linear Gaussian channel: a linear Gaussian channel again.

    ``B Y_t ~ N(B A_t x, B Sigma_t B^T)``, exact.  It is a Markov chain where ``R`` of the inner channel is a multiple
    of the identity (every Gaussian channel, and noise of a fixed shape that grows); otherwise ``degrade`` and
    ``bridge`` are not defined.  Source: textbook (linear maps of Gaussians).

    Attributes:
        process: a :class:`~sloc.GaussianChannel` or a :class:`~sloc.LinearGaussianChannel`.
        matrix: ``B [k, m]``, of rank ``k``; ``m`` is the number of coordinates of the inner observation.

    """

    scalar_kernel: ClassVar[bool] = True

    process: Any
    matrix: Any = field(metadata={"dtype": float})

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner horizon."""
        return self.process.horizon

    @property
    def log_snr_range(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner range."""
        return self.process.log_snr_range

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """``degrade`` and ``bridge`` where the projection is not a Markov chain."""
        markov = isinstance(self.process, GaussianChannel) or self.process.scalar_kernel
        return self.process.absent if markov else frozenset({"degrade", "bridge"})

    def validate(self) -> None:
        """Refuse an inner process outside the two families, and a matrix that has not full row rank."""
        families = (GaussianChannel, LinearGaussianChannel)
        require(isinstance(self.process, families), "process", self.process, "a Gaussian or linear Gaussian channel")
        self.process.validate()
        k, m = check_matrix(self.matrix)
        require(k <= m, "matrix", (k, m), "at most as many rows as columns")
        if is_concrete(self.matrix):
            rank = int(np.linalg.matrix_rank(np.asarray(self.matrix, np.float64), rtol=1e-5))
            require(rank == k, "matrix", f"rank {rank}", f"full row rank, {k}")
        if isinstance(self.process, LinearGaussianChannel) and is_concrete(self.process):
            rows = np.shape(self.process.matrices(1e-3)[0])[0]
            require(rows == m, "matrix", (k, m), f"{rows} columns, the size of the inner observation")

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(B A_t, B Sigma_t B^T)``; exact, float64 off the device."""
        if isinstance(self.process, GaussianChannel):
            xp, _, matrix = placed(t, self.matrix)
            a, sigma = self.process.coefficients(t)
            return a * matrix, sigma**2 * _product(matrix, matrix.T, xp)
        signal, noise = self.process.matrices(t)
        xp, _, matrix = placed(t, self.matrix)
        return _product(matrix, signal, xp), _product(_product(matrix, noise, xp), matrix.T, xp)

    def noise_root(self, t: Any) -> Any:
        """Return Cholesky's root of ``B Sigma_t B^T`` (from triangular factors, so it may be zero at ``t = 0``)."""
        xp, _, matrix = placed(t, self.matrix)
        if isinstance(self.process, GaussianChannel):
            return self.process.coefficients(t)[1] * _triangular(matrix, xp)
        return _triangular(_product(matrix, self.process.noise_root(t), xp), xp)

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return ``(r I, root)`` with ``r`` the inner multiple and ``root = B`` times the inner root, triangular."""
        xp, _, matrix = placed(t, self.matrix)
        eye = xp.eye(matrix.shape[0], dtype=matrix.dtype)
        if isinstance(self.process, GaussianChannel):
            r, q, _, _ = self.process.degrade_law(s, t)
            return r * eye, xp.sqrt(q) * _triangular(matrix, xp)
        step, root = self.process.kernel(s, t)
        return step[0, 0] * eye, _triangular(_product(matrix, root, xp), xp)

    @property
    def time_axis(self) -> str:
        """Words for an axis of times: those of the inner process."""
        return self.process.time_axis

    def _misfit(self, x: Any) -> str:
        return super()._misfit(x) or self.process._misfit(x)

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        self.process._check_times(times, argument)

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the inner time: log-SNR per coordinate of the inner observation, not of the projection."""
        return self.process.time_of_log_snr(log_snr)


def _product(left: Any, right: Any, xp: Any) -> Any:
    return left @ right if xp is np else jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _triangular(wide: Any, xp: Any) -> Any:
    """Return the lower triangular ``L [k, k]``, its diagonal not negative, with ``L L^T = wide wide^T``; by QR."""
    lower = xp.swapaxes(xp.linalg.qr(xp.swapaxes(wide, 0, 1), mode="r"), 0, 1)
    signs = xp.where(xp.diagonal(lower) < 0, -xp.ones_like(lower[0]), xp.ones_like(lower[0]))
    return lower * signs[None, :]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Composed(ObservationProcess):
    """``S(Y_t)``: a statistic of the observation of another process, with likelihood and kernels of a user's own.

    Where ``S`` is sufficient (the count of identical coins, say), ``P(theta | S(Y_t)) = P(theta | Y_t)`` and windows
    are those of ``Y_t`` itself, at less cost; otherwise they are those of an observer who sees less.  For a matrix and
    a Gaussian channel use :class:`Projected`.  What is given as None is not defined, with the consequences of
    :class:`~sloc.ObservationProcess`: ``likelihood`` is needed for windows, ``forward`` for paths, ``backward`` for the
    exact localization sampler.  ``S(Y_t)`` must be a Markov chain.  Functions are static: a new one compiles anew.
    Source: Fisher 1922 (sufficiency).

    Attributes:
        process: the inner process.
        statistic: ``S``, ``y -> z`` (unbatched).
        likelihood: ``(process, z, x, t) -> log P(S(Y_t) = z | X = x)``, a scalar.
        forward: ``(key, process, z, s, t) -> z``, a draw of ``S(Y_t)`` given ``S(Y_s) = z``.
        backward: ``(key, process, z, x, s, t) -> z``, a draw of ``S(Y_s)`` given ``S(Y_t) = z`` and ``X = x``.
        density: whether ``likelihood`` is a density; None for what the inner process says of itself.

    """

    process: Any
    statistic: Callable[[Any], Any] = field(metadata={"static": True})
    likelihood: Callable[..., Array] | None = field(default=None, metadata={"static": True})
    forward: Callable[..., Any] | None = field(default=None, metadata={"static": True})
    backward: Callable[..., Any] | None = field(default=None, metadata={"static": True})
    density: bool | None = field(default=None, metadata={"static": True})

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
        """``density``, or what the inner process says."""
        return self.process.has_density if self.density is None else self.density

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The methods whose functions were not given."""
        given = {"log_prob": self.likelihood, "degrade": self.forward, "bridge": self.backward}
        return frozenset(name for name, value in given.items() if value is None)

    def validate(self) -> None:
        """Refuse an inner object that is no process, and functions that cannot be called."""
        require(isinstance(self.process, ObservationProcess), "process", self.process, "an observation process")
        self.process.validate()
        require(callable(self.statistic), "statistic", self.statistic, "a function of the observation")
        for name in ("likelihood", "forward", "backward"):
            value = getattr(self, name)
            require(value is None or callable(value), name, value, "a function, or None")

    def sample(self, key: Array, x: Any, t: Array) -> Observation:
        """Draw the inner ``Y_t`` and return its statistic."""
        return self.statistic(self.process.sample(key, x, t))

    def log_prob(self, y: Observation, x: Any, t: Array) -> Array:
        """Return ``likelihood(process, y, x, t)``."""
        return self._given("likelihood", "log_prob")(self.process, y, x, t)

    def degrade(self, key: Array, y: Observation, s: Array, t: Array) -> Observation:
        """Draw ``forward(key, process, y, s, t)``."""
        return self._given("forward", "degrade")(key, self.process, y, s, t)

    def bridge(self, key: Array, y: Observation, x: Any, s: Array, t: Array) -> Observation:
        """Draw ``backward(key, process, y, x, s, t)``."""
        return self._given("backward", "bridge")(key, self.process, y, x, s, t)

    def grid(self, n: int) -> np.ndarray:
        """Return the inner grid."""
        return self.process.grid(n)

    @property
    def time_axis(self) -> str:
        """Words for an axis of times: those of the inner process."""
        return self.process.time_axis

    def _misfit(self, x: Any) -> str:
        return self.process._misfit(x)

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        self.process._check_times(times, argument)

    def _given(self, name: str, method: str) -> Callable[..., Any]:
        value = getattr(self, name)
        if value is None:
            raise ContractError(f"Composed was given no {name}, which {method} needs")
        return value
