"""Betting intervals from one streamed pass: they cover, merge over devices and halves, and change no number but bands.

Coverage is tested at delta = 0.1 per curve: more than 40 of 200 curves left out at some time have binomial
probability 8e-6 at that level exactly, and 2e-11 at the 52 allowed here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm

import sloc
from sloc.contracts import InvalidInput
from sloc.divergence import bridge_overlap, mask_overlap
from sloc.divergence.histogram_betting import interval as histogram_interval
from sloc.divergence.measurement import assemble
from sloc.engine.streaming import count_traces, stream, tally
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrnsteinUhlenbeck, VarianceExploding
from tests.oracles.mixtures import Line

ROOT = Path(__file__).parents[2]
KEY = jax.random.key(3)
OU = OrnsteinUhlenbeck()
WEIGHTS, MEANS = [0.2, 0.5, 0.3], [-1.5, 0.5, 2.0]
THREE = GaussianMixture(WEIGHTS, np.asarray(MEANS)[:, None], 0.5)
TIMES = np.asarray([0.1, 0.4, 1.0])
EVERY = {
    "tv": sloc.TV(0, [1, 2]),
    "nested": sloc.TV(0, [0, 1]),
    "information": sloc.Information(),
    "labels": sloc.Labels(0),
    "clones": sloc.Clones(),
    "certificate": sloc.Certificate(0, [0, 1]),
}


def line(t: float) -> Line:
    return Line(WEIGHTS, MEANS, 0.5, float(np.exp(-t)), float(np.sqrt(-np.expm1(-2 * t))))


TRUTH = {
    "tv": lambda x: x.tv([0], [1, 2]),
    "nested": lambda x: x.tv([0], [0, 1]),
    "information": lambda x: x.information(),
    "labels": lambda x: x.labels([0]),
    "clones": lambda x: x.clones([0, 1, 2]),
    "certificate": lambda x: x.certificate([0], [0, 1]),
}


@pytest.mark.slow
@pytest.mark.parametrize(("interval", "words"), [("betting", "betting"), ("clopper-pearson", "Clopper-Pearson")])
def test_every_statistic_is_covered_and_keeps_its_values(interval: str, words: str) -> None:
    # Each curve is left out with probability at most 1e-10.
    asked = {"n": 8192, "delta": 1e-10, "method": "monte-carlo"}
    named = sloc.measure(KEY, OU, THREE, TIMES, EVERY, interval=interval, **asked)
    plain = sloc.measure(KEY, OU, THREE, TIMES, EVERY, **asked)
    for name, curve in named.items():
        truth = np.stack([TRUTH[name](line(t)) for t in TIMES])
        assert np.all(curve.lower <= truth + 1e-6), name
        assert np.all(truth - 1e-6 <= curve.upper), name
        # Same draws: the interval changes nothing else.
        np.testing.assert_allclose(curve.value, plain[name].value, rtol=0, atol=1e-6)
        np.testing.assert_allclose(curve.stderr, plain[name].stderr, rtol=1e-3)
        assert curve.n == plain[name].n
        assert (curve.method, plain[name].method) == (
            f"monte carlo, exact marginals, {words} interval",
            "monte carlo, exact marginals",
        )
        assert np.all(curve.upper - curve.lower < 0.5 * (1.6 if name == "information" else 1.0))


@pytest.mark.slow
def test_an_unbounded_statistic_has_no_interval() -> None:
    curve = sloc.measure(KEY, OU, THREE, TIMES, [sloc.KL(0, 1)], n=2048, interval="betting")[sloc.KL(0, 1)]
    assert np.all(curve.lower == 0)
    assert np.all(np.isinf(curve.upper))


@pytest.mark.slow
@pytest.mark.parametrize("times", [[0.05, 0.5, 1.5]])
def test_coverage(times: list[float]) -> None:
    truth = np.asarray([line(t).tv([0], [1, 2]) for t in times])
    misses, wide = 0, 0.0
    for seed in range(200):
        options = {"n": 1023, "delta": 0.1, "method": "monte-carlo"}
        c = sloc.tv_curve(jax.random.key(seed), OU, THREE, times, 0, [1, 2], interval="betting", **options)
        misses += bool(np.any((c.lower > truth + 1e-6) | (c.upper < truth - 1e-6)))
        wide += float(np.mean(c.upper - c.lower)) / 200
    assert binom.sf(52, 200, 0.1) < 1e-9
    assert misses <= 52
    assert wide < 0.35


def test_narrower_than_maurer_pontil_where_overlaps_are_small() -> None:
    far = GaussianMixture([0.5, 0.5], [[3.0], [-3.0]])
    asked = {"n": 4096, "method": "monte-carlo"}
    betting, plain = (sloc.tv(KEY, OU, far, 0.1, 0, 1, interval=i, **asked) for i in ("betting", "maurer-pontil"))
    assert betting.upper - betting.lower < 0.6 * (plain.upper - plain.lower)
    assert betting.lower <= 2 * norm.cdf(3 * np.exp(-0.1)) - 1 <= betting.upper


def assembled() -> tuple[Any, Any, Any]:
    population = THREE.canonical()
    whole = assemble(OU.canonical(), population, jnp.asarray(TIMES, jnp.float32), {"tv": EVERY["tv"].bind(population)})
    return whole.kernel, whole.args, KEY


def test_two_halves_of_a_run_are_the_run() -> None:
    one, counts = tally(*assembled(), 12)
    halves = [tally(*assembled(), 5)[1][0], tally(*assembled(), 7, first=5)[1][0]]
    np.testing.assert_array_equal(halves[0] + halves[1], counts[0])
    assert counts[0].dtype == np.int64
    assert np.all(counts[0].sum(-1) == int(one[0].count))
    np.testing.assert_array_equal(histogram_interval(halves[0] + halves[1], 0.05), histogram_interval(counts[0], 0.05))
    # Side by side, with blocks left over, and with progress: the same counts.
    seen = []
    again = tally(*assembled(), 12, tile=5, plan=sloc.Plan(progress=lambda done, total: seen.append((done, total))))[1][
        0
    ]
    assert np.abs(again - counts[0]).sum() <= 4  # a value's last digit may send it to the next edge
    assert seen[-1] == (12, 12)
    plain = stream(*assembled(), 12)[0]
    np.testing.assert_allclose(one[0].mean, plain.mean, rtol=0, atol=1e-6)


def test_one_compile_for_any_number_of_draws() -> None:
    tally(*assembled(), 3)
    compiled = count_traces()
    tally(*assembled(), 8, first=2)
    assert count_traces() == compiled


DEVICES = """
import json, jax, numpy as np, sloc
population = sloc.populations.GaussianMixture([.2, .5, .3], [[-1.5], [.5], [2.0]], .5)
def values(devices):
    curve = sloc.tv_curve(jax.random.key(3), sloc.processes.OrnsteinUhlenbeck(), population, [.1, .4, 1.], 0, [1, 2],
                          n=11000, interval="betting", method="monte-carlo", plan=sloc.Plan(devices=devices))
    return [np.asarray(v, np.float64).tolist() for v in (curve.lower, curve.upper, curve.value)]
print(json.dumps([values(d) for d in (1, 2, 8)]))
"""


@pytest.mark.slow
def test_eight_devices_give_the_interval_of_one() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    env["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    done = subprocess.run([sys.executable, "-c", DEVICES], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    one, *others = json.loads(done.stdout.splitlines()[-1])
    for other in others:
        # Counts are integers; only a value's last digit may differ between programs and move a count by an edge.
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_traced_it_is_the_same_interval() -> None:
    def ends(means: jax.Array) -> tuple[Any, Any]:
        mixture = GaussianMixture(jnp.asarray([0.3, 0.7], jnp.float32), means)
        curve = sloc.tv_curve(KEY, OU, mixture, [0.2, 0.9], 0, 1, n=4096, interval="betting", method="monte-carlo")
        return curve.lower, curve.upper

    means = jnp.asarray([[1.0], [-1.0]], jnp.float32)
    for inside, outside in zip(jax.jit(ends)(means), ends(means), strict=True):
        np.testing.assert_allclose(inside, outside, atol=2e-4)


def test_bridges_and_masks_take_it_too() -> None:
    alphas = np.asarray([1e-6, 1e-3])
    two = GaussianMixture([0.5, 0.5], [[0.0], [2.0]], 1e-12)
    curve = bridge_overlap(
        KEY, VarianceExploding(), two, 1 / norm.isf(alphas / 2), 0, 1, n=8192, delta=1e-10, interval="betting"
    )
    assert np.all((curve.lower <= alphas * (1 + 3e-6)) & (alphas * (1 - 3e-6) <= curve.upper))
    assert np.all(curve.upper < 1.4 * alphas)
    assert curve.method == "bridge, exact marginals, betting interval"
    words = Empirical([[0, 0, 1], [1, 0, 1], [1, 1, 0]], [0, 1, 1])
    masks = mask_overlap(KEY, Masking(), words, [0.5], 0, 1, n=4096, delta=1e-10, interval="betting")
    # Against the two others: the mask hides coordinate 0 (agree with the second), or all three.
    truth = 0.5 * 0.5 + 0.5 * 0.125
    assert masks.lower[0] <= truth <= masks.upper[0]
    assert masks.upper[0] - masks.lower[0] < 0.1


@pytest.mark.parametrize("value", ["normal", None, 3])
def test_unknown_intervals_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"interval = .*one of maurer-pontil, betting, clopper-pearson"):
        sloc.measure(KEY, OU, THREE, TIMES, EVERY, n=64, interval=value)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="interval = "):
        sloc.tv(KEY, OU, THREE, 0.1, 0, 1, n=64, interval=value)  # pyright: ignore[reportArgumentType]
