"""What the published rule does at a given number of resamples: its false-positive and miss rates, computed exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_whole
from sloc.windows.binomial_rise import rejection_probability

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RuleRates:
    """Rates of "the observed rise exceeds ``rise``".

    Attributes:
        draws: on either side of a step.
        rise: the threshold.
        fires_flat: largest chance that it fires on a step whose probability does not change.
        fires_null: largest chance that it fires on a step whose true rise is ``null``.
        fires_curve: bound of the chance that it fires anywhere on ``steps`` steps of rise ``null`` (union bound).
        misses: largest chance that it does not fire on a step whose true rise is ``event``.

    """

    draws: int
    rise: float
    fires_flat: float
    fires_null: float
    fires_curve: float
    misses: float

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row with the attributes as columns."""
        import pandas as pd

        return pd.DataFrame([vars(self)])


def rule_rates(draws: int, *, rise: float = 0.5, null: float = 0.25, event: float = 0.35, steps: int = 1) -> RuleRates:
    """Compute how often the rule errs, in the worst case over the probability before the step.

    ``P(X2 / n - X1 / n > rise)`` with ``X1 ~ Bin(n, p)``, ``X2 ~ Bin(n, p + d)``, summed exactly; the worst ``p`` is
    sought on 2,001 points.

    Source: the rule is that of Li, Karan & Chen 2025; its error rates are the library's own.

    Args:
        draws: ``n``, at least 1.
        rise: the threshold, in [0, 1).
        null: a true rise that is no window, in [0, 1).
        event: a true rise that is one, in (0, 1].
        steps: of a question.

    Returns:
        The rates.

    Raises:
        InvalidInput: a number out of range.

    """
    checked_whole(draws, "draws", what="draws")
    require(0.0 <= as_real(rise) < 1.0, "rise", rise, "a threshold in [0, 1)")
    require(0.0 <= as_real(null) < 1.0, "null", null, "a rise in [0, 1)")
    require(0.0 < as_real(event) <= 1.0, "event", event, "a rise in (0, 1]")
    checked_whole(steps, "steps", what="steps")
    n = int(draws)
    least = int(np.floor(n * rise + 1e-9)) + 1
    boundary = np.minimum(np.arange(n + 1) + least, n + 1)

    def fires(size: float) -> np.ndarray:
        p = np.linspace(0.0, 1.0 - size, 2001)
        return rejection_probability(boundary, n, p, p + size)

    at_null = float(fires(null).max())
    return RuleRates(
        n, rise, float(fires(0.0).max()), at_null, min(1.0, steps * at_null), float(1 - fires(event).min())
    )
