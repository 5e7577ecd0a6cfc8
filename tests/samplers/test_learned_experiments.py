"""Forward–reverse experiments of learned models: laws, grids that start at the level noised to, NaN, compilations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import sloc
from sloc.contracts import InvalidInput
from sloc.engine.faults import NotANumber
from sloc.populations import GaussianMixture
from sloc.processes import FlowMatching, Masking, OrnsteinUhlenbeck, Truncation, level, tabulated
from sloc.samplers import (
    LearnedDiffusion,
    Localizer,
    LocalizerInfo,
    LocalizerState,
    ancestral,
    clone_frequencies,
    label_frequencies,
    level_grids,
)
from tests.samplers.laws import assert_frequencies
from tests.samplers.learned_models import exact_model, mixture

NARROW = GaussianMixture([0.3, 0.7], [[2.0], [-2.0]], 0.05)


def side(x):
    return (x[0] < 0).astype(jnp.int32)


@pytest.mark.parametrize("schedule", [OrnsteinUhlenbeck(), FlowMatching(), tabulated(betas="linear")])
def test_level_grids_end_together_and_start_at_their_level(schedule):
    times = np.asarray(schedule.time_of_log_snr(np.array([2.0, -1.0, -4.0])))
    rows = level_grids(schedule, times, 8)
    assert rows.shape == (3, 8)
    np.testing.assert_allclose(level(schedule, rows[:, 0], "sigma"), 0.01, rtol=1e-6)
    full = np.concatenate([rows, times[:, None]], axis=1)
    steps = np.diff(level(schedule, full, "log_snr"), axis=1)
    np.testing.assert_allclose(steps, steps[:, :1] * np.ones(8), rtol=1e-5)


def test_level_grids_of_other_processes():
    np.testing.assert_allclose(level_grids(Masking(), [0.5, 1.0], 2), [[0.0, 0.25], [0.0, 0.5]])
    assert np.isfinite(level_grids(FlowMatching(), [1.0], 4)).all()
    for process, times, steps, message in (
        (Truncation(4), [2], 2, "continuous time"),
        (OrnsteinUhlenbeck(), [1e-6], 4, "times above the least"),
        (OrnsteinUhlenbeck(), [1.0], 0, "steps = 0"),
    ):
        with pytest.raises(InvalidInput, match=message):
            level_grids(process, times, steps)


SEEN: list[float] = []


def _keep(key, t, y=None):
    del key
    jax.debug.callback(lambda t: SEEN.append(float(t)), t)
    return LocalizerState(y, t)


def _step(key, state, s):
    del key
    jax.debug.callback(lambda t, s: SEEN.extend([float(t), float(s)]), state.t, s)
    return LocalizerState(state.y, s), LocalizerInfo(state.y)


def test_the_way_back_starts_at_the_level_noised_to():
    times = [0.31, 1.7]
    rows = level_grids(OrnsteinUhlenbeck(), times, 3)
    for grid in (rows, np.array([0.1, 0.3, 1.0])):
        SEEN.clear()
        found = sloc.forward_reverse(
            jax.random.key(0),
            OrnsteinUhlenbeck(),
            mixture(),
            0,
            times,
            n=1,
            feature=side,
            localizer=Localizer(_keep, _step),
            grid=grid,
        )
        jax.block_until_ready(found)
        jax.effects_barrier()
        seen = {round(t, 4) for t in SEEN}
        below = grid.ravel() if grid.ndim == 2 else grid
        assert seen == {round(float(np.float32(t)), 4) for t in (*times, *below)}


def test_label_curves_of_a_model_without_error_are_the_exact_ones():
    process, times, n = OrnsteinUhlenbeck(), np.array([0.4, 1.0, 1.8]), 8_192
    model = exact_model(process, "eps", NARROW)
    exact = sloc.label_curve(jax.random.key(1), process, NARROW, times, 0, n=200_000)
    drawn = label_frequencies(
        jax.random.key(0),
        process,
        NARROW,
        0,
        times,
        n=n,
        feature=side,
        num_labels=2,
        localizer=ancestral(model),
        grid=level_grids(process, times, 64),
    )
    for i in range(3):
        # Ancestral steps err by a few tenths of a percent here; 2,048 reference draws allow for it.
        assert_frequencies(np.asarray(drawn.value)[i] * n, np.asarray(exact.value)[i], reference_draws=2_048)


def test_clones_and_few_draws():
    process, times = OrnsteinUhlenbeck(), [0.3, 1.2]
    model = exact_model(process, "eps", NARROW)
    options = dict(feature=side, localizer=ancestral(model), grid=level_grids(process, times, 16))
    key = jax.random.key(2)
    many, _ = sloc.forward_reverse(key, process, NARROW, [0, 1], times, n=1_024, clones=2, **options)
    few, x = sloc.forward_reverse(key, process, NARROW, [0, 1], times, n=50, clones=2, **options)
    assert x.shape == (2, 50, 2, 1)
    # More draws begin with the same ones.
    np.testing.assert_array_equal(few, many[:, :50])
    agreement = clone_frequencies(key, process, NARROW, times, n=1_024, **options)
    exact = sloc.clone_agreement(jax.random.key(3), process, NARROW, times, n=100_000)
    # Six standard errors, and the error of 16 steps.
    assert np.abs(agreement.value - exact.value).max() < 0.02 + 6 * np.sqrt(0.25 / 1_024)


def breaks_above_one(limit, y, t):
    return jnp.where(t > limit, jnp.nan, 0.5) * y


@pytest.mark.parametrize("samples", [True, False])
def test_nan_names_its_level_and_draw(samples):
    process = OrnsteinUhlenbeck()
    model = LearnedDiffusion(Partial(breaks_above_one, jnp.float32(1.0)), process, (1,), "x0")
    options = dict(feature=side, localizer=ancestral(model), grid=np.linspace(0.1, 0.9, 4))
    key = jax.random.key(5)
    message = r"NaN at t = 1\.5 \(time 1\), draw 0 of key \[0, 5\]"
    with pytest.raises(NotANumber, match=message):
        sloc.forward_reverse(key, process, mixture(), 0, [0.5, 1.5], n=8, samples=samples, **options)
    with pytest.raises(NotANumber, match=message):
        label_frequencies(key, process, mixture(), 0, [0.5, 1.5], n=8, num_labels=2, **options)


@pytest.mark.parametrize("trajectories", [True, False])
def test_nan_on_the_way_from_noise_names_its_level_and_draw(trajectories):
    process = OrnsteinUhlenbeck()
    model = LearnedDiffusion(Partial(breaks_below_one, jnp.float32(1.0)), process, (1,), "x0")
    grid = np.array([0.1, 0.5, 0.9, 1.5, 4.0])
    message = r"NaN on the way to t = 0\.5, draw 0 of key \[0, 5\]"
    with pytest.raises(NotANumber, match=message):
        sloc.localize(
            jax.random.key(5), process, model, grid=grid, n=8, localizer=ancestral(model), trajectories=trajectories
        )
    with pytest.raises(NotANumber, match=r"NaN from t = 0\.95, draw 0"):
        sloc.localize(jax.random.key(5), process, model, grid=[0.95, 1.5, 4.0], n=8, localizer=ancestral(model))


def breaks_below_one(limit, y, t):
    return jnp.where(t < limit, jnp.nan, 0.5) * y


def test_one_compilation_for_all_levels_and_weights():
    traces = []

    def counted(scale, y, t):
        del t
        traces.append(1)
        return scale * y

    process = OrnsteinUhlenbeck()
    for scale, times in ((0.5, [0.3, 0.6, 0.9, 1.2]), (0.7, [0.2, 0.5, 1.0, 2.0])):
        model = LearnedDiffusion(Partial(counted, jnp.float32(scale)), process, (1,), "x0")
        localizer, grid = ancestral(model), level_grids(process, times, 8)
        before = len(traces)
        sloc.forward_reverse(
            jax.random.key(0), process, mixture(), 0, times, n=4, feature=side, localizer=localizer, grid=grid
        )
        spent = len(traces) - before
    # Another network of the same shapes at other levels is not even traced.
    assert spent == 0


def test_bad_grids_and_shapes_are_refused():
    process = OrnsteinUhlenbeck()
    model = exact_model(process)

    def run(population=None, **options):
        population = mixture() if population is None else population
        arguments = dict(n=4, feature=side, localizer=ancestral(model), grid=[[0.1, 0.2], [0.1, 0.4]]) | options
        return sloc.forward_reverse(jax.random.key(0), process, population, 0, [0.3, 0.6], **arguments)

    for grid, message in (
        ([[0.1, 0.2]], "one row for each of the 2 times"),
        ([[0.1, 0.3], [0.1, 0.4]], r"grid\[0\] = .*times below t\[0\] = 0.3"),
        ([[0.2, 0.1], [0.1, 0.4]], r"grid\[0\] = .*strictly increasing"),
    ):
        with pytest.raises(InvalidInput, match=message):
            run(grid=grid)
    with pytest.raises(InvalidInput, match=r"the model's shape \[1\]"):
        run(GaussianMixture([0.5, 0.5], np.eye(2), 1.0))


def test_few_draws_ask_the_network_about_no_more():
    seen = []

    def counted(y, t):
        jax.debug.callback(lambda y: seen.append(1), y)
        return 0.5 * y + 0.0 * t

    def halved(y, t):
        return 0.5 * y + 0.0 * t

    process, grid = OrnsteinUhlenbeck(), np.linspace(0.1, 4.0, 4)
    model = LearnedDiffusion(counted, process, (1,), "x0")
    few = sloc.localize(jax.random.key(0), process, model, grid=grid, n=20, localizer=ancestral(model))
    jax.effects_barrier()
    # Three steps and the end, of 20 draws rounded up to 32.
    assert len(seen) == 4 * 32
    model = LearnedDiffusion(halved, process, (1,), "x0")
    many = sloc.localize(jax.random.key(0), process, model, grid=grid, n=1_025, localizer=ancestral(model))
    # More draws begin with the same ones.
    np.testing.assert_allclose(few, many[:20], rtol=1e-5)
