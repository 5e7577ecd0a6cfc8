"""Several devices against one: forced host devices, each contender a process with cores of its own.

A process is pinned before JAX starts its threads.  All wait for a word, run once, and answer, so that they take turns
in the rounds like any other contenders.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from benchmarks.growth import exponent_row
from benchmarks.subprocesses import ROOT, environment
from benchmarks.timing import Contender, Row, race, ratio_row, time_rows

_CODE = """
import os, sys
case, devices, n, cores = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
os.sched_setaffinity(0, map(int, cores))
import jax, numpy as np, sloc
if case == "gaussians":
    means = np.zeros((2, 64)); means[0, 0], means[1, 0] = 1.0, -1.0
    population = sloc.populations.GaussianMixture(np.array([0.5, 0.5]), means)
else:
    data = np.random.default_rng(0).standard_normal((1797, 64), np.float32)
    population = sloc.populations.Empirical(data, np.arange(1797) % 8)
process, plan = sloc.processes.OrnsteinUhlenbeck(), sloc.Plan(devices=devices)
for _ in sys.stdin:
    key, times = jax.random.key(0), process.grid(64)
    sloc.information_curve(key, process, population, times, n=n, method="monte-carlo", plan=plan)
    print("done", flush=True)
"""
SIZES = {"gaussians": 1 << 22, "atoms": 1 << 14}
"""Trajectories of each case."""


class Worker:
    """A process that runs a curve whenever it is called.

    Args:
        case: a key of :data:`SIZES`.
        devices: how many forced host devices.
        n: trajectories.
        cores: where it may run.

    """

    def __init__(self, case: str, devices: int, n: int, cores: Sequence[int]) -> None:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}".strip()
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, case, str(devices), str(n), ",".join(map(str, cores))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=environment(XLA_FLAGS=flags, JAX_PLATFORMS="cpu"),
        )

    def __call__(self) -> None:
        """Run once.

        Raises:
            RuntimeError: the process failed.

        """
        given, answers = self._process.stdin, self._process.stdout
        assert given is not None
        assert answers is not None
        try:
            given.write("go\n")
            given.flush()
            answer = answers.readline()
        except BrokenPipeError:
            answer = ""
        if answer != "done\n":
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError(f"a measuring process failed:\n{self._errors.read()}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield what devices bring: over one core (target: 1.6 with two) and over one device on all cores (0.95)."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        print(
            "processes cannot be given two cores each here: the rows of several devices are left out", file=sys.stderr
        )
        return
    cores = sorted(os.sched_getaffinity(0))
    counts = [1 << i for i in range(len(cores).bit_length()) if 1 << i <= len(cores)]
    for case, size in SIZES.items():
        if case == "gaussians" or not smoke:  # each process compiles anew
            yield from _case(case, 4096 if smoke else size, cores, counts, rounds, smoke)


def _case(case: str, n: int, cores: list[int], counts: list[int], rounds: int, smoke: bool) -> Iterator[Row]:
    title, most = f"devices, {case}", counts[-1]
    named = {f"{d} device{'s' * (d > 1)}, {d} core{'s' * (d > 1)}": d for d in counts}
    whole = f"1 device, {most} cores"
    workers = {name: Worker(case, d, n, cores[:d]) for name, d in named.items()}
    workers[whole] = Worker(case, 1, n, cores[:most])
    try:
        timings = race([Contender(name, worker) for name, worker in workers.items()], rounds)
    finally:
        for worker in workers.values():
            worker.close()
    yield from time_rows(title, timings)
    pinned, *_, shared = named
    yield ratio_row(
        f"{title}: one device on one core over {most} devices",
        timings[pinned],
        timings[shared],
        None if smoke else 0.8 * most,
    )
    yield ratio_row(
        f"{title}: one device on all {most} cores over {most} devices",
        timings[whole],
        timings[shared],
        None if smoke else 0.95,
    )
    sizes = {name: float(d) for name, d in named.items()}
    yield exponent_row(f"growth: exponent of the number of devices in sloc's time, {case}", sizes, timings, -1.0)
