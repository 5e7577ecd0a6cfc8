"""The dataset view of windows of recorded answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from sloc.results.resampled import TraceWindows
    from sloc.results.window import Window


def windows_dataset(result: TraceWindows) -> xr.Dataset:
    """Return curves and windows as one dataset (layout: :meth:`TraceWindows.to_xarray`).

    Args:
        result: from :func:`sloc.windows.trace_windows`.

    Returns:
        A dataset that HDF5 and netCDF can hold: missing numbers are NaN, statuses are text.

    """
    import xarray as xr

    curves = result.curves
    shape = (len(curves), max((c.kept.size for c in curves), default=0))
    names = ("kept", "time", "same", "same_lower", "same_upper", "same_lower_all", "same_upper_all")
    grid = {name: np.full(shape, np.nan) for name in names}
    draws = np.zeros(shape, np.int64)
    for i, c in enumerate(curves):
        m = c.kept.size
        draws[i, :m] = c.draws
        columns = (c.kept, c.times, *(a[:, 0] for a in (c.value, c.lower, c.upper, c.lower_all, c.upper_all)))
        for name, column in zip(names, columns, strict=True):
            grid[name][i, :m] = column
    data: dict[str, Any] = {name: (("question", "point"), values) for name, values in grid.items()}
    data["draws"] = (("question", "point"), draws)
    data["reference"] = ("question", np.asarray([c.reference for c in curves], dtype=object))
    for kind, windows in (("rule", result.rule), ("certified", result.calibrated)):
        data[f"{kind}_status"] = ("question", np.asarray([w.status_after for w in windows], dtype=object))
        data[f"{kind}_t_after"] = ("question", _edges(windows, "t_after"))
        data[f"{kind}_t_before"] = ("question", _edges(windows, "t_before"))
    data |= _entries(result)
    answers = list(dict.fromkeys(a for c in curves for a in c.answers))
    coords = {
        "question": np.asarray([c.question for c in curves], dtype=object),
        "answer": np.asarray(answers, dtype=object),
    }
    attrs = {
        "axis": result.axis,
        "rise": result.rise,
        "alpha": result.alpha,
        "correction": result.correction,
        "across": result.across,
        "statistic": result.statistic,
        "max_drop": "none" if result.max_drop is None else result.max_drop,
        "time": "1 - kept fraction" if result.axis == "fraction" else "full length - kept position",
    }
    return xr.Dataset(data, coords, attrs)


def _edges(windows: tuple[Window, ...], name: str) -> np.ndarray:
    return np.asarray([np.nan if getattr(w, name) is None else getattr(w, name) for w in windows], np.float64)


def _entries(result: TraceWindows) -> dict[str, tuple[str, np.ndarray]]:
    """Every (question, point, answer) with its proportion and bands, flat."""
    codes = {a: i for i, a in enumerate(dict.fromkeys(a for c in result.curves for a in c.answers))}
    parts: dict[str, list[np.ndarray]] = {}
    for i, c in enumerate(result.curves):
        points, count = c.value.shape
        columns = {
            "entry_question": np.full(points * count, i),
            "entry_point": np.repeat(np.arange(points), count),
            "entry_answer": np.tile([codes[a] for a in c.answers], points),
            "value": c.value.ravel(),
            "lower": c.lower.ravel(),
            "upper": c.upper.ravel(),
            "lower_all": c.lower_all.ravel(),
            "upper_all": c.upper_all.ravel(),
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
    return {name: ("entry", np.concatenate(columns)) for name, columns in parts.items()}
