"""Tables of moves by three rules side by side: posterior, exact tests, and the published rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sloc.results.outcome import Moves
from sloc.windows.move_tests import exact_moves
from sloc.windows.multiplicity import Across
from sloc.windows.outcome_curves import recording_bounds
from sloc.windows.recorded import Recording
from sloc.windows.recorded_tests import RULE, plain_counts, rule_firing

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"bh": "Benjamini-Hochberg", "holm": "Holm"}


@dataclass(frozen=True)
class Beside:
    """What needs no prior.

    Attributes:
        exact: a row per place that exact tests looked at, once for each correction (``across``).
        rule: a row per question: the published rule and its computed rates.
        alpha: error level of the tests.

    """

    exact: pd.DataFrame
    rule: pd.DataFrame
    alpha: float

    def summary(self) -> dict[str, Any]:
        """Return counts of certified moves by correction, and of questions in which the rule fires."""
        found = self.exact["across"].to_numpy(object)[self.exact["found"].to_numpy(bool)].tolist()
        certified = {across: found.count(across) for across in NAMES}
        return {"certified": certified, "rule_fires": self.rule["status"].tolist().count("fires")}

    def lines(self) -> tuple[str, ...]:
        """Return the same in words."""
        said = self.summary()
        certified = ", ".join(f"{n} by {NAMES[a]}" for a, n in said["certified"].items())
        flat = self.rule["fires_flat_anywhere"].max()
        misses = self.rule["misses"].max()
        return (
            f"exact tests certify at {self.alpha:g} across questions: {certified} (exact.csv)",
            f"the published rule (an observed rise above {RULE:g}) fires in {said['rule_fires']} of {len(self.rule)} "
            f"questions; at these draws it fires on a flat curve with chance {flat:.2g} at most and misses a rise of "
            f"0.6 with chance {misses:.2g} at most (rule.csv)",
        )


def found_beside(moves: Moves, recordings: Sequence[Recording], gap: float) -> tuple[pd.DataFrame, Beside]:
    """Ask exact tests and the published rule of the same recordings.

    Args:
        moves: by the posterior.
        recordings: one a question, as the posterior saw them.
        gap: how far apart the two positions of a move are.

    Returns:
        The posterior's candidates with three more columns, whether the exact test under either correction certifies a
        move within ``2 gap`` and whether the rule fires there, and the tables of those two.

    """
    import pandas as pd

    plain, bounds = [plain_counts(r) for r in recordings], [recording_bounds(r) for r in recordings]
    near = 2 * gap
    table = moves.to_dataframe()
    tables = []
    for across in NAMES:
        found = exact_moves(
            plain, bounds, tau=moves.tau, alpha=moves.alpha, gap=gap, separation=near, across=cast(Across, across)
        )
        tables.append(found.to_dataframe().drop(columns="probability").assign(across=across))
        places = [(m.question, m.start) for m in found.found]
        table[f"certified_{across}"] = [_near(m.question, m.start, places, near) for m in moves.moves]
    fired = [rule_firing(d, gap=gap, reference=r.reference) for d, r in zip(plain, recordings, strict=True)]
    places = [(f.question, f.start) for f in fired if f.status == "fires"]
    table["rule_fires"] = [_near(m.question, m.start, places, near) for m in moves.moves]
    rule = pd.DataFrame([f.to_record() for f in fired])
    return table, Beside(pd.concat(tables, ignore_index=True), rule, moves.alpha)


def _near(question: str, start: float, places: Sequence[tuple[str, float]], reach: float) -> bool:
    return any(q == question and abs(start - at) <= reach for q, at in places)
