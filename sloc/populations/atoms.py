"""Class log-likelihoods of labelled atoms under a Gaussian channel, in tiles: nothing of size draws x atoms x times.

For draws ``Y_r = r x + z`` (any Gaussian channel divided by ``sigma``, ``r = a / sigma``), classes ``k`` of ``n_k``
atoms ``x_i`` and all rates ``r`` at once,

    L[r, k] = logsumexp_{i in k} (-r^2 |x - x_i|^2 / 2 - r <z, x - x_i>) - log n_k,

which is ``log p_t^k(Y_t)`` up to a term that does not depend on ``k``.  The two inner products of a draw and an atom
are formed once for all times, a strip of atoms at a time; each strip is cut into tiles (atoms of one class by some
draws) that stay in a core's cache while every time takes one exponential of each pair.

Cost of ``B`` draws, ``N`` atoms in ``d`` dimensions and ``T`` times: ``2 B N d`` multiply-adds and ``B N T``
exponentials; memory is that of the data, of the answer ``[T, K, B]``, and of a strip, whatever ``N``.
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

Array = jax.Array
_HIGHEST = jax.lax.Precision.HIGHEST
_AWAY = 1e30
"""``<z, x - x_i>`` of a place without an atom: no exponential of it is left, and no derivative is infinite."""
_LEAST_RATE = 1e-27
"""A rate of 0 is replaced by this one, at which nothing is told apart either, so that ``_AWAY`` stays away."""
_LOG2E = math.log2(math.e)
_SLACK = 120.0
"""Largest distance of a bound from a maximum: relative to half way between sums lie in e^-60 .. 1,000 e^60."""
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

    """

    atoms: int
    tile: int
    step: int
    strip: int


SIZES = {
    "cpu": Sizes(atoms=256, tile=1 << 15, step=1 << 18, strip=1 << 20),
    "gpu": Sizes(atoms=1024, tile=1 << 20, step=1 << 24, strip=1 << 24),
    "tpu": Sizes(atoms=512, tile=1 << 19, step=1 << 22, strip=1 << 23),
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

    Exact up to rounding.  In float32, with data centred (:func:`~sloc.populations.empirical.centre_atoms`), the
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
        kernel: ``xla``, or ``pallas`` for the kernel of :mod:`sloc.populations.atoms_pallas` where the computation
            runs on a GPU or TPU (elsewhere ``xla``), or ``interpret`` for that kernel by its interpreter.

    Returns:
        ``[T, K, B]``.

    """
    batch, times, size = index.shape[0], rates.shape[0], _sizes()
    by_hand = kernel != "xla"
    tiles = cut(counts, min(size.atoms, MOST_ATOMS) if by_hand else size.atoms, powers=by_hand)
    height = tiles.rows.shape[1]
    width, blocks = _even(batch, max(size.tile // height, 64), SAMPLES if by_hand else 8)
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
        found = step(squares.reshape(shape), crosses.reshape(shape), padded)
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
    """Split ``total`` into equal parts of at most about ``most``, each a multiple of ``unit``: ``(size, parts)``."""
    parts = -(-total // max(most, unit))
    size = -(-total // (parts * unit)) * unit
    return size, -(-total // size)


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


def _merge(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
    """Add one tile's ``[T, B]`` to its class in ``[K, T, B]``."""
    found, index = part
    old = jax.lax.dynamic_index_in_dim(total, index, keepdims=False)
    return jax.lax.dynamic_update_index_in_dim(total, jnp.logaddexp(old, found), index, 0), None


def _step(walk: Any, kernel: str, squares: Array, crosses: Array, rates: Array) -> Array:
    """``[G, T, B]`` of each tile of a strip, by the kernel that was asked for."""
    if kernel == "interpret":
        return tile_log_sums(squares, crosses, rates, platform=kernel)
    if kernel == "pallas":
        own = {p: functools.partial(tile_log_sums, platform=p) for p in ("cuda", "tpu")}
        return jax.lax.platform_dependent(squares, crosses, rates, **own, default=walk)
    return walk(squares, crosses, rates)


def _tile_steps(squares: Array, crosses: Array, rates: Array, *, width: int, chunk: int) -> Array:
    """Log-sum-exp over the atoms of each tile, ``[G, A, B] -> [G, T, B]``: tile by tile, ``chunk`` times at once.

    The exponents are lines in ``1 / r`` times ``r^2``, so their maximum is ``r^2`` times a convex function, below its
    chords: from the maxima at the ends of a chunk follows, for every rate between, a bound that no exponent exceeds.
    How far the bound may lie above the maximum is known from the chords beside it, extended, which lie below, and from
    the range of the slopes; where that is little, one pass over the atoms suffices, and where it is not, each rate's
    own maximum is found first.
    """
    tiles, height, batch = squares.shape
    halves = -0.5 * squares
    parts, ends = rates.reshape(-1, chunk), jnp.concatenate([rates[::chunk], rates[-1:]])

    def one(place: tuple[Array, Array]) -> Array:
        tile, column = place

        def taken(x: Array) -> Array:
            return jax.lax.dynamic_slice(x, (tile, jnp.zeros_like(tile), column), (1, height, width))[0]

        half, cross = taken(halves), taken(crosses)

        def exponents(r: Array, scale: float = 1.0) -> Array:
            r = r[:, None, None]
            return (jnp.asarray(scale, r.dtype) * r) * (r * half[None] - cross[None])

        tops = jnp.max(exponents(ends), axis=1)
        slopes = jnp.max(jnp.where(cross < _AWAY / 2, cross, -jnp.inf)) - jnp.min(cross)
        bound, slack = _bound(parts, ends, tops, slopes)
        # Half way between: as far from overflow as from underflow.
        fits = (slack < _SLACK) & jnp.all(jnp.abs(bound) < _SAFE_EXPONENT, axis=(1, 2))
        # Elsewhere far above everything: under vmap that branch is evaluated too, and must have finite derivatives.
        half_way = bound - 0.5 * jnp.minimum(slack, _SLACK)[:, None, None]
        level = jnp.where(fits[:, None, None], half_way, jnp.full_like(bound, _AWAY))

        def at(part: tuple[Array, Array, Array]) -> Array:
            r, level, fits = part
            total = lambda: jnp.sum(exp2(exponents(r, _LOG2E) - (_LOG2E * level)[:, None]), axis=1)  # noqa: E731
            return jax.lax.cond(fits, lambda: jnp.log(total()) + level, lambda: _lse(exponents(r)))

        return jax.lax.map(at, (parts, level, fits)).reshape(-1, width)

    grid = np.meshgrid(np.arange(tiles), np.arange(0, batch, width), indexing="ij")
    found = jax.lax.map(one, tuple(jnp.asarray(g.reshape(-1), jnp.int32) for g in grid))
    return jnp.moveaxis(found.reshape(tiles, batch // width, -1, width), 1, 2).reshape(tiles, -1, batch)


def _bound(rates: Array, ends: Array, tops: Array, slopes: Array) -> tuple[Array, Array]:
    """Bound ``r^2 h(1 / r)``, convex ``h``, from its values at the ends of chunks; and by how much it may be too high.

    Args:
        rates: ``[J, c]``, falling.
        ends: ``[J + 1]``, each chunk's first rate, and the last one.
        tops: ``[J + 1, B]``, ``r^2 h(1 / r)`` at the ends.
        slopes: the largest slope of any ``h`` less the smallest.

    Returns:
        ``(bound [J, c, B], slack [J])``; the slack is infinite where rates do not lie between their ends.

    """
    first, last = ends[:-1], ends[1:]
    bound = _line(rates, first, last, tops[:-1], tops[1:])
    # Lines through the ends before and after a chunk, extended into it, lie below a convex function.
    missing = jnp.full_like(bound[:1], -jnp.inf)
    before = jnp.concatenate([missing, _line(rates[1:], ends[:-2], ends[1:-1], tops[:-2], tops[1:-1])])
    after = jnp.concatenate([_line(rates[:-1], ends[1:-1], ends[2:], tops[1:-1], tops[2:]), missing])
    apart = ends[:-1] > ends[1:]
    none = jnp.zeros_like(apart[:1])
    least = jnp.maximum(
        jnp.where(jnp.concatenate([none, apart[:-1]])[:, None, None], before, -jnp.inf),
        jnp.where(jnp.concatenate([apart[1:], none])[:, None, None], after, -jnp.inf),
    )
    share = _share(rates, first, last)
    by_range = slopes * jnp.max(share * (1 - share), axis=1) * (first - last)
    slack = jnp.minimum(jnp.max(bound - least, axis=(1, 2)), by_range)
    between = jnp.all((rates <= first[:, None]) & (rates >= last[:, None]), axis=1)
    return bound, jnp.where(between, slack, jnp.inf)


def _share(r: Array, first: Array, last: Array) -> Array:
    gap = jnp.where(first == last, jnp.ones_like(first), first - last)
    return (first[:, None] - r) / gap[:, None]


def _line(r: Array, first: Array, last: Array, top: Array, next_top: Array) -> Array:
    """``r^2`` times the line in ``1 / r`` through ``top / first^2`` and ``next_top / last^2``, ``[J, c, B]``."""
    share = _share(r, first, last)
    high, low = (1 - share) * (r / first[:, None]), share * (r / last[:, None])
    return high[:, :, None] * top[:, None] + low[:, :, None] * next_top[:, None]


def _lse(x: Array) -> Array:
    top = jnp.max(x, axis=1)
    safe = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))
    # The compiler may form x once for the maximum and again, contracted with the difference, for the exponential. Half
    # a unit in the last place of 1e10 is more than an exponential can hold; what is true of exact numbers is kept.
    scale = jnp.asarray(_LOG2E, x.dtype)
    total = jnp.sum(exp2(scale * jnp.minimum(x - safe[:, None], 0.0)), axis=1)
    return jnp.log(jnp.clip(total, 1.0, x.shape[1])) + safe
