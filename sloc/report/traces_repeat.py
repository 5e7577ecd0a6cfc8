"""``sloc traces --from run.json``: the run of a former folder once more."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sloc.contracts import named
from sloc.report.output import check_run_folder
from sloc.report.recorded_command import run_recorded
from sloc.report.run_record import read_run_json, repeated
from sloc.report.traces_command import run_traces
from sloc.windows.binomial_rise import RiseStatistic
from sloc.windows.multiplicity import Across, Within

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """Arguments of a run on recorded branches."""

    table: str
    size: float
    alpha: float
    gap: float | None
    level: float
    adjacent: bool | None = None


@dataclass(frozen=True, kw_only=True)
class _Table(_Recorded):
    """Arguments of a run on a table."""

    rise: float
    max_drop: float | None
    correction: Within
    across: Across
    statistic: RiseStatistic
    move_alpha: float


def repeat_traces(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    *,
    overwrite: bool = False,
    json: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Repeat a run of ``sloc traces``, on a table or on recorded branches, with the settings that it recorded.

    Args:
        path: its ``run.json``, or the folder that holds it.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of tables.
        console: where to print; standard output when None.

    Returns:
        What the first run returned.

    Raises:
        InvalidInput: no such file, not the record of such a run, or a table that has changed since.

    """
    if out is not None:
        check_run_folder(out, overwrite)
    plain = "rise" in read_run_json(path, "traces")[0]
    settings = asdict(repeated(_Table if plain else _Recorded, path, "traces", "table"))
    run: Any = run_traces if plain else run_recorded
    with named("table", "path"):
        return run(settings.pop("table"), out, **settings, overwrite=overwrite, json=json, console=console)
