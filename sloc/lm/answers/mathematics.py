r"""Answers of mathematical problems: read by math-verify where it is installed, else by rules of our own.

The rules: the last ``\boxed{...}`` (or ``\fbox``), else what follows the last "answer is", else the last number.  Two
answers are the same where their texts agree once blanks, dollars, units' ``\text``, ``\left``, degree signs and the
like are left out, or where both are rational numbers (decimals, fractions, thousands' commas) of one value.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from sloc.contracts.arguments import checked_kind
from sloc.lm.answers.contract import Task

if TYPE_CHECKING:
    from sloc.lm.experiments.questions import Question

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?"
_SAID = re.compile(r"answer\s*(?:is|:|=)\s*:?\s*\**\s*([^\n]+)", re.IGNORECASE)
_LONGEST = 400
"""Characters of an answer at most; what is longer is no answer."""


class MathTask(Task):
    r"""Answers such as ``\boxed{\\frac{1}{2}}``.

    Args:
        parser: ``"math-verify"``, ``"rules"`` (see this module), or None for the former where it is installed.

    """

    name = "math"
    instructions = "Think step by step, and put your final answer within \\boxed{}."
    stump = "\n\nThe final answer is \\boxed{"

    def __init__(self, parser: str | None = None) -> None:
        from sloc.contracts import require

        known = ("math-verify", "rules")
        require(
            parser is None or (isinstance(parser, str) and parser in known),
            "parser",
            parser,
            f"one of {known}, or None",
        )
        installed = importlib.util.find_spec("math_verify") is not None
        require(parser != "math-verify" or installed, "parser", parser, "math-verify to be installed")
        self.parser: str = parser or ("math-verify" if installed else "rules")

    def extract(self, text: str, question: Question) -> str | None:
        """Return the last boxed answer, what follows "the answer is", or the last number; None where there is none."""
        checked_kind(text, "text", str, "a text")
        found = boxed(text)
        if found is None:
            said = _SAID.findall(text)
            found = _head(said[-1]) if said else None
        if found is None:
            numbers = [n for n in re.findall(_NUMBER, text) if re.search(r"\d", n)]
            found = numbers[-1] if numbers else None
        found = None if found is None else found.strip()
        return found if found and len(found) <= _LONGEST else None

    def extract_stump(self, text: str, question: Question) -> str | None:
        """Return what stands before the brace that closes the box which the question opened."""
        checked_kind(text, "text", str, "a text")
        return boxed("\\boxed{" + text)

    def same(self, a: str, b: str, question: Question) -> bool:
        """Return whether two answers are the same number, expression or text."""
        for name, answer in (("a", a), ("b", b)):
            checked_kind(answer, name, str, "a text")
        if plain(a) == plain(b):
            return True
        x, y = rational(a), rational(b)
        if x is not None and y is not None:
            return x == y
        # math-verify stops what takes it too long by a signal, which the main thread alone can have.
        usable = self.parser == "math-verify" and threading.current_thread() is threading.main_thread()
        return usable and (_verified(a, b) or _verified(b, a))


def boxed(text: str) -> str | None:
    r"""Return what stands in the last ``\boxed{...}`` or ``\fbox{...}`` of a text, braces balanced, or None."""
    for found in reversed(list(re.finditer(r"\\f?boxed\s*\{|\\fbox\s*\{", text))):
        depth, start = 1, found.end()
        for i in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[i], 0) if text[i - 1] != "\\" else 0
            if depth == 0:
                return text[start:i].strip() or None
    return None


def _head(text: str) -> str:
    """Return an answer without the sentence that goes on after it."""
    return re.split(r"(?<=\S)\.(?:\s|$)|\*\*", text.strip())[0].strip(" *")


@lru_cache(maxsize=65_536)
def plain(answer: str) -> str:
    """Return an answer without what does not change it."""
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}", r"\1", answer)
    text = re.sub(r"\\(?:left|right|displaystyle|,|!|;|:)|\\ |[$]|\^\s*\{?\\circ\}?|\\%|%", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    return re.sub(r"\s+", "", text).rstrip(".").lower()


@lru_cache(maxsize=65_536)
def rational(answer: str) -> Fraction | None:
    r"""Return the rational number that an answer writes (``3``, ``-1,200.5``, ``3/4``, ``\frac{3}{4}``), or None."""
    text = plain(answer)
    found = re.fullmatch(r"([-+]?)\\frac\{([-+]?[\d.,]+)\}\{([-+]?[\d.,]+)\}", text)
    if found is None:
        found = re.fullmatch(r"([-+]?)()([\d.,]+)", text) or re.fullmatch(r"([-+]?)([\d.,]+)/([\d.,]+)", text)
    if found is None:
        return None
    sign, top, bottom = found.groups()
    values = [_decimal(t) for t in (top, bottom) if t]
    if any(v is None for v in values):
        return None
    numbers = [v for v in values if v is not None]
    if len(numbers) == 2 and numbers[1] == 0:
        return None
    value = numbers[0] if len(numbers) == 1 else numbers[0] / numbers[1]
    return -value if sign == "-" else value


def _decimal(text: str) -> Fraction | None:
    if (
        len(text) > 60
        or not re.fullmatch(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?", text)
        or not re.search(r"\d", text)
    ):
        return None
    return Fraction(text.replace(",", ""))


@lru_cache(maxsize=65_536)
def _verified(a: str, b: str) -> bool:
    """Ask math-verify."""
    from math_verify import parse, verify  # pyright: ignore[reportMissingImports]

    try:
        gold, given = (parse(f"${x}$", parsing_timeout=2) for x in (b, a))
        return bool(gold and given and verify(gold, given, timeout_seconds=2))
    except Exception:  # what a parser says of text that is no mathematics: not the same
        return False
