"""The store of recorded resamples on disk: JSON lines or Parquet, written whole or not at all.

**JSONL** (``.jsonl``, ``.jsonl.gz``), one object a line:

1. ``{"format": "sloc-traces", "version": 1}``
2. for each question ``{"question", "categories", "axis", "full", "reference", "expected", "meta"}`` (and
   ``"layout"`` where there is one), then for each of its branches ``{"position", "branch", "weight", "taken",
   "answers": [...], "costs": [...] or null, "extra": {...}}``, answers as text in the order of the draws;
3. ``{"end": number of lines before}``: a file that was cut has no such line.

**Parquet**: one row per draw with the columns ``question, position, branch, weight, taken, draw, answer, cost``, in any
order; what is said of questions and branches lies in the file's metadata under ``sloc-traces``:
``{"version": 1, "questions": [...], "branches": [...]}``, for each question a list of ``{"position", "branch", "draws":
number of them, "extra"}``, so that nothing can be lost or mixed up unseen.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_all, checked_file
from sloc.contracts.extras import need
from sloc.contracts.writing import checked_target, write_whole
from sloc.windows.recorded import Branch, Recording, make_branch, make_recording
from sloc.windows.recorded_checks import checked_categories, checked_list, checked_object, checked_place
from sloc.windows.recorded_write import check_storable, packed

FORMAT, VERSION = "sloc-traces", 1
STORE_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
_COLUMNS = ("question", "position", "branch", "weight", "taken", "draw", "answer", "cost")
_QUESTION = ("categories", "axis", "full", "reference", "expected")


def write_store(path: str | os.PathLike[str], recordings: Sequence[Recording]) -> Path:
    """Write recordings to a file that appears whole or not at all.

    Args:
        path: a name that ends in one of ``STORE_SUFFIXES``.
        recordings: one per question, names differing.

    Returns:
        The path.

    Raises:
        InvalidInput: another ending, no recordings, a question twice, a ``meta`` or ``extra`` that is not plain JSON
            (it would not come back as it is), or no place for a file.
        OSError: the disk is full.

    """
    file = checked_target(path)
    recordings = checked_all(recordings, "recordings", Recording, "Recordings")
    require(file.name.endswith(STORE_SUFFIXES), "path", str(path), f"a name that ends in one of {STORE_SUFFIXES}")
    require(len(recordings) > 0, "recordings", recordings, "at least one question")
    names = [r.question for r in recordings]
    require(len(set(names)) == len(names), "recordings", names, "questions of different names")
    for recording in recordings:
        check_storable(recording)
    if file.name.endswith(".parquet"):
        return write_whole(file, _parquet(recordings))
    return write_whole(file, packed(file, _text(recordings)))


def _text(recordings: Sequence[Recording]) -> str:
    lines = list(_lines(recordings))
    lines.append({"end": len(lines)})
    return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)


def _lines(recordings: Sequence[Recording]) -> Iterator[dict[str, Any]]:
    yield {"format": FORMAT, "version": VERSION}
    for recording in recordings:
        yield _question_record(recording)
        for branch in recording.branches:
            yield {
                "position": branch.position,
                "branch": branch.name,
                "weight": branch.weight,
                "taken": branch.taken,
                "answers": [recording.categories[a] for a in branch.answers],
                "costs": None if branch.costs is None else branch.costs.tolist(),
                "extra": dict(branch.extra),
            }


def _question_record(recording: Recording) -> dict[str, Any]:
    return {
        "question": recording.question,
        **{name: getattr(recording, name) for name in _QUESTION},
        "meta": dict(recording.meta),
        # Few recordings have one; a store without it is what earlier versions wrote.
        **({"layout": dict(recording.layout)} if recording.layout else {}),
    }


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like a store of recorded resamples; False for anything that cannot be read."""
    file = Path(path)
    try:
        if file.name.endswith(".parquet"):
            import pyarrow.parquet as parquet

            return FORMAT.encode() in (parquet.read_schema(file).metadata or {})
        with (gzip.open if file.name.endswith(".gz") else open)(file, "rt", encoding="utf-8") as stream:
            first = json.loads(stream.readline(200))
        return isinstance(first, dict) and first.get("format") == FORMAT
    except (OSError, ValueError, ImportError, EOFError, RecursionError, zlib.error):
        return False
    except Exception as error:  # pyarrow has exception classes of its own
        if type(error).__module__.startswith("pyarrow"):
            return False
        raise


def read_store(path: str | os.PathLike[str]) -> tuple[tuple[Recording, ...], tuple[str, ...]]:
    """Read a store, checked.

    Args:
        path: as written by :func:`write_store`.

    Returns:
        The recordings, one per question, and notes on what was noticed (see
        ``sloc.windows.recorded.make_recording``).

    Raises:
        InvalidInput: the file is no store, is cut in the middle, or breaks a rule of the recordings.

    """
    file, shown = checked_file(path, "path", "a file that exists"), str(path)
    pairs = list(_read_parquet(file, shown) if file.name.endswith(".parquet") else _read_jsonl(file, shown))
    names = [r.question for r, _ in pairs]
    require(len(set(names)) == len(names), "path", shown, f"every question once; found {sorted(names)}")
    return tuple(r for r, _ in pairs), tuple(note for _, notes in pairs for note in notes)


def _read_jsonl(file: Path, shown: str) -> Iterator[tuple[Recording, tuple[str, ...]]]:
    records: list[Any] = []
    try:
        with (gzip.open if file.name.endswith(".gz") else open)(file, "rt", encoding="utf-8") as stream:
            records.extend(json.loads(line) for line in stream if line.strip())
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InvalidInput(
            f"{shown}, line {len(records) + 1}: expected a complete store (is the file cut in the middle?): {error}"
        ) from error
    head = records[0] if records and isinstance(records[0], dict) else {}
    require(
        head.get("format") == FORMAT and head.get("version") == VERSION,
        f"{shown}, line 1",
        head,
        f'{{"format": "{FORMAT}", "version": {VERSION}}}',
    )
    last = records[-1]
    if not (isinstance(last, dict) and last.get("end") == len(records) - 1):
        raise InvalidInput(f"{shown}: expected a last line {{'end': {len(records)}}}; is the file cut in the middle?")
    question: dict[str, Any] | None = None
    branches: list[Branch] = []
    for number, record in enumerate(records[1:-1], 2):
        where = f"{shown}, line {number}"
        require(isinstance(record, dict), where, record, "a JSON object")
        if "question" in record:
            if question is not None:
                yield _assembled(f"{shown}, ", question, branches)
            question, branches = _said_of_question(where, record), []
            continue
        require(question is not None, where, record, "a question before its branches")
        assert question is not None
        branches.append(_branch(where, question, record))
    if question is not None:
        yield _assembled(f"{shown}, ", question, branches)


def _said_of_question(where: str, record: Any) -> dict[str, Any]:
    """What a store says of a question, with the kinds that JSON allows instead of one another told apart."""
    _check_fields(where, record, ("question", *_QUESTION, "meta"))
    name = record["question"]
    require(isinstance(name, str) and bool(name), f"{where}, question", name, "a name")
    for name in ("categories", "expected"):
        checked_list(record[name], f"{where}, {name}")
    checked_categories(record["categories"], f"{where}, categories")
    checked_object(record["meta"], f"{where}, meta")
    return record


def _check_fields(where: str, record: Any, names: Sequence[str]) -> None:
    checked_object(record, where)
    lacking = next((n for n in names if n not in record), None)
    if lacking is not None:
        raise InvalidInput(f"{where}: expected a field {lacking!r} (see the format)")


def _branch(where: str, question: dict[str, Any], record: dict[str, Any]) -> Branch:
    _check_fields(where, record, ("position", "branch", "weight", "taken", "answers", "costs"))
    return make_branch(
        where,
        tuple(question["categories"]),
        checked_list(record["answers"], f"{where}, answers"),
        record["position"],
        record["branch"],
        record["weight"],
        taken=record["taken"],
        costs=record["costs"],
        extra=record.get("extra", {}),
    )


def _assembled(where: str, question: dict[str, Any], branches: list[Branch]) -> tuple[Recording, tuple[str, ...]]:
    fields = {name: question[name] for name in (*_QUESTION, "meta") if name != "categories"}
    fields["layout"] = question.get("layout", {})
    try:
        return make_recording(question["question"], question["categories"], branches, **fields)
    except InvalidInput as error:
        raise InvalidInput(f"{where}{error}") from error


def _parquet(recordings: Sequence[Recording]) -> memoryview:
    pa, parquet = _arrow()
    columns: dict[str, list[Any]] = {k: [] for k in _COLUMNS}
    for recording in recordings:
        for b in recording.branches:
            n = b.answers.size
            said = (recording.question, b.position, b.name, b.weight, b.taken)
            for name, value in zip(("question", "position", "branch", "weight", "taken"), said, strict=True):
                columns[name].extend([value] * n)
            columns["draw"].extend(range(n))
            columns["answer"].extend(recording.categories[a] for a in b.answers)
            columns["cost"].extend([None] * n if b.costs is None else b.costs.tolist())
    said = {
        "version": VERSION,
        "questions": [_question_record(r) for r in recordings],
        "branches": [
            [
                {"position": b.position, "branch": b.name, "draws": int(b.answers.size), "extra": dict(b.extra)}
                for b in r.branches
            ]
            for r in recordings
        ],
    }
    integers = {"draw": pa.int64(), "cost": pa.int64()}
    table = pa.table({k: pa.array(v, type=integers.get(k)) for k, v in columns.items()})
    table = table.replace_schema_metadata({FORMAT: json.dumps(said, ensure_ascii=False, allow_nan=False)})
    content = pa.BufferOutputStream()
    parquet.write_table(table, content)
    return memoryview(content.getvalue())


def _read_parquet(file: Path, shown: str) -> Iterator[tuple[Recording, tuple[str, ...]]]:
    pa, parquet = _arrow()
    try:
        table = parquet.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InvalidInput(
            f"path = {shown!r}: expected a complete Parquet file (is it cut in the middle?): {error}"
        ) from error
    raw: Any = (table.schema.metadata or {}).get(FORMAT.encode())
    require(raw is not None, "path", shown, f"a Parquet file with the metadata {FORMAT!r}")
    questions, listed = _parquet_header(shown, raw)
    lacking = [c for c in _COLUMNS if c not in table.column_names]
    require(not lacking, f"{shown}, columns", table.column_names, f"the columns {', '.join(_COLUMNS)}")
    frame = table.select(list(_COLUMNS)).to_pandas()
    _check_columns(shown, frame)
    rows = {str(name): own for name, own in frame.groupby("question", sort=False)}
    names = [q["question"] for q in questions]
    other = sorted(set(rows) ^ set(names))
    require(not other, f"{shown}, question", other, "the same questions in the rows and in what is said of them")
    for record, branches in zip(questions, listed, strict=True):
        groups = dict(iter(rows[record["question"]].groupby(["position", "branch"], sort=False)))
        where = f"{shown}, question {record['question']!r}"
        keys = [(b["position"], b["branch"]) for b in branches]
        other = sorted(set(groups) ^ set(keys))
        require(not other, f"{where}, branch", other, "the same branches in the rows and in what is said of them")
        read = [
            _branch_of_rows(f"{where}, position {b['position']:g}, branch {b['branch']!r}", record, b, groups[k])
            for k, b in zip(keys, branches, strict=True)
        ]
        yield _assembled(f"{shown}, ", record, read)


def _parquet_header(shown: str, raw: bytes) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """What the metadata say of questions, and of the branches of each."""
    where = f"{shown}, metadata {FORMAT!r}"
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where}: expected JSON: {error}") from error
    _check_fields(where, said, ("version", "questions", "branches"))
    require(said["version"] == VERSION, f"{where}, version", said["version"], str(VERSION))
    questions = checked_list(said["questions"], f"{where}, questions")
    branches = checked_list(said["branches"], f"{where}, branches")
    require(len(branches) == len(questions), f"{where}, branches", len(branches), f"{len(questions)}, one a question")
    for i, (question, own) in enumerate(zip(questions, branches, strict=True)):
        _said_of_question(f"{where}, questions[{i}]", question)
        for j, branch in enumerate(checked_list(own, f"{where}, branches[{i}]")):
            at = f"{where}, branches[{i}][{j}]"
            _check_fields(at, branch, ("position", "branch", "draws", "extra"))
            checked_place(branch["position"], f"{at}, position")
            require(isinstance(branch["branch"], str), f"{at}, branch", branch["branch"], "a text")
    names = [q["question"] for q in questions]
    require(len(set(names)) == len(names), where, names, "every question once")
    return questions, branches


def _check_columns(shown: str, frame: Any) -> None:
    """Refuse cells that are missing, and columns of another kind than they are written with."""
    for name, kinds, what in (
        ("question", "OT", "texts"),
        ("branch", "OT", "texts"),
        ("answer", "OT", "texts"),
        ("position", "iuf", "numbers"),
        ("weight", "iuf", "numbers"),
        ("taken", "b", "truth values"),
        ("draw", "iu", "whole numbers"),
    ):
        column = frame[name]
        missing = np.flatnonzero(column.isna())
        if missing.size:
            raise InvalidInput(f"{shown}, column {name}, row {missing[0] + 1}: expected a value; it is missing")
        good = column.dtype.kind in kinds and (what != "texts" or all(isinstance(v, str) for v in column))
        require(good, f"{shown}, column {name}", str(column.dtype), what)
    missing = frame["cost"].isna()
    good = bool(missing.all()) or frame["cost"].dtype.kind in "iuf"
    require(good, f"{shown}, column cost", str(frame["cost"].dtype), "whole numbers, or none")


def _branch_of_rows(where: str, question: dict[str, Any], said: dict[str, Any], rows: Any) -> Branch:
    """One branch from its rows, in whatever order they stand."""
    rows = rows.sort_values("draw")
    draws = rows["draw"].to_numpy()
    require(draws.tolist() == list(range(draws.size)), f"{where}, draw", draws, "0, 1, 2, … each once")
    require(draws.size == said["draws"], f"{where}, draws", draws.size, f"{said['draws']}, as many as were written")
    for name in ("weight", "taken"):
        values = rows[name].unique().tolist()
        require(len(values) == 1, f"{where}, {name}", values, "one for all draws of a branch")
    cost = rows["cost"].to_numpy(np.float64, na_value=np.nan)
    costs = None
    if not np.isnan(cost).all():
        whole = bool((np.isfinite(cost) & (cost >= 0) & (cost == np.round(cost))).all())
        require(whole, f"{where}, cost", cost, "a whole number for each draw, or for none")
        costs = cost.astype(np.int64)
    line = {
        "position": float(rows["position"].iloc[0]),
        "branch": rows["branch"].iloc[0],
        "weight": float(rows["weight"].iloc[0]),
        "taken": bool(rows["taken"].iloc[0]),
        "answers": rows["answer"].tolist(),
        "costs": costs,
        "extra": said["extra"],
    }
    return _branch(where, question, line)


def _arrow() -> tuple[Any, Any]:
    return need("data", "pyarrow", "a store in Parquet"), need("data", "pyarrow.parquet", "a store in Parquet")
