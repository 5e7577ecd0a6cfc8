"""The public conformance suite of populations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    ObservationProcess,
    Population,
    check_pair,
    component_names,
    draws_posterior,
    find_marginals,
    require,
)
from sloc.contracts.arguments import as_real, as_whole, checked_key, checked_whole
from sloc.testing.conformance import ConformanceReport, expect, failing_as
from sloc.testing.population_laws import check_paths, check_posterior, check_posterior_sample
from sloc.testing.structure import check_pytree, check_transforms, spec
from sloc.testing.times import resolve_times

_BATCH = 3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Pair:
    """Both objects as one argument of a transformation."""

    population: Population
    process: ObservationProcess


def check_population(
    population: Population,
    process: ObservationProcess,
    *,
    times: Any = None,
    key: Array | None = None,
    draws: int = 4096,
    false_alarm: float = 1e-9,
) -> ConformanceReport:
    """Check that a population keeps its contract under a process, in form and in law.

    Form: registered pytree with hashable structure; weights normalised; names distinct, one per
    sub-population; ``sample``, ``log_marginals`` and ``path_log_marginals`` give the same without ``jit``, with
    ``jit``, under ``vmap`` and inside ``jax.shard_map(..., check_vma=False)``, with shapes ``[K]`` and
    ``[T, K]``.  Law: posteriors are calibrated on the population's own draws,
    ``P(theta | Y_t = y) = pi_theta(y)``; every shortcut (a path of its own, registered ``paths`` and ``reduce``) gives
    posteriors of the same law as sampling and evaluating time by time; ``posterior_sample`` has the joint law of
    ``(X, Y_t)``.

    Source: the library's own.

    Args:
        population: the population.
        process: a process that conforms (:func:`check_process`).
        times: increasing times to check at; by default ``process.grid(9)``.
        key: a typed key; the default is ``jax.random.key(0)``.
        draws: draws per statistical test.
        false_alarm: probability that a correct population fails, over all tests together (a bound).

    Returns:
        What was checked and what was skipped.

    Raises:
        ConformanceError: an ``AssertionError`` that says what is wrong.
        InvalidInput: times out of order.

    """
    require(as_whole(draws) >= 64, "draws", draws, "at least 64 draws")
    require(0.0 < as_real(false_alarm) <= 1e-2, "false_alarm", false_alarm, "a probability in (0, 0.01]")
    draws = checked_whole(draws, "draws", 64)
    key = jax.random.key(0) if key is None else checked_key(key)
    report = ConformanceReport(f"{type(population).__name__} under {type(process).__name__}", int(draws), false_alarm)
    population = check_pytree(population, "population", Population, report)
    process = check_pytree(process, "process", ObservationProcess, ConformanceReport("", 0, 0.0))
    with failing_as(report.subject):
        check_pair(process, population)
    grid = resolve_times(process, times, report)
    if process.has_density:
        grid = grid[grid > 0]
    _check_weights(population, report)
    k_form, k_posterior, k_paths, k_reverse = jax.random.split(key, 4)
    _check_form(population, process, k_form, grid, report)
    level = false_alarm / 3
    check_posterior(population, process, k_posterior, grid, draws, level, report)
    check_paths(population, process, find_marginals(process, population), k_paths, grid, draws, level, report)
    if draws_posterior(population):
        check_posterior_sample(population, process, k_reverse, grid, draws, level, report)
    else:
        report.skipped.append("posterior_sample: not defined")
    return report


def _check_weights(population: Population, report: ConformanceReport) -> None:
    name = type(population).__name__
    with failing_as(f"{name}.log_weights"):
        weights = np.asarray(population.log_weights, np.float64)
    expect(weights.ndim == 1 and weights.size >= 1, f"{name}.log_weights has shape {weights.shape}: expected (K,)")
    total = float(np.exp(weights).sum())
    expect(abs(total - 1.0) < 1e-5, f"{name}.log_weights is not normalised: the weights sum to {total:.8g}")
    expect(
        population.num_components == weights.size,
        f"{name}.num_components = {population.num_components}: log_weights has {weights.size} entries",
    )
    listed = isinstance(population.names, (tuple, list)) and all(isinstance(n, str) for n in population.names)
    expect(listed, f"{name}.names are not strings: {population.names}")
    names = component_names(population)
    expect(len(names) == weights.size, f"{name}.names has {len(names)} entries: expected {weights.size}")
    expect(len(set(names)) == len(names), f"{name}.names are not distinct: {names}")
    report.checked.append("log_weights normalised, names distinct, one per sub-population")


def _check_form(
    population: Population, process: ObservationProcess, key: Array, times: np.ndarray, report: ConformanceReport
) -> None:
    name, k = type(population).__name__, population.num_components
    keys = jax.random.split(key, _BATCH)
    components = jnp.asarray(np.arange(_BATCH) % k, jnp.int32)
    middle = jnp.asarray(np.full(_BATCH, times[times.size // 2]))
    steps = jnp.asarray(np.stack([times[[0, times.size // 2, -1]]] * _BATCH))
    xs = check_transforms(f"{name}.sample", lambda p, k, c: p.sample(k, c), population, (keys, components))
    with failing_as(f"{type(process).__name__}.sample of a draw of {name}"):
        ys = jax.jit(jax.vmap(process.sample))(keys, xs, middle)
    both = _Pair(population, process)
    marginals = check_transforms(
        f"{name}.log_marginals", lambda o, y, t: o.population.log_marginals(o.process, y, t), both, (ys, middle)
    )
    expect(
        isinstance(marginals, jax.Array) and marginals.shape == (_BATCH, k),
        f"{name}.log_marginals returns {spec(jax.tree.map(lambda v: v[0], marginals))}: expected shape ({k},)",
    )
    paths = check_transforms(
        f"{name}.path_log_marginals",
        lambda o, key, x, t: o.population.path_log_marginals(o.process, key, x, t),
        both,
        (keys, xs, steps),
    )
    expect(
        isinstance(paths, jax.Array) and paths.shape == (_BATCH, 3, k),
        f"{name}.path_log_marginals returns {spec(jax.tree.map(lambda v: v[0], paths))}: expected shape (3, {k})",
    )
    methods = "sample, log_marginals, path_log_marginals"
    report.checked.append(f"{methods}: same with and without jit, under vmap, inside shard_map")
