"""Structured texts: a template with blanks, what a text filled in, and where each choice becomes known.

Source: Li, Karan & Chen 2025, Fig. 4.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, checked_all, checked_kind
from sloc.lm.answers.contract import Task

if TYPE_CHECKING:
    from sloc.lm.experiments.questions import Question


@dataclass(frozen=True)
class ChoicePoint:
    """Where one choice becomes known.

    Attributes:
        blank: number of the blank, from 0.
        choice: what was filled in.
        before: kept up to here nothing of the choice is seen; characters or tokens.
        after: kept up to here it is known.

    """

    blank: int
    choice: str
    before: int
    after: int


@dataclass(frozen=True)
class Template:
    """A text with blanks: ``"The {cat|dog} is {red|blue}."``.

    Attributes:
        fixed: texts around the blanks, one more than there are blanks.
        blanks: what each may hold, at least two that differ, none the beginning of another.

    """

    fixed: tuple[str, ...]
    blanks: tuple[tuple[str, ...], ...]

    @staticmethod
    def read(text: str) -> Template:
        """Return the template that a text writes, blanks as ``{one|other}``.

        Raises:
            InvalidInput: no blanks, a blank with fewer than two alternatives, or alternatives of which one begins
                another (the choice would not be known where it ends).

        """
        checked_kind(text, "text", str, "a text")
        parts = re.split(r"\{([^{}]*)\}", text)
        blanks = tuple(tuple(p.split("|")) for p in parts[1::2])
        require(len(blanks) > 0, "template", text, "at least one blank such as {cat|dog}")
        for number, options in enumerate(blanks, 1):
            good = len(options) >= 2 and all(options)
            require(good, f"template, blank {number}", options, "at least two alternatives, such as {cat|dog}")
            clash = [(a, b) for a, b in itertools.permutations(options, 2) if b.startswith(a)]
            require(not clash, f"template, blank {number}", clash, "alternatives of which none begins another")
        return Template(tuple(parts[0::2]), blanks)

    def fill(self, choices: Sequence[str]) -> str:
        """Return the text with these choices.

        Raises:
            InvalidInput: not one text for each blank.

        """
        choices = checked_all(choices, "choices", str, "texts")
        require(len(choices) == len(self.blanks), "choices", tuple(choices), f"{len(self.blanks)} choices")
        return "".join(f + c for f, c in zip(self.fixed, (*choices, ""), strict=True))

    def choices(self, text: str) -> tuple[str, ...] | None:
        """Return what a text filled in, or None where it does not begin like the template.  Blanks count as one."""
        found = self._pattern.match(checked_kind(text, "text", str, "a text"))
        return None if found is None else found.groups()

    @property
    def _pattern(self) -> re.Pattern[str]:
        fixed = [r"\s+".join(re.escape(w) for w in re.split(r"\s+", f)) for f in self.fixed]
        blanks = ["(" + "|".join(re.escape(o) for o in options) + ")" for options in self.blanks]
        return re.compile("".join(f + b for f, b in zip(fixed, (*blanks, ""), strict=True)))

    def points(self, text: str) -> tuple[ChoicePoint, ...] | None:
        """Return where each choice of a text becomes known, in characters; None where it does not fit the template.

        ``before`` is where the blank begins, ``after`` the first character that tells its choice from all others.
        """
        found = self._pattern.match(checked_kind(text, "text", str, "a text"))
        if found is None:
            return None
        out = []
        for i, options in enumerate(self.blanks):
            choice, start = found.group(i + 1), found.start(i + 1)
            shared = max(_shared(choice, o) for o in options if o != choice)
            out.append(ChoicePoint(i, choice, start, start + shared + 1))
        return tuple(out)

    def token_points(self, pieces: Sequence[str], prefill: str = "") -> tuple[ChoicePoint, ...] | None:
        """Return where each choice of a generation becomes known, in tokens.

        Args:
            pieces: text of each token of the generation.
            prefill: what stands before the first of them.

        """
        pieces = checked_all(pieces, "pieces", str, "texts")
        points = self.points(checked_kind(prefill, "prefill", str, "a text") + "".join(pieces))
        if points is None:
            return None
        ends = len(prefill) + np.cumsum([0, *(len(p) for p in pieces)])
        return tuple(
            ChoicePoint(
                p.blank,
                p.choice,
                max(int(np.searchsorted(ends, p.before, side="right")) - 1, 0),
                int(np.searchsorted(ends, p.after, side="left")),
            )
            for p in points
        )


def _shared(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def same_choices_curve(
    law: Mapping[tuple[str, ...], float], choices: Sequence[str], points: Sequence[ChoicePoint], kept: Sequence[int]
) -> np.ndarray:
    """Return the probability of the same choices given what is kept, predicted from the template.

    With ``k`` blanks known at a cut it is ``law(choices) / sum of law over tuples that agree in the first k``: exact
    where a text is its choices and nothing else is random, and cuts lie outside ``(before, after)``.

    Args:
        law: probability (or count) of each tuple of choices.
        choices: of the generation.
        points: from :meth:`Template.points` or :meth:`Template.token_points`.
        kept: cuts, in the points' unit.

    Returns:
        float64, one a cut.

    Raises:
        InvalidInput: choices that the law gives no probability.

    """
    checked_kind(law, "law", Mapping, "the probability of each tuple of choices")
    checked_all(points, "points", ChoicePoint, "ChoicePoints")
    kept = as_floats(kept, "kept").ravel().tolist()
    require(all(math.isfinite(k) for k in kept), "kept", kept, "finite cuts")
    own = checked_all(choices, "choices", str, "texts")
    require(law.get(own, 0) > 0, "choices", own, "choices of positive probability")
    out = []
    for cut in kept:
        known = sum(p.after <= cut for p in points)
        out.append(law[own] / sum(v for t, v in law.items() if t[:known] == own[:known]))
    return np.asarray(out, np.float64)


class TemplateTask(Task):
    """The choices of a structured text, joined by commas.

    Args:
        template: with blanks as ``{one|other}``.

    Raises:
        InvalidInput: a template that is none.

    """

    def __init__(self, template: str | Template) -> None:
        checked_kind(template, "template", (str, Template), "a text with blanks, or a Template")
        self.template: Template = template if isinstance(template, Template) else Template.read(template)
        self.name = "template"

    def extract(self, text: str, question: Question) -> str | None:
        """Return the choices of a text; None where it does not fit the template."""
        checked_kind(text, "text", str, "a text")
        found = self.template.choices(text.lstrip())
        found = self.template.choices(text) if found is None else found
        return None if found is None else ",".join(found)
