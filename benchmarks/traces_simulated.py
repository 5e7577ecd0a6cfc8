"""Bands and moves on simulated curves of known truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.timing import Row
from benchmarks.traces_intervals import distance_rows, interval_rows
from benchmarks.traces_moves import NO_EVENT, reference_events, score, starts_of
from benchmarks.traces_rows import coverage_rows, detector_rows, power_rows, score_rows, share_row
from benchmarks.traces_truth import Truth, sentences, simulate
from sloc.engine.binomial import clopper_pearson
from sloc.windows.allocation import allocate_draws, certify_moves
from sloc.windows.likely_moves import posterior_moves
from sloc.windows.move_kernels import PRIORS
from sloc.windows.move_tests import exact_moves
from sloc.windows.outcome_curves import outcome_curve
from sloc.windows.rule_errors import rule_rates

QUESTIONS, GAP, TOLERANCE = 400, 4, 8
SENTENCE_GAP, SENTENCE_TOLERANCE = 1, 1
SENTENCES_DECIDED_BY = {10: 8_000, 20: 2_000, 30: 2_000, 50: 2_000}
DECIDED_BY = {10: 9_600, 20: 3_200, 30: 1_600, 50: 800}
"""Questions on which realised false-discovery rates are held against their nominal values: the nearer the posterior's,
and the fewer moves the exact test reports, the more."""


def truths(number: int, seed: int = 11, identity: bool = True) -> list[Truth]:
    """Simulated questions, always the same (:func:`benchmarks.traces_truth.simulate`)."""
    rng = np.random.default_rng(seed)
    return [simulate(rng, identity=identity) for _ in range(number)]


def near_moves(reference: np.ndarray, gap: int, tolerance: int) -> np.ndarray:
    """``[T]`` whether an event of the reference is near."""
    near = np.zeros(reference.shape[0], bool)
    for start in reference_events(reference, gap, tolerance):
        near[max(0, start - tolerance) : start + gap + tolerance + 1] = True
    return near


def bands(smoke: bool) -> Iterator[Row]:
    """Coverage of the truth by pointwise bands and, at all positions at once, by simultaneous ones."""
    tokens = truths(6 if smoke else QUESTIONS)
    kinds = (
        ("probabilities known", tokens, True, GAP, TOLERANCE),
        ("probabilities not known", tokens, False, GAP, TOLERANCE),
        ("sentences", [sentences(t) for t in tokens], False, SENTENCE_GAP, SENTENCE_TOLERANCE),
    )
    for draws in (10,) if smoke else (10, 20, 30, 50):
        for kind, made, known, gap, tolerance in kinds:
            rng = np.random.default_rng(draws)
            inside, near, whole, each = [], [], [], []
            alone, pointwise, together = [], [], []
            for i, truth in enumerate(made):
                data = truth.counts(f"q{i}", rng, draws, known)
                curve = outcome_curve(data, simultaneous=True)
                pointwise.append(curve.upper - curve.lower)
                low, high = clopper_pearson(data.counts, np.full(data.counts.shape, draws), 0.1)
                alone.append(high - low)
                inside.append((curve.lower <= truth.curve) & (truth.curve <= curve.upper))
                near.append(near_moves(truth.curve, gap, tolerance))
                if curve.lower_all is not None and curve.upper_all is not None:
                    covered = (curve.lower_all <= truth.curve) & (truth.curve <= curve.upper_all)
                    whole.append(float(covered.all(axis=0).sum()))
                    each.append(covered.shape[1])
                    together.append(curve.upper_all - curve.lower_all)
            case = f"90 % bands, simulated, {draws} draws, {kind}"
            yield from coverage_rows(case, inside, near, smoke)
            yield share_row(f"{case}: simultaneous, whole curves covered", whole, each, None if smoke else 0.9)
            widths = {"pointwise": pointwise, "simultaneous": together, "Clopper-Pearson, each position alone": alone}
            for word, found in widths.items():
                yield {"name": f"{case}: mean width, {word}", "value": float(np.mean(found)), "unit": "share"}


def moves(smoke: bool) -> Iterator[Row]:
    """False discoveries and power of each detector; what the published rule does, computed."""
    for draws in (10, 25, 100):
        rates = rule_rates(draws, rise=0.5, null=0.25, event=0.6, steps=20)
        yield {
            "name": f"rule > 0.5, {draws} draws: fires on a rise of 0.25, worst case",
            "value": 100 * rates.fires_null,
            "unit": "%",
        }
        yield {
            "name": f"rule > 0.5, {draws} draws: misses a rise of 0.6, worst case",
            "value": 100 * rates.misses,
            "unit": "%",
        }
    made = truths(8 if smoke else QUESTIONS, seed=12)
    for draws in (10,) if smoke else (10, 20, 30, 50):
        rng = np.random.default_rng(draws)
        seen = [t.counts(f"q{i}", rng, draws) for i, t in enumerate(made)]
        case, curves = f"moves, simulated, {draws} draws", [t.curve for t in made]
        yield from detector_rows(case, seen, curves, GAP, TOLERANCE, smoke)
        found = posterior_moves(seen, gap=GAP, separation=TOLERANCE)
        yield from interval_rows(case, found, curves, TOLERANCE, smoke)
        yield from distance_rows(f"TV {GAP} positions apart, simulated, {draws} draws", seen, curves, GAP, smoke)
        yield from broken_rows(draws, len(made))
        yield from false_discovery_rows(draws, 8 if smoke else DECIDED_BY[draws], smoke)
        yield from sentence_rows(made, draws, smoke)
    yield from two_stage_rows(made[: 2 if smoke else 100], smoke)


def sentence_rows(made: list[Truth], draws: int, smoke: bool) -> Iterator[Row]:
    """The same of sentences: neighbours, whose steps may be of any size."""
    case, short = f"moves, simulated sentences, {draws} draws", [sentences(t) for t in made]
    rng = np.random.default_rng(400 + draws)
    seen, curves = [t.counts(f"q{i}", rng, draws, False) for i, t in enumerate(short)], [t.curve for t in short]
    gap, tolerance = SENTENCE_GAP, SENTENCE_TOLERANCE
    yield from detector_rows(case, seen, curves, gap, tolerance, smoke)
    found = posterior_moves(seen, gap=gap, separation=tolerance)
    yield from interval_rows(case, found, curves, tolerance, smoke)
    yield from sentence_discovery_rows(draws, 8 if smoke else SENTENCES_DECIDED_BY[draws], smoke)


def sentence_discovery_rows(draws: int, number: int, smoke: bool) -> Iterator[Row]:
    """Realised false-discovery rates of sentences, on questions of their own."""
    # Neither the questions above nor those (of 78) that the leaving masses of the prior were looked at on.
    short, rng = [sentences(t) for t in truths(number, seed=16)], np.random.default_rng(500 + draws)
    seen, curves = [t.counts(f"q{i}", rng, draws, False) for i, t in enumerate(short)], [t.curve for t in short]
    gap, tolerance = SENTENCE_GAP, SENTENCE_TOLERANCE
    case = f"moves, simulated sentences, {draws} draws, {number:,} questions"
    for name, moves, wanted in (
        ("posterior, 10 %", posterior_moves(seen, gap=gap, separation=tolerance), 0.1),
        ("exact test, 5 %", exact_moves(seen, gap=gap, separation=tolerance, tau=NO_EVENT), 0.05),
    ):
        got = score(starts_of(moves, seen), curves, gap, tolerance)
        yield from score_rows(f"{case}: {name}", got, None if smoke else wanted)


def two_stage_rows(made: list[Truth], smoke: bool) -> Iterator[Row]:
    """Locate by sequential draws, certify with fresh ones; and the exact test of as many draws, spread evenly."""
    rng, drawn = np.random.default_rng(600), np.zeros(len(made))
    counted, starts = [], []
    for i, truth in enumerate(made):
        names, positions = tuple("ABCDEFGH"[: truth.curve.shape[1]]), np.arange(truth.curve.shape[0], dtype=np.float64)

        def draw(question: str, position: float, n: int, i: int = i, truth: Truth = truth, names: Any = names) -> Any:
            drawn[i] += n
            return [names[a] for a in rng.choice(len(names), n, p=truth.curve[int(position)])]

        some = allocate_draws(draw, f"q{i}", names, positions, budget=2 * positions.size, leaving=truth.leaving)
        # The second stage pays for what the first names wrongly, so that this may be half of it.
        located = posterior_moves([some.data], gap=GAP, separation=TOLERANCE, alpha=0.5)
        certified = certify_moves(draw, located, n=100, alpha=0.05, tau=NO_EVENT) if located.found else None
        starts.append([] if certified is None else [int(m.start) for m in certified.found])
        counted.append(positions.size)
    curves, each = [t.curve for t in made], float(drawn.sum() / sum(counted))
    case = f"two stages, simulated, {len(made)} questions"
    yield {"name": f"{case}: draws a position, both stages", "value": each, "unit": "draws"}
    yield from score_rows(f"{case}: certified at 5 % a question", score(starts, curves, GAP, TOLERANCE))
    for draws in (10, 50):
        seen = [t.counts(f"q{i}", rng, draws) for i, t in enumerate(made)]
        found = exact_moves(seen, gap=GAP, separation=TOLERANCE, tau=NO_EVENT)
        got = score(starts_of(found, seen), curves, GAP, TOLERANCE)
        yield from score_rows(f"{case}: exact test, {draws} draws everywhere", got)


def false_discovery_rows(draws: int, number: int, smoke: bool) -> Iterator[Row]:
    """Realised false-discovery rates on questions of their own, so many that the posterior's interval decides."""
    # Neither the truths nor the draws that the prior of runs was looked at on (questions of 901, draws of 1911).
    made, rng = truths(number, seed=14), np.random.default_rng(200 + draws)
    seen, curves = [t.counts(f"q{i}", rng, draws) for i, t in enumerate(made)], [t.curve for t in made]
    found = posterior_moves(seen, gap=GAP, separation=TOLERANCE)
    got = score(starts_of(found, seen), curves, GAP, TOLERANCE)
    case = f"moves, simulated, {draws} draws, {number:,} questions"
    yield from score_rows(f"{case}: posterior, 10 %", got, None if smoke else 0.1)
    forgetful = posterior_moves(seen, gap=GAP, separation=TOLERANCE, priors=PRIORS)
    without = score(starts_of(forgetful, seen), curves, GAP, TOLERANCE)
    yield from score_rows(f"{case}: posterior without runs, 10 %", without)
    # Each at the false discovery that it has: what the runs cost, or bring, in events found.
    yield from power_rows(
        f"{case}: power of the posterior at 10 % less that of the posterior without runs, paired", got, without
    )
    certified = exact_moves(seen, gap=GAP, separation=TOLERANCE, tau=NO_EVENT)
    got = score(starts_of(certified, seen), curves, GAP, TOLERANCE)
    yield from score_rows(f"{case}: exact test, 5 %", got, None if smoke else 0.05)


def broken_rows(draws: int, number: int) -> Iterator[Row]:
    """Intervals of moves where log-probabilities are not those of the sampler, and the identity fails: no target."""
    made = truths(number, seed=12, identity=False)
    rng = np.random.default_rng(draws)
    found = posterior_moves([t.counts(f"q{i}", rng, draws) for i, t in enumerate(made)], gap=GAP, separation=TOLERANCE)
    case = f"moves, simulated, {draws} draws, identity broken"
    yield from interval_rows(case, found, [t.curve for t in made], TOLERANCE, smoke=True)
