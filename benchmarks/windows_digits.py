"""Handwritten digits, 65,536 trajectories, 64 times, 1,797 images: every statistic from one pass, and the peers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import sloc
from benchmarks import machine
from benchmarks.peers import atoms, masks
from benchmarks.peers.answers import Answers, Digits
from benchmarks.timing import Contender, Row, at_most, called, race, ratio_row, time_rows

FULL = 1 << 16
TIMES = 64
CHECKED = 2040
"""Draws of one call with which a peer's numbers are held against sloc's; more than some are timed on."""

Make = Callable[[Digits, int], Callable[[int], Answers]]
PEERS: dict[str, dict[str, tuple[Make, int]]] = {
    "digits, OU": {
        "JAX, as written": (atoms.jax_as_written, 160),
        "JAX, in blocks by hand": (atoms.jax_in_blocks, 4080),
        "NumPy, as written": (atoms.numpy_as_written, 160),
        "NumPy, in blocks": (atoms.numpy_in_blocks, 1920),
    },
    "digits, masking": {
        "JAX, as written": (masks.jax_as_written, 160),
        "JAX, in blocks by hand": (masks.jax_in_blocks, 4080),
        "NumPy, as written": (masks.numpy_as_written, 160),
        "NumPy, in blocks": (masks.numpy_in_blocks, 1920),
    },
}
TARGETS = {"digits, OU": 7.0, "digits, masking": 10.0}


def images(times: np.ndarray) -> Digits:
    """Return scikit-learn's bundled digits scaled to ``[-1, 1]``, sorted by label."""
    from sklearn.datasets import load_digits

    data, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    order = np.argsort(labels, kind="stable")
    return Digits((data[order] / 8 - 1).astype(np.float32), tuple(int(c) for c in np.bincount(labels)), times)


def all_statistics(
    process: sloc.ObservationProcess, digits: Digits, n: int
) -> Callable[[], tuple[Answers, Answers, int]]:
    """Return sloc's one pass as a call: all TVs, labels from each class, information, clones; errors; draws."""
    labels = np.repeat(np.arange(digits.classes), digits.counts)
    population = sloc.populations.Empirical(digits.data, labels)
    asked: dict[Any, Any] = {p: sloc.TV(*p) for p in digits.pairs}
    asked |= {c: sloc.Labels(c) for c in range(digits.classes)}
    asked |= {"information": sloc.Information(), "clones": sloc.Clones()}
    key = jax.random.key(0)

    def run() -> tuple[Answers, Answers, int]:
        got = sloc.measure(key, process, population, digits.times, asked, n=n, method="monte-carlo")

        def gathered(field: str) -> Answers:
            return {
                "tv": np.stack([getattr(got[p], field) for p in digits.pairs], axis=1),
                "labels": np.stack([getattr(got[c], field) for c in range(digits.classes)], axis=2),
                "information": getattr(got["information"], field),
                "clones": getattr(got["clones"], field),
            }

        return gathered("value"), gathered("stderr"), got["clones"].n

    return run


def check(name: str, value: Answers, n: int, reference: Answers, stderr: Answers, draws: int) -> Row:
    """Refuse to time a peer that does not give sloc's numbers; return the largest share of what is allowed.

    Bernstein's inequality for means of ``m = n / 10`` draws a class in an interval of length ``c``: a gap beyond
    ``s sqrt(2 L (1 / m + 1 / m')) + c L / (3 min(m, m'))`` of two such means has probability below ``2 exp(-L)``;
    ``L = 28`` makes that 1e-8 over all cells.  The spread ``s`` is sloc's own; 1e-4 is left for float32.
    """
    level, largest = 28.0, 0.0
    for statistic, own in reference.items():
        length = np.log2(10) if statistic == "information" else 1.0
        spread = np.asarray(stderr[statistic]) * np.sqrt(draws)
        few = 1 / n + 1 / draws
        allowed = 1e-4 + np.sqrt(2 * level * few) * spread + length * level * 10 / (3 * min(n, draws))
        share = np.abs(np.asarray(value[statistic], np.float64) - np.asarray(own)) / allowed
        if not bool((share <= 1).all()):
            raise AssertionError(f"{name}: {statistic} is {np.nanmax(share):.2g} times as far from sloc's as allowed")
        largest = max(largest, float(share.max()))
    return {
        "name": f"{name}: largest difference from sloc's numbers over what chance allows",
        "value": largest,
        "unit": "",
        "draws": n,
    }


def rows(rounds: int, smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield times, ratios and shares: of the exp ceiling for OU, of the floor of bytes for masking."""
    processes = {"digits, OU": sloc.processes.OrnsteinUhlenbeck(), "digits, masking": sloc.processes.Masking()}
    for case, process in processes.items():
        yield from _rows(case, process, rounds, smoke, ceilings)


def _rows(
    case: str, process: sloc.ObservationProcess, rounds: int, smoke: bool, ceilings: dict[str, Row]
) -> Iterator[Row]:
    digits = images(process.grid(8 if smoke else TIMES))
    full = 2040 if smoke else FULL
    own = all_statistics(process, digits, full)
    (reference, stderr, draws), first = called(own)
    contenders, notes = [Contender("sloc", own, full / draws, first)], {}
    for name, (make, size) in PEERS[case].items():
        n = min(size, full)
        run = make(digits, n)
        first = called(functools.partial(run, 0))[1]
        seeds = 1 if smoke else 4
        value = atoms.averaged([make(digits, CHECKED)(1 + seed) for seed in range(seeds)])
        yield check(f"{case}: {name}", value, seeds * CHECKED, reference, stderr, draws)
        contenders.append(Contender(name, functools.partial(run, 0), full / n, first))
        notes[name] = (make.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
        if n < full and not (smoke and make is not atoms.numpy_as_written):
            yield linearity(case, name, make, digits, n, rounds)
    timings = race(contenders, rounds)
    yield from time_rows(case, timings, notes)
    for name in PEERS[case]:
        yield ratio_row(f"{case}: {name} over sloc", timings[name], timings["sloc"])
    if not smoke:
        yield at_most(
            {
                "name": f"{case}: sloc, all statistics of {full} trajectories",
                "unit": "s",
                "value": timings["sloc"].median,
            },
            TARGETS[case],
        )
    rate = full * digits.times.size * digits.data.shape[0] / min(timings["sloc"].seconds)
    yield {"name": f"{case}: sloc's rate, trajectories x images x times", "value": rate, "unit": "/s"}
    if isinstance(process, sloc.processes.OrnsteinUhlenbeck):
        yield {"name": f"{case}: sloc's share of the exp ceiling", "value": rate / ceilings["exp"]["value"], "unit": ""}
        return
    bytes_ = machine.byte_steps(rounds, smoke)
    yield bytes_
    floor = full * digits.data.size / bytes_["value"]
    yield {
        "name": f"{case}: sloc's share of the floor, one step on bytes for each trajectory, image and pixel",
        "value": floor / min(timings["sloc"].seconds),
        "unit": "",
    }


def linearity(case: str, name: str, make: Make, digits: Digits, n: int, rounds: int) -> Row:
    """Check that a scaled peer is linear in n: its time per trajectory at 2 n over that at n (1 is linear)."""
    sizes = (2 * n, n)
    timings = race([Contender(str(m), functools.partial(make(digits, m), 0), 1 / m) for m in sizes], min(rounds, 3))
    return ratio_row(
        f"{case}: {name}, time per trajectory at n = {2 * n} over n = {n}",
        timings[str(2 * n)],
        timings[str(n)],
        better=None,
    )
