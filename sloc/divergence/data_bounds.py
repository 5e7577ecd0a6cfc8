"""Bounds on total variation where no density is known: from data, a known channel, and a trained classifier."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Sets, check_registered, component_mask, require
from sloc.contracts.arguments import as_floats, checked_key, checked_level
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.curves import tv_curve
from sloc.engine.binomial import clopper_pearson
from sloc.engine.plan import Plan
from sloc.populations import Empirical
from sloc.results.curve import Curve

Array = jax.Array


def tv_lower_bound(
    key: Array,
    process: ObservationProcess,
    posterior: Any,
    held_out: Empirical,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    delta: float = 0.05,
) -> Curve:
    """Certified lower bound on ``TV(p_t^a, p_t^b)`` from a classifier and data that it was not trained on.

    ``TV >= P_a(A_t) - P_b(A_t)`` for any event; ``A_t`` is where the classifier holds ``a`` for likelier than ``b``.
    Each held-out example is noised once a time, so that the two frequencies are binomial and Clopper and Pearson's
    limits are exact; Bonferroni over times, then the running maximum from the noisiest time down, since TV never
    increases.  With probability ``>= 1 - delta`` it holds at all times, for the law of the data and not only for the
    examples, however bad the classifier is.  It is no estimate: the classifier's own ``|2 pi - 1|`` would be neither.

    Args:
        key: typed PRNG key.
        process: the observation process.
        posterior: ``(y, t) -> [K]``, log probabilities or logits of the sub-populations, trained on other examples;
            such as :func:`sloc.nn.as_posterior` returns.
        held_out: independent examples with their labels; within ``a`` and ``b`` classes weigh what they weigh there.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        delta: error level.

    Returns:
        A curve whose value and lower band are the bound and whose upper band is 1.

    Raises:
        InvalidInput: what the classes refuse; a level outside (0, 1); a posterior of another shape, or NaN (names the
            time).

    Source: Clopper & Pearson 1934 for the limits.

    """
    checked_key(key)
    require(isinstance(held_out, Empirical), "held_out", held_out, "an Empirical population of held-out examples")
    checked_level(delta, "delta")
    require(callable(posterior), "posterior", posterior, "a function (y, t) -> [K] log probabilities or logits")
    check_registered(process, "process", ObservationProcess)
    held_out.validate()
    process.validate()
    mask_a, mask_b = component_mask(held_out, a, "a"), component_mask(held_out, b, "b")
    grid = _increasing(times)
    x, labels = _examples(held_out)
    k = held_out.num_components
    function = posterior if isinstance(posterior, jax.tree_util.Partial) else jax.tree_util.Partial(posterior)
    # The classifier's prior is taken to be the examples': by Bayes the event is then one of likelihoods.
    share = np.bincount(labels, minlength=k) / labels.size
    offset = float(np.log(share[mask_a].sum()) - np.log(share[mask_b].sum()))
    masks = jnp.asarray(np.stack([mask_a, mask_b]))
    noise = jnp.asarray(grid, np.int32 if process.discrete else jnp.result_type(float))
    margin = np.asarray(_margins(process.canonical(), function, masks, x, key, noise))
    for t, row in zip(grid, margin, strict=True):
        require(not np.isnan(row).any(), f"posterior(y, {t:g})", "NaN", "log probabilities")
    chosen = margin > offset
    level = delta / grid.size
    in_a, in_b = mask_a[labels], mask_b[labels]
    low, _ = clopper_pearson(chosen[:, in_a].sum(axis=1), int(in_a.sum()), level)
    _, high = clopper_pearson(chosen[:, in_b].sum(axis=1), int(in_b.sum()), level)
    bound = np.maximum.accumulate(np.maximum(low - high, 0.0)[::-1])[::-1]
    method = "a certified lower bound: a classifier on held-out data, Clopper–Pearson"
    one, none = np.ones_like(bound), np.zeros_like(bound)
    return Curve(
        grid,
        bound,
        none,
        bound,
        one,
        labels.size,
        method,
        "TV, lower bound",
        delta=float(delta),
        time_axis=process.time_axis,
    )


def tv_upper_bound(
    key: Array,
    process: ObservationProcess,
    data: Empirical,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    delta: float = 0.05,
    plan: Plan | None = None,
) -> Curve:
    """Certified upper bound on ``TV(p_t^a, p_t^b)`` from examples alone, under a known channel.

    By convexity ``TV(p_t^a, p_t^b) <= E TV(q_t^a, q_t^b)``, ``q`` the noised mixtures of the examples; and one example
    moves ``TV(q^a, q^b)`` by at most the difference of its weights in the two, so by McDiarmid's inequality it lies
    within ``sqrt(log(T / delta') / 2 sum_theta (w^a_theta - w^b_theta)^2 / n_theta)`` of its mean.  Half of ``delta``
    goes there, half to the draws that ``TV(q^a, q^b)`` is measured with.  Weights of the classes are taken as known.
    With probability ``>= 1 - delta`` it holds at all times, for the law of the data.

    Args:
        key: typed PRNG key.
        process: the observation process, a known channel.
        data: independent examples with their labels.
        times: ``[T]``, strictly increasing.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: draws, as of :func:`sloc.tv_curve`.
        delta: error level.
        plan: devices, checkpoints, progress (:class:`sloc.Plan`).

    Returns:
        A curve whose value and upper band are the bound and whose lower band is 0.

    Raises:
        InvalidInput: what :func:`sloc.tv_curve` refuses.

    Source: McDiarmid 1989.

    """
    require(isinstance(data, Empirical), "data", data, "an Empirical population of examples")
    checked_level(delta, "delta")
    measured = tv_curve(key, process, data, times, a, b, n=n, delta=delta / 2, plan=plan)
    weights = host_weights(data)
    counts = np.bincount(_examples(data)[1], minlength=data.num_components)
    shares = [weights * component_mask(data, s, name) for s, name in ((a, "a"), (b, "b"))]
    gap = shares[0] / shares[0].sum() - shares[1] / shares[1].sum()
    grid = np.asarray(measured.times, np.float64)
    slack = float(np.sqrt(0.5 * np.log(2 * grid.size / delta) * np.sum(gap**2 / counts)))
    bound = np.minimum.accumulate(np.minimum(np.asarray(measured.upper, np.float64) + slack, 1.0))
    method = f"a certified upper bound: TV of the noised examples + {slack:.3g} (McDiarmid)"
    none = np.zeros_like(bound)
    return Curve(
        grid,
        bound,
        none,
        none,
        bound,
        int(measured.n),
        method,
        "TV, upper bound",
        delta=float(delta),
        time_axis=process.time_axis,
    )


def _examples(data: Empirical) -> tuple[Any, np.ndarray]:
    """Return the examples and their labels ``0 .. K - 1``, sorted by label."""
    counts = np.asarray(data.counts)
    return jax.tree.map(jnp.asarray, data.canonical().data), np.repeat(np.arange(counts.size), counts)


def _increasing(times: Any) -> np.ndarray:
    grid = as_floats(times, "times")
    good = grid.ndim == 1 and grid.size > 0 and bool((np.isfinite(grid) & (grid >= 0)).all())
    require(good and bool((np.diff(grid) > 0).all()), "times", times, "finite times, not negative, strictly increasing")
    return grid


@jax.jit
def _margins(process: Any, function: Any, masks: Array, x: Any, key: Array, times: Array) -> Array:
    """Return ``log pi(a) - log pi(b)`` at each time of each example, noised once: ``[T, N]``."""
    keys = jax.random.split(key, jax.tree.leaves(x)[0].shape[0])

    def at(t: Array) -> Array:
        def one(key: Array, x: Any) -> Array:
            logs = function(process.sample(key, x, t), t)
            require(jnp.shape(logs) == masks.shape[1:], "posterior(y, t)", jnp.shape(logs), f"shape {masks.shape[1:]}")
            both = jax.nn.logsumexp(jnp.where(masks, logs[None, :], -jnp.inf), axis=1)
            return both[0] - both[1]

        return jax.vmap(one)(keys, x)

    return jax.lax.map(at, times)
