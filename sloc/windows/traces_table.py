"""Recorded answers, checked: one table of counts per question.

The input is a long table with one row per resample:

``question``
    Which question; text or a number.
``fraction`` or ``position``
    How much of the generation was kept before resampling: a fraction in [0, 1], or a number of
    tokens (characters, steps), not both.
``answer``
    The answer that the resample arrived at.  Answers are compared as text.
``weight`` (optional)
    A fixed, non-negative weight of the draw.
``draw`` (optional)
    The resample's number within its question and position; repeated rows are then found.
``reference`` (optional)
    The full generation's answer, the same in every row of a question (or empty).

**The full generation's answer** is the column ``reference`` if there is one; without it, the answer of
the rows with ``fraction`` 1, which must agree; in a table of positions, the answer of a single row at
the question's last position.  Those rows say what the full generation answered and are no point of the
curve.  A question for which the rule gives no answer, or two, is refused.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import InvalidInput, require, shown
from sloc.contracts.arguments import as_array, as_floats, checked_all, checked_whole
from sloc.contracts.equality import same_fields
from sloc.results.resampled import Axis
from sloc.windows.proportions import weight_sizes
from sloc.windows.traces_file import read_frame

if TYPE_CHECKING:
    import pandas as pd

REFERENCE_RULE = (
    "a column `reference`, or rows at fraction 1 that agree, "
    "or (for positions) a single row at the question's last position"
)


@dataclass(frozen=True)
class QuestionTraces:
    """The resampled answers of one question.

    Attributes:
        question: its name.
        reference: the full generation's answer.
        answers: ``A`` answers seen: the reference first, then by falling weight.
        kept: ``[m]`` kept fractions or positions, increasing.
        full: 1 for fractions; for positions, that of the full generation (the last, where only
            a column ``reference`` gives its answer); always positive.
        draws: ``[m]`` draws with positive weight, at least 2.
        counts: ``[m, A]`` draws per answer.
        frequency: ``[m, A]`` weighted proportions, rows summing to one.
        equal: ``[m]`` whether the weights of a point are equal, so that the counts are binomial.
        chernoff: ``[m]`` ``W / max w`` (see ``sloc.windows.proportions.weight_sizes``).
        hoeffding: ``[m]`` ``W^2 / sum w^2``.

    """

    question: str
    reference: str
    answers: tuple[str, ...]
    kept: np.ndarray
    full: float
    draws: np.ndarray
    counts: np.ndarray
    frequency: np.ndarray
    equal: np.ndarray
    chernoff: np.ndarray
    hoeffding: np.ndarray

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)


@dataclass(frozen=True)
class TraceTable:
    """Every question of a table of recorded answers.

    Attributes:
        questions: in order of first appearance.
        axis: whether ``kept`` is a fraction or a position.
        rows: rows read.
        notes: what was noticed and left out, in words.

    """

    questions: tuple[QuestionTraces, ...]
    axis: Axis
    rows: int
    notes: tuple[str, ...] = ()


def read_trace_table(path: str | os.PathLike[str]) -> TraceTable:
    """Read and check a table of recorded answers (columns: see this module's description).

    Args:
        path: a CSV, Parquet or JSONL file (CSV and JSONL also as ``.gz``).

    Returns:
        The checked table.

    Raises:
        InvalidInput: the file cannot be read, or the table breaks a rule; the message names the
            column, the row or question, the value, and what was expected.

    """
    return trace_table(read_frame(path))


def trace_table(frame: pd.DataFrame) -> TraceTable:
    """Check a data frame of recorded answers and count it (columns: see this module's description).

    Args:
        frame: one row per resample, in any order.

    Returns:
        The checked table.

    Raises:
        InvalidInput: a column is missing or doubled, branches without weights of their draws, a cell missing or out
            of range, a point has one resample, draws or references contradict one another, or the full
            generation's answer is not given.

    """
    rows, axis, found = checked_rows(frame)
    require(
        "weight" in frame or "branch_weight" not in frame,
        "columns",
        list(frame.columns),
        "no `branch_weight` without `weight`: branches are not alike (sloc.windows.recordings_from_table takes them)",
    )
    notes = list(found)
    zero = rows["weight"] == 0
    if bool(zero.any()):
        notes.append(f"{int(zero.sum())} rows of weight 0 left out")
    groups = rows.groupby("question", sort=False)
    questions = tuple(_question(str(name), group, axis) for name, group in groups)
    return TraceTable(questions, axis, len(frame), tuple(notes))


def answers_of_counts(counts: Any, draws: int, *, kept: Any, questions: Sequence[str] | None = None) -> pd.DataFrame:
    """Write counts of agreement as the table that :func:`trace_table` takes: a row for each resample.

    Of the ``n`` resamples of question ``q`` at point ``t``, numbered from 0, those below ``counts[q, t]``
    answer ``"same"``, the full generation's answer, and the others ``"other"``: the share that agrees comes back as
    ``counts[q, t] / n``, exactly.  Where published data are counts, this is the way to
    :func:`sloc.windows.trace_windows`, and to the curves that :func:`sloc.bayes.compare_windows` holds against
    :func:`sloc.bayes.fit_changes` of the same counts.

    Source: Li, Karan & Chen 2025, Sect. 6.2 (the share of resamples that agree).

    Args:
        counts: ``[Q, T]`` resamples that gave the full generation's answer, whole numbers of ``0 .. draws``.
        draws: resamples at every point, at least 1.
        kept: ``[T]`` kept fractions in [0, 1), increasing.
        questions: ``Q`` names, all different; numbers from 0 when None.

    Returns:
        ``question, fraction, answer, reference``, ``Q T draws`` rows; agreement is the answer ``"same"``, all else
        ``"other"``.

    Raises:
        InvalidInput: counts that are not whole or out of range, or arrays that do not fit.

    """
    import pandas as pd

    counts, kept = np.asarray(as_array(counts, "counts")), as_floats(kept, "kept")
    checked_whole(draws, "draws", what="draws")
    require(counts.ndim == 2, "counts", counts.shape, "shape [Q, T]")
    size, points = counts.shape
    good = bool(((counts >= 0) & (counts <= draws) & (counts == np.round(counts))).all())
    require(good, "counts", counts, f"whole numbers from 0 to {draws}")
    require(kept.shape == (points,), "kept", kept.shape, f"{points} kept fractions")
    rising = bool(((kept >= 0) & (kept < 1)).all() and (np.diff(kept) > 0).all())
    require(rising, "kept", kept, "fractions in [0, 1) that increase")
    names = (
        [str(q) for q in range(size)]
        if questions is None
        else [str(q) for q in checked_all(questions, "questions", (str, int, np.integer), "names")]
    )
    require(len(names) == size and len(set(names)) == size, "questions", questions, f"{size} names, all different")
    same = np.arange(int(draws))[None, None] < counts[..., None]
    return pd.DataFrame(
        {
            "question": np.repeat(np.asarray(names, object), points * int(draws)),
            "fraction": np.tile(np.repeat(kept, int(draws)), size),
            "answer": np.where(same, "same", "other").ravel(),
            "reference": "same",
        }
    )


def checked_rows(frame: pd.DataFrame, own: Mapping[str, Any] | None = None) -> tuple[Any, Axis, tuple[str, ...]]:
    """Check the cells of a data frame of recorded answers, and find repeated draws.

    Args:
        frame: one row per resample, in any order.
        own: further columns of the result, in the frame's order; a repeated draw may not contradict itself in them.

    Returns:
        A data frame with ``question, kept, answer, weight, reference`` (and ``draw`` where it was given; ``reference``
        None where it was not) and the columns ``own``, the index being the row's number; what ``kept`` counts; and
        notes.

    Raises:
        InvalidInput: a column is missing or doubled, a cell missing or out of range, or draws contradict one another.

    """
    import pandas as pd

    require(isinstance(frame, pd.DataFrame), "frame", frame, "a table (a pandas.DataFrame)")
    axis = _axis(list(frame.columns))
    require(len(frame) > 0, "table", "no rows", "at least one row")
    question = _text(frame, "question", "a question")
    answer = _text(frame, "answer", "an answer")
    upper = 1.0 if axis == "fraction" else math.inf
    hint = "a kept fraction in [0, 1]" if axis == "fraction" else "a position, finite and not negative"
    rows: Any = pd.DataFrame(
        {
            "question": question,
            "kept": _merged(checked_column(frame, axis, 0.0, upper, hint)),
            "answer": answer,
            "weight": checked_column(frame, "weight", 0.0, math.inf, "a weight, finite and not negative")
            if "weight" in frame
            else 1.0,
        }
    )
    rows["reference"] = _optional_text(frame["reference"]) if "reference" in frame else None
    own = own or {}
    rows = rows.assign(**own)
    notes: list[str] = []
    if "draw" in frame:
        rows["draw"] = _text(frame, "draw", "the resample's number")
        rows = _without_repeats(rows, axis, list(own), notes)
    return rows, axis, tuple(notes)


def _merged(kept: np.ndarray) -> np.ndarray:
    """Positions to twelve decimals, so that 0.1 + 0.2 and 0.3 are one; whole ones as they are."""
    whole = kept == np.round(kept)
    return np.where(whole, kept, np.round(np.where(whole, 0.0, kept), 12))


def _axis(columns: list[str]) -> Axis:
    found = ", ".join(map(str, columns)) or "none"
    for name in ("question", "answer"):
        require(name in columns, "columns", found, f"a column `{name}`")
    both = {"fraction", "position"} & set(columns)
    require(len(both) > 0, "columns", found, "a column `fraction` or a column `position`")
    require(len(both) < 2, "columns", found, "one of the columns `fraction` and `position`, not both")
    return "fraction" if "fraction" in both else "position"


def as_text(value: Any) -> str | None:
    """Text of a cell, None where it is missing; 1.0 and 1 are the same answer."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value).strip()
    return None if text in ("", "<NA>", "NaT") or text.lower() == "nan" else text


def _optional_text(column: Any) -> list[str | None]:
    return [as_text(v) for v in column.tolist()]


def _cell(column: Any, row: int) -> str:
    value = column.iloc[row]
    return shown(value.item() if isinstance(value, np.generic) else value)


def _text(frame: Any, name: str, what: str) -> list[str]:
    values = _optional_text(frame[name])
    missing = next((i for i, v in enumerate(values) if v is None), None)
    if missing is not None:
        raise InvalidInput(
            f"column {name}, row {missing + 1} = {_cell(frame[name], missing)}: expected {what}; "
            f"it is missing ({values.count(None)} of {len(values)} rows)"
        )
    return [str(v) for v in values]


def checked_column(frame: Any, name: str, low: float, high: float, what: str, *, whole: bool = False) -> np.ndarray:
    """Return a column of numbers between two bounds.

    Raises:
        InvalidInput: a cell that is none; the first row is named.

    """
    import pandas as pd

    column = frame[name]
    converted: Any = pd.to_numeric(column, errors="coerce")
    numbers = converted.to_numpy(np.float64, na_value=np.nan)
    good = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
    bad = np.flatnonzero(~(good & (numbers == np.round(numbers))) if whole else ~good)
    if bad.size:
        raise InvalidInput(
            f"column {name}, row {bad[0] + 1} = {_cell(column, bad[0])}: expected {what} "
            f"({bad.size} of {len(column)} rows break this)"
        )
    return numbers


def _without_repeats(rows: Any, axis: Axis, own: list[str], notes: list[str]) -> Any:
    """Refuse one draw with two answers or weights; drop rows that only say the same again."""
    key = ["question", "kept", "draw"]
    distinct = rows.drop_duplicates([*key, "answer", "weight", *own])
    clash = distinct[distinct.duplicated(key, keep=False)]
    if len(clash):
        first = clash.iloc[0]
        same = clash[(clash[key] == first[key]).all(axis=1)]
        said = "; ".join(f"answer {a!r}, weight {w:g}" for a, w in zip(same["answer"], same["weight"], strict=True))
        for column in own:
            values = same[column].unique().tolist()
            said += f"; {column.removeprefix('own_')} {' and '.join(map(str, values))}" if len(values) > 1 else ""
        raise InvalidInput(
            f"question {first['question']!r}, {axis} {first['kept']:g}, draw {first['draw']}: expected one answer "
            f"and weight for one draw; the rows contradict one another ({said})"
        )
    if len(distinct) < len(rows):
        notes.append(f"{len(rows) - len(distinct)} repeated rows of the same draw counted once")
    return distinct


def _question(name: str, rows: Any, axis: Axis) -> QuestionTraces:
    last = float(rows["kept"].max())
    given, rows = stated_reference(name, rows, axis)
    require(given is not None, f"question {name!r}, full generation's answer", "absent", REFERENCE_RULE)
    full = 1.0 if axis == "fraction" or last == 0.0 else last
    return _count(name, rows[rows["weight"] > 0], str(given), full, axis)


def stated_reference(name: str, rows: Any, axis: Axis, *, single: bool = True) -> tuple[str | None, Any]:
    """Find the full generation's answer among the rows of a question (the rule: this module's description).

    Args:
        name: the question.
        rows: ``kept, answer, reference`` of each.
        axis: what ``kept`` counts.
        single: whether, of positions, a single row at the last says what the full generation answered.

    Returns:
        The answer, None where nothing states it, and the rows that are resamples.

    Raises:
        InvalidInput: two answers.

    """
    given = [r for r in dict.fromkeys(rows["reference"].tolist()) if isinstance(r, str)]
    require(
        len(given) < 2,
        f"question {name!r}, reference",
        given,
        "one answer of the full generation; the rows contradict one another",
    )
    last = float(rows["kept"].max())
    at_last = rows[rows["kept"] == last]
    if axis == "fraction":
        states_full = last == 1.0
    else:
        states_full = single and len(at_last) == 1 and (not given or at_last["answer"].iloc[0] == given[0])
    if states_full:
        stated = list(dict.fromkeys(at_last["answer"]))
        require(
            len(stated) == 1,
            f"question {name!r}, answers at {axis} {last:g}",
            stated,
            "one answer of the full generation; the rows contradict one another",
        )
        require(
            not given or given == stated,
            f"question {name!r}, reference and answer at {axis} {last:g}",
            [*given, *stated],
            "the same answer of the full generation; they contradict one another",
        )
        given = stated
        rows = rows[rows["kept"] < last]
    return (given[0] if given else None), rows


def _count(name: str, rows: Any, reference: str, full: float, axis: Axis) -> QuestionTraces:
    require(len(rows) > 0, f"question {name!r}", "no resampled answers", "resamples at one position at least")
    kept, point = np.unique(rows["kept"].to_numpy(), return_inverse=True)
    draws = np.bincount(point)
    lonely = np.flatnonzero(draws < 2)
    if lonely.size:
        raise InvalidInput(
            f"question {name!r}, {axis} {kept[lonely[0]]:g}: {draws[lonely[0]]} resample: expected at least 2 at every "
            f"{axis} (one allows no interval; {lonely.size} of {kept.size} points have one)"
        )
    weight = rows["weight"].to_numpy()
    totals = rows.groupby("answer", sort=False)["weight"].sum().sort_values(ascending=False, kind="stable")
    answers = (reference, *(str(a) for a in totals.index if a != reference))
    code = rows["answer"].map({a: i for i, a in enumerate(answers)}).to_numpy(np.int64)
    counts = np.zeros((kept.size, len(answers)), np.int64)
    mass = np.zeros(counts.shape)
    np.add.at(counts, (point, code), 1)
    # Weights are compared with the largest of their point, so their scale cannot overflow or matter.
    largest = np.zeros(kept.size)
    np.maximum.at(largest, point, weight)
    relative = weight / largest[point]
    np.add.at(mass, (point, code), relative)
    total, squares = np.bincount(point, relative), np.bincount(point, relative**2)
    chernoff, hoeffding = weight_sizes(total, np.ones(kept.size), squares)
    smallest = np.ones(kept.size)
    np.minimum.at(smallest, point, relative)
    equal = smallest > 1.0 - 1e-9
    frequency = np.where(equal[:, None], counts / draws[:, None], mass / total[:, None])
    return QuestionTraces(name, reference, answers, kept, full, draws, counts, frequency, equal, chernoff, hoeffding)
