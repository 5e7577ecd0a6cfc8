"""The back end that is any OpenAI-compatible server: vLLM, SGLang, llama.cpp, ``transformers serve``."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_kind, checked_whole, is_one_of
from sloc.lm.backends.contract import Backend, Continuation, Failure, Generation, Reason, Request, Rule, seed_of
from sloc.lm.backends.http import Client, Refused, Transport, Unavailable
from sloc.lm.tokenizer import Tokenizer

Endpoint = Literal["completions", "chat"]
_WORDS = re.compile(r"\s*\S+|\s+$")
# What a server may not know, in the order in which it is left out when a request is refused.  None changes what is
# drawn: without "seed" a run cannot be repeated, without the others less is told.
_OPTIONAL = ("return_token_ids", "logprobs", "token-id prompts", "seed")


@dataclass(frozen=True)
class _Job:
    """Some texts after one prompt."""

    request: Request
    kept: str
    ids: tuple[int, ...] | None
    count: int
    limit: int
    seed: int


class ServerBackend(Backend):
    """A server by URL.

    Two endpoints are spoken.  ``completions`` sends the text before the cut: as token numbers where a tokenizer is
    given and the server takes them, else as text; turns of a chat are put through the tokenizer's template.
    ``chat`` sends the turns, what was kept as an unfinished turn of the assistant (``continue_final_message``, which
    vLLM and SGLang know).  What a server refuses of what it need not know is left out from then on and said in
    ``notes``; temperature, top-k, top-p and min-p are never left out.

    Tokens of a generation are those that the server tells (``logprobs``); where it tells none, words stand for them.
    Stop texts are no part of what servers return.

    Args:
        url: of the server, such as ``http://127.0.0.1:8000/v1``; ``/v1`` is added where it has no path.
        model: as the server calls it; the first that it lists where None.
        endpoint: ``"completions"`` or ``"chat"``.
        tokenizer: of the model, for token-id prompts and chat templates, or None.
        transport: how requests are sent.
        per_request: texts that are asked for in one request.

    Raises:
        InvalidInput: no such address, or a server that does not answer.

    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        endpoint: Endpoint = "completions",
        tokenizer: Tokenizer | None = None,
        transport: Transport | None = None,
        per_request: int = 8,
    ) -> None:
        checked_kind(url, "url", str, "an address such as http://127.0.0.1:8000/v1")
        checked_kind(model, "model", str, "the name of a model, or None", optional=True)
        checked_kind(tokenizer, "tokenizer", Tokenizer, "a Tokenizer, or None", optional=True)
        checked_kind(transport, "transport", Transport, "a Transport, or None", optional=True)
        try:
            parsed = urllib.parse.urlsplit(url)
            _ = parsed.port  # read only when asked for: a port that is none would be refused with each request
        except ValueError as error:
            raise InvalidInput(f"url = {url!r}: expected an address ({error})") from error
        good = parsed.scheme in ("http", "https") and bool(parsed.hostname)
        require(good, "url", url, "an address such as http://127.0.0.1:8000/v1")
        require(is_one_of(endpoint, ("completions", "chat")), "endpoint", endpoint, "'completions' or 'chat'")
        checked_whole(per_request, "per_request")
        path = parsed.path.rstrip("/") or "/v1"
        self.url: str = urllib.parse.urlunsplit((parsed.scheme, parsed.netloc, path, "", ""))
        self.client: Client = Client(transport or Transport())
        self.endpoint: str = endpoint
        self.tokenizer: Tokenizer | None = tokenizer
        self.per_request: int = per_request
        self.model: str = model or self._first_model()
        self.name: str = self.model
        self.chats: bool = endpoint == "chat" or (tokenizer is not None and tokenizer.template is not None)
        self.batch: int = 4 * self.client.transport.concurrency * per_request
        self.notes: list[str] = []
        self._left_out: set[str] = set()

    def _first_model(self) -> str:
        try:
            listed = self.client.call(f"{self.url}/models")
            return str(listed["data"][0]["id"])
        except (Refused, Unavailable) as error:
            raise InvalidInput(f"url = {self.url!r}: expected a server that lists its models ({error})") from error
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidInput(f"url = {self.url!r}: expected a server that lists a model") from error

    def generate(self, requests: Sequence[Request], rule: Rule, *, seed: int) -> list[Generation | Failure]:
        """Draw one text a request (see :class:`Backend`)."""

        def one(request: Request) -> Generation | Failure:
            job = _Job(request, "", (), 1, rule.new_tokens, seed_of(seed, request.name, "original"))
            return _tried(lambda: _generation(self._choices(job, rule)[0]))

        return self.client.all(one, requests)

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
        """Draw continuations from each cut (see :class:`Backend`); a cut of which any text failed is a failure."""
        stage = "asked" if ask else "resampled"
        jobs: list[tuple[int, _Job]] = []
        for j, cut in enumerate(cuts):
            kept = "".join(origin.pieces[:cut]) + ask
            ids = self._kept_ids(origin, cut, ask)
            limit = rule.new_tokens if ask else max(rule.new_tokens - cut, 1)
            for first in range(0, n, self.per_request):
                own = seed_of(seed, request.name, stage, cut, first)
                jobs.append((j, _Job(request, kept, ids, min(self.per_request, n - first), limit, own)))

        def one(job: tuple[int, _Job]) -> list[Continuation] | Failure:
            return _tried(lambda: [_continuation(c) for c in self._choices(job[1], rule)])

        out: list[list[Continuation] | Failure] = [[] for _ in cuts]
        for (j, _), made in zip(jobs, self.client.all(one, jobs), strict=True):
            own = out[j]
            if isinstance(own, Failure):
                continue
            out[j] = made if isinstance(made, Failure) else [*own, *made]
        return out

    def _kept_ids(self, origin: Generation, cut: int, ask: str) -> tuple[int, ...] | None:
        if origin.tokens is None:
            return None
        asked = self.tokenizer.encode(ask, special=False) if ask and self.tokenizer is not None else []
        return (*origin.tokens[:cut], *asked)

    def _choices(self, job: _Job, rule: Rule) -> list[Mapping[str, Any]]:
        """Return as many choices as a job asks for, of one request or, where the server gives fewer, of several."""
        got: list[Mapping[str, Any]] = []
        while len(got) < job.count:
            answer = self._answered(job, rule, job.count - len(got), seed_of(job.seed, len(got)))
            choices = answer.get("choices") if isinstance(answer, Mapping) else None
            if not isinstance(choices, list) or not choices or not all(isinstance(c, Mapping) for c in choices):
                raise Unavailable(f"an answer without choices: {str(answer)[:200]}")
            got += choices
        return got[: job.count]

    def _answered(self, job: _Job, rule: Rule, count: int, seed: int) -> Any:
        while True:
            left_out = set(self._left_out)
            body, used = self._body(job, rule, count, seed, left_out)
            path = "chat/completions" if self.endpoint == "chat" else "completions"
            try:
                return self.client.call(f"{self.url}/{path}", body)
            except Refused as error:
                if error.code not in (400, 422) or not used:
                    raise
                if left_out == self._left_out:
                    first = next(o for o in _OPTIONAL if o in used)
                    self._left_out.add(first)
                    self.notes.append(f"the server refuses {first} (HTTP {error.code}); left out")

    def _body(
        self, job: _Job, rule: Rule, count: int, seed: int, left_out: set[str]
    ) -> tuple[dict[str, Any], set[str]]:
        """Return the body of a request, and which optional parts it uses."""
        body: dict[str, Any] = {"model": self.model, "max_tokens": job.limit, "stream": False}
        if count > 1:
            body["n"] = count
        if rule.sampling is not None:
            law = rule.sampling
            body |= {"temperature": law.temperature, "top_p": law.top_p}
            body |= {"top_k": law.top_k} if law.top_k else {}
            body |= {"min_p": law.min_p} if law.min_p else {}
        if rule.stop:
            body["stop"] = list(rule.stop)
        used: set[str] = set()
        if "seed" not in left_out:
            body["seed"], used = seed, used | {"seed"}
        if "logprobs" not in left_out:
            body["logprobs"], used = True if self.endpoint == "chat" else 1, used | {"logprobs"}
        if "return_token_ids" not in left_out and self.tokenizer is not None:
            body["return_token_ids"], used = True, used | {"return_token_ids"}
        if self.endpoint == "chat":
            body |= self._turns(job)
            return body, used
        prompt = job.request.prompt
        ids: list[int] | None = None
        if self.tokenizer is not None and job.ids is not None and "token-id prompts" not in left_out:
            used.add("token-id prompts")
            ids = self._prompt_ids(job.request)
        if ids is not None:
            body["prompt"] = [*ids, *(job.ids or ())]
            return body, used
        if not isinstance(prompt, str):
            refusal = "a tokenizer with a chat template, or the endpoint 'chat', for turns of a chat"
            require(self.tokenizer is not None, "tokenizer", None, refusal)
            assert self.tokenizer is not None
            prompt = self.tokenizer.chat(prompt)
        body["prompt"] = prompt + job.request.prefill + job.kept
        return body, used

    def _prompt_ids(self, request: Request) -> list[int]:
        assert self.tokenizer is not None
        if isinstance(request.prompt, str):
            return self.tokenizer.encode(request.prompt + request.prefill)
        return self.tokenizer.encode_chat(request.prompt, answer=request.prefill or None)

    def _turns(self, job: _Job) -> dict[str, Any]:
        prompt, kept = job.request.prompt, job.request.prefill + job.kept
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(t) for t in prompt]
        if not kept:
            return {"messages": turns}
        unfinished = {"role": "assistant", "content": kept}
        return {"messages": [*turns, unfinished], "continue_final_message": True, "add_generation_prompt": False}


def _tried(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Refused, Unavailable) as error:
        return Failure(str(error))


def _text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    # Half of a pair of surrogates can stand in JSON and in no file.
    return str(text or "").encode("utf-8", "replace").decode("utf-8")


def _pieces(choice: Mapping[str, Any], text: str) -> list[str]:
    """Return the text of each token where the server tells them and they join to the text; else words."""
    told = choice.get("logprobs")
    tokens: Any = None
    if isinstance(told, Mapping):
        content = told.get("content")
        tokens = told.get("tokens") or ([c.get("token") for c in content] if isinstance(content, list) else None)
    if isinstance(tokens, list) and all(isinstance(t, str) for t in tokens):
        kept = list(tokens)
        # An end token stands in the list and not in the text.
        while kept and "".join(kept) != text and len("".join(kept)) > len(text):
            kept.pop()
        if "".join(kept) == text:
            return kept
    return _WORDS.findall(text)


def _reason(choice: Mapping[str, Any]) -> Reason:
    return "length" if choice.get("finish_reason") == "length" else "end"


def _generation(choice: Mapping[str, Any]) -> Generation:
    text = _text(choice)
    pieces = _pieces(choice, text)
    ids = choice.get("token_ids")
    known = isinstance(ids, list) and all(isinstance(i, int) for i in ids) and len(ids) >= len(pieces)
    return Generation(tuple(pieces), tuple(ids[: len(pieces)]) if known and ids else None, _reason(choice))


def _continuation(choice: Mapping[str, Any]) -> Continuation:
    text = _text(choice)
    pieces = _pieces(choice, text)
    return Continuation(text, pieces[0] if pieces else "", len(pieces), _reason(choice))
