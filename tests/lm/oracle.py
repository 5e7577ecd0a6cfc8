"""A decoder in plain NumPy and float64, one text and one token at a time, from the tensors of a checkpoint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]


def oracle_logits(settings: dict[str, Any], tensors: Tensors, tokens: Any, context: int | None = None) -> np.ndarray:
    """Return logits ``[T, V]``; ``context`` is the length that decides between short and long rotary factors."""
    weights = {n: v.astype(np.float64) for n, v in tensors.items()}
    kind = settings["model_type"]
    walk = {"gpt2": _gpt2, "llada": _llada}.get(kind, _llama)
    return walk(settings, weights, np.asarray(tokens), context or len(tokens))


def _rms(x: np.ndarray, scale: np.ndarray, epsilon: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon) * scale


def _layer_norm(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + epsilon) * scale + bias


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _frequencies(s: dict[str, Any], d: int, context: int) -> tuple[np.ndarray, float]:
    """Return the frequency of each pair of features, and what cosines and sines are multiplied by."""
    given = s.get("rope_parameters") or s.get("rope_scaling") or {}
    kind = given.get("rope_type", given.get("type", "default"))
    theta = given.get("rope_theta", s.get("rope_theta", 10000.0))
    n = int(d * given.get("partial_rotary_factor", 1.0))
    out, scale = [], 1.0
    longest = s.get("max_position_embeddings", s.get("max_sequence_length"))
    original = given.get("original_max_position_embeddings", s.get("original_max_position_embeddings", longest))
    for i in range(n // 2):
        f = theta ** (-2 * i / n)
        if kind == "linear":
            f /= given["factor"]
        if kind == "llama3":
            wavelength = 2 * math.pi / f
            short, long = original / given["high_freq_factor"], original / given["low_freq_factor"]
            if wavelength > long:
                f /= given["factor"]
            elif wavelength >= short:
                smooth = (original / wavelength - given["low_freq_factor"]) / (
                    given["high_freq_factor"] - given["low_freq_factor"]
                )
                f = (1 - smooth) * f / given["factor"] + smooth * f
        if kind == "longrope":
            f /= given["long_factor" if context > original else "short_factor"][i]
            scale = math.sqrt(1 + math.log(longest / original) / math.log(original))
        if kind == "yarn":
            ends = [n * math.log(original / (r * 2 * math.pi)) / (2 * math.log(theta)) for r in (32, 1)]
            low, high = max(math.floor(ends[0]), 0), min(math.ceil(ends[1]), n - 1)
            ramp = min(max((i - low) / max(high - low, 0.001), 0), 1)
            f = f / given["factor"] * ramp + f * (1 - ramp)
            scale = 0.1 * math.log(given["factor"]) + 1
        out.append(f)
    return np.asarray(out), scale


def _turned(x: np.ndarray, position: int, frequencies: np.ndarray, scale: float) -> np.ndarray:
    n = len(frequencies)
    out = x.copy()
    for i, f in enumerate(frequencies):
        c, s = scale * math.cos(position * f), scale * math.sin(position * f)
        out[i], out[i + n] = x[i] * c - x[i + n] * s, x[i + n] * c + x[i] * s
    return out


def _attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, kv_heads: int, window: int, causal: bool
) -> np.ndarray:
    """Attend, one head and one query at a time; rows are positions."""
    length, d = q.shape[0], q.shape[1] // heads
    out = np.zeros_like(q)
    for h in range(heads):
        g = h // (heads // kv_heads)
        for t in range(length):
            first = max(0, t - window + 1) if window else 0
            seen = range(first, t + 1) if causal else range(length)
            scores = np.array([q[t, h * d : h * d + d] @ k[u, g * d : g * d + d] for u in seen]) / math.sqrt(d)
            share = np.exp(scores - scores.max())
            share /= share.sum()
            out[t, h * d : h * d + d] = sum(w * v[u, g * d : g * d + d] for w, u in zip(share, seen, strict=True))
    return out


def _rotated_rows(x: np.ndarray, heads: int, frequencies: np.ndarray, scale: float) -> np.ndarray:
    d = x.shape[1] // heads
    return np.stack(
        [
            np.concatenate([_turned(row[h * d : h * d + d], t, frequencies, scale) for h in range(heads)])
            for t, row in enumerate(x)
        ]
    )


def _llama(s: dict[str, Any], w: Tensors, tokens: np.ndarray, context: int) -> np.ndarray:
    heads, kv_heads, eps = s["num_attention_heads"], s["num_key_value_heads"], s["rms_norm_eps"]
    d = s.get("head_dim") or s["hidden_size"] // heads
    frequencies, scale = _frequencies(s, d, context)
    x = w["model.embed_tokens.weight"][tokens]

    def linear(name: str, a: np.ndarray) -> np.ndarray:
        return a @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    for i in range(s["num_hidden_layers"]):
        at = f"model.layers.{i}"
        a = _rms(x, w[f"{at}.input_layernorm.weight"], eps)
        if s["model_type"] == "phi3":
            q, k, v = np.split(linear(f"{at}.self_attn.qkv_proj", a), [heads * d, (heads + kv_heads) * d], axis=1)
        else:
            q, k, v = (linear(f"{at}.self_attn.{n}_proj", a) for n in "qkv")
        if s["model_type"] == "qwen3":
            rows = len(tokens)
            q = _rms(q.reshape(rows, heads, d), w[f"{at}.self_attn.q_norm.weight"], eps).reshape(rows, -1)
            k = _rms(k.reshape(rows, kv_heads, d), w[f"{at}.self_attn.k_norm.weight"], eps).reshape(rows, -1)
        q, k = _rotated_rows(q, heads, frequencies, scale), _rotated_rows(k, kv_heads, frequencies, scale)
        window = s.get("sliding_window") or 0
        if s["model_type"] == "qwen2" and (not s.get("use_sliding_window") or i < s["max_window_layers"]):
            window = 0
        x = x + linear(f"{at}.self_attn.o_proj", _attention(q, k, v, heads, kv_heads, window, True))
        a = _rms(x, w[f"{at}.post_attention_layernorm.weight"], eps)
        if s["model_type"] == "phi3":
            gate, up = np.split(linear(f"{at}.mlp.gate_up_proj", a), 2, axis=1)
        else:
            gate, up = linear(f"{at}.mlp.gate_proj", a), linear(f"{at}.mlp.up_proj", a)
        x = x + linear(f"{at}.mlp.down_proj", _silu(gate) * up)
    head = w["model.embed_tokens.weight" if s["tie_word_embeddings"] else "lm_head.weight"]
    return _rms(x, w["model.norm.weight"], eps) @ head.T


def _gpt2(s: dict[str, Any], w: Tensors, tokens: np.ndarray, context: int) -> np.ndarray:
    eps, heads = s["layer_norm_epsilon"], s["n_head"]
    x = w["transformer.wte.weight"][tokens] + w["transformer.wpe.weight"][: len(tokens)]

    def norm(name: str, a: np.ndarray) -> np.ndarray:
        return _layer_norm(a, w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def linear(name: str, a: np.ndarray) -> np.ndarray:
        return a @ w[f"{name}.weight"] + w[f"{name}.bias"]

    for i in range(s["n_layer"]):
        at = f"transformer.h.{i}"
        q, k, v = np.split(linear(f"{at}.attn.c_attn", norm(f"{at}.ln_1", x)), 3, axis=1)
        x = x + linear(f"{at}.attn.c_proj", _attention(q, k, v, heads, heads, 0, True))
        a = linear(f"{at}.mlp.c_fc", norm(f"{at}.ln_2", x))
        a = 0.5 * a * (1 + np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)))
        x = x + linear(f"{at}.mlp.c_proj", a)
    return norm("transformer.ln_f", x) @ w["transformer.wte.weight"].T


def _llada(s: dict[str, Any], w: Tensors, tokens: np.ndarray, context: int) -> np.ndarray:
    heads, kv_heads, eps, top = s["n_heads"], s["n_kv_heads"], s["rms_norm_eps"], "model.transformer."
    frequencies, scale = _frequencies(s, s["d_model"] // heads, context)
    x = w[f"{top}wte.weight"][tokens]
    for i in range(s["n_layers"]):

        def linear(name: str, a: np.ndarray, i: int = i) -> np.ndarray:
            return a @ w[f"{top}blocks.{i}.{name}.weight"].T

        a = _rms(x, w[f"{top}blocks.{i}.attn_norm.weight"], eps)
        q, k = (
            _rotated_rows(linear(f"{n}_proj", a), h, frequencies, scale) for n, h in (("q", heads), ("k", kv_heads))
        )
        x = x + linear("attn_out", _attention(q, k, linear("v_proj", a), heads, kv_heads, 0, False))
        a = _rms(x, w[f"{top}blocks.{i}.ff_norm.weight"], eps)
        x = x + linear("ff_out", _silu(linear("ff_proj", a)) * linear("up_proj", a))
    return _rms(x, w[f"{top}ln_f.weight"], eps) @ w[f"{top}ff_out.weight"].T
