"""Interventions against self-consistency at the same budget: by hand where the law is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.lm.answers import RegexTask
from sloc.lm.backends import Continuation, Failure, Rule
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.detection import find_text_windows
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.interventions import compare_interventions
from sloc.lm.experiments.questions import Question
from sloc.lm.experiments.revisions import REVISE, revise, revision_problems, revision_recordings
from tests.lm.scripted import Coin

TASK = RegexTask("(right|wrong)")


def experiment_of(backend: Coin, truth: str, n: int = 8, resamples: int = 100):
    questions = [Question(f"q{i}", "?", truth) for i in range(n)]
    return run_experiment(backend, questions, TASK, ExperimentSettings(Cuts("token"), resamples))


def test_votes_by_hand() -> None:
    """At a coin of 0.3 rare texts are "right" and those have windows; a vote of 16 finds the common answer."""
    experiment = experiment_of(Coin(0.3), "wrong")
    windows = find_text_windows(experiment, detector="rule")
    kept = [g for g in experiment.graded if windows[g.run.name]]
    assert kept
    assert all(g.answer == "right" for g in kept), "windows are where the rarer answer was taken"
    made = compare_interventions(experiment, windows, sizes=(1, 16))
    arms = {(a.name, a.size): a for a in made.arms}
    assert arms["keep", 0].accuracy.value == 0.0
    assert made.generations == len(kept)
    for way in ("vote from the start", "vote before the window"):
        # Shares of 100 draws a generation: 0.7 within six standard errors of 0.046.
        assert abs(arms[way, 1].accuracy.value - 0.7) < 0.28
        won = binom.sf(8, 16, 0.7) + 0.5 * binom.pmf(8, 16, 0.7)
        assert abs(arms[way, 16].accuracy.value - won) < 0.2
    assert arms["vote before the window", 1].tokens < arms["vote from the start", 1].tokens == 9.0
    gain = made.against["vote before the window", 16]
    assert gain.lower <= 0 <= gain.upper, "neither way is better here, and that is what is said"
    assert set(made.to_dataframe()["way"]) == {"keep", "vote from the start", "vote before the window"}


class Reviser(Coin):
    """Texts that are asked to revise are right, or fail where it is said; those that are not stay as they are."""

    def __init__(self, p: float, failing: tuple[str, ...] = ()) -> None:
        super().__init__(p)
        self.failing = failing

    def fork(self, request, origin, cuts, n, rule, *, seed, ask=""):
        if not ask:
            return super().fork(request, origin, cuts, n, rule, seed=seed)
        assert ask == REVISE
        self.calls += 1
        if request.name in self.failing:
            return [Failure("HTTP 503")]
        return [[Continuation("It is right ", "It ", 4)] * n for _ in cuts]


@pytest.mark.slow
def test_an_intervention_that_works_and_one_that_does_not() -> None:
    backend = Reviser(0.95)
    experiment = experiment_of(backend, "right", n=40)
    windows = find_text_windows(experiment, detector="rule")
    revised = revise(backend, experiment, windows, Rule(8), n=4)
    assert set(revised) == {name for name, found in windows.items() if found}
    made = compare_interventions(experiment, windows, sizes=(1,), revised=revised)
    arms = {(a.name, a.size): a.accuracy.value for a in made.arms}
    assert arms["keep", 0] == 0.0
    assert arms["revise", 1] == 1.0
    assert made.against["revise", 1].value > 0


def test_revisions_go_on_where_they_stopped_and_are_stored(tmp_path) -> None:
    backend = Reviser(0.3)
    experiment = experiment_of(backend, "wrong", n=12, resamples=40)
    windows = find_text_windows(experiment, detector="rule")
    names = [n for n, found in windows.items() if found]
    assert len(names) > 1
    broken = Reviser(0.3, (names[0],))
    part = revise(broken, experiment, windows, Rule(8), n=3, journal=str(tmp_path))
    assert broken.calls == len(names)
    assert isinstance(part[names[0]].samples, Failure)
    cut = windows[names[0]][0].first
    assert revision_problems(part) == (
        f"question {names[0]!r}, asked to revise after {cut} tokens: no continuations (HTTP 503)",
    )
    # A generation without revisions is left out of that way: it is not called wrong there.
    made = compare_interventions(experiment, windows, sizes=(1,), revised=part)
    arms = {(a.name, a.size): a for a in made.arms}
    assert arms["revise", 1].accuracy.n == len(names) - 1
    assert arms["vote from the start", 1].accuracy.n == len(names)
    whole = revise(backend, experiment, windows, Rule(8), n=3, journal=str(tmp_path))
    assert {n: r.answers for n, r in whole.items()} == dict.fromkeys(names, ("right",) * 3)
    last = Reviser(0.3, tuple(names))
    assert revise(last, experiment, windows, Rule(8), n=3, journal=str(tmp_path)) == whole
    assert last.calls == 0, "nothing is drawn twice"
    assert revise(last, experiment, windows, Rule(8), n=2, journal=str(tmp_path)) != whole, "other texts are asked for"
    with pytest.raises(InvalidInput, match=r"steps of this run, not of another.*seed"):
        revise(backend, experiment, windows, Rule(8), n=3, seed=1, journal=str(tmp_path))
    stored = revision_recordings(experiment, whole)
    assert [r.question for r in stored] == names
    for recording in stored:
        assert recording.meta["asked"] == REVISE
        (branch,) = recording.branches
        assert branch.extra["texts"] == ["It is right "] * 3
        assert [recording.categories[a] for a in branch.answers] == ["right"] * 3
    assert revision_recordings(experiment, {n: part[n] for n in names[:1]}) == ()


def test_a_cut_whose_texts_failed_is_not_called_wrong() -> None:
    whole = experiment_of(Coin(0.3), "wrong", n=12, resamples=40)
    windows = find_text_windows(whole, detector="rule")
    names = [n for n, found in windows.items() if found]
    backend = Coin(0.3, fails=[(names[0], 0)])
    broken = experiment_of(backend, "wrong", n=12, resamples=40)
    made = compare_interventions(broken, windows, sizes=(1,))
    assert made.generations == len(names) - 1
    with pytest.raises(InvalidInput, match="texts from both cuts"):
        compare_interventions(broken, {names[0]: windows[names[0]]}, sizes=(1,))


def test_answers_that_are_not_found_win_no_vote() -> None:
    experiment = run_experiment(
        Coin(0.3),
        [Question(f"q{i}", "?", "right") for i in range(8)],
        RegexTask("(right)"),
        ExperimentSettings(Cuts("token"), 60),
    )
    windows = find_text_windows(experiment, detector="rule")
    made = compare_interventions(experiment, windows, sizes=(16,))
    arms = {(a.name, a.size): a.accuracy.value for a in made.arms}
    # A vote among found answers alone: one "right" of 16 is enough.
    assert arms["vote from the start", 16] > 0.9
    assert np.isfinite(list(arms.values())).all()


def test_bad_input() -> None:
    experiment = experiment_of(Coin(0.3), "wrong", n=2, resamples=2)
    with pytest.raises(InvalidInput, match="sizes = "):
        compare_interventions(experiment, {}, sizes=())
    with pytest.raises(InvalidInput, match="a generation with a window, a known truth and a cut at the start"):
        compare_interventions(experiment, {})
    for options, said in (({"n": 0}, "n = 0"), ({"ask": "  "}, "ask = ")):
        with pytest.raises(InvalidInput, match=said):
            revise(Coin(), experiment, {}, Rule(8), **options)
