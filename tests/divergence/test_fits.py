"""A population whose X a process cannot take is refused by every way in, before anything is traced."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput, check_fits
from sloc.engine.streaming import count_traces
from sloc.populations import Empirical, GaussianMixture, KalmanDiscourse, ProductCategorical
from sloc.processes import (
    AnisotropicGaussian,
    BinarySymmetric,
    Composed,
    Erasure,
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
    Truncation,
    UniformCTMC,
)

KEY = jax.random.key(0)
OU = OrnsteinUhlenbeck()
PLANE = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]])
SPACE = GaussianMixture([0.5, 0.5], [[1.0, 0.0, 0.0], [-1.0, 0.0, 1.0]])
DICE = ProductCategorical(np.full((2, 4, 3), 1 / 3))
BITS = Empirical([[0, 1, 0], [1, 1, 0], [1, 0, 0]])
LETTERS = Empirical([[0, 1, 0], [1, 1, 2], [1, 0, 0]])
PIXELS = Empirical(np.array([[0.0, 16.0, 3.0], [1.0, 2.0, 3.0]]))
SHARES = Empirical([[0, 0.3, 1], [1, 0.4, 0]])
BELOW = Empirical([[-1, 0, 1], [0, 0, 1]])
TREE = Empirical({"a": np.zeros((2, 3)), "b": np.ones((2, 1))})


def rates(q):
    return RateMatrix(np.ones((q, q)) - q * np.eye(q))


WAYS = {
    "tv": lambda process, population: sloc.tv(KEY, process, population, process.grid(4)[1], 0, 1, n=1024),
    "curve": lambda process, population: sloc.tv_curve(
        KEY, process, population, process.grid(4)[1:3], 0, 1, n=1024, method="monte-carlo"
    ),
    "window": lambda process, population: sloc.critical_window(
        KEY, process, population, 0, [0, 1], epsilon=0.1, n=1024
    ),
    "localize": lambda process, population: sloc.localize(KEY, process, population, grid=3, n=4),
    "experiment": lambda process, population: sloc.forward_reverse(
        KEY, process, population, 0, process.grid(4)[1], n=4
    ),
}
TWO = r"letters 0 \.\. 1, the alphabet of 2 letters of "
CASES = {
    "pixels, bits": (BinarySymmetric(), PIXELS, f"{TWO}BinarySymmetric; coordinate 1 of X holds the letter 16"),
    "letters, bits": (BinarySymmetric(), LETTERS, f"{TWO}BinarySymmetric; coordinate 2 of X holds the letter 2"),
    "letters, uniform": (UniformCTMC(2), LETTERS, f"{TWO}UniformCTMC; coordinate 2 of X holds the letter 2"),
    "letters, rates": (rates(2), LETTERS, f"{TWO}RateMatrix; coordinate 2 of X holds the letter 2"),
    "letters, retimed": (Retimed(BinarySymmetric(), Power(1.0)), LETTERS, "coordinate 2 of X holds the letter 2"),
    "letters, permuted": (Permuted(UniformCTMC(2), [2, 1, 0]), LETTERS, "holds the letter 2"),
    "letters, composed": (Composed(UniformCTMC(2), jnp.sum, lambda *_: jnp.zeros(())), LETTERS, "holds the letter 2"),
    "letters, product": (
        Product((BinarySymmetric(), Masking()), ((0, 2), (1,))),
        LETTERS,
        f"{TWO}BinarySymmetric; coordinate 1 of X holds the letter 2",
    ),
    "shares, bits": (BinarySymmetric(), SHARES, "coordinate 1 of X holds 0.3, which is no letter"),
    "shares, uniform": (UniformCTMC(2), SHARES, "coordinate 1 of X holds 0.3, which is no letter"),
    "floats, uniform": (UniformCTMC(17), PIXELS, "whole numbers for letters, .*; X is of float32"),
    "negative letter": (UniformCTMC(3), BELOW, "the alphabet of 3 letters of UniformCTMC; .* holds the letter -1"),
    "negative intensity": (Poisson(), BELOW, "intensities that are not negative, .*; coordinate 0 of X holds -1"),
    "dice, bits": (BinarySymmetric(), DICE, f"{TWO}BinarySymmetric; its own alphabet has 3"),
    "dice, uniform": (UniformCTMC(2), DICE, f"{TWO}UniformCTMC; its own alphabet has 3"),
    "dice, fewer rates": (rates(2), DICE, f"{TWO}RateMatrix; its own alphabet has 3"),
    "dice, more rates": (rates(4), DICE, "the alphabet of 4 letters of RateMatrix; its own alphabet has 3"),
    "order too long": (Permuted(OU, [0, 1, 2]), PLANE, r"X of 3 coordinates, .*entries in its order; .*\(2,\)"),
    "order too short": (Permuted(Masking(), [0, 1]), BITS, r"X of 2 coordinates, .*entries in its order; .*\(3,\)"),
    "groups too few": (
        Product((Masking(), Masking()), ((0,), (1,))),
        BITS,
        r"X of 2 coordinates, as many as Product has in its groups; its shape is \(3,\)",
    ),
    "Gaussian groups too few": (Product((OU, OU), ((0,), (1,))), SPACE, "X of 2 coordinates, as many as Product has"),
    "anisotropic": (AnisotropicGaussian(np.eye(3)), PLANE, "X of 3 coordinates, as many as AnisotropicGaussian has"),
    "linear": (LinearGaussian(np.eye(3)), PLANE, "X of 3 coordinates, as many as LinearGaussian has columns"),
    "projected": (Projected(OU, np.eye(3)), PLANE, "X of 3 coordinates, as many as Projected has columns"),
    "erasure": (
        Erasure([1.0, 2.0]),
        BITS,
        "X of 2 coordinates, as many as Erasure has exponents; its shape",
    ),
    "truncation": (Truncation(4), BITS, "X of 4 coordinates, as many as Truncation has steps"),
    "ordered": (OrderedMasking([1, 0]), BITS, "X of 2 coordinates, as many as OrderedMasking has steps"),
    "half-spaces": (HalfSpace(np.eye(2)), BITS, "X of 2 coordinates, as many as HalfSpace has columns"),
    "a tree": (OU, TREE, "X that is one array, which OrnsteinUhlenbeck takes"),
    "half a tree": (Product({"a": OU}), TREE, "X of the structure of the processes of Product"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_by_every_way_in(name):
    process, population, message = CASES[name]
    before = count_traces()
    for way in WAYS.values():
        with pytest.raises(InvalidInput, match=rf"population = .*: expected .*{message}"):
            way(process, population)
    assert count_traces() == before


@pytest.mark.parametrize(
    ("process", "population", "message"),
    [
        (Permuted(LinearGaussian(np.eye(2)), [1, 0, 2]), SPACE, r"order = \(3,\): expected one coordinate each .*of 2"),
        (Permuted(Truncation(2), [1, 0, 2]), BITS, r"order = \(3,\): .*as many as Truncation has steps"),
        (
            Product((Truncation(2), Truncation(3)), ((0,), (1, 2))),
            BITS,
            r"groups = \(0,\): .*as many as Truncation has steps",
        ),
    ],
)
def test_parts_of_other_sizes_are_refused(process, population, message):
    for way in WAYS.values():
        with pytest.raises(InvalidInput, match=message):
            way(process, population)


@pytest.mark.parametrize(
    ("process", "population"),
    [
        (Product((BinarySymmetric(), Masking()), ((0, 1), (2,))), LETTERS),
        (Product({"a": OU, "b": OU}), TREE),
        (Permuted(LinearGaussian(np.eye(2)), [1, 0]), PLANE),
        (UniformCTMC(5), LETTERS),
        (rates(3), DICE),
        (BinarySymmetric(), Empirical(np.array([[False, True], [True, True]]))),
        (Erasure(2.0), BITS),
        (OU, PIXELS),
        (Truncation(6), KalmanDiscourse([[1.0, 0.0], [0.0, 1.0]], 20.0, 3)),
    ],
)
def test_what_fits_is_taken(process, population):
    check_fits(process.canonical(), population.canonical())


def test_shapes_are_looked_at_while_traced_and_atoms_are_not():
    def value(scale):
        moved = GaussianMixture([0.5, 0.5], scale * jnp.asarray([[1.0, 0.0], [-1.0, 0.0]]))
        return sloc.tv(KEY, Permuted(OU, [0, 1, 2]), moved, 0.5, 0, 1, n=1024, method="monte-carlo").value

    with pytest.raises(InvalidInput, match="X of 3 coordinates"):
        jax.jit(value)(1.0)

    @jax.jit
    def checked(population):
        check_fits(BinarySymmetric(), population)
        return 0

    assert checked(LETTERS.canonical()) == 0  # traced letters are not known


def test_a_large_table_is_looked_at_once(monkeypatch):
    from sloc.populations import empirical

    looked = []
    monkeypatch.setattr(empirical, "reached", lambda rows, found=empirical.reached: looked.append(0) or found(rows))
    large = Empirical(np.random.default_rng(0).integers(0, 2, (20_000, 64)).astype(np.uint8), np.arange(20_000) % 10)
    for _ in range(5):
        check_fits(BinarySymmetric(), large.canonical())
    assert len(looked) == 1
    check_fits(Masking(), large.canonical())
    Empirical(large.data).canonical()
    assert len(looked) == 1  # nothing is bounded there


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Noted(GaussianMixture):
    """Notes when its draws are traced."""

    def sample(self, key, component):
        DRAWN.append(component)
        return super().sample(key, component)


DRAWN = []


def test_shapes_are_traced_once():
    for scale in (1.0, 2.0, 3.0):
        check_fits(OU, Noted([0.5, 0.5], scale * np.eye(2)).canonical())
    assert len(DRAWN) == 1
