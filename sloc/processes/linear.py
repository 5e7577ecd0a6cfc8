"""Linear Gaussian channels: fixed measurements under noise that grows, and diffusion at a rate for each direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import numpy as np

from sloc.contracts import LinearGaussianChannel, float_dtype, is_concrete, require, shown
from sloc.processes.gaussian import check_finite
from sloc.processes.places import placed


class _GrowingNoise(LinearGaussianChannel):
    """Base of ``Y_t = A X + t^{1/2} C^{1/2} Z``: independent increments of covariance ``C``."""

    scalar_kernel: ClassVar[bool] = True

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        check_finite(times, argument)

    def _signal(self) -> Any:
        """Return ``A [m, d]``."""
        raise NotImplementedError

    def _noise(self) -> Any:
        """Return ``C``: a scalar, ``[m]`` or ``[m, m]``."""
        raise NotImplementedError

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(A [m, d], t C [m, m])``; exact, float64 off the device."""
        xp, t, signal, noise = placed(t, self._signal(), self._noise())
        return signal, t * _full(noise, signal.shape[0], xp)

    def noise_root(self, t: Any) -> Any:
        """Return ``sqrt(t) chol(C)``, lower triangular ``[m, m]``; zero at ``t = 0``."""
        xp, t, signal, noise = placed(t, self._signal(), self._noise())
        return xp.sqrt(t) * _root(noise, signal.shape[0], xp)

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return ``(I, sqrt(t - s) chol(C))``."""
        root = self.noise_root(t - s)
        xp = placed(t, self._signal())[0]
        return xp.eye(root.shape[0], dtype=root.dtype), root

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return ``t = e^-log_snr tr(C^-1 A A^T) / m``, elementwise; exact."""
        xp, log_snr, signal, noise = placed(log_snr, self._signal(), self._noise())
        m = signal.shape[0]
        return xp.exp(-log_snr) * (xp.sum(signal * xp.linalg.solve(_full(noise, m, xp), signal)) / m)


def _full(noise: Any, m: int, xp: Any) -> Any:
    eye = xp.eye(m, dtype=noise.dtype)
    return noise * eye if noise.ndim == 0 else (noise[:, None] * eye if noise.ndim == 1 else noise)


def _root(noise: Any, m: int, xp: Any) -> Any:
    return xp.linalg.cholesky(noise) if noise.ndim == 2 else xp.sqrt(_full(noise, m, xp))


def check_covariance(covariance: Any, m: int | None, argument: str = "covariance") -> int | None:
    """Refuse a noise covariance that is not a positive scalar, positive ``[m]`` or positive definite ``[m, m]``.

    Returns:
        ``m``, where it is known from the covariance or from the argument.

    Raises:
        InvalidInput: see above; a shape that disagrees with ``m``.

    """
    shape = np.shape(covariance)
    square = len(shape) < 2 or (len(shape) == 2 and shape[0] == shape[1])
    require(square and 0 not in shape, argument, shape, "a scalar, variances [m] or a matrix [m, m]")
    if m is not None and shape:
        require(shape[0] == m, argument, shape, f"{m} rows, as many as the matrix of the signal has")
    if not is_concrete(covariance):
        return shape[0] if shape else m
    values = np.asarray(covariance, np.float64)
    require(bool(np.isfinite(values).all()), argument, covariance, "finite numbers")
    if values.ndim < 2:
        require(bool((values > 0).all()), argument, covariance, "positive variances")
    else:
        symmetric = np.allclose(values, values.T, rtol=1e-5, atol=1e-7 * float(np.abs(values).max()))
        require(symmetric, argument, covariance, "a symmetric matrix")
        smallest = float(np.linalg.eigvalsh(values).min())
        largest = float(np.abs(values).max())
        least = 4 * float(np.finfo(float_dtype()).eps) * largest
        require(smallest > least, argument, f"smallest eigenvalue {smallest:.3g}", "a positive definite matrix")
    return shape[0] if shape else m


def check_matrix(matrix: Any, argument: str = "matrix") -> tuple[int, int]:
    """Refuse a matrix that is not a finite ``[m, d]``; return its shape.

    Raises:
        InvalidInput: see above.

    """
    shape = np.shape(matrix)
    require(len(shape) == 2 and 0 not in shape, argument, shape, "a matrix of shape [m, d]")
    if is_concrete(matrix):
        require(bool(np.isfinite(np.asarray(matrix, np.float64)).all()), argument, matrix, "finite numbers")
    return int(shape[0]), int(shape[1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnisotropicGaussian(_GrowingNoise):
    """``Y_t = X + C^{1/2} B_t``: noise of covariance ``t C``, ``0 <= t < inf``; ``x`` has ``d`` coordinates.

    Stochastic localization with precision ``s Q`` observes ``s Q X + Q^{1/2} B_s``; with ``Q = C^-1`` and ``s = 1/t``
    that is ``s Q Y_t``.  Source: Montanari 2023 (anisotropic Gaussian, constant ``Q``).

    Attributes:
        covariance: ``C``, variances ``[d]`` or a positive definite matrix ``[d, d]``.

    """

    covariance: Any = field(metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse a covariance that is not positive definite."""
        shape = np.shape(self.covariance)
        require(len(shape) in (1, 2), "covariance", shown(shape), "variances [d] or a matrix [d, d]")
        check_covariance(self.covariance, None)

    def _signal(self) -> Any:
        return np.eye(np.shape(self.covariance)[0])

    def _noise(self) -> Any:
        return self.covariance


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearGaussian(_GrowingNoise):
    """``Y_t = A X + C^{1/2} B_t``: ``m`` linear measurements under noise of covariance ``t C``, ``0 <= t < inf``.

    Stochastic localization observes ``s A X + B_s`` with ``s`` growing; that is ``s Y_t`` at ``s = 1/t``, ``C = I``.
    At ``t = 0`` the measurements ``A x`` are left, which are ``x`` itself only where ``A`` has rank ``d``.  Where
    ``A_t`` changes: :class:`AnisotropicOrnsteinUhlenbeck`, or derive from :class:`~sloc.LinearGaussianChannel`.
    Source: Montanari 2023 (linear observation process).

    Attributes:
        matrix: ``A [m, d]``.
        covariance: ``C``: a scalar, variances ``[m]`` or a positive definite matrix ``[m, m]``.

    """

    matrix: Any = field(metadata={"dtype": float})
    covariance: Any = field(default=1.0, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse a matrix that is not ``[m, d]``, and a covariance of another size or not positive definite."""
        m, _ = check_matrix(self.matrix)
        check_covariance(self.covariance, m)
        if is_concrete(self.matrix):
            require(bool(np.any(np.asarray(self.matrix) != 0)), "matrix", self.matrix, "a matrix that is not zero")

    def _signal(self) -> Any:
        return self.matrix

    def _noise(self) -> Any:
        return self.covariance


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AnisotropicOrnsteinUhlenbeck(LinearGaussianChannel):
    """``dY = -M Y dt + sqrt(2 M) dB``, ``0 <= t < inf``: every eigenvector of ``M`` is forgotten at a rate of its own.

    ``Y_t = e^{-M t} X + (1 - e^{-2 M t})^{1/2} Z``: ``A_t`` and ``Sigma_t`` change, and their shapes do too; with
    ``M = I`` the Ornstein-Uhlenbeck process.  With larger rates for finer scales it blurs while it adds noise.  Source:
    variation of constants; Montanari 2023 (``Y = A_t X`` plus noise); Hoogeboom & Salimans 2023 (blurring).

    Attributes:
        rates: ``M``, positive rates ``[d]`` of the coordinates or a positive definite matrix ``[d, d]``.

    """

    rates: Any = field(metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse rates that are not positive, or a matrix that is not positive definite."""
        shape = np.shape(self.rates)
        require(len(shape) in (1, 2), "rates", shown(shape), "rates [d] or a matrix [d, d]")
        check_covariance(self.rates, None, "rates")

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(e^{-M t}, 1 - e^{-2 M t})``, both ``[d, d]``; exact, float64 off the device."""
        xp, vectors, rates, t = self._modes(t)
        shapes = xp.exp(-rates * t), -xp.expm1(-2.0 * rates * t)
        return tuple(xp.matmul(vectors * shape[None, :], vectors.T) for shape in shapes)  # pyright: ignore[reportReturnType]

    def noise_root(self, t: Any) -> Any:
        """Return ``L_t`` by a QR decomposition of ``Sigma_t^{1/2}``: zero at ``t = 0``, where Cholesky's fails."""
        xp, vectors, rates, t = self._modes(t)
        lower = xp.linalg.qr((vectors * _deviation(xp, rates * t)[None, :]).T)[1].T
        return lower * xp.where(xp.diagonal(lower) < 0, -1.0, 1.0).astype(lower.dtype)[None, :]

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return ``(e^{-M (t - s)}, U (1 - e^{-2 m (t - s)})^{1/2})``, ``U`` and ``m`` the modes of ``M``."""
        xp, vectors, rates, gap = self._modes(t - s)
        step = xp.matmul(vectors * xp.exp(-rates * gap)[None, :], vectors.T)
        return step, vectors * _deviation(xp, rates * gap)[None, :]

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the ``t`` with ``mean_i 1 / (e^{2 m_i t} - 1) = e^log_snr``, elementwise, by bisection.

        The slowest and the fastest mode alone bracket it; 60 halvings leave a float64's rounding of the bracket.
        """
        xp, _, rates, log_snr = self._modes(log_snr)
        alone = xp.logaddexp(xp.zeros_like(log_snr), -log_snr)
        low, high = 0.5 * alone / xp.max(rates), 0.5 * alone / xp.min(rates)
        for _ in range(60):
            middle = 0.5 * (low + high)
            # Logarithms: far out either side of the equation underflows.
            each = -2.0 * rates * middle[..., None]
            found = xp.log(xp.mean(xp.exp(each) / -xp.expm1(each), axis=-1))
            low, high = xp.where(found > log_snr, middle, low), xp.where(found > log_snr, high, middle)
        return 0.5 * (low + high)

    def _modes(self, t: Any) -> tuple[Any, Any, Any, Any]:
        """``(xp, U [d, d], m [d], t)``; eigenvectors of a symmetric matrix, the axes where rates are given."""
        xp, t, rates = placed(t, self.rates)
        if rates.ndim == 1:
            return xp, xp.eye(rates.shape[0], dtype=rates.dtype), rates, t
        values, vectors = xp.linalg.eigh(rates)
        return xp, vectors, values, t


def _deviation(xp: Any, exponent: Any) -> Any:
    """``(1 - e^{-2 exponent})^{1/2}``, precise where it is small."""
    return xp.sqrt(-xp.expm1(-2.0 * exponent))
