"""Checks that the numbers a member gives to its family agree with what it samples.

Closed forms and shortcuts read those numbers and never call ``sample``, so an error in one of them
would show nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    GaussianChannel,
    LinearGaussianChannel,
    MemorylessChannel,
    RevealingChannel,
    float_dtype,
    overrides,
)
from sloc.testing.conformance import Trials, expect, failing_as, row
from sloc.testing.pvalues import calibration_p_values

Claim = tuple[str, np.ndarray, np.ndarray]
"""What is claimed, events ``[N]`` (zeros and ones), their claimed probabilities ``[N]``."""
_MOST_TIMES = 5


def check_family(trials: Trials, key: Array) -> None:
    """Check the hooks of the process's family against ``sample``; nothing to do outside the families.

    ``coefficients`` and ``time_of_log_snr`` of a Gaussian channel, ``matrices`` of a linear Gaussian one,
    ``thresholds``, ``reveals_prefix``, ``log_mask_prob``, ``hidden_probability`` and ``count_law`` of a revealing
    channel as far as it defines them, ``transition`` of a memoryless channel.

    Raises:
        ConformanceError: a hook contradicts ``sample``.

    """
    process, xs, times, draws, level, report = trials
    name = type(process).__name__
    claims: Callable[..., Iterator[Claim]]
    if isinstance(process, GaussianChannel):
        hooks, claims = "coefficients, time_of_log_snr", _gaussian_claims
        _check_inverse(process, times)
    elif isinstance(process, LinearGaussianChannel):
        hooks, claims = "matrices", _linear_claims
    elif isinstance(process, RevealingChannel):
        hooks = "thresholds, reveals_prefix, log_mask_prob, hidden_probability, count_law"
        claims = _revealing_claims
    elif isinstance(process, MemorylessChannel) and overrides(process, MemorylessChannel, "transition"):
        hooks, claims = "transition", _memoryless_claims
    else:
        return
    x = row(xs, 0)
    few = times[np.unique(np.linspace(0, times.size - 1, _MOST_TIMES).astype(int))]
    draw, smallest = jax.jit(jax.vmap(process.sample, in_axes=(0, None, None))), 1.0
    for i, t in enumerate(few):
        with failing_as(f"{name}: {hooks} at t = {t:g}"):
            y = draw(jax.random.split(jax.random.fold_in(key, i), draws), x, jnp.asarray(t))
            found = list(claims(process, x, y, t, jax.random.fold_in(key, _MOST_TIMES + i)))
        # How many patterns were seen depends on the draws; at most so many are tested.
        tests = len(found) + 2 * _MOST_PATTERNS
        for what, events, probabilities in found:
            expect(
                np.all((probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)),
                f"{name}.{what} at t = {t:g} is not a probability: {probabilities[:4]}",
            )
            with np.errstate(divide="ignore"):
                pi = np.clip(probabilities, 0.0, 1.0)
                log_odds = np.log(pi) - np.log1p(-pi)
            p = float(calibration_p_values(events, log_odds, np.ones((len(events), 1)))[0]) * tests * few.size
            smallest = min(smallest, p)
            expect(
                p >= level,
                f"{name}.{what} is not consistent with sample at t = {t:g}: claimed "
                f"{probabilities.mean():.4g}, seen {events.mean():.4g}: p = {p:.2g}",
            )
    report.checked.append(f"family: {hooks} agree with sample")
    report.p_values["family hooks against sample"] = min(1.0, smallest)


def _check_inverse(process: GaussianChannel, times: np.ndarray) -> None:
    name = type(process).__name__
    wanted = np.linspace(*process.log_snr_range, 7)
    with failing_as(f"{name}.coefficients(time_of_log_snr(.)) on the host"):
        a, sigma = process.coefficients(np.asarray(process.time_of_log_snr(wanted), np.float64))
        found = 2.0 * (np.log(np.asarray(a, np.float64)) - np.log(np.asarray(sigma, np.float64)))
    expect(
        np.allclose(found, wanted, rtol=1e-4, atol=1e-4),
        f"{name}.time_of_log_snr does not invert coefficients: {wanted} gives back {found}",
    )
    a, sigma = process.coefficients(jnp.asarray(times, float_dtype()))
    with np.errstate(divide="ignore"):
        snr = np.log(np.asarray(a * jnp.ones_like(sigma), np.float64)) - np.log(np.asarray(sigma, np.float64))
    expect(np.all(np.diff(snr) < 0), f"{name}: a / sigma does not decrease in t")


_MOST_PATTERNS = 8
_CUTS = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)


def _gaussian_claims(process: GaussianChannel, x: Any, y: Any, t: Any, key: Any) -> Iterator[Claim]:
    from scipy.special import ndtr

    del key
    a, sigma = (np.asarray(v, np.float64) for v in process.coefficients(float(t)))
    z = ((np.asarray(y, np.float64) - a * np.asarray(x, np.float64)) / sigma).ravel()
    for cut in _CUTS:
        yield f"coefficients: (Y - a X) / sigma <= {cut:g}", z <= cut, np.full(z.size, ndtr(cut))


def _linear_claims(process: LinearGaussianChannel, x: Any, y: Any, t: Any, key: Any) -> Iterator[Claim]:
    from scipy.linalg import solve_triangular
    from scipy.special import ndtr

    del key
    signal, noise = (np.asarray(v, np.float64) for v in process.matrices(float(t)))
    residual = np.asarray(y, np.float64) - signal @ np.asarray(x, np.float64).ravel()
    white = solve_triangular(np.linalg.cholesky(noise), residual.T, lower=True)
    # Each coordinate by itself, and a sum of all, which a wrong correlation gives another variance.
    for name, z in (*((f"coordinate {i}", w) for i, w in enumerate(white)), ("sum", white.sum(0) / len(white) ** 0.5)):
        for cut in _CUTS:
            yield f"matrices: whitened (Y - A X), {name} <= {cut:g}", z <= cut, np.full(z.size, ndtr(cut))


def _revealing_claims(process: RevealingChannel, x: Any, y: Any, t: Any, key: Any) -> Iterator[Claim]:
    known = np.asarray(y.known, bool).reshape(len(y.known), -1)
    thresholds = jax.vmap(process.thresholds, in_axes=(0, None))(jax.random.split(key, len(known)), x)
    drawn = float(t) < np.asarray(thresholds).reshape(known.shape)
    for source, patterns in (("", known), ("thresholds: ", drawn)):
        expect(
            not process.reveals_prefix or bool((np.diff(patterns.astype(int), axis=1) <= 0).all()),
            f"{source}{type(process).__name__}.reveals_prefix is True, and a pattern at t = {t:g} is no prefix",
        )
        yield from _pattern_claims(process, x, patterns, t, source)
        if overrides(process, RevealingChannel, "log_mask_prob"):
            yield from _mask_claims(process, x, patterns, t, source)


def _mask_claims(process: RevealingChannel, x: Any, known: np.ndarray, t: Any, source: str) -> Iterator[Claim]:
    """Yield the mass of the patterns most often seen in one half of the draws, for the other half.

    Patterns of many coordinates that hide independently are too rare to be seen twice, and tell nothing.
    """
    half = len(known) // 2
    patterns, counts = np.unique(known[:half], axis=0, return_counts=True)
    patterns = patterns[np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]]
    shaped = jnp.asarray(patterns.reshape(-1, *np.shape(x)))
    mass = np.exp(np.asarray(jax.vmap(lambda k: process.log_mask_prob(k, jnp.asarray(t)))(shaped), np.float64))
    for pattern, p in zip(patterns, mass, strict=True):
        seen = (known[half:] == pattern).all(axis=1)
        shown = "".join("01"[int(bit)] for bit in pattern)
        yield f"{source}log_mask_prob({shown})", np.asarray(seen), np.full(len(seen), p)


def _pattern_claims(process: RevealingChannel, x: Any, known: np.ndarray, t: Any, source: str) -> Iterator[Claim]:
    n, size = known.shape
    for marked in (np.arange(size) == 0, np.arange(size) == size - 1, np.arange(size) < (size + 1) // 2):
        p = process.hidden_probability(marked.reshape(np.shape(x)), float(t))
        if p is not None:
            yield f"{source}hidden_probability", np.asarray(~known[:, marked].any(1)), np.full(n, p)
    law = process.count_law(size, float(t))
    if law is not None:
        counts, probabilities = law
        seen = known.sum(1)
        yield f"{source}count_law (total)", np.isin(seen, counts), np.full(n, min(1.0, float(np.sum(probabilities))))
        for count, p in list(zip(counts, probabilities, strict=True))[:64]:
            yield f"{source}count_law (count {count})", np.asarray(seen == count), np.full(n, p)


def _memoryless_claims(process: MemorylessChannel, x: Any, y: Any, t: Any, key: Any) -> Iterator[Claim]:
    del key
    matrix = np.asarray(process.transition(float(t)), np.float64)
    expect(
        matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1],
        f"{type(process).__name__}.transition has shape {matrix.shape}: expected (q, q)",
    )
    expect(np.allclose(matrix.sum(1), 1.0, atol=1e-5), f"{type(process).__name__}.transition: rows do not sum to 1")
    letters = np.asarray(x).ravel()
    received = np.asarray(y).reshape(len(y), -1)
    for letter in np.unique(letters):
        at = received[:, letters == letter].ravel()
        for j in range(matrix.shape[1]):
            yield f"transition[{letter}, {j}]", at == j, np.full(at.size, matrix[letter, j])
