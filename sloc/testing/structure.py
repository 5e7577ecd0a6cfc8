"""Checks of form: registration, round trips, transformations, shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from sloc.contracts import check_registered
from sloc.testing.conformance import ConformanceReport, expect, failing_as


def spec(tree: Any) -> str:
    """Return shapes and dtypes of a pytree as text, for comparison and for messages."""
    leaves, treedef = jax.tree.flatten(tree)
    shapes = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves)
    return shapes if jax.tree_util.treedef_is_leaf(treedef) else f"{treedef} of {shapes}"


def check_pytree(obj: Any, argument: str, base: type, report: ConformanceReport) -> Any:
    """Check registration, static hashability, ``validate``, ``canonical`` and the flatten round trip.

    Returns:
        The canonical copy.

    Raises:
        ConformanceError: one of them fails.

    """
    name = type(obj).__name__
    with failing_as(name):
        check_registered(obj, argument, base)
        obj.validate()
    with failing_as(f"{name}.canonical()"):
        canonical = obj.canonical()
    for leaf in jax.tree.leaves(canonical):
        expect(
            isinstance(leaf, jax.Array) and not leaf.weak_type,
            f"{name}.canonical() leaves a leaf of type {type(leaf).__name__}; leaves must be numeric arrays: "
            "mark structure with field(metadata={'static': True})",
        )
    with failing_as(f"{name}: flatten and unflatten"):
        leaves, treedef = jax.tree.flatten(canonical)
        again = jax.tree.unflatten(treedef, leaves)
        hash(treedef)
        # Unflattening happens with placeholders too: a check in __post_init__ would fail here.
        jax.tree.unflatten(treedef, [object() for _ in leaves])
    if dataclasses.is_dataclass(canonical):
        for f in dataclasses.fields(canonical):
            old, new = getattr(canonical, f.name), getattr(again, f.name)
            same = old == new if f.metadata.get("static", False) else _same_leaves(old, new)
            expect(same, f"{name}.{f.name} does not survive flatten and unflatten: it must be a leaf or a static field")
    report.checked.append("registered pytree, hashable structure, canonical() and flatten round trip")
    return canonical


def _same_leaves(first: Any, second: Any) -> bool:
    a, b = jax.tree.leaves(first), jax.tree.leaves(second)
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def check_transforms(label: str, fn: Callable[..., Any], obj: Any, batch: tuple[Any, ...]) -> Any:
    """Check that a method gives the same under no transformation, ``jit``, ``vmap`` and ``shard_map``.

    The last is ``jax.shard_map`` with ``check_vma=False`` over a mesh of one device, as in the engine.

    Args:
        label: what is checked, for messages.
        fn: ``(obj, *args) -> pytree``.
        obj: the canonical process or population, or a pytree of them.
        batch: arguments with a leading axis of at least 2.

    Returns:
        The batched result.

    Raises:
        ConformanceError: a transformation fails, or changes the result beyond rounding.

    """
    size = jax.tree.leaves(batch)[0].shape[0]
    rows = [jax.tree.map(lambda leaf, i=i: leaf[i], batch) for i in range(size)]
    mesh = jax.make_mesh((1,), ("devices",), devices=jax.devices()[:1])
    every = PartitionSpec()

    def batched(o: Any, *args: Any) -> Any:
        return jax.vmap(lambda *row: fn(o, *row))(*args)

    with failing_as(f"{label} fails without jit"):
        eager = fn(obj, *rows[0])
    jitted = jax.jit(fn)
    with failing_as(f"{label} fails under jax.jit"):
        single = [jitted(obj, *row) for row in rows]
    with failing_as(f"{label} fails under jax.vmap"):
        jax.eval_shape(batched, obj, *batch)
    with failing_as(f"{label} fails inside jax.shard_map"):
        inside = jax.shard_map(batched, mesh=mesh, in_specs=every, out_specs=every, check_vma=False)
        together = jax.jit(inside)(obj, *batch)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *single)
    difference = describe_difference(jax.tree.map(jnp.asarray, eager), single[0])
    expect(not difference, f"{label}: jit and no jit differ: {difference}")
    difference = describe_difference(together, stacked)
    expect(not difference, f"{label}: vmap inside shard_map and a loop differ: {difference}")
    return together


def describe_difference(first: Any, second: Any, rtol: float = 5e-4) -> str:
    """Return in words how two pytrees differ beyond rounding, or the empty string."""
    if spec(first) != spec(second):
        return f"{spec(first)} against {spec(second)}"
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind not in "fc":
            if not np.array_equal(a, b):
                return f"{a.ravel()[:4]} against {b.ravel()[:4]}"
            continue
        scale = float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a)))
        if not np.allclose(a, b, rtol=rtol, atol=1e-5 * scale, equal_nan=True):
            return f"{a.ravel()[:4]} against {b.ravel()[:4]}"
    return ""
