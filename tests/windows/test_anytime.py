"""Streams of certified windows: whichever look one stops at, intervals hold the exact edges, and none ever widens.

False-alarm rate: three streams and three curves at delta = 1e-9 each.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import ndtri

import sloc
from benchmarks.certified_settings import case
from benchmarks.certified_truth import theorem_truth, window_truth
from sloc import anytime_theorem2, anytime_windows
from sloc.engine.checkpoint import MANIFEST
from sloc.windows import streams
from tests.oracles import channels, mixtures

KEY = jax.random.key(9)
OU = sloc.processes.OrnsteinUhlenbeck()
STREAMS = pytest.mark.parametrize("stream", [anytime_windows, anytime_theorem2], ids=lambda call: call.__name__)


def edges(window: Any) -> list[tuple[str, float | None, tuple[float, float] | None]]:
    """Status, value and interval of the later edge that sets a set apart, then of the one at which it is lost."""
    if isinstance(window, sloc.Window):
        return [
            (window.status_after, window.t_after, window.after_interval),
            (window.status_before, window.t_before, window.before_interval),
        ]
    return [
        (window.status_start, window.t_start, window.start_interval),
        (window.status_end, window.t_end, window.end_interval),
    ]


def check_looks(looks: list[Any], truth: tuple[float, float]) -> None:
    """Every look holds the truth within the look before it, and spends draws on it."""
    for window in looks:
        for (_, _, interval), exact in zip(edges(window), truth, strict=True):
            assert interval is not None
            assert interval[0] <= exact <= interval[1]
    for old, new in itertools.pairwise(looks):
        assert new.draws > old.draws
        for (_, _, before), (_, _, after) in zip(edges(old), edges(new), strict=True):
            assert before is not None
            assert after is not None
            assert before[0] <= after[0] <= after[1] <= before[1]
    # They do narrow, and to something.
    first, last = ([high - low for _, _, (low, high) in edges(w)] for w in (looks[0], looks[-1]))
    assert sum(last) < sum(first)
    assert max(last) < 0.5


def test_windows_shrink_and_hold() -> None:
    pair = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[4.0, 0.0], [-4.0, 0.0]]))
    stream = anytime_windows(KEY, OU, pair, 0, [0, 1], epsilon=0.1, budget=16_384, delta=1e-9)
    # Phi(-r) = epsilon^2 / 2 and Phi(r) = 1/2 + epsilon, r = 4 e^-t.
    check_looks(list(itertools.islice(stream, 4)), (math.log(4 / -ndtri(0.005)), math.log(4 / ndtri(0.6))))


def test_theorem_windows_shrink_and_hold() -> None:
    c, epsilon = case("own three"), 0.1
    exact = theorem_truth(c.model, c.after, c.before, epsilon)
    asked = {"epsilon": epsilon, "times": c.times, "delta": 1e-9, "n": 4096, "budget": 24_576}
    looks = list(itertools.islice(anytime_theorem2(KEY, c.process, c.population, 0, [0, 1], **asked), 5))
    assert exact.after is not None
    assert exact.before is not None
    check_looks(looks, (exact.after, exact.before))
    assert looks[-1].resolved
    assert looks[-1].method == "certified at every stopping time, balanced draws"
    # Bounds and curves are those of the theorem, measured once.
    assert looks[-1].bound == pytest.approx(epsilon * (1 + 1 / math.sqrt(2)))
    assert all(w.certificate is looks[0].certificate and w.misassignment is looks[0].misassignment for w in looks)
    certificate, misassignment = looks[0].certificate, looks[0].misassignment
    laws = [
        mixtures.Line(c.model.weights, c.model.means, c.model.variances, *channels.ornstein_uhlenbeck(t))
        for t in c.times
    ]
    for curve, values in (
        (certificate, [law.certificate([0], [0, 1]) for law in laws]),
        (misassignment, [law.misassignment([0, 1]) for law in laws]),
    ):
        assert np.all((curve.lower <= np.array(values) + 1e-6) & (np.array(values) <= curve.upper + 1e-6))
        assert np.max(curve.upper - curve.lower) < 0.2


@STREAMS
@pytest.mark.parametrize("ladders", [1, 3])
def test_stopped_and_taken_up_again(
    stream: Callable[..., Any], ladders: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that was cut off passes at once through the looks it has had, to the same bits, and goes on.

    Within one ladder, and across ladders: here each look but the first places a finer one.
    """
    c = case("own three")
    placed: collections.Counter[int] = collections.Counter()
    if ladders > 1:
        monkeypatch.setattr(streams, "_RENEWAL", 1 / 16)
    refine = streams._Search._refine

    def counted(search: Any) -> None:
        refine(search)
        placed[search.stage] += 1

    monkeypatch.setattr(streams._Search, "_refine", counted)

    def looks(count: int, folder: Path | None) -> list[Any]:
        plan = None if folder is None else sloc.Plan(checkpoint=folder, every=0)
        asked = {"epsilon": 0.1, "times": c.times, "budget": 16_384, "plan": plan}
        asked |= {"n": 1024} if stream is anytime_theorem2 else {}
        return [repr(w) for w in itertools.islice(stream(KEY, c.process, c.population, 0, [0, 1], **asked), count)]

    def stamps() -> dict[Path, int]:
        # But for the list of stages, which grows.
        files = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != MANIFEST)
        return {path: path.stat().st_mtime_ns for path in files}

    whole = looks(3, None)
    assert len(set(whole)) == 3
    assert looks(2, tmp_path) == whole[:2]
    kept = stamps()
    assert looks(2, tmp_path) == whole[:2]
    assert stamps() == kept  # nothing was drawn again
    assert looks(3, tmp_path) == whole
    assert stamps().items() > kept.items()
    # Of two edges each (a third lies below the grid): two runs took three looks, and two more took two.
    assert placed == ({1: 8, 2: 4} if ladders > 1 else {})


@STREAMS
def test_an_iterator_may_rest(stream: Callable[..., Any]) -> None:
    """Looks depend on the key alone: two streams taken in turns are each what it would be by itself."""
    c = case("own three")
    asked = {"epsilon": 0.1, "times": c.times, "budget": 16_384}

    def begin(seed: int) -> Any:
        return stream(jax.random.key(seed), c.process, c.population, 0, [0, 1], **asked)

    alone = [[repr(w) for w in itertools.islice(begin(seed), 2)] for seed in (0, 1)]
    turns = [[repr(v) for v in pair] for pair in itertools.islice(zip(begin(0), begin(1), strict=True), 2)]
    assert list(map(list, zip(*turns, strict=True))) == alone


@pytest.mark.slow
def test_widths_go_on_falling() -> None:
    """One ladder shows no more than its pilot's precision allows; later pilots place finer ones; the truth stays in."""
    c = case("own")
    exact = window_truth(c.model, c.after, c.before, 0.1)
    assert exact.after is not None
    assert exact.before is not None
    stream = anytime_windows(
        KEY, c.process, c.population, 0, [0, 1], epsilon=0.1, times=c.times, budget=8_192, delta=1e-9
    )
    looks = list(itertools.islice(stream, 10))
    check_looks(looks, (exact.after, exact.before))
    widths = np.array([[high - low for _, _, (low, high) in edges(w)] for w in looks])
    # Eight times the draws: widths that fall as the root of them fall to 0.35; with one ladder alone they stop at 0.77.
    assert looks[-1].draws > 7.5 * looks[-4].draws
    assert np.all(widths[-1] < 0.6 * widths[-4]), widths


@pytest.mark.parametrize("growth", [1.0, 3.0])
def test_growth_of_looks(growth: float) -> None:
    c = case("own three")
    stream = anytime_windows(
        KEY, c.process, c.population, 0, [0, 1], epsilon=0.1, times=c.times, budget=49_152, growth=growth
    )
    draws = np.diff([w.draws for w in itertools.islice(stream, 4)])
    # Three edges of 2,048 draws a look, each rounded down to its own whole blocks.
    np.testing.assert_allclose(draws[1:] / draws[:-1], growth, rtol=0.35)


def test_nothing_to_ask_is_answered_without_draws() -> None:
    """Within all there is, all of it is reached at every time: both edges follow from the sets."""
    c = case("own three")
    asked = {"epsilon": 0.1, "times": c.times, "n": 1024}
    window = next(anytime_theorem2(KEY, c.process, c.population, [0, 1, 2], [0, 1, 2], **asked))
    assert (window.t_end, window.status_end, window.status_start) == (0.0, "resolved", "above_grid")
    assert (window.draws, window.method) == (0, "certified at every stopping time, no draws")


def test_edges_outside_the_grid_are_named() -> None:
    c = case("own three")
    exact = theorem_truth(c.model, [0], [0, 1], 0.1)
    assert exact.after is not None
    late = np.linspace(exact.after + 0.7, exact.after + 2.0, 8)
    asked = {"epsilon": 0.1, "times": late, "n": 1024, "delta": 1e-9, "budget": 49_152}
    window = next(anytime_theorem2(KEY, c.process, c.population, 0, [0, 1], **asked))
    assert window.status_start == "below_grid"
    assert window.start_interval == (0.0, late[0])


@STREAMS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", 0),
        ("budget", 0),
        ("budget", 2.5),
        ("delta", 0.0),
        ("delta", 1.0),
        ("epsilon", 0.0),
        ("epsilon", "small"),
        ("growth", 0.5),
        ("growth", math.inf),
        ("growth", True),
        ("times", [1.0, 0.5]),
        ("n", 1),
    ],
)
def test_bad_input_is_refused_by_the_call_itself(stream: Callable[..., Any], name: str, value: object) -> None:
    if name == "n" and stream is anytime_windows:
        return
    c = case("own three")
    asked = {"key": KEY, "epsilon": 0.1, "times": c.times} | {name: value}
    with pytest.raises(sloc.InvalidInput, match=f"^{name} = "):
        stream(process=c.process, population=c.population, **_sets(stream, 0, [0, 1]), **asked)


@STREAMS
def test_sets_are_nested(stream: Callable[..., Any]) -> None:
    c = case("own three")
    inner = "after" if stream is anytime_windows else "init"
    with pytest.raises(sloc.InvalidInput, match=rf"^{inner} = 2: expected a subset of"):
        stream(KEY, c.process, c.population, epsilon=0.1, **_sets(stream, 2, [0, 1]))


def _sets(stream: Callable[..., Any], inner: Any, outer: Any) -> dict[str, Any]:
    names = ("after", "before") if stream is anytime_windows else ("init", "target")
    return dict(zip(names, (inner, outer), strict=True))
