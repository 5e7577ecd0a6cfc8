"""A quantity against time, with a band that holds for all times at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import NOISE_AXIS, is_concrete, require
from sloc.contracts.arguments import as_floats, checked_all, checked_kind, is_one_of
from sloc.contracts.equality import same_fields
from sloc.results.pictures import draw

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curve:
    """A curve over times, scalar per time (``[T]``) or one column per label (``[T, C]``).

    Attributes:
        times: ``[T]``, increasing noise.
        value: ``[T]`` or ``[T, C]``.
        stderr: standard errors, same shape; 0 where exact.
        lower: lower band, same shape.
        upper: upper band; the truth lies in the band at all times (and labels) at once with
            probability ``>= 1 - delta``; with columns, a column's band holds at that level a fortiori.
        n: number of draws used; 0 where exact.
        method: how the numbers were got, in words (static).
        quantity: what the curve shows (static).
        unit: unit of the values, empty for a pure number (static).
        labels: names of the columns where values are ``[T, C]`` (static).
        delta: error level of the band; 0 where exact, NaN where it is not known, or where no interval is claimed.
        time_axis: what ``times`` are, as a picture writes it along them (static).

    """

    times: Any
    value: Any
    stderr: Any
    lower: Any
    upper: Any
    n: Any
    method: str = field(default="", metadata={"static": True})
    quantity: str = field(default="", metadata={"static": True})
    unit: str = field(default="", metadata={"static": True})
    labels: tuple[str, ...] = field(default=(), metadata={"static": True})
    # A leaf, not static: NaN does not equal itself, so that structures of curves would not either.
    delta: Any = float("nan")
    time_axis: str = field(default=NOISE_AXIS, metadata={"static": True})

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def __repr__(self) -> str:
        """Return a one-line summary."""
        if not is_concrete(self.times, self.value):
            return f"Curve(<traced>, {self.quantity or 'value'}, method={self.method!r})"
        t, v = np.asarray(self.times), np.asarray(self.value)
        if t.ndim > 1 or np.ndim(self.n) > 0:
            return f"Curve(<batch of shape {v.shape}>, {self.quantity or 'value'}, method={self.method!r})"
        span = f"{t[0]:.4g} .. {t[-1]:.4g}" if t.size else "no times"
        shape = f"{t.size} times ({span})" + (f" x {len(self.labels)} labels" if self.labels else "")
        ends = f"{v[0]:.4g} -> {v[-1]:.4g}, " if v.ndim == 1 and v.size else ""
        level = f"delta={float(self.delta):.3g}" if is_concrete(self.delta) else "delta=<traced>"
        return f"Curve({self.quantity or 'value'}: {shape}, {ends}{level}, n={int(self.n):,}, {self.method})"

    def column(self, label: str) -> Curve:
        """Return the scalar curve ``value[..., label]`` of one label, with its band.

        Raises:
            InvalidInput: no such label.

        """
        require(is_one_of(label, self.labels), "label", label, f"one of {self.labels}")
        i = self.labels.index(label)
        parts = {k: getattr(self, k)[..., i] for k in ("value", "stderr", "lower", "upper")}
        name = f"{self.quantity}: {label}"
        return replace(self, **parts, quantity=name, labels=())

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per time (and label): time, label, value, stderr, lower, upper."""
        import pandas as pd

        t = np.asarray(self.times)
        fields = ("value", "stderr", "lower", "upper")
        if not self.labels:
            return pd.DataFrame({"time": t, **{k: np.asarray(getattr(self, k), np.float64) for k in fields}})
        columns = {k: np.asarray(getattr(self, k), np.float64).ravel() for k in fields}
        return pd.DataFrame({"time": np.repeat(t, len(self.labels)), "label": list(self.labels) * t.size, **columns})

    def to_xarray(self) -> xr.Dataset:
        """Return a dataset on dimension ``time`` (and ``label``); the other fields are attributes."""
        import xarray as xr

        dims = ("time", "label") if self.labels else ("time",)
        data = {k: (dims, np.asarray(getattr(self, k), np.float64)) for k in ("value", "stderr", "lower", "upper")}
        coords: dict[str, Any] = {"time": ("time", np.asarray(self.times), {"long_name": self.time_axis})}
        if self.labels:
            coords["label"] = list(self.labels)
        attrs = {
            "quantity": self.quantity,
            "unit": self.unit,
            "n": int(self.n),
            "method": self.method,
            "delta": float(self.delta),
        }
        return xr.Dataset(data, coords, attrs)

    def plot(self, ax: Any = None) -> Any:
        """Draw the curve with its band; returns the matplotlib axes."""
        return draw("curve", self, ax=ax)


def checked_curve(curve: Any, argument: str = "curve") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a curve's times, value and band on the host, float64, once they are what :class:`Curve` describes.

    Not asked where a curve is made, which may be inside compiled code.  NaN passes in values and bands, for what is not
    known; and so do bands that cross, as those of a monotone curve do where the draws contradict it.

    Args:
        curve: what was given.
        argument: its name in messages.

    Returns:
        ``times [T]``, then value, lower and upper band, ``[T]`` or ``[T, C]``.

    Raises:
        InvalidInput: no curve; times that are not finite and strictly increasing; values or bands of another shape, or
            that are no numbers; words that are no texts.

    """
    checked_kind(curve, argument, Curve, "a sloc.Curve")
    times = as_floats(curve.times, f"{argument}.times")
    rising = times.ndim == 1 and bool(np.isfinite(times).all() and (np.diff(times) > 0).all())
    require(rising, f"{argument}.times", curve.times, "finite times in one dimension, strictly increasing")
    for name in ("method", "quantity", "unit", "time_axis"):
        checked_kind(getattr(curve, name), f"{argument}.{name}", str, "a text")
    labels = checked_all(curve.labels, f"{argument}.labels", str, "texts")
    shape = (*times.shape, len(labels)) if labels else times.shape
    parts = []
    for name in ("value", "lower", "upper"):
        parts.append(as_floats(getattr(curve, name), f"{argument}.{name}"))
        found = parts[-1].shape
        column = "; take one label with Curve.column" if len(found) > len(shape) else ""
        require(found == shape, f"{argument}.{name}", found, f"shape {shape}{column}")
    return times, parts[0], parts[1], parts[2]
