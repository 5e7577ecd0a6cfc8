"""The suite ``unnormalized``: the weight of a far mode from ``log_density`` alone, equal evaluations for all.

The two-mode mixture of Grenioux et al. 2024 (SLIPS): ``2/3 N(-(2/3) 1, v I) + 1/3 N((4/3) 1, v I)``, ``v = 0.05``,
mean zero, radius ``(4/3) sqrt(d)``.  Each contestant draws 8,192 samples, knows ``radius``, ``width = sqrt(v)`` and the
centre, starts as wide as the radius, and evaluates the log density with its gradient equally often; its MALA is
blackjax's with a step tuned on the way to an acceptance of 0.574.  The weight is the share of samples nearer to the
first mode; its own binomial standard error stands beside it.  Each runs with three keys: the row has the median of the
errors, their range and every one, and localization's target is for every key.  The modes have one shape, which is where
jumps do best.

* localization: :func:`sloc.samplers.oracle_localizer` with its defaults.
* localization, no jumps: as published, chains stay in the mode to which they fell (here reweighted as Y moves).
* jumps alone: the same chains with the same jumps at the first time of the grid, no way back (what localization adds).
* MALA: one chain for each sample.
* tempered SMC: all samples are particles of one run, ``p^beta q^(1 - beta)`` with ``beta`` even in its logarithm.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks.timing import Row, called, spread_row
from sloc import samplers

DIMENSIONS = {"d = 8": 8, "d = 32": 32, "d = 128": 128}
PARTS = tuple(DIMENSIONS)
VARIANCE, WEIGHT, SAMPLES, TIMES = 0.05, 2 / 3, 8_192, 24
KEYS = 3
WITHIN = 5.0
"""Relative error of the weight, in per cent, that localization is to reach."""
PROCESS = sloc.processes.VarianceExploding()
ACCEPTANCE, GAIN, MOVES = 0.574, 0.3, 4
Draw = Callable[[int], np.ndarray]
"""Samples ``[n, d]`` with the key of that number."""


def log_density(x: jax.Array) -> jax.Array:
    """Log of the mixture, up to its constant."""
    first = math.log(WEIGHT) - 0.5 * jnp.sum((x + 2 / 3) ** 2) / VARIANCE
    second = math.log(1 - WEIGHT) - 0.5 * jnp.sum((x - 4 / 3) ** 2) / VARIANCE
    return jnp.logaddexp(first, second)


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield, for each dimension and contestant, evaluations for a sample, error of the weight, spread, and time.

    Args:
        rounds: not used: 8,192 samples tell a weight to 0.8 %, and three keys whether it was luck.
        smoke: one small dimension, one key, few samples and steps, no targets: shows that everything runs.
        parts: which of :data:`PARTS`.

    """
    del rounds
    if smoke:
        yield from rows("d = 4", 4, smoke)
        return
    for part in parts:
        yield from rows(part, DIMENSIONS[part], smoke)


def rows(case: str, dim: int, smoke: bool) -> Iterator[Row]:
    """Run all contestants in one dimension."""
    n, times = (1_024, 3) if smoke else (SAMPLES, TIMES)
    target = samplers.Unnormalized(log_density, dim, radius=4 / 3 * math.sqrt(dim), width=math.sqrt(VARIANCE))
    budget, own = localization(target, n, times, smoke)
    contestants: dict[str, tuple[int, Draw]] = {
        "localization": (budget, own),
        "localization, no jumps": localization(target, n, times, smoke, jumps=False, budget=budget),
        "jumps alone": localization(target, n, 1, smoke, budget=budget),
        "MALA": (budget, by_mala(dim, n, budget)),
        "tempered SMC": tempered(dim, n, budget),
    }
    for name, (evaluations, draw) in contestants.items():
        shares, ratios, seconds = [], [], []
        for number in range(1 if smoke else KEYS):
            x, took = called(functools.partial(draw, number))
            first = x.mean(axis=1) < 1 / 3
            shares.append(float(first.mean()))
            ratios.append(float(x[first].var(axis=0).mean() / VARIANCE) if first.sum() > 1 else 0.0)
            seconds.append(took)
        errors = [100 * abs(share / WEIGHT - 1) for share in shares]
        row = spread_row(
            f"{case}: {name}, relative error of the weight",
            errors,
            "%",
            errors=errors,
            weights=shares,
            stderr=100 * math.sqrt((1 - WEIGHT) / WEIGHT / n),
            samples=n,
        )
        aimed = {"target": f"every key <= {WITHIN:g}", "met": max(errors) <= WITHIN}
        yield row | (aimed if name == "localization" and not smoke else {})
        yield spread_row(f"{case}: {name}, variance in the mode over the true", ratios, "")
        yield {"name": f"{case}: {name}, evaluations for a sample", "value": evaluations, "unit": "evaluations"}
        yield {"name": f"{case}: {name}, run, compilation included", "value": seconds[0], "unit": "s"}
        if len(seconds) > 1:
            yield spread_row(f"{case}: {name}, later runs", seconds[1:], "s")


def localization(
    target: samplers.Unnormalized, n: int, times: int, smoke: bool, jumps: bool = True, budget: int | None = None
) -> tuple[int, Draw]:
    """Return ``(evaluations for a sample, draw)``; a budget is spent on the start's Langevin steps."""
    given: dict[str, Any] = {"chains": 2, "warm_steps": 1, "ascent_steps": 2} if smoke else {}
    make = functools.partial(samplers.oracle_localizer, PROCESS, target, jumps=jumps)
    settings = make(**given).init.args[2]  # pyright: ignore[reportFunctionMemberAccess]
    if budget is not None:
        per_round = settings.chains * (settings.mcmc_steps + jumps)
        given["warm_steps"] = settings.warm_steps + (budget - settings.evaluations(times)) // per_round
    localizer = make(**given)
    settings = localizer.init.args[2]  # pyright: ignore[reportFunctionMemberAccess]
    grid = target.grid(PROCESS, TIMES)[-times:] if times == 1 else target.grid(PROCESS, times)

    def draw(number: int) -> np.ndarray:
        key = jax.random.fold_in(jax.random.key(1), number)
        return sloc.localize(key, PROCESS, target, grid=grid, n=n, localizer=localizer, plan=sloc.Plan(block=1024))

    return settings.evaluations(times), draw


# --------------------------------------------------------------------------------------------
# Peers
# --------------------------------------------------------------------------------------------


def mala_steps(key: jax.Array, energy: Callable[[jax.Array], jax.Array], state: Any, log_step: Any, n: int) -> Any:
    """Run ``n`` steps of blackjax's MALA on all chains, its one step size tuned on the way."""
    mala: Any = importlib.import_module("blackjax.mcmc.mala")
    kernel = mala.build_kernel()

    def one(carry: Any, key: jax.Array) -> tuple[Any, None]:
        state, log_step = carry
        keys = jax.random.split(key, state.position.shape[0])
        state, info = jax.vmap(lambda k, s: kernel(k, s, energy, jnp.exp(log_step)))(keys, state)
        return (state, log_step + GAIN * (jnp.nan_to_num(info.acceptance_rate).mean() - ACCEPTANCE)), None

    return jax.lax.scan(one, (state, log_step), jax.random.split(key, n))[0]


def start(key: jax.Array, dim: int, n: int) -> tuple[jax.Array, jax.Array]:
    """Draw as wide as the radius, ``[n, d]``, and return the variance too."""
    variance = 16 / 9 * dim + VARIANCE
    return math.sqrt(variance) * jax.random.normal(key, (n, dim)), jnp.float32(variance)


def by_mala(dim: int, n: int, steps: int) -> Draw:
    """One chain for each sample, the first step as the scale of a mode suggests."""
    mala: Any = importlib.import_module("blackjax.mcmc.mala")

    @jax.jit
    def chains(key: jax.Array) -> jax.Array:
        key_start, key_moves = jax.random.split(key)
        x, _ = start(key_start, dim, n)
        state = jax.vmap(lambda x: mala.init(x, log_density))(x)
        log_step = jnp.log(jnp.float32(VARIANCE * dim ** (-1 / 3)))
        return mala_steps(key_moves, log_density, state, log_step, steps - 1)[0].position

    return lambda number: np.asarray(chains(jax.random.fold_in(jax.random.key(2), number)))


def tempered(dim: int, n: int, budget: int) -> tuple[int, Draw]:
    """Sequential Monte Carlo along temperatures: reweight, resample, a few steps of MALA at each."""
    mala: Any = importlib.import_module("blackjax.mcmc.mala")
    # A change of temperature evaluates anew (the state of the last move, at the next temperature).
    rungs = max((budget - 1) // (MOVES + 1), 2)

    @jax.jit
    def particles(key: jax.Array) -> jax.Array:
        key_start, key_rungs = jax.random.split(key)
        x, variance = start(key_start, dim, n)
        value = jax.vmap(log_density)(x) + 0.5 * jnp.sum(x * x, axis=1) / variance
        # The first rung changes the log weights by about one.
        first = 1 / jnp.std(value)
        betas = first ** jnp.linspace(1.0, 0.0, rungs)
        stiffness = 1 + math.sqrt(2 / dim) * betas / first
        log_step = jnp.log(variance * dim ** (-1 / 3) / stiffness[0])

        def rung(carry: Any, given: Any) -> tuple[Any, None]:
            x, value, old, log_weights, log_step, stiff = carry
            key, beta, next_stiff = given
            key_pick, key_moves = jax.random.split(key)
            log_weights = jax.nn.log_softmax(log_weights + (beta - old) * value)
            weights = jnp.exp(log_weights)
            offsets = (jnp.arange(n) + jax.random.uniform(key_pick)) / n
            picked = jnp.minimum(jnp.searchsorted(jnp.cumsum(weights), offsets), n - 1)
            few = jnp.sum(weights**2) * n > 2
            x = x[jnp.where(few, picked, jnp.arange(n))]
            log_weights = jnp.where(few, -math.log(n), log_weights)

            def energy(x: jax.Array) -> jax.Array:
                return beta * log_density(x) - 0.5 * (1 - beta) * jnp.sum(x * x) / variance

            state = jax.vmap(lambda x: mala.init(x, energy))(x)
            state, log_step = mala_steps(key_moves, energy, state, log_step + jnp.log(stiff / next_stiff), MOVES)
            squares = jnp.sum(state.position**2, axis=1) / variance
            # log p - log q from the energy, which needs no further evaluation.
            value = (state.logdensity + 0.5 * squares) / beta
            return (state.position, value, beta, log_weights, log_step, next_stiff), None

        carry = (x, value, jnp.float32(0), jnp.full((n,), -math.log(n)), log_step, stiffness[0])
        given = (jax.random.split(key_rungs, rungs), betas, stiffness)
        (x, _, _, log_weights, _, _), _ = jax.lax.scan(rung, carry, given)
        return x[jax.random.categorical(key, log_weights, shape=(n,))]

    def draw(number: int) -> np.ndarray:
        return np.asarray(particles(jax.random.fold_in(jax.random.key(3), number)))

    return 1 + rungs * (MOVES + 1), draw
