"""NumPyro models as populations: exact Bayes, conformance, refusals."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import sloc
import sloc.testing
from sloc.bayes import NumPyroPopulation

OU = sloc.processes.OrnsteinUhlenbeck()
MEANS, COV, WEIGHTS = np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([0.3, 0.7])


def gaussians():
    theta = numpyro.sample("theta", dist.Categorical(jnp.asarray(WEIGHTS)))
    numpyro.sample("x", dist.MultivariateNormal(jnp.asarray(MEANS)[theta], jnp.asarray(COV)))


def branches():
    theta = numpyro.sample("theta", dist.Bernoulli(0.3))
    if theta == 0:
        numpyro.sample("x", dist.Normal(0.0, 1.0))
    else:
        numpyro.sample("x", dist.Laplace(2.0, 1.0))


def gamma_pair():
    theta = numpyro.sample("theta", dist.Bernoulli(0.3))
    numpyro.sample("x", dist.Gamma(jnp.array([2.0, 5.0])[theta], 1.0).expand([2]).to_event(1))


def hierarchical():
    mu = numpyro.sample("mu", dist.Normal(jnp.zeros(2), 3.0).to_event(1))
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(2)))
    theta = numpyro.sample("theta", dist.Categorical(w))
    numpyro.sample("x", dist.Normal(mu[theta], 1.0))


PROBS = np.array([[0.1, 0.5, 0.2], [0.9, 0.4, 0.2]])


def bits():
    theta = numpyro.sample("theta", dist.Categorical(jnp.asarray(WEIGHTS)))
    numpyro.sample("x", dist.Bernoulli(jnp.asarray(PROBS)[theta]).to_event(1))


def many():
    theta = numpyro.sample("theta", dist.Bernoulli(0.5))
    numpyro.sample("x", dist.StudentT(5.0, 3.0 * theta, 1.0).expand([3]).to_event(1))


def exact_posterior(log_p, weights=WEIGHTS):
    joint = np.log(weights) + np.asarray(log_p)
    return np.exp(joint - joint.max()) / np.exp(joint - joint.max()).sum()


@pytest.mark.parametrize("t", [0.0, 0.1, 0.7, 2.0])
def test_gaussian_posterior_is_exact_bayes(t):
    population = NumPyroPopulation(gaussians)
    assert population.exactness == "exact"
    a, s = np.exp(-t), -np.expm1(-2 * t)
    for y in np.random.default_rng(0).normal(size=(5, 2)) * 2:
        truth = exact_posterior([stats.multivariate_normal(a * m, a**2 * COV + s * np.eye(2)).logpdf(y) for m in MEANS])
        found = np.exp(sloc.posterior(OU, population, jnp.asarray(y), t))
        np.testing.assert_allclose(found, truth, atol=1e-5)


LINEAR = {
    "noise of its own in each coordinate": (sloc.processes.AnisotropicGaussian([0.5, 2.0]), [[1.0, 0.0], [0.0, 1.0]]),
    "one measurement": (sloc.processes.LinearGaussian([[1.0, -2.0]], 0.3), [[1.0, -2.0]]),
    "three measurements": (
        sloc.processes.LinearGaussian([[1.0, -2.0], [0.3, 0.5], [0.0, 1.0]], [0.3, 1.0, 0.2]),
        [[1.0, -2.0], [0.3, 0.5], [0.0, 1.0]],
    ),
}


def wide_clumps():
    """Mixtures whose parts have variances of their own in two coordinates."""
    theta = numpyro.sample("theta", dist.Categorical(jnp.asarray(WEIGHTS)))
    shares, means, deviations = (jnp.asarray(v)[theta] for v in CLUMPS)
    both = dist.Normal(jnp.stack([means, -means], 1), jnp.stack([deviations, deviations[::-1]], 1)).to_event(1)
    numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(shares), both))


@pytest.mark.parametrize("name", LINEAR)
def test_gaussians_under_linear_channels_are_exact(name):
    process, matrix = LINEAR[name][0].canonical(), np.asarray(LINEAR[name][1])
    shares, means, deviations = CLUMPS
    swapped = np.stack([deviations, deviations[:, ::-1]], 2) ** 2
    laws = {
        gaussians: ([[1.0], [1.0]], MEANS[:, None], [[COV], [COV]]),
        wide_clumps: (shares, np.stack([means, -means], 2), [[np.diag(v) for v in row] for row in swapped]),
    }
    for model, (parts, centres, covariances) in laws.items():
        population = NumPyroPopulation(model)
        assert population.exactness_under(process) == "exact"
        for t in (1e-3, 0.7):
            noise = np.asarray(process.matrices(t)[1], np.float64)
            for y in np.random.default_rng(0).normal(size=(3, len(matrix))):
                truth = [
                    np.log(
                        sum(
                            w * stats.multivariate_normal(matrix @ m, matrix @ c @ matrix.T + noise).pdf(y)
                            for w, m, c in zip(*law, strict=True)
                        )
                    )
                    for law in zip(parts, centres, covariances, strict=True)
                ]
                found = population.log_marginals(process, jnp.asarray(y), jnp.asarray(t))
                np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LINEAR)
def test_posterior_under_linear_channels_is_exact_bayes(name):
    # Of what the model draws: of measurements that contradict one another, log p ~ -1e3, float32 keeps less.
    process, matrix = LINEAR[name][0].canonical(), np.asarray(LINEAR[name][1])
    population, rng = NumPyroPopulation(gaussians), np.random.default_rng(1)
    weights = np.exp(np.asarray(population.log_weights, np.float64))
    for t in (1e-3, 0.7):
        noise = np.asarray(process.matrices(t)[1], np.float64)
        laws = [stats.multivariate_normal(matrix @ m, matrix @ COV @ matrix.T + noise) for m in MEANS]
        for law in laws:
            y = np.asarray(law.rvs(random_state=rng), np.float32).reshape(-1)
            joint = weights * np.exp([one.logpdf(y) - law.logpdf(y) for one in laws])
            found = np.exp(sloc.posterior(process, population, jnp.asarray(y), jnp.asarray(t)))
            np.testing.assert_allclose(found, joint / joint.sum(), rtol=0, atol=1e-5)


def clumps():
    theta = numpyro.sample("theta", dist.Categorical(jnp.asarray(WEIGHTS)))
    shares, means, deviations = (jnp.asarray(v)[theta] for v in CLUMPS)
    numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(shares), dist.Normal(means, deviations)))


# Shares, means and standard deviations, ``[theta, part]``.
CLUMPS = np.array(
    [[[0.2, 0.8], [0.5, 0.5]], [[-3.0, 1.0], [0.0, 4.0]], [[0.4, 1.2], [0.7, 0.2]]],
)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.7, 2.0])
def test_posterior_of_mixtures_of_gaussians_is_exact_bayes(t):
    population = NumPyroPopulation(clumps)
    assert population.exactness == population.exactness_under(OU) == "exact"
    a, s2 = np.exp(-t), -np.expm1(-2 * t)
    shares, means, deviations = CLUMPS
    for y in (-3.0, 0.2, 1.9, 4.1):
        density = (shares * stats.norm(a * means, np.sqrt(a**2 * deviations**2 + s2)).pdf(y)).sum(axis=1)
        np.testing.assert_allclose(
            population.log_marginals(OU, jnp.asarray(y), jnp.asarray(t)), np.log(density), rtol=1e-5, atol=1e-5
        )
        found = np.exp(sloc.posterior(OU, population, jnp.asarray(y), t))
        np.testing.assert_allclose(found, exact_posterior(np.log(density)), atol=1e-5)


@pytest.mark.parametrize("t", [0.05, 0.7, 2.0])
def test_posterior_over_few_outcomes_is_exact_bayes_under_any_process(t):
    population = NumPyroPopulation(bits)
    # Neither revealing nor memoryless: all eight words are summed over.
    assert population.exactness_under(OU) == "exact"
    a, s = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    words = np.array(list(itertools.product([0, 1], repeat=3)))
    prior = np.where(words[None], PROBS[:, None], 1 - PROBS[:, None]).prod(axis=2)
    for y in np.random.default_rng(0).normal(size=(5, 3)) + 0.5:
        density = prior @ stats.norm(a * words, s).pdf(y).prod(axis=1)
        np.testing.assert_allclose(
            population.log_marginals(OU, jnp.asarray(y), jnp.asarray(t)), np.log(density), rtol=1e-5, atol=1e-5
        )
        found = np.exp(sloc.posterior(OU, population, jnp.asarray(y), t))
        np.testing.assert_allclose(found, exact_posterior(np.log(density)), atol=1e-5)


def test_too_many_outcomes_are_not_called_exact():
    def word(length):
        theta = numpyro.sample("theta", dist.Bernoulli(0.5))
        numpyro.sample("x", dist.Bernoulli(jnp.full(length, 0.3 + 0.4 * theta)).to_event(1))

    found = [NumPyroPopulation(word, args=(length,)).exactness_under(OU) for length in (12, 13)]
    assert found == ["exact", "monte-carlo n=4096"]


@pytest.mark.parametrize("t", [0.005, 0.1, *(pytest.param(t, marks=pytest.mark.slow) for t in (0.7, 3.0))])
def test_quadrature_posterior_is_exact_bayes(t):
    population = NumPyroPopulation(branches)
    assert population.exactness == "quadrature"
    a, s = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    for y in (-3.0, 0.2, 1.9 * a, 5.0):

        def marginal(law, y=y):
            # The peak of the likelihood and the kink of the density are told to the integrator.
            points = sorted({y / a, 2.0, *(y / a + k * s / a for k in (-6, -2, 2, 6))})
            ends = [-60.0, *[p for p in points if -60 < p < 60], 60.0]
            return sum(
                integrate.quad(lambda x: law.pdf(x) * stats.norm(a * x, s).pdf(y), lo, hi)[0]
                for lo, hi in itertools.pairwise(ends)
            )

        truth = exact_posterior(np.log([marginal(stats.norm()), marginal(stats.laplace(2.0))]), np.array([0.7, 0.3]))
        found = np.exp(sloc.posterior(OU, population, jnp.asarray(y), t))
        np.testing.assert_allclose(found, truth, atol=1e-5)


@pytest.mark.slow
def test_quadrature_in_two_dimensions():
    population = NumPyroPopulation(gamma_pair)
    t, y = 0.4, np.array([1.5, 3.0])
    a, s = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    truth = []
    for shape in (2.0, 5.0):
        each = [
            integrate.quad(lambda x, v=v, c=shape: stats.gamma(c).pdf(x) * stats.norm(a * x, s).pdf(v), 0, 40)[0]
            for v in y
        ]
        truth.append(np.log(each).sum())
    found = population.log_marginals(OU, jnp.asarray(y), jnp.asarray(t))
    np.testing.assert_allclose(found, truth, rtol=2e-5, atol=2e-5)


def test_discrete_posterior_is_exact_bayes():
    population = NumPyroPopulation(bits)
    channel, y, t = sloc.processes.BinarySymmetric(), np.array([1, 0, 1]), 0.2
    seen = PROBS * (1 - t) + (1 - PROBS) * t
    truth = exact_posterior(np.log(np.where(y, seen, 1 - seen)).sum(axis=1))
    np.testing.assert_allclose(np.exp(sloc.posterior(channel, population, jnp.asarray(y), t)), truth, atol=1e-5)
    revealed = sloc.Revealed(jnp.asarray([1, 0, 0]), jnp.asarray([True, True, False]))
    truth = exact_posterior(np.log(np.where(y, PROBS, 1 - PROBS))[:, :2].sum(axis=1))
    found = np.exp(sloc.posterior(sloc.processes.Masking(), population, revealed, 0.5))
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_draws_of_parameters_are_averaged_exactly():
    samples = {
        "mu": np.array([[0.0, 2.0], [1.0, 4.0], [-1.0, 2.5]]),
        "w": np.array([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]),
    }
    population = NumPyroPopulation(hierarchical, posterior_samples=samples)
    assert population.exactness == "exact given 3 posterior draws"
    t, y = 0.3, 0.8
    a, s2 = np.exp(-t), -np.expm1(-2 * t)
    dens = stats.norm(a * samples["mu"], np.sqrt(a**2 + s2)).pdf(y)
    joint = (samples["w"] * dens).mean(axis=0)
    np.testing.assert_allclose(np.exp(population.log_weights), samples["w"].mean(axis=0), atol=1e-6)
    found = np.exp(sloc.posterior(OU, population, jnp.asarray(y), t))
    np.testing.assert_allclose(found, joint / joint.sum(), atol=1e-5)
    fixed = NumPyroPopulation(hierarchical, params={"mu": samples["mu"][0], "w": samples["w"][0]})
    assert fixed.exactness == "exact"
    mixture = fixed.to_gaussian_mixture()
    assert mixture.covariances.shape == ()
    np.testing.assert_allclose(mixture.means[:, 0], samples["mu"][0])


def test_says_when_it_is_monte_carlo():
    assert NumPyroPopulation(many, draws=20_000).exactness == "monte-carlo n=20000"
    assert NumPyroPopulation(hierarchical, prior_draws=8).exactness.startswith("monte-carlo n=8 (prior draws of mu, w")
    # The same law is exact under one process and not under another.
    population = NumPyroPopulation(gaussians)
    assert population.exactness_under(sloc.processes.FlowMatching()) == "exact"
    assert population.exactness_under(sloc.ObservationProcess()) == "quadrature"


def test_draws_of_x_are_shared_by_the_draws_of_parameters():
    def drifting():
        shift = numpyro.sample("shift", dist.Normal(0.0, 1.0))
        theta = numpyro.sample("theta", dist.Bernoulli(0.5))
        numpyro.sample("x", dist.StudentT(5.0, shift + 3.0 * theta, 1.0).expand([3]).to_event(1))

    free = NumPyroPopulation(drifting, draws=4000, prior_draws=8)
    assert free.exactness == "monte-carlo n=8 (prior draws of shift; monte-carlo n=500 given them)"
    given = NumPyroPopulation(drifting, draws=4000, posterior_samples={"shift": np.zeros(5)})
    assert given.exactness == "monte-carlo n=800 given 5 posterior draws"
    few = NumPyroPopulation(drifting, draws=4, posterior_samples={"shift": np.zeros(5)})
    assert few.exactness == "monte-carlo n=2 given 5 posterior draws"
    # As many are drawn: the likelihood is asked for at so many points for each theta and draw of the parameters.
    short = NumPyroPopulation(drifting, draws=40, posterior_samples={"shift": np.zeros(5)})
    y, t, asked = jnp.zeros(3), jnp.asarray(1.0), []

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Counting(sloc.ObservationProcess):
        def log_prob(self, y, x, t):
            jax.debug.callback(asked.append, jnp.sum(x))
            return -0.5 * jnp.sum(jnp.square(y - x))

    short.log_marginals(Counting(), y, t)
    jax.effects_barrier()
    assert short.exactness == "monte-carlo n=8 given 5 posterior draws"
    assert len(asked) == 2 * 5 * 8


@pytest.mark.slow
def test_monte_carlo_is_near_quadrature():
    n = 20_000
    population = NumPyroPopulation(many, draws=n)
    # The mean of 20,000 fixed draws of the likelihood w against a product of one-dimensional integrals.
    t, y = 1.0, np.array([0.5, 1.0, -0.2])
    a, s = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
    for k, found in enumerate(population.log_marginals(OU, jnp.asarray(y), jnp.asarray(t))):
        law = stats.t(5, loc=3.0 * k)
        mean, square = (
            np.prod(
                [
                    integrate.quad(lambda x, v=v, law=law: law.pdf(x) * stats.norm(a * x, s).pdf(v) ** p, -60, 60)[0]  # noqa: B023
                    for v in y
                ]
            )
            for p in (1, 2)
        )
        variance, most = square / mean**2 - 1, stats.norm(0, s).pdf(0) ** 3 / mean
        # Bernstein: a mean of w in [0, most] errs by more with a probability below 1e-9 (2 exp(-level)).
        level = np.log(2e9)
        bound = np.sqrt(2 * variance * level / n) + 2 * most * level / (3 * n)
        assert bound < 0.12
        assert abs(np.expm1(float(found) - np.log(mean))) < bound


CONFORMANCE = {
    "gaussians, OrnsteinUhlenbeck": (lambda: NumPyroPopulation(gaussians), OU),
    "branches, OrnsteinUhlenbeck": (lambda: NumPyroPopulation(branches), OU),
    "branches, FlowMatching": (lambda: NumPyroPopulation(branches), sloc.processes.FlowMatching()),
    "hierarchical, OrnsteinUhlenbeck": (lambda: NumPyroPopulation(hierarchical, prior_draws=8), OU),
    "gaussians, VarianceExploding": (lambda: NumPyroPopulation(gaussians), sloc.processes.VarianceExploding()),
    "gaussians, AnisotropicGaussian": (
        lambda: NumPyroPopulation(gaussians),
        sloc.processes.AnisotropicGaussian([0.5, 2.0]),
    ),
    "bits, Masking": (lambda: NumPyroPopulation(bits), sloc.processes.Masking()),
    "bits, BinarySymmetric": (lambda: NumPyroPopulation(bits), sloc.processes.BinarySymmetric()),
    "bits, Truncation": (lambda: NumPyroPopulation(bits), sloc.processes.Truncation(3)),
}


# Each run has a false-alarm rate of 1e-9 in all (check_population).
@pytest.mark.slow
@pytest.mark.parametrize("name", CONFORMANCE)
def test_conforms(name):
    population, process = CONFORMANCE[name]
    sloc.testing.check_population(population(), process, draws=1024, times=process.grid(4)[:3])


@pytest.mark.slow
def test_windows_of_a_model():
    # A TV curve runs through the engine's shard_map; for one covariance it has a closed form to compare with.
    curve = sloc.tv_curve(
        jax.random.key(0), OU, NumPyroPopulation(gaussians), [0.2, 1.0], 0, 1, n=8192, method="monte-carlo"
    )
    exact = sloc.populations.GaussianMixture(WEIGHTS, MEANS, COV)
    truth = sloc.tv_curve(jax.random.key(0), OU, exact, [0.2, 1.0], 0, 1, n=2, method="closed-form")
    # Six standard errors at two times: false alarm below 1e-8.
    assert (abs(curve.value - truth.value) < 6 * curve.stderr).all()


def test_refuses_models_without_a_discrete_site():
    def continuous():
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        numpyro.sample("x", dist.Normal(z, 1.0))

    with pytest.raises(sloc.InvalidInput, match="expected a discrete latent site"):
        NumPyroPopulation(continuous)


def test_refuses_two_discrete_sites_unless_told_which():
    def two():
        first = numpyro.sample("first", dist.Bernoulli(0.5))
        second = numpyro.sample("second", dist.Categorical(jnp.ones(3) / 3))
        numpyro.sample("x", dist.Normal(first + 3.0 * second, 1.0))

    with pytest.raises(sloc.InvalidInput, match=r"first, second; say which .* site='first'"):
        NumPyroPopulation(two)
    assert NumPyroPopulation(two, site="second").num_components == 3
    with pytest.raises(sloc.InvalidInput, match="site = 'x'"):
        NumPyroPopulation(two, site="x")


def test_refuses_plates_infinite_sites_and_unknown_parameters():
    def plate():
        with numpyro.plate("data", 5):
            theta = numpyro.sample("theta", dist.Bernoulli(0.5))
            numpyro.sample("x", dist.Normal(theta, 1.0))

    def poisson():
        theta = numpyro.sample("theta", dist.Poisson(3.0))
        numpyro.sample("x", dist.Normal(theta, 1.0))

    with pytest.raises(sloc.InvalidInput, match="one X, without a plate"):
        NumPyroPopulation(plate)
    with pytest.raises(sloc.InvalidInput, match="finitely many values"):
        NumPyroPopulation(poisson)
    with pytest.raises(sloc.InvalidInput, match="names of latent sites"):
        NumPyroPopulation(hierarchical, params={"nu": 1.0})
    with pytest.raises(sloc.InvalidInput, match="one number of draws"):
        NumPyroPopulation(hierarchical, posterior_samples={"mu": np.zeros((3, 2)), "w": np.full((4, 2), 0.5)})


def test_import_sloc_leaves_numpyro_alone():
    import subprocess
    import sys

    code = "import sys, sloc; sys.exit('numpyro' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def shifted():
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    theta = numpyro.sample("theta", dist.Bernoulli(0.3))
    numpyro.sample("x", dist.Normal(mu + 2.0 * theta, 1.0))


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (gaussians, {}, "exact marginals"),
        (branches, {}, "marginals by quadrature"),
        (many, {"draws": 8}, "marginals by monte-carlo n=8"),
        (shifted, {"posterior_samples": {"mu": np.array([0.1, 0.2])}}, "marginals exact given 2 posterior draws"),
        (shifted, {"prior_draws": 3}, "marginals by monte-carlo n=3 (prior draws of mu; exact given them)"),
    ],
)
def test_words_for_how_marginals_are_got(model, options, words):
    assert NumPyroPopulation(model, **options).marginals_words(OU) == words


@pytest.mark.slow
def test_results_say_how_marginals_are_got():
    found = sloc.tv(jax.random.key(0), OU, NumPyroPopulation(branches), 0.5, 0, 1, n=16, method="monte-carlo")
    assert found.method == "monte carlo, marginals by quadrature"
