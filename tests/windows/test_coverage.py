"""Intervals of critical windows contain the exact edges as often as they say, and statuses say what is so.

The grid is that of :mod:`benchmarks.nightly_certified`, with fewer repetitions: 25 where one takes a tenth of a second,
as where the pilot is the worst there is, which is where a broken interval shows most; 10 elsewhere.  So few say little
of a level of 0.05: at a false-alarm rate of 1e-9 they would allow 8 wrong answers of 10.  The settings are therefore
asked at a level of 0.001, where 3 of 10 are allowed, or 4 of 25: a fault that makes seven in ten answers wrong fails
its own setting in 99 of 100 runs, and one that makes three in a hundred wrong everywhere fails them together.  Whether
the level of 0.05 is kept is judged by night, with 500 repetitions.

Settings with a pilot of their own see wrong edges, thresholds and statuses, and hardly a broken test: the innermost
rungs of a good pilot hold the edge nearly always, even if every rung is believed.  Broken tests are seen where the
pilot is the worst there is, and by streams, whose ladders end within the pilot's error.

Left to the night are coins, which take longest to compile, and most streams: those of eight sets, at thresholds other
than 0.1, or with a second ladder.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest

import sloc
from benchmarks.certified_runs import Tally, run
from benchmarks.certified_settings import SETTINGS, Setting
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck

QUICK = {
    "pair",
    "sets",
    "own",
    "own three",
    "shared pair",
    "near pair",
    "near pair from 0",
    "lopsided pair",
    "inverted pair",
    "early grid",
}
OWN = {"own", "own three", "near pair", "near pair from 0", "lopsided pair", "inverted pair", "early grid"}
"""Cases without bridges: one repetition takes a tenth of a second."""
DELTA = 1e-3
FALSE_ALARM = 1e-9


def by_day(setting: Setting) -> bool:
    """Whether a setting is asked here."""
    if setting.way.endswith("stream"):
        return setting.case in OWN | {"pair"} and (setting.epsilon == 0.1 or setting.trap) and setting.growth == 1.0
    return setting.case in QUICK


def asked(setting: Setting) -> Setting:
    """The setting at the level of this file; where little is claimed at that level, with twice the draws."""
    hungry = setting.case == "inverted pair" or (setting.epsilon == 0.001 and not setting.trap)
    return dataclasses.replace(setting, delta=DELTA, budget=setting.budget * (2 if hungry else 1))


GRID = [asked(s) for s in SETTINGS.values() if by_day(s)]


@functools.cache
def tally_of(setting: Setting) -> Tally:
    cheap = not setting.way.endswith("stream") and (setting.trap or setting.case in OWN)
    return run(setting, range(25 if cheap else 10))


@pytest.mark.slow
@pytest.mark.parametrize("setting", GRID, ids=lambda setting: setting.name)
def test_certified_edges(setting: Setting) -> None:
    """More wrong answers than allowed have probability at most 1e-9 at the level asked for.

    Where normal bounds stand in for betting ones the answers must be wrong more often than that.
    """
    tally = tally_of(setting)
    wrong, allowed = tally.wrong, tally.allowed(FALSE_ALARM)
    # Few repetitions must not excuse everything.
    assert allowed <= 0.3 * len(tally.answers)
    if setting.normal:
        assert wrong > allowed, f"{wrong} wrong answers, and {allowed} are allowed: nothing here sees a broken interval"
        return
    assert wrong <= allowed, tally.counts()
    if setting.statuses is not None:
        assert tally.share(setting.statuses) > 0.5, tally.counts()
    if setting.way.endswith("stream"):
        assert not any(a.widened for a in tally.answers)
    else:
        assert max(a.draws for a in tally.answers) <= setting.budget


@pytest.mark.slow
def test_certified_edges_together() -> None:
    """All settings at once tell more than each: some six hundred answers, of which one in a thousand may be wrong."""
    together = Tally([answer for s in GRID if not s.normal for answer in tally_of(s).answers], 0.0, DELTA)
    assert together.wrong <= together.allowed(FALSE_ALARM) < 0.02 * len(together.answers)


@pytest.mark.slow
def test_both_edges_are_covered_together():
    population = GaussianMixture([0.5, 0.5], [[3.0], [-3.0]])
    options = {"epsilon": 0.3, "times": np.linspace(0.05, 3.0, 24), "delta": 0.1}
    exact = sloc.critical_window(jax.random.key(0), OrnsteinUhlenbeck(), population, 0, [0, 1], epsilon=0.3)
    misses = 0
    for seed in range(200):
        found = sloc.critical_window(
            jax.random.key(seed), OrnsteinUhlenbeck(), population, 0, [0, 1], n=4096, method="monte-carlo", **options
        )
        inside = [
            lo <= t <= hi
            for t, (lo, hi) in ((exact.t_after, found.after_interval), (exact.t_before, found.before_interval))
        ]
        misses += not all(inside)
    # At level .1 more than 52 of 200 have binomial probability 2e-11.
    assert misses <= 52
