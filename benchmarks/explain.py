"""What the compiler says of each kernel (``sloc bench --explain``): operations, bytes, memory, and the floor they give.

Ahead of time: each kernel is lowered and compiled for the device that is there, and asked for its cost and memory
analysis.  XLA counts the body of a loop once, whatever its length, so operations are also counted from the traced
function, loops by their length.  The floor is the larger of operations over peak (matrix product and exp, measured in
the same run) and of bytes in and out over bandwidth; the share of it is reached in ``run``.
"""

from __future__ import annotations

import json as json_module
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import jax
from rich.console import Console

from benchmarks import machine
from benchmarks.kernels import KERNELS
from benchmarks.operations import count_operations
from benchmarks.runner import checked_folder, write_result
from benchmarks.show import number, plain_table, terminal
from benchmarks.timing import timed
from sloc.contracts import require


@dataclass(frozen=True)
class Explained:
    """One compiled kernel.

    Attributes:
        flops: by XLA's analysis, each loop's body once.
        transcendentals: by XLA's analysis, each loop's body once.
        bytes: read and written between its fused loops, by XLA's analysis; on a CPU most of them stay in cache.
        counted_flops: from the traced function, loops by their length.
        counted_transcendentals: so too.
        unknown_loops: loops of unknown length among them, counted once.
        argument_bytes: of its arguments.
        output_bytes: of what it returns.
        temporary_bytes: held while it runs.
        lower_seconds: of tracing and lowering.
        compile_seconds: of compiling.
        run_seconds: of the best call.

    """

    flops: float
    transcendentals: float
    bytes: float
    counted_flops: float
    counted_transcendentals: float
    unknown_loops: int
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    lower_seconds: float
    compile_seconds: float
    run_seconds: float

    def floor(self, ceilings: dict[str, dict[str, Any]]) -> float:
        """Return the seconds below which it cannot go on a machine with these ceilings."""
        work = self.counted_flops / ceilings["matmul"]["value"]
        work += self.counted_transcendentals / ceilings["exp"]["value"]
        return max(work, (self.argument_bytes + self.output_bytes) / ceilings["copy"]["value"])


@dataclass(frozen=True)
class Prepared:
    """A kernel that is compiled and waits to be timed.

    Attributes:
        call: runs it once, to its end.
        found: what the compiler said; its ``run_seconds`` are of the first call.

    """

    call: Callable[[], Any]
    found: Explained

    def timed(self, rounds: int) -> Explained:
        """Return what was found, with the best of ``rounds`` calls."""
        return replace(self.found, run_seconds=min(timed(self.call) for _ in range(max(rounds, 1))))


def prepare(name: str) -> Prepared:
    """Lower, compile and analyse one kernel of :data:`benchmarks.kernels.KERNELS`, and run it once."""
    kernel, args = KERNELS[name]()
    began = time.perf_counter()
    lowered = jax.jit(kernel).lower(*args)
    lowering, began = time.perf_counter() - began, time.perf_counter()
    compiled = lowered.compile()
    compiling = time.perf_counter() - began
    costs: Any = compiled.cost_analysis() or {}
    costs = costs[0] if isinstance(costs, (list, tuple)) else costs
    memory, counted = compiled.memory_analysis(), count_operations(kernel, *args)

    def call() -> Any:
        return jax.block_until_ready(compiled(*args))

    found = Explained(
        float(costs.get("flops", 0.0)),
        float(costs.get("transcendentals", 0.0)),
        float(costs.get("bytes accessed", 0.0)),
        counted.flops,
        counted.transcendentals,
        counted.unknown_loops,
        int(getattr(memory, "argument_size_in_bytes", 0)),
        int(getattr(memory, "output_size_in_bytes", 0)),
        int(getattr(memory, "temp_size_in_bytes", 0)),
        lowering,
        compiling,
        timed(call),
    )
    return Prepared(call, found)


def explain(name: str, rounds: int) -> Explained:
    """Prepare one kernel and time it."""
    return prepare(name).timed(rounds)


def run_explain(
    names: Sequence[str] = (),
    *,
    rounds: int,
    smoke: bool = False,
    json: bool = False,
    out: str | os.PathLike[str] | None = None,
    console: Console | None = None,
) -> int:
    """Explain kernels, print a table, and write ``explain-DEVICE.json`` where a folder is named.

    Args:
        names: which kernels; all where none is named.
        rounds: calls, the best of which is shown.
        smoke: measure the ceilings at tiny sizes.
        json: print one JSON object instead of a table.
        out: folder to write to.
        console: where to print; standard output when None.

    Returns:
        The exit status, 0.

    Raises:
        InvalidInput: a name that is none, or a folder that cannot be written to.

    """
    for name in names:
        require(name in KERNELS, "--only", name, f"a kernel: {'; '.join(KERNELS)}")
    folder = None if out is None else checked_folder(out)
    console = terminal() if console is None else console
    load = os.getloadavg()[0]
    prepared = {}
    with Console(stderr=True).status("compiling ...") as status:
        for name in names or KERNELS:
            status.update(f"compiling {name} ...")
            prepared[name] = prepare(name)
    # Compiling takes minutes, in which the machine may change; what shares are formed of is timed in seconds.
    ceilings = machine.ceilings(rounds, smoke)
    found = {name: one.timed(rounds) for name, one in prepared.items()}
    result: dict[str, Any] = {
        "suite": "explain",
        "device": machine.device_name(),
        **machine.code(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "smoke": smoke,
        "rounds": rounds,
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "rows": [*ceilings.values(), *(_row(name, one, ceilings) for name, one in found.items())],
    }
    written = None if folder is None else write_result(result, folder)
    if json:
        console.out(json_module.dumps({"command": "bench", "results": [result], "comparisons": {}}), highlight=False)
        return 0
    _show(console, result["device"], found, ceilings)
    if written is not None:
        console.print(f"written to {written}", markup=False, highlight=False)
    return 0


def _row(name: str, one: Explained, ceilings: dict[str, Any]) -> dict[str, Any]:
    share = one.floor(ceilings) / one.run_seconds
    return {
        "name": f"{name}: share of the floor",
        "value": share,
        "unit": "",
        "floor_seconds": one.floor(ceilings),
    } | asdict(one)


def _show(console: Console, device: str, found: dict[str, Explained], ceilings: dict[str, Any]) -> None:
    columns = (
        "kernel",
        "flop",
        "exp, log ...",
        "XLA's flop",
        "its exp",
        "its bytes",
        "temp",
        "compile",
        "floor",
        "run",
    )
    rows = [
        (
            name,
            number(one.counted_flops, "flop").removesuffix("flop"),
            number(one.counted_transcendentals, "flop").removesuffix("flop"),
            number(one.flops, "flop").removesuffix("flop"),
            number(one.transcendentals, "flop").removesuffix("flop"),
            number(one.bytes, "B"),
            number(one.temporary_bytes, "B"),
            number(one.compile_seconds, "s"),
            number(one.floor(ceilings), "s"),
            f"{number(one.run_seconds, 's')} ({one.floor(ceilings) / one.run_seconds:.0%})",
        )
        for name, one in found.items()
    ]
    peaks = ", ".join(f"{short} {number(row['value'], row['unit'])}" for short, row in ceilings.items())
    counted = "loops by their length, XLA's own counts with each loop once"
    caption = f"one key block (1,024 draws; a pilot 256, masks 64); {counted}; {peaks}"
    console.print(plain_table(f"kernels on {device}", columns, rows, caption))
