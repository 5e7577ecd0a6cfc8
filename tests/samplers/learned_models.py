"""A mixture of Gaussians as if a network had learned it: its exact score in every parameterization."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from sloc.populations import GaussianMixture
from sloc.samplers import LearnedDiffusion, mixture_score
from sloc.samplers.learned import slopes

WEIGHTS, MEANS, VARIANCE = [0.3, 0.7], [[1.5], [-0.7]], 0.25


def mixture() -> GaussianMixture:
    return GaussianMixture(WEIGHTS, MEANS, VARIANCE)


def exact_score(schedule, population, y, t):
    return mixture_score(schedule, population, y, t)


def posterior_mean(schedule, population, y, t):
    """``E[X | Y_t = y]`` of a mixture with one variance, also where nothing of the signal is left."""
    a, sigma = schedule.coefficients(t)
    total = a**2 * population.covariances + sigma**2
    gaps = y[None, :] - a * population.means
    share = jax.nn.softmax(population.log_weights - 0.5 * jnp.sum(gaps**2, axis=1) / total)
    means = population.means + (a * population.covariances / total) * gaps
    return jnp.sum(share[:, None] * means, axis=0)


def exact_output(parameterization, schedule, population, y, t):
    """What a perfect network of each kind returns."""
    score = mixture_score(schedule, population, y, t)
    a, sigma = schedule.coefficients(t)
    eps = -sigma * score
    x = posterior_mean(schedule, population, y, t)
    if parameterization == "v":
        return (a * eps - sigma * x) / jnp.sqrt(a**2 + sigma**2)
    if parameterization == "velocity":
        da, dsigma = slopes(schedule, t)
        return da * x + dsigma * eps
    return {"eps": eps, "x0": x, "score": score}[parameterization]


OUTPUTS = {
    name: (lambda s, p, y, t, name=name: exact_output(name, s, p, y, t))
    for name in ("eps", "x0", "v", "score", "velocity")
}


def exact_model(schedule, parameterization="score", population=None, **options) -> LearnedDiffusion:
    """Return the model of a mixture in one dimension (or another population) with no error at all."""
    population = (mixture() if population is None else population).canonical()
    fn = Partial(OUTPUTS[parameterization], schedule.canonical(), population)
    dimension = jnp.shape(population.means)[1]
    return LearnedDiffusion(fn, schedule, (dimension,), parameterization, **options)


def run_down(localizer, grid, keys, y):
    """Take every step of ``grid``, from the last time down: the observations at ``grid[0]``, one for each key."""

    def one(key, y):
        state = localizer.init(key, grid[-1], y)

        def step(state, given):
            i, s = given
            return localizer.step(jax.random.fold_in(key, i), state, s)[0], None

        below = grid[:-1][::-1]
        return jax.lax.scan(step, state, (jnp.arange(below.shape[0], dtype=jnp.int32), below))[0].y

    return jax.jit(jax.vmap(one))(keys, y)
