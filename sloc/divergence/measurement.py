"""One pass over trajectories for any number of statistics: the room that all curves and windows stand on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, float_dtype, is_concrete, marginals_method, require
from sloc.contracts.arguments import checked_all, checked_level
from sloc.divergence.bands import interval_words, mean_interval, streamed
from sloc.divergence.checks import (
    as_times,
    checked_count,
    checked_interval,
    checked_key,
    checked_method,
    checked_pair,
)
from sloc.divergence.closed_forms import closed_tv, host_weights
from sloc.divergence.integrands import Draws, Entropy, Integrand, log_sum_exp
from sloc.divergence.intervals import tighten
from sloc.divergence.paths import batched_paths, drawn_paths, reduced
from sloc.divergence.pattern_sums import exact_information
from sloc.divergence.statistics import Statistic, Term
from sloc.engine.moments import Moments
from sloc.engine.plan import BLOCK_DRAWS, Plan, as_plan
from sloc.results.curve import Curve

Array = jax.Array

_TILE_ELEMENTS = {"cpu": 1 << 20, "gpu": 1 << 26, "tpu": 1 << 25}
"""Numbers in flight per step, by platform: enough to fill the machine, not its memory (on a CPU, its caches)."""
_LEAST_TILE = {"cpu": 4}
"""Fewer blocks than so many side by side are slower than one alone (twice, with eight Gaussians: 0.11 s to 0.06)."""
_LARGEST_TILE = {"gpu": 256, "tpu": 64}
"""Most blocks side by side: on a CPU more than 16 bring no more speed and waste draws when n is small.  An accelerator
takes longer to start the kernels of 16 blocks of few numbers a draw than for their work (reckoned, not measured)."""
_CHUNK_ELEMENTS = {"cpu": 1 << 19}
"""Numbers ``[T, K, B]`` of a block that are averaged at once, and formed at once where draws can be made before times:
a CPU's caches hold them, and a thousand times take a third of what they take all together."""


class MeasureOptions(TypedDict, total=False):
    """Keyword arguments that every wrapper of :func:`measure` passes on."""

    delta: float
    method: str
    interval: str
    plan: Plan | None


def _evaluate(kind: Integrand, stack: dict[str, Array], draws: Draws) -> Array:
    """Apply an integrand to its stack of terms, ``[P, T, (C,) R]``."""
    if not stack:
        return kind({}, draws)[None]
    if all(leaf.shape[0] == 1 for leaf in stack.values()):
        # Under vmap indices become gathers, which a CPU does not vectorise; a lone term needs only slices.
        return kind({name: leaf[0] for name, leaf in stack.items()}, draws)[None]
    if kind.by_slices and jax.default_backend() == "cpu":
        return jax.lax.map(lambda a: kind(a, draws), stack)
    return jax.vmap(lambda a: kind(a, draws))(stack)


@dataclass(frozen=True)
class MeasureKernel:
    """The streaming kernel of :func:`measure`: one block of rounds, all statistics of it.

    Attributes:
        kinds: the integrands, each applied to its stack of terms.
        rounds: rounds per block.

    """

    kinds: tuple[Integrand, ...]
    rounds: int

    def setup(self, args: Any) -> Any:
        """Reduce to a sufficient statistic once."""
        process, population, *rest = args
        return (*reduced(process, population), *rest)

    def __call__(self, state: Any, key: Array) -> tuple[Array, ...]:
        """Return, for each kind, ``[P, T, (C,) R]``: one value per term, time and round."""
        process, population, times, strata, position, arrays = state
        components = jnp.repeat(strata, self.rounds)
        log_w = population.log_weights - log_sum_exp(population.log_weights, axis=0)

        def evaluated(paths: Array) -> tuple[Array, ...]:
            shape = (*paths.shape[:2], strata.shape[0], self.rounds)
            draws = Draws(paths.reshape(shape), log_w.astype(paths.dtype), strata, position)
            return tuple(_evaluate(kind, stack, draws) for kind, stack in zip(self.kinds, arrays, strict=True))

        most = _times_at_once(population.num_components * components.shape[0])
        drawn = drawn_paths(process, population, key, components)
        if drawn is None:
            # Formed all at once, averaged by chunks: still twice as fast at a thousand times.
            return _by_chunks(evaluated, batched_paths(process, population, key, components, times), most)
        return _by_chunks(lambda part: evaluated(drawn(part)), times, most)


def _times_at_once(numbers: int) -> int:
    elements = _CHUNK_ELEMENTS.get(jax.default_backend())
    return 1 << 30 if elements is None else max(1, elements // numbers)


def _by_chunks(values: Callable[[Array], tuple[Array, ...]], whole: Array, most: int) -> tuple[Array, ...]:
    """Return ``values(whole)``, arrays ``[P, T, ...]``, at most ``most`` of the ``T`` rows of ``whole`` at a time."""
    count = whole.shape[0]
    chunks = -(-count // most)
    if chunks <= 1:
        return values(whole)
    size = -(-count // chunks)
    # Chunks of one size: the last one begins early enough to end with the rows, and its first values are left out.
    starts = jnp.minimum(jnp.arange(chunks, dtype=jnp.int32) * size, count - size)
    parts = jax.lax.map(lambda start: values(jax.lax.dynamic_slice_in_dim(whole, start, size)), starts)
    left = count - (chunks - 1) * size

    def joined(part: Array) -> Array:
        first = jnp.moveaxis(part[:-1], 0, 1).reshape(part.shape[1], (chunks - 1) * size, *part.shape[3:])
        return jnp.concatenate([first, part[-1, :, size - left :]], axis=1)

    return jax.tree.map(joined, parts)


def measure(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    statistics: Mapping[Any, Statistic] | Sequence[Statistic] | Statistic,
    *,
    n: int,
    delta: float = 0.05,
    method: str = "auto",
    interval: str = "maurer-pontil",
    plan: Plan | None = None,
) -> dict[Any, Curve]:
    """Measure any number of statistics of an exact model in one pass over common trajectories.

    Draws ``n`` trajectories, stratified by source component, with common random numbers in ``t``; every statistic is a
    mean of a function of their path log-marginals, ``E f(log p_t^1(Y_t), ..., log p_t^K(Y_t))``.  Curves are unbiased;
    each band (Bonferroni over the curve's own cells, tightened where the curve is monotone) holds for all times of that
    curve at once with probability ``>= 1 - delta``; for several curves at once divide ``delta`` by their number.
    Traceable in the parameters of process and population, in ``times`` and in ``key``.

    All statistics share one pass of balanced draws, whatever their values: for one small overlap ask
    :func:`sloc.tv_curve`, which may choose another estimator.

    Args:
        key: typed PRNG key; the same key gives the same curves on any number of devices (to 1e-6).
        process: the observation process.
        population: the population.
        times: ``[T]``, strictly increasing, in the process's time.
        statistics: one, a sequence, or a mapping from names: :class:`TV`, :class:`Information`, :class:`Labels`,
            :class:`Clones`, :class:`Certificate`, :class:`Misassignment`, :class:`Hellinger`, :class:`KL`.
        n: trajectories in all, rounded up to whole blocks of 1,024 (reported in the curves).
        delta: error level of each curve's band.
        method: ``auto`` uses closed forms of TV and of information where the types have one, ``monte-carlo`` (or
            ``balanced``) never, ``closed-form`` only (refused where there is none).
        interval: ``maurer-pontil`` (empirical Bernstein, from mean and variance); ``betting``, from integer counts of
            dithered values: narrower where values lie near their bounds
            (``sloc.divergence.histogram_betting``); or ``clopper-pearson``, from counts of values turned into
            Bernoulli draws: the strong choice where values are nearly 0 or 1 anyway, wide elsewhere, valid for an
            ``n`` fixed beforehand.  Counts of devices and of continued runs add up.  Values and standard errors are
            the same with all of them.  The interval tuned to ``n`` that bets on values in their order
            (:func:`sloc.divergence.betting_interval`) has no name here, because it needs the draws themselves;
            certified edges use it.
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        A curve per statistic, under its name where a mapping was given, else under the statistic itself.

    Raises:
        InvalidInput: see the arguments; sets that are empty or unknown.
        ContractError: classes that break the contract, a pair that cannot be evaluated.

    Source: Li, Karan & Chen 2025, Sect. 3; identities by Bayes' rule; intervals by Maurer & Pontil 2009, Theorem 4, by
    mixtures of the capital processes of Waudby-Smith & Ramdas 2024, and by Clopper & Pearson 1934.

    """
    key, given = checked_key(key), (process, population)
    process, population = checked_pair(process, population)
    shown_times, device_times = as_times(process, population, times)
    n, delta, method = checked_count(n), checked_level(delta, "delta"), checked_method(method)
    interval, plan = checked_interval(interval), as_plan(plan)
    if isinstance(statistics, Statistic):
        statistics = [statistics]
    if not isinstance(statistics, Mapping):
        statistics = checked_all(statistics, "statistics", Statistic, "statistics such as sloc.TV or sloc.Information")
    named: dict[Any, Statistic] = dict(statistics) if isinstance(statistics, Mapping) else {s: s for s in statistics}
    require(len(named) > 0, "statistics", statistics, "at least one statistic")
    for s in named.values():
        require(isinstance(s, Statistic), "statistics", s, "a statistic such as sloc.TV or sloc.Information")
    terms = {name: s.bind(population) for name, s in named.items()}
    weights = _weights(population)

    curves: dict[Any, Curve] = {}
    if method != "monte-carlo" and is_concrete(process, population, times):
        for name, term in terms.items():
            # On the parameters as given: their cast to float32 would show in a closed form's digits.
            exact = closed_curve(*given, shown_times, term)
            if exact is not None:
                curves[name] = exact
    sampled = {name: term for name, term in terms.items() if name not in curves}
    if method == "closed-form":
        require(
            not sampled,
            "method",
            method,
            "statistics with a closed form; there is none for " + "; ".join(t.quantity for t in sampled.values()),
        )
    if sampled:
        whole = assemble(process, population, device_times, sampled)
        options = (interval, _default_tile(population, device_times.shape[0]), plan)
        curves |= _sample(key, whole, sampled, shown_times, weights, n, delta, *options)
    return {name: replace(curves[name], time_axis=process.time_axis) for name in named}


def _weights(population: Population) -> Any:
    log_w = population.log_weights
    return host_weights(population) if is_concrete(log_w) else jax.nn.softmax(log_w)


def closed_curve(process: ObservationProcess, population: Population, times: np.ndarray, term: Term) -> Curve | None:
    """Return the exact curve of a total variation or an information that has one at all times, else None."""
    if isinstance(term.kind, Entropy):
        values = exact_information(process, population, times)
    elif term.pair is not None:
        values = [closed_tv(process, population, *term.pair, t) for t in times]
    else:
        return None
    if values is None or any(v is None for v in values):
        return None
    value = np.asarray(values, np.float64)
    return Curve(times, value, np.zeros_like(value), value, value, 0, "exact", term.quantity, term.unit, delta=0.0)


@dataclass(frozen=True)
class Assembly:
    """Bound statistics as one kernel: what one pass over draws needs.

    Attributes:
        kernel: the streaming kernel.
        args: its arguments.
        groups: for each kind of the kernel, the names of its terms in the order of its stack.
        round_draws: draws per round (the number of strata).

    """

    kernel: MeasureKernel
    args: Any
    groups: tuple[tuple[Any, ...], ...]
    round_draws: int

    @property
    def block_draws(self) -> int:
        """Draws per key block."""
        return self.kernel.rounds * self.round_draws

    def blocks(self, n: int) -> int:
        """Blocks that hold at least ``n`` draws and two rounds (a variance needs two)."""
        return max(-(-n // self.block_draws), 2 if self.kernel.rounds == 1 else 1)


def assemble(process: ObservationProcess, population: Population, times: Array, terms: Mapping[Any, Term]) -> Assembly:
    """Turn bound statistics into one kernel over the strata they use; see :func:`measure`."""
    used = np.logical_or.reduce([t.strata for t in terms.values()])
    strata = np.flatnonzero(used).astype(np.int32)
    position = (np.cumsum(used) - 1).clip(0).astype(np.int32)
    groups: dict[Integrand, list[Any]] = defaultdict(list)
    for name, term in terms.items():
        groups[term.kind].append(name)
    stacks = tuple(
        {
            field: jnp.asarray(np.stack([terms[name].arrays[field] for name in names]))
            for field in terms[names[0]].arrays
        }
        for names in groups.values()
    )
    args = (process, population, times, jnp.asarray(strata), jnp.asarray(position), stacks)
    kernel = MeasureKernel(tuple(groups), max(1, BLOCK_DRAWS // len(strata)))
    return Assembly(kernel, args, tuple(tuple(names) for names in groups.values()), len(strata))


def _sample(
    key: Array,
    whole: Assembly,
    terms: dict[Any, Term],
    times: Any,
    weights: Any,
    n: int,
    delta: float,
    interval: str,
    tile: int,
    plan: Plan | None,
) -> dict[Any, Curve]:
    blocks = whole.blocks(n)
    limit = 2**31 // whole.kernel.rounds * whole.block_draws
    require(blocks * whole.kernel.rounds < 2**31, "n", n, f"fewer than {limit:,} draws: rounds are counted in int32")
    spans = _spans(whole, terms, weights) if interval != "maurer-pontil" else None
    moments, counts = streamed(whole.kernel, whole.args, key, blocks, interval, spans=spans, tile=tile, plan=plan)
    curves, draws = {}, blocks * whole.block_draws
    process, population, *_ = whole.args
    words = marginals_method(process, population)
    for g, names in enumerate(whole.groups):
        for i, name in enumerate(names):
            part = jax.tree.map(lambda leaf, i=i: leaf if leaf.ndim == 0 else leaf[i], moments[g])
            own = None if counts is None else counts[g][i]
            curves[name] = _summarise(part, own, interval, terms[name], times, weights, draws, delta, words)
    return curves


def _spans(whole: Assembly, terms: dict[Any, Term], weights: Any) -> list[tuple[Array, Array]]:
    """Between what ends the values of each term lie, for each kind ``([P, 1, ...], [P, 1, ...])``."""
    spans = []
    for kind, names in zip(whole.kernel.kinds, whole.groups, strict=True):
        ends = [terms[name].affine(weights)[2:] for name in names]
        # Where there is no upper end the counts are not used.
        ends = [(low, low + 1.0 if isinstance(high, float) and math.isinf(high) else high) for low, high in ends]
        shape = (len(names), 1, 1) if kind.columns else (len(names), 1)
        low, high = (jnp.stack([jnp.asarray(e[side], float_dtype()) for e in ends]) for side in (0, 1))
        spans.append((low.reshape(shape), high.reshape(shape)))
    return spans


def _default_tile(population: Population, times: int) -> int:
    # Of shapes alone, never of n or of the devices: another n must not recompile.
    backend = jax.default_backend()
    per_block = BLOCK_DRAWS * times * max(population.path_elements(), 1)
    fitting = _TILE_ELEMENTS.get(backend, 1 << 22) // per_block
    return int(min(fitting, _LARGEST_TILE.get(backend, 16))) if fitting >= _LEAST_TILE.get(backend, 1) else 1


def _summarise(
    moments: Moments,
    counts: Any,
    interval: str,
    term: Term,
    times: Any,
    weights: Any,
    draws: int,
    delta: float,
    words: str,
) -> Curve:
    offset, slope, low, high = term.affine(weights)
    level = delta / math.prod(moments.mean.shape)
    count, mean, variance, *bounds = mean_interval(moments, counts, interval, level, low, high)
    xp = np if is_concrete(mean, weights) else jnp
    ends = [offset + slope * bound for bound in bounds]
    lower, upper = xp.minimum(*ends), xp.maximum(*ends)
    if term.monotone is not None:
        lower, upper = tighten(lower, upper, term.monotone == "decreasing")
    value = offset + slope * mean
    stderr = abs(slope) * xp.sqrt(variance / xp.asarray(count, mean.dtype))
    method = f"monte carlo, {words}" + interval_words(interval)
    return Curve(times, value, stderr, lower, upper, draws, method, term.quantity, term.unit, term.labels, delta)
