"""Where a generation is cut: at fractions of its tokens, at tokens, at the ends of sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_all, checked_choice, checked_whole

KINDS = ("fraction", "token", "sentence")
_END = re.compile(r"(?:[.!?][\"')\]]*\s+|\n+)$")


@dataclass(frozen=True)
class Cuts:
    """Which cuts are made.

    Attributes:
        kind: ``"fraction"``, ``"token"`` or ``"sentence"``.
        fractions: kept fractions in [0, 1), for the first kind.
        every: with tokens, one cut in so many; with sentences likewise.

    """

    kind: str = "fraction"
    fractions: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    every: int = 1

    @property
    def axis(self) -> str:
        """What a kept part is counted in: ``"fraction"``, or ``"position"`` (tokens)."""
        return "fraction" if self.kind == "fraction" else "position"

    def validate(self) -> None:
        """Refuse what makes no cuts.

        Raises:
            InvalidInput: names the entry.

        """
        checked_choice(self.kind, "cuts", KINDS)
        checked_whole(self.every, "every")
        if self.kind == "fraction":
            listed = isinstance(self.fractions, (tuple, list)) and len(self.fractions) > 0
            inside = listed and all(0 <= as_real(f) < 1 for f in self.fractions)
            require(inside, "fractions", self.fractions, "kept fractions in [0, 1), at least one")
            rising = list(self.fractions) == sorted(set(self.fractions))
            require(rising, "fractions", self.fractions, "fractions in rising order, each once")

    def of(self, pieces: Sequence[str]) -> tuple[tuple[float, int], ...]:
        """Return ``(kept part, kept tokens)`` of every cut of a generation, rising; none of an empty one.

        The whole generation is no cut.  Of ``N`` tokens a fraction ``f`` keeps ``c = floor(f N)``; fractions that keep
        as many tokens as an earlier one are left out.  The first cut of tokens and sentences keeps nothing.
        """
        length = len(checked_all(pieces, "pieces", str, "texts"))
        if length == 0:
            return ()
        if self.kind == "fraction":
            seen: dict[int, float] = {}
            for f in self.fractions:
                seen.setdefault(int(f * length + 1e-9), f)
            return tuple((f, c) for c, f in seen.items() if c < length)
        ends = range(1, length) if self.kind == "token" else sentence_ends(pieces)
        return tuple((float(c), c) for c in [0, *ends][:: self.every])


def sentence_ends(pieces: Sequence[str]) -> list[int]:
    """Return after how many tokens each sentence but the last ends.

    A sentence ends before the token that begins the next one: where what was written so far, with the blanks that the
    next token begins with, ends in a full stop, question or exclamation mark and blanks, or in a new line.
    """
    out, text = [], ""
    for i, piece in enumerate(pieces):
        blanks = piece[: len(piece) - len(piece.lstrip())]
        begins = bool(piece.strip())
        if i > 0 and begins and text.strip() and _END.search(text + blanks):
            out.append(i)
            text = ""
        text += piece
    return out
