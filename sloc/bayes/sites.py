"""What a NumPyro model is made of: the discrete site theta, the site of X, and the parameters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from sloc.contracts import InvalidInput, require, shown
from sloc.contracts.arguments import is_one_of

Array = jax.Array
Model = Callable[..., Any]


@dataclass(frozen=True)
class Sites:
    """The structure of a model of one ``X`` (hashable; no arrays).

    Attributes:
        site: name of the discrete site theta.
        observed: name of the site of ``X``.
        support: the values of theta, ``K`` ints or floats.
        latents: the other unobserved sites, in the model's order.
        discrete_latents: those of them that are discrete.
        local: those of them whose law depends on theta, so that they belong to one ``X`` and not to the data.
        switchable: whether the model runs with a traced theta (no Python ``if`` on it).
        shape: shape of ``X``.
        discrete: whether ``X`` is discrete.

    """

    site: str
    observed: str
    support: tuple[int | float, ...]
    latents: tuple[str, ...]
    discrete_latents: tuple[str, ...]
    local: tuple[str, ...]
    switchable: bool
    shape: tuple[int, ...]
    discrete: bool

    @property
    def support_array(self) -> np.ndarray:
        """The values of theta as int32 (or float32) ``[K]``."""
        kind = np.int32 if all(isinstance(v, int) for v in self.support) else np.float32
        return np.asarray(self.support, kind)

    def dummy(self) -> Array:
        """Stands for ``X`` where only its law is asked for."""
        return jnp.zeros(self.shape, jnp.int32 if self.discrete else jnp.result_type(float))


def find_sites(
    model: Model,
    site: str | None,
    observed: str | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Sites:
    """Trace a model of one ``X`` once and say which sites it has.

    Args:
        model: a NumPyro model of one ``X``.
        site: name of the discrete site theta, or None where there is one only.
        observed: name of the site of ``X``; None for the one with ``obs=``, else the last one.
        args: the model's arguments.
        kwargs: the model's keyword arguments.
        values: values of some parameters.

    Returns:
        The structure.

    Raises:
        InvalidInput: no discrete site, or several and none named; a name that is no such site; a site of theta with
            a shape or with infinitely many values; several observed sites.

    """
    require(callable(model), "model", model, "a NumPyro model, a callable")
    with handlers.block():
        seeded = handlers.seed(handlers.substitute(model, data=dict(values)), jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(*args, **kwargs)
    samples = {n: s for n, s in trace.items() if s["type"] == "sample"}
    name = getattr(model, "__name__", type(model).__name__)
    require(bool(samples), "model", name, "a model with numpyro.sample sites")
    observed = _observed_site(samples, observed, name)
    latent = {n: s for n, s in samples.items() if n != observed and not s["is_observed"]}
    discrete = [n for n, s in latent.items() if s["fn"].is_discrete]
    if site is None:
        if not discrete:
            raise InvalidInput(
                f"model = {name}: expected a discrete latent site (the sub-population); its latent sites are "
                f"{', '.join(latent) or 'none'}, all continuous, and X is {observed!r}"
            )
        if len(discrete) > 1:
            raise InvalidInput(
                f"model = {name}: expected one discrete latent site, found {', '.join(discrete)}; say which is the "
                f"sub-population, as in site={discrete[0]!r}"
            )
        site = discrete[0]
    require(is_one_of(site, discrete), "site", site, f"a discrete latent site of the model, one of {discrete}")
    fn = latent[site]["fn"]
    require(
        fn.shape() == (),
        f"the shape of site {site!r}",
        fn.shape(),
        "one theta: write the model for one X, without a plate over the data",
    )
    support = _support(fn, site)
    x_fn = samples[observed]["fn"]
    latents = tuple(n for n in latent if n != site)
    known = set(latents) | {site, observed}
    for given in values:
        require(given in known, "parameters", given, f"names of latent sites, {', '.join(latents) or 'there are none'}")
    base = Sites(
        site,
        observed,
        support,
        latents,
        tuple(n for n in discrete if n != site),
        (),
        False,
        tuple(x_fn.shape()),
        bool(x_fn.is_discrete),
    )
    local = _local_latents(model, base, {n: latent[n]["value"] for n in latents}, args, kwargs)
    found = replace(base, local=local)
    return replace(found, switchable=_switchable(model, found, values, args, kwargs))


def _observed_site(samples: Mapping[str, Any], observed: str | None, name: str) -> str:
    if observed is not None:
        require(
            is_one_of(observed, samples),
            "observed",
            observed,
            f"a sample site of the model, one of {', '.join(samples)}",
        )
        return observed
    given = [n for n, s in samples.items() if s["is_observed"]]
    if len(given) > 1:
        raise InvalidInput(
            f"model = {name}: expected one site of X, found {', '.join(given)}; join them into one site, or say "
            f"which is X, as in observed={given[0]!r}"
        )
    return given[0] if given else list(samples)[-1]


def _support(fn: Any, site: str) -> tuple[int | float, ...]:
    try:
        values = np.asarray(fn.enumerate_support(expand=False)).reshape(-1)
    except NotImplementedError as error:
        raise InvalidInput(
            f"site = {site!r}: expected finitely many values; {type(fn).__name__} cannot be enumerated"
        ) from error
    require(values.size >= 2, f"the values of site {site!r}", values.tolist(), "at least two sub-populations")
    return tuple(v.item() for v in values)


def conditioned(
    model: Model,
    sites: Sites,
    theta: Any,
    values: Mapping[str, Any],
    key: Array,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Array, Any]:
    """Run the model given theta and the parameters.

    Args:
        model: the model.
        sites: its structure.
        theta: a value of the discrete site, possibly traced if ``sites.switchable``.
        values: parameters; those missing are drawn from their prior with ``key``.
        key: typed key.
        args: the model's arguments.
        kwargs: the model's keyword arguments.

    Returns:
        ``log P(theta | parameters)`` and the law of ``X`` given both (batch axes made part of the event).

    """
    fixed = {**values, sites.site: theta, sites.observed: sites.dummy()}
    with handlers.block():
        seeded = handlers.seed(handlers.substitute(model, data=fixed), key)
        trace = handlers.trace(seeded).get_trace(*args, **kwargs)
    fn = trace[sites.observed]["fn"]
    return trace[sites.site]["fn"].log_prob(theta), fn.to_event(len(fn.batch_shape))


def _local_latents(
    model: Model, sites: Sites, values: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[str, ...]:
    """Latent sites whose density at one value changes with theta."""
    if not sites.latents:
        return ()

    def densities(theta: Any) -> dict[str, np.ndarray]:
        fixed = {**values, sites.site: theta, sites.observed: sites.dummy()}
        with handlers.block():
            seeded = handlers.seed(handlers.substitute(model, data=fixed), jax.random.key(0))
            trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        return {n: np.array(trace[n]["fn"].log_prob(values[n]), copy=True) for n in sites.latents if n in trace}

    tables = [densities(v) for v in sites.support_array[:16]]
    first = tables[0]
    return tuple(
        n for n in sites.latents if any(n not in t or n not in first or np.any(t[n] != first[n]) for t in tables)
    )


def _switchable(
    model: Model, sites: Sites, values: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    def run(theta: Array, key: Array) -> tuple[Array, Array]:
        log_w, fn = conditioned(model, sites, theta, values, key, args, kwargs)
        return log_w, fn.log_prob(sites.dummy())

    try:
        jax.eval_shape(run, sites.support_array[0], jax.random.key(0))
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        return False
    return True


# --------------------------------------------------------------------------------------------
# Laws of X that have exact marginals
# --------------------------------------------------------------------------------------------


def _bare(fn: Any) -> Any:
    """The law below ``to_event`` and ``expand``."""
    while isinstance(fn, (dist.Independent, dist.ExpandedDistribution)):
        fn = fn.base_dist
    return fn


def is_gaussian(fn: Any) -> bool:
    """Whether a law of ``X`` is a Gaussian or a finite mixture of them, by its type."""
    bare = _bare(fn)
    if isinstance(bare, dist.MixtureSameFamily):
        return fn is bare and is_gaussian(bare.component_distribution) and len(fn.event_shape) <= 1
    if isinstance(bare, (dist.MultivariateNormal, dist.LowRankMultivariateNormal)):
        return len(fn.event_shape) == 1
    return isinstance(bare, dist.Normal)


def gaussian_terms(fn: Any) -> tuple[Array, Array, Array]:
    """Return log weights ``[M]``, means ``[M, d]`` and variances ``[M, d]`` or covariances ``[M, d, d]``."""
    if isinstance(fn, dist.MixtureSameFamily):
        parts, mixing = fn.component_distribution, cast(Any, fn.mixing_distribution)
        log_w = jax.nn.log_softmax(jnp.log(mixing.probs))
        count = log_w.shape[0]
    else:
        parts, log_w, count = fn, jnp.zeros((1,)), 1
    means = jnp.reshape(parts.mean, (count, -1))
    bare: Any = _bare(parts)
    if isinstance(bare, (dist.MultivariateNormal, dist.LowRankMultivariateNormal)):
        d = means.shape[1]
        return log_w, means, jnp.broadcast_to(cast(Any, bare).covariance_matrix, (count, d, d)).reshape(count, d, d)
    return log_w, means, jnp.reshape(jnp.broadcast_to(parts.variance, parts.mean.shape), (count, -1))


def letters(fn: Any) -> int:
    """Number of letters ``0 .. q - 1`` of each coordinate where ``X`` has independent finite coordinates; else 0."""
    inner = fn.base_dist if isinstance(fn, dist.Independent) else fn
    if inner.event_shape != () or not inner.is_discrete or not inner.has_enumerate_support:
        return 0
    try:
        values = np.asarray(_bare(inner).enumerate_support(expand=False)).reshape(-1)
    except (NotImplementedError, jax.errors.JAXTypeError):
        return 0
    return int(values.size) if np.array_equal(values, np.arange(values.size)) else 0


def letter_log_probs(fn: Any, count: int) -> Array:
    """Return ``log P(X_l = c)`` as ``[L, q]`` for a law with independent finite coordinates."""
    inner = fn.base_dist if isinstance(fn, dist.Independent) else fn
    shape = fn.event_shape
    table = [inner.log_prob(jnp.full(shape, c, jnp.int32)) for c in range(count)]
    return jnp.stack([jnp.broadcast_to(row, shape).reshape(-1) for row in table], -1)


def outcomes(count: int, length: int) -> np.ndarray:
    """All points of ``{0 .. q - 1}^L``, int32 ``[q^L, L]``."""
    return np.asarray(list(itertools.product(range(count), repeat=length)), np.int32).reshape(-1, length)


def describe(values: Mapping[str, Any]) -> str:
    """Names of parameters as text."""
    return shown(", ".join(values), 60).strip("'")
