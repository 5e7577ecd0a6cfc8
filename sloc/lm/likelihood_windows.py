"""Curves and windows of a mixture of sources, from texts with exact likelihoods.

Time ``t`` is how many of a text's last tokens are taken away, so it grows as information is lost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import Sets, backwards, component_mask, require, set_name
from sloc.contracts.arguments import checked_kind, checked_level
from sloc.divergence import betting_interval
from sloc.divergence.checks import checked_epsilon
from sloc.divergence.intervals import tighten
from sloc.lm.likelihood import LikelihoodPaths, entropy, posteriors
from sloc.results.curve import Curve
from sloc.results.window import Window
from sloc.windows.critical import window_of
from sloc.windows.edges import Edge, Side, edge_of_curve
from sloc.windows.search import Found

_TOKENS = backwards("tokens t taken away from the end")
_METHOD = "exact likelihoods of sampled texts, betting band over all tokens"


def likelihood_tv(paths: LikelihoodPaths, a: Sets, b: Sets, *, delta: float = 0.05) -> Curve:
    """``TV(p_t^A, p_t^B)`` over ``t``, with a band that holds at all ``t`` at once.

    ``TV = E tanh(|l| / 2)`` over balanced draws of the two, ``l = log p_t^A - log p_t^B``; for nested sets
    ``TV(A, B) = (1 - w_A / w_B) TV(A, B without A)``.  Unbiased; the band is by betting at level ``delta`` over the
    number of times, tightened because TV never increases in ``t``.

    Args:
        paths: from :func:`sloc.lm.sample_paths`.
        a: an index, a name, or a sequence of them.
        b: likewise; disjoint from ``a``, or around it.
        delta: error level of the whole band.

    Returns:
        A curve over ``t = 0 .. N``.

    Raises:
        InvalidInput: unknown or overlapping sets, a level outside (0, 1).

    """
    checked_kind(paths, "paths", LikelihoodPaths, "LikelihoodPaths")
    level = checked_level(delta, "delta")
    inner, outer = _mask(paths, a, "a"), _mask(paths, b, "b")
    times = np.arange(paths.length + 1)
    share = 1.0
    if (inner & outer).any():
        require(bool((inner <= outer).all()), "a", a, "a set disjoint from b, or inside it")
        rest = outer & ~inner
        if not rest.any():
            zero = np.zeros(times.shape)
            return Curve(
                times, zero, zero, zero, zero, 0, "exact", "TV of a set and itself", delta=0.0, time_axis=_TOKENS
            )
        weights = np.exp(paths.log_weights)
        share, outer = 1.0 - weights[inner].sum() / weights[outer].sum(), rest
    ratio = _log_marginal(paths, inner) - _log_marginal(paths, outer)
    values = np.abs(np.tanh(0.5 * ratio))
    rounds = 0.5 * (_weighted(paths, values, inner) + _weighted(paths, values, outer))
    rounds[:, 0] = 0.0  # of no token all laws are one; rounding would say 1e-17
    name = f"TV({set_name(_named(paths), inner)}, {set_name(_named(paths), outer)})"
    return _curve(times, share * rounds, share, level, name, "")


def likelihood_information(paths: LikelihoodPaths, *, delta: float = 0.05) -> Curve:
    """``I(theta; Y_t)`` in bits over ``t``: what the kept tokens say of the source, with a band for all ``t`` at once.

    ``H(w) - E H(pi(Y_t))``; its steps (:func:`sloc.windows.information_density`) are the bits of each token.  Source:
    Shannon 1948.

    Args:
        paths: from :func:`sloc.lm.sample_paths`.
        delta: error level of the whole band.

    Returns:
        A curve over ``t = 0 .. N``.

    Raises:
        InvalidInput: no paths, or a level outside (0, 1).

    """
    checked_kind(paths, "paths", LikelihoodPaths, "LikelihoodPaths")
    level = checked_level(delta, "delta")
    every = np.ones(paths.num_components, bool)
    most = np.log2(paths.num_components)
    left = _weighted(paths, entropy(posteriors(paths.log_likelihood, paths.log_weights)), every)
    prior = float(entropy(np.exp(paths.log_weights)))
    curve = _curve(np.arange(paths.length + 1), left, most, level, "", "bits", increasing=True)
    value, low, high = prior - curve.value, prior - curve.upper, prior - curve.lower
    return Curve(
        curve.times,
        value,
        curve.stderr,
        np.maximum(low, 0.0),
        np.minimum(high, prior),
        curve.n,
        _METHOD,
        "information",
        "bits",
        delta=level,
        time_axis=_TOKENS,
    )


def likelihood_window(
    paths: LikelihoodPaths, after: Sets, before: Sets, *, epsilon: float, delta: float = 0.05
) -> Window:
    """Critical window of ``after`` within ``before``, in tokens from the end, with intervals that hold jointly.

    ``T_before = inf {t : TV(p_t^after, p_t^before) <= epsilon and TV(p_t^before, p_t^rest) >= 1 - epsilon^2}``,
    ``T_after = sup {t : TV(p_t^after, p_t^rest) >= 1 - epsilon^2}``, as of :func:`sloc.critical_window`; edges and
    intervals come from the bands of its two or three total variations, so no token is singled out without its share of
    the error.

    Args:
        paths: from :func:`sloc.lm.sample_paths`.
        after: an index, a name, or a sequence of them; inside ``before``.
        before: likewise; all of them is allowed.
        epsilon: threshold in [1e-6, 1).
        delta: error level of all intervals jointly.

    Returns:
        The window: points read off unbiased curves, intervals that hold jointly with probability ``>= 1 - delta``.

    Raises:
        InvalidInput: sets that are not nested, a threshold or level outside (0, 1).

    Source: Li, Karan & Chen 2025, Def. 4.

    """
    checked_kind(paths, "paths", LikelihoodPaths, "LikelihoodPaths")
    epsilon, delta = checked_epsilon(epsilon), checked_level(delta, "delta")
    inner, outer = _mask(paths, after, "after"), _mask(paths, before, "before")
    require(bool((inner <= outer).all()), "after", after, "a subset of before")
    require(not inner.all(), "after", after, "a proper subset of the sources")
    asked: dict[str, tuple[np.ndarray, np.ndarray, float, Side]] = {"after": (inner, ~inner, 1 - epsilon**2, "last")}
    if (outer & ~inner).any():
        asked["close"] = (inner, outer, epsilon, "first")
    if not outer.all():
        asked["apart"] = (outer, ~outer, 1 - epsilon**2, "last")
    edges: dict[str, Edge] = {}
    curves: dict[Any, Curve] = {}
    for name, (a, b, threshold, side) in asked.items():
        curve = curves[name] = likelihood_tv(paths, a, b, delta=delta / len(asked))
        edges[name] = edge_of_curve(curve, threshold, side, horizon=float(paths.length), discrete=True)
    whole = "all" if outer.all() else set_name(_named(paths), outer)
    found = Found(edges, curves, paths.n * paths.num_components, _METHOD, delta)
    return window_of(found, epsilon, f"{set_name(_named(paths), inner)} within {whole}", _TOKENS)


def _named(paths: LikelihoodPaths) -> Any:
    """Return what the naming of sets needs: names and their number."""
    return paths


def _mask(paths: LikelihoodPaths, sets: Sets, argument: str) -> np.ndarray:
    return component_mask(_named(paths), sets, argument)


def _log_marginal(paths: LikelihoodPaths, mask: np.ndarray) -> np.ndarray:
    """Return ``log p_t^S`` of all texts, ``[K, n, N + 1]``."""
    from scipy.special import logsumexp

    weights = paths.log_weights[mask]
    return np.asarray(logsumexp(paths.log_likelihood[..., mask] + weights - logsumexp(weights), axis=-1))


def _weighted(paths: LikelihoodPaths, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return weighted means over sources of a set, ``[n, N + 1]``: one round has one text of each source."""
    weights = np.exp(paths.log_weights[mask])
    return np.einsum("k,knt->nt", weights / weights.sum(), values[mask])


def _curve(
    times: np.ndarray,
    rounds: np.ndarray,
    top: float,
    level: float,
    quantity: str,
    unit: str,
    *,
    increasing: bool = False,
) -> Curve:
    """Return the mean over rounds ``[n, N + 1]`` of values in [0, top], kept tokens turned into ``t``, with its band.

    Nothing is uncertain where no token is kept, so the band is shared by the other ``N`` times.
    """
    by_time = rounds[:, ::-1].T
    n = by_time.shape[1]
    value, stderr = by_time.mean(axis=1), by_time.std(axis=1, ddof=1) / np.sqrt(n)
    low, high = betting_interval(np.clip(by_time[:-1] / top, 0.0, 1.0), level / max(len(times) - 1, 1))
    low, high = (np.append(top * a, value[-1]) for a in (low, high))
    low, high = tighten(low, high, decreasing=not increasing)
    stderr[-1] = 0.0
    return Curve(times, value, stderr, low, high, n, _METHOD, quantity, unit, delta=level, time_axis=_TOKENS)
