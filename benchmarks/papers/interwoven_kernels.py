"""Ex. 11: kernels that write questions or, which is refused, answers, and the sampler that they are woven into."""

from __future__ import annotations

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from sloc.contracts import InvalidInput, Revealed
from sloc.samplers import exact_localizer, interweave

from .context_rules import NAME, OUTPUTS, WEIGHTS, rules
from .rows import Row

EPSILON, EXAMPLES, FIRST, RULE = 0.2, 16, 2, 0
SETTING = f"3 rules, 3 questions, w* = {WEIGHTS[RULE]:g}, N = {EXAMPLES}, ε = {EPSILON:g}"
PROCESS = sloc.processes.Truncation(2 * EXAMPLES)


def ask(key: jax.Array, y: Any, s: Any, t: Any) -> Any:
    """Write the next question: one that tells nothing, then by what was answered, ``x' = x + 1 + y`` modulo 2."""
    place = 2 * EXAMPLES - t
    asked, answer = y.values[jnp.maximum(place - 2, 0)], y.values[jnp.maximum(place - 1, 0)] - 3
    here = jnp.arange(2 * EXAMPLES) == place
    letter = jnp.where(place == 0, FIRST, (asked + 1 + answer) % 2).astype(y.values.dtype)
    return Revealed(jnp.where(here, letter, y.values), y.known | here)


def answer(key: jax.Array, y: Any, s: Any, t: Any) -> Any:
    """Write the answer 0 in place of the model: not allowed, since answers tell of the rule."""
    here = jnp.arange(2 * EXAMPLES) == 2 * EXAMPLES - t
    return Revealed(jnp.where(here, jnp.full_like(y.values, 3), y.values), y.known | here)


def weave(kernel: Any, at: Any) -> Any:
    """Return the exact sampler with steps taken by a kernel, which is refused if it tells of the rule."""
    return interweave(
        exact_localizer(PROCESS, rules(EXAMPLES)), kernel, at, key=jax.random.key(25), grid=np.arange(2 * EXAMPLES + 1)
    )


def refused() -> Row:
    """Return by how much a kernel that answers moves a log posterior: exactly, and as the refusal says."""
    moved = np.log(OUTPUTS[:, :, 0] / (WEIGHTS @ OUTPUTS[:, :, 0]))
    try:
        weave(answer, 2 * EXAMPLES - 2)
    except InvalidInput as refusal:
        (said,) = re.findall(r"Assumption 1.* moves a log posterior by ([0-9.]+) nats", str(refusal))
    else:
        raise AssertionError("a kernel that answers was taken")
    # The message has three digits.
    half = 0.5 * 10.0 ** (math.floor(math.log10(float(said))) - 2)
    return Row(
        NAME, f"{SETTING}, a kernel that answers", "change of a log posterior (nats)", float(np.abs(moved).max()),
        float(said), float(said) - half, float(said) + half, "refused", None,
        "Assumption 1 fails: answers tell of the rule, so interweave refuses the kernel",
    )  # fmt: skip
