"""Upper bounds on the TV of two learned models, class by class, from the likelihood ratio of their samplers' paths.

Design.  Ancestral sampling of a model with ``x_A(y, t) = E_A[X | Y_t = y]`` is a chain of Gaussian steps from the time
``t`` to ``s < t`` whose variance ``v`` does not depend on the model and whose mean is ``c x_A`` plus what does not
either; ``c^2 / v = snr(s) - snr(t)``, ``snr = a^2 / sigma^2``, for every schedule.  Two such chains that start from the
same noise therefore have the log likelihood ratio (Girsanov's theorem, without a limit)

    ``l = sum_k sqrt(D_k) <d_k, Z_k> + D_k |d_k|^2 / 2``,   ``d = x_A - x_B``,  ``D_k = snr(t_{k-1}) - snr(t_k)``

along a path drawn from A, whose mean is ``KL(A || B) = E_A sum_k D_k |d_k|^2 / 2``.  In the limit of small steps it is
``1/2 int E_A |x_A - x_B|^2 d snr = 1/2 int g(t)^2 E_A |s_A - s_B|^2 dt`` with the scores ``s_A - s_B = a (x_A - x_B) /
sigma^2`` and ``g^2 = beta`` (VP), ``d sigma^2 / dt`` (VE) or 2 (``dX = -X dt + sqrt 2 dB``); for exact class scores
that is the KL of the marginals themselves.

``Y_t`` is a function of the path, so ``TV(Y_t) <= TV(paths) = E_m |tanh(l / 2)|``, ``m`` the balanced mixture of both:
a mean of values in [0, 1], whatever the networks return.  Pinsker's ``sqrt(KL / 2)`` is never smaller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import float_dtype, require, shown
from sloc.contracts.arguments import as_floats, as_real, checked_choice, checked_level
from sloc.divergence.bands import interval_words, mean_interval, streamed
from sloc.divergence.checks import checked_count, checked_interval, checked_key
from sloc.engine.plan import BLOCK_DRAWS, Plan
from sloc.processes.levels import level
from sloc.results.curve import Curve
from sloc.samplers.learned import LearnedDiffusion
from sloc.samplers.learned_start import checked_learned, localizer_of

Array = jax.Array

MODEL_LAW = "TV, upper bound for the models' samplers"
"""What the curves of :func:`tv_sampler_bound` show."""
_METHODS = ("likelihood-ratio", "pinsker")
_NUMBERS = {"cpu": 1 << 20}
_NUMBERS_ELSEWHERE = 1 << 25


@dataclass(frozen=True)
class PathRatioKernel:
    """One block of pairs of paths, one of each model, with their likelihood ratio at chosen times."""

    def setup(self, args: Any) -> Any:
        """Nothing to prepare."""
        return args

    def __call__(self, state: Any, key: Array) -> tuple[Array, Array, Array]:
        """Return ``[T, B]`` each: ``|tanh(l / 2)|`` of a pair; A's ``sum D |d|^2 / 2``; if ``|d| > reach`` on it."""
        a, b, grid, index, reach = state
        keys = jax.random.split(key, 2 * BLOCK_DRAWS).reshape(2, BLOCK_DRAWS)
        ratio_a, spent, far = jax.vmap(lambda k: path_ratio(k, a, b, grid))(keys[0])
        ratio_b, _, _ = jax.vmap(lambda k: path_ratio(k, b, a, grid))(keys[1])
        apart = 0.5 * (jnp.abs(jnp.tanh(0.5 * ratio_a)) + jnp.abs(jnp.tanh(0.5 * ratio_b)))
        beyond = (far > reach).astype(apart.dtype)
        return apart[:, index].T, spent[:, index].T, beyond[:, index].T


def path_ratio(key: Array, own: LearnedDiffusion, other: LearnedDiffusion, grid: Array) -> tuple[Array, Array, Array]:
    """Draw one path of ``own``'s ancestral sampler and follow its likelihood ratio to ``other``'s.

    Args:
        key: typed PRNG key.
        own: the model that is sampled.
        other: the model that is compared; same schedule and shape.
        grid: ``[m + 1]`` times, increasing.

    Returns:
        ``[m]`` each, by the time that a step ends at, increasing: the log likelihood ratio, ``sum D |d|^2 / 2``, and
        the largest ``|d|``.

    """
    key_start, key_steps = jax.random.split(key)
    start = localizer_of(own, None).init(key_start, grid[-1])
    signal, spread = own.schedule.coefficients(grid)
    snr = (signal / spread) ** 2

    def step(carry: Any, given: tuple[Array, ...]) -> tuple[Any, tuple[Array, Array, Array]]:
        y, ratio, spent, far = carry
        i, t, s, gained = given
        x, eps = own.predict(y, t)
        gap = x - other.predict(y, t).x
        noise = jax.random.normal(jax.random.fold_in(key_steps, i), y.shape, y.dtype)
        a_t, sigma_t = own.schedule.coefficients(t)
        a_s, sigma_s = own.schedule.coefficients(s)
        # The share of the noise at s that a step draws anew: 1 - (sigma_s a_t / (a_s sigma_t))^2.
        share = jnp.clip(1.0 - ((sigma_s / a_s) * (a_t / sigma_t)) ** 2, 0.0, 1.0)
        y = a_s * x + sigma_s * (jnp.sqrt(1.0 - share) * eps + jnp.sqrt(share) * noise)
        square = jnp.sum(gap**2)
        half = 0.5 * gained * square
        ratio = ratio + jnp.sqrt(gained) * jnp.sum(gap * noise) + half
        carry = y, ratio, spent + half, jnp.maximum(far, jnp.sqrt(square))
        return carry, carry[1:]

    down, up = grid[::-1], snr[::-1]
    stages = jnp.arange(grid.shape[0] - 1, dtype=jnp.int32)
    zero = jnp.zeros((), start.y.dtype)
    found = jax.lax.scan(step, (start.y, zero, zero, zero), (stages, down[:-1], down[1:], up[1:] - up[:-1]))[1]
    ratio, spent, far = (v[::-1] for v in found)
    return ratio, spent, far


def tv_sampler_bound(
    key: Array,
    a: LearnedDiffusion,
    b: LearnedDiffusion,
    times: Any,
    *,
    steps: int = 64,
    n: int,
    delta: float = 0.05,
    method: str = "likelihood-ratio",
    reach: float | None = None,
    interval: str = "maurer-pontil",
    plan: Plan | None = None,
) -> Curve:
    """Certified upper bound on ``TV(q_t^a, q_t^b)``: laws of ``Y_t`` as two models' **own samplers** draw it.

    ``q^a`` is the law that :func:`sloc.samplers.ancestral` gives model ``a``, started from noise, on a grid of
    ``steps`` steps even in log-SNR together with ``times``; both start from the same law.  It bounds the models, **not
    the data**: it would bound the data's TV if the predictions were the exact posterior means and the steps small.
    With probability ``>= 1 - delta`` it holds at all times, for draws in exact arithmetic.

    Girsanov's theorem gives the likelihood ratio of two such paths.  ``likelihood-ratio`` bounds by their TV, a mean
    of values in [0, 1], with an interval for bounded means.  ``pinsker`` bounds by ``sqrt(KL / 2)``, ``KL = sum_k D_k
    E_a |x_a - x_b|^2 / 2`` with ``D_k`` the signal-to-noise ratio that step ``k`` gains; it is never sharper, and since
    no mean of unbounded values has an upper limit from draws, it needs ``reach``.

    Args:
        key: typed PRNG key.
        a: a model, such as ``model.conditioned(3)``.
        b: another with the same schedule, shape and ``data_std``, such as ``model.conditioned(None)``: the whole's.
        times: ``[T]``, strictly increasing, in the schedule's time, above 0 and before the start in noise.
        steps: of the sampler.
        n: pairs of paths, rounded up to whole blocks of 1,024.
        delta: error level.
        method: ``likelihood-ratio`` or ``pinsker``.
        reach: for ``pinsker``: a bound on ``|x_a - x_b|`` that the networks cannot exceed, for instance the diameter
            of the range that their outputs are clipped to.  Draws beyond it are refused.
        interval: for means, as of :func:`sloc.measure`.
        plan: devices, checkpoints, progress (:class:`sloc.Plan`).

    Returns:
        A curve whose value and upper band are the bound and whose lower band is 0.

    Raises:
        ContractError: not learned models.
        InvalidInput: models of other schedules or shapes, times outside the sampler's, ``pinsker`` without ``reach``
            or with one that a draw exceeded.
        NotANumber: a network returned NaN; names the block.

    Sources: Girsanov 1960; Pinsker 1964; Chen et al. 2023 (Sampling is as easy as learning the score), Sect. 5, for
    the same argument between a model and the truth.

    """
    key, n, delta = checked_key(key), checked_count(n), checked_level(delta, "delta")
    interval = checked_interval(interval)
    checked_choice(method, "method", _METHODS)
    by_pinsker = method == "pinsker"
    good = 0 < as_real(reach) < math.inf
    require(good if by_pinsker else reach is None, "reach", reach, "a positive number for pinsker, None otherwise")
    own, other = checked_learned(a), checked_learned(b)
    _check_alike(own, other, b)
    shown_times, grid, index = _grid(own, times, checked_count(steps, "steps"))
    # How far the KL may go: at each time, to what a path gains that is apart by `reach` all the way.
    snr = np.exp(np.asarray(level(a.schedule, shown_times, "log_snr"), np.float64))
    most = 0.5 * snr * (reach or 0.0) ** 2
    spans = None
    if interval != "maurer-pontil":
        one = np.ones(shown_times.size)
        highs = (one, most if by_pinsker else one, one)
        spans = [tuple(jnp.asarray(v, float_dtype()) for v in (0.0 * one, high)) for high in highs]
    blocks, numbers = -(-n // BLOCK_DRAWS), 2 * BLOCK_DRAWS * own.path_elements()
    budget = _NUMBERS.get(jax.default_backend(), _NUMBERS_ELSEWHERE)
    largest = jnp.asarray(math.inf if reach is None else reach, float_dtype())
    args = (own, other, jnp.asarray(grid, float_dtype()), jnp.asarray(index, np.int32), largest)
    tile = int(np.clip(budget // numbers, 1, 16))
    moments, counts = streamed(PathRatioKernel(), args, key, blocks, interval, spans=spans, tile=tile, plan=plan)
    chosen = 1 if by_pinsker else 0
    part = None if counts is None else counts[chosen]
    high = most if by_pinsker else 1.0
    upper = mean_interval(moments[chosen], part, interval, delta / shown_times.size, 0.0, high)[4]
    if by_pinsker:
        beyond = float(np.max(moments[2].on_host()[1]))
        require(beyond == 0, "reach", reach, f"a bound on |x_a - x_b|; {beyond:.3g} of the paths went beyond it")
        upper = np.sqrt(0.5 * upper)
    # The path to a later time is a part of the path to an earlier one.
    bound = np.minimum.accumulate(np.minimum(np.asarray(upper, np.float64), 1.0))
    none, how = np.zeros_like(bound), "Girsanov and Pinsker" if by_pinsker else "Girsanov, likelihood ratio of paths"
    words = f"a certified upper bound for the models' own samplers ({how}){interval_words(interval)}"
    return Curve(
        shown_times,
        bound,
        none,
        none,
        bound,
        blocks * BLOCK_DRAWS,
        words,
        MODEL_LAW,
        delta=delta,
        time_axis=a.schedule.time_axis,
    )


def _check_alike(a: LearnedDiffusion, b: LearnedDiffusion, given: Any) -> None:
    require(a.shape == b.shape, "b", shown(given), f"a model of the shape {list(a.shape)}, as a")
    same = jax.tree.structure(a.schedule) == jax.tree.structure(b.schedule)
    pairs = zip(*(jax.tree.leaves((m.schedule, m.data_std)) for m in (a, b)), strict=False)
    same = same and all(np.array_equal(x, y) for x, y in pairs)
    require(same, "b", shown(given), "a model of the same schedule and data_std as a: both start from the same noise")


def _grid(model: LearnedDiffusion, times: Any, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the times, the sampler's grid, which holds them, and where they stand among the ends of its steps."""
    chosen = as_floats(times, "times")
    good = chosen.ndim == 1 and chosen.size > 0 and bool(np.isfinite(chosen).all()) and bool((chosen > 0).all())
    require(good and bool((np.diff(chosen) > 0).all()), "times", shown(times), "positive times, strictly increasing")
    std = float(np.asarray(model.data_std))
    low = min(float(np.asarray(level(model.schedule, chosen[0], "sigma"))) / std, 1.0)
    even = np.asarray(model.grid(steps + 1, low), np.float64)
    require(bool(chosen[-1] < even[-1]), "times", float(chosen[-1]), f"times before the sampler starts, {even[-1]:.6g}")
    # Times of the even grid that rounding cannot tell from a chosen one give way to it.
    kept = even[np.abs(even[:, None] / chosen[None, :] - 1.0).min(axis=1) > 1e-5]
    grid = np.unique(np.concatenate([kept[kept > chosen[0]], chosen]))
    return chosen, grid, np.searchsorted(grid, chosen)
