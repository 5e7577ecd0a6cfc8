"""Pages of experiments on language models: every text is text, nothing is fetched, what was drawn is shown."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sloc.cli import app
from sloc.contracts import InvalidInput
from sloc.lm.answers import NOT_FOUND, RegexTask
from sloc.lm.backends import Failure, Generation
from sloc.lm.experiments.cuts import Cuts
from sloc.lm.experiments.detection import DETECTORS, find_text_windows
from sloc.lm.experiments.experiment import ExperimentSettings, run_experiment
from sloc.lm.experiments.questions import Question
from sloc.lm.experiments.runs import Experiment
from sloc.report.lm_command import LmRequest, journal_folder, run_lm_windows
from sloc.report.lm_index import write_experiment_pages
from sloc.report.lm_page import decided, question_page
from sloc.report.page_parts import MOST_ANSWERS, safe
from sloc.report.run_record import repeated
from sloc.windows.recorded_file import read_store
from tests.lm.scripted import PLACE, WORDS, Coin
from tests.public_outputs import hold_outputs

EVIL = '</span><script>alert("x")</script><img src=http://h/x onerror=alert(1)> & \x00\x1b[0m '
TASK = RegexTask("(right|wrong)")


class Evil(Coin):
    """A coin whose texts hold HTML, control characters and half a surrogate pair."""

    def _text(self, draw):
        return [EVIL, *super()._text(draw)[1:]]


class Reader(html.parser.HTMLParser):
    """Collects tags, addresses and text, and whether every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "srcset", "data"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def experiment_of(backend: Coin, questions: list[Question] | None = None, resamples: int = 40) -> Experiment:
    asked = questions or [Question(f"q{i} {EVIL}", EVIL, "right") for i in range(3)]
    return run_experiment(backend, asked, TASK, ExperimentSettings(Cuts("token"), resamples))


@pytest.fixture(scope="module")
def evil() -> Experiment:
    return experiment_of(Evil(0.3))


def test_every_text_is_text(evil: Experiment, tmp_path: Path) -> None:
    windows = {k: find_text_windows(evil, detector=k) for k in DETECTORS}
    index = write_experiment_pages(tmp_path, evil, windows, notes=[EVIL], title=EVIL)
    pages = [index, *sorted((tmp_path / "questions").iterdir())]
    assert len(pages) == 4
    for page in pages:
        text = page.read_text("utf-8")
        seen = read(text)
        assert not seen.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base"}
        assert seen.handlers == []
        assert all(re.fullmatch(r"questions/\d{4}\.html|\.\./index\.html", a) for a in seen.addresses)
        assert "\x00" not in text
        assert "\x1b" not in text
        assert "url(" not in text
        assert "content=\"default-src 'none'" in text
        assert '<script>alert("x")</script>' in "".join(seen.text), "shown as it is"
    assert not list(tmp_path.rglob("*partial*"))


def test_the_page_holds_the_whole_generation_and_its_windows(evil: Experiment) -> None:
    for recording, graded in zip(evil.recordings(), evil.graded, strict=True):
        windows = {"test": find_text_windows(evil, detector="test", rise=0.2)[recording.question]}
        text = question_page(recording, windows)
        # The text of the generation is what stands in the stretches, their hovers left out.
        stretches = re.findall(r'<span class="seg(?: w)?"[^>]*>(.*?)<span class="tip">', text, re.DOTALL)
        assert "".join(stretches) == safe(graded.run.origin.text)
        marked = re.findall(r'<span class="seg w"[^>]*>(.*?)<span class="tip">', text, re.DOTALL)
        assert marked == [safe(w.text) for w in windows["test"]]


def test_the_word_that_decides_is_coloured() -> None:
    experiment = experiment_of(Coin(0.05), [Question(f"q{i}", "?", "right") for i in range(12)])
    seen = set()
    for recording, graded in zip(experiment.recordings(), experiment.graded, strict=True):
        moved = decided(recording).moved
        seen.add(graded.answer)
        if graded.answer == "right":
            assert np.argmax(moved) == PLACE
            assert moved[PLACE] > 0.7
        else:
            assert moved.max() < 0.3
    assert seen == {"right", "wrong"}


def test_alternatives_stand_in_the_hover() -> None:
    experiment = experiment_of(Coin(0.5), [Question("q", "?", "right")])
    (recording,) = experiment.recordings()
    text = question_page(recording, {})
    tip = text.split('<span class="tip">')[PLACE + 1]
    branch = recording.branches[PLACE]
    share = branch.extra["firsts"].count("wrong ") / 40
    assert f"wrong␣</td><td class=n>{share:.2f}</td><td>wrong 1.00" in tip.replace("<strong>", "").replace(
        "</strong>", ""
    )


def test_what_cannot_be_written_is_marked() -> None:
    assert safe("\ud800<\x07\"'") == "?&lt;\ufffd&quot;&#x27;"


def test_many_answers_are_drawn_as_few() -> None:
    class Many(Coin):
        def _text(self, draw):
            return ["word ", f"n{draw.randrange(40)}"]

    made = run_experiment(Many(), [Question("q", "?", "n1")], RegexTask(r"n\d+"), ExperimentSettings(Cuts("token"), 60))
    (recording,) = made.recordings()
    found = decided(recording)
    assert len(recording.categories) > MOST_ANSWERS
    assert len(found.curve.categories) == MOST_ANSWERS
    assert found.curve.categories[-1] == "Other"
    assert recording.reference in found.curve.categories
    page = question_page(recording, {})
    assert page.count("<polyline") == MOST_ANSWERS
    # Both axes say what they show.
    assert ">share of the answers</div>" in page
    assert "kept</div>" in page


# --- the command ------------------------------------------------------------------------------------------


def questions_file(folder: Path, n: int = 4) -> Path:
    file = folder / "q.jsonl"
    rows = [{"id": f"q{i}", "question": "?", "answer": "right"} for i in range(n)]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return file


def test_the_folder_is_whole_and_the_record_counts(tmp_path: Path) -> None:
    data = questions_file(tmp_path)
    request = LmRequest("coin", str(data), "regex:(right)", cuts="token", resamples=20, stump=True, sweep=(0.5,))
    out = tmp_path / "out"
    record = run_lm_windows(request, out, backend=Coin(0.5))
    names = {p.name for p in out.iterdir()}
    assert names >= {"index.html", "questions", "samples.jsonl.gz", "stumps.jsonl.gz", "sweep-0.5.jsonl.gz"}
    assert names >= {"same.csv", "answers.csv", "windows.csv", "steps.csv", "problems.txt", "run.json"}
    hold_outputs("lm windows", out)
    results = record["results"]
    assert results["generations"] == 4
    assert results["continuations"] == 4 * 20 * len(WORDS)
    assert 0 < results["answers_not_found"] < 4, "both happen, by the seed"
    page = (out / "questions" / "0001.html").read_text("utf-8")
    assert all(word in page for word in ("by how it was asked for", "temperature 0.5", "asked at once"))
    assert results["right"] + results["answers_not_found"] == 4
    assert NOT_FOUND in (out / "answers.csv").read_text()
    assert not journal_folder(out).exists()
    assert json.loads((out / "run.json").read_text())["arguments"]["resamples"] == 20
    again = repeated(LmRequest, out, "lm windows", "data")
    assert again == request
    once_more = run_lm_windows(again, tmp_path / "more", backend=Coin(0.5))
    assert once_more["results"] == results
    assert (tmp_path / "more" / "answers.csv").read_bytes() == (out / "answers.csv").read_bytes()
    data.write_text(data.read_text() + "\n")
    with pytest.raises(InvalidInput, match=r"--from, data = .*changed since"):
        repeated(LmRequest, out, "lm windows", "data")
    # What was written can be read by the command for recorded answers.
    again = CliRunner().invoke(app, ["traces", str(out / "samples.jsonl.gz"), "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["results"]["questions"] == 4


def test_samples_in_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    request = LmRequest("coin", str(questions_file(tmp_path)), "regex:(right|wrong)", resamples=2, store="parquet")
    run_lm_windows(request, tmp_path / "out", backend=Coin())
    recordings, _ = read_store(tmp_path / "out" / "samples.parquet")
    assert [r.question for r in recordings] == ["q0", "q1", "q2", "q3"]


def test_interventions_are_told_where_truths_are_known(tmp_path: Path) -> None:
    request = LmRequest(
        "coin", str(questions_file(tmp_path, 12)), "regex:(right|wrong)", cuts="token", resamples=20, revise=4
    )
    record = run_lm_windows(request, tmp_path / "out", backend=Coin(0.1))
    assert record["results"]["accuracy"]["with_window"]["n"] > 0
    ways = {row["way"] for row in record["results"]["interventions"]}
    assert ways == {"keep", "vote from the start", "vote before the window", "revise"}
    assert (tmp_path / "out" / "interventions.csv").is_file()
    stored, _ = read_store(tmp_path / "out" / "revised.jsonl.gz")
    assert sum(b.answers.size for r in stored for b in r.branches) == record["results"]["revisions"] == 4 * len(stored)
    assert not journal_folder(tmp_path / "out").exists()
    assert "<h2>Interventions</h2>" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_a_run_with_failures_keeps_its_steps(tmp_path: Path) -> None:
    data = questions_file(tmp_path)
    request = LmRequest("coin", str(data), "regex:(right|wrong)", cuts="token", resamples=5)
    out = tmp_path / "out"
    record = run_lm_windows(request, out, backend=Coin(fails=[("q1", 3)]))
    assert record["results"]["failures"] == ["question 'q1', 3 tokens kept: no continuations (HTTP 503)"]
    assert journal_folder(out).is_dir()
    record = run_lm_windows(request, out, backend=Coin(), overwrite=True)
    assert record["results"]["failures"] == []
    assert not journal_folder(out).exists()


def test_revisions_that_failed_are_told_and_drawn_again(tmp_path: Path) -> None:
    class Refuses(Coin):
        def fork(self, request, origin, cuts, n, rule, *, seed, ask=""):
            if ask:
                return [Failure("HTTP 503")] * len(cuts)
            return super().fork(request, origin, cuts, n, rule, seed=seed, ask=ask)

    data, out = questions_file(tmp_path, 12), tmp_path / "out"
    request = LmRequest("coin", str(data), "regex:(right|wrong)", cuts="token", resamples=20, revise=4)
    record = run_lm_windows(request, out, backend=Refuses(0.1))
    assert record["results"]["failures"]
    assert all("asked to revise after" in f for f in record["results"]["failures"])
    assert "HTTP 503" in (out / "problems.txt").read_text()
    assert journal_folder(out).is_dir()
    again = Coin(0.1)
    record = run_lm_windows(request, out, backend=again, overwrite=True)
    assert again.calls == record["results"]["revisions"] / 4, "the revisions alone are drawn"
    assert not journal_folder(out).exists()


def test_nothing_is_revised_where_no_truth_is_known(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "?"}\n', encoding="utf-8")
    request = LmRequest("coin", str(file), "regex:(right|wrong)", resamples=2, revise=4)
    record = run_lm_windows(request, tmp_path / "out", backend=Coin())
    assert record["results"]["revisions"] == 0
    assert "none was asked to revise" in (tmp_path / "out" / "problems.txt").read_text()


def test_keys_are_not_written_down(tmp_path: Path) -> None:
    request = LmRequest(
        "coin", str(questions_file(tmp_path)), "regex:(right|wrong)", resamples=2, server={"key": "secret", "rate": 3}
    )
    run_lm_windows(request, tmp_path / "out", backend=Coin())
    for file in (tmp_path / "out").rglob("*.*"):
        assert b"secret" not in file.read_bytes()


def test_nothing_to_cut_is_refused(tmp_path: Path) -> None:
    class Silent(Coin):
        def generate(self, requests, rule, *, seed):
            return [Generation(()) for _ in requests]

    from sloc.contracts import InvalidInput

    request = LmRequest("coin", str(questions_file(tmp_path)), "regex:(right|wrong)", resamples=2)
    with pytest.raises(InvalidInput, match="a generation that can be cut; question 'q0': an empty generation"):
        run_lm_windows(request, tmp_path / "out", backend=Silent())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resamples", "1"], "--resamples = 1: expected at least 2"),
        (["--fractions", "0.5,1"], "--fractions = 0.5,1: expected kept fractions in [0, 1)"),
        (["--fractions", "a"], "--fractions = a: expected numbers"),
        (["--cuts", "word"], "--cuts"),
        (["--task", "sums"], "--task = sums: expected math, choice"),
        (["--rise", "1"], "--rise = 1"),
        (["--alpha", "0"], "--alpha = 0"),
        (["--max-drop", "2"], "--max-drop = 2"),
        (["--new-tokens", "0"], "--new-tokens = 0"),
        (["--top-p", "0"], "--top-p = 0"),
        (["--lanes", "0"], "--lanes = 0"),
        (["--revise", "-1"], "--revise = -1"),
        (["--data", "nothing.jsonl"], "--data"),
        (["--benchmark", "gsm"], "--benchmark = gsm: expected one of"),
        (["--rate", "3"], "--rate = 3"),
        (["--model", "http://127.0.0.1:9", "--retries", "0", "--timeout", "1"], "a server that lists its models"),
        ([], "a checkpoint's folder"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    given = ["--model", str(tmp_path / "none"), "--data", str(questions_file(tmp_path)), "--task", "regex:(a)"]
    done = CliRunner().invoke(app, ["lm", "windows", *given, *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help_is_by_example() -> None:
    shown = CliRunner().invoke(app, ["lm", "windows", "--help"]).stdout
    for piece in ("sloc lm windows --model", "--task math", "http://127.0.0.1:8000/v1", "choices (optional)"):
        assert piece in " ".join(shown.split())
