"""A language model: its switches, weights, tokenizer and how its makers sample from it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import (
    checked_choice,
    checked_key,
    checked_kind,
    checked_number,
    checked_path,
    checked_whole,
    is_one_of,
)
from sloc.contracts.extras import need
from sloc.lm.checkpoints import Adapter, TensorFiles, read_weights
from sloc.lm.config import DecoderConfig
from sloc.lm.families import expected_shape, read_config, tensor_names
from sloc.lm.sampling import Sampling
from sloc.lm.tokenizer import Tokenizer, read_json, read_tokenizer

_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class LanguageModel:
    """A decoder with its weights and tokenizer.

    Attributes:
        config: its switches.
        weights: a tree of arrays (see ``sloc.lm.layers.Weights``).
        tokenizer: or None, where texts are given as tokens.
        sampling: how its makers sample from it (``generation_config.json``).
        end_tokens: tokens that end a text.
        name: for tables and pages.

    """

    config: DecoderConfig
    weights: Any
    tokenizer: Tokenizer | None = None
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    end_tokens: tuple[int, ...] = ()
    name: str = ""

    @property
    def dtype(self) -> np.dtype:
        """Of the weights."""
        return np.dtype(self.weights["embed"].dtype)

    @property
    def parameters(self) -> int:
        """How many numbers the weights hold."""
        return sum(int(np.prod(a.shape)) for a in jax.tree.leaves(self.weights))

    def __repr__(self) -> str:
        """Return family, size and dtype on one line."""
        name = f"{self.name}: " if self.name else ""
        return f"LanguageModel({name}{self.config.family}, {self.parameters:,} parameters, {self.dtype})"

    def to_nnx(self) -> Any:
        """Return the decoder as a Flax NNX module, to be trained or taken apart by Flax's own tools.

        Its parameters are ``nnx.Param`` at the paths of :attr:`weights`; calling it with tokens ``[B, T]`` (and a mask)
        gives the logits of the next token at every place.  ``dataclasses.replace(model, weights=module.weights())`` is
        the way back.

        Raises:
            InvalidInput: Flax is not installed.

        """
        need("nn", "flax.nnx", "to_nnx")
        from sloc.lm.modules import DecoderModule

        return DecoderModule(self.config, self.weights)

    def tokens(self, text: Any, name: str = "text") -> np.ndarray:
        """Return a text's tokens ``[T]``: a str is encoded, turns go through the chat template, numbers pass.

        Raises:
            InvalidInput: text without a tokenizer, no tokens, tokens outside the vocabulary, or more than the context.

        """
        from sloc.lm.forward import check_tokens

        if isinstance(text, str) or (isinstance(text, Sequence) and len(text) > 0 and isinstance(text[0], Mapping)):
            tokenizer = self.tokenizer
            require(tokenizer is not None, name, text, "tokens: this model has no tokenizer")
            assert tokenizer is not None
            text = tokenizer.encode(text) if isinstance(text, str) else tokenizer.encode_chat(text)
        return check_tokens(self.config, text, name)


def load_model(
    path: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    mesh: Mesh | None = None,
    axis: str = "model",
) -> LanguageModel:
    """Load a checkpoint in the layout of Hugging Face: ``config.json``, safetensors (one file or shards), tokenizer.

    Pickled weights are never read.  A ``path`` that is no folder is taken as a hub id where ``huggingface_hub`` is
    installed.

    Args:
        path: the folder, or a hub id.
        dtype: ``"float32"`` or ``"bfloat16"``; as stored where None (float16 becomes float32).
        adapter: the folder of a LoRA adapter, merged into the weights.
        mesh: devices over which the weights are split (tensor parallelism); one device where None.
        axis: the mesh's axis to split over.

    Returns:
        The model.

    Raises:
        InvalidInput: no checkpoint there, an unknown architecture (says which are supported), or tensors that are
            missing, left over or of another shape (names them).

    """
    require(dtype is None or is_one_of(dtype, _DTYPES), "dtype", dtype, f"one of {_DTYPES}, or None")
    folder = _folder(checked_path(path, "path"))
    adapter = None if adapter is None else checked_path(adapter, "adapter")
    if mesh is not None:
        require(is_one_of(axis, mesh.axis_names), "axis", axis, f"an axis of the mesh, {mesh.axis_names}")
        # The compiler finds the shardings between the weights, whatever kind of axes the caller's mesh has.
        mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))
    settings = read_json(folder / "config.json", required=True)
    with _said_of(folder / "config.json"):
        config = read_config(settings)
    with TensorFiles(folder) as files:
        kind = dtype or ("bfloat16" if files.dtype() == "BF16" else "float32")
        weights: dict[str, Any] = {"layers": [{} for _ in range(config.layers)]}
        own = tensor_names(config, settings)
        for at, value in read_weights(config, files, own, None if adapter is None else Adapter(Path(adapter))):
            _put(weights, at, _placed(value, jnp.dtype(kind), mesh, at, axis))
    tokenizer = read_tokenizer(folder)
    given = read_json(folder / "generation_config.json")
    with _said_of(folder / "generation_config.json"):
        known = given.get("eos_token_id", settings.get("eos_token_id"))
        ends = tuple(int(t) for t in (known if isinstance(known, list) else [known]) if t is not None)
        sampling = Sampling.from_settings(given)
    return LanguageModel(config, weights, tokenizer, sampling, ends, folder.name)


@contextlib.contextmanager
def _said_of(file: Path) -> Generator[None, None, None]:
    """Name a file in refusals of what it says; what it says in another kind than it should is refused too."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{file.name}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, ArithmeticError) as error:
        raise InvalidInput(f"{file.name} = {str(file)!r}: expected entries of a checkpoint's ({error})") from error


def _folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    with contextlib.suppress(OSError):  # a name that is too long is no folder
        if folder.is_dir():
            return folder
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"path = {str(path)!r}: expected a checkpoint's folder (hub ids need huggingface_hub, not installed here)"
        ) from error
    try:
        return Path(snapshot_download(str(path), allow_patterns=["*.json", "*.safetensors", "*.jinja"]))
    except Exception as error:  # the hub's own errors, and those of the network beneath it
        raise InvalidInput(f"path = {str(path)!r}: expected a checkpoint's folder, or a hub id ({error})") from error


def _put(weights: dict[str, Any], path: tuple[str | int, ...], value: jax.Array) -> None:
    at: Any = weights
    for step in path[:-1]:
        at = at[step] if isinstance(step, int) else at.setdefault(step, {})
    at[path[-1]] = value


def _placed(value: np.ndarray, dtype: Any, mesh: Mesh | None, path: tuple[str | int, ...], axis: str) -> jax.Array:
    value = np.ascontiguousarray(value.astype(dtype))
    if mesh is None:
        return jnp.asarray(value)
    return jax.device_put(value, NamedSharding(mesh, partition(path, value.shape, mesh.shape[axis], axis)))


def partition(path: tuple[str | int, ...], shape: tuple[int, ...], parts: int, axis: str) -> PartitionSpec:
    """Return how a weight is split over ``parts`` devices: heads and hidden features, and the vocabulary.

    Rows of what makes queries, keys, values and hidden features; columns of what mixes them again, so that one sum
    over devices a sub-layer suffices (Shoeybi et al. 2019, arXiv 1909.08053).  What does not divide is replicated.

    Args:
        path: of the weight in the tree.
        shape: of the weight.
        parts: how many devices.
        axis: name of the mesh's axis.

    """
    part = str(path[2]) if path[0] == "layers" else str(path[0])
    rows = part in ("q", "k", "v", "gate", "up", "embed", "head")
    columns = part in ("o", "down") and path[-1] == "w"
    dimension = 0 if rows else 1 if columns else None
    if dimension is None or shape[dimension] % parts:
        return PartitionSpec()
    return PartitionSpec(axis) if dimension == 0 else PartitionSpec(None, axis)


def random_model(
    key: jax.Array, config: DecoderConfig, *, dtype: str = "float32", scale: float = 0.02
) -> LanguageModel:
    """Return a model with random weights: for tests, for pages that download nothing, and for timings.

    Args:
        key: typed PRNG key.
        config: its switches.
        dtype: of the weights.
        scale: standard deviation of matrices (normals); vectors of norms are near one, biases near zero.

    Raises:
        InvalidInput: no typed key, no configuration, another dtype, or a scale that is not positive.

    """
    checked_key(key)
    checked_kind(config, "config", DecoderConfig, "a DecoderConfig")
    checked_choice(dtype, "dtype", _DTYPES)
    scale = checked_number(scale, "scale", 0)
    from sloc.lm.families import tensor_names

    config.validate()
    settings = dict(attention_bias=False)
    weights: dict[str, Any] = {"layers": [{} for _ in range(config.layers)]}
    for i, path in enumerate(tensor_names(config, settings)):
        shape = expected_shape(config, path)
        draw = scale * jax.random.normal(jax.random.fold_in(key, i), shape, jnp.float32)
        _put(weights, path, (1 + draw if path[-1] == "scale" else draw).astype(dtype))
    return LanguageModel(config, weights, name=f"random {config.family}")


def small_config(vocabulary: int, *, width: int = 64, layers: int = 2, heads: int = 4, **more: Any) -> DecoderConfig:
    """Return a small decoder of the Llama family.

    Args:
        vocabulary: how many tokens.
        width: features of a token, divisible by ``heads``.
        layers: how many.
        heads: of the attention.
        more: any other entry of :class:`DecoderConfig`.

    Raises:
        InvalidInput: numbers that are no whole ones, or entries that do not fit each other.

    """
    vocabulary, width = checked_whole(vocabulary, "vocabulary"), checked_whole(width, "width")
    layers, heads = checked_whole(layers, "layers"), checked_whole(heads, "heads")
    from sloc.lm.rotary import rotary_from

    longest = checked_whole(more.get("max_positions", 512), "max_positions")
    given: dict[str, Any] = dict(
        family="llama",
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        hidden=4 * math.ceil(2 * width / 3),
        max_positions=longest,
        rotary=rotary_from({}, width // heads, longest),
    )
    config = DecoderConfig(**{**given, **more})
    config.validate()
    return config
