"""Log-probabilities of given texts, token by token: a prompt is read once, texts of like length go together."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_kind, checked_whole
from sloc.lm.config import DecoderConfig
from sloc.lm.forward import Array, Cache, check_tokens, empty_cache, hidden_states
from sloc.lm.layers import head_matrix, matmul
from sloc.lm.model import LanguageModel
from sloc.lm.sampling import Sampling, log_law

_BUCKET = 32
"""Texts are padded to a multiple of this many tokens."""
_LOGITS = 1 << 24
"""Logits that are held at a time."""


def score(
    model: LanguageModel,
    texts: Sequence[Any],
    *,
    prompt: Any = None,
    sampling: Sampling | None = None,
    batch_tokens: int = 16_384,
) -> list[np.ndarray]:
    """Return the log-probability of each token of each text, given the prompt and the text before it.

    ``log p(x_i | prompt, x_1, ..., x_{i-1})``.  Source: textbook (the chain rule).

    Exact: one teacher-forced pass.  The prompt is read once for all texts; texts of like length are read together.

    Args:
        model: a causal model.
        texts: each tokens ``[T]`` or a str (encoded as what follows the prompt, where there is one).
        prompt: tokens, a str, or the turns of a chat.  Where None the first token of each text is its prompt: it is
            given, so its log-probability is 0.
        sampling: the law of which the log-probabilities are (minus infinity where a token is ruled out); that of plain
            logits where None.
        batch_tokens: texts that are read together have at most so many tokens, padding included.

    Returns:
        For each text a float32 array ``[T]``, in nats.

    Raises:
        InvalidInput: no texts, an empty text, a text that with its prompt is longer than the model's context.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    checked_kind(sampling, "sampling", Sampling, "Sampling, or None", optional=True)
    law = Sampling() if sampling is None else sampling
    law.validate()
    texts = list(texts) if isinstance(texts, np.ndarray) and texts.ndim == 2 else texts
    listed = isinstance(texts, Sequence) and not isinstance(texts, (str, bytes))
    require(listed, "texts", texts, "a sequence of texts")
    require(model.config.causal, "model", model.config.family, "a causal model")
    require(len(texts) > 0, "texts", texts, "at least one text")
    checked_whole(batch_tokens, "batch_tokens")
    each = [text_tokens(model, t, f"texts[{i}]", prompt) for i, t in enumerate(texts)]
    head = None if prompt is None else model.tokens(prompt, "prompt")
    start = 0 if head is None else len(head)
    longest, context = start + max(map(len, each)), model.config.max_positions
    require(longest <= context, "texts", f"{longest} tokens with the prompt", f"at most the model's context, {context}")
    long = model.config.long(longest)
    read = None if head is None else _read_prompt(model.config, model.weights, jnp.asarray(head)[None], long)
    out: list[np.ndarray] = [np.zeros(0, np.float32)] * len(each)
    for rows, width in _batches([len(t) for t in each], batch_tokens):
        tokens = np.zeros((len(rows), width), np.int32)
        for row, i in zip(tokens, rows, strict=True):
            row[: len(each[i])] = each[i]
        found = np.asarray(_scored(model.config, law, model.weights, jnp.asarray(tokens), read, long))
        for row, i in zip(found, rows, strict=True):
            out[i] = row[: len(each[i])]
    return out


def text_tokens(model: LanguageModel, text: Any, name: str, prompt: Any = None) -> np.ndarray:
    """Return a text's tokens; one that continues a prompt has no beginning-of-text token.

    A text after a prompt that is text too is encoded together with it where that leaves the prompt's tokens as they
    are: many tokenizers write a word's first token otherwise at the beginning of a text.
    """
    if not isinstance(text, str) or prompt is None:
        return model.tokens(text, name) if isinstance(text, str) else check_tokens(model.config, text, name)
    tokenizer = model.tokenizer
    require(tokenizer is not None, name, text, "tokens: this model has no tokenizer")
    assert tokenizer is not None
    if isinstance(prompt, str):
        head, whole = tokenizer.encode(prompt), tokenizer.encode(prompt + text)
        if whole[: len(head)] == head:
            return check_tokens(model.config, whole[len(head) :], name)
    return check_tokens(model.config, tokenizer.encode(text, special=False), name)


def _batches(lengths: list[int], batch_tokens: int) -> list[tuple[list[int], int]]:
    """Return groups of texts and their padded width: by length, whole buckets, sizes that recur."""
    groups: dict[int, list[int]] = {}
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        groups.setdefault(-(-lengths[i] // _BUCKET) * _BUCKET, []).append(i)
    out = []
    for width, rows in groups.items():
        size = max(batch_tokens // width, 1)
        out += [(rows[i : i + size], width) for i in range(0, len(rows), size)]
    return out


def _context(config: DecoderConfig, long: bool) -> int:
    return config.rotary.switch + 1 if config.rotary and long else 1


@functools.partial(jax.jit, static_argnames=("config", "long"))
def _read_prompt(config: DecoderConfig, weights: Any, tokens: Array, long: bool) -> tuple[Cache, Array]:
    cache = empty_cache(config, 1, tokens.shape[1], weights["embed"].dtype)
    features, read = hidden_states(config, weights, tokens, None, cache, _context(config, long))
    return read, features[:, -1:]


@functools.partial(jax.jit, static_argnames=("config", "law", "long"))
def _scored(
    config: DecoderConfig,
    law: Sampling,
    weights: Any,
    tokens: Array,
    read: tuple[Cache, Array] | None,
    long: bool,
) -> Array:
    """Return log-probabilities ``[B, T]`` of tokens ``[B, T]``, padded on the right."""
    batch, width = tokens.shape
    start = 0 if read is None else read[0].capacity
    cache = empty_cache(config, batch, start + width, weights["embed"].dtype)
    if read is not None:
        cache = _continued(read[0], cache, batch)
    features, _ = hidden_states(config, weights, tokens, None, cache, _context(config, long))
    if read is not None:
        before = jnp.broadcast_to(read[1], (batch, 1, config.width))
        features = jnp.concatenate([before, features[:, :-1]], axis=1)
        return _chosen(config, law, weights, features, tokens)
    found = _chosen(config, law, weights, features[:, :-1], tokens[:, 1:])
    return jnp.pad(found, ((0, 0), (1, 0)))


def _continued(prompt: Cache, cache: Cache, batch: int) -> Cache:
    """Return a cache that begins with the prompt's entries in every row."""
    n = prompt.capacity

    def with_prompt(own: Array, theirs: Array) -> Array:
        return own.at[:, :n].set(jnp.broadcast_to(theirs, (batch, *theirs.shape[1:])))

    pairs = ((cache.keys, prompt.keys), (cache.values, prompt.values))
    keys, values = ([with_prompt(a, b) for a, b in zip(*pair, strict=True)] for pair in pairs)
    return Cache(keys, values, with_prompt(cache.positions, prompt.positions), jnp.asarray(n, jnp.int32))


def _chosen(config: DecoderConfig, law: Sampling, weights: Any, features: Array, tokens: Array) -> Array:
    """Return the log-probability of each token, a few rows of logits at a time."""
    batch, width, size = features.shape
    rows = batch * width
    step = max(min(_LOGITS // config.vocabulary, rows), 1)
    steps = -(-rows // step)
    pad = steps * step - rows
    flat = jnp.pad(features.reshape(rows, size), ((0, pad), (0, 0))).reshape(steps, step, size)
    wanted = jnp.pad(tokens.reshape(rows), (0, pad)).reshape(steps, step)

    def one(given: tuple[Array, Array]) -> Array:
        h, token = given
        logs = log_law(matmul("re,ve->rv", h, head_matrix(weights), wide=True), law)
        return jnp.take_along_axis(logs, token[:, None], axis=1)[:, 0]

    return jax.lax.map(one, (flat, wanted)).reshape(-1)[:rows].reshape(batch, width)
