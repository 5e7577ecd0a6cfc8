"""Checks of law of a process: likelihood against sampler, forward kernel, bridge."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array
from sloc.testing.conformance import Trials, expect, row
from sloc.testing.features import (
    coordinates,
    joint_summaries,
    probability_functions,
    residual_scores,
    standardize,
    summaries,
)
from sloc.testing.pvalues import calibration_p_values, same_law
from sloc.testing.times import time_pairs

_MOST_INPUTS = 4


def _count(tree: Any) -> int:
    return min(int(jax.tree.leaves(tree)[0].shape[0]), _MOST_INPUTS)


def _labelled(process: Any, keys: Array, xs: Any, pair: Array, t: Array) -> tuple[Array, Any, Array]:
    """Draw a fair label per key, ``Y_t`` from that input of the pair, and both log-likelihoods ``[N, 2]``."""

    def draw(key: Array) -> tuple[Array, Any, Array]:
        k_label, k_y = jax.random.split(key)
        label = jax.random.bernoulli(k_label).astype(jnp.int32)
        y = process.sample(k_y, row(xs, pair[label]), t)
        return label, y, jnp.stack([process.log_prob(y, row(xs, pair[i]), t) for i in range(2)])

    return jax.vmap(draw)(keys)


def check_likelihood(trials: Trials, key: Array) -> None:
    """Check that ``log_prob`` tells which input a draw came from, as well calibrated as Bayes' rule.

    ``Y_t`` is drawn from ``x0`` or ``x1`` with probability 1/2 each; then ``P(x1 | Y_t) =
    sigma(log_prob(y, x1) - log_prob(y, x0))`` must be calibrated against functions of itself and of
    ``y``.  A factor common to all ``x`` (the normalisation) cancels here, as in every posterior; see
    ``check_density``.

    Raises:
        ConformanceError: a log-likelihood is not finite for the input a draw came from, or miscalibrated.

    """
    process, xs, times, draws, level, report = trials
    name = type(process).__name__
    pairs = [(i, (i + 1) % _count(xs)) for i in range(_count(xs))]
    pairs = pairs[:1] if len(pairs) == 2 else pairs
    draw, smallest = jax.jit(_labelled), 1.0
    for i, t in enumerate(times):
        for j, pair in enumerate(pairs):
            keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, i), j), draws)
            label, y, log_probs = draw(process, keys, xs, jnp.asarray(pair, jnp.int32), jnp.asarray(t))
            label, log_probs = np.asarray(label), np.asarray(log_probs, np.float64)
            own = log_probs[np.arange(draws), label]
            expect(
                np.all(np.isfinite(own)),
                f"{name}.log_prob at t = {t:g} is {own[~np.isfinite(own)][:1]} for a draw of sample(key, x, t) "
                "itself: it must be finite there",
            )
            expect(
                not np.any(np.isnan(log_probs) | (log_probs == np.inf)),
                f"{name}.log_prob at t = {t:g} is NaN or +inf for a draw that came from another input",
            )
            log_odds = log_probs[:, 1] - log_probs[:, 0]
            residual = label - 0.5 * (1.0 + np.tanh(0.5 * log_odds))
            (columns,) = standardize(coordinates(y))
            half = draws // 2
            functions = np.concatenate(
                [
                    probability_functions(log_odds[half:]),
                    np.tanh(summaries(columns)[half:]),
                    residual_scores(columns, residual),
                ],
                axis=1,
            )
            p = calibration_p_values(label[half:], log_odds[half:], functions)
            p = float(p.min()) * functions.shape[1] * len(times) * len(pairs)
            smallest = min(smallest, p)
            expect(
                p >= level,
                f"{name}.log_prob is not consistent with sample at t = {t:g} (inputs {pair[0]} and "
                f"{pair[1]}: the posterior it gives is not calibrated): p = {p:.2g}",
            )
    report.checked.append("log_prob: scalar, finite on own draws, posterior of the input calibrated")
    report.p_values["log_prob against sample"] = min(1.0, smallest)


def _log_probs(process: Any, y: Any, xs: Any, t: Array) -> Array:
    return jnp.stack([process.log_prob(y, row(xs, i), t) for i in range(_count(xs))])


def _compare(first: np.ndarray, second: np.ndarray) -> tuple[float, str]:
    """Return the smallest corrected p-value over the columns of two ``[N, F]`` feature matrices, and where."""
    p, seen = min((same_law(first[:, i], second[:, i]) for i in range(first.shape[1])), default=(1.0, ""))
    return p * max(first.shape[1], 1), seen


def _sampled_and_degraded(process: Any, keys: Array, x: Any, xs: Any, s: Array, t: Array, with_log_prob: bool) -> Any:
    """Draw ``Y_t`` at once and by way of ``Y_s``, each with its log-likelihoods under the inputs."""

    def both(key: Array) -> Any:
        k1, k2, k3 = jax.random.split(key, 3)
        ys = (process.sample(k1, x, t), process.degrade(k2, process.sample(k3, x, s), s, t))
        return tuple((y, _log_probs(process, y, xs, t) if with_log_prob else jnp.zeros(1)) for y in ys)

    return jax.vmap(both)(keys)


def check_degrade(trials: Trials, key: Array, with_log_prob: bool) -> None:
    """Check that ``degrade(s -> t)`` after ``sample(s)`` has the law of ``sample(t)``, for each input.

    Raises:
        ConformanceError: it has not.

    """
    process, xs, times, draws, level, report = trials
    name, pairs = type(process).__name__, time_pairs(times)
    draw, smallest = jax.jit(_sampled_and_degraded, static_argnums=6), 1.0
    for i, (s, t) in enumerate(pairs):
        for j in range(_count(xs)):
            keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, i), j), draws)
            direct, via = draw(process, keys, row(xs, j), xs, jnp.asarray(s), jnp.asarray(t), with_log_prob)
            columns = standardize(coordinates(direct[0]), coordinates(via[0]))
            expect(not np.isnan(columns[1]).any(), f"{name}.degrade({s:g} -> {t:g}) gives NaN")
            likelihoods = [np.asarray(part[1], np.float64) for part in (direct, via)]
            expect(not np.isnan(likelihoods[1]).any(), f"{name}.log_prob of a draw of degrade({s:g} -> {t:g}) is NaN")
            first, second = (np.concatenate([summaries(c), v], 1) for c, v in zip(columns, likelihoods, strict=True))
            p, seen = _compare(first, second)
            p *= len(pairs) * _count(xs)
            smallest = min(smallest, p)
            expect(
                p >= level,
                f"{name}.degrade({s:g} -> {t:g}) is not consistent with sample({t:g}): p = {p:.2g} ({seen})",
            )
    report.checked.append("degrade: the law of sample at the later time")
    report.p_values["degrade against sample"] = min(1.0, smallest)


def _forward_and_backward(process: Any, keys: Array, x: Any, s: Array, t: Array, with_degrade: bool) -> Any:
    """Draw ``(Y_s, Y_t)`` forwards by ``degrade`` and backwards by ``bridge``."""

    def both(key: Array) -> Any:
        k1, k2, k3, k4 = jax.random.split(key, 4)
        early = process.sample(k1, x, s)
        late = process.degrade(k2, early, s, t) if with_degrade else process.sample(k2, x, t)
        end = process.sample(k3, x, t)
        return (early, late), (process.bridge(k4, end, x, s, t), end)

    return jax.vmap(both)(keys)


def check_bridge(trials: Trials, key: Array, with_degrade: bool) -> None:
    """Check that ``bridge`` after ``sample(t)`` gives the joint law of ``(Y_s, Y_t)``.

    The joint law is that of ``sample(s)`` followed by ``degrade(s -> t)``.  Without ``degrade`` only the
    law of ``Y_s`` is compared.

    Raises:
        ConformanceError: it does not.

    """
    process, xs, times, draws, level, report = trials
    name, pairs = type(process).__name__, time_pairs(times)
    draw, smallest = jax.jit(_forward_and_backward, static_argnums=5), 1.0
    for i, (s, t) in enumerate(pairs):
        for j in range(_count(xs)):
            keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, i), j), draws)
            forward, backward = draw(process, keys, row(xs, j), jnp.asarray(s), jnp.asarray(t), with_degrade)
            early = standardize(coordinates(forward[0]), coordinates(backward[0]))
            late = standardize(coordinates(forward[1]), coordinates(backward[1]))
            expect(not np.isnan(early[1]).any(), f"{name}.bridge({s:g} <- {t:g}) gives NaN")
            if with_degrade:
                p, seen = _compare(*(joint_summaries(a, b) for a, b in zip(early, late, strict=True)))
            else:
                p, seen = _compare(summaries(early[0]), summaries(early[1]))
            p *= len(pairs) * _count(xs)
            smallest = min(smallest, p)
            against = f"sample({s:g}) followed by degrade" if with_degrade else f"sample({s:g})"
            expect(
                p >= level,
                f"{name}.bridge({s:g} <- {t:g}) is not consistent with {against}: p = {p:.2g} ({seen})",
            )
    report.checked.append(f"bridge: the {'joint law of degrade' if with_degrade else 'law of sample'}")
    report.p_values["bridge against degrade" if with_degrade else "bridge against sample"] = min(1.0, smallest)
