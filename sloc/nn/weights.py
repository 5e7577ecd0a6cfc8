"""Weights on disk: safetensors, and nothing that runs code when it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import checked_file, checked_kind, some_names
from sloc.contracts.writing import checked_target, write_whole
from sloc.nn.checks import checked_network

# What pickled files begin with: Python's pickle from protocol 2 on, and the zip archive of torch.save.
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def named_arrays(tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a pytree by dotted path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_dotted(path): np.asarray(leaf) for path, leaf in leaves}


def _dotted(path: Any) -> str:
    parts = []
    for step in path:
        name = next((getattr(step, a) for a in ("key", "name", "idx") if hasattr(step, a)), None)
        if name not in (None, "value"):
            parts.append(str(name))
    return ".".join(parts) or "."


def save_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], notes: Mapping[str, str], argument: str = "path"
) -> Path:
    """Write arrays as safetensors, whole or not at all; ``argument`` is the caller's name of ``path``."""
    from safetensors.numpy import save

    file = checked_target(path, argument)
    content = save({name: np.asarray(v, order="C") for name, v in arrays.items()}, dict(notes))
    return write_whole(file, content, argument)


def load_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read arrays and notes from a safetensors file.

    Raises:
        InvalidInput: no file, a pickled one (refused unread: reading it could run any code), or no safetensors.

    """
    from safetensors import SafetensorError, safe_open

    file = checked_file(path, "path", "a safetensors file that exists")
    with file.open("rb") as stream:
        start = stream.read(4)
    pickled = any(start.startswith(mark) for mark in _PICKLES)
    require(not pickled, "path", str(path), "safetensors; this file is pickled, and reading one can run any code")
    try:
        with safe_open(file, framework="numpy") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"path = {str(path)!r}: expected a safetensors file ({error})") from error


def fill(tree: Any, arrays: Mapping[str, np.ndarray], source: str) -> Any:
    """Return a pytree with its arrays replaced by those of the same dotted path.

    Raises:
        InvalidInput: arrays that are missing, left over, or of another shape; names them.

    """
    own = named_arrays(tree)
    differ = [n for n in own if n in arrays and arrays[n].shape != own[n].shape]
    faults = {
        "missing": [n for n in own if n not in arrays],
        "not of this network": [n for n in arrays if n not in own],
        "of another shape": [f"{n} {list(arrays[n].shape)}, not {list(own[n].shape)}" for n in differ],
    }
    said = "; ".join(f"{what}: {some_names(names)}" for what, names in faults.items() if names)
    if said:
        raise InvalidInput(f"path = {source!r}: expected the weights of this network; {said}")
    structure = jax.tree.structure(tree)
    dtypes = [np.asarray(v).dtype for v in jax.tree.leaves(tree)]
    values = [jax.numpy.asarray(arrays[n], d) for n, d in zip(own, dtypes, strict=True)]
    return jax.tree.unflatten(structure, values)


def save_weights(path: str | os.PathLike[str], model: nnx.Module, **notes: str) -> Path:
    """Write a network's weights as safetensors, by dotted path; whole or not at all.

    Args:
        path: the file.
        model: the network.
        notes: text kept in the file's header.

    Returns:
        The file.

    Raises:
        InvalidInput: no network, or no place for a file.
        OSError: the disk is full.

    """
    checked_network(model)
    for name, note in notes.items():
        checked_kind(note, name, str, "a text")
    return save_arrays(path, named_arrays(nnx.state(model, nnx.Param)), notes)


def load_weights(path: str | os.PathLike[str], model: Any) -> Any:
    """Return a copy of a network with the weights of a safetensors file.

    Args:
        path: a safetensors file.
        model: a network of the shapes that the file holds.

    Returns:
        The copy.

    Raises:
        InvalidInput: no such file, a pickled one, or tensors that are not those of the network, or not finite; names
            them.

    """
    checked_network(model)
    arrays, _ = load_arrays(path)
    broken = [name for name, values in arrays.items() if not np.isfinite(values.astype(np.float32)).all()]
    if broken:
        words = f"numbers that are finite; NaN or infinite in: {some_names(broken)}"
        raise InvalidInput(f"path = {str(path)!r}: expected {words}")
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    return nnx.merge(graph, fill(params, arrays, str(path)), rest)
