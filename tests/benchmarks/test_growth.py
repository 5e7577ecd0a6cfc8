"""Fitted exponents, counted operations, and peers that are checked before they are timed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from benchmarks import atoms_growth, filters, samplers_clones
from benchmarks.explain import explain
from benchmarks.growth import exponent_row, exponents
from benchmarks.kernels import KERNELS
from benchmarks.operations import count_operations
from benchmarks.peers import clones
from benchmarks.timing import Timing


def test_exponents_are_fitted_round_by_round() -> None:
    sizes = {"a": 10.0, "b": 100.0, "c": 1000.0}
    timings = {name: Timing(0.0, (size**1.0, 3 * size**0.5, 2.0), 1.0) for name, size in sizes.items()}
    assert exponents(sizes, timings) == pytest.approx([1.0, 0.5, 0.0], abs=1e-12)
    row = exponent_row("growth", sizes, timings, 1.0)
    assert (row["value"], row["max"], row["expected"], row["rounds"]) == (
        pytest.approx(0.5),
        pytest.approx(1.0),
        1.0,
        3,
    )


def test_expected_growth_with_times_counts_low_rates() -> None:
    # As many low rates as twelve exponentials serve are taken one by one; beyond, all of them cost twelve.
    assert atoms_growth.passes(16) == 16
    a, sigma = sloc.processes.OrnsteinUhlenbeck().coefficients(sloc.processes.OrnsteinUhlenbeck().grid(64))
    low = int((0.5 * (2.53125 * a / sigma) ** 2 * 16 < 3).sum())
    assert 12 < low < 64
    assert atoms_growth.passes(64) == 64 - low + 12
    assert 0.9 < atoms_growth.expected("times", (256, 512, 1024)) < 1
    assert atoms_growth.expected("atoms", (30_000, 90_000)) == 1


def test_operations_count_loops_by_their_length() -> None:
    def body(c, _):
        return jnp.exp(c @ c) + 1.0, None

    counted = count_operations(lambda x: jax.lax.scan(body, x, None, length=5)[0], jnp.eye(4))
    assert counted.transcendentals == 5 * 16
    assert counted.flops == 5 * (2 * 4**3 + 16)
    assert counted.unknown_loops == 0
    assert (
        count_operations(lambda x: jax.lax.while_loop(lambda v: v[0] < 9, jnp.exp, x), jnp.ones(2)).unknown_loops == 1
    )


def test_a_kernel_is_explained() -> None:
    found = explain("OU; 2 Gaussians d = 64", 1)
    # One exponential for each trajectory and time at least.
    assert found.counted_transcendentals >= 64 * 1024
    assert min(found.flops, found.bytes, found.output_bytes, found.compile_seconds, found.run_seconds) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_is_explained(name: str) -> None:
    assert explain(name, 1).counted_flops > 0


@pytest.mark.slow
def test_both_ways_to_filter_give_the_library_s_numbers() -> None:
    assert sum(row["unit"] == "" for row in filters.rows(1, True)) == 3


def test_the_clone_experiment_has_its_closed_form() -> None:
    problem = clones.TwoClouds.make(4, 3)
    y = np.random.default_rng(0).normal(size=400_000)
    reach = 2 * np.exp(-problem.times)[:, None]
    p = 1 / (1 + np.exp(-2 * reach * (reach + y)))
    # Six standard errors of a mean of numbers between 1/2 and 1.
    np.testing.assert_allclose((p**2 + (1 - p) ** 2).mean(1), problem.exact(), atol=6 * 0.25 / 400_000**0.5)
    found = samplers_clones.own(problem, 1 << 14)()
    samplers_clones.check("sloc", np.asarray(found.value), problem.exact(), found.n, 0.0)
    with pytest.raises(AssertionError, match="phi is off"):
        samplers_clones.check("peer", problem.exact() + 0.1, problem.exact(), 1 << 14, 0.03)


@pytest.mark.slow
def test_pytorch_gives_the_same_clones() -> None:
    pytest.importorskip("torch")
    assert any("PyTorch, as written over sloc" in row["name"] for row in samplers_clones.rows(1, True))
