"""Whether posteriors of windows and tests of the same curves say the same of each question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sloc.bayes.change_fit import ChangePosterior
from sloc.contracts import require
from sloc.contracts.arguments import checked_kind, checked_level
from sloc.contracts.equality import same_fields
from sloc.results.outcome import Moves
from sloc.results.resampled import TraceWindows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class WindowAgreement:
    """Questions by who finds a window in them.

    Attributes:
        by_posterior: ``[Q]`` bool, reported at the Bayesian false-discovery rate.
        by_tests: ``[Q]`` bool, found by the tests.
        same_place: ``[Q]`` bool, found by both and the likeliest step of the posterior is one that the tests found.
        alpha: the Bayesian false-discovery rate.

    """

    by_posterior: np.ndarray
    by_tests: np.ndarray
    same_place: np.ndarray
    alpha: float

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of questions: ``both``, ``posterior only``, ``tests only``, ``neither``."""
        a, b = self.by_posterior, self.by_tests
        cells = {"both": a & b, "posterior only": a & ~b, "tests only": ~a & b, "neither": ~a & ~b}
        return {name: int(cell.sum()) for name, cell in cells.items()}

    @property
    def agree(self) -> float:
        """Share of questions on which both say the same, ``mean_q 1[by_posterior_q = by_tests_q]``."""
        return float((self.by_posterior == self.by_tests).mean())

    @property
    def kappa(self) -> float:
        """Cohen's kappa: ``(agree - chance) / (1 - chance)``; 1 where both are constant and the same."""
        a, b = float(self.by_posterior.mean()), float(self.by_tests.mean())
        chance = a * b + (1.0 - a) * (1.0 - b)
        return 1.0 if chance == 1.0 else (self.agree - chance) / (1.0 - chance)

    @property
    def same_place_share(self) -> float | None:
        """``sum_q same_place_q / both``, the share at one step of windows by both; None where there is none."""
        both = self.counts["both"]
        return float(self.same_place.sum()) / both if both else None

    def to_dataframe(self) -> pd.DataFrame:
        """Return the two-by-two table of counts: the posterior's verdict in rows, the tests' in columns."""
        import pandas as pd

        c = self.counts
        cells = [[c["both"], c["posterior only"]], [c["tests only"], c["neither"]]]
        return pd.DataFrame(cells, index=["window by the posterior", "none"], columns=["window by the tests", "none"])


def compare_windows(
    posterior: ChangePosterior, found: TraceWindows | Moves, *, alpha: float = 0.1, any_rise: bool = False
) -> WindowAgreement:
    """Hold the posterior's windows against those of the tests, question by question.

    Agreement beyond chance is Cohen's ``kappa = (agree - chance) / (1 - chance)``.

    Source: the library's own; Cohen 1960.

    Args:
        posterior: from :func:`sloc.bayes.fit_changes`.
        found: tests of the same questions under the same names: of :func:`sloc.windows.trace_windows`,
            :func:`sloc.windows.exact_moves` or :func:`sloc.windows.posterior_moves`; places in the units of
            ``posterior.kept``.
        alpha: Bayesian false-discovery rate at which the posterior reports (:meth:`ChangePosterior.reported`).
        any_rise: of ``TraceWindows``, count the steps that the test of "no rise at all" finds instead of those that
            the test of "a rise of at most ``rise``" finds.

    Returns:
        The agreement.

    Raises:
        InvalidInput: a question of the posterior that the tests do not name, two of one name, or ``alpha`` outside
            (0, 1).

    """
    checked_kind(posterior, "posterior", ChangePosterior, "what fit_changes returns")
    checked_kind(found, "found", (TraceWindows, Moves), "TraceWindows or Moves")
    checked_level(alpha, "alpha")
    names = posterior.questions
    require(len(set(names)) == len(names), "posterior, questions", names, "questions of different names")
    places: dict[str, list[tuple[float, float]]] = {}
    if isinstance(found, TraceWindows):
        known = {c.question for c in found.curves}
        for step in found.steps:
            if (step.p_any_adjusted if any_rise else step.p_adjusted) <= found.alpha:
                places.setdefault(step.question, []).append((step.kept_before, step.kept_after))
    else:
        known = set(found.statuses)
        for move in found.found:
            places.setdefault(move.question, []).append((move.start, move.stop))
    lacking = [q for q in posterior.questions if q not in known]
    require(not lacking, "found", lacking[:1], "the questions of the posterior, under the same names")
    by_tests = np.asarray([q in places for q in posterior.questions])
    before, after = posterior.kept[:-1], posterior.kept[1:]
    likeliest = posterior.steps.argmax(axis=1)
    low, high = before[likeliest], after[likeliest]
    slack = 1e-9 * max(1.0, float(np.abs(posterior.kept).max()))
    same = np.asarray(
        [
            any(start <= lo + slack and hi <= stop + slack for start, stop in places.get(q, []))
            for q, lo, hi in zip(posterior.questions, low, high, strict=True)
        ]
    )
    reported = posterior.reported(alpha)
    return WindowAgreement(reported, by_tests, same & reported & by_tests, alpha)
