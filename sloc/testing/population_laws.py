"""Checks of law of a population under a process: posteriors, path shortcuts, posterior draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, Marginals, ObservationProcess, Population, overrides
from sloc.testing.conformance import ConformanceReport, expect, failing_as
from sloc.testing.features import (
    coordinates,
    joint_summaries,
    probability_functions,
    residual_scores,
    standardize,
    summaries,
)
from sloc.testing.pvalues import calibration_p_values, same_law
from sloc.testing.structure import describe_difference, spec

_MOST_COMPONENTS = 8
_MOST_PATH_TIMES = 5


def _shown_components(k: int) -> np.ndarray:
    return np.unique(np.linspace(0, k - 1, _MOST_COMPONENTS).astype(int))


def log_odds(log_marginals: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """Return ``log pi_k - log(1 - pi_k)`` for every component, float64, ``[N, K]``; saturates at infinity."""
    joint = np.asarray(log_marginals, np.float64) + np.asarray(log_weights, np.float64)
    joint = joint - joint.max(axis=1, keepdims=True)
    mass = np.exp(joint)
    total = mass.sum(axis=1, keepdims=True)
    top = joint.argmax(axis=1)
    # The rest is summed without the largest term, not by subtracting it: no cancellation.
    without = mass.copy()
    without[np.arange(len(top)), top] = 0.0
    rest = total - mass
    rest[np.arange(len(top)), top] = without.sum(axis=1)
    with np.errstate(divide="ignore"):
        return joint - np.log(rest)


def _draw(process: Any, population: Any, key: Array, t: Array) -> tuple[Array, Any, Any]:
    k_component, k_x, k_y = jax.random.split(key, 3)
    component = jax.random.categorical(k_component, population.log_weights).astype(jnp.int32)
    x = population.sample(k_x, component)
    return component, x, process.sample(k_y, x, t)


def check_posterior(
    population: Population,
    process: ObservationProcess,
    key: Array,
    times: np.ndarray,
    draws: int,
    level: float,
    report: ConformanceReport,
) -> None:
    """Check ``log_marginals`` on the population's own draws: finite, and posteriors calibrated.

    ``theta ~ w``, ``X ~ p^theta``, ``Y_t | X``; then ``pi_k(y) = w_k p_t^k(y) / sum_j w_j p_t^j(y)`` must be
    calibrated for ``1[theta = k]`` against functions of itself and of ``y``.

    Raises:
        ConformanceError: a log-marginal is not finite for the component a draw came from, or miscalibrated.

    """
    name = type(population).__name__

    def run(process: Any, population: Any, keys: Array, t: Array) -> Any:
        def one(key: Array) -> Any:
            component, _, y = _draw(process, population, key, t)
            return component, y, population.log_marginals(process, y, t)

        return jax.vmap(one)(keys)

    draw, smallest = jax.jit(run), 1.0
    for i, t in enumerate(times):
        with failing_as(f"{name}.log_marginals under {type(process).__name__}"):
            component, y, marginals = draw(
                process, population, jax.random.split(jax.random.fold_in(key, i), draws), jnp.asarray(t)
            )
        component, marginals = np.asarray(component), np.asarray(marginals, np.float64)
        own = marginals[np.arange(draws), component]
        expect(
            np.all(np.isfinite(own)),
            f"{name}.log_marginals at t = {t:g} is {own[~np.isfinite(own)][:1]} for the "
            "sub-population a draw came from: it must be finite there",
        )
        expect(
            not np.any(np.isnan(marginals) | (marginals == np.inf)),
            f"{name}.log_marginals at t = {t:g} has NaN or +inf",
        )
        odds = log_odds(marginals, np.asarray(population.log_weights))
        (columns,) = standardize(coordinates(y))
        half, seen = draws // 2, np.tanh(summaries(columns)[draws // 2 :])
        for k in _shown_components(odds.shape[1]):
            label = (component == k).astype(np.float64)
            residual = label - 0.5 * (1.0 + np.tanh(0.5 * odds[:, k]))
            functions = np.concatenate(
                [probability_functions(odds[half:, k]), seen, residual_scores(columns, residual)], axis=1
            )
            p = float(calibration_p_values(label[half:], odds[half:, k], functions).min())
            p *= functions.shape[1] * len(times) * min(odds.shape[1], _MOST_COMPONENTS)
            smallest = min(smallest, p)
            expect(
                p >= level,
                f"{name}.log_marginals under {type(process).__name__} is not consistent with sample at "
                f"t = {t:g}: the posterior of sub-population {k} is not calibrated: p = {p:.2g}",
            )
    report.checked.append("log_marginals: finite on own draws, posteriors calibrated")
    report.p_values["log_marginals against sample"] = min(1.0, smallest)


def _reference_paths(process: Any, population: Any, keys: Array, times: Array) -> Array:
    """Log-marginals along explicitly sampled observations, ``[N, T, K]``."""

    def one(key: Array) -> Array:
        k_component, k_x, k_y = jax.random.split(key, 3)
        component = jax.random.categorical(k_component, population.log_weights).astype(jnp.int32)
        x = population.sample(k_x, component)
        return jax.vmap(lambda t: population.log_marginals(process, process.sample(k_y, x, t), t))(times)

    return jax.vmap(one)(keys)


def _own_paths(process: Any, population: Any, keys: Array, times: Array) -> Array:
    def one(key: Array) -> Array:
        k_component, k_x, k_path = jax.random.split(key, 3)
        component = jax.random.categorical(k_component, population.log_weights).astype(jnp.int32)
        return population.path_log_marginals(process, k_path, population.sample(k_x, component), times)

    return jax.vmap(one)(keys)


def _batched_paths(entry: Marginals) -> Callable[..., Array]:
    def run(process: Any, population: Any, keys: Array, times: Array) -> Array:
        k_component, k_paths = jax.random.split(keys[0])
        shape = (keys.shape[0],)
        components = jax.random.categorical(k_component, population.log_weights, shape=shape).astype(jnp.int32)
        assert entry.paths_fn is not None
        return jnp.moveaxis(entry.paths_fn(process, population, k_paths, components, times), 2, 0)

    return run


def check_paths(
    population: Population,
    process: ObservationProcess,
    entry: Marginals | None,
    key: Array,
    times: np.ndarray,
    draws: int,
    level: float,
    report: ConformanceReport,
) -> None:
    """Check that every shortcut gives posteriors of the same law as sampling and evaluating time by time.

    ``path_log_marginals`` (overridden or registered), the registered ``paths`` and the registered
    ``reduce`` are compared at a few times, on the log-odds of each sub-population.

    Raises:
        ConformanceError: wrong shape, NaN, or another law.

    """
    name = f"{type(population).__name__} under {type(process).__name__}"
    times = times[np.unique(np.linspace(0, times.size - 1, _MOST_PATH_TIMES).astype(int))]
    steps, k = jnp.asarray(times), population.num_components
    weights = np.asarray(population.log_weights, np.float64)
    k_reference, k_path, k_paths, k_reduce = jax.random.split(key, 4)
    shortcuts: list[tuple[str, Callable[..., Array], Any, Any, Array]] = []
    own_path = overrides(population, Population, "path_log_marginals") or (
        entry is not None and entry.path_fn is not None and not overrides(population, Population, "log_marginals")
    )
    if own_path:
        shortcuts.append(("path_log_marginals", _own_paths, process, population, k_path))
    else:
        report.skipped.append("path_log_marginals: the default is in use")
    if entry is not None and entry.paths_fn is not None:
        shortcuts.append(("registered paths", _batched_paths(entry), process, population, k_paths))
    else:
        report.skipped.append("paths: none registered")
    if entry is not None and entry.reduce_fn is not None:
        with failing_as(f"registered reduce of {name}"):
            small_process, small = entry.reduce_fn(process, population)
        gap = describe_difference(jnp.asarray(small.log_weights), jnp.asarray(population.log_weights))
        expect(not gap, f"registered reduce of {name} changes log_weights: {gap}")
        shortcuts.append(("registered reduce", _reference_paths, small_process, small, k_reduce))
    else:
        report.skipped.append("reduce: none registered")
    if not shortcuts:
        return
    with failing_as(f"log_marginals along a sampled path of {name}"):
        keys = jax.random.split(k_reference, draws)
        reference = np.asarray(jax.jit(_reference_paths)(process, population, keys, steps), np.float64)
    for label, fn, proc, pop, k_draw in shortcuts:
        with failing_as(f"{label} of {name}"):
            keys = jax.random.split(k_draw, draws)
            found = np.asarray(jax.jit(fn)(proc, pop, keys, steps), np.float64)
        expect(
            found.shape == (draws, times.size, k),
            f"{label} of {name} has shape {found.shape[1:]} per draw: expected ({times.size}, {k})",
        )
        expect(not np.isnan(found).any(), f"{label} of {name} gives NaN")
        smallest = 1.0
        for i, t in enumerate(times):
            first, second = log_odds(reference[:, i], weights), log_odds(found[:, i], weights)
            # Both sides carry rounding in proportion to the log-densities that were subtracted.
            sides = (reference[:, i], found[:, i])
            size = max(float(np.max(np.abs(v), initial=0.0, where=np.isfinite(v))) for v in sides)
            shown = _shown_components(k)
            found_p = [same_law(first[:, c], second[:, c], 2e-6 * max(size, 1.0)) for c in shown]
            (p, seen), c = min(zip(found_p, shown, strict=True))
            p *= len(shown) * times.size * len(shortcuts)
            smallest = min(smallest, p)
            expect(
                p >= level,
                f"{label} of {name} is not consistent with log_marginals of sampled observations at "
                f"t = {t:g}: p = {p:.2g} (log-odds of sub-population {c}: {seen})",
            )
        report.checked.append(f"{label}: posteriors of the same law as sampling time by time")
        report.p_values[f"{label} against log_marginals"] = min(1.0, smallest)


def check_posterior_sample(
    population: Population,
    process: ObservationProcess,
    key: Array,
    times: np.ndarray,
    draws: int,
    level: float,
    report: ConformanceReport,
) -> None:
    """Check that ``(posterior_sample(Y_t), Y_t)`` has the joint law of ``(X, Y_t)``.

    Raises:
        ConformanceError: it has not.

    """
    name = f"{type(population).__name__}.posterior_sample under {type(process).__name__}"
    times = times[np.unique(np.linspace(0, times.size - 1, _MOST_PATH_TIMES).astype(int))]

    def run(process: Any, population: Any, keys: Array, t: Array) -> Any:
        def both(key: Array) -> Any:
            k1, k2, k3 = jax.random.split(key, 3)
            _, x, y = _draw(process, population, k1, t)
            _, _, y_again = _draw(process, population, k2, t)
            return (x, y), (population.posterior_sample(k3, process, y_again, t), y_again)

        return jax.vmap(both)(keys)

    draw, smallest = jax.jit(run), 1.0
    for i, t in enumerate(times):
        with failing_as(name):
            keys = jax.random.split(jax.random.fold_in(key, i), draws)
            prior, posterior = draw(process, population, keys, jnp.asarray(t))
        drawn, given = (spec(part[0]) for part in (posterior, prior))
        expect(drawn == given, f"{name} returns {drawn} for {draws} draws: sample returns {given}")
        x = standardize(coordinates(prior[0]), coordinates(posterior[0]))
        y = standardize(coordinates(prior[1]), coordinates(posterior[1]))
        first, second = (joint_summaries(a, b) for a, b in zip(x, y, strict=True))
        expect(not np.isnan(second).any(), f"{name} gives NaN at t = {t:g}")
        p, seen = min(same_law(first[:, c], second[:, c]) for c in range(first.shape[1]))
        p *= first.shape[1] * times.size
        smallest = min(smallest, p)
        expect(p >= level, f"{name} is not consistent with sample at t = {t:g}: p = {p:.2g} ({seen})")
    report.checked.append("posterior_sample: the joint law of X and Y")
    report.p_values["posterior_sample against sample"] = min(1.0, smallest)
