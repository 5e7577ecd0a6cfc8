"""The suite ``windows``: curves of two Gaussians and of handwritten digits, against their peers and the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import (
    machine,
    subprocesses,
    windows_devices,
    windows_digits,
    windows_gaussians,
    windows_generators,
    windows_scaling,
)
from benchmarks.timing import Row

PARTS = ("gaussians", "generators", "scaling", "devices", "digits", "memory", "import")


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts, the machine's ceilings first.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.
        parts: which of :data:`PARTS`.

    """
    ceilings = machine.ceilings(rounds, smoke)
    yield from ceilings.values()
    if "gaussians" in parts:
        yield from windows_gaussians.rows(rounds, smoke, ceilings)
    if "generators" in parts:
        yield from windows_generators.rows(rounds, smoke)
    if "scaling" in parts:
        yield from windows_scaling.rows(rounds, smoke)
    if "devices" in parts:
        yield from windows_devices.rows(rounds, smoke)
    if "digits" in parts:
        yield from windows_digits.rows(rounds, smoke, ceilings)
    if "memory" in parts:
        yield from subprocesses.memory_rows(smoke)
    if "import" in parts:
        yield subprocesses.import_row(1 if smoke else max(rounds, 3))
