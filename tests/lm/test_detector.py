"""The detector: its sign, its curve, and the coverage of its intervals."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

from sloc.contracts import InvalidInput
from sloc.lm import Source, decode, likelihood_ratio, random_model, roc, score, small_config


def test_area_and_points_are_those_of_counting() -> None:
    rng = np.random.default_rng(0)
    high, low = np.round(rng.normal(1, 1, 60), 1), np.round(rng.normal(0, 1, 80), 1)
    found = roc(high, low)
    wins = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    assert found.area == pytest.approx(wins)
    for threshold, rate, recall in zip(found.thresholds, found.false_positive_rate, found.recall, strict=True):
        assert rate == pytest.approx((low > threshold).mean())
        assert recall == pytest.approx((high > threshold).mean())
    assert (np.diff(found.recall) >= 0).all()
    assert (found.recall[0], found.recall[-1]) == (0, 1)
    assert found.to_dataframe().columns.tolist() == ["threshold", "false_positive_rate", "recall"]


def test_recall_at_a_rate() -> None:
    found = roc(np.arange(90, 110), np.arange(100)).recall_at(0.05)
    # Of 100 negatives the five largest may be above: 5 / 101 is less than 0.05.
    assert found.threshold == 95
    assert found.false_positive_rate.value == 0.04
    assert found.recall.value == 14 / 20
    few = roc([1.0, 2.0], [0.0, 0.5, 0.7]).recall_at(0.01)
    assert few.threshold == 0.7
    assert few.false_positive_rate.upper > 0.5


def test_intervals_cover() -> None:
    # Level 0.1, 400 runs: each misses at most 40 in the mean; more than 85 have a chance below 1e-9.
    rng = np.random.default_rng(1)
    missed = np.zeros(2, int)
    for _ in range(400):
        found = roc(rng.normal(2, 1, 70), rng.normal(0, 1, 150)).recall_at(0.05, delta=0.1)
        truth = stats.norm.sf(found.threshold), stats.norm.sf(found.threshold - 2)
        for i, (estimate, want) in enumerate(zip((found.false_positive_rate, found.recall), truth, strict=True)):
            missed[i] += not estimate.lower <= want <= estimate.upper
    assert stats.binom.sf(85, 400, 0.1) < 1e-9
    assert (missed <= 85).all()


def test_high_means_jailbroken() -> None:
    # What the unaligned source writes has the higher score; area below 0.8 has no chance at these sizes.
    config = small_config(23, width=16, heads=2)
    aligned, unaligned = (
        Source(random_model(jax.random.key(s), config, scale=0.4), [1, 2], name)
        for s, name in ((1, "aligned"), (2, "unaligned"))
    )
    texts = {
        s.name: decode(jax.random.key(3), s.model, s.prompt, n=100, new_tokens=12).tokens for s in (aligned, unaligned)
    }
    scores = {name: likelihood_ratio(aligned, unaligned, given) for name, given in texts.items()}
    found = roc(scores["unaligned"], scores["aligned"])
    assert found.area > 0.8
    by_hand = [
        sum(score(unaligned.model, [t], prompt=[1, 2])[0]) - sum(score(aligned.model, [t], prompt=[1, 2])[0])
        for t in texts["aligned"][:3]
    ]
    np.testing.assert_allclose(scores["aligned"][:3], by_hand, atol=1e-3)
    mean = likelihood_ratio(aligned, unaligned, texts["aligned"][:3], mean=True)
    np.testing.assert_allclose(mean * 12, by_hand, atol=1e-3)
    own = likelihood_ratio(aligned, unaligned, texts["aligned"][:3], prompts=[[1, 2]] * 3)
    np.testing.assert_allclose(own, by_hand, atol=1e-3)


def test_bad_requests_are_refused() -> None:
    for call, name in (
        (lambda: roc([], [1.0]), "positives"),
        (lambda: roc([1.0], [np.nan]), "negatives"),
        (lambda: roc([1.0], [0.0]).recall_at(0.0), "rate"),
        (lambda: roc([1.0], [0.0]).recall_at(0.1, delta=1.0), "delta"),
    ):
        with pytest.raises(InvalidInput, match=name):
            call()
