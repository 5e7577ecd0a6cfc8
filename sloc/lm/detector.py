"""The likelihood-ratio detector of jailbreaks: scores, ROC, and recall at a false-positive rate, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, checked_kind, checked_level
from sloc.contracts.equality import same_fields
from sloc.engine.binomial import clopper_pearson
from sloc.lm.likelihood import Source
from sloc.lm.sampling import Sampling
from sloc.lm.scoring import score, text_tokens
from sloc.results.estimate import Estimate

if TYPE_CHECKING:
    import pandas as pd


def likelihood_ratio(
    aligned: Source,
    unaligned: Source,
    texts: Sequence[Any],
    *,
    prompts: Sequence[Any] | None = None,
    mean: bool = False,
    sampling: Sampling | None = None,
) -> np.ndarray:
    """Return ``log p_unaligned(text) - log p_aligned(text)`` of each text, in nats.

    **High means jailbroken**: by the theory a text beyond the critical window is one that the unaligned sub-population
    writes.

    Args:
        aligned: a source of harmless texts.
        unaligned: a source of harmful ones.
        texts: tokens or str, as they follow the prompts.
        prompts: one a text, put in place of the sources' own; the sources' where None.
        mean: whether to divide by the number of tokens.
        sampling: the law of the sources' tokens; that of plain logits where None.

    Returns:
        float64 ``[len(texts)]``.

    Raises:
        InvalidInput: no texts, or prompts of another number.

    Source: Li, Karan & Chen 2025, Sect. 6.3; their released table has the other sign.

    """
    for name, source in (("aligned", aligned), ("unaligned", unaligned)):
        checked_kind(source, name, Source, "a Source")
    checked_kind(sampling, "sampling", Sampling, "Sampling, or None", optional=True)
    for name, listed in (("texts", texts), ("prompts", prompts)):
        good = isinstance(listed, Sequence) and not isinstance(listed, (str, bytes))
        require(good or (name == "prompts" and listed is None), name, listed, "a sequence of texts")
    require(len(texts) > 0, "texts", texts, "at least one text")
    fits = prompts is None or len(prompts) == len(texts)
    require(fits, "prompts", None if prompts is None else len(prompts), f"one for each of {len(texts)} texts")
    tokens = [text_tokens(aligned.model, t, f"texts[{i}]", aligned.prompt) for i, t in enumerate(texts)]
    sums = []
    for source in (unaligned, aligned):
        if prompts is None:
            found = score(source.model, tokens, prompt=source.prompt, sampling=sampling)
        else:
            pairs = zip(tokens, prompts, strict=True)
            found = [score(source.model, [t], prompt=p, sampling=sampling)[0] for t, p in pairs]
        sums.append(np.asarray([np.sum(f, dtype=np.float64) for f in found]))
    lengths = np.asarray([len(t) for t in tokens])
    return (sums[0] - sums[1]) / (lengths if mean else 1)


@dataclass(frozen=True)
class RecallAt:
    """A detector held at a false-positive rate.

    Attributes:
        threshold: scores above it are called positive.
        recall: the share of positives above it, with an exact binomial interval (given the threshold).
        false_positive_rate: of the threshold, with an exact interval: it was set on the negatives, so the true rate is
            that of an order statistic, a beta variable for continuous scores (a smaller rate with ties).

    """

    threshold: float
    recall: Estimate
    false_positive_rate: Estimate


@dataclass(frozen=True)
class Roc:
    """A detector's trade-off between false alarms and recall.

    Attributes:
        thresholds: ``[M]``, falling; scores above are called positive.
        false_positive_rate: ``[M]``.
        recall: ``[M]``.
        area: probability that a positive scores higher than a negative (ties count half).
        positives: scores, sorted.
        negatives: scores, sorted.

    """

    thresholds: np.ndarray
    false_positive_rate: np.ndarray
    recall: np.ndarray
    area: float
    positives: np.ndarray
    negatives: np.ndarray

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def recall_at(self, rate: float, *, delta: float = 0.05) -> RecallAt:
        """Return recall at a false-positive rate, each of the two intervals at level ``delta``.

        The threshold is the negatives' ``(n + 1 - k)``-th smallest score, ``k = floor(rate (n + 1))`` at least 1 (where
        the rate is too small for the number of negatives the threshold is their largest and the interval says so).

        Args:
            rate: wanted false-positive rate, in (0, 1).
            delta: error level of each interval.

        """
        from scipy.stats import beta

        level = checked_level(delta, "delta")
        rate = checked_level(rate, "rate")
        n, m = len(self.negatives), len(self.positives)
        # The rate above the k-th largest negative is Beta(k, n + 1 - k), whose mean k / (n + 1) is at most the wanted
        # one.
        k = min(max(int(np.floor(rate * (n + 1) + 1e-9)), 1), n)
        threshold = float(self.negatives[n - k])
        above, false = int(np.sum(self.positives > threshold)), int(np.sum(self.negatives > threshold))
        low, high = (float(v) for v in clopper_pearson(above, m, level))
        share = above / m
        recall = Estimate(share, float(np.sqrt(share * (1 - share) / m)), low, high, m, "Clopper-Pearson", "recall")
        law: Any = beta(k, n + 1 - k)
        ends = (float(law.ppf(level / 2)), float(law.ppf(1 - level / 2)))
        # With ties the true rate may be smaller than the order statistic's.
        low = 0.0 if false < k - 1 else ends[0]
        fpr = Estimate(
            false / n, float(law.std()), low, ends[1], n, "order statistic of the negatives", "false-positive rate"
        )
        return RecallAt(threshold, recall, fpr)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a threshold."""
        import pandas as pd

        columns = ("thresholds", "false_positive_rate", "recall")
        return pd.DataFrame({c.removesuffix("s"): getattr(self, c) for c in columns})


def roc(positives: Any, negatives: Any) -> Roc:
    """Return the receiver operating characteristic of scores.

    ``tpr(c) = sum_i 1[positive_i >= c] / m`` and ``fpr(c) = sum_j 1[negative_j >= c] / n`` are the shares of positives
    and of negatives scored ``c`` or more.  Source: textbook.

    Args:
        positives: scores of what is to be found, ``[m]``.
        negatives: scores of the rest, ``[n]``.

    Raises:
        InvalidInput: no scores, or scores that are NaN.

    """
    sides = {}
    for name, given in (("positives", positives), ("negatives", negatives)):
        scores = np.sort(as_floats(given, name).ravel())
        require(scores.size > 0, name, given, "at least one score")
        require(not np.isnan(scores).any(), name, given, "scores that are numbers")
        sides[name] = scores
    high, low = sides["positives"], sides["negatives"]
    cuts = np.concatenate([[np.inf], np.unique(np.concatenate([high, low]))[::-1], [-np.inf]])
    recall = 1 - np.searchsorted(high, cuts, side="right") / high.size
    rate = 1 - np.searchsorted(low, cuts, side="right") / low.size
    below = 0.5 * (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right"))
    return Roc(cuts, rate, recall, float(below.mean() / low.size), high, low)
