"""Mixture trees without a draw: two hundred Gaussians, and words whose tree is as deep as they are long."""

from collections import Counter

import jax
import numpy as np

import sloc
from sloc import MixtureTree

KEY = jax.random.key(0)


def random_means() -> np.ndarray:
    """Draw 200 points in 16 dimensions: 8 groups of 5 groups of 5, at three scales of distance."""
    rng = np.random.default_rng(0)
    far, near, nearest = (scale * rng.normal(size=(n, 16)) for scale, n in ((1e6, 8), (3e3, 40), (10.0, 200)))
    return np.repeat(far, 25, axis=0) + np.repeat(near, 5, axis=0) + nearest


def two_hundred_gaussians(epsilon: float = 0.2) -> MixtureTree:
    """Return the tree of 200 random Gaussians of unit variance; every check is certified by pairs."""
    means = random_means()
    population = sloc.populations.GaussianMixture(np.full(200, 1 / 200), means)
    return sloc.mixture_tree(KEY, sloc.processes.OrnsteinUhlenbeck(), population, epsilon=epsilon, method="closed-form")


def counts(tree: MixtureTree) -> dict[str, dict[str, int]]:
    """Return at how many merges the conditions that are checked node by node hold, fail, or are not settled."""
    merges = [node for node in tree.nodes if node.children]
    return {name: dict(Counter(getattr(node, name).verdict for node in merges)) for name in ("merged", "apart")}


def staircase(d: int, epsilon: float = 0.1) -> dict[str, MixtureTree]:
    """Return trees of one population under several kinds of noise: word ``i`` is ``i`` ones, then zeros, to length d.

    When coordinates are hidden from the left, the last to go splits off the word of ones, the one before it the next
    word, and so on: each step peels off one word, and the tree has depth d.  A diffusion knows nothing but distances,
    here those of points on a line, and merges words two by two.
    """
    words = np.tril(np.ones((d + 1, d), int), -1)
    population = sloc.populations.Empirical(words, ["".join(map(str, word)) for word in words])
    processes = {
        "ordered masking": sloc.processes.OrderedMasking(np.arange(d)[::-1]),
        "masking": sloc.processes.Masking(),
        "diffusion": sloc.processes.OrnsteinUhlenbeck(),
    }
    return {
        name: sloc.mixture_tree(KEY, process, population, epsilon=epsilon, method="closed-form")
        for name, process in processes.items()
    }


def main() -> None:
    """Print both."""
    tree = two_hundred_gaussians()
    print(tree)
    for name, found in counts(tree).items():
        print(f"  at its noise level a merge is {name:6s} (certified): {found}")
    for d in (4, 8, 16):
        for name, tree in staircase(d).items():
            checks = ", ".join(f"{c} {found.verdict}" for c, found in tree.conditions.items())
            print(f"d = {d:2d}  {name:15s}  depth {tree.depth:2d}  ({checks})")


if __name__ == "__main__":
    main()
