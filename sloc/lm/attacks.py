"""What a forced beginning does to the rest: prefill and repeated-token curves, one prefix for all lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_kind, checked_level, checked_whole
from sloc.engine.binomial import clopper_pearson
from sloc.lm.decoding import Branches, decode, whole_numbers
from sloc.lm.model import LanguageModel
from sloc.lm.sampling import Sampling
from sloc.lm.scoring import text_tokens
from sloc.results.curve import Curve

Feature = Callable[[str], bool | int]
"""Whether a text has a feature; texts are what the model added, as text."""


def prefill_curve(
    key: jax.Array,
    model: LanguageModel,
    prompt: Any,
    answer: Any,
    feature: Feature,
    lengths: Sequence[int],
    *,
    n: int,
    new_tokens: int,
    sampling: Sampling | None = None,
    delta: float = 0.05,
) -> tuple[Curve, Branches]:
    """Return how often a model's text has a feature after the first ``k`` tokens of an answer were put in its mouth.

    ``P(feature | prompt, a_1, ..., a_k)`` of ``n`` texts each.  Prompt and answer are read once for all ``k``.

    Source: Li, Karan & Chen 2025 (prefill attacks); Clopper & Pearson 1934 for the band.

    Args:
        key: typed PRNG key.
        model: a causal model with a tokenizer.
        prompt: tokens, a str, or the turns of a chat.
        answer: tokens or a str.
        feature: of what the model adds.
        lengths: numbers ``k`` of the answer's tokens that are given, 0 for none, increasing.
        n: branches a length.
        new_tokens: of a branch at most.
        sampling: law of the next token; the model's own where None.
        delta: error level of the whole band (Clopper–Pearson, shared by the lengths).

    Returns:
        The curve over ``k``, and the branches.

    Raises:
        InvalidInput: lengths beyond the answer, or not increasing.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    head, body = model.tokens(prompt, "prompt"), text_tokens(model, answer, "answer", prompt)
    given = _lengths(lengths, len(body), "the answer's", "lengths")
    return _attacked(key, model, head, body, given, feature, n, new_tokens, sampling, delta, "prefilled tokens")


def repeated_token_curve(
    key: jax.Array,
    model: LanguageModel,
    prompt: Any,
    token: int | str,
    feature: Feature,
    counts: Sequence[int],
    *,
    n: int,
    new_tokens: int,
    sampling: Sampling | None = None,
    delta: float = 0.05,
) -> tuple[Curve, Branches]:
    """Return how often what a model writes has a feature after ``k`` copies of one token; see :func:`prefill_curve`.

    ``P(feature | prompt, a, ..., a)`` with ``k`` copies of the token ``a``.

    Source: Li, Karan & Chen 2025 (repeated tokens); Clopper & Pearson 1934 for the band.

    Args:
        key: typed PRNG key.
        model: a causal model with a tokenizer.
        prompt: tokens, a str, or the turns of a chat.
        token: a token's number, or a text that is one token.
        feature: of what the model adds.
        counts: numbers of copies, increasing.
        n: branches a number.
        new_tokens: of a branch at most.
        sampling: law of the next token; the model's own where None.
        delta: error level of the whole band.

    Returns:
        The curve over the number of copies, and the branches.

    Raises:
        InvalidInput: no model, a token that is a text of several, or counts that do not increase.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    head = model.tokens(prompt, "prompt")
    one = (
        np.asarray([checked_whole(token, "token", 0)], np.int32)
        if not isinstance(token, str)
        else text_tokens(model, token, "token", prompt)
    )
    require(len(one) == 1, "token", token, f"one token (this text is {len(one)})")
    given = _lengths(counts, model.config.max_positions, "the context's", "counts")
    body = np.repeat(one, int(given.max()))
    return _attacked(key, model, head, body, given, feature, n, new_tokens, sampling, delta, "repeated tokens")


def _lengths(lengths: Sequence[int], most: int, whose: str, name: str) -> np.ndarray:
    given = whole_numbers(lengths, name)
    rising = given.ndim == 1 and given.size > 0 and bool(np.all(np.diff(given) > 0))
    require(rising and given[0] >= 0 and given[-1] <= most, name, lengths, f"increasing, from 0 to {whose} {most}")
    return given


def _attacked(
    key: jax.Array,
    model: LanguageModel,
    head: np.ndarray,
    body: np.ndarray,
    lengths: np.ndarray,
    feature: Feature,
    n: int,
    new_tokens: int,
    sampling: Sampling | None,
    delta: float,
    unit: str,
) -> tuple[Curve, Branches]:
    level = checked_level(delta, "delta")
    require(callable(feature), "feature", feature, "a function of a text")
    n = checked_whole(n, "n", what="branches")
    require(model.tokenizer is not None, "model", model, "a model with a tokenizer")
    text = np.concatenate([head, body[: int(lengths[-1])]])
    branches = decode(key, model, text, len(head) + lengths, n=n, new_tokens=new_tokens, sampling=sampling)
    seen = np.asarray([bool(feature(t)) for t in branches.texts(model)]).reshape(len(lengths), n)
    hits = seen.sum(axis=1)
    low, high = clopper_pearson(hits, n, level / len(lengths))
    share = hits / n
    stderr = np.sqrt(share * (1 - share) / n)
    method = "branches of one prefix, Clopper-Pearson band"
    quantity = f"share with the feature, by {unit}"
    return Curve(lengths, share, stderr, low, high, n, method, quantity, delta=level, time_axis=unit), branches
