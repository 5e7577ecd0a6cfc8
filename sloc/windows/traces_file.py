"""Reading recorded answers from CSV, Parquet and JSONL into a plain table of columns."""

from __future__ import annotations

import gzip
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_file, each_key_once
from sloc.contracts.extras import MissingExtra, need
from sloc.windows.csv_header import name_twice

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".parquet", ".pq")


def read_frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table; every cell of a CSV stays text, so that answers such as ``NA`` or ``007`` survive.

    Args:
        path: a file whose name ends in one of ``SUFFIXES``.

    Returns:
        The table, column names stripped and in lower case.

    Raises:
        InvalidInput: no such file, an unknown ending, an empty file, or one that cannot be read
            (cut in the middle, say); the message says where.

    """
    file, shown = checked_file(path, "path", "a file that exists"), str(path)
    kind = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if file.name.lower().endswith(s)), None)
    require(kind is not None, "path", shown, f"a name that ends in one of {', '.join(SUFFIXES)}")
    try:
        require(file.stat().st_size > 0, "path", shown, "a file that is not empty")
        frame = _reader(str(kind))(file, shown)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"path = {shown!r}: expected a file that can be read ({error})") from error
    frame.columns = [str(c).strip().lower() for c in frame.columns]
    require(frame.columns.is_unique, "path", shown, f"column names that differ; found {', '.join(frame.columns)}")
    require(len(frame) > 0, "path", shown, "at least one row below the header")
    return frame.reset_index(drop=True)


def column_names(path: str | os.PathLike[str]) -> set[str]:
    """Return the names of a table's columns, stripped and in lower case; of JSONL, of all its lines.

    Args:
        path: a file whose name ends in one of ``SUFFIXES``.

    Raises:
        InvalidInput: as ``read_frame``, of what has to be read for the names.

    """
    file, shown = checked_file(path, "path", "a file that exists"), str(path)
    kind = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if file.name.lower().endswith(s)), "")
    try:
        if kind.startswith(".csv"):
            return {str(c).strip().lower() for c in _csv(file, shown, rows=0).columns}
        if kind in (".parquet", ".pq"):
            parquet = need("data", "pyarrow.parquet", "a table in Parquet")
            return {c.strip().lower() for c in parquet.read_schema(file).names}
    except MissingExtra:
        raise
    except Exception as error:  # pyarrow raises several unrelated classes for a damaged file
        raise InvalidInput(_unreadable(shown, kind, error)) from error
    names = {str(c) for record in _records(file, shown) for c in record} if kind else set()
    return {c.strip().lower() for c in names}


def _reader(kind: str) -> Callable[[Path, str], pd.DataFrame]:
    return {"c": _csv, "j": _jsonl, "n": _jsonl, "p": _parquet}[kind[1]]


def _csv(file: Path, shown: str, rows: int | None = None) -> pd.DataFrame:
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            twice = name_twice(file)
            require(twice is None, "path", shown, f"column names that differ; {twice!r} is there twice")
            return pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                na_filter=False,
                index_col=False,
                nrows=rows,
                encoding="utf-8-sig",
                compression="gzip" if file.suffix.lower() == ".gz" else None,
            )
    except InvalidInput:
        raise
    except pd.errors.EmptyDataError as error:
        raise InvalidInput(f"path = {shown!r}: expected a header and rows; there is no column in it") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError, EOFError, ValueError) as error:
        raise InvalidInput(_unreadable(shown, "CSV", error)) from error


def _jsonl(file: Path, shown: str) -> pd.DataFrame:
    import pandas as pd

    records = list(_records(file, shown))
    require(bool(records), "path", shown, "at least one line with a JSON object")
    return pd.DataFrame.from_records(records).astype(object)


def _records(file: Path, shown: str) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        opener = gzip.open if file.suffix.lower() == ".gz" else open
        with opener(file, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    record = json.loads(line, object_pairs_hook=each_key_once)
                    if "\\u" in line:
                        # Half of a surrogate pair can stand in JSON and in no text that is compared or written.
                        json.dumps(record, ensure_ascii=False).encode()
                    require(isinstance(record, dict), f"{shown}, line {number}", record, "a JSON object")
                    yield record
    except InvalidInput:
        raise
    except (ValueError, EOFError, RecursionError) as error:
        raise InvalidInput(_unreadable(f"{shown}, line {max(number, 1)}", "JSONL", error)) from error


def _parquet(file: Path, shown: str) -> pd.DataFrame:
    import pandas as pd

    need("data", "pyarrow", "a table in Parquet")
    try:
        return pd.read_parquet(file)
    except Exception as error:  # pyarrow raises several unrelated classes for a damaged file
        raise InvalidInput(_unreadable(shown, "Parquet", error)) from error


def _unreadable(shown: str, kind: str, error: BaseException) -> str:
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= 160 else reason[:157] + "..."
    return f"path = {shown!r}: expected complete {kind} (is the file cut in the middle?): {reason}"
