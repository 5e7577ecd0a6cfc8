"""What a fit gives: draws of the parameters, memberships of the data, and populations to push onwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from sloc.bayes.gates import ChainDiagnostics
from sloc.bayes.population import NumPyroPopulation
from sloc.bayes.stacking import stacked_mixture
from sloc.contracts import require
from sloc.contracts.arguments import checked_whole
from sloc.contracts.equality import same_fields
from sloc.contracts.extras import need
from sloc.populations import GaussianMixture

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, repr=False)
class MixturePosterior:
    """Draws from the posterior of a mixture given data, in ``C`` chains of ``S`` draws.

    Attributes:
        samples: parameters, ``[C, S, ...]`` each, labels in one order.
        log_likelihood: ``[C, S, N]``, of each data point, theta summed out (or known).
        log_density: ``[C, S]``, log joint density of parameters and data.
        theta_log_probs: ``[C, S, N, K]``, ``log P(theta_i = k | x_i, parameters)``.
        sample_stats: of the sampler, ``[C, S]`` each.
        data: ``[N, ...]``.
        labels: ``[N]`` where they were known, else None.
        model: the model of one ``X``.
        site: the name of its discrete site theta.
        observed: the name of the site of ``X``.
        args: its arguments.
        kwargs: its keyword arguments.
        names: ``K`` names.
        method: how the draws were got.
        diagnostics: of the chains; they passed the gates.

    """

    samples: Mapping[str, np.ndarray]
    log_likelihood: np.ndarray
    log_density: np.ndarray
    theta_log_probs: np.ndarray
    sample_stats: Mapping[str, np.ndarray]
    data: np.ndarray
    labels: np.ndarray | None
    model: Any
    site: str
    observed: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    names: tuple[str, ...]
    method: str
    diagnostics: ChainDiagnostics = field(repr=False)

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def chains(self) -> int:
        """Number of chains."""
        return int(self.log_density.shape[0])

    @property
    def draws(self) -> int:
        """Draws in all."""
        return int(self.log_density.size)

    def theta_probs(self) -> np.ndarray:
        """Posterior ``P(theta_i = k | data)`` of every data point, ``[N, K]``: the mean over draws."""
        return np.exp(self.theta_log_probs).mean(axis=(0, 1))

    def thinned(self, draws: int | None) -> dict[str, np.ndarray]:
        """Parameters as ``[draws, ...]``, evenly spaced over all chains one after the other; None takes all.

        Of ``N`` draws the ``floor((2 i + 1) N / (2 draws))``-th, ``i`` from 0.

        Raises:
            InvalidInput: more draws than there are.

        """
        total = self.draws
        count = total if draws is None else checked_whole(draws, "draws", 1, total, what="draws of the posterior")
        return {n: v.reshape(-1, *v.shape[2:])[evenly(total, count)] for n, v in self.samples.items()}

    def population(self, draws: int | None = 256) -> NumPyroPopulation:
        """The posterior predictive population: sub-population ``k`` averaged over draws of the parameters.

        Args:
            draws: how many draws to average over; None takes all.

        Returns:
            A population; ``sloc.posterior(process, population, y, t)`` is the posterior of theta given ``Y_t = y``
            and the data, exact given the draws where the model is.

        """
        count = None if draws is None else min(self.draws, checked_whole(draws, "draws"))
        return NumPyroPopulation(
            self.model,
            self.site,
            observed=self.observed,
            posterior_samples=self.thinned(count),
            args=self.args,
            kwargs=self.kwargs,
            names=self.names,
        )

    def populations(self, draws: int | None = None) -> GaussianMixture:
        """Every draw as a Gaussian mixture of its own, stacked on a first axis.

        Args:
            draws: how many; None takes all.

        Raises:
            InvalidInput: ``X | theta`` is not one Gaussian.

        """
        log_w, means, cov = self.population(self.draws if draws is None else draws).gaussian_terms()
        return stacked_mixture(log_w, means, cov, self.names)

    def to_arviz(self) -> Any:
        """Return an ``arviz.InferenceData``: posterior, log likelihood, sampler statistics, data, memberships."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            az = need("bayes", "arviz", "to_arviz")
            posterior: dict[str, Any] = dict(self.samples)
            posterior["theta_probs"] = np.exp(self.theta_log_probs)
            dims = {"theta_probs": ["point", "component"], self.observed: ["point"]}
            k = len(self.names)
            for name, value in self.samples.items():
                if value.ndim >= 3 and value.shape[2] == k:
                    rest = [f"{name}_dim_{j}" for j in range(1, value.ndim - 2)]
                    dims[name] = ["component", *rest]
            return az.from_dict(
                posterior=posterior,
                log_likelihood={self.observed: self.log_likelihood},
                sample_stats={**dict(self.sample_stats), "lp": self.log_density},
                constant_data={"data": self.data},
                coords={"component": list(self.names), "point": np.arange(len(self.data))},
                dims=dims,
            )

    def to_xarray(self) -> xr.Dataset:
        """Return the posterior group of :meth:`to_arviz`."""
        return self.to_arviz().posterior

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each number: mean, sd, 5, 50 and 95 % quantiles."""
        import pandas as pd

        rows = []
        for name, value in self.samples.items():
            flat = value.reshape(self.draws, -1)
            shape = value.shape[2:]
            for j in range(flat.shape[1]):
                index = ", ".join(map(str, np.unravel_index(j, shape))) if shape else ""
                low, middle, high = np.quantile(flat[:, j], [0.05, 0.5, 0.95])
                rows.append(
                    {
                        "name": f"{name}[{index}]" if shape else name,
                        "mean": flat[:, j].mean(),
                        "sd": flat[:, j].std(),
                        "q05": low,
                        "q50": middle,
                        "q95": high,
                    }
                )
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """Return how many draws of what, and the worst diagnostics."""
        worst = max(self.diagnostics.r_hat.values())
        least = min(self.diagnostics.ess.values())
        return (
            f"MixturePosterior({', '.join(self.samples)}; {self.chains} chains x {self.draws // self.chains} draws, "
            f"{self.method}, R-hat <= {worst:.3f}, effective size >= {least:.0f}"
            f"{', labels put in order' if self.diagnostics.relabelled else ''})"
        )


def evenly(total: int, count: int) -> np.ndarray:
    """Positions of ``count`` draws out of ``total``: as many of each chain, where ``count`` allows."""
    return (2 * np.arange(count) + 1) * total // (2 * count)


def as_populations(posterior: Any, draws: int | None) -> Any:
    """Draws of a posterior as a stacked population, from a fit or a population whose leaves have a first axis.

    Args:
        posterior: either.
        draws: how many, evenly spaced; None, or more than there are, takes all.

    Raises:
        InvalidInput: neither, or leaves of which some have no first axis.

    """
    if isinstance(posterior, MixturePosterior):
        return posterior.populations(posterior.draws if draws is None else min(draws, posterior.draws))
    expected = "a fit, or a stacked GaussianMixture with weights [draws, K]"
    require(isinstance(posterior, GaussianMixture), "posterior", type(posterior).__name__, expected)
    weights = np.asarray(posterior.weights)
    require(weights.ndim == 2, "posterior", weights.shape, expected)
    total = len(weights)
    for name in ("means", "covariances"):
        shape = np.shape(getattr(posterior, name))
        what = f"a first axis of {total} draws, as that of the weights"
        require(shape[:1] == (total,), f"posterior.{name}", shape, what)
    picks = evenly(total, total if draws is None else min(draws, total))
    take = {
        n: jnp.asarray(np.asarray(getattr(posterior, n))[picks], jnp.result_type(float))
        for n in ("weights", "means", "covariances")
    }
    return GaussianMixture(**take, names=posterior.names)
