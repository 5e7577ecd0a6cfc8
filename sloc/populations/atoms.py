"""Class log-likelihoods of labelled atoms under a Gaussian channel, in tiles: nothing of size draws x atoms x times.

For draws ``Y_r = r x + z`` (any Gaussian channel divided by ``sigma``, ``r = a / sigma``), classes ``k`` of ``n_k``
atoms ``x_i`` and all rates ``r`` at once,

    L[r, k] = logsumexp_{i in k} (-r^2 |x - x_i|^2 / 2 - r <z, x - x_i>) - log n_k,

which is ``log p_t^k(Y_t)`` up to a term that does not depend on ``k``.  The two inner products of a draw and an atom
are formed once for all times, a strip of atoms at a time; each strip is cut into tiles (atoms of one class by some
draws) that stay in a core's cache while every time takes one exponential of each pair.

Cost of ``B`` draws, ``N`` atoms in ``d`` dimensions and ``T`` times: ``2 B N d`` multiply-adds and ``B N T``
exponentials (fewer where rates are low); memory is that of the data, of the answer ``[T, K, B]``, and of a strip,
whatever ``N``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.populations.atoms_pallas import MOST_ATOMS, SAMPLES, tile_log_sums
from sloc.populations.exponentials import exp2
from sloc.populations.low_rates import NODES, LowRates

Array = jax.Array
_HIGHEST = jax.lax.Precision.HIGHEST
_AWAY = 1e30
"""``<z, x - x_i>`` or ``|x - x_i|^2`` without an atom: no exponential of it is left, and no derivative is infinite."""
_LEAST_RATE, _LEAST_SQUARE = 1e-14, 1e-28
"""A rate of 0 is replaced by this one, at which nothing is told apart either, so that ``_AWAY`` stays away."""
_LOG2E = math.log2(math.e)
_HALF_WAY = 76.0
"""Sums are taken relative to a bound less this, as far from overflow as from underflow."""
_SUMS = (math.exp(-64.0), math.exp(84.0))
"""A sum between has lost no term of a billionth of it (2^-126, what is left of the least, is e^-87) and none to inf."""
_LARGEST = 118.0
"""Above it ``2^y`` is not formed, so that a sum of 256 is a number."""
_SAFE_EXPONENT = 1e7
"""Below it an exponent is rounded by less than 2, far from what would overflow."""
_FEW = 16
"""Below so many atoms a class the answer itself is as large as what tiles would save."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of tiles, by platform (speed and memory only; results change by rounding).

    Attributes:
        atoms: most atoms of a tile.
        tile: pairs (atom, draw) of a tile: with both inner products they should fit in a core's cache.
        step: triples (time, atom, draw) evaluated at once: enough to share among the cores.
        strip: pairs (atom, draw) whose inner products are formed at once.
        lanes: draws that lie next to each other: a tile is a row of columns of so many draws, atom below atom, each of
            which a core can hold in its innermost cache while it takes every time of a step.

    """

    atoms: int
    tile: int
    step: int
    strip: int
    lanes: int


SIZES = {
    "cpu": Sizes(atoms=256, tile=1 << 15, step=1 << 18, strip=1 << 21, lanes=64),
    "gpu": Sizes(atoms=1024, tile=1 << 20, step=1 << 24, strip=1 << 24, lanes=1024),
    "tpu": Sizes(atoms=512, tile=1 << 19, step=1 << 22, strip=1 << 23, lanes=512),
}
"""Those of ``cpu`` are measured, the others are not."""


@dataclass(frozen=True)
class Tiles:
    """Atoms sorted by class, cut into tiles of equal height of which each lies in one class.

    Attributes:
        rows: ``[J, A]`` int32, the atoms of each tile; places that are left over repeat the tile's last atom.
        valid: ``[J, A]``, which places hold an atom of their own.
        classes: ``[J]`` int32, the class of each tile, in order.

    """

    rows: np.ndarray
    valid: np.ndarray
    classes: np.ndarray


@functools.lru_cache(maxsize=64)
def cut(counts: tuple[int, ...], most: int, powers: bool = False) -> Tiles:
    """Cut classes of ``counts`` atoms into tiles of one height that wastes few places.

    Args:
        counts: atoms of each class.
        most: the largest height, a power of two from 8 on.
        powers: only powers of two (else multiples of 8).

    """
    sizes = np.asarray(counts)
    even = -(-sizes // -(-sizes // most))
    heights = np.unique(np.minimum(np.append(-(-even // 8) * 8, [8, most]), most))
    if powers:
        heights = 2 ** np.arange(3, most.bit_length())
    elif heights.size > 64:
        heights = heights[np.linspace(0, heights.size - 1, 64).astype(int)]
    # Eight more places a tile stand for the cost of one more step.
    height = int(min(heights, key=lambda h: int(np.sum(-(-sizes // h)) * (h + 8))))
    pieces = -(-sizes // height)
    classes = np.repeat(np.arange(sizes.size), pieces)
    ends = np.cumsum(sizes)[classes]
    within = np.arange(classes.size) - (np.cumsum(pieces) - pieces)[classes]
    starts = (np.cumsum(sizes) - sizes)[classes] + within * height
    rows = starts[:, None] + np.arange(height)
    valid = rows < ends[:, None]
    return Tiles(np.minimum(rows, ends[:, None] - 1).astype(np.int32), valid, classes.astype(np.int32))


def worth_tiling(counts: Sequence[int]) -> bool:
    """Whether classes are large enough for tiles of one class each."""
    return sum(counts) >= _FEW * len(counts)


def class_log_sums(
    data: Array,
    prints: Array,
    counts: tuple[int, ...],
    index: Array,
    z: Array,
    rates: Array,
    *,
    kernel: str = "xla",
) -> Array:
    """``logsumexp_{i in k} (-r^2 |x - x_i|^2 / 2 - r <z, x - x_i>) - log n_k`` for drawn atoms ``x``, ``[T, K, B]``.

    Exact up to rounding.  In float32, with data centred (``centre_atoms``), the
    exponent of each atom is off by at most ``c (r^2 (|x|^2 + |x_i|^2) + r |z| (|x| + |x_i|))`` with ``c`` at most
    1e-6 (``d = 3072`` at offset 100, tested against float64): what the spread of the data allows, whatever their mean
    was.  The draw's own atom and its copies have exponent 0 exactly.

    Args:
        data: ``[N, d]`` atoms sorted by class, centred.
        prints: ``[2, N]`` uint32, equal for equal atoms and only for those.
        counts: atoms of each class.
        index: ``[B]`` int32, the atom of each draw.
        z: ``[B, d]`` the noise of each draw.
        rates: ``[T]``, ``a(t) / sigma(t)``.
        kernel: ``xla``, or ``pallas`` for the kernel of ``sloc.populations.atoms_pallas`` where the computation
            runs on a GPU or TPU (elsewhere ``xla``), or ``interpret`` for that kernel by its interpreter.

    Returns:
        ``[T, K, B]``.

    """
    batch, times, size = index.shape[0], rates.shape[0], _sizes()
    by_hand = kernel != "xla"
    tiles = cut(counts, min(size.atoms, MOST_ATOMS) if by_hand else size.atoms, powers=by_hand)
    height = tiles.rows.shape[1]
    width, blocks = _even(batch, max(size.tile // height, 64), SAMPLES if by_hand else min(size.lanes, 64))
    extra = width * blocks - batch
    draws = Draws.of(data, prints, jnp.pad(index, (0, extra)), jnp.pad(z, ((0, extra), (0, 0))))
    chunk, chunks = _even(times, max(size.step // (height * width), 1), 1)
    padded = jnp.pad(jnp.maximum(rates, jnp.asarray(_LEAST_RATE, rates.dtype)), (0, chunk * chunks - times), "edge")
    walk = functools.partial(_tile_steps, width=width, chunk=chunk)
    step = functools.partial(_step, walk, kernel)

    # Where each class is one tile there is nothing to add up, and a log-sum-exp of two takes as long as four atoms.
    lone = len(tiles.rows) == len(counts)

    def strip(total: Array, part: tuple[Array, Array, Array]) -> tuple[Array, Array | None]:
        rows, valid, classes = part
        flat = rows.reshape(-1)
        squares, crosses = draws.products(data[flat], prints[:, flat])
        crosses = jnp.where(valid.reshape(-1)[:, None], crosses, jnp.asarray(_AWAY, crosses.dtype))
        shape = (*rows.shape, width * blocks)
        means = Means.of(data[rows], valid, draws)
        found = step(squares.reshape(shape), crosses.reshape(shape), means, padded)
        return (total, found) if lone else (jax.lax.scan(_merge, total, (found, classes))[0], None)

    total, parts = jnp.full((0 if lone else len(counts), chunk * chunks, width * blocks), -jnp.inf, data.dtype), []
    for strips in _strips(len(tiles.rows), max(size.strip // (height * width * blocks), 1)):
        operands = (tiles.rows[strips], tiles.valid[strips], tiles.classes[strips])
        total, found = jax.lax.scan(strip, total, jax.tree.map(jnp.asarray, operands))
        if found is not None:
            parts.append(found.reshape(-1, *found.shape[2:]))
    total = jnp.concatenate(parts) if lone else total
    shift = jnp.asarray(np.log(np.asarray(counts, np.float64)), data.dtype)
    return jnp.moveaxis(total, 0, 1)[:times, :, :batch] - shift[None, :, None]


def _sizes() -> Sizes:
    return SIZES.get(jax.default_backend(), SIZES["gpu"])


def _even(total: int, most: int, unit: int) -> tuple[int, int]:
    """Split ``total`` into equal parts of at most about ``most``, each a multiple of ``unit``: ``(size, parts)``.

    Among the fewest such parts and up to half as many again those that fill up least: what is filled up is computed
    for nothing.
    """
    least = -(-total // max(most, unit))

    def split(parts: int) -> tuple[int, int]:
        size = -(-total // (parts * unit)) * unit
        return size, -(-total // size)

    return min((split(parts) for parts in range(least, least + least // 2 + 1)), key=lambda s: (s[0] * s[1], s[1]))


def _strips(tiles: int, most: int) -> list[np.ndarray]:
    """Group tiles into strips of equal size and one smaller rest: arrays ``[strips, size]`` of indices."""
    size = -(-tiles // -(-tiles // most))
    whole = tiles // size * size
    groups = [np.arange(whole).reshape(-1, size), np.arange(whole, tiles)[None]]
    return [g for g in groups if g.size]


@dataclass(frozen=True)
class Draws:
    """Drawn atoms ``x`` and noises ``z``, ``[B, d]`` each, with the fingerprints of the atoms, ``[2, B]``."""

    x: Array
    z: Array
    prints: Array

    @classmethod
    def of(cls, data: Array, prints: Array, index: Array, z: Array) -> Draws:
        """Take the atoms ``index`` of ``data``."""
        return cls(data[index], z, prints[:, index])

    def products(self, atoms: Array, prints: Array) -> tuple[Array, Array]:
        """``|x - x_i|^2`` and ``<z, x - x_i>`` for some atoms ``[A, d]``, from inner products; ``[A, B]`` each."""
        batch = self.x.shape[0]
        both = jnp.matmul(atoms, jnp.concatenate([self.x, self.z]).T, precision=_HIGHEST)
        inner, noise = both[:, :batch], both[:, batch:]
        norms = jnp.sum(jnp.square(atoms), axis=1)[:, None] + jnp.sum(jnp.square(self.x), axis=1)[None]
        square, cross = jnp.maximum(norms - 2 * inner, 0.0), jnp.sum(self.x * self.z, axis=1)[None] - noise
        # Rounding must not separate a trajectory from its own atom or a copy of it, whose distance is exactly zero.
        first, second = prints[:, :, None] == self.prints[:, None, :]
        own = first & second
        return jnp.where(own, jnp.zeros_like(square), square), jnp.where(own, jnp.zeros_like(cross), cross)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Means:
    """Means over the atoms of each tile, up to rounding.

    Attributes:
        half: ``[G, B]``, of ``-|x - x_i|^2 / 2``.
        cross: ``[G, B]``, of ``<z, x - x_i>``.
        count: ``[G]``, number of atoms.
        spread: ``[G]``, of ``|x_i - mean|^2``.

    """

    half: Array
    cross: Array
    count: Array
    spread: Array

    @classmethod
    def of(cls, atoms: Array, valid: Array, draws: Draws) -> Means:
        """Take the means for tiles of ``atoms [G, A, d]``, from inner products with the mean atom."""
        held, count = valid.astype(atoms.dtype), jnp.sum(valid.astype(atoms.dtype), axis=1)
        centre = jnp.sum(held[:, :, None] * atoms, axis=1) / count[:, None]
        norm = jnp.sum(held * jnp.sum(jnp.square(atoms), axis=2), axis=1) / count
        batch = draws.x.shape[0]
        both = jnp.matmul(centre, jnp.concatenate([draws.x, draws.z]).T, precision=_HIGHEST)
        square = norm[:, None] + jnp.sum(jnp.square(draws.x), axis=1)[None] - 2 * both[:, :batch]
        cross = jnp.sum(draws.x * draws.z, axis=1)[None] - both[:, batch:]
        spread = jnp.maximum(norm - jnp.sum(jnp.square(centre), axis=1), 0.0)
        return cls(-0.5 * square, cross, count, spread)


def _merge(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
    """Add one tile's ``[T, B]`` to its class in ``[K, T, B]``."""
    found, index = part
    old = jax.lax.dynamic_index_in_dim(total, index, keepdims=False)
    return jax.lax.dynamic_update_index_in_dim(total, jnp.logaddexp(old, found), index, 0), None


def _step(walk: Any, kernel: str, squares: Array, crosses: Array, means: Means, rates: Array) -> Array:
    """``[G, T, B]`` of each tile of a strip, by the kernel that was asked for."""
    if kernel == "interpret":
        return tile_log_sums(squares, crosses, rates, platform=kernel)
    if kernel == "pallas":

        def by_hand(platform: str) -> Any:
            return lambda squares, crosses, means, rates: tile_log_sums(squares, crosses, rates, platform=platform)

        own = {p: by_hand(p) for p in ("cuda", "tpu")}
        return jax.lax.platform_dependent(squares, crosses, means, rates, **own, default=walk)
    return walk(squares, crosses, means, rates)


def _tile_steps(squares: Array, crosses: Array, means: Means, rates: Array, *, width: int, chunk: int) -> Array:
    """Log-sum-exp over the atoms of each tile, ``[G, A, B] -> [G, T, B]``: tile by tile, ``chunk`` times at once.

    The exponents are lines in ``1 / r`` times ``r^2``, so their maximum is ``r^2`` times a convex function, below its
    chords: the maxima at some rates bound every exponent at those between.  Where sums relative to that bound are
    neither too large nor too small, one pass over the atoms suffices; where they are, each rate's own maximum is found
    first.  Low rates, at which little is told apart, are interpolated: ``LowRates``.
    """
    tiles, height, batch = squares.shape
    lanes = math.gcd(width, _sizes().lanes)
    columns = width // lanes

    def cut_up(x: Array) -> Array:
        return jnp.swapaxes(x.reshape(tiles, height, batch // lanes, lanes), 1, 2)

    def together(x: Array) -> Array:
        """``[columns, c, lanes] -> [c, width]``."""
        return jnp.swapaxes(x, 0, 1).reshape(-1, width)

    def apart(x: Array) -> Array:
        """``[c, width] -> [columns, c, 1, lanes]``."""
        return jnp.swapaxes(x.reshape(-1, columns, lanes), 0, 1)[:, :, None]

    # Sums at negative rates are needed too: places without an atom are far by the square, which has one sign.
    held = crosses < _AWAY / 2
    halves = cut_up(jnp.where(held, -0.5 * squares, jnp.asarray(-_AWAY, squares.dtype)))
    crosses = cut_up(jnp.where(held, crosses, jnp.zeros_like(crosses)))
    parts = rates.reshape(-1, chunk)
    knots = _knots(*parts.shape)

    def one(place: tuple[Array, Array]) -> Array:
        tile, column = place

        def taken(x: Array) -> Array:
            start = (tile, column, jnp.zeros_like(tile), jnp.zeros_like(tile))
            return jax.lax.dynamic_slice(x, start, (1, columns, height, lanes))[0]

        half, cross = taken(halves), taken(crosses)

        def exponents(r: Array) -> Array:
            r = r[None, :, None, None]
            return r * (r * half[:, None] - cross[:, None])

        bound, holds = _bound(rates, knots, together(_top(exponents(rates[knots]), axis=2)))
        bound = bound.reshape(*parts.shape, width)
        size = _largest(jnp.abs(bound))
        modest = (size < _SAFE_EXPONENT) & jnp.all(holds.reshape(parts.shape), axis=1)
        # As far from overflow as from underflow; by less where exponents are small, or the logarithm loses digits.
        # Elsewhere far above everything: under vmap that branch is evaluated too, and must have finite derivatives.
        shift = jnp.minimum(0.25 * size, _HALF_WAY)[:, None, None]
        level = jnp.where(modest[:, None, None], bound - shift, jnp.full_like(bound, _AWAY))

        def terms(linear: Array, square: Array, level: Array) -> Array:
            """``log2 exp(square half - linear cross - level)``, ``[columns, c, A, lanes]``."""
            square = jnp.maximum(square, jnp.asarray(_LEAST_SQUARE, square.dtype))
            first, second = (_LOG2E * factor[None, :, None, None] for factor in (linear, square))
            return second * half[:, None] - (first * cross[:, None] + _LOG2E * apart(level))

        def sums(linear: Array, square: Array, level: Array) -> Array:
            """Sum over atoms, ``[c, width]``, or at least 2^118: nothing bounds these exponents beforehand."""
            return together(jnp.sum(exp2(jnp.minimum(terms(linear, square, level), _LARGEST)), axis=2))

        def direct(part: tuple[Array, Array]) -> Array:
            r, level = part
            total = together(jnp.sum(exp2(terms(r, r * r, level)), axis=2))
            # Below, terms that matter are lost.
            fits = (jnp.min(jnp.min(total, axis=0)) > _SUMS[0]) & (jnp.max(jnp.max(total, axis=0)) < _SUMS[1])
            return jax.lax.cond(fits, lambda: jnp.log(total) + level, lambda: together(_lse(exponents(r))))

        # In float64 ten points are never enough.
        if rates.shape[0] <= NODES + 2 or rates.dtype != jnp.float32:
            return jax.lax.map(direct, (parts, level)).reshape(-1, width)

        def mean(x: Array) -> Array:
            return jax.lax.dynamic_slice(x, (tile, column * lanes), (1, width))[0]

        def swing() -> Array:
            # About the mean as it was rounded: where all atoms are one, rounding is all there is.
            centre = mean(means.half).reshape(columns, 1, lanes)
            apart = jnp.where(half > -_AWAY / 2, jnp.abs(half - centre), jnp.zeros_like(half))
            return jnp.max(_top(apart, axis=1)) + 64 * jnp.finfo(half.dtype).eps * jnp.max(jnp.abs(centre))

        low = LowRates.of(parts, mean(means.half), mean(means.cross), means.count[tile], means.spread[tile])
        excess, smooth = low.excess(sums, swing)

        def at(part: tuple[Array, Any]) -> Array:
            smooth, given = part
            return jax.lax.cond(smooth, lambda: low.interpolated(excess, given[0]), lambda: direct(given))

        return jax.lax.map(at, (smooth, (parts, level))).reshape(-1, width)

    grid = np.meshgrid(np.arange(tiles), np.arange(0, batch // lanes, columns), indexing="ij")
    found = jax.lax.map(one, tuple(jnp.asarray(g.reshape(-1), jnp.int32) for g in grid))
    return jnp.moveaxis(found.reshape(tiles, batch // width, -1, width), 1, 2).reshape(tiles, -1, batch)


def _knots(chunks: int, chunk: int) -> np.ndarray:
    """Choose the rates whose maxima bound the others: more at high rates, where exponents are large.

    A maximum takes nearly as long as a sum of exponentials, and a chunk for which the bound does not do takes two more.
    """
    last = chunks * chunk - 1
    steps = [max(chunk // 4, 1), max(chunk // 2, 1), *[chunk] * max(chunks // 2 - 3, 0)]
    knots = [at for i, step in enumerate(steps) for at in range(i * chunk, (i + 1) * chunk, step)]
    return np.unique(np.minimum([*knots, 1, len(steps) * chunk, last], last))


def _bound(rates: Array, knots: np.ndarray, tops: Array) -> tuple[Array, Array]:
    """Bound ``r^2 h(1 / r)``, convex ``h``, by the chords between knots, and say at which rates that is a bound.

    Args:
        rates: ``[T]``.
        knots: ``[J]``, indices of rates, from the first to the last.
        tops: ``[J, B]``, ``r^2 h(1 / r)`` at the knots.

    Returns:
        ``(bound [T, B], holds [T])``: it holds for rates between those of the knots beside them.

    """
    before = np.maximum(np.searchsorted(knots, np.arange(rates.shape[0]), side="right") - 1, 0)
    after = np.minimum(before + 1, len(knots) - 1)
    first, last = rates[knots[before]], rates[knots[after]]
    share = (first - rates) / jnp.where(first == last, jnp.ones_like(first), first - last)
    high, low = (1 - share) * (rates / first), share * (rates / last)
    holds = (rates <= jnp.maximum(first, last)) & (rates >= jnp.minimum(first, last))
    return high[:, None] * tops[before] + low[:, None] * tops[after], holds


def _top(x: Array, axis: int) -> Array:
    """Return the maximum over atoms, a multiple of eight, eight at a time.

    ``jnp.maximum`` looks for NaN, which takes a CPU longer than an exponential; here NaN is let go, and found in the
    sums.
    """
    each = jnp.split(x, 8, axis=axis)
    return jnp.max(functools.reduce(lambda a, b: jnp.where(a > b, a, b), each), axis=axis)


def _largest(x: Array) -> Array:
    """Return the maximum of each ``[c, B]``, first over ``c``: along the last axis a CPU does not vectorise it."""
    return jnp.max(jnp.max(x, axis=1), axis=1)


def _lse(x: Array) -> Array:
    top = jnp.max(x, axis=2)
    safe = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))
    # The compiler may form x once for the maximum and again, contracted with the difference, for the exponential. Half
    # a unit in the last place of 1e10 is more than an exponential can hold; what is true of exact numbers is kept.
    scale = jnp.asarray(_LOG2E, x.dtype)
    total = jnp.sum(exp2(scale * jnp.minimum(x - safe[:, :, None], 0.0)), axis=2)
    return jnp.log(jnp.clip(total, 1.0, x.shape[2])) + safe
