"""Different processes on different coordinates, or on different leaves of a pytree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    GaussianChannel,
    LinearGaussianChannel,
    Observation,
    ObservationProcess,
    Revealed,
    RevealingChannel,
    namespace,
    require,
    tells_of_thresholds,
)
from sloc.contracts.arguments import as_whole
from sloc.contracts.signal import Coordinates, of_size
from sloc.processes.retimed import lacking


def _is_process(value: Any) -> bool:
    return isinstance(value, ObservationProcess)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Product(ObservationProcess):
    """Processes side by side in one time, independent given ``X``: ``P_t(y | x) = prod_i P_t^i(y_i | x_i)``.

    Without ``groups``, ``x`` and ``y`` are pytrees of the structure of ``processes``, each process on its leaf.  With
    ``groups``, ``x`` is one array, process ``i`` sees its (flattened) coordinates ``groups[i]``, and ``y`` is a tuple;
    but revealing channels then make up one revealing channel, and Gaussian channels one linear Gaussian channel with
    diagonal matrices, of the whole ``x``, with all shortcuts.  A part whose horizon has passed stays as it was then.
    Source: textbook (independent channels).

    Args:
        processes: a pytree (tuple, dict ...) of processes, all in continuous or all in discrete time.
        groups: for each process the coordinates it sees, a partition of ``0 .. L-1`` (static); then ``processes`` is a
            tuple.

    """

    processes: Any
    groups: tuple[tuple[int, ...], ...] | None = field(default=None, metadata={"static": True})

    def __new__(cls, processes: Any = None, groups: Any = None, **_: Any) -> Product:
        """Make an object of the family that the parts make up."""
        return object.__new__(_variant(processes, groups) if cls is Product else cls)

    @property
    def parts(self) -> list[Any]:
        """The processes in order."""
        return jax.tree.leaves(self.processes, is_leaf=_is_process)

    @property
    def horizon(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The last of the parts' horizons."""
        return max(p.horizon for p in self.parts)

    @property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether time is discrete in all parts."""
        return all(p.discrete for p in self.parts)

    @property
    def has_density(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether some part has a density."""
        return any(p.has_density for p in self.parts)

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What some part lacks."""
        return lacking(*self.parts)

    def validate(self) -> None:
        """Refuse parts that are no processes or of both kinds of time, and groups that are no partition."""
        parts = self.parts
        require(len(parts) > 0, "processes", self.processes, "at least one process")
        for part in parts:
            require(_is_process(part), "processes", part, "a pytree of observation processes")
            part.validate()
        kinds = {bool(p.discrete) for p in parts}
        require(len(kinds) == 1, "processes", self.processes, "all in continuous or all in discrete time")
        if self.groups is None:
            return
        require(
            isinstance(self.processes, (tuple, list)), "processes", self.processes, "a tuple, since groups are given"
        )
        listed = isinstance(self.groups, (tuple, list)) and all(isinstance(g, (tuple, list)) for g in self.groups)
        require(listed, "groups", self.groups, "tuples of coordinates, one for each process")
        require(len(self.groups) == len(parts), "groups", self.groups, f"{len(parts)} groups, one for each process")
        flat = sorted(i for group in self.groups for i in group)
        valid = all(len(g) > 0 for g in self.groups) and flat == list(range(len(flat)))
        require(valid, "groups", self.groups, "a partition of 0 .. L-1 into tuples that are not empty")
        for part, group in zip(parts, self.groups, strict=True):
            words = part._misfit(Coordinates((len(group),)))
            require(not words, "groups", group, f"one coordinate each for its process: {words}")

    def canonical(self) -> Product:
        """Return a copy with every part canonical."""
        return replace(self, processes=jax.tree.map(lambda p: p.canonical(), self.processes, is_leaf=_is_process))

    def sample(self, key: Array, x: Any, t: Array) -> Observation:
        """Draw each part's ``Y_t`` given its ``x``."""
        parts = self.parts
        keys = jax.random.split(key, len(parts))
        drawn = [p.sample(k, v, _held(p, t)) for p, k, v in zip(parts, keys, self._split(x), strict=True)]
        return self._join(drawn)

    def log_prob(self, y: Observation, x: Any, t: Array) -> Array:
        """Return the sum of the parts' log densities or masses."""
        every = zip(self.parts, self._observed(y), self._split(x), strict=True)
        return jnp.sum(jnp.stack([p.log_prob(v, u, _held(p, t)) for p, v, u in every]))

    def degrade(self, key: Array, y: Observation, s: Array, t: Array) -> Observation:
        """Draw each part's ``Y_t`` given its ``Y_s``."""
        parts = self.parts
        keys = jax.random.split(key, len(parts))

        def one(part: Any, key: Array, value: Any) -> Any:
            early, late = _held(part, s), _held(part, t)
            return _moved(early < late, part.degrade(key, value, early, late), value)

        return self._join([one(*given) for given in zip(parts, keys, self._observed(y), strict=True)])

    def bridge(self, key: Array, y: Observation, x: Any, s: Array, t: Array) -> Observation:
        """Draw each part's ``Y_s`` given its ``Y_t`` and ``x``."""
        parts = self.parts
        keys = jax.random.split(key, len(parts))

        def one(part: Any, key: Array, value: Any, x: Any) -> Any:
            early, late = _held(part, s), _held(part, t)
            return _moved(early < late, part.bridge(key, value, x, early, late), value)

        return self._join([one(*given) for given in zip(parts, keys, self._observed(y), self._split(x), strict=True)])

    def grid(self, n: int) -> np.ndarray:
        """Return ``n`` times spread evenly over those of the parts' grids; in discrete time at most ``n``."""
        require(as_whole(n) >= 1, "n", n, "at least one time")
        n = int(n)
        merged = np.unique(np.concatenate([np.asarray(p.grid(max(n, 2))) for p in self.parts]))
        if self.discrete:
            return merged[np.unique(np.round(np.linspace(0, merged.size - 1, n)).astype(int))].astype(np.int32)
        return np.interp(np.linspace(0, merged.size - 1, n), np.arange(merged.size), merged)

    def _misfit(self, x: Any) -> str:
        if self.groups is None:
            structure = jax.tree.structure(self.processes, is_leaf=_is_process)
            try:
                every = structure.flatten_up_to(x)
            except (TypeError, ValueError):
                return f"an X of the structure of the processes of Product, {structure}"
        else:
            words = of_size(x, sum(len(g) for g in self.groups), "Product", "in its groups")
            if words:
                return words
            every = [x.taken(group) for group in self.groups]
        found = (part._misfit(own) for part, own in zip(self.parts, every, strict=True))
        return next((words for words in found if words), "")

    def _check_times(self, times: np.ndarray, argument: str) -> None:
        for part in self.parts:
            part._check_times(np.asarray(_held(part, times)), argument)

    def _split(self, x: Any) -> list[Any]:
        if self.groups is None:
            return jax.tree.structure(self.processes, is_leaf=_is_process).flatten_up_to(x)
        length = sum(len(g) for g in self.groups)
        size = int(np.prod(np.shape(x), dtype=int))
        require(size == length, "x", np.shape(x), f"{length} coordinates, as many as the groups hold")
        flat = jnp.reshape(jnp.asarray(x), -1)
        return [flat[np.asarray(group)] for group in self.groups]

    def _observed(self, y: Observation) -> list[Any]:
        structure = jax.tree.structure(self.processes, is_leaf=_is_process)
        return list(y) if self.groups is not None else structure.flatten_up_to(y)

    def _join(self, values: list[Any]) -> Observation:
        if self.groups is not None:
            return tuple(values)
        return jax.tree.unflatten(jax.tree.structure(self.processes, is_leaf=_is_process), values)


def _held(part: ObservationProcess, t: Any) -> Any:
    """Return the part's own time: ``t``, or its horizon once that has passed."""
    horizon = part.horizon
    if not math.isfinite(horizon):
        return t
    if isinstance(t, jax.Array):
        return jnp.minimum(t, jnp.asarray(horizon, t.dtype))
    return np.minimum(t, horizon)


def _moved(moves: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(moves, a, b), new, old)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ProductRevealing(RevealingChannel, Product):
    """Revealing channels on groups of coordinates: one revealing channel."""

    def thresholds(self, key: Array, x: Array) -> Array:
        """Draw each group's thresholds; beyond every time where its part never hides a coordinate."""
        parts = self.parts
        keys = jax.random.split(key, len(parts))
        drawn = [_never_after(p, p.thresholds(k, v)) for p, k, v in zip(parts, keys, self._split(x), strict=True)]
        return jnp.reshape(self._whole(drawn), jnp.shape(x))

    def log_mask_prob(self, known: Array, t: Array) -> Array:
        """Return the sum of the parts' log probabilities of their patterns."""
        every = zip(self.parts, self._split(known), strict=True)
        return jnp.sum(jnp.stack([p.log_mask_prob(k, _held(p, t)) for p, k in every]))

    def hidden_probability(self, coordinates: np.ndarray, t: float) -> float | None:
        """Return the product of the parts' probabilities; None where a part has none."""
        if not all(tells_of_thresholds(p, "hidden_probability") for p in self.parts):
            return None
        marked = np.ravel(np.asarray(coordinates, bool))
        every = zip(self.parts, self.groups or (), strict=True)
        found = [p.hidden_probability(marked[list(g)], float(_held(p, t))) for p, g in every]
        return None if any(v is None for v in found) else float(np.prod(np.asarray(found, np.float64)))

    def count_law(self, length: int, t: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the convolution of the parts' laws; None where a part has none."""
        if not all(tells_of_thresholds(p, "count_law") for p in self.parts):
            return None
        total = np.zeros(int(length) + 1)
        total[0] = 1.0
        for part, group in zip(self.parts, self.groups or (), strict=True):
            law = part.count_law(len(group), float(_held(part, t)))
            if law is None:
                return None
            own = np.zeros(int(length) + 1)
            own[np.asarray(law[0])] = law[1]
            total = np.convolve(total, own)[: int(length) + 1]
        return np.arange(int(length) + 1), total

    def _observed(self, y: Revealed) -> list[Any]:
        return [Revealed(*pair) for pair in zip(self._split(y.values), self._split(y.known), strict=True)]

    def _join(self, values: list[Any]) -> Revealed:
        return Revealed(self._whole([v.values for v in values]), self._whole([v.known for v in values]))

    def _whole(self, pieces: list[Any]) -> Array:
        order = np.argsort(np.concatenate([np.asarray(g) for g in self.groups or ()]))
        return jnp.concatenate(pieces)[order]

    def degrade(self, key: Array, y: Revealed, s: Array, t: Array) -> Revealed:
        """Draw each part's ``Y_t`` given its ``Y_s``."""
        return _shaped(Product.degrade(self, key, y, s, t), y)

    def bridge(self, key: Array, y: Revealed, x: Any, s: Array, t: Array) -> Revealed:
        """Draw each part's ``Y_s`` given its ``Y_t`` and ``x``."""
        return _shaped(Product.bridge(self, key, y, x, s, t), y)


def _shaped(flat: Revealed, like: Revealed) -> Revealed:
    shape = jnp.shape(like.known)
    return Revealed(flat.values.reshape(shape), flat.known.reshape(shape))


def _never_after(part: ObservationProcess, thresholds: Array) -> Array:
    if not math.isfinite(part.horizon):
        return thresholds
    last = jnp.inf if jnp.issubdtype(thresholds.dtype, jnp.floating) else jnp.iinfo(thresholds.dtype).max
    late = thresholds > jnp.asarray(part.horizon, thresholds.dtype)
    return jnp.where(late, jnp.asarray(last, thresholds.dtype), thresholds)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
# `has_density` is the family's, which is also the inner one's.
class ProductGaussian(LinearGaussianChannel, Product):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Gaussian channels on groups of coordinates: one linear Gaussian channel, with diagonal matrices."""

    @property
    def absent(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Nothing: the parts are Gaussian channels."""
        return frozenset()

    def matrices(self, t: Any) -> tuple[Any, Any]:
        """Return ``(diag(a), diag(sigma^2))`` in the order of the coordinates; exact, float64 off the device."""
        a, sigma = self._diagonals(lambda p: p.coefficients(_held(p, t)))
        xp = namespace(a)
        return xp.diag(a), xp.diag(sigma**2)

    def noise_root(self, t: Any) -> Any:
        """Return ``diag(sigma)``."""
        sigma = self._diagonals(lambda p: p.coefficients(_held(p, t)))[1]
        return namespace(sigma).diag(sigma)

    def kernel(self, s: Any, t: Any) -> tuple[Any, Any]:
        """Return the diagonal matrices of the parts' ``r`` and ``sqrt(q)``."""
        r, q = self._diagonals(lambda p: p.degrade_law(_held(p, s), _held(p, t))[:2])
        xp = namespace(r)
        return xp.diag(r), xp.diag(xp.sqrt(q))

    def grid(self, n: int) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return ``n`` times spread evenly over those of the parts' grids."""
        return Product.grid(self, n)

    def _diagonals(self, pair: Any) -> tuple[Any, Any]:
        found, groups = [pair(p) for p in self.parts], self.groups or ()
        xp = namespace(*(v for values in found for v in values))
        order = np.argsort(np.concatenate([np.asarray(g) for g in groups]))

        def whole(i: int) -> Any:
            pieces = [xp.broadcast_to(xp.asarray(v[i]), (len(g),)) for v, g in zip(found, groups, strict=True)]
            return xp.concatenate(pieces)[order]

        return whole(0), whole(1)


def _variant(processes: Any, groups: Any) -> type[Product]:
    if groups is not None and isinstance(processes, (tuple, list)):
        if all(isinstance(p, RevealingChannel) for p in processes):
            return ProductRevealing
        if all(isinstance(p, GaussianChannel) for p in processes):
            return ProductGaussian
    return Product
