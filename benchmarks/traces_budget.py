"""Sequential allocation replayed on recorded draws: error against tokens drawn, and what designs can reach at best.

The best design: in the Gaussian picture of :mod:`sloc.windows.draw_design`, painted with all 200 draws of a question,
the design that spends a budget best is found by convex optimisation.  It knows every step's variance beforehand and may
draw fractions, so that no allocation that has to learn them does better within the picture.  The picture is no more
than that: its prediction for draws everywhere stands beside what was measured, and a curve that is not Gaussian may
let sequential draws do a little better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks import traces_recorded
from benchmarks.timing import Row
from benchmarks.traces_recorded import REPORT, Row200, interval, load
from sloc.windows.allocation import RecordedDraws, allocate_draws
from sloc.windows.draw_design import best_design, design_of, steps_and_shares
from sloc.windows.outcome_curves import outcome_curve, outcome_posterior
from sloc.windows.recorded_import import read_forking_fast

SHARES = (0.5, 1.0, 2.0, 4.0)
"""Budgets in draws a position of the full grid."""
MULTIPLES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Budgets of the best designs, in tokens of one draw everywhere."""


def replayed(data: Row200, share: float) -> tuple[float, float]:
    """Return the mean TV and the tokens of one question at a budget."""
    names = tuple("ABCDEFGH"[: data.answers])
    answers = {
        (data.name, float(p)): [names[a] for a in row[:100]] for p, row in zip(data.positions, data.draws, strict=True)
    }
    costs = {(data.name, float(p)): float(c) for p, c in zip(data.positions, data.cost, strict=True)}
    draw = RecordedDraws(answers, dict(costs))
    budget = max(8, round(share * data.positions.size))
    got = allocate_draws(draw, data.name, names, data.positions, budget=budget, leaving=data.leaving, cost=data.cost)
    return float(0.5 * np.abs(got.curve.value - data.reference).sum(axis=1).mean()), draw.spent


def rows(smoke: bool) -> Iterator[Row]:
    """Yield error and tokens at each budget, and how many times fewer tokens the same error takes."""
    peers = traces_recorded.peer_scores()
    for track in ("llama", "deepseek"):
        data = [load(track, r) for r in (REPORT[:2] if smoke else REPORT)]
        every = float(np.mean([d.cost.sum() for d in data]))
        spent, error = [], []
        for share in SHARES[1:2] if smoke else (*SHARES, 8.0, 16.0):
            got = np.asarray([replayed(d, share) for d in data])
            spent.append(float(got[:, 1].mean()))
            error.append(float(got[:, 0].mean()))
            low, high = interval(got[:, 0])
            case = f"budget, {track}, sequential, {share:g} draws a position"
            yield {"name": f"{case}: mean TV", "value": error[-1], "unit": "TV", "min": low, "max": high}
            yield {
                "name": f"{case}: tokens, of {every:.3g} for one draw at every position",
                "value": spent[-1] / every,
                "unit": "",
            }
        if smoke:
            continue
        bound = least_scores(data)
        for draws in (10, 20, 50):
            uniform = float(np.mean([_uniform(d, draws) for d in data]))
            models = {
                m: float(np.mean([v[0] for v in peers[track, draws, 1, m].values()])) for m in ("raw_linear", "M5a_cv")
            }
            same = (
                ("counts alone", models["raw_linear"]),
                ("the published tool", models["M5a_cv"]),
                ("own curve", uniform),
            )
            for name, wanted in same:
                case = f"budget, {track}: tokens of {draws} draws everywhere, {name}, over"
                yield saving(f"{case} sequential ones then", wanted, draws, error, [s / every for s in spent])
            yield {
                "name": f"budget, {track}: mean TV of {draws} draws everywhere, own curve, by the Gaussian picture",
                "value": float(np.mean([picture(d).score(float(draws)) for d in data])),
                "unit": "TV",
                "measured": uniform,
            }
            wanted = float(np.mean([picture(d).score(float(draws)) for d in data]))
            # The picture's own prediction stands for what was measured: the tool's score is moved along with it.
            for name, value in (("the published tool", wanted + models["M5a_cv"] - uniform), ("own curve", wanted)):
                case = f"budget, {track}: tokens of {draws} draws everywhere, {name}, over"
                case = f"{case} the least of any design in the Gaussian picture"
                yield saving(case, value, draws, bound, list(MULTIPLES), targeted=False)
        yield {
            "name": f"budget, {track}: variance of a draw that lies between branches, which stratifying would take off",
            "value": 100 * float(np.mean([branch_share(track, r) for r in REPORT])),
            "unit": "%",
        }


def saving(
    name: str, wanted: float, draws: int, error: list[float], spent: list[float], *, targeted: bool = True
) -> Row:
    """How many times fewer tokens than ``draws`` everywhere reach an error; null where no budget tried does."""
    tokens = _tokens_for(wanted, error, spent)
    target = {"target": ">= 5"} if targeted else {}
    row: Row = {"name": name, "value": None, "unit": ""}
    if tokens is None:
        row |= {"status": "not reached", "note": f"{wanted:.4f} is not reached at any budget tried"}
        return row | target | ({"met": False} if targeted else {})
    row["value"] = draws / tokens
    if tokens == spent[0]:
        row["note"] = "at the smallest budget tried: at least this"
    return row | target | ({"met": bool(row["value"] >= 5)} if targeted else {})


@dataclass(frozen=True)
class Picture:
    """A question as all of its draws show it: what designs that know this could reach.

    Attributes:
        steps: ``[T - 1, A]`` variance of each step.
        shares: ``[T, A]``.
        cost: ``[T]`` tokens of a draw.

    """

    steps: np.ndarray
    shares: np.ndarray
    cost: np.ndarray

    def score(self, draws: Any) -> float:
        """Expected mean TV to the histogram of 100 other draws, of draws everywhere or of ``[T]`` draws."""
        design = design_of(self.steps, self.shares, np.broadcast_to(draws, self.cost.shape))
        return float(np.sqrt((design.variance + design.noise / 100.0) / (2.0 * np.pi)).sum(axis=0).mean())

    def best(self, multiple: float) -> float:
        """The same of the best design that spends ``multiple`` draws' worth of tokens a position."""
        draws, _ = best_design(self.steps, self.shares, self.cost, multiple * float(self.cost.sum()), 60)
        return self.score(draws)


@lru_cache(maxsize=100)
def _picture(track: str, row: int) -> Picture:
    data = load(track, row)
    return Picture(*steps_and_shares(outcome_posterior(data.counts(200))), data.cost)


def picture(data: Row200) -> Picture:
    """Return the picture of a question from all of its 200 draws."""
    track, row = data.name.split()
    return _picture(track, int(row))


def least_scores(data: list[Row200]) -> list[float]:
    """Mean score of best designs at each of :data:`MULTIPLES`, in the Gaussian picture; measured ones may be less."""
    return [float(np.mean([picture(d).best(m) for d in data])) for m in MULTIPLES]


def branch_share(track: str, row: int) -> float:
    """Share of the variance of a draw that lies between branches, answers and positions summed."""
    where = traces_recorded.folder()
    assert where is not None
    recording, _ = read_forking_fast(where / track / f"row{row:03d}.json.gz")
    mean = recording.distribution()
    total = float((mean * (1.0 - mean)).sum())
    between, at = 0.0, {float(p): i for i, p in enumerate(recording.positions)}
    for b in recording.branches:
        i = at[b.position]
        own = np.bincount(b.answers, minlength=mean.shape[1]) / b.answers.size
        # Less what 200 draws of a branch vary by chance.
        noise = (own * (1.0 - own)).sum() / (b.answers.size - 1)
        between += b.weight / recording.kept_mass[i] * float(((own - mean[i]) ** 2).sum() - noise)
    return max(between, 0.0) / max(total, 1e-12)


def _uniform(data: Row200, draws: int) -> float:
    return float(0.5 * np.abs(outcome_curve(data.counts(draws)).value - data.reference).sum(axis=1).mean())


def _tokens_for(wanted: float, error: list[float], spent: list[float]) -> float | None:
    """Tokens at which the error falls to what is wanted, by linear interpolation in their logarithm."""
    below = [i for i, e in enumerate(error) if e <= wanted]
    if not below:
        return None
    i = below[0]
    if i == 0:
        return spent[0]
    part = (error[i - 1] - wanted) / (error[i - 1] - error[i])
    return float(np.exp(np.log(spent[i - 1]) + part * np.log(spent[i] / spent[i - 1])))
