"""The suite ``samplers``: forward–reverse experiments, clones, and a reverse diffusion against a scan and diffrax.

One problem throughout but for the clones (:mod:`benchmarks.samplers_clones`): eight spherical Gaussians in sixteen
dimensions under the Ornstein–Uhlenbeck process.
"""

from __future__ import annotations

import functools
import importlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks import machine, samplers_clones
from benchmarks.timing import Contender, Row, at_most, called, race, ratio_row, time_rows
from sloc import samplers

PARTS = ("experiments", "clones", "reverse diffusion")
K, DIMENSION, TIMES, TRAJECTORIES = 8, 16, 64, 100_000
STEPS, FIRST, LAST = 1_000, 0.01, 3.0
MEANS = np.random.default_rng(0).normal(size=(K, DIMENSION)).astype(np.float32) * 1.5
PROCESS = sloc.processes.OrnsteinUhlenbeck()
MIXTURE = sloc.populations.GaussianMixture(np.full(K, 1 / K), MEANS)


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts, the machine's ceilings first.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.
        parts: which of :data:`PARTS`.

    """
    for part, package in (("reverse diffusion", "diffrax"), ("clones", "torch")):
        if part in parts:
            machine.has_peer(package, smoke)
    ceilings = machine.ceilings(rounds, smoke)
    yield from ceilings.values()
    if "experiments" in parts:
        yield from experiment_rows(rounds, smoke, ceilings)
    if "clones" in parts:
        yield from samplers_clones.rows(rounds, smoke)
    if "reverse diffusion" in parts:
        yield from diffusion_rows(rounds, smoke, ceilings)


# --------------------------------------------------------------------------------------------
# Forward–reverse experiments
# --------------------------------------------------------------------------------------------


def by_definition(times: np.ndarray, n: int) -> Callable[[], np.ndarray]:
    """Draw labels as one would write it: for each trajectory and time its own posterior and its own draw."""
    weights, means = jnp.full((K,), 1 / K), jnp.asarray(MEANS)

    @jax.jit
    def block(keys: jax.Array) -> jax.Array:
        def one(key: jax.Array, t: jax.Array) -> jax.Array:
            k_component, k_x, k_y, k_label = jax.random.split(key, 4)
            a, sigma = jnp.exp(-t), jnp.sqrt(-jnp.expm1(-2 * t))
            component = jax.random.randint(k_component, (), 0, 2)
            x = means[component] + jax.random.normal(k_x, (DIMENSION,))
            y = a * x + sigma * jax.random.normal(k_y, (DIMENSION,))
            logs = jnp.log(weights) - 0.5 * jnp.sum((y - a * means) ** 2, axis=1) / (a**2 + sigma**2)
            return jax.random.categorical(k_label, logs)

        return jax.vmap(lambda key: jax.vmap(one, (None, 0))(key, jnp.asarray(times, jnp.float32)))(keys)

    def whole() -> np.ndarray:
        sizes = [min(8_192, n - i) for i in range(0, n, 8_192)]
        keys = jax.random.split(jax.random.key(1), n)
        ends = np.cumsum(sizes)
        return np.concatenate([np.asarray(block(keys[e - s : e])) for e, s in zip(ends, sizes, strict=True)]).T

    return whole


def experiment_rows(rounds: int, smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield times of the exact experiment at all times, stored and counted, and their share of the floor."""
    case, n = "forward–reverse", TRAJECTORIES // (50 if smoke else 1)
    times, key = PROCESS.grid(TIMES), jax.random.key(0)
    experiment = functools.partial(sloc.forward_reverse, key, PROCESS, MIXTURE, [0, 1], times, n=n)
    contenders = {
        "labels and samples": experiment,
        "labels": functools.partial(experiment, samples=False),
        "labels counted": functools.partial(samplers.label_frequencies, key, PROCESS, MIXTURE, [0, 1], times, n=n),
        "direct JAX, as written (labels)": by_definition(times, n),
    }
    reference = sloc.label_curve(jax.random.key(9), PROCESS, MIXTURE, times, [0, 1], n=max(n, 1 << 16))
    raced = []
    for name, call in contenders.items():
        found, first = called(call)
        check_labels(name, found, np.asarray(reference.value), n)
        raced.append(Contender(name, call, first=first))
    timings = race(raced, rounds)
    for row in time_rows(case, timings):
        yield at_most(row, 10) if row["name"].endswith("labels and samples, run") else row
    yield ratio_row(
        f"{case}: direct JAX, as written over sloc's labels",
        timings["direct JAX, as written (labels)"],
        timings["labels"],
    )
    cells = n * TIMES
    floor = cells * K / ceilings["exp"]["value"] + 2 * n * DIMENSION / ceilings["normal"]["value"]
    floor += 2 * cells * DIMENSION * K / ceilings["matmul"]["value"]
    yield share(f"{case}: labels, share of the floor of exps, normals and products", floor, timings["labels"].seconds)
    floor += n * DIMENSION / ceilings["normal"]["value"] + 4 * cells * DIMENSION / ceilings["copy"]["value"]
    yield share(
        f"{case}: labels and samples, share of the floor with their bytes", floor, timings["labels and samples"].seconds
    )


def share(name: str, floor: float, seconds: Sequence[float]) -> Row:
    """Return the floor over the best time."""
    return {"name": name, "unit": "", "value": floor / min(seconds)}


def check_labels(name: str, found: Any, want: np.ndarray, n: int) -> None:
    """Refuse to time labels that have another law: allowed are six standard errors and the reference's own."""
    if isinstance(found, sloc.Curve):
        value = np.asarray(found.value)
    else:
        labels = found[0] if isinstance(found, tuple) else found
        value = np.stack([np.bincount(row, minlength=K) / row.size for row in labels])
    gap = np.abs(value - want) - 6 * math.sqrt(2) * np.sqrt(np.maximum(want * (1 - want), 1 / n) / n)
    if gap.max() > 0:
        raise AssertionError(f"{name}: a label frequency is off by {gap.max():.2g} more than six standard errors")


# --------------------------------------------------------------------------------------------
# The reverse diffusion
# --------------------------------------------------------------------------------------------


def start(key: jax.Array, n: int) -> jax.Array:
    """Draw ``Y`` at the last time, ``[n, d]``."""
    k_component, k_noise = jax.random.split(key)
    means = jnp.asarray(MEANS)[jax.random.randint(k_component, (n,), 0, K)]
    return math.exp(-LAST) * means + jax.random.normal(k_noise, (n, DIMENSION))


def score(y: jax.Array, t: jax.Array) -> jax.Array:
    """Score of the mixture at ``t`` for ``[..., d]``: all variances are one under this process."""
    a, means = jnp.exp(-t), jnp.asarray(MEANS)
    logs = a * y @ means.T - 0.5 * a**2 * jnp.sum(means**2, axis=1)
    return a * jax.nn.softmax(logs, axis=-1) @ means - y


def denoised(y: jax.Array) -> jax.Array:
    """``E[X | Y]`` at the first time."""
    a, variance = math.exp(-FIRST), -math.expm1(-2 * FIRST)
    return (y + variance * score(y, jnp.float32(FIRST))) / a


def by_hand(grid: np.ndarray, n: int) -> Callable[[], np.ndarray]:
    """Euler–Maruyama in one scan over steps, the whole batch at once."""
    steps = jnp.asarray(grid[::-1], jnp.float32)

    @jax.jit
    def solve(key: jax.Array) -> jax.Array:
        key_start, key_steps = jax.random.split(key)

        def step(y: jax.Array, given: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            key, t, s = given
            h = t - s
            noise = jax.random.normal(key, y.shape)
            return y + h * (y + 2 * score(y, t)) + jnp.sqrt(2 * h) * noise, None

        keys = jax.random.split(key_steps, steps.shape[0] - 1)
        return denoised(jax.lax.scan(step, start(key_start, n), (keys, steps[:-1], steps[1:]))[0])

    return lambda: np.asarray(solve(jax.random.key(2)))


def by_diffrax(grid: np.ndarray, n: int, tree: bool) -> Callable[[], np.ndarray]:
    """Return diffrax's Euler on the same steps, with a virtual Brownian tree or an unsafe Brownian path."""
    diffrax: Any = importlib.import_module("diffrax")
    lineax: Any = importlib.import_module("lineax")
    spread = lineax.DiagonalLinearOperator(jnp.full((DIMENSION,), math.sqrt(2), jnp.float32))

    elapsed = jnp.asarray(LAST - grid[::-1], jnp.float32)

    @jax.jit
    def solve(key: jax.Array) -> jax.Array:
        key_start, key_path = jax.random.split(key)

        def one(key: jax.Array, y: jax.Array) -> jax.Array:
            shape = jax.ShapeDtypeStruct((DIMENSION,), jnp.float32)
            if tree:
                # Half the smallest step: as fine as the steps can see.
                path = diffrax.VirtualBrownianTree(
                    elapsed[0], elapsed[-1], tol=float(np.diff(grid).min()) / 2, shape=shape, key=key
                )
            else:
                path = diffrax.UnsafeBrownianPath(shape=shape, key=key)
            drift = diffrax.ODETerm(lambda u, y, args: y + 2 * score(y, LAST - u))
            noise = diffrax.ControlTerm(lambda u, y, args: spread, path)
            found = diffrax.diffeqsolve(
                diffrax.MultiTerm(drift, noise),
                diffrax.Euler(),
                elapsed[0],
                elapsed[-1],
                dt0=None,
                y0=y,
                stepsize_controller=diffrax.StepTo(ts=elapsed),
                saveat=diffrax.SaveAt(t1=True),
                adjoint=diffrax.ForwardMode(),
                max_steps=None,
            )
            assert found.ys is not None
            return found.ys[-1]

        return denoised(jax.vmap(one)(jax.random.split(key_path, n), start(key_start, n)))

    return lambda: np.asarray(solve(jax.random.key(3)))


def diffusion_floor(n: int, steps: int, normal: float, ceilings: dict[str, Row]) -> float:
    """Return the seconds that draws take at least: ``d`` normals, ``K`` exps and two products of ``K d`` each step.

    Args:
        n: draws.
        steps: of Euler's scheme.
        normal: normal draws a second.
        ceilings: of :func:`benchmarks.machine.ceilings`.

    """
    each = DIMENSION / normal + K / ceilings["exp"]["value"] + 4 * K * DIMENSION / ceilings["matmul"]["value"]
    return n * steps * each


def diffusion_rows(rounds: int, smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield times of the discretised reverse diffusion, its share of the floor, and ratios to a scan and to diffrax."""
    case, n, steps = "reverse diffusion", 2_048 if smoke else 16_384, 8 if smoke else STEPS
    grid = np.linspace(FIRST, LAST, steps + 1)
    key, localizer = jax.random.key(0), samplers.euler_reverse(PROCESS, MIXTURE)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "sloc": functools.partial(sloc.localize, key, PROCESS, MIXTURE, grid=grid, n=n, localizer=localizer),
        "lax.scan by hand": by_hand(grid, n),
    }
    present = machine.has_peer("diffrax", smoke)
    if present:
        # Linear in the number of draws, and slow: an eighth of them, scaled.
        calls["diffrax, Euler, VirtualBrownianTree"] = by_diffrax(grid, n // 8, True)
        calls["diffrax, Euler, UnsafeBrownianPath"] = by_diffrax(grid, n, False)
    raced, reference = [], None
    for name, call in calls.items():
        value, first = called(call)
        reference = value if reference is None else reference
        check_moments(name, value, reference)
        raced.append(Contender(name, call, n / len(value), first))
    timings = race(raced, rounds)
    yield from time_rows(case, timings)
    own = timings["sloc"]
    normal = machine.written_out_normals(rounds, smoke)
    yield normal
    floor = diffusion_floor(n, steps, normal["value"], ceilings)
    yield share(f"{case}: share of the floor of normals written out, exps and products", floor, own.seconds)
    yield at_most(ratio_row(f"{case}: sloc over lax.scan by hand", own, timings["lax.scan by hand"]), 1.1)
    if not present:
        print("diffrax is not installed: its rows are left out", file=sys.stderr)
        return
    for name, least in (("VirtualBrownianTree", 20.0), ("UnsafeBrownianPath", 1.4)):
        yield ratio_row(f"{case}: diffrax, {name} over sloc", timings[f"diffrax, Euler, {name}"], own, least)


def check_moments(name: str, value: np.ndarray, reference: np.ndarray) -> None:
    """Refuse to time draws of another law: means and squares within six standard errors of sloc's."""
    for power in (1, 2):
        a, b = value.astype(np.float64) ** power, reference.astype(np.float64) ** power
        allowed = 6 * np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
        gap = np.abs(a.mean(0) - b.mean(0))
        if not bool((gap <= allowed).all()):
            raise AssertionError(
                f"{name}: moment {power} is off by {gap.max():.2g}, allowed {allowed[gap.argmax()]:.2g}"
            )
