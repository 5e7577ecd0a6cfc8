"""Curves of recorded branches, as ``sloc traces`` estimates them: effective counts of draws taken branch by branch.

Everywhere else in the suite ``traces`` draws are mixed, which is the published protocol.  Here a position's budget is
shared out evenly among its branches, the first draws of each, as stores are made; beside it as many mixed draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks import traces_recorded
from benchmarks.timing import Row
from benchmarks.traces_bands import AFTER, held
from benchmarks.traces_recorded import REPORT, TRACKS, interval
from benchmarks.traces_rows import coverage_rows
from benchmarks.traces_simulated import GAP, TOLERANCE, near_moves, truths
from benchmarks.traces_truth import Truth, allowed
from sloc.windows.outcome_curves import OutcomeCounts, outcome_counts, outcome_curve
from sloc.windows.recorded import Branch, Recording
from sloc.windows.recorded_tests import plain_counts

QUESTIONS = 200
DROPPED, SPLIT = 0.02, 0.3
"""Simulated leaving masses below the first are dropped, as stores drop rare tokens; above the second they are two."""


def first_draws(recording: Recording, draws: int, *, split: bool, start: int = 0) -> Recording:
    """The recording with the first draws of each branch.

    Args:
        recording: to be cut.
        draws: a position's budget.
        split: share it out evenly among the position's branches (at least one draw each); else as many of each branch.
        start: draws of each branch that are passed over.

    """
    number = {float(p): 0 for p in recording.positions}
    for branch in recording.branches:
        number[branch.position] += 1
    cut = []
    for branch in recording.branches:
        stop = start + (max(1, draws // number[branch.position]) if split else draws)
        cut.append(replace(branch, answers=branch.answers[start:stop], costs=None))
    return replace(recording, branches=tuple(cut))


def branched(
    truth: Truth, rng: np.random.Generator, draws: int, dropped: float = DROPPED
) -> tuple[Recording, np.ndarray]:
    """A recording of a simulated question and the curve of its kept branches.

    ``o_t = p_t o_{t+1} + q_t y_t`` gives the law of each branch: the taken one answers by ``o_{t+1}``, what leaves by
    ``y_t``, which is two branches of unlike laws where much leaves.  A dropped branch leaves ``o_{t+1}`` alone.
    """
    steps, answers = truth.curve.shape
    branches, curve = [], truth.curve.copy()
    for t in range(steps):
        laws, weights = [truth.curve[min(t + 1, steps - 1)]], [1.0 - truth.leaving[t] if t < steps - 1 else 1.0]
        if t < steps - 1 and truth.leaving[t] >= dropped:
            away = np.maximum(truth.curve[t] - weights[0] * laws[0], 0.0)
            away = away / away.sum()
            part = float(rng.uniform(0.3, 0.7)) if truth.leaving[t] > SPLIT else 1.0
            one = allowed(away, rng.dirichlet(np.ones(answers)), 1.0 - part)
            laws.append(one)
            weights.append(part * truth.leaving[t])
            if part < 1.0:
                other = np.maximum(away - part * one, 0.0)
                laws.append(other / other.sum())
                weights.append((1.0 - part) * truth.leaving[t])
        else:
            curve[t] = laws[0]
        each = max(1, draws // len(laws))
        for i, (law, weight) in enumerate(zip(laws, weights, strict=True)):
            said = rng.choice(answers, each, p=law / law.sum()).astype(np.int16)
            branches.append(Branch(float(t), str(i), float(weight), i == 0, said))
    return Recording("q", tuple("ABCDEFGH"[:answers]), tuple(branches), expected=tuple(range(steps))), curve


def error_rows(case: str, own: Sequence[float], mixed: Sequence[float]) -> Iterator[Row]:
    """Mean TV of draws branch by branch, of as many mixed ones, and the difference, paired by question."""
    for word, values in (
        ("", np.asarray(own)),
        (", as many mixed draws", np.asarray(mixed)),
        (" less that of mixed draws, paired", np.asarray(own) - np.asarray(mixed)),
    ):
        low, high = interval(values)
        yield {"name": f"{case}: mean TV{word}", "value": float(values.mean()), "unit": "TV", "min": low, "max": high}


def simulated(smoke: bool, draws: Sequence[int]) -> Iterator[Row]:
    """Coverage of the kept branches' curve, and errors."""
    made = truths(4 if smoke else QUESTIONS, seed=14)
    for number in draws[:1] if smoke else draws:
        rng = np.random.default_rng(200 + number)
        inside, near, own, mixed = [], [], [], []
        for truth in made:
            recording, kept = branched(truth, rng, number)
            curve = outcome_curve(recording)
            inside.append((curve.lower <= kept) & (kept <= curve.upper))
            near.append(near_moves(kept, GAP, TOLERANCE))
            own.append(error(curve.value, kept))
            seen = rng.multinomial(number, kept / kept.sum(axis=1, keepdims=True)).astype(np.float64)
            data = OutcomeCounts("q", recording.categories, curve.positions, seen, outcome_counts(recording).leaving)
            mixed.append(error(outcome_curve(data).value, kept))
        case = f"branches, simulated, {number} draws"
        yield from coverage_rows(f"{case}: 90 % bands", inside, near, smoke)
        yield from error_rows(case, own, mixed)


def recorded(smoke: bool, draws: Sequence[int]) -> Iterator[Row]:
    """The same of recorded branches: draws before 100 of each are seen, 100 mixed ones of the others the reference."""
    for track, (gap, tolerance) in TRACKS.items():
        whole = [traces_recorded.recording(track, row).merged() for row in (REPORT[:2] if smoke else REPORT)]
        after = [plain_counts(first_draws(r, AFTER, split=False, start=AFTER), seed=1) for r in whole]
        drawn = [d.counts[d.counts.sum(axis=1) > 0] for d in after]
        references = [c / c.sum(axis=1, keepdims=True) for c in drawn]
        near = [near_moves(r, gap, tolerance) for r in references]
        for number in draws[:1] if smoke else draws:
            rng = np.random.default_rng(300 + number)
            ranks, own, mixed, spent = [], [], [], []
            for recording, reference in zip(whole, references, strict=True):
                data = outcome_counts(first_draws(recording, number, split=True))
                at = np.searchsorted(data.positions, recording.positions)
                ranks.append(held(data, reference, rng, at))
                own.append(error(outcome_curve(data).value[at], reference))
                mixture = plain_counts(first_draws(recording, number, split=False))
                mixed.append(error(outcome_curve(mixture).value[at], reference))
                spent.append(data.counts[at].sum(axis=1).mean())
            case = f"branches, recorded {track}, {number} draws"
            for k, kind in enumerate(("bands predicted", "central 90 % predicted")):
                name = f"{case}: {kind} for {AFTER} further draws"
                yield from coverage_rows(name, [r[k] for r in ranks], near, smoke)
            yield from error_rows(case, own, mixed)
            yield {"name": f"{case}: effective draws a position", "value": float(np.mean(spent)), "unit": "draws"}


def error(value: np.ndarray, truth: np.ndarray) -> float:
    """Mean TV over positions."""
    return float(0.5 * np.abs(value - truth).sum(axis=1).mean())


def rows(smoke: bool, draws: Sequence[int]) -> Iterator[Row]:
    """Simulated branches, and recorded ones where there are any."""
    yield from simulated(smoke, draws)
    if traces_recorded.folder() is not None:
        yield from recorded(smoke, draws)
