"""Intervals of moves cover the truth on simulated curves: by another rule than the prior, and from the prior itself.

One reported move a question, the likeliest, so that what is counted is independent.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.traces_intervals import middle_held, size_held, truth_of
from benchmarks.traces_moves import score, starts_of
from benchmarks.traces_simulated import GAP, TOLERANCE, truths
from benchmarks.traces_truth import sentences
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_kernels import PRIORS, RUN_PRIORS


def likeliest(draws, number, seed):
    """The likeliest reported move of each question that has one, and the truths."""
    made, rng = truths(number, seed=seed), np.random.default_rng(draws)
    seen = [t.counts(f"q{i}", rng, draws) for i, t in enumerate(made)]
    best = {}
    for move in posterior_moves(seen, gap=GAP, separation=TOLERANCE).found:
        best.setdefault(move.question, move)
    return list(best.values()), [t.curve for t in made]


@pytest.mark.slow
@pytest.mark.parametrize("draws", [10, 50])
def test_sizes_and_locations_are_covered(draws):
    """Each at 90 %: fewer than a binomial quantile of 1e-9 fails."""
    moves, curves = likeliest(draws, 400, 31)
    assert len(moves) > 150
    size = sum(size_held(m, truth_of(m, curves)) for m in moves)
    place = sum(middle_held(m, truth_of(m, curves), TOLERANCE) for m in moves)
    least = binom.ppf(1e-9, len(moves), 0.9)
    assert size >= least
    assert place >= least
    widths = np.asarray([m.size_interval[1] - m.size_interval[0] for m in moves])
    # Bounds that say nothing would cover too.
    assert widths.mean() < 0.45


@pytest.mark.nightly
def test_false_discoveries_at_ten_draws_stay_below_nominal():
    """At a nominal 10 %, on questions that no setting was looked at on.

    Some 3,200 detections, questions as units: a rate has a standard error of 0.55 points.  One of 8.4 % comes out above
    11.7 % with probability 1e-9.
    """
    made, rng = truths(6_400, seed=15), np.random.default_rng(15)
    seen, curves = [t.counts(f"q{i}", rng, 10) for i, t in enumerate(made)], [t.curve for t in made]
    found = starts_of(posterior_moves(seen, gap=GAP, separation=TOLERANCE), seen)
    assert score(found, curves, GAP, TOLERANCE).fdr <= 0.117


@pytest.mark.nightly
def test_runs_keep_gradual_sentences_from_passing_for_jumps():
    """Sentences, 30 draws: false discoveries above nominal without runs, below it with them (3,200 questions).

    Of some 1,200 detections rates of 12 % and 7.5 % have standard errors of 0.9 and 0.8 points: their difference is
    four of its own from zero, 10 % three from the second.
    """
    made, rng = [sentences(t) for t in truths(3_200, seed=17)], np.random.default_rng(17)
    seen, curves = [t.counts(f"q{i}", rng, 30, False) for i, t in enumerate(made)], [t.curve for t in made]
    rate = {}
    for name, priors in (("runs", RUN_PRIORS), ("steps", PRIORS)):
        moves = posterior_moves(seen, gap=1, separation=1, priors=priors)
        rate[name] = score(starts_of(moves, seen), curves, 1, 1).fdr
    assert rate["runs"] <= 0.1
    assert rate["runs"] < rate["steps"]
