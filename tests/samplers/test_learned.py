"""Learned models: parameterizations and times agree, guidance does what it says, bad models are refused."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.populations import GaussianMixture
from sloc.processes import (
    FlowMatching,
    OrnsteinUhlenbeck,
    VarianceExploding,
    level,
    tabulated,
    variance_preserving,
)
from sloc.samplers import (
    LearnedDiffusion,
    ancestral,
    ddim,
    dpm_solver,
    flow_sde,
    heun,
    predictor_corrector,
    probability_flow,
)
from sloc.samplers.learned import PARAMETERIZATIONS
from tests.samplers.learned_models import exact_model, mixture

STEPS = tabulated(betas="linear")


@pytest.mark.parametrize("schedule", [OrnsteinUhlenbeck(), FlowMatching(), VarianceExploding(), STEPS])
def test_parameterizations_say_the_same(schedule):
    t = np.float32(np.asarray(schedule.grid(7))[4])
    y = jnp.asarray([0.8], jnp.float32)
    found = []
    for name in PARAMETERIZATIONS:
        model = exact_model(schedule, name).canonical()
        found.append(np.concatenate(jax.jit(model.predict)(y, jnp.asarray(t))))
    a, sigma = schedule.coefficients(float(t))
    np.testing.assert_allclose(found, np.broadcast_to(found[0], (5, 2)), rtol=3e-4, atol=3e-4)
    np.testing.assert_allclose(a * found[0][0] + sigma * found[0][1], 0.8, rtol=1e-4)


@pytest.mark.parametrize("unit", ["t", "log_snr", "sigma", "alpha_bar", "ou_time", "step"])
def test_the_network_gets_its_own_time(unit):
    seen = []

    def look(y, t):
        seen.append(t)
        return y

    model = LearnedDiffusion(look, STEPS, (2,), "x0", time=unit).canonical()
    model.predict(jnp.zeros(2), jnp.float32(300.0))
    want = 299.0 if unit == "step" else level(STEPS, 300.0, unit)
    np.testing.assert_allclose(seen[-1], want, rtol=1e-4)


def test_no_time_and_a_batch_axis():
    y = jnp.asarray([1.0, 2.0])
    untimed = LearnedDiffusion(lambda y: 0.5 * y, OrnsteinUhlenbeck(), (2,), "x0", time="none")
    batched = LearnedDiffusion(
        lambda y, t: jnp.where(t[:, None] > 0, 0.5 * y, y), OrnsteinUhlenbeck(), (2,), "x0", batched=True
    )
    for model in (untimed, batched):
        model.validate()
        np.testing.assert_allclose(model.canonical().predict(y, jnp.float32(1.0)).x, 0.5 * y)


def by_class(y, t, label):
    """Prediction ``label`` everywhere: guidance is read off."""
    del t
    return jnp.broadcast_to(label.astype(y.dtype), y.shape)


def test_guidance_and_its_times():
    model = LearnedDiffusion(by_class, OrnsteinUhlenbeck(), (1,), "x0", num_classes=3, null_label=3)
    y, t = jnp.zeros(1), jnp.float32(1.0)

    def x(model, t=t):
        return float(model.canonical().predict(y, t).x[0])

    assert x(model) == 3.0
    assert x(model.conditioned(1)) == 1.0
    assert x(model.conditioned(1, 2.5)) == 3.0 + 2.5 * (1.0 - 3.0)
    inside = model.conditioned(1, 2.5, (0.5, 1.5))
    assert x(inside) == x(model.conditioned(1, 2.5))
    assert x(inside, jnp.float32(2.0)) == 1.0


def test_guidance_outside_its_times_costs_nothing():
    calls = []

    def counted(y, t, label):
        jax.debug.callback(lambda _: calls.append(1), label)
        return by_class(y, t, label)

    model = LearnedDiffusion(counted, OrnsteinUhlenbeck(), (1,), "x0", num_classes=2, null_label=2)
    for times, each in (((0.0, 0.5), 1), ((0.5, 2.0), 2)):
        calls.clear()
        guided = model.conditioned(0, 2.0, times).canonical()
        jax.block_until_ready(jax.jit(guided.predict)(jnp.zeros(1), jnp.float32(1.0)))
        jax.effects_barrier()
        assert len(calls) == each


def test_a_learned_model_is_sampled_from_noise():
    process = FlowMatching()
    model = exact_model(process, "velocity", data_std=1.2)
    # Nothing of the signal is left at t = 1, where a velocity is well defined.
    grid = np.linspace(0.02, 1.0, 33)
    for make in (dpm_solver, flow_sde):
        x = sloc.localize(jax.random.key(0), process, model, grid=grid, n=8_192, localizer=make(model))
        # Six standard errors and the discretisation: the share of the left mode is 0.7.
        assert abs((x[:, 0] < 0.4).mean() - 0.7) < 0.03 + 6 * np.sqrt(0.21 / 8_192)


def test_other_parameters_do_not_recompile():
    traces = []

    def counted(y, t):
        traces.append(1)
        return 0.5 * y

    fn = jax.tree_util.Partial(counted)
    process, grid = OrnsteinUhlenbeck(), np.linspace(0.1, 3.0, 5)
    for std in (1.0, 1.5):
        model = LearnedDiffusion(fn, process, (1,), "x0", data_std=std).canonical()
        localizer = ancestral(model)
        before = len(traces)
        sloc.localize(jax.random.key(0), process, model, grid=grid, n=8, localizer=localizer)
        spent = len(traces) - before
    # The second run traces for the checks alone, not for a compilation.
    assert spent <= 2


def changed(**parts):
    model = LearnedDiffusion(by_class, OrnsteinUhlenbeck(), (2,), "x0", num_classes=3, label=1, null_label=3)
    return dataclasses.replace(model, **parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fn": 3}, "fn = 3: expected a function"),
        ({"fn": lambda y, t, k: y[:1]}, r"fn\(y \[2\], t\) = 'float32\[1\]'.*expected a floating array of shape \[2\]"),
        ({"fn": lambda y, t, k: (y, y)}, r"fn\(y \[2\], t\)"),
        ({"fn": lambda y, t, k: jnp.zeros(2, jnp.int32)}, "int32"),
        ({"schedule": sloc.processes.Masking()}, "schedule = .*expected a GaussianChannel"),
        (
            {"schedule": sloc.processes.Retimed(OrnsteinUhlenbeck(), sloc.processes.Table([0.0, 1.0], [0.0, 0.3]))},
            "schedule = .*ends in noise",
        ),
        ({"shape": 2}, "shape = 2: expected a tuple"),
        ({"parameterization": "noise"}, "parameterization = 'noise': expected one of eps"),
        ({"time": "beta"}, "time = 'beta'"),
        ({"label": 3}, "label = 3: expected a label of the model, a whole number from 0 to 2"),
        ({"label": 1.0}, "label = 1.0: expected a label of the model"),
        ({"label": None, "null_label": None}, "label = None: expected a class"),
        ({"null_label": None, "guidance": 2.0}, "guidance = 2.0: expected None: guidance needs a conditional model"),
        ({"num_classes": 0, "label": None, "null_label": None, "guidance": 2.0}, "guidance needs a conditional model"),
        ({"num_classes": 0}, "label = 1: expected None: the model has no classes"),
        ({"guidance": float("nan")}, "guidance = nan"),
        ({"guidance_times": (0.0, 1.0)}, "guidance_times = .*None where guidance is None"),
        ({"guidance": 2.0, "guidance_times": (1.0, 0.0)}, "guidance_times = .*in order"),
        ({"data_std": 0.0}, "data_std = 0.0"),
    ],
)
def test_bad_models_are_refused(parts, message):
    with pytest.raises(InvalidInput, match=message):
        ancestral(changed(**parts))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: ddim(m, 1.5), "eta = 1.5"),
        (lambda m: ancestral(m, "large"), "variance = 'large'"),
        (lambda m: heun(m, -0.1), "churn = -0.1"),
        (lambda m: heun(m, 0.1, churn_levels=(2.0, 1.0)), "churn_levels"),
        (lambda m: probability_flow(m, 3), "order = 3: expected 1, 2 or 4"),
        (lambda m: predictor_corrector(m, 0), "corrections = 0"),
        (lambda m: predictor_corrector(m, size=0.0), "size = 0.0"),
        (lambda m: flow_sde(m, -1.0), "strength = -1.0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make(exact_model(OrnsteinUhlenbeck()))


def test_starts_that_are_no_noise_are_refused():
    process, model = OrnsteinUhlenbeck(), exact_model(OrnsteinUhlenbeck())
    with pytest.raises(InvalidInput, match=r"grid = 1.0.*a last time in noise"):
        sloc.localize(jax.random.key(0), process, model, grid=[0.1, 1.0], n=4, localizer=ddim(model))
    flow = exact_model(FlowMatching(), "eps")
    with pytest.raises(InvalidInput, match=r"grid = 1.0.*divided by a = 0"):
        sloc.localize(jax.random.key(0), FlowMatching(), flow, grid=[0.1, 1.0], n=4, localizer=ddim(flow))
    with pytest.raises(ContractError, match=r"expected a sloc\.samplers.LearnedDiffusion"):
        ancestral(mixture())  # pyright: ignore[reportArgumentType]


def test_the_grid_is_even_in_log_snr_between_levels():
    model = exact_model(variance_preserving("cosine"))
    snr = level(model.schedule, model.grid(9, 0.05, 20.0), "log_snr")
    np.testing.assert_allclose(np.diff(snr), np.diff(snr)[0], rtol=1e-6)
    np.testing.assert_allclose(snr[[0, -1]], (-2 * np.log(0.05), -2 * np.log(20.0)), rtol=1e-6)
    # A table that ends earlier ends the grid.
    assert exact_model(STEPS).grid(5, 0.05, 1e4)[-1] == pytest.approx(1000.0, rel=1e-3)
    assert isinstance(mixture(), GaussianMixture)
