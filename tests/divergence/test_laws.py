"""Laws that hold for every mixture, checked on random ones with one compiled shape.

False-alarm rate: 12 examples, each with fewer than 40 bands at 1e-11 and z-tests at 7 sigma (2.6e-12): below 1e-8.
"""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

import sloc
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck
from sloc.windows import hellinger_bound
from tests.oracles import channels, mixtures

TIMES = np.array([0.1, 0.5, 1.2, 2.5])
N, DELTA = 1 << 14, 1e-11
NAMED = {
    "tv": sloc.TV(0, 1),
    "tv sets": sloc.TV([0, 1], 2),
    "tv nested": sloc.TV(0, [0, 1]),
    "labels 0": sloc.Labels(0),
    "labels 1": sloc.Labels(1),
    "labels 01": sloc.Labels([0, 1]),
    "loss 01": sloc.Misassignment([0, 1]),
    "certificate": sloc.Certificate(0, [0, 1]),
    "information": sloc.Information(),
    "clones": sloc.Clones(),
}
weight = st.floats(0.1, 1.0)
place = st.floats(-3.0, 3.0)
mixture = st.tuples(
    st.tuples(weight, weight, weight),
    st.tuples(place, place, place),
    st.tuples(weight, weight, weight),
    st.integers(0, 2**31 - 1),
)


@hypothesis.settings(max_examples=12)
@hypothesis.given(mixture)
def test_laws_of_a_random_mixture(drawn):
    raw, m, v, seed = drawn
    w = np.array(raw) / sum(raw)
    population = GaussianMixture(w, np.reshape(m, (3, 1)), np.reshape(v, (3, 1, 1)))
    c = sloc.measure(
        jax.random.key(seed), OrnsteinUhlenbeck(), population, TIMES, NAMED, n=N, delta=DELTA, method="monte-carlo"
    )
    lines = [mixtures.Line(w, m, v, *channels.ornstein_uhlenbeck(t)) for t in TIMES]

    # Data processing: a decreasing curve fits into each band of a quantity that never increases.
    for name in ("tv", "tv sets", "tv nested", "information", "clones"):
        assert np.all(np.diff(c[name].lower) <= 1e-12), name
        assert np.all(np.diff(c[name].upper) <= 1e-12), name
        assert np.all(c[name].lower <= c[name].upper), name

    # Rows of labels are laws; they agree with the loss and with each other.
    for name in ("labels 0", "labels 1", "labels 01"):
        np.testing.assert_allclose(c[name].value.sum(1), 1, atol=1e-5)
    mixed = (w[0] * c["labels 0"].value + w[1] * c["labels 1"].value) / (w[0] + w[1])
    np.testing.assert_allclose(c["labels 01"].value, mixed, atol=1e-5)
    np.testing.assert_allclose(1 - c["labels 01"].value[:, :2].sum(1), c["loss 01"].value, atol=1e-5)

    # Detailed balance: w_0 E_0[pi_1] = w_1 E_1[pi_0], measured both ways.
    left, right = w[0] * c["labels 0"].value[:, 1], w[1] * c["labels 1"].value[:, 0]
    spread = np.hypot(w[0] * c["labels 0"].stderr[:, 1], w[1] * c["labels 1"].stderr[:, 0])
    assert np.all(np.abs(left - right) <= 7 * spread + 1e-6)
    assert np.all(w[0] * c["labels 0"].lower[:, 1] <= w[1] * c["labels 1"].upper[:, 0] + 1e-6)
    assert np.all(w[1] * c["labels 1"].lower[:, 0] <= w[0] * c["labels 0"].upper[:, 1] + 1e-6)

    # The certificate is the sum of its parts, above the label bound; the loss lies between its closed forms.
    np.testing.assert_allclose(c["certificate"].value, c["tv nested"].value + c["loss 01"].value, atol=2e-5)
    target, ratio = np.append(w[:2], 0) / w[:2].sum(), w[2] / w[:2].sum()
    bound = hellinger_bound(OrnsteinUhlenbeck(), population, [0, 1], TIMES).value
    for i, line in enumerate(lines):
        alpha, loss, certificate = 1 - line.tv([0, 1], [2]), line.misassignment([0, 1]), line.certificate([0], [0, 1])
        assert 0.5 * min(1, ratio) * alpha - 1e-6 <= loss <= max(1, ratio) * (alpha - alpha**2 / 2) + 1e-6
        assert 0.5 * np.abs(line.labels([0]) - target).sum() <= certificate + 1e-6
        assert loss <= bound[i] + 1e-6
        assert c["certificate"].lower[i] - 1e-5 <= certificate <= c["certificate"].upper[i] + 1e-5
        assert c["loss 01"].lower[i] - 1e-5 <= loss <= c["loss 01"].upper[i] + 1e-5
        # Theorem 2 at this time, with the smallest epsilon that lets it speak.
        epsilon = max(line.tv([0], [0, 1]), np.sqrt(alpha))
        if epsilon < 1:
            assert certificate <= epsilon + max(1, ratio) * (epsilon**2 - epsilon**4 / 2) + 1e-6
            assert certificate <= epsilon * (1 + max(1, ratio) / np.sqrt(2)) + 1e-6


def test_equal_sets_are_at_distance_zero_and_a_set_and_itself_too():
    population = GaussianMixture([0.2, 0.3, 0.5], [[0.0], [1.0], [3.0]])
    curve = sloc.tv_curve(jax.random.key(0), OrnsteinUhlenbeck(), population, [0.5], [0, 1], [1, 0], n=16)
    assert curve.value[0] == 0
    sampled = sloc.tv_curve(
        jax.random.key(0), OrnsteinUhlenbeck(), population, [0.5], [0, 1], [1, 0], n=16, method="monte-carlo"
    )
    assert sampled.value[0] == sampled.lower[0] == sampled.upper[0] == 0


@pytest.mark.slow
def test_simultaneous_bands_cover():
    # 400 runs; a band of level .1 over 3 times and 4 curves.  Covering with probability .9 or more leaves at most 85
    # misses except with probability 5e-12 (binomial tail at p = .1), so 4 curves: 2e-11.
    population = GaussianMixture([0.3, 0.7], [[1.0], [-1.0]], [[[0.5]], [[2.0]]])
    times = np.array([0.05, 0.5, 2.0])
    named = {"tv": sloc.TV(0, 1), "loss": sloc.Misassignment(0), "labels": sloc.Labels(1), "info": sloc.Information()}
    lines = [mixtures.Line([0.3, 0.7], [1.0, -1.0], [0.5, 2.0], *channels.ornstein_uhlenbeck(t)) for t in times]
    truth = {
        "tv": [x.tv([0], [1]) for x in lines],
        "loss": [x.misassignment([0]) for x in lines],
        "labels": [x.labels([1]) for x in lines],
        "info": [x.information() for x in lines],
    }
    misses = dict.fromkeys(named, 0)
    for seed in range(400):
        curves = sloc.measure(jax.random.key(seed), OrnsteinUhlenbeck(), population, times, named, n=512, delta=0.1)
        for name, curve in curves.items():
            inside = (curve.lower <= truth[name]) & (np.asarray(truth[name]) <= curve.upper)
            misses[name] += not inside.all()
    assert max(misses.values()) <= 85


@pytest.mark.slow
def test_stated_errors_are_the_spread_of_the_values():
    population = GaussianMixture([0.3, 0.7], [[1.0], [-1.0]], [[[0.5]], [[2.0]]])
    line = mixtures.Line([0.3, 0.7], [1.0, -1.0], [0.5, 2.0], *channels.ornstein_uhlenbeck(0.5))
    exact = line.tv([0], [1])
    z = []
    for seed in range(400):
        e = sloc.tv(jax.random.key(seed), OrnsteinUhlenbeck(), population, 0.5, 0, 1, n=1024)
        z.append((e.value - exact) / e.stderr)
    # The mean of 400 standard normals has spread .05, their standard deviation .035: 7 sigma each, 5e-12.
    assert abs(np.mean(z)) < 0.35
    assert abs(np.std(z) - 1) < 0.25
