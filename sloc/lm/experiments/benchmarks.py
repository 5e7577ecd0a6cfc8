"""Rows of seven benchmarks, as the hub serves them, as questions.

=============== ======================================================= =====================================
name            data set on the hub                                     entries that are read
=============== ======================================================= =====================================
math            hendrycks/competition_math, HuggingFaceH4/MATH-500      problem, solution (or answer)
logiqa          lucasmcabe/logiqa                                       context, query, options, correct_option
truthfulqa      truthfulqa/truthful_qa (multiple_choice)                question, mc1_targets {choices, labels}
mmlu            cais/mmlu                                               question, choices, answer
arc-challenge   allenai/ai2_arc (ARC-Challenge)                         id, question, choices {text, label}, answerKey
arc-easy        allenai/ai2_arc (ARC-Easy)                              the same
aqua-rat        deepmind/aqua_rat (raw)                                 question, options, correct
=============== ======================================================= =====================================
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_choice, checked_kind
from sloc.lm.answers.mathematics import boxed
from sloc.lm.experiments.questions import LETTERS, Question

Row = Mapping[str, Any]


def benchmark_question(benchmark: str, row: Row, *, name: str) -> Question:
    """Return a row of a benchmark as a question.

    Args:
        benchmark: ``math``, ``logiqa``, ``truthfulqa``, ``mmlu``, ``arc-challenge``, ``arc-easy`` or ``aqua-rat``.
        row: as the hub serves it.
        name: of the question, where the row has no ``id`` of its own.

    Returns:
        The question; multiple choices have lettered answers.  The first choice of TruthfulQA is always the right one,
        so its choices are shuffled, by a seed made of the question's text.

    Raises:
        InvalidInput: an unknown benchmark, or a row that lacks an entry or has another form.

    """
    checked_choice(benchmark, "benchmark", BENCHMARKS)
    checked_kind(row, "row", Mapping, "a row, as a mapping")
    checked_kind(name, "name", str, "a text")
    try:
        return BENCHMARKS[benchmark](row, str(row.get("id", row.get("unique_id", name))))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidInput):
            raise
        said = f"an entry {error.args[0]!r}" if isinstance(error, KeyError) else f"its own schema ({error})"
        raise InvalidInput(f"{benchmark}, row {name}: expected {said}; it has {sorted(row)}") from error


def task_of(benchmark: str) -> str:
    """Return the task of a benchmark: ``"math"`` or ``"choice"``."""
    return "math" if benchmark == "math" else "choice"


def _choice(name: str, text: str, choices: Sequence[str], right: int, row: Row, used: set[str]) -> Question:
    require(isinstance(text, str), f"question {name!r}, question", text, "a text")
    fits = 0 <= right < len(choices) <= len(LETTERS)
    require(fits, f"question {name!r}, right answer", right, f"the number of one of {len(choices)} choices, from 0")
    meta = {k: v for k, v in row.items() if k not in used and isinstance(v, str | int | float | bool)}
    return Question(name, text, LETTERS[right], tuple(str(c) for c in choices), meta=meta)


def _math(row: Row, name: str) -> Question:
    truth = row["answer"] if "answer" in row else boxed(row["solution"])
    require(truth is not None, f"question {name!r}, solution", row.get("solution"), "a text with \\boxed{...}")
    require(isinstance(row["problem"], str), f"question {name!r}, problem", row["problem"], "a text")
    return Question(
        name, row["problem"], str(truth), meta={k: row[k] for k in ("level", "type", "subject") if k in row}
    )


def _logiqa(row: Row, name: str) -> Question:
    text = f"{row['context']}\n\n{row['query']}"
    return _choice(name, text, row["options"], int(row["correct_option"]), row, {"context", "query", "correct_option"})


def _truthfulqa(row: Row, name: str) -> Question:
    targets = row["mc1_targets"]
    choices, labels = list(targets["choices"]), list(targets["labels"])
    order = list(range(len(choices)))
    random.Random(hashlib.sha256(row["question"].encode()).hexdigest()).shuffle(order)
    right = [labels[i] for i in order].index(1)
    return _choice(name, row["question"], [choices[i] for i in order], right, row, {"question"})


def _mmlu(row: Row, name: str) -> Question:
    return _choice(name, row["question"], row["choices"], int(row["answer"]), row, {"question", "answer"})


def _arc(row: Row, name: str) -> Question:
    texts, labels = row["choices"]["text"], list(row["choices"]["label"])
    return _choice(name, row["question"], texts, labels.index(row["answerKey"]), row, {"id", "question", "answerKey"})


def _aqua(row: Row, name: str) -> Question:
    options = [re.sub(r"^\s*\(?[A-Z]\s*[).:]\s*", "", o) for o in row["options"]]
    return _choice(name, row["question"], options, LETTERS.index(row["correct"].strip()), row, {"question", "correct"})


BENCHMARKS: dict[str, Callable[[Row, str], Question]] = {
    "math": _math,
    "logiqa": _logiqa,
    "truthfulqa": _truthfulqa,
    "mmlu": _mmlu,
    "arc-challenge": _arc,
    "arc-easy": _arc,
    "aqua-rat": _aqua,
}
"""What reads a row, by the name of the benchmark."""
