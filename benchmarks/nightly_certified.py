"""Coverage of certified edges: how often intervals and statuses are wrong, over thresholds, sets, and stopping times.

Run ``python -m benchmarks.nightly_certified --json benchmarks/results/certified.json``.

Each setting of :mod:`benchmarks.certified_settings` is asked 500 times with as many keys, closed forms switched off, at
``delta = 0.05``.  An answer is wrong if an interval misses an exact edge or a status contradicts it; a stream is wrong
if it is at any of its looks, 20 as a rule.  More wrong answers than the row allows have probability at most 1e-6 if the
promise holds.
Settings with the worst pilot put the walk just beyond the true edge, where nothing but the test itself protects it.
Normal bounds in the same walk must fail there, or the grid could not tell.

Rows with ``must`` are promises; :mod:`benchmarks.check_results` refuses a result in which one of them is not ``met``.
Finished settings are kept beside the result, so that a run that was killed continues with the next one.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks.certified_runs import FALSE_ALARM, Tally, run
from benchmarks.certified_settings import SETTINGS, Setting
from benchmarks.check_results import problems
from benchmarks.machine import code, cores, device_name, versions
from benchmarks.timing import Row

RESULT = Path(__file__).parent / "results" / "certified.json"
MOSTLY = 0.5
"""Share of repetitions that must find the statuses expected, so that no row holds because nothing was claimed."""


def rows(setting: Setting, tally: Tally) -> Iterator[Row]:
    """Turn a tally into rows."""
    n, answers = len(tally.answers), tally.answers
    facts = {
        "repetitions": n,
        "wrong": tally.wrong,
        "allowed": tally.allowed(),
        "delta": setting.delta,
        "false_alarm": FALSE_ALARM,
        "mean_draws": fmean(a.draws for a in answers),
        "most_draws": max(a.draws for a in answers),
        "statuses": tally.counts(),
        "processor_seconds": tally.seconds,
    }
    for name, side in (("median_width_after", 0), ("median_width_before", 1)):
        width = median(a.widths[side] for a in answers)
        if math.isfinite(width):
            facts[name] = width
    if setting.normal:
        fails = tally.wrong > tally.allowed()
        yield {"name": f"{setting.name}: fails, as it must", "value": int(fails), "unit": ""} | _promise(fails) | facts
        return
    good = tally.wrong <= tally.allowed()
    yield {"name": f"{setting.name}: wrong", "value": tally.wrong, "unit": "repetitions"} | _promise(good) | facts
    if setting.statuses is not None:
        share = tally.share(setting.statuses)
        name = f"{setting.name}: share found {' / '.join(dict.fromkeys(setting.statuses))}"
        yield {"name": name, "value": share, "unit": "", "least": MOSTLY} | _promise(share >= MOSTLY)
    if setting.way.endswith("stream"):
        count = sum(a.widened for a in answers)
        name = f"{setting.name}: an interval widens between two of {setting.looks} looks"
        yield {"name": name, "value": count, "unit": "repetitions"} | _promise(count == 0)
    else:
        count = sum(a.draws > setting.budget for a in answers)
        name = f"{setting.name}: more draws than the budget of {setting.budget:,}"
        yield {"name": name, "value": count, "unit": "repetitions"} | _promise(count == 0)


def _promise(met: bool) -> Row:
    return {"must": True, "met": met}


def measured(name: str, repetitions: int) -> list[Row]:
    """Run one setting; what a worker does."""
    setting = SETTINGS[name]
    return list(rows(setting, run(setting, range(repetitions))))


class Kept:
    """Rows of the settings that are finished, in a file that is whole at every moment."""

    def __init__(self, path: Path | None, repetitions: int) -> None:
        self.path, self.repetitions = path, repetitions
        self.rows: dict[str, list[Row]] = {}
        if path is not None and path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            # Rows of other numbers of repetitions, or of another version of the code, are not these rows.
            if found["repetitions"] == repetitions and found["versions"] == versions():
                self.rows = found["settings"]

    def add(self, name: str, finished: list[Row]) -> None:
        """Add one setting and write everything aside, then in place."""
        self.rows[name] = finished
        if self.path is not None:
            write(self.path, {"repetitions": self.repetitions, "versions": versions(), "settings": self.rows})


def write(path: Path, content: Any) -> None:
    """Write JSON so that a reader, or a run that takes over, finds the old file or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(aside, path)


def measure_all(names: Sequence[str], kept: Kept, workers: int) -> None:
    """Run the settings that are not there yet, each in a process that stays warm for the next."""
    left = [name for name in names if name not in kept.rows]
    if not left:
        return
    # Spawned: a forked process would inherit the threads of JAX in an unknown state.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(measured, name, kept.repetitions): name for name in left}
        try:
            for job in as_completed(jobs):
                kept.add(jobs[job], job.result())
                for row in kept.rows[jobs[job]]:
                    said = "" if row["met"] else "  NOT MET"
                    print(f"{row['name']}: {row['value']:.4g} {row['unit']}{said}", flush=True)
        except BaseException:
            # What is finished is kept; nobody waits for the rest.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the settings, print rows as they come, write them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly_certified", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500, metavar="N")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help=f"default: {RESULT}; none with --only")
    parser.add_argument("--only", action="append", metavar="SETTING", help="settings whose name contains this text")
    parser.add_argument("--workers", type=int, default=cores(), metavar="N", help="processes (default: one a core)")
    chosen = parser.parse_args(arguments)
    for name in ("repetitions", "workers"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} {getattr(chosen, name)}: expected at least 1")
    names = [name for name in SETTINGS if not chosen.only or any(text in name for text in chosen.only)]
    if not names:
        parser.error(f"--only {', '.join(chosen.only)}: expected part of a name among " + "; ".join(SETTINGS))
    path = chosen.json or (None if chosen.only else RESULT)
    partial = path and path.with_name(path.name + ".partial")
    kept = Kept(partial, chosen.repetitions)
    measure_all(names, kept, min(chosen.workers, len(names)))
    found = [row for name in names for row in kept.rows[name]]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"suite": "certified", "device": device_name(), **code(), "date": date, "rows": found}
    if path is not None and partial is not None:
        write(path, result)
        partial.unlink(missing_ok=True)
    faults = problems(result)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
