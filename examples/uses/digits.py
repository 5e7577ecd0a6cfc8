"""The digits, a model of them trained here, a judge that saw other digits, and the windows of the classes."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.svm import SVC

import sloc
from sloc import nn

PROCESS = sloc.processes.OrnsteinUhlenbeck()
FOLDER = Path(__file__).parents[2] / "build" / "uses"


def split():
    """Return the digits ``[n, 8, 8]``, from -1 to 1, in parts that share no image: for generator, judge and test."""
    pixels, digits = load_digits(return_X_y=True)
    x, labels = (pixels / 8 - 1).astype(np.float32).reshape(-1, 8, 8), digits.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(x))
    parts = np.split(order, [round(0.6 * len(x)), round(0.9 * len(x))])
    generator, judged, test = ((x[part], labels[part]) for part in parts)
    return SimpleNamespace(generator=generator, judge=judged, test=test)


PARTS = split()


def fitted(network, loss, data, steps: int, name: str, **options):
    """Return a network trained on the generator's digits (``options``: of ``nn.fit``); kept in ``build/uses``."""
    file = FOLDER / f"{name}-{steps}.safetensors"
    if file.is_file():
        return nn.load_weights(file, network)
    found = nn.fit(jax.random.key(0), network, loss, data, steps=steps, **options).model
    FOLDER.mkdir(parents=True, exist_ok=True)
    nn.save_weights(file, found)
    return found


def trained(small: bool):
    """Return a class-conditional diffusion model of the digits (``small``: trained for a few seconds)."""
    network = nn.MLPDenoiser((8, 8), 10, width=64 if small else 256, rngs=nnx.Rngs(0))
    loss = functools.partial(nn.denoising_loss, schedule=PROCESS)
    model = fitted(network, loss, PARTS.generator, 600 if small else 2_000, "mlp-small" if small else "mlp")
    return nn.as_diffusion(model, PROCESS, data_std=float(PARTS.generator[0].std()))


@functools.cache
def judge(binary: bool = False):
    """Return ``x [n, 8, 8] -> labels``: a classifier of the digits that the generator never saw."""
    x, labels = PARTS.judge
    classifier: Any = SVC
    machine = classifier(gamma=0.02, C=10.0).fit((np.sign(x) if binary else x).reshape(len(x), -1), labels)
    return lambda x: machine.predict(np.asarray(x).reshape(len(x), -1))


@functools.cache
def windows(epsilon: float = 0.2, n: int = 16_384):
    """Return each digit's exact window within all, ``[10, 2]``: from where it is settled to where it opens."""
    data = sloc.populations.Empirical(*PARTS.generator)
    times = PROCESS.grid(48, (6.0, -6.0))
    asked = {k: sloc.TV(k, [j for j in range(10) if j != k]) for k in range(10)}
    curves = sloc.measure(jax.random.key(1), PROCESS, data, times, asked, n=n)
    weights = np.exp(np.asarray(data.log_weights))
    # TV(class, all) = (1 - w) TV(class, rest).
    edges = []
    for k in range(10):
        apart = np.asarray(curves[k].value)
        settled, opens = apart >= 1 - epsilon**2, (1 - weights[k]) * apart <= epsilon
        edges.append((times[settled].max(initial=times[0]), times[opens].min(initial=times[-1])))
    return np.asarray(edges)
