"""Everything behind ``sloc uturn``: noise digits, undo it with a trained model, compare with the data's own curve."""

from __future__ import annotations

import dataclasses
import importlib.util
import json as json_module
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import component_mask, require
from sloc.divergence import clopper_pearson, label_curve
from sloc.populations import Empirical
from sloc.processes import OrnsteinUhlenbeck
from sloc.report.extras import need
from sloc.report.output import check_run_folder, jsonable, run_folder, write_run_json
from sloc.report.style import BLUE, FAINT, ORANGE, new_figure, styled
from sloc.results import Curve
from sloc.samplers import ancestral, forward_reverse, level_grids

_EXACT_DRAWS = 20_000


@dataclass(frozen=True)
class UturnRequest:
    """What ``sloc uturn`` is asked for.

    Attributes:
        weights: a file that ``sloc train`` wrote.
        start: the digit that is noised.
        levels: how many levels of noise.
        n: images noised at each level.
        steps: steps of the sampler from each level.
        seed: of everything drawn.
        delta: error level of the band.

    """

    weights: str
    start: str = "3"
    levels: int = 12
    n: int = 256
    steps: int = 32
    seed: int = 0
    delta: float = 0.05

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InvalidInput: numbers out of range.

        """
        for name, least in (("levels", 2), ("n", 1), ("steps", 1)):
            require(getattr(self, name) >= least, f"--{name}", getattr(self, name), f"at least {least}")
        require(0 < self.delta < 1, "--delta", self.delta, "a number strictly between 0 and 1")
        require(0 <= self.seed < 2**31, "--seed", self.seed, "a number from 0 to 2147483647")


def run_uturn(
    request: UturnRequest, out: str | os.PathLike[str] | None, *, overwrite: bool = False, json: bool = False
) -> dict[str, Any]:
    """Noise digits of one class to many levels, undo it with a trained model, and compare with the exact curve.

    The share that comes back as the same digit (the nearest training image's, in squared distance) is set beside the
    exact label curve of the images themselves as atoms: their largest difference, with the band of the draws, says how
    much of the window is the network's and not the data's.

    Args:
        request: what is asked for.
        out: the folder to write (``curves.csv``, ``uturn.png``, ``run.json``); nothing is written when None.
        overwrite: whether a run in ``out`` may be replaced.
        json: print one JSON object instead of text.

    Returns:
        ``{"command", "arguments", "results", "output"}`` in JSON's types.

    Raises:
        InvalidInput: bad input, weights of another network, a missing extra, or a folder that cannot be written.
        NotANumber: the network returned NaN; names the level and the draw.

    """
    request.check()
    for module in ("flax", "safetensors"):
        need(module, "a trained model")
    if out is not None:
        check_run_folder(out, overwrite)
    data = _digits()
    mask = component_mask(data, request.start, "--start")
    schedule, model = OrnsteinUhlenbeck(), _model(request.weights, float(np.std(np.asarray(data.data))))
    times = np.asarray(schedule.time_of_log_snr(np.linspace(2.0, -6.0, request.levels)), np.float64)
    key_draw, key_exact = jax.random.split(jax.random.key(request.seed))
    labels, samples = forward_reverse(
        key_draw,
        schedule,
        data,
        request.start,
        times,
        n=request.n,
        feature=_nearest(data),
        localizer=ancestral(model),
        grid=level_grids(schedule, times, request.steps),
    )
    own = int(np.flatnonzero(mask)[0])
    learned = _share(times, np.asarray(labels) == own, request)
    exact = label_curve(key_exact, schedule, data, times, request.start, n=_EXACT_DRAWS).column(request.start)
    results = _compared(times, learned, exact)
    arguments = dataclasses.asdict(request) | {"overwrite": overwrite}
    if out is not None:
        with run_folder(out, overwrite) as folder:
            frame = learned.to_dataframe().assign(exact=np.asarray(exact.value, np.float64))
            frame.to_csv(folder / "curves.csv", index=False)
            if importlib.util.find_spec("matplotlib") is not None:
                _picture(times, learned, exact, np.asarray(samples), results, request.start, folder / "uturn.png")
            write_run_json(folder, "uturn", arguments, results)
    answer = jsonable({"command": "uturn", "arguments": arguments, "results": results, "output": out})
    sys.stdout.write(json_module.dumps(answer) + "\n" if json else _words(results, request.start))
    return answer


def _digits() -> Empirical:
    bunch = need("sklearn.datasets", "the bundled digits").load_digits()
    x = (np.asarray(bunch.data, np.float64) / 8 - 1).astype(np.float32).reshape(-1, 8, 8)
    return Empirical(x, np.asarray(bunch.target))


def _model(weights: str, std: float) -> Any:
    from flax import nnx

    from sloc import nn
    from sloc.nn.weights import load_arrays

    name = load_arrays(weights)[1].get("network", "")
    networks = {"unet": nn.UNet, "dit": nn.DiT, "mlp": nn.MLPDenoiser}
    require(name in networks, "--weights", weights, "a weights.safetensors of sloc train, which names its network")
    network = nn.load_weights(weights, networks[name]((8, 8), 10, rngs=nnx.Rngs(0)))
    return nn.as_diffusion(network, OrnsteinUhlenbeck(), data_std=std)


def _nearest(data: Empirical) -> Any:
    """Return ``x -> class`` of the nearest example."""
    atoms = jnp.asarray(np.asarray(data.data).reshape(data.num_atoms, -1))
    classes = jnp.asarray(np.repeat(np.arange(len(data.counts)), data.counts), jnp.int32)
    norms = jnp.sum(atoms**2, axis=1)

    def nearest(x: Any) -> Any:
        return classes[jnp.argmin(norms - 2.0 * (atoms @ x.reshape(-1)))]

    return nearest


def _share(times: np.ndarray, same: np.ndarray, request: UturnRequest) -> Curve:
    hits = same.sum(axis=1)
    low, high = clopper_pearson(hits, request.n, request.delta / times.size)
    value = hits / request.n
    stderr = np.sqrt(value * (1 - value) / request.n)
    return Curve(times, value, stderr, low, high, request.n, "forward–reverse, learned model", "P(same digit)")


def _crossing(times: np.ndarray, value: np.ndarray, level: float) -> float | None:
    """Return the first time at which a curve falls to a level, by linear interpolation."""
    below = np.flatnonzero(value <= level)
    if below.size == 0 or below[0] == 0:
        return None
    i = int(below[0])
    share = (value[i - 1] - level) / (value[i - 1] - value[i])
    return float(times[i - 1] + share * (times[i] - times[i - 1]))


def _compared(times: np.ndarray, learned: Curve, exact: Curve) -> dict[str, Any]:
    own, true = np.asarray(learned.value, np.float64), np.asarray(exact.value, np.float64)
    low, high = np.asarray(learned.lower), np.asarray(learned.upper)
    gap = np.abs(own - true)
    # What the draws leave of the difference: the exact curve outside the learned one's band.
    certain = np.maximum(np.maximum(low - true, true - high), 0.0)
    return {
        "window_learned": [_crossing(times, own, 0.9), _crossing(times, own, 0.5)],
        "window_exact": [_crossing(times, true, 0.9), _crossing(times, true, 0.5)],
        "largest_difference": float(gap.max()),
        "largest_difference_at": float(times[int(gap.argmax())]),
        "difference_beyond_the_draws": float(certain.max()),
        "times": times,
        "learned": own,
        "exact": true,
    }


def _words(results: dict[str, Any], start: str) -> str:
    def shown(pair: list[float | None]) -> str:
        return " to ".join("-" if v is None else f"{v:.3f}" for v in pair)

    return (
        f"a {start} comes back as a {start} in 90 % down to 50 % of the draws at t = "
        f"{shown(results['window_learned'])} (the model), {shown(results['window_exact'])} (the images themselves)\n"
        f"largest difference of the curves: {results['largest_difference']:.3f} at t = "
        f"{results['largest_difference_at']:.3f}; beyond what the draws explain: "
        f"{results['difference_beyond_the_draws']:.3f}\n"
    )


def _picture(
    times: np.ndarray, learned: Curve, exact: Curve, samples: np.ndarray, results: Any, start: str, path: Path
) -> None:
    """Draw what one image becomes at each level, over the two curves with the model's window."""
    with styled():
        figure = new_figure(8, 5)
        strip, below = figure.subplots(2, 1, height_ratios=[1, 3])
        images = np.concatenate([np.pad(samples[i, 0], 1, constant_values=-1) for i in range(times.size)], axis=1)
        strip.imshow(images, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest", aspect="equal")
        strip.set_axis_off()
        strip.set_title(f"one {start}, noised to each level and brought back")
        below.fill_between(times, learned.lower, learned.upper, color=BLUE, alpha=0.2, lw=0)
        below.plot(times, learned.value, color=BLUE, marker="o", ms=3, label="trained model")
        below.plot(times, exact.value, color=ORANGE, ls="--", label="the images themselves, exact")
        low, high = results["window_learned"]
        if low is not None and high is not None:
            below.axvspan(low, high, color=FAINT, alpha=0.6, lw=0)
        below.set(xscale="log", xlabel="t (Ornstein–Uhlenbeck)", ylabel="P(same digit)", ylim=(-0.02, 1.02))
        below.legend()
        figure.savefig(path, dpi=120)
