"""Windows with posteriors: how much of a critical window's uncertainty is the data's?

First a mixture of known truth, fitted to 160 points; then three cultivars of wine, whose labels are known.
"""

from typing import Any

import jax
import numpy as np

import sloc
import sloc.bayes


def simulated(points: int) -> sloc.bayes.WindowPosterior:
    """Fit two Gaussians to simulated points and return the posterior of their window (truth: 0.440, 2.759)."""
    rng = np.random.default_rng(0)
    centres = np.array([[4.0, 0.0], [-4.0, 0.0]])
    data = centres[rng.integers(0, 2, points)] + rng.normal(size=(points, 2))
    model = sloc.bayes.GaussianMixtureModel(2, "spherical")
    posterior = sloc.bayes.fit(jax.random.key(0), model, data, warmup=300, draws=250)
    process = sloc.processes.OrnsteinUhlenbeck()
    return sloc.bayes.window_posterior(jax.random.key(1), process, posterior, 0, [0, 1], epsilon=0.1)


def wine() -> sloc.bayes.MergePosterior:
    """Fit three cultivars in two standardised measurements and return the posterior of their merge heights."""
    from sklearn.datasets import load_wine

    bunch: Any = load_wine()
    columns = [bunch.feature_names.index(n) for n in ("flavanoids", "proline")]
    data = bunch.data[:, columns]
    data = (data - data.mean(axis=0)) / data.std(axis=0)
    posterior = sloc.bayes.fit(
        jax.random.key(0),
        sloc.bayes.GaussianMixtureModel(3, "diagonal"),
        data,
        labels=bunch.target,
        names=tuple(str(n) for n in bunch.target_names),
        warmup=300,
        draws=250,
    )
    process = sloc.processes.OrnsteinUhlenbeck()
    return sloc.bayes.merge_posterior(jax.random.key(1), process, posterior, epsilon=0.1)


def main() -> dict[str, object]:
    """Print the posteriors: all of their spread is the data's, since the curves of these mixtures are exact."""
    found: dict[str, object] = {"simulated": simulated(160), "wine": wine()}
    for name, result in found.items():
        print(f"{name}: {result}")
    return found


if __name__ == "__main__":
    main()
