"""What is asked of recordings, whichever file they came from: curves, moves by three rules, statuses, their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_level
from sloc.report.move_tables import Beside, found_beside
from sloc.results.outcome import Moves, OutcomeCurve
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_kernels import MovePrior
from sloc.windows.outcome_curves import CONTRADICTED, PRIORS, outcome_counts, outcome_curve
from sloc.windows.recorded import Recording
from sloc.windows.recorded_checks import check_axes, check_names
from sloc.windows.recorded_file import write_store

if TYPE_CHECKING:
    import pandas as pd

SIZE, ALPHA, LEVEL = 0.3, 0.1, 0.9
"""A move exceeds this in total variation; error level of moves; coverage of bands."""
GAP = 4.0
"""How far apart the two positions of a move are, in tokens."""
CONTRADICTED_AS = f"{CONTRADICTED}; where positions number sentences, not tokens, say --no-adjacent"
"""What is said of a curve that its recorded probabilities do not allow, and the commonest cause."""


@dataclass(frozen=True)
class Analysis:
    """Curves and moves of recordings.

    Attributes:
        recordings: as they were read.
        merged: the same with rare answers merged, as curves and the posterior looked at them; tests do not, since
            merging looks at all draws.
        curves: one a question.
        moves: by the posterior, of all questions.
        candidates: a row per candidate move, with what the other two rules say there.
        beside: exact tests and the published rule.
        gap: how far apart the two positions of a move are.
        level: coverage of the bands.
        priors: that the curves were averaged over.

    """

    recordings: tuple[Recording, ...]
    merged: tuple[Recording, ...]
    curves: tuple[OutcomeCurve, ...]
    moves: Moves
    candidates: pd.DataFrame
    beside: Beside
    gap: float
    level: float
    priors: tuple[MovePrior, ...]

    def summary(self) -> dict[str, Any]:
        """Return counts: questions, draws, moves, those certified, questions undecided; and the moves found."""
        statuses = list(self.moves.statuses.values())
        return {
            "questions": len(self.recordings),
            "draws": int(sum(r.draws.sum() for r in self.recordings)),
            "moves": len(self.moves.found),
            "questions_with_moves": statuses.count("resolved"),
            "questions_undecided": statuses.count("undecided"),
            **self.beside.summary(),
            "found": [row for row in self.candidates.to_dict("records") if row["found"]],
        }

    def lines(self) -> tuple[str, ...]:
        """Return in words what needs no prior, and how many questions the draws leave open."""
        open_ = list(self.moves.statuses.values()).count("undecided")
        said = f"{open_} of {len(self.curves)} questions are undecided: too few draws to tell a move from none"
        odd = [c.question for c in self.curves if c.status == "contradicted"]
        named = ", ".join(map(repr, odd[:3])) + (", ..." if odd[3:] else "")
        against = f"{len(odd)} of {len(self.curves)} questions ({named}): {CONTRADICTED_AS}"
        return (*self.beside.lines(), *([said] if open_ else ()), *([against] if odd else ()))

    def questions_frame(self) -> pd.DataFrame:
        """Return a row per question: statuses, weights of the priors, kept mass, pairs settled without draws."""
        import pandas as pd

        rows = []
        for curve, recording in zip(self.curves, self.recordings, strict=True):
            # A single answer is no curve: nothing was averaged.
            own = np.full(len(self.priors), np.nan) if curve.status == "one answer" else curve.settings
            rows.append(
                {
                    "question": curve.question,
                    "reference": recording.reference,
                    "answers": len(curve.categories),
                    "positions": curve.positions.size,
                    "positions_missing": len(recording.missing),
                    "draws": int(recording.draws.sum()),
                    "kept_mass_least": float(recording.kept_mass.min()),
                    "curve_status": curve.status,
                    "moves_status": self.moves.statuses[curve.question],
                    "band_width": float((curve.upper - curve.lower).mean()),
                    **{f"prior_weight_{i}": float(w) for i, w in enumerate(own, 1)},
                }
            )
        return pd.DataFrame(rows).merge(self.beside.pairs, on="question", how="left", validate="one_to_one")

    def curves_frame(self) -> pd.DataFrame:
        """Return a row per question, position and answer, with the kept mass of the position (NaN: nothing drawn)."""
        import pandas as pd

        frames = []
        for curve, recording in zip(self.curves, self.merged, strict=True):
            kept = np.full(curve.positions.size, np.nan)
            kept[np.searchsorted(curve.positions, recording.positions)] = recording.kept_mass
            frames.append(curve.to_dataframe().assign(kept_mass=np.repeat(kept, len(curve.categories))))
        return pd.concat(frames, ignore_index=True)

    def write(self, folder: Path) -> None:
        """Write the tables and the store."""
        self.candidates.to_csv(folder / "moves.csv", index=False)
        self.beside.exact.to_csv(folder / "exact.csv", index=False)
        self.beside.rule.to_csv(folder / "rule.csv", index=False)
        self.questions_frame().to_csv(folder / "questions.csv", index=False)
        self.curves_frame().to_csv(folder / "curves.csv", index=False)
        write_store(folder / "traces.jsonl.gz", self.recordings)

    def draw(self, folder: Path, notes: Sequence[str], picture: str = "") -> None:
        """Write the page, and the picture where it has a name; needs matplotlib.

        Args:
            folder: where.
            notes: what was noticed in the recordings, for the page.
            picture: the name of the picture.

        """
        from sloc.report.recorded_report import plot_recorded, write_recorded_report

        if picture:
            plot_recorded(self.curves, self.moves, folder / picture)
        said = (*self.lines(), *notes)
        own = {r.question: r for r in self.merged}
        write_recorded_report(
            folder / "report.html", self.curves, self.moves, own, said, smoothing=[prior_text(p) for p in self.priors]
        )


def analyse(
    recordings: Sequence[Recording],
    *,
    size: float = SIZE,
    alpha: float = ALPHA,
    gap: float | None = None,
    level: float = LEVEL,
    adjacent: bool | None = None,
) -> Analysis:
    """Estimate curves and find moves.

    Args:
        recordings: one a question, of different names and one axis, in which the gap is counted.
        size: a move exceeds this in total variation, in [0, 1).
        alpha: error level of the moves, in (0, 1).
        gap: how far apart the two positions of a move are; when None ``default_gap``.
        level: coverage of the bands, in (0, 1).
        adjacent: whether positions that differ by one are consecutive tokens (:func:`sloc.windows.outcome_counts`).

    Returns:
        Everything that is written of them.

    Raises:
        InvalidInput: a setting out of range, two recordings of one name, of different axes, or fractions that are said
            to be adjacent.

    """
    check_settings(size, alpha, gap, level, adjacent)
    check_names(recordings, "recordings")
    check_axes(recordings, "recordings")
    apart = default_gap(recordings, adjacent) if gap is None else float(gap)
    merged = tuple(r.merged() for r in recordings)
    counts = [outcome_counts(r, adjacent=adjacent) for r in merged]
    curves = tuple(outcome_curve(c, level=level, simultaneous=True) for c in counts)
    moves = posterior_moves(counts, tau=size, alpha=alpha, gap=apart, separation=2 * apart)
    candidates, beside = found_beside(moves, recordings, apart, adjacent)
    return Analysis(tuple(recordings), merged, curves, moves, candidates, beside, apart, level, PRIORS)


def check_settings(size: float, alpha: float, gap: float | None, level: float, adjacent: bool | None) -> None:
    """Refuse settings of ``analyse`` that are out of range, before anything is read."""
    require(0.0 <= as_real(size) < 1.0, "size", size, "a size in total variation, in [0, 1)")
    checked_level(alpha, "alpha")
    require(gap is None or as_real(gap) > 0, "gap", gap, "a positive distance between two positions")
    require(0.0 < as_real(level) < 1.0, "level", level, "a coverage inside (0, 1)")
    require(adjacent is None or isinstance(adjacent, bool), "adjacent", adjacent, "true, false or None")


def prior_text(prior: MovePrior) -> str:
    """Say in words what a prior expects of one step."""
    spread = " or ".join(f"{w:g} that they scatter like {c:g} draws" for w, c in prior.spread)
    return (
        f"what leaves the path answers alike with probability {prior.stay:g}, else {spread}; "
        f"{' or '.join(f'{q:g}' for q in prior.unknown)} leaves where no probability is known"
    )


def default_gap(recordings: Sequence[Recording], adjacent: bool | None = None) -> float:
    """How far apart the positions of a move are: ``GAP`` tokens, or one step where parts are no tokens.

    All recordings are of one axis (``analyse`` refuses others); parts that are kept by fraction are no tokens, nor are
    positions of which that is said (``adjacent`` is False).

    Of such it is the smallest difference between neighbours of any question, so that every position is compared
    with the next (pairs end at the first position that is at least the gap later).
    """
    if adjacent is not False and any(r.axis == "position" for r in recordings):
        return GAP
    steps = [float(np.diff(r.positions).min()) for r in recordings if r.positions.size > 1]
    return round(min(steps, default=1.0), 12)
