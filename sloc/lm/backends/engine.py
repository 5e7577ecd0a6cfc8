"""The back end that is ours: forked decoding of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_kind, checked_whole
from sloc.lm.backends.contract import Backend, Continuation, Failure, Generation, Reason, Request, Rule, seed_of
from sloc.lm.decoding import Branches, decode
from sloc.lm.model import LanguageModel
from sloc.lm.prefix import Prefix, extend_prefix, read_prefix, shared_of
from sloc.lm.tokenizer import Tokenizer
from sloc.lm.writing import write_on

_CONTEXT = 16
"""Tokens before a text that it is decoded with."""
_WORTH = 16
"""Tokens in common from which on they are not read again."""
_REASONS: dict[str, Reason] = {"end": "end", "length": "length", "stop": "stop"}


class EngineBackend(Backend):
    """Forked decoding: all branches of a generation together.

    Prompts are read once, generations never: their keys and values are those that writing them made, kept until the
    next text.  What a text shares with the last one (instructions, examples, a judged text) is not read again.
    Draws depend on the seed, the question's name, the cut and the number of the resample, and on nothing else.

    Args:
        model: a causal model with a tokenizer.
        lanes: branches that decode at a time.
        name: for tables; the model's own when None.

    Raises:
        InvalidInput: a model without a tokenizer, or one that sees both ways.

    """

    def __init__(self, model: LanguageModel, *, lanes: int = 512, name: str | None = None) -> None:
        checked_kind(model, "model", LanguageModel, "a LanguageModel")
        checked_kind(name, "name", str, "a text, or None", optional=True)
        require(model.tokenizer is not None, "model", model, "a model with a tokenizer")
        require(model.config.causal, "model", model.config.family, "a causal model")
        lanes = checked_whole(lanes, "lanes")
        self.model: LanguageModel = model
        self.lanes: int = lanes
        assert model.tokenizer is not None
        self.tokenizer: Tokenizer = model.tokenizer
        self.name: str = model.name if name is None else name
        self.chats: bool = model.tokenizer.template is not None
        self.batch: int = 4 * lanes
        self.at_once: int = 1
        self.prefilled: int = 0
        self._last: Prefix | None = None

    def prompt_tokens(self, request: Request) -> list[int]:
        """Return the tokens of a prompt with its prefill."""
        if isinstance(request.prompt, str):
            return self.tokenizer.encode(request.prompt + request.prefill)
        return self.tokenizer.encode_chat(request.prompt, answer=request.prefill or None)

    def generate(self, requests: Sequence[Request], rule: Rule, *, seed: int) -> list[Generation | Failure]:
        """Draw one text a request (see :class:`Backend`); one that does not fit the context is a failure."""
        out: list[Generation | Failure] = []
        for request in requests:
            tokens = self.prompt_tokens(request)
            key = jax.random.key(seed_of(seed, request.name, "original"))
            try:
                prefix = self._prefix(tokens, len(tokens) + rule.new_tokens)
                branches, self._last = write_on(
                    key, self.model, prefix, new_tokens=rule.new_tokens, sampling=rule.sampling, stop=rule.stop
                )
            except InvalidInput as error:
                out.append(Failure(str(error)))
                continue
            out.append(self._generation(branches, tokens))
        return out

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
        """Draw continuations from each cut (see :class:`Backend`)."""
        require(origin.tokens is not None, "origin", origin, "a generation with its tokens")
        assert origin.tokens is not None
        prompt = self.prompt_tokens(request)
        text = [*prompt, *origin.tokens]
        at = np.asarray([len(prompt) + c for c in cuts])
        key = jax.random.key(seed_of(seed, request.name, "asked" if ask else "resampled"))
        asked = self.tokenizer.encode(ask, special=False) if ask else []
        try:
            length = len(prompt) + rule.new_tokens
            context = max(length, len(text) + len(asked) + rule.new_tokens) if ask else length
            # The last token was drawn and never read; where no cut keeps it, it need not be.
            prefix = self._prefix(text[: max(int(at.max()), len(text) - 1)], context)
            branches = self._decode(key, prefix, at, n, rule, None if ask else length, asked)
        except InvalidInput as error:
            return [Failure(str(error))] * len(at)
        out: list[list[Continuation] | Failure] = []
        for j, cut in enumerate(at):
            before = text[:cut]
            head = self.tokenizer.decode([*before[-_CONTEXT:], *asked], skip_special=False)
            rows = range(j * n, (j + 1) * n)
            out.append([self._continuation(branches, i, before, asked, head) for i in rows])
        return out

    def _prefix(self, tokens: list[int], context: int) -> Prefix:
        """Return a text's keys and values; what it shares with the last text is not read again."""
        limit = self.model.config.max_positions
        fits = context <= limit
        require(fits, "prompt and answer", f"{context} tokens", f"at most the model's context, {limit} tokens")
        last = self._last
        same = 0 if last is None or shared_of(last).long != self.model.config.long(context) else _common(last, tokens)
        if last is not None and same == len(tokens):
            return last.first(same)
        # A short piece in common is not worth the compilation of another width, unless it is all that there was.
        if last is not None and same and (same >= _WORTH or same == last.length):
            self.prefilled += len(tokens) - same
            made = extend_prefix(self.model, last.first(same), tokens[same:], context=context)
        else:
            self.prefilled += len(tokens)
            made = read_prefix(self.model, tokens, context=context)
        self._last = made
        return made

    def _decode(
        self,
        key: jax.Array,
        prefix: Prefix,
        cuts: np.ndarray,
        n: int,
        rule: Rule,
        length: int | None,
        asked: Sequence[int] = (),
    ) -> Branches:
        return decode(
            key,
            self.model,
            prefix.tokens,
            cuts,
            n=n,
            new_tokens=len(asked) + rule.new_tokens if length is None else None,
            length=length,
            sampling=rule.sampling,
            stop=rule.stop,
            forced=tuple(asked),
            lanes=self.lanes,
            prefix=prefix,
        )

    def _own(self, branches: Branches, i: int, skipped: int = 0) -> list[int]:
        """Return what a branch drew, without an end token."""
        added = [int(t) for t in branches.tokens[i][skipped:]]
        return added[:-1] if added and added[-1] in self.model.end_tokens else added

    def _generation(self, branches: Branches, before: Sequence[int]) -> Generation:
        own = self._own(branches, 0)
        # Decoded behind what stands before: whether a token begins with a blank depends on it.
        context = list(before[-_CONTEXT:])
        pieces = self.tokenizer.pieces([*context, *own])[len(context) :]
        told = tuple(float(p) for p in branches.log_probs[0][: len(own)])
        return Generation(tuple(pieces), tuple(own), _REASONS[branches.reasons[0]], told)

    def _continuation(
        self, branches: Branches, i: int, before: Sequence[int], asked: Sequence[int], head: str
    ) -> Continuation:
        own = self._own(branches, i, len(asked))
        context = [*before[-_CONTEXT:], *asked]
        first = self.tokenizer.decode([*context, *own[:1]], skip_special=False)[len(head) :]
        text = self.tokenizer.decode([*context, *own], skip_special=False)[len(head) :]
        return Continuation(text, first, len(own), _REASONS[branches.reasons[i]])


def _common(prefix: Prefix, tokens: Sequence[int]) -> int:
    """Return how many first tokens two texts share."""
    n = min(prefix.length, len(tokens))
    differ = np.flatnonzero(prefix.tokens[:n] != np.asarray(tokens[:n]))
    return int(differ[0]) if differ.size else n
