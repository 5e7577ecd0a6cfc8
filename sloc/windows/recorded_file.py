"""The store of recorded resamples on disk: JSON lines or Parquet, written whole or not at all.

**JSONL** (``.jsonl``, ``.jsonl.gz``), one object a line:

1. ``{"format": "sloc-traces", "version": 1}``
2. for each question ``{"question", "categories", "axis", "full", "reference", "expected", "meta"}``, then
   for each of its branches ``{"position", "branch", "weight", "taken", "answers": [...], "costs": [...] or null,
   "extra": {...}}``, answers as text in the order of the draws;
3. ``{"end": number of lines before}``: a file that was cut has no such line.

**Parquet**: one row per draw with the columns ``question, position, branch, weight, taken, draw, answer, cost``;
what is said of questions and branches lies in the file's metadata under ``sloc-traces``.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import secrets
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_all, checked_file, checked_path
from sloc.windows.recorded import Branch, Recording, make_branch, make_recording

FORMAT, VERSION = "sloc-traces", 1
STORE_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
_QUESTION = ("categories", "axis", "full", "reference", "expected")


def write_store(path: str | os.PathLike[str], recordings: Sequence[Recording]) -> Path:
    """Write recordings to a file that appears whole or not at all.

    Args:
        path: a name that ends in one of :data:`STORE_SUFFIXES`.
        recordings: one per question, names differing.

    Returns:
        The path.

    Raises:
        InvalidInput: another ending, no recordings, a question twice, or a place that cannot be written to.

    """
    file = Path(checked_path(path, "file"))
    recordings = checked_all(recordings, "recordings", Recording, "Recordings")
    require(file.name.endswith(STORE_SUFFIXES), "file", str(path), f"a name that ends in one of {STORE_SUFFIXES}")
    require(len(recordings) > 0, "recordings", recordings, "at least one question")
    names = [r.question for r in recordings]
    require(len(set(names)) == len(names), "recordings", names, "questions of different names")
    temporary = file.parent / f".{file.name}.partial-{secrets.token_hex(4)}"
    try:
        if file.name.endswith(".parquet"):
            _write_parquet(temporary, recordings)
        else:
            # A fixed time stamp: the same recordings give the same bytes.
            raw = gzip.compress(_text(recordings), mtime=0) if file.name.endswith(".gz") else _text(recordings)
            temporary.write_bytes(raw)
        os.replace(temporary, file)
    except OSError as error:
        raise InvalidInput(f"file = {str(path)!r}: expected a place that can be written to ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return file


def _text(recordings: Sequence[Recording]) -> bytes:
    lines = list(_lines(recordings))
    lines.append({"end": len(lines)})
    return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines).encode()


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
    except (OSError, ValueError, ImportError, EOFError):
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
        :func:`sloc.windows.recorded.make_recording`).

    Raises:
        InvalidInput: the file is no store, is cut in the middle, or breaks a rule of the recordings.

    """
    file, shown = checked_file(path, "file", "a file that exists"), str(path)
    pairs = list(_read_parquet(file, shown) if file.name.endswith(".parquet") else _read_jsonl(file, shown))
    names = [r.question for r, _ in pairs]
    require(len(set(names)) == len(names), "file", shown, f"every question once; found {sorted(names)}")
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
        require(isinstance(record, dict), f"{shown}, line {number}", record, "a JSON object")
        try:
            if "question" in record:
                if question is not None:
                    yield _assembled(question, branches)
                question, branches = record, []
                continue
            require(question is not None, f"{shown}, line {number}", record, "a question before its branches")
            assert question is not None
            branches.append(_branch(f"{shown}, line {number}", question, record))
        except KeyError as error:
            raise InvalidInput(f"{shown}, line {number}: expected a field {error} (see the format)") from error
    if question is not None:
        yield _assembled(question, branches)


def _branch(where: str, question: dict[str, Any], record: dict[str, Any]) -> Branch:
    return make_branch(
        where,
        tuple(question["categories"]),
        record["answers"],
        record["position"],
        record["branch"],
        record["weight"],
        taken=bool(record["taken"]),
        costs=record["costs"],
        extra=record.get("extra", {}),
    )


def _assembled(question: dict[str, Any], branches: list[Branch]) -> tuple[Recording, tuple[str, ...]]:
    fields = {name: question[name] for name in _QUESTION if name != "categories"}
    fields["expected"] = tuple(fields["expected"])
    return make_recording(question["question"], question["categories"], branches, meta=question["meta"], **fields)


def _write_parquet(file: Path, recordings: Sequence[Recording]) -> None:
    pa, parquet = _arrow()
    columns: dict[str, list[Any]] = {
        k: [] for k in ("question", "position", "branch", "weight", "taken", "draw", "answer", "cost")
    }
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
        "extra": [[dict(b.extra) for b in r.branches] for r in recordings],
    }
    integers = {"draw": pa.int64(), "cost": pa.int64()}
    table = pa.table({k: pa.array(v, type=integers.get(k)) for k, v in columns.items()})
    table = table.replace_schema_metadata({FORMAT: json.dumps(said, ensure_ascii=False, allow_nan=False)})
    parquet.write_table(table, file)


def _read_parquet(file: Path, shown: str) -> Iterator[tuple[Recording, tuple[str, ...]]]:
    pa, parquet = _arrow()
    try:
        table = parquet.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InvalidInput(
            f"file = {shown!r}: expected a complete Parquet file (is it cut in the middle?): {error}"
        ) from error
    raw: Any = (table.schema.metadata or {}).get(FORMAT.encode())
    require(raw is not None, "file", shown, f"a Parquet file with the metadata {FORMAT!r}")
    said = json.loads(raw)
    frame = table.to_pandas()
    for record, extras in zip(said["questions"], said["extra"], strict=True):
        own = frame[frame["question"] == record["question"]]
        branches = []
        groups = own.groupby(["position", "branch"], sort=False)
        for ((position, name), rows), extra in zip(groups, extras, strict=True):
            where = f"{shown}, question {record['question']!r}, position {position:g}, branch {name!r}"
            draws = rows["draw"].to_numpy()
            require(
                bool((np.sort(draws) == np.arange(draws.size)).all()), f"{where}, draw", draws, "0, 1, 2, … each once"
            )
            rows = rows.sort_values("draw")
            costs = None if rows["cost"].isna().all() else rows["cost"].to_numpy(np.int64)
            weight, taken = float(rows["weight"].iloc[0]), bool(rows["taken"].iloc[0])
            line = {"position": position, "branch": name, "weight": weight, "taken": taken, "costs": costs}
            branches.append(_branch(where, record, {**line, "answers": rows["answer"].tolist(), "extra": extra}))
        yield _assembled(record, branches)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise InvalidInput("Parquet: expected pyarrow to be installed (pip install 'sloc[data]')") from error
    return pa, parquet
