"""Fits: truth recovered, gates, label switching, ArviZ."""

from __future__ import annotations

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import optimize, special, stats

import sloc
from sloc.bayes import (
    ChainsDisagree,
    GaussianMixtureModel,
    LabelSwitching,
    check_chains,
    diagnose,
    fit,
    merge_posterior,
    window_posterior,
)
from sloc.bayes.gates import rank_r_hat
from sloc.bayes.labels import permute, relabelling, switching

MODEL = GaussianMixtureModel(2, "spherical")
GATES = dict(max_r_hat=1.05, min_ess=100.0, max_shift=0.5, max_divergences=0.05)
RUN = dict(warmup=200, draws=200)


def simulated(points=80):
    rng = np.random.default_rng(0)
    theta = rng.integers(0, 2, points)
    return np.where(theta[:, None] == 0, [[3.0, 0.0]], [[-3.0, 1.0]]) + rng.normal(size=(points, 2)), theta


@pytest.fixture(scope="module")
def posterior():
    return fit(jax.random.key(0), MODEL, simulated()[0], **RUN)


def test_recovers_the_truth(posterior):
    means = posterior.samples["means"].reshape(-1, 2, 2)
    order = np.argsort(-means.mean(axis=0)[:, 0])
    centre, sd = means.mean(axis=0)[order], means.std(axis=0)[order]
    # Six posterior standard deviations, four numbers: false alarm below 1e-8.
    assert (np.abs(centre - [[3.0, 0.0], [-3.0, 1.0]]) < 6 * sd).all()
    theta = simulated()[1]
    assigned = posterior.theta_probs()[:, order].argmax(axis=1)
    assert (assigned == theta).mean() > 0.95


def test_memberships_are_exact_bayes(posterior):
    draw = {n: v[1, 7] for n, v in posterior.samples.items()}
    dens = np.stack(
        [
            w * stats.multivariate_normal(m, draw["sd"] ** 2 * np.eye(2)).pdf(posterior.data)
            for w, m in zip(draw["weights"], draw["means"], strict=True)
        ],
        axis=1,
    )
    found = np.exp(posterior.theta_log_probs[1, 7])
    np.testing.assert_allclose(found, dens / dens.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(posterior.log_likelihood[1, 7], np.log(dens.sum(axis=1)), rtol=1e-4)


def test_predictive_population_averages_draws(posterior):
    population, process = posterior.population(50), sloc.processes.OrnsteinUhlenbeck()
    assert population.exactness == "exact given 50 posterior draws"
    t, y = 0.4, np.array([0.5, 0.3])
    a, s2 = np.exp(-t), -np.expm1(-2 * t)
    joint = np.zeros(2)
    draws = posterior.thinned(50)
    for w, m, sd in zip(draws["weights"], draws["means"], draws["sd"], strict=True):
        for k in range(2):
            joint[k] += w[k] * stats.multivariate_normal(a * m[k], (a**2 * sd**2 + s2) * np.eye(2)).pdf(y)
    found = np.exp(sloc.posterior(process, population, jnp.asarray(y), t))
    np.testing.assert_allclose(found, joint / joint.sum(), atol=1e-5)


@pytest.mark.slow
def test_goes_to_arviz(posterior):
    data = posterior.to_arviz()
    assert data.posterior["means"].dims == ("chain", "draw", "component", "means_dim_1")
    assert data.log_likelihood["x"].shape == (4, 200, 80)
    assert bool(data.sample_stats["diverging"].any()) is False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz as az

        table = az.summary(data, var_names=["weights", "means", "sd"])
    # Two programs for one number: ours is the rank-normalised split R-hat, and so is theirs.
    ours = max(posterior.diagnostics.r_hat[n] for n in ("weights", "means", "sd"))
    assert abs(table["r_hat"].max() - ours) < 0.011
    window = window_posterior(
        jax.random.key(0), sloc.processes.OrnsteinUhlenbeck(), posterior, 0, [0, 1], epsilon=0.2, draws=None
    )
    assert window.to_arviz().posterior["t_after"].shape == (4, 200)
    assert window.before.r_hat < 1.05
    tree = merge_posterior(jax.random.key(0), sloc.processes.OrnsteinUhlenbeck(), posterior, epsilon=0.2, draws=400)
    assert tree.to_arviz().posterior["merge 1"].shape == (4, 100)


def test_chains_start_in_different_orders_and_are_relabelled(posterior):
    # k-means starts name the clusters at random: with this seed chains differ, which the assertion keeps honest.
    assert posterior.diagnostics.switched_between > 0
    assert posterior.diagnostics.relabelled
    assert posterior.diagnostics.r_hat["means"] < 1.05


def test_switching_is_refused_without_relabelling():
    with pytest.raises(LabelSwitching, match=r"labels switch in .*means") as caught:
        fit(jax.random.key(0), MODEL, simulated()[0], relabel=False, **RUN)
    assert caught.value.diagnostics.switched_between > 0
    assert caught.value.diagnostics.r_hat["means"] > 1.5


def test_fit_refuses_what_breaks_a_gate():
    with pytest.raises(ChainsDisagree, match="effective size") as caught:
        fit(jax.random.key(0), MODEL, simulated()[0], min_ess=1e9, **RUN)
    assert caught.value.samples["means"].shape == (4, 200, 2, 2)


@pytest.mark.slow
def test_chains_in_two_modes_are_refused():
    def squared():
        # Only the square of m is seen: chains settle at 2 or at -2, which no order of labels undoes.
        m = numpyro.sample("m", dist.Normal(0.0, 3.0))
        theta = numpyro.sample("theta", dist.Bernoulli(0.5))
        numpyro.sample("x", dist.Normal(m**2 + 4.0 * theta, 0.5))

    rng = np.random.default_rng(0)
    data = 4.0 + 4.0 * rng.integers(0, 2, 60) + 0.5 * rng.normal(size=60)
    with pytest.raises(ChainsDisagree, match="R-hat of m ") as caught:
        fit(jax.random.key(1), squared, data, **RUN)
    assert not isinstance(caught.value, LabelSwitching)
    # The refusal shows what it is about: chains on both sides.
    assert set(np.sign(caught.value.samples["m"].mean(axis=1))) == {-1.0, 1.0}
    assert "R-hat" in str(caught.value)


@pytest.mark.slow
def test_posterior_of_weights_and_labels_is_exact_bayes():
    means = np.array([-1.0, 1.5])

    def weighted():
        w = numpyro.sample("w", dist.Beta(2.0, 3.0))
        theta = numpyro.sample("theta", dist.Bernoulli(w))
        numpyro.sample("x", dist.Normal(jnp.asarray(means)[theta], 1.0))

    data = np.random.default_rng(0).normal(size=25) + 0.7
    found = fit(jax.random.key(0), weighted, data, draws=2000)
    # One parameter is left, so its posterior is a sum on a fine grid, in float64.
    w = np.linspace(0, 1, 20_001)[1:-1]
    dens = stats.norm(means[:, None], 1.0).pdf(data[None])
    each = (1 - w)[:, None] * dens[0] + w[:, None] * dens[1]
    log_p = stats.beta(2, 3).logpdf(w) + np.log(each).sum(axis=1)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean, sd = p @ w, np.sqrt(p @ w**2 - (p @ w) ** 2)
    draws = found.samples["w"]
    error = 7 / np.sqrt(found.diagnostics.ess["w"])
    # Seven standard errors each (false alarm below 1e-10); the sd's own is about 1 / sqrt(2 ess).
    assert abs(draws.mean() - mean) < error * sd
    assert abs(draws.std() / sd - 1) < error
    truth = p @ (w[:, None] * dens[1] / each)
    np.testing.assert_allclose(found.theta_probs()[:, 1], truth, atol=float(error * sd))


@pytest.mark.slow
def test_user_model_with_a_plate_of_components_is_relabelled():
    def plated():
        w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
        centre = numpyro.sample("centre", dist.Normal(0.0, 3.0))
        with numpyro.plate("components", 2):
            mu = numpyro.sample("mu", dist.Normal(centre, 5.0))
        theta = numpyro.sample("theta", dist.Categorical(w))
        numpyro.sample("x", dist.Normal(mu[theta], 1.0))

    found = fit(jax.random.key(2), plated, simulated()[0][:, 0], **RUN)
    assert found.diagnostics.switched_between > 0
    assert found.diagnostics.relabelled
    mean = found.samples["mu"].mean(axis=(0, 1))
    assert abs(mean[0] - mean[1]) > 4
    # Weights go with their means.
    near = found.samples["w"][..., int(mean.argmax())].mean()
    assert abs(near - (simulated()[1] == 0).mean()) < 0.2


def chains(shifts, seed=0):
    rng = np.random.default_rng(seed)
    return {"mu": rng.normal(size=(len(shifts), 300, 2)) + np.asarray(shifts)[:, None, None]}


def test_chains_that_disagree_are_refused_with_diagnostics():
    agreeing = chains([0.0] * 4)
    check_chains(agreeing, diagnose(agreeing), **GATES)
    apart = chains([0.0, 0.0, 0.0, 4.0])
    with pytest.raises(ChainsDisagree, match="R-hat of mu") as caught:
        check_chains(apart, diagnose(apart), **GATES)
    assert caught.value.diagnostics.r_hat["mu"] > 1.3
    assert caught.value.diagnostics.shift["mu"] > 2.0
    # Equal means, unequal spreads: only the folded R-hat sees it.
    wide = chains([0.0] * 4)
    wide["mu"][3] *= 10
    assert diagnose(wide).r_hat["mu"] > 1.1
    bad = np.zeros((4, 300), bool)
    bad[2, :60] = True
    with pytest.raises(ChainsDisagree, match="diverged"):
        check_chains(agreeing, diagnose(agreeing, bad), **GATES)


def test_r_hat_of_constants_and_of_stuck_chains():
    assert rank_r_hat(np.ones((4, 50))) == 1.0
    assert rank_r_hat(np.repeat([[0.0], [1.0]], 50, axis=1)) == np.inf
    assert rank_r_hat(np.full((2, 50), np.nan)) == np.inf


def test_relabelling_undoes_random_orders():
    rng = np.random.default_rng(0)
    logs = np.log(rng.dirichlet([0.2] * 3, size=40))
    perms = np.stack([rng.permutation(3) for _ in range(60)])
    shuffled = np.stack([logs[:, np.argsort(p)] for p in perms])
    found = relabelling(shuffled, rng.normal(size=60))
    restored = np.take_along_axis(shuffled, found[:, None, :], axis=2)
    assert (restored == restored[:1]).all()
    between, within = switching(found, chains=4)
    assert between > 0 or within > 0
    moved = permute({"mu": np.argsort(perms, axis=1).astype(float), "sd": np.zeros(60)}, ("mu",), found)
    assert (moved["mu"] == moved["mu"][:1]).all()
    assert switching(np.tile(np.arange(3), (60, 1)), 4) == (0, 0.0)


@pytest.mark.slow
def test_user_model_with_distinct_priors_keeps_its_labels():
    def model():
        mu = numpyro.sample("mu", dist.Normal(jnp.array([-3.0, 3.0]), 1.0).to_event(1))
        theta = numpyro.sample("theta", dist.Bernoulli(0.4))
        numpyro.sample("x", dist.Normal(mu[theta], 1.0))

    data = simulated()[0][:, 0]
    posterior = fit(jax.random.key(0), model, data, **RUN)
    assert not posterior.diagnostics.relabelled
    means = posterior.samples["mu"].mean(axis=(0, 1))
    assert means[0] < 0 < means[1]
    assert posterior.populations(10).covariances.shape == (10,)


@functools.cache
def exact_posterior():
    """Means and standard deviations of ``[m_00, m_01, m_10, m_11, log sd, w_0]``, the component on the right first.

    Importance sampling in float64 NumPy and SciPy around the mode, by a Student t of the mode's curvature.
    """
    data = simulated()[0]
    location, scale = data.mean(axis=0), data.std(axis=0)

    def log_joint(u):
        # Unconstrained: the log odds of w_0 stand last; their Jacobian is w_0 w_1.
        means, log_sd, w = u[..., :4].reshape(*u.shape[:-1], 2, 2), u[..., 4], special.expit(u[..., 5])
        both = np.stack([w, 1 - w], axis=-1)
        squared = ((data[:, None] - means[..., None, :, :]) ** 2).sum(axis=-1)
        each = np.log(both)[..., None, :] - squared / (2 * np.exp(2 * log_sd))[..., None, None]
        total = special.logsumexp(each, axis=-1).sum(axis=-1) - 2 * len(data) * log_sd
        total += stats.norm(location, 1.5 * scale).logpdf(means).sum(axis=(-1, -2))
        total += stats.norm(np.log(np.sqrt(scale.prod()) / 2.0), 0.75).logpdf(log_sd)
        return total + 2 * np.log(both).sum(axis=-1)  # Dirichlet(2, 2), and the Jacobian

    start = np.array([3.0, 0.0, -3.0, 1.0, 0.0, 0.0])
    mode = optimize.minimize(lambda u: -log_joint(u), start, method="BFGS", options={"gtol": 1e-3})
    law = stats.multivariate_t(mode.x, 1.5 * mode.hess_inv, df=8, seed=0)
    draws = law.rvs(40_000)
    log_w = np.concatenate([log_joint(part) for part in np.split(draws, 40)]) - law.logpdf(draws)
    w = np.exp(log_w - special.logsumexp(log_w))
    assert 1 / (w**2).sum() > 10_000  # an effective size of so many
    draws[:, 5] = special.expit(draws[:, 5])
    mean = w @ draws
    return mean, np.sqrt(w @ (draws - mean) ** 2)


def against_exact(found, effective, bias):
    """Hold a fit against the exact posterior.

    Seven standard errors of ``effective`` draws, and of the oracle's 10,000, for each of six means and six standard
    deviations (false alarm below 1e-10), and ``bias`` in units of the standard deviation.
    """
    mean, sd = exact_posterior()
    m, log_sd = found.samples["means"].reshape(-1, 2, 2), np.log(found.samples["sd"]).ravel()
    order = np.argsort(-m.mean(axis=0)[:, 0])
    columns = [m[:, order].reshape(-1, 4), log_sd[:, None], found.samples["weights"].reshape(-1, 2)[:, order[:1]]]
    draws = np.concatenate(columns, axis=1)
    error = 7 * np.sqrt(1 / effective + 1e-4) + bias
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean) / sd, error)
    np.testing.assert_array_less(np.abs(draws.std(axis=0) / sd - 1), error)


def test_posterior_of_means_width_and_weights_is_exact_bayes(posterior):
    effective = min(float(np.min(posterior.diagnostics.ess[name])) for name in ("means", "sd", "weights"))
    assert effective > 300
    against_exact(posterior, effective, bias=0.0)


@pytest.mark.slow
def test_variational_fit_agrees_with_exact_bayes():
    """A full-rank Gaussian is nearly the posterior of eighty points in two clear groups."""
    found = fit(jax.random.key(0), MODEL, simulated()[0], method="svi", draws=500, steps=2000)
    assert "variational" in found.method
    # 2,000 independent draws; an eighth of a standard deviation for what a Gaussian, and its fit, cannot follow.
    against_exact(found, 2000, bias=0.125)


@pytest.mark.slow
def test_known_labels_need_no_order():
    data, theta = simulated()
    posterior = fit(jax.random.key(0), MODEL, data, labels=theta, **RUN)
    assert posterior.diagnostics.switched_between == 0
    assert posterior.samples["means"].mean(axis=(0, 1))[0, 0] > 0


def test_refuses_bad_input():
    data = simulated()[0]
    key = jax.random.key(0)

    def local():
        theta = numpyro.sample("theta", dist.Bernoulli(0.5))
        z = numpyro.sample("z", dist.Normal(3.0 * theta, 1.0))
        numpyro.sample("x", dist.Normal(z, 1.0))

    with pytest.raises(sloc.InvalidInput, match="z depends on 'theta'"):
        fit(key, local, data[:, 0])
    with pytest.raises(sloc.InvalidInput, match="finite"):
        fit(key, MODEL, np.full((5, 2), np.nan))
    with pytest.raises(sloc.InvalidInput, match="labels"):
        fit(key, MODEL, data, labels=np.full(len(data), 2))
    with pytest.raises(sloc.InvalidInput, match="method"):
        fit(key, MODEL, data, method="gibbs")
    with pytest.raises(sloc.InvalidInput, match="chains"):
        fit(key, MODEL, data, chains=1)
    with pytest.raises(sloc.InvalidInput, match="num_components"):
        GaussianMixtureModel(1)
