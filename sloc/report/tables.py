"""Tables for the terminal, and the same rows for files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts.arguments import checked_all
from sloc.report.sources import Source
from sloc.report.window_run import ProcessWindows, decision_order
from sloc.report.window_words import process_title
from sloc.results import Interval
from sloc.results.curve import Curve
from sloc.results.window import Window

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from rich.table import Table


def windows_table(result: ProcessWindows, source: Source, limit: int = 24) -> Table:
    """Return the windows of the classes, earliest decided first, as a terminal table.

    Args:
        result: one process of a run.
        source: the data.
        limit: rows at most; a last row counts the rest.

    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"When is the {source.noun} decided?  {process_title(result.name, source)}, "
        f"{'2 × ' if result.refined.size else ''}{result.draws:,} trajectories",
        caption="generation runs from t_before down to t_after; in brackets, intervals for both at once",
        header_style="bold",
        title_style="bold",
        title_justify="left",
    )
    table.add_column(source.noun)
    for name in ("opens (t_before)", "settled (t_after)"):
        table.add_column(name, justify="left")
    table.add_column("status")
    order = decision_order(result.classes)
    for a in order[:limit]:
        w = result.classes[a]
        statuses = list(dict.fromkeys((w.status_before, w.status_after)))
        table.add_row(
            Text(a),
            Text(edge_text(w.t_before, w.before_interval)),
            Text(edge_text(w.t_after, w.after_interval)),
            ", ".join(statuses),
        )
    if len(order) > limit:
        table.add_row(f"... {len(order) - limit} more in windows.csv", "", "", "")
    return table


def edge_text(value: float | None, interval: Interval | None) -> str:
    """Return ``2.68 [2.46, 2.87]``, with a dash where there is no point."""
    point = "-" if value is None else f"{value:.4g}"
    if interval is None or (value is not None and interval[0] == interval[1]):
        return point
    return f"{point} [{interval[0]:.4g}, {interval[1]:.4g}]"


def windows_rows(results: Sequence[ProcessWindows]) -> list[dict[str, Any]]:
    """Return one flat row per window: classes, then pairs, each in the order of decision."""
    rows = []
    for result in results:
        for a in decision_order(result.classes):
            rows.append({"process": result.name, "kind": "class", "a": a, "b": "", **_row(result.classes[a])})
        for a, b in decision_order(result.pairs):
            rows.append({"process": result.name, "kind": "pair", "a": a, "b": b, **_row(result.pairs[a, b])})
    return rows


def _row(window: Window) -> dict[str, Any]:
    row = window.to_dataframe().iloc[0].to_dict()
    row.pop("name")
    return {"t_after": row.pop("t_after"), "t_before": row.pop("t_before"), **row}


def windows_frame(results: Sequence[ProcessWindows]) -> pd.DataFrame:
    """Return ``windows_rows`` as a data frame.

    Args:
        results: of a run, one a process.

    Returns:
        A row for each window.

    """
    results = checked_all(results, "results", ProcessWindows, "ProcessWindows")
    import pandas as pd

    return pd.DataFrame(windows_rows(results))


def curves_dataset(results: Sequence[ProcessWindows]) -> xr.Dataset:
    """Return every curve of a run on dimensions ``process`` and ``step`` (noise levels, increasing).

    Variables ``time``, ``information`` and ``clones`` ``[process, step]``; ``tv_class`` ``[process, class, step]``
    (each class against the rest); ``tv_pair`` ``[process, pair, step]``; ``labels`` ``[process, start, step, label]``.
    Each with ``_lower`` and ``_upper``, a band that holds for the whole curve at once; the attribute ``delta`` is the
    largest error level of one curve's band, the attribute ``axes`` of ``time`` says what each process's times are.

    Args:
        results: of a run, one a process.

    Returns:
        The dataset.

    """
    results = checked_all(results, "results", ProcessWindows, "ProcessWindows", 1)
    import xarray as xr

    first = results[0]
    keys = {
        "tv_class": [k for k in first.curves if k[0] == "class"],
        "tv_pair": [k for k in first.curves if k[0] == "pair"],
        "labels": [k for k in first.curves if k[0] == "labels"],
    }
    coords: dict[str, Any] = {"process": [r.name for r in results]}
    data: dict[str, Any] = {"time": (("process", "step"), np.stack([r.times for r in results]))}
    for name in ("information", "clones"):
        data |= _stacked(name, ("process", "step"), [r.curves[name] for r in results])
    for name, dim, words in (("tv_class", "class", lambda k: k[1]), ("tv_pair", "pair", lambda k: f"{k[1]} | {k[2]}")):
        if keys[name]:
            coords[dim] = [words(k) for k in keys[name]]
            data |= _stacked(name, ("process", dim, "step"), [[r.curves[k] for k in keys[name]] for r in results])
    if keys["labels"]:
        coords |= {"start": [k[1] for k in keys["labels"]], "label": list(first.curves[keys["labels"][0]].labels)}
        data |= _stacked(
            "labels", ("process", "start", "step", "label"), [[r.curves[k] for k in keys["labels"]] for r in results]
        )
    attrs = {
        "quantity": "curves of a window run",
        "draws": [r.draws for r in results],
        "method": first.curves["information"].method,
    }
    dataset = xr.Dataset(data, coords, attrs)
    dataset["time"].attrs |= {"long_name": "noise level", "axes": [r.curves["information"].time_axis for r in results]}
    dataset["information"].attrs["units"] = "bits"
    return dataset


def _stacked(name: str, dims: tuple[str, ...], curves: Any) -> dict[str, Any]:
    def values(field: str, node: Any) -> np.ndarray:
        if isinstance(node, Curve):
            return np.asarray(getattr(node, field), np.float64)
        return np.stack([values(field, part) for part in node])

    fields = {"": "value", "_lower": "lower", "_upper": "upper"}
    level = {"delta": float(np.max(values("delta", curves)))}
    return {f"{name}{suffix}": (dims, values(field, curves), dict(level)) for suffix, field in fields.items()}
