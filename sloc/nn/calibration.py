"""Whether a classifier of noised observations means the probabilities that it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, check_registered, require
from sloc.contracts.arguments import as_array, as_floats
from sloc.contracts.equality import same_fields
from sloc.nn.checks import checked_network
from sloc.nn.losses import check_labels, draw_levels, noised
from sloc.nn.models import as_function
from sloc.processes.levels import level
from sloc.samplers.checks import checked_count, checked_key

if TYPE_CHECKING:
    import pandas as pd

Array = jax.Array

_HOTTEST = 20.0
"""The largest temperature tried, and the inverse of the least."""


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what a classifier is worth with it, on examples that chose neither weights nor temperature.

    Attributes:
        temperature: divides the logits.
        nats: ``(before, after)``: mean cross-entropy on the second half, at temperature 1 and at ``temperature``.
        reliability_error: ``(before, after)``: expected calibration error, ``sum_b share_b |accuracy_b -
            confidence_b|`` over bins of equal counts of the largest probability.  A plug-in: the noise of finite bins
            makes it too large.
        confidence: ``[bins]``, mean largest probability of a bin, after.
        accuracy: ``[bins]``, share of a bin whose likeliest class is right, after.
        examples: independent examples of each half.
        draws: noised copies behind each bin.

    """

    temperature: float
    nats: tuple[float, float]
    reliability_error: tuple[float, float]
    confidence: np.ndarray
    accuracy: np.ndarray
    examples: tuple[int, int]
    draws: int

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per bin: mean confidence and accuracy, both after."""
        import pandas as pd

        return pd.DataFrame({"confidence": self.confidence, "accuracy": self.accuracy})


def calibrate(
    key: Array,
    model: Any,
    schedule: GaussianChannel,
    x: Any,
    labels: Any,
    *,
    repeats: int = 64,
    bins: int = 15,
) -> Calibration:
    """Find the temperature that a classifier's logits want, on half of some examples, and judge it on the other half.

    The temperature ``argmin_T -mean log softmax(logits / T)[label]`` minimises the mean cross-entropy over noised
    copies at levels even in log-SNR, those it was trained at; one number for all levels.  Examples must be none that it
    was trained on.

    Args:
        key: typed PRNG key; also decides which half is which.
        model: a :class:`sloc.nn.NoiseClassifier`, or ``(y, log_snr) -> logits`` with ``num_classes``.
        schedule: the schedule it was trained on.
        x: ``[N, ...]`` examples.
        labels: ``[N]``, whole numbers of its classes.
        repeats: noised copies of each example.
        bins: of the reliability error.

    Returns:
        The temperature, for :func:`sloc.nn.as_posterior`, and how reliable the probabilities are with it.

    Raises:
        InvalidInput: fewer than four examples, labels outside the model's classes, or arrays of different lengths.

    Source: Guo et al. 2017 (temperature scaling; expected calibration error).

    """
    from scipy.optimize import minimize_scalar

    key, repeats, bins = checked_key(key), checked_count(repeats, "repeats"), checked_count(bins, "bins")
    checked_network(model, "num_classes")
    check_registered(schedule, "schedule", GaussianChannel)
    x, labels = as_floats(x, "x").astype(np.float32), np.asarray(as_array(labels, "labels"))
    require(bool(np.isfinite(x).all()), "x", x, "finite numbers")
    require(
        x.ndim >= 1 and np.ndim(labels) == 1, "x, labels", (x.shape, np.shape(labels)), "examples, and a label for each"
    )
    require(len(x) == len(labels) and len(x) >= 4, "x, labels", (len(x), len(labels)), "as many of each, at least 4")
    check_labels(labels, model.num_classes)
    key_split, key_noise = jax.random.split(key)
    order = np.asarray(jax.random.permutation(key_split, len(x)))
    half = len(x) // 2
    logits, truth = _noised_logits(key_noise, model, schedule, x[order], labels[order], repeats)

    def nats(temperature: float, part: slice) -> float:
        logs = _log_softmax(logits[:, part] / temperature)
        return float(-np.take_along_axis(logs, truth[:, part, None], axis=2).mean())

    first, second = slice(0, half), slice(half, None)
    end = math.log(_HOTTEST)
    found: Any = minimize_scalar(lambda u: nats(math.exp(u), first), bounds=(-end, end), method="bounded")
    temperature = float(math.exp(found.x))
    before, _, _ = _reliability(logits[:, second], truth[:, second], bins)
    after, confidence, accuracy = _reliability(logits[:, second] / temperature, truth[:, second], bins)
    return Calibration(
        temperature,
        (nats(1.0, second), nats(temperature, second)),
        (before, after),
        confidence,
        accuracy,
        (half, len(x) - half),
        (len(x) - half) * repeats // bins,
    )


def _noised_logits(
    key: Array, model: Any, schedule: GaussianChannel, x: np.ndarray, labels: np.ndarray, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits ``[repeats, N, K]`` of noised copies, at another level each, and their labels."""
    function, channel = as_function(model), schedule.canonical()

    @jax.jit
    def one(function: Any, channel: Any, x: Array, key: Array) -> Array:
        key_level, key_noise, key_order = jax.random.split(key, 3)
        # The levels come in order, one bin each: so that neighbours do not share theirs in every copy.
        t = jax.random.permutation(key_order, draw_levels(key_level, channel, x.shape[0]))
        return function(noised(key_noise, channel, x, t)[0], level(channel, t, "log_snr"))

    keys = jax.random.split(key, repeats)
    found = np.stack([np.asarray(one(function, channel, jnp.asarray(x), k), np.float64) for k in keys])
    return found, np.broadcast_to(labels, found.shape[:2])


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _reliability(logits: np.ndarray, truth: np.ndarray, bins: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the expected calibration error, and each bin's mean confidence and accuracy."""
    probability = np.exp(_log_softmax(logits)).reshape(-1, logits.shape[-1])
    sure, right = probability.max(axis=1), probability.argmax(axis=1) == truth.reshape(-1)
    parts = np.array_split(np.argsort(sure, kind="stable"), bins)
    parts = [part for part in parts if part.size]
    confidence = np.array([sure[part].mean() for part in parts])
    accuracy = np.array([right[part].mean() for part in parts])
    share = np.array([part.size for part in parts]) / sure.size
    return float(np.sum(share * np.abs(accuracy - confidence))), confidence, accuracy
