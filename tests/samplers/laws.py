"""What the tests of the samplers share: chi-square tests with a stated false alarm, forward draws to compare with."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import chi2

FALSE_ALARM = 1e-9
FAR = 100.0


def assert_frequencies(counts, probabilities, reference_draws: float = np.inf) -> None:
    """Assert by Pearson's chi-square that counts ``[F]`` come from ``probabilities [F]``, with false alarm 1e-9.

    Probabilities that are estimates from ``reference_draws`` draws inflate the statistic's variance by at most
    ``1 + n / reference_draws``.  Cells that expect fewer than 10 are pooled.
    """
    counts, probabilities = np.asarray(counts, float), np.asarray(probabilities, float)
    n = counts.sum()
    assert (counts[probabilities == 0] == 0).all()
    counts, probabilities = counts[probabilities > 0], probabilities[probabilities > 0]
    if len(counts) == 1:
        return
    order = np.argsort(probabilities)
    pooled = np.searchsorted(np.cumsum(probabilities[order]) * n, 10, side="left") + 1
    cells = [order[:pooled], *([i] for i in order[pooled:])]
    seen = np.array([counts[c].sum() for c in cells])
    want = np.array([probabilities[c].sum() for c in cells]) * n
    statistic = ((seen - want) ** 2 / want).sum() / (1 + n / reference_draws)
    assert len(cells) > 1
    assert statistic <= chi2.isf(FALSE_ALARM, len(cells) - 1), (statistic, seen, want)


@functools.partial(jax.jit, static_argnames="n")
def forward(key, process, population, t, n):
    """Draw ``(theta, X, Y_t)`` ``n`` times from their definition."""

    def one(key):
        k_component, k_x, k_y = jax.random.split(key, 3)
        component = jax.random.categorical(k_component, population.log_weights).astype(jnp.int32)
        x = population.sample(k_x, component)
        return component, x, process.sample(k_y, x, t)

    return jax.vmap(one)(jax.random.split(key, n))


def features(label, x, num_labels: int, *more) -> np.ndarray:
    """Columns that see the joint law of a label and numbers: the numbers, by label, and their products."""
    columns = [np.asarray(v, float).reshape(len(label), -1) for v in (x, *more)]
    numbers = np.concatenate(columns, axis=1)
    own = np.asarray(label)[:, None] == np.arange(num_labels)[None, :]
    assert np.abs(numbers).max() < FAR
    by_label = [np.where(own[:, [k]], numbers, FAR) for k in range(num_labels)]
    products = (numbers[:, :, None] * numbers[:, None, :]).reshape(len(numbers), -1)
    return np.concatenate([own.astype(float), numbers, *by_label, products], axis=1)
