"""A model of the shape of Llama 3.1 8B with random weights, on an accelerator: how far decoding is from what it can do.

512 branches after a text of 1,024 tokens, in bfloat16.  A CPU has no such part; a smoke run takes a tiny shape, to show
that the code runs.  ``transformers`` runs in a process of its own, with as many branches at a time as find room.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from benchmarks.subprocesses import measured
from benchmarks.timing import Row, called, spread_row, timed
from sloc.lm import DecoderConfig, LanguageModel, Sampling, decode, random_model, read_prefix, small_config

_SHARE, _RATIO = 0.5, 2.5
"""Least wanted share of the floor, and least wanted ratio over ``transformers``."""

_TRANSFORMERS = """
import json, sys, time
import torch
from transformers import LlamaConfig, LlamaForCausalLM
width, layers, heads, kv, hidden, vocabulary, prefix, new, branches, rounds = map(int, sys.argv[1:])
where = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_default_dtype(torch.bfloat16)
with torch.device(where):
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv, max_position_embeddings=2 * (prefix + new))).eval()
model.generation_config.eos_token_id = None
model.generation_config.pad_token_id = 0
text = torch.randint(0, vocabulary, (1, prefix), device=where)
def run(size):
    if where == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    given = text.repeat(size, 1)
    with torch.inference_mode():
        out = model.generate(given, attention_mask=torch.ones_like(given), do_sample=True, temperature=1.0, top_k=0,
                             top_p=1.0, max_new_tokens=new, min_new_tokens=new)
    out.cpu()
    return time.perf_counter() - began
size = branches
while True:
    try:
        run(size)
        break
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        size //= 2
print(json.dumps({"batch": size, "device": where, "seconds": [run(size) for _ in range(rounds)]}))
"""


@dataclass(frozen=True)
class Problem:
    """What is decoded.

    Attributes:
        config: of the model.
        prefix: tokens of the text.
        branches: how many.
        new: tokens each adds.

    """

    config: DecoderConfig
    prefix: int
    branches: int
    new: int


def problem(smoke: bool) -> Problem:
    """Return the problem: the shape of Llama 3.1 8B, or a tiny one."""
    if smoke:
        config = small_config(512, width=64, heads=8, kv_heads=2, max_positions=128)
        return Problem(config, 32, 8, 8)
    config = small_config(
        128_256, width=4096, layers=32, heads=32, kv_heads=8, hidden=14_336, max_positions=4096, norm_epsilon=1e-5
    )
    return Problem(config, 1024, 512, 128)


def large_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield tokens a second, the share of the memory and compute floor, and the ratio over ``transformers``."""
    if jax.default_backend() == "cpu" and not smoke:
        print("no accelerator: the model of eight billion parameters is left out", file=sys.stderr)
        return
    given = problem(smoke)
    tokens = given.branches * given.new
    parameters = round(_matrices(given.config) / 1e9, 1)
    case = f"{parameters:g}e9 parameters, bfloat16, {given.branches} branches x {given.new} tokens after {given.prefix}"
    peer = None
    if machine.has_peer("transformers", smoke) and machine.has_peer("torch", smoke):
        # First, while this process holds little of the device's memory.
        c = given.config
        shape = (c.width, c.layers, c.heads, c.kv_heads, c.hidden, c.vocabulary)
        peer = measured(_TRANSFORMERS, *shape, given.prefix, given.new, given.branches, max(rounds, 2))
    ceilings = {row["name"]: row for row in _ceilings(rounds, smoke)}
    yield from ceilings.values()
    product, copy = (row["value"] for row in ceilings.values())
    model = random_model(jax.random.key(0), given.config, dtype="bfloat16")
    text = np.random.default_rng(0).integers(0, given.config.vocabulary, given.prefix).astype(np.int32)
    run = functools.partial(_decoded, model, text, given)
    _, first = called(lambda: run(0))
    seconds = [timed(lambda i=i: run(i)) for i in range(1, rounds + 1)]
    yield spread_row(f"{case}: sloc, run", seconds, "s")
    yield {"name": f"{case}: sloc, first call", "value": first, "unit": "s"}
    rates = [tokens / s for s in seconds]
    yield spread_row(f"{case}: sloc, tokens", rates, "/s")
    flops, moved = work(model, given)
    floor = max(flops / product, moved / copy)
    binding = "matrix products" if flops / product > moved / copy else "memory"
    row = spread_row(f"{case}: floor over time", [floor / s for s in seconds], "", note=f"{binding} bind")
    yield row if smoke else row | {"target": f">= {_SHARE:g}", "met": row["value"] >= _SHARE}
    if peer is not None:
        theirs = [peer["batch"] * given.new / s for s in peer["seconds"]]
        note = f"{peer['batch']} branches at a time"
        yield spread_row(f"{case}: transformers, tokens", theirs, "/s", note=note)
        # Not in the same rounds: both do not fit into one device's memory.
        ratio = float(np.median(rates) / np.median(theirs))
        row = {"name": f"{case}: transformers over sloc", "value": ratio, "unit": "", "note": note}
        yield row if smoke else row | {"target": f">= {_RATIO:g}", "met": ratio >= _RATIO}


def work(model: LanguageModel, given: Problem) -> tuple[float, float]:
    """Return the floating-point operations and the bytes that one run cannot do without.

    Each step multiplies every matrix by all branches' features, and attends to the text and to what each branch has;
    it reads every matrix, the text's keys and values once, and those of the branches.
    """
    c, size = given.config, np.dtype(model.dtype).itemsize
    seen = given.prefix + given.new / 2
    flops = 2 * _matrices(c) + 4 * c.layers * c.heads * c.head_dim * seen
    each = 2 * c.layers * c.kv_heads * c.head_dim * size
    moved = size * _matrices(c) + each * (given.prefix + given.branches * given.new / 2)
    return given.new * given.branches * flops, given.new * moved


def _matrices(c: DecoderConfig) -> int:
    """Return how many numbers the matrices hold that every step multiplies by."""
    attention = c.width * c.head_dim * 2 * (c.heads + c.kv_heads)
    return c.layers * (attention + 3 * c.width * c.hidden) + c.vocabulary * c.width


def _decoded(model: LanguageModel, text: np.ndarray, given: Problem, seed: int) -> list[np.ndarray]:
    prefix = read_prefix(model, text, context=given.prefix + given.new)
    options = {"n": given.branches, "new_tokens": given.new, "lanes": given.branches, "prefix": prefix}
    return decode(jax.random.key(seed), model, text, sampling=Sampling(), end_tokens=(), **options).tokens


def _ceilings(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the rates of a bfloat16 matrix product with sums in float32, and of a copy."""
    side = machine.sizes(smoke).side
    square = jnp.ones((side, side), jnp.bfloat16)
    product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    name = "ceiling: bfloat16 matrix product"
    yield machine.best(name, "flop/s", 2 * side**3, lambda: product(square, square), rounds)
    yield machine.copied(rounds, smoke)
