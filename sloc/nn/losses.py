"""What networks are trained to do, as losses of one batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sloc.contracts import GaussianChannel, check_registered, require
from sloc.contracts.arguments import checked_key, checked_number, checked_whole
from sloc.processes.levels import level, time_at

Array = jax.Array


def draw_levels(key: Array, schedule: GaussianChannel, n: int, low: float = 0.01, high: float = 100.0) -> Array:
    """Draw ``n`` times evenly in log-SNR from ``sigma / a = low`` to ``high``, one in each of ``n`` bins.

    Where the schedule ends earlier, at its end.  The bins take noise out of the loss.  Source: Kingma et al. 2021.

    Args:
        key: a typed key.
        schedule: a Gaussian channel.
        n: how many.
        low: least noise over signal, ``sigma / a``.
        high: most.

    Returns:
        Times ``[n]``, increasing.

    """
    checked_key(key)
    check_registered(schedule, "schedule", GaussianChannel)
    n, low = checked_whole(n, "n"), checked_number(low, "low", 0)
    high = checked_number(high, "high", low)
    share = (jnp.arange(n) + jax.random.uniform(key, ())) / n
    log_sigma = jnp.log(low) + share * (jnp.log(high) - jnp.log(low))
    return jnp.minimum(time_at(schedule, -2.0 * log_sigma, "log_snr"), schedule.horizon)


def noised(key: Array, schedule: GaussianChannel, x: Array, t: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``(y, z, a, sigma)`` of a batch, the last two shaped to broadcast with it."""
    a, sigma = (v.reshape(-1, *(1,) * (x.ndim - 1)) for v in schedule.coefficients(t))
    z = jax.random.normal(key, x.shape, x.dtype)
    return a * x + sigma * z, z, a, sigma


def denoising_loss(model: Any, key: Array, x: Array, label: Array | None, schedule: Any, drop: float = 0.1) -> Array:
    """Return the mean squared error of ``v = (a z - sigma x) / sqrt(a^2 + sigma^2)``.

    With classes, the label is left out (``num_classes`` stands for none) with probability ``drop``, so that one network
    is both the class's model and the whole's.  Sources: Salimans & Ho 2022; Ho & Salimans 2022.

    Args:
        model: ``(y, log_snr[, label]) -> v``.
        key: typed PRNG key.
        x: ``[B, ...]`` data.
        label: ``[B]``, or None for a model without classes.
        schedule: a Gaussian channel.
        drop: probability that the label is left out.

    """
    key_level, key_noise, key_drop = jax.random.split(key, 3)
    t = draw_levels(key_level, schedule, x.shape[0])
    y, z, a, sigma = noised(key_noise, schedule, x, t)
    target = (a * z - sigma * x) / jnp.sqrt(a**2 + sigma**2)
    given = [y, level(schedule, t, "log_snr")]
    if label is not None and model.num_classes:
        given.append(jnp.where(jax.random.uniform(key_drop, label.shape) < drop, model.num_classes, label))
    return jnp.mean((model(*given) - target) ** 2)


def classification_loss(model: Any, key: Array, x: Array, label: Array, schedule: Any) -> Array:
    """Return the mean cross-entropy, in nats, of labels given noised data at all levels.

    ``-mean_i log softmax(model(y_i, log_snr_i))[label_i]``.  Source: Dhariwal & Nichol 2021 (classifiers of noised
    data).

    Args:
        model: ``(y [B, ...], log_snr [B]) -> logits [B, K]``.
        key: a typed key.
        x: samples ``[B, ...]``.
        label: classes ``[B]``.
        schedule: a Gaussian channel.

    Returns:
        A scalar in nats.

    """
    key_level, key_noise = jax.random.split(key)
    t = draw_levels(key_level, schedule, x.shape[0])
    y = noised(key_noise, schedule, x, t)[0]
    logits = model(y, level(schedule, t, "log_snr"))
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))


def masked_loss(model: Any, key: Array, x: Array, label: Array | None = None) -> Array:
    """Return the mean over sequences of ``-(L / k) sum_hidden log p``: a bound on ``-log p(x)`` in the mean, in nats.

    ``k`` of the ``L`` tokens are hidden, ``k`` uniform on ``1 .. L``, one for each of as many bins as sequences.  Its
    mean is that of ``-sum_hidden log p / t`` with each token hidden with probability ``t``, ``t`` uniform, since the
    integral of ``P(k hidden | t) / t`` over ``t`` is ``1 / k``; it varies less, since no token weighs more by chance.
    Sources: Hoogeboom et al. 2022, eq. 5; Sahoo et al. 2024, eq. 11 (with ``alpha = 1 - t``).

    Args:
        model: ``tokens [B, L] -> logits [B, L, vocabulary]``, with ``vocabulary`` as the mask.
        key: typed PRNG key.
        x: ``[B, L]`` whole numbers, the letters; in random order, as :func:`sloc.nn.fit` draws them, since earlier
            sequences have fewer tokens hidden.
        label: not read.

    """
    del label
    key_count, key_mask = jax.random.split(key)
    batch, length = x.shape
    share = (jnp.arange(batch) + jax.random.uniform(key_count, ())) / batch
    count = jnp.minimum(1 + jnp.floor(share * length).astype(jnp.int32), length)
    # The place of each token in a random order.
    place = jnp.argsort(jnp.argsort(jax.random.uniform(key_mask, x.shape), axis=1), axis=1)
    hidden = place < count[:, None]
    logits = model(jnp.where(hidden, model.vocabulary, x))
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, x)
    return jnp.mean(jnp.sum(jnp.where(hidden, nats, 0.0), axis=1) * length / count)


def check_labels(labels: Any, num_classes: int, argument: str = "labels") -> None:
    """Refuse labels that are not whole numbers of ``0 .. num_classes - 1``."""
    values = np.asarray(labels)
    whole = values.ndim == 1 and np.issubdtype(values.dtype, np.integer)
    inside = whole and bool(((values >= 0) & (values < num_classes)).all())
    wrong = values[(values < 0) | (values >= num_classes)][:3].tolist() if whole else values.dtype
    require(inside, argument, wrong, f"labels of the model, whole numbers from 0 to {num_classes - 1}")
