"""Small random checkpoints of every family, in the layout of Hugging Face, made without its library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

_BASE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
_PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
_FACTORS = {"short_factor": [1.0, 1.1, 1.3, 1.9], "long_factor": [1.5, 2.0, 4.0, 9.0]}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {
        **_BASE,
        "model_type": "llama",
        "head_dim": 8,
        "rope_parameters": _PLAIN,
    },
    "llama, tied, old entries": {
        **_BASE,
        "model_type": "llama",
        "tie_word_embeddings": True,
        "rope_theta": 10000.0,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "llama 3": {**_BASE, "model_type": "llama", "rope_parameters": _LLAMA3},
    "llama, linear": {
        **_BASE,
        "model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4},
    },
    "mistral": {
        **_BASE,
        "model_type": "mistral",
        "sliding_window": 5,
        "rope_parameters": _PLAIN,
    },
    "qwen2": {**_BASE, "model_type": "qwen2", "rope_parameters": _YARN},
    "qwen2, windows": {
        **_BASE,
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 1,
        "rope_parameters": _PLAIN,
    },
    "qwen3": {
        **_BASE,
        "model_type": "qwen3",
        "head_dim": 16,
        "rope_parameters": {**_PLAIN, "rope_theta": 1e6},
    },
    "phi3": {
        **_BASE,
        "model_type": "phi3",
        "original_max_position_embeddings": 16,
        "rope_theta": 10000.0,
        "pad_token_id": 0,
        "rope_scaling": {"type": "longrope", **_FACTORS},
    },
    "phi3, windows": {
        **_BASE,
        "model_type": "phi3",
        "original_max_position_embeddings": 128,
        "sliding_window": 6,
        "pad_token_id": 0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
    },
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 97,
        "n_embd": 48,
        "n_layer": 3,
        "n_head": 6,
        "n_positions": 128,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    },
    "llada": {
        "model_type": "llada",
        "d_model": 48,
        "n_heads": 6,
        "n_kv_heads": 2,
        "n_layers": 3,
        "mlp_hidden_size": 80,
        "vocab_size": 97,
        "embedding_size": 97,
        "max_sequence_length": 128,
        "rope_theta": 500000.0,
        "rms_norm_eps": 1e-5,
        "block_type": "llama",
        "layer_norm_type": "rms",
        "activation_type": "silu",
        "rope": True,
        "weight_tying": False,
        "mask_token_id": 96,
    },
}
"""Configurations by name."""


def random_tensors(settings: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Return random tensors under the names that checkpoints of the family use."""
    rng = np.random.default_rng(seed)
    kind = settings["model_type"]
    shapes = {"gpt2": _gpt2_shapes, "llada": _llada_shapes}.get(kind, _llama_shapes)(settings)
    out = {}
    for name, shape in shapes.items():
        norm = len(shape) == 1 and name.endswith("weight")
        value = rng.normal(size=shape) * (0.1 if norm else 0.02 if len(shape) == 1 else 1.5 * shape[-1] ** -0.5)
        out[name] = (1 + value if norm else value).astype(np.float32)
    return out


def _llama_shapes(s: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    e, hidden, kind = s["hidden_size"], s["intermediate_size"], s["model_type"]
    d = s.get("head_dim") or e // s["num_attention_heads"]
    q, kv = d * s["num_attention_heads"], d * s["num_key_value_heads"]
    out: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (s["vocab_size"], e), "model.norm.weight": (e,)}
    if not s["tie_word_embeddings"]:
        out["lm_head.weight"] = (s["vocab_size"], e)
    for i in range(s["num_hidden_layers"]):
        at = f"model.layers.{i}."
        linear = {"self_attn.o_proj": (e, q), "mlp.down_proj": (e, hidden)}
        if kind == "phi3":
            linear |= {"self_attn.qkv_proj": (q + 2 * kv, e), "mlp.gate_up_proj": (2 * hidden, e)}
        else:
            linear |= {"self_attn.q_proj": (q, e), "self_attn.k_proj": (kv, e), "self_attn.v_proj": (kv, e)}
            linear |= {"mlp.gate_proj": (hidden, e), "mlp.up_proj": (hidden, e)}
        for name, shape in linear.items():
            out[f"{at}{name}.weight"] = shape
            attention = "self_attn" in name
            biased = (kind == "qwen2" and attention and "o_proj" not in name) or s.get(
                "attention_bias" if attention else "mlp_bias", False
            )
            if biased:
                out[f"{at}{name}.bias"] = shape[:1]
        out |= {f"{at}{n}_layernorm.weight": (e,) for n in ("input", "post_attention")}
        if kind == "qwen3":
            out |= {f"{at}self_attn.{n}_norm.weight": (d,) for n in "qk"}
    return out


def _gpt2_shapes(s: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    e = s["n_embd"]
    out: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (s["vocab_size"], e),
        "transformer.wpe.weight": (s["n_positions"], e),
    }
    norms = ["transformer.ln_f"]
    for i in range(s["n_layer"]):
        at = f"transformer.h.{i}."
        norms += [f"{at}ln_1", f"{at}ln_2"]
        linear = {"attn.c_attn": (e, 3 * e), "attn.c_proj": (e, e), "mlp.c_fc": (e, 4 * e), "mlp.c_proj": (4 * e, e)}
        for name, shape in linear.items():
            out |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[1:]}
    for norm in norms:
        out |= {f"{norm}.weight": (e,), f"{norm}.bias": (e,)}
    return out


def _llada_shapes(s: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    e, hidden = s["d_model"], s["mlp_hidden_size"]
    kv = e // s["n_heads"] * s["n_kv_heads"]
    top = "model.transformer."
    out: dict[str, tuple[int, ...]] = {
        f"{top}wte.weight": (s["embedding_size"], e),
        f"{top}ff_out.weight": (s["embedding_size"], e),
        f"{top}ln_f.weight": (e,),
    }
    for i in range(s["n_layers"]):
        each = {"q_proj": (e, e), "k_proj": (kv, e), "v_proj": (kv, e), "attn_out": (e, e)}
        each |= {"ff_proj": (hidden, e), "up_proj": (hidden, e), "ff_out": (e, hidden)}
        each |= {"attn_norm": (e,), "ff_norm": (e,)}
        out |= {f"{top}blocks.{i}.{name}.weight": shape for name, shape in each.items()}
    return out


def write_checkpoint(
    folder: Path, settings: dict[str, Any], tensors: dict[str, np.ndarray], *, shards: int = 1, **files: Any
) -> Path:
    """Write a checkpoint's folder; ``files`` are further JSON files by their name without ending."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    tensors = {n: np.ascontiguousarray(v) for n, v in tensors.items()}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = sorted(tensors)
    place = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save_file({n: tensors[n] for n in names[i::shards]}, folder / file)
        place |= dict.fromkeys(names[i::shards], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return folder
