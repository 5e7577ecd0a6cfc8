"""Checkpoints of each family: their configuration and the names of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sloc.contracts import InvalidInput, require
from sloc.lm.config import DecoderConfig
from sloc.lm.rotary import rotary_from

Settings = Mapping[str, Any]
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


@dataclass(frozen=True)
class Tensor:
    """Where a weight of ours comes from in a checkpoint.

    Attributes:
        name: in the checkpoint.
        rows: of which part of its rows ``(start, stop)``, after ``transposed``; None for all (fused tensors).
        transposed: whether the checkpoint stores ``[in, out]`` (GPT-2).

    """

    name: str
    rows: tuple[int, int] | None = None
    transposed: bool = False


def read_config(settings: Settings) -> DecoderConfig:
    """Return the decoder that a checkpoint's ``config.json`` describes.

    Raises:
        InvalidInput: an unknown architecture (says which are supported), a missing entry, or one that is not supported.

    """
    kind = str(settings.get("model_type", ""))
    require(kind in _READERS, "config.json: model_type", kind, f"a supported architecture: {', '.join(SUPPORTED)}")
    try:
        config = _READERS[kind](settings)
    except KeyError as error:
        raise InvalidInput(
            f"config.json: expected an entry {error.args[0]!r}, which a {kind} checkpoint has"
        ) from error
    config.validate()
    return config


def _activation(settings: Settings, key: str = "hidden_act") -> str:
    name = settings.get(key, "silu")
    require(name in _ACTIVATIONS, f"config.json: {key}", name, f"one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _windows(settings: Settings, size: int | None) -> tuple[int, ...]:
    layers = settings["num_hidden_layers"]
    if not size:
        return ()
    kinds = settings.get("layer_types")
    if kinds is None:
        first = settings.get("max_window_layers", 0) if "use_sliding_window" in settings else 0
        kinds = ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]
    return tuple(int(size) if kind == "sliding_attention" else 0 for kind in kinds)


def _common(settings: Settings, family: str, **more: Any) -> DecoderConfig:
    heads, width = settings["num_attention_heads"], settings["hidden_size"]
    head_dim = settings.get("head_dim") or width // heads
    longest = settings["max_position_embeddings"]
    given: dict[str, Any] = dict(
        family=family,
        vocabulary=settings["vocab_size"],
        width=width,
        layers=settings["num_hidden_layers"],
        heads=heads,
        kv_heads=settings.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        hidden=settings["intermediate_size"],
        max_positions=longest,
        rotary=rotary_from(settings, head_dim, longest),
        norm_epsilon=settings.get("rms_norm_eps", 1e-6),
        activation=_activation(settings),
        tied=bool(settings.get("tie_word_embeddings", False)),
    )
    return DecoderConfig(**{**given, **more})


def _llama(settings: Settings) -> DecoderConfig:
    return _common(settings, "llama")


def _mistral(settings: Settings) -> DecoderConfig:
    return _common(settings, "mistral", windows=_windows(settings, settings.get("sliding_window")))


def _qwen(settings: Settings, family: str) -> DecoderConfig:
    size = settings.get("sliding_window") if settings.get("use_sliding_window") else None
    return _common(settings, family, windows=_windows(settings, size), qk_norm=family == "qwen3")


def _phi3(settings: Settings) -> DecoderConfig:
    return _common(settings, "phi3", windows=_windows(settings, settings.get("sliding_window")))


def _gpt2(settings: Settings) -> DecoderConfig:
    unusual = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
    for key, usual in unusual.items():
        require(settings.get(key, usual) == usual, f"config.json: {key}", settings.get(key), f"{usual}")
    width, heads = settings["n_embd"], settings["n_head"]
    return DecoderConfig(
        family="gpt2",
        vocabulary=settings["vocab_size"],
        width=width,
        layers=settings["n_layer"],
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        hidden=settings.get("n_inner") or 4 * width,
        max_positions=settings["n_positions"],
        rotary=None,
        norm="layer",
        norm_epsilon=settings.get("layer_norm_epsilon", 1e-5),
        activation=_activation({"activation_function": "gelu_new", **settings}, "activation_function"),
        gated=False,
        tied=bool(settings.get("tie_word_embeddings", True)),
    )


def _llada(settings: Settings) -> DecoderConfig:
    expected = {"block_type": "llama", "layer_norm_type": "rms", "activation_type": "silu", "rope": True}
    for key, usual in expected.items():
        require(settings.get(key, usual) == usual, f"config.json: {key}", settings.get(key), f"{usual!r}")
    width, heads, longest = settings["d_model"], settings["n_heads"], settings["max_sequence_length"]
    return DecoderConfig(
        family="llada",
        vocabulary=settings.get("embedding_size") or settings["vocab_size"],
        width=width,
        layers=settings["n_layers"],
        heads=heads,
        kv_heads=settings.get("n_kv_heads") or heads,
        head_dim=width // heads,
        hidden=settings.get("mlp_hidden_size") or settings["mlp_ratio"] * width,
        max_positions=longest,
        rotary=rotary_from(settings, width // heads, longest),
        norm_epsilon=settings.get("rms_norm_eps", 1e-5),
        causal=False,
        tied=bool(settings.get("weight_tying", False)),
        mask_token=settings["mask_token_id"],
    )


_READERS: dict[str, Callable[[Settings], DecoderConfig]] = {
    "gpt2": _gpt2,
    "llada": _llada,
    "llama": _llama,
    "mistral": _mistral,
    "phi3": _phi3,
    "qwen2": lambda s: _qwen(s, "qwen2"),
    "qwen3": lambda s: _qwen(s, "qwen3"),
}
SUPPORTED = tuple(sorted(_READERS))
"""Architectures by the ``model_type`` of their ``config.json``."""


# --------------------------------------------------------------------------------------------
# Names of tensors: ours, as a path in the tree of weights, to theirs
# --------------------------------------------------------------------------------------------

_LLAMA_LAYER = {
    ("q", "w"): "self_attn.q_proj.weight",
    ("k", "w"): "self_attn.k_proj.weight",
    ("v", "w"): "self_attn.v_proj.weight",
    ("o", "w"): "self_attn.o_proj.weight",
    ("gate", "w"): "mlp.gate_proj.weight",
    ("up", "w"): "mlp.up_proj.weight",
    ("down", "w"): "mlp.down_proj.weight",
    ("attn_norm", "scale"): "input_layernorm.weight",
    ("mlp_norm", "scale"): "post_attention_layernorm.weight",
}
_LLAMA_BIASES = {
    **{(n, "b"): f"self_attn.{n}_proj.bias" for n in ("q", "k", "v", "o")},
    **{(n, "b"): f"mlp.{n}_proj.bias" for n in ("gate", "up", "down")},
}
_LLADA_LAYER = {
    ("q", "w"): "q_proj.weight",
    ("k", "w"): "k_proj.weight",
    ("v", "w"): "v_proj.weight",
    ("o", "w"): "attn_out.weight",
    ("gate", "w"): "ff_proj.weight",
    ("up", "w"): "up_proj.weight",
    ("down", "w"): "ff_out.weight",
    ("attn_norm", "scale"): "attn_norm.weight",
    ("mlp_norm", "scale"): "ff_norm.weight",
}
_LLADA_BIASES = {(name, "b"): theirs.replace(".weight", ".bias") for (name, _), theirs in _LLADA_LAYER.items()}


def tensor_names(config: DecoderConfig, settings: Settings) -> dict[tuple[str | int, ...], Tensor]:
    """Return, for each weight of ours by its path, where it comes from in a checkpoint of this family."""
    if config.family == "gpt2":
        return _gpt2_names(config)
    if config.family == "llada":
        return _llada_names(config, settings)
    return _llama_names(config, settings)


def _llama_names(config: DecoderConfig, settings: Settings) -> dict[tuple[str | int, ...], Tensor]:
    names: dict[tuple[str | int, ...], Tensor] = {
        ("embed",): Tensor("model.embed_tokens.weight"),
        ("norm", "scale"): Tensor("model.norm.weight"),
    }
    if not config.tied:
        names[("head",)] = Tensor("lm_head.weight")
    biased = set()
    if config.family == "qwen2":
        biased = {"q", "k", "v"}
    elif config.family in ("llama", "qwen3"):
        biased = {"q", "k", "v", "o"} if settings.get("attention_bias") else set()
        biased |= {"gate", "up", "down"} if config.family == "llama" and settings.get("mlp_bias") else set()
    for i in range(config.layers):
        layer = {path: Tensor(f"model.layers.{i}.{theirs}") for path, theirs in _LLAMA_LAYER.items()}
        layer |= {p: Tensor(f"model.layers.{i}.{t}") for p, t in _LLAMA_BIASES.items() if p[0] in biased}
        if config.qk_norm:
            layer |= {(f"{n}_norm", "scale"): Tensor(f"model.layers.{i}.self_attn.{n}_norm.weight") for n in "qk"}
        if config.family == "phi3":
            layer |= _phi3_fused(config, f"model.layers.{i}")
        names |= {("layers", i, *path): tensor for path, tensor in layer.items()}
    return names


def _phi3_fused(config: DecoderConfig, layer: str) -> dict[tuple[str, str], Tensor]:
    q, kv, hidden = config.heads * config.head_dim, config.kv_heads * config.head_dim, config.hidden
    fused, wide = f"{layer}.self_attn.qkv_proj.weight", f"{layer}.mlp.gate_up_proj.weight"
    return {
        ("q", "w"): Tensor(fused, (0, q)),
        ("k", "w"): Tensor(fused, (q, q + kv)),
        ("v", "w"): Tensor(fused, (q + kv, q + 2 * kv)),
        ("gate", "w"): Tensor(wide, (0, hidden)),
        ("up", "w"): Tensor(wide, (hidden, 2 * hidden)),
    }


def _gpt2_names(config: DecoderConfig) -> dict[tuple[str | int, ...], Tensor]:
    names: dict[tuple[str | int, ...], Tensor] = {
        ("embed",): Tensor("transformer.wte.weight"),
        ("positions",): Tensor("transformer.wpe.weight"),
        ("norm", "scale"): Tensor("transformer.ln_f.weight"),
        ("norm", "bias"): Tensor("transformer.ln_f.bias"),
    }
    if not config.tied:
        names[("head",)] = Tensor("lm_head.weight")
    e = config.width
    for i in range(config.layers):
        at = f"transformer.h.{i}"
        layer: dict[tuple[str, str], Tensor] = {}
        for n, part in zip("qkv", range(3), strict=True):
            layer[(n, "w")] = Tensor(f"{at}.attn.c_attn.weight", (part * e, part * e + e), True)
            layer[(n, "b")] = Tensor(f"{at}.attn.c_attn.bias", (part * e, part * e + e))
        for ours, theirs in {"o": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"}.items():
            layer[(ours, "w")] = Tensor(f"{at}.{theirs}.weight", None, True)
            layer[(ours, "b")] = Tensor(f"{at}.{theirs}.bias")
        for ours, theirs in {"attn_norm": "ln_1", "mlp_norm": "ln_2"}.items():
            layer[(ours, "scale")], layer[(ours, "bias")] = (Tensor(f"{at}.{theirs}.{w}") for w in ("weight", "bias"))
        names |= {("layers", i, *path): tensor for path, tensor in layer.items()}
    return names


def _llada_names(config: DecoderConfig, settings: Settings) -> dict[tuple[str | int, ...], Tensor]:
    names: dict[tuple[str | int, ...], Tensor] = {
        ("embed",): Tensor("model.transformer.wte.weight"),
        ("norm", "scale"): Tensor("model.transformer.ln_f.weight"),
    }
    if not config.tied:
        names[("head",)] = Tensor("model.transformer.ff_out.weight")
    biased = {"q", "k", "v"} if settings.get("include_qkv_bias") else set()
    biased |= {"q", "k", "v", "o", "gate", "up", "down"} if settings.get("include_bias") else set()
    for i in range(config.layers):
        at = f"model.transformer.blocks.{i}"
        names |= {("layers", i, *path): Tensor(f"{at}.{theirs}") for path, theirs in _LLADA_LAYER.items()}
        names |= {("layers", i, *p): Tensor(f"{at}.{t}") for p, t in _LLADA_BIASES.items() if p[0] in biased}
    return names


def shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each kind of weight ``(part, "w")`` by part, and of the vectors."""
    c = config
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    return {
        "embed": (c.vocabulary, c.width),
        "head": (c.vocabulary, c.width),
        "positions": (c.max_positions, c.width),
        "q": (q, c.width),
        "k": (kv, c.width),
        "v": (kv, c.width),
        "o": (c.width, q),
        "gate": (c.hidden, c.width),
        "up": (c.hidden, c.width),
        "down": (c.width, c.hidden),
        "q_norm": (c.head_dim,),
        "k_norm": (c.head_dim,),
        "attn_norm": (c.width,),
        "mlp_norm": (c.width,),
        "norm": (c.width,),
    }


def expected_shape(config: DecoderConfig, path: tuple[str | int, ...]) -> tuple[int, ...]:
    """Return the shape of the weight at a path of the tree."""
    known = shapes(config)
    part = str(path[2]) if path[0] == "layers" else str(path[0])
    return known[part][:1] if path[-1] == "b" else known[part]
