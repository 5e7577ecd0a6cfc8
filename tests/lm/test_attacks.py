"""Prefill and repeated-token curves, and branches that stop at texts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.lm import (
    LanguageModel,
    Sampling,
    Source,
    decode,
    likelihood_trace,
    load_model,
    prefill_curve,
    random_model,
    repeated_token_curve,
    small_config,
)
from sloc.lm.scoring import text_tokens
from sloc.lm.tokenizer import read_tokenizer
from tests.lm.texts import SIZE, write_tokenizer

KEY = jax.random.key(11)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    own = random_model(jax.random.key(0), small_config(SIZE, width=32, heads=4), scale=0.3)
    tokenizer = read_tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))
    return dataclasses.replace(own, tokenizer=tokenizer)


@pytest.mark.parametrize("recycle", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_branches_end_with_the_token_that_completes_a_stop_string(model: LanguageModel, recycle: bool) -> None:
    options = dict(n=30, length=45, sampling=Sampling())
    free = decode(KEY, model, "abcde", [3, 6], **options)
    texts = free.texts(model)
    stop = [texts[3][4], texts[7][7:9]]
    stopped = decode(KEY, model, "abcde", [3, 6], stop=stop, lanes=7, recycle=recycle, **options)
    assert "stop" in stopped.reasons
    for i, (text, reason) in enumerate(zip(stopped.texts(model), stopped.reasons, strict=True)):
        holds = any(s in text for s in stop)
        assert (reason == "stop") == holds
        if not stopped.recycled[i]:
            np.testing.assert_array_equal(stopped.tokens[i], free.tokens[i][: len(stopped.tokens[i])])
        if holds:
            assert model.tokenizer is not None
            before = model.tokenizer.decode(stopped.tokens[i][:-1].tolist())
            assert not any(s in before for s in stop)


def test_a_prefill_curve_counts_features(model: LanguageModel) -> None:
    answer = "Sure, here"

    def feature(text: str) -> bool:
        return any(c in text for c in "aeiou")

    curve, branches = prefill_curve(KEY, model, "<user>hi<bot>", answer, feature, [0, 1, 4, 10], n=40, new_tokens=12)
    assert curve.time_axis == "prefilled tokens"  # no generation runs along them
    seen = np.array([feature(t) for t in branches.texts(model)]).reshape(4, 40)
    np.testing.assert_allclose(curve.value, seen.mean(axis=1))
    assert ((curve.lower <= curve.value) & (curve.value <= curve.upper)).all()
    assert np.asarray(curve.times).tolist() == [0, 1, 4, 10]
    assert 0 < curve.value.mean() < 1
    assert curve.delta == 0.05
    head = len(model.tokens("<user>hi<bot>"))
    assert branches.cuts[::40].tolist() == [head, head + 1, head + 4, head + 10]
    assert branches.counters.prefilled == head + len(answer)


@pytest.mark.slow
def test_a_repeated_token_curve(model: LanguageModel) -> None:
    curve, branches = repeated_token_curve(
        KEY, model, "<user>hi", "!", lambda text: "!" in text, [0, 3, 20], n=20, new_tokens=8
    )
    assert model.tokenizer is not None
    bang = model.tokenizer.encode("!", special=False)[0]
    assert branches.prefix[-20:].tolist() == [bang] * 20
    assert curve.value.shape == (3,)
    assert "repeated" in curve.quantity


def test_bad_requests_are_refused(model: LanguageModel) -> None:
    def attack(lengths: list[int]) -> None:
        prefill_curve(KEY, model, "hi", "Sure", bool, lengths, n=2, new_tokens=2)

    for call, name in (
        (lambda: attack([0, 5]), "lengths"),
        (lambda: attack([2, 1]), "lengths"),
        (lambda: attack([]), "lengths"),
        (lambda: repeated_token_curve(KEY, model, "hi", "two", bool, [1], n=2, new_tokens=2), "token"),
    ):
        with pytest.raises(InvalidInput, match=name):
            call()


def test_a_text_is_encoded_as_what_follows_its_prompt(test_data: Path) -> None:
    own = load_model(test_data / "models" / "stories260k")
    assert own.tokenizer is not None
    whole = own.tokenizer.encode("Once upon a time there was a cat")
    head = own.tokenizer.encode("Once upon a time")
    assert text_tokens(own, " there was a cat", "text", "Once upon a time").tolist() == whole[len(head) :]
    alone = own.tokenizer.encode(" there was a cat", special=False)
    assert text_tokens(own, " there was a cat", "text", head).tolist() == alone != whole[len(head) :]


def test_cat_or_dog_is_decided_by_the_word(test_data: Path) -> None:
    own = load_model(test_data / "models" / "stories260k")
    head = "Once upon a time, there was a little "
    sources = [Source(own, head + animal, animal) for animal in ("cat", "dog")]
    trace = likelihood_trace(sources, " named Spot. Spot was a good dog.")
    assert trace.posterior[0].tolist() == [0.5, 0.5]
    assert trace.posterior[-1, 1] > 0.9
