"""A back end by the name that is typed for it."""

from __future__ import annotations

import os
from typing import Any

from sloc.contracts import named, require
from sloc.contracts.arguments import checked_path, checked_whole
from sloc.lm.backends.contract import Backend

_TRANSPORT = ("concurrency", "rate", "retries", "timeout", "pause")


def open_backend(name: str, *, lanes: int = 512, **options: Any) -> Backend:
    """Return the back end that a name means.

    Args:
        name: the folder of a checkpoint or a hub id (sloc's own engine); ``transformers:`` and the same; or the URL of
            an OpenAI-compatible server, with ``#MODEL`` behind it where it serves several.
        lanes: branches that decode at a time (own engine).
        options: of a server: ``endpoint``, ``tokenizer`` (a folder), ``per_request``, ``key`` (else that of the
            environment variable ``SLOC_API_KEY``), ``concurrency``, ``rate``, ``retries``, ``timeout``, ``pause``; of
            the engine: ``dtype``, ``adapter``.  None is as if it were not given.

    Raises:
        InvalidInput: options that are not this back end's, or a model that cannot be opened.

    """
    checked_path(name, "name")
    require(isinstance(name, str), "name", name, "a folder, a hub id or an address, as a text")
    lanes = checked_whole(lanes, "lanes")
    given = {k: v for k, v in options.items() if v is not None}
    with named("name", "path", "url"):
        return _opened(name, lanes, given)


def _opened(name: str, lanes: int, given: dict[str, Any]) -> Backend:
    if name.startswith(("http://", "https://")):
        return _server(name, given)
    known = ("dtype",) if name.startswith("transformers:") else ("dtype", "adapter")
    for other in sorted(set(given) - set(known)):
        expected = f"no such option beside this model, which takes {' and '.join(known)}; a server's need its URL"
        require(False, other, given[other], expected)
    if name.startswith("transformers:"):
        from sloc.lm.backends.torch_models import TransformersBackend

        return TransformersBackend(name.removeprefix("transformers:"), **given)
    from sloc.lm.backends.engine import EngineBackend
    from sloc.lm.model import load_model

    return EngineBackend(load_model(name, **given), lanes=lanes)


def _server(name: str, given: dict[str, Any]) -> Backend:
    from pathlib import Path

    from sloc.lm.backends.http import Transport
    from sloc.lm.backends.server import ServerBackend
    from sloc.lm.tokenizer import read_tokenizer

    url, _, model = name.partition("#")
    known = ("endpoint", "tokenizer", "per_request", "key", *_TRANSPORT)
    for other in sorted(set(given) - set(known)):
        require(False, other, given[other], f"no such option beside a server, which takes {', '.join(known)}")
    key = given.get("key", os.environ.get("SLOC_API_KEY"))
    transport = Transport(key=key, **{k: given[k] for k in _TRANSPORT if k in given})
    tokenizer = None
    if "tokenizer" in given:
        tokenizer = read_tokenizer(Path(checked_path(given["tokenizer"], "tokenizer")))
        require(tokenizer is not None, "tokenizer", given["tokenizer"], "a folder with tokenizer.json")
    more = {k: given[k] for k in ("endpoint", "per_request") if k in given}
    return ServerBackend(url, model or None, tokenizer=tokenizer, transport=transport, **more)
