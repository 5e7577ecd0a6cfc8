"""The back end that is ``transformers``: any causal model it loads, one cut at a time (an optional import)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_whole
from sloc.contracts.extras import need
from sloc.lm.backends.contract import Backend, Continuation, Failure, Generation, Reason, Request, Rule, seed_of
from sloc.lm.sampling import Sampling


class TransformersBackend(Backend):
    """A causal model of ``transformers``; each cut is read anew and its continuations are one batch.

    For models that sloc's engine does not know, and to compare with it.  Draws depend on the seed, the question's name
    and the cut, not on what else is asked for; they are PyTorch's and differ from those of the engine.

    Args:
        path: a folder, or a hub id.
        dtype: of PyTorch by name, such as ``"float32"``; as stored where None.
        batch_size: continuations at a time.

    Raises:
        InvalidInput: transformers or torch are not installed, or they cannot load the model.

    """

    def __init__(self, path: str, *, dtype: str | None = None, batch_size: int = 256) -> None:
        checked_whole(batch_size, "batch_size")
        self.torch: Any = need(None, "torch", "a model of PyTorch")
        library: Any = need(None, "transformers", "a model of PyTorch")
        try:
            self.tokenizer: Any = library.AutoTokenizer.from_pretrained(path)
            self.model: Any = library.AutoModelForCausalLM.from_pretrained(path, dtype=dtype or "auto").eval()
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(f"path = {path!r}: expected a causal model ({error})") from error
        self.name: str = f"transformers:{path.rstrip('/').split('/')[-1]}"
        self.batch_size: int = batch_size
        self.chats: bool = bool(getattr(self.tokenizer, "chat_template", None))
        self.batch: int = batch_size
        end = self.model.generation_config.eos_token_id
        self._ends = set(end if isinstance(end, list) else [end])

    def prompt_tokens(self, request: Request) -> list[int]:
        """Return the tokens of a prompt with its prefill."""
        if isinstance(request.prompt, str):
            return list(self.tokenizer(request.prompt + request.prefill)["input_ids"])
        turns = [dict(t) for t in request.prompt]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text + request.prefill, add_special_tokens=False)["input_ids"])

    def generate(self, requests: Sequence[Request], rule: Rule, *, seed: int) -> list[Generation | Failure]:
        """Draw one text a request (see :class:`Backend`); one that does not fit the context is a failure."""
        out: list[Generation | Failure] = []
        for request in requests:
            tokens = self.prompt_tokens(request)
            if failed := self._too_long(len(tokens) + rule.new_tokens):
                out.append(failed)
                continue
            own = seed_of(seed, request.name, "original")
            added, reason = self._drawn(tokens, 1, rule, rule.new_tokens, own)[0]
            out.append(Generation(tuple(self._pieces(tokens, added)), tuple(added), reason))
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
        asked = list(self.tokenizer(ask, add_special_tokens=False)["input_ids"]) if ask else []
        out: list[list[Continuation] | Failure] = []
        for cut in cuts:
            tokens = [*prompt, *origin.tokens[:cut], *asked]
            limit = rule.new_tokens if ask else max(rule.new_tokens - cut, 1)
            if failed := self._too_long(len(tokens) + limit):
                out.append(failed)
                continue
            drawn = []
            for first in range(0, n, self.batch_size):
                own = seed_of(seed, request.name, "asked" if ask else "resampled", cut, first)
                drawn += self._drawn(tokens, min(self.batch_size, n - first), rule, limit, own)
            out.append([self._continuation(tokens, added, reason) for added, reason in drawn])
        return out

    def _too_long(self, length: int) -> Failure | None:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        over = limit is not None and length > limit
        return Failure(f"prompt and answer = {length} tokens: expected at most the context, {limit}") if over else None

    def _drawn(self, tokens: list[int], n: int, rule: Rule, limit: int, seed: int) -> list[tuple[list[int], Reason]]:
        torch = self.torch
        options = self._law(rule.sampling)
        if rule.stop:
            options |= {"stop_strings": list(rule.stop), "tokenizer": self.tokenizer}
        given = torch.tensor([tokens] * n)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            ids = self.model.generate(
                given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=limit,
                pad_token_id=0,
                **options,
            )
        return [self._ended(row[len(tokens) :].tolist(), rule, limit) for row in ids]

    def _law(self, law: Sampling | None) -> dict[str, Any]:
        if law is None:
            return {}
        if law.temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        given: dict[str, Any] = {"do_sample": True, "temperature": law.temperature, "top_p": law.top_p}
        return {**given, "top_k": law.top_k or 0, "min_p": law.min_p or None}

    def _ended(self, added: list[int], rule: Rule, limit: int) -> tuple[list[int], Reason]:
        """Return the tokens of a row before its end token or padding, and why it ended."""
        at = next((i for i, t in enumerate(added) if t in self._ends), None)
        if at is not None:
            return added[:at], "end"
        if rule.stop:
            for k in range(1, len(added) + 1):
                if any(s in self.tokenizer.decode(added[:k]) for s in rule.stop):
                    return added[:k], "stop"
        return added, "length" if len(added) >= limit else "end"

    def _pieces(self, before: list[int], added: list[int]) -> list[str]:
        done = self.tokenizer.decode(before[-16:])
        out = []
        for i in range(len(added)):
            grown = self.tokenizer.decode([*before[-16:], *added[: i + 1]])
            whole = grown.rstrip("\ufffd") if i + 1 < len(added) else grown
            out.append(whole[len(done) :])
            done = whole
        return out

    def _continuation(self, before: list[int], added: list[int], reason: Reason) -> Continuation:
        head = self.tokenizer.decode(before[-16:])
        text = self.tokenizer.decode([*before[-16:], *added])[len(head) :]
        first = self.tokenizer.decode([*before[-16:], *added[:1]])[len(head) :]
        return Continuation(text, first, len(added), reason)
