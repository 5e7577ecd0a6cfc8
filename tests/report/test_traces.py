"""The picture, the terminal table and the folder of ``sloc traces``."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sloc.cli import app
from sloc.contracts import InvalidInput
from sloc.report import traces_command
from sloc.report.recorded_analysis import analyse
from sloc.report.recorded_command import run_recorded
from sloc.report.traces_command import recordings_of_table, run_traces
from sloc.report.traces_picture import MAX_PANELS, plot_question, plot_traces, traces_summary_table
from sloc.windows.resampled import trace_windows
from sloc.windows.traces_table import trace_table
from tests.public_outputs import hold_outputs

pytest.importorskip("matplotlib")
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
WINDOWS = ("curves.nc", "run.json", "steps.csv", "traces.png", "windows.csv")
MOVES = ("moves.csv", "exact.csv", "rule.csv", "questions.csv", "curves.csv", "traces.jsonl.gz", "report.html")


def table(questions=3, n=20, position=False):
    """Questions decided ever later, the last of them with one answer only."""
    rows = []
    for q in range(questions):
        for i, f in enumerate(FRACTIONS):
            hits = n if q == questions - 1 or i > q % 4 else 1
            kept = f * 100 if position else f
            rows += [(f"question [{q}]", kept, "A" if j < hits else "BC"[j % 2]) for j in range(n)]
        rows.append((f"question [{q}]", 120.0 if position else 1.0, "A"))
    return pd.DataFrame(rows, columns=["question", "position" if position else "fraction", "answer"])


def console():
    """Return a console that writes into memory."""
    return Console(file=io.StringIO(), width=140, color_system=None)


@pytest.mark.parametrize("questions", [1, 2, 5, MAX_PANELS, MAX_PANELS + 1, 60])
def test_pictures_of_few_and_many_questions(tmp_path, questions):
    result = trace_windows(trace_table(table(questions)))
    figure = plot_traces(result, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    drawn = [ax for ax in figure.axes if ax.get_visible()]
    assert len(drawn) == (questions if questions <= MAX_PANELS else 3)
    if questions <= MAX_PANELS:
        titles = [ax.get_title(loc="left") for ax in drawn]
        assert all(any(f"[{q}]" in title for title in titles) for q in range(questions))
        assert sum(bool(ax.patches) for ax in drawn) == sum(w.resolved for w in result.rule)
    else:
        bars = [patch for ax in drawn for patch in ax.patches if patch.get_height() == 1.0]
        assert len(bars) == result.summary()["rule"]
    assert "window by the rule" in figure.get_suptitle()


def test_positions_and_single_questions_are_drawn():
    result = trace_windows(trace_table(table(20, position=True)))
    # Generations of several lengths meet on one axis as fractions.
    assert "kept fraction" in plot_traces(result).axes[0].get_xlabel()
    ax = result.curves[0].plot()
    assert "position" in ax.get_xlabel()
    assert np.allclose(ax.lines[-1].get_ydata(), result.curves[0].same)
    assert plot_question(result.curves[0], ax) is ax
    assert result.plot() is not None


def test_the_table_lists_windows_earliest_first_and_keeps_brackets_in_names():
    out = console()
    result = trace_windows(trace_table(table(6)))
    out.print(traces_summary_table(result, limit=4))
    text = out.file.getvalue()
    assert text.index("question [0]") < text.index("question [4]") < text.index("question [1]")
    assert "0.1 → 0.3" in text
    assert "2 more questions not shown" in text
    assert "5 windows by the rule" in text


def test_a_run_writes_a_folder_that_repeats_it(tmp_path):
    path = tmp_path / "answers.csv"
    table(5).to_csv(path, index=False)
    out = console()
    record = run_traces(path, tmp_path / "out", max_drop=0.3, across="bh", console=out)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == sorted([*WINDOWS, *MOVES])
    hold_outputs("traces TABLE", tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "run.json").read_text())
    assert saved["command"] == "traces"
    assert (
        saved["arguments"]
        == record["arguments"]
        == {
            "table": str(path),
            "rise": 0.5,
            "max_drop": 0.3,
            "alpha": 0.05,
            "correction": "bonferroni",
            "across": "bh",
            "statistic": "difference",
            "size": 0.3,
            "move_alpha": 0.1,
            "gap": 0.2,
            "level": 0.9,
            "adjacent": None,
        }
    )
    assert len(saved["results"]["table_sha256"]) == 64
    assert pd.read_csv(tmp_path / "out" / "windows.csv")["rule_status"].tolist() == ["resolved"] * 4 + ["one answer"]
    assert len(pd.read_csv(tmp_path / "out" / "steps.csv")) == 20
    assert "written to" in out.file.getvalue()
    ran = CliRunner().invoke(app, ["traces", "--from", str(tmp_path / "out"), "--out", str(tmp_path / "again")])
    assert ran.exit_code == 0, ran.output
    for name in names:
        if name.endswith((".csv", ".html", ".gz")):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    again = json.loads((tmp_path / "again" / "run.json").read_text())
    assert again | {"seconds": saved["seconds"]} == saved
    path.write_text(path.read_text() + "question [0],0.1,A\n")
    changed = CliRunner().invoke(app, ["traces", "--from", str(tmp_path / "out" / "run.json")])
    assert changed.exit_code == 2
    assert "changed since" in changed.output


def test_all_answers_of_a_table_have_moves_where_the_answers_move(tmp_path):
    """A move between answers other than the full generation's is no rise of that one, and is found all the same."""
    rows = [
        ("q", f, answer, "A")
        for f, shares in zip(FRACTIONS, ((2, 17, 1), (2, 17, 1), (2, 1, 17), (2, 1, 17), (2, 1, 17)), strict=True)
        for answer, n in zip("ABC", shares, strict=True)
        for _ in range(n)
    ]
    frame = pd.DataFrame(rows, columns=["question", "fraction", "answer", "reference"]).assign(weight=2.0)
    frame.loc[len(frame)] = ["q", 0.1, "D", "A", 0.0]  # drawn with weight 0: no draw
    frame.to_csv(tmp_path / "answers.csv", index=False)
    results = run_traces(tmp_path / "answers.csv", tmp_path / "out", console=console())["results"]
    assert results["rule"] == results["certified"] == 0
    (found,) = results["all_answers"]["found"]
    assert (found["question"], found["start"], found["stop"]) == ("q", 0.3, 0.5)
    assert "C" in found["rising"]
    assert "B" not in found["rising"]
    # 17 of 20 to 1 of 20: the prior of steps lets a share do that where no probability was recorded.
    assert found["size"] > 0.6
    assert found["certified_holm"]
    assert results["all_answers"]["certified"] == {"bh": 1, "holm": 1}
    rule = pd.read_csv(tmp_path / "out" / "rule.csv")
    assert rule.loc[0, ["answer", "status"]].tolist() == ["A", "silent"]
    assert (rule["misses"] > 0).all()
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Move at 0.3" in page
    assert "next token" not in page
    again = run_recorded(tmp_path / "out" / "traces.jsonl.gz", None, console=console())["results"]
    assert again["found"] == results["all_answers"]["found"]


def test_tokens_of_a_table_are_not_taken_for_certain(tmp_path):
    """At consecutive positions of a plain table no probability is known, so that nothing is settled without draws."""
    rows = [("q", t, "A" if t > 5 else "B", "A") for t in range(12) for _ in range(12)]
    frame = pd.DataFrame(rows, columns=["question", "position", "answer", "reference"])
    recordings, _ = recordings_of_table(frame, trace_table(frame))
    found = analyse(recordings, gap=2.0)
    assert len(found.moves.found) == 1
    assert found.questions_frame()["pairs_settled"].tolist() == [0]
    assert found.summary()["certified"]["holm"] == 1


def test_draws_of_unequal_weights_have_windows_and_a_reason_for_no_moves(tmp_path):
    frame = table(2)
    frame["weight"] = np.where(np.arange(len(frame)) % 2, 1.0, 2.0)
    frame.to_csv(tmp_path / "answers.csv", index=False)
    record = run_traces(tmp_path / "answers.csv", tmp_path / "out", console=console())
    if record["results"]["all_answers"] is None:
        assert any("no curves and moves of all answers" in n for n in record["results"]["notes"])
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(WINDOWS)
    steps = pd.read_csv(tmp_path / "out" / "steps.csv")
    assert ((steps["rise_low"] <= steps["rise"]) & (steps["rise"] <= steps["rise_high"])).all()
    assert steps["misses"].isna().all()


def test_a_folder_without_recordings_is_refused_and_its_subfolders_named(tmp_path):
    (tmp_path / "top" / "llama").mkdir(parents=True)
    (tmp_path / "top" / "llama" / "row000.json").write_text("{}")
    ran = CliRunner().invoke(app, ["traces", str(tmp_path / "top")])
    assert ran.exit_code == 2
    assert "no file in it ends in .json or .json.gz; its subfolder llama/ do" in ran.output


def test_json_is_one_object_without_nan(tmp_path):
    path = tmp_path / "answers.csv"
    table().to_csv(path, index=False)
    out = console()
    record = run_traces(path, None, json=True, console=out)
    printed = json.loads(out.file.getvalue(), parse_constant=lambda word: pytest.fail(word))
    assert printed == record
    assert printed["output"] is None
    assert printed["results"]["windows"][2]["rule_t_after"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.csv"]


@pytest.mark.parametrize(
    "bad",
    [
        lambda t: t.drop(columns="answer"),
        lambda t: t.assign(weight=-1.0),
        lambda t: t.assign(fraction=2.0),
        lambda t: t.drop_duplicates(["question", "fraction"]),
        lambda t: t.assign(answer=""),
        lambda t: t.iloc[:0],
    ],
)
def test_bad_input_writes_nothing(tmp_path, bad):
    path = tmp_path / "answers.csv"
    bad(table()).to_csv(path, index=False)
    with pytest.raises(InvalidInput):
        run_traces(path, tmp_path / "deep" / "out", console=console())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.csv"]


@pytest.mark.parametrize(
    ("column", "named"), [("question", "question = a"), ("answer", "question 'question [0]', answer = a")]
)
@pytest.mark.parametrize("text", ["a\0b", "a\0"])
def test_a_text_that_no_file_of_results_holds_is_refused_before_anything_is_computed(
    tmp_path, monkeypatch, column, named, text
):
    monkeypatch.setattr(traces_command, "trace_windows", lambda *_, **__: pytest.fail("the run has begun"))
    told = table()
    told.loc[:1, column] = text
    told["reference"] = "A"
    told[told["fraction"] < 1].to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    ran = CliRunner().invoke(app, ["traces", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "out")])
    assert ran.exit_code == 2
    assert f"sloc: {named}" in ran.output
    assert "expected a text without NUL characters" in ran.output
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_another_run_is_refused_before_anything_is_read(tmp_path):
    path = tmp_path / "answers.csv"
    table().to_csv(path, index=False)
    run_traces(path, tmp_path / "out", console=console())
    with pytest.raises(InvalidInput, match="already holds one"):
        run_traces(tmp_path / "absent.csv", tmp_path / "out", console=console())
    run_traces(path, tmp_path / "out", overwrite=True, rise=0.4, console=console())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["arguments"]["rise"] == 0.4


def test_ctrl_c_while_drawing_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "answers.csv"
    table().to_csv(path, index=False)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(traces_command, "plot_traces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_traces(path, tmp_path / "out", console=console())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.csv"]


def test_without_matplotlib_the_numbers_are_still_written(tmp_path, monkeypatch):
    path = tmp_path / "answers.csv"
    table().to_csv(path, index=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    record = run_traces(path, tmp_path / "out", console=console())
    assert "no picture" in record["results"]["notes"][0]
    assert not (tmp_path / "out" / "traces.png").exists()


def test_a_reference_that_no_draw_gave_leaves_the_windows(tmp_path):
    """A full generation's answer of weight 0: windows are written, and a note says why there are no curves."""
    rows = [("q", f, "A" if i % 2 else "B", 1.0) for f in (0.0, 0.5) for i in range(8)] + [("q", 1.0, "Z", 0.0)]
    table = tmp_path / "t.csv"
    pd.DataFrame(rows, columns=["question", "fraction", "answer", "weight"]).to_csv(table, index=False)
    record = run_traces(table, tmp_path / "out")
    assert (tmp_path / "out" / "windows.csv").exists()
    assert any("no curves and moves" in note for note in record["results"]["notes"])
