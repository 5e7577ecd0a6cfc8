"""Other people's recordings: forking-fast stores, and plain tables of answers."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_file, checked_kind, checked_path
from sloc.results.resampled import Axis
from sloc.windows.recorded import Branch, Recording, make_branch, make_recording
from sloc.windows.recorded_checks import WEIGHT_SLACK, checked_categories, checked_list, checked_place, checked_truth
from sloc.windows.traces_file import column_names, read_frame
from sloc.windows.traces_table import as_text, checked_column, checked_rows, stated_reference

_OWN = ("branches", "categories", "idxs")
_BRANCH = ("t", "tok_id", "tok_p", "is_base", "answers", "cont_lens")


def read_forking_fast(path: str | os.PathLike[str], question: str | None = None) -> tuple[Recording, tuple[str, ...]]:
    """Read one question of a forking-fast store (``rowNNN.json`` or ``.json.gz``).

    Args:
        path: the file.
        question: its name; when None ``row_id`` of the file's ``meta``, or, without one, the file's name without its
            ending.

    Returns:
        The recording, everything else of the file in its ``meta``, and notes.

    Raises:
        InvalidInput: a file that is cut or is no such store, or recordings that break a rule (see
            :func:`sloc.windows.recorded.make_recording`).

    """
    file, shown = checked_file(path, "file", "a file that exists"), str(path)
    checked_kind(question, "question", str, "a name, or None", optional=True)
    try:
        raw = gzip.decompress(file.read_bytes()) if file.name.endswith(".gz") else file.read_bytes()
        record = json.loads(raw)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InvalidInput(
            f"file = {shown!r}: expected complete JSON (is the file cut in the middle?): {error}"
        ) from error
    if question is None and isinstance(record, Mapping) and not _row_id(record):
        question = file.name.removesuffix(".gz").removesuffix(".json") or file.name
    try:
        return from_forking_fast(record, question)
    except InvalidInput as error:
        raise InvalidInput(f"{shown}: {error}") from error


def _row_id(record: Mapping[str, Any]) -> str:
    """Name of a question by its ``meta.row_id``; empty where there is none."""
    meta = record.get("meta")
    found = meta.get("row_id") if isinstance(meta, Mapping) else None
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def from_forking_fast(record: Any, question: str | None = None) -> tuple[Recording, tuple[str, ...]]:
    """Take over the JSON object of one question of a forking-fast store.

    Args:
        record: with ``branches`` (each ``t, tok_id, tok_p, is_base, answers, cont_lens``), ``categories``, ``idxs``.
        question: its name; ``row_id`` of ``meta`` when None.

    Returns:
        As :func:`read_forking_fast`.

    Raises:
        InvalidInput: as :func:`read_forking_fast`.

    """
    require(isinstance(record, Mapping), "record", record, "a JSON object")
    for name in _OWN:
        require(isinstance(record.get(name), list), f"record, {name}", record.get(name), "a list")
    meta = {k: v for k, v in record.items() if k not in _OWN}
    for key in ("meta", "base"):
        require(isinstance(meta.get(key, {}), (Mapping, type(None))), f"record, {key}", meta.get(key), "a JSON object")
    name = _row_id(record) if question is None else question
    require(bool(name), "question", question, "a name, where the store has no meta.row_id")
    categories = checked_categories(record["categories"], f"question {name!r}, categories")
    expected = [checked_place(t, f"question {name!r}, idxs[{i}]") for i, t in enumerate(record["idxs"])]
    tokens = (meta.get("base") or {}).get("gen_ids")
    require(tokens is None or isinstance(tokens, list), f"question {name!r}, base, gen_ids", tokens, "a list")
    branches = []
    for i, b in enumerate(record["branches"]):
        where = f"question {name!r}, branches[{i}]"
        require(isinstance(b, Mapping), where, b, "a JSON object")
        lacking = [k for k in _BRANCH if k not in b and k != "cont_lens"]
        require(not lacking, where, lacking, "a branch with " + ", ".join(_BRANCH))
        token = b["tok_id"]
        good = isinstance(token, (int, str)) and not isinstance(token, bool)
        require(good, f"{where}, tok_id", token, "a whole number or a text")
        extra = {"tok_id": token, **{k: v for k, v in b.items() if k not in _BRANCH}}
        branches.append(
            make_branch(
                f"{where}, position {b['t']}",
                categories,
                checked_list(b["answers"], f"{where}, position {b['t']}, answers"),
                b["t"],
                str(token),
                b["tok_p"],
                taken=checked_truth(b["is_base"], f"{where}, position {b['t']}, is_base"),
                costs=b.get("cont_lens"),
                extra=extra,
            )
        )
    last = max((b.position for b in branches), default=0.0)
    return make_recording(
        name,
        categories,
        branches,
        full=float(max(len(tokens or []), last, 1.0)),
        expected=tuple(expected),
        meta=meta,
    )


def to_forking_fast(recording: Recording) -> dict[str, Any]:
    """Return the JSON object of a forking-fast store: what :func:`from_forking_fast` read, as it was.

    Args:
        recording: read from such a store, or any with whole positions.

    Returns:
        The object.

    """
    places = [*recording.positions.tolist(), *(recording.expected or ())]
    whole = recording.axis == "position" and all(float(t).is_integer() for t in places)
    require(whole, f"question {recording.question!r}, positions", recording.axis, "whole positions of tokens")

    def written(b: Branch) -> dict[str, Any]:
        extra = dict(b.extra)
        return {
            "t": int(b.position),
            "tok_id": extra.pop("tok_id", b.name),
            "tok_p": b.weight,
            "is_base": b.taken,
            "answers": [recording.categories[a] for a in b.answers],
            **({} if b.costs is None else {"cont_lens": b.costs.tolist()}),
            **extra,
        }

    return {
        **recording.meta,
        "idxs": [int(t) for t in recording.expected or recording.positions],
        "categories": list(recording.categories),
        "branches": [written(b) for b in recording.branches],
    }


def write_forking_fast(path: str | os.PathLike[str], recording: Recording) -> Path:
    """Write :func:`to_forking_fast` to a ``.json`` or ``.json.gz`` file that appears whole or not at all.

    Args:
        path: the file.
        recording: one question.

    Returns:
        The path.

    """
    file = Path(checked_path(path, "file"))
    checked_kind(recording, "recording", Recording, "a Recording")
    require(file.name.endswith((".json", ".json.gz")), "file", str(path), "a name that ends in .json or .json.gz")
    raw = json.dumps(to_forking_fast(recording), ensure_ascii=False).encode()
    temporary = file.parent / f".{file.name}.partial-{secrets.token_hex(4)}"
    try:
        temporary.write_bytes(gzip.compress(raw, mtime=0) if file.name.endswith(".gz") else raw)
        os.replace(temporary, file)
    except OSError as error:
        raise InvalidInput(f"file = {str(path)!r}: expected a place that can be written to ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return file


def names_branches(path: str | os.PathLike[str]) -> bool:
    """Whether a table has a column of branches or of their weights; False for anything that cannot be read."""
    try:
        return bool({"branch", "branch_weight"} & column_names(path))
    except (InvalidInput, OSError, EOFError, zlib.error):
        return False


def recordings_from_table(source: Any) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Take a plain table ``question, fraction | position, answer`` as recordings of one branch a position.

    Optional columns: ``draw`` (a number, the order; a repeated draw counts once and may not contradict itself),
    ``reference``, ``cost``, and ``branch`` with ``branch_weight`` and ``taken`` (absent: true if branches are named).

    The full generation's answer is found as in a table of counts (:mod:`sloc.windows.traces_table`): the column
    ``reference``, else the rows at fraction 1, or, of positions without branches, a single row at the last; those rows
    become ``reference`` and are no point of the curve.

    **A table cannot carry** answers that were possible and never seen, the full generation's length beyond the last
    position, positions that were to be drawn at and were not, and ``meta`` or ``extra``; so
    ``recordings_from_table(recording.to_frame())`` keeps every draw, weight and cost, and loses these.  Only a store
    (:func:`sloc.windows.write_store`) keeps all.  What is known may be added:
    ``dataclasses.replace(recording, categories=(*recording.categories, "C"), full=120.0, expected=positions)``.

    Args:
        source: a data frame, or the path of a CSV, JSONL or Parquet file.

    Returns:
        The recordings, in order of first appearance, and notes.

    Raises:
        InvalidInput: a column or cell is missing or of another kind, draws contradict one another, draws have weights
            of their own (take :func:`sloc.windows.traces_table.trace_table`), or a rule of the recordings is broken.

    """
    import pandas as pd

    checked_kind(source, "source", (pd.DataFrame, str, os.PathLike), "a table (a pandas.DataFrame), or a file of one")
    read: Any = read_frame(source) if isinstance(source, (str, os.PathLike)) else source
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
        own["own_cost"] = checked_column(read, "cost", 0.0, 2.0**53, "a whole number of tokens", whole=True)
    if "draw" in columns:
        draw = checked_column(read, "draw", -math.inf, math.inf, "a number, the order of the draws")
        own["own_draw"] = draw
        # A draw's number is counted within its branch here, within its position in a table of counts.
        numbers = [as_text(d) for d in draw.tolist()]
        plain = plain.assign(draw=[f"{b} {d}".strip() for b, d in zip(own["branch"], numbers, strict=True)])
    rows, axis, notes = checked_rows(plain)
    own = {k: [v[i] for i in rows.index] if isinstance(v, (list, np.ndarray)) else v for k, v in own.items()}
    rows = rows.assign(**own)
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


def _from_rows(name: str, rows: Any, axis: Axis, has_branches: bool) -> tuple[Recording, tuple[str, ...]]:
    last = float(rows["kept"].max())
    # With branches a position's single row is a draw: a branch says of itself that it was continued.
    reference, rows = stated_reference(name, rows, axis, single=not has_branches)
    require(len(rows) > 0, f"question {name!r}", "no resampled answers", "resamples at one position at least")
    seen = [] if reference is None else [reference]
    categories = tuple(dict.fromkeys(str(answer) for answer in [*seen, *rows["answer"].tolist()]))
    full = 1.0 if axis == "fraction" else max(last, 1.0)
    branches = []
    for (kept, branch), own in rows.groupby(["kept", "branch"], sort=True):
        where = f"question {name!r}, {axis} {kept:g}" + (f", branch {branch!r}" if branch else "")
        if "own_draw" in own:
            own = own.sort_values("own_draw", kind="stable")
        weights, taken = (sorted(set(own[c].tolist())) for c in ("own_branch_weight", "own_taken"))
        require(len(weights) == 1, f"{where}, branch_weight", weights, "one weight for all draws of a branch")
        require(len(taken) == 1, f"{where}, taken", taken, "one value for all draws of a branch")
        costs = own["own_cost"].to_numpy(np.int64) if "own_cost" in own else None
        answers = own["answer"].tolist()
        branches.append(
            make_branch(where, categories, answers, float(kept), str(branch), weights[0], taken=taken[0], costs=costs)
        )
    return make_recording(name, categories, branches, axis=axis, full=full, reference=reference)
