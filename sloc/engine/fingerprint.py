"""What a run is, in words and digests: two runs with the same fingerprint draw the same numbers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import re
import sys
from typing import Any

import jax
import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
FORMAT = 1
"""Version of the layout of checkpoints."""


def describe(value: Any) -> str:
    """Return a text of a hashable object that is the same in every process.

    Functions are told apart by name, code, defaults and what they close over; arrays by their contents; objects
    without a text of their own by their attributes.
    """
    if isinstance(value, functools.partial):
        return f"{describe(value.func)}{describe(value.args)}{describe(tuple(sorted(value.keywords.items())))}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ", ".join(f"{f.name}={describe(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{type(value).__qualname__}({fields})"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(describe(v) for v in value) + ")"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in sorted(value.items(), key=lambda kv: repr(kv[0]))) + "}"
        )
    if isinstance(value, (np.ndarray, jax.Array)):
        return f"array {digest_of(value)}"
    if inspect.ismethod(value):
        return f"{describe(value.__func__)} of {describe(value.__self__)}"
    if inspect.isfunction(value):
        cells = [c.cell_contents for c in value.__closure__ or () if _filled(c)]
        inside = describe((value.__defaults__ or (), value.__kwdefaults__ or {}, cells))
        digest = hashlib.sha256(f"{_code(value.__code__)} {inside}".encode()).hexdigest()[:16]
        return f"{value.__module__}.{value.__qualname__} {digest}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__"):
        return f"{type(value).__qualname__}({describe(vars(value))})"
    return _ADDRESS.sub("", repr(value))


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return False
    return True


def _code(code: Any) -> str:
    """Return what a function does, without where it stands."""
    constants = [_code(c) if inspect.iscode(c) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _structure(tree: Any) -> str:
    """Return the static part of a pytree in words that hold in every process."""
    found = jax.tree.structure(tree)
    parts, waiting = [], [found]
    while waiting:
        node = waiting.pop()
        data = node.node_data()
        parts.append("leaf" if data is None else f"{data[0].__qualname__} {describe(data[1])}")
        waiting.extend(node.children())
    return " ".join(parts)


def digest_of(tree: Any) -> str:
    """Return the SHA-256 of the leaves of a pytree: shapes, types and bytes."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            found.update(str(leaf.dtype).encode())
            leaf = jax.random.key_data(leaf)
        array = np.ascontiguousarray(np.asarray(leaf))
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def fingerprint(kernel: Any, args: Any, key: Any, **numbers: Any) -> dict[str, str]:
    """Return what decides a run's numbers, item by item, so that a refusal can name what differs.

    Args:
        kernel: the kernel.
        args: its arguments.
        key: the PRNG key.
        **numbers: whatever else, such as the number of blocks.

    """
    structure = _structure(args)
    return {
        "sloc": sys.modules["sloc"].__version__,
        "jax": jax.__version__,
        "precision": str(jax.numpy.result_type(float)),
        "kernel": describe(kernel),
        "structure of the arguments": hashlib.sha256(structure.encode()).hexdigest(),
        "arguments": digest_of(args),
        "key": f"{key.dtype} {np.asarray(jax.random.key_data(key)).tolist()}",
        **{name: describe(value) for name, value in numbers.items()},
    }


def stage_name(prints: dict[str, str]) -> str:
    """Return a short name of a fingerprint."""
    return hashlib.sha256(json.dumps(prints, sort_keys=True).encode()).hexdigest()[:16]
