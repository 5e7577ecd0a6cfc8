"""Five blanks in a text of which everything is known: predicted and measured jumps, as in Fig. 4 of the paper."""

from __future__ import annotations

import itertools

import jax
import numpy as np

from sloc.contracts.arguments import checked_key, checked_kind, checked_whole
from sloc.lm.answers.template import Template, TemplateTask
from sloc.lm.backends.contract import Rule
from sloc.lm.backends.engine import EngineBackend
from sloc.lm.demos.training import train_decoder
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from sloc.lm.experiments.runs import Experiment
from sloc.lm.model import LanguageModel
from sloc.lm.sampling import Sampling

PREFILL = "\n\n1. "
"""How every text begins."""
TEMPLATE = Template.read(
    "\n\n1. The {cat|dog} sat. 2. It saw a {hat|mug}. 3. It was {new|old}. 4. It went {up|in}. 5. Then it {ran|hid}."
)
"""The grammar's text; each choice is known by its first character."""
FIRST = 0.75
"""Probability of the first choice of the first blank."""
STAY = (0.9, 0.6, 0.75, 0.55)
"""For each later blank the probability of the same side (first or second choice) as the blank before."""


def grammar_law() -> dict[tuple[str, ...], float]:
    """Return the exact probability of each of the 32 tuples of choices: a Markov chain over the blanks."""
    law = {}
    for sides in itertools.product((0, 1), repeat=len(TEMPLATE.blanks)):
        p = FIRST if sides[0] == 0 else 1 - FIRST
        for (a, b), stay in zip(itertools.pairwise(sides), STAY, strict=True):
            p *= stay if a == b else 1 - stay
        law[tuple(options[s] for options, s in zip(TEMPLATE.blanks, sides, strict=True))] = p
    return law


def grammar_texts(key: jax.Array, n: int) -> list[str]:
    """Draw texts of the grammar."""
    law = grammar_law()
    tuples, p = list(law), np.asarray(list(law.values()))
    picks = np.asarray(jax.random.choice(key, len(tuples), (n,), p=p / p.sum()))
    return [TEMPLATE.fill(tuples[i]) for i in picks]


def train_grammar(key: jax.Array, *, steps: int = 400, texts: int = 4096) -> tuple[LanguageModel, np.ndarray]:
    """Train a small decoder on texts of the grammar (under four minutes on two cores).

    Args:
        key: typed PRNG key.
        steps: of training.
        texts: to learn from.

    """
    steps, texts = checked_whole(steps, "steps"), checked_whole(texts, "texts")
    key_texts, key_train = jax.random.split(checked_key(key))
    return train_decoder(key_train, grammar_texts(key_texts, texts), steps=steps, name="grammar")


def grammar_experiment(
    model: LanguageModel, *, generations: int = 2, resamples: int = 200, seed: int = 0, lanes: int = 512
) -> Experiment:
    """Cut generations of the grammar at every token (one a character) and continue each cut.

    Args:
        model: from ``train_grammar``.
        generations: how many.
        resamples: continuations a cut.
        seed: of everything drawn.
        lanes: branches that decode at a time.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    longest = max(len(TEMPLATE.fill(t)) for t in grammar_law()) + 1
    settings = ExperimentSettings(
        Cuts("token"),
        resamples,
        Rule(longest - len(PREFILL), Sampling()),
        generations=generations,
        seed=seed,
    )
    backend = EngineBackend(model, lanes=lanes)
    # The prompt is the beginning of the text: answers are read with it.
    questions = [Question("grammar", "", prefill=PREFILL, raw=True)]
    return run_experiment(backend, questions, TemplateTask(TEMPLATE), settings)
