"""Forward–reverse and clone experiments against label laws, enumeration and the population itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.engine.streaming import count_traces
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrnsteinUhlenbeck
from sloc.samplers import clone_frequencies, exact_localizer, label_frequencies
from sloc.testing import assert_same_law
from tests.samplers.laws import FALSE_ALARM, assert_frequencies, features, forward

MEANS = np.array([[2.0, 0.0], [-1.0, 1.5], [-1.0, -2.0]])
MIXTURE = GaussianMixture([0.2, 0.5, 0.3], MEANS, 0.7)
TIMES, N, REFERENCE = [0.1, 0.6, 1.5], 20_480, 1 << 18
OU = OrnsteinUhlenbeck()


@pytest.fixture(scope="module")
def drawn():
    """Labels and samples of one experiment over all sub-populations, two clones."""
    return sloc.forward_reverse(jax.random.key(0), OU, MIXTURE, [0, 1, 2], TIMES, n=N, clones=2)


def test_shapes(drawn):
    labels, samples = drawn
    assert labels.shape == (3, N, 2)
    assert labels.dtype == np.int32
    assert samples.shape == (3, N, 2, 2)


def test_from_everywhere_the_law_of_the_population_comes_back(drawn):
    # p^{Theta, t} = p, jointly with the label, at every t.
    labels, samples = drawn
    component, x, _ = forward(jax.random.key(5), OU, MIXTURE.canonical(), jnp.float32(1), N)
    want = features(component, x, 3)
    for i in range(len(TIMES)):
        assert_same_law(features(labels[i, :, 0], samples[i, :, 0], 3), want, false_alarm=FALSE_ALARM)
        assert_frequencies(np.bincount(labels[i, :, 1], minlength=3), [0.2, 0.5, 0.3])


@pytest.fixture(scope="module")
def exact():
    """The library's own curves, which need no reverse draw."""
    statistics = {"labels": sloc.Labels(0), "clones": sloc.Clones()}
    return sloc.measure(jax.random.key(1), OU, MIXTURE, TIMES, statistics, n=REFERENCE, delta=1e-9)


def test_clones_agree_as_often_as_their_posterior_says(drawn, exact):
    # Each within 6.5 standard errors: 3 times 8e-11.
    labels, want = drawn[0], exact["clones"]
    share = (labels[..., 0] == labels[..., 1]).mean(1)
    allowed = 6.5 * np.sqrt(share * (1 - share) / N + np.asarray(want.stderr) ** 2)
    assert (np.abs(share - want.value) <= allowed).all()


def test_labels_have_the_law_of_label_curve(drawn, exact):
    found, want = label_frequencies(jax.random.key(2), OU, MIXTURE, 0, TIMES, n=N, delta=1e-9), exact["labels"]
    assert found.n == N
    assert found.labels == want.labels
    assert found.delta == 1e-9
    for i in range(len(TIMES)):
        assert_frequencies(np.round(found.value[i] * N), np.asarray(want.value[i], float), REFERENCE)
    # Bands at 1e-9 (Clopper and Pearson; Maurer and Pontil) meet.
    assert (found.lower <= want.upper).all()
    assert (want.lower <= found.upper).all()
    # The trajectories that are counted are those that forward_reverse returns.
    counted = label_frequencies(jax.random.key(0), OU, MIXTURE, [0, 1, 2], TIMES, n=N)
    counts = [np.bincount(row, minlength=3) for row in drawn[0][:, :, 0]]
    np.testing.assert_array_equal(np.round(counted.value * N), counts)


def test_more_draws_begin_with_the_same_ones(drawn):
    labels, samples = sloc.forward_reverse(jax.random.key(0), OU, MIXTURE, [0, 1, 2], TIMES, n=1_500, clones=2)
    np.testing.assert_array_equal(labels, drawn[0][:, :1_500])
    np.testing.assert_array_equal(samples, drawn[1][:, :1_500])


@pytest.mark.slow
def test_counted_clones_are_those_of_the_experiment(drawn):
    found = clone_frequencies(jax.random.key(0), OU, MIXTURE, TIMES, n=N)
    share = (drawn[0][..., 0] == drawn[0][..., 1]).mean(1)
    np.testing.assert_allclose(found.value, share, rtol=0, atol=1e-9)
    assert (found.lower < share).all()
    assert (share < found.upper).all()


@pytest.mark.slow
def test_one_time_and_another_tile_give_the_same_draws(drawn):
    labels, samples = sloc.forward_reverse(
        jax.random.key(0), OU, MIXTURE, [0, 1, 2], 0.6, n=3_000, plan=sloc.Plan(block=1024)
    )
    assert labels.shape == (3_000,)
    assert samples.shape == (3_000, 2)
    np.testing.assert_array_equal(labels, drawn[0][1, :3_000, 0])
    np.testing.assert_allclose(samples, drawn[1][1, :3_000, 0], rtol=0, atol=1e-5)
    again, nothing = sloc.forward_reverse(jax.random.key(0), OU, MIXTURE, [0, 1, 2], 0.6, n=99, samples=False)
    assert nothing is None
    np.testing.assert_array_equal(again, labels[:99])


TRACES = 0


def parity(x):
    """Label a word by its parity, and count how often this is traced."""
    global TRACES
    TRACES += 1
    return jnp.sum(x) % 2


WORDS = np.array([[0, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 1]], np.int32)
CLASSES = [0, 1, 0, 1, 0]


def enumerate_parity(t: float) -> float:
    """Exact ``P(parity of X' = 1 | start in class 1)``, masking: a sum over the 16 sets that are seen."""
    weights = np.where(np.asarray(CLASSES) == 0, 0.4 / 3, 0.6 / 2)
    total = 0.0
    for seen in np.ndindex(2, 2, 2, 2):
        known = np.asarray(seen, bool)
        mass = np.prod(np.where(known, 1 - t, t))
        for start in (1, 3):
            agree = (WORDS[:, known] == WORDS[start, known]).all(1)
            posterior = weights * agree / (weights * agree).sum()
            total += 0.5 * mass * posterior @ (WORDS.sum(1) % 2)
    return total


def test_features_of_atoms_against_enumeration():
    atoms = Empirical(WORDS, CLASSES, [0.4, 0.6])
    times = [0.0, 0.3, 0.7, 1.0]
    found = label_frequencies(jax.random.key(3), Masking(), atoms, "1", times, n=N, feature=parity, num_labels=2)
    before = TRACES
    for i, t in enumerate(times):
        want = enumerate_parity(t)
        assert_frequencies(np.round(found.value[i] * N), [1 - want, want])
    other = Empirical(WORDS[:, ::-1], CLASSES, [0.5, 0.5])
    label_frequencies(
        jax.random.key(4), Masking(), other, 0, np.add(times, [0.1, 0, 0, -0.1]), n=99, feature=parity, num_labels=2
    )
    assert before == TRACES, "other parameters compiled anew"


@pytest.mark.slow
def test_step_by_step_has_the_law_of_the_single_draw():
    localizer = exact_localizer(OU, MIXTURE)
    single = sloc.forward_reverse(jax.random.key(8), OU, MIXTURE, [0, 2], TIMES, n=N)
    stepped = sloc.forward_reverse(
        jax.random.key(9), OU, MIXTURE, [0, 2], TIMES, n=N, localizer=localizer, grid=[0.05, 0.3, 0.6, 1.0]
    )
    for i in range(len(TIMES)):
        first, second = (np.concatenate([x[i], l[i][:, None] == np.arange(3)], axis=1) for l, x in (single, stepped))
        assert_same_law(first, second, false_alarm=FALSE_ALARM)


def test_scattered_counts_are_the_compared_ones():
    from sloc.samplers.experiment_kernel import ExperimentKernel

    labels = jnp.asarray(np.random.default_rng(0).integers(-1, 70, (1_024, 1)), jnp.int32)
    compared = ExperimentKernel(1, None, "frequencies", 63, 1).reduced(labels)
    scattered = ExperimentKernel(1, None, "frequencies", 64, 1).reduced(labels)
    np.testing.assert_array_equal(compared[:63], scattered[:63])
    # The last row holds what is outside, so that none is lost.
    each = np.bincount(np.clip(labels[:, 0], -1, 63) + 1)
    np.testing.assert_array_equal(compared[:, 0] * 1_024, [*each[1:64], each[0] + each[64]])
    np.testing.assert_array_equal([compared.sum(), scattered.sum()], 1.0)


TRACED = []


def counted_side(x):
    """Label a sample by the sign of its first number; runs once for each trace."""
    TRACED.append(x)
    return (x[0] > 0).astype(jnp.int32)


@pytest.mark.slow
def test_other_times_and_parameters_do_not_trace_again():
    def run(population, times):
        label_frequencies(jax.random.key(0), OU, population, 0, times, n=1024)
        sloc.forward_reverse(jax.random.key(0), OU, population, 0, times, n=1024, feature=counted_side, samples=False)
        return count_traces(), len(TRACED)

    before, first = count_traces(), run(MIXTURE, [0.1, 0.6])
    assert first[0] == before + 1
    assert first[1] > 0
    assert run(GaussianMixture([0.1, 0.6, 0.3], MEANS + 1, 0.4), [0.3, 2.0]) == first
