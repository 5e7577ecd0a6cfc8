"""Demonstrations: what they train on is what they say, and what they show is so."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare
from typer.testing import CliRunner

from sloc.contracts import InvalidInput

pytest.importorskip("tokenizers")

from sloc.cli import app
from sloc.lm.answers import same_choices_curve
from sloc.lm.demos.addition import addition_questions, addition_text
from sloc.lm.demos.grammar import FIRST, STAY, TEMPLATE, grammar_law, grammar_texts
from sloc.lm.demos.stories import STORIES, story_experiment
from sloc.lm.demos.training import END, character_tokenizer, next_token_loss, train_decoder
from sloc.lm.forward import logits
from sloc.report.lm_demo import DemoRequest, run_lm_demo
from sloc.report.run_record import repeated
from tests.lm.scripted import Coin
from tests.lm.small_models import letters


def test_the_law_of_the_grammar() -> None:
    law = grammar_law()
    assert len(law) == 32
    assert sum(law.values()) == pytest.approx(1.0)
    first = TEMPLATE.blanks[0][0]
    assert sum(p for t, p in law.items() if t[0] == first) == pytest.approx(FIRST)
    for i, stay in enumerate(STAY):
        same = sum(
            p for t, p in law.items() if TEMPLATE.blanks[i].index(t[i]) == TEMPLATE.blanks[i + 1].index(t[i + 1])
        )
        assert same == pytest.approx(stay)
    drawn = Counter(TEMPLATE.choices(t) for t in grammar_texts(jax.random.key(0), 4096))
    observed, expected = ([d[t] for t in law] for d in (drawn, {t: 4096 * p for t, p in law.items()}))
    assert chisquare(observed, expected).pvalue > 1e-9
    assert all(len(o[0]) and o[0][0] != o[1][0] for o in TEMPLATE.blanks), "known by the first character"


def test_exact_windows_of_the_grammar() -> None:
    """Every jump of the exact curve is at a choice, and the curve ends at one."""
    law = grammar_law()
    for choices in itertools.islice(law, 4):
        text = TEMPLATE.fill(choices)
        points = TEMPLATE.points(text)
        assert points is not None
        curve = same_choices_curve(law, choices, points, range(len(text) + 1))
        assert set(np.flatnonzero(np.diff(curve))) == {p.before for p in points}
        assert curve[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (358, 467, "358+467=8+7=15 5+6+1=12 3+4+1=08 :0825"),
        (1, 2, "001+002=1+2=03 0+0=00 0+0=00 :0003"),
        (999, 1, "999+001=9+1=10 9+0+1=10 9+0+1=10 :1000"),
    ],
)
def test_sums_are_written_out(a: int, b: int, text: str) -> None:
    assert addition_text(a, b) == text


def test_sums_are_right() -> None:
    for question in addition_questions(jax.random.key(1), 50):
        a, b = question.id.split("+")
        assert int(question.truth or "") == int(a) + int(b)
        columns = re.findall(r"(\d)\+(\d)(\+1)?=(\d\d)", addition_text(int(a), int(b)).split("=", 1)[1])
        assert all(int(x) + int(y) + bool(c) == int(s) for x, y, c, s in columns)


def test_characters_are_tokens() -> None:
    tokenizer = character_tokenizer("ab\n .")
    text = "a\nb . \n"
    tokens = tokenizer.encode(text)
    assert len(tokens) == len(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.decode([tokenizer.size - 1], skip_special=False) == END
    with pytest.raises(InvalidInput, match="at least one character"):
        character_tokenizer("")


@pytest.mark.slow
def test_the_loss_is_the_mean_surprise() -> None:
    model = letters()

    class Held:
        def weights(self):
            return model.weights

    tokens = np.asarray([[1, 4, 2, 7, 0], [3, 3, 5, 0, 0]], np.int32)
    real = np.asarray([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    value = next_token_loss(model.config, Held(), jax.random.key(0), jnp.asarray(tokens), jnp.asarray(real))
    surprise = []
    for row, mask in zip(tokens, real, strict=True):
        own = row[mask]
        scores, _ = logits(model.config, model.weights, jnp.asarray(own)[None])
        law = np.asarray(jax.nn.log_softmax(scores[0], axis=-1))
        surprise += [-law[i, own[i + 1]] for i in range(len(own) - 1)]
    assert float(value) == pytest.approx(np.mean(surprise), rel=1e-5)


@pytest.mark.slow
def test_training_learns() -> None:
    model, losses = train_decoder(jax.random.key(0), ["abcabcabc", "bcabcabca"], steps=150, width=16, layers=1)
    assert losses[-5:].mean() < 0.3 * losses[:5].mean()
    assert model.tokenizer is not None
    assert model.end_tokens == (model.tokenizer.size - 1,)


@pytest.mark.nightly
def test_predicted_and_measured_jumps_of_the_grammar_coincide(tmp_path: Path) -> None:
    record = run_lm_demo(DemoRequest("grammar"), tmp_path / "out")
    results = record["results"]
    assert results["training_seconds"] < 240
    assert results["generations_that_fit"] == 2
    assert results["predicted_and_measured_coincide"]
    import pandas as pd

    table = pd.read_csv(tmp_path / "out" / "jumps.csv")
    # 200 draws (Hoeffding 0.24 at 1e-10), and a model that has learned the law to a few per cent.
    assert (table["same_before"] - table["exact_before"]).abs().max() < 0.3
    assert (table["same_after"] - table["exact_after"]).abs().max() < 0.3


@pytest.mark.nightly
def test_sums_go_wrong_somewhere(tmp_path: Path) -> None:
    record = run_lm_demo(DemoRequest("addition"), tmp_path / "out")
    assert repeated(DemoRequest, tmp_path / "out", "lm demo") == DemoRequest("addition")
    results = record["results"]
    assert results["training_seconds"] < 240
    assert results["right"] > 5
    assert results["wrong"] > 0
    assert results["accuracy"]
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.nightly
def test_stories_decide(test_data: Path, tmp_path: Path) -> None:
    folder = str(test_data / "models" / "stories260k")
    record = run_lm_demo(DemoRequest("stories", folder, texts=1, resamples=20), tmp_path / "out")
    assert len(record["results"]["answers"]) == 2
    assert len(list((tmp_path / "out" / "questions").iterdir())) == 2


def test_stories_of_another_name() -> None:
    with pytest.raises(InvalidInput, match="story = 'x': expected one of"):
        story_experiment(Coin(), "x")
    assert set(STORIES) == {"pet", "mood"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["chess"], "NAME = chess: expected one of"),
        (["stories"], "expected the folder of a model of short stories"),
        (["grammar", "--model", "x"], "--model = x: expected the demo stories"),
        (["grammar", "--steps", "0"], "--steps = 0: expected a whole number, at least 1"),
        (["grammar", "--resamples", "1"], "--resamples = 1: expected a whole number, at least 2"),
        (["addition", "--texts", "0"], "--texts = 0"),
        (["addition", "--seed", "-1"], "--seed = -1"),
        (["addition", "--lanes", "0"], "--lanes = 0"),
        (["stories", "--model", "x", "--steps", "3"], "--steps = 3: expected a demo that trains"),
    ],
)
def test_bad_input_is_one_line(options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["lm", "demo", *options])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_texts_that_cannot_be_learned() -> None:
    for texts in ([], ["a", ""]):
        with pytest.raises(InvalidInput, match="at least one text, none of them empty"):
            train_decoder(jax.random.key(0), texts, steps=1)
