"""Curves of recorded answers: the posterior against enumeration, its bounds, coverage, statuses, refusals."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import traces_recorded
from sloc.contracts import InvalidInput
from sloc.engine.binomial import clopper_pearson
from sloc.windows.distance_estimates import outcome_distances
from sloc.windows.exact_bands import simultaneous_bands
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_kernels import (
    EDGES,
    GRID,
    LEVELS,
    PRIORS,
    RUN_PRIORS,
    SHARES,
    MovePrior,
    RunPrior,
    leaving_levels,
    mode_chain,
    mode_kernels,
    move_kernels,
)
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts, outcome_curve, outcome_posterior
from sloc.windows.recorded import Branch, Recording, leaving_masses
from sloc.windows.recorded_import import from_forking_fast
from sloc.windows.recorded_tests import rule_firing
from sloc.windows.share_filter import difference_quantiles, filter_shares, quantiles
from tests.windows.jumps import counts

ONE, WITH_RUNS = MovePrior(), MovePrior(runs=(RunPrior(0.05, 0.2), RunPrior(0.02, 0.1, 100.0, 0.8)))


def test_kernels_keep_the_bounds_of_the_martingale():
    kernels = move_kernels(ONE)
    assert kernels.shape == (LEVELS.size, GRID, GRID)
    assert np.allclose(kernels.sum(axis=2), 1)
    assert np.array_equal(kernels[0], np.eye(GRID))
    beyond = np.concatenate([[0.0], SHARES, [1.0]])
    for q, kernel in zip(LEVELS[1:], kernels[1:], strict=True):
        x = np.clip(SHARES, 1e-4, 1 - 1e-4)
        low, high = (x - q) / (1 - q), x / (1 - q)
        reached = kernel > 1e-12
        # A share stands for what lies between its two neighbours.
        assert (beyond[2:][None, :] >= low[:, None] - 1e-3)[reached].all()
        assert (beyond[:-2][None, :] <= high[:, None] + 1e-3)[reached].all()


def test_runs_keep_the_bounds_and_lead_to_one_side():
    """Shares rise to ``x / p`` at most in a run too; a falling run is a rising one of the other answers."""
    kernels, beyond = mode_kernels(WITH_RUNS), np.concatenate([[0.0], SHARES, [1.0]])
    assert kernels.shape == (LEVELS.size, 5, GRID, GRID)
    assert np.array_equal(kernels[:, 0], move_kernels(ONE))
    for q, (_, up, down, slow, slower) in zip(LEVELS[1:], kernels[1:], strict=True):
        assert np.allclose(up.sum(axis=1), 1)
        assert np.array_equal(down, up[::-1, ::-1])
        assert np.array_equal(slower, slow[::-1, ::-1])
        high = np.clip(SHARES, 1e-4, 1 - 1e-4) / (1 - q)
        assert (beyond[:-2][None, :] <= high[:, None] + 1e-3)[up > 1e-12].all()
        # Of those that leave, x (1 - (1 - r) (1 - x)) answer so: x + q (1 - r) x (1 - x) / p, where it fits.
        mean = SHARES * (1 + 0.5 * q / (1 - q) * (1 - SHARES))
        fits = (mean < np.minimum(0.9, SHARES / (1 - q))) & (SHARES > 0.1) & (SHARES < 0.5) & (q < 0.5) & (q > 0.2)
        assert np.allclose((up @ SHARES)[fits], mean[fits], rtol=0, atol=1e-9)


def test_a_set_of_answers_mirrors_the_others():
    rng = np.random.default_rng(3)
    data = counts(rng.multinomial(8, [0.5, 0.3, 0.2], size=20), rng.beta(0.5, 2, 19))
    both = outcome_posterior(data, [[True, False, False], [False, True, True]], priors=RUN_PRIORS)
    one, others = both.marginals().swapaxes(0, 1)
    assert np.allclose(one, others[:, ::-1], atol=1e-10)


def test_priors_without_runs_stand_beside_those_with_them():
    """A prior that never enters a run is the prior without runs, its evidence too."""
    rng = np.random.default_rng(4)
    data = counts(rng.multinomial(8, [0.6, 0.4], size=12), rng.beta(0.5, 2, 11))
    (alone,) = outcome_posterior(data, priors=(ONE,)).filters
    beside, _ = outcome_posterior(data, priors=(ONE, WITH_RUNS)).filters
    assert np.allclose(alone.evidence, beside.evidence, atol=1e-9)
    assert np.allclose(alone.marginals(), beside.marginals(), atol=1e-9)
    assert np.allclose(alone.expected_steps(), beside.expected_steps(), atol=1e-9)


@pytest.mark.parametrize("prior", [ONE, WITH_RUNS], ids=["steps", "runs"])
def test_the_filter_is_bayes_rule(prior):
    """Three positions against enumeration of every path on the grid, and of every mode."""
    kernels, (law, chain) = mode_kernels(prior), mode_chain(prior)
    assert np.allclose(law @ chain, law)
    seen, totals = np.asarray([[3.0], [0.0], [9.0]]), np.asarray([5.0, 0.0, 10.0])
    levels = np.asarray([[5, 12]])
    (got,) = filter_shares(seen, totals, kernels[None], levels, np.asarray([[0.5, 0.5]]), (law[None], chain[None]))
    first = np.diff(np.concatenate([[0.0], 2 / np.pi * np.arcsin(np.sqrt(EDGES)), [1.0]]))
    inside = np.clip(SHARES, 2e-3, 1 - 2e-3)
    outside = 1 - inside
    likelihood = [inside**k * outside ** (n - k) for k, n in zip(seen[:, 0], totals, strict=True)]
    # Modes k, m, n at shares a, b, c.
    paths = "k,a,a,km,mab,b,mn,nbc,c->abc"
    terms = law, first, likelihood[0], chain, kernels[5], likelihood[1], chain, kernels[12], likelihood[2]
    joint = np.einsum(paths, *terms, optimize=True)
    assert np.isclose(got.evidence[0], np.log(joint.sum()), atol=1e-6)
    joint /= joint.sum()
    for t, axes in enumerate([(1, 2), (0, 2), (0, 1)]):
        assert np.allclose(got.marginals()[t, 0], joint.sum(axis=axes), atol=1e-9)
    assert np.allclose(got.pair(0, 0, 2), joint.sum(axis=1), atol=1e-9)
    steps = np.abs(SHARES[:, None] - SHARES[None, :])
    expected = [(joint.sum(axis=2) * steps).sum(), (joint.sum(axis=0) * steps).sum()]
    assert np.allclose(got.expected_steps()[:, 0], expected, atol=1e-9)


@pytest.mark.parametrize(("draws", "steps"), [(50, 100), (1_000_000, 5)])
def test_many_rare_answers_are_not_lost(draws, steps):
    """Two answers of .4 and forty of .005: none of them is taken for nothing, and what is drawn is what is said."""
    share = np.r_[0.4, 0.4, np.full(40, 0.005)]
    seen = np.random.default_rng(2).multinomial(draws, share, steps).astype(float)
    names = tuple(f"answer {i}" for i in range(42))
    curve = outcome_curve(OutcomeCounts("q", names, np.arange(float(steps)), seen, np.full(steps - 1, 0.0005)))
    assert 0.5 * np.abs(curve.value - share).sum(axis=1).mean() < 0.04
    # Shares are known to a cell, and draws of a share near an edge choose one of two.
    assert ((curve.lower - 0.001 <= share) & (share <= curve.upper + 0.001)).mean() > 0.9


def test_where_no_mass_leaves_draws_are_pooled():
    one = outcome_curve(counts([[3, 7], [9, 1], [0, 0]], [0.0, 0.0]))
    assert np.allclose(one.value, one.value[0])
    both = outcome_curve(counts([[12, 8]], np.zeros(0)))
    assert np.allclose(one.value[0], both.value[0], atol=1e-9)


def test_the_curve_is_a_distribution_inside_its_bands():
    rng = np.random.default_rng(1)
    seen = rng.multinomial(10, [0.5, 0.3, 0.15, 0.05], size=40).astype(float)
    seen[::3] = 0
    curve = outcome_curve(counts(seen, rng.beta(0.3, 2, 39)), simultaneous=True)
    assert np.allclose(curve.value.sum(axis=1), 1)
    assert ((curve.lower <= curve.value) & (curve.value <= curve.upper)).all()
    assert curve.lower_all is not None
    assert curve.upper_all is not None
    assert ((curve.lower_all <= curve.lower) & (curve.upper <= curve.upper_all)).all()
    assert np.isclose(curve.settings.sum(), 1)
    assert curve.status == "resolved"
    frame = curve.to_dataframe()
    assert len(frame) == 160
    assert curve.to_xarray().value.shape == (40, 4)


def test_a_flat_curve_beats_its_counts_and_a_step_is_kept():
    rng = np.random.default_rng(2)
    truth = np.where(np.arange(60)[:, None] < 30, [0.9, 0.1], [0.1, 0.9])
    leaving = np.full(59, 0.02)
    leaving[29] = 0.95
    seen = np.stack([rng.multinomial(10, p) for p in truth]).astype(float)
    curve = outcome_curve(counts(seen, leaving))
    raw = 0.5 * np.abs(seen / 10 - truth).sum(axis=1).mean()
    own = 0.5 * np.abs(curve.value - truth).sum(axis=1)
    assert own.mean() < 0.35 * raw
    assert own[25:35].max() < 0.15


def test_quantiles_of_a_uniform_law():
    cells = np.diff(np.concatenate([[0.0], EDGES, [1.0]]))
    levels = np.asarray([0.05, 0.5, 0.95])
    low, high = quantiles(cells[None], levels, levels)
    assert (low[:, 0] <= levels).all()
    assert (levels <= high[:, 0] + 1e-12).all()
    assert (high - low < 0.03).all()


def test_quantiles_of_a_difference():
    """Two independent uniform shares: ``P(difference <= d) = (1 + d)^2 / 2`` below 0; and two that are known."""
    cells = np.diff(np.concatenate([[0.0], EDGES, [1.0]]))
    joint = cells[:, None] * cells[None, :]
    for level in (0.02, 0.1, 0.4):
        low, high = difference_quantiles(joint, level, 1.0 - level)
        exact = np.sqrt(2 * level) - 1
        # Rounded outwards, by no more than two cells.
        assert exact - 0.053 < low <= exact
        assert np.isclose(high, -low)
    known = np.zeros((GRID, GRID))
    known[20, 45] = 1.0
    low, high = difference_quantiles(known, 0.05, 0.95)
    edges = np.concatenate([[0.0], EDGES, [1.0]])
    assert np.allclose([low, high], [edges[45] - edges[21], edges[46] - edges[20]])


def test_simultaneous_bands_hold_for_curves_that_no_prior_expects():
    """300 curves that rise as fast as the bounds let them: at least 90 % covered whole (binomial, 1e-4)."""
    rng = np.random.default_rng(5)
    leaving = rng.choice([0.0, 0.001, 0.2], 39, p=[0.4, 0.4, 0.2])
    share = np.clip(0.1 + np.concatenate([[0.0], np.cumsum(leaving)]), 0, 0.95)
    covered = 0
    for _ in range(300):
        hits = rng.binomial(10, share)
        low, high = simultaneous_bands(np.stack([hits, 10.0 - hits], axis=1), leaving, heaviest=1.0)
        covered += bool(((low[:, 0] <= share) & (share <= high[:, 0])).all())
    assert covered >= binom.ppf(1e-4, 300, 0.9)
    alone = clopper_pearson(hits, np.full(40, 10), 0.1 / 40)
    assert (high - low)[:, 0].mean() < 0.6 * (alone[1] - alone[0]).mean()


def test_coverage_under_the_prior_itself():
    """Curves drawn from the prior: 90 % bands, binomial with 40 curves as independent units."""
    rng = np.random.default_rng(3)
    kernels, inside = move_kernels(ONE), []
    for _ in range(40):
        leaving = rng.choice([0.001, 0.02, 0.3, 0.6], 49)
        levels = leaving_levels(leaving, 0.5)
        x = [int(rng.choice(GRID, p=np.diff(np.concatenate([[0.0], 2 / np.pi * np.arcsin(np.sqrt(EDGES)), [1.0]]))))]
        for level in levels:
            x.append(int(rng.choice(GRID, p=kernels[level, x[-1]])))
        share = SHARES[x]
        hits = rng.binomial(10, share)
        curve = outcome_curve(counts(np.stack([hits, 10 - hits], axis=1), leaving), priors=(ONE,))
        inside.append(((curve.lower[:, 0] <= share) & (share <= curve.upper[:, 0])).mean())
    # The mean of 40 independent shares, each in [0, 1]; four of its standard errors.
    assert np.mean(inside) > 0.9 - 4 * np.std(inside) / np.sqrt(40)


def test_statuses():
    assert outcome_curve(counts([[4], [4]])).status == "one answer"
    assert outcome_curve(counts([[1, 0], *[[0, 0]] * 30])).status == "undecided"


def test_stratified_counts_use_the_weights():
    branches = [
        {"t": 0, "tok_id": 1, "tok_p": 0.75, "is_base": True, "answers": ["A"] * 8},
        {"t": 0, "tok_id": 2, "tok_p": 0.25, "is_base": False, "answers": ["B"] * 8},
        {"t": 1, "tok_id": 1, "tok_p": 0.5, "is_base": True, "answers": ["A"] * 8},
        {"t": 3, "tok_id": 1, "tok_p": 1.0, "is_base": True, "answers": ["A"] * 8},
    ]
    recording, _ = from_forking_fast(
        {"meta": {"row_id": 1}, "idxs": [0, 1, 2, 3], "categories": ["A", "B"], "branches": branches}
    )
    data = outcome_counts(recording)
    assert data.positions.tolist() == [0, 1, 2, 3]
    assert np.allclose(data.counts[0] / data.counts[0].sum(), [0.75, 0.25])
    assert np.isclose(data.counts[0].sum(), 8 / (0.75**2 + 0.25**2))
    assert data.counts[2].sum() == 0
    # Of the second position half is dropped, and may answer otherwise; of one without draws nothing is.
    assert np.allclose(data.leaving[:2], [1.0 - 0.75 * 0.5, 0.0])
    assert np.isnan(data.leaving[2])


def test_bounds_from_log_probabilities_hold():
    rng = np.random.default_rng(4)
    for _ in range(50):
        taken, kept = rng.uniform(0.3, 0.9, 2), np.ones(2)
        after, other = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
        now = taken[0] * after + (1 - taken[0]) * other
        assert 0.5 * np.abs(now - after).sum() <= leaving_masses(taken, kept)[0] + 1e-12
    assert np.isnan(leaving_masses(np.asarray([np.nan, 0.5]), np.ones(2))).tolist() == [True]
    assert np.allclose(leaving_masses(np.asarray([0.6, 0.5]), np.asarray([0.9, 0.8])), 1 - 0.6 / 0.9 * 0.8)


BAD = {
    "negative": (dict(array=[[1, -1]]), "not negative"),
    "no draws": (dict(array=[[0, 0], [0, 0]]), "at least one draw"),
    "masses": (dict(array=[[1, 1], [1, 1]], leaving=[1.5]), "probabilities"),
    "order": (dict(array=[[1, 1], [1, 1]], positions=[1, 1]), "rising"),
    "length": (dict(array=[[1, 1], [1, 1]], leaving=[0.1, 0.1]), "1 masses"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_counts_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(InvalidInput, match=message):
        outcome_posterior(counts(**arguments))


def test_bad_settings_are_refused():
    with pytest.raises(InvalidInput, match="level"):
        outcome_curve(counts([[1, 1]]), level=1.0)
    with pytest.raises(InvalidInput, match="sum to one"):
        move_kernels(MovePrior(0.5))
    for bad, name in (
        ({"begin": 1.0}, "begin"),
        ({"end": 0.0}, "end"),
        ({"concentration": 0.0}, "conc"),
        ({"pull": 1.5}, "pull"),
    ):
        with pytest.raises(InvalidInput, match=rf"runs\.{name}"):
            mode_kernels(MovePrior(runs=(RunPrior(**bad),)))
    for masses in (0.5, (), (1.0,), ("a",)):
        with pytest.raises(InvalidInput, match="prior, unknown"):
            move_kernels(MovePrior(unknown=masses))
    with pytest.raises(InvalidInput, match="at least one prior"):
        outcome_posterior(counts([[1, 1]]), priors=())


@pytest.mark.usefixtures("test_data")
def test_published_recordings_beat_the_published_tool():
    """All rows that are reported, 10 draws at every token: mean TV less the tool's own, paired, interval below zero."""
    rows = traces_recorded.REPORT
    theirs = np.asarray([traces_recorded.peer_scores()["llama", 10, 1, "M5a_cv"][row][0] for row in rows])
    data = [traces_recorded.load("llama", row) for row in rows]
    own = np.asarray([0.5 * np.abs(outcome_curve(d.counts(10)).value - d.reference).sum(axis=1).mean() for d in data])
    low, high = traces_recorded.interval(own - theirs)
    assert low < high < 0.0


def test_every_prior_is_tabulated():
    assert all(np.isfinite(mode_kernels(p)).all() for p in (*PRIORS, *RUN_PRIORS))
    assert len(set(itertools.chain(PRIORS))) == len(PRIORS)


def one_branch(n, k, steps=6):
    """A recording of one branch of weight 1 a position, ``k`` of ``n`` draws of the first answer."""
    branches = [Branch(float(t), "1", 1.0, True, np.repeat([0, 1], [k, n - k])) for t in range(steps)]
    return Recording("q", ("A", "B"), tuple(branches))


@pytest.mark.parametrize(("n", "k"), [(25, 7), (50, 14), (100, 29), (200, 57)])
def test_draws_of_one_branch_stay_whole(n, k):
    """Through tests, distances and simultaneous bands: as the same numbers given as counts, to the last bit."""
    given = counts([[k, n - k]] * 6, leaving=[0.0] * 5)
    data = outcome_counts(one_branch(n, k))
    assert np.array_equal(data.counts, given.counts)
    assert np.array_equal(outcome_distances(data, gap=2).lower, outcome_distances(given, gap=2).lower)
    # Where nothing leaves every pair is settled: what log-probabilities say is put aside.
    found, same = (exact_moves([replace(d, leaving=np.full(5, np.nan))], tau=0.1, gap=2) for d in (data, given))
    assert found.moves[0].p_value == same.moves[0].p_value
    for got, wanted in zip(
        *(simultaneous_bands(d.counts, d.leaving, heaviest=d.heaviest) for d in (data, given)), strict=True
    ):
        assert np.array_equal(got, wanted)


def test_branches_drawn_in_proportion_count_as_drawn():
    """Weights .6 and .4, 15 and 10 draws: every draw weighs the same; of 12 and 13 draws none is whole."""
    for sizes, whole in (((15, 10), True), ((12, 13), False)):
        parts = [
            Branch(0.0, str(i), w, i == 0, np.asarray([0] * 7 + [1] * (n - 7)))
            for i, (w, n) in enumerate(zip((0.6, 0.4), sizes, strict=True))
        ]
        data = outcome_counts(Recording("q", ("A", "B"), tuple(parts)))
        assert np.array_equal(data.counts, np.round(data.counts)) == whole
        if whole:
            assert data.counts.tolist() == [[14.0, 11.0]]


def unlike(k):
    """Two branches of weight a half, 10 draws of one with ``k`` of B, and 30 of the other: worth 30 plain draws."""
    parts = [np.repeat([0, 1], [10 - k, k]), np.zeros(30, int)]
    return Recording("q", ("A", "B"), tuple(Branch(0.0, str(i), 0.5, i == 0, a) for i, a in enumerate(parts)))


@pytest.mark.parametrize("share", [0.2, 0.205, 0.21])
def test_whole_effective_numbers_are_not_taken_for_plain_draws(share):
    """All eleven outcomes and their chances: a 90 % band misses 10 % at most; were draws plain it would miss more."""
    chance, truth = binom.pmf(np.arange(11), 10, share), 1.0 - 0.5 * share
    missed = dict.fromkeys(("own", "plain", "not known", "curve"), 0.0)
    for k, p in enumerate(chance):
        data = outcome_counts(unlike(k))
        assert data.counts.sum() == 30.0
        assert data.heaviest == pytest.approx(1.5)
        curve = outcome_curve(data, simultaneous=True)
        bands = {"curve": (curve.lower_all, curve.upper_all)}
        for name, said in (("own", {"heaviest": data.heaviest}), ("plain", {"heaviest": 1.0}), ("not known", {})):
            bands[name] = simultaneous_bands(data.counts, data.leaving, **said)
        for name, (low, high) in bands.items():
            missed[name] += p * (not low[0, 0] <= truth <= high[0, 0])
    assert max(missed["own"], missed["not known"], missed["curve"]) <= 0.1 < missed["plain"]


def test_draws_that_weigh_unlike_are_not_tested_as_plain():
    data = outcome_counts(unlike(10))
    assert np.array_equal(data.counts, np.round(data.counts))
    for call in (lambda d: exact_moves([d]), outcome_distances, rule_firing):
        with pytest.raises(
            InvalidInput, match=r"question 'q', heaviest = .*: expected whole numbers of unweighted draws"
        ):
            call(data)
        call(replace(data, heaviest=1.0))
    for bad in (0.9, np.nan, np.ones(2), "1", None):
        with pytest.raises(InvalidInput, match="heaviest"):
            replace(data, heaviest=bad).validate()
        with pytest.raises(InvalidInput, match="heaviest"):
            simultaneous_bands(data.counts, data.leaving, heaviest=bad)


def test_pooled_draws_weigh_what_the_heaviest_of_any_position_does():
    """Nothing leaves: one unlike position among plain ones makes each band that pools it its own kind."""
    counts = np.asarray([[9.0, 1.0]] * 3)
    plain, one, all_ = (
        simultaneous_bands(counts, np.zeros(2), heaviest=h) for h in (1.0, np.asarray([1.0, 1.5, 1.0]), 1.5)
    )
    assert np.array_equal(one, all_)
    assert (one[0] < plain[0]).all()
    assert (one[1] > plain[1]).all()


def test_a_step_that_is_not_known_may_be_of_any_size():
    """Sentences: one step from .1 to .95, 200 draws on either side, far beyond half."""
    truth = np.repeat([0.1, 0.95], 10)
    rng = np.random.default_rng(6)
    hits = rng.binomial(200, truth).astype(np.float64)
    counts = np.stack([hits, 200 - hits], axis=1)
    data = OutcomeCounts("q", ("A", "B"), np.arange(20.0), counts, np.full(19, np.nan))
    curve = outcome_curve(data)
    # A share of 200 draws strays by .1 with probability 2 exp(-2 200 .01) = .04 at one of 20; seeds are fixed.
    assert np.abs(curve.value[:, 0] - truth).max() < 0.1
    # Pointwise bands of 90 %: all but one of 20 at this seed.
    assert ((curve.lower[:, 0] <= truth) & (truth <= curve.upper[:, 0])).mean() >= 0.9
    (move,) = posterior_moves([data], gap=1, separation=1).found
    (exact,) = exact_moves([data], gap=1, separation=1).found
    # The two ways to a size do not contradict one another, and both hold the truth.
    assert move.size_interval[0] <= 0.85 <= move.size_interval[1]
    assert max(move.size_interval[0], exact.size_interval[0]) <= min(move.size_interval[1], exact.size_interval[1])
    assert np.isclose(curve.settings.sum(), 1.0)
    assert curve.settings.size == len(PRIORS)


def test_priors_of_different_masses_keep_their_weights():
    priors = (MovePrior(unknown=(0.5, 0.95)), MovePrior(0.6, ((0.3, 150.0), (0.1, 2.0)), unknown=(0.7,)))
    counts = np.asarray([[9.0, 1.0], [8.0, 2.0], [1.0, 9.0]])
    data = OutcomeCounts("q", ("A", "B"), np.arange(3.0), counts, np.full(2, np.nan))
    posterior = outcome_posterior(data, priors=priors)
    assert len(posterior.filters) == 4
    assert np.allclose(posterior.prior_weights(), posterior.settings.reshape(2, 2).sum(axis=1))
    known = outcome_posterior(replace(data, leaving=np.full(2, 0.6)), priors=priors)
    assert len(known.filters) == 2
