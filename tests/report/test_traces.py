"""The picture, the terminal table and the folder of ``sloc traces``."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from sloc.contracts import InvalidInput
from sloc.report import traces_command
from sloc.report.traces import MAX_PANELS, plot_question, plot_traces, traces_summary_table
from sloc.report.traces_command import run_traces
from sloc.windows.resampled import trace_windows
from sloc.windows.traces_table import trace_table

pytest.importorskip("matplotlib")
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)


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
    assert "position" in plot_traces(result).axes[0].get_xlabel()
    ax = result.curves[0].plot()
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
    assert names == ["curves.nc", "run.json", "steps.csv", "traces.png", "windows.csv"]
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
        }
    )
    assert len(saved["results"]["table_sha256"]) == 64
    assert pd.read_csv(tmp_path / "out" / "windows.csv")["rule_status"].tolist() == ["resolved"] * 4 + ["one answer"]
    assert len(pd.read_csv(tmp_path / "out" / "steps.csv")) == 20
    assert "written to" in out.file.getvalue()
    arguments = dict(saved["arguments"])
    again = run_traces(arguments.pop("table"), tmp_path / "again", **arguments, console=console())
    assert again["results"] == record["results"]
    for name in ("windows.csv", "steps.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


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
    monkeypatch.setattr(traces_command.importlib.util, "find_spec", lambda name: None)
    record = run_traces(path, tmp_path / "out", console=console())
    assert "no picture" in record["results"]["notes"][0]
    assert not (tmp_path / "out" / "traces.png").exists()
