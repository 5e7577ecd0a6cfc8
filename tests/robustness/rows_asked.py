"""Rows of methods that are called by hand: on processes, populations, statistics, texts and posteriors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

import sloc
from sloc import lm
from sloc.bayes import ChangePosterior, EdgePosterior, MixturePosterior
from sloc.lm import Cuts, Question, Template
from sloc.populations import CriticalTokens, InContext, KalmanDiscourse, RandomWalkSolver
from sloc.processes import (
    AnisotropicGaussian,
    AnisotropicOrnsteinUhlenbeck,
    BinarySymmetric,
    Composed,
    Masking,
    OrnsteinUhlenbeck,
    Permuted,
    Power,
    Retimed,
)
from sloc.samplers import Unnormalized
from tests.lm.small_models import letters
from tests.processes.heads import heads
from tests.robustness.common import OU, PAIR
from tests.robustness.rows_lm import experiment
from tests.robustness.rows_measures import learned
from tests.robustness.sweep import Row
from tests.robustness.values import Argument, array, fraction, positive, real, taken, text, thing, whole

WORD = Argument("ab", "a text", {**text("").wrong})
"""A text, of which every one is taken, the empty one too."""


def on(owner: Any, name: str, /, **arguments: Argument) -> Row:
    """Return the row of a method: ``owner`` is the object that has it, ``name`` its public name."""
    return Row(name, getattr(owner, name.rpartition(".")[2]), arguments)


def ids(good: Any, *fine: str) -> Argument:
    """Whole numbers in one dimension, none of them negative."""
    wrong = {**thing(good, "").wrong, **array([1]).wrong, "a negative number": [-1], "parts": [0.5], "words": ["a"]}
    wrong |= {"a number": 5, "too large a number": [2**40], "truth values": [True]}
    return Argument(good, "whole numbers", {k: v for k, v in wrong.items() if k not in ("an empty list", *fine)})


def index(good: int, most: int) -> Argument:
    """A whole number from 0 to ``most``."""
    return whole(good, 0).also(one_too_many=most + 1)


def pieces(good: tuple[str, ...]) -> Argument:
    """Texts, of which any number is taken."""
    return thing(good, "texts").but("an empty list").also(numbers=[1, 2])


def processes() -> list[Row]:
    """Return rows of the grids that are not of one class of processes, or that a process takes from another."""
    n = whole(4)
    ends = Argument(None, "two numbers, or None", array([2.0, -2.0]).but("None").also(three_numbers=[1, 2, 3]).wrong)
    flat = AnisotropicOrnsteinUhlenbeck(np.eye(2))
    inner = {
        "sloc.ObservationProcess": Masking(),
        "sloc.processes.Composed": Composed(BinarySymmetric(), heads),
        "sloc.processes.Permuted": Permuted(OU, [1, 0]),
        "sloc.processes.Retimed": Retimed(OU, Power(2.0)),
    }
    return [
        *(on(process, f"{name}.grid", n=n) for name, process in inner.items()),
        on(OrnsteinUhlenbeck(), "sloc.GaussianChannel.grid", n=n, log_snr=ends),
        on(flat, "sloc.LinearGaussianChannel.grid", n=n, log_snr=ends),
        on(AnisotropicGaussian(np.eye(2)), "sloc.processes.AnisotropicGaussian.grid", n=n, log_snr=ends),
    ]


def populations() -> list[Row]:
    """Return rows of closed forms, and of words as texts."""
    p, level = "sloc.populations.", fraction(0.1)
    tokens = CriticalTokens.refusals()
    rules = InContext([[[0.9, 0.1]], [[0.1, 0.9]]], [1.0], 3)
    topics = KalmanDiscourse([[1.0, 0.0], [0.0, 1.0]], 2.0, 3)
    walk = RandomWalkSolver(0.2, 2, 4)
    moments = array([0.0, 1.0]).but("an empty list", "an array of rank 3", "infinity inside").also(a_negative_time=-1)
    pair = {"i": index(0, 1), "j": index(1, 1)}
    some = ids([1, 2], "a number", "an array of rank 3").also(parts_of_rank_3=np.full((2, 3, 4), 0.5))
    return [
        on(tokens, p + "CriticalTokens.text", x=ids([0, 1]).also(no_such_letter=[9])),
        on(rules, p + "InContext.affinity", examples=whole(2, 0)),
        on(rules, p + "InContext.smallest_hellinger", rule=index(0, 1)),
        on(rules, p + "InContext.examples_needed", rule=index(0, 1), epsilon=level, most=whole(10)),
        on(topics, p + "KalmanDiscourse.word_affinity", **pair, time=moments),
        on(topics, p + "KalmanDiscourse.discourse_kl", **pair, time=moments),
        on(topics, p + "KalmanDiscourse.prefix_tv", **pair, words=some.also(too_many=[4])),
        on(walk, p + "RandomWalkSolver.position_law", steps=whole(2, 0)),
        on(walk, p + "RandomWalkSolver.prefix_tv", steps=some.but("too large a number")),
    ]


def statistics() -> list[Row]:
    """Return rows of what binds a statistic to a population."""
    population = thing(PAIR, "a population")
    made = {
        "KL": sloc.KL(0, 1),
        "TV": sloc.TV(0, 1),
        "Certificate": sloc.Certificate(0, [0, 1]),
        "Clones": sloc.Clones(),
        "Hellinger": sloc.Hellinger(0, 1),
        "Information": sloc.Information(),
        "Labels": sloc.Labels(0),
        "Misassignment": sloc.Misassignment(0),
    }
    return [on(statistic, f"sloc.{name}.bind", population=population) for name, statistic in made.items()]


def samplers() -> list[Row]:
    """Return rows of grids and labels of learned models, and of targets without a normaliser."""
    two = Argument((0.1, 0.9), "two numbers, or None", {**array([0.0, 1.0]).but("None").wrong, "one": [0.5]})
    low, high = (positive(v).says("low", "high") for v in (0.01, 100.0))
    model = learned()
    guided = type(model)(model.fn, model.schedule, (2,), "x0", num_classes=2, label=0, null_label=2)
    return [
        on(guided, "sloc.samplers.LearnedDiffusion.grid", n=whole(4), low=low, high=high.also(below_low=0.001)),
        on(
            guided,
            "sloc.samplers.LearnedDiffusion.conditioned",
            label=index(0, 1).optional(),
            guidance=real(1.5).optional(),
            times=two.but("infinity inside").also(in_disorder=(0.9, 0.1)).says("guidance_times"),
        ),
        on(
            Unnormalized(lambda x: -0.5 * (x @ x), 2, 3.0),
            "sloc.samplers.Unnormalized.grid",
            process=thing(OU, "a process"),
            n=whole(4),
        ),
    ]


def posteriors() -> list[Row]:
    """Return rows of what is asked of posteriors."""
    edge = EdgePosterior("T_after", np.linspace(0, 1, 5), np.zeros(5, np.int32), 0.9, 0.0, 0.0)
    # What these ask is refused before anything else of the posterior is read.
    drawn = SimpleNamespace(draws=8, samples={"mean": np.zeros((2, 4))})
    changes = SimpleNamespace(numbers=np.eye(3))
    draws = whole(4).optional()
    b = "sloc.bayes."
    return [
        on(edge, b + "EdgePosterior.quantile", q=fraction(0.5, low=True, high=True)),
        Row(b + "ChangePosterior.reported", _of(ChangePosterior.reported, changes), {"alpha": fraction(0.1)}),
        Row(b + "MixturePosterior.thinned", _of(MixturePosterior.thinned, drawn), {"draws": draws.also(many=9)}),
        Row(b + "MixturePosterior.population", _of(MixturePosterior.population, drawn), {"draws": draws}),
    ]


def _of(method: Any, owner: Any) -> Any:
    return lambda **given: method(owner, **given)


def texts() -> list[Row]:
    """Return rows of tokenizers, templates, cuts and tasks."""
    chatting = letters(chat=True).tokenizer
    assert chatting is not None
    p, asked = "sloc.lm.", Question("q", "?", "right")
    turns = thing([{"role": "user", "content": "a"}], "turns of a chat").but("an empty list")
    chat = {"messages": turns, "answer": WORD.optional(), "template": taken(None)}
    template = Template.read("A {cat|dog} sat.")
    question = taken(asked)
    read = {"text": WORD, "question": question}
    tasks: dict[str, Any] = {
        "ChoiceTask": lm.ChoiceTask(),
        "JsonTask": lm.JsonTask(),
        "MathTask": lm.MathTask("rules"),
        "RegexTask": lm.RegexTask("(a)"),
        "TemplateTask": lm.TemplateTask(template),
        "FunctionTask": lm.FunctionTask(lambda text, question: text),
    }
    stumps = ("ChoiceTask", "JsonTask", "MathTask")
    return [
        on(chatting, p + "Tokenizer.encode", text=WORD, special=taken(True)),
        on(chatting, p + "Tokenizer.decode", tokens=ids([1]), skip_special=taken(True)),
        on(chatting, p + "Tokenizer.pieces", tokens=ids([1])),
        on(chatting, p + "Tokenizer.token", text=WORD),
        on(chatting, p + "Tokenizer.chat", **chat),
        on(chatting, p + "Tokenizer.encode_chat", **chat),
        on(template, p + "Template.choices", text=WORD),
        on(template, p + "Template.points", text=WORD),
        on(template, p + "Template.token_points", pieces=pieces(("A cat", " sat.")), prefill=WORD),
        on(Cuts("token"), p + "Cuts.of", pieces=pieces(("a", "b"))),
        *(on(task, f"{p}{name}.extract", **read) for name, task in tasks.items()),
        *(on(tasks[name], f"{p}{name}.extract_stump", **read) for name in stumps),
        on(tasks["MathTask"], p + "MathTask.same", a=WORD, b=WORD, question=question),
    ]


def experiments() -> list[Row]:
    """Return rows of what is asked of an experiment, of a prefix and of a detector."""
    p, done = "sloc.lm.", experiment()
    run = done.runs[0]
    assert run.origin is not None
    prefix = lm.read_prefix(letters(), "ab", context=8)
    scores = lm.roc([0.5, 1.0], [0.2, 0.4])
    own = {"temperature": real(0.5).left_out().says("temperature", "experiment"), "stump": taken(False)}
    return [
        on(run, p + "QuestionRun.kept", cut=index(1, len(run.origin))),
        on(prefix, p + "Prefix.first", length=whole(1).also(more_than_there_are=99)),
        on(scores, p + "Roc.recall_at", rate=fraction(0.1), delta=fraction(0.05)),
        on(done, p + "Experiment.recordings", **own),
        on(done, p + "Experiment.to_frame", **own),
        on(done, p + "Experiment.same_curves", alpha=fraction(0.05)),
    ]


def rows() -> list[Row]:
    """Return every row of this file."""
    return [
        *processes(),
        *populations(),
        *statistics(),
        *samplers(),
        *posteriors(),
        *texts(),
        *experiments(),
    ]
