"""The same checkpoints in ``transformers``; LLaDA's, which it lacks, in a bidirectional decoder of PyTorch modules."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sloc.lm import Sampling, load_model
from sloc.lm.drawing import draw_many
from sloc.lm.forward import empty_cache, logits
from sloc.lm.sampling import log_law
from tests.lm.families import FAMILIES, random_tensors, write_checkpoint

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

pytestmark = pytest.mark.nightly
CLOSE = dict(rtol=0, atol=1e-4)
SHORT, LONG = 11, 23


def batches() -> tuple[np.ndarray, np.ndarray]:
    """Return tokens and mask of a whole text, one padded on the right and one on the left."""
    rng = np.random.default_rng(3)
    long, short = rng.integers(1, 96, LONG), rng.integers(1, 96, SHORT)
    tokens, mask = np.zeros((3, LONG), np.int32), np.zeros((3, LONG), bool)
    tokens[0], mask[0] = long, True
    tokens[1, :SHORT], mask[1, :SHORT] = short, True
    tokens[2, -SHORT:], mask[2, -SHORT:] = short, True
    return tokens, mask


def theirs(peer: Any, tokens: np.ndarray, mask: np.ndarray, **more: Any) -> Any:
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)[:, -tokens.shape[1] :]
    with torch.no_grad():
        return peer(
            input_ids=torch.tensor(tokens.astype(np.int64)),
            attention_mask=torch.tensor(mask.astype(np.int64)),
            position_ids=torch.tensor(positions),
            **more,
        )


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "llada"])
def test_logits_of_every_family(family: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", FAMILIES[family], random_tensors(FAMILIES[family]))
    model = load_model(folder)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens, mask = batches()
    found = np.asarray(logits(model.config, model.weights, jnp.asarray(tokens), jnp.asarray(mask))[0])
    want = theirs(peer, tokens, mask).logits.numpy()
    assert want.std() > 0.5
    np.testing.assert_allclose(found[mask], want[mask], **CLOSE)
    # With a cache on both sides.  Phi-3 there drops its cache where the context passes the switch, so it stays below.
    stop = 15 if family == "phi3" else LONG
    cache, past = empty_cache(model.config, 3, stop), None
    for start, end in ((0, 7), (7, 8), (8, stop)):
        part = tokens[:, start:end], mask[:, :end]
        answer = theirs(peer, *part, use_cache=True, **({"cache": past} if past is not None else {}))
        past = answer.past_key_values
        own, cache = logits(model.config, model.weights, jnp.asarray(part[0]), jnp.asarray(mask[:, start:end]), cache)
        seen = mask[:, start:end]
        np.testing.assert_allclose(np.asarray(own)[seen], answer.logits.numpy()[seen], **CLOSE)


class Bidirectional(torch.nn.Module):
    """A decoder that sees both ways, of PyTorch's own parts."""

    def __init__(self, settings: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.s = settings
        self.w = {n.removeprefix("model.transformer."): torch.tensor(v) for n, v in tensors.items()}

    def turned(self, x: Any) -> Any:
        d, length = x.shape[-1], x.shape[-2]
        f = self.s["rope_theta"] ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        angle = torch.outer(torch.arange(length, dtype=torch.float64), f)
        z = torch.complex(x[..., : d // 2].double(), x[..., d // 2 :].double()) * torch.polar(
            torch.ones_like(angle), angle
        )
        return torch.cat([z.real, z.imag], dim=-1).float()

    def forward(self, tokens: Any) -> Any:
        f, s, w = torch.nn.functional, self.s, self.w
        x, e = f.embedding(tokens, w["wte.weight"]), s["d_model"]
        d = e // s["n_heads"]
        for i in range(s["n_layers"]):
            at = f"blocks.{i}."
            a = f.rms_norm(x, (e,), w[f"{at}attn_norm.weight"], s["rms_norm_eps"])
            q, k, v = (f.linear(a, w[f"{at}{n}_proj.weight"]) for n in "qkv")
            q, k, v = (y.view(*y.shape[:2], -1, d).transpose(1, 2) for y in (q, k, v))
            a = f.scaled_dot_product_attention(
                self.turned(q), self.turned(k), v, enable_gqa=True, scale=1 / math.sqrt(d)
            )
            x = x + f.linear(a.transpose(1, 2).flatten(2), w[f"{at}attn_out.weight"])
            a = f.rms_norm(x, (e,), w[f"{at}ff_norm.weight"], s["rms_norm_eps"])
            up = f.silu(f.linear(a, w[f"{at}ff_proj.weight"])) * f.linear(a, w[f"{at}up_proj.weight"])
            x = x + f.linear(up, w[f"{at}ff_out.weight"])
        return f.linear(f.rms_norm(x, (e,), w["ln_f.weight"], s["rms_norm_eps"]), w["ff_out.weight"])


def test_a_masked_model_sees_both_ways(tmp_path: Path) -> None:
    settings = FAMILIES["llada"]
    tensors = random_tensors(settings)
    model = load_model(write_checkpoint(tmp_path / "m", settings, tensors))
    tokens = np.random.default_rng(0).integers(0, 96, (2, LONG)).astype(np.int32)
    tokens[:, 5::3] = settings["mask_token_id"]
    with torch.no_grad():
        want = Bidirectional(settings, tensors)(torch.tensor(tokens.astype(np.int64))).numpy()
    found = np.asarray(logits(model.config, model.weights, jnp.asarray(tokens))[0])
    np.testing.assert_allclose(found, want, **CLOSE)
    changed = tokens.copy()
    changed[:, -1] = 1
    again = np.asarray(logits(model.config, model.weights, jnp.asarray(changed))[0])
    assert np.abs(again[:, 0] - found[:, 0]).max() > 1e-3


def test_the_trained_checkpoint(test_data: Path) -> None:
    folder = test_data / "models" / "stories260k"
    model = load_model(folder)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = model.tokens("Once upon a time, there was a little cat. She liked to play with a red ball.")[None]
    found = np.asarray(logits(model.config, model.weights, jnp.asarray(tokens))[0])
    np.testing.assert_allclose(found, theirs(peer, tokens, np.ones(tokens.shape, bool)).logits.numpy(), **CLOSE)
    known = transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("Once upon a time", "A cat; a dog!", "  two  spaces "):
        assert model.tokenizer is not None
        assert model.tokenizer.encode(text) == known(text).input_ids


LAWS = [Sampling(), Sampling(0.6, top_p=0.9), Sampling(1.3, top_k=40), Sampling(0.8, top_k=50, top_p=0.95, min_p=0.02)]


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_next_token_has_their_law(law: Sampling, test_data: Path) -> None:
    # A million draws against the law of their processors; false alarm 1e-9 each.
    folder = test_data / "models" / "stories260k"
    model = load_model(folder)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = model.tokens("One day, she saw a")[None]
    raw = theirs(peer, tokens, np.ones(tokens.shape, bool)).logits[:, -1].double()
    steps = [transformers.TemperatureLogitsWarper(law.temperature)]
    steps += [transformers.TopKLogitsWarper(law.top_k)] if law.top_k else []
    steps += [transformers.TopPLogitsWarper(law.top_p)] if law.top_p < 1 else []
    steps += [transformers.MinPLogitsWarper(law.min_p)] if law.min_p else []
    p = transformers.LogitsProcessorList(steps)(torch.tensor(tokens.astype(np.int64)), raw).softmax(-1)[0].numpy()
    own = np.asarray(logits(model.config, model.weights, jnp.asarray(tokens))[0])[0, -1]
    np.testing.assert_allclose(np.exp(log_law(jnp.asarray(own), law)), p, atol=1e-5)
    n = 1_000_000
    drawn = np.asarray(jax.jit(draw_many, static_argnums=(2, 3))(jax.random.key(5), jnp.asarray(own), n, law))
    counts, rare = np.bincount(drawn, minlength=p.size), p * n < 10
    assert counts[p == 0].sum() == 0
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(p[~rare], p[rare].sum()) * n
    used = expected > 0
    chi = ((observed[used] - expected[used]) ** 2 / expected[used]).sum()
    assert stats.chi2.sf(chi, used.sum() - 1) > 1e-9
