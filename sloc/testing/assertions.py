"""Statistical assertions with an explicit probability of failing by chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_real
from sloc.testing.conformance import ConformanceError
from sloc.testing.features import probability_functions
from sloc.testing.pvalues import calibration_p_values, mean_p_value, same_law


def _level(false_alarm: float) -> float:
    require(0.0 < as_real(false_alarm) <= 1e-2, "false_alarm", false_alarm, "a probability in (0, 0.01]")
    return float(false_alarm)


def _sample(values: Any, argument: str, *, number: bool = False) -> np.ndarray:
    """Return draws, or one number where that may be; NaN fails the assertion, and infinities are values of a law."""
    found = as_floats(values, argument)
    if not (number and found.ndim == 0):
        enough = found.ndim >= 1 and found.shape[0] >= 2
        require(enough, argument, found.shape, "at least two draws, along the first axis")
    return found


def assert_means_equal(
    first: Any,
    second: Any,
    *,
    bounds: tuple[float, float] | None = None,
    false_alarm: float = 1e-9,
    what: str = "the means",
) -> None:
    """Assert that independent draws have the expected mean, or that two samples have one mean.

    ``E X = mean``, or ``E X = E X'``.  Source: Hoeffding 1963; Maurer & Pontil 2009, Theorem 4.

    Args:
        first: ``[N]`` draws.
        second: the exact mean (a number), or ``[M]`` draws independent of the first; with two samples
            of equal size the differences are tested, otherwise each gets half of the level.
        bounds: an interval that holds every draw.  With it the test is exact at any sample size
            (Hoeffding; Maurer and Pontil 2009); without it rests on the normal approximation, so
            give it whenever the draws are bounded.
        false_alarm: probability of failing although the means agree.
        what: what is compared, for the message.

    Raises:
        ConformanceError: the means differ.

    """
    level, first, second = _level(false_alarm), _sample(first, "first"), _sample(second, "second", number=True)
    if bounds is not None:
        two = isinstance(bounds, (tuple, list)) and len(bounds) == 2 and as_real(bounds[0]) < as_real(bounds[1])
        require(two, "bounds", bounds, "(low, high) with low < high, or None")
        for name, part in (("first", first), ("second", second)):
            inside = bool(np.all((part >= bounds[0]) & (part <= bounds[1])))
            require(inside, name, (part.min(), part.max()), f"numbers inside bounds = {bounds}")
    if second.ndim == 0:
        p = mean_p_value(first, float(second), bounds)
    elif second.shape == first.shape:
        width = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
        p = mean_p_value(first - second, 0.0, width)
    else:
        p = _unequal_means(first, second, bounds)
    if not p >= level:
        raise ConformanceError(
            f"{what}: {first.mean():.6g} against {second.mean():.6g} (n = {first.size:,}), p = {p:.2g} < {level:g}"
        )


def _unequal_means(first: np.ndarray, second: np.ndarray, bounds: tuple[float, float] | None) -> float:
    if bounds is None:
        from scipy.special import erfc

        spread = np.sqrt(first.var(ddof=1) / first.size + second.var(ddof=1) / second.size)
        gap = abs(first.mean() - second.mean())
        return float(erfc(gap / spread / np.sqrt(2.0))) if spread > 0 else float(gap == 0.0)
    # A common mean m is refused if either sample refuses it at half of the level.  From one observed mean to the other
    # the first p-value falls and the second rises: where they cross is the m that is hardest to refuse.
    near, far = float(first.mean()), float(second.mean())
    for _ in range(60):
        middle = 0.5 * (near + far)
        if mean_p_value(first, middle, bounds) >= mean_p_value(second, middle, bounds):
            near = middle
        else:
            far = middle
    return min(1.0, 2.0 * mean_p_value(first, near, bounds))


def assert_same_law(
    first: Any,
    second: Any,
    *,
    resolution: float = 0.0,
    false_alarm: float = 1e-9,
    what: str = "the laws",
) -> None:
    """Assert that two independent samples come from one law.

    ``P(X <= c) = P(X' <= c)`` at up to 33 cuts ``c``; where values are few, ``P(X = v) = P(X' = v)`` too.  Exact
    hypergeometric tests on events fixed by the pooled sample (see ``sloc.testing.pvalues.same_law``), valid for
    continuous, discrete and mixed laws at any sample size, corrected for their number and for the number of columns
    (Bonferroni).  Source: Fisher 1935 (the exact test).

    Args:
        first: ``[N]`` or ``[N, F]`` draws; columns are tested one by one.
        second: ``[M]`` or ``[M, F]`` draws.
        resolution: differences up to this are rounding.
        false_alarm: probability of failing although the laws agree.
        what: what is compared, for the message.

    Raises:
        ConformanceError: the laws differ, or a draw is NaN.

    """
    level = _level(false_alarm)
    first, second = (_sample(v, n).reshape(len(v), -1) for v, n in ((first, "first"), (second, "second")))
    require(as_real(resolution) >= 0, "resolution", resolution, "a number that is not negative")
    require(first.shape[1] == second.shape[1], "second", second.shape, f"{first.shape[1]} columns, like first")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ConformanceError(f"{what}: a draw is NaN")
    columns = range(first.shape[1])
    each = [(same_law(first[:, i], second[:, i], resolution), i) for i in columns]
    (p, seen), column = min(each, default=((1.0, ""), 0))
    p *= len(columns)
    if not p >= level:
        raise ConformanceError(f"{what} differ (column {column}: {seen}): p = {p:.2g} < {level:g}")


def assert_probability_calibrated(
    labels: Any,
    probabilities: Any,
    *,
    functions: Any = None,
    false_alarm: float = 1e-9,
    what: str = "the probabilities",
) -> None:
    """Assert that ``P(label_i = 1 | everything known) = probabilities_i`` for independent draws.

    Tests ``E (label - pi) g = 0`` for bounded ``g`` by Chernoff's bound, exact at any sample size, corrected for the
    number of functions (Bonferroni).  Source: Chernoff 1952.

    Args:
        labels: ``[N]`` zeros and ones.
        probabilities: ``[N]``, the claims.
        functions: ``[N, F]`` further bounded test functions of what was known when the claim was made
            (never of the label); functions of the probability itself are always tested.
        false_alarm: probability of failing although the claims are right.
        what: what is tested, for the message.

    Raises:
        ConformanceError: the claims are miscalibrated, or not probabilities.

    """
    level, pi, given = _level(false_alarm), as_floats(probabilities, "probabilities"), as_floats(labels, "labels")
    require(pi.ndim == 1 and pi.size > 0, "probabilities", pi.shape, "a shape [N]")
    binary = given.shape == pi.shape and bool(np.isin(given, (0, 1)).all())
    require(binary, "labels", labels, f"{pi.size} zeros and ones")
    if not np.all((pi >= 0) & (pi <= 1)):
        raise ConformanceError(f"{what}: not probabilities")
    with np.errstate(divide="ignore"):
        log_odds = np.log(pi) - np.log1p(-pi)
    tests = probability_functions(log_odds)
    if functions is not None:
        own = as_floats(functions, "functions")
        good = own.ndim >= 1 and own.shape[0] == pi.size and bool(np.isfinite(own).all())
        require(good, "functions", own.shape, f"finite numbers of a shape [{pi.size}, F]")
        tests = np.concatenate([tests, own.reshape(len(pi), -1)], axis=1)
    p = calibration_p_values(given, log_odds, tests) * tests.shape[1]
    if not np.all(p >= level):
        worst = int(np.argmin(p))
        raise ConformanceError(f"{what} are not calibrated (function {worst}): p = {p[worst]:.2g} < {level:g}")
