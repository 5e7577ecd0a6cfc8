"""The structured-output experiment: jumps predicted from a template, and jumps measured.

Source: Li, Karan & Chen 2025, Fig. 4: the probability of the same choices given a kept prefix jumps where a choice
becomes known, and nowhere else.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_kind, checked_level
from sloc.contracts.equality import same_fields
from sloc.lm.answers.template import ChoicePoint, Template, TemplateTask
from sloc.lm.experiments.runs import Experiment
from sloc.results import ResampledCurve

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TemplateJumps:
    """Predicted and measured jumps of one generation.

    Attributes:
        question: name of the generation.
        choices: what it filled in.
        points: where each choice becomes known, in tokens.
        before: ``[blanks]`` share of the same choices at the last cut that shows nothing of a blank.
        after: ``[blanks]`` the same at the first cut where its choice is known; 1 past the last cut.
        inside: total rise within predicted stretches.
        outside: largest rise of a step that is in none.
        coincide: whether each step that the test certifies to rise at all overlaps a predicted stretch.
        certified: steps that the test certifies to rise.

    """

    question: str
    choices: tuple[str, ...]
    points: tuple[ChoicePoint, ...]
    before: np.ndarray
    after: np.ndarray
    inside: float
    outside: float
    coincide: bool
    certified: tuple[tuple[float, float], ...]

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row a blank."""
        import pandas as pd

        rows = [vars(p) | {"same_before": b, "same_after": a, "jump": a - b} for p, b, a in self._rows()]
        return pd.DataFrame([{"question": self.question, **r} for r in rows])

    def _rows(self) -> list[tuple[ChoicePoint, float, float]]:
        return list(zip(self.points, self.before.tolist(), self.after.tolist(), strict=True))


def template_jumps(experiment: Experiment, *, alpha: float = 0.05) -> tuple[TemplateJumps, ...]:
    """Compare predicted and measured jumps of each generation that fits the template.

    A step of the curve, ``p(same | kept up to after) - p(same | kept up to before)``, is predicted where it overlaps a
    stretch in which a choice becomes known.

    Source: Li, Karan & Chen 2025, Fig. 4.

    Args:
        experiment: of a :class:`sloc.lm.TemplateTask`, cut by tokens (every token for the sharpest answer).
        alpha: error level over all steps of a generation, for "this step rises".

    Returns:
        One entry a generation that fits; those that do not are in ``experiment.problems``.

    Raises:
        InvalidInput: another task, or cuts by fraction.

    """
    checked_kind(experiment, "experiment", Experiment, "an Experiment")
    checked_level(alpha, "alpha")
    task = experiment.task
    require(isinstance(task, TemplateTask), "experiment", task.name, "an experiment of a TemplateTask")
    assert isinstance(task, TemplateTask)
    require(experiment.axis == "position", "experiment", experiment.axis, "cuts by token or sentence")
    traced = experiment.windows(rise=0.0, alpha=alpha)
    curves = {c.question: c for c in traced.curves}
    out = []
    for g in experiment.graded:
        curve = curves.get(g.run.name)
        if g.run.origin is None or curve is None:
            continue
        points = _points(task.template, g.run.request.prefill, g.run.origin.pieces)
        if points is not None:
            steps = [s for s in traced.steps if s.question == g.run.name and s.p_any_adjusted <= alpha]
            certified = tuple((s.kept_before, s.kept_after) for s in steps)
            out.append(_jumps(g.run.name, curve, points, certified))
    return tuple(out)


def _points(template: Template, prefill: str, pieces: tuple[str, ...]) -> tuple[ChoicePoint, ...] | None:
    whole = template.token_points(pieces, prefill)
    if whole is not None or not (prefill + "".join(pieces))[:1].isspace():
        return whole
    # A task ignores blanks before the text: so does this, by leaving them out of the first tokens.
    text = prefill + "".join(pieces)
    blanks = len(text) - len(text.lstrip())
    if blanks <= len(prefill):
        return template.token_points(pieces, prefill[blanks:])
    left, cut = blanks - len(prefill), []
    for piece in pieces:
        cut.append(piece[min(left, len(piece)) :])
        left -= min(left, len(piece))
    return template.token_points(cut, "")


def _jumps(
    name: str, curve: ResampledCurve, points: tuple[ChoicePoint, ...], certified: tuple[tuple[float, float], ...]
) -> TemplateJumps:
    kept = np.append(curve.kept, curve.full)
    same = np.append(curve.same, 1.0)
    before = [same[np.searchsorted(kept, p.before, side="right") - 1] for p in points]
    after = [same[min(int(np.searchsorted(kept, p.after)), same.size - 1)] for p in points]
    steps = np.diff(same)
    predicted = np.asarray([any(a < p.after and b > p.before for p in points) for a, b in itertools.pairwise(kept)])
    outside = float(steps[~predicted].max()) if (~predicted).any() else 0.0
    fits = all(any(a < p.after and b > p.before for p in points) for a, b in certified)
    return TemplateJumps(
        name,
        tuple(p.choice for p in points),
        points,
        np.asarray(before),
        np.asarray(after),
        float(steps[predicted].sum()),
        max(outside, 0.0),
        fits,
        certified,
    )
