"""Other ways to continue one text many times: a JAX decoder with a cache for each branch, and ``transformers``.

The JAX decoder is written as is usual: prompts are read in one batch, keys and values of all branches stand in one
array ``[B, T, heads, d]``, a scan over steps attends to the whole of it under a mask, ``jax.random.categorical``
draws; a careful user reads the text once and copies its cache to all branches.  For ``transformers`` there are
``generate`` with all branches as one batch, and one branch after the other, each as written and with the text read
once and its cache copied.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.lm import DecoderConfig, LanguageModel
from sloc.lm.layers import activated, angles, head_matrix, linear, normalised, rotated

Array = jax.Array


# --------------------------------------------------------------------------------------------
# JAX, a cache for each branch
# --------------------------------------------------------------------------------------------


def _blocks(
    config: DecoderConfig, weights: Any, tokens: Array, start: Array, caches: list[tuple[Array, Array]], total: int
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Read tokens ``[B, n]`` at positions from ``start`` on; logits of the last one, and the caches."""
    batch, n = tokens.shape
    assert config.rotary is not None
    positions = start + jnp.arange(n)
    turn = tuple(jnp.moveaxis(a, 0, -1)[None, :, None] for a in angles(config.rotary, positions, False))
    h = weights["embed"][tokens]
    seen = jnp.arange(total)[None, :] <= positions[:, None]
    new = []
    for layer, (keys, values) in zip(weights["layers"], caches, strict=True):
        a = normalised(config, layer["attn_norm"], h)
        q, k, v = (linear(layer[name], a).reshape(batch, n, -1, config.head_dim) for name in "qkv")
        q, k = rotated(q, *turn, axis=3), rotated(k, *turn, axis=3)
        keys = jax.lax.dynamic_update_slice(keys, k, (0, start, 0, 0))
        values = jax.lax.dynamic_update_slice(values, v, (0, start, 0, 0))
        new.append((keys, values))
        q = q.reshape(batch, n, config.kv_heads, config.groups, config.head_dim)
        scores = jnp.einsum("btkgd,bskd->bkgts", q, keys) * config.head_dim**-0.5
        share = jax.nn.softmax(jnp.where(seen, scores, -1e30), axis=-1)
        h = h + linear(layer["o"], jnp.einsum("bkgts,bskd->btkgd", share, values).reshape(batch, n, -1))
        h = h + activated(config, layer, normalised(config, layer["mlp_norm"], h))
    last = normalised(config, weights["norm"], h[:, -1])
    return last @ head_matrix(weights).T, new


@functools.partial(jax.jit, static_argnames=("config", "branches", "new", "once"))
def _continued(
    config: DecoderConfig, weights: Any, text: Array, key: Array, branches: int, new: int, once: bool
) -> Array:
    length = text.shape[0]
    total, texts = length + new, 1 if once else branches
    shape = (texts, total, config.kv_heads, config.head_dim)
    caches = [(jnp.zeros(shape), jnp.zeros(shape)) for _ in range(config.layers)]
    tokens = jnp.broadcast_to(text, (texts, length))
    logits, caches = _blocks(config, weights, tokens, jnp.asarray(0), caches, total)
    if once:
        logits, caches = jax.tree.map(lambda a: jnp.repeat(a, branches, axis=0), (logits, caches))

    def step(carry: tuple[Array, Any], given: tuple[Array, Array]) -> tuple[tuple[Array, Any], Array]:
        logits, caches = carry
        key, at = given
        token = jax.random.categorical(key, logits)
        return _blocks(config, weights, token[:, None], at, caches, total), token

    keys = jax.random.split(key, new)
    _, drawn = jax.lax.scan(step, (logits, caches), (keys, length + jnp.arange(new)))
    return drawn.T


def cached_jax(
    model: LanguageModel, text: np.ndarray, branches: int, new: int, seed: int, *, once: bool = False
) -> np.ndarray:
    """Return continuations ``[branches, new]`` by the plain decoder, which reads the text ``once`` or for each."""
    given = model.config, model.weights, jnp.asarray(text), jax.random.key(seed)
    return np.asarray(_continued(*given, branches, new, once))


# --------------------------------------------------------------------------------------------
# transformers
# --------------------------------------------------------------------------------------------


class Transformers:
    """``generate`` of a checkpoint's folder."""

    def __init__(self, folder: str, threads: int) -> None:
        """Load the checkpoint."""
        self.torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("transformers")
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
        self.torch.set_num_threads(threads)
        self.cache: Any = library.DynamicCache
        self.model: Any = library.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0

    def _options(self, new: int) -> dict[str, Any]:
        return dict(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=new, min_new_tokens=new)

    def batch(self, text: np.ndarray, branches: int, new: int, seed: int) -> np.ndarray:
        """All branches as one batch, as written."""
        self.torch.manual_seed(seed)
        given = self.torch.tensor(np.tile(text.astype(np.int64), (branches, 1)))
        with self.torch.inference_mode():
            out = self.model.generate(given, attention_mask=self.torch.ones_like(given), **self._options(new))
        return out[:, len(text) :].numpy()

    def shared(self, text: np.ndarray, branches: int, new: int, seed: int) -> np.ndarray:
        """The text read once, its cache copied to every branch."""
        self.torch.manual_seed(seed)
        one = self.torch.tensor(text.astype(np.int64))[None]
        given = one.repeat(branches, 1)
        with self.torch.inference_mode():
            cache = self.cache(config=self.model.config)
            self.model(one[:, :-1], cache=cache, use_cache=True)
            cache.batch_repeat_interleave(branches)
            mask = self.torch.ones_like(given)
            out = self.model.generate(given, attention_mask=mask, cache=cache, **self._options(new))
        return out[:, len(text) :].numpy()

    def one_by_one(self, text: np.ndarray, branches: int, new: int, seed: int, *, once: bool = False) -> np.ndarray:
        """One branch after the other; the text is read for each, or its cache copied where ``once``."""
        own = self.shared if once else self.batch
        return np.concatenate([own(text, 1, new, seed + i) for i in range(branches)])

    def law(self, text: np.ndarray) -> np.ndarray:
        """Return the probabilities of the token after a text, ``[V]`` in float64."""
        with self.torch.inference_mode():
            scores = self.model(self.torch.tensor(text.astype(np.int64))[None]).logits[0, -1]
        return scores.double().softmax(-1).numpy()
