"""Everything at once: several statistics of one pass over common trajectories, as a table."""

import jax
import numpy as np

import sloc


def main() -> dict[str, sloc.Curve]:
    """Print information, clone agreement and a certificate for four clusters of data."""
    rng = np.random.default_rng(0)
    centres = np.array([[4.0, 4.0], [4.0, 3.0], [-4.0, -4.0], [-4.0, 4.0]])
    labels = np.repeat(["ash", "oak", "elm", "fir"], 50)
    data = np.repeat(centres, 50, axis=0) + 0.3 * rng.normal(size=(200, 2))
    population = sloc.populations.Empirical(data, labels)
    process = sloc.processes.FlowMatching()
    curves = sloc.measure(
        jax.random.key(0),
        process,
        population,
        process.grid(16),
        {
            "information": sloc.Information(),
            "clones agree": sloc.Clones(),
            "ash against oak": sloc.TV("ash", "oak"),
            "ash to {ash, oak}": sloc.Certificate("ash", ["ash", "oak"]),
        },
        n=8192,
    )
    for name, curve in curves.items():
        print(f"{name:20s}", np.array2string(curve.value, precision=2, floatmode="fixed", max_line_width=120))
    return curves


if __name__ == "__main__":
    main()
