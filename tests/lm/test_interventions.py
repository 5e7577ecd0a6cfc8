"""Interventions against self-consistency at the same budget: by hand where the law is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput
from sloc.lm.answers import RegexTask
from sloc.lm.backends import Continuation, Rule
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.detection import find_text_windows
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.interventions import REVISE, compare_interventions, revise
from sloc.lm.experiments.questions import Question
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


@pytest.mark.slow
def test_an_intervention_that_works_and_one_that_does_not() -> None:
    """Texts that are asked to revise are right; those that are not stay as they are."""

    class Reviser(Coin):
        def fork(self, request, origin, cuts, n, rule, *, seed, ask=""):
            if ask:
                assert ask == REVISE
                return [[Continuation("It is right ", "It ", 4)] * n for _ in cuts]
            return super().fork(request, origin, cuts, n, rule, seed=seed)

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
