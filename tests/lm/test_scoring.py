"""Log-probabilities of given texts, against whole passes; texts that are refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.lm import LanguageModel, Sampling, decode, random_model, score, small_config
from sloc.lm import scoring as scoring_module
from sloc.lm.forward import logits
from sloc.lm.sampling import log_law


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return random_model(jax.random.key(0), small_config(61, width=32, heads=4, kv_heads=2), scale=0.3)


def texts(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 61, n) for n in lengths]


def whole_pass(model: LanguageModel, prompt: list[int], text: np.ndarray, law: Sampling) -> np.ndarray:
    tokens = np.concatenate([prompt, text]).astype(np.int32)
    found, _ = logits(model.config, model.weights, jnp.asarray(tokens)[None])
    logs = np.asarray(log_law(found[0, :-1], law))
    return np.take_along_axis(logs, tokens[1:, None], axis=1)[max(len(prompt) - 1, 0) :, 0]


@pytest.mark.parametrize("law", [pytest.param(Sampling(), marks=pytest.mark.slow), Sampling(0.7, top_p=0.9)], ids=str)
@pytest.mark.parametrize("batch", [40, pytest.param(16_384, marks=pytest.mark.slow)])
def test_scores_are_those_of_whole_passes(
    model: LanguageModel, law: Sampling, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_module, "_LOGITS", 61 * 7)
    prompt = [3, 14, 15, 9, 2]
    given = texts(7, 40, 1, 33, 12)
    found = score(model, given, prompt=prompt, sampling=law, batch_tokens=batch)
    for row, text in zip(found, given, strict=True):
        np.testing.assert_allclose(row, whole_pass(model, prompt, text, law), atol=1e-4)
    alone = score(model, given, sampling=law, batch_tokens=batch)
    for row, text in zip(alone, given, strict=True):
        assert row[0] == 0
        assert len(row) == len(text)
        np.testing.assert_allclose(row[1:], whole_pass(model, [], text, law), atol=1e-4)


@pytest.mark.slow
def test_what_is_drawn_is_scored_alike(model: LanguageModel) -> None:
    law = Sampling(0.8, top_k=9)
    drawn = decode(jax.random.key(1), model, [1, 2, 3], n=6, new_tokens=15, sampling=law)
    for row, want in zip(score(model, drawn.tokens, prompt=[1, 2, 3], sampling=law), drawn.log_probs, strict=True):
        np.testing.assert_allclose(row, want, atol=1e-4)


def test_the_prompt_is_read_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    own = scoring_module._read_prompt
    monkeypatch.setattr(scoring_module, "_read_prompt", lambda *a: (read.append(a[2].shape), own(*a))[1])
    score(model, texts(7, 40, 80, 33, 12), prompt=[3, 14, 15], batch_tokens=64)
    assert read == [(1, 3)]


def test_ruled_out_tokens_have_no_chance(model: LanguageModel) -> None:
    likeliest = int(np.asarray(logits(model.config, model.weights, jnp.asarray([[5]]))[0])[0, 0].argmax())
    kept, out = score(model, [[likeliest], [(likeliest + 1) % 61]], prompt=[5], sampling=Sampling(top_k=1))
    assert kept[0] == 0
    assert out[0] == -np.inf


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "texts"),
        ([[]], r"texts\[0\]"),
        ([[1], [61]], "61"),
        ([[1] * 510], "context"),
        (["abc"], "tokenizer"),
    ],
)
def test_bad_texts_are_refused(given: list, name: str, model: LanguageModel) -> None:
    with pytest.raises(InvalidInput, match=name):
        score(model, given, prompt=[1, 2, 3])
