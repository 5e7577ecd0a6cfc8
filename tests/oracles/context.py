"""Examples in context by a walk over likelihood ratios, float64 NumPy; nothing here uses the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Step = Callable[[Any], Iterable[tuple[np.ndarray, Any]]]


def grown_laws(start: Any, step: Step, examples: int, rules: int) -> list[np.ndarray]:
    """Laws of what 0 .. ``examples`` examples tell under each rule, ``[K, M]``.

    ``step(state)`` gives, of all that may come next, its chance under each rule and the state after it.  Grown example
    by example; words whose likelihood ratios and state agree are one.
    """
    states = {(start, (0.0,) * rules): np.ones(rules)}
    out = [np.ones((rules, 1))]
    for _ in range(examples):
        grown: dict[tuple, np.ndarray] = {}
        for (state, ratios), mass in states.items():
            for chance, after in step(state):
                told = np.round(ratios + np.log(chance / chance[0]), 7) + 0.0
                key = after, tuple(told.tolist())
                grown[key] = grown.get(key, 0.0) + mass * chance
        states = grown
        out.append(np.stack(list(states.values()), 1))
    return out


def mixed_tv(laws: np.ndarray, weights: np.ndarray, rule: int) -> float:
    """TV of a rule and the mixture of the others."""
    others = [k for k in range(len(laws)) if k != rule]
    rest = sum(weights[k] * laws[k] for k in others) / sum(weights[k] for k in others)
    return float(np.abs(laws[rule] - rest).sum() / 2)


def lost_mass(laws: np.ndarray, weights: np.ndarray, rule: int) -> float:
    """``E[1 - pi]`` of a rule."""
    joint = laws * np.asarray(weights)[:, None]
    return float(sum(laws[rule] @ (joint[k] / joint.sum(0)) for k in range(len(laws)) if k != rule))


def output_error(laws: np.ndarray, weights: np.ndarray, rule: int, zeros: np.ndarray) -> float:
    """TV of the next output and the rule's, mean over all questions: two outputs, so a difference of chances."""
    joint = laws * np.asarray(weights)[:, None]
    belief = joint / joint.sum(0)
    return float(np.mean([laws[rule] @ np.abs(column @ belief - column[rule]) for column in zeros.T]))
