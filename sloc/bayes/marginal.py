"""A NumPyro model of one ``X`` turned into the model of a data set, theta summed out exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers
from numpyro.infer.util import log_density

from sloc.bayes.sites import Model, Sites, conditioned

Array = jax.Array
_BATCH = 64
"""Draws evaluated side by side after sampling."""


def joint_log_probs(
    model: Model, sites: Sites, values: Mapping[str, Any], data: Array, args: Any = (), kwargs: Any = None
) -> Array:
    """``log P(theta, x_i | parameters)`` for every data point and theta, ``[N, K]``, exact.

    Args:
        model: a model of one ``X``.
        sites: its structure.
        values: all its parameters.
        data: ``[N, ...]``.
        args: the model's arguments.
        kwargs: the model's keyword arguments.

    """
    key = jax.random.key(0)

    def one(theta: Any) -> Array:
        log_w, fn = conditioned(model, sites, theta, values, key, args, kwargs or {})
        return log_w + fn.log_prob(data)

    support = sites.support_array
    if sites.switchable:
        return jax.vmap(one, out_axes=1)(jnp.asarray(support))
    return jnp.stack([one(v) for v in support], axis=1)


def marginal_model(model: Model, sites: Sites, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., None]:
    """Turn a model of one ``X`` into a NumPyro model of a data set with theta summed out.

    The parameters are shared by all data points; each point adds ``logsumexp_theta log P(theta, x_i | parameters)``
    (enumeration, which for components of one family is ``MixtureSameFamily``), or, where labels are known, the one
    term.

    Returns:
        ``run(data, labels)``, with labels ``[N]`` (positions in the support of theta) or None; without data it is
        the prior.

    """

    def hidden(message: Any) -> bool:
        return message.get("name") in (sites.site, sites.observed) or message.get("type") == "deterministic"

    def run(data: Array | None = None, labels: Array | None = None) -> None:
        stand_in = {sites.site: sites.support_array[0], sites.observed: sites.dummy()}
        with handlers.trace() as trace, handlers.block(hide_fn=hidden), handlers.substitute(data=stand_in):
            model(*args, **kwargs)
        values = {n: trace[n]["value"] for n in sites.latents}
        if data is None:
            return
        joint = joint_log_probs(model, sites, values, data, args, kwargs)
        if labels is None:
            each = jax.nn.logsumexp(joint, axis=1)
        else:
            each = jnp.take_along_axis(joint, labels[:, None], axis=1)[:, 0]
        numpyro.factor("log_likelihood", jnp.sum(each))

    return run


def evaluator(run: Any, model: Model, sites: Sites, args: Any, kwargs: Any) -> Any:
    """``(samples [D, ...], data) -> (log prior [D], log P(theta, x_i) [D, N, K])``, batched over draws."""

    @jax.jit
    def evaluate(samples: Mapping[str, Array], data: Array) -> tuple[Array, Array]:
        def one(values: Mapping[str, Array]) -> tuple[Array, Array]:
            prior = jnp.asarray(log_density(run, (), {}, dict(values))[0])
            return prior, joint_log_probs(model, sites, values, data, args, kwargs)

        return jax.lax.map(one, samples, batch_size=_BATCH)

    return evaluate
