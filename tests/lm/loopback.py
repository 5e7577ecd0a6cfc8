"""A small real HTTP server on loopback that speaks the OpenAI protocol over sloc's own engine."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jax

from sloc.lm import Sampling
from sloc.lm.backends import EngineBackend, Failure, Generation, Request, Rule

KNOWN = {"model", "prompt", "messages", "max_tokens", "n", "temperature", "top_p", "top_k", "min_p", "stop", "seed"}
KNOWN |= {"stream", "logprobs", "return_token_ids", "continue_final_message", "add_generation_prompt"}


class Loopback:
    """What a server does and what it was asked.

    Attributes:
        script: (code, body or None) to answer the next requests with instead; None as code drops the connection.
        refuses: fields of a request that end in HTTP 400.
        requests: bodies that came.

    """

    def __init__(self, backend: EngineBackend, refuses: frozenset[str] = frozenset(), most: int = 8) -> None:
        self.backend, self.refuses, self.most = backend, refuses, most
        self.script: list[tuple[int | None, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, body: dict[str, Any], chat: bool) -> tuple[int, Any]:
        strange = (set(body) - KNOWN) | (self.refuses & set(body))
        if strange or ("token-id prompts" in self.refuses and not isinstance(body.get("prompt", ""), str)):
            return 400, {"error": f"unknown: {sorted(strange)}"}
        law = Sampling(
            body.get("temperature", 1.0), body.get("top_k", 0), body.get("top_p", 1.0), body.get("min_p", 0.0)
        )
        rule = Rule(body["max_tokens"], law)
        prompt = body.get("prompt", "")
        if chat:
            prompt = "".join(
                f"{m['content']}" if m["role"] == "assistant" else f"{m['content']} " for m in body["messages"]
            )
        if not isinstance(prompt, str):
            assert self.backend.model.tokenizer is not None
            prompt = self.backend.model.tokenizer.decode(prompt, skip_special=False)
        choices = []
        for i in range(min(body.get("n", 1), self.most)):
            made = self.backend.generate([Request(f"{prompt}{i}", prompt)], rule, seed=body.get("seed", 0))[0]
            if isinstance(made, Failure):
                return 400, {"error": made.reason}
            choices.append(self.choice(made, body, chat))
        return 200, {"object": "text_completion", "choices": choices}

    def choice(self, made: Generation, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        out: dict[str, Any] = {"index": 0, "finish_reason": "length" if made.reason == "length" else "stop"}
        out |= {"message": {"role": "assistant", "content": made.text}} if chat else {"text": made.text}
        if body.get("logprobs"):
            out["logprobs"] = (
                {"content": [{"token": p} for p in made.pieces]} if chat else {"tokens": list(made.pieces)}
            )
        if body.get("return_token_ids"):
            out["token_ids"] = list(made.tokens or ())
        return out


@contextlib.contextmanager
def serving(loopback: Loopback) -> Iterator[Loopback]:
    """Serve on a free port of loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def _send(self, code: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": loopback.backend.name}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with loopback.lock:
                loopback.requests.append(body)
                loopback.headers.append(dict(self.headers))
                scripted = loopback.script.pop(0) if loopback.script else None
                if scripted is not None:
                    code, content = scripted
                    if code is None:
                        self.close_connection = True
                        return
                    self._send(code, content, {"Retry-After": "0"} if code == 429 else {})
                    return
                # The rules of the tests hold for a thread: those of this folder are set again here.
                with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                    said = loopback.answer(body, self.path.endswith("/chat/completions"))
                self._send(*said)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
