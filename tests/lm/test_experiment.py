"""Experiments against a model whose law is known: curves, windows, what is missing, going on where a run stopped."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import binom

from sloc.contracts import InvalidInput

pytest.importorskip("tokenizers")

from sloc.lm.answers import NOT_FOUND, RegexTask
from sloc.lm.backends import Rule
from sloc.lm.experiments.cuts import Cuts, sentence_ends
from sloc.lm.experiments.detection import find_text_windows
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.journal import Journal
from sloc.lm.experiments.questions import Question
from sloc.windows.recorded_file import read_store, write_store
from tests.lm.scripted import PLACE, WORDS, Coin

TASK = RegexTask("(right|wrong)")
QUESTIONS = [Question(f"q{i}", "?", "right") for i in range(6)]
TOKENS = ExperimentSettings(Cuts("token"), resamples=100)


def test_curves_follow_the_law_and_the_window_is_the_word_that_decides() -> None:
    experiment = run_experiment(Coin(0.3), QUESTIONS, TASK, TOKENS)
    for graded in experiment.graded:
        answers = graded.answers[None]
        assert len(answers) == len(WORDS)
        p = 0.3 if graded.answer == "right" else 0.7
        for cut, drawn in enumerate(answers):
            same = sum(a == graded.answer for a in drawn)
            # 6 questions x 7 cuts, two sides at 1e-11 each: less than 1e-9 in all.
            low, high = binom.ppf([1e-11, 1 - 1e-11], 100, p)
            assert low <= same <= high if cut <= PLACE else same == 100
    # At p = 0.3 against a rise of 0.2 the test of a rise of 0.7 (or 0.3 -> 1) rejects unless the draws are 1e-9 rare.
    found = find_text_windows(experiment, rise=0.1, detector="test")
    for graded in experiment.graded:
        windows = found[graded.run.name]
        if graded.answer == "right":
            assert [(w.first, w.last, w.text) for w in windows] == [(PLACE, PLACE + 1, "right ")]
        assert all(w.first == PLACE for w in windows)


@pytest.mark.parametrize("detector", ["test", "rule", "moves"])
def test_each_detector_finds_a_certain_window(detector: str) -> None:
    experiment = run_experiment(Coin(0.05), QUESTIONS, TASK, TOKENS)
    coin = {g.run.name: g.answer for g in experiment.graded}
    found = find_text_windows(experiment, detector=detector)
    for name, answer in coin.items():
        if answer == "right":
            assert found[name]
            assert found[name][0].first <= PLACE < found[name][0].last
        else:
            assert not found[name]


def test_a_rare_right_answer_is_there() -> None:
    """The test above would be empty without one; seeds are fixed."""
    answers = {g.answer for g in run_experiment(Coin(0.3), QUESTIONS, TASK, TOKENS).graded}
    assert answers == {"right", "wrong"}


def test_a_run_goes_on_where_it_stopped_and_draws_the_same(tmp_path) -> None:
    whole = run_experiment(Coin(), QUESTIONS, TASK, TOKENS)
    first = Coin(fails=[("q2", None), ("q3", 4)])
    part = run_experiment(first, QUESTIONS, TASK, TOKENS, journal=str(tmp_path / "j"))
    said = part.problems
    assert any("question 'q2': no generation (HTTP 503)" in p for p in said)
    assert any("question 'q3', 4 tokens kept: no continuations (HTTP 503)" in p for p in said)
    again = Coin()
    resumed = run_experiment(again, QUESTIONS, TASK, TOKENS, journal=str(tmp_path / "j"))
    assert resumed.runs == whole.runs
    assert again.calls < first.calls
    last = Coin(fails=[(q.id, c) for q in QUESTIONS for c in [None, *range(9)]])
    assert run_experiment(last, QUESTIONS, TASK, TOKENS, journal=str(tmp_path / "j")).runs == whole.runs
    assert last.calls == 0


def test_generations_are_continued_before_further_ones_are_asked_for() -> None:
    class Watched(Coin):
        at_once = 4

        def __init__(self) -> None:
            super().__init__()
            self.order: list[str] = []

        def generate(self, requests, rule, *, seed):
            self.order.append("+".join(r.name for r in requests))
            return super().generate(requests, rule, seed=seed)

        def fork(self, request, origin, cuts, n, rule, *, seed, ask=""):
            self.order += [request.name] if request.name not in self.order else []
            return super().fork(request, origin, cuts, n, rule, seed=seed, ask=ask)

    backend = Watched()
    experiment = run_experiment(backend, QUESTIONS, TASK, dataclasses.replace(TOKENS, resamples=2))
    assert backend.order == ["q0+q1+q2+q3", "q0", "q1", "q2", "q3", "q4+q5", "q4", "q5"]
    assert experiment.runs == run_experiment(Coin(), QUESTIONS, TASK, dataclasses.replace(TOKENS, resamples=2)).runs


def test_a_journal_of_another_run_is_refused(tmp_path) -> None:
    run_experiment(Coin(), QUESTIONS[:1], TASK, TOKENS, journal=str(tmp_path))
    other = dataclasses.replace(TOKENS, seed=1)
    with pytest.raises(InvalidInput, match=r"steps of this run, not of another.*settings"):
        run_experiment(Coin(), QUESTIONS[:1], TASK, other, journal=str(tmp_path))


def test_a_step_that_was_damaged_is_named(tmp_path) -> None:
    journal = Journal(tmp_path, {"a": 1})
    journal.put([1, 2], "x", "1")
    assert (journal.get("x", "1"), journal.get("x", "2"), len(journal)) == ([1, 2], None, 1)
    file = next(tmp_path.glob("*.json.gz"))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InvalidInput, match="expected a finished step"):
        journal.get("x", "1")
    assert not list(tmp_path.glob(".*partial*"))


def test_answers_that_are_not_found_are_counted_and_never_wrong() -> None:
    experiment = run_experiment(Coin(0.5), QUESTIONS, RegexTask("(right)"), TOKENS)
    lost = [g for g in experiment.graded if g.answer == NOT_FOUND]
    assert lost
    assert all(g.right is None for g in lost)
    for g in experiment.graded:
        assert NOT_FOUND in g.categories
        drawn = [a for point in g.answers[None] for a in point]
        count = drawn.count(NOT_FOUND)
        assert any(f"question {g.run.name!r}: no answer found in {count} of 900" in p for p in experiment.problems)
    frame = experiment.to_dataframe().set_index("question")
    assert frame.loc[lost[0].run.name, "not_found"] > 0
    assert frame.loc[lost[0].run.name, "right"] is None


def test_samples_are_kept_in_the_store(tmp_path) -> None:
    experiment = run_experiment(Coin(), QUESTIONS[:2], TASK, dataclasses.replace(TOKENS, resamples=3))
    file = write_store(tmp_path / "s.jsonl.gz", experiment.recordings())
    back, _ = read_store(file)
    assert [r.question for r in back] == ["q0", "q1"]
    assert back[0] == experiment.recordings()[0]
    branch = back[0].branches[2]
    assert len(branch.extra["texts"]) == 3
    assert all(t.startswith("about ") for t in branch.extra["texts"])
    assert np.asarray(branch.costs).tolist() == [7, 7, 7]
    assert "".join(back[0].meta["pieces"]).startswith("I think about it.")


def test_sweeps_and_stumps_have_curves_of_their_own() -> None:
    settings = dataclasses.replace(TOKENS, temperatures=(0.2, 1.0), stump=True, resamples=5)
    experiment = run_experiment(Coin(), QUESTIONS[:1], TASK, settings)
    assert set(experiment.graded[0].answers) == {None, 0.2, 1.0}
    assert len(experiment.graded[0].stumps) == len(WORDS)
    for options in ({"temperature": 0.2}, {"stump": True}, {}):
        assert experiment.windows(**options).curves[0].draws.tolist() == [5] * len(WORDS)


def test_several_generations_of_one_question() -> None:
    settings = dataclasses.replace(TOKENS, generations=3, resamples=2)
    names = [r.name for r in run_experiment(Coin(), QUESTIONS[:1], TASK, settings).runs]
    assert names == ["q0", "q0#2", "q0#3"]
    clash = [Question("q", "?"), Question("q#2", "?")]
    with pytest.raises(InvalidInput, match="names that differ"):
        run_experiment(Coin(), clash, TASK, settings)


def test_an_empty_generation_is_listed() -> None:
    class Silent(Coin):
        def generate(self, requests, rule, *, seed):
            return [dataclasses.replace(g, pieces=(), tokens=()) for g in super().generate(requests, rule, seed=seed)]

    experiment = run_experiment(Silent(), QUESTIONS[:1], TASK, TOKENS)
    assert any("an empty generation" in p for p in experiment.problems)
    with pytest.raises(InvalidInput, match="continuations of at least one generation"):
        experiment.windows()


def test_cuts_of_each_kind() -> None:
    pieces = ["A ", "b. ", "C", " d!", "\n", "E", "."]
    assert sentence_ends(pieces) == [2, 5]
    assert Cuts("sentence").of(pieces) == ((0.0, 0), (2.0, 2), (5.0, 5))
    assert Cuts("token", every=3).of(pieces) == ((0.0, 0), (3.0, 3), (6.0, 6))
    assert Cuts("fraction", (0.0, 0.1, 0.5, 0.99)).of(pieces) == ((0.0, 0), (0.5, 3), (0.99, 6))
    assert Cuts("token").of([]) == ()
    # Three tenths of ten tokens are three, whatever floats say.
    assert Cuts("fraction", (0.3,)).of(["x"] * 10) == ((0.3, 3),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cuts": Cuts("words")}, "cuts = 'words': expected one of"),
        ({"cuts": Cuts("fraction", (0.5, 1.0))}, r"fractions = .*kept fractions in \[0, 1\)"),
        ({"cuts": Cuts("fraction", (0.5, 0.2))}, "fractions in rising order"),
        ({"cuts": Cuts("fraction", ())}, "at least one"),
        ({"cuts": Cuts("token", every=0)}, "every = 0"),
        ({"resamples": 1}, "resamples = 1: expected at least 2"),
        ({"generations": 0}, "generations = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"temperatures": (1.0, 1.0)}, "each once"),
        ({"rule": Rule(0)}, "new_tokens = 0"),
        ({"rule": Rule(5, None, ("",))}, "stop = "),
        ({"stump_tokens": 0}, "stump_tokens = 0"),
    ],
)
def test_settings_that_draw_nothing(settings: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run_experiment(Coin(), QUESTIONS, TASK, dataclasses.replace(TOKENS, **settings))


def test_questions_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"questions, id = \['q0'\]: expected names that differ"):
        run_experiment(Coin(), [QUESTIONS[0], QUESTIONS[0]], TASK, TOKENS)


def test_another_detector_is_refused() -> None:
    experiment = run_experiment(Coin(), QUESTIONS[:1], TASK, dataclasses.replace(TOKENS, resamples=2))
    with pytest.raises(InvalidInput, match="detector = 'x': expected one of"):
        find_text_windows(experiment, detector="x")
    with pytest.raises(InvalidInput, match="expected the detector 'rule'"):
        find_text_windows(experiment, max_drop=0.3)


def test_settings_of_a_run_are_json(tmp_path) -> None:
    run_experiment(Coin(), QUESTIONS[:1], TASK, TOKENS, journal=str(tmp_path))
    said = json.loads((tmp_path / "settings.json").read_text())
    assert said["backend"] == "coin"
    assert said["settings"]["resamples"] == 100
