"""Stories: cat or dog, happy or sad.  When does the story decide?  For a model of short stories such as stories260k."""

from __future__ import annotations

import re

from sloc.lm.answers.tasks import FunctionTask
from sloc.lm.backends.contract import Backend, Rule
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from sloc.lm.experiments.runs import Experiment
from sloc.lm.sampling import Sampling

PET = Question("cat or dog", "One day, a cat and a dog met in the park. The", raw=True)
MOOD = Question(
    "happy or sad",
    "Once upon a time, there was a little boy named Tim. Tim lost his ball. Tim was very",
    raw=True,
)
STORIES = {"pet": (PET, r"\b(cat|dog)\b"), "mood": (MOOD, r"\b(happy|sad|scared|excited|angry|proud)\b")}
"""Beginnings, and what is looked for in the story that follows: the first of the words."""


def first_word(text: str, question: Question) -> str | None:
    """Return the first of a story's words in a text, or None."""
    pattern = next(p for q, p in STORIES.values() if q.id == question.id)
    found = re.search(pattern, text)
    return found[1] if found else None


def story_experiment(
    backend: Backend,
    story: str = "pet",
    *,
    new_tokens: int = 60,
    resamples: int = 50,
    generations: int = 2,
    every: int = 1,
    seed: int = 0,
) -> Experiment:
    """Cut stories at their tokens and continue each cut; the answer is the first of some words in what follows.

    Args:
        backend: the model.
        story: ``"pet"`` or ``"mood"``.
        new_tokens: of a story.
        resamples: continuations a cut.
        generations: stories.
        every: one cut in so many tokens.
        seed: of everything drawn.

    """
    from sloc.contracts.arguments import checked_choice, checked_whole

    checked_choice(story, "story", STORIES)
    question, _ = STORIES[story]
    new_tokens = checked_whole(new_tokens, "new_tokens")
    settings = ExperimentSettings(
        Cuts("token", every=every),
        resamples,
        Rule(new_tokens, Sampling()),
        generations=generations,
        seed=seed,
    )
    return run_experiment(backend, [question], FunctionTask(first_word, "the first of some words"), settings)
