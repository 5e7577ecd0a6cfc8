"""The public conformance suite of observation processes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, ObservationProcess, overrides, require
from sloc.contracts.arguments import as_real, as_whole, checked_key, checked_whole
from sloc.testing.conformance import ConformanceReport, Trials, expect, failing_as, row
from sloc.testing.density_laws import check_density, check_horizon
from sloc.testing.family_laws import check_family
from sloc.testing.process_laws import check_bridge, check_degrade, check_likelihood
from sloc.testing.structure import check_pytree, check_transforms, spec
from sloc.testing.times import resolve_times, stack_inputs

_BATCH = 3


def check_process(
    process: ObservationProcess,
    xs: Any,
    *,
    times: Any = None,
    key: Array | None = None,
    draws: int = 8192,
    false_alarm: float = 1e-9,
) -> ConformanceReport:
    """Check that an observation process keeps its contract, in form and in law.

    Form: it is a registered pytree with hashable structure; every method gives the same without
    ``jit``, with ``jit``, under ``vmap`` and inside ``jax.shard_map(..., check_vma=False)``; all
    observations have one structure; ``log_prob`` is a scalar; ``grid`` increases inside ``(0, horizon]``.
    Law: ``log_prob`` is calibrated against ``sample``, so that at even odds of two inputs
    ``P(x | Y_t = y) = P_t(y | x) / (P_t(y | x) + P_t(y | x'))``; ``degrade`` after ``sample`` has the law of
    ``sample``; ``sample`` then ``bridge`` has the joint law of ``sample`` then ``degrade``; what a member gives
    to its family (``coefficients``, ``thresholds``, ``count_law``, ``transition`` ...) agrees with ``sample``;
    two inputs have one law at a finite ``horizon``; ``has_density`` agrees with whether draws repeat, and ``log_prob``
    is normalised, where draws can show it.  Methods that are not defined, and what was not shown, are reported.

    Not seen: errors at times and inputs that are not looked at, or smaller than ``draws`` draws resolve; laws that
    differ only in what no summary sees (up to six coordinates, sums, squares, products of neighbours); whether
    ``sample`` is the channel that you had in mind.

    Source: the library's own.

    Args:
        process: the process.
        xs: at least two different inputs: a list of them, or a pytree with a leading axis.
        times: increasing times to check at; by default ``process.grid(9)``.
        key: a typed key; the default is ``jax.random.key(0)``.
        draws: draws per statistical test; more find smaller errors.
        false_alarm: probability that a correct process fails, over all tests together.  The tests are
            exact at any sample size, so this is a bound.

    Returns:
        What was checked and what was skipped.

    Raises:
        ConformanceError: an ``AssertionError`` that says what is wrong.
        InvalidInput: fewer than two inputs, or times out of order.

    """
    require(as_whole(draws) >= 64, "draws", draws, "at least 64 draws")
    require(0.0 < as_real(false_alarm) <= 1e-2, "false_alarm", false_alarm, "a probability in (0, 0.01]")
    draws = checked_whole(draws, "draws", 64)
    key = jax.random.key(0) if key is None else checked_key(key)
    report = ConformanceReport(type(process).__name__, int(draws), false_alarm)
    process = check_pytree(process, "process", ObservationProcess, report)
    inputs, grid = stack_inputs(xs), resolve_times(process, times, report)
    has = {m: overrides(process, ObservationProcess, m) for m in ("sample", "log_prob", "degrade", "bridge")}
    expect(has["sample"], f"{report.subject} does not define sample(key, x, t)")
    if process.has_density:
        # The law of Y_0 has atoms: there is no density to compare.
        grid = grid[grid > 0]
    k_form, k_likelihood, k_degrade, k_bridge, k_family, k_horizon, k_density = jax.random.split(key, 7)
    _check_form(process, k_form, inputs, grid, has, report)
    trials = Trials(process, inputs, grid, draws, false_alarm / 6, report)
    check_family(trials, k_family)
    if has["log_prob"]:
        check_likelihood(trials, k_likelihood)
    if has["degrade"]:
        check_degrade(trials, k_degrade, has["log_prob"])
    if has["bridge"]:
        check_bridge(trials, k_bridge, has["degrade"])
    check_horizon(trials, k_horizon)
    if has["log_prob"]:
        check_density(trials, k_density)
    report.skipped += [f"{method}: not defined" for method, defined in has.items() if not defined]
    return report


def _check_form(
    process: ObservationProcess, key: Array, xs: Any, times: np.ndarray, has: dict[str, bool], report: ConformanceReport
) -> None:
    name = type(process).__name__
    x = row(xs, 0)
    with failing_as(f"{name}.sample"):
        specs = {spec(jax.eval_shape(process.sample, key, x, jnp.asarray(t))) for t in (times[0], times[-1])}
        # Concrete times too: a method that looks at their values would pass abstract evaluation only by luck.
        concrete = [process.sample(key, x, jnp.asarray(t)) for t in (times[0], times[-1])]
        specs |= {spec(jax.tree.map(jnp.asarray, y)) for y in concrete}
    expect(len(specs) == 1, f"{name}.sample: shapes or dtypes change with t: {' and '.join(sorted(specs))}")
    report.checked.append("sample: one structure for all t")
    keys = jax.random.split(key, _BATCH)
    rows = jax.tree.map(lambda leaf: leaf[np.arange(_BATCH) % leaf.shape[0]], xs)
    middle = times[np.minimum(np.arange(_BATCH) + (times.size - 1) // 2, times.size - 1)]
    late, early = jnp.asarray(middle), jnp.asarray(np.full(_BATCH, times[0]))
    ys = check_transforms(f"{name}.sample", lambda p, k, x, t: p.sample(k, x, t), process, (keys, rows, late))
    if has["log_prob"]:
        value = check_transforms(f"{name}.log_prob", lambda p, y, x, t: p.log_prob(y, x, t), process, (ys, rows, late))
        expect(
            isinstance(value, jax.Array) and value.shape == (_BATCH,),
            f"{name}.log_prob returns {spec(jax.tree.map(lambda v: v[0], value))}: expected a scalar",
        )
        expect(jnp.issubdtype(value.dtype, jnp.floating), f"{name}.log_prob returns {value.dtype}: expected floating")
    for method in ("degrade", "bridge"):
        if not has[method] or times[0] == middle[0]:
            continue
        if method == "degrade":
            start = jax.jit(jax.vmap(process.sample))(keys, rows, early)
            out = check_transforms(
                f"{name}.degrade", lambda p, k, y, s, t: p.degrade(k, y, s, t), process, (keys, start, early, late)
            )
        else:
            out = check_transforms(
                f"{name}.bridge",
                lambda p, k, y, x, s, t: p.bridge(k, y, x, s, t),
                process,
                (keys, ys, rows, early, late),
            )
        expect(spec(out) == spec(ys), f"{name}.{method} returns {spec(out)}: sample returns {spec(ys)}")
    methods = ", ".join(method for method, defined in has.items() if defined)
    report.checked.append(f"{methods}: same with and without jit, under vmap, inside shard_map")
