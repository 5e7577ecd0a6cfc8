"""One number with its interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import is_concrete
from sloc.contracts.equality import same_fields
from sloc.results.pictures import draw

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Estimate:
    """A scalar with a finite-sample interval.

    Attributes:
        value: the point estimate (or the exact value).
        stderr: its standard error; 0 where exact.
        lower: lower end of the interval.
        upper: upper end of the interval; ``P(lower <= truth <= upper) >= 1 - delta``.
        n: number of draws used; 0 where exact.
        method: how the number was got, in words (static).
        quantity: what the number is, such as ``"TV(a, b)"``; empty where it is not known (static).

    """

    value: Any
    stderr: Any
    lower: Any
    upper: Any
    n: Any
    method: str = field(default="", metadata={"static": True})
    quantity: str = field(default="", metadata={"static": True})

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def __repr__(self) -> str:
        """Return the value and interval on one line."""
        if not is_concrete(self.value, self.lower):
            return f"Estimate(<traced>, method={self.method!r})"
        if np.ndim(self.value) > 0:
            return f"Estimate(<batch of shape {np.shape(self.value)}>, method={self.method!r})"
        return (
            f"Estimate({float(self.value):.6g} [{float(self.lower):.6g}, {float(self.upper):.6g}], "
            f"n={int(self.n):,}, {self.method})"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row with the fields as columns."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    **{k: float(getattr(self, k)) for k in ("value", "stderr", "lower", "upper")},
                    "n": int(self.n),
                    "method": self.method,
                }
            ]
        )

    def to_xarray(self) -> xr.Dataset:
        """Return a dataset of 0-d variables; ``n`` and ``method`` are attributes."""
        import xarray as xr

        data = {k: ((), np.asarray(getattr(self, k), np.float64)) for k in ("value", "stderr", "lower", "upper")}
        return xr.Dataset(data, attrs={"n": int(self.n), "method": self.method})

    def plot(self, ax: Any = None) -> Any:
        """Draw the value with its interval; returns the matplotlib axes."""
        return draw("estimate", self, ax=ax)
