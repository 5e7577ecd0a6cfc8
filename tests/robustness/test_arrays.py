"""Arrays that other tools make: with masks, of unusual kinds of numbers, far from zero, traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrnsteinUhlenbeck, RateMatrix

KEY = jax.random.key(0)
OU = OrnsteinUhlenbeck()
PAIR = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]])
ROWS = np.array([[-1.0], [-0.5], [0.5], [1.0]])
LABELS = [0, 0, 1, 1]
SINCE_1970 = 1.7e9


def hidden(values: Any, at: int = 0) -> np.ma.MaskedArray:
    """Return values of which one is behind a mask."""
    values = np.asarray(values)
    mask = np.zeros(values.shape, bool)
    mask.reshape(-1)[at] = True
    return np.ma.masked_array(values, mask)


def curve(population: Any = PAIR, process: Any = OU, times: Any = (0.5,)) -> sloc.Curve:
    return sloc.tv_curve(KEY, process, population, times, 0, 1, n=64)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("data", lambda: Empirical(hidden(ROWS), LABELS)),
        ("data", lambda: Empirical([[row] for row in hidden(ROWS)], LABELS)),
        ("data", lambda: Empirical([hidden(ROWS), ROWS], LABELS)),
        ("labels", lambda: Empirical(ROWS, hidden(LABELS))),
        ("weights", lambda: Empirical(ROWS, LABELS, hidden([0.5, 0.5]))),
        ("times", lambda: curve(times=hidden([0.5, 0.6]))),
        ("means", lambda: curve(GaussianMixture([0.5, 0.5], hidden([[0.0], [1.0]])))),
        ("covariances", lambda: curve(GaussianMixture([0.5, 0.5], [[0.0], [1.0]], hidden([1.0])))),
        ("rates", lambda: curve(Empirical([[0], [1]]), RateMatrix(hidden([[-1.0, 1.0], [1.0, -1.0]])))),
        ("y", lambda: sloc.posterior(OU, PAIR, hidden([1.0, 2.0]), 0.5)),
    ],
)
def test_what_a_mask_hides_is_not_taken_for_a_number(name: str, call: Callable[[], Any]) -> None:
    with pytest.raises(sloc.InvalidInput, match=rf"(?s)^{name} = .*expected an array without a mask"):
        call()


def test_the_imaginary_part_of_a_time_is_not_dropped() -> None:
    for times in (np.array([1 + 1j, 2]), jnp.array([1 + 1j, 2])):
        with pytest.raises(sloc.InvalidInput, match=r"^times = .*expected a sequence of numbers"):
            curve(times=times)
    with pytest.raises(sloc.InvalidInput, match=r"^t = .*expected one finite number"):
        sloc.tv(KEY, OU, PAIR, np.array(1 + 1j), 0, 1, n=64)


def test_small_kinds_of_floating_numbers_are_numbers() -> None:
    few = Empirical(jnp.asarray(ROWS, jnp.bfloat16), LABELS)
    assert few.data.dtype == jnp.float32
    assert np.array_equal(few.data, ROWS)
    halves = jnp.asarray([0.5, 0.5], jnp.bfloat16)
    means = np.array([[0.0], [1.0]])
    assert curve(GaussianMixture(halves, means)) == curve(GaussianMixture([0.5, 0.5], means))
    assert list(curve(times=jnp.asarray([1, 2], jnp.bfloat16)).times) == [1, 2]


@pytest.mark.parametrize(
    "made",
    [
        lambda: Empirical(ROWS + SINCE_1970, LABELS),
        lambda: Empirical(np.c_[ROWS, ROWS + SINCE_1970], LABELS),
        lambda: Empirical((4 * ROWS).astype(np.int64) + int(SINCE_1970), LABELS),
        lambda: GaussianMixture([0.3, 0.3, 0.4], [[SINCE_1970], [SINCE_1970 + 1], [SINCE_1970 + 2]]),
    ],
)
def test_numbers_that_rounding_makes_one_are_not_taken_for_one(made: Callable[[], Any]) -> None:
    with pytest.raises(sloc.InvalidInput, match=r"expected .*numbers that float32 tells apart"):
        curve(made())


def test_numbers_that_rounding_leaves_apart_are_taken() -> None:
    near = curve(Empirical(ROWS, LABELS))
    # Far away, but multiples of what float32 keeps there.
    far = curve(Empirical(ROWS + 2**20, LABELS))
    assert np.allclose(near.value, far.value, atol=1e-3)
    # A constant coordinate, and one that is constant but for the rounding of float64.
    rounded = np.array([300.1, 300.1 + 6e-14, 300.1, 300.1])
    assert Empirical(np.c_[ROWS, np.full(4, SINCE_1970), rounded], LABELS).counts == (2, 2)
    # Whole numbers of which rounding takes little.
    whole = Empirical(np.array([20_000_000, 20_000_050, 20_000_100, 20_000_151])[:, None], LABELS)
    assert np.isfinite(curve(whole).value).all()
    # A coordinate that tells nothing beside the others; means that differ by less than rounding, under wide noise.
    assert Empirical(np.c_[ROWS, 300 + 1e-5 * ROWS], LABELS).counts == (2, 2)
    far_means = [[SINCE_1970], [SINCE_1970 + 1]]
    assert float(curve(GaussianMixture([0.5, 0.5], far_means, 1e10)).value[0]) < 0.01
    # Letters stay whole numbers: none is rounded where coordinates are hidden or shown.
    letters = Empirical((4 * ROWS).astype(np.int64) + int(SINCE_1970), LABELS)
    assert float(curve(letters, Masking()).value[0]) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    ("name", "call", "traced"),
    [
        ("data", lambda rows: Empirical(rows, LABELS).counts, ROWS),
        ("labels", lambda labels: Empirical(ROWS, labels).counts, np.asarray(LABELS)),
        ("weights", lambda weights: Empirical(ROWS, LABELS, weights).counts, np.array([0.5, 0.5])),
        ("key", lambda key: sloc.mixture_tree(key, OU, PAIR, epsilon=0.2).linkage, KEY),
        ("times", lambda times: sloc.mixture_tree(KEY, OU, PAIR, epsilon=0.2, times=times).linkage, np.ones(2)),
        ("key", lambda key: sloc.forward_reverse(key, OU, PAIR, 0, 0.5, n=64), KEY),
        (
            "value",
            lambda key: sloc.critical_window(key, OU, Empirical(ROWS, LABELS), 0, [0, 1], epsilon=0.2, n=64).t_before,
            KEY,
        ),
    ],
)
def test_what_cannot_be_traced_says_so(name: str, call: Callable[[Any], Any], traced: Any) -> None:
    with pytest.raises(sloc.InvalidInput, match=f"^{name} = .*(trace|transformation of JAX)"):
        jax.jit(call)(jnp.asarray(traced) if isinstance(traced, np.ndarray) else traced)
