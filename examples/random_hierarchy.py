"""A grammar under diffusion: the class flips at one noise level while the leaves move smoothly, level by level."""

import jax
import jax.numpy as jnp
import numpy as np

import sloc

DEPTH, LETTERS, RULES, TREES = 8, 8, 4, 128


def survival(key: jax.Array, times: np.ndarray) -> np.ndarray:
    """Return how much of each level survives noise and denoising, ``[T, DEPTH + 1]``: 1 all of it, 0 chance.

    Mean over trees and nodes of the probability that a reverse run from ``Y_t`` gives back the symbol of the original:
    the marginals of belief propagation at the true symbols, with no reverse run.
    """
    population = sloc.populations.RandomHierarchy.random(
        jax.random.key(0), LETTERS, DEPTH, branching=2, vocabulary=LETTERS, rules=RULES, one_hot=True
    )
    process = sloc.processes.OrnsteinUhlenbeck()

    @jax.jit
    def at(population: sloc.populations.RandomHierarchy, keys: jax.Array, t: jax.Array) -> jax.Array:
        def one(key: jax.Array) -> jax.Array:
            k_class, k_tree, k_noise = jax.random.split(key, 3)
            tree = population.sample_tree(k_tree, jax.random.randint(k_class, (), 0, LETTERS, jnp.int32))
            y = process.sample(k_noise, population.codes()[tree[-1]], t)
            found = population.level_posteriors(process, y, t)
            right = [jnp.take_along_axis(p, s[:, None], 1) for p, s in zip(found, tree, strict=True)]
            return jnp.stack([jnp.mean(r) for r in right])

        return jnp.mean(jax.vmap(one)(keys), 0)

    keys = jax.random.split(key, TREES)
    right = np.stack([at(population, keys, jnp.float32(t)) for t in times])
    return (right - 1 / LETTERS) / (1 - 1 / LETTERS)


def main() -> np.ndarray:
    """Print what survives of each level, and over which noise levels it is lost."""
    times = np.geomspace(0.02, 1.0, 21).astype(np.float32)
    kept = survival(jax.random.key(1), times)
    print("noise   class " + " ".join(f"level {level}" for level in range(1, DEPTH)) + "  leaves")
    for t, row in zip(times[::2], kept[::2], strict=True):
        print(f"{t:5.2f}  " + "  ".join(f"{max(value, 0):6.3f}" for value in row))
    print("\nfrom 90 % to 10 % of it:")
    for level in (0, DEPTH // 2, DEPTH):
        start, end = (float(np.interp(-share, -kept[:, level], times)) for share in (0.9, 0.1))
        name = {0: "class", DEPTH: "leaves"}.get(level, f"level {level}")
        print(f"  {name:8s} noise {start:.2f} to {end:.2f}{' (not yet)' if kept[-1, level] > 0.1 else ''}")
    return kept


if __name__ == "__main__":
    main()
