"""Posterior of theta, weights and parameters given data: NUTS or a variational guide, theta summed out exactly."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO, init_to_median
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from sloc.bayes.gates import ChainDiagnostics, LabelSwitching, check_chains, check_gates, diagnose
from sloc.bayes.labels import labelled_sites, permute, relabelling, switching
from sloc.bayes.marginal import evaluator, marginal_model
from sloc.bayes.mixtures import GaussianMixtureModel
from sloc.bayes.posterior_draws import MixturePosterior
from sloc.bayes.sites import Model, Sites, find_sites
from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_array, as_whole, checked_level, checked_names, checked_whole, is_one_of
from sloc.contracts.extras import need
from sloc.divergence.checks import checked_count, checked_key

Array = jax.Array


@functools.lru_cache(maxsize=8)
def _machinery(model: Model, sites: Sites, args: Any, kwargs: Any, settings: tuple[Any, ...]) -> tuple[Any, Any]:
    """The sampler and the evaluator of its draws; kept, so that data of one shape compile once."""
    run = marginal_model(model, sites, args, dict(kwargs))
    warmup, draws, chains, accept, depth = settings

    @jax.jit
    def sample(key: Array, call: tuple[Any, ...], starts: Any) -> tuple[Any, Any]:
        # The whole run is one program: initialisation outside of it would compile anew at every fit.
        given: dict[str, Any] = {"target_accept_prob": accept, "max_tree_depth": depth}
        if starts is None:
            kernel = NUTS(run, init_strategy=init_to_median(num_samples=15), **given)
        else:
            # Starts are at hand, so the search for valid ones need not be compiled.
            kernel = NUTS(potential_fn=lambda free: potential_energy(run, call, {}, free), **given)
        mcmc = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        extra_fields = ("diverging", "num_steps", "energy")
        if starts is None:
            mcmc.run(key, *call, extra_fields=extra_fields)
            found = mcmc.get_samples(group_by_chain=True)
        else:
            mcmc.run(key, init_params=starts, extra_fields=extra_fields)
            free = mcmc.get_samples(group_by_chain=True)
            found = jax.vmap(jax.vmap(lambda one: constrain_fn(run, call, {}, one)))(free)
        return found, mcmc.get_extra_fields(group_by_chain=True)

    return sample, evaluator(run, model, sites, args, dict(kwargs))


def fit(
    key: Array,
    model: Model | GaussianMixtureModel,
    data: Any,
    *,
    labels: Any = None,
    method: Literal["nuts", "svi"] = "nuts",
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    site: str | None = None,
    observed: str | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    names: Sequence[str] = (),
    relabel: bool = True,
    max_r_hat: float = 1.05,
    min_ess: float = 100.0,
    max_shift: float = 0.5,
    max_divergences: float = 0.05,
    target_accept: float = 0.8,
    max_tree_depth: int = 8,
    steps: int = 3000,
    optimizer: Any = None,
) -> MixturePosterior:
    """Posterior of the parameters and of every point's theta, given independent data points.

    ``p(phi | x_1..n) ~ p(phi) prod_i sum_theta P(theta | phi) p(x_i | theta, phi)``; theta is summed out exactly, by
    chains of NUTS side by side or by one full-rank Gaussian guide for each chain, fitted from starts of their own
    with an Optax optimizer.  Where the model treats sub-populations alike, labels are put in one order (Stephens
    2000; by the means in one dimension).  Chains that then disagree are refused.

    Args:
        key: typed PRNG key.
        model: a :class:`GaussianMixtureModel`, or a NumPyro model of one ``X`` with a discrete latent site.
        data: ``[N, ...]``, one ``X`` each.
        labels: ``[N]`` ints, positions in the support of theta, where they are known; else None.
        method: ``nuts`` or ``svi``.
        chains: chains, or independent variational fits; at least 2.
        warmup: warm-up transitions of each chain.
        draws: draws kept of each chain.
        site: name of the discrete site, where there are several.
        observed: name of the site of ``X``.
        args: arguments of the model (hashable).
        kwargs: keyword arguments of the model (hashable).
        names: ``K`` names of sub-populations.
        relabel: whether to put labels in one order; without it, switching is refused.
        max_r_hat: gate on the rank-normalised split R-hat of every parameter and of the log density.
        min_ess: gate on the effective sample size over all chains.
        max_shift: gate on the distance of a chain's mean from that of all, in standard deviations within chains.
        max_divergences: gate on the share of divergent transitions in any chain.
        target_accept: NUTS's target.
        max_tree_depth: NUTS's limit.
        steps: optimisation steps of each variational fit.
        optimizer: an Optax gradient transformation; default Adam with a decaying rate.

    Returns:
        The posterior.

    Raises:
        InvalidInput: data or settings out of range, a model without a discrete site or with several.
        ChainsDisagree: the chains disagree; carries the diagnostics.
        LabelSwitching: labels switch and ``relabel`` is off.

    Source: Stephens 2000; Vehtari et al. 2021; Hoffman & Gelman 2014.

    """
    key = checked_key(key)
    require(is_one_of(method, ("nuts", "svi")), "method", method, "'nuts' or 'svi'")
    chains, draws = checked_count(chains, "chains"), checked_count(draws, "draws")
    require(as_whole(draws) >= 8, "draws", draws, "at least 8, or nothing can be said about a chain")
    warmup, steps = checked_whole(warmup, "warmup", 0), checked_whole(steps, "steps")
    max_tree_depth = checked_whole(max_tree_depth, "max_tree_depth")
    target_accept = checked_level(target_accept, "target_accept")
    gates = dict(max_r_hat=max_r_hat, min_ess=min_ess, max_shift=max_shift, max_divergences=max_divergences)
    check_gates(**gates)
    array = np.asarray(as_array(data, "data"))
    require(array.ndim >= 1 and len(array) >= 2, "data", array.shape, "at least two points, one a row")
    require(array.dtype.kind in "biuf", "data", array.dtype, "numbers")
    require(bool(np.isfinite(array).all()), "data", array, "finite numbers")
    named = model if isinstance(model, GaussianMixtureModel) else None
    if named is not None:
        require(array.ndim == 2, "data", array.shape, "shape (N, d), one point a row")
        model = named = named.scaled_to(np.asarray(array, np.float64))
    arguments, keywords = tuple(args), tuple(sorted((kwargs or {}).items()))
    sites = find_sites(model, site, observed, arguments, dict(keywords), {})
    _refuse_unfit(model, sites, array)
    values = jnp.asarray(array, jnp.int32 if sites.discrete else jnp.result_type(float))
    k = len(sites.support)
    known = _checked_labels(labels, len(array), k)
    names = checked_names(names, "names")
    require(len(names) in (0, k), "names", tuple(names), f"{k} names, one for each sub-population")

    key_start, key_run = jax.random.split(key)
    settings = (warmup, draws, chains, target_accept, max_tree_depth)
    try:
        sample, evaluate = _machinery(model, sites, arguments, keywords, settings)
    except TypeError as error:
        raise InvalidInput(f"args = {arguments}, kwargs = {keywords}: expected hashable values") from error
    run = marginal_model(model, sites, arguments, dict(keywords))
    call = (values,) if known is None else (values, known)
    starts = None
    if named is not None:
        seed = int(jax.random.randint(key_start, (), 0, 2**31 - 1))
        rng = np.random.default_rng(seed)
        host = None if known is None else np.asarray(known)
        each = [named.start(np.asarray(array, np.float64), host, rng) for _ in range(chains)]
        free = [unconstrain_fn(run, call, {}, e) for e in each]
        # A little noise, so that chains started from one solution do not start from one point.
        starts = jax.tree.map(lambda *v: jnp.stack(v), *free)
        noise = {
            n: jax.random.normal(jax.random.fold_in(key_start, i), v.shape)
            for i, (n, v) in enumerate(sorted(starts.items()))
        }
        starts = {n: v + 0.05 * noise[n] for n, v in starts.items()}
    if method == "nuts":
        found, stats = sample(key_run, call, starts)
        extra = {n: np.asarray(v) for n, v in stats.items()}
    else:
        found, extra = _variational(key_run, run, call, starts, chains, draws, steps, optimizer), {}
    samples = {n: np.asarray(found[n]) for n in sites.latents}
    return _settle(
        samples,
        extra,
        evaluate,
        sites,
        model,
        values,
        known,
        chains,
        arguments,
        dict(keywords),
        tuple(names),
        method,
        relabel,
        named,
        gates,
    )


def _refuse_unfit(model: Any, sites: Sites, array: np.ndarray) -> None:
    name = getattr(model, "__name__", type(model).__name__)
    require(array.shape[1:] == sites.shape, "data", array.shape, f"shape (N, {', '.join(map(str, sites.shape))})")
    require(bool(sites.latents), "model", name, "a model with parameters to fit")
    require(
        not sites.discrete_latents,
        "model",
        name,
        f"no discrete parameters beside {sites.site!r}; found {', '.join(sites.discrete_latents)}",
    )
    require(
        not sites.local,
        "model",
        name,
        f"parameters shared by all data points; {', '.join(sites.local)} depends on {sites.site!r}",
    )


def _checked_labels(labels: Any, count: int, k: int) -> Array | None:
    if labels is None:
        return None
    array = np.asarray(as_array(labels, "labels"))
    require(array.shape == (count,) and array.dtype.kind in "iu", "labels", array.shape, f"{count} ints")
    require(bool(((array >= 0) & (array < k)).all()), "labels", array, f"ints from 0 to {k - 1}")
    return jnp.asarray(array, jnp.int32)


def _variational(
    key: Array, run: Any, call: tuple[Any, ...], starts: Any, chains: int, draws: int, steps: int, optimizer: Any
) -> dict[str, Array]:
    """Full-rank Gaussian guides fitted from starts of their own; ``[chains, draws, ...]``."""
    optax = need("bayes", "optax", "a variational fit")
    if optimizer is None:
        optimizer = optax.adam(optax.cosine_decay_schedule(0.02, int(steps)))
    found = []
    for c in range(chains):
        key_fit, key_draw = jax.random.split(jax.random.fold_in(key, c))
        strategy: Any = init_to_median(num_samples=15)
        if starts is not None:
            from numpyro.infer import init_to_value

            one = constrain_fn(run, call, {}, {n: v[c] for n, v in starts.items()})
            strategy = init_to_value(values=one)
        guide = AutoMultivariateNormal(run, init_loc_fn=strategy, init_scale=0.05)
        svi = SVI(run, guide, optimizer, Trace_ELBO(num_particles=4))
        result = svi.run(key_fit, int(steps), *call, progress_bar=False)
        found.append(guide.sample_posterior(key_draw, result.params, *call, sample_shape=(draws,)))
    return jax.tree.map(lambda *v: jnp.stack(v), *found)


def _settle(
    samples: dict[str, np.ndarray],
    extra: dict[str, np.ndarray],
    evaluate: Any,
    sites: Sites,
    model: Any,
    values: Array,
    known: Array | None,
    chains: int,
    args: Any,
    kwargs: Any,
    names: tuple[str, ...],
    method: str,
    relabel: bool,
    named: GaussianMixtureModel | None,
    gates: dict[str, float],
) -> MixturePosterior:
    """Put labels in order, pass the gates, and keep what the result needs."""
    draws, k = next(iter(samples.values())).shape[1], len(sites.support)
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in samples.items()}
    prior, joint = (np.asarray(v) for v in evaluate(flat, values))
    top = joint.max(axis=2, keepdims=True)
    each = (np.log(np.exp(joint - top).sum(axis=2, keepdims=True)) + top)[..., 0]
    members = joint - each[..., None]
    if known is not None:
        each = np.take_along_axis(joint, np.asarray(known)[None, :, None], axis=2)[..., 0]
    score = prior + each.sum(axis=1)
    between, within, ordered = 0, 0.0, False
    if known is None:

        def log_joint(one: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
            p, j = evaluate({n: np.asarray(v)[None] for n, v in one.items()}, values)
            return np.asarray(p)[0], np.asarray(j)[0]

        perms = relabelling(members, score)
        if named is not None and values.shape[1] == 1:
            # In one dimension the order of the means is the label.
            perms = np.argsort(flat["means"][:, :, 0], axis=1)
        between, within = switching(perms, chains)
        switched = between > 0 or within > 0
        carriers = labelled_sites(flat, k, log_joint) if switched or named is not None else ()
        if carriers and relabel:
            flat = permute(flat, carriers, perms)
            joint = np.take_along_axis(joint, perms[:, None, :], axis=2)
            ordered = True
        elif carriers and switched:
            shaped = {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in flat.items()}
            found = _diagnosed(shaped, score, extra, chains, between, within, False)
            raise LabelSwitching(
                f"labels switch in {', '.join(carriers)}: {between} chains and {within:.1%} of draws name the "
                "sub-populations in another order; fit with relabel=True",
                found,
                shaped,
            )
    shaped = {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in flat.items()}
    diagnostics = _diagnosed(shaped, score, extra, chains, between, within, ordered)
    check_chains(shaped, diagnostics, **gates)
    return MixturePosterior(
        samples=shaped,
        log_likelihood=each.reshape(chains, draws, -1),
        log_density=score.reshape(chains, draws),
        theta_log_probs=(joint - np.logaddexp.reduce(joint, axis=2, keepdims=True)).reshape(chains, draws, -1, k),
        sample_stats=extra,
        data=np.asarray(values),
        labels=None if known is None else np.asarray(known),
        model=model,
        site=sites.site,
        observed=sites.observed,
        args=args,
        kwargs=kwargs,
        names=names or tuple(str(v) for v in sites.support),
        method="NUTS, theta summed out" if method == "nuts" else "variational, full-rank Gaussian, theta summed out",
        diagnostics=diagnostics,
    )


def _diagnosed(
    shaped: Mapping[str, np.ndarray],
    score: np.ndarray,
    extra: Mapping[str, np.ndarray],
    chains: int,
    between: int,
    within: float,
    ordered: bool,
) -> ChainDiagnostics:
    return diagnose(
        {**shaped, "log density": score.reshape(chains, -1)},
        extra.get("diverging"),
        switched_between=between,
        switched_within=within,
        relabelled=ordered,
    )
