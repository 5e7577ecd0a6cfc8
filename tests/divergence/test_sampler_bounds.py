"""Bounds between learned models against closed forms: Gaussian chains, exact class scores, models that are wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.stats import binom, norm

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.divergence import tv_sampler_bound
from sloc.divergence.intervals import maurer_pontil
from sloc.engine import NotANumber
from sloc.populations import GaussianMixture
from sloc.processes import FlowMatching, OrnsteinUhlenbeck, VarianceExploding, level, tabulated, variance_preserving
from sloc.samplers import LearnedDiffusion, ancestral
from sloc.windows import certified_limits

OU = OrnsteinUhlenbeck()
VARIANCE = 0.5
MEANS = np.array([[0.8, 0.6], [-0.8, -0.6]], np.float32)
SCHEDULES = {
    "OU": OU,
    "VE": VarianceExploding(),
    "flow": FlowMatching(),
    "VP": variance_preserving("linear"),
    "steps": tabulated(betas="linear"),
}


def one_gaussian(schedule, means, y, t, label):
    """E[X | Y_t, label] for ``X ~ N(mean of the label, VARIANCE)``."""
    a, sigma = schedule.coefficients(t)
    mean = means[label]
    return mean + (a * VARIANCE / (a**2 * VARIANCE + sigma**2)) * (y - a * mean)


def gaussians(schedule):
    fn = Partial(one_gaussian, schedule.canonical(), jnp.asarray(MEANS))
    return LearnedDiffusion(fn, schedule, (2,), "x0", num_classes=2, label=0)


def two_models(schedule):
    model = gaussians(schedule)
    return model.conditioned(0), model.conditioned(1)


def chain_kl(schedule, times, steps):
    """KL of the two chains from the start to each time: the two predictions differ by the same vector on every path."""
    from sloc.divergence.sampler_bounds import _grid

    _, grid, index = _grid(gaussians(schedule), times, steps)
    a, sigma = schedule.coefficients(grid)
    snr = (a / sigma) ** 2
    gap = sigma**2 / (a**2 * VARIANCE + sigma**2) * np.linalg.norm(MEANS[0] - MEANS[1])
    # A step from t to s gains snr(s) - snr(t), at the gap of t.
    each = 0.5 * (snr[:-1] - snr[1:]) * gap[1:] ** 2
    return np.cumsum(each[::-1])[::-1][index]


def apart(kl):
    """TV of paths whose log likelihood ratio is N(KL, 2 KL) under one and N(-KL, 2 KL) under the other."""
    return 2 * norm.cdf(np.sqrt(2 * kl) / 2) - 1


def marginal_tv(schedule, times):
    a, sigma = schedule.coefficients(np.asarray(times))
    return 2 * norm.cdf(a * np.linalg.norm(MEANS[0] - MEANS[1]) / (2 * np.sqrt(a**2 * VARIANCE + sigma**2))) - 1


@pytest.mark.parametrize("name", ["OU", *(pytest.param(n, marks=pytest.mark.slow) for n in SCHEDULES if n != "OU")])
def test_paths_of_gaussian_chains_have_their_closed_form(name):
    schedule, n = SCHEDULES[name], 4_096
    times = np.asarray(schedule.time_of_log_snr(np.array([1.5, 0.0, -2.0, -4.0])))
    a, b = two_models(schedule)
    truth = apart(chain_kl(schedule, times, 24))
    found = tv_sampler_bound(jax.random.key(0), a, b, times, steps=24, n=n, delta=1e-9)
    # An error level of 1e-9 on both sides: the truth is within the half-width of the mean.
    half = maurer_pontil(truth, truth * (1 - truth), n, 1e-9 / 4)
    assert found.delta == 1e-9
    assert (np.asarray(found.upper) >= truth).all()
    assert (np.asarray(found.upper) <= truth + 2.5 * half).all()
    np.testing.assert_array_equal(found.lower, 0.0)
    # With small steps the chain is the reverse diffusion, whose marginals these are.
    fine = apart(chain_kl(schedule, times, 2_000))
    np.testing.assert_allclose(fine, marginal_tv(schedule, times), rtol=0.01, atol=1e-3)


def test_pinsker_bounds_by_the_same_kl():
    times, n = np.array([0.5, 1.5]), 1_024
    a, b = two_models(OU)
    kl = chain_kl(OU, times, 24)
    found = tv_sampler_bound(jax.random.key(0), a, b, times, steps=24, n=n, method="pinsker", reach=2.1)
    # The predictions differ by the same on every path, so that the interval is its second term alone.
    reach = 0.5 * np.exp(level(OU, times, "log_snr")) * 2.1**2
    want = np.sqrt(0.5 * (kl + 7 * reach * np.log(4 / 0.025) / (3 * (n - 1))))
    np.testing.assert_allclose(found.upper, np.minimum(want, 1.0), rtol=1e-3)
    assert (apart(kl) <= np.sqrt(kl / 2)).all()
    with pytest.raises(InvalidInput, match=r"reach = 1\.0: expected a bound on \|x_a - x_b\|; 1 of the paths"):
        tv_sampler_bound(jax.random.key(0), a, b, times, steps=24, n=n, method="pinsker", reach=1.0)


def constant(y, t, label):
    """A model that is as wrong as can be: it says the same whatever it sees."""
    del t
    return jnp.where(label == 0, 1.0, -1.0) * jnp.ones_like(y)


@pytest.mark.slow
def test_models_that_are_wrong_are_bounded_as_they_are():
    model = LearnedDiffusion(constant, OU, (2,), "x0", num_classes=2, label=0)
    times, n = np.array([1.2, 2.0]), 4_096
    grid_end = float(model.grid(25)[-1])
    snr = np.exp(level(OU, np.array([*times, grid_end]), "log_snr"))
    # The sum over steps telescopes: KL = (snr(t) - snr(end)) |d|^2 / 2 with |d|^2 = 8, however many steps.
    truth = apart(4 * (snr[:2] - snr[2]))
    found = tv_sampler_bound(
        jax.random.key(1), model.conditioned(0), model.conditioned(1), times, steps=24, n=n, delta=1e-9
    )
    assert (np.asarray(found.upper) >= truth).all()
    assert (np.asarray(found.upper) <= truth + 0.15).all()
    # The samplers themselves: how often the sign of the sum tells them apart bounds TV from below.
    grid = np.concatenate([times[:1], np.asarray(model.grid(25))[np.asarray(model.grid(25)) > times[0]]])
    sums = []
    for label in (0, 1):
        own = model.conditioned(label)
        path = sloc.localize(
            jax.random.key(2), OU, own, grid=grid, n=n, localizer=ancestral(own), trajectories=True, at=[times[0]]
        )
        sums.append(np.asarray(path.observations).reshape(n, 2).sum(1))
    told = (sums[0] > 0).mean() - (sums[1] > 0).mean()
    # Six standard errors; a sampler whose paths end elsewhere than at their last time would break this.
    assert told <= found.upper[0] + 6 * np.sqrt(0.5 / n)
    assert told > 0.8 * truth[0]


@pytest.mark.slow
def test_the_bound_holds_as_often_as_it_says():
    times, runs, delta = np.array([0.8, 1.6]), 60, 0.2
    a, b = two_models(OU)
    truth = apart(chain_kl(OU, times, 8))
    missed = 0
    for seed in range(runs):
        found = tv_sampler_bound(jax.random.key(seed), a, b, times, steps=8, n=1_024, delta=delta, interval="betting")
        missed += bool((np.asarray(found.upper) < truth).any())
    # False alarm 1e-9 if the bound fails with probability delta.
    assert missed <= binom.isf(1e-9, runs, delta)


CLASSES = GaussianMixture([0.25, 0.25, 0.5], [[2.0], [0.5], [-1.5]], 0.15)
PARTS = (np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0]), np.array([0.25, 0.25, 0.5]))


def of_class(schedule, classes, shares, y, t, label):
    """The exact posterior mean of a class of several Gaussians; the last label is the whole."""
    a, sigma = schedule.coefficients(t)
    total = a**2 * classes.covariances + sigma**2
    gap = y[0] - a * classes.means[:, 0]
    share = jax.nn.softmax(jnp.log(jnp.maximum(shares[label], 1e-30)) - 0.5 * gap**2 / total)
    return jnp.sum(share * (classes.means[:, 0] + (a * classes.covariances / total) * gap))[None]


@pytest.mark.slow
def test_exact_class_scores_bound_the_data_too():
    shares = jnp.asarray(np.stack(PARTS), jnp.float32)
    fn = Partial(of_class, OU.canonical(), CLASSES.canonical(), shares)
    model = LearnedDiffusion(fn, OU, (1,), "x0", num_classes=2, null_label=2, data_std=1.5)
    times = np.array([0.4, 0.9, 1.5, 2.2])
    for other, target in ((1, [2]), (None, [0, 1, 2])):
        truth = sloc.tv_curve(jax.random.key(3), OU, CLASSES, times, [0, 1], target, n=400_000, delta=1e-9)
        found = tv_sampler_bound(
            jax.random.key(4),
            model.conditioned(0),
            model.conditioned(other),
            times,
            steps=128,
            n=16_384,
            interval="betting",
        )
        # 128 steps leave less than the reference's own band.
        assert (np.asarray(found.upper) >= np.asarray(truth.lower) - 0.005).all()
        assert (np.asarray(found.upper) <= np.asarray(truth.upper) + 0.04).all()
        limits = certified_limits(upper=found, epsilon=0.3)
        exact = sloc.find_window(truth, epsilon=0.3)
        assert limits.law == "the models' samplers"
        assert limits.certified_before == "from above"
        assert limits.before_interval is not None
        assert exact.t_before is None or limits.before_interval[1] >= exact.t_before - 0.05


def broken(y, t, label):
    return jnp.where(t < 2.0, jnp.nan, 1.0) * y * label.astype(y.dtype)


def test_bad_input_is_refused():
    key, (a, b) = jax.random.key(0), two_models(OU)

    def run(a: Any = a, b: Any = b, times: Any = (0.5, 1.0), n: Any = 8, **options: Any):
        return tv_sampler_bound(key, a, b, list(times), n=n, steps=4, **options)

    wider = dataclasses.replace(b, shape=(3,), fn=lambda y, t, k: y)
    for options, message in (
        (dict(b=wider), r"b = .*a model of the shape \[2\]"),
        (dict(b=two_models(FlowMatching())[1]), "same schedule and data_std"),
        (dict(b=dataclasses.replace(b, data_std=2.0)), "same schedule and data_std"),
        (dict(times=(1.0, 0.5)), "times = .*strictly increasing"),
        (dict(times=(0.0, 0.5)), "times = .*positive"),
        (dict(times=(0.5, 20.0)), "times = 20.0: expected times before the sampler starts"),
        (dict(method="kl"), "method = 'kl': expected one of likelihood-ratio"),
        (dict(method="pinsker"), "reach = None: expected a positive number"),
        (dict(reach=1.0), "reach = 1.0: expected a positive number for pinsker, None"),
        (dict(n=0), "n = 0"),
        (dict(delta=1.0), "delta = 1.0"),
    ):
        with pytest.raises(InvalidInput, match=message):
            run(**options)
    with pytest.raises(ContractError, match=r"expected a sloc\.samplers\.LearnedDiffusion"):
        run(b=CLASSES)
    wrong = LearnedDiffusion(broken, OU, (2,), "x0", num_classes=2, label=0)
    with pytest.raises(NotANumber, match="block 0"):
        run(a=wrong, b=wrong.conditioned(1))
