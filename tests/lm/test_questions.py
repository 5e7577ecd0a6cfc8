"""Questions are read from JSON lines and from rows of the hub's benchmarks, and refused by name where they are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sloc.contracts import InvalidInput

pytest.importorskip("tokenizers")

from sloc.lm.answers import ChoiceTask, MathTask
from sloc.lm.backends import EngineBackend
from sloc.lm.experiments.benchmarks import BENCHMARKS, benchmark_question, task_of
from sloc.lm.experiments.experiment import put_question
from sloc.lm.experiments.questions import Question, read_questions
from tests.lm.scripted import Coin

# Rows by hand, in the schemas of the hub.
ROWS = {
    "math": (
        {
            "problem": "What is $1+1$?",
            "level": "Level 1",
            "type": "Algebra",
            "solution": "We add: $1+1=\\boxed{2}$.",
        },
        ("2", ()),
    ),
    "logiqa": (
        {
            "context": "All cats purr.",
            "query": "Tom is a cat. So?",
            "options": ["He barks", "He purrs"],
            "correct_option": 1,
        },
        ("B", ("He barks", "He purrs")),
    ),
    "truthfulqa": (
        {
            "question": "What colour is the sky?",
            "mc1_targets": {"choices": ["Blue", "Green", "Red"], "labels": [1, 0, 0]},
            "mc2_targets": {"choices": ["Blue", "Green"], "labels": [1, 0]},
        },
        (None, {"Blue", "Green", "Red"}),
    ),
    "mmlu": (
        {"question": "2 + 2?", "subject": "arithmetic", "choices": ["1", "2", "3", "4"], "answer": 3},
        ("D", ("1", "2", "3", "4")),
    ),
    "arc-challenge": (
        {
            "id": "Mercury_1",
            "question": "Which is a planet?",
            "choices": {"text": ["Mars", "Moon"], "label": ["1", "2"]},
            "answerKey": "1",
        },
        ("A", ("Mars", "Moon")),
    ),
    "arc-easy": (
        {
            "id": "E_7",
            "question": "Which is wet?",
            "choices": {"text": ["sand", "rain", "sun"], "label": ["A", "B", "C"]},
            "answerKey": "B",
        },
        ("B", ("sand", "rain", "sun")),
    ),
    "aqua-rat": (
        {
            "question": "3 times 4?",
            "options": ["A)12", "B)7", "C)34", "D)1", "E)None of these"],
            "rationale": "3*4=12",
            "correct": "A",
        },
        ("A", ("12", "7", "34", "1", "None of these")),
    ),
}


def test_every_benchmark_has_rows_here() -> None:
    assert set(ROWS) == set(BENCHMARKS)
    assert {b: task_of(b) for b in ROWS}["math"] == "math"


@pytest.mark.parametrize("benchmark", ROWS)
def test_rows_become_questions(benchmark: str) -> None:
    row, (truth, choices) = ROWS[benchmark]
    question = benchmark_question(benchmark, row, name="5")
    assert question.id == row.get("id", "5")
    if benchmark == "truthfulqa":
        assert set(question.choices) == choices
        assert question.choices["ABC".index(str(question.truth))] == "Blue"
        assert benchmark_question(benchmark, row, name="5") == question
        return
    assert (question.truth, question.choices) == (truth, choices)
    if benchmark == "math":
        assert benchmark_question("math", {"problem": "x", "answer": "7", "solution": ""}, name="1").truth == "7"


def test_the_right_choice_of_truthfulqa_is_not_always_the_first() -> None:
    row = ROWS["truthfulqa"][0]
    seen = {benchmark_question("truthfulqa", row | {"question": f"{i}?"}, name="1").truth for i in range(40)}
    assert seen == {"A", "B", "C"}


@pytest.mark.parametrize("benchmark", ROWS)
def test_rows_that_lack_an_entry_are_named(benchmark: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{benchmark}, row 3: expected an entry '\w+'; it has"):
        benchmark_question(benchmark, {"other": 1}, name="3")


def test_rows_of_another_form_are_refused() -> None:
    with pytest.raises(InvalidInput, match="the number of one of 4 choices"):
        benchmark_question("mmlu", ROWS["mmlu"][0] | {"answer": 4}, name="1")
    with pytest.raises(InvalidInput, match="expected its own schema"):
        benchmark_question("arc-easy", ROWS["arc-easy"][0] | {"answerKey": "Z"}, name="1")
    with pytest.raises(InvalidInput, match="solution = 'none': expected a text with"):
        benchmark_question("math", {"problem": "x", "solution": "none"}, name="1")
    with pytest.raises(InvalidInput, match="benchmark = 'gsm': expected one of"):
        benchmark_question("gsm", {}, name="1")


def written(folder: Path, *lines: object) -> Path:
    file = folder / "q.jsonl"
    file.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return file


def test_lines_are_read(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]
    rows = ({"question": "1+1?", "answer": 2, "level": 1}, "", {"id": "b", "messages": turns, "prefill": "Well"})
    first, second = read_questions(written(tmp_path, *rows))
    assert (first.id, first.truth, first.meta) == ("1", "2", {"level": 1})
    assert (second.id, second.prefill, second.shown) == ("b", "Well", "system: Be kind.\nuser: Hello?")
    row = ROWS["mmlu"][0]
    assert [q.id for q in read_questions(written(tmp_path, row, row), benchmark="mmlu")] == ["1", "2"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"question": "\\ud800"}'], "line 1: expected a JSON object .*surrogates not allowed"),
        (["{"], "q.jsonl, line 1: expected a JSON object"),
        (['{"question": "a", "answer": "1", "answer": "2"}'], "line 1: .*the key 'answer' is there twice"),
        (["[1]"], "q.jsonl, line 1 = .*expected a JSON object"),
        ([{}], "line 1 = .*one of the entries question and messages"),
        ([{"question": "a", "messages": []}], "one of the entries question and messages"),
        ([{"question": " "}], "question = ' ': expected a text"),
        ([{"question": 3}], "question = 3: expected a text"),
        ([{"messages": []}], "turns of a chat, each with role and content"),
        ([{"messages": [{"role": "user"}]}], "turns of a chat, each with role and content"),
        ([{"question": "a", "choices": "AB"}], "choices = 'AB': expected a list of texts"),
        ([{"question": "a", "prefill": 1}], "prefill = 1: expected a text"),
        (
            [{"id": 1, "question": "a"}, {"id": "1", "question": "b"}],
            r"questions, id = \['1'\]: expected names that differ",
        ),
        ([], "at least one question"),
    ],
)
def test_lines_that_are_no_questions(tmp_path: Path, lines: list, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_questions(written(tmp_path, *lines))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match=r"path = 'nothing\.jsonl': expected a file"):
        read_questions("nothing.jsonl")


def test_how_questions_are_put() -> None:
    chats, plain = Coin(), Coin()
    chats.chats = True
    asked = Question("q", "Which?", "A", ("u", "v"))
    (turn,) = put_question(chats, ChoiceTask(), asked).prompt
    assert turn["content"].startswith("Which?\n\nA. u\nB. v\n\nThink step by step")
    assert str(put_question(plain, MathTask("rules"), Question("q", "1+1?")).prompt).endswith("\\boxed{}.\n\n")
    assert put_question(chats, ChoiceTask(), Question("q", "as it is", raw=True)).prompt == "as it is"
    turns = ({"role": "user", "content": "Which?"},)
    (turn,) = put_question(chats, ChoiceTask(), Question("q", turns)).prompt
    assert turn["content"].endswith("the letter of your choice.")


def test_an_engine_without_a_tokenizer_is_refused() -> None:
    import jax

    from sloc.lm import random_model, small_config

    with pytest.raises(InvalidInput, match="a model with a tokenizer"):
        EngineBackend(random_model(jax.random.key(0), small_config(8, width=8, layers=1, heads=2)))
