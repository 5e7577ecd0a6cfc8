"""Time changes: strictly increasing maps from a new time to the time of a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Contract, float_dtype, is_concrete, require
from sloc.contracts.arguments import as_array, as_real
from sloc.contracts.base import Asked
from sloc.contracts.process import missing_method
from sloc.processes.places import placed

_EVEN = 2049
"""New times at which a function is looked at, evenly over the span of the process's grid."""


class Clock(Contract):
    """A strictly increasing map from the new time ``t`` to the time ``u`` of the process that is retimed.

    ``u(s) < u(t)`` for ``s < t``.  Source: textbook (time change of a Markov process).

    Attributes:
        discrete: whether the new time is a count of steps.

    """

    discrete: ClassVar[bool] = False
    _asked: ClassVar[Asked] = {"inverse": ("u[]",), "end": ("horizon",)}

    def __call__(self, t: Any) -> Any:
        """Return ``u(t)``, elementwise; float64 off the device."""
        raise missing_method(self, "__call__(t)", "retime a process")

    def inverse(self, u: Any) -> Any:
        """Return ``t(u) = inf {t : u(t) >= u}``, elementwise; ``inf`` for a ``u`` that is never reached."""
        raise missing_method(self, "inverse(u)", "retime a process")

    def end(self, horizon: float) -> float:
        """Return the new horizon ``inf {t : u(t) >= horizon}``, where the old one is ``horizon``."""
        return float(self.inverse(horizon))

    def span(self) -> tuple[float, float]:
        """Return ``(inf_t u(t), sup_t u(t))``, the least and the largest ``u`` that are reached."""
        return 0.0, np.inf

    def _check_at(self, times: np.ndarray, argument: str) -> None:
        """Refuse new times (float64) at which the clock is not what it says; only a function's may not be."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Power(Clock):
    """``u = scale t^exponent``.

    Source: textbook (time change of a Markov process).

    Attributes:
        exponent: a positive number.
        scale: a positive number.

    """

    exponent: Any = field(default=1.0, metadata={"dtype": float})
    scale: Any = field(default=1.0, metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse an exponent or a scale that is not positive: time would not grow."""
        for name in ("exponent", "scale"):
            value = getattr(self, name)
            found = np.shape(as_array(value, name))
            require(found == (), name, found, "one number")
            if is_concrete(value):
                good = 0 < as_real(value) < np.inf
                require(good, name, value, "a positive number, so that the time change is strictly increasing")

    def __call__(self, t: Any) -> Any:
        """Return ``scale t^exponent``."""
        xp, t, exponent, scale = placed(t, self.exponent, self.scale)
        return scale * xp.power(t, exponent)

    def inverse(self, u: Any) -> Any:
        """Return ``(u / scale)^(1 / exponent)``."""
        xp, u, exponent, scale = placed(u, self.exponent, self.scale)
        return xp.power(u / scale, 1.0 / exponent)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table(Clock):
    """``u`` interpolated linearly between knots: ``u(new[i]) = old[i]``, for ``0 <= t <= new[-1]``.

    Source: textbook (linear interpolation).

    Attributes:
        new: ``[n]``, strictly increasing from 0.
        old: ``[n]``, strictly increasing times of the process.

    """

    new: Any = field(metadata={"dtype": float})
    old: Any = field(metadata={"dtype": float})

    def validate(self) -> None:
        """Refuse knots that are not strictly increasing, that do not start at 0, or of different lengths."""
        _check_knots("new", self.new)
        _check_knots("old", self.old)
        require(
            np.shape(self.new) == np.shape(self.old), "new, old", (np.shape(self.new), np.shape(self.old)), "one shape"
        )
        if is_concrete(self.new):
            require(
                float(np.asarray(self.new)[0]) == 0.0, "new[0]", float(np.asarray(self.new)[0]), "0, the new origin"
            )

    def __call__(self, t: Any) -> Any:
        """Return ``u``; the last knot's beyond it."""
        xp, t, new, old = placed(t, self.new, self.old)
        return xp.interp(t, new, old)

    def inverse(self, u: Any) -> Any:
        """Return ``t``; 0 below the first knot, ``inf`` above the last."""
        xp, u, new, old = placed(u, self.new, self.old)
        return xp.interp(u, old, new, right=xp.inf)

    def end(self, horizon: float) -> float:
        """Return ``new[-1]``."""
        return float(np.asarray(self.new, np.float64)[-1])

    def span(self) -> tuple[float, float]:
        """Return the first and the last knot."""
        old = np.asarray(self.old, np.float64)
        return float(old[0]), float(old[-1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Steps(Clock):
    """Only some steps of a process in discrete time: step ``k`` is step ``old[k]`` of the process.

    Source: textbook (a subsequence of a Markov chain is one).

    Attributes:
        old: ``[n]`` whole numbers, strictly increasing from 0.

    """

    discrete: ClassVar[bool] = True

    old: Any

    def validate(self) -> None:
        """Refuse steps that are not whole numbers strictly increasing from 0."""
        _check_knots("old", self.old)
        if is_concrete(self.old):
            values = np.asarray(self.old)
            require(values.dtype.kind in "iu", "old", self.old, "whole numbers")
            require(int(values[0]) == 0, "old[0]", int(values[0]), "0, where X itself is seen")

    def __call__(self, t: Any) -> Any:
        """Return ``old[t]`` (int32; an int off the device)."""
        if not isinstance(t, jax.Array) and is_concrete(t, self.old):
            return np.asarray(self.old)[np.asarray(t).astype(int)]
        return jnp.asarray(self.old, jnp.int32)[jnp.asarray(t).astype(jnp.int32)]

    def inverse(self, u: Any) -> Any:
        """Return the first step that is not before step ``u`` of the process; ``n`` if there is none."""
        if not isinstance(u, jax.Array) and is_concrete(u, self.old):
            return np.searchsorted(np.asarray(self.old), u, side="left").astype(np.int32)
        return jnp.searchsorted(jnp.asarray(self.old, jnp.int32), u, side="left").astype(jnp.int32)

    def end(self, horizon: float) -> float:
        """Return ``n - 1``."""
        return int(np.shape(self.old)[0]) - 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Function(Clock):
    """A time change given by a function and its inverse, each checked against the other at some thousands of times.

    ``u = forward(t)`` and ``t = backward(u)``, whatever they are: the time change is a user's own.  Source: textbook.

    The times that are looked at are times of the process's grid, new times spread over what the grid spans and up to
    sixteen times beyond (not beyond the horizon), and whatever times a call is asked for.  Between them nothing is
    known of the functions: a dip narrower than a two-thousandth of the grid's span is seen only if it holds a time that
    is asked for, and the times that a search of an edge tries in between are not looked at.  A function that no longer
    moves within rounding, as ``1 - exp(-t)`` at 40, is taken for increasing.

    Attributes:
        forward: ``t -> u``, elementwise on NumPy and JAX arrays, strictly increasing (static).
        backward: ``u -> t``, its inverse (static).

    """

    forward: Callable[[Any], Any] = field(metadata={"static": True})
    backward: Callable[[Any], Any] = field(metadata={"static": True})

    def validate(self) -> None:
        """Refuse what cannot be called."""
        for name in ("forward", "backward"):
            value = getattr(self, name)
            require(callable(value), name, value, "a function of time")

    def __call__(self, t: Any) -> Any:
        """Return ``forward(t)``."""
        xp, t = placed(t)
        return xp.asarray(self.forward(t), np.float64 if xp is np else float_dtype())[()]

    def inverse(self, u: Any) -> Any:
        """Return ``backward(u)``."""
        xp, u = placed(u)
        return xp.asarray(self.backward(u), np.float64 if xp is np else float_dtype())[()]

    def end(self, horizon: float) -> float:
        """Return ``backward(horizon)``; ``inf`` where that is no number."""
        with np.errstate(all="ignore"):
            t = float(self.inverse(np.float64(horizon)))
        return np.inf if np.isnan(t) else t

    def check_on(self, times: np.ndarray, horizon: float = np.inf) -> None:
        """Refuse a time change that is not strictly increasing, or whose inverse is another function.

        Args:
            times: increasing times ``u`` of the process, inside its range.
            horizon: that of the process.

        Raises:
            InvalidInput: see above; times that are negative or not finite.

        """
        new = np.asarray(self.inverse(times), np.float64)
        require(new.shape == times.shape, "clock.backward", new.shape, f"shape {times.shape}: one time for each")
        require(bool(np.isfinite(new).all() and (new >= 0).all()), "clock.backward", new, "finite times, not negative")
        step = np.diff(new)
        falls = bool((step < 0).all()) and step.size > 0
        expected = "a strictly increasing function (time grows as information is lost)"
        require(not falls, "clock.backward", "a decreasing function", expected)
        if not (step > 0).all():
            i = int(np.argmin(step))
            found = f"{new[i]:g} at {times[i]:g}, {new[i + 1]:g} at {times[i + 1]:g}"
            require(False, "clock.backward", found, expected)
        again = np.asarray(self(new), np.float64)
        good = again.shape == times.shape and np.allclose(again, times, rtol=1e-4, atol=1e-6 * float(times[-1]))
        require(bool(good), "clock.forward", f"forward(backward({times})) = {again}", "the inverse of clock.backward")
        self._check_span(new, float(times[-1]), self.end(horizon))

    def _check_span(self, new: np.ndarray, scale: float, end: float) -> None:
        """Look at new times spread over ``new``, before and beyond, up to ``end``, with the ``scale`` of ``u``."""
        first, last = float(new[0]), float(new[-1])
        if last <= 0:
            return
        inside = [np.linspace(first, last, _EVEN), np.geomspace(max(first, 1e-9 * last), last, _EVEN // 2)]
        outside = [np.linspace(0.0, first, 17), last * np.geomspace(1.0, 16.0, 257)]
        times = np.unique(np.concatenate([*inside, *outside]))
        self._check_at(times[times <= end], "clock.forward", scale)

    def _check_at(self, times: np.ndarray, argument: str, scale: float | None = None) -> None:
        """Refuse new times at which ``forward`` falls, or is not undone by ``backward``.

        Both are allowed the error that :meth:`check_on` allows, in ``u``: the time must lie between what ``backward``
        gives of a little less and of a little more, where that is a number.

        Args:
            times: ``[T]``, increasing.
            argument: what is named: that of the call which asks for them, or ``clock.forward``.
            scale: the ``u`` whose millionth part is within rounding; the largest at the times if None.

        Raises:
            InvalidInput: see above, or ``forward`` is no number at a time that is asked for.

        """
        asked = argument != "clock.forward"
        expected = "a strictly increasing clock.forward whose inverse is clock.backward"
        with np.errstate(all="ignore"):
            u = np.asarray(self(times), np.float64)
            require(u.shape == times.shape, "clock.forward", u.shape, f"shape {times.shape}: one time for each")
            if asked and np.isnan(u).any():
                i = int(np.argmax(np.isnan(u)))
                require(False, argument, f"{times[i]:g}", "times of which clock.forward is a number")
            known = np.isfinite(u)
            times, u = times[known], u[known]
            if not u.size:
                return
            slack = 1e-4 * np.abs(u) + 1e-6 * (float(np.max(np.abs(u))) if scale is None else scale)
            falls = np.diff(u) < -slack[1:]
            if falls.any():
                i = int(np.argmax(falls))
                found = f"{u[i]:g} at {times[i]:g}, {u[i + 1]:g} at {times[i + 1]:g}"
                require(False, "clock.forward", found, expected)
            low = np.asarray(self.inverse(np.maximum(u - slack, 0.0)), np.float64)
            high = np.asarray(self.inverse(u + slack), np.float64)
            room = 1e-6 * times
            # Where the upper bound is no number or makes no sense the clock ends: there is none.
            off = (low > times + room) | ((high < times - room) & (high >= low))
        if off.any():
            i = int(np.argmax(off))
            back = float(np.asarray(self.inverse(u[i])))
            found = f"forward({times[i]:g}) = {u[i]:g}, backward({u[i]:g}) = {back:g}"
            require(False, argument if asked else "clock", found, expected)


def _check_knots(argument: str, knots: Any) -> None:
    shape = np.shape(as_array(knots, argument))
    require(len(shape) == 1 and shape[0] >= 2, argument, shape, "at least two knots")
    if is_concrete(knots):
        values = np.asarray(knots, np.float64)
        finite = bool(np.isfinite(values).all() and (values >= 0).all())
        require(finite, argument, knots, "finite times, not negative")
        require(bool((np.diff(values) > 0).all()), argument, knots, "strictly increasing times")
