"""Rows of :mod:`sloc.lm`; they need the extra."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

import sloc.lm as lm
from sloc.lm import (
    Cuts,
    ExperimentSettings,
    LikelihoodPaths,
    Question,
    RegexTask,
    Rule,
    Sampling,
    Source,
    TemplateTask,
    Transport,
    find_text_windows,
    read_prefix,
    run_experiment,
    small_config,
)
from tests.lm.scripted import Coin
from tests.lm.small_models import letters
from tests.robustness.common import AFTER_BEFORE, row
from tests.robustness.sweep import Row
from tests.robustness.values import (
    Argument,
    array,
    choice,
    fraction,
    function,
    names,
    path,
    positive,
    real,
    taken,
    text,
    thing,
    whole,
)

QUESTIONS = (Question("q0", "?", "right"), Question("q1", "?", "right"))
PATHS = LikelihoodPaths(("a", "b"), np.log([0.5, 0.5]), [[], []], np.zeros((2, 2, 4, 3)))


@functools.cache
def experiment():
    """Return a small experiment."""
    return run_experiment(
        Coin(0.3), QUESTIONS, RegexTask("(right|wrong)"), ExperimentSettings(Cuts("token"), resamples=4)
    )


@functools.cache
def templates():
    """Return a small experiment on a template."""
    task = TemplateTask("I think about it. It is {right|wrong} for sure.")
    return run_experiment(Coin(0.3), QUESTIONS, task, ExperimentSettings(Cuts("token"), resamples=4))


def _model() -> Argument:
    return thing(letters, "a model")


def _sampling() -> Argument:
    return thing(Sampling(), "sampling").optional()


def _sources():
    return [Source(letters(), "a", "a"), Source(letters(), "b", "b")]


def _prompt(good: str = "a") -> Argument:
    found = thing(good, "a text, or ids of tokens")
    return found.but(*(k for k in found.wrong if "text" in k), "bytes", "an empty list")


def models() -> list[Row]:
    """Return rows of what reads and draws with a model."""
    p = "sloc.lm."
    counts = array(np.array([0, 1])).but("an empty list")
    drawn = {"n": whole(2), "new_tokens": whole(1), "sampling": _sampling()}
    texts = thing(["ab", "ba"], "texts")
    scores = array([0.5, 1.0]).but("an array of rank 3", "infinity inside")
    return [
        row(
            p + "decode",
            model=_model(),
            text=_prompt("ab"),
            cuts=array([1]).optional(),
            n=whole(1),
            new_tokens=whole(1).optional(),
            length=whole(4).left_out().says("length", "new_tokens"),
            sampling=_sampling(),
            stop=thing((), "texts").but("an empty list", "a unicode text", "an empty text"),
            end_tokens=thing((), "ids").optional().but("an empty list"),
            forced=thing((), "ids").but("an empty list"),
            lanes=whole(2),
            recycle=taken(False),
            prefix=thing(None, "a prefix").optional(),
        ),
        row(
            p + "score",
            model=_model(),
            texts=texts,
            prompt=_prompt().optional(),
            sampling=_sampling(),
            batch_tokens=whole(64),
        ),
        row(p + "read_prefix", model=_model(), text=_prompt(), context=whole(8).optional()),
        row(
            p + "write_on",
            model=_model(),
            prefix=thing(lambda: read_prefix(letters(), "a", context=4), "a prefix"),
            new_tokens=whole(1),
            sampling=_sampling(),
            stop=thing((), "texts").but("an empty list", "a unicode text", "an empty text"),
            end_tokens=thing((), "ids").optional().but("an empty list"),
        ),
        row(
            p + "prefill_curve",
            model=_model(),
            prompt=_prompt(),
            answer=_prompt("b"),
            feature=function(len),
            lengths=counts,
            **drawn,
        ),
        row(
            p + "repeated_token_curve",
            model=_model(),
            prompt=_prompt(),
            token=thing("b", "a token"),
            feature=function(len),
            counts=counts,
            **drawn,
        ),
        row(
            p + "sample_paths",
            sources=thing(_sources, "sources"),
            weights=array([0.5, 0.5]).optional(),
            lanes=whole(2),
            **{**drawn, "n": whole(2, 2)},
        ),
        row(
            p + "likelihood_trace",
            sources=thing(_sources, "sources"),
            text=_prompt("b"),
            weights=array([0.5, 0.5]).optional(),
            sampling=_sampling(),
        ),
        row(
            p + "likelihood_ratio",
            aligned=thing(lambda: _sources()[0], "a source"),
            unaligned=thing(lambda: _sources()[1], "a source"),
            texts=texts,
            prompts=texts.optional().says("prompts", "prompt"),
            mean=taken(False),
            sampling=_sampling(),
        ),
        row(p + "likelihood_information", paths=thing(PATHS, "paths")),
        row(p + "likelihood_window", paths=thing(PATHS, "paths"), **AFTER_BEFORE),
        row(p + "roc", positives=scores, negatives=scores),
        row(
            p + "random_model",
            config=thing(lambda: small_config(4, width=8, layers=1, heads=1), "a configuration"),
            dtype=choice("float32"),
            scale=positive(0.02),
        ),
        row(
            p + "small_config",
            vocabulary=whole(4),
            width=whole(8),
            layers=whole(1),
            heads=whole(1),
            hidden=whole(16),
            max_positions=whole(16),
            kv_heads=whole(1),
            mask_token=whole(0, 0).optional(),
        ),
        row(
            p + "load_model",
            path=path(Path()),
            dtype=choice("float32").optional(),
            adapter=path(None).optional().says("adapter", "path"),
            mesh=taken(None),
            axis=taken("model"),
        ),
        row(p + "character_tokenizer", alphabet=text("abc")),
    ]


def experiments() -> list[Row]:
    """Return rows of experiments, of answers and of what is concluded."""
    p = "sloc.lm."
    done, coin = thing(experiment, "an experiment"), thing(Coin(0.3), "a back end")
    level = fraction(0.95)
    questions, right = names(("a", "b", "c")), thing([True, False, True], "truth values")
    asked = thing(list(QUESTIONS), "questions")
    windows = thing(lambda: find_text_windows(experiment()), "windows")
    return [
        row(
            p + "run_experiment",
            backend=coin,
            questions=asked,
            task=thing(RegexTask("(right|wrong)"), "a task"),
            settings=thing(None, "settings").optional(),
            journal=path(None).optional(),
            progress=function(print).optional(),
        ),
        row(
            p + "find_text_windows",
            experiment=done,
            detector=choice("test"),
            rise=fraction(0.5, low=True),
            max_drop=positive(0.5, zero=True).optional(),
            temperature=real(0.5).optional(),
        ),
        row(
            p + "compare_interventions",
            experiment=done,
            windows=thing(lambda: {"test": _all(find_text_windows(experiment()))}, "windows"),
            sizes=thing((1, 2), "sizes"),
            revised=thing(None, "texts").optional().but("a mapping"),
            level=level,
        ),
        row(
            p + "revise",
            backend=coin,
            experiment=done,
            windows=windows.but("a mapping"),
            rule=thing(Rule(8), "a rule"),
            n=whole(1),
            ask=text("again?"),
            journal=path(None).optional(),
        ),
        row(p + "template_jumps", experiment=thing(templates, "an experiment")),
        row(p + "window_accuracy", questions=questions, right=right, window=right, found=right.optional(), level=level),
        row(p + "benchmark_question", benchmark=choice("mmlu"), row=thing({}, "a row"), name=text("q")),
        row(
            p + "read_questions",
            benchmark=choice("mmlu").optional().says("benchmark", "path"),
            path=path("there"),
        ),
    ]


def _all(found):
    return [w for windows in found.values() for w in windows]


def settings() -> list[Row]:
    """Return rows of settings."""
    p = "sloc.lm."
    return [
        Row(
            p + "Sampling",
            lambda **given: _checked(Sampling(**given)),
            {
                "temperature": positive(1.0, zero=True),
                "top_k": whole(0, 0),
                "top_p": fraction(1.0, high=True),
                "min_p": fraction(0.0, low=True, high=True),
            },
        ),
        Row(
            p + "Cuts",
            lambda **given: _checked(Cuts(**given)),
            {"kind": choice("fraction").says("cuts"), "fractions": thing((0.0, 0.5), "fractions"), "every": whole(1)},
        ),
        Row(
            p + "Rule",
            lambda **given: _checked(Rule(**given)),
            {"new_tokens": whole(1), "sampling": _sampling(), "stop": thing((), "texts").but("an empty list")},
        ),
        Row(
            p + "ExperimentSettings",
            lambda **given: _checked(ExperimentSettings(**given)),
            {
                "cuts": thing(Cuts(), "cuts"),
                "resamples": whole(2, 2),
                "rule": thing(Rule(8), "a rule"),
                "temperatures": thing((), "temperatures").but("an empty list"),
                "stump": taken(False),
                "stump_tokens": whole(1),
                "generations": whole(1),
                "seed": whole(0, 0),
            },
        ),
        Row(
            p + "Transport",
            lambda **given: _checked(Transport(**given)),
            {
                "key": taken(None),
                "concurrency": whole(1),
                "rate": positive(1.0).optional(),
                "retries": whole(0, 0),
                "timeout": positive(1.0),
                "pause": positive(0.5, zero=True),
            },
        ),
        *_records(),
        Row(p + "RegexTask", RegexTask, {"pattern": text("(a)").also(a_pattern_that_is_none="(").says("task")}),
        Row(p + "JsonTask", lm.JsonTask, {"path": text("answer").says("task")}),
        Row(p + "MathTask", lm.MathTask, {"parser": choice("rules").optional()}),
        Row(p + "FunctionTask", lm.FunctionTask, {"function": function(len), "name": text("length")}),
        Row(p + "TemplateTask", TemplateTask, {"template": text("{a|b}").also(no_blank="ab")}),
        Row(
            p + "JudgeTask",
            lm.JudgeTask,
            {
                "backend": thing(Coin(0.3), "a back end"),
                "labels": names(("right", "wrong")),
                "instructions_to_judge": text("?"),
                "right_label": text("right").optional(),
                "asks": text("?"),
                "longest": whole(100),
                "journal": taken(None),
            },
        ),
        Row(
            p + "EngineBackend", lm.EngineBackend, {"model": _model(), "lanes": whole(2), "name": text("a").optional()}
        ),
        Row(
            p + "ServerBackend",
            lm.ServerBackend,
            {
                "url": text("http://127.0.0.1:9/v1").also(no_url="nowhere"),
                "model": text("m").optional(),
                "endpoint": choice("completions"),
                "tokenizer": thing(None, "a tokenizer").optional(),
                "transport": thing(None, "a transport").optional(),
                "per_request": whole(1),
            },
        ),
    ]


def _records() -> list[Row]:
    """Return rows of what people make and hand over; each is refused where it is made."""
    some = Argument("a", "a text", {**text("").wrong})
    asked = thing("a", "a text, or turns of a chat").but("an empty text", "a unicode text").also(no_role=[{"a": "b"}])
    return [
        Row("sloc.lm.Request", lm.Request, {"name": some, "prompt": asked, "prefill": some}),
        Row(
            "sloc.lm.Question",
            Question,
            {
                "id": some,
                "text": asked,
                "truth": some.optional(),
                "choices": thing(("a", "b"), "texts").but("an empty list").also(too_many=("a",) * 27),
                "prefill": some,
                "raw": taken(False),
                "meta": thing({}, "a mapping").but("a mapping"),
            },
        ),
        Row(
            "sloc.lm.Source",
            lambda **given: lm.likelihood_trace([Source(**given), _sources()[1]], "b"),
            {
                "model": _model(),
                "prompt": _prompt().optional(),
                "name": some.also(a_name_twice="b").says("name", "sources"),
            },
        ),
    ]


def _checked(given):
    validate = getattr(given, "validate", None)
    return validate() if validate else given


def rows() -> list[Row]:
    """Return all rows of this file."""
    return [*models(), *experiments(), *settings()]
