"""Windows: the interval of times in which a feature is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sloc.contracts import NOISE_AXIS
from sloc.contracts.equality import same_fields
from sloc.results.curve import Curve
from sloc.results.pictures import draw
from sloc.results.status import Status

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Interval = tuple[float, float]
"""Lower and upper end, in the process's time."""

Certified = Literal["", "from below", "from above", "from both sides"]
"""Which ends of an edge's interval bounds on TV certify: the edge is not before the lower one (``from below``), not
after the upper one (``from above``), both, or neither; an end that is not certified says nothing."""


def _edge(value: float | None, interval: Interval | None, status: Status, certified: Certified = "") -> str:
    number = "-" if value is None else f"{value:.6g}"
    band = "" if interval is None else f" [{interval[0]:.6g}, {interval[1]:.6g}]"
    return f"{number}{band} ({status}{certified and ', certified ' + certified})"


class _Frames:
    """Row and dataset views shared by the windows: scalars as columns, intervals as two columns."""

    def _row(self) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Curve) or value.__class__ is dict or name == "time_axis":
                continue
            if name.endswith("_interval"):
                low, high = value if value is not None else (None, None)
                row[f"{name.removesuffix('_interval')}_low"] = low
                row[f"{name.removesuffix('_interval')}_high"] = high
            else:
                row[name] = value
        return row

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row: edges, interval ends, statuses, epsilon, delta, draws."""
        import pandas as pd

        return pd.DataFrame([self._row()])

    def to_xarray(self) -> xr.Dataset:
        """Return the row as 0-d variables (missing edges are NaN there); curves under their own names."""
        import xarray as xr

        data: dict[str, Any] = {k: ((), float("nan") if v is None else v) for k, v in self._row().items()}
        for name, value in vars(self).items():
            if isinstance(value, Curve):
                data[name] = ("time", value.value)
                data.setdefault("time", ("time", value.times))
        return xr.Dataset(data)


@dataclass(frozen=True, repr=False)
class Window(_Frames):
    """The critical window ``[t_after, t_before]`` in which ``after`` is chosen within ``before``.

    Source: Li, Karan & Chen 2025, Def. 4.  An edge that does not exist, or that the draws do not
    settle, is ``None`` with a status that says why.

    Attributes:
        t_after: ``sup {t : TV(p_t^after, p_t^rest) >= 1 - epsilon^2}``.
        t_before: ``inf {t : TV(p_t^after, p_t^before) <= epsilon and TV(p_t^before, p_t^rest) >= 1 - epsilon^2}``.
        after_interval: an interval for ``t_after``, or None.
        before_interval: an interval for ``t_before``, or None.
        status_after: status of ``t_after``.
        status_before: status of ``t_before``.
        epsilon: the threshold.
        delta: error level of the two intervals jointly (0 where exact; NaN where a given curve does not tell its
            level, or where draws come without an interval).
        draws: number of draws used (0 where exact).
        method: how the edges were got.
        name: what the window is of.
        certified_after: which ends of ``after_interval`` bounds certify (:func:`sloc.windows.certified_limits`); empty
            for intervals of sampled or exact curves, which hold on both sides.
        certified_before: likewise of ``before_interval``.
        law: what certified limits are of: ``the data``, or ``the models' samplers``; empty elsewhere.
        time_axis: what its times are, as a picture writes it along them; no column of its table.

    """

    t_after: float | None
    t_before: float | None
    after_interval: Interval | None
    before_interval: Interval | None
    status_after: Status
    status_before: Status
    epsilon: float
    delta: float
    draws: int
    method: str = ""
    name: str = ""
    certified_after: Certified = ""
    certified_before: Certified = ""
    law: str = ""
    time_axis: str = NOISE_AXIS

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def resolved(self) -> bool:
        """Whether both edges are inside the grid and in order."""
        return self.status_after == self.status_before == "resolved"

    def __repr__(self) -> str:
        """Return the edges, their intervals and statuses on one line."""
        title = f"{self.name}: " if self.name else ""
        after = _edge(self.t_after, self.after_interval, self.status_after, self.certified_after)
        before = _edge(self.t_before, self.before_interval, self.status_before, self.certified_before)
        return (
            f"Window({title}t_after={after}, t_before={before}, "
            f"epsilon={self.epsilon:g}, delta={self.delta:g}, draws={self.draws:,}, {self.method})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the window as a bar with its intervals; returns the matplotlib axes."""
        return draw("window", self, ax=ax)


@dataclass(frozen=True, repr=False)
class TheoremWindow(_Frames):
    """The times at which Theorem 2 certifies that noising and denoising turns ``init`` into ``target``.

    Source: Li, Karan & Chen 2025, Theorem 2 and its proof.

    Attributes:
        t_end: ``inf {t : TV(p_t^init, p_t^target) <= epsilon}``.
        t_start: ``sup {t : TV(p_t^target, p_t^rest) >= 1 - epsilon^2}``.
        end_interval: an interval for ``t_end``, or None.
        start_interval: an interval for ``t_start``, or None.
        status_end: status of ``t_end``.
        status_start: status of ``t_start``.
        epsilon: the threshold.
        bound: the printed right-hand side, ``epsilon (1 + max(1, W) / sqrt 2)``.
        certificate: over ``t``, the tighter ``TV(p_t^init, p_t^target) + E_{p_t^target}[1 - pi_target]``.
        sharp_bound: the closed form of the certificate on the window,
            ``epsilon + max(1, W) (epsilon^2 - epsilon^4 / 2)``.
        misassignment: over ``t``, ``E_{p_t^target}[1 - pi_target]``: the truth where init = target.
        hellinger: over ``t``, a sampling-free bound on ``misassignment``,
            ``(1 / 2 w_S) sum_{i in S, j not in S} sqrt(w_i w_j) BC_ij(t)``, where affinities are known; else None.
        delta: error level of the two intervals jointly (0 where exact).
        draws: number of draws used (0 where exact).
        method: how the edges were got.
        name: what the window is of.

    """

    t_end: float | None
    t_start: float | None
    end_interval: Interval | None
    start_interval: Interval | None
    status_end: Status
    status_start: Status
    epsilon: float
    bound: float
    certificate: Curve
    sharp_bound: float = float("nan")
    misassignment: Curve | None = None
    hellinger: Curve | None = None
    delta: float = 0.0
    draws: int = 0
    method: str = ""
    name: str = ""

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def resolved(self) -> bool:
        """Whether both edges are inside the grid and in order, so that Theorem 2 says something."""
        return self.status_end == self.status_start == "resolved"

    def __repr__(self) -> str:
        """Return the edges, statuses and bounds on one line."""
        title = f"{self.name}: " if self.name else ""
        return (
            f"TheoremWindow({title}t_end={_edge(self.t_end, self.end_interval, self.status_end)}, "
            f"t_start={_edge(self.t_start, self.start_interval, self.status_start)}, epsilon={self.epsilon:g}, "
            f"bound={self.bound:.4g}, sharp_bound={self.sharp_bound:.4g}, draws={self.draws:,}, {self.method})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the certificate over time with the window marked; returns the matplotlib axes."""
        return draw("theorem window", self, ax=ax)
