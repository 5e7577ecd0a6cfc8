"""Every sampler of learned models converges at its stated order on a mixture of Gaussians whose score is exact."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.interpolate import CubicSpline
from scipy.stats import norm

from sloc.processes import FlowMatching, OrnsteinUhlenbeck, variance_preserving
from sloc.samplers import (
    ancestral,
    ddim,
    dpm_solver,
    euler,
    euler_maruyama,
    flow_sde,
    heun,
    predictor_corrector,
    probability_flow,
)
from sloc.samplers.localizer import LocalizerState
from tests.samplers.learned_models import MEANS, VARIANCE, WEIGHTS, exact_model, run_down

SCHEDULES = {
    "OU": (OrnsteinUhlenbeck(), 0.1, 2.0),
    "linear": (variance_preserving("linear"), 0.1, 0.8),
    "flow": (FlowMatching(), 0.1, 0.9),
}


def slope(steps, errors):
    """Fitted order: minus the slope of the log error in the log number of steps."""
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


def spread(name, n):
    """``n`` steps, even in log-SNR between the two times, float64 on the host."""
    schedule, low, high = SCHEDULES[name]
    a, sigma = (np.asarray(v) for v in schedule.coefficients(np.array([low, high])))
    top, bottom = 2 * np.log(a / sigma)
    return np.asarray(schedule.time_of_log_snr(np.linspace(top, bottom, n + 1)), np.float64)


FLOWS = {
    "ddim": (ddim, 1, (32, 64, 128, 256)),
    "heun": (heun, 2, (32, 64, 128, 256)),
    "dpm_solver": (dpm_solver, 2, (32, 64, 128, 256)),
    "flow, order 1": (functools.partial(probability_flow, order=1), 1, (64, 128, 256, 512)),
    "flow, order 2": (functools.partial(probability_flow, order=2), 2, (32, 64, 128, 256)),
    "flow, order 4": (functools.partial(probability_flow, order=4), 4, (16, 32, 64, 128)),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("schedule", ["OU", *(pytest.param(n, marks=pytest.mark.slow) for n in ("linear", "flow"))])
def test_pathwise_order_of_the_flow(name, schedule):
    make, order, steps = FLOWS[name]
    with jax.enable_x64(True):
        model = exact_model(SCHEDULES[schedule][0], "score")
        keys = jax.random.split(jax.random.key(0), 64)
        y = jnp.linspace(-2.5, 2.5, 64)[:, None]
        exact = run_down(probability_flow(model, 4), jnp.asarray(spread(schedule, 2048)), keys, y)
        found = [run_down(make(model), jnp.asarray(spread(schedule, n)), keys, y) for n in steps]
    errors = [float(np.sqrt(np.mean((np.asarray(f) - np.asarray(exact)) ** 2))) for f in found]
    assert abs(slope(steps, errors) - order) <= 0.2, errors


def mixture_moments(schedule, t):
    """``E Y_t`` and ``E Y_t^2`` exactly, float64."""
    a, sigma = (float(v) for v in schedule.coefficients(t))
    means, weights = np.array(MEANS)[:, 0], np.array(WEIGHTS)
    return np.array([weights @ means * a, weights @ (a**2 * (means**2 + VARIANCE) + sigma**2)])


# Name: (sampler for a number of steps, order, normals drawn a step).
DIFFUSIONS = {
    "ancestral": (lambda m, n: ancestral(m), 1, 1),
    "ancestral, forward variance": (lambda m, n: ancestral(m, "forward"), 1, 1),
    "ddim, eta 0.5": (lambda m, n: ddim(m, 0.5), 1, 1),
    "euler_maruyama": (lambda m, n: euler_maruyama(m), 1, 1),
    "flow_sde": (lambda m, n: flow_sde(m), 1, 1),
    "predictor_corrector": (lambda m, n: predictor_corrector(m), 1, 2),
    # As in EDM a fixed total of noise is shared out over the steps.
    "heun, churn": (lambda m, n: heun(m, 4.0 / n), 2, 1),
}
NODES = 24
PLACES = np.linspace(-7.0, 7.0, 561)


def second_moment(localizer, times, normals_a_step, monkeypatch):
    """``E Y^2`` at ``times[0]`` of a sampler that starts from the exact law at ``times[-1]``, without any draw.

    Backwards, step by step: ``u(y) <- E u(step(y, Z))`` by Gauss and Hermite's rule in the step's normals, ``u`` a
    spline between places.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    z = np.stack([v.ravel() for v in np.meshgrid(*[nodes] * normals_a_step, indexing="ij")], axis=1)
    share = functools.reduce(np.multiply.outer, [weights] * normals_a_step).ravel()

    def moved(y, z, t, s):
        drawn = iter(range(normals_a_step))
        monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: jnp.broadcast_to(z[next(drawn)], shape))
        monkeypatch.setattr(euler, "normals", lambda key, shape, dtype: jnp.broadcast_to(z[next(drawn)], shape))
        return localizer.step(jax.random.key(0), LocalizerState(y[None], t), s)[0].y[0]

    everywhere = jax.jit(jax.vmap(jax.vmap(moved, (None, 0, None, None)), (0, None, None, None)))
    value = PLACES**2
    for s, t in itertools.pairwise(times):
        reached = np.asarray(everywhere(jnp.asarray(PLACES), jnp.asarray(z), jnp.asarray(t), jnp.asarray(s)))
        value = CubicSpline(PLACES, value)(reached) @ share
    return value


@pytest.mark.parametrize("schedule", ["OU", pytest.param("flow", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DIFFUSIONS)
def test_order_in_law_of_the_diffusions(name, schedule, monkeypatch):
    process, low, high = SCHEDULES[schedule]
    make, order, normals_a_step = DIFFUSIONS[name]
    # Errors of two signs meet on coarse grids of the flow's own diffusion.
    steps, errors = (64, 128, 256, 512) if name == "flow_sde" else (16, 32, 64, 128), []
    a, sigma = (float(v) for v in process.coefficients(high))
    deviation = np.sqrt(a**2 * VARIANCE + sigma**2)
    density = sum(w * norm.pdf(PLACES, a * m[0], deviation) for w, m in zip(WEIGHTS, MEANS, strict=True))
    with jax.enable_x64(True):
        model = exact_model(process, "score")
        for n in steps:
            value = second_moment(make(model, n), spread(schedule, n), normals_a_step, monkeypatch)
            errors.append(abs(simpson(value * density, x=PLACES) - mixture_moments(process, low)[1]))
    assert abs(slope(steps, errors) - order) <= 0.2, errors
