"""What the conformance suite raises and returns."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from sloc.contracts import ObservationProcess

if TYPE_CHECKING:
    import pandas as pd


class ConformanceError(AssertionError):
    """A process or population does not do what its contract says; the message says what is wrong."""


@dataclass
class ConformanceReport:
    """What was checked of a process or a population, and how often a right one would fail.

    Attributes:
        subject: the class that was checked.
        checked: what was checked, in words.
        skipped: what was not, with the reason.
        p_values: smallest p-value of each statistical check, after correction for the number of
            tests in it; values that are far from rejection are reported as 1.
        draws: draws per statistical test.
        false_alarm: the probability that a correct implementation fails the whole suite is at most this.

    """

    subject: str
    draws: int
    false_alarm: float
    checked: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    p_values: dict[str, float] = field(default_factory=dict)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per line of the report: what, whether ``checked``, ``tested`` or ``skipped``, its p-value."""
        import pandas as pd

        rows: list[tuple[str, str, float]] = [(name, "checked", math.nan) for name in self.checked]
        rows += [(name, "tested", p) for name, p in self.p_values.items()]
        rows += [(name, "skipped", math.nan) for name in self.skipped]
        return pd.DataFrame(rows, columns=["check", "kind", "p_value"])

    def __str__(self) -> str:
        """Return the report as lines of text."""
        lines = [f"{self.subject}: conforms ({self.draws:,} draws a test, false alarm {self.false_alarm:g})"]
        lines += [f"  checked  {name}" for name in self.checked]
        lines += [f"  p = {p:.2g}  {name}" for name, p in self.p_values.items()]
        lines += [f"  skipped  {name}" for name in self.skipped]
        return "\n".join(lines)


class Trials(NamedTuple):
    """What the checks of law of a process have in common.

    Attributes:
        process: the process.
        xs: inputs, stacked on the first axis.
        times: increasing times.
        draws: draws per statistical test.
        level: probability that a check fails although the process is right, at most.
        report: takes what was checked.

    """

    process: ObservationProcess
    xs: Any
    times: np.ndarray
    draws: int
    level: float
    report: ConformanceReport


def row(tree: Any, i: Any) -> Any:
    """Return member ``i`` of trees that are stacked on the first axis."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def expect(condition: bool | np.bool_, message: str) -> None:
    """Raise :class:`ConformanceError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConformanceError(message)


@contextmanager
def failing_as(what: str) -> Generator[None, None, None]:
    """Turn any exception of the code under test into a :class:`ConformanceError` that starts with ``what``."""
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise ConformanceError(f"{what}: {type(error).__name__}: {text[:600]}") from error
