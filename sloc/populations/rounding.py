"""Numbers that the working precision cannot tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import float_dtype, require

_SUSPECT = 1e-5
"""A spread below this part of the largest number: only there is rounding looked at, and float32 keeps 6e-8."""
_JITTER = 1e-12
"""A spread below this part of it is that of float64's own rounding: the coordinate is constant."""
_LOST = 1e-2
"""The most of a coordinate's spread that rounding may take, and of the noise that is there from the start."""
_SMALL = 1e-3
"""A spread below this part of the widest coordinate's tells nothing that the others do not."""


def check_rounding(values: np.ndarray, argument: str, noise: float = 0.0) -> None:
    """Refuse rows that differ by less than their rounding to the working precision, as times in seconds since 1970 do.

    In float32 ``1.7e9`` and ``1.7e9 + 10`` are one number: classes apart would be taken for one and the same.

    Args:
        values: ``[N, ...]``, finite, in the precision in which they came.
        argument: its name.
        noise: standard deviation of what is added to each coordinate.

    Raises:
        InvalidInput: a coordinate of which rounding takes more than a hundredth of the spread and of the noise, its
            spread not below a thousandth of the widest one's.

    """
    kind = float_dtype()
    if values.dtype.kind != "f" or values.dtype.itemsize <= kind.itemsize or values.size == 0:
        return
    rows = values.reshape(values.shape[0], -1)
    low, high = rows.min(axis=0), rows.max(axis=0)
    largest, spread = np.maximum(np.abs(low), np.abs(high)), high / 2 - low / 2
    floor = np.maximum(_JITTER * largest, _SMALL * spread.max())
    suspect = np.flatnonzero((spread > floor) & (spread < _SUSPECT * largest))
    if suspect.size == 0:
        return
    some = rows[:, suspect]
    lost = np.abs(some - some.astype(kind)).max(axis=0) > _LOST * np.maximum(spread[suspect], noise)
    if lost.any():
        at = int(suspect[np.argmax(lost)])
        said: Any = f"{low[at]:.17g} .. {high[at]:.17g} in coordinate {at}"
        require(False, argument, said, f"numbers that {kind} tells apart: subtract what they have in common first")
