"""Exact (never too small) p-values for the statistical checks, in float64 on the host.

A p-value that is far from any rejection is reported as 1, which keeps it valid and saves the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_CUTS = np.asarray([0.0005, 0.002, 0.005, 0.01, 0.02, *np.linspace(0.05, 0.95, 23), 0.98, 0.99, 0.995, 0.998, 0.9995])
_MOST_VALUES = 33


def calibration_p_values(labels: np.ndarray, log_odds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Two-sided p-values of ``H0: labels_i ~ Bernoulli(sigma(log_odds_i))``, independent, one per test function.

    The statistic is ``S = sum_i g_i (labels_i - pi_i)``; the p-value is Chernoff's bound
    ``2 inf_l exp(psi(l) - l |S|)``, ``psi(l) = sum_i log E exp(l g_i (labels_i - pi_i))``, which holds at
    any sample size, given everything ``log_odds`` and ``weights`` depend on.

    Args:
        labels: ``[N]``, zeros and ones.
        log_odds: ``[N]``, the claimed log-odds; infinite values allowed.
        weights: ``[N, F]``, the values ``g_i`` of ``F`` test functions; must not depend on the labels.

    Returns:
        ``[F]`` p-values, each an upper bound.

    """
    from scipy.optimize import minimize_scalar
    from scipy.special import expit

    labels, log_odds = np.asarray(labels, np.float64), np.asarray(log_odds, np.float64)
    weights = np.asarray(weights, np.float64)
    pi, other = expit(log_odds), expit(-log_odds)
    excess = np.where(labels > 0.5, other, -pi)
    total, spread = excess @ weights, (pi * other) @ weights**2
    result = np.ones(weights.shape[1])
    # Below three standard deviations no test at a level under 0.002 can reject.
    for f in np.flatnonzero(np.abs(total) > 3.0 * np.sqrt(spread)):
        g = weights[:, f] * np.sign(total[f])
        size = float(np.max(np.abs(g)))
        if abs(total[f]) <= 1e-9 * size * len(g):
            continue
        log_pi, log_other = -np.logaddexp(0.0, -log_odds), -np.logaddexp(0.0, log_odds)

        def exponent(
            log_l: float,
            g: np.ndarray = g / size,
            s: float = abs(total[f]) / size,
            log_pi: np.ndarray = log_pi,
            log_other: np.ndarray = log_other,
        ) -> float:
            lam = np.exp(log_l)
            return float(np.sum(np.logaddexp(log_other - lam * g * pi, log_pi + lam * g * other)) - lam * s)

        best: Any = minimize_scalar(exponent, bounds=(-8.0, 8.0), method="bounded", options={"xatol": 0.01})
        result[f] = 2.0 * float(np.exp(min(float(best.fun), 0.0)))
    return np.minimum(result, 1.0)


def same_law(first: np.ndarray, second: np.ndarray, resolution: float = 0.0) -> tuple[float, str]:
    """P-value of ``H0``: two samples of numbers come from one law, by exact hypergeometric tests, and where not.

    For events fixed by the pooled sample (``value <= cut`` at up to 33 quantiles, far into the
    tails; and ``value == v`` where there are few values), the count in the first sample is
    hypergeometric under H0 given the pooled sample, whatever the law, ties included.  The smallest
    two-sided p-value is corrected for the number of events.

    Args:
        first: ``[N]``, finite or infinite, not NaN.
        second: ``[M]``.
        resolution: differences up to this (absolute) are rounding and do not separate values; a millionth of the
            largest magnitude always counts as rounding.

    Returns:
        The p-value and the event that gave it, in words: ``98 of 256 draws at most -1.25, against 201 of 256``.

    """
    from scipy.stats import hypergeom

    n, m = len(first), len(second)
    pooled = np.concatenate([first, second]).astype(np.float64)
    order = np.argsort(pooled, kind="stable")
    values, from_first = pooled[order], np.cumsum(order < n)
    finite = values[np.isfinite(values)]
    tolerance = max(resolution, 1e-6 * float(np.max(np.abs(finite), initial=0.0)))
    with np.errstate(invalid="ignore"):
        cuts = np.flatnonzero(np.diff(values) > tolerance)
    if cuts.size == 0:
        return 1.0, "no two values are apart"
    few = cuts.size < _MOST_VALUES
    if not few:
        wanted = np.searchsorted(cuts, _CUTS * (n + m))
        cuts = np.unique(cuts[np.minimum(wanted, cuts.size - 1)])
    in_event, in_first, events = cuts + 1, from_first[cuts], [f"at most {values[c]:.6g}" for c in cuts]
    if few:
        starts, ends = np.concatenate([[0], cuts + 1]), np.concatenate([cuts, [n + m - 1]])
        in_event = np.concatenate([in_event, ends + 1 - starts])
        in_first = np.concatenate([in_first, np.diff(np.concatenate([[0], from_first[ends]]))])
        events += [f"from {values[i]:.6g} to {values[j]:.6g}" for i, j in zip(starts, ends, strict=True)]
    mean = n * in_event / (n + m)
    sd = np.sqrt(mean * (1.0 - in_event / (n + m)) * m / max(n + m - 1, 1))
    p, worst = 1.0, int(np.argmax(np.abs(in_first - mean) / np.maximum(sd, 1e-300)))
    for i in np.flatnonzero(np.abs(in_first - mean) > 3.0 * sd):
        law = hypergeom(n + m, int(in_event[i]), n)
        tail = law.sf(int(in_first[i]) - 1) if in_first[i] > mean[i] else law.cdf(int(in_first[i]))
        if 2.0 * float(tail) < p:
            p, worst = 2.0 * float(tail), int(i)
    seen = f"{in_first[worst]} of {n} draws {events[worst]}, against {in_event[worst] - in_first[worst]} of {m}"
    return min(1.0, p * in_event.size), seen


def mean_p_value(values: np.ndarray, expected: float, bounds: tuple[float, float] | None) -> float:
    """Two-sided p-value of ``H0: E values = expected`` for independent draws.

    With ``bounds`` it is the better of Hoeffding's bound and Maurer and Pontil's empirical Bernstein
    bound (COLT 2009, Theorem 4), valid at any sample size; without, the normal approximation.
    """
    values = np.asarray(values, np.float64)
    n, gap = len(values), abs(float(np.mean(values)) - expected)
    variance = float(np.var(values, ddof=1)) if n > 1 else 0.0
    if bounds is None:
        from scipy.special import erfc

        return float(erfc(gap / np.sqrt(2.0 * variance / n))) if variance > 0 else float(gap == 0.0)
    width = bounds[1] - bounds[0]
    hoeffding = 2.0 * np.exp(-2.0 * n * (gap / width) ** 2)
    if n < 2:
        return float(min(1.0, hoeffding))
    # gap <= sqrt(2 V L / n) + 7 width L / (3 (n - 1)) with probability 1 - 4 e^-L, two-sided: solve for sqrt(L).
    a, b = 7.0 * width / (3.0 * (n - 1)), np.sqrt(2.0 * variance / n)
    root = (-b + np.sqrt(b**2 + 4.0 * a * gap)) / (2.0 * a)
    return float(min(1.0, 2.0 * hoeffding, 8.0 * np.exp(-(root**2))))
