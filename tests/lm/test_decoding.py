"""Forked decoding: its law, its branches alone and together, what it reads, and where branches stop."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sloc.contracts import InvalidInput
from sloc.lm import LanguageModel, Sampling, decode, load_model, random_model, read_prefix, small_config
from sloc.lm import lanes as lanes_module
from sloc.lm.decoding import Limits, planned
from sloc.lm.forked import compiled_advance
from sloc.lm.forward import logits
from sloc.lm.sampling import log_law
from tests.lm.families import FAMILIES, random_tensors, write_checkpoint

LAW = Sampling(0.9, top_p=0.95)
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return random_model(jax.random.key(0), small_config(61, width=32, heads=4, kv_heads=2), scale=0.3)


@pytest.fixture(scope="module")
def text() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 61, 21)


def teacher_forced(model: LanguageModel, tokens: np.ndarray, law: Sampling) -> np.ndarray:
    """Return the log-probability of each token after the first, from one whole pass."""
    found, _ = logits(model.config, model.weights, jnp.asarray(tokens)[None])
    logs = np.asarray(log_law(found[0, :-1], law))
    return np.take_along_axis(logs, tokens[1:, None], axis=1)[:, 0]


FORKED = ["mistral"]
FORKED += [
    pytest.param(f, marks=pytest.mark.slow) for f in ("llama", "qwen2", "qwen3", "phi3", "phi3, windows", "gpt2")
]


@pytest.mark.parametrize("family", FORKED)
def test_every_family_decodes_as_it_reads(family: str, tmp_path: Path) -> None:
    # Phi-3's long factors are in force: text and branches together pass its switch.
    settings = FAMILIES[family]
    own = load_model(write_checkpoint(tmp_path / "m", settings, random_tensors(settings)))
    text = np.random.default_rng(1).integers(0, 96, 17)
    drawn = decode(KEY, own, text, [3, 9, 17], n=2, new_tokens=12, sampling=Sampling(), lanes=4)
    for i in range(len(drawn)):
        whole = drawn.whole(i)
        context = 29 if family == "phi3" else None
        found, _ = logits(own.config, own.weights, jnp.asarray(whole)[None], context=context)
        logs = np.asarray(jax.nn.log_softmax(found[0, :-1]))
        want = np.take_along_axis(logs, whole[1:, None], axis=1)[drawn.cuts[i] - 1 :, 0]
        np.testing.assert_allclose(drawn.log_probs[i], want, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("bound", [("_LARGE", 0.0), ("_SHORT", 0)], ids=["shifted by the largest", "as products"])
def test_scores_shifted_or_multiplied_otherwise_are_the_same(
    bound: tuple[str, float], model: LanguageModel, text: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = decode(KEY, model, text, [5, 21], n=3, new_tokens=9, sampling=LAW)
    monkeypatch.setattr(lanes_module, *bound)
    compiled_advance().clear_cache()
    shifted = decode(KEY, model, text, [5, 21], n=3, new_tokens=9, sampling=LAW)
    compiled_advance().clear_cache()
    for a, b in zip(plain.tokens, shifted.tokens, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(plain.log_probs, shifted.log_probs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_scores_too_large_for_exp_are_handled(text: np.ndarray) -> None:
    loud = random_model(jax.random.key(0), small_config(61, width=32, heads=4), scale=0.3)
    for layer in loud.weights["layers"]:
        layer["q"]["w"] = layer["q"]["w"] * 200
    drawn = decode(KEY, loud, text, n=3, new_tokens=9, sampling=LAW)
    for i in range(3):
        want = teacher_forced(loud, drawn.whole(i), LAW)[len(text) - 1 :]
        np.testing.assert_allclose(drawn.log_probs[i], want, atol=2e-3)


def test_a_branch_is_the_same_alone_and_in_any_batch(model: LanguageModel, text: np.ndarray) -> None:
    cuts, n = [4, 9, 21], 5
    together = decode(KEY, model, text, cuts, n=n, new_tokens=10, sampling=LAW)
    in_turn = decode(KEY, model, text, cuts, n=n, new_tokens=10, sampling=LAW, lanes=4)
    alone = decode(KEY, model, text, [9], n=1, new_tokens=10, sampling=LAW)
    for a, b in zip(together.tokens, in_turn.tokens, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(alone.tokens[0], together.tokens[n])
    assert in_turn.counters.steps > together.counters.steps
    assert len({tuple(t) for t in together.tokens}) == len(together)


def test_the_prefix_is_read_once_whatever_the_branches(
    model: LanguageModel, text: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sloc.lm import prefix as prefix_module

    read = []
    monkeypatch.setattr(
        prefix_module, "_read", lambda *a, own=prefix_module._read: (read.append(a[3].sum()), own(*a))[1]
    )
    few = decode(KEY, model, text, n=2, new_tokens=5)
    many = decode(KEY, model, text, [3, 8, 21], n=100, new_tokens=5)
    assert [int(r) for r in read] == [21, 21]
    assert few.counters.prefilled == many.counters.prefilled == 21
    assert few.counters.prefix_bytes == many.counters.prefix_bytes
    shared = read_prefix(model, text)
    again = decode(KEY, model, text, [3, 8, 21], n=100, new_tokens=5, prefix=shared)
    assert len(read) == 3
    for a, b in zip(many.tokens, again.tokens, strict=True):
        np.testing.assert_array_equal(a, b)
    # What is held for the prefix grows with its padded length alone; the branches' own part has none of it.
    c = model.config
    per_token = 4 * (c.layers * c.kv_heads * (2 * c.head_dim + 1) + c.width)
    assert shared.nbytes == 32 * per_token


@pytest.mark.slow
def test_caches_are_written_in_place(model: LanguageModel, text: np.ndarray) -> None:
    plan = planned(model, text, [3, 8, 21], Limits(new_tokens=5), n=2)
    queue, state = plan.queue(KEY), plan.lanes_state()
    where = [a.unsafe_buffer_pointer() for a in (*state.keys, *state.values)]
    moved = plan.advanced(queue, state, 2)
    assert [a.unsafe_buffer_pointer() for a in (*moved.keys, *moved.values)] == where
    assert all(a.is_deleted() for a in (*state.keys, *state.values))


@pytest.mark.slow
def test_finished_branches_make_room_for_waiting_ones(model: LanguageModel, text: np.ndarray) -> None:
    ends = tuple(range(20))
    drawn = decode(KEY, model, text, n=60, new_tokens=30, end_tokens=ends, sampling=Sampling(), lanes=6)
    lengths = np.array([len(t) for t in drawn.tokens])
    assert set(drawn.reasons) <= {"end", "length"}
    for tokens, reason in zip(drawn.tokens, drawn.reasons, strict=True):
        assert not set(tokens[:-1]) & set(ends)
        assert (reason == "end") == (tokens[-1] in ends)
    # Lanes work all the time but at the end: six times the steps is little more than what was drawn.
    assert lengths.sum() + 60 <= 6 * drawn.counters.steps + 60 <= 1.3 * (lengths.sum() + 60) + 6 * 30
    by_hand = decode(KEY, model, text, n=60, new_tokens=30, end_tokens=(), sampling=Sampling())
    for short, long in zip(drawn.tokens, by_hand.tokens, strict=True):
        np.testing.assert_array_equal(short, long[: len(short)])


@pytest.mark.slow
def test_given_tokens_come_first_and_are_not_drawn(model: LanguageModel, text: np.ndarray) -> None:
    given = [[5, 6, 7], []]
    drawn = decode(KEY, model, text, [4, 21], n=2, new_tokens=8, forced=given, sampling=LAW)
    assert [t[:3].tolist() == [5, 6, 7] for t in drawn.tokens] == [True, True, False, False]
    assert drawn.log_probs[0][:3].tolist() == [0, 0, 0]
    free = teacher_forced(model, drawn.whole(1), LAW)[4 - 1 + 3 :]
    np.testing.assert_allclose(drawn.log_probs[1][3:], free, atol=1e-4)
    plain = decode(KEY, model, text, [21], n=2, new_tokens=8, sampling=LAW)
    np.testing.assert_array_equal(drawn.tokens[2], plain.tokens[0])


def tiny() -> tuple[LanguageModel, np.ndarray]:
    """Return a model of three tokens whose laws can be enumerated, and a text it could write."""
    own = random_model(jax.random.key(5), small_config(3, width=16, heads=2, max_positions=32), scale=0.6)
    return dataclasses.replace(own, end_tokens=(2,)), np.array([0, 1, 0, 0, 1])


def endings(model: LanguageModel, start: np.ndarray, length: int) -> dict[tuple[int, ...], float]:
    """Return the probability of every way to go on from a text to ``length`` tokens or the end token."""
    paths = list(itertools.product(range(3), repeat=length - len(start)))
    whole = np.array([np.concatenate([start, p]) for p in paths])
    found, _ = logits(model.config, model.weights, jnp.asarray(whole))
    logs = np.asarray(jax.nn.log_softmax(found[:, :-1]), np.float64)
    out: dict[tuple[int, ...], float] = {}
    for path, row in zip(whole, logs, strict=True):
        kept, p = [], 1.0
        for t in range(len(start), length):
            kept.append(int(path[t]))
            p *= np.exp(row[t - 1, path[t]])
            if path[t] == 2:
                break
        out[tuple(kept)] = p
    return out


def chi_square(counts: dict[tuple[int, ...], int], law: dict[tuple[int, ...], float], n: int) -> float:
    expected = np.array(list(law.values())) * n
    observed = np.array([counts.get(k, 0) for k in law])
    assert observed.sum() == n
    rare = expected < 10
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], max(expected[rare].sum(), 1e-9))
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


def counted(rows: list[np.ndarray]) -> dict[tuple[int, ...], int]:
    out: dict[tuple[int, ...], int] = {}
    for row in rows:
        key = tuple(int(t) for t in row)
        out[key] = out.get(key, 0) + 1
    return out


@pytest.mark.slow
def test_branches_have_the_law_of_the_model() -> None:
    # False alarm: 1e-9 for each of two cuts.
    own, text = tiny()
    drawn = decode(KEY, own, text, [2, 5], n=20_000, length=8, sampling=Sampling(), lanes=2_000)
    for j, cut in enumerate((2, 5)):
        rows = drawn.tokens[j * 20_000 : (j + 1) * 20_000]
        assert chi_square(counted(rows), endings(own, text[:cut], 8), 20_000) > 1e-9


def test_recycled_branches_have_the_law_too_and_cost_less() -> None:
    # False alarm: 1e-9 for each of four cuts.
    own, text = tiny()
    n, cuts = 20_000, [4, 1, 2, 5]
    drawn = decode(KEY, own, text, cuts, n=n, length=8, sampling=Sampling(), lanes=2_000, recycle=True)
    fresh = decode(KEY, own, text, cuts, n=n, length=8, sampling=Sampling(), lanes=2_000)
    assert len(drawn) == len(fresh) == 4 * n
    assert drawn.counters.drawn < 0.9 * fresh.counters.drawn
    assert drawn.counters.recycled == drawn.recycled.sum() > 0
    for j, cut in enumerate(cuts):
        rows = slice(j * n, (j + 1) * n)
        assert (drawn.cuts[rows] == cut).all()
        assert chi_square(counted(drawn.tokens[rows]), endings(own, text[:cut], 8), n) > 1e-9
        share = drawn.recycled[rows].mean()
        assert share == 0 if cut == 1 else 0 < share < 1
        # What is not recycled is what would have been drawn.
        for i in np.flatnonzero(~drawn.recycled[rows])[:50]:
            np.testing.assert_array_equal(drawn.tokens[j * n + i], fresh.tokens[j * n + i])
        for i in np.flatnonzero(drawn.recycled[rows])[:5]:
            want = teacher_forced(own, drawn.whole(j * n + i), Sampling())[cut - 1 :]
            np.testing.assert_allclose(drawn.log_probs[j * n + i], want, atol=1e-4)


@pytest.mark.slow
def test_a_branch_that_ended_at_a_cut_is_no_sample_of_it() -> None:
    # The text itself holds an end token, at which a branch of an earlier cut stops.
    own, _ = tiny()
    drawn = decode(KEY, own, [1, 2, 0, 1], [1, 2], n=300, length=6, sampling=Sampling(), recycle=True)
    assert any(t.tolist() == [2] for t in drawn.tokens[:300])
    assert not drawn.recycled.any()
    assert all(len(t) > 0 for t in drawn.tokens)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (dict(cuts=[0]), "cuts"),
        (dict(cuts=[22]), "cuts"),
        (dict(cuts=[3, 3]), "cuts"),
        (dict(n=0), "n ="),
        (dict(lanes=0), "lanes"),
        (dict(new_tokens=None), "new_tokens"),
        (dict(length=30), "new_tokens"),
        (dict(new_tokens=0), "new_tokens"),
        (dict(new_tokens=500), "length"),
        (dict(recycle=True), "new_tokens"),
        (dict(new_tokens=None, length=21), "length"),
        (dict(stop=["x"]), "stop"),
        (dict(sampling=Sampling(top_p=2)), "top_p"),
        (dict(forced=[1] * 5), "forced"),
        (dict(forced=[[1], [2]]), "forced"),
    ],
)
def test_bad_requests_are_refused(options: dict, name: str, model: LanguageModel, text: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=name):
        decode(KEY, model, text, **{"new_tokens": 5, **options})


@pytest.mark.parametrize(
    ("given", "name"),
    [([], "text"), ([61], "61"), ([-1], "-1"), ("a str", "tokenizer"), ([1.5], "text"), ([1] * 600, "512")],
)
def test_bad_texts_are_refused(given: object, name: str, model: LanguageModel) -> None:
    with pytest.raises(InvalidInput, match=name):
        decode(KEY, model, given, new_tokens=5)


def test_a_masked_model_is_refused(tmp_path: Path) -> None:
    settings = FAMILIES["llada"]
    own = load_model(write_checkpoint(tmp_path / "m", settings, random_tensors(settings)))
    with pytest.raises(InvalidInput, match="causal"):
        decode(KEY, own, [1, 2], new_tokens=3)
