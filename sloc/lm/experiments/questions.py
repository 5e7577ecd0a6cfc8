"""Questions: read from JSON lines, checked, each of its own name."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_all, checked_file, checked_kind, each_key_once
from sloc.lm.backends.contract import check_prompt

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        id: its name, unique in a run.
        text: the question, or the turns of a chat.
        truth: the right answer as the task writes it, or None where it is not known.
        choices: texts of the possible answers of a multiple choice, or empty; ``A`` is the first.
        prefill: how the answer begins; never cut.
        raw: whether ``text`` is sent as it is, without a task's instructions.
        meta: whatever else a source says of it.

    """

    id: str
    text: str | tuple[Mapping[str, str], ...]
    truth: str | None = None
    choices: tuple[str, ...] = ()
    prefill: str = ""
    raw: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be asked.

        Raises:
            InvalidInput: names the entry.

        """
        checked_kind(self.id, "id", str, "a text")
        check_prompt(self.text, "text")
        checked_kind(self.truth, "truth", str, "the right answer as a text, or None", optional=True)
        choices = checked_all(self.choices, "choices", str, "texts")
        require(len(choices) <= len(LETTERS), "choices", self.choices, f"at most {len(LETTERS)} texts")
        checked_kind(self.prefill, "prefill", str, "a text")
        checked_kind(self.meta, "meta", Mapping, "a mapping")

    @property
    def shown(self) -> str:
        """The question as one text."""
        if isinstance(self.text, str):
            return self.text
        return "\n".join(f"{t.get('role', '')}: {t.get('content', '')}" for t in self.text)


def read_questions(path: str | os.PathLike[str], *, benchmark: str | None = None) -> tuple[Question, ...]:
    """Read questions, one JSON object a line.

    A line of sloc's own form has ``question`` (a text) or ``messages`` (turns of a chat), and may have ``id`` (the
    number of the line where it has none), ``answer`` (the right one), ``choices`` (a list of texts), ``prefill`` and
    ``raw``; anything else is carried along.

    Args:
        path: a ``.jsonl`` file.
        benchmark: name of a benchmark whose rows the file holds as the hub serves them (see
            :func:`sloc.lm.benchmark_question`); None for sloc's own form.

    Returns:
        The questions, in order.

    Raises:
        InvalidInput: no such file, no JSON, a key twice, a line that lacks an entry, no lines, or two questions of one
            name.

    """
    file = checked_file(path, "path", "a file, one JSON object a line")
    require(benchmark is None or isinstance(benchmark, str), "benchmark", benchmark, "the name of a benchmark, or None")
    rows: list[Any] = []
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"path = {str(path)!r}: expected a text that can be read ({error})") from error
    for number, line in enumerate(io.StringIO(text), 1):
        if line.strip():
            try:
                rows.append((number, json.loads(line, object_pairs_hook=each_key_once)))
                # Half of a surrogate pair can stand in JSON and in no file that is written.
                json.dumps(rows[-1][1], ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                raise InvalidInput(f"{file.name}, line {number}: expected a JSON object ({error})") from error
    require(len(rows) > 0, "path", str(path), "at least one question")
    from sloc.lm.experiments.benchmarks import benchmark_question

    made = []
    for number, row in rows:
        where = f"{file.name}, line {number}"
        require(isinstance(row, dict), where, row, "a JSON object")
        name = str(number)
        made.append(_own(where, name, row) if benchmark is None else benchmark_question(benchmark, row, name=name))
    return check_questions(made)


def check_questions(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Refuse no questions, and two of one name.

    Raises:
        InvalidInput: names those that stand twice.

    """
    all_ = checked_all(questions, "questions", Question, "Questions", 1)
    check_names([q.id for q in all_])
    return all_


def check_names(names: Sequence[str]) -> None:
    """Refuse two questions of one name.

    Raises:
        InvalidInput: names those that stand twice.

    """
    twice = sorted(n for n, count in Counter(names).items() if count > 1)
    require(not twice, "questions, id", twice, "names that differ")


def _own(where: str, name: str, row: Mapping[str, Any]) -> Question:
    asked, turns = row.get("question"), row.get("messages")
    require((asked is None) != (turns is None), where, sorted(row), "one of the entries question and messages")
    text: Any = asked
    if turns is not None:
        text = _turns(where, turns)
    else:
        require(isinstance(asked, str) and bool(asked.strip()), f"{where}, question", asked, "a text")
    choices = row.get("choices", ())
    good = isinstance(choices, list | tuple) and len(choices) <= len(LETTERS)
    require(good and all(isinstance(c, str) for c in choices), f"{where}, choices", choices, "a list of texts")
    truth, prefill = row.get("answer"), row.get("prefill", "")
    require(isinstance(prefill, str), f"{where}, prefill", prefill, "a text")
    known = {"id", "question", "messages", "answer", "choices", "prefill", "raw"}
    return Question(
        str(row.get("id", name)),
        text,
        None if truth is None else truth if isinstance(truth, str) else json.dumps(truth, ensure_ascii=False),
        tuple(choices),
        prefill,
        bool(row.get("raw", False)),
        {k: v for k, v in row.items() if k not in known},
    )


def _turns(where: str, turns: Any) -> tuple[Mapping[str, str], ...]:
    listed = isinstance(turns, list | tuple) and len(turns) > 0
    good = listed and all(isinstance(t, dict) and {"role", "content"} <= set(t) for t in turns)
    require(good, f"{where}, messages", turns, "turns of a chat, each with role and content")
    made: list[dict[str, str]] = [{k: str(v) for k, v in t.items()} for t in turns]
    return tuple(made)
