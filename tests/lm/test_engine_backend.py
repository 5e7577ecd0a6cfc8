"""The engine as a back end: cuts are where they should be, draws depend on nothing else, and the text is read once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from sloc.contracts import InvalidInput

pytest.importorskip("tokenizers")

from sloc.lm import Sampling, decode, load_model, write_on
from sloc.lm.answers import RegexTask
from sloc.lm.backends import EngineBackend, Failure, Generation, Request, Rule
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from sloc.lm.forward import logits
from sloc.lm.prefix import extend_prefix, read_prefix, shared_of
from sloc.lm.sampling import log_law
from tests.lm.families import FAMILIES, random_tensors, write_checkpoint
from tests.lm.small_models import letters

LAW = Sampling(temperature=0.8)
ASK = Request("q", "abc", prefill="d")
RULE = Rule(8, LAW)


@pytest.fixture(scope="module")
def backend() -> EngineBackend:
    return EngineBackend(letters(), lanes=64)


@pytest.fixture(scope="module")
def origin(backend: EngineBackend) -> Generation:
    (made,) = backend.generate([ASK], RULE, seed=0)
    assert isinstance(made, Generation)
    assert len(made) == 8
    return made


def test_the_first_token_after_a_cut_has_the_models_law(backend: EngineBackend, origin: Generation) -> None:
    model = letters()
    assert origin.tokens is not None
    text = np.asarray([*backend.prompt_tokens(ASK), *origin.tokens])
    scores, _ = logits(model.config, model.weights, jnp.asarray(text)[None])
    laws = np.exp(np.asarray(log_law(scores[0], LAW), np.float64))
    assert model.tokenizer is not None
    names = [model.tokenizer.decode([i], skip_special=False) for i in range(model.tokenizer.size)]
    n = 2048
    for cut, drawn in zip([0, 5], backend.fork(ASK, origin, [0, 5], n, RULE, seed=1), strict=True):
        assert isinstance(drawn, list)
        count = Counter(c.first for c in drawn)
        # The row before the first token drawn: four tokens of the prompt, then those kept.
        law = laws[len("abcd") + cut - 1]
        common = law > 20 / n
        seen = np.asarray([count[x] for x in names])
        observed = [*seen[common], seen[~common].sum()]
        expected = n * np.asarray([*law[common], law[~common].sum()])
        # Two tests at 1e-10 each.
        assert chisquare(observed, expected / expected.sum() * n).pvalue > 1e-10
        assert {c.length for c in drawn} == {8 - cut}, "kept tokens count"
        assert {c.reason for c in drawn} == {"length"}


def test_log_probabilities_of_the_generation(backend: EngineBackend, origin: Generation) -> None:
    model = letters()
    assert origin.tokens is not None
    assert origin.log_probs is not None
    text = np.asarray([*backend.prompt_tokens(ASK), *origin.tokens])
    scores, _ = logits(model.config, model.weights, jnp.asarray(text)[None])
    told = np.asarray(log_law(scores[0], LAW))[np.arange(3, 11), text[4:]]
    assert np.allclose(origin.log_probs, told, atol=1e-4)


@pytest.mark.slow
def test_draws_depend_on_seed_question_cut_and_number_alone(backend: EngineBackend, origin: Generation) -> None:
    both = backend.fork(ASK, origin, [2, 6], 5, RULE, seed=0)
    other = EngineBackend(letters(), lanes=8)
    assert other.fork(ASK, origin, [6], 5, RULE, seed=0) == both[1:]
    assert backend.fork(ASK, origin, [2, 6], 3, RULE, seed=0) == [b[:3] for b in both if isinstance(b, list)]
    assert backend.fork(ASK, origin, [2, 6], 5, RULE, seed=1) != both
    assert backend.fork(Request("r", "abc", "d"), origin, [2, 6], 5, RULE, seed=0) != both


@pytest.mark.slow
def test_what_is_asked_after_a_cut_is_not_returned(backend: EngineBackend, origin: Generation) -> None:
    (drawn,) = backend.fork(ASK, origin, [3], 4, Rule(2, LAW), seed=0, ask=" h.")
    assert isinstance(drawn, list)
    assert {c.length for c in drawn} == {2}
    assert all(c.text.startswith(c.first) for c in drawn)


@pytest.mark.slow
def test_prompts_are_read_once_and_generations_never() -> None:
    backend = EngineBackend(letters(), lanes=4)
    settings = ExperimentSettings(Cuts("token"), 6, RULE, stump=True, stump_tokens=2, generations=2)
    task = RegexTask("[a-h]")
    questions = [Question(name, text, prefill="d", raw=True) for name, text in (("q", "abc"), ("r", "fgh"))]
    experiment = run_experiment(backend, questions, task, settings)
    assert all(len(r.origin) == 8 for r in experiment.runs)  # pyright: ignore
    # Four tokens of each prompt; a second generation of a question finds its prompt there.
    assert backend.prefilled == 2 * 4


@pytest.mark.slow
def test_what_texts_share_is_read_once() -> None:
    """As in judging: the same instructions before each text."""
    backend = EngineBackend(letters(), lanes=4)
    head = "abcdefghabcdefghabcd"
    prompts = [head + tail for tail in ("aaa", "bbbb", "bb")]
    made = backend.generate([Request(f"j{i}", p) for i, p in enumerate(prompts)], Rule(2, LAW), seed=0)
    # The head once; of "bb" nothing is new.
    assert backend.prefilled == len(head) + 3 + 4
    alone = EngineBackend(letters(), lanes=4)
    (last,) = alone.generate([Request("j2", prompts[2])], Rule(2, LAW), seed=0)
    assert last == dataclasses.replace(made[2], log_probs=last.log_probs)  # pyright: ignore
    np.testing.assert_allclose(made[2].log_probs, last.log_probs, atol=1e-4)  # pyright: ignore


@pytest.mark.slow
@pytest.mark.parametrize(("family", "new"), [("gpt2", 9), ("mistral", 30)])
def test_writing_on_leaves_what_reading_finds(family: str, new: int, tmp_path: Path) -> None:
    # Mistral's window is shorter than the text.
    settings = FAMILIES[family]
    model = load_model(write_checkpoint(tmp_path, settings, random_tensors(settings)))
    text = np.random.default_rng(2).integers(0, 96, 13)
    key = jax.random.key(4)
    drawn, made = write_on(key, model, read_prefix(model, text), new_tokens=new, sampling=Sampling(), end_tokens=())
    plain = decode(key, model, text, new_tokens=new, sampling=Sampling(), end_tokens=())
    np.testing.assert_array_equal(drawn.tokens[0], plain.tokens[0])
    assert drawn.counters.prefilled == 13
    assert made.tokens.tolist() == drawn.whole(0)[:-1].tolist()
    whole, n = read_prefix(model, made.tokens), made.length
    for a, b in zip(shared_of(made).keys, shared_of(whole).keys, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a[:, :n], b[:, :n], atol=1e-4)
    for a, b in zip(shared_of(made).values, shared_of(whole).values, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a[..., :n], b[..., :n], atol=1e-4)
    np.testing.assert_allclose(shared_of(made).features[:n], shared_of(whole).features[:n], atol=1e-4)
    one, same = write_on(key, model, made, new_tokens=1, sampling=Sampling(), end_tokens=())
    assert (len(one.tokens[0]), same) == (1, made), "the last token is drawn, not read"
    # A text that is written on again, and read on.
    more, longer = write_on(key, model, made, new_tokens=6, sampling=Sampling(), end_tokens=())
    assert longer.tokens.tolist() == more.whole(0)[:-1].tolist()
    read = extend_prefix(model, longer, more.tokens[0][-1:])
    assert np.allclose(
        shared_of(read).features[n + 5], shared_of(read_prefix(model, read.tokens)).features[n + 5], atol=1e-4
    )


@pytest.mark.slow
def test_writing_on_up_to_a_stop_text() -> None:
    model = letters()
    assert model.tokenizer is not None
    text = model.tokens("abc")
    drawn, made = write_on(
        jax.random.key(1), model, read_prefix(model, text), new_tokens=60, sampling=LAW, stop=["a"], end_tokens=()
    )
    assert drawn.reasons == ["stop"]
    assert made.tokens.tolist() == drawn.whole(0)[:-1].tolist()
    n = made.length
    np.testing.assert_allclose(
        shared_of(made).features[:n], shared_of(read_prefix(model, made.tokens)).features[:n], atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, 7, 64, 70])
def test_reading_on_is_reading(start: int) -> None:
    model = letters()
    text = [int(t) for t in np.random.default_rng(0).integers(0, model.config.vocabulary, 90)]
    whole = read_prefix(model, text)
    made = extend_prefix(model, read_prefix(model, text[:start]), text[start:])
    assert made.tokens.tolist() == whole.tokens.tolist()
    for a, b in zip(shared_of(made).keys, shared_of(whole).keys, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a[:, :90], b[:, :90], atol=1e-4)
    for a, b in zip(shared_of(made).values, shared_of(whole).values, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a[..., :90], b[..., :90], atol=1e-4)
    assert shared_of(made).features.shape == shared_of(whole).features.shape
    assert np.allclose(shared_of(made).features[:90], shared_of(whole).features[:90], atol=1e-4)
    with pytest.raises(InvalidInput, match="at least one token"):
        extend_prefix(model, whole, [])
    # From a piece of a longer text.
    again = extend_prefix(model, whole.first(start), text[start:])
    assert np.allclose(shared_of(again).features[:90], shared_of(whole).features[:90], atol=1e-4)
    for length in (0, 91):
        with pytest.raises(InvalidInput, match="from 1 to 90"):
            whole.first(length)


def test_what_does_not_fit_is_told(backend: EngineBackend, origin: Generation) -> None:
    made, failed = backend.generate([ASK, Request("long", "a" * 100)], RULE, seed=0)
    assert isinstance(made, Generation)
    assert isinstance(failed, Failure)
    assert "at most the model's context, 96 tokens" in failed.reason
    (failed,) = backend.fork(ASK, origin, [1], 2, Rule(200, LAW), seed=0, ask="a")
    assert isinstance(failed, Failure)


def test_chats_go_through_the_template() -> None:
    chat = EngineBackend(letters(chat=True), lanes=4)
    assert chat.chats
    turns = ({"role": "user", "content": "abc"},)
    assert chat.prompt_tokens(Request("q", turns, "d")) == chat.prompt_tokens(Request("q", "abc ", "d"))


def test_models_that_cannot_be_cut() -> None:
    with pytest.raises(InvalidInput, match="lanes = 0"):
        EngineBackend(letters(), lanes=0)
