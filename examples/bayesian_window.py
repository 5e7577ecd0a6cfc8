"""Windows with posteriors: how much of a critical window's uncertainty is the data's?

First mixtures of known truth, fitted to fewer and to more points; then three cultivars of wine, whose labels are known.
"""

from typing import Any

import jax
import numpy as np

import sloc
import sloc.bayes

PROCESS = sloc.processes.OrnsteinUhlenbeck()
CENTRES = np.array([[4.0, 0.0], [-4.0, 0.0]])


def truth() -> sloc.Window:
    """Return the window of the mixture that the simulated points come from, exactly."""
    exact = sloc.populations.GaussianMixture([0.5, 0.5], CENTRES, 1.0)
    return sloc.critical_window(jax.random.key(0), PROCESS, exact, 0, [0, 1], epsilon=0.1)


def simulated(points: int) -> sloc.bayes.WindowPosterior:
    """Fit two Gaussians to simulated points and return the posterior of their window."""
    rng = np.random.default_rng(0)
    data = CENTRES[rng.integers(0, 2, points)] + rng.normal(size=(points, 2))
    model = sloc.bayes.GaussianMixtureModel(2, "spherical")
    posterior = sloc.bayes.fit(jax.random.key(0), model, data, warmup=300, draws=250)
    return sloc.bayes.window_posterior(jax.random.key(1), PROCESS, posterior, 0, [0, 1], epsilon=0.1)


def wine() -> tuple[sloc.bayes.WindowPosterior, sloc.bayes.MergePosterior]:
    """Fit three cultivars in two standardised measurements; one's window within all, and the tree of the three."""
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
    window = sloc.bayes.window_posterior(
        jax.random.key(1), PROCESS, posterior, "class_0", ["class_0", "class_1", "class_2"], epsilon=0.3
    )
    return window, sloc.bayes.merge_posterior(jax.random.key(2), PROCESS, posterior, epsilon=0.1)


def main() -> dict[str, object]:
    """Print the posteriors; where curves are exact, all of their spread is the data's."""
    print(f"truth: {truth()}")
    found: dict[str, object] = {f"{n} simulated points": simulated(n) for n in (40, 160)}
    found["wine, one cultivar within all"], found["wine, the tree"] = wine()
    for name, result in found.items():
        print(f"{name}: {result}")
    return found


if __name__ == "__main__":
    main()
