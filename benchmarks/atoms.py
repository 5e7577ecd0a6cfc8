"""The suite ``atoms``: sums over labelled atoms, against NumPy, PyTorch, KeOps and the machine's own exp."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks import machine
from benchmarks.atoms_growth import growth_rows
from benchmarks.atoms_large import large_rows
from benchmarks.peers import atom_sums
from benchmarks.peers.answers import Digits
from benchmarks.timing import Contender, Row, Timing, called, race, ratio_row, spread_row, time_rows
from benchmarks.windows_digits import images
from sloc.populations import empirical

PARTS = ("peers", "large", "growth")
TIMES, BLOCK, BLOCKS = 64, 1020, 8
Make = Callable[[Digits, int], atom_sums.Curve]
PEERS: dict[str, tuple[str | None, Make, int, float | None]] = {
    # name: (package, maker, draws it is timed on, least ratio wanted)
    "NumPy, float32, same algebra": (None, atom_sums.numpy_same_algebra, 1920, 5.0),
    # Handed what sloc found out about low rates: what is left is the code alone. Shown, and held to nothing.
    "NumPy, float32, same algebra and nodes": (None, atom_sums.numpy_same_nodes, 1920, None),
    "PyTorch, as written": ("torch", atom_sums.torch_as_written, 640, None),
    "PyTorch, tuned": ("torch", atom_sums.torch_tuned, 1920, 7.0),
    "KeOps, as written": ("pykeops", atom_sums.keops_as_written, 60, None),
    "KeOps, tuned": ("pykeops", atom_sums.keops_tuned, 120, None),
}
KEOPS = ("KeOps, the faster of both", 40.0)
"""Wanted of the faster of KeOps's two in each round: which one it is depends on the machine."""


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts, the machine's ceilings first.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs (without KeOps, which compiles for long).
        parts: which of :data:`PARTS`.

    """
    if "peers" in parts:
        for package in ("torch", "pykeops"):
            machine.has_peer(package, smoke)
    ceilings = machine.ceilings(rounds, smoke)
    yield from (ceilings[name] for name in ("exp", "matmul", "normal"))
    if "peers" in parts:
        yield from _peer_rows(rounds, smoke)
    if "large" in parts:
        yield from large_rows(smoke, ceilings)
    if "growth" in parts:
        yield from growth_rows(min(rounds, 3), smoke)


def wanted(smoke: bool) -> tuple[int, float | None]:
    """Return how many draws fill the device, and the share of its exp rate that is wanted at least."""
    if smoke:
        return 1020, None
    # The million takes a GPU some hundredths of a second, 16,384 less than it takes to start.
    return {"cpu": (16_384, 0.6), "gpu": (1 << 20, 0.5)}.get(jax.default_backend(), (1 << 18, None))


def own(digits: Digits, n: int) -> Callable[[], tuple[np.ndarray, np.ndarray, int]]:
    """Return sloc's information curve as a call: values, standard errors, draws."""
    process = sloc.processes.OrnsteinUhlenbeck()
    population = sloc.populations.Empirical(digits.data, np.repeat(np.arange(digits.classes), digits.counts))

    def call() -> tuple[np.ndarray, np.ndarray, int]:
        key, asked = jax.random.key(0), {"information": sloc.Information()}
        curve = sloc.measure(key, process, population, digits.times, asked, n=n, method="monte-carlo")["information"]
        return np.asarray(curve.value), np.asarray(curve.stderr), curve.n

    return call


def sums_alone(digits: Digits) -> Callable[[], jax.Array]:
    """Return the kernel alone as a call: blocks of draws one after the other, ``[blocks, T, K, B]`` summed over draws.

    Several in one compiled call, as in a curve: in a call of one block the system hands out its tens of megabytes anew.
    """
    process = sloc.processes.OrnsteinUhlenbeck()
    labels = np.repeat(np.arange(digits.classes), digits.counts)
    population = empirical.centre_atoms(process, sloc.populations.Empirical(digits.data, labels).canonical())[1]
    sources = jnp.arange(BLOCK, dtype=jnp.int32) % digits.classes
    times = jnp.asarray(digits.times, jnp.float32)

    @jax.jit
    def blocks(population: sloc.populations.Empirical, keys: jax.Array) -> jax.Array:
        def one(key: jax.Array) -> jax.Array:
            return jnp.sum(empirical.empirical_gaussian_paths(process, population, key, sources, times), axis=-1)

        return jax.lax.map(one, keys)

    return lambda: jax.block_until_ready(blocks(population, jax.random.split(jax.random.key(0), BLOCKS)))


def _peer_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    digits = images(sloc.processes.OrnsteinUhlenbeck().grid(8 if smoke else TIMES))
    pairs, (full, least) = digits.times.size * digits.data.shape[0], wanted(smoke)
    call = own(digits, full)
    (value, stderr, draws), first = called(call)
    exp, exps = machine.exponentials(repeats=100)
    contenders = [
        Contender("sloc", call, full / draws, first),
        Contender("exp", lambda: jax.block_until_ready(exp()), full * pairs / exps),
    ]
    if not smoke:
        contenders.append(Contender("sloc, sums alone", sums_alone(digits), full / (BLOCK * BLOCKS)))
    ours = [c.name for c in contenders if c.name != "exp"]
    notes, targets, here = {}, {}, atom_sums.installed()
    for name, (package, make, size, target) in PEERS.items():
        if (package and package not in here) or (smoke and package == "pykeops"):
            continue
        n = min(size, 320 if smoke else full) // digits.classes * digits.classes
        curve, first = called(functools.partial(make(digits, n), 0))
        yield _checked(name, curve, n, value, stderr, draws)
        contenders.append(Contender(name, functools.partial(make(digits, n), 0), full / n, first))
        notes[name], targets[name] = (make.__doc__ or "").split("\n\n")[0], target
    timings = race(contenders, rounds)
    case = f"digits, {full} draws, {digits.times.size} times"
    yield from (row for row in time_rows(case, timings, notes) if ": exp," not in row["name"])
    for name, target in targets.items():
        yield ratio_row(f"{case}: {name} over sloc", timings[name], timings["sloc"], None if smoke else target)
    keops = [timings[name].seconds for name in targets if name.startswith("KeOps")]
    if keops:
        name, target = KEOPS
        faster = Timing(0.0, tuple(map(min, *keops)), 1.0)
        yield ratio_row(f"{case}: {name} over sloc", faster, timings["sloc"], None if smoke else target)
    for name in ours:
        yield ratio_row(f"{case}: share of exp, {name}", timings["exp"], timings[name], least)
    for name in (*ours, *targets):
        rates = [full * pairs / s for s in timings[name].seconds]
        yield spread_row(f"{case}: {name}, draws x images x times", rates, "/s")


def _checked(name: str, curve: np.ndarray, n: int, value: np.ndarray, stderr: np.ndarray, draws: int) -> Row:
    """Refuse to time a peer that does not give sloc's curve: within eight standard errors and 1e-3 bits."""
    allowed = 8 * stderr * np.sqrt(1 + draws / n) + 1e-3
    share = float(np.max(np.abs(curve - value) / allowed))
    if not share <= 1:
        raise AssertionError(f"{name}: the curve is {share:.2g} times as far from sloc's as allowed")
    return {"name": f"{name}: largest difference from sloc's curve over what is allowed", "value": share, "unit": ""}
