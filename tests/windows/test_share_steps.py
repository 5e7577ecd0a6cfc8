"""Steps of shares: martingales that keep their variance, whatever the prior."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sloc.windows.move_kernels import (
    GRID,
    LEVELS,
    PRIORS,
    SHARES,
    MovePrior,
    RunPrior,
    mode_kernels,
    move_kernels,
)
from sloc.windows.outcome_curves import outcome_curve
from sloc.windows.share_steps import on_grid, tilted_to_mean
from tests.windows.jumps import counts

ONE, WITH_RUNS = MovePrior(), MovePrior(runs=(RunPrior(0.05, 0.2), RunPrior(0.02, 0.1, 100.0, 0.8)))


@settings(max_examples=25, deadline=None)
@given(
    stay=st.floats(0.0, 0.9),
    concentrations=st.lists(st.floats(0.2, 300.0), min_size=1, max_size=3),
    pull=st.floats(0.05, 1.0),
)
def test_steps_are_martingales_whatever_the_prior(stay, concentrations, pull):
    """``E[o_{t+1} | o_t] = o_t`` at every leaving mass; runs of either side together keep the mean too."""
    spread = tuple(((1.0 - stay) / len(concentrations), c) for c in concentrations)
    prior = MovePrior(stay, spread, runs=(RunPrior(0.01, 0.1, concentrations[0], pull),))
    still, up, down = mode_kernels(prior).swapaxes(0, 1)
    assert np.allclose(still @ SHARES, SHARES, rtol=0, atol=1e-12)
    assert np.allclose(0.5 * (up + down) @ SHARES, SHARES, rtol=0, atol=1e-9)
    assert (up @ SHARES >= SHARES - 1e-9).all()
    assert np.allclose(mode_kernels(prior).sum(axis=-1), 1.0)


@pytest.mark.parametrize("concentration", [0.5, 3.0, 20.0, 150.0])
def test_small_steps_keep_their_variance(concentration):
    """``(q / p)^2 x (1 - x) / (c + 1)`` where nothing is cut off, however small against a cell of the grid.

    Larger ones are binned as well, which adds up to a third where they are of about a cell's size.
    """
    kernels = move_kernels(MovePrior(0.0, ((1.0, concentration),)))
    middle = slice(15, 46)
    for q, kernel in zip(LEVELS[1:6], kernels[1:6], strict=True):
        variance = (kernel * (SHARES[None, :] - SHARES[:, None]) ** 2).sum(axis=1)
        wanted = (q / (1 - q)) ** 2 * SHARES * (1 - SHARES) / (concentration + 1)
        assert np.allclose(variance[middle], wanted[middle], rtol=0.01, atol=0)


def test_many_small_leaks_add_up():
    """Curves that move by all they can at each of 200 steps of .02, under a prior that expects it: 90 % bands hold."""
    prior, inside = MovePrior(0.0, ((1.0, 1.0),)), []
    for seed in range(5):
        rng, share = np.random.default_rng(seed), [0.5]
        for _ in range(200):
            after = (share[-1] - 0.02 * (rng.random() < share[-1])) / 0.98
            share.append(after if 0.0 <= after <= 1.0 else share[-1])
        hits = rng.binomial(20, share)
        curve = outcome_curve(counts(np.stack([hits, 20 - hits], axis=1), np.full(200, 0.02)), priors=(*PRIORS, prior))
        inside.append(((curve.lower[:, 0] <= share) & (share <= curve.upper[:, 0])).mean())
    # Of five curves; under the three priors alone it is about .65.
    assert np.mean(inside) > 0.85


def test_the_tilt_is_the_nearest_law():
    """Relative entropy to the law that is tilted is least: mixing in any other law of that mean only adds to it."""
    rng = np.random.default_rng(8)
    laws = rng.dirichlet(np.full(GRID, 0.3), 40)
    means = rng.uniform(0.1, 0.9, 40)
    tilted = tilted_to_mean(SHARES, laws, means)
    others = tilted_to_mean(SHARES, rng.dirichlet(np.ones(GRID), 40), means)
    assert np.allclose(tilted @ SHARES, means, rtol=0, atol=1e-12)

    def entropy(found):
        return (found * np.log(np.maximum(found, 1e-300) / np.maximum(laws, 1e-300))).sum(axis=1)

    for part in (0.01, 0.1, 0.5):
        assert (entropy((1 - part) * tilted + part * others) >= entropy(tilted)).all()


def test_a_law_on_one_side_of_its_mean_is_left_as_it_is():
    law = np.zeros((1, GRID))
    law[0, 30:] = 2.0
    assert np.array_equal(tilted_to_mean(SHARES, law, np.asarray([SHARES[20]])), law / law.sum())


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 50.0))
def test_laws_on_the_grid_keep_mean_and_variance(seed, width):
    """Whatever the law; the variance at least, and no more than a cell's beside it."""
    rng = np.random.default_rng(seed)
    points = np.sort(rng.uniform(0.0, 1.0, (4, 40)) / width % 1.0, axis=1)
    laws = rng.dirichlet(np.full(40, 0.5), 4)
    found = on_grid(points, laws, SHARES)
    means = (laws * points).sum(axis=1)
    variance = (laws * (points - means[:, None]) ** 2).sum(axis=1)
    assert np.allclose(found.sum(axis=1), 1.0)
    assert np.allclose(found @ SHARES, means, rtol=0, atol=1e-9)
    got = (found * (SHARES - means[:, None]) ** 2).sum(axis=1)
    cell = np.diff(SHARES).max()
    assert (got >= variance - 1e-9).all()
    assert (got <= variance + cell**2 + cell * np.sqrt(variance)).all()
