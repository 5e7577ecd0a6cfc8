"""Checkpoints: shards, dtypes, adapters, devices, and everything that can be wrong with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from safetensors.numpy import save_file

from sloc.contracts import InvalidInput
from sloc.lm import Sampling, load_model, random_model, small_config
from sloc.lm.families import SUPPORTED
from sloc.lm.forward import logits
from sloc.lm.model import partition
from tests.lm.families import FAMILIES, random_tensors, write_checkpoint
from tests.lm.texts import SIZE, write_tokenizer

LLAMA = FAMILIES["llama"]


def outputs(model) -> np.ndarray:
    tokens = jnp.asarray([[1, 5, 9, 2, 7, 7, 3]])
    return np.asarray(logits(model.config, model.weights, tokens)[0])


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    tensors = random_tensors(LLAMA)
    one = load_model(write_checkpoint(tmp_path / "one", LLAMA, tensors))
    three = load_model(write_checkpoint(tmp_path / "three", LLAMA, tensors, shards=3))
    np.testing.assert_array_equal(outputs(one), outputs(three))
    assert "parameters" in repr(one)
    assert one.parameters == sum(v.size for v in tensors.values())


def test_dtypes(tmp_path: Path) -> None:
    tensors = random_tensors(LLAMA)
    half = {n: v.astype(ml_dtypes.bfloat16) for n, v in tensors.items()}
    whole = load_model(write_checkpoint(tmp_path / "f32", LLAMA, tensors))
    stored = load_model(write_checkpoint(tmp_path / "bf16", LLAMA, half))
    assert whole.dtype == np.float32
    assert stored.dtype == ml_dtypes.bfloat16
    assert load_model(tmp_path / "bf16", dtype="float32").dtype == np.float32
    asked = load_model(tmp_path / "f32", dtype="bfloat16")
    np.testing.assert_array_equal(outputs(asked), outputs(stored))
    # bfloat16 keeps eight bits: logits near one are off by a few hundredths.
    gap = np.abs(outputs(stored) - outputs(whole))
    assert 0 < gap.mean() < 0.06
    wide = {n: v.astype(np.float16) for n, v in tensors.items()}
    assert load_model(write_checkpoint(tmp_path / "f16", LLAMA, wide)).dtype == np.float32
    with pytest.raises(InvalidInput, match="float64"):
        load_model(tmp_path / "f32", dtype="float64")


def test_names_without_their_prefix(tmp_path: Path) -> None:
    for family, prefix in (("gpt2", "transformer."), ("llama, tied, old entries", "model.")):
        settings = FAMILIES[family]
        tensors = random_tensors(settings)
        bare = {n.removeprefix(prefix): v for n, v in tensors.items()}
        bare |= {"h.0.attn.bias": np.zeros((1, 1))} if family == "gpt2" else {}
        a = load_model(write_checkpoint(tmp_path / family / "a", settings, tensors))
        b = load_model(write_checkpoint(tmp_path / family / "b", settings, bare))
        np.testing.assert_array_equal(outputs(a), outputs(b))


def test_generation_settings_and_tokenizer(tmp_path: Path) -> None:
    settings = {**LLAMA, "vocab_size": SIZE}
    given = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [257, 5]}
    write_checkpoint(tmp_path, settings, random_tensors(settings), generation_config=given)
    write_tokenizer(tmp_path)
    model = load_model(tmp_path)
    assert model.sampling == Sampling(0.6, top_p=0.9)
    assert model.end_tokens == (257, 5)
    assert model.tokenizer is not None
    assert len(model.tokens("abc")) == 4
    chat = model.tokens([{"role": "user", "content": "abc"}])
    assert chat[0] == 256
    assert len(chat) == 6


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_an_adapter_is_merged(family: str, tmp_path: Path) -> None:
    settings = FAMILIES[family]
    tensors = random_tensors(settings)
    rng = np.random.default_rng(5)
    names = {
        "llama": ["model.layers.0.self_attn.q_proj", "model.layers.2.mlp.down_proj"],
        "gpt2": ["transformer.h.1.attn.c_attn"],
        "phi3": ["model.layers.1.self_attn.qkv_proj"],
    }[family]
    transposed = family == "gpt2"
    adapter, merged = {}, dict(tensors)
    for name in names:
        rows, columns = tensors[f"{name}.weight"].shape[:: -1 if transposed else 1]
        a, b = (rng.normal(size=s).astype(np.float32) for s in ((4, columns), (rows, 4)))
        adapter |= {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
        change = 8 / 4 * (b @ a)
        merged[f"{name}.weight"] = tensors[f"{name}.weight"] + (change.T if transposed else change)
    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "fan_in_fan_out": transposed}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(adapter, folder / "adapter_model.safetensors")
    base = write_checkpoint(tmp_path / "base", settings, tensors)
    found = outputs(load_model(base, adapter=folder))
    want = outputs(load_model(write_checkpoint(tmp_path / "merged", settings, merged)))
    np.testing.assert_allclose(found, want, atol=1e-4)
    assert np.abs(found - outputs(load_model(base))).max() > 0.1


def adapter_folder(tmp_path: Path, tensors: dict[str, np.ndarray], **config: object) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 8, **config}))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def test_adapters_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", LLAMA, random_tensors(LLAMA))
    a, b = np.zeros((4, 48), np.float32), np.zeros((48, 4), np.float32)
    q = "base_model.model.model.layers.0.self_attn.q_proj"
    pair = {f"{q}.lora_A.weight": a, f"{q}.lora_B.weight": b}
    for tensors, config, said in (
        ({f"{q}.lora_A.weight": a}, {}, "both lora_A and lora_B"),
        ({n.replace("q_proj", "z_proj"): v for n, v in pair.items()}, {}, "z_proj"),
        ({**pair, f"{q}.lora_B.weight": b[:5]}, {}, "shape"),
        ({**pair, "other": a}, {}, "other"),
        (pair, {"use_dora": True}, "use_dora"),
        (pair, {"peft_type": "IA3"}, "IA3"),
    ):
        with pytest.raises(InvalidInput, match=said):
            load_model(base, adapter=adapter_folder(tmp_path, tensors, **config))


def test_tensors_that_are_wrong_are_named(tmp_path: Path) -> None:
    tensors = random_tensors(LLAMA)
    lacking = {n: v for n, v in tensors.items() if "layers.1.mlp.up_proj" not in n}
    q = "model.layers.0.self_attn.q_proj"
    for i, (changed, said) in enumerate(
        (
            (lacking, "missing: model.layers.1.mlp.up_proj.weight"),
            ({**tensors, "strange.weight": np.zeros(3)}, "not of this architecture: strange.weight"),
            ({**tensors, f"{q}.bias": np.zeros(48)}, f"not of this architecture: {q}.bias"),
            (
                {**tensors, f"{q}.weight": np.zeros((48, 47))},
                rf"another shape: {q}.weight \[48, 47\], not \[48, 48\]",
            ),
        )
    ):
        with pytest.raises(InvalidInput, match=said):
            load_model(write_checkpoint(tmp_path / str(i), LLAMA, changed))
    phi = FAMILIES["phi3"]
    fused = random_tensors(phi)
    fused["model.layers.0.self_attn.qkv_proj.weight"] = np.zeros((70, 48), np.float32)
    with pytest.raises(InvalidInput, match="qkv_proj"):
        load_model(write_checkpoint(tmp_path / "phi", phi, fused))


def test_folders_that_are_wrong_are_refused(tmp_path: Path) -> None:
    tensors = random_tensors(LLAMA)
    with pytest.raises(InvalidInput, match="nowhere"):
        load_model(tmp_path / "nowhere" / "at" / "all")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"config\.json"):
        load_model(tmp_path / "empty")
    with pytest.raises(InvalidInput, match=", ".join(SUPPORTED)):
        load_model(write_checkpoint(tmp_path / "mamba", {**LLAMA, "model_type": "mamba"}, tensors))
    lacking = {k: v for k, v in LLAMA.items() if k != "num_hidden_layers"}
    with pytest.raises(InvalidInput, match="num_hidden_layers"):
        load_model(write_checkpoint(tmp_path / "lacking", lacking, tensors))
    with pytest.raises(InvalidInput, match="rope_type"):
        load_model(write_checkpoint(tmp_path / "rope", {**LLAMA, "rope_parameters": {"rope_type": "odd"}}, tensors))
    with pytest.raises(InvalidInput, match="hidden_act"):
        load_model(write_checkpoint(tmp_path / "act", {**LLAMA, "hidden_act": "mish"}, tensors))
    sharded = write_checkpoint(tmp_path / "sharded", LLAMA, tensors, shards=2)
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InvalidInput, match="model-00002-of-00002"):
        load_model(sharded)
    broken = write_checkpoint(tmp_path / "broken", LLAMA, tensors)
    (broken / "model.safetensors").write_bytes(b"\x80\x02pickled")
    with pytest.raises(InvalidInput, match="safetensors"):
        load_model(broken)
    (broken / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"config\.json"):
        load_model(broken)


def test_how_weights_are_split() -> None:
    layer = ("layers", 0)
    assert partition((*layer, "q", "w"), (48, 48), 2, "m") == PartitionSpec("m")
    assert partition((*layer, "q", "b"), (48,), 2, "m") == PartitionSpec("m")
    assert partition((*layer, "o", "w"), (48, 48), 2, "m") == PartitionSpec(None, "m")
    assert partition((*layer, "o", "b"), (48,), 2, "m") == PartitionSpec()
    assert partition((*layer, "attn_norm", "scale"), (48,), 2, "m") == PartitionSpec()
    assert partition(("embed",), (96, 48), 2, "m") == PartitionSpec("m")
    assert partition(("embed",), (97, 48), 2, "m") == PartitionSpec()


SPLIT = """
import sys, jax, jax.numpy as jnp, numpy as np
from sloc.lm import decode, load_model
from sloc.lm.forward import logits
mesh = jax.make_mesh((2,), ("model",))
own = load_model(sys.argv[1])
split = load_model(sys.argv[1], mesh=mesh)
tokens = jnp.asarray([[1, 5, 9, 2, 7, 7, 3]])
a, b = (np.asarray(logits(m.config, m.weights, tokens)[0]) for m in (own, split))
assert np.abs(a - b).max() < 1e-4, np.abs(a - b).max()
q = split.weights["layers"][0]["q"]["w"]
assert {s.data.shape for s in q.addressable_shards} == {(q.shape[0] // 2, q.shape[1])}
drawn = [decode(jax.random.key(0), m, [1, 5, 9], n=4, new_tokens=6, end_tokens=()) for m in (own, split)]
assert all((x == y).all() for x, y in zip(drawn[0].tokens, drawn[1].tokens))
"""


@pytest.mark.slow
def test_weights_over_two_devices(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", {**LLAMA, "num_key_value_heads": 2}, random_tensors(LLAMA))
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    run = subprocess.run(
        [sys.executable, "-c", SPLIT, str(folder)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_hub_ids_go_through_the_hub_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "snapshot", LLAMA, random_tensors(LLAMA))
    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, tuple(allow_patterns)))
        if name == "owner/absent":
            raise OSError("no such repository")
        return str(folder)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=download))
    np.testing.assert_array_equal(outputs(load_model("owner/model")), outputs(load_model(folder)))
    with pytest.raises(InvalidInput, match="no such repository"):
        load_model("owner/absent")
    assert all("*.bin" not in patterns and "*.safetensors" in patterns for _, patterns in asked)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InvalidInput, match="huggingface_hub, not installed"):
        load_model("owner/model")


def test_random_models() -> None:
    config = small_config(50, width=32, heads=4, max_positions=40)
    a, b = (random_model(jax.random.key(0), config, scale=s) for s in (0.02, 0.2))
    assert a.parameters == b.parameters == sum(x.size for x in jax.tree.leaves(a.weights))
    np.testing.assert_allclose(np.std(a.weights["embed"]) * 10, np.std(b.weights["embed"]), rtol=1e-5)
    with pytest.raises(InvalidInput, match="kv_heads"):
        small_config(50, width=32, heads=4, kv_heads=3)
