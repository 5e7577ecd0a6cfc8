"""Labelled atoms by brute force: posteriors, total variation on the line, masks one by one."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm


def class_logs(log_likelihood: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``logsumexp_{i in k} l_i - log n_k`` along the first axis for sorted labels."""
    return np.stack(
        [logsumexp(log_likelihood[labels == k], axis=0) - np.log((labels == k).sum()) for k in np.unique(labels)]
    )


def gaussian_posterior(data, labels, weights, a: float, sigma: float, y) -> np.ndarray:
    """Posterior over classes at one ``y`` of the shape of an atom."""
    flat, labels = np.asarray(data, float).reshape(len(data), -1), np.asarray(labels)
    logs = -0.5 * np.sum((np.ravel(y) - a * flat) ** 2, axis=1) / sigma**2
    joint = class_logs(logs, labels) + np.log(weights)
    return np.exp(joint - logsumexp(joint))


def line_tv(data, labels, a: float, sigma: float, left: int, right: int) -> float:
    """TV of two classes of atoms on the line, by quadrature."""
    x, labels = np.ravel(np.asarray(data, float)), np.asarray(labels)
    y = np.linspace(a * x.min() - 14 * sigma, a * x.max() + 14 * sigma, 80_001)
    density = [norm.pdf(y[None], a * x[labels == k, None], sigma).mean(0) for k in (left, right)]
    return float(np.trapezoid(np.abs(density[0] - density[1]), y) / 2)


def observed_laws(data, labels, mask_mass) -> tuple[np.ndarray, np.ndarray]:
    """Exact law of a masked observation by class: ``[K, M]`` over all (pattern, seen values) that can occur.

    ``mask_mass`` maps a pattern (tuple of bools, True where seen) to its probability.
    """
    flat, labels = np.asarray(data).reshape(len(data), -1), np.asarray(labels)
    classes = np.unique(labels)
    columns, index = [], {}
    for known in itertools.product((False, True), repeat=flat.shape[1]):
        p = mask_mass(known)
        if p == 0:
            continue
        for row, label in zip(flat, labels, strict=True):
            cell = (known, tuple(v for v, seen in zip(row.tolist(), known, strict=True) if seen))
            if cell not in index:
                index[cell] = len(columns)
                columns.append(np.zeros(len(classes)))
            k = int(np.searchsorted(classes, label))
            columns[index[cell]][k] += p / (labels == label).sum()
    return np.stack(columns, axis=1), classes


def masking(t: float):
    """Mass of a pattern when each coordinate is hidden by itself with probability ``t``."""
    return lambda known: float(np.prod([1 - t if seen else t for seen in known]))


def ordered(order, t: int):
    """Mass of a pattern when exactly ``order[:t]`` are hidden."""
    hidden = set(list(order)[:t])
    return lambda known: float(all((i not in hidden) == seen for i, seen in enumerate(known)))


def flipped_laws(data, labels, t: float) -> np.ndarray:
    """Exact law ``[K, 2^L]`` of all words after each bit is flipped with probability ``t``."""
    flat, labels = np.asarray(data).reshape(len(data), -1), np.asarray(labels)
    words = np.array(list(itertools.product((0, 1), repeat=flat.shape[1])))
    h = (words[None] != flat[:, None]).sum(-1)
    mass = t**h * (1 - t) ** (flat.shape[1] - h)
    return np.stack([mass[labels == k].mean(0) for k in np.unique(labels)])


class Finite:
    """Statistics of finitely many observations with laws ``[K, M]`` and weights ``[K]``."""

    def __init__(self, laws: np.ndarray, weights):
        self.p, self.w = laws, np.asarray(weights, float)
        joint = laws * self.w[:, None]
        self.pi = joint / np.maximum(joint.sum(0), 1e-300)

    def of(self, members) -> np.ndarray:
        """Law of a set."""
        members = list(members)
        return (self.w[members] / self.w[members].sum()) @ self.p[members]

    def tv(self, a, b) -> float:
        """``sum |p^a - p^b| / 2``."""
        return float(np.abs(self.of(a) - self.of(b)).sum() / 2)

    def information(self) -> float:
        """In bits."""
        h = -np.sum(np.where(self.pi > 0, self.pi * np.log2(np.maximum(self.pi, 1e-300)), 0), axis=0)
        return float(-np.sum(self.w * np.log2(self.w)) - self.of(range(len(self.w))) @ h)

    def labels(self, init) -> np.ndarray:
        """``E_{p^init} pi``."""
        return self.pi @ self.of(init)

    def clones(self, init) -> float:
        """``E_{p^init} sum pi^2``."""
        return float(self.of(init) @ (self.pi**2).sum(0))

    def misassignment(self, members) -> float:
        """``E_{p^S}[1 - pi_S]``."""
        out = [k for k in range(len(self.w)) if k not in list(members)]
        return float(self.of(members) @ self.pi[out].sum(0))

    def certificate(self, init, target) -> float:
        """``TV(p^init, p^target) + E_{p^target}[1 - pi_target]``."""
        return self.tv(init, target) + self.misassignment(target)
