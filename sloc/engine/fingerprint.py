"""What a run is, in words and digests: two runs with the same fingerprint draw the same numbers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
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

    Functions are named by module and qualified name: two closures of one function look the same.
    """
    if isinstance(value, functools.partial):
        return f"{describe(value.func)}{describe(value.args)}{describe(tuple(sorted(value.keywords.items())))}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ", ".join(f"{f.name}={describe(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{type(value).__qualname__}({fields})"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(describe(v) for v in value) + ")"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return _ADDRESS.sub("", repr(value))


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
    structure = _ADDRESS.sub("", str(jax.tree.structure(args)))
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
