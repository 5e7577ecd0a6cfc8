"""Retimed, permuted, composed and product processes: families kept, laws equal to what they combine, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import (
    ContractError,
    GaussianChannel,
    InvalidInput,
    LinearGaussianChannel,
    MemorylessChannel,
    ObservationProcess,
    RevealingChannel,
    overrides,
)
from sloc.processes import (
    BinarySymmetric,
    Composed,
    Erasure,
    FlowMatching,
    Function,
    HalfSpace,
    LinearGaussian,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Permuted,
    Poisson,
    Power,
    Product,
    Projected,
    RateMatrix,
    Retimed,
    Steps,
    Table,
    Truncation,
    UniformCTMC,
    VarianceExploding,
)
from tests.processes.heads import BITS, HEADS
from tests.samplers.laws import assert_frequencies

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4))
KEY = jax.random.key(0)
ATOMS = sloc.populations.Empirical([[0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]])
PAIR = sloc.populations.GaussianMixture([0.4, 0.6], [[1.0, 0.0], [-1.0, 0.5]], 0.3)

# --------------------------------------------------------------------------------------------
# Another time
# --------------------------------------------------------------------------------------------

CLOCKS = {
    "power": (Power(2.0, 0.5), lambda t: 0.5 * t**2),
    "table": (Table([0.0, 1.0, 3.0], [0.0, 0.5, 0.9]), lambda t: np.interp(t, [0, 1, 3], [0, 0.5, 0.9])),
    "function": (Function(lambda t: t / (1 + t), lambda u: u / (1 - u)), lambda t: t / (1 + t)),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_clocks(name):
    clock, truth = CLOCKS[name]
    t = np.asarray([0.05, 0.4, 1.2])
    np.testing.assert_allclose(clock(t), truth(t), rtol=1e-14)
    np.testing.assert_allclose(clock.inverse(truth(t)), t, rtol=1e-12)
    assert clock(t).dtype == np.float64
    found = clock.canonical()(jnp.asarray(t, jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, truth(t), rtol=1e-6)


@pytest.mark.parametrize(
    ("process", "family"),
    [
        (OrnsteinUhlenbeck(), GaussianChannel),
        (LinearGaussian(A), LinearGaussianChannel),
        (Masking(), RevealingChannel),
        (BinarySymmetric(), MemorylessChannel),
        (UniformCTMC(3), MemorylessChannel),
    ],
)
def test_families_are_kept(process, family):
    size = 4
    assert isinstance(Retimed(process, Power()), family)
    assert isinstance(Retimed(Retimed(process, Power()), Power(2.0)), family)
    assert isinstance(Permuted(process, np.arange(size)), family)
    again = jax.tree.unflatten(*reversed(jax.tree.flatten(Retimed(process, Power()))))
    assert type(again) is type(Retimed(process, Power()))


def test_retimed_closed_forms_are_those_of_the_inner_time():
    t, u = 0.8, 0.5 * 0.8**2
    retimed = sloc.tv(KEY, Retimed(OrnsteinUhlenbeck(), Power(2.0, 0.5)), PAIR, t, 0, 1, n=64)
    inner = sloc.tv(KEY, OrnsteinUhlenbeck(), PAIR, u, 0, 1, n=64)
    assert retimed.method == "exact"
    np.testing.assert_allclose(retimed.value, inner.value, rtol=1e-6)
    clock = Table([0.0, 2.0], [0.0, 0.8])
    masked = sloc.tv(KEY, Retimed(Masking(), clock), ATOMS, 1.5, 0, 1, n=64)
    assert masked.method == "exact"
    np.testing.assert_allclose(masked.value, 1 - 0.6**2, rtol=1e-6)


def test_posterior_in_other_time():
    y = jnp.asarray([1, 0, 1, 1], jnp.int32)
    retimed = sloc.posterior(Retimed(BinarySymmetric(), Table([0.0, 10.0], [0.0, 0.5])), ATOMS, y, 4.0)
    np.testing.assert_allclose(retimed, sloc.posterior(BinarySymmetric(), ATOMS, y, 0.2), rtol=1e-6)


def test_a_table_that_stops_short():
    process: Any = Retimed(FlowMatching(), Table([0.0, 1.0], [0.1, 0.6]))
    assert process.horizon == 1.0
    grid = process.grid(7)
    a, sigma = process.coefficients(grid)
    np.testing.assert_allclose(np.diff(2 * np.log(a / sigma)), np.diff(2 * np.log(a / sigma)).mean(), rtol=1e-6)
    assert 0 < grid[0] < 1e-5
    assert 0.999 < grid[-1] <= 1.0
    masks: Any = Retimed(Masking(), Table([0.0, 1.0], [0.0, 0.5])).canonical()
    thresholds = np.asarray(masks.thresholds(KEY, jnp.zeros(4000, jnp.int32)))
    # Half of the coordinates are never hidden; Hoeffding: off by 0.06 with probability 2 exp(-28.8) < 1e-12.
    assert abs(np.isinf(thresholds).mean() - 0.5) < 0.06
    last = masks.sample(KEY, jnp.zeros(4000, jnp.int32), jnp.float32(1.0)).known
    np.testing.assert_array_equal(last, np.isinf(thresholds))
    assert np.all(np.diff(masks.grid(9)) > 0)
    assert masks.grid(9).size == 9


def test_some_steps_only():
    process: Any = Retimed(Truncation(5), Steps([0, 2, 3, 5])).canonical()
    x = jnp.arange(5, dtype=jnp.int32)
    assert process.discrete
    assert process.reveals_prefix
    np.testing.assert_array_equal(process.grid(9), [0, 1, 2, 3])
    for step, hidden in enumerate([0, 2, 3, 5]):
        known = process.sample(KEY, x, jnp.int32(step)).known
        np.testing.assert_array_equal(known, np.arange(5) < 5 - hidden)
        assert process.log_mask_prob(known, jnp.int32(step)) == 0.0
        assert process.count_law(5, step)[0] == [5 - hidden]
    early: Any = Retimed(Truncation(5), Steps([0, 2])).canonical()
    np.testing.assert_array_equal(
        early.thresholds(KEY, x), [2, 2, 2, 1, 1]
    )  # beyond the last step, 1, where it is never hidden


def test_parameters_of_a_clock_do_not_recompile():
    traces = []

    @jax.jit
    def run(process, t):
        traces.append(1)
        return process.coefficients(t)[0]

    for exponent in (1, 2.0, np.float32(3)):
        process = Retimed(OrnsteinUhlenbeck(), Power(exponent)).canonical()
        np.testing.assert_allclose(run(process, jnp.float32(0.5)), np.exp(-(0.5 ** float(exponent))), rtol=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("process", "clock", "message"),
    [
        (OrnsteinUhlenbeck(), Power(-1.0), "exponent = -1.0: expected a positive number, so that"),
        (OrnsteinUhlenbeck(), Power(1.0, 0.0), "scale = 0.0: expected a positive number"),
        (OrnsteinUhlenbeck(), Power([1.0, 2.0]), "exponent = .*one number"),
        (OrnsteinUhlenbeck(), Table([0.0, 1.0], [1.0, 1.0]), "old = .*strictly increasing times"),
        (OrnsteinUhlenbeck(), Table([0.0, 2.0, 1.0], [0.0, 1.0, 2.0]), "new = .*strictly increasing times"),
        (OrnsteinUhlenbeck(), Table([0.0, 1.0], [0.0, 1.0, 2.0]), "new, old = .*one shape"),
        (OrnsteinUhlenbeck(), Table([0.5, 1.0], [0.0, 1.0]), r"new\[0\] = 0.5: expected 0"),
        (OrnsteinUhlenbeck(), Table([0.0], [0.0]), "at least two knots"),
        (OrnsteinUhlenbeck(), Table([0.0, 1.0], [-1.0, 1.0]), "not negative"),
        (FlowMatching(), Table([0.0, 1.0], [0.0, 2.0]), "up to the horizon of the process, 1"),
        (
            OrnsteinUhlenbeck(),
            Function(lambda t: 1 / t, lambda u: 1 / u),
            "a decreasing function': expected a strictly",
        ),
        (VarianceExploding(), Function(np.sin, lambda u: np.abs(u - 1)), r"backward = .* at .*strictly increasing"),
        (VarianceExploding(), Function(lambda t: 2 * t, lambda u: u), "the inverse of clock.backward"),
        (VarianceExploding(), Function(lambda t: t + 1, lambda u: u - 1), "finite times, not negative"),
        (OrnsteinUhlenbeck(), Function(1, 2), "forward = 1: expected a function of time"),  # pyright: ignore[reportArgumentType]
        (Truncation(4), Power(), "expected Steps"),
        (OrnsteinUhlenbeck(), Steps([0, 1]), "not Steps"),
        (Truncation(4), Steps([0, 3, 2]), "strictly increasing times"),
        (Truncation(4), Steps([0, 5]), "up to the horizon"),
        (Truncation(4), Steps([0.0, 1.5]), "whole numbers"),
        (Truncation(4), Steps([1, 2]), r"old\[0\] = 1: expected 0"),
        (OrnsteinUhlenbeck(), lambda t: t, "expected a clock"),
        (3, Power(), "process = 3: expected an observation process"),
    ],
)
def test_bad_time_changes_are_refused(process, clock, message):
    with pytest.raises(InvalidInput, match=message):
        Retimed(process, clock).validate()


def same(u):
    return u


def dip(width):
    return Function(lambda t: t + 0.3 * np.exp(-(((t - 0.612) / width) ** 2)), same)


BACK = Function(lambda t: np.where(t < 20.0, t, 40.0 - t), same)
WAYS = {
    "tv": lambda process, t: sloc.tv(KEY, process, PAIR, t, 0, 1, n=1024),
    "curve": lambda process, t: sloc.tv_curve(KEY, process, PAIR, [0.1, t], 0, 1, n=1024),
    "window": lambda process, t: sloc.critical_window(KEY, process, PAIR, 0, [0, 1], epsilon=0.1, times=[0.1, t]),
    "localize": lambda process, t: sloc.localize(KEY, process, PAIR, grid=[0.1, t], n=4),
    "experiment": lambda process, t: sloc.forward_reverse(KEY, process, PAIR, 0, t, n=4),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("clock", [dip(0.005), BACK], ids=["dips", "turns back"])
@pytest.mark.parametrize("outer", [lambda p: p, lambda p: Permuted(p, [1, 0]), lambda p: Projected(p, [[1.0, 1.0]])])
def test_clocks_that_fall_between_the_times_of_the_grid_are_refused(way, clock, outer):
    process = outer(Retimed(OrnsteinUhlenbeck(), clock))
    with pytest.raises(InvalidInput, match=r"clock\.forward = .* at .*: expected a strictly increasing"):
        WAYS[way](process, 0.5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("outer", [lambda p: p, lambda p: Permuted(p, [1, 0]), lambda p: Product((p, p), ((0,), (1,)))])
def test_a_narrow_dip_is_refused_at_a_time_that_is_asked_for(way, outer):
    process = outer(Retimed(OrnsteinUhlenbeck(), dip(1e-6)))
    WAYS["tv"](process, 0.5)
    with pytest.raises(InvalidInput, match=r"times? = |t = |grid = |clock"):
        WAYS[way](process, 0.612)


@pytest.mark.parametrize(
    ("process", "forward", "backward", "times"),
    [
        (Masking(), lambda t: -np.expm1(-t), lambda u: -np.log1p(-u), [0.0, 1e-6, 0.5, 8.0, 40.0, 700.0]),
        (Masking(), lambda t: -jnp.expm1(-t), lambda u: -jnp.log1p(-u), [0.0, 1e-3, 0.5, 8.0, 16.0]),
        (Masking(), lambda t: t / (1 + t), lambda u: u / (1 - u), [0.0, 1e-6, 1.0, 1e9]),
        (OrnsteinUhlenbeck(), np.expm1, np.log1p, [1e-9, 0.5, 3.0, 500.0]),
        (OrnsteinUhlenbeck(), lambda t: 9 * np.tanh(t / 9), lambda u: 9 * np.arctanh(u / 9), [1e-9, 1.0, 500.0]),
        (OrnsteinUhlenbeck(), jnp.tan, jnp.arctan, [1e-4, 0.5, 1.5]),
        (VarianceExploding(), jnp.square, jnp.sqrt, [1e-4, 0.5, 1e6]),
        (BinarySymmetric(), lambda t: -0.5 * np.expm1(-t), lambda u: -np.log1p(-2 * u), [0.0, 1e-6, 0.5, 60.0]),
    ],
)
def test_clocks_that_round_at_their_ends_are_taken(process, forward, backward, times):
    retimed = Retimed(process, Function(forward, backward))
    retimed.validate()
    retimed._check_times(np.asarray(times), "times")


# --------------------------------------------------------------------------------------------
# Another order
# --------------------------------------------------------------------------------------------


def test_permuted_truncation_is_ordered_masking():
    order = np.asarray([2, 0, 3, 1])
    permuted: Any = Permuted(Truncation(4), order).canonical()
    ordered = OrderedMasking(order[::-1]).canonical()
    x = jnp.asarray([[5, 6], [7, 8]], jnp.int32)
    np.testing.assert_array_equal(permuted.thresholds(KEY, x), ordered.thresholds(KEY, x))
    for t in range(5):
        y = permuted.sample(KEY, x, jnp.int32(t))
        assert permuted.log_prob(y, x, jnp.int32(t)) == 0.0
        marked = np.asarray([True, False, False, True])
        assert permuted.hidden_probability(marked, t) == ordered.hidden_probability(marked, t)
    assert not permuted.reveals_prefix


def test_permuted_likelihoods():
    order, t = np.asarray([2, 0, 3, 1]), jnp.float32(0.4)
    x, y = jnp.asarray(RNG.normal(size=4), jnp.float32), jnp.asarray(RNG.normal(size=3), jnp.float32)
    linear = LinearGaussian(A)
    found = Permuted(linear, order).canonical().log_prob(y, x, t)
    np.testing.assert_allclose(found, linear.canonical().log_prob(y, x[order], t), rtol=1e-5)
    permuted: Any = Permuted(linear, order)
    np.testing.assert_allclose(permuted.matrices(0.4)[0] @ np.asarray(x), A @ np.asarray(x)[order], 1e-5)
    erased: Any = Permuted(Erasure([0.5, 1.0, 2.0, 4.0]), order)
    marked = np.asarray([True, False, False, True])
    # Coordinate 0 of x comes second, coordinate 3 third: their exponents are 1 and 2.
    assert erased.hidden_probability(marked, 0.5) == pytest.approx(0.5**3)


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [0.0, 1.0], [[0, 1], [1, 0]]])
def test_an_order_must_be_a_permutation(order):
    with pytest.raises(InvalidInput, match="order"):
        Permuted(OrnsteinUhlenbeck(), order).validate()


def test_sizes_of_an_order_must_agree():
    with pytest.raises(InvalidInput, match="3 coordinates"):
        Permuted(Masking(), np.asarray([0, 2, 1])).canonical().sample(KEY, jnp.zeros(4), jnp.float32(0.5))


# --------------------------------------------------------------------------------------------
# Side by side
# --------------------------------------------------------------------------------------------


def test_a_product_of_masks_is_erasure():
    # Masking in the time t^c hides with probability t^c.
    parts = (Retimed(Masking(), Power(0.5)), Masking(), Retimed(Masking(), Power(3.0)))
    groups, exponents = ((3, 1), (0,), (2,)), np.asarray([1.0, 0.5, 3.0, 0.5])
    product: Any = Product(parts, groups)
    erasure: Any = Erasure(exponents)
    assert type(product).__name__ == "ProductRevealing"
    t, marked = 0.3, np.asarray([True, True, False, False])
    assert product.hidden_probability(marked, t) == pytest.approx(erasure.hidden_probability(marked, t))
    laws = product.count_law(4, t), erasure.count_law(4, t)
    np.testing.assert_allclose(laws[0][1], laws[1][1], rtol=1e-12)
    known = jnp.asarray([True, False, False, True])
    found = product.canonical().log_mask_prob(known, jnp.float32(t))
    np.testing.assert_allclose(found, erasure.canonical().log_mask_prob(known, jnp.float32(t)), rtol=1e-5)
    exact = sloc.tv(KEY, product, ATOMS, t, 0, 1, n=64)  # atoms 0 and 1 differ in coordinates 1 and 3
    assert exact.method == "exact"
    np.testing.assert_allclose(exact.value, 1 - t ** (0.5 + 0.5), rtol=1e-6)


def test_a_product_of_gaussians_is_linear_gaussian():
    product, t = Product((FlowMatching(), OrnsteinUhlenbeck()), ((0, 2), (1,))), 0.4
    assert isinstance(product, LinearGaussianChannel)
    signal, noise = product.matrices(t)
    np.testing.assert_allclose(np.diagonal(signal), [0.6, np.exp(-0.4), 0.6], rtol=1e-14)
    np.testing.assert_allclose(np.diagonal(noise), [0.16, 1 - np.exp(-0.8), 0.16], rtol=1e-14)
    step, root = product.kernel(0.2, t)
    np.testing.assert_allclose(step @ product.matrices(0.2)[0], signal, rtol=1e-13)
    np.testing.assert_allclose(step @ product.matrices(0.2)[1] @ step.T + root @ root.T, noise, rtol=1e-12)
    assert product.horizon == np.inf
    # Flow matching ends at 1 and stays there.
    np.testing.assert_allclose(product.matrices(3.0)[0][0, 0], 0.0)
    np.testing.assert_allclose(product.kernel(2.0, 3.0)[0][0, 0], 1.0)


def test_different_leaves():
    process = Product({"bits": BinarySymmetric(), "pixels": VarianceExploding()}).canonical()
    x = {"bits": jnp.asarray([0, 1], jnp.int32), "pixels": jnp.asarray([0.5, 1.0, 2.0])}
    t = jnp.float32(0.3)
    y = process.sample(KEY, x, t)
    expected = BinarySymmetric().log_prob(y["bits"], x["bits"], t)
    expected += VarianceExploding().log_prob(y["pixels"], x["pixels"], t)
    np.testing.assert_allclose(process.log_prob(y, x, t), expected, rtol=1e-6)
    assert process.horizon == np.inf
    assert process.has_density
    data = {"bits": np.asarray([[0, 1], [1, 1], [0, 0]]), "pixels": RNG.normal(size=(3, 3))}
    log_posterior = sloc.posterior(process, sloc.populations.Empirical(data), y, 0.3)
    logs = [process.log_prob(y, jax.tree.map(lambda v, i=i: jnp.asarray(v)[i], data), t) for i in range(3)]
    np.testing.assert_allclose(log_posterior, np.asarray(logs) - np.logaddexp.reduce(logs), rtol=1e-4, atol=1e-5)
    # Beyond the horizon of the bits they stay as they were.
    late = process.degrade(KEY, y, jnp.float32(0.6), jnp.float32(0.9))
    np.testing.assert_array_equal(late["bits"], y["bits"])


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (Product(()), "at least one process"),
        (Product((Masking(), 3)), "a pytree of observation processes"),
        (Product((Masking(), Truncation(3))), "all in continuous or all in discrete time"),
        (Product((Masking(), OrnsteinUhlenbeck()), ((0,),)), "2 groups, one for each process"),
        (Product((Masking(), OrnsteinUhlenbeck()), ((0, 1), (1,))), r"a partition of 0 .. L-1"),
        (Product((Masking(), OrnsteinUhlenbeck()), ((0, 1), ())), r"a partition of 0 .. L-1"),
        (Product({"a": Masking()}, ((0,),)), "a tuple, since groups are given"),
        (Product((Erasure(-1.0),)), "exponents"),
    ],
)
def test_bad_products_are_refused(process, message):
    with pytest.raises(InvalidInput, match=message):
        process.validate()


def test_sizes_of_groups_must_agree():
    process = Product((Masking(), Masking()), ((0,), (1,))).canonical()
    with pytest.raises(InvalidInput, match="2 coordinates"):
        process.sample(KEY, jnp.zeros(3), jnp.float32(0.5))


# --------------------------------------------------------------------------------------------
# A function of the observation
# --------------------------------------------------------------------------------------------


def seen_sum(y):
    """Return a coordinate alone."""
    return y[0]


def seen_mass(process, z, x, t):
    """Return the mass of that coordinate."""
    return process.log_prob(z[None], x[:1], t)


def test_what_is_not_given_is_not_defined():
    process = Composed(Poisson(), seen_sum, seen_mass)
    assert overrides(process, ObservationProcess, "log_prob")
    assert not overrides(process, ObservationProcess, "degrade")
    with pytest.raises(ContractError, match="no forward, which degrade needs"):
        process.degrade(KEY, jnp.int32(0), jnp.float32(0.1), jnp.float32(0.2))
    with pytest.raises(ContractError, match="no backward, which bridge needs"):
        process.bridge(KEY, jnp.int32(0), jnp.ones(2), jnp.float32(0.1), jnp.float32(0.2))
    silent = Composed(Poisson(), seen_sum)
    with pytest.raises(ContractError, match="does not define log_prob"):
        sloc.posterior(silent, sloc.populations.Empirical([[1.0, 2.0], [3.0, 4.0]]), jnp.int32(1), 0.5)
    # A combinator of it lacks the same.
    assert Retimed(process, Power()).absent == {"degrade", "bridge"}
    assert Permuted(process, [1, 0]).absent == {"degrade", "bridge"}
    assert Product({"a": process, "b": Masking()}).absent == {"degrade", "bridge"}
    assert Product({"a": silent, "b": Masking()}).absent == {"log_prob", "degrade", "bridge"}


def test_posterior_of_a_statistic():
    data, t = np.asarray([[1.0, 2.0], [3.0, 4.0]]), 0.5
    found = sloc.posterior(Composed(Poisson(), seen_sum, seen_mass), sloc.populations.Empirical(data), jnp.int32(5), t)
    first = sloc.posterior(Poisson(), sloc.populations.Empirical(data[:, :1]), jnp.asarray([5], jnp.int32), t)
    np.testing.assert_allclose(found, first, rtol=1e-5)
    assert not Composed(OrnsteinUhlenbeck(), jnp.sign, density=False).has_density
    assert Composed(OrnsteinUhlenbeck(), jnp.sign).has_density


@pytest.mark.parametrize(("x", "z"), [((0, 1, 1, 0, 1), 1), ((0, 0, 0, 0, 1), 3)])
def test_backward_draws_given_both_ends(x, z):
    """``S(Y_s) | S(Y_t) = z, X = x`` against the sum over all pairs of words; chi-square with false alarm 1e-9 each."""
    s, t, n = 0.1, 0.3, 20_000
    words = np.array(list(itertools.product([0, 1], repeat=BITS)))

    def flipped(a, b, p):
        moved = (a != b).sum(-1)
        return p**moved * (1 - p) ** (BITS - moved)

    # Bits that keep their letter from s to t and from 0 to s do so from 0 to t: (1 - 2 s)(1 - 2 p) = 1 - 2 t.
    p = (1 - (1 - 2 * t) / (1 - 2 * s)) / 2
    joint = flipped(words, np.array(x), s)[:, None] * flipped(words[:, None], words[None], p)
    early = np.where(words.sum(1) == z, joint, 0.0).sum(1)
    exact = np.bincount(words.sum(1), early, minlength=BITS + 1) / early.sum()
    draw = jax.jit(jax.vmap(HEADS.canonical().bridge, (0, None, None, None, None)))
    found = draw(jax.random.split(KEY, n), jnp.int32(z), jnp.asarray(x, jnp.int32), jnp.float32(s), jnp.float32(t))
    assert found.dtype == jnp.int32
    assert_frequencies(np.bincount(found, minlength=BITS + 1), exact)
    # The law is neither that of the early count alone nor that of the late one.
    alone = np.bincount(words.sum(1), flipped(words, np.array(x), s), minlength=BITS + 1)
    assert np.abs(exact - alone).sum() / 2 > 0.1
    assert overrides(HEADS, ObservationProcess, "bridge")


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (Composed(3, seen_sum), "an observation process"),
        (Composed(Poisson(), 3), "statistic = 3: expected a function"),  # pyright: ignore[reportArgumentType]
        (Composed(Poisson(), seen_sum, 3), "likelihood = 3: expected a function, or None"),  # pyright: ignore[reportArgumentType]
        (Composed(Poisson(), seen_sum, backward=3), "backward = 3: expected a function, or None"),  # pyright: ignore[reportArgumentType]
        (Composed(HalfSpace([[0.0]]), seen_sum), "no direction that is zero"),
        (Composed(RateMatrix([[1.0, -1.0], [0.0, 0.0]]), seen_sum), "off the diagonal"),
    ],
)
def test_bad_statistics_are_refused(process, message):
    with pytest.raises(InvalidInput, match=message):
        process.validate()
