"""Observation processes and their families: how ``X`` is degraded into ``Y_t``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts.arguments import as_floats, as_whole
from sloc.contracts.base import Asked, Contract, ContractError, float_dtype, is_concrete, require
from sloc.contracts.signal import blurred, of_size, one_array, outside_alphabet

Array = jax.Array
Observation = Any
"""A pytree: what a process returns from ``sample`` and accepts in ``log_prob``."""


def backwards(words: str) -> str:
    """Return the label of an axis of times: what they are, and that a generation runs against them."""
    return f"{words}  (generation runs right to left)"


NOISE_AXIS = backwards("noise level t")
"""Of times that have no other name."""


class ObservationProcess(Contract):
    """A Markov chain of ever less informative observations ``X -> Y_t1 -> Y_t2 -> ...``.

    At times ``t_1 < t_2 < ..`` it has the law ``P(y_1, y_2, .. | x) = P_{t_1}(y_1 | x) prod_k P(y_{k+1} | y_k)``.  Two
    methods, ``sample`` and ``log_prob``, are enough for windows; ``degrade`` adds paths and Markov checks, ``bridge``
    the exact localization sampler.  Write them for one ``x``, one ``y`` and one ``t``; the library vectorises.  Source:
    Li, Karan & Chen 2025, Def. 1; Montanari 2023.

    Attributes:
        horizon: the time at which ``Y_t`` says nothing about ``X`` (``inf`` allowed).
        discrete: whether time is an int32 count of steps.
        has_density: whether ``log_prob`` is a density, so that ``t = 0`` is singular on atoms.  (In doubt the second
            half decides: a density that has a value there may say no, counts that are infinite there say yes.)
        absent: methods that the class defines and this object cannot follow, as where a combinator wraps a
            process that lacks them; they count as not defined.

    """

    horizon: ClassVar[float] = math.inf
    discrete: ClassVar[bool] = False
    has_density: ClassVar[bool] = False
    absent: ClassVar[frozenset[str]] = frozenset()
    # Whether an observation is of the kind of X, so that what X cannot be is no observation either.
    _like_x: ClassVar[bool] = False
    _asked: ClassVar[Asked] = {
        "sample": ("key", "x", "t"),
        "log_prob": ("y", "x", "t"),
        "degrade": ("key", "y", "s", "t"),
        "bridge": ("key", "y", "x", "s", "t"),
    }

    def sample(self, key: Array, x: Any, t: Array) -> Observation:
        """Draw ``Y_t | X = x``.  With one key, draws at different ``t`` share their randomness."""
        raise missing_method(self, "sample(key, x, t)", "draw Y_t given X = x")

    def log_prob(self, y: Observation, x: Any, t: Array) -> Array:
        """Log density or mass ``log P_t(y | x)`` of ``Y_t = y`` given ``X = x``, a scalar (``t > 0`` for densities)."""
        raise missing_method(self, "log_prob(y, x, t)", "evaluate the likelihood of an observation")

    def degrade(self, key: Array, y: Observation, s: Array, t: Array) -> Observation:
        """Draw ``Y_t | Y_s = y`` for ``s <= t``."""
        raise missing_method(self, "degrade(key, y, s, t)", "continue the forward process")

    def bridge(self, key: Array, y: Observation, x: Any, s: Array, t: Array) -> Observation:
        """Draw ``Y_s | Y_t = y, X = x`` for ``s < t``."""
        raise missing_method(self, "bridge(key, y, x, s, t)", "step back along the process")

    def grid(self, n: int) -> np.ndarray:
        """Return ``n`` increasing times spread evenly in information, not in raw time.

        The default is even in ``t`` between 0 and a finite horizon, both ends left out, ``t_i = i horizon / (n + 1)``
        (all steps ``0 .. horizon`` thinned to at most ``n`` when time is discrete).
        """
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        if not math.isfinite(float(self.horizon)):
            raise missing_method(self, "grid(n)", "choose times: the horizon is infinite; pass times= or define it")
        if self.discrete:
            return np.unique(np.round(np.linspace(0, int(self.horizon), n)).astype(np.int32))
        return np.linspace(0.0, float(self.horizon), n + 2)[1:-1]

    @property
    def time_axis(self) -> str:
        """What a picture writes along the times of its results, in words; override it where ``t`` has a name."""
        return NOISE_AXIS

    def _misfit(self, x: Any) -> str:
        """Say what is expected of an ``X`` that this process cannot take; an empty text where it can.

        Families and their members each add their own and go on with ``super()``, so that a wrapped process of a family
        is asked by both: what the family takes, and what the inner process does.

        Args:
            x: a tree of ``Coordinates``, of the structure of ``X``.

        """
        return ""

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        """Refuse times (float64, in order) at which the process is not what it says; most are at all times."""


def check_times(
    process: ObservationProcess, host: np.ndarray, argument: str, given: Any, *, singular: bool = False
) -> None:
    """Refuse times at which a process cannot be asked.

    Args:
        process: the process.
        host: ``[T]`` numbers.
        argument: the argument's name in messages.
        given: what was given for it, to be shown.
        singular: whether a density of noised points is asked for, which has no value at 0.

    Raises:
        InvalidInput: times below 0, beyond the horizon, broken in discrete time, or 0 where densities are singular.

    """
    require(bool((host >= 0).all()), argument, given, "times that are not negative")
    horizon = float(process.horizon)
    require(bool((host <= horizon * (1 + 1e-12)).all()), argument, given, f"times up to the horizon, {horizon:g}")
    if process.discrete:
        require(bool((host == np.round(host)).all()), argument, given, "whole numbers: the process's time is discrete")
    if singular:
        words = "times above 0: densities of noised data points are singular at t = 0"
        require(bool((host > 0).all()), argument, given, words)
    if is_concrete(process):
        process._check_times(host, argument)  # pyright: ignore[reportPrivateUsage]


def _name(process: ObservationProcess) -> str:
    """Return the name of a process's class as users write it: a combinator's without that of the family."""
    own = (c for c in type(process).__mro__ if "__new__" in vars(c) and issubclass(c, ObservationProcess))
    return next(own, type(process)).__name__


def time_of(process: ObservationProcess) -> jax.ShapeDtypeStruct:
    """Return the kind of number that one time of a process is, in compiled code."""
    return jax.ShapeDtypeStruct((), np.dtype(np.int32) if process.discrete else float_dtype())


# Jitted functions of the module, for their shapes alone: JAX keeps these by the structure of the arguments, so that
# asking again costs some microseconds.
@jax.jit
def _letter_matrix(process: Any, t: Any) -> Any:
    return process.transition(t)


@jax.jit
def _signal_matrix(process: Any, t: Any) -> Any:
    return process.matrices(t)[0]


def _shape(asked: Any, process: ObservationProcess) -> tuple[int, ...] | None:
    """Return the shape of what a method gives, None where it gives none: what is wrong shows itself where it runs."""
    try:
        return tuple(asked.eval_shape(process, time_of(process)).shape)
    except Exception:
        return None


def missing_method(obj: object, method: str, purpose: str) -> ContractError:
    """Return the error that says which method a class lacks, and what it is needed for."""
    return ContractError(f"{type(obj).__name__} does not define {method}, which is needed to {purpose}")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Revealed:
    """A partly seen observation: one type for masking, erasure, truncation and ordered masking.

    Attributes:
        values: the coordinates of ``x``, zero where hidden; same shape as ``x``.
        known: boolean, same shape: which coordinates are seen.

    """

    values: Array
    known: Array


class GaussianChannel(ObservationProcess):
    """Family ``Y_t = a(t) X + sigma(t) Z``, ``Z ~ N(0, I)``, with ``a / sigma`` decreasing in ``t``.

    A member gives :meth:`coefficients` and :meth:`time_of_log_snr`; sampling, likelihood, forward kernel, bridge and
    grid follow (exact).  ``x`` is a floating array of any shape.  Source: Kingma et al. 2021 (variational diffusion
    models).
    """

    has_density: ClassVar[bool] = True
    log_snr_range: ClassVar[tuple[float, float]] = (12.0, -14.0)
    _like_x: ClassVar[bool] = True
    _asked: ClassVar[Asked] = {
        **ObservationProcess._asked,
        "coefficients": ("t[]",),
        "time_of_log_snr": ("log_snr[]",),
        "bridge_law": ("y", "x", "s", "t"),
        "degrade_law": ("s", "t"),
    }

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return ``(a(t), sigma(t))`` of ``Y_t = a(t) X + sigma(t) Z``, elementwise in ``t``.

        Use :func:`sloc.contracts.namespace` for float64 on the host.
        """
        raise missing_method(self, "coefficients(t)", "use it as a Gaussian channel")

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the time at which ``log(a(t)^2 / sigma(t)^2)`` equals ``log_snr``."""
        raise missing_method(self, "time_of_log_snr(log_snr)", "build a grid even in log-SNR")

    def sample(self, key: Array, x: Array, t: Array) -> Array:
        """Draw ``a(t) x + sigma(t) z``."""
        a, sigma = self.coefficients(t)
        x = _real(x)
        return a * x + sigma * jax.random.normal(key, jnp.shape(x), jnp.result_type(x))

    def log_prob(self, y: Array, x: Array, t: Array) -> Array:
        """Log density of ``N(a x, sigma^2 I)`` at ``y``."""
        a, sigma = self.coefficients(t)
        r = (y - a * _real(x)) / sigma
        return -0.5 * jnp.sum(r * r) - r.size * (jnp.log(sigma) + 0.5 * math.log(2 * math.pi))

    def degrade(self, key: Array, y: Array, s: Array, t: Array) -> Array:
        """Draw ``N(r y, q I)``, see :meth:`degrade_law`."""
        r, q, _, _ = self.degrade_law(s, t)
        return r * y + jnp.sqrt(q) * jax.random.normal(key, jnp.shape(y), jnp.result_type(y))

    def bridge(self, key: Array, y: Array, x: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_s | Y_t = y, X = x``: Gaussian, see :meth:`bridge_law`."""
        mean, sd = self.bridge_law(y, x, s, t)
        return mean + sd * jax.random.normal(key, jnp.shape(y), jnp.result_type(y))

    def bridge_law(self, y: Array, x: Array, s: Array, t: Array) -> tuple[Array, Array]:
        """Return mean (of the shape of ``y``) and standard deviation (a scalar) of ``Y_s | Y_t = y, X = x``.

        By conditioning the forward kernel, with ``r`` and ``q`` of :meth:`degrade_law`: mean
        ``(q a_s x + r sigma_s^2 y) / sigma_t^2``, variance ``q sigma_s^2 / sigma_t^2``.
        """
        r, q, a_s, sigma_s = self.degrade_law(s, t)
        _, sigma_t = self.coefficients(t)
        precision_share = sigma_s / sigma_t
        mean = (q / sigma_t**2) * (a_s * _real(x)) + precision_share**2 * r * y
        return mean, precision_share * jnp.sqrt(q)

    def _misfit(self, x: Any) -> str:
        return one_array(x, _name(self)) or blurred(x, _name(self)) or super()._misfit(x)

    def degrade_law(self, s: Array, t: Array) -> tuple[Array, Array, Array, Array]:
        """Return ``(r, q, a_s, sigma_s)`` with ``Y_t | Y_s = y ~ N(r y, q I)`` for ``s <= t``; four scalars.

        ``r = a_t / a_s`` and ``q = sigma_t^2 - r^2 sigma_s^2``; members override it where that cancels.
        """
        a_s, sigma_s = self.coefficients(s)
        a_t, sigma_t = self.coefficients(t)
        r = a_t / a_s
        return r, jnp.maximum(sigma_t**2 - (r * sigma_s) ** 2, 0.0), a_s, sigma_s

    def grid(self, n: int, log_snr: tuple[float, float] | None = None) -> np.ndarray:
        """Return ``n`` times even in log-SNR, by default from ``log_snr_range[0]`` down to ``[1]``."""
        return _even_grid(self, n, log_snr)


def _even_grid(
    process: GaussianChannel | LinearGaussianChannel, n: int, log_snr: tuple[float, float] | None
) -> np.ndarray:
    """Return ``n`` times even in log-SNR, from the high end of a range down to the low one."""
    require(as_whole(n) >= 1, "n", n, "at least one time")
    high, low = two_ends(log_snr, process.log_snr_range, "log_snr")
    return np.asarray(process.time_of_log_snr(np.linspace(high, low, int(n))), np.float64)


def two_ends(given: Any, usual: tuple[float, float], argument: str) -> tuple[float, float]:
    """Return the two ends of a range that was given, or the usual ones where it is None.

    Raises:
        InvalidInput: what is no pair of finite numbers.

    """
    if given is None:
        return usual
    ends = as_floats(given, argument)
    require(ends.shape == (2,) and bool(np.isfinite(ends).all()), argument, given, "two finite numbers")
    return float(ends[0]), float(ends[1])


def _real(x: Any) -> Array:
    """Return ``x`` as floating numbers: pixels and counts may be given as integers."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float_dtype())


class LinearGaussianChannel(ObservationProcess):
    """Family ``Y_t = A_t X + L_t Z`` with matrices, for anisotropic noise and projections; ``Sigma_t = L_t L_t^T``.

    A member gives :meth:`matrices` for ``sample`` and ``log_prob``, :meth:`kernel` for ``degrade`` and ``bridge``,
    :meth:`time_of_log_snr` for ``grid`` (all exact).  ``x`` has ``d`` coordinates in any shape, ``y`` is ``[m]``.
    Source: Montanari 2023 (linear observation processes); ``bridge`` by Matheron's rule, textbook.

    Attributes:
        scalar_kernel: whether ``R`` of :meth:`kernel` is a multiple of the identity, so that projections of ``Y_t``
            are Markov chains too.

    """

    has_density: ClassVar[bool] = True
    log_snr_range: ClassVar[tuple[float, float]] = (12.0, -14.0)
    scalar_kernel: ClassVar[bool] = False
    _asked: ClassVar[Asked] = {
        **ObservationProcess._asked,
        "matrices": ("t",),
        "noise_root": ("t",),
        "kernel": ("s", "t"),
        "time_of_log_snr": ("log_snr[]",),
    }

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """``degrade`` and ``bridge`` as defined here, where the member gives no :meth:`kernel`."""
        if type(self).kernel is not LinearGaussianChannel.kernel:
            return frozenset()
        own = (m for m in ("degrade", "bridge") if getattr(type(self), m) is getattr(LinearGaussianChannel, m))
        return frozenset(own)

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(A_t [m, d], Sigma_t [m, m])`` of ``Y_t | X ~ N(A_t X, Sigma_t)``."""
        raise missing_method(self, "matrices(t)", "use it as a linear Gaussian channel")

    def noise_root(self, t: Any) -> Any:
        """Return the lower triangular ``L_t [m, m]`` with ``L_t L_t^T = Sigma_t``; by default Cholesky's."""
        return jnp.linalg.cholesky(jnp.asarray(self.matrices(t)[1]))

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return ``(R [m, m], root [m, m])`` with ``Y_t | Y_s ~ N(R Y_s, root root^T)``, so ``A_t = R A_s``."""
        raise missing_method(self, "kernel(s, t)", "continue the forward process")

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the time of a log-SNR, ``log(tr(Sigma_t^-1 A_t A_t^T) / m)`` unless a member says otherwise."""
        raise missing_method(self, "time_of_log_snr(log_snr)", "build a grid even in log-SNR")

    def sample(self, key: Array, x: Array, t: Array) -> Array:
        """Draw ``A_t x + L_t z``, ``[m]``."""
        mean = self._mean(x, t)
        return mean + _times(self.noise_root(t), jax.random.normal(key, mean.shape, mean.dtype))

    def log_prob(self, y: Array, x: Array, t: Array) -> Array:
        """Log density of ``N(A_t x, Sigma_t)`` at ``y``."""
        root = self.noise_root(t)
        r = jax.scipy.linalg.solve_triangular(root, y - self._mean(x, t), lower=True)
        return -0.5 * jnp.sum(r * r) - jnp.sum(jnp.log(jnp.diagonal(root))) - 0.5 * r.size * math.log(2 * math.pi)

    def degrade(self, key: Array, y: Array, s: Array, t: Array) -> Array:
        """Draw ``N(R y, root root^T)``, the kernel from ``s`` to ``t``."""
        step, root = self.kernel(s, t)
        return _times(step, y) + _times(root, jax.random.normal(key, y.shape, y.dtype))

    def bridge(self, key: Array, y: Array, x: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_s | Y_t = y, X = x``: a fresh pair, corrected by ``Sigma_s R^T Sigma_t^-1 (y - Y'_t)``."""
        key_s, key_t = jax.random.split(key)
        step, root = self.kernel(s, t)
        early_root, late_root = self.noise_root(s), self.noise_root(t)
        early = self._mean(x, s) + _times(early_root, jax.random.normal(key_s, y.shape, y.dtype))
        late = _times(step, early) + _times(root, jax.random.normal(key_t, y.shape, y.dtype))
        gap = _times(step.T, jax.scipy.linalg.cho_solve((late_root, True), y - late))
        return early + _times(early_root, _times(early_root.T, gap))

    def grid(self, n: int, log_snr: tuple[float, float] | None = None) -> np.ndarray:
        """Return ``n`` times even in log-SNR, by default from ``log_snr_range[0]`` down to ``[1]``."""
        return _even_grid(self, n, log_snr)

    def _misfit(self, x: Any) -> str:
        found = _shape(_signal_matrix, self)
        if found is None or len(found) != 2:
            return one_array(x, _name(self)) or blurred(x, _name(self)) or super()._misfit(x)
        words = of_size(x, found[1], _name(self), "columns in its matrix") or blurred(x, _name(self))
        return words or super()._misfit(x)

    def _mean(self, x: Any, t: Array) -> Array:
        signal, x = jnp.asarray(self.matrices(t)[0]), _real(x).reshape(-1)
        require(signal.shape[1] == x.size, "x", x.shape, f"{signal.shape[1]} coordinates, one per column of A_t")
        return _times(signal, x)


def _times(matrix: Array, vector: Array) -> Array:
    return jnp.matmul(matrix, vector, precision=jax.lax.Precision.HIGHEST)


class RevealingChannel(ObservationProcess):
    """Family of channels that hide coordinates one by one: masking, erasure, truncation, ordered masking.

    Coordinate ``l`` is seen at time ``t`` exactly when ``t < threshold_l``, with thresholds drawn once per trajectory,
    ``values_l = x_l 1[t < threshold_l]``; so one number per coordinate, common random numbers, serves every ``t``.
    Source: Li, Karan & Chen 2025, Ex. 3-5, whose processes are members.

    Attributes:
        reveals_prefix: whether the seen coordinates are always a prefix, so that a Markov chain's likelihood is
            a cumulative sum.

    """

    reveals_prefix: ClassVar[bool] = False
    _asked: ClassVar[Asked] = {
        **ObservationProcess._asked,
        "thresholds": ("key?", "x"),
        "log_mask_prob": ("known", "t"),
        "hidden_probability": ("coordinates", "t"),
        "count_law": ("length", "t"),
    }

    def thresholds(self, key: Array, x: Array) -> Array:
        """Draw ``inf {t : l is hidden at t}`` for each coordinate ``l`` of ``x``; same shape as ``x``."""
        raise missing_method(self, "thresholds(key, x)", "use it as a revealing channel")

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Log probability ``log P(known | t)`` of a pattern at time ``t`` (it carries no information on ``x``)."""
        raise missing_method(self, "log_mask_prob(known, t)", "evaluate the likelihood of a pattern")

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Probability (float64, host) that all ``coordinates`` (boolean mask) are hidden at ``t``, or None.

        With it, two atoms that differ exactly there have ``TV = 1 - hidden_probability`` in closed form.
        """
        return None

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Law ``P(sum_l known_l = c)`` of the number of seen coordinates among ``length``, or None.

        It is given as ``(counts, probabilities)``.  With it, mixtures of identical coins have windows in closed form.
        """
        return None

    def sample(self, key: Array, x: Array, t: Array) -> Revealed:
        """Hide the coordinates whose threshold is at most ``t``."""
        known = jnp.asarray(t) < self.thresholds(key, x)
        return Revealed(jnp.where(known, x, jnp.zeros_like(x)), known)

    def _misfit(self, x: Any) -> str:
        return one_array(x, _name(self)) or super()._misfit(x)

    def log_prob(self, y: Revealed, x: Array, t: Array) -> Array:
        """Log mass of the pattern where the seen coordinates agree with ``x``; ``-inf`` where they do not."""
        agree = jnp.all(~y.known | (y.values == x))
        return jnp.where(agree, self.log_mask_prob(y.known, t), -jnp.inf)


def tells_of_thresholds(process: ObservationProcess, hook: str) -> bool:
    """Whether ``hook`` of a revealing channel was written for the ``thresholds`` the process draws.

    False where a subclass replaces ``thresholds`` and inherits the hook: what it says is then about another law.
    """

    def owner(name: str) -> type:
        return next(c for c in type(process).__mro__ if name in vars(c))

    return issubclass(owner(hook), owner("thresholds"))


class MemorylessChannel(ObservationProcess):
    """Family of channels that change each discrete coordinate by itself with one transition matrix.

    ``P_t(y | x) = prod_l P_t[x_l, y_l]``.  Source: Shannon 1948; Austin et al. 2021.
    """

    _like_x: ClassVar[bool] = True
    _asked: ClassVar[Asked] = {**ObservationProcess._asked, "transition": ("t",)}

    def transition(self, t: Any) -> Any:
        """Return ``P_t [q, q]`` with ``P_t[i, j] = P(Y = j | X = i)`` for one coordinate."""
        raise missing_method(self, "transition(t)", "use it as a memoryless channel")

    def _misfit(self, x: Any) -> str:
        words, found = one_array(x, _name(self)), _shape(_letter_matrix, self)
        if not words and found is not None and len(found) == 2:
            words = outside_alphabet(x, found[0], _name(self))
        return words or super()._misfit(x)
