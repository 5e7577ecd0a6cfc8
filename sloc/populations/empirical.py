"""Labelled data as a population: each class is the empirical law of its atoms, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    GaussianChannel,
    InvalidInput,
    ObservationProcess,
    Population,
    RevealingChannel,
    float_dtype,
    is_concrete,
    register_marginals,
    require,
    shown,
)
from sloc.contracts.arguments import as_array, is_one_of, refuse_mask
from sloc.contracts.signal import Coordinates, Ends, reached
from sloc.populations.atoms import Draws, class_log_sums, worth_tiling
from sloc.populations.bridge_laws import resolve_bridge
from sloc.populations.discrete import draw_letters
from sloc.populations.rounding import check_rounding
from sloc.populations.weights import check_weights

Array = jax.Array
KERNELS = ("xla", "pallas")
"""Ways to sum over atoms under a Gaussian channel."""
_TOGETHER = 16
"""Coordinates compared in one loop of the compiled code."""
_MANY_CLASSES = 128
"""From here on classes are reduced by segment instead of one slice each."""


@jax.tree_util.register_pytree_with_keys_class
class Empirical(Population):
    """``p^theta`` uniform on the atoms labelled ``theta``: exact for that measure under any process with a likelihood.

    ``log p_t^theta(y) = logsumexp_{i in theta} log P_t(y | x_i) - log n_theta``.  With one atom per class it shows
    the collapse transition of Biroli et al. 2024.  Atoms are sorted by label once.

    Args:
        data: ``[N, ...]``, an array or a pytree of arrays with a common first axis.
        labels: ``N`` labels (str or int); None makes each atom its own class.
        weights: ``[K]`` in the order of the sorted labels; default ``n_theta / N``.
        kernel: how curves under a Gaussian channel sum over atoms: ``xla``, or ``pallas`` for a kernel written by hand
            for GPU and TPU, which is checked by its interpreter and has **not been tested on hardware**; a CPU takes
            the XLA path with either.

    Attributes:
        data: the atoms, sorted by label.
        counts: atoms per class (static).
        names: the sorted labels as strings (static).
        kernel: see above (static).

    Raises:
        InvalidInput: no data, labels of the wrong length or of one class only, data that are not finite, or that the
            working precision cannot tell apart; traced values, and arrays with a mask.

    """

    atomic: ClassVar[bool] = True

    def __init__(self, data: Any, labels: Any = None, weights: Any = None, *, kernel: str = "xla") -> None:
        """Sort the atoms by label."""
        require(is_one_of(kernel, KERNELS), "kernel", kernel, " or ".join(KERNELS))
        for name, given in (("data", data), ("labels", labels), ("weights", weights)):
            words = "values: under a transformation of JAX, make the population outside and hand it in"
            require(is_concrete(given), name, given, words)
            refuse_mask(given, name)
        found = [data] if _is_nested_list(data) else jax.tree.leaves(data)
        leaves = [_real(leaf) for leaf in found]
        structure = jax.tree.structure(data) if not _is_nested_list(data) else jax.tree.structure(0)
        require(
            bool(leaves) and leaves[0].ndim >= 1 and leaves[0].shape[0] >= 2,
            "data",
            shown(data),
            "at least two atoms along the first axis",
        )
        n = leaves[0].shape[0]
        for leaf in leaves:
            require(leaf.dtype.kind in "biuf", "data", f"dtype {leaf.dtype}", "numbers")
            require(leaf.ndim >= 1 and leaf.shape[0] == n, "data", leaf.shape, f"a first axis of length {n}")
            _check_representable(leaf)
            check_rounding(leaf, "data")
        classes, index = _classes(labels, n)
        order = np.argsort(index, kind="stable")
        self._data = jax.tree.unflatten(structure, [_as_leaf(leaf[order]) for leaf in leaves])
        self._counts = tuple(int(c) for c in np.bincount(index, minlength=len(classes)))
        self._names = tuple(classes)
        self._kernel = kernel
        self._seen: dict[int, Ends] = {}
        if weights is None:
            self._log_weights: Any = np.log(np.asarray(self._counts, np.float64) / n)
        else:
            check_weights(weights, len(classes))
            self._log_weights = np.log(np.asarray(weights, np.float64))

    @property
    def data(self) -> Any:
        """The atoms, sorted by label: a pytree with first axis ``N``."""
        return self._data

    @property
    def counts(self) -> tuple[int, ...]:
        """Atoms in each class."""
        return self._counts

    @property
    def names(self) -> tuple[str, ...]:
        """The sorted labels as strings."""
        return self._names

    @property
    def kernel(self) -> str:
        """How curves under a Gaussian channel sum over atoms."""
        return self._kernel

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[K]``."""
        return self._log_weights

    @property
    def num_components(self) -> int:
        """Number of classes."""
        return len(self._counts)

    @property
    def num_atoms(self) -> int:
        """Number of atoms."""
        return sum(self._counts)

    @property
    def single_atoms(self) -> bool:
        """Whether each class is one atom (known from the structure)."""
        return all(c == 1 for c in self._counts)

    def path_elements(self) -> int:
        """Every atom is looked at."""
        return self.num_atoms

    def tree_flatten_with_keys(self) -> tuple[tuple[Any, ...], Any]:
        """Arrays are leaves; class sizes, names and kernel are structure."""
        key = jax.tree_util.GetAttrKey
        return ((key("data"), self._data), (key("log_weights"), self._log_weights)), self._static

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Empirical:
        """Rebuild without sorting or checking."""
        new = object.__new__(cls)
        new._data, new._log_weights = children
        new._counts, new._names, new._kernel = aux
        new._seen = {}
        return new

    @property
    def _static(self) -> tuple[tuple[int, ...], tuple[str, ...], str]:
        return self._counts, self._names, self._kernel

    def canonical(self) -> Empirical:
        """Return a copy with strong-typed arrays."""
        leaves = jax.tree.map(_as_leaf, self._data)
        new = self.tree_unflatten(self._static, (leaves, jnp.asarray(self._log_weights, float_dtype())))
        new._seen = self._seen  # the same atoms: what is found out about them here is known of these too
        return new

    def _known_x(self) -> Any:
        """Return the shapes of the atoms, with their least and largest values, found once, unless they are traced."""
        leaves, structure = jax.tree.flatten(self._data)

        def known(i: int, leaf: Any) -> Coordinates:
            def ends() -> Ends:
                if i not in self._seen:
                    self._seen[i] = reached(np.asarray(leaf))
                return self._seen[i]

            return Coordinates(tuple(leaf.shape[1:]), np.dtype(leaf.dtype), None, ends if is_concrete(leaf) else None)

        return jax.tree.unflatten(structure, [known(i, leaf) for i, leaf in enumerate(leaves)])

    def __repr__(self) -> str:
        """Return sizes, not data."""
        shape = [np.shape(leaf) for leaf in jax.tree.leaves(self._data)]
        return f"Empirical({self.num_atoms} atoms of shape {shape}, {self.num_components} classes)"

    def sample(self, key: Array, component: Array) -> Any:
        """Draw an atom of the class uniformly."""
        return jax.tree.map(lambda leaf: leaf[_atom(self, key, component)], self._data)

    def by_class(self, log_likelihood: Array) -> Array:
        """``logsumexp_{i in theta} l_i - log n_theta`` along the first axis, ``[N, ...] -> [K, ...]``.

        Raises:
            InvalidInput: no array of real numbers with one row for each atom.

        """
        found = np.shape(as_array(log_likelihood, "log_likelihood"))
        require(found[:1] == (self.num_atoms,), "log_likelihood", found, f"a shape [{self.num_atoms}, ...]")
        if self.single_atoms:
            return log_likelihood
        log_n = np.log(np.asarray(self._counts))
        if self.num_components > _MANY_CLASSES:
            return _segment_lse(log_likelihood, self._counts)
        ends = np.cumsum(self._counts)
        parts = [
            _lse_first(log_likelihood[end - count : end]) - float(log_count)
            for end, count, log_count in zip(ends, self._counts, log_n, strict=True)
        ]
        return jnp.stack(parts)

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Any, t: Array) -> tuple[Array, Any]:
        """Draw ``(theta, X) | Y_t = y``: an atom from its posterior and the class it stands in (exact)."""
        share = self.log_weights - jnp.asarray(np.log(np.asarray(self._counts, np.float64)), self.log_weights.dtype)
        classes = jnp.asarray(np.repeat(np.arange(len(self._counts)), self._counts), jnp.int32)
        index = _draw_index(key, share[classes] + atom_log_likelihoods(process, self, y, t))
        return classes[index], jax.tree.map(lambda leaf: leaf[index], self._data)

    def bridge_pair(self, process: ObservationProcess, key: Array, i: Array, j: Array, t: Array) -> Any:
        """Draw ``Y`` proportional to ``sqrt(p_t^i p_t^j)``: single atoms under a Gaussian or revealing channel.

        Raises:
            ContractError: more than one atom in a class, a process of another family, or unknown law of masks.

        """
        return resolve_bridge(process, self).pair(process, self, key, i, j, t)

    def log_affinities(self, process: ObservationProcess, t: Array) -> Array:
        """``log int sqrt(p_t^i p_t^j)``, ``[K, K]``, exact; same processes as :meth:`bridge_pair`."""
        return resolve_bridge(process, self).log_affinities(process, self, t)


def _is_nested_list(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and len(data) > 0 and not isinstance(data[0], (np.ndarray, jax.Array, dict))


def _real(leaf: Any) -> np.ndarray:
    """Return a leaf on the host; JAX's small kinds of real numbers, such as bfloat16, become float32."""
    refuse_mask(leaf, "data")
    host = np.asarray(as_array(leaf, "data")) if isinstance(leaf, (list, tuple)) else np.asarray(leaf)
    small = host.dtype.kind not in "biuf" and jnp.issubdtype(host.dtype, jnp.floating)
    return host.astype(np.float32) if small else host


def _check_representable(leaf: np.ndarray) -> None:
    """Refuse numbers that are not finite in the working precision, or integers that 32 bits cannot hold."""
    if leaf.dtype.kind == "f":
        with np.errstate(over="ignore"):
            finite = np.isfinite(leaf.astype(float_dtype()))
        require(
            bool(finite.all()),
            "data",
            float(leaf[~finite].ravel()[0]) if not finite.all() else 0.0,
            f"finite numbers within {float_dtype()}",
        )
    elif leaf.dtype.kind in "iu" and leaf.dtype.itemsize > 4:
        info = np.iinfo(np.int32)
        inside = (leaf >= info.min) & (leaf <= info.max)
        require(
            bool(inside.all()),
            "data",
            int(leaf[~inside].ravel()[0]) if not inside.all() else 0,
            "integers of at most 32 bits; number the values, or pass them as floats",
        )


def _as_leaf(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return leaf
    if leaf.dtype.kind == "f":
        return jnp.asarray(leaf, float_dtype())
    return jnp.asarray(leaf, jnp.int32) if leaf.dtype.kind in "iu" and leaf.dtype.itemsize > 4 else jnp.asarray(leaf)


def _classes(labels: Any, n: int) -> tuple[list[str], np.ndarray]:
    """Return the sorted class names and the class index of each atom."""
    if labels is None:
        return [str(i) for i in range(n)], np.arange(n)
    try:
        values = np.asarray(labels)
    except ValueError:  # ragged
        values = np.asarray(None)
    require(values.ndim == 1 and values.size == n, "labels", f"{values.size} labels", f"{n} labels, one per atom")
    if values.dtype.kind == "f":
        require(bool(np.isfinite(values).all()), "labels", labels, "labels without NaN")
        if np.array_equal(values, np.round(values)):
            values = values.astype(np.int64)
    try:
        unique, index = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise InvalidInput(f"labels = {shown(labels)}: expected labels of one kind, all str or all int") from error
    require(unique.size >= 2, "labels", f"one class only, {str(unique[0])!r}", "at least two classes")
    names = [str(u) for u in unique]
    require(len(set(names)) == len(names), "labels", names, "labels that differ as strings")
    return names, index


def _lse_first(x: Array) -> Array:
    top = jnp.max(x, axis=0)
    safe = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))
    return jnp.log(jnp.sum(jnp.exp(x - safe[None]), axis=0)) + safe


def _segment_lse(x: Array, counts: Sequence[int]) -> Array:
    ids = jnp.asarray(np.repeat(np.arange(len(counts)), counts), jnp.int32)
    k = len(counts)
    top = jax.ops.segment_max(x, ids, k, indices_are_sorted=True)
    safe = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))
    total = jax.ops.segment_sum(jnp.exp(x - safe[ids]), ids, k, indices_are_sorted=True)
    log_n = jnp.asarray(np.log(np.asarray(counts, np.float64)), x.dtype).reshape((k,) + (1,) * (x.ndim - 1))
    return jnp.log(total) + safe - log_n


def _atom(population: Empirical, key: Array, component: Array) -> Array:
    """Draw the index of an atom of each class, uniformly."""
    counts = jnp.asarray(population.counts, jnp.int32)
    offsets = jnp.asarray(np.concatenate([[0], np.cumsum(population.counts)[:-1]]), jnp.int32)
    return offsets[component] + jax.random.randint(key, jnp.shape(component), 0, counts[component], jnp.int32)


def _draw_index(key: Array, logs: Array) -> Array:
    """Draw ``i`` with probability proportional to ``exp(logs_i)``: first a row of about ``sqrt(N)``, then within it.

    Two numbers instead of one for each atom, and a resolution of ``2^-23`` of a row's mass rather than of the whole.
    """
    width = int(np.ceil(np.sqrt(logs.shape[0])))
    rows = -(-logs.shape[0] // width)
    masses = jnp.pad(jnp.exp(logs - jnp.max(logs)), (0, rows * width - logs.shape[0])).reshape(rows, width)
    uniforms = jax.random.uniform(key, (2,), logs.dtype)
    row = draw_letters(uniforms[0], jnp.sum(masses, axis=1))
    return row * width + draw_letters(uniforms[1], masses[row])


def atom_log_likelihoods(process: ObservationProcess, population: Empirical, y: Any, t: Array) -> Array:
    """``log P_t(y | x_i)`` for every atom, ``[N]``, by the process's own ``log_prob``."""
    return jax.vmap(lambda x: process.log_prob(y, x, t))(population.data)


@register_marginals(ObservationProcess, Empirical)
def empirical_marginals(process: ObservationProcess, population: Empirical, y: Any, t: Array) -> Array:
    """Log-sum-exp of the process's likelihood over the atoms of each class, exact; ``[K]``."""
    return population.by_class(atom_log_likelihoods(process, population, y, t))


@register_marginals(GaussianChannel, Empirical)
def empirical_gaussian(process: GaussianChannel, population: Empirical, y: Array, t: Array) -> Array:
    """``logsumexp_{i in theta} log N(y; a x_i, sigma^2 I) - log n_theta``, exact; ``[K]``."""
    return empirical_marginals(process, population, y, t)


@empirical_gaussian.reduce
def centre_atoms(process: GaussianChannel, population: Empirical) -> tuple[Any, Any]:
    """Flatten and centre the atoms: ``log-likelihood`` ratios are unchanged and inner products lose no digits."""
    n = population.num_atoms
    flat = jnp.asarray(population.data, float_dtype()).reshape(n, -1)
    centred = flat - jnp.mean(flat, axis=0, keepdims=True)
    return process, jax.tree.unflatten(jax.tree.structure(population), (centred, population.log_weights))


@empirical_gaussian.paths
def empirical_gaussian_paths(
    process: GaussianChannel, population: Empirical, key: Array, components: Array, times: Array
) -> Array:
    """``[T, K, B]`` up to a constant, from inner products ``<x, x_i>``, ``<z, x_i>`` formed once per trajectory.

    With ``x`` an atom, ``-|a (x - x_i) + sigma z|^2 / 2 sigma^2 = -(a^2 / 2 sigma^2) |x - x_i|^2
    - (a / sigma) <z, x - x_i>`` + const, so each further time costs one exponential per atom; in tiles, see
    ``sloc.populations.atoms``, unless classes are so small that the answer is as large as what tiles would save.
    """
    data = jnp.asarray(population.data)
    data = data if jnp.issubdtype(data.dtype, jnp.floating) else data.astype(float_dtype())
    batch, d = components.shape[0], data.shape[1]
    key_x, key_z = jax.random.split(key)
    index = _atom(population, key_x, components)
    z = jax.random.normal(key_z, (batch, d), data.dtype)
    a, sigma = process.coefficients(times)
    rates, prints = a / sigma, _fingerprints(data)
    if worth_tiling(population.counts):
        return class_log_sums(data, prints, population.counts, index, z, rates, kernel=population.kernel)
    squares, crosses = Draws.of(data, prints, index, z).products(data, prints)
    return jax.lax.map(lambda r: population.by_class(-0.5 * r * r * squares - r * crosses), rates)


def _fingerprints(data: Array) -> Array:
    """Return two 32-bit hashes of each row, ``[2, N]``: equal for equal rows, for others with probability 2^-64.

    Each coordinate is mixed by itself (MurmurHash3's finaliser) before the sum: sums of linear hashes agree for
    rows that differ by an even number of signs.
    """
    # Adding zero makes -0 and 0 one; integer sums are exact in any order.
    bits = jax.lax.bitcast_convert_type(data + jnp.zeros_like(data), jnp.uint32).reshape(data.shape[0], -1)
    salt = jax.random.bits(jax.random.key(0), (2, bits.shape[1]), jnp.uint32)
    h = bits[None] ^ salt[:, None, :]
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> jnp.uint32(shift))) * jnp.uint32(factor)
    return jnp.sum(h ^ (h >> jnp.uint32(16)), axis=-1, dtype=jnp.uint32)


@register_marginals(RevealingChannel, Empirical)
def empirical_revealing(process: RevealingChannel, population: Empirical, y: Any, t: Array) -> Array:
    """``log`` of the share of a class's atoms that agree with what is seen, plus the pattern's log mass; ``[K]``."""
    return empirical_marginals(process, population, y, t)


@empirical_revealing.paths
def empirical_revealing_paths(
    process: RevealingChannel, population: Empirical, key: Array, components: Array, times: Array
) -> Array:
    """``[T, K, B]`` up to a constant: one number per (draw, atom) settles every time.

    Atom ``i`` agrees with the observation at ``t`` exactly when every coordinate in which it differs from ``x`` is
    hidden, that is from the largest threshold among those on.  Thresholds are first replaced by the index of the
    first time they do not exceed, so that each time costs one comparison of small integers.
    """
    flat = population.data.reshape(population.num_atoms, -1)
    key_x, key_y = jax.random.split(key)
    index = _atom(population, key_x, components)
    shape = population.data.shape[1:]
    thresholds = jax.vmap(lambda k, x: process.thresholds(k, x))(
        jax.random.split(key_y, components.shape[0]), population.data[index].reshape(-1, *shape)
    ).reshape(components.shape[0], -1)
    count = times.shape[0]
    small = jnp.uint8 if count < 255 else jnp.int32
    # Hidden from times[first] on; `count` where it never is.
    first = jnp.searchsorted(times, thresholds.astype(times.dtype), side="left").astype(small)

    agreed = settled(flat, flat[index], first)  # [N, B]
    log_n = np.log(np.asarray(population.counts, np.float64))
    shift = jnp.asarray(log_n, float_dtype())[:, None]

    def at(step: Array) -> Array:
        # Counted in integers: exact, and the comparison is fused with the sum.
        hits = _class_sums((agreed <= step).astype(jnp.int32), population.counts)
        return jnp.log(hits.astype(float_dtype())) - shift

    return jax.lax.map(at, jnp.arange(count, dtype=jnp.int32).astype(small))


def settled(atoms: Array, x: Array, first: Array) -> Array:
    """``max_{l: atom_l != x_l} first_l`` of every atom and draw, ``[N, B]``; 0 where they do not differ.

    A few coordinates at a time, written out: as a reduction over coordinates the compiler would hold ``N B d`` numbers.

    Args:
        atoms: ``[N, d]``.
        x: ``[B, d]``.
        first: ``[B, d]``, unsigned or not negative.

    """
    d = atoms.shape[1]
    group = min(d, _TOGETHER)
    spare = -d % group

    def cut(values: Array) -> Array:
        # Coordinates that are made up are equal on both sides.
        return jnp.pad(values, ((0, 0), (0, spare))).T.reshape(-1, group, values.shape[0])

    def step(largest: Array, part: tuple[Array, Array, Array]) -> tuple[Array, None]:
        for atom, own, time in zip(*part, strict=True):
            differs = atom[:, None] != own[None]
            largest = jnp.maximum(largest, jnp.where(differs, time[None], jnp.zeros_like(time)[None]))
        return largest, None

    start = jnp.zeros((atoms.shape[0], x.shape[0]), first.dtype)
    return jax.lax.scan(step, start, (cut(atoms), cut(x), cut(first)))[0]


def _class_sums(x: Array, counts: Sequence[int]) -> Array:
    if all(c == 1 for c in counts):
        return x
    if len(counts) > _MANY_CLASSES:
        ids = jnp.asarray(np.repeat(np.arange(len(counts)), counts), jnp.int32)
        return jax.ops.segment_sum(x, ids, len(counts), indices_are_sorted=True)
    ends = np.cumsum(counts)
    return jnp.stack([jnp.sum(x[e - c : e], axis=0) for e, c in zip(ends, counts, strict=True)])
