"""Other people's recordings: forking-fast stores, and plain tables of answers."""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, named, require
from sloc.contracts.arguments import checked_file, checked_kind
from sloc.contracts.writing import checked_target, write_whole
from sloc.results.resampled import Axis
from sloc.windows.forking_fast import from_forking_fast, names_itself, to_forking_fast
from sloc.windows.recorded import Recording, make_branch, make_recording
from sloc.windows.recorded_checks import MOST_WHOLE, WEIGHT_SLACK
from sloc.windows.recorded_write import packed
from sloc.windows.traces_file import column_names, read_frame
from sloc.windows.traces_table import as_text, checked_column, checked_rows, stated_reference


def read_forking_fast(path: str | os.PathLike[str], question: str | None = None) -> tuple[Recording, tuple[str, ...]]:
    """Read one question of a forking-fast store (``rowNNN.json`` or ``.json.gz``).

    Args:
        path: the file.
        question: its name; when None what the file says (``row_id`` of its ``meta``, unless a recording of another name
            was written to it), or, where it says nothing, the file's name without its ending.

    Returns:
        The recording, everything else of the file in its ``meta``, and notes.

    Raises:
        InvalidInput: a file that is cut or is no such store, or recordings that break a rule of
            :class:`sloc.windows.Recording`.

    """
    file, shown = checked_file(path, "path", "a file that exists"), str(path)
    checked_kind(question, "question", str, "a name, or None", optional=True)
    try:
        raw = gzip.decompress(file.read_bytes()) if file.name.endswith(".gz") else file.read_bytes()
        record = json.loads(raw)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InvalidInput(
            f"path = {shown!r}: expected complete JSON (is the file cut in the middle?): {error}"
        ) from error
    if question is None and isinstance(record, Mapping) and not names_itself(record):
        question = file.name.removesuffix(".gz").removesuffix(".json") or file.name
    try:
        return from_forking_fast(record, question)
    except InvalidInput as error:
        raise InvalidInput(f"{shown}: {error}") from error


def write_forking_fast(path: str | os.PathLike[str], recording: Recording) -> Path:
    """Write ``to_forking_fast`` to a ``.json`` or ``.json.gz`` file that appears whole or not at all.

    Args:
        path: the file.
        recording: one question.

    Returns:
        The path.

    Raises:
        InvalidInput: another ending, no place for a file, or as ``to_forking_fast``; then nothing is written.
        OSError: the disk is full.

    """
    file = checked_target(path)
    checked_kind(recording, "recording", Recording, "a Recording")
    require(file.name.endswith((".json", ".json.gz")), "path", str(path), "a name that ends in .json or .json.gz")
    text = json.dumps(to_forking_fast(recording), ensure_ascii=False, allow_nan=False)
    return write_whole(file, packed(file, text))


def names_branches(path: str | os.PathLike[str]) -> bool:
    """Whether a table has a column of branches or of their weights; False for anything that cannot be read."""
    try:
        return bool({"branch", "branch_weight"} & column_names(path))
    except (InvalidInput, OSError, EOFError, zlib.error):
        return False


def recordings_from_table(source: Any) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Take a plain table ``question, fraction | position, answer`` as recordings of one branch a position.

    Optional columns: ``draw`` (a number, the order; a repeated draw counts once and may not contradict itself),
    ``reference``, ``cost`` (for all draws of a branch, or none), and ``branch`` with ``branch_weight`` and ``taken``
    (absent: true if branches are named).

    The full generation's answer is found as in a table of counts (``sloc.windows.traces_table``): the column
    ``reference``, else the rows at fraction 1, or, of positions without branches, a single row at the last; those rows
    become ``reference`` and are no point of the curve.

    **A table keeps** every question, position, branch, weight and token taken, the draws in their order with their
    answers and costs, and the full generation's answer: ``recordings_from_table(recording.to_frame())`` has them to the
    last bit.  **It cannot carry**, and so loses:

    - answers that were possible and never seen, and the order of the categories (now of first appearance, the full
      generation's answer before all others);
    - the order of the branches of one position (now by name);
    - the full generation's length (now 1, or the last position if that is beyond), positions that were to be drawn at
      and were not, ``meta``, ``extra`` and ``layout``;
    - branches at fraction 1, which here say what the full generation answered;
    - what no cell can say: blanks around answers and names of questions are taken off, those that are then empty,
      ``nan``, ``NaT`` or ``<NA>`` are missing, and positions that agree to twelve decimals are one.

    Only a store (:func:`sloc.windows.write_store`) keeps all.  What is known may be added:
    ``dataclasses.replace(recording, categories=(*recording.categories, "C"), full=120.0, expected=positions)``.

    Args:
        source: a data frame, or the path of a CSV, JSONL or Parquet file.

    Returns:
        The recordings, in order of first appearance, and notes.

    Raises:
        InvalidInput: a column or cell is missing or of another kind, draws contradict one another, draws have weights
            of their own (take :func:`sloc.windows.trace_table`), or a rule of the recordings is broken.

    """
    import pandas as pd

    checked_kind(source, "source", (pd.DataFrame, str, os.PathLike), "a table (a pandas.DataFrame), or a file of one")
    if isinstance(source, (str, os.PathLike)):
        with named("source", "path"):
            source = read_frame(source)
    read: Any = source
    columns = list(read.columns)
    has_branches = "branch" in columns
    require(has_branches == ("branch_weight" in columns), "columns", columns, "both `branch` and `branch_weight`")
    require(
        has_branches or "weight" not in columns,
        "columns",
        columns,
        "no `weight`: draws with weights of their own are a table of counts (trace_table); state `branch_weight`",
    )
    own: dict[str, Any] = {
        "branch": _names(read["branch"]) if has_branches else [""] * len(read),
        "own_branch_weight": checked_column(read, "branch_weight", 0.0, 1.0 + WEIGHT_SLACK, "a probability in (0, 1]")
        if has_branches
        else 1.0,
        # Where no branch is named, no token is known to have been taken: weight 1 is no probability of one.
        "own_taken": _truths(read["taken"]) if "taken" in columns else has_branches,
    }
    plain = read.drop(columns=["weight"], errors="ignore")
    if "cost" in columns:
        own["own_cost"] = _costs(read)
    if "draw" in columns:
        draw = checked_column(read, "draw", -math.inf, math.inf, "a number, the order of the draws")
        own["own_draw"] = draw
        # A draw's number is counted within its branch here, within its position in a table of counts.  A name is
        # written in quotation marks, for one may differ from another by a blank.
        numbers = [as_text(d) for d in draw.tolist()]
        names = [f" of branch {b!r}" if has_branches else "" for b in own["branch"]]
        plain = plain.assign(draw=[f"{d}{b}" for d, b in zip(numbers, names, strict=True)])
    rows, axis, notes = checked_rows(plain, own)
    # Places as they were given; those of the rows are rounded.
    rows["own_place"] = checked_column(read, axis, 0.0, math.inf, "a number")[rows.index]
    recordings: list[Recording] = []
    said = list(notes)
    for name, group in rows.groupby("question", sort=False):
        recording, found = _from_rows(str(name), group, axis, has_branches)
        recordings.append(recording)
        said.extend(found)
    return tuple(recordings), tuple(said)


def _names(column: Any) -> list[str]:
    """Names of branches: texts as they are, empty ones and blanks too, since tokens are such; numbers as text."""
    names = [v if isinstance(v, str) else as_text(v) for v in column.tolist()]
    missing = next((i for i, v in enumerate(names) if v is None), None)
    if missing is not None:
        raise InvalidInput(f"column branch, row {missing + 1}: expected the name of a branch; it is missing")
    return [str(v) for v in names]


def _truths(column: Any) -> list[bool]:
    known = {"true": True, "1": True, "false": False, "0": False}
    texts = [(as_text(v) or "").lower() for v in column.tolist()]
    wrong = next((i for i, v in enumerate(texts) if v not in known), None)
    if wrong is not None:
        raise InvalidInput(f"column taken, row {wrong + 1} = {column.iloc[wrong]!r}: expected true or false")
    return [known[v] for v in texts]


def _costs(read: Any) -> np.ndarray:
    """Costs of the draws, NaN where the cell is missing."""
    column = read["cost"]
    missing = np.asarray([as_text(v) is None for v in column.tolist()])
    filled = read.assign(cost=column.astype(object).where(~missing, 0))
    costs = checked_column(filled, "cost", 0.0, float(MOST_WHOLE), "a whole number of tokens", whole=True)
    return np.where(missing, np.nan, costs)


def _costs_of_branch(own: Any) -> np.ndarray | None:
    missing = np.flatnonzero(own["own_cost"].isna())
    if missing.size == len(own):
        return None
    if missing.size:
        row = int(own.index[missing[0]]) + 1
        raise InvalidInput(f"column cost, row {row} = nan: expected a whole number, as other draws of the branch have")
    return own["own_cost"].to_numpy(np.int64)


def _from_rows(name: str, rows: Any, axis: Axis, has_branches: bool) -> tuple[Recording, tuple[str, ...]]:
    full = 1.0 if axis == "fraction" else max(float(rows["own_place"].max()), 1.0)
    # With branches a position's single row is a draw: a branch says of itself that it was continued.
    reference, rows = stated_reference(name, rows, axis, single=not has_branches)
    require(len(rows) > 0, f"question {name!r}", "no resampled answers", "resamples at one position at least")
    seen = [] if reference is None else [reference]
    categories = tuple(dict.fromkeys(str(answer) for answer in [*seen, *rows["answer"].tolist()]))
    # To the last bit, where all rows of a position say the same.
    least, most = (rows.groupby("kept")["own_place"].transform(how) for how in ("min", "max"))
    rows = rows.assign(own_place=rows["own_place"].where(least == most, rows["kept"]))
    branches = []
    for (kept, branch), own in rows.groupby(["kept", "branch"], sort=True):
        where = f"question {name!r}, {axis} {kept:g}" + (f", branch {branch!r}" if branch else "")
        if "own_draw" in own:
            own = own.sort_values("own_draw", kind="stable")
        weights, taken = (sorted(set(own[c].tolist())) for c in ("own_branch_weight", "own_taken"))
        require(len(weights) == 1, f"{where}, branch_weight", weights, "one weight for all draws of a branch")
        require(len(taken) == 1, f"{where}, taken", taken, "one value for all draws of a branch")
        costs = _costs_of_branch(own) if "own_cost" in own else None
        place, answers = float(own["own_place"].iloc[0]), own["answer"].tolist()
        branches.append(
            make_branch(where, categories, answers, place, str(branch), weights[0], taken=taken[0], costs=costs)
        )
    return make_recording(name, categories, branches, axis=axis, full=full, reference=reference)
