"""The U-Net of :mod:`sloc.nn` in PyTorch, with the same weights, and forward–reverse experiments by a loop of it.

Two ways: a loop over levels, each of them a loop over steps, as a script has it; and all levels as one batch, the
layout that convolutions like best, compiled where there is a GPU, as a competent user would have it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Turns:
    """Forward–reverse experiments under the Ornstein–Uhlenbeck process.

    Attributes:
        weights: the network's, by dotted path (:func:`sloc.nn.weights.named_arrays`).
        images: ``[N, 8, 8]``, those that are noised.
        times: ``[T]``.
        grids: ``[T, S]``, the times below each, increasing.
        label: what the network is told as its class.
        atoms: ``[M, 64]``; the nearest one labels what comes back.
        classes: ``[M]``.
        n: images noised at each time.

    """

    weights: Mapping[str, np.ndarray]
    images: np.ndarray
    times: np.ndarray
    grids: np.ndarray
    label: int
    atoms: np.ndarray
    classes: np.ndarray
    n: int


def network(weights: Mapping[str, np.ndarray], device: str = "cpu", last: bool = False) -> Callable[..., Any]:
    """Return ``(y [B, H, W], log_snr [B], label [B]) -> v``, the network of these weights in PyTorch.

    Args:
        weights: by dotted path, of a :class:`sloc.nn.UNet` of one channel.
        device: where they lie.
        last: whether images lie in memory with their channels last.

    """
    torch: Any = importlib.import_module("torch")
    f: Any = importlib.import_module("torch.nn.functional")
    # A copy: what JAX hands out cannot be written to, of which PyTorch warns.
    held = {name: torch.from_numpy(np.array(v)).to(device) for name, v in weights.items()}
    form = torch.channels_last if last else torch.contiguous_format
    frequencies = torch.tensor([0.05 * 1.3**i for i in range(held["condition.first.kernel"].shape[0] // 2)]).to(device)
    # Flax keeps (height, width, in, out), for the transposed convolution too, and does not flip its kernel.
    kernels = {
        n: (v.flip(0, 1).permute(2, 3, 0, 1) if n.startswith("double.") else v.permute(3, 2, 0, 1)).contiguous(
            memory_format=form
        )
        for n, v in held.items()
        if v.ndim == 4
    }

    def linear(x: Any, name: str) -> Any:
        return x @ held[f"{name}.kernel"] + held[f"{name}.bias"]

    def conv(x: Any, name: str, **options: Any) -> Any:
        return f.conv2d(x, kernels[f"{name}.kernel"], held[f"{name}.bias"], **options)

    def norm(x: Any, name: str) -> Any:
        groups = max(g for g in range(1, 9) if x.shape[1] % g == 0)
        return f.group_norm(x, groups, held[f"{name}.scale"], held[f"{name}.bias"], eps=1e-6)

    def block(x: Any, condition: Any, name: str) -> Any:
        h = conv(f.silu(norm(x, f"{name}.norm_in")), f"{name}.conv_in", padding=1)
        scale, shift = linear(condition, f"{name}.scale")[:, :, None, None].chunk(2, dim=1)
        h = conv(f.silu(norm(h, f"{name}.norm_out") * (1 + scale) + shift), f"{name}.conv_out", padding=1)
        return h + (conv(x, f"{name}.shortcut") if f"{name}.shortcut.kernel" in kernels else x)

    levels = sum(1 for n in held if n.startswith("down.") and n.endswith("conv_in.kernel"))

    def predict(y: Any, log_snr: Any, label: Any) -> Any:
        phase = log_snr[:, None] * frequencies * (torch.pi / 2)
        seen = torch.cat([torch.sin(phase), torch.cos(phase)], dim=1)
        condition = linear(f.silu(linear(seen, "condition.first")), "condition.second")
        condition = f.silu(condition + held["condition.labels.embedding"][label])
        h = conv(y[:, None].contiguous(memory_format=form), "first", padding=1)
        kept = []
        for i in range(levels):
            h = block(h, condition, f"down.{i}")
            kept.append(h)
            if i < levels - 1:
                h = conv(h, f"halve.{i}", stride=2)
        h = block(h, condition, "middle")
        for i in reversed(range(levels)):
            h = block(torch.cat([h, kept[i]], dim=1), condition, f"up.{i}")
            if i > 0:
                h = f.conv_transpose2d(h, kernels[f"double.{i - 1}.kernel"], held[f"double.{i - 1}.bias"], stride=2)
        return conv(f.silu(norm(h, "norm")), "last", padding=1)[:, 0]

    return predict


def level_by_level(asked: Turns, device: str) -> Callable[[], np.ndarray]:
    """Return a call that runs the levels one after the other and gives the labels, ``[T, n]``."""
    torch: Any = importlib.import_module("torch")
    predict = network(asked.weights, device)

    def run() -> np.ndarray:
        with torch.inference_mode():
            one = lambda i: _turned(torch, predict, asked, [i], device)  # noqa: E731
            return np.concatenate([one(i).cpu().numpy() for i in range(asked.times.size)])

    return run


def all_levels(asked: Turns, device: str) -> Callable[[], np.ndarray]:
    """Return a call that runs all levels as one batch, compiled on a GPU, and gives the labels, ``[T, n]``."""
    torch: Any = importlib.import_module("torch")
    predict = network(asked.weights, device, last=True)
    predict = torch.compile(predict) if device != "cpu" else predict

    def run() -> np.ndarray:
        with torch.inference_mode():
            return _turned(torch, predict, asked, list(range(asked.times.size)), device).cpu().numpy()

    return run


def _turned(torch: Any, predict: Any, asked: Turns, levels: list[int], device: str) -> Any:
    """Return the labels ``[L, n]`` of images noised to these levels and brought back by ancestral steps."""
    images = torch.from_numpy(asked.images).to(device)
    size = len(levels) * asked.n
    # The top of each way, then down: [S + 1, L].
    way = np.concatenate([asked.times[levels][None], asked.grids[levels].T[::-1]]).astype(np.float32)
    way = torch.from_numpy(np.repeat(way, asked.n, axis=1)).to(device)
    a, sigma = torch.exp(-way)[:, :, None, None], torch.sqrt(-torch.expm1(-2 * way))[:, :, None, None]
    log_snr = 2 * torch.log(a / sigma)[:, :, 0, 0]
    label = torch.full((size,), asked.label, device=device)
    x = images[torch.randint(len(images), (size,), device=device)]
    y = a[0] * x + sigma[0] * torch.randn_like(x)
    last = len(way) - 1
    for i in range(last):
        v = predict(y, log_snr[i], label)
        x, eps = a[i] * y - sigma[i] * v, sigma[i] * y + a[i] * v
        drawn = 1 - (a[i] * sigma[i + 1] / (a[i + 1] * sigma[i])) ** 2
        noise = torch.randn_like(y)
        y = a[i + 1] * x + sigma[i + 1] * (torch.sqrt(1 - drawn) * eps + torch.sqrt(drawn) * noise)
    x = (a[last] * y - sigma[last] * predict(y, log_snr[last], label)).reshape(size, -1)
    atoms = torch.from_numpy(asked.atoms).to(device)
    nearest = torch.argmin((atoms**2).sum(1) - 2 * x @ atoms.T, dim=1)
    return torch.from_numpy(asked.classes).to(device)[nearest].reshape(len(levels), asked.n)
