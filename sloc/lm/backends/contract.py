"""What an experiment asks of a language model: generations, and continuations from cuts of one of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sloc.contracts import require
from sloc.contracts.arguments import checked_all, checked_kind, checked_whole
from sloc.lm.sampling import Sampling

Prompt = str | tuple[Mapping[str, str], ...]
"""A text, or the turns of a chat (``role`` and ``content``)."""
Reason = Literal["end", "length", "stop"]
"""Why a text ended: by itself, by its number of tokens, by a stop text."""


def check_prompt(prompt: Any, argument: str) -> None:
    """Refuse what is neither a text nor the turns of a chat.

    Raises:
        InvalidInput: anything else.

    """
    if not isinstance(prompt, str):
        turns = isinstance(prompt, list | tuple) and len(prompt) > 0
        turns = turns and all(isinstance(t, Mapping) and {"role", "content"} <= set(t) for t in prompt)
        require(turns, argument, prompt, "a text, or the turns of a chat, each with role and content")


@dataclass(frozen=True)
class Request:
    """One text to be written.

    Attributes:
        name: of the question; draws depend on it and on the seed, not on what else is asked for.
        prompt: what stands before.
        prefill: how the answer begins; part of the prompt, never cut.

    """

    name: str
    prompt: Prompt
    prefill: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be sent.

        Raises:
            InvalidInput: names the entry.

        """
        checked_kind(self.name, "name", str, "a text")
        check_prompt(self.prompt, "prompt")
        checked_kind(self.prefill, "prefill", str, "a text")


@dataclass(frozen=True)
class Rule:
    """How texts are drawn and when they end.

    Attributes:
        new_tokens: tokens of a whole generation at most, kept ones included.
        sampling: law of the next token; the model's own where None.
        stop: texts that end a generation.

    """

    new_tokens: int = 256
    sampling: Sampling | None = None
    stop: tuple[str, ...] = ()

    def validate(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InvalidInput: names the entry.

        """
        checked_whole(self.new_tokens, "new_tokens")
        stop = checked_all(self.stop, "stop", str, "texts")
        require(all(stop), "stop", self.stop, "texts of at least one character")
        checked_kind(self.sampling, "sampling", Sampling, "Sampling, or None", optional=True)
        if self.sampling is not None:
            self.sampling.validate()


@dataclass(frozen=True)
class Generation:
    """A text as it was drawn.

    Attributes:
        pieces: text of each token; they join to the text.
        tokens: their numbers, or None where a back end does not tell.
        reason: why it ended.
        log_probs: of each token under the law that it was drawn from, or None where a back end does not tell.

    """

    pieces: tuple[str, ...]
    tokens: tuple[int, ...] | None = None
    reason: Reason = "end"
    log_probs: tuple[float, ...] | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.pieces)

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        tokens = None if self.tokens is None else list(self.tokens)
        told = None if self.log_probs is None else list(self.log_probs)
        return {"pieces": list(self.pieces), "tokens": tokens, "reason": self.reason, "log_probs": told}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Generation:
        """Return what :meth:`to_json` wrote."""
        tokens, told = (None if record[k] is None else tuple(record[k]) for k in ("tokens", "log_probs"))
        return Generation(tuple(record["pieces"]), tokens, record["reason"], told)


@dataclass(frozen=True)
class Continuation:
    """What follows a cut.

    Attributes:
        text: without what was kept.
        first: the text of its first token (of its first word where a back end does not tell tokens); empty where
            nothing was added.
        length: tokens (words where a back end does not tell).
        reason: why it ended.

    """

    text: str
    first: str
    length: int
    reason: Reason = "end"


@dataclass(frozen=True)
class Failure:
    """A text that could not be had.

    Attributes:
        reason: in words.

    """

    reason: str


class Backend(ABC):
    """A language model to experiment on.

    Attributes:
        name: for tables, pages and the settings of a run.
        chats: whether prompts are best given as turns of a chat.
        batch: how many continuations are best asked for at once; what is done is kept between such calls.
        at_once: how many generations are best asked for at once, before the first of them is continued.

    """

    name: str = ""
    chats: bool = False
    batch: int = 1024
    at_once: int = 16

    @abstractmethod
    def generate(self, requests: Sequence[Request], rule: Rule, *, seed: int) -> list[Generation | Failure]:
        """Draw one text a request.

        Args:
            requests: of different names.
            rule: how they are drawn.
            seed: of everything drawn.

        Returns:
            One generation or failure a request; a failure is what remains after retries.

        """

    @abstractmethod
    def fork(
        self,
        request: Request,
        origin: Generation,
        cuts: Sequence[int],
        n: int,
        rule: Rule,
        *,
        seed: int,
        ask: str = "",
    ) -> list[list[Continuation] | Failure]:
        """Draw ``n`` continuations from each cut of a generation.

        Args:
            request: what the generation answers.
            origin: the generation.
            cuts: numbers of kept tokens, from 0 to its length.
            n: continuations a cut.
            rule: how they are drawn; ``new_tokens`` counts kept tokens too, except with ``ask``, where it is the
                number of tokens after it.
            seed: of everything drawn.
            ask: a text put after the cut, such as "Final answer:"; it is no part of what is returned.

        Returns:
            For each cut its continuations, or a failure.

        """


def seed_of(seed: int, *parts: object) -> int:
    """Return a number in [0, 2^31) that depends on a seed and on names, the same on every machine."""
    text = "\x1f".join(str(p) for p in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
