"""Checks of what posteriors do not show: is ``log_prob`` normalised, is it of the kind it says, is all forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from sloc.contracts import Array
from sloc.testing.conformance import Trials, expect, failing_as, row
from sloc.testing.features import coordinates, standardize, summaries
from sloc.testing.pvalues import calibration_p_values, same_law
from sloc.testing.times import as_times

_MOST_TIMES = 3
_MOST_PATTERNS = 8
_LEAST_SEEN = 8
"""Draws in which a pattern must have been seen, to be tested on the others."""
_LOOKED_AT = 256
"""Draws in which values are looked for that repeat."""
_MOST_NUMBERS = 1024
"""Numbers of an observation up to which its law is compared with another as a whole."""
_BLUR = 1e-3
"""How far a sum of masses may exceed 1, by rounding."""
_TELLING = 0.01
"""Mean of ``pi (1 - pi)`` below which draws of two laws are so far apart that their densities' ratio is not seen."""


@jax.jit
def _drawn(process: Any, keys: Array, x: Any, t: Array) -> Any:
    return jax.vmap(process.sample, in_axes=(0, None, None))(keys, x, t)


@jax.jit
def _log_prob(process: Any, y: Any, x: Any, t: Array) -> Array:
    return jax.vmap(process.log_prob, in_axes=(0, None, None))(y, x, t)


def check_horizon(trials: Trials, key: Array) -> None:
    """Check that at a finite horizon ``sample`` has one law for all inputs (two are compared).

    Raises:
        ConformanceError: it tells inputs apart.

    """
    process, xs, _, draws, level, report = trials
    name, horizon = type(process).__name__, float(process.horizon)
    if not np.isfinite(horizon):
        return
    t = jnp.asarray(as_times(process, np.asarray(horizon)))
    with failing_as(f"{name}.sample at its horizon, {horizon:g}"):
        pair = [_drawn(process, k, row(xs, i), t) for i, k in enumerate(jax.random.split(key, (2, draws)))]
    columns = standardize(*(coordinates(y) for y in pair))
    expect(not np.isnan(columns).any(), f"{name}.sample({horizon:g}), at its horizon, gives NaN")
    first, second = (summaries(c) for c in columns)
    tests = [same_law(first[:, i], second[:, i]) for i in range(first.shape[1])]
    p, seen = min(tests, default=(1.0, ""))
    p *= max(first.shape[1], 1)
    expect(
        p >= level,
        f"{name}.horizon = {horizon:g} is not consistent with sample({horizon:g}), which still tells input 0 from "
        f"input 1: p = {p:.2g} ({seen})",
    )
    report.checked.append("horizon: two inputs have one law there")
    report.p_values["horizon"] = min(1.0, p)


def check_density(trials: Trials, key: Array) -> None:
    """Check that ``log_prob`` is a density or a mass, as ``has_density`` says, and that it is normalised.

    A law is continuous where draws from one input do not repeat.  One that has a value at ``t = 0`` may say that it is
    no density (it is not singular there), and a mass that has none, as of infinite counts, that it is.  Of a continuous
    one half of the observations are drawn from
    ``sample`` and half from a reference ``q`` (normal in each coordinate, fitted to other draws and cut to the box that
    they fill), and ``sigma(log_prob(y) - log q(y))`` must be calibrated for which it was: a normalised density is, and
    a factor shows.  Where it is discrete the most frequent observations of one half of the draws must have their mass
    in the other half, and the masses of all that were seen must not exceed 1.  Only the first input is looked at.
    What the draws cannot show is reported: mixed observations, laws far from ``q``, observations that do not repeat.

    Raises:
        ConformanceError: ``has_density`` contradicts the draws, or ``log_prob`` is not normalised.

    """
    process, xs, times, draws, level, report = trials
    name, x = type(process).__name__, row(xs, 0)
    few = times[np.unique(np.linspace(0, times.size - 1, _MOST_TIMES).astype(int))]
    smallest, shown, reasons, kinds = 1.0, 0, list[str](), list[bool]()
    for i, t in enumerate(few):
        time, own = jnp.asarray(t), jax.random.fold_in(key, i)
        y = _drawn(process, jax.random.split(own, 2 * draws), x, time)
        continuous, size = _continuous(y)
        kinds.append(bool(continuous.any()))
        mixed = kinds[-1] and not continuous.all()
        if mixed or not 0 < size <= _MOST_NUMBERS:
            reasons.append("some coordinates continuous, some not" if mixed else f"observations of {size:,} numbers")
            continue
        rng = np.random.default_rng(np.asarray(jax.random.key_data(own)).tolist())
        look = _against_reference if kinds[-1] else _against_frequencies
        claims = list(look(process, y, x, time, rng))
        for what, events, log_odds in claims:
            p = float(calibration_p_values(events, log_odds, np.ones((len(events), 1)))[0]) * len(claims) * few.size
            smallest = min(smallest, p)
            claimed = float(np.mean(0.5 * (1.0 + np.tanh(0.5 * log_odds))))
            expect(
                p >= level,
                f"{name}.log_prob is not normalised at t = {t:g} (input 0): {what} claimed in {claimed:.4g} of "
                f"{len(events)} draws, seen in {float(np.mean(events)):.4g}: p = {p:.2g}",
            )
            pi = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
            shown += not kinds[-1] or float(np.mean(pi * (1.0 - pi))) >= _TELLING
        if not shown:
            reasons.append("draws too unlike a reference" if kinds[-1] else "observations that do not repeat")
    if process.has_density != any(kinds):
        singular = _singular(process, key, x)
        expect(
            process.has_density or not singular,
            f"{name}.has_density is False, but draws of sample do not repeat: log_prob is a density, singular at t = 0",
        )
        expect(
            not process.has_density or singular,
            f"{name}.has_density is True, but draws of sample repeat: log_prob is a mass, and has a value at t = 0",
        )
    report.checked.append(f"has_density: {process.has_density}, as draws show")
    if shown:
        report.checked.append("log_prob: normalised (input 0)")
        report.p_values["log_prob normalised"] = min(1.0, smallest)
    else:
        report.skipped.append(f"normalisation of log_prob: not shown ({', '.join(dict.fromkeys(reasons))})")


def _continuous(y: Any) -> tuple[np.ndarray, int]:
    """Which coordinates are continuous (floating, not all whole, most values seen once), and how many there are.

    Of many coordinates of a leaf the first are looked at.
    """
    found, size = [np.zeros(0, bool)], 0
    for leaf in jax.tree.leaves(y):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        values = np.asarray(leaf[:_LOOKED_AT]).reshape(min(_LOOKED_AT, leaf.shape[0]), -1)
        size += values.shape[1]
        values = values[:, :_MOST_NUMBERS]
        different = (np.diff(np.sort(values, axis=0), axis=0) != 0).mean(axis=0)
        floating = values.dtype.kind in "fc"
        found.append(floating & (different > 0.5) & ~(values == np.round(values)).all(axis=0))
    return np.concatenate(found), size


def _singular(process: Any, key: Array, x: Any) -> bool:
    """Whether ``log_prob`` has no value for draws at ``t = 0``."""
    t = jnp.asarray(as_times(process, np.asarray(0)))
    y = _drawn(process, jax.random.split(key, _LOOKED_AT), x, t)
    return not bool(jnp.isfinite(_log_prob(process, y, x, t)).all())


Claims = Iterator[tuple[str, np.ndarray, np.ndarray]]
"""What is claimed, whether it was so ``[N]``, its claimed log-odds ``[N]``."""


def _against_reference(process: Any, y: Any, x: Any, t: Array, rng: np.random.Generator) -> Claims:
    """Draw from ``sample`` or from ``q`` by a fair coin, and claim which it was."""
    from scipy.special import log_ndtr, ndtr, ndtri

    if any(np.iscomplexobj(leaf) for leaf in jax.tree.leaves(y)):
        return
    unravel = ravel_pytree(row(y, 0))[1]
    flat = np.asarray(jax.vmap(lambda one: ravel_pytree(one)[0])(y))
    fitted, fresh = np.split(flat, 2)
    center, spread = fitted.mean(0, dtype=np.float64), fitted.std(0, dtype=np.float64)
    low, high = fitted.min(0), fitted.max(0)
    if not (np.isfinite(fresh).all() and np.isfinite(spread).all() and (spread > 0).all()):
        return
    ends = (low - center) / spread, (high - center) / spread
    inside = rng.uniform(*(ndtr(e) for e in ends), size=fresh.shape)
    other = np.clip((center + spread * ndtri(inside)).astype(flat.dtype), low, high)
    label = rng.random(len(fresh)) < 0.5
    seen = np.where(label[:, None], fresh, other)
    z = (seen - center) / spread
    # log of the mass between both ends, on the side of the mean where it keeps its digits.
    mass = log_ndtr(ends[1]) + np.log1p(-np.exp(log_ndtr(ends[0]) - log_ndtr(ends[1])))
    log_q = np.sum(-0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi) - mass, axis=1)
    log_q = np.where(((seen >= low) & (seen <= high)).all(axis=1), log_q, -np.inf)
    log_p = np.asarray(_log_prob(process, jax.vmap(unravel)(jnp.asarray(seen)), x, t), np.float64)
    # Observations that sample cannot make may have no number at all: that is no density.
    log_p = np.where(np.isnan(log_p) & ~label, -np.inf, log_p)
    with np.errstate(invalid="ignore"):
        log_odds = np.where(np.isneginf(log_q) & ~np.isnan(log_p), np.inf, log_p - log_q)
    yield "draws of sample among those of a reference", label.astype(np.float64), np.nan_to_num(log_odds, nan=np.inf)


def _against_frequencies(process: Any, y: Any, x: Any, t: Array, rng: np.random.Generator) -> Claims:
    """Claim the mass of what was seen most often, and of all that was seen together."""
    del rng
    parts = [np.asarray(leaf).reshape(leaf.shape[0], -1).astype(np.float64) for leaf in jax.tree.leaves(y)]
    flat = np.concatenate(parts, axis=1)
    half = len(flat) // 2
    _, where, counts = np.unique(flat[:half], axis=0, return_index=True, return_counts=True)
    log_mass = np.asarray(_log_prob(process, jax.tree.map(lambda v: v[:half], y), x, t), np.float64)[where]
    total = float(np.exp(log_mass).sum())
    name = type(process).__name__
    expect(
        total <= 1.0 + _BLUR,
        f"{name}.log_prob is not normalised at t = {float(t):g} (input 0): the {len(where)} observations seen have a "
        f"mass of {total:.4g} together",
    )
    often = np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]
    for i in often[counts[often] >= _LEAST_SEEN]:
        events = (flat[half:] == flat[where[i]]).all(axis=1)
        mass = min(float(np.exp(log_mass[i])), 1.0)
        with np.errstate(divide="ignore"):
            log_odds = np.full(len(events), np.log(mass) - np.log1p(-mass))
        yield f"the observation {_text(flat[where[i]])}", events.astype(np.float64), log_odds


def _text(values: np.ndarray, most: int = 8) -> str:
    shown = ", ".join(f"{v:g}" for v in values[:most])
    return f"[{shown}{', ...' if len(values) > most else ''}]"
