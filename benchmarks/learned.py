"""The suite ``learned``: every sampler of trained models against a scan of the same network calls, written by hand.

One network throughout, a multilayer perceptron on 64 numbers, under the Ornstein–Uhlenbeck process (``a^2 + sigma^2 =
1``); a transformer for the masked sampler.  The scans are what one would write for one sampler: the whole batch at
once, along the same grid.  Weights are as drawn: they change no time.  :mod:`benchmarks.learned_levels` runs a U-Net's
forward–reverse experiments at many levels against PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks import learned_levels
from benchmarks.timing import Contender, Row, at_most, called, race, ratio_row, time_rows
from sloc import samplers
from sloc.contracts import require

PARTS = ("scans", "masked", "levels")
SHAPE, STEPS, LEAST, STD = (8, 8), 32, 0.05, 0.7
PROCESS = sloc.processes.OrnsteinUhlenbeck()
Step = Callable[[Any, jax.Array, jax.Array, jax.Array, jax.Array, Any], tuple[jax.Array, Any]]
"""``(predict, key, y, t, s, memory) -> (y, memory)``, of a batch."""


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the chosen parts.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.
        parts: which of :data:`PARTS`.

    """
    if "scans" in parts:
        yield from scan_rows(rounds, smoke)
    if "masked" in parts:
        yield from masked_rows(rounds, smoke)
    if "levels" in parts:
        yield from learned_levels.rows(rounds, smoke)


# --------------------------------------------------------------------------------------------
# Steps by hand, for a = exp(-t), sigma^2 = 1 - a^2
# --------------------------------------------------------------------------------------------


def level(t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return ``(a, sigma)``."""
    return jnp.exp(-t), jnp.sqrt(-jnp.expm1(-2 * t))


def ddim(eta: float, predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take a step of DDIM; ``eta = 1`` is ancestral."""
    x, eps = predict(y, t)
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
    if eta == 0:
        return a_s * x + sigma_s * eps, memory
    drawn = eta**2 * (1 - (a_t * sigma_s / (a_s * sigma_t)) ** 2)
    noise = jax.random.normal(key, y.shape)
    return a_s * x + sigma_s * (jnp.sqrt(1 - drawn) * eps + jnp.sqrt(drawn) * noise), memory


def euler_maruyama(predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take a step of the reverse diffusion."""
    h, score = t - s, -predict(y, t)[1] / level(t)[1]
    return y + h * (y + 2 * score) + jnp.sqrt(2 * h) * jax.random.normal(key, y.shape), memory


def slopes(t: Any) -> Any:
    """Return ``(a', sigma')``."""
    a, sigma = level(t)
    return -a, a**2 / sigma


def flow_sde(predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take a step of the flow's diffusion of strength 1."""
    x, eps = predict(y, t)
    (da, dsigma), h = slopes(t), t - s
    noise = jnp.sqrt(h * level(t)[1]) * jax.random.normal(key, y.shape)
    return y - h * (da * x + (dsigma + 0.5) * eps) + noise, memory


def corrected(predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take an ancestral step and one of Langevin's."""
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
    key, again = jax.random.split(key)
    y, memory = ddim(1.0, predict, key, y, t, s, memory)
    size = 0.5 * sigma_s**2 * (1 - (a_t * sigma_s / (a_s * sigma_t)) ** 2)
    score = -predict(y, s)[1] / sigma_s
    return y + size * score + jnp.sqrt(2 * size) * jax.random.normal(again, y.shape), memory


def heun(churn: float, predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take a step of EDM."""
    if churn:
        a, sigma = level(t)
        ratio = sigma / a
        raised = ratio * (1 + churn)
        t = 0.5 * jnp.log1p(raised**2)
        noise = jnp.sqrt(raised**2 - ratio**2) * jax.random.normal(key, y.shape)
        y = level(t)[0] * (y / a + noise)
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
    eps = predict(y, t)[1]
    u, h = y / a_t, sigma_s / a_s - sigma_t / a_t
    again = predict(a_s * (u + h * eps), s)[1]
    return a_s * (u + 0.5 * h * (eps + again)), memory


def multistep(predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take a step of DPM-Solver++ (2M)."""
    del key
    x = predict(y, t)[0]
    before, last = memory
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
    now = jnp.log(a_t / sigma_t)
    h = jnp.log(a_s / sigma_s) - now
    weight = jnp.where(jnp.isfinite(last), 0.5 * h / (now - last), 0.0)
    ahead = x + weight * (x - before)
    return (sigma_s / sigma_t) * y - a_s * jnp.expm1(-h) * ahead, (x, now)


def flow(order: int, predict: Any, key: Any, y: Any, t: Any, s: Any, memory: Any) -> Any:
    """Take a Runge–Kutta step of the probability flow."""
    del key
    h = s - t

    def velocity(y: Any, t: Any) -> Any:
        x, eps = predict(y, t)
        da, dsigma = slopes(t)
        return da * x + dsigma * eps

    one = velocity(y, t)
    if order == 1:
        return y + h * one, memory
    if order == 2:
        return y + 0.5 * h * (one + velocity(y + h * one, s)), memory
    two = velocity(y + 0.5 * h * one, t + 0.5 * h)
    three = velocity(y + 0.5 * h * two, t + 0.5 * h)
    four = velocity(y + h * three, s)
    return y + (h / 6) * (one + 2 * (two + three) + four), memory


def sampled(own: Callable[[Any], samplers.Localizer], step: Step) -> tuple[Any, Step]:
    """Return a sampler and its step by hand."""
    return own, step


CASES = {
    "ancestral": sampled(samplers.ancestral, functools.partial(ddim, 1.0)),
    "DDIM": sampled(samplers.ddim, functools.partial(ddim, 0.0)),
    "DDIM, eta 1/2": sampled(functools.partial(samplers.ddim, eta=0.5), functools.partial(ddim, 0.5)),
    "Euler–Maruyama": sampled(samplers.euler_maruyama, euler_maruyama),
    "flow SDE": sampled(samplers.flow_sde, flow_sde),
    "predictor–corrector": sampled(samplers.predictor_corrector, corrected),
    "Heun": sampled(samplers.heun, functools.partial(heun, 0.0)),
    "Heun, churn": sampled(functools.partial(samplers.heun, churn=0.1), functools.partial(heun, 0.1)),
    "DPM-Solver++": sampled(samplers.dpm_solver, multistep),
    "flow, Euler": sampled(functools.partial(samplers.probability_flow, order=1), functools.partial(flow, 1)),
    "flow, Heun": sampled(samplers.probability_flow, functools.partial(flow, 2)),
    "flow, Kutta": sampled(functools.partial(samplers.probability_flow, order=4), functools.partial(flow, 4)),
}


def by_hand(network: Any, grid: np.ndarray, n: int, step: Step) -> Callable[[], np.ndarray]:
    """Return one scan over the steps, the whole batch at once, the last observation denoised."""
    from flax import nnx

    graph, state = nnx.split(network)
    steps = jnp.asarray(grid[::-1], jnp.float32)

    @jax.jit
    def solve(state: Any, key: jax.Array) -> jax.Array:
        model = nnx.merge(graph, state)

        def predict(y: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
            a, sigma = level(t)
            v = model(y, jnp.broadcast_to(2 * jnp.log(a / sigma), y.shape[:1]), jnp.full(y.shape[:1], 3))
            return a * y - sigma * v, sigma * y + a * v

        key_start, key_steps = jax.random.split(key)
        a, sigma = level(steps[0])
        y = jnp.sqrt((a * STD) ** 2 + sigma**2) * jax.random.normal(key_start, (n, *SHAPE))

        def one(carry: Any, given: Any) -> Any:
            key, t, s = given
            return step(predict, key, carry[0], t, s, carry[1]), None

        keys = jax.random.split(key_steps, steps.shape[0] - 1)
        memory = (jnp.zeros_like(y), jnp.float32(-jnp.inf))
        last = jax.lax.scan(one, (y, memory), (keys, steps[:-1], steps[1:]))[0][0]
        return predict(last, steps[-1])[0]

    return lambda: np.asarray(solve(state, jax.random.key(1)))


def scan_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield, for each sampler, its time over that of the scan by hand."""
    from flax import nnx

    from sloc import nn

    n, steps, width = (1_024, 4, 16) if smoke else (4_096, STEPS, 256)
    network = nn.MLPDenoiser(SHAPE, 10, width=width, rngs=nnx.Rngs(0))
    # The last layer starts at zero, where a network would be folded away.
    network.last.kernel[...] = 0.02 * jax.random.normal(jax.random.key(2), network.last.kernel.shape)
    model = nn.as_diffusion(network, PROCESS, label=3, data_std=STD)
    grid = np.asarray(model.grid(steps + 1, LEAST))
    for name, (make, step) in CASES.items():
        localizer = make(model)
        own = functools.partial(sloc.localize, jax.random.key(0), PROCESS, model, grid=grid, n=n, localizer=localizer)
        yield from compared(name, own, by_hand(network, grid, n, step), rounds)


def compared(name: str, own: Any, other: Any, rounds: int) -> Iterator[Row]:
    """Yield the times of both and the ratio, once their draws have one law."""
    calls, found, raced = {"sloc": own, "lax.scan by hand": other}, [], []
    for who, call in calls.items():
        value, first = called(call)
        found.append(np.asarray(value, np.float64))
        raced.append(Contender(who, call, first=first))
    check_moments(name, *found)
    timings = race(raced, rounds)
    yield from time_rows(name, timings)
    yield at_most(ratio_row(f"{name}: sloc over lax.scan by hand", timings["sloc"], timings["lax.scan by hand"]), 1.1)


def check_moments(name: str, value: np.ndarray, reference: np.ndarray) -> None:
    """Refuse to time draws of another law: allowed are seven standard errors of means and squares."""
    for power in (1, 2):
        a, b = value**power, reference**power
        allowed = 7 * np.sqrt(a.var(0) / len(a) + b.var(0) / len(b)) + 1e-6
        gap = np.abs(a.mean(0) - b.mean(0))
        require(bool((gap <= allowed).all()), f"{name}, moment {power}", float((gap / allowed).max()), "at most 1")


# --------------------------------------------------------------------------------------------
# Masked models
# --------------------------------------------------------------------------------------------


def masked_by_hand(network: Any, grid: np.ndarray, n: int) -> Callable[[], np.ndarray]:
    """Return the masked sampler in one scan: each hidden token is written with probability ``1 - s / t``."""
    from flax import nnx

    graph, state = nnx.split(network)
    steps = jnp.asarray(grid[::-1], jnp.float32)

    @jax.jit
    def solve(state: Any, key: jax.Array) -> jax.Array:
        model = nnx.merge(graph, state)

        def one(y: jax.Array, given: Any) -> Any:
            key, t, s = given
            key_which, key_letter = jax.random.split(key)
            letters = jax.random.categorical(key_letter, model(y))
            chosen = (y == network.vocabulary) & (jax.random.uniform(key_which, y.shape) >= s / t)
            return jnp.where(chosen, letters, y), None

        y = jnp.full((n, network.length), network.vocabulary)
        keys = jax.random.split(key, steps.shape[0] - 1)
        return jax.lax.scan(one, y, (keys, steps[:-1], steps[1:]))[0]

    return lambda: np.asarray(solve(state, jax.random.key(1)))


def masked_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the masked sampler's time over that of the scan by hand."""
    from flax import nnx

    from sloc import nn

    n, steps = (1_024, 4) if smoke else (1_024, 16)
    network = nn.MaskedTransformer(16, 4, width=16 if smoke else 64, depth=1 if smoke else 3, rngs=nnx.Rngs(0))
    model, grid = nn.as_masked(network), np.linspace(0.0, 1.0, steps + 1)
    own = functools.partial(
        sloc.localize,
        jax.random.key(0),
        sloc.processes.Masking(),
        model,
        grid=grid,
        n=n,
        localizer=samplers.masked_ancestral(model),
    )
    yield from compared("masked, random order", own, masked_by_hand(network, grid, n), rounds)
