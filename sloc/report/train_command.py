"""Everything behind ``sloc train``: split, train, draw, judge, and write a folder that is whole or absent."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from sloc.contracts import require
from sloc.contracts.arguments import checked_choice, checked_number, checked_seed, checked_whole
from sloc.contracts.extras import need
from sloc.engine import NotANumber
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.checkpoints import checkpoints
from sloc.report.command_run import CommandRun
from sloc.report.output import write_picture
from sloc.report.sources import digits
from sloc.report.style import new_figure, styled
from sloc.samplers import dpm_solver
from sloc.samplers.localization import localize

NETWORKS = {"unet": 3_000, "dit": 2_000, "mlp": 4_000, "classifier": 1_500}
"""Networks and how many steps they are trained by default."""
GENERATOR_SHARE, JUDGE_SHARE = 0.6, 0.3
"""Shares of the digits for the generator and for training its judge; the rest tests the judge."""
PICTURE = "samples.png"
"""Name of the picture in the output folder."""
_SAMPLER_STEPS = 24


@dataclass(frozen=True)
class TrainRequest:
    """What ``sloc train`` is asked for.

    Attributes:
        source: ``digits``.
        model: ``unet``, ``dit`` or ``mlp``; or ``classifier``, of noised digits.
        steps: training steps; None for the network's default.
        batch: examples of a step.
        seed: of everything drawn.
        guidance: strength of guidance of the samples judged.
        samples: samples of each class to judge.

    """

    source: str = "digits"
    model: str = "unet"
    steps: int | None = None
    batch: int = 128
    seed: int = 0
    guidance: float = 1.5
    samples: int = 100

    def to_arguments(self) -> dict[str, Any]:
        """Return every argument by name; ``sloc.report.run_record.repeated`` reads them back."""
        return dataclasses.asdict(self)

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            InvalidInput: another source or network, numbers below 1, or a strength of guidance that is not finite.

        """
        require(self.source == "digits", "source", self.source, "digits")
        checked_choice(self.model, "model", NETWORKS)
        for name in ("steps", "batch", "samples"):
            value = getattr(self, name)
            if value is not None or name != "steps":
                checked_whole(value, name)
        checked_seed(self.seed)
        checked_number(self.guidance, "guidance")


@dataclass(frozen=True)
class Split:
    """The digits in three parts that share no image: the generator's, the judge's, and those the judge is tested on."""

    generator: tuple[np.ndarray, np.ndarray]
    judge: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def split_digits(seed: int) -> Split:
    """Return scikit-learn's digits ``[N, 8, 8]``, scaled to [-1, 1], in three parts by a seeded permutation.

    Raises:
        InvalidInput: scikit-learn is not installed.

    """
    x, labels = digits()
    order = np.random.default_rng(seed).permutation(len(x))
    first = round(GENERATOR_SHARE * len(x))
    parts = np.split(order, [first, first + round(JUDGE_SHARE * len(x))])
    return Split(*((x[part], labels[part]) for part in parts))


def run_train(
    request: TrainRequest,
    out: str | os.PathLike[str] | None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    json: bool = False,
) -> dict[str, Any]:
    """Train a network on digits, have a judge that saw other digits label its samples, print and write.

    Args:
        request: what is asked for.
        out: the folder to write; nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        resume: keep a checkpoint beside ``out`` while training, and go on from that of a run that was cut off, to the
            same weights (the losses before it are not kept); it is removed when everything is written.
        json: print one JSON object instead of text.

    Returns:
        ``{"command", "arguments", "results", "seconds", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input, a missing extra, a checkpoint of another run, or a folder that cannot be written.
        NotANumber: the loss turned NaN; names the step.

    """
    request.check()
    request = dataclasses.replace(request, steps=request.steps or NETWORKS[request.model])
    for module in ("flax", "optax", "safetensors"):
        need("nn", module, "training")
    run = CommandRun("train", out, overwrite=overwrite, json=json)
    parts = split_digits(request.seed)
    with checkpoints(out, request, resume, "train") as stages:
        kept = None if stages is None else stages.with_name("training.safetensors")
        fitted, results, drawn = _trained(request, parts, kept, quiet=json)
        record = run.record(request.to_arguments(), results)
        run.write(
            record,
            lambda folder: _write(folder, request, fitted, results),
            None if drawn is None else lambda folder: _picture(drawn, folder / PICTURE),
        )
    words = _words(results)
    return run.say(
        record,
        lambda console: console.out(words, end="", highlight=False),
        "weights, losses and a picture",
        PICTURE,
    )


def _write(folder: Path, request: TrainRequest, fitted: Any, results: dict[str, Any]) -> None:
    from sloc.nn import save_weights

    notes = {"network": request.model, "seed": str(request.seed)}
    if "temperature" in results:
        notes["temperature"] = repr(results["temperature"])
    save_weights(folder / "weights.safetensors", fitted.model, **notes)
    losses = {"step": np.arange(fitted.losses.size), "loss": fitted.losses}
    pd.DataFrame(losses).to_csv(folder / "losses.csv", index=False)


def _trained(request: TrainRequest, parts: Split, kept: Path | None, quiet: bool) -> tuple[Any, dict[str, Any], Any]:
    from flax import nnx

    from sloc import nn

    networks = {"unet": nn.UNet, "dit": nn.DiT, "mlp": nn.MLPDenoiser, "classifier": nn.NoiseClassifier}
    x, labels = parts.generator
    assert request.steps is not None
    steps = request.steps
    schedule, judges = OrnsteinUhlenbeck(), request.model == "classifier"
    network = networks[request.model](x.shape[1:], 10, rngs=nnx.Rngs(request.seed))
    loss = functools.partial(nn.classification_loss if judges else nn.denoising_loss, schedule=schedule)

    def progress(done: int, total: int, value: float) -> None:
        if not quiet and (done % 250 == 0 or done == total):
            sys.stderr.write(f"step {done:,} of {total:,}: loss {value:.4f}\n")

    key_fit, key_draw = jax.random.split(jax.random.key(request.seed))
    try:
        fitted = nn.fit(
            key_fit, network, loss, (x, labels), steps=steps, batch=request.batch, checkpoint=kept, progress=progress
        )
    except FloatingPointError as error:
        # The rate is not the command line's to choose.
        said = str(error).partition(":")[0]
        raise NotANumber(f"{said}: a larger --batch or another --seed may help", -1, "") from error
    common = {
        "steps": steps,
        "parameters": int(sum(v.size for v in jax.tree.leaves(nnx.state(fitted.model, nnx.Param)))),
        "loss": _last_loss(fitted.losses),
        "training_seconds": fitted.seconds,
    }
    if judges:
        return fitted, calibrated(key_draw, fitted.model, schedule, parts) | common, None
    began = time.monotonic()
    model = nn.as_diffusion(fitted.model, schedule, data_std=float(x.std()))
    grid, drawn = model.grid(_SAMPLER_STEPS), []
    for label in range(10):
        own = model.conditioned(label, request.guidance)
        key = jax.random.fold_in(key_draw, label)
        drawn.append(localize(key, schedule, own, grid=grid, n=request.samples, localizer=dpm_solver(own)))
    seconds = time.monotonic() - began
    results = _judged(parts, np.stack(drawn)) | common | {"sampling_seconds": seconds}
    return fitted, results, np.stack(drawn)


def calibrated(key: jax.Array, network: Any, schedule: Any, parts: Split) -> dict[str, Any]:
    """Return the temperature of a classifier of the generator's digits, found and judged on digits that it never saw.

    Half of the judge's digits are spent on it; ``held_out`` returns the rest.
    """
    from sloc import nn

    spent = len(parts.judge[0]) // 2
    found = nn.calibrate(key, network, schedule, parts.judge[0][:spent], parts.judge[1][:spent])
    return {
        "temperature": found.temperature,
        "nats": list(found.nats),
        "reliability_error": list(found.reliability_error),
        "examples": list(found.examples),
    }


def held_out(parts: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return digits that chose neither a classifier's weights nor its temperature."""
    spent = len(parts.judge[0]) // 2
    return tuple(np.concatenate([parts.judge[i][spent:], parts.test[i]]) for i in (0, 1))  # pyright: ignore[reportReturnType]


def _last_loss(losses: np.ndarray) -> float:
    """Return the mean of the last hundred losses; NaN where all of them are of a run that was cut off."""
    last = losses[-100:]
    seen = last[np.isfinite(last)]
    return float(seen.mean()) if seen.size else math.nan


def _judged(parts: Split, drawn: np.ndarray) -> dict[str, Any]:
    """Return the accuracy of a classifier that saw other digits, on samples and on real held-out digits."""
    svm = need("viz", "sklearn.svm", "the judge")
    judge = svm.SVC(gamma=0.02, C=10.0).fit(parts.judge[0].reshape(len(parts.judge[0]), -1), parts.judge[1])
    real = judge.predict(parts.test[0].reshape(len(parts.test[0]), -1)) == parts.test[1]
    each = [float((judge.predict(x.reshape(len(x), -1)) == k).mean()) for k, x in enumerate(drawn)]
    return {
        "accuracy_generated": float(np.mean(each)),
        "accuracy_real": float(real.mean()),
        "accuracy_by_class": each,
        "generated": int(drawn.shape[0] * drawn.shape[1]),
        "real": int(real.size),
    }


def _words(results: dict[str, Any]) -> str:
    trained = (
        f"trained {results['parameters']:,} weights for {results['steps']:,} steps in "
        f"{results['training_seconds']:.0f} s (loss {results['loss']:.4f})\n"
    )
    if "temperature" in results:
        return (
            f"{trained}temperature {results['temperature']:.3f} (of {results['examples'][0]} digits that it never saw)"
            f"; on {results['examples'][1]} others, before and after: cross-entropy {results['nats'][0]:.4f} and "
            f"{results['nats'][1]:.4f} nats, reliability error {results['reliability_error'][0]:.2%} and "
            f"{results['reliability_error'][1]:.2%}\n"
        )
    return (
        f"{trained}a classifier that saw other digits finds the asked-for class in "
        f"{results['accuracy_generated']:.1%} of {results['generated']:,} samples, and the right one of "
        f"{results['real']:,} real held-out digits in {results['accuracy_real']:.1%}\n"
    )


def _picture(drawn: np.ndarray, path: Path) -> None:
    """Draw the first samples of each class, a row for each."""
    columns = min(12, drawn.shape[1])
    # A white pixel between neighbours keeps each digit apart.
    shown = np.pad(drawn[:, :columns], ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1.0)
    side = shown.shape[2]
    with styled():
        figure = new_figure(0.45 * columns + 0.4, 4.7)
        axes = figure.subplots()
        tiles = shown.transpose(0, 2, 1, 3).reshape(10 * side, columns * side)
        axes.imshow(tiles, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=(np.arange(10) + 0.5) * side - 0.5, yticklabels=range(10))
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        write_picture(figure, path, 120)
