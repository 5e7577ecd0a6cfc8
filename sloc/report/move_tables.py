"""Tables of moves by three rules side by side: posterior, exact tests, and the published rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sloc.results.outcome import Moves
from sloc.windows.move_tests import choose_windows, drawn_pairs, exact_moves
from sloc.windows.multiplicity import Across
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.recorded import Recording
from sloc.windows.recorded_checks import check_axes, check_names
from sloc.windows.recorded_tests import RULE, plain_counts, rule_firing, stated_answers

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"bh": "Benjamini-Hochberg", "holm": "Holm"}


@dataclass(frozen=True)
class Beside:
    """What needs no prior.

    Attributes:
        exact: a row per place that exact tests looked at, once for each correction (``across``).
        rule: a row per question: the published rule and its computed rates.
        pairs: a row per question: pairs of positions with draws a gap apart, how many log-probabilities settle
            whatever was drawn, and how many were tested; the rest has no equal numbers of draws to compare.
        alpha: error level of the tests.
        tau: the size that a move exceeds.

    """

    exact: pd.DataFrame
    rule: pd.DataFrame
    pairs: pd.DataFrame
    alpha: float
    tau: float

    def summary(self) -> dict[str, Any]:
        """Return counts of certified moves by correction, and of questions in which the rule fires."""
        found = self.exact["across"].to_numpy(object)[self.exact["found"].to_numpy(bool)].tolist()
        certified = {across: found.count(across) for across in NAMES}
        return {
            "certified": certified,
            "rule_fires": self.rule["status"].tolist().count("fires"),
            "pairs": int(self.pairs["pairs"].to_numpy().sum()),
            "pairs_settled": int(self.pairs["pairs_settled"].to_numpy().sum()),
        }

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
            f"{said['pairs_settled']:,} of {said['pairs']:,} pairs of positions cannot move by more than {self.tau:g}, "
            "whatever the draws (settled by log-probabilities; questions.csv)",
        )


def found_beside(
    moves: Moves, recordings: Sequence[Recording], gap: float, adjacent: bool | None = None
) -> tuple[pd.DataFrame, Beside]:
    """Ask exact tests and the published rule of the same recordings.

    Args:
        moves: by the posterior.
        recordings: one a question, with all their categories.  The posterior may have seen rare answers merged; here
            draws must not choose what is asked of them.  Only the full generation's answer is taken to be known
            beforehand (``stated`` of :func:`sloc.windows.exact_moves`), so that levels hold for tables too, whose
            categories are the answers that were seen.
        gap: how far apart the two positions of a move are.
        adjacent: whether positions that differ by one are consecutive tokens.

    Returns:
        The posterior's candidates with three more columns, whether the exact test under either correction certifies a
        move within ``2 gap`` and whether the rule fires there, and the tables of those two and of the pairs.

    Raises:
        InvalidInput: two recordings of one name, or of different axes.

    """
    import pandas as pd

    check_names(recordings, "recordings")
    check_axes(recordings, "recordings")
    plain = [plain_counts(r, adjacent=adjacent) for r in recordings]
    near, stated = 2 * gap, stated_answers(recordings)
    table = moves.to_dataframe()
    tables = []
    for across in NAMES:
        found = exact_moves(
            plain,
            tau=moves.tau,
            alpha=moves.alpha,
            gap=gap,
            separation=near,
            across=cast(Across, across),
            stated=stated,
        )
        tables.append(found.to_dataframe().drop(columns="probability").assign(across=across))
        table[f"certified_{across}"] = _near(moves, [(m.question, m.start) for m in found.found], near)
    fired = [rule_firing(d, gap=gap, reference=r.reference) for d, r in zip(plain, recordings, strict=True)]
    table["rule_fires"] = _near(moves, [(f.question, f.start) for f in fired if f.status == "fires"], near)
    rule = pd.DataFrame([vars(f) for f in fired])
    pairs = pd.DataFrame([_pairs(d, moves.tau, gap) for d in plain])
    return table, Beside(pd.concat(tables, ignore_index=True), rule, pairs, moves.alpha, moves.tau)


def _near(moves: Moves, places: Sequence[tuple[str, float]], reach: float) -> list[bool]:
    """Whether a place of the same question lies within reach of each candidate."""
    own: dict[str, list[float]] = {}
    for question, start in places:
        own.setdefault(question, []).append(start)
    return [any(abs(m.start - at) <= reach for at in own.get(m.question, ())) for m in moves.moves]


def _pairs(data: OutcomeCounts, tau: float, gap: float) -> dict[str, Any]:
    windows = choose_windows(data, tau, gap)
    return {
        "question": data.question,
        "pairs": int(drawn_pairs(data, gap)[0].size),
        "pairs_settled": windows.settled,
        "pairs_tested": int(windows.start.size),
    }
