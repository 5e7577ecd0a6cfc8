"""Sequential allocation replayed on recorded draws: error against tokens drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks import traces_recorded
from benchmarks.timing import Row
from benchmarks.traces_recorded import REPORT, Row200, interval, load
from sloc.windows.allocation import RecordedDraws, allocate_draws
from sloc.windows.outcome_curves import outcome_curve

SHARES = (0.5, 1.0, 2.0, 4.0)
"""Budgets in draws a position of the full grid."""


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
        for share in SHARES[1:2] if smoke else (*SHARES, 8.0):
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
                tokens = _tokens_for(wanted, error, spent)
                row: Row = {
                    "name": f"budget, {track}: tokens of {draws} draws everywhere, {name}, over sequential ones then"
                }
                if tokens is None:
                    reason = {"status": "not reached", "note": f"{wanted:.4f} is not reached at any budget tried"}
                    yield row | reason | {"value": None, "unit": "", "target": ">= 5", "met": False}
                    continue
                row |= {"value": draws * every / tokens, "unit": ""}
                if tokens == spent[0]:
                    row["note"] = "at the smallest budget tried: at least this"
                yield row | {"target": ">= 5", "met": bool(row["value"] >= 5)}


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
