"""Information curves of labelled atoms under Ornstein-Uhlenbeck: NumPy, PyTorch and KeOps, as written and tuned.

Every peer draws ``n / K`` atoms of each class and their noise, evaluates ``log p_t^k(Y_t)`` up to a term that does not
depend on ``k`` and returns the mutual information of class and observation in bits, ``[T]``.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.peers.answers import Digits
from benchmarks.peers.atoms import workers
from benchmarks.peers.numpy_sums import centred, class_logs, class_logs_by_nodes, coefficients, drawn, low_rates

Curve = Callable[[int], np.ndarray]
DRAWS_AT_ONCE = 128
"""Draws of a tuned block: both inner products with 1,797 images take 1.8 MB."""


def installed() -> list[str]:
    """Return which of ``torch`` and ``pykeops`` can run here (KeOps compiles with g++)."""
    found = ["torch"] if importlib.util.find_spec("torch") else []
    keops = found and importlib.util.find_spec("pykeops") and shutil.which("g++")
    return [*found, "pykeops"] if keops else found


def information(digits: Digits, log_p: np.ndarray) -> np.ndarray:
    """Mutual information in bits, ``[T]``, from ``[T, K, K * R]``: class evaluated, draws by class."""
    weights = digits.weights
    joint = log_p.astype(np.float64) + np.log(weights)[None, :, None]
    joint -= joint.max(axis=1, keepdims=True)
    pi = np.exp(joint)
    total = pi.sum(axis=1, keepdims=True)
    entropy = (np.log(total[:, 0]) - np.sum(pi * joint, axis=1) / total[:, 0]) / math.log(2)
    by_class = entropy.reshape(len(log_p), digits.classes, -1).mean(axis=2)
    return -np.sum(weights * np.log2(weights)) - by_class @ weights


def _blocks(n: int, classes: int) -> list[int]:
    """Cut ``n / K`` draws a class into blocks of about ``DRAWS_AT_ONCE`` draws in all."""
    per_class, most = max(n // classes, 1), max(DRAWS_AT_ONCE // classes, 1)
    return [min(most, per_class - start) for start in range(0, per_class, most)]


def _joined(digits: Digits, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Put blocks ``[T, K, K * r]`` side by side within each source class."""
    shape = (digits.times.size, digits.classes, digits.classes, -1)
    return np.concatenate([p.reshape(shape) for p in parts], axis=-1).reshape(*shape[:2], -1)


def numpy_same_algebra(digits: Digits, n: int) -> Curve:
    """Inner products once, one exponential for each draw, image and time, in place, small blocks, one thread a core."""
    given = centred(digits)
    return _in_threads(digits, n, lambda index, z: class_logs(digits, given, index, z))


def numpy_same_nodes(digits: Digits, n: int) -> Curve:
    """The same with low rates interpolated from ten nodes: all of sloc's algebra but the bound of its error."""
    given = centred(digits)
    chosen = low_rates(digits, given)
    return _in_threads(digits, n, lambda index, z: class_logs_by_nodes(digits, given, chosen, index, z))


def _in_threads(digits: Digits, n: int, logs: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Curve:
    def block(task: tuple[np.random.Generator, int]) -> np.ndarray:
        return logs(*drawn(digits, *task))

    def run(seed: int) -> np.ndarray:
        sizes = _blocks(n, digits.classes)
        with ThreadPoolExecutor(workers()) as pool:
            parts = list(pool.map(block, zip(np.random.default_rng(seed).spawn(len(sizes)), sizes, strict=True)))
        return information(digits, _joined(digits, parts))

    return run


def torch_as_written(digits: Digits, n: int) -> Curve:
    """``cdist`` between observations and shrunken images at each time, ``torch.logsumexp`` by class."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(workers())
    data = torch.from_numpy(digits.data)

    def run(seed: int) -> np.ndarray:
        index, z = drawn(digits, np.random.default_rng(seed), max(n // digits.classes, 1))
        x, noise, out = data[index], torch.from_numpy(z), []
        for a, sigma in zip(*coefficients(digits.times), strict=True):
            log_p = -0.5 * torch.cdist(float(a) * x + float(sigma) * noise, float(a) * data) ** 2 / float(sigma) ** 2
            sums = [torch.logsumexp(log_p[:, s], dim=1) - math.log(s.stop - s.start) for s in digits.slices]
            out.append(torch.stack(sums).numpy())
        return information(digits, np.stack(out))

    return run


def torch_tuned(digits: Digits, n: int) -> Curve:
    """Inner products once, one exponential for each draw, image and time, in place, small blocks, all threads."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(workers())
    numbers, squares, rates = centred(digits)
    data, norms = torch.from_numpy(numbers), torch.from_numpy(squares)

    def block(rng: np.random.Generator, per_class: int) -> np.ndarray:
        index, z = drawn(digits, rng, per_class)
        x, noise, own = data[index], torch.from_numpy(z), (index, np.arange(index.size))
        half = torch.addmm(-0.5 * (norms[:, None] + norms[index][None]), data, x.T)
        cross = (data @ noise.T).sub_((x * noise).sum(dim=1))
        half[own] = cross[own] = 0.0
        log_p = torch.empty((len(rates), digits.classes, index.size))
        work = torch.empty_like(half)
        for i, r in enumerate(rates.tolist()):
            torch.add(cross, half, alpha=r, out=work)
            work.mul_(r)
            for c, s in enumerate(digits.slices):
                part, top = work[s], work[s].amax(dim=0)
                part.sub_(top).exp_()
                torch.add(part.sum(dim=0).log_(), top.sub_(math.log(s.stop - s.start)), out=log_p[i, c])
        return log_p.numpy()

    def run(seed: int) -> np.ndarray:
        sizes = _blocks(n, digits.classes)
        with torch.inference_mode():
            generators = np.random.default_rng(seed).spawn(len(sizes))
            parts = [block(rng, size) for rng, size in zip(generators, sizes, strict=True)]
        return information(digits, _joined(digits, parts))

    return run


def keops_as_written(digits: Digits, n: int) -> Curve:
    """Lazy squared distances at each time, ``logsumexp`` by class."""
    torch, lazy = importlib.import_module("torch"), importlib.import_module("pykeops.torch").LazyTensor
    data = torch.from_numpy(digits.data)

    def run(seed: int) -> np.ndarray:
        index, z = drawn(digits, np.random.default_rng(seed), max(n // digits.classes, 1))
        x, noise, out = data[index], torch.from_numpy(z), []
        for a, sigma in zip(*coefficients(digits.times), strict=True):
            y = lazy((float(a) * x + float(sigma) * noise)[:, None].contiguous())
            sums = []
            for s in digits.slices:
                gap = ((y - lazy((float(a) * data[s])[None].contiguous())) ** 2).sum(-1)
                log_p = (-gap / (2 * float(sigma) ** 2)).logsumexp(dim=1)
                sums.append(log_p[:, 0] - math.log(s.stop - s.start))
            out.append(torch.stack(sums).numpy())
        return information(digits, np.stack(out))

    return run


def keops_tuned(digits: Digits, n: int) -> Curve:
    """All times of all draws at once, one inner product with ``r (r x + z)`` and one norm, ``logsumexp`` by class."""
    torch, lazy = importlib.import_module("torch"), importlib.import_module("pykeops.torch").LazyTensor
    numbers, squares, rates = centred(digits)
    data, halves = torch.from_numpy(numbers), torch.from_numpy(0.5 * squares)
    r = torch.from_numpy(rates)[:, None, None]

    def run(seed: int) -> np.ndarray:
        index, z = drawn(digits, np.random.default_rng(seed), max(n // digits.classes, 1))
        y = (r * (r * data[index][None] + torch.from_numpy(z)[None])).reshape(-1, 1, data.shape[1]).contiguous()
        square = (r * r).expand(-1, index.size, 1).reshape(-1, 1, 1).contiguous()
        rows, weight, sums = lazy(y), lazy(square), []
        for s in digits.slices:
            columns, norms = lazy(data[s][None].contiguous()), lazy(halves[s][None, :, None].contiguous())
            log_p = ((rows | columns) - weight * norms).logsumexp(dim=1).reshape(len(rates), -1)
            sums.append(log_p - math.log(s.stop - s.start))
        return information(digits, torch.stack(sums, dim=1).numpy())

    return run
