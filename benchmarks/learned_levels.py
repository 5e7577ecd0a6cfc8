"""Forward–reverse experiments of a U-Net at many levels: one compiled call against a PyTorch loop, level by level.

The same network with the same weights, the same steps and levels.  Before anybody is timed, the networks' outputs and
the shares of digits that come back the same must agree.  Weights are drawn, not trained: they change no time.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks import machine
from benchmarks.peers.unet import Turns, all_levels, level_by_level, network
from benchmarks.timing import Contender, Row, called, race, ratio_row, time_rows
from sloc import samplers
from sloc.contracts import require

PROCESS = sloc.processes.OrnsteinUhlenbeck()
TARGET = 10.0
"""On a GPU, against the loop."""


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the times and the ratios; nothing where PyTorch is missing from a smoke run."""
    if not machine.has_peer("torch", smoke):
        return
    cpu = jax.default_backend() == "cpu"
    n, levels, steps = (64, 3, 3) if smoke else (512, 8, 16) if cpu else (10_000, 32, 64)
    asked, own = problem(n, levels, steps)
    device = "cpu" if cpu or not importlib.import_module("torch").cuda.is_available() else "cuda"
    calls: dict[str, Callable[[], np.ndarray]] = {
        "sloc": own,
        "PyTorch, level by level": level_by_level(asked, device),
        "PyTorch, all levels at once": all_levels(asked, device),
    }
    raced, found = [], []
    for name, call in calls.items():
        labels, first = called(call)
        found.append((np.asarray(labels) == 3).mean(axis=1))
        raced.append(Contender(name, call, first=first))
    # A share of n draws strays by at most 1 / 2 sqrt(n): seven standard errors of a difference.
    gap, allowed = max(float(np.abs(share - found[0]).max()) for share in found), 7 * np.sqrt(0.5 / n)
    require(gap <= allowed, "shares that come back the same differ by", gap, f"at most {allowed:.3g}")
    timings = race(raced, rounds)
    case = f"U-Net, {n:,} digits x {levels} levels x {steps} steps"
    yield from time_rows(case, timings)
    loop = ratio_row(
        f"{case}: PyTorch, level by level, over sloc",
        timings["PyTorch, level by level"],
        timings["sloc"],
        # The target is set for a GPU that both run on.
        target=TARGET if device == "cuda" and not smoke else None,
    )
    yield loop | {"device_of_peer": device}
    yield ratio_row(
        f"{case}: PyTorch, all levels at once, over sloc", timings["PyTorch, all levels at once"], timings["sloc"]
    ) | {"device_of_peer": device}


def problem(n: int, levels: int, steps: int) -> tuple[Turns, Callable[[], np.ndarray]]:
    """Return what the peers are asked and sloc's call, once both networks say the same."""
    from flax import nnx
    from sklearn.datasets import load_digits

    from sloc import nn
    from sloc.nn.weights import named_arrays
    from sloc.report.uturn_curves import nearest_class

    bunch: Any = load_digits()
    x = (np.asarray(bunch.data, np.float64) / 8 - 1).astype(np.float32).reshape(-1, 8, 8)
    data = sloc.populations.Empirical(x, np.asarray(bunch.target))
    own = nn.UNet((8, 8), 10, rngs=nnx.Rngs(0))
    # The last layer starts at zero, where a network would be folded away.
    own.last.kernel[...] = 0.02 * jax.random.normal(jax.random.key(2), own.last.kernel.shape)
    weights = named_arrays(nnx.state(own, nnx.Param))
    check_outputs(own, weights)
    model = nn.as_diffusion(own, PROCESS, data_std=float(x.std()))
    times = np.asarray(PROCESS.time_of_log_snr(np.linspace(2.0, -6.0, levels)), np.float64)
    grids = samplers.level_grids(PROCESS, times, steps)
    order = np.argsort(bunch.target, kind="stable")
    asked = Turns(
        weights,
        x[bunch.target == 3],
        times,
        grids,
        10,
        x[order].reshape(len(x), -1),
        np.asarray(bunch.target)[order],
        n,
    )
    call = functools.partial(
        sloc.forward_reverse, jax.random.key(0), PROCESS, data, "3", times, n=n, feature=nearest_class(data),
        localizer=samplers.ancestral(model), grid=grids, samples=False,
    )  # fmt: skip
    return asked, lambda: call()[0]


def check_outputs(own: Any, weights: dict[str, np.ndarray]) -> None:
    """Refuse to time another network: allowed is what float32 rounds."""
    torch: Any = importlib.import_module("torch")
    rng = np.random.default_rng(0)
    y, log_snr = rng.normal(size=(16, 8, 8)).astype(np.float32), rng.uniform(-6, 4, 16).astype(np.float32)
    label = rng.integers(0, 11, 16)
    ours = np.asarray(own(jnp.asarray(y), jnp.asarray(log_snr), jnp.asarray(label)))
    with torch.inference_mode():
        for last in (False, True):
            theirs = network(weights, last=last)(*(torch.from_numpy(v) for v in (y, log_snr, label))).numpy()
            gap, allowed = float(np.abs(theirs - ours).max()), 1e-4 * float(np.abs(ours).max())
            require(gap <= allowed, "outputs of the two networks differ by", gap, f"at most {allowed:.3g}")
