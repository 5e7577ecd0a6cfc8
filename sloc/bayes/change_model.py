"""The hierarchical change-point model of resampled curves, each question's windows summed out exactly.

For question ``q`` of data set ``s`` with covariate ``r`` (was the full generation right):

* number of windows ``K`` in {0, 1, 2}: softmax of ``(0, a_s1 + b_1 r, a_s2 + b_2 r)``; ``a_s`` is normal around a mean
  of all data sets with a spread that is log-normal (median 0.5; with one data set there is nothing to pool);
* location: step ``i`` with probability ``~ exp(g_1 log u_i + g_2 log(1 - u_i))``, ``u_i`` its place in (0, 1); two
  windows take two steps, the product of both;
* width ``w`` in {1, 2, 3} steps (one window): a Dirichlet;
* level before ``~ Beta(m_b c_b, (1 - m_b) c_b)``, after ``~ Beta(m_a c_a, ...)``, flat ``~ Beta(m_f c_f, ...)``;
  between and inside uniform.  The height of a window is the level after less the level before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from sloc.bayes.change_data import MAX_WIDTH, ChangeData

Array = jax.Array
LEVELS = ("before", "after", "flat")
SPREAD = (-0.7, 0.6)
"""Mean and standard deviation of the logarithm of the spread between data sets."""


def change_model(data: ChangeData, sets: int) -> None:
    """NumPyro model of the shared parameters; the questions enter as one factor.

    Args:
        data: counts.
        sets: number of data sets.

    """
    # Relative to the largest: sums over thousands of questions stay small enough for single precision.
    numpyro.factor("questions", relative_log_likelihood(shared_parameters(sets), data).sum())


def shared_parameters(sets: int) -> dict[str, Any]:
    """Sample what questions share.

    Data sets are centred, since hundreds of questions know the rates of theirs well; a spread that avoids 0 leaves them
    no funnel to fall into.
    """
    windows: Any = numpyro.sample("windows", dist.Normal(jnp.asarray([0.0, -1.5]), 1.0).to_event(1))
    if sets == 1:
        own = numpyro.deterministic("set_windows", windows[None])
    else:
        spread = numpyro.sample("spread", dist.LogNormal(*SPREAD))
        with numpyro.plate("sets", sets):
            own = numpyro.sample("set_windows", dist.Normal(windows, spread).to_event(1))
    found: dict[str, Any] = {
        "set_windows": own,
        "right": numpyro.sample("right", dist.Normal(jnp.zeros(2), 1.0).to_event(1)),
        "place": numpyro.sample("place", dist.Normal(jnp.zeros(2), 1.0).to_event(1)),
        "width": numpyro.sample("width", dist.Dirichlet(jnp.asarray([4.0, 2.0, 1.0])[:MAX_WIDTH])),
    }
    for name, (a, b) in zip(LEVELS, ((1.5, 3.0), (3.0, 1.5), (2.0, 2.0)), strict=True):
        found[f"{name}_mean"] = numpyro.sample(f"{name}_mean", dist.Beta(a, b))
        found[f"{name}_size"] = numpyro.sample(f"{name}_size", dist.LogNormal(1.0, 0.7))
    return found


def level_priors(shared: Mapping[str, Array], steps: int) -> Array:
    """``[2, 2 T - 1, 1]`` parameters of the Beta prior of the level behind each entry of ``ChangeData.ends``."""
    means = jnp.stack([shared[f"{n}_mean"] for n in LEVELS])
    sizes = jnp.stack([shared[f"{n}_size"] for n in LEVELS])
    pairs = jnp.stack([means, 1.0 - means]) * sizes[None]
    return pairs[:, np.repeat(np.arange(3), [steps, steps, 1]), None]


def end_ratios(shared: Mapping[str, Array], data: ChangeData) -> Array:
    """``[2 T - 1, Q]`` likelihood of counts that share one level over that with a uniform prior of it."""
    prior = level_priors(shared, data.steps)
    each = jnp.exp(_log_beta(prior + data.pairs) - _log_beta(prior) - data.uniform_pairs)
    return jnp.take_along_axis(each, data.place, axis=1)


def _log_beta(pair: Array) -> Array:
    return _log_gamma(pair[0]) + _log_gamma(pair[1]) - _log_gamma(pair[0] + pair[1])


def _log_gamma(x: Array) -> Array:
    """Stirling's series at ``x + 4``, to 1e-7 for ``x > 0``: the library's own takes the compiler minutes here."""
    z = x + 4.0
    series = 1.0 / (12.0 * z) - 1.0 / (360.0 * z**3) + 1.0 / (1260.0 * z**5)
    return (z - 0.5) * jnp.log(z) - z + 0.9189385332 + series - jnp.log(x * (x + 1.0) * (x + 2.0) * (x + 3.0))


def log_numbers(shared: Mapping[str, Array], data: ChangeData) -> Array:
    """``[3, Q]`` log prior probabilities of no, one and two windows."""
    logits = shared["set_windows"][data.group].T + shared["right"][:, None] * data.right[None]
    return jax.nn.log_softmax(jnp.concatenate([jnp.zeros_like(logits[:1]), logits]), axis=0)


def log_places(shared: Mapping[str, Array], steps: int) -> tuple[Array, Array]:
    """Log prior of windows from step ``i`` to ``j``, ``[S, S]``: of one of width ``j - i + 1``, and of two."""
    u = (jnp.arange(steps) + 0.5) / steps
    place = shared["place"][0] * jnp.log(u) + shared["place"][1] * jnp.log1p(-u)
    i, j = jnp.arange(steps)[:, None], jnp.arange(steps)[None, :]
    width = jnp.clip(j - i, 0, MAX_WIDTH - 1)
    allowed = (j >= i) & (j - i < MAX_WIDTH)
    # The place of a window is that of its first step; wide ones that would not fit are left out and the rest scaled.
    one = jnp.where(allowed, place[:, None] + jnp.log(shared["width"])[width], -jnp.inf)
    two = jnp.where(j > i, place[:, None] + place[None, :], -jnp.inf)
    one = one - jax.nn.logsumexp(one)
    # With a single step there is no room for two windows.
    return one, two - jax.nn.logsumexp(two) if steps > 1 else two


def window_weights(shared: Mapping[str, Array], data: ChangeData) -> tuple[Array, Array, Array]:
    """Joint of counts and windows over the largest: ``[Q]`` of none, ``[S, S, Q]`` of one and of two."""
    numbers, steps = jnp.exp(log_numbers(shared, data)), data.steps
    one, two = (jnp.exp(p)[..., None] for p in log_places(shared, steps))
    # Kept, or the compiler computes it anew for each pair of steps.
    ratio = jax.lax.optimization_barrier(end_ratios(shared, data))
    ends = ratio[:steps, None] * ratio[None, steps : 2 * steps]
    none = numbers[0] * ratio[-1] * jnp.exp(data.uniform[-1] - data.largest)
    return none, numbers[1] * one * ends * data.inside, numbers[2] * two * ends * data.between


def relative_log_likelihood(shared: Mapping[str, Array], data: ChangeData) -> Array:
    """``[Q]`` log-likelihood of each question less ``data.largest``, its windows and levels summed out."""
    none, one, two = window_weights(shared, data)
    total = none + (one + two).sum(axis=(0, 1))
    return jnp.log(jnp.maximum(total, jnp.finfo(total.dtype).tiny))


def log_likelihood(shared: Mapping[str, Array], data: ChangeData) -> Array:
    """``[Q]`` log-likelihood of each question, its windows and levels summed out (binomial coefficients left out)."""
    return relative_log_likelihood(shared, data) + data.largest


def question_summaries(shared: Mapping[str, Array], data: ChangeData) -> dict[str, Array]:
    """Posterior of one draw's windows: numbers ``[Q, 3]``, steps, first and last ``[Q, S]``, width and height ``[Q]``.

    ``steps`` is the probability that a step lies in a window, ``first`` that the first window begins at it, ``last``
    that the last one ends at it; ``height`` the mean of the level after the last window less the level before the
    first, 0 without one; ``width`` the mean number of steps, given one window.
    """
    none, one, two = window_weights(shared, data)
    total, steps = none + (one + two).sum(axis=(0, 1)), data.steps
    flat, single, double = none / total, one / total, two / total
    width = jnp.arange(steps)[None, :, None] - jnp.arange(steps)[:, None, None] + 1.0
    # Mass of windows that have begun by a step less that of those that ended before it.
    begun, ended = jnp.cumsum(single.sum(axis=1), axis=0), jnp.cumsum(single.sum(axis=0), axis=0)
    covered = begun - ended + single.sum(axis=0) + double.sum(axis=1) + double.sum(axis=0)
    pairs = level_priors(shared, steps) + data.ends
    level = pairs[0] / pairs.sum(axis=0)
    rise = level[None, steps : 2 * steps] - level[:steps, None]
    p_one = single.sum(axis=(0, 1))
    return {
        "numbers": jnp.stack([flat, p_one, double.sum(axis=(0, 1))], axis=1),
        "steps": covered.T,
        "first": (single + double).sum(axis=1).T,
        "last": (single + double).sum(axis=0).T,
        "width": (single * width).sum(axis=(0, 1)) / jnp.maximum(p_one, 1e-30),
        "height": ((single + double) * rise).sum(axis=(0, 1)),
    }
