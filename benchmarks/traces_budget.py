"""Sequential allocation replayed on recorded draws: error against tokens drawn, and what designs can reach at best.

The best design: in the Gaussian picture of :mod:`sloc.windows.draw_design`, painted with all 200 draws of a question,
the design that spends a budget best is found by convex optimisation.  It knows every step's variance beforehand and may
draw fractions, so that no allocation that has to learn them does better within the picture.  The picture is no more
than that: its prediction for draws everywhere stands beside what was measured, and a curve that is not Gaussian may
let sequential draws do a little better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks import traces_recorded
from benchmarks.best_design import best_design
from benchmarks.timing import Row
from benchmarks.traces_recorded import REPORT, Row200, interval, load
from sloc.windows.allocation import RecordedDraws, allocate_draws
from sloc.windows.draw_design import design_of, posterior_steps
from sloc.windows.outcome_curves import outcome_curve, outcome_posterior
from sloc.windows.recorded_import import read_forking_fast

SHARES = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 16.0, 20.0, 32.0, 50.0, 64.0)
"""Budgets in draws a position of the full grid, of one run that is looked at on its way."""
REFERENCE = 100.0
"""Draws of the histogram that curves are scored against."""
MULTIPLES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Budgets of the best designs, in tokens of one draw everywhere."""


class Noted:
    """Recorded draws that are handed out once, and what was handed out, in order."""

    def __init__(self, data: Row200) -> None:
        self.names = tuple("ABCDEFGH"[: data.answers])
        answers = {
            (data.name, float(p)): [self.names[a] for a in row[:100]]
            for p, row in zip(data.positions, data.draws, strict=True)
        }
        costs = {(data.name, float(p)): float(c) for p, c in zip(data.positions, data.cost, strict=True)}
        self.draw = RecordedDraws(answers, dict(costs))
        self.given: list[tuple[int, int]] = []
        self.at = {float(p): t for t, p in enumerate(data.positions)}

    def __call__(self, question: str, position: float, n: int) -> Sequence[str]:
        """Hand out draws."""
        got = self.draw(question, position, n)
        self.given += [(self.at[float(position)], self.names.index(a)) for a in got]
        return got


def replayed(data: Row200, shares: Sequence[float]) -> list[tuple[float, float]]:
    """Mean TV and tokens of one question at each budget, all of one run that is looked at on its way."""
    noted = Noted(data)
    budgets = [max(8, round(share * data.positions.size)) for share in shares]
    allocate_draws(
        noted,
        data.name,
        noted.names,
        data.positions,
        budget=max(budgets),
        leaving=data.leaving,
        cost=data.cost,
    )
    found = []
    for budget in budgets:
        counts = np.zeros((data.positions.size, data.answers))
        where = np.asarray(noted.given[:budget])
        np.add.at(counts, (where[:, 0], where[:, 1]), 1.0)
        curve = outcome_curve(replace(data.counts(1), counts=counts))
        error = 0.5 * np.abs(curve.value - data.reference).sum(axis=1).mean()
        found.append((float(error), float(data.cost[where[:, 0]].sum())))
    return found


def rows(smoke: bool) -> Iterator[Row]:
    """Yield error and tokens at each budget, and how many times fewer tokens the same error takes."""
    peers = traces_recorded.peer_scores()
    for track in ("llama", "deepseek"):
        data = [load(track, r) for r in (REPORT[:2] if smoke else REPORT)]
        every = float(np.mean([d.cost.sum() for d in data]))
        tokens = np.asarray([d.cost.sum() for d in data])
        shares = SHARES[1:2] if smoke else SHARES
        replays = np.asarray([replayed(d, shares) for d in data])
        for k, share in enumerate(shares):
            yield from budget_rows(f"budget, {track}, sequential, {share:g} draws a position", replays[:, k], every)
        if smoke:
            continue
        bound = least_scores(data)
        for draws in (10, 20, 50):
            everywhere = np.asarray([_uniform(d, draws) for d in data])
            uniform = float(everywhere.mean())
            scores = {
                m: np.asarray([peers[track, draws, 1, m][r][0] for r in REPORT]) for m in ("raw_linear", "M5a_cv")
            }
            models = {m: float(score.mean()) for m, score in scores.items()}
            same = (
                ("counts alone", scores["raw_linear"]),
                ("the published tool", scores["M5a_cv"]),
                ("own curve", everywhere),
            )
            for name, wanted in same:
                case = f"budget, {track}: tokens of {draws} draws everywhere, {name}, over"
                yield measured_saving(f"{case} sequential ones then", wanted, draws, replays, tokens)
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


def budget_rows(case: str, got: np.ndarray, every: float) -> Iterator[Row]:
    """Mean error and tokens of questions ``[Q, 2]`` at one budget, tokens over ``every``, one draw at all positions."""
    low, high = interval(got[:, 0])
    yield {"name": f"{case}: mean TV", "value": float(got[:, 0].mean()), "unit": "TV", "min": low, "max": high}
    name = f"{case}: tokens, of {every:.3g} for one draw at every position"
    yield {"name": name, "value": float(got[:, 1].mean()) / every, "unit": ""}


def measured_saving(name: str, wanted: np.ndarray, draws: int, replays: np.ndarray, tokens: np.ndarray) -> Row:
    """:func:`saving` over questions, with a 95 % interval: questions drawn with replacement, 0 where it is not reached.

    Args:
        name: of the row.
        wanted: ``[Q]`` errors of the curves from draws everywhere.
        draws: how many everywhere.
        replays: ``[Q, B, 2]`` error and tokens at each budget.
        tokens: ``[Q]`` of one draw at all positions.

    """

    def of(picked: np.ndarray) -> Row:
        error, spent = replays[picked].mean(axis=0).T
        mean = float(wanted[picked].mean())
        return saving(name, mean, draws, error.tolist(), (spent / tokens[picked].mean()).tolist())

    row, rng = of(np.arange(wanted.size)), np.random.default_rng(0)
    found = [of(rng.integers(0, wanted.size, wanted.size))["value"] or 0.0 for _ in range(4_000)]
    if row["value"] is None:
        return row
    row |= {"min": float(np.quantile(found, 0.025)), "max": float(np.quantile(found, 0.975))}
    held = row["min"] < 5 <= row["max"]
    return row | {"met": bool(row["min"] >= 5)} | ({"note": "the interval holds the target"} if held else {})


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
        return design.loss_against(REFERENCE)

    def best(self, multiple: float) -> float:
        """What no design goes below that spends ``multiple`` draws' worth of tokens a position, within the picture."""
        budget = multiple * float(self.cost.sum())
        best = best_design(self.steps, self.shares, self.cost, budget, reference=REFERENCE, rounds=60)
        return best.loss - best.gap


@lru_cache(maxsize=100)
def _picture(track: str, row: int) -> Picture:
    data = load(track, row)
    return Picture(*posterior_steps(outcome_posterior(data.counts(200))), data.cost)


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
