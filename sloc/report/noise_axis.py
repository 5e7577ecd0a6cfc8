"""The noise axis of a window run's picture: which part of it is shown, and how it is stretched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sloc.report.window_run import ProcessWindows


@dataclass(frozen=True)
class NoiseAxis:
    """The part of the noise axis that is shown, and how it is stretched.

    Attributes:
        left: smallest level shown.
        right: largest level shown.
        scale: ``linear``, ``log``, or ``capacity``: even in ``log(1 - t)``, the share of coordinates seen.

    """

    left: float
    right: float
    scale: str

    def level(self, place: Any) -> np.ndarray:
        """Return the level at a share ``place`` of the axis, from 0 on the left to 1 on the right."""
        place = np.asarray(place, np.float64)
        if self.scale == "log":
            return self.left * (self.right / self.left) ** place
        if self.scale == "capacity":
            return 1 - (1 - self.left) * ((1 - self.right) / (1 - self.left)) ** place
        return self.left + (self.right - self.left) * place

    def place(self, level: float) -> float:
        """Return the share of the axis left of ``level``."""
        shares = np.linspace(0, 1, 2001)
        return float(np.interp(level, self.level(shares), shares))

    def apply(self, ax: Any) -> None:
        """Set scale, limits and ticks of ``ax``."""
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

        if self.scale == "log":
            ax.set_xscale("log")
        elif self.scale == "capacity":
            ax.set_xscale("function", functions=(_to_capacity, _from_capacity))
        ax.set_xlim(self.left, self.right)
        if self.scale != "linear":
            # Over many decades the numbers between their ends would stand on one another.
            steps = (1, 2, 5) if self.right <= 1000 * self.left else (1,)
            decades = [k * 10.0**e for e in range(-6, 7) for k in steps]
            ticks = decades if self.scale == "log" else [0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]
            ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if self.left <= t <= self.right]))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(FuncFormatter(_percent if self.scale == "capacity" else _plain))


def _to_capacity(t: Any) -> np.ndarray:
    return -np.log(np.maximum(1 - np.asarray(t, np.float64), 1e-9))


def _from_capacity(u: Any) -> np.ndarray:
    return 1 - np.exp(-np.asarray(u, np.float64))


def _percent(t: float, _: int) -> str:
    return f"{100 * t:g} %"


def _plain(t: float, _: int) -> str:
    return f"{t:g}"


def noise_axis(result: ProcessWindows) -> NoiseAxis:
    """Choose the part of the noise axis that holds the windows, with room on both sides."""
    after = [w.t_after for w in result.classes.values() if w.t_after is not None]
    before = [w.t_before for w in result.classes.values() if w.t_before is not None]
    before += [w.before_interval[1] for w in result.classes.values() if w.before_interval is not None]
    times = result.times
    low = min(after, default=float(times[min(1, len(times) - 1)]))
    high = max((t for t in before if np.isfinite(t)), default=float(times[-1]))
    horizon = float(result.process.horizon)
    if result.name == "masking":
        return NoiseAxis(0.0, 1 - (1 - min(high, float(times[-1]))) / 1.3, "capacity")
    if np.isfinite(horizon):
        return NoiseAxis(0.0, horizon, "linear")
    if low > 0 and high / low > 6:
        return NoiseAxis(low / 5, 1.25 * high, "log")
    return NoiseAxis(0.0, 1.18 * high, "linear")
