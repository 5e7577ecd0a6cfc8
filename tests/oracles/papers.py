"""Windows of the papers' examples by brute force, float64 NumPy and SciPy; nothing here uses the library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm

from tests.oracles import discourse as discourse_oracle
from tests.oracles import hierarchy as hierarchy_oracle
from tests.oracles import words


def edge(quantity: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Where a falling quantity passes a level."""
    return float(brentq(lambda t: quantity(t) - level, low, high, xtol=1e-13))


def coins_tv(p: float, q: float, tokens: int) -> np.ndarray:
    """TV of 0 .. ``tokens`` coins of bias p and q, from laws of the number of heads grown coin by coin."""
    laws, out = [np.array([1.0]), np.array([1.0])], [0.0]
    for _ in range(tokens):
        laws = [np.convolve(law, [1 - bias, bias]) for law, bias in zip(laws, (p, q), strict=True)]
        out.append(float(np.abs(laws[0] - laws[1]).sum() / 2))
    return np.array(out)


def heads_masses(bias: float, tokens: int, reach: float = 40.0) -> np.ndarray:
    """Masses of the number of heads, by ratios of neighbouring masses outwards from the mode."""
    mode, spread = int(tokens * bias), int(reach * math.sqrt(tokens)) + 10
    low, high = max(mode - spread, 0), min(mode + spread, tokens)
    k = np.arange(low, high)
    steps = np.log((tokens - k) / (k + 1) * (bias / (1 - bias)))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    out = np.zeros(tokens + 1)
    out[low : high + 1] = np.exp(logs - logs.max())
    return out / out.sum()


def long_coins_tv(p: float, q: float, tokens: int) -> float:
    """TV of so many coins."""
    return float(np.abs(heads_masses(p, tokens) - heads_masses(q, tokens)).sum() / 2)


def long_coins_mass(p: float, q: float, tokens: int) -> float:
    """``E[1 - pi]`` of the first bias after so many coins, equal weights: ``sum p q / (p + q)``."""
    a, b = heads_masses(p, tokens), heads_masses(q, tokens)
    return float(np.divide(a * b, a + b, out=np.zeros_like(a), where=a + b > 0).sum())


def absorbed_tv(p: float, barrier: int, steps: int) -> float:
    """TV of an absorbed walk and its mirror image, by powers of the transition matrix."""
    size = 2 * barrier + 1
    move = np.zeros((size, size))
    move[0, 0] = move[-1, -1] = 1.0
    for i in range(1, size - 1):
        move[i, i + 1], move[i, i - 1] = p, 1 - p
    law = np.linalg.matrix_power(move, steps)[barrier]
    return float(np.abs(law - law[::-1]).sum() / 2)


def script_window(tables, start: int, spread: int, length: int, epsilon: float) -> tuple[int, int]:
    """Edges in tokens removed of two scripts of equal weight, by the masses of all words."""
    initial, common, branches = tables
    first, second = (words.script_pmf(initial, common, branch, start, spread, length) for branch in branches)
    tv = np.array([words.prefix_tv(first, second, initial.size, length, length - t) for t in range(length + 1)])
    return int(np.flatnonzero(tv >= 1 - epsilon**2).max()), int(np.flatnonzero(tv / 2 <= epsilon).min())


def discourse_tv(alpha: float, cosine: float, length: int, seen: int) -> float:
    """TV of the first words of two topics: dense covariances, then an integral over the angle.

    All that tells the topics apart is one plane vector, ``N(0, I + A theta theta^T)``.
    """
    if seen == 0:
        return 0.0
    times = np.arange(length - 1, length - 1 - seen, -1.0)
    noise = discourse_oracle.covariance(np.array([0.0]), alpha, times)
    template = np.exp(-times)
    a = alpha * float(template @ np.linalg.solve(noise, template))
    tilt = math.acos(cosine)

    def ray(angle: float, topic: float) -> float:
        # Density of the angle of N(0, I + a t t^T): 1 / (2 pi sqrt(det) u^T inv u).
        u = 1 - a / (1 + a) * math.cos(angle - topic) ** 2
        return 1 / (2 * math.pi * math.sqrt(1 + a) * u)

    peaks = sorted(x % math.pi for x in (0.0, tilt, tilt / 2, (tilt + math.pi) / 2))
    cuts = [0.0, *peaks, math.pi]
    # Around each peak, whose width is 1 / sqrt(a), finer and finer pieces.
    fine = sorted(
        {min(max(c + s * 10.0**-k, 0.0), math.pi) for c in cuts for s in (-1, 1) for k in range(1, 9)} | set(cuts)
    )
    pieces = [
        quad(lambda v: abs(ray(v, 0.0) - ray(v, tilt)), lo, hi, epsabs=1e-12, limit=200)[0]
        for lo, hi in itertools.pairwise(fine)
    ]
    return float(sum(pieces))  # Half of the distance, twice half of the circle.


def regression_distances(features: int, variance: float, samples: int, draws: int, seed: int) -> np.ndarray:
    """``|tanh(l / 2)|`` after 0 .. ``samples`` samples, pairs of supports one by one, ``[draws, samples + 1]``.

    Half of the draws from the signal (two ones), half from the null; each row is the mean of one of each.
    """
    rng, pairs = np.random.default_rng(seed), np.array(list(itertools.combinations(range(features), 2)))
    out = np.zeros((draws, samples + 1))
    for i, signal in itertools.product(range(draws), (True, False)):
        a = rng.normal(size=(samples, features))
        if signal:
            b = a[:, :2].sum(1) + math.sqrt(variance) * rng.normal(size=samples)
        else:
            b = math.sqrt(2 + variance) * rng.normal(size=samples)
        rest = b[:, None] - a[:, pairs[:, 0]] - a[:, pairs[:, 1]]
        logs = np.cumsum(-0.5 * (rest**2 / variance + math.log(variance)), 0)
        top = logs.max(1, keepdims=True)
        evidence = top[:, 0] + np.log(np.exp(logs - top).mean(1))
        null = np.cumsum(-0.5 * (b**2 / (2 + variance) + math.log(2 + variance)))
        out[i, 1:] += np.abs(np.tanh((evidence - null) / 2)) / 2
    return out


def first_of_several_tv(points: np.ndarray, spacing: float = 0.25) -> float:
    """TV of ``N(p_0, I)`` and the equal mean of the other ``N(p_k, I)``, in any dimension, ``points [n, d]``.

    All that tells them apart lies in the span of ``p_k - p_0``.  Along a line the ratio of rest to first is a sum of
    exponentials of linear functions, so convex: the first is larger on one interval, found by bisection, and its
    masses are normal distribution functions.  A trapezoid sum over the space across the line is all that is summed.
    """
    gaps = points[1:] - points[0]
    p = gaps @ np.linalg.qr(gaps.T)[0]  # the first stands at 0
    others, dims = p.shape
    reach = np.arange(-6.5, 6.5 + spacing, spacing)
    across = np.stack(np.meshgrid(*[reach] * (dims - 1), indexing="ij"), -1).reshape(-1, dims - 1)
    # log of rest / first at (z, across): log mean_k exp(<p_k, y> - |p_k|^2 / 2).
    flat, steep = across @ p[:, 1:].T - (p**2).sum(1) / 2 - math.log(others), p[:, 0]

    def excess(z: np.ndarray) -> np.ndarray:
        return np.asarray(logsumexp(flat + z[:, None] * steep, axis=1))

    # The least of a convex function by golden sections, then a root on each side of it.
    low, high, golden = np.full(len(across), -12.0), np.full(len(across), 12.0), (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        falls = excess(left) > excess(right)
        low, high = np.where(falls, left, low), np.where(falls, high, right)
    bottom = (low + high) / 2
    inside, ends = excess(bottom) < 0, []
    for far in (-12.0, 12.0):
        near, away = bottom.copy(), np.full(len(across), far)
        for _ in range(50):
            middle = (near + away) / 2
            within = excess(middle) < 0
            near, away = np.where(within, middle, near), np.where(within, away, middle)
        ends.append((near + away) / 2)

    def mass(place: np.ndarray) -> np.ndarray:
        line = norm.cdf(ends[1] - place[0]) - norm.cdf(ends[0] - place[0])
        return line * norm.pdf(across - place[1:]).prod(1)

    first, rest = mass(np.zeros(dims)), np.mean([mass(place) for place in p], axis=0)
    return float(np.where(inside, first - rest, 0.0).sum() * spacing ** (dims - 1))


def first_of_four_tv(means: np.ndarray, time: float) -> float:
    """TV of ``N(a m_0, I)`` and the mean of three others under the Ornstein-Uhlenbeck process, in any dimension."""
    return first_of_several_tv(math.exp(-time) * means)


def first_word_tv(d: int, r: float, points: int = 500) -> float:
    """TV of the origin and the mean of ``e_1 + .. + e_i``, ``i = 1 .. d``, all scaled by ``r``, in unit noise.

    Under the origin the ratio of the rest to it is ``exp(l) / d``, ``l`` the last of a chain ``l' = u + log(1 + e^l)``
    from ``-inf`` with ``u ~ N(-r^2/2, r^2)``: its density step by step on a grid, its distribution function ``F`` at
    the last, and ``TV = E (1 - e^l / d)_+ = int F(l) e^l / d dl`` up to ``log d``.
    """
    centre = -r * r / 2
    low, high = centre - 9 * r, math.log(d) + 9 * r + max(centre + 9 * r, 0.0)
    grid = np.linspace(low, high, points)
    width = grid[1] - grid[0]
    density = norm.pdf(grid, centre, r)
    after = np.logaddexp(0.0, grid)
    for _ in range(d - 2):
        density = norm.pdf(grid[:, None], after + centre, r) @ density * width
    nodes, weights = np.polynomial.legendre.leggauss(400)
    depth = 9 * r + 30
    l = math.log(d) + (nodes - 1) * depth / 2
    below = norm.cdf(l[:, None], after + centre, r) @ density * width
    return float((weights * depth / 2 * np.exp(l) / d) @ below)


def atoms_clones(atoms: np.ndarray, times: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``E sum pi^2`` of atoms under the Ornstein-Uhlenbeck process by draws, and its standard errors."""
    rng, (n, d) = np.random.default_rng(seed), atoms.shape
    picked, noise = rng.integers(0, n, draws), rng.normal(size=(draws, d))
    means, errors = [], []
    for t in times:
        a, sigma = math.exp(-t), math.sqrt(-math.expm1(-2 * t))
        y = a * atoms[picked] + sigma * noise
        square = (y**2).sum(1)[:, None] - 2 * a * y @ atoms.T + a**2 * (atoms**2).sum(1)
        logs = -0.5 * square / sigma**2
        p = np.exp(logs - logs.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        value = (p**2).sum(1)
        means.append(value.mean())
        errors.append(value.std() / math.sqrt(draws))
    return np.array(means), np.array(errors)


def grammar_beliefs(rules: np.ndarray, classes: int) -> list[np.ndarray]:
    """Mean belief in the true symbols of each level by number of erased leaves, over all trees and masks.

    ``E P(true symbol | seen) = sum over what can be seen of sum_symbol P(symbol, seen)^2 / P(seen)``.
    """
    trees = hierarchy_oracle.derivations(rules, classes)
    leaves, mass = trees.levels[-1], trees.mass / trees.mass.sum()
    number = leaves.shape[1]
    totals, counts = np.zeros((len(trees.levels), number + 1)), np.zeros(number + 1)
    for known in itertools.product((False, True), repeat=number):
        shown = np.where(np.array(known), leaves, -1)
        seen = np.unique(shown, axis=0, return_inverse=True)[1].ravel()
        p = np.bincount(seen, mass)

        def right(symbol: np.ndarray) -> float:
            joint = np.zeros((len(p), symbol.max() + 1))  # noqa: B023
            np.add.at(joint, (seen, symbol), mass)  # noqa: B023
            return float((joint**2 / p[:, None]).sum())  # noqa: B023

        hidden = number - sum(known)
        totals[:, hidden] += [np.mean([right(column) for column in level.T]) for level in trees.levels]
        counts[hidden] += 1
    return list(totals / counts)


def grammar_class_tv(trees: hierarchy_oracle.Derivations) -> np.ndarray:
    """TV of class 0 and the mean of the others by number of erased leaves, over all trees and masks."""
    leaves, own = trees.levels[-1], trees.classes == 0
    number = leaves.shape[1]
    totals, counts = np.zeros(number + 1), np.zeros(number + 1)
    for known in itertools.product((False, True), repeat=number):
        laws: dict[tuple[int, ...], list[float]] = {}
        for word, mass, first in zip(leaves[:, np.array(known)].tolist(), trees.mass, own, strict=True):
            laws.setdefault(tuple(word), [0.0, 0.0])[int(first)] += mass
        pairs = np.array(list(laws.values()))
        pairs = pairs / pairs.sum(0)
        totals[number - sum(known)] += np.abs(pairs[:, 0] - pairs[:, 1]).sum() / 2
        counts[number - sum(known)] += 1
    return totals / counts


def diffused_levels(rules: np.ndarray, time: float, trees: int, seed: int) -> np.ndarray:
    """Belief in the true symbols over chance, ``[trees, L + 1]``, of one-hot leaves under Ornstein-Uhlenbeck noise.

    Belief propagation in float64: likelihoods up the tree, then what lies outside of each node down it.
    """
    rng, (depth, letters, choices, width) = np.random.default_rng(seed), rules.shape
    signal, variance = math.exp(-time), -math.expm1(-2 * time)
    symbols = [rng.integers(0, letters, (trees, 1))]
    for table in rules:
        picked = table[symbols[-1], rng.integers(0, choices, symbols[-1].shape)]
        symbols.append(picked.reshape(trees, -1))
    y = signal * np.eye(letters)[symbols[-1]] + math.sqrt(variance) * rng.normal(size=(*symbols[-1].shape, letters))
    logs = signal * y / variance
    up = [np.exp(logs - logs.max(-1, keepdims=True))]
    for table in rules[::-1]:
        below = up[0].reshape(trees, -1, width, letters)
        products = np.prod([below[:, :, c][..., table[..., c]] for c in range(width)], 0)
        found = products.mean(-1)
        up.insert(0, found / found.max(-1, keepdims=True))
    down, out = np.ones((trees, 1, letters)), []
    for level in range(depth + 1):
        belief = down * up[level]
        belief = belief / belief.sum(-1, keepdims=True)
        right = np.take_along_axis(belief, symbols[level][..., None], -1)[..., 0].mean(1)
        out.append((right - 1 / letters) / (1 - 1 / letters))
        if level == depth:
            break
        table, below = rules[level], up[level + 1].reshape(trees, -1, width, letters)
        ahead = np.zeros_like(below)
        for child in range(width):
            others = np.prod([below[:, :, c][..., table[..., c]] for c in range(width) if c != child], 0)
            weight = down[..., None] * others
            for letter in range(letters):
                ahead[:, :, child, letter] = (weight * (table[..., child] == letter)).sum((-1, -2))
        down = ahead.reshape(trees, -1, letters)
        down = down / down.max(-1, keepdims=True)
    return np.stack(out, 1)


def parted_tv(
    initial: np.ndarray, common: np.ndarray, branches: np.ndarray, start: int, spread: int, seen: int
) -> float:
    """TV of the first tokens of two modes, by all words from the last common token on."""
    if seen <= start:
        return 0.0
    last = initial @ np.linalg.matrix_power(common, start - 1)
    laws = [last, last]
    for place in range(start, seen):
        share = min((place - start + 1) / spread, 1.0)
        moves = [(1 - share) * common + share * branch for branch in branches]
        laws = [law[..., None] * move for law, move in zip(laws, moves, strict=True)]
    return float(np.abs(laws[0] - laws[1]).sum() / 2)


def diffused_class_tv(trees: hierarchy_oracle.Derivations, time: float, draws: int, seed: int) -> tuple[float, float]:
    """TV of class 0 and the mean of the others, one-hot leaves under Ornstein-Uhlenbeck noise, and its standard error.

    Draws of the noise; likelihoods of the classes by listing all derivations.
    """
    rng, leaves, own = np.random.default_rng(seed), trees.levels[-1], trees.classes == 0
    letters, signal, variance = int(leaves.max()) + 1, math.exp(-time), -math.expm1(-2 * time)
    words = np.eye(letters)[leaves].reshape(len(leaves), -1)
    laws = [np.where(side, trees.mass, 0) / trees.mass[side].sum() for side in (own, ~own)]
    values = []
    for law in laws:
        shown = words[rng.choice(len(words), draws, p=law)]
        y = signal * shown + math.sqrt(variance) * rng.normal(size=shown.shape)
        logs = signal / variance * y @ words.T
        p = np.exp(logs - logs.max(1, keepdims=True)) @ np.transpose(laws)
        values.append(np.abs(p[:, 0] - p[:, 1]) / p.sum(1))
    mean = np.mean(values, axis=0)
    return float(mean.mean()), float(mean.std(ddof=1) / math.sqrt(draws))


def diffused_pair_tv(trees: hierarchy_oracle.Derivations, time: float, spacing: float = 0.02) -> float:
    """The same for two letters and two leaves, by quadrature: all that counts of a leaf is ``y_0 - y_1``."""
    signal, deviation = math.exp(-time), math.sqrt(-2 * math.expm1(-2 * time))
    u = np.arange(-signal - 9 * deviation, signal + 9 * deviation, spacing * deviation)
    near = [norm.pdf(u, signal * sign, deviation) for sign in (1, -1)]
    laws = np.zeros((2, len(u), len(u)))
    for kind, mass, (left, right) in zip(trees.classes, trees.mass, trees.levels[-1], strict=True):
        laws[kind] += mass * np.outer(near[left], near[right])
    return float(np.abs(laws[0] - laws[1]).sum() / 2 * (u[1] - u[0]) ** 2)


def diffused_beliefs(
    trees: hierarchy_oracle.Derivations, time: float, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Belief in the true symbols over chance, ``[L + 1]``, and standard errors, by listing all derivations."""
    rng, leaves, mass = np.random.default_rng(seed), trees.levels[-1], trees.mass / trees.mass.sum()
    letters, signal, variance = int(leaves.max()) + 1, math.exp(-time), -math.expm1(-2 * time)
    words, picked = np.eye(letters)[leaves].reshape(len(leaves), -1), rng.choice(len(leaves), draws, p=mass)
    y = signal * words[picked] + math.sqrt(variance) * rng.normal(size=(draws, words.shape[1]))
    logs = signal / variance * y @ words.T + np.log(mass)
    post = np.exp(logs - logs.max(1, keepdims=True))
    post /= post.sum(1, keepdims=True)
    means, errors = [], []
    for level in trees.levels:
        right = np.mean([(post * (column == column[picked][:, None])).sum(1) for column in level.T], axis=0)
        means.append((right.mean() - 1 / letters) / (1 - 1 / letters))
        errors.append(right.std() / math.sqrt(draws) / (1 - 1 / letters))
    return np.array(means), np.array(errors)


def atoms_clones_by_nodes(atoms: np.ndarray, time: float, nodes: int = 22) -> float:
    """``E sum pi^2`` of atoms under the Ornstein-Uhlenbeck process by a Gauss-Hermite rule around each."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    d = atoms.shape[1]
    grid = np.stack(np.meshgrid(*[x] * d, indexing="ij"), -1).reshape(-1, d)
    weights = np.stack(np.meshgrid(*[w] * d, indexing="ij"), -1).reshape(-1, d).prod(1) / w.sum() ** d
    a, sigma = math.exp(-time), math.sqrt(-math.expm1(-2 * time))
    total = 0.0
    for own in atoms:
        y = a * own + sigma * grid
        logs = -((y[:, None] - a * atoms) ** 2).sum(-1) / (2 * sigma**2)
        p = np.exp(logs - logs.max(1, keepdims=True))
        total += float(weights @ ((p**2).sum(1) / p.sum(1) ** 2))
    return total / len(atoms)


def alike_depth(words: np.ndarray, order: list[int]) -> int:
    """Depth of the tree of words that agree in the letters read first, by comparing words letter by letter."""

    def below(members: list[int], read: int) -> int:
        while read < len(order):
            parts = {letter: [w for w in members if words[w][order[read]] == letter] for letter in (0, 1)}
            read += 1
            if all(parts.values()):
                return 1 + max(below(part, read) for part in parts.values())
        return 0

    return below(list(range(len(words))), 0)


def search_tree_height(keys: list[int]) -> int:
    """Nodes on the longest path of a binary search tree whose keys come in this order."""
    if not keys:
        return 0
    root, *rest = keys
    return 1 + max(search_tree_height([k for k in rest if (k < root) is side]) for side in (True, False))


def merged_sets_apart(words: np.ndarray, epsilon: float) -> list[tuple[int, ...]]:
    """Sets of words, more than one and not all, that diffusion may merge while they are apart from the rest.

    All sets, one by one.  A set has merged where each of its words is within ``epsilon`` of its mean, so two of them
    within ``2 epsilon`` of each other: the noise is at least what makes it so for the farthest two, and less noise
    tells sets apart better.  At that noise ``1 - TV`` of set and rest is at least any sum of ``c_ij (1 - TV_ij)``
    with ``sum_j c_ij <= 1 / |S|`` and ``sum_i c_ij <= 1 / |rest|``; taken are pairs in the order of their distances.
    """
    gaps = np.sqrt(((words[:, None] - words[None]) ** 2).sum(-1))
    possible = []
    for size in range(2, len(words)):
        for members in itertools.combinations(range(len(words)), size):
            rest = [w for w in range(len(words)) if w not in members]
            noise = gaps[np.ix_(members, members)].max() / (2 * norm.ppf(0.5 + epsilon))
            inside, outside, overlap = [1 / size] * size, [1 / len(rest)] * len(rest), 0.0
            pairs = itertools.product(range(size), range(len(rest)))
            for i, j in sorted(pairs, key=lambda p: gaps[members[p[0]], rest[p[1]]]):
                share = min(inside[i], outside[j])
                overlap += share * 2 * norm.sf(gaps[members[i], rest[j]] / (2 * noise))
                inside[i], outside[j] = inside[i] - share, outside[j] - share
            if overlap <= epsilon**2:
                possible.append(members)
    return possible
