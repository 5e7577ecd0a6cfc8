"""Other people's recordings: forking-fast stores, and plain tables of answers."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_file, checked_kind, checked_path
from sloc.results.resampled import Axis
from sloc.windows.recorded import Branch, Recording, make_branch, make_recording
from sloc.windows.traces_file import read_frame
from sloc.windows.traces_table import checked_rows

_OWN = ("branches", "categories", "idxs")
_BRANCH = ("t", "tok_id", "tok_p", "is_base", "answers", "cont_lens")


def read_forking_fast(path: str | os.PathLike[str], question: str | None = None) -> tuple[Recording, tuple[str, ...]]:
    """Read one question of a forking-fast store (``rowNNN.json`` or ``.json.gz``).

    Args:
        path: the file.
        question: its name; ``row_id`` of the file's ``meta`` when None.

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
    return from_forking_fast(record, question)


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
    name = str(meta.get("meta", {}).get("row_id", "")) if question is None else question
    require(bool(name), "question", question, "a name, where the store has no meta.row_id")
    categories = tuple(str(c) for c in record["categories"])
    branches = []
    for i, b in enumerate(record["branches"]):
        where = f"question {name!r}, branches[{i}]"
        require(isinstance(b, Mapping), where, b, "a JSON object")
        lacking = [k for k in _BRANCH if k not in b and k != "cont_lens"]
        require(not lacking, where, lacking, "a branch with " + ", ".join(_BRANCH))
        extra = {"tok_id": b["tok_id"], **{k: v for k, v in b.items() if k not in _BRANCH}}
        branches.append(
            make_branch(
                f"{where}, position {b['t']}",
                categories,
                b["answers"],
                b["t"],
                str(b["tok_id"]),
                b["tok_p"],
                taken=bool(b["is_base"]),
                costs=b.get("cont_lens"),
                extra=extra,
            )
        )
    tokens = meta.get("base", {}).get("gen_ids") or []
    last = max((b.position for b in branches), default=0.0)
    return make_recording(
        name,
        categories,
        branches,
        full=float(max(len(tokens), last, 1.0)),
        expected=tuple(float(t) for t in record["idxs"]),
        meta=meta,
    )


def to_forking_fast(recording: Recording) -> dict[str, Any]:
    """Return the JSON object of a forking-fast store: what :func:`from_forking_fast` read, as it was.

    Args:
        recording: read from such a store, or any with whole positions.

    Returns:
        The object.

    """

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


def recordings_from_table(source: Any) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Take a plain table ``question, fraction | position, answer`` as recordings of one branch a position.

    Optional columns: ``draw`` (the order; a repeated draw counts once and may not contradict itself), ``reference``,
    ``cost``, and ``branch`` with ``branch_weight`` and ``taken``.

    Args:
        source: a data frame, or the path of a CSV, JSONL or Parquet file.

    Returns:
        The recordings, in order of first appearance, and notes.

    Raises:
        InvalidInput: a column or cell is missing, draws contradict one another, draws have weights of their own
            (take :func:`sloc.windows.traces_table.trace_table`), or a rule of the recordings is broken.

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
    # A draw's number is counted within its branch here, within its position in a table of counts.
    keys = [str(b) for b in read["branch"].tolist()] if has_branches else [""] * len(read)
    plain = read.drop(columns=["weight"], errors="ignore")
    if "draw" in columns:
        plain = plain.assign(draw=[f"{b} {d}".strip() for b, d in zip(keys, read["draw"].tolist(), strict=True)])
    rows, axis, notes = checked_rows(plain)
    rows = rows.assign(branch=[keys[i] for i in rows.index])
    for column, default in (("branch_weight", 1.0), ("taken", True), ("cost", None), ("draw", None)):
        if column in columns:
            rows[f"own_{column}"] = [read[column].iloc[i] for i in rows.index]
        elif default is not None:
            rows[f"own_{column}"] = default
    recordings: list[Recording] = []
    said = list(notes)
    for name, own in rows.groupby("question", sort=False):
        recording, found = _from_rows(str(name), own, axis)
        recordings.append(recording)
        said.extend(found)
    return tuple(recordings), tuple(said)


def _from_rows(name: str, rows: Any, axis: Axis) -> tuple[Recording, tuple[str, ...]]:
    references = [r for r in dict.fromkeys(rows["reference"].tolist()) if isinstance(r, str)]
    require(len(references) < 2, f"question {name!r}, reference", references, "one answer of the full generation")
    categories = tuple(dict.fromkeys([*references, *rows["answer"].tolist()]))
    full = 1.0 if axis == "fraction" else max(float(rows["kept"].max()), 1.0)
    branches = []
    for (kept, branch), own in rows.groupby(["kept", "branch"], sort=True):
        where = f"question {name!r}, {axis} {kept:g}" + (f", branch {branch!r}" if branch else "")
        if "own_draw" in own:
            own = own.assign(order=[float(d) for d in own["own_draw"]]).sort_values("order", kind="stable")
        weights = sorted({float(w) for w in own["own_branch_weight"]})
        require(len(weights) == 1, f"{where}, branch_weight", weights, "one weight for all draws of a branch")
        costs = [int(c) for c in own["own_cost"]] if "own_cost" in own else None
        taken = str(own["own_taken"].iloc[0]).lower() in ("true", "1")
        answers = own["answer"].tolist()
        branches.append(
            make_branch(where, categories, answers, float(kept), str(branch), weights[0], taken=taken, costs=costs)
        )
    reference = references[0] if references else None
    return make_recording(name, categories, branches, axis=axis, full=full, reference=reference)
