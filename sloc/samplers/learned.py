"""Trained diffusion and flow models: what a network predicts, in one common currency."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, Population, check_registered, float_dtype, is_concrete, require, shown
from sloc.contracts.arguments import (
    as_array,
    as_real,
    check_size,
    checked_choice,
    checked_names,
    checked_whole,
    is_one_of,
)
from sloc.contracts.base import Asked
from sloc.processes.levels import LEVEL_UNITS, level, time_at
from sloc.processes.schedules import check_ends_in_noise

Array = jax.Array

PARAMETERIZATIONS = ("eps", "x0", "v", "score", "velocity")
"""What a network may predict; see :class:`LearnedDiffusion`."""
_TIMES = (*LEVEL_UNITS, "step", "none")
_NUMBERS = 64
"""Numbers that a network holds per number of its input, roughly: sizes the compute tile."""


class Prediction(NamedTuple):
    """What a model says of ``Y_t = a X + sigma Z``: ``a x + sigma eps = Y_t``.

    Attributes:
        x: ``E[X | Y_t]``.
        eps: ``E[Z | Y_t]``, which is ``-sigma`` times the score.

    """

    x: Array
    eps: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LearnedDiffusion(Population):
    """A trained denoiser with the schedule it was trained on; a population without densities or exact draws.

    ``fn(y, t)`` (``fn(y, t, label)`` with classes) predicts, for ``Y_t = a X + sigma Z``:

    ========== ====================================================
    eps        ``E[Z | Y_t]``
    x0         ``E[X | Y_t]``
    v          ``E[a Z - sigma X | Y_t] / sqrt(a^2 + sigma^2)``
    score      ``grad_y log p_t(y)``
    velocity   ``E[a' X + sigma' Z | Y_t]``, derivatives in ``t``
    ========== ====================================================

    Each is turned into the others exactly (up to rounding).  ``fn`` is any JAX function, its weights closed over or,
    so that other weights do not recompile, bound by :class:`jax.tree_util.Partial`.  Sources: Ho, Jain & Abbeel 2020;
    Salimans & Ho 2022 (v); Song et al. 2021 (score); Lipman et al. 2023 (velocity); Ho & Salimans 2022 (guidance).

    Attributes:
        fn: the network.
        schedule: a Gaussian channel: :func:`sloc.processes.variance_preserving`, :func:`~sloc.processes.tabulated`,
            :class:`~sloc.processes.VarianceExploding`, :class:`~sloc.processes.FlowMatching`, ...
        shape: the shape of ``X``.
        parameterization: what ``fn`` predicts: ``eps``, ``x0``, ``v``, ``score`` or ``velocity``.
        time: what ``fn`` is given as ``t``: a unit of :func:`sloc.processes.level`, ``step`` (``t - 1``, the row
            of a :func:`~sloc.processes.tabulated` schedule) or ``none`` (``fn`` takes no time).
        num_classes: how many labels ``fn`` knows beside the null label; 0 for a model without classes.
        label: the class to sample, or None for the null label's model.
        null_label: the label that stands for no class, or None where there is none.
        guidance: ``w`` of ``null + w (class - null)``; None for the class's own prediction.
        guidance_times: ``(low, high)``, times outside which ``w`` is 1 and the null label is not evaluated.
        data_std: standard deviation of the data, which the noise that sampling starts from takes over.
        batched: whether ``fn`` takes and gives arrays with a leading axis of examples.
        names: of the classes.

    """

    fn: Any
    schedule: Any
    shape: tuple[int, ...] = field(metadata={"static": True})
    parameterization: str = field(default="eps", metadata={"static": True})
    time: str = field(default="t", metadata={"static": True})
    num_classes: int = field(default=0, metadata={"static": True})
    label: Any = None
    null_label: Any = None
    guidance: Any = field(default=None, metadata={"dtype": float})
    guidance_times: Any = field(default=None, metadata={"dtype": float})
    data_std: Any = field(default=1.0, metadata={"dtype": float})
    batched: bool = field(default=False, metadata={"static": True})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    _asked: ClassVar[Asked] = {
        **Population._asked,
        "network_time": ("t[]",),
        **dict.fromkeys(("output", "predict", "denoise"), ("y", "t")),
    }

    @property
    def _process(self) -> Any:
        return self.schedule

    def _observed(self) -> Any:
        return jax.ShapeDtypeStruct(self.shape, float_dtype())

    @property
    def log_weights(self) -> Array:
        """Even weights of the classes."""
        k = self.num_components
        return jnp.full((k,), -math.log(k), float_dtype())

    @property
    def num_components(self) -> int:
        """The number of classes; one where there are none."""
        return max(self.num_classes, 1)

    def path_elements(self) -> int:
        """Numbers held per draw."""
        return _NUMBERS * max(math.prod(self.shape), 1)

    def canonical(self) -> LearnedDiffusion:
        """Return a copy with strong-typed numbers and a network that a jitted function takes as an argument."""
        own = super(LearnedDiffusion, replace(self, label=None, null_label=None)).canonical()
        fn = own.fn if isinstance(own.fn, jax.tree_util.Partial) else jax.tree_util.Partial(own.fn)
        labels = {n: None if (v := getattr(self, n)) is None else jnp.asarray(v, jnp.int32) for n in _LABELS}
        return replace(own, fn=fn, **labels)

    def conditioned(self, label: int | None, guidance: float | None = None, times: Any = None) -> LearnedDiffusion:
        """Return the model of one class, guided or not; other labels and strengths do not recompile.

        Args:
            label: the class, an int; None for the null label.
            guidance: ``w`` of ``null + w (class - null)``.
            times: ``(low, high)``, the times within which it is guided; None for all.

        Raises:
            InvalidInput: a label outside the model's classes, or guidance of a model that has no classes or null label.

        """
        own = replace(self, label=label, guidance=guidance, guidance_times=times)
        own._check_labels()
        return own

    def validate(self) -> None:
        """Check the parameters, and by tracing shapes what the network returns.

        Raises:
            InvalidInput: a wrong name, shape, label or strength; guidance without a conditional model; a schedule that
                does not end in noise; a network that returns no floating array of the shape of ``X``.

        """
        require(callable(self.fn), "fn", self.fn, "a function (y, t) -> prediction")
        require(isinstance(self.schedule, GaussianChannel), "schedule", self.schedule, "a GaussianChannel")
        check_registered(self.schedule, "schedule", GaussianChannel)
        self.schedule.validate()
        check_ends_in_noise(self.schedule)
        sizes = isinstance(self.shape, tuple) and all(isinstance(n, int) and n >= 1 for n in self.shape)
        require(sizes, "shape", self.shape, "a tuple of whole numbers, the shape of X")
        known = is_one_of(self.parameterization, PARAMETERIZATIONS)
        require(known, "parameterization", self.parameterization, "one of " + ", ".join(PARAMETERIZATIONS))
        checked_choice(self.time, "time", _TIMES)
        require(_positive(self.data_std), "data_std", self.data_std, "a positive number")
        self._check_labels()
        if is_concrete(self):
            self._check_output()

    def _check_labels(self) -> None:
        checked_names(self.names, "names")
        check_size(self.num_classes, "num_classes", 0)
        if self.label is not None:
            require(self.num_classes > 0, "label", self.label, "None: the model has no classes (num_classes = 0)")
            _check_label("label", self.label, self.num_classes - 1)
        if self.null_label is not None:
            require(self.num_classes > 0, "null_label", self.null_label, "None: the model has no classes")
            _check_label("null_label", self.null_label, None)
        if self.num_classes > 0 and self.label is None:
            require(
                self.null_label is not None, "label", None, "a class: the model has no null label to stand for none"
            )
        if self.guidance is not None:
            conditional = self.num_classes > 0 and self.label is not None and self.null_label is not None
            expected = "None: guidance needs a conditional model (num_classes, label and null_label)"
            require(conditional, "guidance", self.guidance, expected)
            if is_concrete(self.guidance):
                require(math.isfinite(as_real(self.guidance)), "guidance", self.guidance, "a finite number")
        if self.guidance_times is not None:
            require(self.guidance is not None, "guidance_times", self.guidance_times, "None where guidance is None")
            pair = as_array(self.guidance_times, "guidance_times")
            require(np.shape(pair) == (2,), "guidance_times", self.guidance_times, "a pair (low, high)")
            if is_concrete(pair):
                low, high = (float(v) for v in np.asarray(pair))
                require(low <= high, "guidance_times", self.guidance_times, "a pair (low, high) in order")

    def _check_output(self) -> None:
        model = self.canonical()
        t = jnp.asarray(0.5 * min(float(self.schedule.horizon), 1.0), float_dtype())
        found = jax.eval_shape(model.output, jax.ShapeDtypeStruct(self.shape, float_dtype()), t)
        shape = getattr(found, "shape", None)
        right = shape == self.shape and jnp.issubdtype(found.dtype, jnp.floating)
        described = shown(found) if shape is None else f"{found.dtype}{list(shape)}"
        require(right, f"fn(y {list(self.shape)}, t)", described, f"a floating array of shape {list(self.shape)}")

    # ------------------------------------------------------------------------------------------
    # Predictions
    # ------------------------------------------------------------------------------------------

    def network_time(self, t: Array) -> Array:
        """Return what the network is given as time: ``t - 1`` for ``step``, else ``level(schedule, t, time)``."""
        return t - 1.0 if self.time == "step" else level(self.schedule, t, self.time)

    def output(self, y: Array, t: Array) -> Any:
        """Return what the network gives for one ``y``, the shape of ``y``; ``null + w (class - null)`` where guided."""
        if self.guidance is None:
            return self._call(y, t, self.null_label if self.label is None else self.label)
        both = jnp.stack([self.label, self.null_label])

        def guided(y: Array) -> Array:
            own, null = jax.vmap(lambda label: self._call(y, t, label))(both)
            return null + self.guidance.astype(null.dtype) * (own - null)

        if self.guidance_times is None:
            return guided(y)
        inside = (t >= self.guidance_times[0]) & (t <= self.guidance_times[1])
        return jax.lax.cond(inside, guided, lambda y: self._call(y, t, self.label), y)

    def _call(self, y: Array, t: Array, label: Array | None) -> Any:
        arguments = [y]
        if self.time != "none":
            arguments.append(jnp.asarray(self.network_time(t), y.dtype))
        if self.num_classes > 0:
            assert label is not None
            arguments.append(label)
        if not self.batched:
            return self.fn(*arguments)
        found = self.fn(*(v[None] for v in arguments))
        shape = getattr(found, "shape", ())
        require(len(shape) > 0 and shape[0] == 1, "fn(y [1, ...], t [1])", shape, "a leading axis of one example")
        return found[0]

    def predict(self, y: Array, t: Array) -> Prediction:
        """Return ``(E[X | Y_t = y], E[Z | Y_t = y])`` of the model, for one ``y`` at a time ``t > 0``."""
        out = self.output(y, t).astype(y.dtype)
        a, sigma = self.schedule.coefficients(t)
        if self.parameterization == "x0":
            return Prediction(out, (y - a * out) / jnp.where(sigma > 0, sigma, jnp.inf))
        if self.parameterization == "v":
            square = a**2 + sigma**2
            root = jnp.sqrt(square)
            return Prediction((a * y - (sigma * root) * out) / square, (sigma * y + (a * root) * out) / square)
        if self.parameterization == "velocity":
            da, dsigma = slopes(self.schedule, t)
            scale = a * dsigma - da * sigma
            return Prediction((dsigma * y - sigma * out) / scale, (a * out - da * y) / scale)
        eps = out if self.parameterization == "eps" else -sigma * out
        return Prediction((y - sigma * eps) / a, eps)

    def denoise(self, y: Array, t: Array) -> Array:
        """Return ``E[X | Y_t = y]`` of the model; ``y / a`` where there is no noise."""
        a, sigma = self.schedule.coefficients(t)
        return jnp.where(sigma > 0, self.predict(y, t).x, y / a)

    def grid(self, n: int, low: float = 0.01, high: float = 100.0) -> np.ndarray:
        """Return ``n`` times of the schedule, even in log-SNR from ``sigma / a = low data_std`` to ``high data_std``.

        Where the schedule has no time for an end, its own end is taken.

        Raises:
            InvalidInput: no whole number of times, or ends that are no positive numbers in order.

        """
        n = checked_whole(n, "n", what="times")
        std = float(np.asarray(self.data_std))
        ordered = 0 < as_real(low) < as_real(high) < math.inf
        require(ordered, "low, high", (low, high), "positive finite numbers in order")
        ends = np.asarray(time_at(self.schedule, np.asarray([low * std, high * std]), "sigma"), np.float64)
        ends = np.minimum(ends, float(self.schedule.horizon))
        top, bottom = np.asarray(level(self.schedule, ends, "log_snr"), np.float64)
        bottom = max(float(bottom), -2.0 * math.log(high * std))
        inner = np.asarray(time_at(self.schedule, np.linspace(float(top), bottom, n), "log_snr"), np.float64)
        return np.minimum(inner, float(self.schedule.horizon))


_LABELS = ("label", "null_label")


def slopes(schedule: GaussianChannel, t: Array) -> tuple[Array, Array]:
    """Return ``(a'(t), sigma'(t))`` by forward differentiation."""
    return jax.jvp(schedule.coefficients, (t,), (jnp.ones_like(t),))[1]


def _positive(value: Any) -> bool:
    return not is_concrete(value) or 0 < as_real(value) < math.inf


def _check_label(argument: str, label: Any, last: int | None) -> None:
    if not is_concrete(label):
        return
    given = np.asarray(as_array(label, argument))
    integer = given.shape == () and np.issubdtype(given.dtype, np.integer)
    expected = "a label: a whole number" if last is None else f"a label of the model, a whole number from 0 to {last}"
    require(bool(integer) and int(label) >= 0 and (last is None or int(label) <= last), argument, label, expected)
