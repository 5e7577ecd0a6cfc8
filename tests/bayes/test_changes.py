"""The hierarchical change-point model: exact sums, a simulator of the same law, recovery, refusals."""

from __future__ import annotations

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import betaln, comb
from scipy.stats import chi2

import sloc
from sloc.bayes import change_fit
from sloc.bayes.change_data import MAX_WIDTH, change_data
from sloc.bayes.change_model import log_likelihood, log_places, question_summaries
from sloc.bayes.change_predict import draw_curves
from sloc.results.outcome import Move, Moves
from sloc.windows import answers_of_counts, trace_table
from sloc.windows.resampled import trace_windows

SHARED = {
    "set_windows": jnp.asarray([[0.3, -0.7], [-0.5, -1.0]]),
    "right": jnp.asarray([0.8, -0.4]),
    "place": jnp.asarray([0.6, -0.2]),
    "width": jnp.asarray([0.5, 0.3, 0.2]),
    "before_mean": jnp.asarray(0.25),
    "before_size": jnp.asarray(3.0),
    "after_mean": jnp.asarray(0.8),
    "after_size": jnp.asarray(5.0),
    "flat_mean": jnp.asarray(0.6),
    "flat_size": jnp.asarray(2.0),
}
LIKELIHOOD = jax.jit(log_likelihood)


def outcomes(points, n):
    """Every table of counts of one question, with its binomial coefficients."""
    every = np.asarray(list(itertools.product(range(n + 1), repeat=points)))
    return every, comb(n, every).prod(axis=1)


def by_hand(y, n, group, right):
    """Likelihood of one question by enumeration of its windows, in float64."""
    shared = {k: np.asarray(v, np.float64) for k, v in SHARED.items()}

    def level(name, part):
        a = shared[f"{name}_mean"] * shared[f"{name}_size"] if name else 1.0
        b = (1 - shared[f"{name}_mean"]) * shared[f"{name}_size"] if name else 1.0
        k, m = sum(part), n * len(part)
        return np.exp(betaln(a + k, b + m - k) - betaln(a, b))

    logits = np.concatenate([[0.0], shared["set_windows"][group] + shared["right"] * right])
    numbers = np.exp(logits) / np.exp(logits).sum()
    steps = len(y) - 1
    u = (np.arange(steps) + 0.5) / steps
    place = np.exp(shared["place"][0] * np.log(u) + shared["place"][1] * np.log1p(-u))
    one = {(i, w): place[i] * shared["width"][w] for i in range(steps) for w in range(MAX_WIDTH) if i + w < steps}
    two = {(i, j): place[i] * place[j] for i in range(steps) for j in range(i + 1, steps)}
    total = numbers[0] * level("flat", y)
    for (i, w), p in one.items():
        inside = np.prod([level("", [v]) for v in y[i + 1 : i + w + 1]])
        ends = level("before", y[: i + 1]) * level("after", y[i + w + 1 :])
        total += numbers[1] * p / sum(one.values()) * inside * ends
    for (i, j), p in two.items():
        ends = level("before", y[: i + 1]) * level("after", y[j + 1 :])
        total += numbers[2] * p / sum(two.values()) * level("", y[i + 1 : j + 1]) * ends
    return total


def test_windows_are_summed_out_exactly():
    rng = np.random.default_rng(0)
    y, groups, right = rng.integers(0, 6, (12, 5)), np.arange(12) % 2, rng.integers(0, 2, 12)
    data, names = change_data(y, 5, groups, right)
    assert names == ("0", "1")
    expected = [np.log(by_hand(list(v), 5, g, r)) for v, g, r in zip(y, groups, right, strict=True)]
    assert np.allclose(LIKELIHOOD(SHARED, data), expected, atol=2e-5)


def test_probabilities_of_all_outcomes_sum_to_one():
    every, weight = outcomes(4, 2)
    data, _ = change_data(every, 2, None, np.ones(len(every)))
    assert np.isclose((np.exp(LIKELIHOOD(SHARED, data)) * weight).sum(), 1.0, atol=1e-5)


def test_the_simulator_has_the_law_of_the_model():
    """Chi-square of 20,000 simulated questions over all 81 outcomes; false alarms 1e-4."""
    every, weight = outcomes(4, 2)
    data, _ = change_data(every, 2, None, np.ones(len(every)))
    p = np.exp(np.asarray(LIKELIHOOD(SHARED, data), np.float64)) * weight
    many, _ = change_data(np.zeros((20_000, 4)), 2, None, np.ones(20_000))
    counts = draw_curves(np.random.default_rng(0), SHARED, many, np.full((20_000, 4), 2)).counts
    code = counts.astype(int) @ 3 ** np.arange(3, -1, -1)
    seen = np.bincount(code, minlength=81)
    assert ((seen - 20_000 * p) ** 2 / (20_000 * p)).sum() < chi2.isf(1e-4, 80)


@pytest.mark.slow
def test_posteriors_of_windows_are_calibrated():
    """Among 20,000 simulated questions, those given probability p of one window have one that often (five errors)."""
    data, _ = change_data(np.zeros((20_000, 8)), 10)
    counts, number, *_ = draw_curves(np.random.default_rng(1), SHARED, data, np.full((20_000, 8), 10))
    seen, _ = change_data(counts, 10)
    found = jax.jit(question_summaries)(SHARED, seen)
    p, truth = np.asarray(found["numbers"]), np.asarray(number)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-4)
    for k in range(3):
        cell = np.digitize(p[:, k], np.linspace(0.1, 0.9, 9))
        for c in range(10):
            own = cell == c
            if own.sum() >= 30:
                error = np.sqrt(max(p[own, k].mean() * (1 - p[own, k].mean()), 1e-4) / own.sum())
                assert abs((truth[own] == k).mean() - p[own, k].mean()) < 5 * error
    steps = np.asarray(found["steps"])
    assert ((steps > -1e-4) & (steps < 1 + 1e-4)).all()


def test_places_of_windows():
    one, two = (np.exp(p) for p in log_places(SHARED, 7))
    assert np.isclose(one.sum(), 1)
    assert np.isclose(two.sum(), 1)
    assert one[3, 6] == 0
    assert np.isclose(one[2, 3] / one[2, 2], 0.3 / 0.5)


BAD = {
    "above the draws": ((np.asarray([[3, 1]]), 2), "between 0 and the resamples"),
    "not whole": ((np.asarray([[0.5, 1]]), 2), "whole numbers"),
    "one point": ((np.asarray([[1]]), 2), "at least 2"),
    "no draws": ((np.zeros((1, 3)), 0), "at least one a question"),
    "groups": ((np.zeros((1, 3)), 1, ["a", "b"]), "1 names"),
    "right": ((np.zeros((1, 3)), 1, None, [0.5]), "True or False"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_counts_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(sloc.InvalidInput, match=message):
        change_data(*arguments)


def test_one_chain_is_refused():
    with pytest.raises(sloc.InvalidInput, match="at least 2"):
        sloc.bayes.fit_changes(jax.random.key(0), np.zeros((2, 3)), 1, chains=1)


def small_fit(monkeypatch, shift=0.0, counts=None, names=("a", "b", "c")):
    """A fit whose sampler is replaced: chains around known values, the second ``shift`` away from the first."""
    counts = np.asarray([[0, 0, 1, 9, 10], [1, 8, 9, 9, 10], [5, 5, 4, 6, 5]]) if counts is None else counts
    draws, rng = 100, np.random.default_rng(0)

    def sampler(*_):
        def sample(*_):
            out = {}
            for name, value in SHARED.items():
                value = value[:1] if name == "set_windows" else value
                noise = 0.01 * rng.normal(size=(2, draws, *value.shape))
                noise[1] += shift if name == "before_mean" else 0.0
                out[name] = jnp.asarray(value + np.abs(noise), jnp.float32)
            return out, jnp.zeros((2, draws), bool)

        return sample

    monkeypatch.setattr(change_fit, "_sampler", sampler)
    monkeypatch.setattr(change_fit, "mode_and_scale", lambda *_: (np.zeros(3), np.eye(3)))
    return sloc.bayes.fit_changes(jax.random.key(0), counts, 10, questions=names, draws=draws)


def test_summaries_that_are_not_finite_are_refused(monkeypatch):
    """As single precision makes them of very many draws a point."""
    lost = {"numbers": np.full((3, 3), np.nan), "height": np.zeros(3)}
    monkeypatch.setattr(change_fit, "_summaries", lambda *_: lost)
    with pytest.raises(
        sloc.bayes.ChainsDisagree, match=r"numbers of some questions are not finite.* 10 resamples"
    ) as refused:
        small_fit(monkeypatch)
    assert refused.value.samples["before_mean"].shape == (2, 100)


def test_chains_that_disagree_are_refused_with_their_diagnostics(monkeypatch):
    with pytest.raises(sloc.bayes.ChainsDisagree, match="shift of a chain of before_mean") as refused:
        small_fit(monkeypatch, shift=0.5)
    assert refused.value.diagnostics.r_hat["before_mean"] > 1.5
    assert max(v for n, v in refused.value.diagnostics.r_hat.items() if n != "before_mean") < 1.05
    # The draws are there to look at, and were not averaged.
    assert refused.value.samples["before_mean"].shape == (2, 100)


def test_what_a_fit_says(monkeypatch):
    found = small_fit(monkeypatch)
    frame = found.to_dataframe()
    assert frame["question"].tolist() == ["a", "b", "c"]
    assert np.allclose(found.first.sum(axis=1) + found.numbers[:, 0], 1, atol=1e-4)
    assert np.allclose(found.last.sum(axis=1) + found.numbers[:, 0], 1, atol=1e-4)
    assert found.steps[:2].argmax(axis=1).tolist() == [2, 0]
    assert found.reported(0.1).tolist() == [True, True, False]
    # The largest set whose mean probability of no window is at most the level.
    mean = np.sort(found.numbers[:, 0]).mean()
    assert found.reported(float(mean) + 1e-3).all()
    with pytest.raises(sloc.InvalidInput, match="alpha"):
        found.reported(0.0)
    for seen, _, p in found.checks.values():
        assert np.isfinite(seen)
        assert 0 <= p <= 1
    assert {len(v) for v in found.replicates.values()} == {40}


def test_posterior_and_tests_are_held_against_each_other(monkeypatch):
    found = small_fit(monkeypatch)
    counts = np.asarray([[0, 0, 1, 9, 10], [1, 8, 9, 9, 10], [5, 5, 4, 6, 5]])
    frame = answers_of_counts(counts, 10, kept=found.kept, questions=list("abc"))
    tests = trace_windows(trace_table(frame), rise=0.5)
    agreement = sloc.bayes.compare_windows(found, tests, any_rise=True)
    assert agreement.by_posterior.tolist() == [True, True, False]
    assert agreement.counts == {"both": 2, "posterior only": 0, "tests only": 0, "neither": 1}
    assert (agreement.agree, agreement.kappa, agreement.same_place_share) == (1.0, 1.0, 1.0)
    strict = sloc.bayes.compare_windows(found, tests)
    assert strict.counts["neither"] == 1
    assert sum(strict.counts.values()) == 3
    assert strict.to_dataframe().to_numpy().sum() == 3
    move = Move("a", 0.5, 0.7, ("same",), 0.8, (0.5, 1.0), (0.5, 0.7), float("nan"), 0.99, 0.01, True, "by hand")
    elsewhere = replace(move, question="b")
    moves = Moves((move, elsewhere), 0.3, 0.1, "", {"a": "resolved", "b": "resolved", "c": "empty"})
    by_moves = sloc.bayes.compare_windows(found, moves)
    assert by_moves.same_place.tolist() == [True, False, False]
    assert by_moves.same_place_share == 0.5
    with pytest.raises(sloc.InvalidInput, match="same names"):
        sloc.bayes.compare_windows(found, Moves((), 0.3, 0.1, "", {"a": "empty"}))


@pytest.mark.nightly
def test_a_fit_finds_what_made_the_curves_and_gates_its_chains():
    questions = 400
    groups, right = np.arange(questions) % 2, np.arange(questions) // 2 % 2
    data, _ = change_data(np.zeros((questions, 8)), 20, groups, right)
    counts, number, *_ = draw_curves(np.random.default_rng(2), SHARED, data, np.full((questions, 8), 20))
    fit = dict(groups=groups, right=right, warmup=150, draws=100)
    found = sloc.bayes.fit_changes(jax.random.key(3), counts, 20, **fit, min_ess=30, max_r_hat=1.1)
    for name in ("before_mean", "after_mean", "flat_mean", "width", "right", "place", "set_windows"):
        draws = found.samples[name].reshape(-1, *SHARED[name].shape)
        # Five posterior standard deviations.
        assert (np.abs(draws.mean(axis=0) - SHARED[name]) < 5 * draws.std(axis=0)).all()
    assert len(found.to_dataframe()) == questions
    right_often = (found.numbers.argmax(axis=1) == np.asarray(number)).mean()
    assert right_often > np.bincount(np.asarray(number)).max() / questions
    told = found.to_arviz()
    assert set(told.posterior) >= {"width", "set_windows"}
    assert told.posterior["set_windows"].dims == ("chain", "draw", "set", "number")
    assert told.posterior_predictive["statistics"].shape[-1] == told.observed_data["statistics"].size == 4
    assert told.sample_stats["diverging"].shape == (2, 100)
    # No check is off by more than chance: four statistics of 40 replicates, each beyond all of them once in 40.
    assert all(0 < p < 1 for _, _, p in found.checks.values())
    with pytest.raises(sloc.bayes.ChainsDisagree, match="not averaged"):
        sloc.bayes.fit_changes(jax.random.key(3), counts, 20, **fit, max_r_hat=0.5)
