"""Windows from bounds: which edge is certified, and in which direction."""

from __future__ import annotations

import numpy as np

from sloc.contracts import OF_DRAWS_ALONE, require
from sloc.contracts.arguments import as_real
from sloc.divergence.checks import checked_epsilon
from sloc.divergence.sampler_bounds import MODEL_LAW
from sloc.results import Certified
from sloc.results.curve import Curve
from sloc.results.window import Window


def certified_limits(
    lower: Curve | None = None,
    upper: Curve | None = None,
    *,
    separation_lower: Curve | None = None,
    separation_upper: Curve | None = None,
    epsilon: float,
    horizon: float = np.inf,
) -> Window:
    """Return what bounds on TV certify about a window's edges, each from below, from above, or both.

    The edges are ``t_before = inf {t : TV(after, before) <= epsilon}`` and
    ``t_after = sup {t : TV(after, rest) >= 1 - epsilon^2}``, as in :func:`sloc.find_window`.  A lower bound above the
    level at ``t`` says that the edge is not before ``t``; an upper bound below it, that the edge is not after ``t``.
    Neither says where the edge is: it stays None, its interval is what is certified, with 0 or the horizon for a side
    of which nothing is; ``certified_after`` and ``certified_before`` name the sides.

    Bounds are of a law: that of the data, or that of trained models' own samplers
    (:func:`sloc.divergence.tv_sampler_bound`).  Bounds of different laws say nothing together and are refused.

    Args:
        lower: a curve whose ``lower`` band bounds ``TV(after, before)``, from :func:`sloc.divergence.tv_lower_bound`.
        upper: a curve whose ``upper`` band bounds it, from :func:`sloc.divergence.tv_upper_bound` or
            :func:`sloc.divergence.tv_sampler_bound`.
        separation_lower: bounds ``TV(after, rest)``; default ``lower``, where ``before`` leaves no other rest.
        separation_upper: likewise, from above; default ``upper``.
        epsilon: the threshold, in ``[1e-6, 1)``.
        horizon: the largest possible time.

    Returns:
        A window without points, which says which limits are certified, and of which law; its ``delta`` is the sum of
        the curves' own, by the union bound, whether or not they share draws: NaN where a curve does not tell its level.

    Raises:
        InvalidInput: no bound at all, curves with columns or of different laws, ``epsilon`` outside [1e-6, 1), curves
            of estimated marginals, whose bands leave out the estimate's own error.

    Source: Li, Karan & Chen 2025, Def. 4.

    """
    given = [c for c in (lower, upper, separation_lower, separation_upper) if c is not None]
    require(bool(given), "lower, upper", (lower, upper), "at least one curve of bounds")
    named = {"lower": lower, "upper": upper, "separation_lower": separation_lower, "separation_upper": separation_upper}
    for name, curve in named.items():
        require(curve is None or isinstance(curve, Curve), name, curve, "a sloc.Curve, or None")
        require(curve is None or np.ndim(curve.value) == 1, name, curve, "a scalar curve, [T]")
        estimated = curve is not None and OF_DRAWS_ALONE in curve.method
        expected = "bounds that hold: its marginals are estimates, and its band is of the draws alone"
        require(not estimated, name, curve.method if curve else curve, expected)
    require(as_real(horizon) > 0, "horizon", horizon, "a positive number, or infinity")
    of_models = [c.quantity == MODEL_LAW for c in given]
    law = "the models' samplers" if all(of_models) else "the data"
    expected = "bounds of one law: these are of the data and of the models' samplers"
    require(len(set(of_models)) == 1, "curves", [c.quantity for c in given], expected)
    level = checked_epsilon(epsilon)
    below, above = separation_lower or lower, separation_upper or upper
    before = _limits(lower, upper, level, strict=True, horizon=horizon)
    after = _limits(below, above, 1.0 - level**2, strict=False, horizon=horizon)
    said = [*_words("T_after", after, horizon), *_words("T_before", before, horizon)]
    return Window(
        None,
        None,
        after,
        before,
        "unresolved",
        "unresolved",
        level,
        sum(float(curve.delta) for curve in {id(c): c for c in given}.values()),
        max(int(c.n) for c in given),
        "certified: " + (", ".join(said) or "nothing"),
        certified_after=_sides(after, horizon),
        certified_before=_sides(before, horizon),
        law=law,
        time_axis=given[0].time_axis,
    )


def _limits(
    lower: Curve | None, upper: Curve | None, level: float, *, strict: bool, horizon: float
) -> tuple[float, float]:
    """Return the earliest and the latest time that the edge may have."""
    low, high = 0.0, float(horizon)
    if lower is not None:
        band, times = np.asarray(lower.lower, np.float64), np.asarray(lower.times, np.float64)
        above = band > level if strict else band >= level
        low = float(times[above].max()) if above.any() else low
    if upper is not None:
        band, times = np.asarray(upper.upper, np.float64), np.asarray(upper.times, np.float64)
        below = band <= level if strict else band < level
        high = float(times[below].min()) if below.any() else high
    return low, high


def _sides(interval: tuple[float, float], horizon: float) -> Certified:
    below, above = interval[0] > 0, interval[1] < horizon
    if below and above:
        return "from both sides"
    return "from below" if below else "from above" if above else ""


def _words(name: str, interval: tuple[float, float], horizon: float) -> list[str]:
    low, high = interval
    return [*([f"{name} >= {low:.4g}"] if low > 0 else []), *([f"{name} <= {high:.4g}"] if high < horizon else [])]
