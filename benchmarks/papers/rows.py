"""What every example hands back: rows of a table, fitted exponents, and the numbers behind its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sloc.results import Interval

from .exponents import slope as slope


@dataclass(frozen=True)
class Row:
    """One number three times: exact, as the library finds it, and as printed.

    Attributes:
        example: which one.
        setting: its parameters.
        quantity: what is compared, with its unit.
        exact: the exact number, or None where only draws give it.
        found: what the library says.
        low: lower end of the library's interval (``found`` itself where it is exact).
        high: upper end.
        method: how the library got it.
        printed: the paper's number, or None where it prints none.
        note: what is loose or wrong.

    """

    example: str
    setting: str
    quantity: str
    exact: float | None
    found: float | None
    low: float | None
    high: float | None
    method: str
    printed: float | None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Printed over exact (over the library's number where there is no exact one)."""
        base = self.found if self.exact is None else self.exact
        return None if self.printed is None or not base else self.printed / base


@dataclass(frozen=True)
class Fit:
    """A claimed scaling ``y ~ x^exponent`` (or ``y ~ exponent * ln x``), fitted.

    Attributes:
        example: which one.
        claim: what is claimed.
        x: name of what varies.
        y: name of what follows.
        exponent: fitted slope.
        low: lower end of its interval.
        high: upper end.
        kind: what the interval means.
        claimed: the slope that is claimed.

    """

    example: str
    claim: str
    x: str
    y: str
    exponent: float
    low: float
    high: float
    kind: str
    claimed: float | None


@dataclass(frozen=True)
class Result:
    """Everything one example has found.

    Attributes:
        rows: rows of the table.
        fits: fitted exponents.
        series: arrays by name, for the picture.

    """

    rows: list[Row]
    fits: list[Fit] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)


def same(value: Any) -> tuple[float | None, float | None, float | None]:
    """Return an exact value as a value and its interval."""
    number = None if value is None else float(value)
    return number, number, number


def ends(value: float | None, interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    """Return a value and its interval as three numbers."""
    low, high = interval if interval is not None else (None, None)
    return value, low, high


def crossing(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, level: float) -> float:
    """Return where ``y`` first crosses a level, interpolated linearly."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    i = int(np.flatnonzero(np.diff(np.sign(y - level)))[0])
    return float(x[i] + (level - y[i]) / (y[i + 1] - y[i]) * (x[i + 1] - x[i]))
