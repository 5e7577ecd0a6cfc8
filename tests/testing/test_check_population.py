"""``check_population`` finds each deliberate error and names it; the same populations unbroken pass.

A right population fails with probability at most 1e-9 a call; the deliberate errors are many times
what the draws resolve.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import population as contracts
from sloc.contracts import register_marginals
from sloc.processes import BinarySymmetric, VarianceExploding
from sloc.testing import ConformanceError, check_population
from tests.testing import broken, ill_formed

TIMES = [0.05, 0.15, 0.3]


@pytest.fixture
def pair():
    """Register the right marginals of ``WithShortcuts``; the test adds a shortcut, and all is undone."""

    @register_marginals(BinarySymmetric, broken.WithShortcuts)
    def marginals(process, population, y, t):
        return broken.TwoPoints.log_marginals(population, process, y, t)

    yield marginals
    del contracts._PAIRS[BinarySymmetric, broken.WithShortcuts]


def sampled_paths(process, population, key, components, times):
    """Draw a batch of paths honestly, ``[T, K, B]``."""

    def one(key, component):
        k_x, k_y = jax.random.split(key)
        x = population.sample(k_x, component)
        return jax.vmap(lambda t: population.log_marginals(process, process.sample(k_y, x, t), t))(times)

    return jnp.moveaxis(jax.vmap(one)(jax.random.split(key, components.shape[0]), components), 0, 2)


def test_right_population_passes():
    report = check_population(broken.WithPosterior(), BinarySymmetric(), times=TIMES)
    assert report.skipped == [
        "path_log_marginals: the default is in use",
        "paths: none registered",
        "reduce: none registered",
    ]
    assert set(report.p_values) == {"log_marginals against sample", "posterior_sample against sample"}


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (broken.MarginalsTooSure(), r"the posterior of sub-population 0 is not calibrated: p = "),
        (broken.MarginalsTimesWeights(), r"the posterior of sub-population 0 is not calibrated: p = "),
        (broken.MarginalsShape(), r"log_marginals returns float32\[3\]: expected shape \(2,\)"),
        (broken.PosteriorIgnoresY(), r"posterior_sample .* is not consistent with sample at t = "),
        (broken.PathShifted(), r"path_log_marginals of .* is not consistent with log_marginals"),
        (broken.WeightsUnnormalised(), r"log_weights is not normalised: the weights sum to 1.1"),
        (broken.TwoPoints(names=("a", "a")), r"names are not distinct"),
        (broken.TwoPoints(names=("a", "b", "c")), r"names has 3 entries: expected 2"),
        (broken.WithShortcuts(), r"cannot be evaluated under process BinarySymmetric"),
        (object(), r"subclass of sloc.Population"),
        (ill_formed.OneMore(), r"^OneMore\.num_components = 3: log_weights has 2 entries$"),
        (ill_formed.WeightsInARow(), r"^WeightsInARow\.log_weights has shape \(1, 2\): expected \(K,\)$"),
        (broken.TwoPoints(names=(1, 2)), r"^TwoPoints\.names are not strings: \(1, 2\)$"),
        (ill_formed.PathShape(), r"^PathShape\.path_log_marginals returns float32\[2\]: expected shape \(3, 2\)$"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_wrong_population_is_found(population, message):
    with pytest.raises(ConformanceError, match=message):
        check_population(population, BinarySymmetric(), times=TIMES)


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (
            ill_formed.MarginalsAtZero(),
            r"MarginalsAtZero\.log_marginals at t = 0 is \[nan\] for the sub-population a draw came from: it must be",
        ),
        (ill_formed.MarginalsElsewhere(value=np.nan), r"MarginalsElsewhere\.log_marginals at t = 0 has NaN or \+inf$"),
        (ill_formed.MarginalsElsewhere(value=np.inf), r"MarginalsElsewhere\.log_marginals at t = 0 has NaN or \+inf$"),
        (ill_formed.PathNotANumber(), r"^path_log_marginals of PathNotANumber under BinarySymmetric gives NaN$"),
        (
            ill_formed.PosteriorOf(change=lambda x: x[:2]),
            r"^PosteriorOf\.posterior_sample .* returns int32\[256, 2\] for 256 draws: sample returns int32\[256, 3\]$",
        ),
        (
            ill_formed.PosteriorOf(change=jnp.float32),
            r"posterior_sample .* returns float32\[256, 3\] for 256 draws: sample returns int32\[256, 3\]$",
        ),
        (ill_formed.RealPoints(), r"^RealPoints\.posterior_sample under BinarySymmetric gives NaN at t = 0$"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_answers_that_are_none_are_found(population, message):
    with pytest.raises(ConformanceError, match=message):
        check_population(population, BinarySymmetric(), times=[0.0, 0.1], draws=256)


def test_right_shortcuts_pass(pair):
    pair.paths(sampled_paths)
    pair.path(
        lambda process, population, key, x, times: jax.vmap(
            lambda t: population.log_marginals(process, process.sample(key, x, t), t) + 3.0
        )(times)
    )
    pair.reduce(lambda process, population: (process, population))
    report = check_population(broken.WithShortcuts(), BinarySymmetric(), times=TIMES)
    assert report.skipped == ["posterior_sample: not defined"]
    assert len(report.p_values) == 4


def test_wrong_paths_are_found(pair):
    pair.paths(lambda *args: sampled_paths(*args[:4], 0.7 * args[4]))
    with pytest.raises(ConformanceError, match=r"registered paths of .* is not consistent"):
        check_population(broken.WithShortcuts(), BinarySymmetric(), times=TIMES)


def test_paths_that_ignore_the_components_are_found(pair):
    pair.paths(lambda p, q, key, components, times: sampled_paths(p, q, key, jnp.zeros_like(components), times))
    with pytest.raises(ConformanceError, match=r"registered paths of .* is not consistent"):
        check_population(broken.WithShortcuts(), BinarySymmetric(), times=TIMES)


def test_paths_of_the_wrong_shape_are_found(pair):
    pair.paths(lambda *args: jnp.swapaxes(sampled_paths(*args), 0, 1))
    with pytest.raises(ConformanceError, match=r"has shape \(2, 3\) per draw: expected \(3, 2\)"):
        check_population(broken.WithShortcuts(), BinarySymmetric(), times=TIMES)


def test_wrong_reduce_is_found(pair):
    pair.reduce(lambda process, population: (process, broken.TwoPoints(population.share, 2)))
    with pytest.raises(ConformanceError, match=r"registered reduce of .* is not consistent"):
        check_population(broken.WithShortcuts(), BinarySymmetric(), times=TIMES)


def test_reduce_that_changes_the_weights_is_found(pair):
    pair.reduce(lambda process, population: (process, broken.TwoPoints(0.5, 3)))
    with pytest.raises(ConformanceError, match="changes log_weights"):
        check_population(broken.WithShortcuts(), BinarySymmetric(), times=TIMES)


def test_a_process_that_does_not_fit_is_found():
    with pytest.raises(ConformanceError, match=r"TwoPoints.log_marginals under VarianceExploding is not consistent"):
        check_population(broken.TwoPoints(), VarianceExploding(), times=np.asarray([0.5, 3.0]))
