"""The suite ``lm``: many continuations of one text, their law, and the resampling of a whole story.

The model is the checkpoint ``models/stories260k`` of the folder named by ``SLOC_TEST_DATA``, or one of the same shape
with random weights.  Contestants draw from the plain softmax and never stop early; before anything is timed the mean
log-probability of what each of them wrote is held against sloc's own, within six standard errors.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from benchmarks import machine
from benchmarks.lm_large import large_rows
from benchmarks.peers.decoders import Transformers, cached_jax
from benchmarks.timing import Contender, Row, at_most, called, race, ratio_row, spread_row, time_rows, timed
from sloc.lm import LanguageModel, Sampling, decode, load_model, random_model, score, small_config

PARTS = ("decode", "law", "story", "large")
BRANCHES, PREFIX, NEW = 400, 100, 100
STORY, CUTS, RESAMPLES = 200, 20, 100
DRAWS = 1_000_000
FALSE_ALARM = 1e-9
LAW = Sampling()
Draw = Callable[[int], np.ndarray]


def run(rounds: int, smoke: bool, parts: Sequence[str] = PARTS) -> Iterator[Row]:
    """Yield the rows of the suite.

    Args:
        rounds: interleaved rounds.
        smoke: few branches and tokens, no targets that mean anything.
        parts: which of :data:`PARTS`.

    """
    with contextlib.ExitStack() as stack:
        folder = checkpoint(stack)
        model = load_model(folder)
        if "decode" in parts:
            yield from decode_rows(model, folder, rounds, smoke)
        if "law" in parts:
            yield from law_rows(model, folder, smoke)
        if "story" in parts:
            yield from story_rows(model, rounds, smoke)
        if "large" in parts:
            yield from large_rows(rounds, smoke)


def checkpoint(stack: contextlib.ExitStack) -> Path:
    """Return the folder of the checkpoint, or one with random weights of the same shape."""
    data = os.environ.get("SLOC_TEST_DATA")
    if data and (Path(data) / "models" / "stories260k").is_dir():
        return Path(data) / "models" / "stories260k"
    print("models/stories260k is not there: weights are random", file=sys.stderr)
    return write_random(Path(stack.enter_context(tempfile.TemporaryDirectory())))


def write_random(folder: Path) -> Path:
    """Write a checkpoint with random weights of the shape of stories260k."""
    from safetensors.numpy import save_file

    from sloc.lm.families import tensor_names

    config = small_config(512, width=64, layers=5, heads=8, kv_heads=4, hidden=172, tied=True)
    model = random_model(jax.random.key(0), config, scale=0.1)
    settings = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 172,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    tensors = {}
    for path, tensor in tensor_names(config, settings).items():
        value = model.weights
        for step in path:
            value = value[step]
        tensors[tensor.name] = np.asarray(value)
    (folder / "config.json").write_text(json.dumps(settings))
    save_file(tensors, folder / "model.safetensors")
    return folder


def decode_rows(model: LanguageModel, folder: Path, rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield times of the same continuations by each contestant."""
    branches, prefix, new = (12, 16, 8) if smoke else (BRANCHES, PREFIX, NEW)
    case = f"{branches} branches x {new} tokens after {prefix}"
    text = original(model, prefix)
    draws: dict[str, tuple[Draw, int]] = {
        "sloc, forked": (functools.partial(forked, model, text, branches, new), branches)
    }
    plain = functools.partial(cached_jax, model, text, branches, new)
    draws["JAX, a cache for each branch"] = (plain, branches)
    draws["JAX, a cache for each branch, text read once"] = (functools.partial(plain, once=True), branches)
    if machine.has_peer("transformers", smoke):
        peer = Transformers(str(folder), len(os.sched_getaffinity(0)))
        draws["transformers, one batch"] = (functools.partial(peer.batch, text, branches, new), branches)
        draws["transformers, one batch, cache copied"] = (functools.partial(peer.shared, text, branches, new), branches)
        few = 1 if smoke else 4
        alone = functools.partial(peer.one_by_one, text, few, new)
        draws["transformers, one at a time"] = (alone, few)
        draws["transformers, one at a time, cache copied"] = (functools.partial(alone, once=True), few)
    else:
        print("transformers is not installed: its rows are left out", file=sys.stderr)
    seeds = iter(range(1, 1 << 20))
    reference, raced = None, []
    for name, (draw, drawn) in draws.items():
        tokens, first = called(lambda draw=draw: draw(0))
        reference = check_law(name, model, text, tokens, reference)
        raced.append(Contender(name, lambda draw=draw: draw(next(seeds)), branches / drawn, first))
    timings = race(raced, rounds)
    yield from time_rows(case, timings)
    own = timings["sloc, forked"]
    yield spread_row(f"{case}: sloc, forked, tokens", [branches * new / s for s in own.seconds], "/s")
    targets = {
        "transformers, one batch": 4.0,
        "transformers, one batch, cache copied": None,
        "transformers, one at a time": 100.0,
        "transformers, one at a time, cache copied": None,
        "JAX, a cache for each branch": 6.0,
        "JAX, a cache for each branch, text read once": None,
    }
    for name, target in targets.items():
        if name in timings:
            yield ratio_row(f"{case}: {name} over sloc", timings[name], own, None if smoke else target)


def original(model: LanguageModel, length: int) -> np.ndarray:
    """Return a text of the model's own."""
    start = "Once upon a time, there was a little" if model.tokenizer is not None else [1]
    drawn = decode(jax.random.key(42), model, start, length=length, sampling=Sampling(0.7), end_tokens=())
    return drawn.whole(0)


def forked(model: LanguageModel, text: np.ndarray, branches: int, new: int, seed: int) -> np.ndarray:
    """Return continuations ``[branches, new]``."""
    key = jax.random.key(seed)
    drawn = decode(key, model, text, n=branches, new_tokens=new, sampling=LAW, end_tokens=(), lanes=branches)
    return np.stack(drawn.tokens)


def check_law(
    name: str, model: LanguageModel, text: np.ndarray, tokens: np.ndarray, reference: np.ndarray | None
) -> np.ndarray:
    """Refuse to time a contestant whose texts are likelier or less likely than sloc's; return the log-probabilities."""
    found = np.array([row.sum(dtype=np.float64) for row in score(model, list(tokens), prompt=text)])
    if reference is None:
        return found
    error = math.sqrt(found.var(ddof=1 if len(found) > 1 else 0) / len(found) + reference.var(ddof=1) / len(reference))
    if len(found) < 10:
        # Too few for their own spread.
        error = reference.std(ddof=1) / math.sqrt(len(found))
    gap = abs(found.mean() - reference.mean())
    if gap > 6 * error:
        raise AssertionError(
            f"{name}: mean log-probability is off by {gap:.3g}, six standard errors are {6 * error:.3g}"
        )
    return reference


def law_rows(model: LanguageModel, folder: Path, smoke: bool) -> Iterator[Row]:
    """Yield how well many first tokens of branches fit the law that ``transformers`` computes, by chi-square."""
    if not machine.has_peer("transformers", smoke):
        return
    n = 20_000 if smoke else DRAWS
    text = original(model, 32)
    law = Transformers(str(folder), machine.cores()).law(text)
    first = decode(jax.random.key(3), model, text, n=n, new_tokens=1, sampling=LAW, end_tokens=(), lanes=min(n, 4096))
    p = chi_square(np.bincount([int(t[0]) for t in first.tokens], minlength=law.size), law)
    name = f"next token: {n:,} draws against the law of transformers, p of chi-square"
    yield {"name": name, "value": p, "unit": "", "target": f">= {FALSE_ALARM:g}", "met": p >= FALSE_ALARM, "must": True}


def chi_square(counts: np.ndarray, law: np.ndarray) -> float:
    """Return the p-value of counts under a law; tokens expected less than ten times are taken together."""
    from scipy import stats

    expected = counts.sum() * law
    rare = expected < 10
    seen, want = (np.append(a[~rare], a[rare].sum()) for a in (counts, expected))
    used = want > 0
    return float(stats.chi2.sf(((seen[used] - want[used]) ** 2 / want[used]).sum(), used.sum() - 1))


def story_rows(model: LanguageModel, rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the time of a whole resampling experiment: every cut of a story, to its full length."""
    length, cuts, n = (24, 3, 4) if smoke else (STORY, CUTS, RESAMPLES)
    case = f"story of {length} tokens, {cuts} cuts x {n} resamples"
    text = original(model, length)
    places = np.linspace(length // cuts, length - length // cuts, cuts).astype(int)
    for recycle in (False, True):
        name = f"{case}{', recycled' if recycle else ''}"

        def once(seed: int, recycle: bool = recycle) -> np.ndarray:
            drawn = decode(jax.random.key(seed), model, text, places, n=n, length=length, sampling=LAW, recycle=recycle)
            texts = drawn.texts(model) if model.tokenizer is not None else drawn.tokens
            assert len(texts) == cuts * n
            return np.array([drawn.counters.drawn])

        (drawn,), first = called(lambda: once(0))
        seconds = [timed(lambda i=i: once(i)) for i in range(1, rounds + 1)]
        row = spread_row(f"{name}, run", seconds, "s", note="texts decoded")
        yield row if smoke else at_most(row, 30.0)
        yield {"name": f"{name}, first call", "value": first, "unit": "s"}
        yield {"name": f"{name}, tokens drawn", "value": int(drawn), "unit": ""}
