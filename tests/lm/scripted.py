"""A back end whose law is known: words drawn by rules, for tests without a network."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sloc.lm.backends import Backend, Continuation, Failure, Generation, Request, Rule
from sloc.lm.backends.contract import seed_of

WORDS = ("I ", "think ", "about ", "it. ", "It ", "is ", "{} ", "for ", "sure.")
"""Every text; the seventh word is drawn: "right" or "wrong"."""
PLACE = 6


class Coin(Backend):
    """Writes :data:`WORDS`; the word that decides is "right" with probability ``p``."""

    name = "coin"
    batch = 64

    def __init__(self, p: float = 0.5, fails: Sequence[tuple[str, int | None]] = ()) -> None:
        self.p, self.fails, self.calls = p, set(fails), 0

    def _text(self, draw: random.Random) -> list[str]:
        return [w.format("right" if draw.random() < self.p else "wrong") for w in WORDS]

    def generate(self, requests: Sequence[Request], rule: Rule, *, seed: int) -> list[Generation | Failure]:
        self.calls += 1
        out: list[Generation | Failure] = []
        for r in requests:
            if (r.name, None) in self.fails:
                out.append(Failure("HTTP 503"))
                continue
            pieces = self._text(random.Random(seed_of(seed, r.name)))
            out.append(Generation(tuple(pieces if rule.new_tokens > 0 else ()), tuple(range(len(pieces)))))
        return out

    def fork(
        self, request: Request, origin: Generation, cuts: Sequence[int], n: int, rule: Rule, *, seed: int, ask: str = ""
    ) -> list[list[Continuation] | Failure]:
        self.calls += 1
        out: list[list[Continuation] | Failure] = []
        for cut in cuts:
            if (request.name, cut) in self.fails:
                out.append(Failure("HTTP 503"))
                continue
            drawn = []
            for r in range(n):
                rest = self._text(random.Random(seed_of(seed, request.name, ask, cut, r)))[cut:]
                drawn.append(Continuation("".join(rest), rest[0], len(rest)))
            out.append(drawn)
        return out
