"""Run one setting of the coverage grid again and again, and judge each answer by the exact edges.

An answer is wrong if an interval misses an edge, or if a status says what is not so (``empty`` where there is an edge,
``below_grid`` where it lies later, ``inverted`` where the edges are in order, ...).  ``unresolved`` claims no more than
its intervals do.  By the library's promise a wrong answer has probability at most ``delta``.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

import sloc
from benchmarks.certified_settings import DELTA, Setting, case, truth
from benchmarks.certified_truth import Truth, first_close, last_apart
from sloc.engine.dithering import GRID
from sloc.windows import certify, overlap, streams
from sloc.windows.overlap import overlaps

_WARM_UP = 1 << 30
"""A repetition that does not count: it compiles."""
FALSE_ALARM = 1e-6
"""Probability with which a row fails although the promise holds."""
_FROM_POINT = {"window": 8.0, "theorem": 8.0, "stream": 32.0, "theorem stream": 32.0}
"""Radii between the point and the first rung."""


@dataclass(frozen=True)
class Answer:
    """What one repetition found.

    Attributes:
        wrong: whether an interval or a status contradicts the truth, at any look.
        widened: whether an interval grew from one look to the next.
        statuses: of both edges, at the last look.
        widths: of both intervals, at the last look; infinite where open or absent.
        draws: spent in all.

    """

    wrong: bool
    widened: bool
    statuses: tuple[str, str]
    widths: tuple[float, float]
    draws: int


@dataclass(frozen=True)
class Tally:
    """What all repetitions of a setting found.

    Attributes:
        answers: one a repetition.
        seconds: processor time without the first repetition, which compiles.
        delta: error level that was promised.

    """

    answers: list[Answer]
    seconds: float
    delta: float = DELTA

    @property
    def wrong(self) -> int:
        """Repetitions with a wrong answer."""
        return sum(a.wrong for a in self.answers)

    def allowed(self, false_alarm: float = FALSE_ALARM) -> int:
        """Most wrong answers that the promise explains: more have probability at most ``false_alarm``."""
        return int(binom.isf(false_alarm, len(self.answers), self.delta))

    def share(self, statuses: tuple[str, str]) -> float:
        """Share of repetitions with these statuses."""
        return sum(a.statuses == statuses for a in self.answers) / len(self.answers)

    def counts(self) -> dict[str, int]:
        """Repetitions by statuses."""
        return dict(collections.Counter(" / ".join(a.statuses) for a in self.answers).most_common())


def contradicts(status: str, interval: tuple[float, float] | None, edge: float | None, in_order: bool) -> bool:
    """Whether an answer about one edge is wrong.

    Args:
        status: as the library names it.
        interval: claimed to hold the edge if there is one.
        edge: the true one, or None where there is none.
        in_order: whether ``T_after <= T_before``.

    """
    exists = edge is not None
    if status == "empty":
        return exists
    if not exists:
        # These two say that there is an edge; the others leave it open.
        return status in ("resolved", "inverted", "above_grid")
    if status == "inverted" and in_order:
        return True
    return interval is not None and not interval[0] <= edge <= interval[1]


def wrong(window: Any, exact: Truth) -> bool:
    """Whether a window (of either kind) contradicts the exact edges."""
    after, before = _edges(window)
    in_order = exact.after is None or exact.before is None or exact.after <= exact.before
    return contradicts(*after, exact.after, in_order) or contradicts(*before, exact.before, in_order)


def _edges(window: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    if isinstance(window, sloc.Window):
        return (window.status_after, window.after_interval), (window.status_before, window.before_interval)
    return (window.status_start, window.start_interval), (window.status_end, window.end_interval)


def repeat(setting: Setting, repetition: int) -> Answer:
    """Ask once, with the key of this setting and repetition, and judge."""
    key = jax.random.fold_in(jax.random.key(zlib.crc32(setting.name.encode()) >> 1), repetition)
    windows = list(_ask(key, setting))
    widths = [_widths(w) for w in windows]
    exact = truth(setting)
    return Answer(
        any(wrong(w, exact) for w in windows),
        any(new > old for pair in itertools.pairwise(widths) for old, new in zip(*pair, strict=True)),
        (_edges(windows[-1])[0][0], _edges(windows[-1])[1][0]),
        widths[-1],
        windows[-1].draws,
    )


def _widths(window: Any) -> tuple[float, float]:
    after, before = (np.inf if interval is None else interval[1] - interval[0] for _, interval in _edges(window))
    return after, before


def _ask(key: Any, setting: Setting) -> Iterator[Any]:
    c = case(setting.case)
    asked = {"epsilon": setting.epsilon, "times": c.times, "delta": setting.delta, "budget": setting.budget}
    given = key, c.process, c.population, c.after, c.before
    if setting.way == "window":
        yield sloc.critical_window(*given, **asked, method="monte-carlo", certify=True)
    elif setting.way == "theorem":
        yield sloc.theorem2(*given, **asked, method="monte-carlo", certify=True, n=2)
    else:
        stream = sloc.anytime_windows if setting.way == "stream" else functools.partial(sloc.anytime_theorem2, n=2)
        yield from itertools.islice(stream(*given, **asked, growth=setting.growth), setting.looks)


def run(setting: Setting, repetitions: Sequence[int]) -> Tally:
    """Ask and judge again and again."""
    with prepared(setting):
        repeat(setting, _WARM_UP)
        start = time.process_time()
        answers = [repeat(setting, i) for i in repetitions]
        return Tally(answers, time.process_time() - start, setting.delta)


@contextlib.contextmanager
def prepared(setting: Setting) -> Generator[None, None, None]:
    """Set the trap, put in the normal bounds, and make small draws cheap, for as long as the context lasts."""
    changes: dict[Any, dict[str, Any]] = {certify: {}, streams: {}}
    if setting.trap:
        for module in changes:
            changes[module]["make_plan"] = functools.partial(_trap, setting)
    if setting.normal:
        changes[certify] |= {"betting_upper": normal_upper, "betting_lower": normal_lower}
        changes[streams] |= {"upper_bound": normal_upper_of_counts, "lower_bound": normal_lower_of_counts}
    with contextlib.ExitStack() as stack:
        for module, names in changes.items():
            if names:
                stack.enter_context(mock.patch.multiple(module, **names))
        if setting.trap:
            # The draws of a trapped ladder would place a good one next; the trap is set again instead.
            stack.enter_context(mock.patch.object(streams.Walks, "finer", return_value=None))
        # Draws are made in calls of 16 blocks, needed or not; the size of a call changes no number.
        stack.enter_context(mock.patch.object(overlap, "_TURNS", 2))
        yield


def _trap(setting: Setting, _key: Any, process: Any, population: Any, _times: Any, question: Any, *_: Any) -> Any:
    """Plan a walk from the left whose first rung lies just beyond the true edge, where it must not pass.

    The bounded mean there is at most its target, and hardly less.  Overlaps are drawn by bridges where they are small
    (``last``) and there are any, else by balanced draws.
    """
    last = question.side == "last"
    edge = _edge(setting, question.tv.a, question.tv.b, last)
    assert edge is not None
    radius = 0.02 * edge / _FROM_POINT[setting.way]
    # The margin is a few roundings of a float32 time.
    point = edge * (1 + 1e-6) + _FROM_POINT[setting.way] * radius
    kinds = overlaps(process, population, question.tv)
    return certify.EdgePlan(question, kinds[-1 if last else 0], point, radius, "", 0)


@functools.cache
def _edge(setting: Setting, a: tuple[int, ...], b: tuple[int, ...], last: bool) -> float | None:
    model = case(setting.case).model
    return last_apart(model, a, setting.epsilon) if last else first_close(model, a, b, setting.epsilon)


def normal_upper(values: Any, level: float) -> float:
    """Upper confidence bound that trusts the central limit theorem."""
    v = np.asarray(values, np.float64)
    return float(v.mean() - ndtri(level) * v.std(ddof=1) / np.sqrt(v.size))


def normal_lower(values: Any, level: float) -> float:
    """Lower confidence bound that trusts the central limit theorem."""
    return 1.0 - normal_upper(1.0 - np.asarray(values, np.float64), level)


def normal_upper_of_counts(counts: Any, level: float) -> float:
    """As :func:`normal_upper`, from counts on the grid of dithered values."""
    weight = np.asarray(counts, np.float64)[:-1]
    n = weight.sum()
    mean = weight @ GRID / n
    return float(mean - ndtri(level) * np.sqrt(weight @ (GRID - mean) ** 2 / n / n))


def normal_lower_of_counts(counts: Any, level: float) -> float:
    """As :func:`normal_lower`, from counts on the grid of dithered values."""
    weight = np.asarray(counts, np.float64)[:-1]
    mean = weight @ GRID / weight.sum()
    return 2 * mean - normal_upper_of_counts(counts, level)
