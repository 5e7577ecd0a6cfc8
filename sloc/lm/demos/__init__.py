"""Demonstrations that download nothing: a grammar, sums with carries, stories."""

from sloc.lm.demos.addition import addition_experiment, addition_questions, addition_text, train_addition
from sloc.lm.demos.grammar import grammar_experiment, grammar_law, train_grammar
from sloc.lm.demos.stories import story_experiment
from sloc.lm.demos.training import character_tokenizer, train_decoder

__all__ = [
    "addition_experiment",
    "addition_questions",
    "addition_text",
    "character_tokenizer",
    "grammar_experiment",
    "grammar_law",
    "story_experiment",
    "train_addition",
    "train_decoder",
    "train_grammar",
]
