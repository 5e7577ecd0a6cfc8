"""Small random models with a tokenizer of characters, for tests."""

from __future__ import annotations

import dataclasses
import functools

import jax

from sloc.lm import LanguageModel, random_model, small_config
from sloc.lm.demos.training import character_tokenizer

ALPHABET = "abcdefgh .<>&"
TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


@functools.cache
def letters(chat: bool = False) -> LanguageModel:
    """Return a random model that writes letters; large weights, so that its law depends on what it read."""
    tokenizer = character_tokenizer(ALPHABET)
    config = small_config(tokenizer.size, width=16, layers=1, heads=2, max_positions=96)
    model = random_model(jax.random.key(3), config, scale=0.5)
    tokenizer = dataclasses.replace(tokenizer, template=TEMPLATE if chat else None)
    return dataclasses.replace(model, tokenizer=tokenizer, name="letters")
