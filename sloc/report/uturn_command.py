"""Everything behind ``sloc uturn``: noise digits, undo it with a trained model, compare with the data's own curve."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from sloc.contracts import component_mask, named, require
from sloc.contracts.arguments import MOST_SEED, checked_level, checked_seed, checked_whole
from sloc.contracts.extras import need
from sloc.divergence.curves import label_curve
from sloc.engine.plan import Plan
from sloc.populations import Empirical
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.checkpoints import checkpoints
from sloc.report.command_run import CommandRun
from sloc.report.progress_bars import progress_bars
from sloc.report.run_record import digests
from sloc.report.sources import digits
from sloc.report.train_command import held_out, split_digits
from sloc.report.uturn_curves import brought_back, classifier_curve, compared, nearest_class, share_curve
from sloc.report.uturn_picture import CLASSIFIER, IMAGES, MODEL, uturn_picture
from sloc.results.curve import Curve
from sloc.samplers import ancestral

if TYPE_CHECKING:
    from rich.console import Console

PICTURE = "uturn.png"
"""Name of the picture in the output folder."""
_EXACT_DRAWS = 20_000
FILES = ("weights", "classifier")
"""Arguments that name a file."""


@dataclass(frozen=True)
class UturnRequest:
    """What ``sloc uturn`` is asked for.

    Attributes:
        weights: a file that ``sloc train`` wrote.
        start: the digit that is noised.
        times: how many noise levels.
        n: images noised at each level.
        steps: steps of the sampler from each level.
        seed: of everything drawn.
        delta: error level of each difference of two curves, and so twice that of each band.
        classifier: a file that ``sloc train --model classifier`` wrote; None for no such curve.

    """

    weights: str
    start: str = "3"
    times: int = 12
    n: int = 256
    steps: int = 32
    seed: int = 0
    delta: float = 0.05
    classifier: str | None = None

    def to_arguments(self) -> dict[str, Any]:
        """Return every argument by name, files with their whole paths, in JSON's types."""
        files = {name: getattr(self, name) for name in FILES}
        return dataclasses.asdict(self) | {k: str(Path(v).expanduser().absolute()) for k, v in files.items() if v}

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InvalidInput: numbers out of range.

        """
        checked_whole(self.times, "times", 2, what="noise levels")
        checked_whole(self.n, "n", what="images")
        checked_whole(self.steps, "steps")
        checked_level(self.delta, "delta")
        checked_seed(self.seed)


def run_uturn(
    request: UturnRequest,
    out: str | os.PathLike[str] | None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    json: bool = False,
    log: Console | None = None,
) -> dict[str, Any]:
    """Noise digits of one class to many levels, undo it with a trained model, and compare with the exact curve.

    The share that comes back as the same digit (the nearest training image's, in squared distance) is set beside the
    exact label curve of the images themselves as atoms, and beside the mean probability that a calibrated classifier
    gives noised digits which it never saw: the largest difference of each two curves, with an interval, says how much
    of the window is the network's and not the data's.

    Args:
        request: what is asked for.
        out: the folder to write (``curves.csv``, ``uturn.png``, ``run.json``); nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        resume: keep checkpoints beside ``out`` while running, and go on from those of a run that was cut off, to the
            same bits; they are removed when everything is written.
        json: print one JSON object instead of text.
        log: where progress goes; standard error when None.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input, weights of another network, a missing extra, or a folder that cannot be written.
        NotANumber: the network returned NaN; names the level and the draw.

    """
    from rich.console import Console

    request.check()
    for module in ("flax", "safetensors"):
        need("nn", module, "a trained model")
    run = CommandRun("uturn", out, overwrite=overwrite, json=json)
    log = Console(stderr=True) if log is None else log
    given, files = loaded(request), digests(request, *FILES)
    with checkpoints(out, request, resume, "uturn") as folder:
        times, curves, first = turned(request, given, log, Plan(checkpoint=folder))
        results = compared(curves) | files
        record = run.record(request.to_arguments(), results)
        run.write(
            record,
            lambda folder: _frame(curves).to_csv(folder / "curves.csv", index=False),
            lambda folder: uturn_picture(times, curves, first, results, request.start, folder / PICTURE),
        )
    words = _words(results, request.start)
    return run.say(record, lambda console: console.out(words, end="", highlight=False), "curves and a picture", PICTURE)


@dataclass(frozen=True)
class Loaded:
    """What a run reads: the digits, the index of the one that is noised, and the networks."""

    data: Empirical
    own: int
    model: Any
    posterior: Any
    unseen: np.ndarray


def loaded(request: UturnRequest) -> Loaded:
    """Read and check the digits and the networks, before anything is computed.

    Raises:
        InvalidInput: bad input, or weights of another network.

    """
    request.check()
    data = Empirical(*digits())
    own = int(np.flatnonzero(component_mask(data, request.start, "start"))[0])
    model = _model(request.weights, float(np.std(np.asarray(data.data))))
    return Loaded(data, own, model, *_posterior(request, own))


def turned(
    request: UturnRequest, given: Loaded, log: Console, plan: Plan
) -> tuple[np.ndarray, dict[str, Curve], np.ndarray]:
    """Return the levels of noise, the curves by name, and what the first image becomes at each level."""
    data, own, schedule = given.data, given.own, OrnsteinUhlenbeck()
    times = np.asarray(schedule.time_of_log_snr(np.linspace(2.0, -6.0, request.times)), np.float64)
    key_draw, key_exact, key_classifier = jax.random.split(jax.random.key(request.seed), 3)
    with progress_bars(log) as bar:
        labels, first = brought_back(
            key_draw,
            schedule,
            data,
            request.start,
            times,
            ancestral(given.model),
            n=request.n,
            steps=request.steps,
            feature=nearest_class(data),
            plan=plan,
            progress=bar("levels x blocks"),
        )
    level = request.delta / 2
    curves = {MODEL: share_curve(times, labels == own, level)}
    exact = label_curve(key_exact, schedule, data, times, request.start, n=_EXACT_DRAWS, delta=level)
    curves[IMAGES] = exact.column(request.start)
    if given.posterior is not None:
        curves[CLASSIFIER] = classifier_curve(
            key_classifier, schedule, given.posterior, given.unseen, own, times, level
        )
    return times, curves, first


def _model(weights: str, std: float) -> Any:
    from flax import nnx

    from sloc import nn
    from sloc.nn.weights import load_arrays

    with named("weights", "path"):
        name = load_arrays(weights)[1].get("network", "")
    networks = {"unet": nn.UNet, "dit": nn.DiT, "mlp": nn.MLPDenoiser}
    expected = "a weights.safetensors of sloc train, of a network that draws"
    require(name in networks, "weights", weights, expected)
    with named("weights", "path"):
        network = nn.load_weights(weights, networks[name]((8, 8), 10, rngs=nnx.Rngs(0)))
    return nn.as_diffusion(network, OrnsteinUhlenbeck(), data_std=std)


def _posterior(request: UturnRequest, own: int) -> tuple[Any, np.ndarray]:
    """Return the classifier's calibrated posterior and the digits of the class that it never saw."""
    if request.classifier is None:
        return None, np.zeros((0, 8, 8), np.float32)
    from flax import nnx

    from sloc import nn
    from sloc.nn.weights import load_arrays

    with named("classifier", "path"):
        notes = load_arrays(request.classifier)[1]
    known = notes.get("network") == "classifier"
    seed, temperature = notes.get("seed", ""), _number(notes.get("temperature", ""))
    known &= seed.isdecimal() and 0 < temperature < math.inf and int(seed) <= MOST_SEED
    require(known, "classifier", request.classifier, "a weights.safetensors of sloc train --model classifier")
    with named("classifier", "path"):
        network = nn.load_weights(request.classifier, nn.NoiseClassifier((8, 8), 10, rngs=nnx.Rngs(0)))
    x, labels = held_out(split_digits(int(seed)))
    return nn.as_posterior(network, OrnsteinUhlenbeck(), temperature), x[labels == own]


def _number(text: str) -> float:
    """Return the number that a text writes, NaN if none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _frame(curves: dict[str, Curve]) -> pd.DataFrame:
    """Return all curves in one frame: a row for each curve and time."""
    return pd.concat([c.to_dataframe().assign(curve=name) for name, c in curves.items()], ignore_index=True)


def _words(results: dict[str, Any], start: str) -> str:
    shown = {MODEL: "the model", IMAGES: "the images themselves", CLASSIFIER: "a classifier of unseen images"}
    lines = []
    for name, found in results["curves"].items():
        window = " to ".join("-" if v is None else f"{v:.3f}" for v in found["window"])
        lines.append(f"a {start} stays a {start} with probability 90 % down to 50 % at t = {window}: {shown[name]}\n")
    for pair, found in results["differences"].items():
        low, high = found["interval"]
        a, b = (shown[name] for name in pair.split(", "))
        lines.append(
            f"{a} and {b} differ by up to {found['largest']:.3f} [{low:.3f}, {high:.3f}], at t = {found['at']:.3f}\n"
        )
    return "".join(lines)
