"""The curves of ``sloc uturn``: what a model brings back, what the images and a classifier say, and how far apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.divergence import betting_interval
from sloc.engine import Progress
from sloc.engine.binomial import clopper_pearson
from sloc.engine.plan import BLOCK_DRAWS, Plan
from sloc.populations import Empirical
from sloc.results.curve import Curve
from sloc.samplers import Localizer, level_grids
from sloc.samplers.experiments import forward_reverse

_REPEATS = 64
"""Noised copies of each held-out image."""


def nearest_class(data: Empirical) -> Callable[[Any], Any]:
    """Return ``x -> class`` of the nearest example, by squared distance."""
    atoms = jnp.asarray(np.asarray(data.data).reshape(data.num_atoms, -1))
    classes = jnp.asarray(np.repeat(np.arange(len(data.counts)), data.counts), jnp.int32)
    norms = jnp.sum(atoms**2, axis=1)

    def nearest(x: Any) -> Any:
        return classes[jnp.argmin(norms - 2.0 * (atoms @ x.reshape(-1)))]

    return nearest


def brought_back(
    key: jax.Array,
    process: Any,
    data: Empirical,
    start: str,
    times: np.ndarray,
    localizer: Localizer,
    *,
    n: int,
    steps: int,
    feature: Callable[[Any], Any],
    plan: Plan,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Noise examples of one class to each time and undo it, a time after the other, with one compilation.

    The draws are those of one call for all times; a time is a stage of the plan's checkpoint, in blocks of 1,024 draws.

    Args:
        key: typed PRNG key.
        process: the forward process.
        data: the examples.
        start: the class.
        times: ``[T]``.
        localizer: the way back.
        n: draws at each time.
        steps: of the way back from each time.
        feature: the label of what comes back.
        plan: devices and checkpoints.
        progress: called with ``(done, total)`` blocks, all times counted.

    Returns:
        Labels ``[T, n]``, and what the first draw becomes at each time, ``[T, ...]``.

    """
    rows, labels, first = level_grids(process, times, steps), [], []
    blocks = -(-n // BLOCK_DRAWS)
    for i in range(times.size):

        def report(done: int, total: int, i: int = i) -> None:
            progress(i * total + done, times.size * total)

        own, samples = forward_reverse(
            key,
            process,
            data,
            start,
            times[i : i + 1],
            n=n,
            feature=feature,
            localizer=localizer,
            grid=rows[i : i + 1],
            plan=plan.reporting(report),
        )
        labels.append(np.asarray(own)[0])
        first.append(np.array(samples[0, 0]))
        # A time that the checkpoint holds reports nothing itself.
        progress((i + 1) * blocks, times.size * blocks)
    return np.stack(labels), np.stack(first)


def share_curve(times: np.ndarray, same: np.ndarray, delta: float) -> Curve:
    """Return the share of draws ``[T, n]`` that are true, with Clopper and Pearson's band for all times at once."""
    hits, n = same.sum(axis=1), same.shape[1]
    low, high = clopper_pearson(hits, n, delta / times.size)
    value = hits / n
    stderr = np.sqrt(value * (1 - value) / n)
    return Curve(times, value, stderr, low, high, n, "forward–reverse, learned model", "P(same digit)", delta=delta)


def classifier_curve(
    key: jax.Array, process: Any, posterior: Any, x: np.ndarray, component: int, times: np.ndarray, delta: float
) -> Curve:
    """Return a classifier's mean probability of a class, over noised examples of it that it was not trained on.

    ``E[pi(theta | Y_t) | theta]`` is the label curve without any way back, if the classifier is right.  Each example is
    noised many times and averaged, so that examples are the independent units of the betting interval.

    Args:
        key: typed PRNG key.
        process: the forward process.
        posterior: ``(y, t) -> [K]`` log probabilities.
        x: ``[N, ...]`` examples of the class.
        component: the class's index.
        times: ``[T]``.
        delta: error level of the band, all times at once.

    Raises:
        InvalidInput: the classifier returned NaN; names the time.

    """

    @jax.jit
    def at(key: jax.Array, x: jax.Array, t: jax.Array) -> jax.Array:
        def one(key: jax.Array, x: jax.Array) -> jax.Array:
            keys = jax.random.split(key, _REPEATS)
            logs = jax.vmap(lambda k: posterior(process.sample(k, x, t), t)[component])(keys)
            return jnp.mean(jnp.exp(logs))

        return jax.vmap(one)(jax.random.split(key, x.shape[0]), x)

    each = np.stack([np.asarray(at(key, jnp.asarray(x), jnp.float32(t)), np.float64) for t in times])
    for t, row in zip(times, each, strict=True):
        require(bool(np.isfinite(row).all()), f"classifier(y, {t:g})", "NaN", "log probabilities")
    each = np.clip(each, 0.0, 1.0)
    low, high = betting_interval(each, delta / times.size)
    stderr = each.std(axis=1, ddof=1) / np.sqrt(each.shape[1])
    method, quantity = "a classifier on held-out images", "P(same digit)"
    return Curve(times, each.mean(axis=1), stderr, low, high, len(x), method, quantity, delta=delta)


def crossing(times: np.ndarray, value: np.ndarray, level: float) -> float | None:
    """Return the first time at which a curve falls to a level, by linear interpolation; None if it does not."""
    below = np.flatnonzero(value <= level)
    if below.size == 0 or below[0] == 0:
        return None
    i = int(below[0])
    share = (value[i - 1] - level) / (value[i - 1] - value[i])
    return float(times[i - 1] + share * (times[i] - times[i - 1]))


def largest_difference(a: Curve, b: Curve) -> dict[str, Any]:
    """Return ``max_t |a - b|``, where, and an interval for it from the bands of both.

    Where each band holds with probability ``1 - delta / 2`` the interval does with ``1 - delta``.
    """
    low_a, high_a, low_b, high_b = (np.asarray(v, np.float64) for v in (a.lower, a.upper, b.lower, b.upper))
    gap = np.abs(np.asarray(a.value, np.float64) - np.asarray(b.value, np.float64))
    least = np.maximum(np.maximum(low_a - high_b, low_b - high_a), 0.0)
    most = np.maximum(high_a - low_b, high_b - low_a)
    return {
        "largest": float(gap.max()),
        "at": float(np.asarray(a.times)[int(gap.argmax())]),
        "interval": [float(least.max()), float(most.max())],
    }


def compared(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return windows of the curves (90 % down to 50 %) and the largest difference of each pair."""
    names, found = list(curves), {}
    for name, curve in curves.items():
        times, value = np.asarray(curve.times), np.asarray(curve.value, np.float64)
        found[name] = {"window": [crossing(times, value, share) for share in (0.9, 0.5)], "value": value}
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    differences = {f"{a}, {b}": largest_difference(curves[a], curves[b]) for a, b in pairs}
    return {"times": np.asarray(next(iter(curves.values())).times), "curves": found, "differences": differences}
