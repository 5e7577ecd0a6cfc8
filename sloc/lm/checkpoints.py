"""Tensors of a checkpoint: single or sharded safetensors, read one at a time, LoRA adapters merged on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import some_names
from sloc.contracts.extras import need
from sloc.lm.config import DecoderConfig
from sloc.lm.families import Tensor, expected_shape
from sloc.lm.tokenizer import read_json

Path_ = tuple[str | int, ...]
# Buffers that some files carry, which are computed here.
_BUFFERS = re.compile(r"(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)$")
_PREFIXES = ("model.", "transformer.")


class TensorFiles:
    """The tensors of a folder by name."""

    def __init__(self, folder: Path) -> None:
        """Open the files of a folder; raises InvalidInput where there are none or a shard is missing."""
        self.folder: Path = folder
        self._stack = ExitStack()
        self.files: dict[str, Any] = {}
        index = read_json(folder / "model.safetensors.index.json")
        names = sorted(set(index.get("weight_map", {}).values())) or ["model.safetensors"]
        for name in names:
            require((folder / name).is_file(), "path", str(folder), f"a folder with {name} (weights as safetensors)")
            opened = _opened(self._stack, folder / name)
            self.files |= dict.fromkeys(opened.keys(), opened)
        lacking = [n for n in index.get("weight_map", {}) if n not in self.files]
        require(not lacking, "model.safetensors.index.json", some_names(lacking), "only tensors that its files hold")

    def __enter__(self) -> TensorFiles:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the files."""
        self._stack.close()

    def own_name(self, name: str) -> str | None:
        """Return the name under which a tensor is stored: checkpoints of bare decoders leave a prefix out."""
        bare = next((name.removeprefix(p) for p in _PREFIXES if name.startswith(p)), name)
        return next((n for n in (name, bare) if n in self.files), None)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self.files[name].get_slice(name).get_shape())

    def read(self, name: str) -> np.ndarray:
        """Return a tensor."""
        return np.asarray(self.files[name].get_tensor(name))

    def dtype(self) -> str:
        """Return what most files hold, as safetensors names it (``F32``, ``BF16``, ``F16``)."""
        name = next(iter(self.files))
        return str(self.files[name].get_slice(name).get_dtype())


def _opened(stack: ExitStack, file: Path, argument: str = "path") -> Any:
    need("lm", "safetensors", "a checkpoint of a language model")
    from safetensors import SafetensorError, safe_open

    try:
        return stack.enter_context(safe_open(file, framework="numpy"))
    except SafetensorError as error:
        raise InvalidInput(f"{argument} = {str(file)!r}: expected a safetensors file ({error})") from error


def read_weights(
    config: DecoderConfig, files: TensorFiles, names: Mapping[Path_, Tensor], adapter: Adapter | None = None
) -> Iterator[tuple[Path_, np.ndarray]]:
    """Yield each weight with its path in the tree, ``[out, in]``, after checking that all are there and fit.

    Raises:
        InvalidInput: tensors that are missing, left over, or of another shape; names them.

    """
    stored = {path: files.own_name(tensor.name) for path, tensor in names.items()}
    missing = sorted({names[path].name for path, name in stored.items() if name is None})
    used = set(stored.values())
    left = [n for n in files.files if n not in used and not _BUFFERS.search(n)]
    if config.tied:
        left = [n for n in left if n not in ("lm_head.weight", "model.transformer.ff_out.weight")]
    differ = []
    for path, name in stored.items():
        if name is not None:
            problem = _misfit(config, path, names[path], files.shape(name))
            differ += [f"{name} {problem}"] if problem else []
    faults = {"missing": missing, "not of this architecture": left, "of another shape": sorted(set(differ))}
    said = "; ".join(f"{what}: {some_names(which)}" for what, which in faults.items() if which)
    if said:
        raise InvalidInput(f"path = {str(files.folder)!r}: expected the tensors of a {config.family} model; {said}")
    if adapter is not None:
        adapter.check({str(n) for n in used})
    # Fused tensors serve several weights; the one read last is kept.
    last: tuple[str, np.ndarray] = ("", np.zeros(0))
    for path, name in stored.items():
        assert name is not None
        if last[0] != name:
            value = files.read(name)
            last = name, value if adapter is None else adapter.merged(name, value)
        value = last[1].T if names[path].transposed else last[1]
        rows = names[path].rows
        yield path, value if rows is None else value[rows[0] : rows[1]]


def _misfit(config: DecoderConfig, path: Path_, tensor: Tensor, shape: tuple[int, ...]) -> str:
    """Return how a tensor's shape differs from what is expected, or nothing."""
    want = expected_shape(config, path)
    have = shape[::-1] if tensor.transposed else shape
    if tensor.rows is None:
        return "" if have == want else f"{list(shape)}, not {list(want[::-1] if tensor.transposed else want)}"
    fits = have[1:] == want[1:] and have[:1] and have[0] >= tensor.rows[1]
    return "" if fits else f"{list(shape)}, which does not hold rows {tensor.rows} of {list(want[1:])} each"


class Adapter:
    """A LoRA adapter: ``W + scale B A`` for each weight that it changes.

    The scale is ``alpha / r``, or ``alpha / sqrt(r)`` where the adapter says so.

    Source: Hu et al. 2021 (arXiv 2106.09685).
    """

    def __init__(self, folder: Path) -> None:
        """Read an adapter's folder; raises InvalidInput for what is no plain LoRA adapter."""
        file = folder / "adapter_config.json"
        require(file.is_file(), "adapter", str(folder), f"a folder with {file.name}")
        settings = read_json(file, required=True)
        kind = settings.get("peft_type", "LORA")
        require(kind == "LORA", "adapter_config.json: peft_type", kind, "LORA")
        for key, usual in {"use_dora": False, "bias": "none", "modules_to_save": None}.items():
            given = settings.get(key, usual)
            require(given in (usual, None, []), f"adapter_config.json: {key}", given, f"{usual!r} (not supported)")
        self.folder: Path = folder
        self.settings: dict[str, Any] = settings
        file = folder / "adapter_model.safetensors"
        require(file.is_file(), "adapter", str(folder), f"a folder with {file.name}")
        with ExitStack() as stack:
            opened = _opened(stack, file, "adapter")
            tensors = {n: np.asarray(opened.get_tensor(n)).astype(np.float32) for n in opened.keys()}
        self.parts: dict[str, dict[str, np.ndarray]] = {}
        for name, value in tensors.items():
            found = re.fullmatch(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight", name)
            if found is None:
                raise InvalidInput(f"{file.name}: {name}: expected only lora_A and lora_B tensors of linear layers")
            self.parts.setdefault(found[1], {})[found[2]] = value
        halves = [m for m, pair in self.parts.items() if set(pair) != {"A", "B"}]
        require(not halves, file.name, some_names(halves), "both lora_A and lora_B of each layer")

    def _module(self, name: str) -> str | None:
        own = name.removesuffix(".weight")
        candidates = (own, *(p + own for p in _PREFIXES))
        return next((c for c in candidates if c in self.parts), None)

    def check(self, names: set[str]) -> None:
        """Refuse an adapter that changes layers which the model lacks; names them."""
        known = {self._module(n) for n in names}
        strange = [m for m in self.parts if m not in known]
        require(not strange, "adapter", some_names(strange), "only layers of the model it is merged into")

    def merged(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return a tensor with the adapter's change, formed in float32."""
        module = self._module(name) if name.endswith(".weight") else None
        if module is None:
            return value
        a, b = self.parts[module]["A"], self.parts[module]["B"]
        rank = a.shape[0]
        alpha = float(self.settings["lora_alpha"])
        for pattern, own in (self.settings.get("alpha_pattern") or {}).items():
            alpha = float(own) if re.search(rf"(^|\.){pattern}$", module) else alpha
        scale = alpha / (rank**0.5 if self.settings.get("use_rslora") else rank)
        change = scale * (b @ a)
        change = change.T if self.settings.get("fan_in_fan_out") else change
        fits = change.shape == value.shape
        require(fits, f"adapter: {module}", list(change.shape), f"the shape of the layer, {list(value.shape)}")
        return value.astype(np.float32) + change
