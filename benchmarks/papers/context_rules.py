"""Ex. 11, Cor. 3: several rules on several questions at unequal weights, and what a number of examples leaves open."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

import sloc
from sloc.divergence import betting_interval
from sloc.windows import printed

from .rows import Fit, Row, same, slope

NAME, EPSILON = "Ex. 11", 1e-3
ZEROS = np.array([[0.95, 0.95, 0.5], [0.95, 0.05, 0.5], [0.05, 0.95, 0.5]])
"""``P(output 0)`` of three rules on three questions, of which the last tells nothing."""
OUTPUTS = np.stack([ZEROS, 1 - ZEROS], -1)
WEIGHTS = np.array([0.1, 0.3, 0.6])
SHARES = (0.4, 0.2, 0.1, 0.05, 0.025)


def rules(examples: int, weights: np.ndarray = WEIGHTS) -> sloc.populations.InContext:
    """Return the rules, with questions at random."""
    return sloc.populations.InContext(OUTPUTS, np.full(3, 1 / 3), examples, weights=weights)


@lru_cache
def counted(examples: int) -> np.ndarray:
    """Return the laws of the counts of (question, output) after so many examples under each rule, ``[K, M]``."""
    bars = np.array(list(itertools.combinations(range(examples + 5), 5))).reshape(-1, 5)
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), examples + 5)], 1)
    counts = np.diff(edges, axis=1) - 1
    choose = gammaln(examples + 1) - gammaln(counts + 1).sum(1)
    return np.exp(choose + np.log(OUTPUTS.reshape(3, 6) / 3) @ counts.T)


def beliefs(laws: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return posteriors over rules, ``[K, M]``."""
    joint = laws * weights[:, None]
    return joint / joint.sum(0)


def next_error(pi: np.ndarray, rule: int) -> np.ndarray:
    """Return TV of the next output, mean over questions, from beliefs ``[K, M]`` in place of the rule."""
    return np.abs(np.einsum("km,kx->mx", pi, ZEROS) - ZEROS[rule]).mean(1)


def lost(examples: int, rule: int, weights: np.ndarray = WEIGHTS) -> float:
    """Return ``E[1 - pi]`` of a rule after so many examples: a sum over counts."""
    laws = counted(examples)
    return float(laws[rule] @ (1 - beliefs(laws, weights)[rule]))


def one_example(rule: int) -> np.ndarray:
    """Return the affinity of an example under a rule and under each, ``[K]``."""
    return np.sqrt(OUTPUTS * OUTPUTS[rule]).sum(-1).mean(-1)


def sampling_free(examples: int, rule: int, weights: np.ndarray = WEIGHTS) -> float:
    """Return ``1/2 sum_j sqrt(w_j / w) BC_j^T``, which bounds ``E[1 - pi]``."""
    others = np.arange(3) != rule
    return float((np.sqrt(weights / weights[rule]) * one_example(rule) ** examples)[others].sum() / 2)


def by_draws(examples: int, rule: int, n: int) -> tuple[float, float, float]:
    """Return the library's error of the next output, with an interval: beliefs of draws from the rule."""
    population, process = rules(examples), sloc.processes.Truncation(2 * examples)

    @jax.jit
    def belief(key: jax.Array) -> jax.Array:
        seen = sloc.Revealed(population.sample(key, jnp.asarray(rule)), jnp.ones(2 * examples, bool))
        return sloc.posterior(process, population, seen, 0)

    pi = np.exp(np.asarray(jax.vmap(belief)(jax.random.split(jax.random.key(24), n)), np.float64))
    values = next_error(pi.T, rule)
    low, high = betting_interval(np.clip(values, 0, 1), 1e-6)
    return float(values.mean()), float(low), float(high)


def rows_of(rule: int, n: int) -> list[Row]:
    """Return what is printed, mended and exact for one rule."""
    others, weight = np.arange(3) != rule, float(WEIGHTS[rule])
    delta = float(2 - 2 * one_example(rule)[others].max())
    mean = WEIGHTS[others] @ OUTPUTS[others].reshape(2, -1) / WEIGHTS[others].sum()
    mixed = float(2 - 2 * np.sqrt(mean * OUTPUTS[rule].ravel()).sum() / 3)
    said = printed.examples_needed(delta, EPSILON)
    enough = next(t for t in itertools.count() if (one_example(rule)[others] ** t).max() <= EPSILON)
    population, claimed = rules(1), EPSILON / weight
    bound = population.affinity(enough)[rule][others] @ np.sqrt(WEIGHTS[others] / weight) / 2
    setting = f"3 rules, 3 questions, w* = {weight:g}, ε = {EPSILON:g}"
    rows = [
        Row(NAME, setting, "δ, the least over single other rules", delta, *same(population.smallest_hellinger(rule)),
            "closed form", None, f"to the mixture of the others {mixed:.3f}, but a mixture of products is no product"),
        Row(NAME, setting, "examples whose affinity is ε", float(enough),
            *same(population.examples_needed(rule, EPSILON)), "closed form", said, "mended: ln(1/ε) / ln(1/(1-δ/2))"),
        Row(NAME, setting, f"½ Σ √(w_j/w*) BC_j^T at T = {enough}", sampling_free(enough, rule), *same(bound),
            "closed form", claimed, "printed: ε/w*; a bound on E[1-π] that takes no draws"),
    ]  # fmt: skip
    for number in (enough, math.ceil(said)):
        laws = counted(number)
        exact = float(laws[rule] @ next_error(beliefs(laws, WEIGHTS), rule))
        verdict = "holds" if exact <= claimed else f"wrong: {exact / claimed:.0f} times what is claimed"
        rows.append(
            Row(NAME, setting, f"error of the next output after {number} examples (TV)", exact,
                *by_draws(number, rule, n), f"{n:,} draws", claimed, f"printed: ε/w*; {verdict}")
        )  # fmt: skip
    return rows


def unequal() -> tuple[Fit, dict[str, list[float]]]:
    """Return how the mass that a rule lacks follows its weight, after the mended number of examples."""
    number = next(t for t in itertools.count() if (one_example(0)[1:] ** t).max() <= EPSILON)
    weights = [np.array([w, (1 - w) / 3, 2 * (1 - w) / 3]) for w in SHARES]
    found = [lost(number, 0, w) for w in weights]
    fit = Fit(NAME, "error ≲ ε/w*, a bound", "w*", f"exact E[1-π] after {number} examples", *slope(SHARES, found), -1.0)
    bounds = [sampling_free(number, 0, w) for w in weights]
    return fit, {"w": list(SHARES), "lost": found, "bound": bounds, "printed": [EPSILON / w for w in SHARES]}
