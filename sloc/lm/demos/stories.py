"""Stories: cat or dog, happy or sad.  When does the story decide?  For a model of short stories such as stories260k."""

from __future__ import annotations

from sloc.lm.answers.tasks import RegexTask
from sloc.lm.backends.contract import Backend, Rule
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from sloc.lm.experiments.runs import Experiment
from sloc.lm.sampling import Sampling

PET = Question(
    "cat or dog",
    "Once upon a time, there was a little girl named Lily. She wanted a pet. One day, her mom gave her a little",
    raw=True,
)
MOOD = Question(
    "happy or sad",
    "Once upon a time, there was a little boy named Tim. He lost his ball. He looked for it, and at last he felt",
    raw=True,
)
STORIES = {"pet": (PET, r"\b(cat|dog|bird|bunny|fish)\b"), "mood": (MOOD, r"\b(happy|sad|scared|angry|proud)\b")}
"""Beginnings, and what is looked for in the story that follows: the first of the words."""


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
    from sloc.contracts import require

    require(story in STORIES, "story", story, f"one of {tuple(STORIES)}")
    question, pattern = STORIES[story]
    settings = ExperimentSettings(
        Cuts("token", every=every),
        resamples,
        Rule(new_tokens, Sampling()),
        generations=generations,
        seed=seed,
    )
    # Nothing but the first of the words counts.
    return run_experiment(backend, [question], RegexTask(rf"(?s)\A.*?{pattern}"), settings)
