"""Two Gaussians under diffusion: the exact critical window, and the same one by sampling with intervals."""

import jax
import numpy as np

import sloc


def main() -> tuple[sloc.Window, sloc.Window]:
    """Print both windows (exact edges 0.4401 and 2.7593)."""
    means = np.array([[4.0, 0.0], [-4.0, 0.0]])
    mixture = sloc.populations.GaussianMixture(weights=[0.5, 0.5], means=means, covariances=1.0, names=("cat", "dog"))
    process = sloc.processes.OrnsteinUhlenbeck()
    exact = sloc.critical_window(jax.random.key(0), process, mixture, "cat", ["cat", "dog"], epsilon=0.1)
    sampled = sloc.critical_window(
        jax.random.key(0), process, mixture, "cat", ["cat", "dog"], epsilon=0.1, method="monte-carlo"
    )
    print(exact, sampled, sep="\n")
    return exact, sampled


if __name__ == "__main__":
    main()
