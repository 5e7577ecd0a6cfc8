"""A ready model: a mixture of Gaussians with weakly informative, exchangeable priors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from sloc.contracts import require
from sloc.contracts.arguments import as_real, check_size, checked_choice

Shape = Literal["spherical", "diagonal", "full", "per-component"]
_SHAPES = ("spherical", "diagonal", "full", "per-component")


@dataclass(frozen=True)
class GaussianMixtureModel:
    """A NumPyro model of one ``X`` from a mixture of ``K`` Gaussians; hand it to :func:`sloc.bayes.fit`.

    ``weights ~ Dirichlet(concentration)``, ``means[k, j] ~ N(location_j, (spread scale_j)^2)``,
    ``sd ~ LogNormal(log(scale_j / width), width_sd)`` and, for full covariances, a Cholesky factor of correlations
    ``~ LKJ(2)``.  The prior treats all components alike, so labels are put in order after sampling: by the means in
    one dimension (the same posterior as ordered components), else by memberships.

    Attributes:
        num_components: ``K``.
        covariance: ``spherical`` (one variance), ``diagonal``, ``full`` (both shared by all components) or
            ``per-component`` (full, one each).
        location: ``d`` numbers; None takes the means of the data.
        scale: ``d`` positive numbers; None takes the standard deviations of the data.
        spread: prior standard deviation of the means, in units of ``scale``.
        width: ``scale`` over the prior median of a component's standard deviation.
        width_sd: prior standard deviation of the log of it.
        concentration: of the Dirichlet prior of the weights.

    """

    num_components: int
    covariance: Shape = "full"
    location: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    spread: float = 1.5
    width: float = 2.0
    width_sd: float = 0.75
    concentration: float = 2.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range (this is no pytree, so values are always at hand)."""
        k = self.num_components
        check_size(k, "num_components", 2)
        checked_choice(self.covariance, "covariance", _SHAPES)
        for name in ("spread", "width", "width_sd", "concentration"):
            require(0 < as_real(getattr(self, name)) < np.inf, name, getattr(self, name), "a positive number")
        for name, least in (("location", -np.inf), ("scale", 0.0)):
            values = getattr(self, name)
            listed = values is None or (isinstance(values, tuple) and all(least < as_real(v) < np.inf for v in values))
            require(listed, name, values, f"a tuple of {'positive' if name == 'scale' else 'finite'} numbers, or None")

    def scaled_to(self, data: np.ndarray) -> GaussianMixtureModel:
        """Return the model with the location and scale that were left open taken from data ``[N, d]``."""
        location = self.location or tuple(float(v) for v in data.mean(axis=0))
        scale = self.scale or tuple(float(v) for v in data.std(axis=0))
        d = data.shape[1]
        require(len(location) == d, "location", location, f"{d} numbers, one for each column of the data")
        require(len(scale) == d, "scale", scale, f"{d} numbers, one for each column of the data")
        require(all(s > 0 for s in scale), "data", scale, "columns that vary")
        return replace(self, location=location, scale=scale)

    def __call__(self) -> None:
        """Describe one ``X``: sites ``weights``, ``means``, ``sd``, ``correlation`` (if full), ``theta``, ``x``."""
        require(self.location is not None and self.scale is not None, "scale", self.scale, "numbers; see scaled_to")
        k, d = self.num_components, len(self.location or ())
        location, scale = jnp.asarray(self.location), jnp.asarray(self.scale)
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(k, self.concentration)))
        prior = dist.Normal(location, self.spread * scale).expand([k, d]).to_event(2)
        means: Any = numpyro.sample("means", prior)
        sd: Any
        if self.covariance == "spherical":
            centre = math.log(float(np.exp(np.mean(np.log(np.asarray(self.scale))))) / self.width)
            sd = numpyro.sample("sd", dist.LogNormal(centre, self.width_sd))
        else:
            shape = [k, d] if self.covariance == "per-component" else [d]
            log_sd = dist.LogNormal(jnp.log(scale / self.width), self.width_sd)
            sd = numpyro.sample("sd", log_sd.expand(shape).to_event(len(shape)))
        factor: Any = None
        if self.covariance in ("full", "per-component") and d > 1:
            each = [k] if self.covariance == "per-component" else []
            law: Any = dist.LKJCholesky(d, 2.0)
            joint: Any = law.expand(each).to_event(len(each)) if each else law
            factor = numpyro.sample("correlation", joint)
        choice: Any = dist.Categorical(weights)
        theta: Any = numpyro.sample("theta", choice)
        if self.covariance == "per-component":
            sd = sd[theta]
            factor = factor[theta] if factor is not None else None
        if factor is None:
            numpyro.sample("x", dist.Normal(means[theta], jnp.broadcast_to(sd, (d,))).to_event(1))
        else:
            numpyro.sample("x", dist.MultivariateNormal(means[theta], scale_tril=sd[..., None] * factor))

    def start(self, data: np.ndarray, labels: np.ndarray | None, rng: np.random.Generator) -> dict[str, Any]:
        """Return parameters near a k-means solution from random seeds (or near the labelled groups).

        Args:
            data: ``[N, d]``.
            labels: ``[N]`` ints, or None.
            rng: chooses the seeds.

        """
        k, d = self.num_components, data.shape[1]
        scale = np.asarray(self.scale, np.float64)
        groups = _k_means(data / scale, k, rng) if labels is None else labels
        counts = np.bincount(groups, minlength=k)
        means = np.stack(
            [data[groups == j].mean(axis=0) if counts[j] else data[rng.integers(len(data))] for j in range(k)]
        )
        residual = data - means[groups]
        common = np.maximum(residual.std(axis=0), 1e-3 * scale)
        values: dict[str, Any] = {"weights": (counts + 1.0) / (counts + 1.0).sum(), "means": means}
        if self.covariance == "spherical":
            values["sd"] = max(float(residual.std()), 1e-3 * float(scale.min()))
        elif self.covariance == "per-component":
            own = [residual[groups == j].std(axis=0) if counts[j] > d + 1 else common for j in range(k)]
            values["sd"] = np.maximum(np.stack(own), 1e-2 * scale)
        else:
            values["sd"] = common
        if self.covariance in ("full", "per-component") and d > 1:
            each = [k] if self.covariance == "per-component" else []
            values["correlation"] = np.broadcast_to(np.eye(d), (*each, d, d))
        return {n: jnp.asarray(v, jnp.result_type(float)) for n, v in values.items()}


def _k_means(data: np.ndarray, k: int, rng: np.random.Generator, rounds: int = 20, restarts: int = 5) -> np.ndarray:
    """Lloyd's algorithm from k-means++ seeds, the best of a few starts; ``[N]`` ints."""
    best, labels = np.inf, np.zeros(len(data), int)
    for _ in range(restarts):
        centres = data[rng.integers(len(data))][None]
        while len(centres) < k:
            gap = ((data[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1)
            total = gap.sum()
            pick = rng.choice(len(data), p=gap / total) if total > 0 else rng.integers(len(data))
            centres = np.concatenate([centres, data[pick][None]])
        gaps = ((data[:, None] - centres[None]) ** 2).sum(axis=2)
        own = gaps.argmin(axis=1)
        for _ in range(rounds - 1):
            centres = np.stack([data[own == j].mean(axis=0) if (own == j).any() else centres[j] for j in range(k)])
            gaps = ((data[:, None] - centres[None]) ** 2).sum(axis=2)
            own = gaps.argmin(axis=1)
        loss = float(gaps.min(axis=1).sum())
        if loss < best:
            best, labels = loss, own
    return labels
