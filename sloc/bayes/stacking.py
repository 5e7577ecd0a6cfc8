"""Draws of a Gaussian mixture as one mixture whose leaves have a first axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import is_concrete
from sloc.populations import GaussianMixture

Array = jax.Array


def stacked_mixture(log_w: Array, means: Array, cov: Array, names: tuple[str, ...]) -> GaussianMixture:
    """Return draws of a mixture as one :class:`~sloc.populations.GaussianMixture` whose leaves have a first axis.

    Covariances are stored in the least form that holds them: shared by all components, or one variance, where that
    is so exactly in every draw (it opens closed forms).

    Args:
        log_w: ``[S, K]``.
        means: ``[S, K, d]``.
        cov: ``[S, K, d]`` variances or ``[S, K, d, d]`` covariances.
        names: ``K`` names.

    Returns:
        The stacked mixture; not a valid population until one draw is taken.

    """
    weights = jax.nn.softmax(log_w, axis=1)
    d = means.shape[-1]
    if is_concrete(cov):
        host = np.asarray(cov)
        shared = bool((host == host[:, :1]).all())
        if host.ndim == 3 and shared:
            one = bool((host == host[..., :1]).all())
            return GaussianMixture(weights, means, cov[:, 0, 0] if one else cov[:, 0], names)
        if host.ndim == 4 and shared:
            return GaussianMixture(weights, means, cov[:, 0], names)
    if cov.ndim == 3:
        cov = cov[..., None] * jnp.eye(d, dtype=cov.dtype)
    return GaussianMixture(weights, means, cov, names)
