"""Calibration of the change-point model: its prior written twice, ranks that are uniform, and ranks that are not."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.changes_calibration import Setting, prior_draw, question_ranks, rank_rows, scalars, simulated
from benchmarks.nightly_changes import completed
from sloc.bayes.change_data import change_data
from sloc.bayes.change_model import question_summaries, shared_parameters


def test_ranks_of_every_kind_are_judged():
    rng = np.random.default_rng(0)
    flat, cover = rank_rows("even", rng.random(5_000))
    assert flat["met"]
    assert sum(flat["histogram"]) == flat["of"] == 5_000
    # Binomial, six standard errors.
    assert abs(cover["value"] - 90) < 6 * np.sqrt(90 * 10 / 5_000)
    for wrong in (rng.beta(1.3, 1.0, 5_000), rng.beta(1.2, 1.2, 5_000), rng.beta(0.8, 0.8, 5_000)):
        row, _ = rank_rows("uneven", wrong)
        assert not row["met"]
        assert row["must"]


def test_calibration_is_judged_together_and_shares_have_intervals():
    """Many ranks a little off fail together though each passes; one that is far off fails too; even ones pass."""
    rng = np.random.default_rng(3)

    def together(values):
        rows = [
            {"name": f"{i}: p-value of uniform ranks (chi-square)", "value": float(p)} for i, p in enumerate(values)
        ]
        share = {"name": "posterior: reported without a window", "value": 10.0, "unit": "%", "of": 7_000}
        *own, last = completed([*rows, share])
        assert len(own) == len(values) + 1
        # 700 of 7,000, the exact interval.
        assert (own[-1]["min"], own[-1]["max"]) == (pytest.approx(9.31, abs=0.01), pytest.approx(10.73, abs=0.01))
        assert completed([*own, last])[-1] == last
        return last

    even = together(rng.random(20))
    assert even["met"]
    assert even["must"]
    assert not together([2e-4] * 20)["met"]
    assert not together([2e-5, *rng.random(19)])["met"]


@pytest.mark.slow
def test_the_prior_written_twice_is_one_prior():
    """Means and second moments of 4,000 draws of either; six standard errors each, some forty of them."""
    from numpyro.infer import Predictive

    rng = np.random.default_rng(1)
    drawn = [scalars(prior_draw(rng, 3)) for _ in range(4_000)]
    ours = {n: np.asarray([d[n] for d in drawn]).ravel() for n in drawn[0]}
    theirs = Predictive(lambda: shared_parameters(3), num_samples=4_000)(jax.random.key(0))
    theirs = scalars({n: np.asarray(v) for n, v in theirs.items()})
    for name, one in ours.items():
        for power in (1, 2):
            a, b = np.log1p(np.abs(one)) ** power, np.log1p(np.abs(theirs[name].ravel())) ** power
            assert abs(a.mean() - b.mean()) < 6 * np.sqrt(a.var() / a.size + b.var() / b.size), name
        assert abs(np.sign(one).mean() - np.sign(theirs[name]).mean()) < 6 * np.sqrt(2 / 4_000)


@dataclass(frozen=True)
class Known:
    """What :func:`question_ranks` reads of a posterior, at shared parameters that are known."""

    numbers: np.ndarray
    first: np.ndarray
    last: np.ndarray


@pytest.mark.slow
def test_ranks_of_questions_are_uniform_where_parameters_are_known_and_not_where_they_are_wrong():
    rng, setting = np.random.default_rng(2), Setting(20_000, 6, 10, 2)
    means = {f"{n}_mean": np.asarray(m) for n, m in (("before", 0.2), ("after", 0.8), ("flat", 0.6))}
    truth = prior_draw(rng, 2) | means | {"set_windows": np.asarray([[0.0, -1.0], [0.5, -0.5]])}
    curves, groups, right = simulated(rng, truth, setting)
    data, _ = change_data(curves.counts, 10, groups, right)
    for shift, good in ((0.0, True), (1.0, False)):
        shared = {
            n: jnp.asarray(v + (shift if n in ("set_windows", "place") else 0.0), jnp.float32) for n, v in truth.items()
        }
        found = {n: np.asarray(v) for n, v in jax.jit(question_summaries)(shared, data).items()}
        known = Known(found["numbers"], found["first"], found["last"])
        ranks = question_ranks(rng, curves, known)  # pyright: ignore[reportArgumentType]
        assert len(ranks) == 3
        p = [next(iter(rank_rows(n, r)))["value"] for n, r in ranks.items()]
        # Uniform: three p-values, each below 1e-9 once in 1e9.
        assert min(p) > 1e-9 if good else max(p) < 1e-9
