"""Everything behind ``sloc replay``: the block of draws at which a run met NaN, evaluated alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.engine import Replayed, is_leader
from sloc.engine.plan import Plan
from sloc.report.checkpoints import read_failure
from sloc.report.command_run import print_json
from sloc.report.run_record import request_from

if TYPE_CHECKING:
    from rich.console import Console


def run_replay(path: str | os.PathLike[str], *, json: bool = False, console: Console | None = None) -> dict[str, Any]:
    """Evaluate alone the key block at which a run with checkpoints met NaN, and say what came out.

    Stages before it are read from their checkpoints.

    Args:
        path: the run's output folder (its checkpoints lie beside it), or the checkpoint folder; of ``sloc window``,
            ``sloc tree`` or ``sloc uturn``, whose draws come in blocks.
        json: print one JSON object.
        console: where the answer goes; standard output when None.

    Returns:
        ``{"command", "stage", "block", "arrays"}``: for each array of the kernel its shape, how many of its values are
        NaN, and where the first of them is.

    Raises:
        InvalidInput: no such run, or its data have changed.

    """
    from rich.console import Console

    console = Console() if console is None else console
    command, arguments, where, stages = read_failure(path)
    wanted = f"a run of sloc {', '.join(_AGAIN)}, whose draws come in blocks; this is one of sloc {command}"
    require(command in _AGAIN, "FOLDER", str(path), wanted)
    try:
        _AGAIN[command](arguments, Console(stderr=True, quiet=True), partial(Plan, checkpoint=stages, replay=where))
    except Replayed as found:
        arrays = []
        for value in jax.tree.leaves(found.values):
            wrong = np.argwhere(np.isnan(value))
            first = wrong[0].tolist() if len(wrong) else None
            arrays.append({"shape": list(value.shape), "nan": len(wrong), "first": first})
        record = {"command": command, "stage": found.stage, "block": found.block, "arrays": arrays}
    else:
        raise InvalidInput(f"FOLDER = {str(path)!r}: expected the run that failed; stage {where[0]} did not come up")
    if not is_leader():
        return record
    if json:
        print_json(record, console)
        return record
    console.print(f"block {record['block']} of stage {record['stage']}, alone:", highlight=False)
    for array in arrays:
        shape = " x ".join(map(str, array["shape"]))
        console.print(
            f"  {shape} values, {array['nan']:,} of them NaN"
            + (f", first at {array['first']}" if array["nan"] else ""),
            highlight=False,
            markup=False,
        )
    return record


def _window(arguments: Mapping[str, Any], log: Console, plan: Callable[..., Plan]) -> None:
    from sloc.report.window_command import WindowRequest, checked_request, measured

    request = request_from(WindowRequest, arguments, "FOLDER: expected the checkpoints of a window run")
    measured(request, *checked_request(request), log, plan(devices=request.settings.devices))


def _tree(arguments: Mapping[str, Any], log: Console, plan: Callable[..., Plan]) -> None:
    from sloc.report.tree_command import grown
    from sloc.report.window_command import WindowRequest, checked_request

    request = request_from(WindowRequest, arguments, "FOLDER: expected the checkpoints of a tree run")
    grown(request, *checked_request(request), log, plan(devices=request.settings.devices))


def _uturn(arguments: Mapping[str, Any], log: Console, plan: Callable[..., Plan]) -> None:
    from sloc.report.uturn_command import UturnRequest, loaded, turned

    request = request_from(UturnRequest, arguments, "FOLDER: expected the checkpoints of a uturn run")
    turned(request, loaded(request), log, plan())


_AGAIN: dict[str, Callable[[Mapping[str, Any], Console, Callable[..., Plan]], None]] = {
    "window": _window,
    "tree": _tree,
    "uturn": _uturn,
}
"""The commands whose draws come in blocks, and how their runs are done once more."""
