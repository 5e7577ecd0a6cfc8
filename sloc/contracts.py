"""What everyone else implements: observation processes, populations, and where they meet.

Three kinds of object, all frozen dataclasses registered as pytrees (arrays are leaves, structure
is static), so each can be an argument of a jitted function:

* an :class:`ObservationProcess` says how ``X`` is degraded into ``Y_t``;
* a :class:`Population` says what ``X`` is: sub-populations ``theta`` with weights ``w_theta``;
* the two meet in ``population.log_marginals(process, y, t)``, the vector ``log p_t^theta(y)``.

Authors write unbatched methods; the library batches them.  Families
(:class:`GaussianChannel`, :class:`RevealingChannel`, :class:`MemorylessChannel`) let a new
process inherit every shortcut of its family by giving one or two numbers, and
:func:`register_marginals` adds a shortcut for a pair (family, population type).

Time ``t`` grows as information is lost: ``t = 0`` is ``X`` itself and ``t = horizon`` says
nothing about it.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, cast, get_type_hints, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Array = jax.Array
Observation = Any
"""A pytree: what a process returns from ``sample`` and accepts in ``log_prob``."""
Sets = Any
"""An index, a name, or a sequence of them: a set of sub-populations."""

_T = TypeVar("_T")


# --------------------------------------------------------------------------------------------
# Refusing bad input
# --------------------------------------------------------------------------------------------


class InvalidInput(ValueError):
    """Input refused before tracing: the message names the argument, its value and what was expected."""


class ContractError(TypeError):
    """A class does not keep the contract it was used under (a method or a registration is missing)."""


def shown(value: object, limit: int = 80) -> str:
    """Return ``repr(value)`` on one line, shortened to ``limit`` characters; the class alone of a traced object."""
    if isinstance(value, Contract) and not is_concrete(value):
        return f"{type(value).__name__}(...)"
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def require(condition: bool, argument: str, value: object, expected: str) -> None:
    """Raise :class:`InvalidInput` unless ``condition`` holds.

    Args:
        condition: what must be true of the argument.
        argument: the argument's name.
        value: the value that was given (shortened in the message).
        expected: what was expected, as a phrase that completes "expected ...".

    Raises:
        InvalidInput: if ``condition`` is false.

    """
    if not condition:
        raise InvalidInput(f"{argument} = {shown(value)}: expected {expected}")


def is_concrete(*trees: object) -> bool:
    """Whether no leaf is a tracer, so that values may be inspected on the host."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def float_dtype() -> np.dtype:
    """Return the floating dtype in force: float64 only when the caller has switched it on."""
    return np.dtype(jnp.result_type(float))


def namespace(*values: object) -> Any:
    """Return ``jax.numpy`` if a value is a JAX array, else ``numpy``.

    Coefficients written with it are evaluated in float64 on the host, where closed forms run, and
    in the working precision under ``jit``.
    """
    return jnp if any(isinstance(v, jax.Array) for v in values) else np


# --------------------------------------------------------------------------------------------
# The common base: registration, strong types, validation
# --------------------------------------------------------------------------------------------


def _annotations(cls: type) -> dict[str, Any]:
    """Return a class's own annotations; from Python 3.14 on names in them may not be defined yet."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


class Contract:
    """Base of processes and populations: pytree registration, casting and validation."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give each subclass that becomes a dataclass its own type as a static field, keyword only and not shown.

        JAX's ``register_dataclass`` leaves the type out when structures are compared, though not when they are hashed
        (jaxlib 0.10.2): ``OrnsteinUhlenbeck()`` and ``FlowMatching()`` have equal structures.  Where their hashes
        share a slot of the table of compiled functions, which is chance, one would run for the other.
        """
        super().__init_subclass__(**kwargs)
        cls.__annotations__ = {**_annotations(cls), "_node_type": Any}
        own = dataclasses.field(default=cls, kw_only=True, repr=False, compare=False, metadata={"static": True})
        cls._node_type = own  # pyright: ignore[reportAttributeAccessIssue]

    def validate(self) -> None:
        """Check concrete values, once, at the entry of a public call.

        Override and use :func:`require`.  Never validate in ``__post_init__``: unflattening calls
        it with tracers and placeholders.
        """

    def canonical(self: _T) -> _T:
        """Return a copy whose numeric leaves are strong-typed arrays.

        Without it a Python 2.0, then 3, then ``float32(3)`` would be three compilations.  Nested
        sequences of numbers become arrays.  A scalar becomes floating unless its field is annotated
        ``int`` or ``bool``; arrays keep their kind, except that a field with
        ``metadata={"dtype": float}`` is always floating.
        """
        changes = {}
        for f in dataclasses.fields(cast(Any, self)):
            if not f.metadata.get("static", False):
                changes[f.name] = _cast_field(f, getattr(self, f.name))
        return dataclasses.replace(cast(Any, self), **changes) if changes else self


def _cast_field(field: dataclasses.Field, value: object) -> object:
    if isinstance(value, Contract):
        return value.canonical()
    if isinstance(value, (list, tuple)) and not any(isinstance(v, Contract) for v in value):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise InvalidInput(f"{field.name} = {shown(value)}: expected a rectangular array of numbers") from error
        require(value.dtype.kind in "biufc", field.name, value, "numbers")
    annotation = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    wants_float = field.metadata.get("dtype") is float
    return jax.tree.map(lambda leaf: _strong(leaf, wants_float, annotation), value)


def _strong(leaf: Any, wants_float: bool, annotation: str) -> Any:
    numeric = (bool, int, float, complex, np.ndarray, np.generic, jax.Array)
    if isinstance(leaf, Contract) or not isinstance(leaf, numeric):
        return leaf
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    kind = np.result_type(leaf) if not isinstance(leaf, jax.Array) else leaf.dtype
    if wants_float or (np.ndim(leaf) == 0 and jnp.issubdtype(kind, np.integer) and annotation not in ("int", "bool")):
        return jnp.asarray(leaf, float_dtype())
    if jnp.issubdtype(kind, np.floating):
        keep = kind if isinstance(leaf, jax.Array) else float_dtype()
        return jnp.asarray(leaf, keep)
    if jnp.issubdtype(kind, np.signedinteger):
        return jnp.asarray(leaf, jnp.result_type(int) if not isinstance(leaf, jax.Array) else kind)
    return jnp.asarray(leaf)


def check_registered(obj: object, argument: str, base: type) -> None:
    """Refuse an object that is not a registered pytree of the right base class.

    Args:
        obj: the process or population.
        argument: its name in the public call.
        base: :class:`ObservationProcess` or :class:`Population`.

    Raises:
        ContractError: wrong base class, missing ``register_dataclass`` decorator, or a static
            field that cannot be hashed.

    """
    name = type(obj).__name__
    if not isinstance(obj, base):
        raise ContractError(f"{argument} = {shown(obj)}: expected an instance of a subclass of sloc.{base.__name__}")
    if jax.tree_util.treedef_is_leaf(jax.tree.structure(obj)) and jax.tree.leaves(obj)[:1] == [obj]:
        raise ContractError(
            f"{argument}: {name} is not registered as a pytree; put `@jax.tree_util.register_dataclass` "
            f"above `@dataclass(frozen=True)` on class {name} (a subclass needs its own decorators)"
        )
    if dataclasses.is_dataclass(obj):
        own = getattr(obj, "_node_type", None)
        if own is not type(obj):
            raise ContractError(
                f"{argument}: an object of {name} carries the type {shown(own)}; put `@dataclass(frozen=True)` on "
                f"class {name} itself, without slots, and do not hand `_node_type` on from an object of another class"
            )
        for f in dataclasses.fields(obj):
            if f.metadata.get("static", False):
                try:
                    hash(getattr(obj, f.name))
                except TypeError as error:
                    raise ContractError(
                        f"{argument}.{f.name} = {shown(getattr(obj, f.name))}: a static field must be hashable "
                        "(use a tuple, a str or a number; make an array a leaf instead)"
                    ) from error


def overrides(obj: object, base: type, method: str) -> bool:
    """Whether the class of ``obj`` replaces ``base``'s definition of ``method``, and ``obj`` can follow it."""
    return getattr(type(obj), method) is not getattr(base, method) and method not in getattr(obj, "absent", ())


# --------------------------------------------------------------------------------------------
# Observation processes
# --------------------------------------------------------------------------------------------


class ObservationProcess(Contract):
    """A Markov chain of ever less informative observations ``X -> Y_t1 -> Y_t2 -> ...``.

    Two methods, ``sample`` and ``log_prob``, are enough for windows; ``degrade`` adds paths and
    Markov checks, ``bridge`` the exact localization sampler.  Write them for one ``x``, one ``y``
    and one ``t``; the library vectorises.  Source: Li, Karan & Chen 2025, Def. 1; Montanari 2023.

    Attributes:
        horizon: the time at which ``Y_t`` says nothing about ``X`` (``inf`` allowed).
        discrete: whether time is an int32 count of steps.
        has_density: whether ``log_prob`` is a density, so that ``t = 0`` is singular on atoms.
        absent: methods that the class defines and this object cannot follow, as where a combinator wraps a
            process that lacks them; they count as not defined.

    """

    horizon: ClassVar[float] = math.inf
    discrete: ClassVar[bool] = False
    has_density: ClassVar[bool] = False
    absent: ClassVar[frozenset[str]] = frozenset()

    def sample(self, key: Array, x: Any, t: Array) -> Observation:
        """Draw ``Y_t | X = x``.  With one key, draws at different ``t`` share their randomness."""
        raise _missing(self, "sample(key, x, t)", "draw Y_t given X = x")

    def log_prob(self, y: Observation, x: Any, t: Array) -> Array:
        """Log density or mass of ``Y_t = y`` given ``X = x``, a scalar (``t > 0`` for densities)."""
        raise _missing(self, "log_prob(y, x, t)", "evaluate the likelihood of an observation")

    def degrade(self, key: Array, y: Observation, s: Array, t: Array) -> Observation:
        """Draw ``Y_t | Y_s = y`` for ``s <= t``."""
        raise _missing(self, "degrade(key, y, s, t)", "continue the forward process")

    def bridge(self, key: Array, y: Observation, x: Any, s: Array, t: Array) -> Observation:
        """Draw ``Y_s | Y_t = y, X = x`` for ``s < t``."""
        raise _missing(self, "bridge(key, y, x, s, t)", "step back along the process")

    def grid(self, n: int) -> np.ndarray:
        """Return ``n`` increasing times spread evenly in information, not in raw time.

        The default is even in ``t`` between 0 and a finite horizon, both ends left out (all steps
        ``0 .. horizon`` thinned to at most ``n`` when time is discrete).
        """
        require(n >= 1, "n", n, "at least one time")
        if not math.isfinite(float(self.horizon)):
            raise _missing(self, "grid(n)", "choose times: the horizon is infinite; pass times= or define it")
        if self.discrete:
            return np.unique(np.round(np.linspace(0, int(self.horizon), n)).astype(np.int32))
        return np.linspace(0.0, float(self.horizon), n + 2)[1:-1]


def _missing(obj: object, method: str, purpose: str) -> ContractError:
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

    A member gives :meth:`coefficients` and :meth:`time_of_log_snr`; sampling, likelihood, forward
    kernel, bridge and grid follow (exact).  ``x`` is a floating array of any shape.
    """

    has_density: ClassVar[bool] = True
    log_snr_range: ClassVar[tuple[float, float]] = (12.0, -14.0)

    def coefficients(self, t: Any) -> tuple[Any, Any]:
        """Return ``(a(t), sigma(t))``, elementwise in ``t``; use :func:`namespace` for float64 on the host."""
        raise _missing(self, "coefficients(t)", "use it as a Gaussian channel")

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the time at which ``log(a(t)^2 / sigma(t)^2)`` equals ``log_snr``."""
        raise _missing(self, "time_of_log_snr(log_snr)", "build a grid even in log-SNR")

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
        """Draw ``N(r y, sigma_t^2 - r^2 sigma_s^2)``, ``r = a_t / a_s``."""
        r, q, _, _ = self._transition(s, t)
        return r * y + jnp.sqrt(q) * jax.random.normal(key, jnp.shape(y), jnp.result_type(y))

    def bridge(self, key: Array, y: Array, x: Array, s: Array, t: Array) -> Array:
        """Draw ``Y_s | Y_t = y, X = x``: Gaussian, see :meth:`bridge_law`."""
        mean, sd = self.bridge_law(y, x, s, t)
        return mean + sd * jax.random.normal(key, jnp.shape(y), jnp.result_type(y))

    def bridge_law(self, y: Array, x: Array, s: Array, t: Array) -> tuple[Array, Array]:
        """Return mean (of the shape of ``y``) and standard deviation (a scalar) of ``Y_s | Y_t = y, X = x``.

        By conditioning the forward kernel, with ``r`` and ``q`` as in :meth:`degrade`: mean ``(q a_s x + r sigma_s^2 y)
        / sigma_t^2``, variance ``q sigma_s^2 / sigma_t^2``.
        """
        r, q, a_s, sigma_s = self._transition(s, t)
        _, sigma_t = self.coefficients(t)
        precision_share = sigma_s / sigma_t
        mean = (q / sigma_t**2) * (a_s * _real(x)) + precision_share**2 * r * y
        return mean, precision_share * jnp.sqrt(q)

    def _transition(self, s: Array, t: Array) -> tuple[Array, Array, Array, Array]:
        a_s, sigma_s = self.coefficients(s)
        a_t, sigma_t = self.coefficients(t)
        r = a_t / a_s
        return r, jnp.maximum(sigma_t**2 - (r * sigma_s) ** 2, 0.0), a_s, sigma_s

    def grid(self, n: int, log_snr: tuple[float, float] | None = None) -> np.ndarray:
        """Return ``n`` times even in log-SNR, by default from ``log_snr_range[0]`` down to ``[1]``."""
        require(n >= 1, "n", n, "at least one time")
        high, low = log_snr or self.log_snr_range
        return np.asarray(self.time_of_log_snr(np.linspace(high, low, n)), np.float64)


def _real(x: Any) -> Array:
    """Return ``x`` as floating numbers: pixels and counts may be given as integers."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float_dtype())


class LinearGaussianChannel(ObservationProcess):
    """Family ``Y_t = A_t X + L_t Z`` with matrices, for anisotropic noise and projections; ``Sigma_t = L_t L_t^T``.

    A member gives :meth:`matrices` for ``sample`` and ``log_prob``, :meth:`kernel` for ``degrade`` and ``bridge``,
    :meth:`time_of_log_snr` for ``grid`` (all exact).  ``x`` has ``d`` coordinates in any shape, ``y`` is ``[m]``.

    Attributes:
        scalar_kernel: whether ``R`` of :meth:`kernel` is a multiple of the identity, so that projections of ``Y_t``
            are Markov chains too.

    """

    has_density: ClassVar[bool] = True
    log_snr_range: ClassVar[tuple[float, float]] = (12.0, -14.0)
    scalar_kernel: ClassVar[bool] = False

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """``degrade`` and ``bridge`` as defined here, where the member gives no :meth:`kernel`."""
        if type(self).kernel is not LinearGaussianChannel.kernel:
            return frozenset()
        own = (m for m in ("degrade", "bridge") if getattr(type(self), m) is getattr(LinearGaussianChannel, m))
        return frozenset(own)

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(A_t [m, d], Sigma_t [m, m])``."""
        raise _missing(self, "matrices(t)", "use it as a linear Gaussian channel")

    def noise_root(self, t: Any) -> Any:
        """Return the lower triangular ``L_t [m, m]`` with ``L_t L_t^T = Sigma_t``; by default Cholesky's."""
        return jnp.linalg.cholesky(jnp.asarray(self.matrices(t)[1]))

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return ``(R [m, m], root [m, m])`` with ``Y_t | Y_s ~ N(R Y_s, root root^T)``, so ``A_t = R A_s``."""
        raise _missing(self, "kernel(s, t)", "continue the forward process")

    def time_of_log_snr(self, log_snr: Any) -> Any:
        """Return the time of a log-SNR, ``log(tr(Sigma_t^-1 A_t A_t^T) / m)`` unless a member says otherwise."""
        raise _missing(self, "time_of_log_snr(log_snr)", "build a grid even in log-SNR")

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
        require(n >= 1, "n", n, "at least one time")
        high, low = log_snr or self.log_snr_range
        return np.asarray(self.time_of_log_snr(np.linspace(high, low, n)), np.float64)

    def _mean(self, x: Any, t: Array) -> Array:
        signal, x = jnp.asarray(self.matrices(t)[0]), _real(x).reshape(-1)
        require(signal.shape[1] == x.size, "x", x.shape, f"{signal.shape[1]} coordinates, one per column of A_t")
        return _times(signal, x)


def _times(matrix: Array, vector: Array) -> Array:
    return jnp.matmul(matrix, vector, precision=jax.lax.Precision.HIGHEST)


class RevealingChannel(ObservationProcess):
    """Family of channels that hide coordinates one by one: masking, erasure, truncation, ordered masking.

    Coordinate ``l`` is seen at time ``t`` exactly when ``t < threshold_l``, with thresholds drawn
    once per trajectory; so one number per coordinate, common random numbers, serves every ``t``.

    Attributes:
        reveals_prefix: whether the seen coordinates are always a prefix, so that a Markov chain's likelihood is
            a cumulative sum.

    """

    reveals_prefix: ClassVar[bool] = False

    def thresholds(self, key: Array, x: Array) -> Array:
        """Draw the times from which each coordinate of ``x`` is hidden; same shape as ``x``."""
        raise _missing(self, "thresholds(key, x)", "use it as a revealing channel")

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Log probability of the pattern ``known`` at time ``t`` (it carries no information on ``x``)."""
        raise _missing(self, "log_mask_prob(known, t)", "evaluate the likelihood of a pattern")

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Probability (float64, host) that all ``coordinates`` (boolean mask) are hidden at ``t``, or None.

        With it, two atoms that differ exactly there have ``TV = 1 - hidden_probability`` in closed form.
        """
        return None

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Law of the number of seen coordinates among ``length`` as ``(counts, probabilities)``, or None.

        With it, mixtures of identical coins have windows in closed form.
        """
        return None

    def sample(self, key: Array, x: Array, t: Array) -> Revealed:
        """Hide the coordinates whose threshold is at most ``t``."""
        known = jnp.asarray(t) < self.thresholds(key, x)
        return Revealed(jnp.where(known, x, jnp.zeros_like(x)), known)

    def log_prob(self, y: Revealed, x: Array, t: Array) -> Array:
        """Log mass of the pattern where the seen coordinates agree with ``x``; ``-inf`` where they do not."""
        agree = jnp.all(~y.known | (y.values == x))
        return jnp.where(agree, self.log_mask_prob(y.known, t), -jnp.inf)


class MemorylessChannel(ObservationProcess):
    """Family of channels that change each discrete coordinate by itself with one transition matrix."""

    def transition(self, t: Any) -> Any:
        """Return ``P_t [q, q]`` with ``P_t[i, j] = P(Y = j | X = i)`` for one coordinate."""
        raise _missing(self, "transition(t)", "use it as a memoryless channel")


# --------------------------------------------------------------------------------------------
# Populations
# --------------------------------------------------------------------------------------------


class Population(Contract):
    """A mixture ``p = sum_theta w_theta p^theta`` over a finite set of ``K`` sub-populations.

    A subclass gives ``log_weights``, ``sample`` and either ``log_marginals`` or a registered pair
    (:func:`register_marginals`).  Source: Li, Karan & Chen 2025, Sect. 3.

    Attributes:
        log_weights: ``[K]``, ``log w_theta``.
        names: ``K`` distinct strings; the empty tuple stands for ``"0" .. "K-1"``.
        atomic: whether each ``p^theta`` puts mass on points, so that densities are singular at ``t = 0``.

    """

    names: Any = ()
    atomic: ClassVar[bool] = False

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        raise _missing(self, "log_weights", "weigh its sub-populations")

    @property
    def num_components(self) -> int:
        """``K``, the number of sub-populations (static)."""
        return int(jnp.shape(self.log_weights)[0])

    def path_elements(self) -> int:
        """Numbers held per draw and time while the path is computed: sizes the compute tile."""
        return self.num_components

    def marginals_words(self, process: ObservationProcess) -> str:
        """How ``log p_t^theta(y)`` is got under a process, for the ``method`` of results; override where not exact."""
        return "exact marginals"

    def sample(self, key: Array, component: Array) -> Any:
        """Draw ``X ~ p^theta`` for ``theta = component`` (an int32 scalar, possibly traced)."""
        raise _missing(self, "sample(key, component)", "draw from a sub-population")

    def log_marginals(self, process: ObservationProcess, y: Observation, t: Array) -> Array:
        """``log p_t^theta(y)`` for every ``theta``, shape ``[K]``, not multiplied by ``w``."""
        return resolve_marginals(process, self).marginals(process, self, y, t)

    def path_log_marginals(self, process: ObservationProcess, key: Array, x: Any, times: Array) -> Array:
        """``log p_t^theta(Y_t)`` at all times of one trajectory from ``x``, shape ``[T, K]``.

        The same key serves every time (common random numbers).  The default samples and evaluates
        time by time; pairs with a shortcut register one.
        """
        entry = find_marginals(process, self)
        if entry is not None and entry.path_fn is not None and not overrides(self, Population, "log_marginals"):
            return entry.path_fn(process, self, key, x, times)
        return jax.vmap(lambda t: self.log_marginals(process, process.sample(key, x, t), t))(times)

    def posterior_sample(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> Any:
        """Draw ``X | Y_t = y`` under the whole mixture (optional)."""
        raise _missing(self, "posterior_sample(key, process, y, t)", "draw X given an observation")

    def bridge_pair(self, process: ObservationProcess, key: Array, i: Array, j: Array, t: Array) -> Observation:
        """Draw ``Y`` with density proportional to ``sqrt(p_t^i p_t^j)`` for components ``i``, ``j`` (optional).

        Unbatched; ``i`` and ``j`` are int32 scalars, possibly traced.  With one key, draws at different ``t`` share
        their randomness.  Serves estimates of small overlaps, with :meth:`log_affinities`.
        """
        raise _missing(self, "bridge_pair(process, key, i, j, t)", "draw between two sub-populations")

    def log_affinities(self, process: ObservationProcess, t: Array) -> Array:
        """``log int sqrt(p_t^i p_t^j)`` for all pairs, ``[K, K]``, symmetric and at most 0 (optional)."""
        raise _missing(self, "log_affinities(process, t)", "weigh the draws of bridge_pair")


def component_names(population: Population) -> tuple[str, ...]:
    """Return the names of the sub-populations; ``"0" .. "K-1"`` where none were given."""
    return tuple(population.names) or tuple(str(i) for i in range(population.num_components))


def component_mask(population: Population, sets: Sets, argument: str) -> np.ndarray:
    """Turn an index, a name, or a sequence of them into a boolean mask ``[K]``.

    An int is an index and a str is a name, always.  A boolean array of length ``K`` is a mask already.

    Raises:
        InvalidInput: empty set, unknown name, index outside ``0 .. K-1``.

    """
    names, k = component_names(population), population.num_components
    if isinstance(sets, np.ndarray) and sets.dtype == bool:
        require(sets.shape == (k,), argument, sets.shape, f"a boolean mask of shape ({k},)")
        require(bool(sets.any()), argument, sets, "at least one sub-population")
        return sets.copy()
    single = isinstance(sets, (int, str, np.integer)) and not isinstance(sets, (bool, np.bool_))
    items: Any = [sets] if single else sets
    require(
        isinstance(items, (Sequence, np.ndarray, set, frozenset, range)),
        argument,
        sets,
        "an index, a name, or a sequence of them",
    )
    mask = np.zeros(k, bool)
    for item in items:
        if isinstance(item, str):
            require(item in names, argument, item, f"one of the names {shown(names, 200)}")
            mask[names.index(item)] = True
        else:
            require(
                isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_)),
                argument,
                item,
                "an int (index) or a str (name)",
            )
            require(0 <= int(item) < k, argument, item, f"an index from 0 to {k - 1}")
            mask[int(item)] = True
    require(bool(mask.any()), argument, sets, "at least one sub-population")
    return mask


def set_name(population: Population, mask: np.ndarray, most: int = 6) -> str:
    """Return a set of sub-populations as text: its name, or ``{a, b, ...}`` with at most ``most`` names."""
    chosen = [component_names(population)[i] for i in np.flatnonzero(mask)]
    return chosen[0] if len(chosen) == 1 else "{" + ", ".join(chosen[:most] + ["..."] * (len(chosen) > most)) + "}"


# --------------------------------------------------------------------------------------------
# Where processes and populations meet
# --------------------------------------------------------------------------------------------


@runtime_checkable
class MarginalsFn(Protocol):
    """``(process, population, y, t) -> [K]``."""

    def __call__(self, process: Any, population: Any, y: Any, t: Any, /) -> Array:
        """Return ``log p_t^theta(y)``."""
        ...


@dataclass(eq=False)
class Marginals:
    """One registered pair and its optional shortcuts; made by :func:`register_marginals`.

    Attributes:
        marginals: ``(process, population, y, t) -> [K]``.
        path_fn: ``(process, population, key, x, times) -> [T, K]``, one trajectory.
        paths_fn: ``(process, population, key, components [B], times) -> [T, K, B]``, draws a whole
            batch from one key, the batch last so that sums over atoms vectorise.
        draws_fn: ``(process, population, key, components [B]) -> (times -> [T, K, B])``, the same with the draws made
            first, once for whatever times are asked for afterwards.
        reduce_fn: ``(process, population) -> (process, population)``, a sufficient statistic: TV,
            posteriors and information are unchanged, the dimension is smaller.

    """

    process_type: type
    population_type: type
    marginals: Callable[..., Array]
    path_fn: Callable[..., Array] | None = None
    paths_fn: Callable[..., Array] | None = None
    draws_fn: Callable[..., Callable[[Array], Array]] | None = None
    reduce_fn: Callable[..., tuple[Any, Any]] | None = None

    def path(self, fn: Callable[..., Array]) -> Callable[..., Array]:
        """Register ``fn(process, population, key, x, times) -> [T, K]``."""
        self.path_fn = fn
        return fn

    def paths(self, fn: Callable[..., Array]) -> Callable[..., Array]:
        """Register ``fn(process, population, key, components, times) -> [T, K, B]``."""
        self.paths_fn = fn
        return fn

    def draws(self, fn: Callable[..., Callable[[Array], Array]]) -> Callable[..., Callable[[Array], Array]]:
        """Register ``fn(process, population, key, components) -> (times -> [T, K, B])``, and with it ``paths``."""
        self.draws_fn = fn
        self.paths_fn = lambda process, population, key, components, times: fn(process, population, key, components)(
            times
        )
        return fn

    def reduce(self, fn: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        """Register ``fn(process, population) -> (process, population)``."""
        self.reduce_fn = fn
        return fn

    def __call__(self, process: Any, population: Any, y: Any, t: Any) -> Array:
        """Return ``log p_t^theta(y)``, shape ``[K]``."""
        return self.marginals(process, population, y, t)


_PAIRS: dict[tuple[type, type], Marginals] = {}


def register_marginals(process_type: type, population_type: type) -> Callable[[MarginalsFn], Marginals]:
    """Register ``log p_t^theta(y)`` for a family of processes and a type of population.

    Use as a decorator on ``fn(process, population, y, t) -> [K]``.  The returned object has
    decorators ``.path``, ``.paths`` (or ``.draws``) and ``.reduce`` for the shortcuts of the pair.  At a call the most
    specific registered pair wins; two that are equally specific are an error.

    Args:
        process_type: a subclass of :class:`ObservationProcess`, often a family.
        population_type: a subclass of :class:`Population`.

    Raises:
        ContractError: the arguments are not such classes.

    """
    if not (isinstance(process_type, type) and issubclass(process_type, ObservationProcess)):
        raise ContractError(f"process_type = {shown(process_type)}: expected a subclass of sloc.ObservationProcess")
    if not (isinstance(population_type, type) and issubclass(population_type, Population)):
        raise ContractError(f"population_type = {shown(population_type)}: expected a subclass of sloc.Population")

    def register(fn: MarginalsFn) -> Marginals:
        entry = Marginals(process_type, population_type, fn)
        _PAIRS[process_type, population_type] = entry
        return entry

    return register


def find_marginals(process: ObservationProcess, population: Population) -> Marginals | None:
    """Return the most specific registered pair for these objects, or None.

    Raises:
        ContractError: two registered pairs match and neither is more specific.

    """
    p_mro, q_mro = type(process).__mro__, type(population).__mro__
    matches = [(p, q) for p, q in _PAIRS if p in p_mro and q in q_mro]

    def below(a: tuple[type, type], b: tuple[type, type]) -> bool:
        return a != b and issubclass(a[0], b[0]) and issubclass(a[1], b[1])

    best = [m for m in matches if not any(below(other, m) for other in matches)]
    if len(best) > 1:
        pairs = "; ".join(f"({p.__name__}, {q.__name__})" for p, q in best)
        raise ContractError(
            f"the marginals of {type(population).__name__} under {type(process).__name__} are ambiguous: {pairs} "
            "match equally well; register the exact pair"
        )
    return _PAIRS[best[0]] if best else None


def resolve_marginals(process: ObservationProcess, population: Population) -> Marginals:
    """Return the registered pair or say which processes the population can be evaluated under.

    Raises:
        ContractError: no pair matches; the message lists those that would.

    """
    entry = find_marginals(process, population)
    if entry is None:
        known = sorted({p.__name__ for p, q in _PAIRS if isinstance(population, q)})
        raise ContractError(
            f"population {type(population).__name__} cannot be evaluated under process {type(process).__name__}; "
            f"it can under: {', '.join(known) or 'none'}; define {type(population).__name__}.log_marginals or use "
            "sloc.register_marginals"
        )
    if entry.process_type is ObservationProcess and not overrides(process, ObservationProcess, "log_prob"):
        raise ContractError(
            f"process {type(process).__name__} does not define log_prob(y, x, t), which "
            f"{type(population).__name__} needs to evaluate log p_t^theta(y)"
        )
    return entry


def check_pair(process: ObservationProcess, population: Population) -> None:
    """Refuse a pair that cannot be evaluated, before anything is traced.

    Raises:
        ContractError: see :func:`resolve_marginals`; or the population's own ``log_marginals`` asks this process for
            what it does not have.

    """
    own = overrides(population, Population, "log_marginals")
    if not own and not overrides(population, Population, "path_log_marginals"):
        resolve_marginals(process, population)
    if not overrides(process, ObservationProcess, "sample"):
        raise _missing(process, "sample(key, x, t)", "draw observations")
    if own:
        check_runs(process, population, "log_marginals")


_TRIED: set[tuple[type, type, str]] = set()
"""Pairs of classes whose method was seen to run; what a class has does not change."""


def check_runs(process: ObservationProcess, population: Population, method: str) -> None:
    """Run a population's own method abstractly, once for two classes, for what the process lacks.

    A population's own :class:`ContractError` comes out here, before anything is compiled.  Errors of other kinds are
    not judged: they surface where the method runs, with their own words.

    Args:
        process: the process, canonical.
        population: the population, canonical.
        method: ``log_marginals`` or ``posterior_sample``.

    Raises:
        ContractError: the method asks the process for what it does not define, cannot take what it observes, or says
            itself that it is not for this process.

    """
    pair, seen = (type(process), type(population), method), []
    if pair in _TRIED:
        return

    def once(key: Array, process: ObservationProcess, population: Population) -> Any:
        t = jnp.zeros((), jnp.int32 if process.discrete else float_dtype())
        y = process.sample(key, population.sample(key, jnp.zeros((), jnp.int32)), t)
        seen.append(y)
        given = (process, y, t) if method == "log_marginals" else (key, process, y, t)
        return getattr(population, method)(*given)

    try:
        jax.eval_shape(once, jax.random.key(0), process, population)
    except ContractError:
        raise
    except AttributeError as error:
        if seen and isinstance(error.obj, ObservationProcess):
            raise _not_this_process(process, population, method, str(error.name)) from error
        if seen and isinstance(error.obj, Revealed):
            words = f"reads {error.name!r} of an observation that is Revealed(values, known)"
            raise _not_this_process(process, population, method, None, words) from error
    except TypeError as error:
        if seen and isinstance(seen[0], Revealed) and not isinstance(error, ContractError):
            words = "cannot take an observation that is Revealed(values, known)"
            raise _not_this_process(process, population, method, None, words) from error
    except Exception:  # whatever else is wrong shows itself where the method runs
        pass
    else:
        _TRIED.add(pair)


def _not_this_process(
    process: ObservationProcess, population: Population, method: str, wanted: str | None, words: str = ""
) -> ContractError:
    """Return the error that says what a population's own method lacks here, and which processes could serve it."""
    name = type(population).__name__
    try:
        meant = get_type_hints(getattr(type(population), method)).get("process")
    except (NameError, TypeError):
        meant = None  # an annotation that only a type checker can read
    families, could = (GaussianChannel, LinearGaussianChannel, RevealingChannel, MemorylessChannel), list[type]()
    if isinstance(meant, type) and issubclass(meant, ObservationProcess) and meant is not ObservationProcess:
        could.append(meant)
    elif wanted is not None:
        could += [family for family in families if hasattr(family, wanted)]
    own = method == "log_marginals"
    if own:
        could += [p for p, q in _PAIRS if isinstance(population, q)]
    listed = ", ".join(_with_members(family) for family in dict.fromkeys(could))
    lacks = words or f"asks for {wanted!r}, which this process does not define"
    under = listed or (f"a process that defines {wanted!r}" if wanted else "a process that hides nothing")
    what = "be evaluated" if own else "draw X given an observation"
    instead = ", or leave it out and use sloc.register_marginals for each pair" if own else ""
    return ContractError(
        f"population {name} cannot {what} under process {type(process).__name__}: {name}.{method} {lacks}; "
        f"it can under: {under}; define {name}.{method} for this process too{instead}"
    )


def _with_members(family: type, most: int = 6) -> str:
    """Name a process class, and the public ones that are known to derive from it."""
    found, waiting = set(), list(family.__subclasses__())
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.startswith("sloc.") and not one.__name__.startswith("_"):
            found.add(one.__name__)
    names = sorted(found)
    more = ", …" if len(names) > most else ""
    return f"{family.__name__} ({', '.join(names[:most])}{more})" if names else family.__name__
