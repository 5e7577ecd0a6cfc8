"""A model of the digits from training to its curves, as one would run it: how long, how good, how far from the images.

Run ``python -m benchmarks.nightly_learned --json benchmarks/results/learned-runs.json``: ``sloc train digits --model
unet``, ``sloc train digits --model classifier``, and ``sloc uturn`` of ten thousand images at 32 levels, 64 steps from
each, which goes on where it was cut off.  Seconds are those of the machine named; a slower one may miss their targets.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
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


def clocked(call: Any) -> tuple[Any, float, float]:
    """Return what a call gives, its seconds, and the CPU's seconds over all cores."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    return value, time.perf_counter() - wall, time.process_time() - cpu


def rows(folder: Path, images: int) -> Iterator[Row]:
    """Train, judge, run, compare."""
    network, classifier = folder / "unet", folder / "classifier"
    if not network.exists():
        found, wall, cpu = clocked(lambda: run_train(TrainRequest(), network, json=True, resume=True))
        found = found["results"]
        yield at_most({"name": "training and judging the U-Net", "value": wall, "unit": "s"}, TRAINING)
        yield {"name": "training and judging the U-Net, CPU", "value": cpu, "unit": "s"}
        right = found["accuracy_generated"]
        yield {
            "name": "generated digits that the judge knows again",
            "value": right,
            "unit": "",
            "target": f">= {ACCURACY:g}",
            "met": right >= ACCURACY,
        }
        yield {"name": "real held-out digits that the judge knows", "value": found["accuracy_real"], "unit": ""}
    if not classifier.exists():
        found = run_train(TrainRequest(model="classifier"), classifier, json=True)["results"]
        yield {"name": "temperature of the classifier", "value": found["temperature"], "unit": ""}
        yield {"name": "reliability error of the classifier", "value": found["reliability_error"][1], "unit": ""}
    files = [str(f / "weights.safetensors") for f in (network, classifier)]
    request = UturnRequest(files[0], levels=LEVELS, n=images, steps=STEPS, classifier=files[1])
    found, wall, cpu = clocked(lambda: run_uturn(request, folder / "uturn", json=True, resume=True, overwrite=True))
    name = f"forward–reverse of {images:,} images, {LEVELS} levels, {STEPS} steps"
    yield at_most({"name": name, "value": wall, "unit": "s"}, RUN)
    yield {"name": f"{name}, CPU", "value": cpu, "unit": "s"}
    for pair, gap in found["results"]["differences"].items():
        low, high = gap["interval"]
        yield {"name": f"largest difference: {pair}", "value": gap["largest"], "unit": "", "min": low, "max": high}


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nightly_learned", description=__doc__)
    parser.add_argument("--json", type=Path, help="the file to write")
    parser.add_argument("--images", type=int, default=IMAGES, help="how many images at each level")
    parser.add_argument("--folder", type=Path, help="where the runs are kept, to go on from; default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        folder = options.folder or Path(spare)
        folder.mkdir(parents=True, exist_ok=True)
        made = list(rows(folder, options.images))
    ran = code()
    ran["versions"] |= {name: metadata.version(name) for name in ("flax", "optax")}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"suite": "learned-runs", "device": device_name(), **ran, "date": date, "rows": made}
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    if options.json is None:
        print(text)
        return
    aside = options.json.with_suffix(".partial")
    aside.write_text(text, encoding="utf-8")
    aside.replace(options.json)


if __name__ == "__main__":
    main()
