"""The suite ``traces``: curves, bands, moves and budgets of recorded answers, against a published tool and truths.

Parts: ``curves`` (mean TV under the protocol of ``docs/traces_evaluation.md``, paired to the published tool's scores),
``bands`` (coverage and width), ``branches`` (curves of recorded branches, as ``sloc traces`` makes them), ``moves``
(false discoveries and power on simulated curves and on recorded ones), ``budget`` (sequential allocation, replayed).
What needs recordings is left out where ``SLOC_TEST_DATA`` names none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks import traces_branches, traces_budget, traces_recorded, traces_simulated
from benchmarks.timing import Row
from benchmarks.traces_bands import recorded_bands
from benchmarks.traces_recorded import REPORT, TRACKS, TUNE, interval, load
from benchmarks.traces_rows import detector_rows, event_rows, target
from sloc.windows.outcome_curves import outcome_curve

PARTS = ("curves", "bands", "branches", "moves", "budget")
DRAWS = (10, 20, 30, 50)
CELLS = [("llama", s, k) for s in DRAWS for k in (1, 4, 8)] + [("deepseek", s, 1) for s in DRAWS]
NEEDS_RECORDINGS = {"curves", "budget"}


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of each part.

    Args:
        rounds: not used: what is random is averaged over questions.
        smoke: a few questions each, no targets.
        parts: which of :data:`PARTS`.

    """
    del rounds
    recorded = traces_recorded.folder() is not None
    made: dict[str, Callable[[bool], Iterator[Row]]] = {
        "curves": curves,
        "bands": traces_simulated.bands,
        "branches": lambda smoke: traces_branches.rows(smoke, DRAWS),
        "moves": traces_simulated.moves,
        "budget": traces_budget.rows,
    }
    for part in parts:
        if recorded or part not in NEEDS_RECORDINGS:
            yield from made[part](smoke)
        if recorded and part == "bands":
            yield from recorded_bands(smoke, DRAWS)
        if recorded and part == "moves":
            yield from recorded_moves(smoke)


def curves(smoke: bool) -> Iterator[Row]:
    """Mean TV on the reported rows, paired to the published tool."""
    peers = traces_recorded.peer_scores()
    rows, cells = (REPORT[:2], [("llama", 10, 8), ("deepseek", 10, 1)]) if smoke else (REPORT, CELLS)
    worse, clear, seconds = 0, 0, []
    for track, draws, stride in cells:
        own, model = [], peers[track, draws, stride, "M5a_cv"]
        for row in rows:
            data = load(track, row)
            began = time.process_time()
            curve = outcome_curve(data.counts(draws, stride))
            seconds.append(time.process_time() - began)
            own.append(0.5 * np.abs(curve.value - data.reference).sum(axis=1).mean())
        theirs = np.asarray([model[row][0] for row in rows])
        difference = np.asarray(own) - theirs
        low, high = interval(difference)
        worse, clear = worse + (low > 0), clear + (high < 0)
        case = f"{track}, {draws} draws, every {stride}. position"
        low_own, high_own = interval(np.asarray(own))
        yield {"name": f"{case}: mean TV", "value": float(np.mean(own)), "unit": "TV", "min": low_own, "max": high_own}
        yield {"name": f"{case}: mean TV, published tool", "value": float(theirs.mean()), "unit": "TV"}
        yield {
            "name": f"{case}: mean TV less the published tool's, paired",
            "value": float(difference.mean()),
            "unit": "TV",
            "min": low,
            "max": high,
            **({} if smoke else {"target": "< 0, interval excluding zero", "met": bool(high < 0)}),
        }
    name = "cells where sloc is better, interval excluding zero"
    yield {
        "name": f"{name}, of {len(cells)}",
        "value": clear,
        "unit": "cells",
        **target(smoke, "most", 2 * clear > len(cells)),
    }
    name = "cells where sloc is worse, interval excluding zero"
    yield {"name": f"{name}, of {len(cells)}", "value": worse, "unit": "cells", **target(smoke, "0", worse == 0)}
    yield from second_rows(smoke, seconds, [peers[*c, "M5a_cv"][row][1] for c in cells for row in rows])
    yield from floor_rows(rows)


def second_rows(smoke: bool, own: Sequence[float], theirs: Sequence[float]) -> Iterator[Row]:
    """Seconds of a row: processor time here, and what the published tool's scores say of it on its own two cores."""
    for word, value in (("mean", float(np.mean(own))), ("99 % quantile", float(np.quantile(own, 0.99)))):
        name = f"processor time of a curve, {word}"
        yield {"name": name, "value": value, "unit": "s", **target(smoke, "<= 0.1", value <= 0.1), "of": len(own)}
    for word, value in (("mean", float(np.mean(theirs))), ("99 % quantile", float(np.quantile(theirs, 0.99)))):
        name = f"published tool: seconds of a curve as recorded beside its scores, {word}"
        yield {"name": name, "value": value, "unit": "s", "of": len(theirs)}


def floor_rows(rows: Sequence[int]) -> Iterator[Row]:
    """What a perfect curve would score: the noise of the 100 draws it is held against."""
    for track in TRACKS:
        floor = [traces_recorded.noise_floor(load(track, row)) for row in rows]
        low, high = interval(np.asarray(floor))
        name = f"recorded {track}: mean TV of a perfect curve, the noise of the reference"
        yield {"name": name, "value": float(np.mean(floor)), "unit": "TV", "min": low, "max": high}


def recorded_moves(smoke: bool) -> Iterator[Row]:
    """Detected moves on all 50 recorded questions, against draws 100 to 199."""
    beyond = np.concatenate([traces_recorded.beyond_identity(row) for row in ((0, 1) if smoke else (*TUNE, *REPORT))])
    name = "recorded llama: forks at which a share rises beyond o_t / p_t by three standard errors"
    yield {"name": name, "value": int((beyond > 3.0).sum()), "unit": "forks", "of": beyond.size}
    for track, (gap, tolerance) in TRACKS.items():
        rows = (*TUNE, *REPORT)[:2] if smoke else (*TUNE, *REPORT)
        data = [load(track, row) for row in rows]
        references = [d.reference for d in data]
        if not smoke:
            yield from evidence_rows(track)
            first = [np.eye(d.answers)[d.draws[:, :100]].mean(axis=1) for d in data]
            yield from event_rows(f"moves, recorded {track}", first, references, gap, tolerance)
        for draws in DRAWS[:1] if smoke else DRAWS:
            seen = [d.counts(draws) for d in data]
            yield from detector_rows(
                f"moves, recorded {track}, {draws} draws",
                seen,
                references,
                gap,
                tolerance,
                smoke,
            )


def evidence_rows(track: str, draws: int = 10) -> Iterator[Row]:
    """How much better runs of steps to one side predict a question's draws than steps that forget."""
    for rows, word in ((TUNE, "that priors were chosen on"), (REPORT, "that nothing was chosen on")):
        gained = np.asarray([traces_recorded.evidence_of_runs(load(track, row), draws) for row in rows])
        low, high = interval(gained)
        name = f"recorded {track}, {draws} draws: log-evidence of runs, a question, on {len(rows)} questions {word}"
        yield {"name": name, "value": float(gained.mean()), "unit": "nats", "min": low, "max": high}
