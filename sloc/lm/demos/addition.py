"""Sums with their carries written out: a small decoder's wrong answers, and where they went wrong."""

from __future__ import annotations

import math

import jax
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_key, checked_seed, checked_whole
from sloc.lm.answers.tasks import RegexTask
from sloc.lm.backends.contract import Generation, Request, Rule
from sloc.lm.backends.engine import EngineBackend
from sloc.lm.demos.training import train_decoder
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question, check_questions
from sloc.lm.experiments.runs import Experiment
from sloc.lm.model import LanguageModel
from sloc.lm.sampling import Sampling

DIGITS = 3
"""Of each summand."""
ANSWER = r":(\d+)"
"""What the sum is read by."""
TEMPERATURES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
"""Tried in this order for one at which there are mistakes."""


_MOST_DIGITS = 9
"""Summands are drawn as int32."""


def addition_text(a: int, b: int, digits: int = DIGITS) -> str:
    """Return a sum as it is written: units first, each column with its carry, then the sum.

    ``358+467=`` goes on ``8+7=15 5+6+1=12 3+4+1=08 :0825``: a column shows its two digits, the carry where there is
    one, and their sum in two digits, of which the first is the next carry.

    Args:
        a: the first number.
        b: the second.
        digits: to which both are filled up.

    Returns:
        The text.

    """
    digits = checked_whole(digits, "digits", 1, _MOST_DIGITS)
    a, b = checked_whole(a, "a", 0, 10**digits - 1), checked_whole(b, "b", 0, 10**digits - 1)
    carry, columns = 0, []
    x, y = f"{a:0{digits}}", f"{b:0{digits}}"
    for i in range(digits - 1, -1, -1):
        total = int(x[i]) + int(y[i]) + carry
        columns.append(f"{x[i]}+{y[i]}{'+1' if carry else ''}={total:02}")
        carry = total // 10
    return f"{x}+{y}={' '.join(columns)} :{a + b:0{digits + 1}}"


def train_addition(
    key: jax.Array, *, steps: int = 900, texts: int = 8192, digits: int = DIGITS
) -> tuple[LanguageModel, np.ndarray]:
    """Train a small decoder on sums (under four minutes on two cores).

    Args:
        key: typed PRNG key.
        steps: of training.
        texts: sums to learn from.
        digits: of each summand.

    """
    digits, texts = checked_whole(digits, "digits", 1, _MOST_DIGITS), checked_whole(texts, "texts")
    checked_whole(steps, "steps")
    key_sums, key_train = jax.random.split(checked_key(key))
    pairs = np.asarray(jax.random.randint(key_sums, (texts, 2), 0, 10**digits))
    sums = [addition_text(int(a), int(b), digits) for a, b in pairs]
    return train_decoder(key_train, sums, steps=steps, batch=64, name="addition")


def addition_questions(key: jax.Array, n: int, digits: int = DIGITS) -> list[Question]:
    """Draw sums to ask for.

    Args:
        key: a typed key.
        n: how many.
        digits: of each number.

    Returns:
        Questions with their answers.

    """
    n, digits = checked_whole(n, "n", what="questions"), checked_whole(digits, "digits", 1, _MOST_DIGITS)
    pairs = np.asarray(jax.random.randint(checked_key(key), (n, 2), 0, 10**digits))
    made = {}
    for a, b in pairs:
        text = addition_text(int(a), int(b), digits)
        name = text.split("=")[0]
        made[name] = Question(name, f"{name}=", text.split(":")[1], raw=True)
    return list(made.values())


def mistaken_temperature(
    backend: EngineBackend, questions: list[Question], *, share: float = 0.15, seed: int = 0
) -> float:
    """Return the lowest temperature, of some, at which so many of a model's sums are wrong.

    A model that has learned its sums makes no mistakes at temperature 1, and where one is decided cannot be seen.

    Args:
        backend: with the model.
        questions: to ask for.
        share: of wrong ones.
        seed: of the draws.

    """
    task = RegexTask(ANSWER)
    for temperature in TEMPERATURES:
        rule = Rule(_longest(questions), Sampling(temperature=temperature))
        made = backend.generate([Request(q.id, q.text) for q in questions], rule, seed=seed)
        answers = [
            task.extract(m.text, q) if isinstance(m, Generation) else None for m, q in zip(made, questions, strict=True)
        ]
        wrong = sum(a is not None and a != q.truth for a, q in zip(answers, questions, strict=True))
        if wrong >= share * len(questions):
            return temperature
    return TEMPERATURES[-1]


def _longest(questions: list[Question]) -> int:
    """Return how many tokens the longest of the answers takes, its end included, and a few more."""
    return 12 + max(len(addition_text(int("9" * len(q.id.split("+")[0])), 1)) for q in questions)


def addition_experiment(
    model: LanguageModel,
    questions: list[Question],
    *,
    resamples: int = 20,
    temperature: float | None = None,
    seed: int = 0,
    lanes: int = 512,
) -> Experiment:
    """Cut the model's sums at every token and continue each cut.

    Args:
        model: from ``train_addition``.
        questions: from ``addition_questions``.
        resamples: continuations a cut.
        temperature: of the draws; that of ``mistaken_temperature`` where None.
        seed: of everything drawn.
        lanes: branches that decode at a time.

    """
    questions = list(check_questions(questions))
    resamples, seed = checked_whole(resamples, "resamples", 2), checked_seed(seed)
    good = temperature is None or 0 <= as_real(temperature) < math.inf
    require(good, "temperature", temperature, "None or a number that is at least 0")
    backend = EngineBackend(model, lanes=lanes)
    chosen = mistaken_temperature(backend, questions, seed=seed) if temperature is None else temperature
    rule = Rule(_longest(questions), Sampling(temperature=chosen))
    settings = ExperimentSettings(Cuts("token"), resamples, rule, seed=seed)
    return run_experiment(backend, questions, RegexTask(ANSWER), settings)
