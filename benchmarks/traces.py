"""The suite ``traces``: curves, bands, moves and budgets of recorded answers, against a published tool and truths.

Parts: ``curves`` (mean TV under the protocol of ``benchmarks/README.md``, paired to the published tool's scores),
``bands`` (coverage), ``moves`` (false discoveries and power on simulated curves and on recorded ones), ``budget``
(sequential allocation, replayed).  What needs recordings is left out where ``SLOC_TEST_DATA`` names none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks import traces_budget, traces_recorded, traces_simulated
from benchmarks.timing import Row
from benchmarks.traces_recorded import REPORT, TRACKS, TUNE, interval, load
from benchmarks.traces_rows import coverage_rows, detector_rows, event_rows, target
from sloc.windows.move_kernels import SHARES
from sloc.windows.outcome_curves import TAILS, outcome_curve, outcome_posterior

PARTS = ("curves", "bands", "moves", "budget")
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
        "moves": traces_simulated.moves,
        "budget": traces_budget.rows,
    }
    for part in parts:
        if recorded or part not in NEEDS_RECORDINGS:
            yield from made[part](smoke)
        if recorded and part == "bands":
            yield from recorded_bands(smoke)
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
    slow = float(np.mean(seconds))
    yield {
        "name": "processor time of a curve, mean",
        "value": slow,
        "unit": "s",
        "max": max(seconds),
        **target(smoke, "<= 0.1", slow <= 0.1),
    }


def recorded_bands(smoke: bool) -> Iterator[Row]:
    """Two bands against recorded answers: the one predicted for 100 further draws, and the one of the share itself.

    The histogram of draws 100 to 199 is a sample.  A band of the share that is right holds it as often as the posterior
    expects, which is less than 90 % where the band is narrower than the noise of 100 draws; that expectation stands
    beside what was counted.
    """
    for track, (gap, tolerance) in TRACKS.items():
        rng = np.random.default_rng(0)
        for draws in DRAWS[:1] if smoke else DRAWS:
            held = [_held(load(track, row), draws, rng) for row in (REPORT[:2] if smoke else REPORT)]
            references = [load(track, row).reference for row in (REPORT[:2] if smoke else REPORT)]
            near = [traces_simulated.near_moves(r, gap, tolerance) for r in references]
            predicted, inside, expected = ([h[k] for h in held] for k in range(3))
            case = f"90 % bands predicted for 100 further draws, recorded {track}, {draws} draws"
            yield from coverage_rows(case, predicted, near, smoke)
            case = f"90 % bands of the share, recorded {track}, {draws} draws, histogram of 100 other draws inside"
            yield from coverage_rows(case, inside, near, smoke, targeted=False)
            case = f"{case}, expected where the posterior is right"
            yield from coverage_rows(case, expected, near, smoke, targeted=False)


def _held(data: traces_recorded.Row200, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """``[T, A]``: rank inside the predictive band; reference inside the band of the share; the chance of the latter."""
    from scipy.stats import binom

    table = binom.cdf(np.arange(-1, 101)[:, None], 100, np.clip(SHARES, 2e-3, 1 - 2e-3)[None, :])
    counts = data.counts(draws)
    law, curve = outcome_posterior(counts).marginals(), outcome_curve(counts)
    seen = np.round(100 * data.reference).astype(int)
    below, upto = (np.einsum("tag,tag->ta", law, table[seen + k]) for k in (0, 1))
    # A randomised rank: uniform exactly where the predictive law is right, whatever the lattice.
    rank = below + rng.random(below.shape) * (upto - below)
    first, last = np.ceil(100 * curve.lower - 1e-9).astype(int), np.floor(100 * curve.upper + 1e-9).astype(int)
    chance = np.einsum("tag,tag->ta", law, np.maximum(table[np.maximum(last + 1, first)] - table[first], 0.0))
    return (rank > 0.05 * TAILS) & (rank < 1.0 - 0.05 * TAILS), (seen >= first) & (seen <= last), chance


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
                [traces_recorded.bounds(track, row) for row in rows],
            )
