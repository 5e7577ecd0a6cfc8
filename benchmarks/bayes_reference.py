"""An independent sampler of the posterior of two Gaussians on a line: particles tempered from prior to posterior.

Shares no code with ``sloc.bayes``: particles start from the prior itself, temperatures rise so that the effective
sample size halves each time, particles are resampled and then moved by differences of pairs of particles
(Del Moral, Doucet & Jasra 2006; ter Braak 2006).  The prior is exchangeable and labels are swapped at random, so that
both orders are always present; sorting by the means then gives the posterior of ordered components.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sloc.populations import GaussianMixture

Array = jax.Array
PARTICLES = 2048
_MOVES = 20


def log_prior(z: Array, concentration: float, spread: float, width_sd: float) -> Array:
    """Log density of ``(logit w, m_1, m_2, log sd)`` up to a constant: Beta, two Gaussians, a Gaussian."""
    both = jax.nn.log_sigmoid(z[0]) + jax.nn.log_sigmoid(-z[0])
    return concentration * both - (z[1] ** 2 + z[2] ** 2) / (2 * spread**2) - z[3] ** 2 / (2 * width_sd**2)


def log_likelihood(z: Array, x: Array) -> Array:
    """Log density of data ``[N]`` up to a constant."""
    scaled = (x[:, None] - z[None, 1:3]) / jnp.exp(z[3])
    log_w = jnp.stack([jax.nn.log_sigmoid(z[0]), jax.nn.log_sigmoid(-z[0])])
    return jnp.sum(jax.nn.logsumexp(log_w[None] - 0.5 * scaled**2, axis=1) - z[3])


def _ess(log_w: Array) -> Array:
    return jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w))


@functools.partial(jax.jit, static_argnames=("concentration", "spread", "width_sd"))
def _particles(key: Array, x: Array, concentration: float, spread: float, width_sd: float) -> Array:
    size = PARTICLES
    prior = jax.vmap(lambda z: log_prior(z, concentration, spread, width_sd))
    likelihood = jax.vmap(log_likelihood, (0, None))
    key, key_w, key_z = jax.random.split(key, 3)
    w = jax.random.beta(key_w, concentration, concentration, (size,))
    normal = jax.random.normal(key_z, (size, 3)) * jnp.array([spread, spread, width_sd])
    z = jnp.concatenate([(jnp.log(w) - jnp.log1p(-w))[:, None], normal], axis=1)

    def next_temperature(now: Array, log_l: Array) -> Array:
        def bisect(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = (ends[0] + ends[1]) / 2
            enough = _ess((middle - now) * log_l) > size / 2
            return jnp.where(enough, middle, ends[0]), jnp.where(enough, ends[1], middle)

        found = jax.lax.fori_loop(0, 40, bisect, (now, jnp.ones(())))[0]
        return jnp.where(_ess((1 - now) * log_l) > size / 2, jnp.ones(()), jnp.maximum(found, now + 1e-7))

    def temper(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        now, z, log_l, key = state
        then = next_temperature(now, log_l)
        key, key_pick, key_move = jax.random.split(key, 3)
        share = jnp.cumsum(jax.nn.softmax((then - now) * log_l))
        comb = (jnp.arange(size) + jax.random.uniform(key_pick)) / size
        picks = jnp.clip(jnp.searchsorted(share, comb), 0, size - 1)
        z, log_l = z[picks], log_l[picks]
        jitter = 1e-3 * (jnp.std(z, axis=0) + 1e-4)

        def move(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            z, log_l = state
            one, two, noise, accept, swap = jax.random.split(jax.random.fold_in(key_move, i), 5)
            scale = jnp.array([0.5, 0.2, 1.0])[i % 3]
            first, second = (z[jax.random.randint(k, (size,), 0, size)] for k in (one, two))
            step = scale * (first - second)
            new = z + step + jitter * jax.random.normal(noise, z.shape)
            new_l = likelihood(new, x)
            log_ratio = then * (new_l - log_l) + prior(new) - prior(z)
            taken = jnp.log(jax.random.uniform(accept, (size,))) < log_ratio
            z, log_l = jnp.where(taken[:, None], new, z), jnp.where(taken, new_l, log_l)
            swapped = jnp.stack([-z[:, 0], z[:, 2], z[:, 1], z[:, 3]], axis=1)
            return jnp.where(jax.random.bernoulli(swap, 0.5, (size, 1)), swapped, z), log_l

        z, log_l = jax.lax.fori_loop(0, _MOVES, move, (z, log_l))
        return then, z, log_l, key

    return jax.lax.while_loop(lambda s: s[0] < 1, temper, (jnp.zeros(()), z, likelihood(z, x), key))[1]


def reference_posterior(
    key: Array, x: np.ndarray, *, concentration: float, spread: float, width_sd: float
) -> GaussianMixture:
    """Draws from the posterior as stacked mixtures, components in the order of their means.

    ``w ~ Beta(concentration, concentration)``, ``m_1, m_2 ~ N(0, spread^2)``, ``log sd ~ N(0, width_sd^2)``.

    Args:
        key: typed PRNG key.
        x: data ``[N]``.
        concentration: of the weights' prior.
        spread: of the means' prior.
        width_sd: of the prior of the log standard deviation.

    """
    found = _particles(key, jnp.asarray(x, jnp.result_type(float)), concentration, spread, width_sd)
    z = np.asarray(found, np.float64)
    share = 1 / (1 + np.exp(-z[:, 0]))
    weights, means = np.stack([share, 1 - share], axis=1), z[:, 1:3]
    order = np.argsort(means, axis=1)
    weights, means = (np.take_along_axis(v, order, axis=1) for v in (weights, means))
    return GaussianMixture(weights, means[:, :, None], np.exp(2 * z[:, 3]), names=("0", "1"))
