"""Sub-populations of texts: prompts, system prompts or models, and the exact posterior of which one wrote a text.

A source is a model with a prompt; its law over continuations is ``p^theta``.  Under truncation (``Y_t`` is the text
without its last ``t`` tokens) one teacher-forced pass of each source gives ``log p_t^theta(Y_t)`` for every ``t``,
and so the posterior ``pi_theta`` at every token, with no resampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, checked_all, checked_key, checked_kind, checked_whole
from sloc.contracts.equality import same_fields
from sloc.lm.decoding import decode
from sloc.lm.model import LanguageModel
from sloc.lm.sampling import Sampling
from sloc.lm.scoring import score, text_tokens

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """A sub-population of texts: what a model writes after a prompt.

    Attributes:
        model: the model.
        prompt: tokens, a str, or the turns of a chat; its end is where the texts begin.
        name: of the sub-population.

    """

    model: LanguageModel
    prompt: Any
    name: str

    def __post_init__(self) -> None:
        """Refuse what is no model and no name; the prompt is read with the model, where it is used.

        Raises:
            InvalidInput: names the entry.

        """
        checked_kind(self.model, "model", LanguageModel, "a LanguageModel")
        checked_kind(self.name, "name", str, "a text")


@dataclass(frozen=True)
class LikelihoodTrace:
    """One text, and how its tokens decide between sources.

    Attributes:
        names: of the sources, ``K``.
        tokens: of the text, ``[N]``.
        log_likelihood: ``[N + 1, K]``, ``log p^theta`` of the first ``i`` tokens, in nats; 0 at ``i = 0``.
        posterior: ``[N + 1, K]``, probability of each source given the first ``i`` tokens; row 0 is the prior.
        information: ``[N]``, bits that each token takes from the entropy of the posterior (negative where it adds);
            over texts of the mixture its mean is the information per token, which is never negative.

    """

    names: tuple[str, ...]
    tokens: np.ndarray
    log_likelihood: np.ndarray
    posterior: np.ndarray
    information: np.ndarray

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a token: kept tokens, token, bits, and the posterior after it."""
        import pandas as pd

        rows = {"kept": np.arange(1, len(self.tokens) + 1), "token": self.tokens, "bits": self.information}
        return pd.DataFrame({**rows, **{n: self.posterior[1:, k] for k, n in enumerate(self.names)}})


@dataclass(frozen=True)
class LikelihoodPaths:
    """Texts of every source, with their log-likelihoods under all.

    Attributes:
        names: of the sources, ``K``.
        log_weights: ``[K]``, of the mixture.
        tokens: for each source, then draw, the text's tokens.
        log_likelihood: ``[K, n, N + 1, K]``: text ``r`` of source ``s``, its first ``i`` tokens, under each source;
            constant after a text's end.

    """

    names: tuple[str, ...]
    log_weights: np.ndarray
    tokens: list[list[np.ndarray]]
    log_likelihood: np.ndarray

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def num_components(self) -> int:
        """How many sources."""
        return len(self.names)

    @property
    def n(self) -> int:
        """Texts of each source."""
        return self.log_likelihood.shape[1]

    @property
    def length(self) -> int:
        """Tokens of the longest possible text."""
        return self.log_likelihood.shape[2] - 1

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per text and source asked: who wrote it, its number and length, and its log-likelihood."""
        import pandas as pd

        rows = [
            {
                "source": source,
                "text": r,
                "tokens": len(self.tokens[s][r]),
                "under": under,
                "log_likelihood": self.log_likelihood[s, r, -1, k],
            }
            for s, source in enumerate(self.names)
            for r in range(self.n)
            for k, under in enumerate(self.names)
        ]
        return pd.DataFrame(rows, columns=["source", "text", "tokens", "under", "log_likelihood"])


def likelihood_trace(
    sources: Sequence[Source], text: Any, *, weights: Any = None, sampling: Sampling | None = None
) -> LikelihoodTrace:
    """Return how the tokens of a text decide which source wrote it; exact.

    ``pi_theta(x_<=i) = w_theta p^theta(x_<=i) / sum``; information ``H(pi at i - 1) - H(pi at i)``.  Source: Bayes'
    rule; Shannon 1948.

    Args:
        sources: two or more, whose models share a vocabulary.
        text: tokens or a str, as it follows the prompts (encoded after the first one's).
        weights: of the sources; equal where None.
        sampling: the law of the sources' tokens; that of plain logits where None.

    Raises:
        InvalidInput: fewer than two sources, vocabularies that differ, weights that are none.

    """
    names, log_weights = _checked(sources, weights)
    tokens = text_tokens(sources[0].model, text, "text", sources[0].prompt)
    logs = np.zeros((len(tokens) + 1, len(sources)))
    for k, source in enumerate(sources):
        found = score(source.model, [tokens], prompt=source.prompt, sampling=sampling)[0]
        logs[1:, k] = np.cumsum(found, dtype=np.float64)
    posterior = posteriors(logs, log_weights)
    return LikelihoodTrace(names, tokens, logs, posterior, -np.diff(entropy(posterior)))


def sample_paths(
    key: jax.Array,
    sources: Sequence[Source],
    *,
    n: int,
    new_tokens: int,
    weights: Any = None,
    sampling: Sampling | None = None,
    lanes: int = 512,
) -> LikelihoodPaths:
    """Draw ``n`` texts of each source and score each under all sources.

    ``log p^theta(x_1, ..., x_i) = sum_{j <= i} log p^theta(x_j | prompt, x_1, ..., x_{j-1})`` of ``x ~ p^source``.

    Source: textbook (the chain rule).

    Each prompt is read once to draw and once a scoring; a text's likelihood under its own source comes from drawing it.

    Args:
        key: typed PRNG key.
        sources: two or more, whose models share vocabulary and end tokens.
        n: texts of each, at least 2.
        new_tokens: of a text at most.
        weights: of the sources; equal where None.
        sampling: the law of the sources' tokens; that of plain logits where None.
        lanes: texts that are drawn at a time.

    Returns:
        The texts and their likelihoods, exact.

    Raises:
        InvalidInput: fewer than two sources, vocabularies or end tokens that differ, weights that are none.

    """
    names, log_weights = _checked(sources, weights)
    ends = [s.model.end_tokens for s in sources]
    require(len(set(ends)) == 1, "sources", ends, "models with the same end tokens")
    checked_key(key)
    n, new_tokens = checked_whole(n, "n", 2, what="texts of each source"), checked_whole(new_tokens, "new_tokens")
    checked_kind(sampling, "sampling", Sampling, "Sampling, or None", optional=True)
    law = Sampling() if sampling is None else sampling
    count = len(sources)
    logs = np.zeros((count, n, new_tokens + 1, count))
    tokens = []
    for s, source in enumerate(sources):
        drawn = decode(
            jax.random.fold_in(key, s),
            source.model,
            source.prompt,
            n=n,
            new_tokens=new_tokens,
            sampling=law,
            lanes=lanes,
        )
        tokens.append(drawn.tokens)
        for k, other in enumerate(sources):
            found = drawn.log_probs if k == s else score(other.model, drawn.tokens, prompt=other.prompt, sampling=law)
            for r, each in enumerate(found):
                logs[s, r, 1 : len(each) + 1, k] = np.cumsum(each, dtype=np.float64)
                logs[s, r, len(each) + 1 :, k] = logs[s, r, len(each), k]
    return LikelihoodPaths(names, log_weights, tokens, logs)


def posteriors(log_likelihood: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """Return posteriors over the last axis, in float64."""
    from scipy.special import softmax

    return softmax(log_likelihood + log_weights, axis=-1)


def entropy(posterior: np.ndarray) -> np.ndarray:
    """Return the entropy over the last axis, in bits."""
    from scipy.special import entr

    return np.sum(entr(posterior), axis=-1) / np.log(2)


def _checked(sources: Sequence[Source], weights: Any) -> tuple[tuple[str, ...], np.ndarray]:
    sources = checked_all(sources, "sources", Source, "Sources", 2)
    names = tuple(s.name for s in sources)
    require(len(set(names)) == len(names), "sources", names, "names that differ")
    sizes = [s.model.config.vocabulary for s in sources]
    require(len(set(sizes)) == 1, "sources", sizes, "models with the same vocabulary")
    given = np.full(len(sources), 1 / len(sources)) if weights is None else as_floats(weights, "weights")
    fits = given.shape == (len(sources),) and bool(np.all(given > 0)) and bool(np.isfinite(given).all())
    require(fits, "weights", weights, f"{len(sources)} positive numbers")
    return names, np.log(given / given.sum())
