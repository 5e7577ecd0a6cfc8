"""Every sampler of learned models converges at its stated order on a mixture of Gaussians whose score is exact."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.processes import FlowMatching, OrnsteinUhlenbeck, variance_preserving
from sloc.samplers import (
    ancestral,
    ddim,
    dpm_solver,
    euler_maruyama,
    flow_sde,
    heun,
    predictor_corrector,
    probability_flow,
)
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
@pytest.mark.parametrize("schedule", ["OU", "flow", pytest.param("linear", marks=pytest.mark.slow)])
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


DIFFUSIONS = {
    "ancestral": ancestral,
    "ancestral, forward variance": functools.partial(ancestral, variance="forward"),
    "ddim, eta 0.5": functools.partial(ddim, eta=0.5),
    "euler_maruyama": euler_maruyama,
    "flow_sde": flow_sde,
    "predictor_corrector": predictor_corrector,
    "heun, churn": None,
}
DRAWS = 1 << 19


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["OU", "flow"])
@pytest.mark.parametrize("name", [n for n in DIFFUSIONS if DIFFUSIONS[n] is not None])
def test_order_in_law_of_the_diffusions(name, schedule):
    process, low, high = SCHEDULES[schedule]
    steps = (8, 16, 32, 64)
    localizer = DIFFUSIONS[name](exact_model(process, "score"))
    key_x, key_y, key_run = jax.random.split(jax.random.key(1), 3)
    # Y at the top has its exact law; the same draws serve every number of steps.
    which = jax.random.bernoulli(key_x, WEIGHTS[1], (DRAWS,))
    x = jnp.where(which, MEANS[1][0], MEANS[0][0]) + jnp.sqrt(VARIANCE) * jax.random.normal(
        jax.random.fold_in(key_x, 1), (DRAWS,)
    )
    a, sigma = (np.float32(v) for v in process.coefficients(high))
    y = (a * x + sigma * jax.random.normal(key_y, (DRAWS,)))[:, None]
    keys, want, errors = jax.random.split(key_run, DRAWS), mixture_moments(process, low), []
    for n in steps:
        found = np.asarray(run_down(localizer, jnp.asarray(spread(schedule, n), jnp.float32), keys, y), np.float64)
        second = found**2
        errors.append(abs(second.mean() - want[1]))
        noise = second.std() / np.sqrt(DRAWS)
        # The discretisation is what is seen, not the draws.
        assert errors[-1] > 6 * noise, (errors, noise)
    assert abs(slope(steps, errors) - 1) <= 0.2, errors
