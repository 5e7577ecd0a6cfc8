"""What a text answered, and when two answers are the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sloc.lm.experiments.questions import Question

NOT_FOUND = "(none found)"
"""Stands for the answer of a text in which none was found: an outcome of its own, neither right nor wrong.

Curves count it like any answer; accuracies leave it out."""


class Task(ABC):
    """How a question is put and an answer read.  Nothing that a model wrote is ever executed.

    Attributes:
        name: for tables and the settings of a run.
        instructions: put after the question.
        stump: what is put after a cut to have the model answer at once.

    """

    name: str = ""
    instructions: str = ""
    stump: str = "\n\nFinal answer:"

    def prompt(self, question: Question) -> str:
        """Return the text of a question with its choices and instructions."""
        from sloc.lm.experiments.questions import LETTERS

        choices = "\n".join(f"{letter}. {c}" for letter, c in zip(LETTERS, question.choices, strict=False))
        return "\n\n".join(part for part in (question.shown, choices, self.instructions) if part)

    @abstractmethod
    def extract(self, text: str, question: Question) -> str | None:
        """Return the answer that a whole text gives, or None where none is found."""

    def extract_stump(self, text: str, question: Question) -> str | None:
        """Return the answer that a text gives when it was asked for at once; as :meth:`extract` unless overridden."""
        return self.extract(text, question)

    def same(self, a: str, b: str, question: Question) -> bool:
        """Return whether two answers are the same; equality of texts unless overridden."""
        return a == b

    def extract_all(self, texts: Sequence[str], question: Question, *, stump: bool = False) -> list[str | None]:
        """Return the answer of each text; where a task can read many at once, it overrides this."""
        read = self.extract_stump if stump else self.extract
        return [read(t, question) for t in texts]

    def right(self, answer: str, question: Question) -> bool | None:
        """Return whether an answer is right; None where that is not known."""
        return None if question.truth is None else self.same(answer, question.truth, question)


class Grouped:
    """Answers of one question, those that are the same under one name: that of the first.

    Args:
        task: says which are the same.
        question: whose answers.
        first: names that come first: the right answer, where it is known.

    """

    def __init__(self, task: Task, question: Question, first: Sequence[str] = ()) -> None:
        self.task: Task = task
        self.question: Question = question
        self.names: list[str] = []
        self._known: dict[str, str] = {}
        for name in first:
            self.name(name)

    def name(self, answer: str | None) -> str:
        """Return the name of an answer's group; :data:`NOT_FOUND` for None."""
        if answer is None or not answer.strip():
            return NOT_FOUND
        if answer not in self._known:
            equal = (n for n in self.names if self.task.same(answer, n, self.question))
            found = next(equal, None)
            if found is None:
                self.names.append(answer)
                found = answer
            self._known[answer] = found
        return self._known[answer]
