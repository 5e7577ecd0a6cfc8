"""Answers are read out of texts, and what is the same is the same."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import pytest

from sloc.contracts import InvalidInput

pytest.importorskip("tokenizers")

from sloc.lm.answers import NOT_FOUND, ChoiceTask, FunctionTask, JsonTask, JudgeTask, MathTask, RegexTask, read_task
from sloc.lm.answers.contract import Grouped
from sloc.lm.backends import Backend, Continuation, Failure, Generation, Request, Rule
from sloc.lm.experiments.questions import Question

ASKED = Question("q", "Which?", "B", ("u", "v", "w"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"first \boxed{3}, no: \boxed{ 4 } done", "4"),
        (r"\fbox{7}", "7"),
        (r"\boxed{\text{a } \{1\}}", r"\text{a } \{1\}"),
        ("The answer is 42. I also saw 7.", "42"),
        ("answer: **1,200**", "1,200"),
        ("it makes 3 and then 12", "12"),
        (r"\boxed{never closed 5", "5"),
        ("nothing here", None),
        ("", None),
        (r"\boxed{}", None),
    ],
)
def test_mathematical_answers_are_found(text: str, answer: str | None) -> None:
    assert MathTask("rules").extract(text, ASKED) == answer


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac12", "0.5", True),
        (r"\dfrac{1}{2}", r"\frac{1}{2}", True),
        ("1,000", "1000.0", True),
        ("3/4", "0.75", True),
        (r"-\frac{3}{4}", "-.75", True),
        (r"\text{even}", "even", True),
        (r"\left(1, 2\right)", "(1,2)", True),
        ("50", r"50\%", True),
        ("1/0", "0", False),
        ("12", "13", False),
        ("x+1", "x-1", False),
        ("1,00", "100", False),
    ],
)
def test_mathematical_answers_are_compared(a: str, b: str, same: bool) -> None:
    task = MathTask("rules")
    assert task.same(a, b, ASKED) is same
    assert task.same(b, a, ASKED) is same


@pytest.mark.skipif(importlib.util.find_spec("math_verify") is None, reason="math-verify is not installed")
def test_math_verify_knows_expressions() -> None:
    assert MathTask().parser == "math-verify"
    assert MathTask().same("x+1", "1+x", ASKED)
    assert not MathTask().same("x+1", "x+2", ASKED)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I think so. Answer: B", "B"),
        ("Answer: (C).", "C"),
        ("**Answer:** C", "C"),
        ("The answer is A. No, the answer is B.", "B"),
        (r"\boxed{\text{B}}", "B"),
        ("Thinking\n\nB", "B"),
        ("Thinking\nC. w", "C"),
        ("the answer is a dog", None),
        ("A cat is nice", None),
        ("Answer: D", None),
        ("", None),
    ],
)
def test_letters_are_found(text: str, answer: str | None) -> None:
    assert ChoiceTask().extract(text, ASKED) == answer


def test_json_entries_are_found_and_nothing_else() -> None:
    assert JsonTask("a.0").extract('so {"a": [3, 4]} it is', ASKED) == "3"
    assert JsonTask().extract('{"b": 1} then {"z": 2, "a": 1}', ASKED) == '{"a": 1, "z": 2}'
    assert JsonTask("name").extract('{"name": "x y"}', ASKED) == "x y"
    for text in ('{"a": ', "none", '{"b": 1}', '{"a": []}'):
        assert JsonTask("a.0").extract(text, ASKED) is None
    assert JsonTask("a").extract_stump(' "a": 5}', ASKED) == "5"
    assert JsonTask().extract("[" * 5000, ASKED) is None


def test_patterns_give_their_last_match() -> None:
    assert RegexTask("(cat|dog)").extract("a cat and a dog", ASKED) == "dog"
    assert RegexTask("is (?P<answer>[a-z]+) or ([a-z]+)").extract("is x or y", ASKED) == "x"
    assert RegexTask(r"\d+").extract("no", ASKED) is None
    with pytest.raises(InvalidInput, match=r"task = '\(': expected a regular expression"):
        RegexTask("(")


def test_functions_of_ones_own() -> None:
    assert read_task("python:json.dumps").name == "python:json.dumps"
    task = FunctionTask(lambda text, question: text[:1] or None)
    assert (task.extract("ab", ASKED), task.extract("", ASKED)) == ("a", None)
    with pytest.raises(InvalidInput, match="expected a text or None"):
        FunctionTask(lambda text, question: 3).extract("x", ASKED)  # pyright: ignore[reportArgumentType]

    def fails(text: str, question: Question) -> str:
        raise ValueError("no")

    with pytest.raises(InvalidInput, match="question 'q': ValueError: no"):
        FunctionTask(fails).extract("x", ASKED)


def test_what_a_model_wrote_is_never_executed(tmp_path) -> None:
    mark = tmp_path / "made"
    evil = f"\\boxed{{__import__('pathlib').Path({str(mark)!r}).touch()}} Answer: B"
    for task in (MathTask("rules"), ChoiceTask(), JsonTask(), RegexTask("x")):
        task.extract(evil, ASKED)
        task.same(evil, "1", ASKED)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sums", "task = 'sums': expected math, choice"),
        ("python:nothing_here.f", "expected a function that can be imported"),
        ("python:json.nothing_here", "expected a function that can be imported"),
        ("python:f", r"expected python:module\.function"),
        ("regex:", "a pattern after regex:"),
        ("template:no blanks", "at least one blank"),
    ],
)
def test_tasks_that_are_none(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_task(text)


def test_same_answers_share_the_first_ones_name() -> None:
    groups = Grouped(MathTask("rules"), ASKED, ["0.5"])
    assert [groups.name(a) for a in (r"\frac12", "1/2", "2", None, " ")] == ["0.5", "0.5", "2", NOT_FOUND, NOT_FOUND]


class Scripted(Backend):
    """Replies by a function of the prompt."""

    name = "scripted"

    def __init__(self, reply) -> None:
        self.reply, self.asked = reply, []

    def generate(self, requests, rule: Rule, *, seed: int) -> list[Generation | Failure]:
        self.asked += [r.prompt for r in requests]
        return [self.reply(r) for r in requests]

    def fork(self, request: Request, origin, cuts, n, rule, *, seed, ask="") -> list[list[Continuation] | Failure]:
        raise AssertionError("a judge does not fork")


def test_a_judge_reads_answers_and_its_failures_are_told() -> None:
    def reply(request: Request) -> Generation | Failure:
        text = str(request.prompt)
        if "blue" in text.split("[Text]")[1]:
            return Generation(("It is ", "WRONG."))
        if "fail" in text.split("[Text]")[1]:
            return Failure("HTTP 500")
        return Generation(("right" if "sky" in text else "who knows",))

    judge = Scripted(reply)
    task = JudgeTask(judge)
    read = task.extract_all(["the sky", "blue", "fail", "the sky", "other"], ASKED)
    assert read == ["right", "wrong", None, "right", None]
    assert len(judge.asked) == 4, "equal texts are judged once"
    assert task.failures == ["question 'q': HTTP 500"]
    assert (task.right("right", ASKED), task.right("wrong", ASKED)) == (True, False)
    with pytest.raises(InvalidInput, match="at least two labels that differ"):
        JudgeTask(judge, ("right", "Right"))


def test_verdicts_are_kept_and_not_asked_for_again(tmp_path) -> None:
    failing = {"b"}

    def reply(request: Request) -> Generation | Failure:
        text = str(request.prompt).split("[Text]\n")[1].split("\n[End]")[0]
        return Failure("HTTP 500") if text in failing else Generation(("right" if text == "a" else "none",))

    first = Scripted(reply)
    texts = ["a", "b", "c"]
    assert JudgeTask(first, journal=str(tmp_path)).extract_all(texts, ASKED) == ["right", None, None]
    failing.clear()
    again = Scripted(reply)
    task = JudgeTask(again, journal=str(tmp_path))
    assert task.extract_all(texts, ASKED) == ["right", None, None]
    assert len(again.asked) == 1, "the one that failed; a reply without a label is a verdict"
    last = Scripted(reply)
    assert JudgeTask(last, journal=str(tmp_path)).extract_all(texts, ASKED) == ["right", None, None]
    assert last.asked == []
    # On a question of another truth they say nothing.
    JudgeTask(last, journal=str(tmp_path)).extract_all(texts, dataclasses.replace(ASKED, truth="other"))
    assert len(last.asked) == 3
    with pytest.raises(InvalidInput, match=r"steps of this run, not of another.*labels"):
        JudgeTask(last, ("yes", "no"), journal=str(tmp_path)).extract("a", ASKED)


def test_a_judged_text_cannot_add_labels_of_its_own() -> None:
    """Labels are words: "wrongly" and "bright" are none."""
    task = JudgeTask(Scripted(lambda r: Generation(("brightly, wrongly",))))
    assert task.extract("x", ASKED) is None


def test_json_of_any_text_is_no_crash() -> None:
    assert JsonTask("a").extract(json.dumps({"a": None}), ASKED) is None
