"""A model of the digits from training to its curves, as one would run it: how long, how good, how far from the images.

Run ``python -m benchmarks.nightly_learned --folder FOLDER --json benchmarks/results/learned-runs.json``: ``sloc train
digits --model unet``, ``sloc train digits --model classifier``, and ``sloc uturn`` of ten thousand images at 32 levels,
64 steps from each.  What a run that was cut off has done lies in the folder, seconds included, and the next one goes on
from there.  Seconds are those of the machine named; a slower or a busy one may miss their targets, so those of the
processor, over all cores, stand beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.machine import code, device_name
from benchmarks.timing import Row, at_most
from sloc.report.train_command import TrainRequest, run_train
from sloc.report.uturn_command import UturnRequest, run_uturn

IMAGES, LEVELS, STEPS = 10_000, 32, 64
TRAINING, RUN, ACCURACY = 360.0, 2_700.0, 0.95
"""Targets: seconds of training, seconds of the large run, share of samples that the judge knows again."""
_BETWEEN = 15.0
"""Seconds between notes of the time spent: what a run that is killed may leave out."""


@contextlib.contextmanager
def clocked(file: Path) -> Generator[None, None, None]:
    """Add the seconds of a block to those that a file holds, while it runs too, so that an attempt cut off counts.

    Args:
        file: keeps ``attempts``, ``wall`` and ``cpu`` (over all cores), in seconds.

    """
    before = spent(file)
    wall, cpu = time.perf_counter(), time.process_time()
    done = threading.Event()

    def note() -> None:
        now = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "attempts": 1}
        write_aside(file, json.dumps({name: before[name] + now[name] for name in now}))

    def keep() -> None:
        while not done.wait(_BETWEEN):
            note()

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        note()


def spent(file: Path) -> dict[str, float]:
    """Return the seconds and attempts that a file of :func:`clocked` holds; zeros where there is none."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else {"wall": 0.0, "cpu": 0.0, "attempts": 0}


def write_aside(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    aside = file.with_name(f".{file.name}.partial")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)


def done_once(folder: Path, run: Callable[[Path], Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a command that writes ``folder``, unless that is there; return its results and what it took, all attempts."""
    clock = folder.with_name(f"{folder.name}.seconds.json")
    if not (folder / "run.json").is_file():
        with clocked(clock):
            run(folder)
    return json.loads((folder / "run.json").read_text("utf-8"))["results"], spent(clock)


def time_rows(name: str, took: dict[str, float], limit: float) -> list[Row]:
    """Return the wall time, with its target, and the processor's."""
    return [
        at_most({"name": name, "value": took["wall"], "unit": "s", "attempts": took["attempts"]}, limit),
        {"name": f"{name}, all cores' seconds", "value": took["cpu"], "unit": "s"},
    ]


def rows(folder: Path, images: int) -> Iterator[Row]:
    """Train, judge, run, compare."""
    found, took = done_once(folder / "unet", lambda out: run_train(TrainRequest(), out, resume=True))
    yield from time_rows("training and judging the U-Net", took, TRAINING)
    right = found["accuracy_generated"]
    yield {
        "name": "generated digits that the judge knows again",
        "value": right,
        "unit": "",
        "target": f">= {ACCURACY:g}",
        "met": right >= ACCURACY,
    }
    yield {"name": "real held-out digits that the judge knows", "value": found["accuracy_real"], "unit": ""}
    asked = TrainRequest(model="classifier")
    found, _ = done_once(folder / "classifier", lambda out: run_train(asked, out, resume=True))
    yield {"name": "temperature of the classifier", "value": found["temperature"], "unit": ""}
    yield {"name": "reliability error of the classifier", "value": found["reliability_error"][1], "unit": ""}
    files = [str(folder / name / "weights.safetensors") for name in ("unet", "classifier")]
    request = UturnRequest(files[0], times=LEVELS, n=images, steps=STEPS, classifier=files[1])
    found, took = done_once(folder / f"uturn-{images}", lambda out: run_uturn(request, out, resume=True))
    yield from time_rows(f"forward–reverse of {images:,} images, {LEVELS} levels, {STEPS} steps", took, RUN)
    for pair, gap in found["differences"].items():
        low, high = gap["interval"]
        yield {"name": f"largest difference: {pair}", "value": gap["largest"], "unit": "", "min": low, "max": high}


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly_learned", description=__doc__)
    parser.add_argument("--json", type=Path, help="the file to write")
    parser.add_argument("--images", type=int, default=IMAGES, help="how many images at each level")
    parser.add_argument("--folder", type=Path, help="where the runs are kept, to go on from; default a temporary one")
    options = parser.parse_args()
    ran, load = code(), os.getloadavg()[0]
    ran["versions"] |= {name: metadata.version(name) for name in ("flax", "optax")}
    with tempfile.TemporaryDirectory() as spare:
        folder = options.folder or Path(spare)
        folder.mkdir(parents=True, exist_ok=True)
        made = []
        for row in rows(folder, options.images):
            print(f"{row['name']}: {row['value']:.4g} {row['unit']}", flush=True)
            made.append(row)
    result = {"suite": "learned-runs", "device": device_name(), **ran}
    result["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    result |= {"load_before": load, "load_after": os.getloadavg()[0], "rows": made}
    if options.json is not None:
        write_aside(options.json, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
