"""Ten thousand short curves in one fit: time, calibration, agreement with tests, predictive checks.

Run ``python -m benchmarks.nightly_changes --json benchmarks/results/changes.json``.

One data set of 10,000 simulated curves (:data:`benchmarks.changes_calibration.LARGE`) of known windows is fitted by
:func:`sloc.bayes.fit_changes`, compilation and all; then calibration of the shared parameters over many smaller ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

import sloc.bayes
from benchmarks.changes_calibration import (
    LARGE,
    SMALL,
    Setting,
    prior_draw,
    question_ranks,
    rank_rows,
    scalars,
    shared_ranks,
    simulated,
)
from benchmarks.machine import code, device_name
from benchmarks.timing import Row, at_most
from sloc.bayes.change_predict import DrawnCurves
from sloc.engine.binomial import clopper_pearson
from sloc.windows import answers_of_counts, trace_table
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.outcome_curves import OutcomeCounts
from sloc.windows.resampled import trace_windows

SECONDS = 300.0
ALPHA = 0.1
UNIFORM, TOGETHER = "p-value of uniform ranks", 1e-3
"""How rows of calibration tests are called, and what their p-value together must exceed."""
COMPARED = 1_000
"""Questions that are also given to tests."""


def large_rows(setting: Setting = LARGE, seed: int = 1, compared: int = COMPARED) -> Iterator[Row]:
    """Fit one large data set; its time, its calibration question by question, what tests say of the same curves."""
    rng = np.random.default_rng(seed)
    truth = prior_draw(rng, setting.sets)
    curves, groups, right = simulated(rng, truth, setting)
    began, busy = time.perf_counter(), time.process_time()
    found = sloc.bayes.fit_changes(
        jax.random.key(seed), curves.counts, setting.draws, groups=groups, right=right, warmup=200, draws=200
    )
    wall, cpu = time.perf_counter() - began, time.process_time() - busy
    case = f"{setting.questions:,} curves of {setting.points} points, {setting.draws} draws each"
    yield at_most({"name": f"{case}: one fit, compilation included", "value": wall, "unit": "s"}, SECONDS)
    yield {"name": f"{case}: one fit, processor time", "value": cpu, "unit": "s"}
    yield {"name": f"{case}: largest R-hat", "value": max(found.diagnostics.r_hat.values()), "unit": ""}
    yield {"name": f"{case}: least effective size", "value": min(found.diagnostics.ess.values()), "unit": ""}
    yield from truth_rows(case, truth, found)
    for name, ranks in question_ranks(rng, curves, found).items():
        yield from rank_rows(f"{case}: {name}", ranks)
    for name, (seen, mean, p) in found.checks.items():
        yield {"name": f"{case}: predictive check, {name}", "value": seen, "unit": "", "replicates": mean, "p": p}
    yield from report_rows(f"{case}: posterior at {ALPHA:.0%}", found.reported(ALPHA), curves.number)
    yield from agreement_rows(found, curves, setting, compared)


def truth_rows(
    case: str, truth: dict[str, np.ndarray], found: sloc.bayes.ChangePosterior, most: float = 5.0
) -> Iterator[Row]:
    """How many posterior standard deviations the shared parameters are from the truth, at most."""
    own = scalars(truth)
    flat = scalars({n: v.reshape(-1, *v.shape[2:]) for n, v in found.samples.items()})
    off = {n: float(abs(d.mean() - own[n]) / d.std()) for n, d in flat.items()}
    worst = max(off, key=lambda n: off[n])
    row: Row = {
        "name": f"{case}: shared parameters from the truth, largest distance",
        "value": off[worst],
        "unit": "sd",
    }
    yield row | {"target": f"<= {most:g}", "met": off[worst] <= most, "must": True, "note": worst}


def report_rows(case: str, reported: np.ndarray, number: np.ndarray) -> Iterator[Row]:
    """False discoveries and power of windows that are reported, against the truth."""
    true, count = number > 0, int(reported.sum())
    false = float((reported & ~true).sum()) / max(count, 1)
    row: Row = {"name": f"{case}: reported without a window", "value": 100 * false, "unit": "%", "of": count}
    yield with_interval(row)
    power = float((reported & true).sum()) / max(int(true.sum()), 1)
    yield {"name": f"{case}: questions with a window that are reported", "value": 100 * power, "unit": "%"}


def with_interval(row: Row) -> Row:
    """Add the exact 95 % interval (Clopper and Pearson) of a share in per cent: questions are independent."""
    if not row["of"]:
        return row
    hits = round(row["value"] * row["of"] / 100)
    low, high = clopper_pearson(np.asarray([hits]), np.asarray([row["of"]]), 0.05)
    return row | {"min": 100 * float(low[0]), "max": 100 * float(high[0])}


def combined_row(rows: Sequence[Row]) -> Row:
    """All tests of uniform ranks at once: a p-value that must not be small, valid whatever their dependence.

    Twice the smaller of Bonferroni's ``m min p``, which sees one rank that is far off, and twice the mean of the
    p-values (Rüschendorf 1982), which sees many that are a little off.
    """
    p = np.asarray([r["value"] for r in rows if UNIFORM in r["name"]])
    value = float(min(1.0, 2.0 * min(p.size * p.min(), 2.0 * p.mean())))
    row: Row = {"name": f"calibration: {UNIFORM} of all kinds together", "value": value, "unit": "", "of": int(p.size)}
    return row | {"target": f"> {TOGETHER:g}", "met": value > TOGETHER, "must": True}


def completed(rows: Sequence[Row]) -> list[Row]:
    """Rows with what follows from them: intervals of false discoveries, and all calibration tests together."""
    own = [r for r in rows if not r["name"].startswith("calibration: ")]
    return [*(with_interval(r) if "reported without a window" in r["name"] else r for r in own), combined_row(own)]


def agreement_rows(
    found: sloc.bayes.ChangePosterior, curves: DrawnCurves, setting: Setting, compared: int
) -> Iterator[Row]:
    """What tests and frequentist moves of the same curves say, and whether the posterior says the same."""
    some = first_questions(found, compared)
    number = curves.number[:compared]
    names = some.questions
    tests = trace_windows(
        trace_table(answers_of_counts(curves.counts[:compared], setting.draws, kept=found.kept, questions=names)),
        rise=0.5,
        alpha=ALPHA,
        correction="holm",
        across="bh",
    )
    same = curves.counts[:compared].astype(float)
    moves = posterior_moves(
        [
            OutcomeCounts(q, ("same", "other"), found.kept, np.stack([y, setting.draws - y], axis=1), unknown)
            for q, y in zip(names, same, strict=True)
            for unknown in [np.full(setting.points - 1, np.nan)]
        ],
        gap=float(np.diff(found.kept).min()),
        separation=float(np.diff(found.kept).min()) * 2,
        alpha=ALPHA,
    )
    given = {
        "exact test of no rise": sloc.bayes.compare_windows(some, tests, alpha=ALPHA, any_rise=True),
        "exact test of a rise of 0.5": sloc.bayes.compare_windows(some, tests, alpha=ALPHA),
        "moves above 0.3": sloc.bayes.compare_windows(some, moves, alpha=ALPHA),
    }
    for name, agreement in given.items():
        case = f"{compared:,} curves, {name} at {ALPHA:.0%}"
        yield from report_rows(case, agreement.by_tests, number)
        yield {"name": f"{case}: agree with the posterior", "value": 100 * agreement.agree, "unit": "%"}
        yield {"name": f"{case}: kappa with the posterior", "value": agreement.kappa, "unit": "", **agreement.counts}
        place = agreement.same_place_share
        if place is not None:
            yield {"name": f"{case}: same step where both find one", "value": 100 * place, "unit": "%"}


def first_questions(found: sloc.bayes.ChangePosterior, number: int) -> sloc.bayes.ChangePosterior:
    """The posterior of the first questions of those that were fitted together."""
    from dataclasses import replace

    cut = {n: getattr(found, n)[:number] for n in ("numbers", "steps", "first", "last", "width", "height", "questions")}
    return replace(found, **cut)


def calibration_rows(number: int, setting: Setting = SMALL) -> Iterator[Row]:
    """Ranks of the shared parameters over many data sets."""
    ranks, again, refused = shared_ranks(number, setting)
    case = f"{number} data sets of {setting.questions} curves"
    yield {"name": f"{case}: fitted again with longer chains", "value": again, "unit": "sets"}
    yield {"name": f"{case}: refused for good", "value": refused, "unit": "sets"}
    for name, own in ranks.items():
        yield from rank_rows(f"{case}: {name}", own, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/changes.json"))
    parser.add_argument("--sets", type=int, default=100, help="data sets that shared parameters are ranked in")
    parser.add_argument(
        "--complete", action="store_true", help="only add what follows from the rows of a stored result"
    )
    options = parser.parse_args()
    if options.complete:
        stored = json.loads(options.json.read_text(encoding="utf-8"))
        put(options.json, stored | {"rows": completed(stored["rows"])})
        return
    rows: list[Row] = []
    # What is done is kept: the second part takes much longer than the first.
    for part in (large_rows(), calibration_rows(options.sets)):
        for row in part:
            print(f"{row['name']}: {row['value']:.4g} {row['unit']}", flush=True)
            rows.append(row)
        write(options.json, rows)
    write(options.json, completed(rows))


def write(path: Path, rows: list[Row]) -> None:
    """Write the rows with what ran them."""
    found = code()
    found["versions"] |= {n: metadata.version(n) for n in ("numpyro",)}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"suite": "changes", "device": device_name(), **found, "date": date, "rows": rows}
    put(path, result)


def put(path: Path, result: dict[str, Any]) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


if __name__ == "__main__":
    main()
