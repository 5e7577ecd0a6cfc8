"""Small decoders trained on texts: character by character, in minutes, so that nothing has to be downloaded."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_all, checked_key, checked_kind, checked_number, checked_whole
from sloc.contracts.extras import need
from sloc.lm.config import DecoderConfig
from sloc.lm.forward import hidden_states
from sloc.lm.layers import head_matrix
from sloc.lm.model import LanguageModel, random_model, small_config
from sloc.lm.tokenizer import Tokenizer

END = "<end>"
"""The token that ends a text."""


def character_tokenizer(alphabet: str) -> Tokenizer:
    """Return a tokenizer with one token a character, and an end token, the last.

    Args:
        alphabet: the characters; others cannot be encoded.

    Raises:
        InvalidInput: no text, or none of a character.

    """
    need("lm", "tokenizers", "a tokenizer")
    from tokenizers import Regex
    from tokenizers import Tokenizer as Backend
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    checked_kind(alphabet, "alphabet", str, "a text of at least one character")
    letters = sorted(set(alphabet))
    require(len(letters) > 0, "alphabet", alphabet, "at least one character")
    backend = Backend(WordLevel({c: i for i, c in enumerate([*letters, END])}, unk_token=END))
    backend.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = Fuse()  # pyright: ignore[reportAttributeAccessIssue]
    backend.add_special_tokens([END])
    return Tokenizer(backend, {"eos_token": END})


def train_decoder(
    key: jax.Array,
    texts: Sequence[str],
    *,
    steps: int,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    batch: int = 64,
    rate: float = 3e-3,
    name: str = "trained here",
) -> tuple[LanguageModel, np.ndarray]:
    """Train a small decoder of the Llama family to write texts, character by character, each with an end token.

    Args:
        key: typed PRNG key.
        texts: to learn from.
        steps: of Adam (:func:`sloc.nn.fit`).
        width: features of a token.
        layers: how many.
        heads: of the attention.
        batch: texts of a step.
        rate: largest learning rate.
        name: of the model.

    Returns:
        The model with averaged weights and its tokenizer, and the loss of each step in nats a character.

    Raises:
        InvalidInput: no texts, an empty one, or Flax and Optax are not installed.

    """
    checked_key(key)
    texts = checked_all(texts, "texts", str, "texts")
    require(len(texts) > 0 and all(texts), "texts", texts, "at least one text, none of them empty")
    for size, value in (("steps", steps), ("width", width), ("layers", layers), ("heads", heads), ("batch", batch)):
        checked_whole(value, size)
    rate = checked_number(rate, "rate", 0)
    checked_kind(name, "name", str, "a text")
    from sloc.nn import fit

    tokenizer = character_tokenizer("".join(set("".join(texts))))
    end = tokenizer.size - 1
    rows = [[*tokenizer.encode(t), end] for t in texts]
    longest = max(map(len, rows))
    tokens = np.full((len(rows), longest), end, np.int32)
    real = np.zeros((len(rows), longest), bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], real[i, : len(row)] = row, True
    config = small_config(tokenizer.size, width=width, layers=layers, heads=heads, max_positions=2 * longest + 64)
    key_start, key_fit = jax.random.split(key)
    module = random_model(key_start, config).to_nnx()
    loss = functools.partial(next_token_loss, config)
    fitted = fit(key_fit, module, loss, (tokens, real), steps=steps, batch=min(batch, len(rows)), rate=rate)
    return LanguageModel(config, fitted.model.weights(), tokenizer, end_tokens=(end,), name=name), fitted.losses


def next_token_loss(
    config: DecoderConfig, module: Any, key: jax.Array, tokens: jax.Array, real: jax.Array
) -> jax.Array:
    """Return the mean negative log-probability, in nats, of each token but the first given those before it.

    Args:
        config: of the decoder.
        module: has ``weights()``.
        key: not used: nothing is drawn.
        tokens: ``[B, T]``.
        real: ``[B, T]``, False at padding, which stands to the right.

    """
    weights = module.weights()
    features, _ = hidden_states(config, weights, tokens[:, :-1], real[:, :-1])
    scores = jax.nn.log_softmax(features @ head_matrix(weights).T, axis=-1)
    own = jnp.take_along_axis(scores, tokens[:, 1:, None], axis=-1)[..., 0]
    return -jnp.sum(jnp.where(real[:, 1:], own, 0.0)) / jnp.maximum(jnp.sum(real[:, 1:]), 1)
