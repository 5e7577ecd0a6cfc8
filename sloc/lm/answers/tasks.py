"""Answers that are a letter, an entry of a JSON object, what a pattern finds, or what a function of yours returns."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_kind
from sloc.lm.answers.contract import Task
from sloc.lm.answers.mathematics import MathTask, boxed

if TYPE_CHECKING:
    from sloc.lm.experiments.questions import Question


class ChoiceTask(Task):
    r"""A letter: the last "answer is B", ``\boxed{B}`` or "Answer: (B)", else a letter alone on the last line.

    A question without choices allows any letter from A to Z.
    """

    name = "choice"
    instructions = 'Think step by step, and end with "Answer: " and the letter of your choice.'
    stump = "\n\nAnswer:"

    def extract(self, text: str, question: Question) -> str | None:
        """Return the letter that a text chose; None where there is none, or none of the question's."""
        checked_kind(text, "text", str, "a text")
        from sloc.lm.experiments.questions import LETTERS

        allowed = LETTERS[: len(question.choices)] if question.choices else LETTERS
        pattern = rf"answer\s*(?:is|:|=)?\s*:?\s*(?:option\s*|choice\s*)?[\s*(\[]*([{allowed}])(?![A-Za-z])"
        said = re.findall(pattern, text, re.IGNORECASE)
        box = boxed(text)
        if box is not None:
            inner = re.sub(r"\\text|[{}()\s.]", "", box).upper()
            if inner in allowed and len(inner) == 1:
                return inner
        # In small letters "answer is a ..." is an article, not a choice.
        firm = [s for s in said if s.isupper()]
        if firm:
            return firm[-1]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        alone = re.fullmatch(rf"[(\[*]*([{allowed}])[)\].:*]*(?:\s.*)?", lines[-1]) if lines else None
        return alone[1] if alone and (len(lines[-1]) <= 6 or lines[-1][1:2] in ".):") else None

    def extract_stump(self, text: str, question: Question) -> str | None:
        """Return the first letter of the question's that stands alone."""
        checked_kind(text, "text", str, "a text")
        from sloc.lm.experiments.questions import LETTERS

        allowed = LETTERS[: len(question.choices)] if question.choices else LETTERS
        found = re.search(rf"(?<![A-Za-z])([{allowed}])(?![A-Za-z'])", text)
        return found[1] if found else None


class JsonTask(Task):
    """An entry of the last JSON object (or list) that stands in a text.

    Args:
        path: the entry, such as ``answer`` or ``result.value`` or ``items.0``; empty for the whole object.

    """

    name = "json"
    instructions = "Answer with a JSON object."
    stump = "\n\n{"

    def __init__(self, path: str = "") -> None:
        checked_kind(path, "task", str, "an entry, as a text")
        self.path = path
        self.name: str = f"json:{path}" if path else "json"

    def extract(self, text: str, question: Question) -> str | None:
        """Return the entry as JSON (a text entry as it is); None where there is no object or it lacks the entry."""
        checked_kind(text, "text", str, "a text")
        value = last_json(text)
        for step in self.path.split(".") if self.path else ():
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        if value is None:
            return None
        return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)

    def extract_stump(self, text: str, question: Question) -> str | None:
        """Return the entry of the object that was opened for the model."""
        checked_kind(text, "text", str, "a text")
        return self.extract("{" + text, question)


def last_json(text: str) -> Any:
    """Return the last JSON object or list of a text that is in no other one; None where there is none."""
    decoder, found, at = json.JSONDecoder(), None, 0
    while True:
        starts = [i for i in (text.find("{", at), text.find("[", at)) if i >= 0]
        if not starts:
            return found
        try:
            found, at = decoder.raw_decode(text, min(starts))
        except (ValueError, RecursionError):
            at = min(starts) + 1


class RegexTask(Task):
    """What the last match of a pattern gives: its group ``answer``, its first group, or all of it.

    Args:
        pattern: a regular expression of Python's; texts are searched with ``MULTILINE``.

    Raises:
        InvalidInput: a pattern that is none.

    """

    def __init__(self, pattern: str) -> None:
        checked_kind(pattern, "task", str, "a regular expression")
        try:
            self.pattern: re.Pattern[str] = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise InvalidInput(f"task = {pattern!r}: expected a regular expression ({error})") from error
        require(bool(pattern), "task", "regex:", "a pattern after regex:, such as regex:(cat|dog)")
        self.name: str = f"regex:{pattern}"

    def extract(self, text: str, question: Question) -> str | None:
        """Return what the last match gives, blanks around it left out."""
        checked_kind(text, "text", str, "a text")
        matches = list(self.pattern.finditer(text))
        if not matches:
            return None
        found = matches[-1]
        named = "answer" if "answer" in self.pattern.groupindex else 1 if self.pattern.groups else 0
        return (found[named] or "").strip() or None


class FunctionTask(Task):
    """What a function of yours returns: ``(text, question) -> str or None``.

    Args:
        function: called with the whole text and the :class:`sloc.lm.Question`.
        name: for tables.

    """

    def __init__(self, function: Callable[[str, Question], str | None], name: str = "function") -> None:
        require(callable(function), "task", function, "a function of a text and a question")
        checked_kind(name, "name", str, "a text")
        self.function: Callable[[str, Question], str | None] = function
        self.name: str = name

    def extract(self, text: str, question: Question) -> str | None:
        """Return what the function says.

        Raises:
            InvalidInput: it raised, or returned neither text nor None; no text was given.

        """
        checked_kind(text, "text", str, "a text")
        try:
            said = self.function(text, question)
        except Exception as error:
            raise InvalidInput(
                f"task = {self.name!r}: expected a function that takes any text; question {question.id!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        require(said is None or isinstance(said, str), f"task {self.name}, its answer", said, "a text or None")
        return said


def read_task(text: str) -> Task:
    """Return the task that a text names.

    Args:
        text: ``math``, ``choice``, ``json`` or ``json:path.to.entry``, ``regex:PATTERN``, ``template:TEXT`` (blanks as
            ``{one|other}``), or ``python:module.function`` (a function ``(text, question) -> str or None`` of a module
            that can be imported).

    Raises:
        InvalidInput: anything else, or a module or function that is not there.

    """
    checked_kind(text, "task", str, "a text that names a task")
    kind, _, rest = text.partition(":")
    known = "math, choice, json[:entry], regex:PATTERN, template:TEXT or python:module.function"
    if kind == "regex":
        return RegexTask(rest)
    if kind == "template":
        from sloc.lm.answers.template import TemplateTask

        return TemplateTask(rest)
    if kind == "json":
        return JsonTask(rest)
    if kind == "python":
        return _function(text, rest)
    tasks: dict[str, type[Task]] = {"math": MathTask, "choice": ChoiceTask}
    require(text in tasks, "task", text, known)
    return tasks[text]()


def _function(text: str, path: str) -> Task:
    module, _, name = path.rpartition(".")
    require(bool(module) and bool(name), "task", text, "python:module.function")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"task = {text!r}: expected a function that can be imported ({error})") from error
    require(callable(found), "task", text, "a function")
    return FunctionTask(found, text)
